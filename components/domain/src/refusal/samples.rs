//! Every refusal as an example, for tests.
#![expect(clippy::unwrap_used, clippy::too_many_lines, reason = "test code, and a table")]

use super::*;
use crate::deployment::samples::{at, id, path, sha, target_plan, user};
use crate::names::EnvironmentName;

const PULL: PullRequestNumber = PullRequestNumber(42);

fn branch(text: &str) -> BranchName {
    BranchName::parse(text).unwrap()
}

fn repo(text: &str) -> RepoName {
    RepoName::parse(text).unwrap()
}

fn target() -> Target {
    Target { app: AppName::parse("checkout").unwrap(), environment: EnvironmentName::parse("production").unwrap() }
}

fn other_target() -> Target {
    Target { app: AppName::parse("search").unwrap(), ..target() }
}

fn digest(digit: char) -> Digest {
    Digest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
}

fn moved(todo: MovedTag) -> Refusal {
    let (was, is) = (digest('a'), digest('b'));
    let images = Box::new(Moved { was, is });
    Refusal::ImageMoved { target: Box::new(target()), tag: target_plan().tag, head: Some(sha('a')), images, todo }
}

/// It was approved, but something has changed.
fn again(changed: SinceApproved) -> Refusal {
    Refusal::NeedsApproval {
        target: Box::new(target()),
        head: Some(sha('a')),
        tag: target_plan().tag,
        count: 1,
        users: vec![user("U2")].into(),
        groups: Box::default(),
        reviewed: Box::default(),
        until: at(3600),
        about: Box::new(About { changed: Some(changed), rides: None }),
    }
}

fn pass() -> People {
    People { users: vec![user("U5")], groups: vec![SlackGroup::parse("S1").unwrap()] }
}

fn status(unpassed: &[(&str, Option<RunState>)], more: bool) -> Refusal {
    let unpassed = unpassed.iter().map(|(name, state)| Unpassed { name: (*name).to_owned(), state: *state });
    let url = "https://github.com/acme/gitops/commit/bbbbbbb".to_owned();
    Refusal::StatusNotPassed { target: Box::new(target()), head: sha('b'), url, unpassed: unpassed.collect(), more }
}

fn channel(why: NoChannel) -> Refusal {
    Refusal::ChannelNotHere { target: Box::new(target()), channel: Tag::parse("latest").unwrap(), why }
}

pub fn every_refusal() -> Vec<Refusal> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let catalog = || path("deploy-bot.yaml");
    vec![
        Refusal::Syntax {
            problem: "the pull request or branch is missing after `checkout`".to_owned(),
            verb: None,
            right: None,
        },
        Refusal::Syntax {
            problem: "`stauts` is not a command".to_owned(),
            verb: Some(Verb::Status),
            right: Some(Right::DidYouMean("status checkout".to_owned())),
        },
        Refusal::Syntax {
            problem: "the reason is missing after `checkout`".to_owned(),
            verb: Some(Verb::Lock),
            right: Some(Right::Like("lock checkout load test".to_owned())),
        },
        Refusal::UnknownApp {
            unread: Vec::new(),
            typed: "chekout".to_owned(),
            did_you_mean: Some("checkout".to_owned()),
            known: names(&["checkout", "search"]),
        },
        Refusal::UnknownApp {
            unread: Vec::new(),
            typed: "x".to_owned(),
            did_you_mean: None,
            known: names(&["checkout", "search"]),
        },
        Refusal::UnknownApp { unread: Vec::new(), typed: "x".to_owned(), did_you_mean: None, known: Vec::new() },
        Refusal::UnknownApp {
            typed: "x".to_owned(),
            did_you_mean: None,
            known: Vec::new(),
            unread: vec![path("teams/payments.yaml")],
        },
        Refusal::UnknownApp {
            unread: Vec::new(),
            typed: "x".to_owned(),
            did_you_mean: None,
            known: ('a'..='j').map(String::from).collect(),
        },
        Refusal::UnknownEnvironment {
            app: "checkout".to_owned(),
            typed: Some("prod".to_owned()),
            did_you_mean: Some("production".to_owned()),
            known: names(&["production", "staging"]),
        },
        Refusal::UnknownEnvironment {
            app: "checkout".to_owned(),
            typed: Some("moon".to_owned()),
            did_you_mean: None,
            known: names(&["production", "staging"]),
        },
        Refusal::UnknownEnvironment {
            app: "checkout".to_owned(),
            typed: None,
            did_you_mean: None,
            known: names(&["production", "staging"]),
        },
        Refusal::NotAllowed { target: target(), why: NotAllowed::Nobody },
        Refusal::NotAllowed { target: target(), why: NotAllowed::WrongChannel },
        Refusal::NotAllowed { target: target(), why: NotAllowed::NotListed },
        Refusal::NotAllowed { target: target(), why: NotAllowed::Guest },
        Refusal::NotReader,
        Refusal::OtherWorkspace,
        Refusal::BrokenCatalog {
            path: catalog(),
            error: CatalogError { line: Some(7), problem: "`repo` is missing".to_owned() },
        },
        Refusal::BrokenCatalog {
            path: catalog(),
            error: CatalogError { line: None, problem: "it has no apps.".to_owned() },
        },
        Refusal::BrokenApp {
            app: "checkout".to_owned(),
            path: catalog(),
            error: CatalogError { line: Some(7), problem: "`checkout` has no `repo`".to_owned() },
        },
        Refusal::BrokenApp {
            app: "checkout".to_owned(),
            path: catalog(),
            error: CatalogError { line: Some(7), problem: String::new() },
        },
        Refusal::NoCatalog { path: catalog(), repo: repo("acme/gitops"), branch: branch("main") },
        Refusal::OtherRepository {
            number: PULL,
            repo: repo("acme/payments"),
            app: AppName::parse("checkout").unwrap(),
            own: repo("acme/checkout"),
        },
        Refusal::NoSuchPullRequest { number: PULL, repo: repo("acme/checkout") },
        Refusal::PullRequestNotOpen { number: PULL, merged: true, base: Some(branch("main")) },
        Refusal::PullRequestNotOpen { number: PULL, merged: false, base: Some(branch("main")) },
        Refusal::PullRequestNotOpen { number: PULL, merged: true, base: None },
        Refusal::FromFork { number: PULL },
        Refusal::NoSuchBranch { branch: branch("faster-cart"), repo: repo("acme/checkout") },
        Refusal::NothingNamed {
            word: "v9".to_owned(),
            kinds: vec![Kind::Branch, Kind::Tag],
            repo: repo("acme/checkout"),
        },
        Refusal::NothingNamed { word: "9f3c2ab".to_owned(), kinds: vec![Kind::Commit], repo: repo("acme/checkout") },
        Refusal::SeveralNamed { word: "v1.2.3".to_owned(), kinds: vec![Kind::Branch, Kind::Tag] },
        Refusal::NotInBranch { head: sha('a'), branch: branch("main"), typed: false },
        Refusal::NotInBranch { head: sha('a'), branch: branch("release/1"), typed: true },
        Refusal::TagNotListed { app: target().app, tag: GitTag::parse("v1.2.3").unwrap(), listed: Vec::new() },
        Refusal::TagNotListed { app: target().app, tag: GitTag::parse("x1").unwrap(), listed: names(&["v*"]) },
        Refusal::ChannelNotListed { app: target().app, channel: Tag::parse("latest").unwrap(), listed: Vec::new() },
        Refusal::ChannelNotListed {
            app: target().app,
            channel: Tag::parse("edge").unwrap(),
            listed: vec![Tag::parse("latest").unwrap()],
        },
        channel(NoChannel::Gates),
        channel(NoChannel::NoDigestAt),
        channel(NoChannel::RolledBack),
        Refusal::TagMoved {
            tag: GitTag::parse("v1.2.3").unwrap(),
            commits: Box::new(Moved { was: sha('a'), is: sha('b') }),
        },
        Refusal::NoSuchRepository { repo: repo("acme/checkout") },
        Refusal::NoGitOpsBranch { repo: repo("acme/gitops"), branch: branch("main") },
        Refusal::NoValidTag { made: "-x-aaaaaaa".to_owned() },
        Refusal::RegistryNotNamed {
            image: ImageName::parse("acme.azurecr.io/checkout").unwrap(),
            variable: Some("registry2_url".to_owned()),
        },
        Refusal::RegistryNotNamed { image: ImageName::parse("acme.azurecr.io/checkout").unwrap(), variable: None },
        Refusal::NoImage {
            image: ImageName::parse("ghcr.io/acme/checkout").unwrap(),
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            longer: false,
            head: Some(Box::new(sha('a'))),
            url: Some("https://github.com/acme/checkout/commit/aaaaaaa/checks".into()),
        },
        Refusal::NoImage {
            image: ImageName::parse("ghcr.io/acme/checkout").unwrap(),
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            longer: true,
            head: Some(Box::new(sha('a'))),
            url: None,
        },
        Refusal::ImagesDiffer {
            image: ImageName::parse("ghcr.io/acme/checkout").unwrap(),
            found: vec![
                (Tag::parse("faster-cart-aaaaaaaaaaaa").unwrap(), Some(digest('1'))),
                (Tag::parse("faster-cart-aaaaaaa").unwrap(), Some(digest('2'))),
                (Tag::parse("faster-cart-aaaaaaaa").unwrap(), None),
            ],
        },
        Refusal::NoDigest { target: Box::new(target()), image: target_plan().image_ref() },
        moved(MovedTag::AskedAgain),
        moved(MovedTag::ByOwner { overridable: true }),
        moved(MovedTag::ByOwner { overridable: false }),
        moved(MovedTag::Never),
        moved(MovedTag::Promoted),
        Refusal::NoValuesFile { path: path("checkout/values.yaml"), repo: repo("acme/gitops") },
        Refusal::Edit { path: path("checkout/values.yaml"), why: EditRefusal::Truncated },
        Refusal::AlreadyWritten {
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            by: Some(GitHubLogin::parse("eve").unwrap()),
            commit: sha('e'),
            head: Some(sha('a')),
        },
        Refusal::AlreadyWritten {
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            by: None,
            commit: sha('e'),
            head: None,
        },
        Refusal::Busy {
            target: target(),
            by: Some(user("U1")),
            id: Some(id('2')),
            link: Some("https://acme.slack.com/archives/C1/p1".to_owned()),
        },
        Refusal::ButtonTaken { by: Some(user("U2")), link: Some("https://acme.slack.com/archives/C1/p1".to_owned()) },
        Refusal::ButtonTaken { by: None, link: None },
        Refusal::Busy { target: target(), by: None, id: None, link: None },
        Refusal::TooManyWaits { target: "checkout@production".to_owned(), count: 5 },
        Refusal::BeforeNotLive {
            target: Box::new(target()),
            by: Some(user("U7")),
            link: Some("https://acme.slack.com/archives/C1/p1".to_owned()),
        },
        Refusal::ApplicationBusy {
            other: Box::new(target()),
            by: Some(user("U1")),
            link: Some("https://acme.slack.com/archives/C1/p1".to_owned()),
            minutes: 3,
        },
        Refusal::ApplicationBusy { other: Box::new(target()), by: None, link: None, minutes: 3 },
        Refusal::Locked {
            target: Box::new(target()),
            by: user("U1"),
            itself: false,
            reason: "Load test until noon.".to_owned(),
            since: at(0),
            until: Some(at(3600)),
            everything: false,
            back_to: None,
        },
        Refusal::Locked {
            target: Box::new(target()),
            by: user("U1"),
            itself: false,
            reason: String::new(),
            since: at(0),
            until: None,
            everything: true,
            back_to: None,
        },
        Refusal::Locked {
            target: Box::new(target()),
            by: user("U1"),
            itself: false,
            reason: "Load test until noon.".to_owned(),
            since: at(0),
            until: None,
            everything: false,
            back_to: Some(Box::new((Tag::parse("main-1234567").unwrap(), sha('a')))),
        },
        Refusal::BranchNotAllowed {
            target: target(),
            branch: Some(branch("faster-cart")),
            allowed: names(&["main", "release/*"]),
        },
        Refusal::BranchNotAllowed { target: target(), branch: None, allowed: names(&["main", "release/*"]) },
        Refusal::ChecksNotPassed { target: target(), head: sha('a'), state: None, url: None },
        Refusal::ChecksNotPassed { target: target(), head: sha('a'), state: Some(ChecksState::Running), url: None },
        Refusal::ChecksNotPassed {
            target: target(),
            head: sha('a'),
            state: Some(ChecksState::Failed),
            url: Some("https://github.com/acme/checkout/commit/aaaaaaa/checks".into()),
        },
        Refusal::NotLiveFirst {
            target: Box::new(target()),
            on: EnvironmentName::parse("staging").unwrap(),
            tag: target_plan().tag,
            live: None,
            until: Some(at(1800)),
            overridable: true,
        },
        Refusal::NotLiveFirst {
            target: Box::new(target()),
            on: EnvironmentName::parse("staging").unwrap(),
            tag: target_plan().tag,
            live: Some(Tag::parse("main-89abcde").unwrap()),
            until: None,
            overridable: false,
        },
        Refusal::NotLiveFirst {
            target: Box::new(target()),
            on: EnvironmentName::parse("staging").unwrap(),
            tag: target_plan().tag,
            live: None,
            until: None,
            overridable: false,
        },
        Refusal::NotReviewed {
            target: Box::new(target()),
            number: PULL,
            url: Some("https://github.com/acme/checkout/pull/42".to_owned()),
            head: sha('a'),
            count: 1,
            given: 0,
            outdated: Vec::new(),
            against: Vec::new(),
        },
        Refusal::NotReviewed {
            target: Box::new(target()),
            number: PULL,
            url: None,
            head: sha('a'),
            count: 2,
            given: 1,
            outdated: vec![GitHubLogin::parse("dave").unwrap(), GitHubLogin::parse("erin").unwrap()],
            against: vec![GitHubLogin::parse("frank").unwrap()],
        },
        Refusal::NeedsPullRequest { target: Box::new(target()), branch: Some(branch("main")) },
        Refusal::NeedsPullRequest { target: Box::new(target()), branch: None },
        Refusal::ForeignChanges {
            target: target(),
            count: 2,
            more: false,
            by: names(&["bob", "carol"]),
            overridable: true,
        },
        Refusal::ForeignChanges { target: target(), count: 1, more: true, by: names(&["bob"]), overridable: false },
        Refusal::ForeignFiles { target: target(), paths: names(&["charts"]), overridable: true },
        Refusal::ForeignFiles { target: target(), paths: names(&["base", "charts"]), overridable: false },
        Refusal::UncountedChanges { target: target(), why: Uncounted::TooMany, overridable: true },
        Refusal::UncountedChanges { target: target(), why: Uncounted::NothingKnown, overridable: true },
        Refusal::UncountedChanges { target: target(), why: Uncounted::NothingKnown, overridable: false },
        Refusal::NeedsApproval {
            target: Box::new(target()),
            head: Some(sha('a')),
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            count: 2,
            users: vec![user("U2")].into(),
            groups: vec![SlackGroup::parse("S1").unwrap()].into(),
            reviewed: vec![user("U9")].into(),
            until: at(3600),
            about: Box::default(),
        },
        again(SinceApproved::Image { was: Some(digest('a')), is: Some(digest('b')) }),
        again(SinceApproved::Image { was: None, is: Some(digest('b')) }),
        again(SinceApproved::Riders { count: 1 }),
        again(SinceApproved::Riders { count: 2 }),
        again(SinceApproved::Uncounted),
        again(SinceApproved::Elsewhere { paths: vec!["charts".to_owned(), "environments".to_owned()] }),
        again(SinceApproved::Replaced { was: Some("main-1234567".to_owned()), is: Some("main-89abcde".to_owned()) }),
        again(SinceApproved::Replaced { was: Some("main-1234567".to_owned()), is: None }),
        Refusal::Frozen { target: Box::new(target()), until: at(3600), why: None, overridable: true, pass: pass() },
        Refusal::Frozen {
            target: Box::new(target()),
            until: at(3600),
            why: None,
            overridable: true,
            pass: People::default(),
        },
        Refusal::Frozen {
            target: Box::new(target()),
            until: at(3600),
            why: Some("*Holidays* <!here>.".to_owned()),
            overridable: false,
            pass: People::default(),
        },
        Refusal::NamedChecks {
            target: Box::new(target()),
            head: sha('a'),
            url: Some("https://github.com/acme/checkout/commit/aaaaaaa/checks".to_owned()),
            unpassed: [
                ("build", Some(RunState::Failed)),
                ("test (`linux`, *arm*)", Some(RunState::Running)),
                ("lint", Some(RunState::Skipped)),
                ("scan", None),
            ]
            .map(|(name, state)| Unpassed { name: name.to_owned(), state })
            .to_vec(),
            more: false,
        },
        Refusal::NamedChecks {
            target: Box::new(target()),
            head: sha('a'),
            url: None,
            unpassed: Vec::new(),
            more: true,
        },
        status(&[("promoter/healthy", Some(RunState::Failed)), ("*lint* <!here>", None)], false),
        status(&[("promoter/healthy", Some(RunState::Running))], false),
        status(&[("promoter/healthy", None)], false),
        status(&[], true),
        Refusal::GateRefused { target: Box::new(target()), path: "/gate".to_owned(), reason: String::new() },
        Refusal::GateRefused {
            target: Box::new(target()),
            path: "/gate".to_owned(),
            reason: "No *budget* <!channel> <https://evil.example|left>.".to_owned(),
        },
        Refusal::GateSilent { target: Box::new(target()), path: "/gate".to_owned(), cause: Cause::TimedOut },
        Refusal::GateSilent {
            target: Box::new(target()),
            path: "/gate".to_owned(),
            cause: Cause::Nonsense { part: "status 302".to_owned() },
        },
        Refusal::GateNotSet { target: Box::new(target()), path: "/gate".to_owned() },
        Refusal::NoNewestThere { target: Box::new(target()) },
        Refusal::Closed {
            target: Box::new(target()),
            opens: Some(Opening { at: at(3600), shown: "Thu 02:00 Europe/Berlin".to_owned() }),
            overridable: true,
            pass: People::default(),
        },
        Refusal::Closed { target: Box::new(target()), opens: None, overridable: false, pass: People::default() },
        Refusal::Closed { target: Box::new(target()), opens: None, overridable: false, pass: pass() },
        Refusal::NotOwner { doing: "lock everything".to_owned(), owned: true, pass: People::default() },
        Refusal::NotOwner { doing: "lock everything".to_owned(), owned: false, pass: People::default() },
        Refusal::NotOwner { doing: "override the freeze of checkout@production".to_owned(), owned: true, pass: pass() },
        Refusal::HeadMoved { was: sha('a'), is: sha('b') },
        Refusal::VersionMoved {
            target: Box::new(target()),
            was: Tag::parse("main-1234567").unwrap(),
            is: Tag::parse("main-89abcde").unwrap(),
        },
        Refusal::NoEarlierVersion { target: target() },
        Refusal::AlreadyLive { target: Box::new(target()), tag: target_plan().tag },
        Refusal::UnknownVersion { target: target(), typed: "v9".to_owned(), known: names(&["main-1234567"]) },
        Refusal::UnknownVersion { target: target(), typed: "9".to_owned(), known: Vec::new() },
        Refusal::UnknownWritten { target: Box::new(target()), tags: names(&["by-hand"]) },
        Refusal::UnknownWritten { target: Box::new(target()), tags: names(&["main-1234567", "by-hand"]) },
        Refusal::WasRolledBack {
            target: Box::new(target()),
            tag: Tag::parse("faster-cart-aaaaaaa").unwrap(),
            head: sha('a'),
            by: Some(user("U1")),
            at: at(0),
        },
        Refusal::TooManyTargets { count: 26, most: 25 },
        Refusal::SeveralRepositories { number: PULL, first: repo("acme/checkout"), other: repo("acme/search") },
        Refusal::SameApplication { first: Box::new(target()), other: Box::new(other_target()) },
        Refusal::Several {
            refused: vec![PartRefused { target: "search@production".to_owned(), why: Refusal::CatalogChanged }],
        },
        Refusal::Several {
            refused: vec![PartRefused { target: "search".to_owned(), why: again(SinceApproved::Riders { count: 1 }) }],
        },
        Refusal::NothingToRollBack,
        Refusal::NotAsApproved { target: Box::new(target()), changed: Box::new(SinceApproved::Riders { count: 1 }) },
        Refusal::Locked {
            target: Box::new(target()),
            by: user("U1"),
            itself: true,
            reason: "rolled back by itself from main-7654321 to main-1234567".to_owned(),
            since: at(0),
            until: None,
            everything: false,
            back_to: None,
        },
        Refusal::NeedsApproval {
            target: Box::new(target()),
            head: Some(sha('a')),
            tag: Tag::parse("main-1234567").unwrap(),
            count: 1,
            users: Box::default(),
            groups: Box::default(),
            reviewed: Box::default(),
            until: at(3600),
            about: Box::new(About {
                changed: Some(SinceApproved::Riders { count: 2 }),
                rides: Some(Rides { count: 3, by: names(&["bob", "eve"]), paths: names(&["charts"]) }),
            }),
        },
        Refusal::NotByItself { target: Box::new(target()), why: NotByItself::Off },
        Refusal::NotByItself { target: Box::new(target()), why: NotByItself::Newer },
        Refusal::NotByItself { target: Box::new(target()), why: NotByItself::NotLive },
        Refusal::NotByItself { target: Box::new(target()), why: NotByItself::Others },
        Refusal::NotByItself { target: Box::new(target()), why: NotByItself::Locked },
        Refusal::OtherRefused { target: Box::new(other_target()) },
        Refusal::NoPromotion { app: target().app, to: None },
        Refusal::NoPromotion { app: target().app, to: Some(target().environment) },
        Refusal::NothingToPromote { from: Box::new(target()), tag: None },
        Refusal::NothingToPromote { from: Box::new(target()), tag: Some(target_plan().tag) },
        Refusal::NewerThere {
            from: Box::new(target()),
            newest: Tag::parse("main-89abcde").unwrap(),
            tag: target_plan().tag,
            head: sha('a'),
            digest: digest('1'),
        },
        Refusal::OtherLive { from: Box::new(target()), was: sha('a'), is: target_plan().tag },
        Refusal::KeepsMoving { attempts: 5 },
        Refusal::TooLate { minutes: 3 },
        Refusal::CatalogChanged,
        Refusal::Hydrated { target: Box::new(target()) },
        Refusal::NotFollowed { target: Box::new(target()), repo: repo("acme/gitops"), branch: branch("main") },
        Refusal::AutoSyncIsOn { target: Box::new(target()) },
        Refusal::NotSelected {
            target: Box::new(target()),
            selector: LabelSelector::parse("app=checkout").unwrap(),
            why: NotSelected::Nothing,
        },
    ]
}
