use crate::catalog::gates::tests::Example;
use crate::catalog::tests::app;
use crate::catalog::{Allow, Catalog};
use crate::names::{SlackChannel, SlackUser};

fn gate(allow: &str) -> Allow {
    let catalog = Catalog::parse(&app("x", &format!("    allow: {allow}"))).unwrap();
    catalog.find("x", None).unwrap().2.gates.allow.clone()
}

const NOBODY: &str = "not deployed: nobody is set up to deploy checkout@production yet.";
const NOT_LISTED: &str = "not deployed: you aren't allowed to deploy checkout@production.";
const GUEST: &str = "not deployed: checkout@production is for full members of the workspace, and you are a guest. Ask";
const WRONG_CHANNEL: &str = "not deployed: checkout@production can't be deployed from this channel.";

#[test]
fn people_groups_and_channels_say_who_may_deploy() {
    let check = |allow: &str, user: &str, groups: &[&'static str], channel: &str, expected: &str| {
        let (user, channel) = (SlackUser::parse(user).unwrap(), SlackChannel::parse(channel).unwrap());
        let groups = groups.iter().map(|group| ("U2", *group)).collect();
        let said = Example { user, channel, groups, ..Example::new() }.ask(&gate(allow));
        // The first sentence, and whom Slack was asked about.
        let said = match said.split_once(". ") {
            Some((what, rest)) => {
                format!("{what}.{}", rest.find(" (U").and_then(|at| rest.get(at..)).unwrap_or_default())
            }
            None => said,
        };
        assert_eq!(said, expected, "{allow}");
    };
    check("anyone", "U1", &[], "C1", "passes (U1 a guest?)");
    for nobody in ["", "[]", "{}", "{ users: [] }", "{ users: [], groups: [], channels: [] }"] {
        check(nobody, "U2", &["S1"], "C1", NOBODY);
    }
    // Slack is asked about people whom the catalog does not name, until one group has them.
    check("{ users: [U1], groups: [S1] }", "U1", &[], "C1", "passes");
    check("{ users: [U1], groups: [S1, S2] }", "U2", &["S2", "S1"], "C1", "passes (U2 in S1?) (U2 a guest?)");
    check("{ groups: [S1, S2] }", "U2", &["S2"], "C1", "passes (U2 in S1?) (U2 in S2?) (U2 a guest?)");
    check("{ users: [U1], groups: [S1] }", "U2", &["S2"], "C1", &format!("{NOT_LISTED} (U2 in S1?)"));
    check("{ channels: [C1, C2] }", "U2", &[], "C2", "passes (U2 a guest?)");
    check("{ channels: [C1, C2] }", "U2", &[], "C3", WRONG_CHANNEL);
    let both = "{ users: [U1], groups: [S1], channels: [C1] }";
    check(both, "U1", &[], "C1", "passes");
    check(both, "U2", &["S1"], "C1", "passes (U2 in S1?) (U2 a guest?)");
    check(both, "U1", &[], "C2", WRONG_CHANNEL);
    check(both, "U2", &[], "C1", &format!("{NOT_LISTED} (U2 in S1?)"));
    check(both, "U2", &[], "C2", &format!("{NOT_LISTED} (U2 in S1?)"));
}

#[test]
fn a_guest_counts_only_by_the_guests_own_id() {
    let check = |allow: &str, expected: &str| {
        let guest = SlackUser::parse("U2").unwrap();
        let said = Example { user: guest, groups: vec![("U2", "S1")], guests: vec!["U2"], ..Example::new() };
        let said = said.ask(&gate(allow));
        assert!(said.starts_with(expected), "{allow}: {said}");
    };
    check("anyone", GUEST);
    check("{ channels: [C1] }", GUEST);
    check("{ channels: [C2] }", WRONG_CHANNEL);
    check("{ groups: [S1] }", NOT_LISTED);
    check("{ groups: [S1], channels: [C1] }", NOT_LISTED);
    check("{ users: [U2], groups: [S1] }", "passes");
    check("{ users: [U2], channels: [C1] }", "passes");
}

#[test]
fn without_allow_nobody_may_deploy() {
    let catalog = Catalog::parse(&app("x", "")).unwrap();
    assert_eq!(catalog.find("x", None).unwrap().2.gates.allow, gate("{}"));
    assert!(Example::new().ask(&Allow::default()).starts_with(NOBODY));
}
