//! What hostile input of the largest size costs: eight times the bytes may cost about eight times the work,
//! whatever the input.
//!
//! Work is time on the processor, not time on the wall, so a busy machine does not matter; something quadratic costs 64 times as much.

use domain::catalog::{Catalog, LONGEST};
use domain::image::ImageName;
use domain::values::{At, LARGEST, OurImage, TagPath, Version, set_tag};

/// How long this thread was on the processor.
fn worked() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default()
}

fn cost(run: &impl Fn(&[u8]), input: &[u8]) -> u64 {
    let before = worked();
    run(input);
    worked() - before
}

/// `text` in front of as many copies of `piece` as fit into `size` bytes, then `end`.
fn filled(text: &str, piece: &str, end: &str, size: usize) -> Vec<u8> {
    let copies = size.saturating_sub(text.len() + end.len()) / piece.len();
    [text.as_bytes(), piece.repeat(copies).as_bytes(), end.as_bytes()].concat()
}

/// Below this, what is measured is the clock.
const NOTHING: u64 = 2_000_000;

/// One at a time: what these need of the memory slows the others down.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Checks each shape at an eighth of the size and at the size.
fn costs_in_proportion(size: usize, shapes: &[(&str, &str, &str)], run: impl Fn(&[u8])) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut slow = Vec::new();
    for (text, piece, end) in shapes {
        // The least of several, because caches, page faults and neighbours on the machine cost one of them more.
        let least = |input: &[u8], times: usize| (0..times).map(|_| cost(&run, input)).min().unwrap_or_default();
        let small = least(&filled(text, piece, end, size / 8), 3);
        let input = filled(text, piece, end, size);
        let limit = small.max(NOTHING) * 24;
        let mut large = cost(&run, &input);
        if large > limit {
            large = least(&input, 6);
        }
        println!("{:>10} {:>12} us {text:?} {piece:?} {end:?}", small / 1000, large / 1000);
        if large > limit {
            slow.push(format!("{text:?}{piece:?}…{end:?}: {} us, then {} us", small / 1000, large / 1000));
        }
    }
    assert!(slow.is_empty(), "eight times the bytes cost much more:\n{}", slow.join("\n"));
}

/// What makes parsers of YAML work.
const YAML: &[(&str, &str, &str)] = &[
    ("a: ", "[", ""),
    ("a: ", "{a: ", ""),
    ("a: ", "[", "]"),
    ("a: [", "[],", "]"),
    ("a: [", ",", "]"),
    ("a: [", "a: b, ", "]"),
    ("a: {", "a, ", "}"),
    ("a: [[", "a,", "]: b]\n"),
    ("a:\n  ", "- ", "x"),
    ("a:\n", "- a\n", ""),
    ("a:\n", "-\n", ""),
    ("", "? ", "x"),
    ("", "? a\n", ""),
    ("", ": ", "x"),
    ("", "a:\n", ""),
    ("a: ", "a\n  ", ""),
    ("a: ", "a\n\n  ", ""),
    ("a: '", "''", "'\n"),
    ("a: '", "a\n ", "'\n"),
    ("a: \"", "\\n", "\"\n"),
    ("a: \"", "\\\n", "\"\n"),
    ("a: \"", "\\U0010ffff", "\"\n"),
    ("a: |\n", "  a\n", ""),
    ("a: |\n", "\n", "  a\n"),
    ("a: >\n", "  a\n\n", ""),
    ("a: &a x\nb: [", "*a, ", "]\n"),
    ("a: [", "&a x, ", "]\n"),
    ("a: ", "&a ", "x\n"),
    ("a: [", "!!str x, ", "]\n"),
    ("a: b # !c, d\n#", "e", ""),
    ("a: ", "[", "x!b, c"),
    ("a: [", "x!b, ", "]\n"),
    ("a: [", "!<b,c> d, ", "]\n"),
    ("", "# !a, b\n", ""),
    ("a: !<", "%41", "> x\n"),
    ("a: !", "a", " x\n"),
    ("a: 1\n", "---\na: 1\n", ""),
    ("", "...\n", ""),
    ("", "%YAML 1.2\n---\n", ""),
    ("", "#\n", ""),
    ("a: x ", "# ", "\n"),
    ("", "\n", "a: x\n"),
    ("", " ", "a: x\n"),
    ("", "\t", "a: x\n"),
    ("", "\r", "a: x\n"),
    ("", "a", ": x\n"),
    ("a: ", "é", "\n"),
    ("a: ", "\u{feff}", "\n"),
    ("", "<<: {}\n", ""),
];

#[test]
fn the_edit_of_a_large_file_costs_in_proportion_whatever_is_in_it() {
    let (paths, name) = ([TagPath::default()], ImageName::parse("ghcr.io/acme/checkout").unwrap());
    let shapes: Vec<(String, &str, &str)> =
        YAML.iter().map(|(text, piece, end)| (format!("image:\n  tag: x\n{text}"), *piece, *end)).collect();
    let shapes: Vec<_> = shapes.iter().map(|(text, piece, end)| (text.as_str(), *piece, *end)).collect();
    // An eighth of the largest is enough to tell.
    costs_in_proportion(LARGEST / 8, &shapes, |file| {
        let ours = OurImage { name: &name, mirrors: &[] };
        let _ = set_tag(
            std::str::from_utf8(file).unwrap(),
            At::tags(&paths),
            ours,
            Version { tag: "main-abc1234", digest: None },
        );
    });
}

#[test]
fn a_large_catalog_costs_in_proportion_whatever_is_in_it() {
    let own = [
        ("apps:\n  x: &x {repo: a/b, image: c/d}\n", "  x: *x\n", ""),
        ("x: &x {users: [U1]}\napps:\n  x:\n    repo: a/b\n    image: c\n    environments:\n", "      a: *x\n", ""),
        ("apps:\n", "  x: {repo: a/b, image: c}\n", ""),
    ];
    costs_in_proportion(LONGEST / 4, &[YAML, &own].concat(), |text| {
        let _ = Catalog::parse(std::str::from_utf8(text).unwrap());
    });
}

#[test]
fn a_catalog_of_many_apps_is_read_in_proportion() {
    let many = |size: usize| {
        let apps = (0..size / 40).map(|n| format!("  a{n}: {{repo: a/b, image: c}}\n")).collect::<String>();
        format!("apps:\n{apps}")
    };
    let read = |text: &[u8]| assert!(Catalog::parse(std::str::from_utf8(text).unwrap()).is_ok());
    let (small, large) = (cost(&read, many(LONGEST / 8).as_bytes()), cost(&read, many(LONGEST).as_bytes()));
    assert!(large < small.max(NOTHING) * 24, "{small} ns, then {large} ns");
}

/// Each window of a freeze names a time zone: it is parsed once, not once for each window.
#[test]
fn a_catalog_of_many_freezes_is_read_in_proportion() {
    let windows = "{from: 10:00, until: 11:00, zone: America/New_York}, ".repeat(20);
    let many = |apps: usize| {
        let apps = (1..apps).map(|n| format!("  a{n}: {{repo: a/b, image: c, freeze: *f}}\n")).collect::<String>();
        format!("apps:\n  a0: {{repo: a/b, image: c, freeze: &f [{windows}]}}\n{apps}")
    };
    let read = |text: &[u8]| assert_eq!(Catalog::parse(std::str::from_utf8(text).unwrap()).map(|_| ()), Ok(()));
    let (small, large) = (cost(&read, many(36).as_bytes()), cost(&read, many(288).as_bytes()));
    println!("{} us, then {} us", small / 1000, large / 1000);
    assert!(large < small.max(NOTHING) * 24, "{small} ns, then {large} ns");
    assert!(Catalog::parse(&many(310)).is_err(), "this is the most");
}

/// An alias of a few bytes may replace a large value: the size of a catalog in memory is bounded.
#[test]
fn aliases_do_not_make_a_small_catalog_large() {
    let paths: String = (0..100).map(|n| format!("'{}x{n}', ", "a.".repeat(31))).collect();
    let apps: String = (0..1800).map(|n| format!("  a{n}: {{repo: a/b, image: c, tag_at: *t}}\n")).collect();
    let paths = format!("apps:\n  x: {{repo: a/b, image: c, tag_at: &t [{paths}]}}\n{apps}");
    let rule = "{branch}".repeat(16_000);
    let apps: String = (0..1000).map(|n| format!("  a{n}: {{repo: a/b, image: c, tag: *t}}\n")).collect();
    let rules = format!("apps:\n  x: {{repo: a/b, image: c, tag: &t '{rule}{{sha}}'}}\n{apps}");
    for text in [paths, rules] {
        assert!(text.len() < LONGEST);
        let error = Catalog::parse(&text).unwrap_err();
        assert!(error.problem.contains("the catalog is too large"), "{error:?}");
    }
}

#[test]
fn bodies_of_the_largest_size_cost_in_proportion_at_both_doors() {
    let form = "team_id=T1&channel_id=C1&user_id=U1&command=/deploy&response_url=https://x&trigger_id=1&text=";
    let shapes = [
        ("", "&", ""),
        ("", "=", ""),
        ("", "text=&", ""),
        ("", "%74ext&", ""),
        (form, "%41", ""),
        (form, "+", ""),
        (form, "&amp;", ""),
        (form, "%26amp%3b", ""),
        (form, "<", ""),
        (form, "@", ""),
        (form, "a/", ""),
    ];
    costs_in_proportion(64 << 10, &shapes, fuzz::slack_form);
    let shapes = [
        ("payload=", "[", ""),
        ("payload={\"type\":\"block_actions\",\"x\":", "[", ""),
        ("{\"type\":\"block_actions\",\"x\":\"", "\\u0041", "\"}"),
        ("{\"type\":\"block_actions\",\"actions\":[", "{\"action_id\":\"a\"},", "{\"action_id\":\"a\"}]}"),
        ("{", "\"type\":\"block_actions\",", "\"type\":\"block_actions\"}"),
    ];
    costs_in_proportion(64 << 10, &shapes, fuzz::slack_interaction);
    let shapes = [
        ("\npush\nsigned\n{\"commits\":[", "{},", "{}]}"),
        ("\npush\nsigned\n{\"commits\":", "[", ""),
        ("\npush\nsigned\n{\"commits\":[\"", "\\\"", "\"]}"),
        ("\npush\nsigned\n{\"commits\":[\"", "]", "\"]}"),
        ("\npush\nsigned\n{\"a\":\"", "a", "\"}"),
    ];
    costs_in_proportion(2 << 20, &shapes, fuzz::push);
}

#[test]
fn large_answers_of_other_systems_cost_in_proportion() {
    let shapes = [
        ("\n", ":\n", ""),
        ("\n", "\n", ""),
        ("\n", " ", "\n"),
        ("\n", "data:{\"error\":{}}\n", ""),
        ("\ndata:", "[", "\n"),
        (
            "\n{\"result\":{\"type\":\"ADDED\",\"application\":{\"metadata\":{\"name\":\"x\"},\"status\":{\"health\":{\"message\":\"",
            "a ",
            "\"}}}}}\n",
        ),
        ("\n{\"error\":{\"message\":\"", "\\n", "\"}}\n"),
        (
            "\n{\"result\":{\"type\":\"ADDED\",\"application\":{\"metadata\":{\"name\":\"x\"},\"status\":{\"resources\":[",
            "{\"health\":{\"status\":\"Degraded\"}},",
            "{}]}}}}\n",
        ),
    ];
    costs_in_proportion(1 << 20, &shapes, fuzz::argocd_events);
    let shapes = [
        ("200\nmain\n\n{\"data\":", "[", ""),
        ("200\nmain\n\n{\"errors\":[", "{\"type\":\"NOT_FOUND\",\"path\":[1]},", "{}]}"),
        ("200\nmain\n\n{\"errors\":[{\"message\":\"", " a", "\"}]}"),
        ("403\nmain\n\n{\"message\":\"", "rate ", "\"}"),
    ];
    costs_in_proportion(1 << 20, &shapes, fuzz::github_snapshot);
    let shapes = [
        ("ghcr.io/a/b\n401\nwww-authenticate: ", ",", "\n\n"),
        ("ghcr.io/a/b\n401\nwww-authenticate: ", "a ", "\n\n"),
        ("ghcr.io/a/b\n401\nwww-authenticate: ", "a=b,", "\n\n"),
        ("ghcr.io/a/b\n401\nwww-authenticate: ", "Bearer a=\"b\",", "\n\n"),
        ("ghcr.io/a/b\n401\nwww-authenticate: Bearer realm=\"", "\\", "\n\n"),
        ("ghcr.io/a/b\n401\nwww-authenticate: Bearer realm=\"", "\",\"", "\n\n"),
        ("ghcr.io/a/b\n401\n", "www-authenticate: Bearer\n", "\n\n"),
    ];
    costs_in_proportion(64 << 10, &shapes, fuzz::registry);
}
