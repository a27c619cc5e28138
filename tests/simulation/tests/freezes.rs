//! A process freezes inside an operation, after its last look at its leases and before the operation leaves,
//! and wakes long after others took over. What the process does late must not change the outcome: only old
//! words in a message may remain. Tried at each operation of a plain morning.
//!
//! `SIMULATION_FREEZE=<seed>,<operation>,<seconds> cargo test -p simulation --test freezes -- --nocapture` plays one such morning and prints
//! everything that happened in it; without an operation (`<seed>,<seconds>`) it freezes at each of another seed's.

use std::time::Duration;

use simulation::{Report, morning};

const SEED: u64 = 1;
/// How long a carrier's lease lives.
const CARRY: Duration = Duration::from_secs(15);

fn plain(seed: u64) -> Report {
    let report = morning(seed, None);
    assert!(report.broken.is_empty(), "{report}");
    report
}

/// Whether a line of this event was logged.
fn logged(report: &Report, event: &str) -> bool {
    report.journal.iter().any(|line| line.contains(&format!("\"event\":\"{event}\"")))
}

/// A request that a frozen process accepts late is the newer one, although it was typed earlier: whether each deployment
/// that was superseded had its commit before the newer one was accepted.
fn superseded_by_what_came_later(report: &Report) -> bool {
    let at = |event: &str, id: &str| {
        let (event, id) = (format!("\"event\":\"{event}\""), format!("\"deployment\":\"{id}\""));
        report.journal.iter().position(|line| line.contains(&event) && line.contains(&id))
    };
    let value = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let mut superseded =
        report.journal.iter().filter(|line| line.contains("\"event\":\"last_word\",\"word\":{\"superseded\""));
    superseded.all(|line| {
        let ids = value(line, "deployment").zip(value(line, "by_deployment"));
        let times = ids.and_then(|(old, newer)| at("committed", &old).zip(at("accepted", &newer)));
        times.is_some_and(|(committed, accepted)| committed < accepted)
    })
}

/// Returns on how many mornings an edit left late, and on how many a late sync had to be repaired.
fn freeze_inside_operations(seed: u64, length: Duration, every: usize) -> (usize, usize) {
    let (mut broken, mut told, mut synced) = (Vec::new(), 0, 0);
    for operation in (every as u64..=plain(seed).operations).step_by(every) {
        let report = morning(seed, Some((operation, length)));
        told += usize::from(report.late_edits > 0);
        synced += usize::from(logged(&report, "late_sync"));
        // A process that slept for less than its lease lives goes on, and finds that GitHub did not answer in
        // time.
        let may_fail = length < CARRY;
        let as_ever = |end: &String| {
            let by_late = end == "Superseded" && superseded_by_what_came_later(&report);
            end == "Live" || end == "Refused" || (may_fail && end == "Failed") || by_late
        };
        let other_end = !report.ends.iter().all(as_ever);
        if other_end || !report.broken.is_empty() {
            broken.push(format!("{report}  {:?}\n", report.ends));
        }
    }
    assert!(broken.is_empty(), "{} mornings went wrong:\n{}", broken.len(), broken.concat());
    (told, synced)
}

/// What was asked for by hand, if anything.
fn by_hand() -> bool {
    let Ok(text) = std::env::var("SIMULATION_FREEZE") else { return false };
    let numbers: Vec<u64> = text.split(',').map(|number| number.parse().expect("numbers")).collect();
    match numbers[..] {
        [seed, operation, seconds] => {
            let report = morning(seed, Some((operation, Duration::from_secs(seconds))));
            println!("{}", report.journal.join("\n"));
            assert!(report.broken.is_empty(), "{report}");
        }
        [seed, seconds] => println!("{:?}", freeze_inside_operations(seed, Duration::from_secs(seconds), 1)),
        _ => panic!("SIMULATION_FREEZE=<seed>,<operation>,<seconds>"),
    }
    true
}

/// Longer than the lease of the watch, and shorter than those of a carrier. Every third operation only, so that the test is not too slow.
#[test]
fn a_process_that_freezes_for_11_seconds_inside_an_operation_changes_no_outcome() {
    if std::env::var("SIMULATION_FREEZE").is_err() {
        let (told, _) = freeze_inside_operations(6, Duration::from_secs(11), 3);
        assert!(told > 0, "mornings on which nothing comes late prove nothing");
    }
}

#[test]
fn a_process_that_freezes_for_20_seconds_inside_any_operation_changes_no_outcome() {
    if !by_hand() {
        let (told, _) = freeze_inside_operations(SEED, Duration::from_secs(20), 1);
        assert!(told > 0, "mornings on which nothing comes late prove nothing");
    }
}

#[test]
fn a_process_that_freezes_for_45_seconds_inside_any_operation_changes_no_outcome() {
    if std::env::var("SIMULATION_FREEZE").is_err() {
        let (told, synced) = freeze_inside_operations(SEED, Duration::from_secs(45), 1);
        assert!(told > 0 && synced > 0, "{told} mornings with words that came late, {synced} with a sync");
    }
}
