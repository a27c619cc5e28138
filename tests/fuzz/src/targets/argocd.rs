//! Argo CD's answers and its stream: the same events wherever chunks end, in words of bounded length.

use crate::parts::{Parts, pieces};
use crate::promise::{HUSH, is_short, keeps_secrets};
use crate::world::{World, response};
use clients::argocd::{
    ArgoCd, ArgoError, Event, Revision, SyncOutcome, events, read_application, read_look, read_may, read_pods,
    read_selected, read_signed_in, read_sync, read_version, read_webhook, which_sources,
};
use clients::http::{HttpError, Response};
use domain::application::{AppSource, Application};
use domain::deployment::GitOpsBranch;
use domain::fault::{Cause, Changed, Fault};
use domain::names::{ArgoApplication, BranchName, CommitSha, KubeName, LabelSelector, RepoName, Secret, UrlOrigin};
use domain::selection::{MOST_APPLICATIONS, Selection};
use serde_json::Value;

fn argocd() -> ArgoCd {
    let url = UrlOrigin::parse("https://argocd.acme.example").expect("an origin");
    ArgoCd { url, root_path: String::new(), token: Some(Secret::new(HUSH)) }
}

fn follow(chunks: Vec<Vec<u8>>) -> (Vec<Event>, Result<(), HttpError>) {
    let name = |text| KubeName::parse(text).expect("a name");
    let app = ArgoApplication { name: name("checkout"), project: name("default"), namespace: None };
    let world = World::default();
    world.stream.replace(chunks);
    let mut stream = world.run(events(&world, &argocd(), &app)).unwrap_or_else(|error| panic!("{error:?}"));
    let mut all = Vec::new();
    loop {
        match world.run(stream.next()) {
            Ok(Some(event)) => all.push(event),
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn is_clipped(text: &str, most: usize) {
    is_short(text, most);
    assert!(!text.contains("  ") && text.trim() == text, "{text:?}");
}

fn is_bounded(snapshot: &Application) {
    is_clipped(&snapshot.health_message, 200);
    for condition in &snapshot.conditions {
        is_clipped(&condition.kind, 200);
        is_clipped(&condition.message, 500);
    }
    snapshot.unwell.iter().for_each(|one| is_clipped(&one.message, 200));
    assert!(snapshot.generate_paths.as_ref().is_none_or(|paths| paths.chars().count() <= 2000));
    if let Some(last) = &snapshot.last {
        is_clipped(&last.message, 500);
        last.resources.iter().for_each(|resource| is_clipped(&resource.message, 200));
        is_clipped(last.by.as_deref().unwrap_or_default(), 200);
    }
    is_clipped(snapshot.operation.as_ref().and_then(|operation| operation.by.as_deref()).unwrap_or_default(), 200);
    assert!(snapshot.multi_source || snapshot.sources.len() <= 1);

    let gitops = GitOpsBranch {
        repo: RepoName::parse("acme/gitops").expect("a repository"),
        branch: BranchName::parse("main").expect("a branch"),
        is_default: true,
        url: String::new(),
    };
    let commit = CommitSha::parse(&"a".repeat(40)).expect("a commit");
    let ours = |source: &AppSource| {
        let url = source.url.to_ascii_lowercase();
        let url = url.strip_suffix('/').unwrap_or(&url);
        let follows = ["", "HEAD", "main", "refs/heads/main"].contains(&source.target.as_str());
        follows && (url.ends_with("acme/gitops") || url.ends_with("acme/gitops.git"))
    };
    match which_sources(snapshot, &gitops, &commit) {
        Some(Revision { commit: pinned, positions: None, .. }) => {
            assert_eq!((pinned, snapshot.multi_source), (commit, false));
            assert!(snapshot.sources.iter().any(ours));
        }
        Some(Revision { commit: pinned, positions: Some(positions), .. }) => {
            assert_eq!((pinned, snapshot.multi_source), (commit, true));
            assert!(!positions.is_empty() && positions.is_sorted());
            for position in positions {
                let source = usize::try_from(position).ok().and_then(|at| snapshot.sources.get(at - 1));
                assert!(source.is_some_and(ours), "source {position} is not ours");
            }
        }
        None => {
            let plain =
                |source: &AppSource| source.url == "https://github.com/acme/gitops.git" && source.target == "main";
            assert!(!snapshot.sources.iter().any(plain));
        }
    }
}

/// Where the stream is cut in the first line; then the stream.
pub fn argocd_events(data: &[u8]) {
    let mut parts = Parts(data);
    let cuts = parts.line();
    let stream = parts.rest();
    let whole = follow(vec![stream.to_vec()]);
    assert_eq!(follow(pieces(cuts, stream)), whole, "it depends on where chunks end");
    if stream.len() < 2000 {
        assert_eq!(follow(stream.chunks(1).map(<[u8]>::to_vec).collect()), whole, "byte by byte");
    }
    for event in &whole.0 {
        match event {
            Event::App(snapshot) => is_bounded(snapshot),
            Event::Error(message) => is_clipped(message, 200),
            Event::Deleted | Event::KeepAlive => {}
        }
    }
    let lines = stream.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(whole.0.len() <= lines);
    assert_eq!(whole.0.len() == lines, whole.1.is_ok(), "every line is an event, or breaks the stream");
}

fn is_told_briefly(data: &[u8], fault: &Fault) {
    keeps_secrets(data, fault);
    if let Cause::Said { said } | Cause::Forbidden { said } = &fault.cause {
        is_clipped(said, 200);
    }
}

/// The answers about Pods and about our account.
fn is_read_with_care(data: &[u8], response: &Response) {
    if let Ok(pods) = read_pods(response) {
        pods.iter().for_each(|pod| is_clipped(&pod.reason, 200));
    }
    let shown = read_look(response).map(|shown| {
        let shown = shown.as_ref();
        assert!(shown.is_none_or(|shown| shown.sources.iter().all(|source| !source.url.contains("user:password@"))));
        assert!(
            shown.and_then(|shown| shown.generate_paths.as_ref()).is_none_or(|paths| paths.chars().count() <= 2000)
        );
        true
    });
    let version = read_version(response).map(|version| {
        is_clipped(&version, 200);
        true
    });
    let selection = Selection {
        selector: LabelSelector::parse("app=checkout").expect("a selector"),
        project: KubeName::parse("default").expect("a name"),
        namespace: None,
    };
    let selected = read_selected(response, &selection).map(|all| {
        assert!(all.len() <= MOST_APPLICATIONS + 1 && all.iter().all(|one| one.namespace.is_some()));
        true
    });
    for read in [read_may(response), read_signed_in(response), shown, selected, version] {
        match read {
            Ok(_) => assert_eq!(response.status, 200),
            Err(ArgoError::Fault(fault)) => is_told_briefly(data, &fault),
            Err(_) => {}
        }
    }
}

/// The HTTP status in the first line; then an answer to any of our calls.
pub fn argocd_answer(data: &[u8]) {
    let mut parts = Parts(data);
    let status = u16::try_from(parts.number(200)).ok().filter(|status| (100..1000).contains(status)).unwrap_or(200);
    let body = parts.rest();
    // Null is also the reading of JSON that breaks the rules where the bot does not look.
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let has_code = |code: i64| json.is_null() || json["code"] == code;
    match read_application(response(status, body), "read the application") {
        Ok(snapshot) => {
            assert!(status == 200 && (json.is_null() || json["metadata"].is_object()), "{status} {json}");
            is_bounded(&snapshot);
        }
        Err(ArgoError::NoRight(said)) => is_clipped(&said, 200),
        Err(ArgoError::Fault(fault)) => {
            assert_eq!(fault.changed, Changed::Nothing);
            is_told_briefly(data, &fault);
        }
        Err(ArgoError::NoApplication | ArgoError::Unauthorized) => {}
        Err(ArgoError::Refused(said)) => panic!("a question is not refused: {said}"),
    }
    is_read_with_care(data, &response(status, body));
    match read_sync(response(status, body)) {
        SyncOutcome::Taken(snapshot) => {
            assert_eq!(status, 200);
            is_bounded(&snapshot);
        }
        SyncOutcome::Unknown(fault) => {
            assert_eq!(fault.changed, Changed::Unknown);
            is_told_briefly(data, &fault);
        }
        SyncOutcome::NotTaken(ArgoError::Fault(fault)) => {
            assert_eq!(fault.changed, Changed::Nothing);
            assert!(![200, 408, 409].contains(&status) && status < 500, "{status} may come after the fact");
            is_told_briefly(data, &fault);
        }
        SyncOutcome::Window(said) | SyncOutcome::NotTaken(ArgoError::NoRight(said)) => {
            assert!(status == 403 && has_code(7), "{status} {json}");
            is_clipped(&said, 200);
        }
        SyncOutcome::AutoSync(said) | SyncOutcome::Refused(said) | SyncOutcome::NotTaken(ArgoError::Refused(said)) => {
            let is_argo_cds = json.is_null() || json["code"].is_i64();
            assert!((status == 400 && is_argo_cds) || (status == 403 && has_code(7)), "{status} {json}");
            is_clipped(&said, 200);
        }
        SyncOutcome::InProgress | SyncOutcome::Deleting => assert_eq!(status, 400),
        SyncOutcome::NotTaken(ArgoError::NoApplication) => assert!(status == 404 && has_code(5), "{status} {json}"),
        SyncOutcome::NotTaken(ArgoError::Unauthorized) => assert_eq!(status, 401),
    }
    match read_webhook(response(status, body)) {
        Ok(()) => assert_eq!(status, 200),
        Err(fault) => is_told_briefly(data, &fault),
    }
}
