//! A process freezes in the middle of an operation, after its last look at its lease and before the operation leaves, and wakes long after
//! others took over: the outcome must be as if it had not. Tried at every operation of a plain morning.
//!
//! `SIMULATION_FREEZE=<operation>,<seconds> cargo test -p simulation --test freezes` plays one of them and prints everything that happened.

use std::time::Duration;

use simulation::{Report, morning};

const SEED: u64 = 1;

fn sweep(length: Duration, operations: impl Iterator<Item = u64>) {
    let mut broken = Vec::new();
    for operation in operations {
        let report = morning(SEED, Some((operation, length)));
        let other = report.ends.iter().find(|end| !["Live", "Refused"].contains(&end.as_str()));
        if let Some(other) = other {
            broken.push(format!("  one is {other}: {report}"));
        }
        if !report.broken.is_empty() {
            broken.push(report.to_string());
        }
    }
    assert!(broken.is_empty(), "{} mornings went wrong:\n{}", broken.len(), broken.concat());
}

fn plain() -> Report {
    let report = morning(SEED, None);
    assert!(report.broken.is_empty(), "{report}");
    report
}

#[test]
fn one_by_hand() {
    let Ok(text) = std::env::var("SIMULATION_FREEZE") else { return };
    let (operation, length) = text.split_once(',').expect("SIMULATION_FREEZE=<operation>,<seconds>");
    let length = Duration::from_secs(length.parse().expect("seconds"));
    let report = morning(SEED, Some((operation.parse().expect("a number"), length)));
    println!("{}", report.journal.join("\n"));
    println!("{:?}", report.ends);
    assert!(report.broken.is_empty(), "{report}");
}

#[test]
fn frozen_for_20_s_inside_any_operation_changes_no_outcome() {
    sweep(Duration::from_secs(20), 1..=plain().operations);
}

#[test]
fn frozen_for_45_s_inside_any_operation_changes_no_outcome() {
    sweep(Duration::from_secs(45), 1..=plain().operations);
}
