//! Is the image there? The bot asks different registries, and each wants to be asked in its own way.
//!
//! Most of these tests stop right after the registry's answer, because the values file has no place for a
//! tag. A refusal that names the values file means that the image was found, and is quicker than a deploy.

use crate::conversation::catalog;
use anyhow::Result;
use e2e::{PATIENCE, Room, limits, room, room_with};
use fakes::Fault;
use fakes::registry::{Denial, Kind, Login, TokenMember};
use sandbox::{Options, world};

const REPOSITORY: &str = "acme/checkout";

/// A room where nobody may deploy checkout for want of a tag in its values file, and where one tag is asked for.
fn stop_behind_the_question(room: &Room) {
    catalog(room, "", "    tag: '{branch}-{sha:7}'\n");
    room.slack.lock().limits = None;
    room.github.lock().repo(world::GITOPS).file("checkout/values.yaml", "replicaCount: 1\n");
}

/// The last state of the message about checkout's pull request, and the calls to the registry.
async fn ask(room: &Room) -> Result<(String, Vec<String>)> {
    let (commits, said) = (room.commits(), room.whispers().len());
    let since = room.journal.mark("ask");
    room.alice("checkout 42").await;
    let last_word = |room: &sandbox::Sandbox| {
        let slack = room.slack.lock();
        let news = slack.all_ephemerals().iter().skip(said);
        let news = news.map(|message| e2e::without_id(&slack.render_edit(message.now())));
        news.into_iter().find(|message| !message.contains("hourglass"))
    };
    let message = room.until("last word", PATIENCE, last_word).await?;
    assert_eq!(room.commits(), commits, "{message}");
    assert!(message.contains("not deployed: ") || message.contains("Nothing was changed."), "{message}");
    let calls = room.calls(since).into_iter().filter(|call| call.starts_with("registry.")).collect();
    Ok((message, calls))
}

/// The image is found, after exactly these calls.
async fn found(room: &Room, calls: &[&str]) -> Result<()> {
    let (message, asked) = ask(room).await?;
    assert!(message.contains("I can't safely edit `checkout/values.yaml`"), "{message}");
    assert_eq!(asked, calls);
    Ok(())
}

/// The bot starts again with these credentials.
async fn with_credentials(room: &mut Room, credentials: &str) -> Result<()> {
    // Nobody probes `/healthz` here, so nobody would resume what a restart interrupts.
    room.nothing_left().await?;
    room.variables.insert("registry_credentials".to_owned(), credentials.to_owned());
    room.restart_bot().await
}

/// The registry has to ask for a login first.
const ASKED: [&str; 3] = ["registry.head", "registry.token", "registry.head"];
/// It asked for one before, and gets it ahead of the question.
const AHEAD: [&str; 2] = ["registry.token", "registry.head"];

#[test]
fn the_bot_logs_in_as_the_registry_wants_it() {
    room(async |room| -> Result<()> {
        stop_behind_the_question(room);
        // Private: a token for the credentials, spelled as this registry spells it.
        found(room, &ASKED).await?;
        for member in [TokenMember::Both, TokenMember::Token, TokenMember::AccessToken] {
            room.registry.lock().token_member = member;
            found(room, &AHEAD).await?;
        }
        // Basic credentials, which the first answer asks for, and no login at all.
        room.registry.lock().login = Login::Basic;
        found(room, &["registry.token", "registry.head", "registry.head"]).await?;
        found(room, &["registry.head"]).await?;
        room.registry.lock().login = Login::Nothing;
        found(room, &["registry.head"]).await?;

        // Public: a token for everybody, without credentials.
        with_credentials(room, "{}").await?;
        room.registry.lock().login = Login::Token;
        room.registry.lock().private(REPOSITORY, false);
        found(room, &ASKED).await?;
        found(room, &AHEAD).await
    });
}

#[test]
fn every_kind_of_manifest_is_an_image() {
    room(async |room| -> Result<()> {
        stop_behind_the_question(room);
        let tag = room.tag("checkout", "feature/totals");
        for kind in [Kind::OciIndex, Kind::OciManifest, Kind::DockerList, Kind::DockerManifest] {
            room.registry.lock().push_as(REPOSITORY, &tag, kind);
            found(room, if matches!(kind, Kind::OciIndex) { &ASKED[..] } else { &AHEAD }).await?;
        }
        Ok(())
    });
}

#[test]
fn a_registry_that_lets_nobody_in_is_named() {
    room(async |room| -> Result<()> {
        stop_behind_the_question(room);
        let host = room.registry.origin().trim_start_matches("http://").to_owned();
        let wrong =
            format!(r#"{{"{host}": {{"username": "{}", "password": "not-the-password"}}}}"#, world::REGISTRY_USER);
        with_credentials(room, &wrong).await?;
        let (message, calls) = ask(room).await?;
        assert_eq!(calls, ["registry.head", "registry.token"]);
        insta::assert_snapshot!(message, @"
        :x: *checkout #42*  I couldn't log in to the registry: my credentials for it are missing or not accepted. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        ");
        room.registry.lock().login = Login::Basic;
        let (message, calls) = ask(room).await?;
        assert_eq!(calls, ["registry.head", "registry.head"]);
        insta::assert_snapshot!(message, @"
        :x: *checkout #42*  I couldn't look for the image in the registry: my credentials for it are missing or not accepted. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        ");
        assert!(!room.log().contains("not-the-password"), "no password in the log");

        // A private image and no credentials: each registry refuses in its own way.
        with_credentials(room, "{}").await?;
        let (message, calls) = ask(room).await?;
        assert_eq!(calls, ["registry.head"]);
        insta::assert_snapshot!(message, @"
        :x: *checkout #42*  I couldn't log in to the registry: my credentials for it are missing or not accepted. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        ");
        room.registry.lock().login = Login::Token;
        let mut said = Vec::new();
        for denial in [Denial::EmptyToken, Denial::Forbidden, Denial::AtTokenEndpoint] {
            room.registry.lock().denial = denial;
            said.push(format!("{denial:?}: {}", ask(room).await?.0));
        }
        insta::assert_snapshot!(said.join("\n"), @"
        EmptyToken: :x: *checkout #42*  I couldn't look for the image in the registry: my credentials for it are missing or not accepted. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        Forbidden: :x: *checkout #42*  I couldn't look for the image in the registry: the registry doesn't allow it. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        AtTokenEndpoint: :x: *checkout #42*  I couldn't log in to the registry: the registry doesn't allow it. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        ");
        Ok(())
    });
}

#[test]
fn credentials_go_to_no_place_that_the_registry_makes_up() {
    room(async |room| -> Result<()> {
        stop_behind_the_question(room);
        // GitHub's address is one that the bot may reach: that alone is no reason to tell it the registry's password.
        let github = room.github.origin();
        let bot = room.registry.origin().replace("://", "://deploy-bot@");
        let mut said = Vec::new();
        for realm in ["https://evil.example/token", &format!("{github}/token"), &format!("{bot}/token"), "nonsense", ""]
        {
            room.registry.lock().realm = Some(realm.to_owned());
            let since = room.journal.mark(realm);
            let (message, mut calls) = ask(room).await?;
            // What nobody understands may pass: the registry is asked again. What the settings forbid does not.
            let is_understood = message.contains("registry_token_url");
            assert_eq!(calls.len() == 1, is_understood, "{realm}: {calls:?}");
            calls.dedup();
            assert_eq!(calls, ["registry.head"], "{realm}");
            let elsewhere: Vec<String> =
                room.calls(since).into_iter().filter(|call| call.ends_with(".unexpected")).collect();
            assert_eq!(elsewhere, Vec::<String>::new(), "{realm}");
            said.push(message);
        }
        insta::assert_snapshot!(said.join("\n"), @"
        :x: *checkout #42*  I couldn't log in to the registry at the other host that it names: the setting `registry_token_url` is missing or malformed. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        :x: *checkout #42*  I couldn't log in to the registry at the other host that it names: the setting `registry_token_url` is missing or malformed. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        :x: *checkout #42*  I couldn't log in to the registry at the other host that it names: the setting `registry_token_url` is missing or malformed. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        :x: *checkout #42*  I couldn't log in to the registry at the other host that it names: the setting `registry_token_url` is missing or malformed. Nothing was changed. Ask whoever runs me to fix that, then try again.
        asked by @alice
        [Retry]
        :x: *checkout #42*  I couldn't log in to the registry: the registry gave an answer that I don't understand (where to log in). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
        asked by @alice
        [Retry]
        ");
        Ok(())
    });
}

#[test]
fn a_registry_that_limits_or_fails_for_a_moment_is_asked_again() {
    room(async |room| -> Result<()> {
        stop_behind_the_question(room);
        found(room, &ASKED).await?;
        let limited = fakes::Response::text(429, "").with("retry-after", "6");
        room.registry.fault("registry.head", Fault::Instead(limited), 1);
        found(room, &["registry.token", "registry.head", "registry.head"]).await?;
        let why = "the registry limits how often I may ask (again in 6 s).";
        let waits = format!("I'm waiting 6 s before I try again to look for the image in the registry: {why}");
        assert!(room.whispers().iter().any(|text| text.contains(&waits)), "{:#?}", room.whispers());

        // A login that fails ahead of the question is no login: the registry asks for one.
        room.registry.fault("registry.token", Fault::Instead(fakes::Response::text(200, "<html>")), 1);
        found(room, &["registry.token", "registry.head", "registry.token", "registry.head"]).await?;
        room.registry.fault("registry.token", Fault::Instead(fakes::Response::text(200, "<html>")), 2);
        let calls = ["token", "head", "token", "head", "token", "head"].map(|call| format!("registry.{call}"));
        found(room, &calls.each_ref().map(String::as_str)).await
    });
}

#[test]
fn a_registry_that_limits_or_fails_for_long_is_named_and_nothing_changed() {
    let lasting = |answer| Fault::Instead(answer);
    let mut limits = limits();
    limits["no_mutation"] = 6_000.into();
    room_with(Options { limits: Some(limits), ..Options::default() }, async |room| -> Result<()> {
        stop_behind_the_question(room);
        let limited = fakes::Response::text(429, "").with("retry-after", "60");
        room.registry.fault("registry.head", lasting(limited), u32::MAX);
        let (message, calls) = ask(room).await?;
        // Longer than a deploy may wait: once more at the last moment.
        assert_eq!(calls, ["registry.head", "registry.head"]);
        insta::assert_snapshot!(message, @"
        :x: *checkout #42*  I couldn't look for the image in the registry: the registry limits how often I may ask (again in 60 s). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
        asked by @alice
        [Retry]
        ");
        assert!(room.whispers().iter().any(|text| text.contains("before I try again to look for the image")));
        room.registry.mend();

        room.registry.fault("registry.head", lasting(fakes::Response::text(502, "bad gateway")), u32::MAX);
        insta::assert_snapshot!(ask(room).await?.0, @"
        :x: *checkout #42*  I couldn't look for the image in the registry: the registry answered with status 502. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
        asked by @alice
        [Retry]
        ");
        room.registry.mend();
        room.registry.fault("registry.token", lasting(fakes::Response::text(200, "<html>")), u32::MAX);
        insta::assert_snapshot!(ask(room).await?.0, @"
        :x: *checkout #42*  I couldn't log in to the registry: the registry gave an answer that I don't understand (the token). Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
        asked by @alice
        [Retry]
        ");
        room.registry.mend();
        room.registry.down().await;
        insta::assert_snapshot!(ask(room).await?.0, @"
        :x: *checkout #42*  I couldn't look for the image in the registry: I can't reach the registry. Nothing was changed. Try again in a minute. If it keeps failing, tell whoever runs me.
        asked by @alice
        [Retry]
        ");
        room.registry.up().await?;

        // When it is over, the same command deploys.
        let values = "image:\n  tag: \"begin\"\n";
        room.github.lock().repo(world::GITOPS).file("checkout/values.yaml", values);
        room.alice("checkout 42").await;
        room.says("is live").await?;
        let written = String::from_utf8_lossy(&room.file("checkout/values.yaml")).into_owned();
        assert_eq!(written, values.replace("begin", &room.tag("checkout", "feature/totals")));
        Ok(())
    });
}
