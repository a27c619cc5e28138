//! What people type, the identifiers of everything, and times.

use crate::parts::Parts;
use crate::promise::{is_plain_to_slack, is_short};
use domain::command::{Command, DeployWords, LONGEST, LONGEST_REASON, Scope, TargetWords, Version, What, Which};
use domain::deployment::{Doubt, Ours, Proof, proof};
use domain::image::{Digest, ImageName, ImageRef, Tag, TagRule};
use domain::message;
use domain::names::{
    AppName, BlobSha, BranchName, CommandName, CommitSha, Contact, DeploymentId, EnvironmentName, FilePath,
    GitHubLogin, GitTag, InvalidName, KubeName, LabelSelector, MessageTs, RepoName, SlackChannel, SlackGroup,
    SlackTeam, SlackUser, UrlOrigin,
};
use domain::refusal::Refusal;
use domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};

/// What holds for the words of a deploy, a preview or a rollback.
fn deploy_words(words: &DeployWords) {
    let stored = serde_json::to_string(words).expect("words are stored");
    assert_eq!(serde_json::from_str::<DeployWords>(&stored).expect("and read"), *words);
    target_words(&words.target());
    if let Some(text) = &words.override_reason {
        reason(text);
    }
    if let What::Rollback(Version::Tag(tag)) = &words.what {
        assert!(Tag::parse(tag).is_ok(), "{tag:?} is no tag");
    }
}

fn target_words(words: &TargetWords) {
    assert!(!words.app.is_empty() && words.environment.as_deref() != Some(""));
}

/// It is shown and stored: one line, not long, not nothing.
fn reason(text: &str) {
    is_short(text, LONGEST_REASON);
    assert!(!text.is_empty() && text.trim() == text && !text.contains("  ") && !text.chars().any(char::is_control));
}

/// The text after `/deploy`.
pub fn command(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let outcome = Command::parse(&text);
    assert_eq!(
        Command::parse(&format!(" {text}\u{a0}")).is_ok(),
        outcome.is_ok() && text.chars().count() + 2 <= LONGEST
    );
    match outcome {
        Ok(command) => {
            assert!(text.chars().count() <= LONGEST);
            let mut said = None;
            match &command {
                Command::Deploy(words) | Command::Preview(words) => {
                    assert!(!matches!(words.what, What::Rollback(_) | What::Promote { .. }));
                    deploy_words(words);
                    said = words.override_reason.as_deref();
                }
                Command::Rollback(words) => {
                    assert!(matches!(words.what, What::Rollback(_)));
                    deploy_words(words);
                    said = words.override_reason.as_deref();
                }
                Command::Promote(words) => {
                    assert!(
                        matches!(&words.what, What::Promote { from } if from.is_none() || words.environment.is_some())
                    );
                    deploy_words(words);
                    said = words.override_reason.as_deref();
                }
                Command::Lock { scope, reason: text, period } => {
                    if let Scope::Target(words) = scope {
                        target_words(words);
                    }
                    reason(text);
                    assert!(period.is_none_or(|period| (60..=30 * 24 * 3600).contains(&period.as_secs())));
                    said = Some(text);
                }
                Command::Status(Which::Of(words))
                | Command::History { of: words, .. }
                | Command::Why(words)
                | Command::Cancel(words) => target_words(words),
                Command::Unlock(Scope::Target(words)) => target_words(words),
                Command::Unlock(Scope::Everything)
                | Command::Status(Which::All | Which::Mine)
                | Command::Notify(_)
                | Command::Apps
                | Command::Diff { .. }
                | Command::Help(_) => {}
            }
            // No quotes can be put around a reason that has every kind of them in it.
            let quotes = [['"', '“', '”', '„', '‟', '«', '»'], ['\'', '‘', '’', '‚', '‛', '‹', '›'], ['`'; 7]];
            let every_quote = said.is_some_and(|said| quotes.iter().all(|kind| said.contains(kind)));
            let again = domain::message::escape(&command.to_string());
            if again.chars().count() <= LONGEST && !every_quote {
                assert_eq!(Command::parse(&again), Ok(command), "typed again as {again:?}");
            }
        }
        Err(refusal @ Refusal::Syntax { .. }) => {
            is_plain_to_slack(&message::refusal(&refusal));
            is_short(&message::refusal(&refusal), 1200);
        }
        Err(other) => panic!("the form of a command cannot be refused as {other:?}"),
    }
    // As Slack would send exactly this text: what is understood is in the text. (A `Σ` at the end of a word
    // has a lower case of its own.)
    let understood = Command::parse(&domain::message::escape(&text));
    if let Ok(Command::Deploy(words) | Command::Preview(words)) = &understood
        && !text.contains('Σ')
    {
        assert!(text.to_lowercase().contains(&words.app), "{text:?} was read as {words}");
        if let What::Branch(branch) | What::Named(branch) = &words.what {
            assert!(text.contains(branch.as_str()), "{text:?} was read as {words}");
        }
    }
    if let Ok(Command::Lock { reason, .. }) = &understood {
        assert!(reason.split(' ').all(|word| text.contains(word)), "{text:?} was read as {reason:?}");
    }
}

/// A name that was accepted is stored, read and printed unchanged.
fn name<T>(parse: fn(&str) -> Result<T, InvalidName>, text: &str, longest: usize) -> Option<T>
where
    T: Serialize + DeserializeOwned + Display + Debug + PartialEq,
{
    let json = serde_json::to_string(text).expect("text is JSON");
    match parse(text) {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            assert!(text.len() <= longest, "{} bytes", text.len());
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert_eq!(serde_json::to_string(&name).expect("names are stored"), json);
            assert_eq!(serde_json::from_str::<T>(&json).expect("and read"), name);
            Some(name)
        }
        Err(InvalidName(what)) => {
            // Shorter texts may happen to be part of the sentence.
            assert!(text.len() < 60 || !what.contains(text), "the error repeats the text");
            assert!(serde_json::from_str::<T>(&json).is_err(), "what the door refuses, the store must refuse");
            None
        }
    }
}

/// One identifier.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    name(AppName::parse, &text, 63);
    name(EnvironmentName::parse, &text, 63);
    name(CommitSha::parse, &text, 40);
    name(BlobSha::parse, &text, 40);
    name(DeploymentId::parse, &text, 32);
    name(SlackUser::parse, &text, 32);
    name(SlackGroup::parse, &text, 32);
    name(SlackChannel::parse, &text, 32);
    name(SlackTeam::parse, &text, 32);
    name(MessageTs::parse, &text, 32);
    name(CommandName::parse, &text, 32);
    name(Contact::parse, &text, 320);
    name(GitHubLogin::parse, &text, 105);
    name(KubeName::parse, &text, 253);
    name(LabelSelector::parse, &text, 500);
    if let Some(repo) = name(RepoName::parse, &text, 201) {
        assert_eq!(format!("{}/{}", repo.owner(), repo.name()), text);
        assert!(repo.is(&text.to_ascii_uppercase()));
    }
    if let Some(branch) = name(BranchName::parse, &text, 244) {
        assert!(!branch.as_str().contains(' ') && !branch.as_str().contains("..") && !text.starts_with('-'));
        // What the rule says of a branch is what a person can type.
        let escaped = domain::message::escape(&format!("app branch:refs/heads/{branch}"));
        // The mark that keeps people's words from being taken for ours.
        let typed = Command::parse(&escaped.replace('\u{e000}', ""));
        if let Ok(Command::Deploy(DeployWords { what: What::Branch(understood), .. })) = typed {
            assert!(branch.as_str().starts_with(understood.as_str()));
        }
    }
    if let Some(path) = name(FilePath::parse, &text, 1024) {
        assert!(path.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)), "{path}");
    }
    if let Some(origin) = name(UrlOrigin::parse, &text, usize::MAX) {
        is_origin(&origin);
    }
    if let Ok(digest) = Digest::parse(&text) {
        assert_eq!(digest.as_str(), &*text);
    }
    let id = message::deploy_id(&text);
    assert_eq!(message::deploy_ids(&text).first(), id.as_ref());
    assert_eq!(id, message::deploy_id(&format!("{text}\n \n")));
    if let Some(id) = id {
        assert!(text.trim_end().ends_with(id.as_str()), "the last line names it");
    }
}

/// One origin that is no address to those who call it would deny every call of the component.
pub(crate) fn is_origin(origin: &UrlOrigin) {
    let text = origin.as_str();
    let address: http::Uri = text.parse().unwrap_or_else(|_| panic!("{text:?} is no address to HTTP"));
    assert_eq!(address.host(), Some(origin.host()), "{text:?}");
    assert!(!origin.host().is_empty());
    let authority = address.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    assert_eq!(text.split_once("://").map(|(_, rest)| rest), Some(authority), "{text:?}");
    // Spin reads the host with the crate `url`. Whether an `xn--` name is one, only tables of Unicode can say.
    if !text.contains("xn--") && !text.contains("XN--") {
        assert!(url::Host::parse(origin.host()).is_ok(), "{text:?} is no host to Spin");
    }
}

/// The rule for tags, a branch and a commit, a line each; then the name of an image.
pub fn image(data: &[u8]) {
    let mut parts = Parts(data);
    let (template, branch, sha) = (parts.text(), parts.text(), parts.text());
    let text = parts.rest_text();
    if let Ok(rule) = TagRule::parse_for_tags(&template)
        && let (Ok(tag), Ok(sha)) = (GitTag::parse(&branch), CommitSha::parse(&sha))
    {
        match rule.make_of_tag(&tag, &sha) {
            Ok(tags) => assert!(tags.iter().all(|tag| name(Tag::parse, tag.as_str(), 128).as_ref() == Some(tag))),
            Err(made) => assert!(Tag::parse(&made).is_err() && made.len() <= 10_000, "a tag of {} bytes", made.len()),
        }
    }
    if let Ok(rule) = TagRule::parse(&template)
        && let (Ok(branch), Ok(sha)) = (BranchName::parse(&branch), CommitSha::parse(&sha))
    {
        match rule.make(&branch, &sha) {
            Ok(tags) => {
                for tag in tags.iter() {
                    assert!(tag.as_str().contains(&sha.as_str()[..7]), "{tag} does not name the commit");
                    assert_eq!(name(Tag::parse, tag.as_str(), 128).as_ref(), Some(tag));
                }
                assert!(tags.rest().len() < 5);
                assert!(tags.rest().is_sorted_by_key(|tag| std::cmp::Reverse(tag.as_str().len())));
            }
            Err(made) => {
                assert!(Tag::parse(&made).is_err());
                // It is stored and shown.
                assert!(made.len() <= 10_000, "a tag of {} bytes", made.len());
            }
        }
    }
    name(Tag::parse, &text, 128);
    if let Some(image) = name(ImageName::parse, &text, 255) {
        let url = format!("https://{}/v2/{}/manifests/x", image.api_host(), image.repository());
        let address: http::Uri = url.parse().unwrap_or_else(|_| panic!("{url} is no address"));
        assert_eq!(address.authority().map(http::uri::Authority::as_str), Some(image.api_host()), "{url}");
        assert!(image.is(&image) && !image.repository().contains(':'));
        let canonical = format!("{}/{}", image.host(), image.repository());
        let is_the_same = ImageName::parse(&canonical).is_ok_and(|canonical| canonical.is(&image));
        assert!(canonical.len() > 255 || is_the_same, "{text} is not {canonical}");
        if let Ok(tag) = Tag::parse("main-abc1234") {
            let wanted = ImageRef { name: image, tag };
            let ours =
                Ours { wanted: wanted.clone(), digest: None, pinned: false, mirrors: Vec::new(), beside: Vec::new() };
            let of = |image: String| proof(&[], &[image], &ours);
            assert_eq!(of(wanted.to_string()), Ok(Proof::Runs), "{wanted} is not itself");
            assert_eq!(of(format!("{wanted}0")), Err(Doubt::OtherTag), "{wanted}0 is another tag");
        }
    }
}

/// A time as Argo CD and GitHub write it.
pub fn timestamp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(time) = Timestamp::from_rfc3339(&text) {
        let whole = Timestamp::from_seconds(time.seconds());
        assert_eq!(Timestamp::from_rfc3339(&time.to_rfc3339()), Some(whole), "{text} is {}", time.to_rfc3339());
        assert!(time.0 - whole.0 < 1000);
        assert!(!text.chars().any(char::is_whitespace), "{text:?}");
    }
    // And any number is a time that can be written.
    let number = data.iter().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let written = Timestamp(number).to_rfc3339();
    if number < 253_402_300_800_000 {
        assert_eq!(Timestamp::from_rfc3339(&written), Some(Timestamp::from_seconds(number / 1000)), "{written}");
    }
}
