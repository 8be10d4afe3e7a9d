//! Tasks: trials with stimuli and correct answers.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::text::{check_name, check_unique};
use crate::{Batch, BatchView, Error, Loss, Result};

/// Most input channels or outputs of a task.
const MOST_CHANNELS: usize = 1_000_000;
/// Most steps of a trial.
const MOST_STEPS: usize = 10_000_000;
/// Levels that are computed in different ways may differ by this much.
const ROUNDING: f64 = 1e-9;

/// Reference accuracies of a task (fractions from 0 to 1), against which the
/// accuracy of a network can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Accuracy of guessing: 1 / classes, or the share of the most frequent class. If
    /// the task judges answers itself: of the best answer that ignores the inputs.
    pub chance: f64,
    /// Best accuracy of an observer that sees only the inputs of the scored step
    /// and remembers none before; `None` if unknown.
    pub memoryless: Option<f64>,
    /// Best accuracy of any observer; `None` if unknown.
    pub ideal: Option<f64>,
}

impl Levels {
    /// Only the accuracy of guessing is known.
    pub fn chance(chance: f64) -> Self {
        Levels { chance, memoryless: None, ideal: None }
    }

    /// The levels that are known, with their names, from the lowest on.
    fn stated(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let known = [("chance", Some(self.chance)), ("memoryless", self.memoryless), ("ideal", self.ideal)];
        known.into_iter().filter_map(|(name, level)| Some((name, level?)))
    }
}

/// Description of a task, made by [`TaskInfo::classes`] or [`TaskInfo::values`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Number of input channels.
    pub inputs: usize,
    /// Number of outputs: of classes, or of values at each step.
    #[serde(alias = "classes")]
    pub outputs: usize,
    /// How outputs are compared with targets; it says whether targets are classes
    /// or values.
    #[serde(default)]
    pub loss: Loss,
    /// Whether [`Task::judge`] says which answers are correct. If not, the answer
    /// of a task of classes is its largest output, and a task of values has no
    /// accuracy.
    #[serde(default)]
    pub judges: bool,
    /// Number of steps of the longest possible trial.
    pub steps: usize,
    /// Duration of a step in milliseconds, if the task defines one.
    pub step_ms: Option<f64>,
    /// Names of the conditions, by their index in [`Batch::conditions`].
    pub conditions: Vec<String>,
    /// Reference accuracies; `None` for a task without an accuracy.
    pub levels: Option<Levels>,
    /// Names of the periods of a trial, by their index in [`Batch::periods`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<String>,
    /// The steps, ascending, after which [`Task::react`] changes what follows in the
    /// trial according to the network's answer; empty if stimuli do not depend on
    /// answers.
    #[serde(default)]
    pub reacts: Vec<usize>,
}

impl TaskInfo {
    /// A task that asks for one of `classes` classes, compared by cross-entropy,
    /// whose chance level is 1 / classes.
    pub fn classes(inputs: usize, classes: usize, steps: usize) -> Self {
        TaskInfo {
            inputs,
            outputs: classes,
            loss: Loss::CrossEntropy,
            judges: false,
            steps,
            step_ms: None,
            conditions: Vec::new(),
            levels: Some(Levels::chance(1.0 / classes.max(1) as f64)),
            periods: Vec::new(),
            reacts: Vec::new(),
        }
    }

    /// A task that asks for values of `outputs` outputs, compared by `loss`.
    pub fn values(inputs: usize, outputs: usize, steps: usize, loss: Loss) -> Self {
        TaskInfo { loss, levels: None, ..TaskInfo::classes(inputs, outputs, steps) }
    }

    /// Whether answers are correct or not, so that there is an accuracy.
    pub fn has_accuracy(&self) -> bool {
        self.judges || self.loss.of_classes()
    }

    /// Refuses a description that contradicts itself or has values that no task can
    /// have.
    ///
    /// # Errors
    /// Naming the first field that is wrong, and what it may be.
    pub fn check(&self) -> Result<()> {
        self.check_finite()?;
        let classes = self.loss.of_classes();
        let outputs = if classes { ("classes", 2) } else { ("outputs", 1) };
        for (field, what, count, least, most) in [
            ("inputs", "input channels", self.inputs, 1, MOST_CHANNELS),
            ("outputs", outputs.0, self.outputs, outputs.1, MOST_CHANNELS),
            ("steps", "steps", self.steps, 1, MOST_STEPS),
        ] {
            if !(least..=most).contains(&count) {
                return Err(Error::plugin(format!(
                    "`{field}` is {count}; a task has {least} to {most} {what}"
                )));
            }
        }
        if let Some(ms) = self.step_ms.filter(|ms| *ms <= 0.0) {
            return Err(Error::plugin(format!("`step_ms` is {ms}; a step must last longer than 0 ms")));
        }
        for (field, what, names) in
            [("conditions", "condition", &self.conditions), ("periods", "period", &self.periods)]
        {
            let context = |e: Error| e.context(format!("`{field}` is not allowed"));
            names.iter().try_for_each(|name| check_name(what, name, &[])).map_err(context)?;
            check_unique(what, names.iter().map(String::as_str)).map_err(context)?;
        }
        let late = self.reacts.iter().any(|&step| step.saturating_add(1) >= self.steps);
        if late || !self.reacts.is_sorted_by(|a, b| a < b) {
            return Err(Error::plugin(format!(
                "`reacts` has the steps {:?}; they must be ascending, and before the last of {} steps",
                self.reacts, self.steps
            )));
        }
        let Some(levels) = self.levels else {
            if classes && !self.judges {
                return Err(Error::plugin(
                    "`levels` is None, but a task of classes has an accuracy, so it must state the level of chance",
                ));
            }
            return Ok(());
        };
        if !self.has_accuracy() {
            return Err(Error::plugin("`levels` states levels of an accuracy, but the task has no accuracy")
                .help("values have an accuracy only if `judges` is true; otherwise `levels` is None"));
        }
        let mut before: Option<(&str, f64)> = None;
        for (name, level) in levels.stated() {
            if !(0.0..=1.0).contains(&level) {
                return Err(Error::plugin(format!(
                    "`levels.{name}` is {level}; a level must be between 0 and 1"
                )));
            }
            if let Some((lower, value)) = before
                && level < value - ROUNDING
            {
                return Err(Error::plugin(format!(
                    "`levels.{name}` is {level}; it cannot be below `levels.{lower}`, which is {value}"
                )));
            }
            before = Some((name, level));
        }
        Ok(())
    }

    /// Refuses numbers that are not finite: JSON, as which a description passes to the
    /// host, has none.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let levels = self.levels.iter().flat_map(Levels::stated);
        let mut all = levels
            .map(|(name, level)| (format!("levels.{name}"), level))
            .chain(self.step_ms.map(|ms| ("step_ms".to_owned(), ms)));
        match all.find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((field, value)) => Err(Error::plugin(format!("`{field}` is {value}; it must be finite"))),
        }
    }
}

/// What trials are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training.
    Train,
    /// Validation after every epoch.
    Validation,
    /// The test after training.
    Test,
}

impl Split {
    /// All splits, in the order in which results are written.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// Generates trials.
pub trait Task: Send + Sync {
    /// The description of the task.
    fn info(&self) -> TaskInfo;

    /// Generates `count` trials; the same seed gives bit-identical trials.
    ///
    /// # Errors
    /// If the trials cannot be generated.
    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch>;

    /// Generates `count` trials of a split; by default as [`Task::trials`], since
    /// the seed differs between splits. A task that draws trials from data takes
    /// those for validation and test from a part that training never sees.
    ///
    /// # Errors
    /// As [`Task::trials`].
    fn trials_of(&mut self, split: Split, count: usize, seed: u64) -> Result<Batch> {
        let _ = split;
        self.trials(count, seed)
    }

    /// Which answers are correct: one value for each row of `outputs` (scored
    /// steps × outputs, in the order of [`BatchView::scored`]), such as whether an
    /// angle lies within a tolerance. Called only if [`TaskInfo::judges`]; it must
    /// not draw random numbers.
    ///
    /// # Errors
    /// If the answers cannot be judged.
    fn judge(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        let _ = (batch, outputs);
        Err(Error::plugin("the task states that it judges answers, but does not implement `judge`"))
    }

    /// The trials after the network's answers at `step`: `outputs` has one row for each
    /// trial (trials × outputs; 0 for trials that have ended). Only inputs, targets and
    /// weights of later steps may change, and neither shapes nor lengths. Called for
    /// each step of [`TaskInfo::reacts`] in order; it must not draw random numbers:
    /// draw them with the trials, and keep what was drawn in the batch.
    ///
    /// # Errors
    /// If the task cannot react.
    fn react(&mut self, batch: Batch, step: usize, outputs: ArrayView2<'_, f32>) -> Result<Batch> {
        let _ = (batch, step, outputs);
        Err(Error::plugin("the task states that it reacts to answers, but does not implement `react`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut TaskInfo)) -> String {
        let mut info = TaskInfo::values(2, 1, 5, Loss::MeanSquaredError);
        info.judges = true;
        info.step_ms = Some(10.0);
        info.conditions = vec!["left, 6.4 %".into(), "right".into()];
        info.reacts = vec![1, 3];
        info.levels = Some(Levels { chance: 0.2, memoryless: Some(0.2), ideal: Some(1.0) });
        info.check().unwrap();
        change(&mut info);
        info.check().unwrap_err().to_string()
    }

    #[test]
    fn a_description_that_no_task_can_have_is_refused_by_its_field() {
        let chance = |chance| Some(Levels::chance(chance));
        for (field, text) in [
            ("inputs", refused(|info| info.inputs = 0)),
            ("inputs", refused(|info| info.inputs = usize::MAX)),
            ("outputs", refused(|info| info.outputs = 1 << 40)),
            ("steps", refused(|info| info.steps = 0)),
            ("steps", refused(|info| info.steps = 1 << 40)),
            ("step_ms", refused(|info| info.step_ms = Some(-5.0))),
            ("step_ms", refused(|info| info.step_ms = Some(f64::NAN))),
            ("conditions", refused(|info| info.conditions[1] = "left, 6.4 %".into())),
            ("conditions", refused(|info| info.conditions[1] = "\u{1b}[31m".into())),
            ("conditions", refused(|info| info.conditions[1] = "two\nlines".into())),
            ("conditions", refused(|info| info.conditions[1] = " ".into())),
            ("periods", refused(|info| info.periods = vec![String::new()])),
            ("reacts", refused(|info| info.reacts = vec![99])),
            ("reacts", refused(|info| info.reacts = vec![4])),
            ("reacts", refused(|info| info.reacts = vec![usize::MAX])),
            ("reacts", refused(|info| info.reacts = vec![2, 2])),
            ("levels", refused(|info| info.judges = false)),
            ("levels", refused(|info| *info = TaskInfo { levels: None, ..TaskInfo::classes(1, 2, 1) })),
            ("levels.chance", refused(|info| info.levels = chance(1.2))),
            ("levels.chance", refused(|info| info.levels = chance(f64::NAN))),
            ("levels.ideal", refused(|info| info.levels.as_mut().unwrap().ideal = Some(f64::INFINITY))),
            ("levels.memoryless", refused(|info| info.levels.as_mut().unwrap().memoryless = Some(0.1))),
        ] {
            assert!(text.contains(&format!("`{field}`")), "{field}: {text}");
            assert!(!text.contains(['\u{1b}', '\n']), "{text:?}");
        }
    }
}
