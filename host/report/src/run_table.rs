//! The table that `pallium run` ends with: accuracy by variant and task, or the
//! explained variance for tasks that have no accuracy.

use std::collections::BTreeMap;

use pallium_core::{Levels, random};
use serde::Serialize;

use crate::table::TextTable;
use crate::text::{count, estimate, estimate_caption, three};
use pallium_profile::{Accuracy, Interval};
use pallium_record::finished::{Record, Records};
use pallium_record::identity::Cell;
use pallium_record::outcome::{Status, count_warnings};
use pallium_record::results::task_label;
use pallium_record::spec::CellSpec;
use pallium_stats as stats;

/// Coverage of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Split and measure of the explained variance.
const EXPLAINED: (&str, &str) = ("test", "r2");

/// Accuracies of an experiment, averaged over runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The measure.
    pub measure: String,
    /// Its split.
    pub split: String,
    /// Kind of the intervals.
    pub interval: Interval,
    /// Coverage of the intervals.
    pub confidence: f64,
    /// The tasks, in the order of the experiment.
    pub tasks: Vec<TaskLevels>,
    /// One entry for each variant and task, by variant, then by task.
    pub groups: Vec<AccuracyGroup>,
    /// Warnings of components, each with the number of trainings that have it.
    pub warnings: Vec<(String, usize)>,
}

/// A task and its reference levels of accuracy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskLevels {
    /// The task's label.
    pub task: String,
    /// Whether its groups have the explained variance R² on test trials, since it has
    /// no accuracy.
    pub explained: bool,
    /// Accuracy of guessing; unknown until a training on the task is finished.
    pub chance: Option<f64>,
    /// The best without memory, where known.
    pub memoryless: Option<f64>,
    /// The best possible, where known.
    pub ideal: Option<f64>,
}

/// The runs of one variant on one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccuracyGroup {
    /// The variant.
    pub variant: String,
    /// The task's label.
    pub task: String,
    /// Number of runs with a value.
    pub n: usize,
    /// Their mean, if there are any.
    pub mean: Option<f64>,
    /// Lower end of the interval; `None` for a single run.
    pub lower: Option<f64>,
    /// Upper end of the interval.
    pub upper: Option<f64>,
    /// Number of runs that diverged.
    pub diverged: usize,
    /// Number of runs that failed.
    pub failed: usize,
    /// Number of runs that are not done yet.
    pub missing: usize,
}

/// Summarises the finished trainings of `plan`. Resampling draws from `seed`.
pub fn summarise(
    plan: &[Cell],
    records: &Records,
    accuracy: Accuracy,
    interval: Interval,
    seed: u64,
) -> Summary {
    let (split, measure) = match accuracy {
        Accuracy::Running => ("train", "running_accuracy"),
        Accuracy::Evaluated => ("test", "accuracy"),
    };
    let mut tasks: Vec<TaskLevels> = Vec::new();
    let mut variants: Vec<&str> = Vec::new();
    for (cell, record) in plan.iter().zip(records) {
        let spec = &cell.spec;
        if !variants.contains(&spec.variant.as_str()) {
            variants.push(&spec.variant);
        }
        for member in parts(spec) {
            let label = task_label(&spec.task, member);
            let known = match record {
                Some(Record::Finished(finished)) if member.is_empty() => finished.levels,
                Some(Record::Finished(finished)) => {
                    finished.members.iter().find(|(name, _)| name == member).and_then(|(_, levels)| *levels)
                }
                _ => None,
            };
            let at = tasks.iter().position(|t| t.task == label).unwrap_or_else(|| {
                tasks.push(levels(&label, None));
                tasks.len() - 1
            });
            let task = &mut tasks[at];
            if task.chance.is_none() {
                *task = TaskLevels { explained: task.explained, ..levels(&label, known) };
            }
            if let Some(Record::Finished(finished)) = record {
                let accuracy = finished.value_on(member, split, measure).is_some();
                task.explained |= !accuracy && finished.value_on(member, EXPLAINED.0, EXPLAINED.1).is_some();
            }
        }
    }
    let mut groups = Vec::new();
    for variant in variants {
        for task in &tasks {
            let mut values = Vec::new();
            let (mut diverged, mut failed, mut missing) = (0, 0, 0);
            let (split, measure) = if task.explained { EXPLAINED } else { (split, measure) };
            let (whole, member) = task.task.split_once('/').unwrap_or((&task.task, ""));
            let of_group = |cell: &Cell| {
                cell.spec.variant == variant
                    && cell.spec.task == whole
                    && parts(&cell.spec).any(|p| p == member)
            };
            let cells: Vec<_> = plan.iter().zip(records).filter(|(cell, _)| of_group(cell)).collect();
            for (_, record) in &cells {
                match record {
                    Some(Record::Finished(finished)) => match finished.value_on(member, split, measure) {
                        Some(value) => values.push(value),
                        None if finished.status == Status::Diverged => diverged += 1,
                        None => {}
                    },
                    Some(Record::Failed(_)) => failed += 1,
                    None => missing += 1,
                }
            }
            if cells.is_empty() {
                continue;
            }
            let seed = random::derive(seed, 0, &format!("interval {variant} {}", task.task));
            let ends = ends(&values, interval, seed);
            groups.push(AccuracyGroup {
                variant: variant.into(),
                task: task.task.clone(),
                n: values.len(),
                mean: mean(&values),
                lower: ends.map(|e| e.0),
                upper: ends.map(|e| e.1),
                diverged,
                failed,
                missing,
            });
        }
    }
    // Variants may share a training, which warns once.
    let trainings: BTreeMap<&str, &[String]> = plan
        .iter()
        .zip(records)
        .filter_map(|(cell, record)| match record {
            Some(Record::Finished(finished)) => Some((cell.folder.as_str(), finished.warnings.as_slice())),
            _ => None,
        })
        .collect();
    let warnings = count_warnings(trainings.into_values());
    Summary {
        measure: measure.into(),
        split: split.into(),
        interval,
        confidence: CONFIDENCE,
        tasks,
        groups,
        warnings: warnings.into_iter().map(|(text, count)| (text.to_owned(), count)).collect(),
    }
}

/// The names of a training's columns: the whole, which has no name, and each of
/// several tasks.
fn parts(spec: &CellSpec) -> impl Iterator<Item = &str> {
    let members = spec.members.iter().flat_map(|members| &members.tasks);
    std::iter::once("").chain(members.map(|member| member.name.as_str()))
}

fn levels(task: &str, known: Option<Levels>) -> TaskLevels {
    TaskLevels {
        task: task.into(),
        explained: false,
        chance: known.map(|l| l.chance),
        memoryless: known.and_then(|l| l.memoryless),
        ideal: known.and_then(|l| l.ideal),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| stats::mean(values))
}

/// The ends of the [`CONFIDENCE`] interval of the mean; `None` for so few values
/// that it is undefined: one, or up to three of the bootstrap.
///
/// The bootstrap draws [`resamples_of`](stats::analysis::resamples_of) resamples from
/// `seed`.
pub fn ends(values: &[f64], interval: Interval, seed: u64) -> Option<(f64, f64)> {
    let (low, high) = match interval {
        Interval::T => stats::t_interval(values, CONFIDENCE),
        Interval::Bootstrap => {
            let resamples = stats::analysis::resamples_of(values.len());
            stats::bootstrap_bca(values, CONFIDENCE, resamples, seed)
        }
    };
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

impl Summary {
    /// The table for a terminal, with a caption.
    pub fn render(&self) -> String {
        let head = |t: &TaskLevels| format!("{}{}", t.task, if t.explained { " (R²)" } else { "" });
        let heads = self.tasks.iter().map(head);
        let mut table = TextTable::new(std::iter::once("variant".to_owned()).chain(heads));
        let mut variants: Vec<&str> = Vec::new();
        for group in &self.groups {
            if !variants.contains(&group.variant.as_str()) {
                variants.push(&group.variant);
            }
        }
        for variant in variants {
            let mut row = vec![variant.to_owned()];
            for task in &self.tasks {
                let group = self.groups.iter().find(|g| g.variant == variant && g.task == task.task);
                row.push(group.map_or_else(String::new, |group| group.text(self.interval)));
            }
            table.add_row(row);
        }
        let level = |name: &str, of: &dyn Fn(&TaskLevels) -> Option<f64>| -> Vec<String> {
            let levels = self.tasks.iter().map(|task| of(task).map_or_else(|| "–".into(), three));
            std::iter::once(name.into()).chain(levels).collect()
        };
        table.add_row(level("chance", &|t| t.chance));
        table.add_row(level("best without memory", &|t| t.memoryless));
        table.add_row(level("ideal", &|t| t.ideal));
        let mut what = match self.measure.as_str() {
            "running_accuracy" => "running accuracy of the last training epoch".to_owned(),
            _ => format!("accuracy on {} trials after training", self.split),
        };
        if self.tasks.iter().any(|task| task.explained) {
            what.push_str(", or R²: explained share of the variance of the targets on test trials");
        }
        let has_ends = self.groups.iter().any(|group| group.lower.is_some());
        let shown = match has_ends {
            true => format!("{} (number of runs)", estimate_caption(self.interval, true)),
            false => "mean (number of runs, too few for an interval)".into(),
        };
        let mut text = format!("{table}\n{what}: {shown}");
        for (warning, trainings) in &self.warnings {
            text.push_str(&format!("\nwarning in {}: {warning}", count(*trainings, "training")));
        }
        text
    }
}

impl AccuracyGroup {
    fn text(&self, kind: Interval) -> String {
        let mut text = estimate(self.mean, self.lower.zip(self.upper), kind);
        text.push_str(&format!(" ({}", self.n));
        for (count, what) in [(self.diverged, "diverged"), (self.failed, "failed"), (self.missing, "to do")] {
            if count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        }
        text.push(')');
        text
    }
}

#[cfg(test)]
mod tests {
    use pallium_record::finished::Finished;
    use pallium_record::identity::identify;
    use pallium_record::outcome::Value;
    use serde_json::json;

    use super::*;

    /// Twenty runs of one variant, and scipy's `t.interval(0.95, …)` of them.
    const RUNS: [f64; 20] = [
        0.75, 0.6875, 0.5625, 0.6875, 0.75, 0.5, 0.625, 0.375, 0.5, 0.375, 0.625, 0.5, 0.6875, 0.6875, 0.625,
        0.3125, 0.625, 0.6875, 0.6875, 0.4375,
    ];
    const SCIPY: (f64, f64) = (0.5226701580055356, 0.6460798419944643);

    fn record(value: Option<f64>, status: Status) -> Option<Record> {
        let levels = Levels { chance: 0.25, memoryless: Some(0.625), ideal: None };
        let values = vec![Value::new("test", "accuracy", value)];
        Some(Record::Finished(Finished {
            status,
            values,
            times: vec![],
            levels: Some(levels),
            members: vec![],
            curve: vec![],
            unmeasured: 0,
            warnings: vec!["not converged".into()],
        }))
    }

    fn plan(runs: usize) -> Vec<Cell> {
        (0..runs)
            .map(|run| {
                let spec: CellSpec = serde_json::from_value(json!({
                    "variant": "W*D", "task": "t", "run": run, "seed": 7, "data_seed": "per-run",
                    "substrate": {"use": "s"}, "weights": {"use": "w"},
                    "geometry": {"space": "none", "coordinate_layout": "rows",
                                 "coordinate_scale": "micrometre", "distance_scale": "none"},
                    "constraints": [], "task_component": {"use": "t"}, "model": {"use": "m"}, "metrics": [],
                    "training": {"epochs": 1, "trials": 1, "validation": 1, "test": 1, "batch": 1},
                }))
                .unwrap();
                identify(spec, &|_| Ok(None)).unwrap()
            })
            .collect()
    }

    #[test]
    fn the_t_interval_is_scipys() {
        let (lower, upper) = ends(&RUNS, Interval::T, 0).unwrap();
        assert!((lower - SCIPY.0).abs() < 1e-12, "{lower}");
        assert!((upper - SCIPY.1).abs() < 1e-12, "{upper}");
    }

    #[test]
    fn the_bootstrap_is_repeatable_and_close_to_theory() {
        let found = ends(&RUNS, Interval::Bootstrap, 1).unwrap();
        assert_eq!(Some(found), ends(&RUNS, Interval::Bootstrap, 1));
        // Off the grid of sixteenths, on which both seeds end at the same point.
        let uneven: Vec<f64> = (0..20).zip(RUNS).map(|(i, v)| v + f64::from(i * i) * 1e-4).collect();
        let seeds = [1, 2].map(|seed| ends(&uneven, Interval::Bootstrap, seed));
        assert_ne!(seeds[0], seeds[1]);
        // The means of resamples spread by s·√((n−1)/n)/√n, normally.
        let mean = mean(&RUNS).unwrap();
        let spread = (RUNS.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt() / RUNS.len() as f64;
        assert!((found.1 - found.0 - 2.0 * 1.96 * spread).abs() < 0.05 * spread * 4.0, "{found:?}");
        assert_eq!(ends(&[0.5; 5], Interval::Bootstrap, 0), Some((0.5, 0.5)));
        assert_eq!(ends(&[0.5], Interval::T, 0), None);
        assert_eq!(ends(&[], Interval::Bootstrap, 0), None);
    }

    #[test]
    fn diverged_failed_and_missing_runs_are_counted_but_not_averaged() {
        let plan = plan(5);
        let records = vec![
            record(Some(0.5), Status::Ok),
            record(None, Status::Diverged),
            Some(Record::Failed("killed".into())),
            None,
            record(Some(0.7), Status::Ok),
        ];
        let summary = summarise(&plan, &records, Accuracy::Evaluated, Interval::T, 0);
        let group = &summary.groups[0];
        assert_eq!((group.n, group.diverged, group.failed, group.missing), (2, 1, 1, 1));
        assert!((group.mean.unwrap() - 0.6).abs() < 1e-12);
        let text = summary.render();
        assert!(text.contains("0.600 ± 1.271 (2; 1 diverged; 1 failed; 1 to do)"), "{text}");
        assert!(text.ends_with("\nwarning in 3 trainings: not converged"), "{text}");
        assert!(text.contains("0.250") && text.contains("0.625") && text.contains("best without memory"));
    }

    #[test]
    fn a_task_without_accuracy_has_its_explained_variance() {
        let of_values = |value: f64| match record(None, Status::Ok) {
            Some(Record::Finished(finished)) => Some(Record::Finished(Finished {
                values: vec![Value::new("test", "r2", Some(value))],
                levels: None,
                ..finished
            })),
            other => other,
        };
        let records = vec![of_values(0.5), record(None, Status::Diverged), of_values(0.7)];
        let summary = summarise(&plan(3), &records, Accuracy::Evaluated, Interval::T, 0);
        assert_eq!((summary.groups[0].n, summary.groups[0].diverged), (2, 1));
        assert!((summary.groups[0].mean.unwrap() - 0.6).abs() < 1e-12);
        let text = summary.render();
        assert!(text.contains("t (R²)") && text.contains("variance of the targets"), "{text}");
    }

    #[test]
    fn one_run_has_a_mean_and_no_interval() {
        let records = vec![record(Some(0.5), Status::Ok)];
        let summary = summarise(&plan(1), &records, Accuracy::Evaluated, Interval::Bootstrap, 0);
        assert_eq!((summary.groups[0].mean, summary.groups[0].lower), (Some(0.5), None));
        assert!(summary.render().contains("0.500 (1)"));
        // The other accuracy was not measured.
        let running = summarise(&plan(1), &records, Accuracy::Running, Interval::T, 0);
        assert_eq!(running.groups[0].mean, None);
    }
}
