//! Statistics of runs by variant, task and measure.

use pallium_core::{Result, random};
use serde::Serialize;

use super::folder::{RunFolder, TrainingResult};
use super::published::{Paper, Published, Sample, Verdict, judge};
use super::study::{self, Counterpart};
use crate::run_table::ends;
use crate::text::estimate;
use pallium_profile::{Accuracy, Interval};
use pallium_record::outcome::Status;
use pallium_stats::{self as stats, WideTable, table::TableEntry};

/// A run counts as above memoryless if its accuracy exceeds the memoryless level
/// by this many standard errors of a proportion.
const STANDARD_ERRORS: f64 = 3.0;

/// One measure of all runs of a variant on a task.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The variant.
    pub variant: String,
    /// The task's label.
    pub task: String,
    /// The split; empty for measures without one.
    pub split: String,
    /// The measure.
    pub measure: String,
    /// Values, by run.
    pub values: Vec<f64>,
    /// The runs that have values, in the same order.
    pub runs: Vec<u32>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Ends of the 95 % interval, of the kind that the experiment sets.
    pub interval: Option<(f64, f64)>,
    /// The kind of the interval.
    #[serde(skip)]
    pub kind: Interval,
    /// Runs that diverged.
    pub diverged: usize,
    /// Runs that failed.
    pub failed: usize,
    /// Runs that are not done yet.
    pub missing: usize,
    /// Of an accuracy: number of runs above [`threshold`].
    pub above_memoryless: Option<usize>,
    /// The table with the study's values of this variant, if it is one of the
    /// study's.
    #[serde(skip)]
    pub paper: Option<Paper>,
    /// The published value, where it can be compared.
    pub published: Option<Published>,
    /// Whether it agrees with the published value, or why they cannot be
    /// compared; none where nothing is published.
    #[serde(flatten)]
    pub verdict: Option<Verdict>,
}

impl Group {
    /// Half the width of the interval.
    pub fn half(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (high - low) / 2.0)
    }

    /// The mean and its interval in words.
    pub fn estimate(&self) -> String {
        estimate(self.mean, self.interval, self.kind)
    }

    /// The runs as [`judge`] needs them.
    fn sample(values: &[f64], diverged: usize) -> Sample {
        let (low, high) = stats::t_interval(values, 0.95);
        Sample {
            n: values.len(),
            mean: (!values.is_empty()).then(|| stats::mean(values)),
            t: (low.is_finite() && high.is_finite()).then_some((low, high)),
            diverged,
        }
    }
}

/// Summarises one measure of one variant on one task. `counterpart` is the
/// variant of the study that it is, if it is one.
///
/// # Errors
/// Only if a table compiled into the executable is malformed.
pub fn group(
    run: &RunFolder,
    counterpart: Option<&Counterpart>,
    variant: usize,
    task: usize,
    key: (&str, &str),
) -> Result<Group> {
    let (split, measure) = key;
    let cells: Vec<&TrainingResult> = run.group(variant, task).collect();
    let known: Vec<(u32, f64)> =
        cells.iter().filter_map(|c| c.value(split, measure).map(|v| (c.run, v))).collect();
    let values: Vec<f64> = known.iter().map(|k| k.1).collect();
    let count = |of: &dyn Fn(&Status) -> bool| cells.iter().filter(|c| of(&c.status)).count();
    let diverged = count(&|s| *s == Status::Diverged);
    let (variant_name, label) = (&run.variants[variant], &run.tasks[task].label);
    // The seed that `pallium run` uses for its table, so that intervals are equal.
    let purpose = match (split, measure) == (run.headline().0.as_str(), run.headline().1.as_str()) {
        true => format!("interval {variant_name} {label}"),
        false => format!("interval {variant_name} {label} {split} {measure}"),
    };
    let seed = random::derive(run.manifest.seed, 0, &purpose);
    let component = run.tasks[task].component.as_deref().unwrap_or_default();
    let table = counterpart.and_then(|c| Some((c, c.paper.value(measure, &c.name, component)?)));
    let verdict = match table {
        None => None,
        Some((counterpart, published)) => {
            let mut other = counterpart.departures.clone();
            let metrics = run.example_on(variant, task).map_or(&[][..], |about| &about.spec.metrics);
            let null = run.manifest.switches.get("null").map(String::as_str);
            other.extend(study::measured(metrics, null, measure)?);
            if measure == "accuracy" {
                other.push("the published accuracy is the running accuracy".into());
            }
            Some(match other.is_empty() {
                true => judge(measure, &published, &Group::sample(&values, diverged)),
                false => Verdict::CannotBeCompared(other.join(", ")),
            })
        }
    };
    // A number that cannot be compared is not shown beside the others.
    let published = table.map(|t| t.1).filter(|_| verdict.as_ref().is_some_and(Verdict::is_comparison));
    Ok(Group {
        variant: variant_name.clone(),
        task: label.clone(),
        split: split.into(),
        measure: measure.into(),
        mean: (!values.is_empty()).then(|| stats::mean(&values)),
        interval: ends(&values, run.interval, seed),
        kind: run.interval,
        diverged,
        failed: count(&|s| matches!(s, Status::Failed(_))),
        missing: (run.manifest.runs as usize).saturating_sub(cells.len()),
        above_memoryless: threshold(run, task)
            .filter(|_| measure.ends_with("accuracy"))
            .map(|bar| values.iter().filter(|v| **v > bar).count()),
        paper: counterpart.map(|c| c.paper),
        published,
        verdict,
        runs: known.iter().map(|k| k.0).collect(),
        values,
    })
}

/// The accuracy above which a run counts as above memoryless: the memoryless
/// level plus three standard errors of a proportion of the trials; none if the
/// trials are too few for any accuracy to exceed it.
pub fn threshold(run: &RunFolder, task: usize) -> Option<f64> {
    let memoryless = run.tasks[task].info.as_ref()?.levels?.memoryless?;
    let training = &run.example()?.spec.training;
    let trials = match run.accuracy {
        Accuracy::Running => training.trials,
        Accuracy::Evaluated => training.test,
    };
    let error = (memoryless * (1.0 - memoryless) / trials.max(1) as f64).sqrt();
    Some(memoryless + STANDARD_ERRORS * error).filter(|&threshold| threshold < 1.0)
}

/// A measure of one task as a wide table: one column for each variant, one row
/// for each run.
pub fn wide(run: &RunFolder, task: usize, key: (&str, &str)) -> WideTable {
    let runs = run.manifest.runs.max(run.trainings.iter().map(|c| c.run + 1).max().unwrap_or(0));
    let column = |variant: usize| -> Vec<TableEntry> {
        let mut column = vec![TableEntry::Missing(String::new()); runs as usize];
        for cell in run.group(variant, task) {
            column[cell.run as usize] = match (cell.value(key.0, key.1), &cell.status) {
                (Some(value), _) => TableEntry::Value(value),
                (None, Status::Ok) => TableEntry::Missing(String::new()),
                (None, status) => TableEntry::Missing(status.to_string()),
            };
        }
        column
    };
    WideTable {
        names: run.variants.clone(),
        runs: (0..runs).map(|r| r.to_string()).collect(),
        columns: (0..run.variants.len()).map(column).collect(),
        groups: Vec::new(),
    }
}

/// Spearman's correlation of a network measure with accuracy over all runs of a
/// task.
pub fn correlation(run: &RunFolder, task: usize, measure: &str) -> (stats::Test, usize) {
    let (split, headline) = run.headline_on(task);
    let cells = run.trainings.iter().filter(|c| c.task == task);
    let (x, y): (Vec<f64>, Vec<f64>) =
        cells.filter_map(|c| Some((c.value("", measure)?, c.value(&split, &headline)?))).unzip();
    (stats::spearman(&x, &y), x.len())
}
