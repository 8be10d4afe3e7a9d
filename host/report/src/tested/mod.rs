//! Tables of `pallium evaluate` in a report: results by condition, by the tested
//! parameters, and of lesions and perturbations.

mod development;
mod views;

use std::collections::BTreeMap;
use std::path::Path;

use itertools::Itertools;
use pallium_core::{Error, Result, random};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::folder::RunFolder;
use super::run_table::ends;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, estimate, estimate_caption, measure_name};
use pallium_stats as stats;

/// A row of a table of `pallium evaluate`.
#[derive(Clone, Debug, Deserialize)]
struct TestRow {
    variant: String,
    trained_on: String,
    run: u32,
    task: String,
    settings: String,
    lesion: String,
    perturbation: String,
    kind: String,
    removed: usize,
    condition: String,
    trials: f64,
    measure: String,
    value: Option<f64>,
}

/// Results of tests, for figures and tables.
#[derive(Clone, Debug, Default)]
pub struct Tested {
    /// Curves, each a panel.
    pub curves: Vec<TestCurves>,
    /// Shares of answers, each a panel.
    pub answers: Vec<Answers>,
    /// Tables of the same numbers.
    pub tables: Vec<Table>,
}

/// A measure over conditions, parameters, or what was removed.
#[derive(Clone, Debug)]
pub struct TestCurves {
    /// The figure that it belongs to.
    pub figure: TestFigure,
    /// What was tested.
    pub title: String,
    /// Name of the horizontal axis.
    pub across: String,
    /// Labels of the positions 0, 1, …; of numbers if empty.
    pub labels: Vec<String>,
    /// The measure.
    pub measure: String,
    /// One line each.
    pub lines: Vec<TestLine>,
}

/// The figures of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestFigure {
    /// Over the conditions of a task.
    Conditions,
    /// Over signed evidence: psychometric curves.
    Evidence,
    /// Over the parameters that were set.
    Settings,
    /// Over what was removed or perturbed.
    Changes,
    /// Over the epochs of training.
    Development,
}

/// A line of one variant.
#[derive(Clone, Debug)]
pub struct TestLine {
    /// Index of the variant.
    pub variant: usize,
    /// Whether it shows matched random lesions.
    pub control: bool,
    /// Its points by position.
    pub points: Vec<TestPoint>,
}

/// The runs of a variant at one position.
#[derive(Clone, Copy, Debug)]
pub struct TestPoint {
    /// The position.
    pub x: f64,
    /// Mean over runs.
    pub mean: f64,
    /// Ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// Number of runs.
    pub runs: usize,
}

/// How often a variant gives each answer in each condition: a confusion matrix.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Index of the variant.
    pub variant: usize,
    /// What was tested.
    pub title: String,
    /// The conditions, in rows.
    pub conditions: Vec<String>,
    /// The answers, in columns.
    pub classes: Vec<String>,
    /// Shares as means over runs, by condition, then answer.
    pub shares: Vec<Vec<Option<f64>>>,
}

/// The measures that curves show: the first that a table has of each list.
const SHOWN: [&[&str]; 2] = [&["accuracy", "r2"], &["reaction_ms", "reaction_steps"]];

impl Tested {
    /// Reads tables that `pallium evaluate` wrote for this run.
    ///
    /// # Errors
    /// If a file cannot be read, is not such a table, or is about other variants.
    pub fn read(run: &RunFolder, files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut rows = Vec::new();
        for file in files {
            let own =
                read_rows(run, file.as_ref(), "pallium evaluate RUN --out FILE.csv", |row: &TestRow| {
                    vec![&row.variant]
                })?;
            rows.extend(own);
        }
        let mut found = Tested::default();
        let order = |row: &TestRow| (row.trained_on.clone(), row.task.clone());
        for key in rows.iter().map(order).unique() {
            let own: Vec<&TestRow> = rows.iter().filter(|row| order(row) == key).collect();
            let tests = Tests { run, title: title(run, &key.0, &key.1), rows: own };
            tests.by_condition(&mut found);
            tests.by_evidence(&mut found);
            tests.by_settings(&mut found);
            tests.by_change(&mut found);
            tests.answers(&mut found);
        }
        Ok(found)
    }
}

/// The rows of a table that `command` wrote for a run; `variants` are those that a row is
/// about.
///
/// # Errors
/// If the file cannot be read, is not such a table, has no rows, or is about variants that
/// the run does not have.
pub(crate) fn read_rows<T: DeserializeOwned>(
    run: &RunFolder,
    file: &Path,
    command: &str,
    variants: impl Fn(&T) -> Vec<&String>,
) -> Result<Vec<T>> {
    let wrong = |what: String| {
        Error::input(format!("{}: {what}", file.display()))
            .help(format!("name a table that `{command}` wrote for this run"))
    };
    if file.is_dir() {
        return Err(wrong("it is a folder".into()));
    }
    let unread = |e: csv::Error| {
        wrong(match e.kind() {
            csv::ErrorKind::Deserialize { pos, err } => {
                let what = err.kind().to_string();
                // A field that serde misses is a column here, which the first line lacks.
                match (what.strip_prefix("missing field"), pos) {
                    (Some(column), _) => format!("it lacks the column{column}"),
                    (None, Some(pos)) => format!("line {}: {what}", pos.line()),
                    (None, None) => what,
                }
            }
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or_else(String::new, |pos| format!("line {}: ", pos.line()));
                format!("{line}it has {len} cells, and the first line {expected_len}")
            }
            _ => e.to_string(),
        })
    };
    let mut table = csv::Reader::from_path(file).map_err(unread)?;
    let rows: Vec<T> = table.deserialize().collect::<Result<_, csv::Error>>().map_err(unread)?;
    if rows.is_empty() {
        return Err(wrong("it has no rows".into()));
    }
    let other = rows.iter().flat_map(variants).find(|name| !run.variants.contains(name));
    if let Some(name) = other {
        return Err(wrong(format!("variant `{name}` is not one of {}", run.root.display())));
    }
    Ok(rows)
}

fn title(run: &RunFolder, trained_on: &str, task: &str) -> String {
    let short = |label: &str| match run.tasks.iter().find(|known| known.label == label) {
        Some(known) => known.short().to_owned(),
        None => label.to_owned(),
    };
    // One of the several tasks that the network was trained on is named by itself.
    match trained_on == task || task.strip_prefix(trained_on).is_some_and(|rest| rest.starts_with('/')) {
        true => short(task),
        false => format!("{} after {}", short(task), short(trained_on)),
    }
}

/// By run, the sum of values by their trials, and these trials.
type RunSums = BTreeMap<u32, (f64, f64)>;

/// The tests of networks that were trained on one task, on one task.
struct Tests<'a> {
    run: &'a RunFolder,
    title: String,
    rows: Vec<&'a TestRow>,
}

impl Tests<'_> {
    /// The measures of curves that the table has.
    fn measures(&self) -> Vec<&'static str> {
        let has =
            |measure: &&&str| self.rows.iter().any(|row| row.measure == **measure && row.value.is_some());
        SHOWN.iter().filter_map(|list| list.iter().find(has).copied()).collect()
    }

    /// The line of each variant through the rows that `position` places.
    fn lines(
        &self,
        measure: &str,
        control: bool,
        position: &dyn Fn(&TestRow) -> Option<f64>,
    ) -> Vec<TestLine> {
        let mut lines = Vec::new();
        for (variant, name) in self.run.variants.iter().enumerate() {
            // Of each run the mean over draws and over conditions, by their trials.
            let mut at: Vec<(f64, RunSums)> = Vec::new();
            for row in self.rows.iter().filter(|row| row.variant == *name && row.measure == measure) {
                let (Some(x), Some(value)) = (position(row), row.value) else { continue };
                let place = at.iter().position(|(known, _)| *known == x).unwrap_or_else(|| {
                    at.push((x, RunSums::new()));
                    at.len() - 1
                });
                let sums = at[place].1.entry(row.run).or_default();
                *sums = (sums.0 + value * row.trials, sums.1 + row.trials);
            }
            at.sort_by(|a, b| a.0.total_cmp(&b.0));
            let points = at.into_iter().map(|(x, runs)| {
                let values: Vec<f64> = runs.values().map(|(sum, weight)| sum / weight).collect();
                let purpose = format!("interval {} {name} {measure} {x}", self.title);
                let seed = random::derive(self.run.manifest.seed, 0, &purpose);
                let interval = ends(&values, self.run.interval, seed);
                TestPoint { x, mean: stats::mean(&values), interval, runs: values.len() }
            });
            let points: Vec<TestPoint> = points.collect();
            if !points.is_empty() {
                lines.push(TestLine { variant, control, points });
            }
        }
        lines
    }

    /// A table with a row for each label and a column for each variant.
    fn table(
        &self,
        kind: &str,
        title: &str,
        measure: &str,
        first: &str,
        labels: &[String],
        lines: &[TestLine],
    ) -> Table {
        let name = measure_name(measure);
        let has_ends = lines.iter().flat_map(|line| &line.points).any(|point| point.interval.is_some());
        let shown = estimate_caption(self.run.interval, has_ends);
        let caption = format!("Of finished networks: {shown} over runs.");
        let head = format!("{}{} by {first}, {title}", name[..1].to_uppercase(), &name[1..]);
        let mut table = Table::new(slug(&format!("{kind}-{measure}-{title}")), head, caption)
            .columns([first])
            .columns(lines.iter().map(|line| format!("#{}", self.run.variants[line.variant])));
        for (place, label) in labels.iter().enumerate() {
            let cell = |line: &TestLine| match line.points.iter().find(|point| point.x == place as f64) {
                Some(point) => {
                    let text = estimate(Some(point.mean), point.interval, self.run.interval);
                    TableCell::interval(Some(point.mean), point.interval, text).note(count(point.runs, "run"))
                }
                None => TableCell::text("–").emphasis(Emphasis::Faint),
            };
            let row: Vec<TableCell> =
                std::iter::once(TableCell::text(label)).chain(lines.iter().map(cell)).collect();
            if row[1..].iter().any(|cell| cell.sort.is_some()) {
                table.row(row);
            }
        }
        table
    }
}

fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}
