//! Results of measurements, their files, and the tables made from them.

use std::fmt::Write as _;
use std::path::Path;

use pallium_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Several measurements of one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    /// The median; NaN without values.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (f64, f64) {
        let low = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        (low, self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// The turns of one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Who.
    pub name: String,
    /// Number of trainings at once.
    pub at_once: usize,
    /// Threads of each training.
    pub threads: usize,
    /// Seconds per training and turn: wall time divided by the number of
    /// trainings at once.
    pub seconds: Sample,
    /// Seconds of the first turn, including one-time work of a training.
    #[serde(default)]
    pub first: Option<f64>,
    /// A remark for the table.
    pub note: String,
}

impl Timed {
    /// One training on one thread.
    pub fn alone(name: &str, seconds: Sample, note: String) -> Self {
        Timed { name: name.into(), at_once: 1, threads: 1, seconds, first: None, note }
    }
}

/// The result of one case of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the case.
    pub case: String,
    /// Description of the work in a turn.
    pub what: String,
    /// Pallium.
    pub own: Timed,
    /// The others.
    pub peers: Vec<Timed>,
    /// Floating-point operations per turn and training, if counted.
    pub operations: Option<f64>,
    /// The machine's peak between turns in FLOP/s, on as many cores as were
    /// used.
    pub peak: Sample,
    /// The target of the ratio to the first peer.
    pub goal: Option<f64>,
    /// Processor, cores and system.
    pub machine: String,
    /// Cores that other programs kept busy in each round.
    pub others: Sample,
}

impl Comparison {
    /// Ratios to a peer: of each turn to the neighbouring turn.
    pub fn ratios(&self, peer: &Timed) -> Sample {
        Sample(peer.seconds.0.iter().zip(&self.own.seconds.0).map(|(peer, own)| peer / own).collect())
    }

    /// Share of the machine's peak that a side reaches.
    pub fn share(&self, side: &Timed) -> Option<f64> {
        Some(self.operations? / side.seconds.median() / self.peak.median())
    }
}

/// Writes `value` to `folder`/`name`.json.
///
/// # Errors
/// If the file cannot be written.
pub fn save<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let path = folder.join(format!("{}.json", name.replace('/', "-")));
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::bug(e.to_string()))?;
    std::fs::write(&path, text + "\n").map_err(|e| Error::io(&path, &e))
}

/// Reads a value written by [`save`]; `None` if there is none.
pub fn load<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Option<T> {
    let text = std::fs::read_to_string(folder.join(format!("{}.json", name.replace('/', "-")))).ok()?;
    serde_json::from_str(&text).ok()
}

/// A time with three digits and a unit.
pub fn seconds(value: f64) -> String {
    let (factor, unit) = match value.abs() {
        v if v < 1e-6 => (1e9, "ns"),
        v if v < 1e-3 => (1e6, "µs"),
        v if v < 1.0 => (1e3, "ms"),
        v if v < 600.0 => (1.0, "s"),
        _ => (1.0 / 3600.0, "h"),
    };
    format!("{} {unit}", digits(value * factor))
}

/// Three significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "—".into(),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Median and range of times.
pub fn spread(sample: &Sample) -> String {
    let (low, high) = sample.range();
    format!("{} ({}–{})", seconds(sample.median()), seconds(low), seconds(high))
}

/// The cases as a table in Markdown: a row for each peer.
pub fn table(all: &[Comparison]) -> String {
    let mut text = String::from(
        "| case | Pallium: median (range) | share of peak | peer | peer: median (range) | share of peak | ratio: median (range) | aim |\n|---|---|---|---|---|---|---|---|\n",
    );
    for found in all {
        for (at, peer) in found.peers.iter().enumerate() {
            let ratios = found.ratios(peer);
            let (low, high) = ratios.range();
            let share =
                |side: &Timed| found.share(side).map_or(String::new(), |s| format!("{:.0} %", 100.0 * s));
            let aim = found.goal.filter(|_| at == 0).map_or(String::new(), |g| format!("≥ {g}"));
            let own = if at == 0 { spread(&found.own.seconds) } else { String::new() };
            let own_share = if at == 0 { share(&found.own) } else { String::new() };
            let case = if at == 0 { found.case.as_str() } else { "" };
            let _ = writeln!(
                text,
                "| {case} | {own} | {own_share} | {}{} | {} | {} | **{}** ({}–{}) | {aim} |",
                peer.name,
                setting(peer),
                spread(&peer.seconds),
                share(peer),
                digits(ratios.median()),
                digits(low),
                digits(high),
            );
        }
    }
    text
}

/// The results of `cargo bench` in `folder` as a table in Markdown; empty
/// without results.
pub fn components(folder: &Path) -> String {
    let mut rows = Vec::new();
    for group in folders(folder) {
        for function in folders(&group) {
            // Benchmarks with a parameter are one level deeper.
            rows.extend(
                std::iter::once(function.clone()).chain(folders(&function)).filter_map(|at| row(&at)),
            );
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by_key(|row| natural(&row.0));
    let mut text = String::from("\n| component | median | GFLOP/s |\n|---|---|---|\n");
    for (name, median, rate) in rows {
        let _ = writeln!(text, "| {name} | {} | {} |", seconds(median), rate.map_or(String::new(), digits));
    }
    text
}

fn folders(of: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Name, seconds and GFLOP/s of a benchmark.
fn row(folder: &Path) -> Option<(String, f64, Option<f64>)> {
    let read = |name: &str| -> Option<serde_json::Value> {
        serde_json::from_str(&std::fs::read_to_string(folder.join("new").join(name)).ok()?).ok()
    };
    let about = read("benchmark.json")?;
    let median = read("estimates.json")?["median"]["point_estimate"].as_f64()? / 1e9;
    let operations = about["throughput"]["Elements"].as_f64();
    Some((about["full_id"].as_str()?.to_owned(), median, operations.map(|o| o / median / 1e9)))
}

/// Orders names by their words, and by the number at their end.
fn natural(name: &str) -> (String, u64) {
    match name.rsplit_once('/') {
        Some((head, tail)) => match tail.parse() {
            Ok(number) => (head.to_owned(), number),
            Err(_) => (name.to_owned(), 0),
        },
        None => (name.to_owned(), 0),
    }
}

fn setting(side: &Timed) -> String {
    let threads = if side.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", side.threads) };
    let cells =
        if side.at_once == 1 { String::new() } else { format!("{} trainings at once, ", side.at_once) };
    let first = side.first.map(|first| format!("; first {}", seconds(first))).unwrap_or_default();
    let note = if side.note.is_empty() { String::new() } else { format!("; {}", side.note) };
    format!(" ({cells}{threads}{first}{note})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(Sample(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Sample(vec![4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert!(Sample(vec![]).median().is_nan());
        assert_eq!(Sample(vec![3.0, 1.0, 2.0]).range(), (1.0, 3.0));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(seconds(3.4e-9), "3.40 ns");
        assert_eq!(seconds(0.0424), "42.4 ms");
        assert_eq!(seconds(150.0), "150 s");
        assert_eq!(seconds(7200.0), "2.00 h");
    }

    #[test]
    fn ratios_compare_neighbouring_turns() {
        let side = |seconds: &[f64]| Timed::alone("x", Sample(seconds.to_vec()), String::new());
        let found = Comparison {
            case: "a".into(),
            what: String::new(),
            own: side(&[1.0, 2.0]),
            peers: vec![side(&[3.0, 8.0])],
            operations: Some(3e9),
            peak: Sample(vec![4e9]),
            goal: Some(3.0),
            machine: String::new(),
            others: Sample(vec![0.0; 2]),
        };
        assert_eq!(found.ratios(&found.peers[0]).0, [3.0, 4.0]);
        assert_eq!(found.share(&found.own), Some(0.5));
        assert!(table(&[found]).contains("**3.50** (3.00–4.00) | ≥ 3 |"));
    }
}
