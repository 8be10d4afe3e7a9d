//! Tasks: trials with stimuli and correct answers.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::{Batch, BatchView, Loss, Result};

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
        Err(crate::Error::plugin("the task states that it judges answers, but does not implement `judge`"))
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
        Err(crate::Error::plugin("the task states that it reacts to answers, but does not implement `react`"))
    }
}
