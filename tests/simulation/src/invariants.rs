//! What has to be true when nothing is under way any more. What has to be true at every moment is checked in
//! `town`, at that moment.

use domain::deployment::{Facts, State};
use domain::message;
use domain::names::DeploymentId;
use fakes::slack::Message;
use serde_json::Value;

use crate::town::{CHANNEL, Made, Town, lock};

/// Which checks depend on what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excuses {
    /// Leases may have failed their holders: several watches, or several deployments of a target at the same time, are excused.
    pub(crate) leases: bool,
    /// A process may have frozen inside a call: a late sync may have happened, and been repaired.
    pub(crate) frozen: bool,
    /// People deleted messages or shut the bot out: it is excused if somebody could not be told.
    pub(crate) slack: bool,
    /// Nothing went wrong at all: nothing is posted twice either.
    pub(crate) calm: bool,
}

/// Writes down in the town what is not true.
pub(crate) fn check(town: &Town, excuses: Excuses) {
    if !town.broken.borrow().is_empty() {
        // The run was stopped there: what follows from that says nothing.
        return;
    }
    for (id, accepted) in town.answered.borrow().clone() {
        match town.facts(&id).filter(|facts| facts.request.is_some()) {
            Some(facts) if accepted => ended_and_told(town, &id, &facts, excuses),
            Some(_) => {}
            // What came to nothing makes room once twenty newer ones are known.
            None if town.has_full_ring() => {}
            None if accepted => town.broke(format!("I1: {id} was accepted and is forgotten")),
            None => {}
        }
    }
    for id in town.ids() {
        // Nobody is answered by an approval but in the message in which it was asked for.
        let Some(facts) = town.facts(&id).filter(|_| !town.answered.borrow().contains_key(&id)) else { continue };
        if facts.request.as_ref().is_some_and(|request| !request.origin.approvals().is_empty()) {
            ended_and_told(town, &id, &facts, excuses);
        }
    }
    for made in town.made.borrow().iter() {
        let Some(facts) = town.facts(&made.id).filter(|facts| !was_gone(town, made, facts)) else { continue };
        let of = facts.request.as_ref().and_then(|request| request.origin.of().cloned());
        let rejected = of.and_then(|of| town.facts(&of)?.approvals?.rejected);
        if rejected.is_some() && !excuses.leases {
            town.broke(format!("I2: {} was rejected, and has made {}", made.id, made.sha));
        }
        match facts.state() {
            State::Refused | State::Cancelled => {
                town.broke(format!("I2: {} is {:?}, and has made {}", made.id, facts.state(), made.sha));
            }
            State::Failed if facts.committed.is_none() => {
                town.broke(format!("I4: {} failed before its commit, and has made {}", made.id, made.sha));
            }
            _ => {}
        }
    }
    for what in town.unlawful.borrow().iter().filter(|_| !excuses.leases) {
        town.broke(what.clone());
    }
    went_back(town, excuses);
    announced(town, excuses);
    if !excuses.leases && town.most_watching.get() > 1 {
        town.broke(format!("I5: {} watches at the same time", town.most_watching.get()));
    }
    if !excuses.leases && town.most_flying.get() > 1 {
        town.broke(format!("I5: {} deployments of one target at the same time", town.most_flying.get()));
    }
    nothing_left(town);
}

/// Somebody had rewritten the branch before the bot knew what became of its commit: then nothing of it was there to be found.
fn was_gone(town: &Town, made: &Made, facts: &Facts) -> bool {
    let ended = facts.end.as_ref().filter(|_| facts.committed.is_none()).map(|end| end.at.0);
    ended.zip(town.rewritten.borrow().get(&made.sha)).is_some_and(|(ended, gone)| *gone < ended)
}

/// Every push of a person to a file of an app is announced, and no other push.
fn announced(town: &Town, excuses: Excuses) {
    let slack = lock(&town.slack);
    let said = slack.messages(CHANNEL).iter().filter(|message| message.text().contains(message::NOT_DEPLOYED));
    let said: Vec<String> = said.map(|message| format!("{:?}", message.now().blocks)).collect();
    let made = town.made.borrow();
    if let Some(ours) = made.iter().find(|made| said.iter().any(|text| text.contains(&format!("commit/{}", made.sha))))
    {
        town.broke(format!("I8: {ours:?} was announced as somebody's push"));
    }
    for sha in town.noted.borrow().iter().filter(|_| !excuses.slack) {
        let times = said.iter().filter(|text| text.contains(sha.as_str())).count();
        if times == 0 || (times > 1 && excuses.calm) {
            town.broke(format!("I8: the push {sha} was told {times} times"));
        }
    }
}

/// I3: never an older commit after a newer one of the same target. The exception: a process froze inside its
/// request for the sync. Then somebody asks for the newer commit again, and the cluster ends on that commit.
fn went_back(town: &Town, excuses: Excuses) {
    let argocd = lock(&town.argocd);
    let (made, syncs) = (town.made.borrow(), argocd.syncs());
    for (at, newer) in town.went_back.borrow().iter() {
        let age = |sha: &str| made.iter().position(|made| made.sha == sha && made.app == newer.app);
        let last = syncs[at + 1..].iter().rfind(|sync| sync.status == 200 && sync.app == newer.app);
        let mended = last.and_then(|sync| age(sync.revision()?)) >= age(&newer.sha);
        let (app, older, newest) = (&newer.app, syncs[*at].revision().unwrap_or_default(), &newer.sha);
        if !excuses.frozen {
            town.broke(format!("I3: {app} was synced to {older} after the newer {newest}"));
        } else if !mended {
            town.broke(format!("I3: {app} was synced to {older} after the newer {newest}, and stays there"));
        }
        let last = last.and_then(|sync| made.iter().find(|made| Some(made.sha.as_str()) == sync.revision()));
        let tag = last.and_then(|made| town.facts(&made.id)?.commit).map(|commit| commit.target().tag.to_string());
        if mended && tag.is_some() && argocd.live_tag(app) != tag.as_deref() {
            town.broke(format!("I3: {app} was asked for {tag:?} last, and runs {:?}", argocd.live_tag(app)));
        }
    }
}

/// I1: one final state, and the person can read it. The facts also note that the words were posted. A holder
/// that froze before a write may take that note back; then the same words are posted once more, and nothing
/// worse.
fn ended_and_told(town: &Town, id: &DeploymentId, facts: &Facts, excuses: Excuses) {
    let state = facts.state();
    if !state.is_final() {
        return town.broke(format!("I1: {id} is {state:?} for good"));
    }
    let words =
        if facts.watch_speaks() { message::after_commit(id, facts) } else { message::before_commit(id, facts, None) };
    let nothing = |text: &str| text.contains("Nothing was changed") || text.contains("not deployed");
    let has_commit = town.made.borrow().iter().any(|made| made.id == *id && !was_gone(town, made, facts));
    let request = facts.request.as_ref();
    // A click may be a while on its way, so its own time is not when it took the message over.
    let since = request.map(|request| {
        let approved = request.origin.approvals().last().map_or(0, |approval| approval.at.0);
        approved.max(request.at.0 + 1000)
    });
    let slack = lock(&town.slack);
    if let Some(place) = facts.place()
        && let Some(message) = slack.messages(CHANNEL).iter().find(|message| message.ts == place.ts.as_str())
        && has_commit
        // In a message that a deployment took over, another deployment may have said that before.
        && message.edits.iter().any(|edit| nothing(&edit.text) && since.is_none_or(|since| edit.at > since))
    {
        return town.broke(format!("I4: {id} has a commit, and told that nothing was changed"));
    }
    // A late write may have taken back the note where the message is, too.
    let noted = |ts: &str| match excuses.frozen {
        true => town.places.borrow().contains(&(id.clone(), ts.to_owned())),
        false => facts.place().is_some_and(|place| place.ts.as_str() == ts),
    };
    // The words as they were before any vote count, too: after the approval the message goes on as another
    // deployment's, and the bot may fail to show a vote.
    let first = message::before_commit(id, &Facts { approvals: None, ..facts.clone() }, None).text;
    let was = |message: &Message| facts.approvals.is_some() && message.edits.iter().any(|edit| edit.text == first);
    let in_channel = slack
        .messages(CHANNEL)
        .iter()
        .any(|message| noted(&message.ts) && (stands(town, message, &words.text) || was(message)));
    let user = facts.request.as_ref().map(|request| request.user.to_string()).unwrap_or_default();
    let whispered = slack.ephemerals(&user).iter().any(|message| message.text() == words.text || was(message));
    let given_up = town.gave_up_telling.borrow().contains(id);
    // The message with the approval may have been posted without an answer: then the deployment went on in
    // another message, which has to be read.
    if in_channel || whispered || (given_up && excuses.slack) || facts.is_approved() || facts.waited_until().is_some() {
        return;
    }
    town.broke(format!("I1: {id} is {state:?}, and nobody can read it: {:?}", words.text));
}

/// Whether a message says this now. A late edit of a process that froze inside its call may have replaced the
/// words for good.
fn stands(town: &Town, message: &Message, text: &str) -> bool {
    let late = town.late_edits.borrow();
    for edit in message.edits.iter().rev() {
        if edit.text == text {
            return true;
        }
        if !late.contains(&(message.ts.clone(), edit.at)) {
            return false;
        }
    }
    false
}

/// I6: no lease, nothing in flight, no key without an owner.
fn nothing_left(town: &Town) {
    let now = town.now();
    for key in town.redis.borrow_mut().keys(now) {
        // News are hints: the next watch takes them. So is the queue, which runs out by itself.
        let expected = ["in-flight", "news", "lease/resume", "lease/waits/resume", "queue/branch/acme/gitops/main"]
            .iter()
            .any(|name| key == format!("deploy-bot/{name}"))
            || key.starts_with("deploy-bot/queue/target/")
            || key.starts_with("deploy-bot/edits")
            || key.starts_with("deploy-bot/posts/")
            || key.starts_with("deploy-bot/refusals/")
            || key.starts_with("deploy-bot/mention/")
            || key.starts_with("deploy-bot/told/");
        if !expected {
            town.broke(format!("I6: {key} is left in Redis"));
        }
    }
    for id in town.redis.borrow_mut().members("deploy-bot/in-flight").iter().filter(|id| *id != "whole") {
        town.broke(format!("I6: {id} is in flight for good"));
    }
    let streams = lock(&town.argocd).open_streams();
    if streams > 0 {
        town.broke(format!("I6: {streams} streams are open"));
    }
    let store = town.store.borrow();
    let ids = |key: &String| -> Vec<String> {
        let value: Value = serde_json::from_slice(&store[key]).unwrap_or_default();
        let ids = [&value["ids"], &value["committed"]].into_iter().filter_map(Value::as_array).flatten();
        ids.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    let rings = store
        .keys()
        .filter(|key| key.ends_with("/history") || key.ends_with("/early-ends") || key.ends_with("/of-several"));
    let remembered: Vec<String> = rings.flat_map(ids).collect();
    for key in store.keys() {
        let owned = match key.strip_prefix("deploy-bot/deployment/").and_then(|rest| rest.split_once('/')) {
            Some((id, _)) => remembered.iter().any(|known| known == id),
            None => {
                let singles = [
                    "catalog",
                    "catalog-pushed",
                    "catalog-told",
                    "managed",
                    "workspace",
                    "waits",
                    "early-ends",
                    "of-several",
                    "branch/rewritten",
                    "lock",
                    "locks",
                ]
                .map(|name| format!("deploy-bot/{name}"));
                let of_many = [
                    "deploy-bot/target/",
                    "deploy-bot/application/",
                    "deploy-bot/registry/",
                    "deploy-bot/group/",
                    "deploy-bot/form/",
                    "deploy-bot/person/",
                    "deploy-bot/seen/",
                    "deploy-bot/selected/",
                ];
                of_many.iter().any(|start| key.starts_with(start)) || singles.contains(key)
            }
        };
        if !owned {
            town.broke(format!("I6: {key} has no owner"));
        }
    }
}
