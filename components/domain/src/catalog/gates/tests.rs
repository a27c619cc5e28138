//! Patterns against a plain rewording of them, and freezes against the calendar, above all when the clocks change.

use super::*;
use proptest::prelude::*;

fn glob(pattern: &str) -> BranchGlob {
    BranchGlob::parse(pattern).unwrap_or_else(|| panic!("{pattern:?} is a pattern"))
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

#[test]
fn a_pattern_matches_whole_names_within_their_segments() {
    let check = |pattern: &str, yes: &[&str], no: &[&str]| {
        for name in yes {
            assert!(glob(pattern).matches(&branch(name)), "{pattern} takes {name}");
        }
        for name in no {
            assert!(!glob(pattern).matches(&branch(name)), "{pattern} does not take {name}");
        }
    };
    check("main", &["main"], &["mai", "mains", "Main", "x/main", "main/x"]);
    check("release/*", &["release/1", "release/1.2-rc"], &["release", "release/1/2", "releases/1", "x/release/1"]);
    check("release/**", &["release/1", "release/1/2"], &["release", "releases/1"]);
    check("release**", &["release", "release/1/2", "releases"], &["x/release"]);
    check("*", &["main", "ümlaut"], &["a/b"]);
    check("**", &["main", "a/b/c"], &[]);
    check("*/*", &["a/b"], &["a", "a/b/c"]);
    check("**/fix", &["a/fix", "a/b/fix"], &["fix", "a/fix/b"]);
    check("v?", &["v1", "vü"], &["v", "v12"]);
    check("a?b", &["a-b", "axb"], &["a/b", "ab"]);
    check("*-x-*", &["a-x-b", "x--x-"], &["a-x", "x-b"]);
    check("r*/v?.*-**", &["r/v1.-x/y", "rel/v2.0.1-rc/a-b"], &["r/x/v1.0-a", "r/v12.0-a"]);
    check("**a*b**c", &["abc", "xa/ab/c", "aabbcc"], &["acb", "a/bc/d"]);
}

#[test]
fn a_pattern_that_no_branch_can_match_is_refused() {
    for pattern in
        ["", " ", "a b", "[ab]", "a..b", "/main", "main/", "a//b", "***", "a:b", "~x", "x\\*", "a\nb", "*.lock", ".*"]
    {
        assert_eq!(BranchGlob::parse(pattern), None, "{pattern:?}");
    }
    assert_eq!(BranchGlob::parse(&"a".repeat(245)), None);
    assert_eq!(glob("release/*").to_string(), "release/*");
}

#[test]
fn a_pattern_of_many_stars_does_not_take_long() {
    let name = branch(&"a".repeat(244));
    for stars in ["*a", "**a"] {
        let pattern = format!("{}b", stars.repeat(80));
        assert!(!glob(&pattern).matches(&name));
    }
}

/// What the pattern means, said once more: slowly.
fn plainly(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        (['*', '*', rest @ ..], _) => (0..=name.len()).any(|n| plainly(rest, &name[n..])),
        (['*', rest @ ..], _) => {
            let segment = name.iter().position(|c| *c == '/').unwrap_or(name.len());
            (0..=segment).any(|n| plainly(rest, &name[n..]))
        }
        (['?', rest @ ..], [c, name @ ..]) => *c != '/' && plainly(rest, name),
        ([wanted, rest @ ..], [c, name @ ..]) => wanted == c && plainly(rest, name),
        ([], []) => true,
        _ => false,
    }
}

#[test]
fn people_are_named_by_themselves_or_by_a_group() {
    let (user, group) = (|id| SlackUser::parse(id).unwrap(), |id| SlackGroup::parse(id).unwrap());
    let people = People { users: vec![user("U1")], groups: vec![group("S1")] };
    assert!(people.names(&user("U1")) && people.includes(&user("U1"), &[]));
    assert!(!people.names(&user("U2")) && !people.includes(&user("U2"), &[group("S2")]));
    assert!(people.includes(&user("U2"), &[group("S2"), group("S1")]));
    assert!(!people.is_empty() && People::default().is_empty());
    assert!(!People::default().includes(&user("U1"), &[group("S1")]));
}

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

fn gates(windows: &[(&str, &str, &str)]) -> Gates {
    let freeze = windows.iter().map(|(from, until, zone)| Freeze::parse(from, until, zone).unwrap()).collect();
    Gates { freeze, ..Gates::default() }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

/// Each line: a moment, and until when it is frozen, in UTC.
fn check(windows: &[(&str, &str, &str)], moments: &[(&str, Option<&str>)]) {
    let gates = gates(windows);
    for (now, until) in moments {
        let found = gates.frozen_until(at(now)).map(Timestamp::to_rfc3339);
        assert_eq!(found.as_deref(), *until, "{windows:?} at {now}");
    }
}

#[test]
fn a_window_is_in_force_from_its_first_moment_and_before_its_last() {
    // 2026-08-21 is a Friday; Berlin is two hours ahead.
    check(
        &[("Fri 16:00", "Mon 08:00", BERLIN)],
        &[
            ("2026-08-21T13:59:59.999Z", None),
            ("2026-08-21T14:00:00Z", Some("2026-08-24T06:00:00Z")),
            ("2026-08-22T22:30:00Z", Some("2026-08-24T06:00:00Z")),
            ("2026-08-24T05:59:59.999Z", Some("2026-08-24T06:00:00Z")),
            ("2026-08-24T06:00:00Z", None),
            ("2026-08-26T12:00:00Z", None),
        ],
    );
    check(
        &[("22:00", "06:00", BERLIN)],
        &[
            ("2026-08-21T19:59:59Z", None),
            ("2026-08-21T20:00:00Z", Some("2026-08-22T04:00:00Z")),
            ("2026-08-22T00:00:00Z", Some("2026-08-22T04:00:00Z")),
            ("2026-08-22T04:00:00Z", None),
        ],
    );
    check(
        &[("Tue 09:00", "Tue 10:30", "UTC")],
        &[
            ("2026-08-25T08:59:59Z", None),
            ("2026-08-25T09:00:00Z", Some("2026-08-25T10:30:00Z")),
            ("2026-08-25T10:30:00Z", None),
            ("2026-08-26T09:30:00Z", None),
        ],
    );
    // All week but ten minutes.
    check(
        &[("Wed 12:10", "Wed 12:00", "UTC")],
        &[("2026-08-26T12:05:00Z", None), ("2026-08-26T12:10:00Z", Some("2026-09-02T12:00:00Z"))],
    );
    check(&[], &[("2026-08-25T09:00:00Z", None)]);
}

#[test]
fn a_zone_half_an_hour_off_and_one_across_the_date_line() {
    check(&[("09:00", "10:00", "Asia/Kolkata")], &[("2026-08-21T03:30:00Z", Some("2026-08-21T04:30:00Z"))]);
    check(
        &[("Sat 00:00", "Sun 00:00", "Pacific/Auckland")],
        &[("2026-08-21T11:59:00Z", None), ("2026-08-21T12:00:00Z", Some("2026-08-22T12:00:00Z"))],
    );
}

#[test]
fn an_hour_that_the_clock_skips_is_in_no_freeze() {
    // Berlin 2026-03-29: 01:59:59 is followed by 03:00, at 01:00 UTC.
    check(
        &[("Sat 22:00", "Sun 02:30", BERLIN)],
        &[("2026-03-28T22:00:00Z", Some("2026-03-29T01:00:00Z")), ("2026-03-29T01:00:00Z", None)],
    );
    check(
        &[("02:30", "05:00", BERLIN)],
        &[("2026-03-29T00:59:59Z", None), ("2026-03-29T01:00:00Z", Some("2026-03-29T03:00:00Z"))],
    );
    check(
        &[("02:00", "03:00", BERLIN)],
        &[("2026-03-29T00:59:59Z", None), ("2026-03-29T01:00:00Z", None), ("2026-03-29T01:30:00Z", None)],
    );
    // New York 2026-03-08: 01:59:59 is followed by 03:00, at 07:00 UTC.
    check(
        &[("00:00", "06:00", NEW_YORK)],
        &[("2026-03-08T05:00:00Z", Some("2026-03-08T10:00:00Z")), ("2026-03-08T10:00:00Z", None)],
    );
    check(&[("00:00", "02:00", NEW_YORK)], &[("2026-03-08T05:00:00Z", Some("2026-03-08T07:00:00Z"))]);
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_frozen_both_times() {
    // Berlin 2026-10-25: 02:59:59 is followed by 02:00, at 01:00 UTC.
    check(
        &[("Sat 22:00", "Sun 02:30", BERLIN)],
        &[
            ("2026-10-24T22:00:00Z", Some("2026-10-25T00:30:00Z")),
            ("2026-10-25T00:30:00Z", None),
            ("2026-10-25T01:00:00Z", Some("2026-10-25T01:30:00Z")),
            ("2026-10-25T01:30:00Z", None),
        ],
    );
    check(
        &[("02:00", "03:00", BERLIN)],
        &[("2026-10-25T00:00:00Z", Some("2026-10-25T02:00:00Z")), ("2026-10-25T02:00:00Z", None)],
    );
    check(
        &[("02:30", "04:00", BERLIN)],
        &[
            ("2026-10-25T00:30:00Z", Some("2026-10-25T01:00:00Z")),
            ("2026-10-25T01:00:00Z", None),
            ("2026-10-25T01:30:00Z", Some("2026-10-25T03:00:00Z")),
        ],
    );
    // New York 2026-11-01: 01:59:59 is followed by 01:00, at 06:00 UTC. The weekend has 49 hours.
    check(
        &[("Sat 00:00", "Mon 00:00", NEW_YORK)],
        &[("2026-10-31T03:59:59Z", None), ("2026-10-31T04:00:00Z", Some("2026-11-02T05:00:00Z"))],
    );
    check(&[("00:00", "02:00", NEW_YORK)], &[("2026-11-01T04:00:00Z", Some("2026-11-01T07:00:00Z"))]);
}

#[test]
fn windows_that_overlap_or_touch_are_one_freeze() {
    check(
        &[("Mon 10:00", "Mon 12:00", "UTC"), ("Mon 14:00", "Mon 16:00", "UTC"), ("Mon 11:00", "Mon 14:00", "UTC")],
        &[
            ("2026-08-24T10:00:00Z", Some("2026-08-24T16:00:00Z")),
            ("2026-08-24T13:00:00Z", Some("2026-08-24T16:00:00Z")),
            ("2026-08-24T16:00:00Z", None),
        ],
    );
    // Across zones: 16:00 in Berlin is 10:00 in New York.
    check(
        &[("12:00", "16:00", BERLIN), ("10:00", "11:00", NEW_YORK)],
        &[("2026-08-24T10:00:00Z", Some("2026-08-24T15:00:00Z"))],
    );
    // One minute between them is free.
    check(
        &[("10:00", "12:00", "UTC"), ("12:01", "13:00", "UTC")],
        &[("2026-08-24T10:00:00Z", Some("2026-08-24T12:00:00Z"))],
    );
}

#[test]
fn a_freeze_without_an_end_is_followed_for_eight_days() {
    check(
        &[("06:00", "18:00", BERLIN), ("18:00", "06:00", BERLIN)],
        &[("2026-08-21T12:34:56Z", Some("2026-08-29T12:34:56Z"))],
    );
    // The clock skips the one hour of the week that is free.
    check(
        &[("Sun 03:00", "Sun 02:00", BERLIN)],
        &[
            ("2026-03-21T01:30:00Z", Some("2026-03-22T01:00:00Z")),
            ("2026-03-22T02:00:00Z", Some("2026-03-30T02:00:00Z")),
            ("2026-03-28T12:00:00Z", Some("2026-04-05T00:00:00Z")),
        ],
    );
}

#[test]
fn a_moment_beyond_every_calendar_does_no_harm() {
    let gates = gates(&[("00:00", "12:00", BERLIN), ("12:00", "00:00", BERLIN)]);
    for now in [u64::MAX, i64::MAX as u64, 253_402_300_799_999, 0] {
        let _ = gates.frozen_until(Timestamp(now));
    }
}

#[test]
fn what_cannot_be_a_freeze_is_said_with_its_key() {
    let all = [
        ("16:00", "16:00", BERLIN),
        ("Fri 16:00", "Fri 16:00", BERLIN),
        ("Fri 16:00", "08:00", BERLIN),
        ("16:00", "Mon 08:00", BERLIN),
        ("Friday 16:00", "Mon 08:00", BERLIN),
        ("fri 16:00", "Mon 08:00", BERLIN),
        ("Fri  16:00", "Mon 08:00", BERLIN),
        ("16", "17:00", BERLIN),
        ("24:00", "17:00", BERLIN),
        ("+1:00", "17:00", BERLIN),
        ("9:00", "17:00", BERLIN),
        ("09:00", "17:60", BERLIN),
        ("09:00", "17:00:00", BERLIN),
        ("09:00", "17:00", "Berlin"),
        ("09:00", "17:00", "new_york"),
        ("09:00", "17:00", "Europe/Berln"),
        ("09:00", "17:00", "America/New York"),
        ("09:00", "17:00", "+02:00"),
        ("09:00", "17:00", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("09:00", "17:00", "Etc/Unknown"),
        ("09:00", "17:00", "../../etc/localtime"),
        ("09:00", "17:00", ""),
    ];
    let all = all.map(|(from, until, zone)| {
        let InvalidFreeze { key, problem } = Freeze::parse(from, until, zone).unwrap_err();
        format!("{key}: {problem}")
    });
    insta::assert_snapshot!(all.join("\n"), @"
    until: `16:00` is the same as `from`
    until: `Fri 16:00` is the same as `from`
    until: give it a weekday if `from` has one, and none if it has none
    until: give it a weekday if `from` has one, and none if it has none
    from: `Friday 16:00` is not a time such as `16:00` or `Fri 16:00`
    from: `fri 16:00` is not a time such as `16:00` or `Fri 16:00`
    from: `Fri  16:00` is not a time such as `16:00` or `Fri 16:00`
    from: `16` is not a time such as `16:00` or `Fri 16:00`
    from: `24:00` is not a time such as `16:00` or `Fri 16:00`
    from: `+1:00` is not a time such as `16:00` or `Fri 16:00`
    from: `9:00` is not a time such as `16:00` or `Fri 16:00`
    until: `17:60` is not a time such as `16:00` or `Fri 16:00`
    until: `17:00:00` is not a time such as `16:00` or `Fri 16:00`
    zone: `Berlin` is not a known time zone: did you mean `Europe/Berlin`?
    zone: `new_york` is not a known time zone: did you mean `America/New_York`?
    zone: `Europe/Berln` is not a known time zone: did you mean `Europe/Berlin`?
    zone: `America/New York` is not a known time zone: did you mean `America/New_York`?
    zone: `+02:00` is not a known time zone: it is named like `Europe/Berlin`
    zone: `CET-1CEST,M3.5.0,M10.5.0/3` is not a known time zone: did you mean `CET`?
    zone: `Etc/Unknown` is not a known time zone: it is named like `Europe/Berlin`
    zone: `../../etc/localtime` is not a known time zone: it is named like `Europe/Berlin`
    zone: `` is not a known time zone: it is named like `Europe/Berlin`
    ");
}

#[test]
fn a_freeze_is_shown_as_it_is_written() {
    for (from, until, zone) in
        [("Fri 16:00", "Mon 08:00", BERLIN), ("22:00", "06:05", NEW_YORK), ("00:00", "23:59", "UTC")]
    {
        let shown = Freeze::parse(from, until, zone).unwrap().to_string();
        assert_eq!(shown, format!("{from} to {until} {zone}"));
    }
    assert_eq!(Freeze::parse("01:00", "02:00", "europe/berlin"), Freeze::parse("01:00", "02:00", BERLIN));
}

fn window() -> impl Strategy<Value = (String, String, String)> {
    let zone =
        prop::sample::select(vec![BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"]);
    let time = || (0usize..7, 0u8..24, prop::sample::select(vec![0u8, 1, 30, 59]));
    (any::<bool>(), time(), time(), zone).prop_filter_map("not empty", |(weekly, from, until, zone)| {
        let text = |(day, hour, minute): (usize, u8, u8)| {
            let day = if weekly { format!("{} ", DAYS[day]) } else { String::new() };
            format!("{day}{hour:02}:{minute:02}")
        };
        let (from, until) = (text(from), text(until));
        (from != until).then(|| (from, until, zone.to_owned()))
    })
}

/// Whether the clock on the wall shows a time within a window, by jiff's own calendar.
fn on_the_wall(freeze: &Freeze, now: Timestamp) -> bool {
    let moment = jiff::Timestamp::from_millisecond(now.0 as i64).unwrap();
    let wall = freeze.zone.to_datetime(moment);
    let weekly = freeze.from.day.is_some();
    let day = if weekly { wall.weekday().to_monday_zero_offset() as u8 } else { 0 };
    let shown = (day, wall.hour() as u8, wall.minute() as u8);
    let place = |time: WallTime| (time.day.unwrap_or(0), time.hour, time.minute);
    let (from, until) = (place(freeze.from), place(freeze.until));
    if from < until { from <= shown && shown < until } else { shown >= from || shown < until }
}

proptest! {
    #[test]
    fn a_pattern_means_what_it_says(pattern in "[ab/?*]{1,8}", name in "[ab]([ab/]{0,8}[ab])?") {
        if let (Some(glob), Ok(name)) = (BranchGlob::parse(&pattern), BranchName::parse(&name)) {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = plainly(&characters(&pattern), &characters(name.as_str()));
            prop_assert_eq!(glob.matches(&name), expected, "{} {}", glob, name);
        }
    }

    #[test]
    fn at_any_moment_it_is_frozen_until_the_first_moment_that_is_not(
        windows in prop::collection::vec(window(), 0..4),
        // Three years of minutes from 2026 on, and some milliseconds.
        now in (1_767_225_600_000u64..1_861_920_000_000)
            .prop_map(|now| if now % 2 == 0 { now / 60_000 * 60_000 } else { now }),
    ) {
        let freeze = windows.iter().map(|(from, until, zone)| Freeze::parse(from, until, zone).unwrap()).collect();
        let (gates, now) = (Gates { freeze, ..Gates::default() }, Timestamp(now));
        let frozen = |now| gates.freeze.iter().any(|freeze| on_the_wall(freeze, now));
        let Some(until) = gates.frozen_until(now) else {
            prop_assert!(!frozen(now));
            return Ok(());
        };
        prop_assert!(now < until && until <= now.after(Freeze::FURTHEST));
        prop_assert!(until == now.after(Freeze::FURTHEST) || !frozen(until));
        // Every minute before is frozen.
        let minutes = (now.0 / 60_000 + 1..=(until.0 - 1) / 60_000).map(|minute| Timestamp(minute * 60_000));
        for moment in minutes.chain([now, Timestamp(until.0 - 1)]) {
            prop_assert!(frozen(moment), "not at {}", moment.to_rfc3339());
        }
    }
}
