//! What must be true at the end of every test: the promise to people, checked against what the stand-ins saw.
//!
//! | invariant | here |
//! |---|---|
//! | I1 | every accepted request has one final state, and the asker can read its final words now |
//! | I2 | at most one commit for each `Deploy-Id`, and none for a request that was refused, cancelled or never begun |
//! | I3 | Argo CD was asked only for commits that the bot made, and never for an older one after a newer one of the same target |
//! | I4 | "is live" was said only of what Argo CD saw running well; "Nothing was changed" never of a request that has a commit |
//! | I6 | no lease, nobody in flight or in a queue, no key without an owner, in both Redis processes |
//!
//! Easy to miss: what people could read comes from Slack's stand-in, never from the facts.

use crate::Room;
use anyhow::{Context, Result, ensure};
use domain::deployment::{Facts, LastWord, Origin, Proof, RequestFact, State, click};
use domain::message;
use domain::message::{after_commit, before_commit, of_parts};
use domain::names::DeploymentId;
use fakes::github::Commit;
use fakes::slack::Message;
use redis::aio::MultiplexedConnection;
use sandbox::world;
use std::collections::BTreeMap;
use std::rc::Rc;
use store::{KeyValue, Seals, StoreError};

/// What a deployment with a commit never says.
const NOTHING: [&str; 2] = ["Nothing was changed", "not deployed"];

/// The Redis behind the key-value store, read as the bot reads it.
struct Store(MultiplexedConnection);

impl KeyValue for Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let got = redis::cmd("GET").arg(key).query_async(&mut self.0.clone()).await;
        got.map_err(|_| StoreError::Failed("the store does not answer"))
    }

    async fn set(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Failed("tests only read"))
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Failed("tests only read"))
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Failed("tests only read"))
    }

    fn seals(&self) -> Rc<Seals> {
        Rc::default()
    }

    fn forged(&self, _: &str) {}
}

impl Room {
    /// All that is known of one deployment.
    pub async fn facts(&self, id: &str) -> Result<Facts> {
        let id = DeploymentId::parse(id).ok().with_context(|| format!("{id} is no id"))?;
        Ok(store::load(&Store(self.store.connect().await?), &id).await?)
    }

    /// The ids of all deployments that the store knows.
    pub async fn deployments(&self) -> Result<Vec<String>> {
        let id = |key: String| Some(key.strip_prefix("deploy-bot/deployment/")?.strip_suffix("/request")?.to_owned());
        Ok(self.keys().await?.into_iter().filter_map(id).collect())
    }

    /// Everything that people could read of one deployment so far: every state of each of its messages, oldest first.
    pub fn read_of(&self, facts: &Facts) -> Vec<String> {
        let voices = [facts.message.as_ref().map(|fact| &fact.0), facts.watch.as_ref().map(|fact| &fact.voice)];
        let mut places: Vec<_> = voices.into_iter().filter_map(|voice| voice?.place.as_ref()).collect();
        places.dedup();
        let slack = self.slack.lock();
        let mut messages: Vec<&Message> = Vec::new();
        for place in places {
            let all = slack.messages(place.channel.as_str()).iter();
            let all = all.flat_map(|message| std::iter::once(message).chain(&message.thread));
            messages.extend(all.filter(|message| message.ts == place.ts.as_str()));
        }
        let user = facts.request.as_ref().map(|request| request.user.to_string()).unwrap_or_default();
        // Of what answers mentions nothing says which mention.
        let told = |message: &&Message| message.response_url.is_some() && is_answer(facts, message);
        messages.extend(slack.ephemerals(&user).into_iter().filter(told));
        // In a message that the deployment took over, earlier words are another deployment's.
        let approval = facts.request.as_ref().and_then(|request| request.origin.approvals().last());
        let went_on = |request: &RequestFact| matches!(request.origin, Origin::Waited { .. }).then_some(request.at.0);
        let waited = facts.request.as_ref().and_then(went_on).unwrap_or_default();
        let since = approval.map_or(waited, |approval| approval.at.0);
        // After an approval, or a wait, later words are those of the deployment that goes on.
        let last =
            facts.approvals.as_ref().filter(|_| facts.is_approved()).and_then(|approvals| approvals.given.last());
        let last = last.map(|approval| approval.at).or(facts.waited_until());
        let until = last.map_or(u64::MAX, |at| at.0);
        let mut edits: Vec<_> = messages
            .iter()
            .flat_map(|message| &message.edits)
            .filter(|edit| since < edit.at && edit.at <= until)
            .collect();
        edits.sort_by_key(|edit| edit.at);
        edits.into_iter().map(|edit| slack.render_edit(edit)).collect()
    }

    /// Checks the promise for every deployment that the store knows. Nothing may be under way.
    pub async fn promise(&self) -> Result<()> {
        let commits = self.bots_commits();
        let mut all = BTreeMap::new();
        for id in self.deployments().await? {
            let facts = self.facts(&id).await.with_context(|| format!("deployment {id}"))?;
            all.insert(id, facts);
        }
        for (id, facts) in &all {
            let made = commits.iter().filter(|(of, ..)| of == id).count();
            let is_part = facts.request.as_ref().is_some_and(|request| request.origin.part_of().is_some());
            let of = DeploymentId::parse(id)?;
            let parts = facts.commit.as_ref().map(|commit| commit.parts(&of)).unwrap_or_default();
            let parts: Vec<Facts> = parts.iter().filter_map(|part| all.get(part.as_str()).cloned()).collect();
            let kept = if is_part { self.part_kept(facts) } else { self.kept(id, facts, &parts, made) };
            kept.with_context(|| format!("deployment {id}: {facts:#?}"))?;
        }
        self.synced_only_own(&all, &commits)?;
        self.only_known_keys_in_redis().await
    }

    /// The bot's commits on the GitOps branch, newest first: whose, and which. People may copy a `Deploy-Id`, even with its account;
    /// GitHub signs what comes through its API.
    fn bots_commits(&self) -> Vec<(String, Commit)> {
        let commits = self.github.lock().commits(world::GITOPS, "main");
        let ours =
            |commit: &Commit| commit.signed_by_github && commit.author.login().as_deref() == Some(world::BOT_LOGIN);
        let named = |commit: Commit| Some((message::deploy_id(&commit.message)?.to_string(), commit));
        commits.into_iter().filter(ours).filter_map(named).collect()
    }

    /// I1 and I4 for one of several targets. The message of the whole tells its end.
    fn part_kept(&self, facts: &Facts) -> Result<()> {
        let state = facts.state();
        ensure!(state.is_final() && facts.end_is_told(), "I1: {state:?} is not the end, or nobody has told it");
        ensure!(!(facts.committed.is_none() && facts.end.is_some() && facts.outcome.is_some()), "I1: two final states");
        self.ran_well(facts)
    }

    /// I4: what is said to be live ran well. What a real Argo CD saw, each test asks by itself.
    fn ran_well(&self, facts: &Facts) -> Result<()> {
        let word = facts.outcome.as_ref().map(|outcome| &outcome.word);
        // Without a proof, nothing is said of what runs.
        let is_proven = matches!(word, Some(LastWord::Live { proof, .. }) if *proof != Proof::NotAsked);
        if let Some(commit) = facts.commit.as_ref().filter(|_| is_proven && self.real.is_none()) {
            let tag = commit.target().tag.as_str();
            for app in commit.target().applications.iter().map(|application| application.name.as_str()) {
                ensure!(self.argocd.lock().ran_well(app, tag), "I4: Argo CD never saw {tag} of {app} running well");
            }
        }
        Ok(())
    }

    /// I1, I2 and I4 for one deployment, with this many commits. `parts`: those of several targets.
    fn kept(&self, id: &str, facts: &Facts, parts: &[Facts], made: usize) -> Result<()> {
        let state = facts.state();
        ensure!(made <= 1, "I2: {made} commits");
        // A person who reads "I can't take that right now" types the command again, so this deployment may
        // stay as it is.
        let accepted = facts.cancel.as_ref().is_none_or(|cancel| cancel.by.is_some());
        ensure!(state.is_final() || !accepted, "I1: {state:?} is not final");
        if state.is_final() {
            ensure!(facts.end_is_told(), "I1: it ended, and nobody has told it");
            self.end_is_read(id, facts, parts)?;
        }
        let by_end = facts.committed.is_none() && facts.end.is_some();
        ensure!(made == 0 || accepted, "I2: a commit for what was not accepted");
        ensure!(made == 0 || !by_end, "I2: a commit, and yet it is {state:?}");
        ensure!(!(by_end && facts.outcome.is_some()), "I1: two final states");

        let read = self.read_of(facts);
        let is_live = |facts: &Facts| facts.state() == State::Live;
        let live = is_live(facts) || parts.iter().any(is_live);
        ensure!(
            live || !read.iter().any(|text| text.contains("is live")),
            "I4: {state:?} was said to be live: {read:#?}"
        );
        if parts.is_empty() {
            self.ran_well(facts)?;
        }
        let changed = made > 0 || facts.committed.is_some();
        let denied = read.iter().any(|text| NOTHING.iter().any(|nothing| text.contains(nothing)));
        ensure!(!changed || !denied, "I4: there is a commit, and it said: {read:#?}");
        Ok(())
    }

    /// I1: the words that follow from the facts are what the asker can read now. If no way was left to tell
    /// them, the log says so.
    fn end_is_read(&self, id: &str, facts: &Facts, parts: &[Facts]) -> Result<()> {
        let of = DeploymentId::parse(id)?;
        if facts.is_approved() || facts.waited_until().is_some() {
            // The deployment went on as another one in the same message, which says how that one ended.
            return Ok(());
        }
        let words = match (facts.watch_speaks(), parts) {
            (true, []) => after_commit(&of, facts),
            (true, parts) => of_parts(&of, facts, parts),
            (false, _) => before_commit(&of, facts, None),
        };
        let slack = self.slack.lock();
        let place = facts.place().map(|place| (place.channel.as_str(), place.ts.as_str()));
        let in_place = place.and_then(|(channel, ts)| {
            let all = slack.messages(channel).iter();
            all.flat_map(|message| std::iter::once(message).chain(&message.thread)).find(|message| message.ts == ts)
        });
        let user = facts.request.as_ref().map(|request| request.user.to_string()).unwrap_or_default();
        let mut whispered = slack.ephemerals(&user).into_iter().filter(|message| is_answer(facts, message));
        let says = |message: &Message| message.text() == words.text;
        // Somebody may delete the message that said it.
        if in_place.is_some_and(says) || whispered.any(says) {
            return Ok(());
        }
        let is_said = |line: &str| line.contains("nobody_told") && line.contains(id);
        ensure!(self.log().lines().any(is_said), "I1: nobody can read {:?}, only {in_place:#?}", words.text);
        Ok(())
    }

    /// I3, by what Argo CD was asked.
    fn synced_only_own(&self, all: &BTreeMap<String, Facts>, commits: &[(String, Commit)]) -> Result<()> {
        let place = |sha: &str| commits.iter().position(|(_, commit)| commit.sha == sha);
        let mut newest: BTreeMap<String, usize> = BTreeMap::new();
        for sync in self.argocd.lock().syncs() {
            let several = sync.body["revisions"].as_array().into_iter().flatten();
            let revisions: Vec<&str> = several.chain([&sync.body["revision"]]).filter_map(|one| one.as_str()).collect();
            let id = sync.info("deploy-id").unwrap_or_default();
            let facts = all.get(id).with_context(|| format!("I3: a sync for nobody: {sync:?}"))?;
            let committed = facts.committed.as_ref().map(|committed| committed.sha.as_str());
            let ours = !revisions.is_empty() && revisions.iter().all(|revision| Some(*revision) == committed);
            ensure!(ours, "I3: a sync of {revisions:?}, but the commit of {id} is {committed:?}");
            // A commit that was rewritten away has no place any more.
            let Some(place) = committed.and_then(place).filter(|_| sync.status == 200) else { continue };
            let newest = newest.entry(sync.app.clone()).or_insert(place);
            ensure!(place <= *newest, "I3: an older commit after a newer one: {sync:?}");
            *newest = place;
        }
        Ok(())
    }

    /// I6, in the Redis of leases and wake-ups: only names that we know, and all but the two hints run out by themselves.
    async fn only_known_keys_in_redis(&self) -> Result<()> {
        for key in self.redis::<Vec<String>>(&["KEYS", "*"]).await? {
            let name = key.strip_prefix("deploy-bot/").with_context(|| format!("I6: {key} in Redis"))?;
            let hint = ["in-flight", "news"].contains(&name);
            let first = name.split('/').next().unwrap_or_default();
            ensure!(
                hint || ["lease", "edits", "posts", "github", "told", "refusals", "mention", "choices", "searches",]
                    .contains(&first),
                "I6: {key} in Redis"
            );
            // -2: it has just run out.
            let left: i64 = self.redis(&["PTTL", &key]).await?;
            ensure!(hint || left != -1, "I6: {key} stays in Redis for ever");
        }
        Ok(())
    }
}

/// Whether it was sent to where the click is answered that made the request.
fn is_answer(facts: &Facts, message: &Message) -> bool {
    let of = |url: &String| serde_json::from_value(url.as_str().into()).ok().map(|url| click(&url));
    let clicked = facts.request.as_ref().map(|request| request.click.clone());
    if message.response_url.is_none() {
        // A mention has no such address.
        let request = facts.request.as_ref().filter(|request| request.thread.is_some());
        return request.is_some_and(|request| message.channel == request.channel.as_str());
    }
    clicked.is_some() && message.response_url.as_ref().and_then(of) == clicked
}
