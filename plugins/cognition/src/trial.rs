//! Shared by all tasks: periods of a trial, empty batches, and tasks that
//! consist of a few kinds of noiseless trials.

use std::collections::BTreeMap;
use std::ops::Range;

use pallium_core::ndarray::{Array2, ArrayView2, s};
use pallium_core::prelude::*;
use rand::Rng;

/// Maximum number of steps of a trial: far beyond what a network can be trained
/// on, so that typing errors are refused.
const MAX_STEPS: u32 = 100_000;

/// Maximum number of input values in one draw of trials (8 GiB).
const MAX_VALUES: usize = 1 << 31;

/// One period of a trial.
pub struct Period {
    /// The parameter that sets its duration.
    pub parameter: &'static str,
    /// Its duration in steps.
    pub steps: u32,
    /// Whether the task needs it.
    pub required: bool,
}

impl Period {
    /// A period that the task needs.
    pub fn required(parameter: &'static str, steps: u32) -> Self {
        Period { parameter, steps, required: true }
    }

    /// A period that may be left out.
    pub fn optional(parameter: &'static str, steps: u32) -> Self {
        Period { parameter, steps, required: false }
    }
}

/// The range of steps of each of consecutive periods.
///
/// # Errors
/// If a required period has no steps, or the trial would be too long, or empty.
pub fn lay_out<const K: usize>(periods: [Period; K]) -> Result<[Range<usize>; K]> {
    for period in &periods {
        if period.required && period.steps == 0 {
            return Err(Error::input(format!("parameter `{}` is 0", period.parameter))
                .help("the task needs this period: give it at least one step"));
        }
    }
    let total: u64 = periods.iter().map(|p| u64::from(p.steps)).sum();
    if total == 0 || total > u64::from(MAX_STEPS) {
        let names: Vec<_> = periods.iter().map(|p| format!("`{}`", p.parameter)).collect();
        return Err(Error::input(format!("parameters {} add up to {total} steps", names.join(" + ")))
            .help(format!("a trial must have between 1 and {MAX_STEPS} steps")));
    }
    let mut start = 0;
    Ok(periods.map(|period| {
        let range = start..start + period.steps as usize;
        start = range.end;
        range
    }))
}

/// An all-zero batch of `count` trials.
///
/// # Errors
/// If the batch would be too large for memory.
pub fn empty_batch(count: usize, steps: usize, channels: usize) -> Result<Batch> {
    match count.checked_mul(steps).and_then(|n| n.checked_mul(channels)) {
        Some(values) if values <= MAX_VALUES => Ok(Batch::zeros(count, steps, channels)),
        _ => Err(Error::input(format!(
            "{count} trials of {steps} steps and {channels} channels are more than {MAX_VALUES} values"
        ))
        .help("draw fewer trials at a time, or shorten the task's periods")),
    }
}

/// Names the period of each step of every trial, given the steps of each.
pub fn mark_periods(batch: &mut Batch, periods: &[Range<usize>]) {
    let (trials, steps) = batch.mask.dim();
    let of = |step| periods.iter().position(|range| range.contains(&step)).unwrap_or_default() as u32;
    batch.periods = Some(Array2::from_shape_fn((trials, steps), |(_, step)| of(step)));
}

/// A task that consists of a few equally likely kinds of noiseless trials.
pub struct Repertoire {
    /// One trial of each kind; its index is its condition.
    kinds: Batch,
    info: TaskInfo,
    /// Name of the random stream that kinds are drawn from.
    purpose: &'static str,
}

impl Repertoire {
    /// A repertoire of `kinds`: one trial and one name for each. The levels are
    /// computed by counting kinds.
    pub fn new(purpose: &'static str, mut kinds: Batch, names: Vec<String>, classes: usize) -> Result<Self> {
        let (count, steps, inputs) = kinds.inputs.dim();
        if names.len() != count || count == 0 {
            return Err(Error::bug(format!("{count} kinds of trial with {} names", names.len())));
        }
        kinds.conditions = (0..).take(count).collect();
        let mut info = TaskInfo::classes(inputs, classes, steps);
        info.conditions = names;
        kinds.check(&info)?;
        let correct = kinds.targets.view().classes()?;
        info.levels = Some(Levels {
            chance: 1.0 / classes as f64,
            memoryless: Some(best_accuracy(&kinds, correct, |length| length.saturating_sub(1)..length)),
            ideal: Some(best_accuracy(&kinds, correct, |length| 0..length)),
        });
        Ok(Repertoire { kinds, info, purpose })
    }

    /// The same repertoire with the names and the steps of its periods.
    #[must_use]
    pub fn with_periods(mut self, periods: &[(&str, Range<usize>)]) -> Self {
        self.info.periods = periods.iter().map(|(name, _)| (*name).to_owned()).collect();
        let ranges: Vec<_> = periods.iter().map(|(_, range)| range.clone()).collect();
        mark_periods(&mut self.kinds, &ranges);
        self
    }

    /// The description of the task.
    pub fn info(&self) -> TaskInfo {
        self.info.clone()
    }

    /// `count` trials, each of a kind drawn uniformly and independently.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Batch> {
        let mut batch = empty_batch(count, self.info.steps, self.info.inputs)?;
        let correct = self.kinds.targets.view().classes()?;
        let mut targets = Array2::zeros((count, self.info.steps));
        let mut stream = random::stream(seed, self.purpose);
        for trial in 0..count {
            let condition = stream.random_range(0..self.kinds.trials() as u32);
            let kind = condition as usize;
            batch.inputs.slice_mut(s![trial, .., ..]).assign(&self.kinds.inputs.slice(s![kind, .., ..]));
            targets.row_mut(trial).assign(&correct.row(kind));
            batch.mask.row_mut(trial).assign(&self.kinds.mask.row(kind));
            batch.lengths[trial] = self.kinds.lengths[kind];
            batch.conditions[trial] = condition;
        }
        batch.targets = Targets::Classes(targets);
        // All kinds have the same periods.
        let periods = self.kinds.periods.as_ref();
        batch.periods =
            periods.map(|own| Array2::from_shape_fn((count, self.info.steps), |(_, at)| own[[0, at]]));
        Ok(batch)
    }
}

/// The accuracy of the best observer of equally likely kinds with these correct
/// classes. `window` maps a trial's length to the steps that the observer sees.
fn best_accuracy(kinds: &Batch, correct: ArrayView2<'_, u32>, window: impl Fn(usize) -> Range<usize>) -> f64 {
    // For each observation, how often each class is correct.
    let mut answers: BTreeMap<Vec<u32>, BTreeMap<u32, usize>> = BTreeMap::new();
    for kind in 0..kinds.trials() {
        let length = kinds.lengths[kind] as usize;
        let seen = kinds.inputs.slice(s![kind, window(length), ..]);
        let class = correct[[kind, length - 1]];
        *answers.entry(seen.iter().map(|v| v.to_bits()).collect()).or_default().entry(class).or_default() +=
            1;
    }
    let right: usize = answers.values().map(|classes| classes.values().max().copied().unwrap_or(0)).sum();
    right as f64 / kinds.trials() as f64
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Asserts that `count` of `n` agrees with probability `p` within five
    /// standard deviations; 6 in 10 million would fail by chance, but seeds are
    /// fixed.
    pub fn assert_share(what: &str, count: usize, n: usize, p: f64) {
        let expected = n as f64 * p;
        let bound = 5.0 * (expected * (1.0 - p)).sqrt();
        assert!(
            (count as f64 - expected).abs() <= bound,
            "{what}: {count} of {n}, expected {expected} ± {bound}"
        );
    }

    /// Accuracy on the second half of `batch` of an observer that sees the last
    /// `steps` steps and learns the best answers from the first half.
    pub fn learnt_accuracy(batch: &Batch, steps: usize) -> (usize, usize) {
        let half = batch.trials() / 2;
        let correct = batch.targets.view().classes().unwrap();
        let seen = |trial: usize| -> (Vec<u32>, u32) {
            let end = batch.lengths[trial] as usize;
            let input = batch.inputs.slice(s![trial, end - steps..end, ..]);
            (input.iter().map(|v| v.to_bits()).collect(), correct[[trial, end - 1]])
        };
        let mut counts: BTreeMap<Vec<u32>, BTreeMap<u32, usize>> = BTreeMap::new();
        for trial in 0..half {
            let (input, class) = seen(trial);
            *counts.entry(input).or_default().entry(class).or_default() += 1;
        }
        let right = (half..2 * half).filter(|&trial| {
            let (input, class) = seen(trial);
            let best = counts[&input].iter().max_by_key(|(_, count)| **count).unwrap();
            *best.0 == class
        });
        (right.count(), half)
    }

    /// Checks the properties common to the trials of all tasks.
    pub fn check_properties(task: &mut dyn Task) {
        let info = task.info();
        let batch = task.trials(200, 11).unwrap();
        batch.check(&info).unwrap();
        assert_eq!(batch.inputs.dim(), (200, info.steps, info.inputs));
        assert!(batch.lengths.iter().all(|&l| l as usize == info.steps), "every trial is full length");
        assert!(batch.conditions.iter().all(|&c| (c as usize) < info.conditions.len()));
        for row in batch.mask.rows() {
            assert_eq!(row.sum(), 1.0, "one step is scored");
            assert_eq!(row[info.steps - 1], 1.0, "and it is the last");
        }
        assert_eq!(task.trials(200, 11).unwrap(), batch, "the same seed gives the same trials");
        assert_ne!(task.trials(200, 12).unwrap().conditions, batch.conditions, "another seed gives others");
        let head = task.trials(77, 11).unwrap();
        assert_eq!(head.inputs, batch.inputs.slice(s![..77, .., ..]), "a shorter draw is the beginning");
        let classes = |batch: &Batch| batch.targets.view().classes().unwrap().to_owned();
        assert_eq!(classes(&head), classes(&batch).slice(s![..77, ..]));
        assert_eq!(head.conditions, batch.conditions[..77]);
        assert_eq!(task.trials(0, 11).unwrap().trials(), 0);

        let many = task.trials(20_000, 5).unwrap();
        let kinds = info.conditions.len();
        let mut counts = vec![0; kinds];
        for &condition in &many.conditions {
            counts[condition as usize] += 1;
        }
        for (name, &count) in info.conditions.iter().zip(&counts) {
            assert_share(name, count, 20_000, 1.0 / kinds as f64);
        }
        // Neighbouring trials repeat a kind as often as independent draws do.
        let repeats = many.conditions.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_share("repeated kinds", repeats, 19_999, 1.0 / kinds as f64);

        let e = task.trials(usize::MAX / 2, 0).unwrap_err();
        assert!(e.message.contains("are more than") && e.help.is_some(), "{e}");
    }

    #[test]
    fn periods_follow_each_other() {
        let layout = lay_out([Period::required("a", 3), Period::optional("b", 0), Period::optional("c", 2)]);
        assert_eq!(layout.unwrap(), [0..3, 3..3, 3..5]);
    }

    #[test]
    fn impossible_periods_are_refused() {
        let e = lay_out([Period::required("goal", 0), Period::optional("b", 4)]).unwrap_err();
        assert_eq!(e.message, "parameter `goal` is 0");
        assert!(e.help.unwrap().contains("at least one step"));
        let e = lay_out([Period::required("a", u32::MAX), Period::optional("b", u32::MAX)]).unwrap_err();
        assert_eq!(e.message, "parameters `a` + `b` add up to 8589934590 steps");
    }
}
