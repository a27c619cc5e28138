use super::*;
use crate::names::{AppName, EnvironmentName, GitHubLogin, KubeName, LabelSelector, Target};
use crate::nonempty::NonEmpty;
use crate::push::ManagedTarget;
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_seconds(2_000_000);
const OURS: &str = "https://github.com/Acme/GitOps.git";

fn repo() -> RepoName {
    RepoName::parse("acme/gitops").unwrap()
}

fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// Each source is `<path>` or `<path> of <url>`.
fn shown(paths: &[&str], annotation: Option<&str>) -> Shown {
    let source = |text: &&str| {
        let (path, url) = text.split_once(" of ").unwrap_or((*text, OURS));
        AppSource { path: path.to_owned(), url: url.to_owned(), target: "main".to_owned() }
    };
    let generate_paths = annotation.map(str::to_owned);
    Shown { sources: paths.iter().map(source).collect(), generate_paths, may_sync: true, ..Shown::default() }
}

fn known(shown: Shown, values: &[&'static str]) -> Known<'static> {
    Known { values: values.to_vec(), seen: Some(Seen { at: NOW, found: Found::There(shown) }) }
}

fn decided(all: &[Known<'_>], files: &[&str]) -> Result<(), Kept> {
    untouched(&files.iter().map(|file| FilePath::parse(file).unwrap()).collect(), all, &repo(), NOW)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn what_a_managed_application_reads_is_not_handed_on() {
    const READ: Result<(), Kept> = Err(Kept::Read);
    for (paths, annotation, file, expected) in [
        // Its folder, and all below it.
        (&["checkout"][..], None, "other/values.yaml", Ok(())),
        (&["checkout"], None, "checkout", READ),
        (&["checkout"], None, "checkout/templates/deployment.yaml", READ),
        (&["checkout"], None, "checkout2/values.yaml", Ok(())),
        (&["/checkout/"], None, "checkout/values.yaml", READ),
        (&["./charts/../checkout"], None, "checkout/values.yaml", READ),
        (&["a;b"], None, "a;b/values.yaml", READ),
        // The whole repository.
        (&["."], None, "other/values.yaml", READ),
        (&["./"], None, "other/values.yaml", READ),
        (&["."], Some("/checkout"), "other/values.yaml", READ),
        // The annotation comes on top of the folder.
        (&["checkout"], Some(""), "other/values.yaml", Ok(())),
        (&["checkout"], Some(" ; "), "other/values.yaml", Ok(())),
        (&["checkout"], Some("/shared"), "checkout/values.yaml", READ),
        (&["checkout"], Some("/shared"), "shared/values.yaml", READ),
        (&["checkout"], Some(".;../shared"), "shared/a/b.yaml", READ),
        (&["checkout"], Some(". ; ../shared"), "other/values.yaml", Ok(())),
        (&["checkout"], Some("shared"), "shared/values.yaml", Ok(())),
        (&["checkout"], Some("/shared/*.yaml"), "shared/values.yaml", READ),
        (&["checkout"], Some("/shared/*.yaml"), "shared/a/values.yaml", Ok(())),
        (&["checkout"], Some("/"), "other/values.yaml", READ),
        // Of several sources those of the GitOps repository count, whatever branch they follow.
        (&["charts", "checkout"], None, "checkout/values.yaml", READ),
        (&["charts", "checkout"], None, "other/values.yaml", Ok(())),
        (&["checkout", " of https://charts.acme.example"], None, "other/values.yaml", Ok(())),
        (&["checkout", ". of https://github.com/acme/charts"], None, "other/values.yaml", Ok(())),
        // A source without a path lends its files: the annotation has to say which.
        (&[" of git@github.com:acme/gitops", " of https://charts.acme.example"], None, "other/values.yaml", READ),
        (&["", " of https://charts.acme.example"], Some(""), "other/values.yaml", READ),
        (&["", " of https://charts.acme.example"], Some("/checkout"), "other/values.yaml", Ok(())),
        (&["", " of https://charts.acme.example"], Some("/checkout"), "checkout/values.yaml", READ),
    ] {
        assert_eq!(
            decided(&[known(shown(paths, annotation), &[])], &[file]),
            expected,
            "{paths:?} {annotation:?} {file}"
        );
    }
    // The folders of its values files.
    let elsewhere = |values: &[&'static str], file| decided(&[known(shown(&["charts/app"], None), values)], &[file]);
    assert_eq!(elsewhere(&["values/checkout.yaml"], "values/a/shared.yaml"), READ);
    assert_eq!(elsewhere(&["values/checkout.yaml"], "values2/checkout.yaml"), Ok(()));
    assert_eq!(elsewhere(&["values/checkout.yaml", "b;*/x.yaml"], "b;*/y.yaml"), READ);
    assert_eq!(elsewhere(&["checkout.yaml"], "other/values.yaml"), READ);
    // One application, and one file, is enough.
    let (one, other) = (known(shown(&["checkout"], None), &[]), known(shown(&["shop"], None), &[]));
    let both = [one, other];
    assert_eq!(decided(&both, &["README.md", "docs/a.md"]), Ok(()));
    assert_eq!(decided(&both, &["README.md", "shop/a.md"]), READ);
    assert_eq!(decided(&both, &["README.md", "checkout/a.md"]), READ);
}

#[test]
fn where_an_application_is_not_known_nothing_is_handed_on() {
    let check = |what: &str, known: Known<'_>, expected: Result<(), Kept>| {
        assert_eq!(decided(&[known], &["README.md"]), expected, "{what}");
    };
    let plain = || shown(&["checkout"], None);
    let found = |found| Known { values: Vec::new(), seen: Some(Seen { at: NOW, found }) };
    let at = |at| Known { values: Vec::new(), seen: Some(Seen { at, found: Found::There(plain()) }) };
    let ago = |ago: Duration| Timestamp(NOW.0 - u64::try_from(ago.as_millis()).unwrap());
    check("well known", known(plain(), &[]), Ok(()));
    check("never seen", Known { values: Vec::new(), seen: None }, Err(Kept::NotSeen));
    check("almost a day ago", at(ago(DAY - Duration::from_millis(1))), Ok(()));
    check("a day ago", at(ago(DAY)), Err(Kept::NotSeen));
    check("another clock", at(NOW.after(CLOCKS)), Ok(()));
    check("tomorrow", at(NOW.after(DAY)), Err(Kept::NotSeen));
    check("there is none", found(Found::NoApplication), Err(Kept::Unclear));
    check("hidden", found(Found::Hidden), Err(Kept::Unclear));
    check("auto-sync", known(Shown { automated: true, ..plain() }, &[]), Err(Kept::AutoSync));
    check("hydrated", known(Shown { hydrated: true, ..plain() }, &[]), Err(Kept::Unclear));
    check("no source", known(shown(&[], None), &[]), Err(Kept::Unclear));
    check("elsewhere", known(shown(&["a of https://git.acme.example/other/gitops"], None), &[]), Err(Kept::Unclear));
    let many = ["a"; MOST_SOURCES];
    check("one source less than are remembered", known(shown(&many[1..], None), &[]), Ok(()));
    check("as many sources as are remembered", known(shown(&many, None), &[]), Err(Kept::Unclear));
    let long = "x;".repeat(MOST_COMPARED / 2);
    check("a long annotation", known(shown(&["checkout"], Some(&long)), &[]), Err(Kept::TooMuch));
}

#[test]
fn only_a_push_that_lists_everything_is_handed_on() {
    let commit = |id: char, files: Option<Vec<&'static str>>| (sha(id), files);
    let check = |rewrites: bool, ends: [&str; 2], commits: &[(String, Option<Vec<&'static str>>)]| {
        let commits = commits.iter().map(|(id, files)| Listed { id, files: files.clone() }).collect();
        let contents = Contents { rewrites, before: ends[0], after: ends[1], commits };
        contents.files().map(|files| files.iter().map(FilePath::to_string).collect::<Vec<_>>().join(" "))
    };
    let (old, new, none) = (sha('a'), sha('c'), sha('0'));
    let two = [commit('b', Some(vec!["z", "a/b"])), commit('c', Some(vec!["a/b"]))];
    assert_eq!(check(false, [&old, &new], &two), Ok("a/b z".to_owned()));
    assert_eq!(check(true, [&old, &new], &two), Err(Kept::Rewrites));
    for (what, ends, commits) in [
        ("no commit", [&*old, &*new], vec![]),
        ("another last commit", [&old, &new], vec![two[1].clone(), two[0].clone()]),
        ("a new branch", [&none, &new], two.to_vec()),
        ("a deleted branch", [&old, &none], vec![commit('0', Some(vec!["a"]))]),
        ("nothing new", [&new, &new], two.to_vec()),
        ("no commit before", ["", &new], two.to_vec()),
        ("no commit after", [&old, "x"], vec![("x".to_owned(), Some(vec!["a"]))]),
        ("one without an id", [&old, &new], vec![(String::new(), Some(vec!["a"])), two[1].clone()]),
        ("lists that are missing", [&old, &new], vec![commit('b', None), two[1].clone()]),
        ("lists that are empty", [&old, &new], vec![commit('b', Some(vec![])), two[1].clone()]),
        ("a path that is none", [&old, &new], vec![commit('c', Some(vec!["a/../checkout/values.yaml"]))]),
        ("as many commits as are listed", [&old, &new], vec![two[1].clone(); LISTED]),
    ] {
        assert_eq!(check(false, ends, &commits), Err(Kept::Incomplete), "{what}");
    }
    assert!(check(false, [&old, &new], &vec![two[1].clone(); LISTED - 1]).is_ok());
}

#[test]
fn the_list_of_applications_has_to_be_known_and_short() {
    let name = |text: &str| KubeName::parse(text).unwrap();
    let argocd = |app: &str| ArgoApplication { name: name(app), project: name("default"), namespace: None };
    let target = |app: &str| ManagedTarget {
        target: Target { app: AppName::parse(app).unwrap(), environment: EnvironmentName::parse("default").unwrap() },
        applications: Applications::Named(NonEmpty::one(argocd(app))),
        channel: None,
    };
    let managed = |count: usize| Managed {
        include: Vec::new(),
        files: (0..count).map(|n| (format!("{n}/values.yaml"), vec![target(&format!("app-{n}"))])).collect(),
        auto: false,
        bot: GitHubLogin::parse("deploy-bot[bot]").unwrap(),
        at: at(100),
    };
    let none = BTreeMap::new();
    let count = |managed: Option<&Managed>, pushed: Option<u64>, now| {
        let known = Catalogued { managed, selected: &none, pushed: pushed.map(at) };
        applications(&known, at(now)).map(|all| all.len())
    };
    // The catalog may have changed since it was read.
    let one = managed(1);
    for (pushed, now, is_known) in
        [(Some(89), 101, true), (Some(90), 101, false), (None, 86_499, true), (None, 86_500, false)]
    {
        assert_eq!(count(Some(&one), pushed, now).is_ok(), is_known, "{pushed:?} {now}");
    }
    assert_eq!(count(None, None, 101), Err(Kept::NoList));
    assert_eq!(count(Some(&managed(0)), None, 101), Err(Kept::NoList));
    assert_eq!(count(Some(&managed(MOST_APPLICATIONS)), None, 101), Ok(MOST_APPLICATIONS));
    assert_eq!(count(Some(&managed(MOST_APPLICATIONS + 1)), None, 101), Err(Kept::TooMuch));
    assert_eq!(count(Some(&Managed { auto: true, ..managed(2) }), None, 101), Err(Kept::AutoSync));
    // What is known by its labels has to be looked up.
    let selector = LabelSelector::parse("app=web").unwrap();
    let selection = Selection { selector, project: name("default"), namespace: None };
    let mut labelled = managed(1);
    let by_label = ManagedTarget { applications: Applications::Selected(selection.clone()), ..target("app-1") };
    labelled.files.insert("labelled.yaml".to_owned(), vec![by_label]);
    assert_eq!(count(Some(&labelled), None, 101), Err(Kept::NotSelected));
    let selected = BTreeMap::from([(selection, NonEmpty::one(argocd("web-eu")))]);
    let known = Catalogued { managed: Some(&labelled), selected: &selected, pushed: None };
    assert_eq!(applications(&known, at(101)).unwrap()[&argocd("web-eu")], ["labelled.yaml"]);

    let mut shared = managed(1);
    shared.files.insert("shared.yaml".to_owned(), vec![target("app-0"), target("app-1")]);
    let known = Catalogued { managed: Some(&shared), selected: &none, pushed: None };
    let all = applications(&known, at(101)).unwrap();
    assert_eq!(all[&argocd("app-0")], ["0/values.yaml", "shared.yaml"]);
    assert_eq!(all[&argocd("app-1")], ["shared.yaml"]);
}

proptest! {
    #[test]
    fn nothing_panics_and_a_file_in_the_folder_is_always_read(
        annotation: Option<String>, path in "\\PC{0,12}", folder in "[a-z.*;\\[]{1,4}(/[a-z]{1,3}){0,2}", name in "[a-z]{1,4}", text: String
    ) {
        let _ = (is_beside(&text, &path), Contents { before: &text, after: &path, ..Contents::default() }.files());
        let file = format!("{folder}/{name}");
        if let Ok(file) = FilePath::parse(&file) {
            let files = BTreeSet::from([file]);
            let all = |path: &str| [known(shown(&[path], annotation.as_deref()), &[])];
            let _ = untouched(&files, &all(&path), &repo(), NOW);
            prop_assert_eq!(untouched(&files, &all(&folder), &repo(), NOW), Err(Kept::Read));
        }
    }
}
