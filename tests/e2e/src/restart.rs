//! Help for tests in which the bot dies, or Redis forgets: a probe of `/healthz` as an operator makes it, and
//! the checks of one deployment that has ended.
//!
//! Easy to miss: the leases of a dead process outlive it. A test may remove them only when no process lives.

use crate::{PATIENCE, Room};
use anyhow::{Context, Result, bail, ensure};
use sandbox::Sandbox;
use sandbox::bot::Exchange;
use sandbox::world::{DEPLOYS, GITOPS};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often `/healthz` is probed.
const PROBE: Duration = Duration::from_millis(300);

/// The state before a deploy.
pub struct Before {
    app: &'static str,
    branch: &'static str,
    commits: usize,
    syncs: usize,
    messages: usize,
    lives: usize,
}

/// How many messages there may be at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// One message says everything.
    One,
    /// A crash between posting and saving may leave a first message that nobody updates. That message says
    /// nothing false.
    OneMoreAtMost,
}

impl Room {
    /// A GET of the bot.
    pub async fn get(&self, path: &str) -> Exchange {
        let request = http::Request::get(path).body(Vec::new()).unwrap_or_default();
        self.bot.request(request).await
    }

    /// Probes `/healthz` now and then, as an operator does, until there is something to see.
    pub async fn probe<T>(&self, what: &str, mut look: impl FnMut(&Sandbox) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            let health = self.get("/healthz").await;
            ensure!(health.status == Some(200), "/healthz: {health:?}");
            match self.until(what, PROBE, &mut look).await {
                Err(error) if begun.elapsed() > PATIENCE * 2 => bail!("{error:#}\n{:#?}", self.messages()),
                Err(_) => {}
                Ok(seen) => return Ok(seen),
            }
        }
    }

    /// Removes the leases of the dead at once, which takes up to 15 s in production. All holders are dead: no
    /// process lives.
    pub async fn the_leases_of_the_dead_run_out(&self) -> Result<()> {
        ensure!(self.is_dead(), "a lease of the living is not ours to take");
        for lease in self.redis::<Vec<String>>(&["KEYS", "deploy-bot/lease/*"]).await? {
            self.redis::<i64>(&["DEL", &lease]).await?;
        }
        Ok(())
    }

    /// The ids in flight.
    pub async fn in_flight(&self) -> Result<Vec<String>> {
        let ids: Vec<String> = self.redis(&["ZRANGE", "deploy-bot/in-flight", "0", "-1"]).await?;
        Ok(ids.into_iter().filter(|id| id != "whole").collect())
    }

    /// A fact of a deployment, as JSON.
    pub async fn fact(&self, id: &str, name: &str) -> Result<Option<Value>> {
        self.key(&format!("deploy-bot/deployment/{id}/{name}")).await
    }

    /// Waits for a fact to be in the store.
    pub async fn saved(&self, id: &str, name: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            match self.fact(id, name).await? {
                Some(fact) if is(&fact) => return Ok(fact),
                other if begun.elapsed() > PATIENCE => bail!("{name} of {id} is {other:?}\n{}", self.log()),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// The message is posted beside the commit. Once the deployment is that far, waits until the bot knows where its message
    /// is.
    pub async fn posted(&self) -> Result<()> {
        let begun = Instant::now();
        for id in self.in_flight().await? {
            while self.fact(&id, "commit").await?.is_some() {
                let message = self.fact(&id, "message").await?.unwrap_or_default();
                let watch = self.fact(&id, "watch").await?.unwrap_or_default();
                if message["place"].is_object() || watch["voice"]["place"].is_object() {
                    break;
                }
                ensure!(begun.elapsed() < PATIENCE, "no message of {id}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    pub async fn all_told(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.in_flight().await?.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "still in flight: {:?}\n{}", self.in_flight().await?, self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Probes `/healthz` until nothing is in flight: only a probe removes a deployment that never had a
    /// target.
    pub async fn all_told_when_probed(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.in_flight().await?.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "still in flight: {:?}\n{}", self.in_flight().await?, self.log());
            let health = self.get("/healthz").await;
            ensure!(health.status == Some(200), "/healthz: {health:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Somebody pushes to a branch of an app, so that there is something to deploy. Returns the state before
    /// the deploy.
    pub fn before_a_deploy(&self, app: &'static str, branch: &'static str) -> Before {
        self.builds(app, branch, "alice");
        let syncs = self.syncs(app);
        let messages = self.messages();
        let lives = messages.iter().filter(|text| says_live(text)).count();
        Before { app, branch, commits: self.commits(), syncs, messages: messages.len(), lives }
    }

    /// How many syncs of an app Argo CD took.
    pub fn syncs(&self, app: &str) -> usize {
        self.argocd.lock().syncs().iter().filter(|sync| sync.app == app && sync.status == 200).count()
    }

    /// Checks that the deployment went live once: one commit, one sync of exactly that commit, one final
    /// state, which the message says. Returns the deployment's id.
    pub async fn went_live_once(&self, before: &Before, messages: Messages) -> Result<String> {
        let Before { app, branch, .. } = before;
        let all = self.messages();
        ensure!(self.commits() == before.commits + 1, "{} commits", self.commits() - before.commits);
        ensure!(self.syncs(app) == before.syncs + 1, "{} syncs were taken", self.syncs(app) - before.syncs);
        let tag = self.tag(app, branch);
        ensure!(self.argocd.lock().live_tag(app) == Some(&tag), "the cluster runs something else");

        let mine = &all[before.messages..];
        let live: Vec<_> = mine.iter().filter(|text| says_live(text)).collect();
        ensure!(live.len() == 1 && live[0].contains(&tag), "one message says that {tag} is live: {mine:#?}");
        match messages {
            Messages::One => ensure!(mine.len() == 1, "one message: {mine:#?}"),
            Messages::OneMoreAtMost => ensure!(mine.len() <= 2, "one message, or one more: {mine:#?}"),
        }
        for text in mine {
            for untrue in ["Nothing was changed", "not deployed", "failed", "didn't confirm"] {
                ensure!(!text.contains(untrue), "{untrue:?} is not true: {text}");
            }
        }

        let (message, sha) = {
            let commits = self.github.lock().commits(GITOPS, "main");
            (commits[0].message.clone(), commits[0].sha.clone())
        };
        let id = message.rsplit_once("Deploy-Id: ").context("the commit names no deployment")?.1.trim().to_owned();
        let revisions: Vec<Option<String>> = {
            let argocd = self.argocd.lock();
            argocd
                .syncs()
                .iter()
                .filter(|sync| sync.app == *app)
                .map(|sync| sync.revision().map(str::to_owned))
                .collect()
        };
        ensure!(revisions.last() == Some(&Some(sha.clone())), "{revisions:?} were asked for, not {sha}");
        let committed = self.fact(&id, "committed").await?.context("`committed` is not there")?;
        ensure!(committed["sha"] == sha.as_str(), "{committed}");
        let watch = self.fact(&id, "watch").await?.context("`watch` is not there")?;
        let outcome = self.fact(&id, "outcome").await?.context("`outcome` is not there")?;
        ensure!(outcome["word"].get("live").is_some() && watch["voice"]["told_end"] == true, "{outcome} {watch}");
        let end = self.fact(&id, "end").await?;
        ensure!(end.is_none(), "a second end: {end:?}");
        Ok(id)
    }

    /// Probes `/healthz` until the message says "is live", and checks that the deployment went live once.
    pub async fn goes_on(&self, before: &Before, messages: Messages) -> Result<String> {
        self.probe("word that it is live", |room| before.is_live(room)).await?;
        self.all_told().await?;
        self.went_live_once(before, messages).await
    }
}

impl Before {
    /// Whether a new message says that it is live.
    pub fn is_live(&self, room: &Sandbox) -> Option<()> {
        let slack = room.slack.lock();
        let messages = slack.messages(DEPLOYS).iter().map(|message| slack.render(message));
        (messages.filter(|text| says_live(text)).count() > self.lives).then_some(())
    }
}

fn says_live(text: &str) -> bool {
    text.contains("is live")
}
