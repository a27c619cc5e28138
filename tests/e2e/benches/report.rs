//! One table for people, and the same as JSON: every figure beside the limit that it is compared with.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// The ratio to the limit, at least.
    RatioAtLeast(f64),
    /// The ratio to the limit, at most.
    RatioAtMost(f64),
    /// The figure itself, at most.
    AtMost(f64),
    /// The figure itself.
    Exactly(f64),
    /// Shown for scale only.
    Nothing,
}

/// One line of the table.
#[derive(Clone)]
pub(crate) struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    limit: Option<(f64, &'static str)>,
    wanted: Wanted,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Self { what: what.into(), figure, unit, limit: None, wanted: Wanted::Nothing }
    }

    /// What the figure is compared with, in the same unit, and the name of that.
    pub(crate) fn against(mut self, limit: f64, what: &'static str) -> Self {
        self.limit = Some((limit, what));
        self
    }

    pub(crate) fn wanted(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.limit.filter(|(limit, _)| *limit != 0.0).map(|(limit, _)| self.figure / limit)
    }

    /// Whether the figure is as wanted; `None` if nothing is wanted.
    fn holds(&self) -> Option<bool> {
        match self.wanted {
            Wanted::RatioAtLeast(wanted) => Some(self.ratio()? >= wanted),
            Wanted::RatioAtMost(wanted) => Some(self.ratio()? <= wanted),
            Wanted::AtMost(wanted) => Some(self.figure <= wanted),
            Wanted::Exactly(wanted) => Some(self.figure == wanted),
            Wanted::Nothing => None,
        }
    }

    fn wanted_words(&self) -> String {
        match self.wanted {
            Wanted::RatioAtLeast(wanted) => format!("ratio >= {wanted}"),
            Wanted::RatioAtMost(wanted) => format!("ratio <= {wanted}"),
            Wanted::AtMost(wanted) => format!("<= {}", number(wanted)),
            Wanted::Exactly(wanted) => format!("= {}", number(wanted)),
            Wanted::Nothing => String::new(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "figure": self.figure, "unit": self.unit,
            "limit": self.limit.map(|(limit, what)| json!({ "figure": limit, "what": what })),
            "ratio": self.ratio(), "wanted": self.wanted_words(), "holds": self.holds(),
        })
    }
}

/// All measurements of a run.
#[derive(Default)]
pub(crate) struct Report(Vec<(&'static str, Vec<Row>)>);

impl Report {
    /// Adds a measurement, and prints it: a run takes minutes.
    pub(crate) fn add(&mut self, title: &'static str, rows: Vec<Row>) {
        print!("{}", table(title, &rows));
        self.0.push((title, rows));
    }

    /// Writes everything as JSON. Returns in how many lines the figure is as wanted, of how many.
    pub(crate) fn write(&self, path: &Path, host: &str) -> anyhow::Result<(usize, usize)> {
        let groups = self
            .0
            .iter()
            .map(|(title, rows)| json!({ "title": title, "rows": rows.iter().map(Row::json).collect::<Vec<_>>() }));
        let report = json!({ "host": host, "measurements": groups.collect::<Vec<_>>() });
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
        let judged: Vec<bool> = self.0.iter().flat_map(|(_, rows)| rows).filter_map(Row::holds).collect();
        Ok((judged.iter().filter(|holds| **holds).count(), judged.len()))
    }
}

/// A number with three significant digits.
fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

fn table(title: &str, rows: &[Row]) -> String {
    let mut text = format!("\n{title}\n");
    for row in rows {
        let figure = format!("{} {}", number(row.figure), row.unit);
        let limit = row.limit.map_or(String::new(), |(limit, what)| format!("{} {what}", number(limit)));
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let verdict = row.holds().map_or("", |holds| if holds { "ok" } else { "NO" });
        let wanted = row.wanted_words();
        let _ = writeln!(text, "  {:<58} {figure:>16}  {limit:<34} {ratio:>6}  {wanted:<14} {verdict}", row.what);
    }
    text
}
