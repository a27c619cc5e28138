//! `cargo bench`: what the bot costs, next to what it is measured against. It runs the real .wasm on the
//! built-in host; with `SPIN=<path>` on a real Spin. Words after `--` choose measurements by their titles.
//!
//! Figures are ratios and counts of one run on one machine; times alone say little. Nothing here fails a
//! build: a figure that is not as wanted says "NO" in its line.

mod cluster;
mod costs;
mod deploys;
mod doors;
mod load;
mod report;

use anyhow::Result;
use doors::Doors;
use report::Report;
use sandbox::{Runner, wasm};

const TITLES: [&str; 11] = [
    "1. pushes that are not ours",
    "2. the answer to Slack",
    "3. a deploy beside its round trips, each of 100 ms",
    "4. watching",
    "5. the edit",
    "6. what was deployed before",
    "7. memory",
    "8. sizes, instructions and starts",
    "9. a deploy beside a script, on a real Argo CD",
    "10. many deploys at once, on a real Argo CD",
    "11. twenty apps by one command",
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word.as_str()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut report = Report::default();
        for title in TITLES.into_iter().filter(|title| wanted(title)) {
            let rows = match title.split('.').next() {
                Some("1") => Doors::open().await?.pushes().await?,
                Some("2") => Doors::open().await?.answers().await?,
                Some("3") => [deploys::overhead().await?, costs::operations().await?].concat(),
                Some("4") => deploys::watching().await?,
                Some("5") => deploys::edits().await?,
                Some("6") => deploys::history().await?,
                Some("9" | "10") if !e2e::cluster::is_real() => {
                    println!("\n{title}: left out, because it takes ARGOCD=real");
                    continue;
                }
                Some("9") => cluster::beside_a_script().await?,
                Some("10") => cluster::at_once().await?,
                Some("11") => deploys::several().await?,
                Some("7") => Doors::open().await?.memory().await?,
                _ => [Doors::open().await?.starts().await?, costs::instructions().await?].concat(),
            };
            report.add(title, rows);
        }
        let (path, host) = match Runner::from_environment() {
            Runner::BuiltIn => (wasm::root().join("target/bench.json"), "built-in"),
            Runner::Spin(_) => (wasm::root().join("target/bench-spin.json"), "spin"),
        };
        let (good, all) = report.write(&path, host)?;
        println!(
            "\n{good} of {all} as wanted. The same as JSON: target/{}",
            path.file_name().unwrap_or_default().display()
        );
        Ok(())
    })
}
