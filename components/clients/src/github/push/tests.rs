use super::*;
use domain::names::{AppName, ArgoApplication, EnvironmentName, KubeName, SlackChannel, Target};
use domain::nonempty::NonEmpty;
use domain::push::ManagedTarget;
use domain::selection::Applications;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_seconds(2_000_000);

fn sha(digit: char) -> CommitSha {
    CommitSha::parse(&digit.to_string().repeat(40)).unwrap()
}

fn target(app: &str, environment: &str) -> Target {
    Target { app: AppName::parse(app).unwrap(), environment: EnvironmentName::parse(environment).unwrap() }
}

fn managed(app: &str) -> ManagedTarget {
    let name = |text| KubeName::parse(text).unwrap();
    let argocd = ArgoApplication { name: name(app), project: name("default"), namespace: None };
    ManagedTarget {
        target: target(app, "default"),
        applications: Applications::Named(NonEmpty::one(argocd)),
        channel: SlackChannel::parse("C0DEPLOYS").ok(),
    }
}

fn files(all: &[(&str, &[&str])]) -> Managed {
    let of = |apps: &[&str]| apps.iter().map(|app| managed(app)).collect();
    Managed {
        include: Vec::new(),
        files: all.iter().map(|(path, apps)| ((*path).to_owned(), of(apps))).collect(),
        auto: false,
        bot: GitHubLogin::parse("deploy-bot[bot]").unwrap(),
        at: Timestamp(0),
    }
}

fn commit(digit: char, message: &str, modified: &[&str]) -> Value {
    json!({
        "id": sha(digit), "message": message, "modified": modified, "added": [], "removed": [],
        "author": { "name": "Alice", "username": "alice" }, "committer": { "name": "Alice", "username": "alice" },
    })
}

fn push(commits: &[Value]) -> Value {
    json!({
        "ref": "refs/heads/main", "before": sha('0'), "after": commits.last().map_or(json!(sha('0')), |last| last["id"].clone()),
        "repository": { "full_name": "acme/gitops", "pushed_at": 1_999_990, "html_url": "https://github.com/acme/gitops" },
        "commits": commits, "sender": { "login": "alice" }, "pusher": { "name": "alice" },
    })
}

fn note(push: &Value, managed: &Managed) -> Option<PushNote> {
    let text = push.to_string();
    serde_json::from_slice::<Push<'_>>(text.as_bytes()).unwrap().note(managed, NOW)
}

#[test]
fn a_push_to_a_file_of_an_app_is_noted_with_who_what_and_which_commits() {
    let managed = files(&[("checkout/values.yaml", &["checkout"]), ("shared.yml", &["checkout", "shop"])]);
    let several = push(&[
        commit('a', "Raise the limits\n\nBecause.", &["checkout/values.yaml", "README.md"]),
        commit('b', "Share", &["shared.yml"]),
        commit('c', "Notes", &["NOTES.md"]),
    ]);
    let found = note(&several, &managed).unwrap();
    assert_eq!((found.who.as_str(), found.headline.as_str(), found.commits), ("alice", "Notes", 3));
    assert_eq!((&found.before, &found.after, found.at), (&sha('0'), &sha('c'), Timestamp::from_seconds(1_999_991)));
    let touched: Vec<(String, Vec<&str>, &[CommitSha])> = found
        .touched
        .iter()
        .map(|one| {
            (one.managed.target.to_string(), one.files.iter().map(FilePath::as_str).collect(), one.wrote.as_slice())
        })
        .collect();
    assert_eq!(
        touched,
        [
            ("checkout".to_owned(), vec!["shared.yml", "checkout/values.yaml"], &[sha('b'), sha('a')][..]),
            ("shop".to_owned(), vec!["shared.yml"], &[sha('b')][..]),
        ]
    );
    assert_eq!(note(&several, &managed), Some(found), "the same push is the same note");
    let other = push(&[commit('a', "x", &["checkout/other.yaml", "README.md"])]);
    assert_eq!(note(&other, &managed), None);
}

#[test]
fn only_yaml_files_are_worth_a_question() {
    let check = |paths: &[&str], expected: bool| {
        let text = push(&[commit('a', "x", paths)]).to_string();
        assert_eq!(serde_json::from_str::<Push<'_>>(&text).unwrap().touches_yaml(), expected, "{paths:?}");
    };
    check(&["README.md", "app/main.rs", "yaml", "values.yaml.bak"], false);
    check(&[], false);
    check(&["README.md", "app/values.yaml"], true);
    check(&["app/values.yml"], true);
}

#[test]
fn nothing_that_a_commit_says_keeps_it_from_being_noted() {
    let managed = files(&[("checkout/values.yaml", &["checkout"])]);
    let message = format!("Deploy checkout main-0123456\n\nDeploy-Id: {}", "1".repeat(32));
    let mut posing = commit('a', &message, &["checkout/values.yaml"]);
    posing["committer"]["username"] = json!("web-flow");
    posing["author"]["username"] = json!("deploy-bot[bot]");
    let found = note(&push(&[posing.clone(), commit('b', "Notes", &["NOTES.md"])]), &managed).unwrap();
    assert_eq!((found.touched[0].wrote.as_slice(), found.who.as_str()), (&[sha('a')][..], "alice"));
    assert_eq!(note(&push(&[posing]), &managed).unwrap().touched[0].wrote, [sha('a')]);
}

#[test]
fn who_pushed_is_whom_github_names() {
    let bot = GitHubLogin::parse("deploy-bot[bot]").unwrap();
    let is_by_bot = |push: &Value| serde_json::from_str::<Push<'_>>(&push.to_string()).unwrap().is_by(&bot);
    let mut all = push(&[commit('a', "x", &[])]);
    assert!(!is_by_bot(&all));
    for (sender, expected) in [
        (json!({ "login": "Deploy-Bot[bot]" }), true),
        (json!({ "login": "deploy-bot" }), false),
        (json!({ "username": "deploy-bot[bot]" }), false),
        (json!({}), false),
        (json!(null), false),
    ] {
        all["sender"] = sender.clone();
        assert_eq!(is_by_bot(&all), expected, "{sender}");
    }
    all.as_object_mut().unwrap().remove("sender");
    assert!(!is_by_bot(&all));
}

#[test]
fn a_note_is_bounded_whatever_was_pushed() {
    let names: Vec<String> = (0..300).map(|n| format!("app-{n}")).collect();
    let apps: Vec<&str> = names.iter().map(String::as_str).collect();
    let paths: Vec<String> = (0..50).map(|n| format!("values-{n}.yaml")).collect();
    let all: Vec<(&str, &[&str])> = paths.iter().map(|path| (path.as_str(), &apps[..])).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let commits: Vec<Value> = ('0'..='9').map(|digit| commit(digit, &"long ".repeat(9_000), &paths)).collect();
    let mut large = push(&commits);
    large["sender"]["login"] = json!("a".repeat(9_000));
    large["repository"]["html_url"] = json!("https://".repeat(9_000));
    let found = note(&large, &files(&all)).unwrap();
    assert_eq!((found.touched.len(), found.more), (MOST_TARGETS, 100));
    assert!(found.touched.iter().all(|one| one.files.len() == MOST_FILES && one.wrote.len() == MOST_COMMITS));
    assert_eq!(found.touched[0].wrote[0], sha('9'), "the newest is among them");
    let bytes = serde_json::to_vec(&found).unwrap().len();
    assert!(bytes < 200_000, "{bytes} bytes");
}

/// What only tells people something must not keep a push of the bot from being understood.
#[test]
fn a_field_of_another_type_is_nothing() {
    for odd in [json!(null), json!(1), json!(-1), json!(1.5), json!(true), json!({ "a": [1] }), json!([[1], {}])] {
        let mut one = commit('a', "x", &["checkout/values.yaml"]);
        (one["added"], one["id"]) = (odd.clone(), odd.clone());
        let mut all = push(&[one]);
        all["repository"]["html_url"] = odd.clone();
        all["after"] = json!(sha('a'));
        all["sender"] = json!({ "login": odd });
        assert_eq!(note(&all, &files(&[("checkout/values.yaml", &["checkout"])])), None, "{odd}");
    }
    let escaped = r#"{"commits":[{"id":"a","modified":["a\u002eyaml"]}],"repository":{"html_url":"\u0041"}}"#;
    assert!(serde_json::from_str::<Push<'_>>(escaped).unwrap().touches_yaml());
}

#[test]
fn a_commit_without_one_of_its_lists_touches_what_nobody_knows() {
    let contents = |commit: &Value| {
        let text = push(std::slice::from_ref(commit)).to_string();
        let push = serde_json::from_str::<Push<'_>>(&text).unwrap();
        let contents = push.contents();
        assert!(!contents.rewrites);
        assert_eq!((contents.before, contents.after), (sha('0').as_str(), sha('a').as_str()));
        let [only] = &contents.commits[..] else { panic!("one commit: {contents:?}") };
        assert_eq!(only.id, sha('a').as_str());
        only.files.as_ref().map(|files| files.iter().map(|file| (*file).to_owned()).collect::<Vec<String>>())
    };
    let mut one = commit('a', "x", &["m"]);
    (one["added"], one["removed"]) = (json!(["a", "\u{e9}\n"]), json!(["r"]));
    assert_eq!(contents(&one).unwrap(), ["a", "\u{e9}\n", "m", "r"]);
    assert_eq!(contents(&commit('a', "x", &[])), Some(Vec::new()));
    for list in ["added", "modified", "removed"] {
        for odd in [json!(null), json!("a"), json!({ "a": "b" }), json!(["a", 1])] {
            let mut odd_one = one.clone();
            odd_one[list] = odd.clone();
            assert_eq!(contents(&odd_one), None, "{list}: {odd}");
        }
        let mut without = one.clone();
        without.as_object_mut().unwrap().remove(list);
        assert_eq!(contents(&without), None, "{list}");
    }
    for flag in ["created", "deleted", "forced"] {
        let mut odd = push(&[one.clone()]);
        odd[flag] = json!(true);
        assert!(serde_json::from_str::<Push<'_>>(&odd.to_string()).unwrap().contents().rewrites, "{flag}");
    }
}
