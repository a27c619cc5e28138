//! Many days, each from its seed, and the long runs.
//!
//! `SIMULATION_SEED=<n> cargo test -p simulation` plays one day alone and prints everything that happened in it;
//! `SIMULATION_DAYS=<from>..<to>` plays others than the usual ones.

use simulation::{Report, crowd, cut_off, day, forgetful, one_by_one, talkative, years};
use std::time::Duration;

/// The days that every test run plays, and days on which something went wrong once.
const USUAL: std::ops::Range<u64> = 0..300;
const ONCE_BROKEN: [u64; 9] = [451, 776, 1130, 1262, 1340, 1684, 1871, 2529, 3962];
/// The same of days on which people also press buttons, lock and ask.
const ONCE_BROKEN_BY_PEOPLE: [u64; 8] = [1, 7, 142, 209, 558, 758, 768, 820];

fn days() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SIMULATION_DAYS") else { return USUAL };
    let (from, to) = text.split_once("..").expect("SIMULATION_DAYS=<from>..<to>");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn holds(report: &Report) {
    let last = report.journal.len().saturating_sub(60);
    assert!(report.broken.is_empty(), "{report}\n{}", report.journal[last..].join("\n"));
}

#[test]
fn whatever_happens_every_promise_holds() {
    every_promise_holds(day, &ONCE_BROKEN, &[&ENDS[..], &["Superseded"]].concat());
}

#[test]
fn whatever_people_press_lock_and_ask_every_promise_holds() {
    every_promise_holds(talkative, &ONCE_BROKEN_BY_PEOPLE, &ENDS);
}

/// How deployments end on the usual days, whatever people do. "Unknown" is too rare for that and has a day of its own.
const ENDS: [&str; 5] = ["Cancelled", "Failed", "Live", "Refused", "TimedOut"];

fn every_promise_holds(day: fn(u64) -> Report, once_broken: &[u64], all: &[&str]) {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let report = day(seed.parse().expect("SIMULATION_SEED is a number"));
        println!("{}", report.journal.join("\n"));
        return assert!(report.broken.is_empty(), "{report}");
    }
    let (mut broken, mut ends, mut pushes) = (Vec::new(), std::collections::BTreeSet::new(), 0);
    let again = once_broken.iter().copied().filter(|seed| days() == USUAL && !USUAL.contains(seed));
    for report in days().chain(again).map(day) {
        ends.extend(report.ends.iter().cloned());
        pushes += report.pushes;
        if !report.broken.is_empty() {
            broken.push(report.to_string());
        }
    }
    assert!(broken.is_empty(), "{} days went wrong:\n{}", broken.len(), broken.concat());
    // Days on which nothing much happens would prove nothing.
    if days() == USUAL {
        assert!(all.iter().all(|end| ends.contains(*end)), "every end comes up: {ends:?}");
        assert!(pushes > 50, "{pushes} pushes of people had to be told");
    }
}

#[test]
fn a_commit_that_github_never_confirms_ends_as_unknown() {
    for seed in 0..5 {
        let report = cut_off(seed);
        holds(&report);
        assert_eq!((report.commits, report.ends.as_slice()), (1, &["Unknown".to_owned()][..]), "{report}");
    }
}

#[test]
fn the_same_seed_is_the_same_day() {
    for seed in [3, 57, 239] {
        let (one, other) = (day(seed), day(seed));
        assert!(one.journal.len() > 50, "something happens: {one}");
        assert_eq!(one.journal, other.journal, "seed {seed}");
    }
}

#[test]
fn a_hundred_people_deploy_a_hundred_targets_at_once_and_all_go_live() {
    let report = crowd(1, 100);
    holds(&report);
    assert_eq!((report.accepted, report.commits), (100, 100), "{report}");
    assert!(report.ends.iter().all(|end| end == "Live"), "{:?}", report.ends);
}

#[test]
fn the_end_of_a_deploy_is_shown_within_a_second_however_busy_slack_is() {
    for seed in 0..5 {
        let report = one_by_one(seed, 10);
        holds(&report);
        assert_eq!(report.told.len(), 10, "{report}");
        assert!(report.told.iter().all(|told| *told < Duration::from_secs(1)), "{report}{:?}", report.told);
    }
}

#[test]
fn the_store_does_not_grow_with_years_of_deploys_and_refusals() {
    // After eighty weeks every history is full.
    let (early, late) = (years(1, 80), years(1, 250));
    holds(&early);
    holds(&late);
    let of = |end: &str| late.ends.iter().filter(|other| *other == end).count();
    assert_eq!((early.commits, late.commits, of("Live"), of("Refused")), (320, 1_000, 1_000, 10_000));
    // Who posts first, the carrier or the watch, is chance: a key more or less.
    assert!(late.keys <= early.keys + 50, "{} keys after the first, {} after the others", early.keys, late.keys);
}

#[test]
fn two_watches_after_redis_forgot_overlap_by_one_renewal_and_one_call() {
    // The period of the lease `watch`, and the longest call that a watch makes.
    let (period, call) = (Duration::from_secs(3), Duration::from_secs(5));
    let mut longest = Duration::ZERO;
    for seed in 0..150 {
        let report = forgetful(seed);
        holds(&report);
        assert!(report.overlap <= period + call, "for {:?}: {report}", report.overlap);
        longest = longest.max(report.overlap);
    }
    println!("two watches for at most {longest:?}");
    assert!(longest > Duration::ZERO, "days on which two watches never meet prove nothing");
}
