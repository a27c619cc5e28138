//! Many days, each from its seed. `SIMULATION_SEED=<n> cargo test -p simulation` plays that one alone and prints everything that happened;
//! `SIMULATION_DAYS=<from>..<to>` plays others than the usual ones.

use simulation::day;

fn main_range() -> std::ops::Range<u64> {
    let text = std::env::var("SIMULATION_DAYS").unwrap_or_else(|_| "0..400".to_owned());
    let (from, to) = text.split_once("..").expect("SIMULATION_DAYS=<from>..<to>");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn whatever_happens_every_promise_holds() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let report = day(seed.parse().expect("SIMULATION_SEED is a number"));
        println!("{}", report.journal.join("\n"));
        assert!(report.broken.is_empty(), "{report}");
        return;
    }
    let broken: Vec<String> =
        main_range().map(day).filter(|report| !report.broken.is_empty()).map(|report| report.to_string()).collect();
    assert!(broken.is_empty(), "{} days went wrong:\n{}", broken.len(), broken.concat());
}
