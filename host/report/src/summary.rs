//! Statistics of runs by variant, task and measure.

use pallium_core::{Result, random};
use serde::Serialize;

use super::folder::{RunFolder, TrainingResult, base, point};
use super::published::{Paper, Published, Sample, Verdict, judge};
use super::study::{self, Counterpart};
use crate::run_table::ends;
use crate::text::estimate;
use pallium_profile::{Accuracy, Interval};
use pallium_record::outcome::Status;
use pallium_record::spec::CoordinateLayout;
use pallium_stats::{self as stats, Analysis, Design, Options, WideTable, table::TableEntry};

/// A run counts as above memoryless if its accuracy exceeds the memoryless level
/// by this many standard errors of a proportion.
const STANDARD_ERRORS: f64 = 3.0;
/// All pairs are listed up to this number of variants.
pub const MAX_PAIRED_VARIANTS: usize = 16;

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
/// level plus three standard errors of a proportion of the trials.
pub fn threshold(run: &RunFolder, task: usize) -> Option<f64> {
    let memoryless = run.tasks[task].info.as_ref()?.levels.memoryless?;
    let training = &run.example()?.spec.training;
    let trials = match run.accuracy {
        Accuracy::Running => training.trials,
        Accuracy::Evaluated => training.test,
    };
    let error = (memoryless * (1.0 - memoryless) / trials.max(1) as f64).sqrt();
    Some(memoryless + STANDARD_ERRORS * error)
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
    }
}

/// The effect of a factor, or of a variant, on a task's accuracy.
#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    /// Such as `D* - D`; in a sweep with the point, `D* - D [λ=0.1]`.
    pub name: String,
    /// In words.
    pub meaning: String,
    /// The factor, if there is one: W, D or C.
    pub factor: Option<String>,
    /// The pairs of variants that are compared: each with its reference.
    pub pairs: Vec<(String, String)>,
    /// Mean difference, in the measure's unit.
    pub difference: f64,
    /// Cliff's δ, the mean over the pairs.
    pub delta: f64,
    /// p-value.
    pub p: f64,
    /// p adjusted by Holm over all effects of the task.
    pub holm: f64,
}

impl Effect {
    /// Its name for display: with a minus sign between the levels of a factor.
    pub fn label(&self) -> String {
        match self.factor {
            Some(_) => self.name.replacen(" - ", " − ", 1),
            None => self.name.clone(),
        }
    }
}

/// A task's statistics.
#[derive(Debug)]
pub struct TaskStatistics {
    /// The analysis of `pallium stats`.
    pub analysis: Analysis,
    /// Effects of the design's factors, in a sweep at each point. If a variant's
    /// name has no factors: each variant against the first.
    pub effects: Vec<Effect>,
    /// Whether the effects are of factors.
    pub factorial: bool,
    /// In a sweep: each point against the one before, and against the first.
    pub points: Vec<Effect>,
}

/// Statistics of the headline accuracy of a task.
pub fn statistics(run: &RunFolder, task: usize) -> TaskStatistics {
    let (split, measure) = run.headline();
    let table = wide(run, task, (&split, &measure));
    let swept = table.names.iter().any(|name| !point(name).is_empty());
    let design = Design::from_names(&table.names);
    // Beyond this many variants the family must be chosen: `pallium stats --family`.
    let family = (table.names.len() > MAX_PAIRED_VARIANTS).then(Vec::new);
    let options = Options { seed: run.manifest.seed, family, ..Options::default() };
    let analysis = stats::analyse(&table, &design, &options);
    let values: Vec<Vec<f64>> = (0..table.names.len()).map(|v| table.values(v)).collect();
    let effects = contrasts(run, &table, &values);
    let factorial = !effects.is_empty();
    let effects = if factorial { effects } else { against_first(&table, &values) };
    let points = if swept { from_point_to_point(&table, &values) } else { Vec::new() };
    TaskStatistics { analysis, effects, factorial, points }
}

/// Planned contrasts of the paper's factors, within each point of a sweep; empty
/// if a variant's name has no factors.
fn contrasts(run: &RunFolder, table: &WideTable, values: &[Vec<f64>]) -> Vec<Effect> {
    let names: Vec<&str> = table.names.iter().map(|name| base(name)).collect();
    let whole = Design::from_names(&names);
    if !(0..names.len()).all(|v| whole.knows(v)) {
        return Vec::new();
    }
    let mut points: Vec<&str> = Vec::new();
    for at in table.names.iter().map(|name| point(name)) {
        if !points.contains(&at) {
            points.push(at);
        }
    }
    let mut effects = Vec::new();
    for at in points {
        let own: Vec<usize> = (0..names.len()).filter(|&v| point(&table.names[v]) == at).collect();
        let design = Design::from_names(&own.iter().map(|&v| names[v]).collect::<Vec<_>>());
        let samples: Vec<&[f64]> = own.iter().map(|&v| values[v].as_slice()).collect();
        let Ok(found) = stats::contrasts(&design, &samples) else { continue };
        for c in found {
            let pairs: Vec<(usize, usize)> = c.pairs.iter().map(|&(a, b)| (own[a], own[b])).collect();
            let deltas: Vec<f64> =
                pairs.iter().map(|&(a, b)| stats::cliffs_delta(&values[a], &values[b])).collect();
            effects.push(Effect {
                name: if at.is_empty() { c.name() } else { format!("{} [{at}]", c.name()) },
                meaning: meaning(run, &c.factor, (&c.upper, &c.lower), pairs.first().map(|p| p.0)),
                factor: Some(c.factor.clone()),
                pairs: pairs.iter().map(|&(a, b)| (table.names[a].clone(), table.names[b].clone())).collect(),
                difference: c.difference,
                delta: stats::mean(&deltas),
                p: c.p,
                holm: c.holm,
            });
        }
    }
    adjust(&mut effects);
    effects
}

/// Adjusts p by Holm over all of them.
fn adjust(effects: &mut [Effect]) {
    let p: Vec<f64> = effects.iter().map(|e| e.p).collect();
    for (effect, holm) in effects.iter_mut().zip(stats::holm(&p)) {
        effect.holm = holm;
    }
}

/// Every variant against the first; every point of a sweep against the first of
/// the same variant.
fn against_first(table: &WideTable, values: &[Vec<f64>]) -> Vec<Effect> {
    let swept = table.names.iter().any(|name| !point(name).is_empty());
    let alike = |a: usize, b: usize| !swept || base(&table.names[a]) == base(&table.names[b]);
    let pairs = (0..values.len()).filter_map(|v| Some((v, (0..v).find(|&first| alike(first, v))?)));
    pairwise(table, values, pairs)
}

/// Every point of a sweep against the one before of the same variant, and
/// against the first, where that is another.
fn from_point_to_point(table: &WideTable, values: &[Vec<f64>]) -> Vec<Effect> {
    let alike = |a: usize, b: usize| base(&table.names[a]) == base(&table.names[b]);
    let before = (0..values.len()).filter_map(|v| Some((v, (0..v).rev().find(|&other| alike(other, v))?)));
    let first = (0..values.len()).filter_map(|v| Some((v, (0..v).find(|&other| alike(other, v))?)));
    let before: Vec<(usize, usize)> = before.collect();
    let beyond: Vec<(usize, usize)> = first.filter(|pair| !before.contains(pair)).collect();
    pairwise(table, values, before.into_iter().chain(beyond))
}

/// Mann–Whitney tests of the pairs that have values.
fn pairwise(
    table: &WideTable,
    values: &[Vec<f64>],
    pairs: impl Iterator<Item = (usize, usize)>,
) -> Vec<Effect> {
    let name = |v: usize| table.names[v].clone();
    let mut effects: Vec<Effect> = pairs
        .filter(|&(v, other)| !values[v].is_empty() && !values[other].is_empty())
        .map(|(v, other)| Effect {
            name: name(v),
            meaning: format!("instead of {}", name(other)),
            factor: None,
            pairs: vec![(name(v), name(other))],
            difference: stats::mean(&values[v]) - stats::mean(&values[other]),
            delta: delta(&values[v], &values[other]),
            p: stats::mann_whitney(&values[v], &values[other]).p,
            holm: f64::NAN,
        })
        .collect();
    adjust(&mut effects);
    effects
}

/// Cliff's δ; NaN of one run against one, of which it is 1 or −1, whatever they
/// are.
pub fn delta(a: &[f64], b: &[f64]) -> f64 {
    if a.len() + b.len() == 2 { f64::NAN } else { stats::cliffs_delta(a, b) }
}

/// A contrast of the paper's factors in words.
fn meaning(run: &RunFolder, factor: &str, (upper, lower): (&str, &str), variant: Option<usize>) -> String {
    // Interleaved axes mix the coordinates of different neurons.
    let interleaved = variant
        .and_then(|v| run.example_of(v))
        .is_some_and(|about| about.spec.geometry.coordinate_layout == CoordinateLayout::Interleaved);
    match (factor, upper, lower) {
        ("W", "W*", "W") => "weights from activity instead of orthogonal ones",
        ("W", "W!", "W") => "weights from activity, neurons relabelled, instead of orthogonal ones",
        ("W", "W!", "W*") => "neurons relabelled instead of each weight at its own neurons",
        ("D", "D*", "D") if interleaved => {
            "positions as published (axes interleaved, so not the real ones) instead of a grid"
        }
        ("D", "D*", "D") => "real positions instead of a grid",
        ("C", "C", "none") => "communicability on top of distance",
        ("C", "C*", "none") => "communicability like the connectome's on top of distance",
        ("C", "C*", "C") => "communicability like the connectome's instead of communicability alone",
        _ => return format!("{upper} instead of {lower}"),
    }
    .into()
}

/// Spearman's correlation of a network measure with accuracy over all runs of a
/// task.
pub fn correlation(run: &RunFolder, task: usize, measure: &str) -> (stats::Test, usize) {
    let (split, headline) = run.headline();
    let cells = run.trainings.iter().filter(|c| c.task == task);
    let (x, y): (Vec<f64>, Vec<f64>) =
        cells.filter_map(|c| Some((c.value("", measure)?, c.value(&split, &headline)?))).unzip();
    (stats::spearman(&x, &y), x.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &[f64])]) -> (WideTable, Vec<Vec<f64>>) {
        let table = WideTable {
            names: columns.iter().map(|c| c.0.into()).collect(),
            runs: vec!["0".into(), "1".into()],
            columns: vec![Vec::new(); columns.len()],
        };
        (table, columns.iter().map(|c| c.1.to_vec()).collect())
    }

    fn compared(effects: Vec<Effect>) -> Vec<(String, String, f64)> {
        effects.into_iter().map(|e| (e.pairs[0].0.clone(), e.pairs[0].1.clone(), e.difference)).collect()
    }

    fn effects(columns: &[(&str, &[f64])]) -> Vec<(String, String, f64)> {
        let (table, values) = table(columns);
        compared(against_first(&table, &values))
    }

    #[test]
    fn variants_are_compared_with_the_first_and_points_with_their_variants_first() {
        let of = |a: &str, b: &str, d: f64| (a.to_owned(), b.to_owned(), d);
        let found = effects(&[("x", &[1.0, 2.0]), ("y", &[2.0, 3.0]), ("z", &[])]);
        assert_eq!(found, [of("y", "x", 1.0)]);
        let found = effects(&[
            ("W[λ=1]", &[1.0, 1.0]),
            ("W[λ=2]", &[3.0, 3.0]),
            ("V[λ=1]", &[0.0, 0.0]),
            ("V[λ=2]", &[5.0, 5.0]),
        ]);
        assert_eq!(found, [of("W[λ=2]", "W[λ=1]", 2.0), of("V[λ=2]", "V[λ=1]", 5.0)]);
        assert!(effects(&[]).is_empty());
        let (table, values) = table(&[
            ("W[λ=1]", &[1.0, 1.0]),
            ("V[λ=1]", &[0.0, 0.0]),
            ("W[λ=2]", &[3.0, 3.0]),
            ("W[λ=3]", &[7.0, 7.0]),
        ]);
        assert_eq!(
            compared(from_point_to_point(&table, &values)),
            [of("W[λ=2]", "W[λ=1]", 2.0), of("W[λ=3]", "W[λ=2]", 4.0), of("W[λ=3]", "W[λ=1]", 6.0)]
        );
    }
}
