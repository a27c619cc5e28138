//! Freezes against the calendar, above all when the clocks change.

use super::*;
use crate::catalog::gates::tests::Example;
use crate::deployment::samples::user;
use proptest::prelude::*;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

/// With two days of the calendar, or two times.
fn parse(from: &str, until: &str, zone: &str) -> Result<Freeze, InvalidWindow> {
    let until = if until.contains('-') { Until::Day(until) } else { Until::Time(until) };
    Freeze::parse(from, until, zone)
}

fn gates(windows: &[(&str, &str, &str)]) -> Gates {
    let freeze = windows.iter().map(|(from, until, zone)| parse(from, until, zone).unwrap()).collect();
    Gates { freeze, ..Gates::default() }
}

fn frozen_until(gates: &Gates, now: Timestamp) -> Option<Timestamp> {
    gates.frozen(now).map(|frozen| frozen.until)
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

/// Each line: a moment, and until when it is frozen, in UTC.
fn check(windows: &[(&str, &str, &str)], moments: &[(&str, Option<&str>)]) {
    let gates = gates(windows);
    for (now, until) in moments {
        let found = frozen_until(&gates, at(now)).map(Timestamp::to_rfc3339);
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
fn a_freeze_by_dates_ends_with_its_last_day() {
    check(
        &[("2026-12-20", "2027-01-02", BERLIN)],
        &[
            ("2026-12-19T22:59:59.999Z", None),
            ("2026-12-19T23:00:00Z", Some("2027-01-02T23:00:00Z")),
            ("2027-01-02T22:59:59.999Z", Some("2027-01-02T23:00:00Z")),
            ("2027-01-02T23:00:00Z", None),
            ("2027-12-25T12:00:00Z", None),
        ],
    );
    check(
        &[("2028-02-29", "2028-02-29", "Pacific/Auckland")],
        &[("2028-02-28T10:59:59Z", None), ("2028-02-28T11:00:00Z", Some("2028-02-29T11:00:00Z"))],
    );
    // With the windows of each week: the holidays begin on a Sunday within a weekend, and end on a Saturday.
    check(
        &[("2026-12-20", "2027-01-02", BERLIN), ("Fri 16:00", "Mon 08:00", BERLIN)],
        &[("2026-12-18T15:00:00Z", Some("2027-01-04T07:00:00Z")), ("2026-12-17T15:00:00Z", None)],
    );
    // A freeze of every hour is followed for eight days after the last date.
    check(
        &[("2026-12-20", "2027-01-02", "UTC"), ("00:00", "12:00", "UTC"), ("12:00", "00:00", "UTC")],
        &[
            ("2026-12-20T00:00:00Z", Some("2027-01-11T00:00:00Z")),
            ("2026-12-13T00:00:00Z", Some("2027-01-11T00:00:00Z")),
            ("2026-12-11T00:00:00Z", Some("2026-12-19T00:00:00Z")),
        ],
    );
}

#[test]
fn a_day_begins_and_ends_with_the_clock_on_the_wall() {
    // Cairo 2026-04-24: 23:59:59 of the day before is followed by 01:00, at 22:00 UTC.
    check(
        &[("2026-04-24", "2026-04-24", "Africa/Cairo")],
        &[("2026-04-23T21:59:59Z", None), ("2026-04-23T22:00:00Z", Some("2026-04-24T21:00:00Z"))],
    );
    // Cairo 2026-10-29: 23:59:59 is followed by 23:00 of the same day, at 21:00 UTC.
    check(
        &[("2026-10-29", "2026-10-29", "Africa/Cairo")],
        &[("2026-10-29T20:59:59Z", Some("2026-10-29T22:00:00Z")), ("2026-10-29T22:00:00Z", None)],
    );
    // Berlin 2026-10-25 has 25 hours, and 2026-03-29 has 23.
    check(&[("2026-10-25", "2026-10-25", BERLIN)], &[("2026-10-24T22:00:00Z", Some("2026-10-25T23:00:00Z"))]);
    check(&[("2026-03-29", "2026-03-29", BERLIN)], &[("2026-03-28T23:00:00Z", Some("2026-03-29T22:00:00Z"))]);
}

#[test]
fn of_freezes_in_force_the_one_that_ends_last_says_why() {
    let because = |(from, until, why): (&str, &str, &str)| {
        let freeze = parse(from, until, "UTC").unwrap();
        Freeze { why: Some(why.to_owned()).filter(|why| !why.is_empty()), ..freeze }
    };
    let all = [("22:00", "06:00", "night"), ("2026-12-20", "2027-01-02", "holidays"), ("Sat 00:00", "Mon 00:00", "")];
    let freeze = all.map(because).to_vec();
    let gates = Gates { freeze, ..Gates::default() };
    let why = |now: &str| gates.frozen(at(now)).unwrap().why;
    assert_eq!(why("2026-12-24T23:00:00Z").as_deref(), Some("holidays"));
    assert_eq!(why("2027-01-05T23:00:00Z").as_deref(), Some("night"));
    assert_eq!(why("2027-01-09T12:00:00Z"), None);
    assert_eq!(why("2027-01-09T23:00:00Z").as_deref(), Some("night"));
}

#[test]
fn a_moment_beyond_every_calendar_does_no_harm() {
    let gates = gates(&[("00:00", "12:00", BERLIN), ("12:00", "00:00", BERLIN), ("9999-01-01", "9999-12-31", BERLIN)]);
    for now in [u64::MAX, i64::MAX as u64, 253_402_300_799_999, 0] {
        let _ = gates.frozen(Timestamp(now));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
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
        ("2026-12-20", "12:00", BERLIN),
        ("Fri 16:00", "2026-12-20", BERLIN),
        ("2026-12-20", "2026-12-19", BERLIN),
        ("2026-12-20", "2062-01-02", BERLIN),
        ("2026-02-29", "2026-03-02", BERLIN),
        ("2026-12-20", "2026-13-01", BERLIN),
        ("2026-12-20", "2027-1-2", BERLIN),
        ("2026-12-20", "20-12-2026", BERLIN),
        ("20261220", "2027-01-02", BERLIN),
        ("2026-12-20", "2027-01-02", "Berlin"),
    ];
    let all = all.map(|(from, until, zone)| {
        let InvalidWindow { key, problem } = parse(from, until, zone).unwrap_err();
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
    until: `2026-12-20` is a day, so write `to`, the last day that is frozen, instead
    from: `Fri 16:00` is not a day such as `2026-12-20`
    to: `2026-12-19` is before `from`
    to: `2062-01-02` is more than 366 days after `from`
    from: `2026-02-29` is not a day such as `2026-12-20`
    to: `2026-13-01` is not a day such as `2026-12-20`
    to: `2027-1-2` is not a day such as `2026-12-20`
    to: `20-12-2026` is not a day such as `2026-12-20`
    from: `20261220` is not a day such as `2026-12-20`
    zone: `Berlin` is not a known time zone: did you mean `Europe/Berlin`?
    ");
}

#[test]
fn a_freeze_is_shown_as_it_is_written() {
    for (from, until, zone) in [
        ("Fri 16:00", "Mon 08:00", BERLIN),
        ("22:00", "06:05", NEW_YORK),
        ("00:00", "23:59", "UTC"),
        ("2026-12-20", "2027-01-02", BERLIN),
    ] {
        let shown = parse(from, until, zone).unwrap().to_string();
        assert_eq!(shown, format!("{from} to {until} {zone}"));
    }
    assert_eq!(parse("01:00", "02:00", "europe/berlin"), parse("01:00", "02:00", BERLIN));
}

#[test]
fn a_freeze_can_be_overridden_by_an_owner() {
    let mut example = Example::new();
    let always = vec![parse("00:00", "12:00", "UTC").unwrap(), parse("12:00", "00:00", "UTC").unwrap()];
    assert_eq!(example.ask(&Vec::<Freeze>::new()), "passes");
    let said = example.ask(&always);
    assert!(said.starts_with("not deployed: checkout@production is frozen until "), "{said}");
    assert!(said.ends_with("Try again then."), "{said}");

    example.override_reason = Some("hotfix");
    let not_owner = "not deployed: only an owner may override the freeze of checkout@production.";
    assert!(example.ask(&always).starts_with(not_owner));
    let group = crate::names::SlackGroup::parse("S1").unwrap();
    example.owners = People { users: vec![user("U9")], groups: vec![group] };
    assert!(example.ask(&always).ends_with("Ask one of the `owners` in `deploy-bot.yaml`. (U1 in S1?)"));
    example.groups = vec![("U1", "S1")];
    assert_eq!(example.ask(&always), "passes overridden (hotfix) (U1 in S1?) (U1 a guest?)");
    assert_eq!(example.ask(&Vec::<Freeze>::new()), "passes", "nothing to override");
}

#[test]
fn whom_each_freeze_in_force_names_may_override_it_and_nobody_else() {
    let freeze = |from: &str, until: &str, pass: &[&str]| Freeze {
        pass: People { users: pass.iter().map(|name| user(name)).collect(), groups: Vec::new() },
        ..parse(from, until, "UTC").unwrap()
    };
    // Now it is 09:42.
    let (short, long) = (freeze("09:00", "11:00", &["U1", "U2"]), freeze("09:30", "12:00", &["U2", "U1"]));
    let (unnamed, later) = (freeze("09:00", "10:30", &[]), freeze("10:30", "13:00", &[]));
    let mut example = Example { override_reason: Some("hotfix"), ..Example::new() };
    let passes = "passes overridden (hotfix)";
    assert_eq!(example.ask(&vec![short.clone()]), passes);
    assert_eq!(example.ask(&vec![short.clone(), long, later]), passes);
    let said = example.ask(&vec![short.clone(), unnamed]);
    assert!(
        said.contains("only an owner may override the freeze of checkout@production. There are none yet"),
        "{said}"
    );
    example.user = user("U3");
    let said = example.ask(&vec![short.clone()]);
    let only = "only <@U1> or <@U2> may override the freeze of checkout@production. Ask one of them.";
    assert!(said.contains(only), "{said}");
    // Without the word nobody passes, and who might is named.
    example.override_reason = None;
    example.user = user("U1");
    let said = example.ask(&vec![short.clone()]);
    assert!(said.contains("In an emergency, <@U1> or <@U2> can go ahead by adding `override`"), "{said}");
    example.owners.users = vec![user("U9")];
    let said = example.ask(&vec![short]);
    assert!(said.contains("an owner, <@U1> or <@U2> can go ahead"), "{said}");
}

pub(in crate::catalog::gates) const ZONES: [&str; 7] =
    [BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata"];

fn window() -> impl Strategy<Value = (String, String, String)> {
    let time = || (0usize..7, 0u8..24, prop::sample::select(vec![0u8, 1, 30, 59]));
    let times = (any::<bool>(), time(), time()).prop_filter_map("not empty", |(weekly, from, until)| {
        let text = |(day, hour, minute): (usize, u8, u8)| {
            let day = if weekly { format!("{} ", DAYS[day]) } else { String::new() };
            format!("{day}{hour:02}:{minute:02}")
        };
        let (from, until) = (text(from), text(until));
        (from != until).then_some((from, until))
    });
    let days = (0u64..365 * 3, 0u64..20).prop_map(|(begins, length)| {
        let day = |days: u64| Day(20_454 + days).to_string();
        (day(begins), day(begins + length))
    });
    let zone = prop::sample::select(ZONES.to_vec());
    (prop_oneof![2 => times, 1 => days], zone).prop_map(|((from, until), zone)| (from, until, zone.to_owned()))
}

/// Whether the clock on the wall shows a time within a window, by jiff's own calendar.
fn on_the_wall(freeze: &Freeze, now: Timestamp) -> bool {
    let moment = jiff::Timestamp::from_millisecond(now.0 as i64).unwrap();
    let wall = freeze.zone.to_datetime(moment);
    let (from, until) = match freeze.span {
        Span::Days { from, to } => {
            let day = wall.date().to_string();
            return from.to_string() <= day && day <= to.to_string();
        }
        Span::Times { from, until } => (from, until),
    };
    let weekly = from.day.is_some();
    let day = if weekly { wall.weekday().to_monday_zero_offset() as u8 } else { 0 };
    let shown = (day, wall.hour() as u8, wall.minute() as u8);
    let place = |time: WallTime| (time.day.unwrap_or(0), time.hour, time.minute);
    let (from, until) = (place(from), place(until));
    if from < until { from <= shown && shown < until } else { shown >= from || shown < until }
}

proptest! {
    #[test]
    fn at_any_moment_it_is_frozen_until_the_first_moment_that_is_not(
        windows in prop::collection::vec(window(), 0..4),
        // Three years of minutes from 2026 on, and some milliseconds. Every other moment is at the beginning of a freeze by
        // dates, if there is one.
        now in (1_767_225_600_000u64..1_861_920_000_000)
            .prop_map(|now| if now % 2 == 0 { now / 60_000 * 60_000 } else { now }),
    ) {
        let freeze: Vec<_> = windows.iter().map(|(from, until, zone)| parse(from, until, zone).unwrap()).collect();
        let dated = freeze.iter().find_map(|freeze| match freeze.span {
            Span::Days { from, .. } => Some(from.begins() as u64),
            Span::Times { .. } => None,
        });
        let now = dated.filter(|_| now % 2 == 0).map_or(now, |day| day + now % (DAY as u64 * 2) - DAY as u64);
        let (gates, now) = (Gates { freeze, ..Gates::default() }, Timestamp(now));
        let frozen = |now| gates.freeze.iter().any(|freeze| on_the_wall(freeze, now));
        let Some(until) = frozen_until(&gates, now) else {
            prop_assert!(!frozen(now));
            return Ok(());
        };
        // Freezes by dates that follow each other end in at most 60 days.
        prop_assert!(now < until && until <= now.after(Freeze::FURTHEST + Duration::from_secs(86_400 * 84)));
        prop_assert!(until >= now.after(Freeze::FURTHEST) || !frozen(until));
        // Every minute before is frozen.
        let minutes = (now.0 / 60_000 + 1..=(until.0 - 1) / 60_000).map(|minute| Timestamp(minute * 60_000));
        for moment in minutes.chain([now, Timestamp(until.0 - 1)]) {
            prop_assert!(frozen(moment), "not at {}", moment.to_rfc3339());
        }
    }
}
