//! Windows against the calendar, above all when the clocks change.

use super::*;
use crate::catalog::gates::freeze::ZONES;
use crate::catalog::gates::tests::Example;
use crate::deployment::samples::user;
use proptest::prelude::*;

const BERLIN: &str = "Europe/Berlin";

fn parse((days, from, to, zone): &(&str, &str, &str, &str)) -> Result<Only, InvalidWindow> {
    Only::parse(&days.split(',').collect::<Vec<_>>(), from, to, zone)
}

fn gates(windows: &[(&str, &str, &str, &str)]) -> Gates {
    Gates { only: windows.iter().map(|window| parse(window).unwrap()).collect(), ..Gates::default() }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

/// Each line: a moment, and when it opens, as it is shown and in UTC; empty if it is open.
fn check(windows: &[(&str, &str, &str, &str)], moments: &[(&str, &str, &str)]) {
    let gates = gates(windows);
    for (now, shown, utc) in moments {
        let opens = gates.closed(at(now)).map(|closed| closed.opens.unwrap());
        let found = opens.map(|opens| (opens.shown, opens.at.to_rfc3339())).unwrap_or_default();
        assert_eq!((found.0.as_str(), found.1.as_str()), (*shown, *utc), "{windows:?} at {now}");
    }
}

#[test]
fn it_is_open_from_the_first_moment_and_closed_from_the_last() {
    // 2026-08-20 is a Thursday; Berlin is two hours ahead.
    let monday = ("Mon 09:00 Europe/Berlin", "2026-08-24T07:00:00Z");
    check(
        &[("mon-thu", "09:00", "16:00", BERLIN)],
        &[
            ("2026-08-20T06:59:59.999Z", "Thu 09:00 Europe/Berlin", "2026-08-20T07:00:00Z"),
            ("2026-08-20T07:00:00Z", "", ""),
            ("2026-08-20T13:59:59.999Z", "", ""),
            ("2026-08-20T14:00:00Z", monday.0, monday.1),
            ("2026-08-21T09:00:00Z", monday.0, monday.1),
            ("2026-08-23T21:59:59Z", monday.0, monday.1),
            ("2026-08-24T07:00:00Z", "", ""),
        ],
    );
    check(
        &[("fri", "22:00", "06:00", BERLIN)],
        &[
            ("2026-08-21T19:59:59Z", "Fri 22:00 Europe/Berlin", "2026-08-21T20:00:00Z"),
            ("2026-08-21T20:00:00Z", "", ""),
            ("2026-08-22T03:59:59Z", "", ""),
            ("2026-08-22T04:00:00Z", "Fri 22:00 Europe/Berlin", "2026-08-28T20:00:00Z"),
        ],
    );
    check(
        &[("sun-mon", "00:00", "24:00", "UTC")],
        &[
            ("2026-08-22T23:59:59Z", "Sun 00:00 UTC", "2026-08-23T00:00:00Z"),
            ("2026-08-24T00:00:00Z", "", ""),
            ("2026-08-25T00:00:00Z", "Sun 00:00 UTC", "2026-08-30T00:00:00Z"),
        ],
    );
    // The nearest of several.
    check(
        &[("mon", "09:00", "10:00", BERLIN), ("sat,sun", "10:00", "11:00", "America/New_York")],
        &[("2026-08-20T12:00:00Z", "Sat 10:00 America/New_York", "2026-08-22T14:00:00Z")],
    );
    check(&[], &[("2026-08-20T12:00:00Z", "", "")]);
}

#[test]
fn a_window_follows_the_clock_that_is_turned() {
    // Berlin 2026-03-29: 01:59:59 is followed by 03:00, at 01:00 UTC.
    check(
        &[("sun", "02:30", "05:00", BERLIN)],
        &[
            ("2026-03-29T00:59:59Z", "Sun 03:00 Europe/Berlin", "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", "", ""),
        ],
    );
    // The clock skips the whole window: the next one is a week later.
    let next = ("Sun 02:00 Europe/Berlin", "2026-04-05T00:00:00Z");
    check(
        &[("sun", "02:00", "03:00", BERLIN)],
        &[("2026-03-22T02:00:00Z", next.0, next.1), ("2026-03-29T01:30:00Z", next.0, next.1)],
    );
    // Berlin 2026-10-25: 02:59:59 is followed by 02:00, at 01:00 UTC. The half hour comes twice.
    check(
        &[("sun", "02:00", "02:30", BERLIN)],
        &[
            ("2026-10-25T00:00:00Z", "", ""),
            ("2026-10-25T00:30:00Z", "Sun 02:00 Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:00:00Z", "", ""),
            ("2026-10-25T01:30:00Z", "Sun 02:00 Europe/Berlin", "2026-11-01T01:00:00Z"),
        ],
    );
}

#[test]
fn what_cannot_be_a_window_is_said_with_its_key() {
    let all = [
        ("", "09:00", "16:00", BERLIN),
        ("monday", "09:00", "16:00", BERLIN),
        ("mon-", "09:00", "16:00", BERLIN),
        ("mon-wed-fri", "09:00", "16:00", BERLIN),
        ("mon", "9:00", "16:00", BERLIN),
        ("mon", "Mon 09:00", "16:00", BERLIN),
        ("mon", "24:00", "16:00", BERLIN),
        ("mon", "09:00", "24:01", BERLIN),
        ("mon", "09:00", "09:00", BERLIN),
        ("mon", "09:00", "16:00", "Berlin"),
    ];
    let all = all.map(|window| {
        let InvalidWindow { key, problem } = parse(&window).unwrap_err();
        format!("{key}: {problem}")
    });
    insta::assert_snapshot!(all.join("\n"), @"
    days: `` is not a day or a range of days such as `fri` or `mon-thu`
    days: `monday` is not a day or a range of days such as `fri` or `mon-thu`
    days: `mon-` is not a day or a range of days such as `fri` or `mon-thu`
    days: `mon-wed-fri` is not a day or a range of days such as `fri` or `mon-thu`
    from: `9:00` is not a time such as `09:00`
    from: `Mon 09:00` is not a time such as `09:00`
    from: write `00:00` of the next day
    to: `24:01` is not a time such as `09:00`
    to: `09:00` is the same as `from`
    zone: `Berlin` is not a known time zone: did you mean `Europe/Berlin`?
    ");
    assert_eq!(Only::parse(&[], "09:00", "16:00", BERLIN).unwrap_err().key, "days");
}

#[test]
fn a_window_is_shown_as_it_can_be_written() {
    let check = |days: &str, from: &str, to: &str, shown: &str| {
        let only = parse(&(days, from, to, BERLIN)).unwrap();
        assert_eq!(only.to_string(), format!("{shown} Europe/Berlin"));
        let days = shown.split(' ').next().unwrap();
        let to = shown.rsplit(' ').next().unwrap();
        assert_eq!(parse(&(days, from, to, BERLIN)), Ok(only));
    };
    check("mon-thu", "09:00", "16:00", "Mon-Thu 09:00 to 16:00");
    check("THU,tue", "22:00", "06:00", "Tue,Thu 22:00 to 06:00");
    check("fri-mon", "12:00", "00:00", "Mon,Fri-Sun 12:00 to 24:00");
    check("mon-sun", "00:00", "24:00", "Mon-Sun 00:00 to 24:00");
}

#[test]
fn an_owner_may_deploy_outside_of_the_windows() {
    let mut example = Example::new();
    let never = vec![parse(&("mon", "00:00", "00:01", "UTC")).unwrap()];
    assert_eq!(example.ask(&Vec::<Only>::new()), "passes");
    assert_eq!(example.ask(&vec![parse(&("mon-sun", "00:00", "24:00", "UTC")).unwrap()]), "passes");
    insta::assert_snapshot!(example.ask(&never), @"not deployed: checkout@production is deployed at certain times only, and not now. The next time begins Mon 00:00 UTC (<!date^1787529600^{date_short_pretty} {time}|2026-08-24 00:00 UTC>). Try again then.");
    assert_eq!(example.in_preview(&never), None);
    let open = vec![parse(&("fri", "00:00", "16:00", BERLIN)).unwrap()];
    assert_eq!(example.in_preview(&open).as_deref(), Some("open until Fri 16:00 Europe/Berlin"));

    example.override_reason = Some("hotfix");
    let not_owner = "not deployed: only an owner may deploy checkout@production outside of its times.";
    assert!(example.ask(&never).starts_with(not_owner));
    example.owners = People { users: vec![user("U1")], groups: Vec::new() };
    assert_eq!(example.ask(&never), "passes overridden (hotfix)");
    assert_eq!(example.ask(&open), "passes", "nothing to override");
}

#[test]
fn whom_any_of_the_windows_names_may_deploy_outside_of_them() {
    let only = |pass: &[&str]| Only {
        pass: People { users: pass.iter().map(|name| user(name)).collect(), groups: Vec::new() },
        ..parse(&("mon", "09:00", "10:00", "UTC")).unwrap()
    };
    let windows = vec![only(&[]), only(&["U2", "U1"]), only(&["U2"])];
    let mut example = Example { override_reason: Some("hotfix"), ..Example::new() };
    assert_eq!(example.ask(&windows), "passes overridden (hotfix)");
    example.user = user("U3");
    let said = example.ask(&windows);
    assert!(said.contains("only <@U1> or <@U2> may deploy checkout@production outside of its times."), "{said}");
    example.override_reason = None;
    assert!(example.ask(&windows).contains("In an emergency, <@U1> or <@U2> can go ahead"));
    assert!(example.ask(&vec![only(&[])]).ends_with("Try again then."));
}

fn window() -> impl Strategy<Value = Only> {
    let minute = || (0i64..24, prop::sample::select(vec![0i64, 1, 30, 59]));
    let time = || minute().prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    let days = prop::collection::vec(prop::sample::select(DAYS.to_vec()), 1..4);
    let window = (days, time(), time(), prop::sample::select(ZONES.to_vec()));
    window.prop_filter_map("not empty", |(days, from, to, zone)| Only::parse(&days, &from, &to, zone).ok())
}

/// Whether the clock on the wall shows a time within a window, by jiff's own calendar.
fn on_the_wall(only: &Only, now: Timestamp) -> bool {
    let moment = jiff::Timestamp::from_millisecond(now.0 as i64).unwrap();
    let wall = only.zone.to_datetime(moment);
    let minute = (i64::from(wall.hour()) * 60 + i64::from(wall.minute())) * (DAY / 24 / 60);
    let today = wall.weekday().to_monday_zero_offset() as usize;
    let (to, wraps) = (only.from + only.length, only.from + only.length > DAY);
    let is_begun = only.days[today] && only.from <= minute && minute < to;
    let goes_on = only.days[(today + 6) % 7] && wraps && minute < to - DAY;
    is_begun || goes_on
}

proptest! {
    #[test]
    fn at_any_moment_it_opens_at_the_first_moment_within_a_window(
        only in prop::collection::vec(window(), 0..4),
        // Three years of minutes from 2026 on, and some milliseconds.
        now in (1_767_225_600_000u64..1_861_920_000_000)
            .prop_map(|now| if now % 2 == 0 { now / 60_000 * 60_000 } else { now }),
    ) {
        let (gates, now) = (Gates { only, ..Gates::default() }, Timestamp(now));
        let open = |now| gates.only.is_empty() || gates.only.iter().any(|only| on_the_wall(only, now));
        let Some(closed) = gates.closed(now) else {
            prop_assert!(open(now));
            return Ok(());
        };
        let opens = closed.opens.unwrap().at;
        prop_assert!(now < opens && open(opens));
        // Every minute before is closed.
        let minutes = (now.0 / 60_000 + 1..=(opens.0 - 1) / 60_000).map(|minute| Timestamp(minute * 60_000));
        for moment in minutes.chain([now, Timestamp(opens.0 - 1)]) {
            prop_assert!(!open(moment), "not at {}", moment.to_rfc3339());
        }
    }
}
