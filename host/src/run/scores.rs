//! Losses, accuracies and explained variance over the passes of an epoch or a
//! split.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use pallium_core::{Batch, BatchView, Explained, Loss, LossSums, Mode, Model, Result, TaskInfo};

use super::tasks::Tasks;

/// The scores of a network on one split.
#[derive(Clone, Copy, Debug)]
pub(super) struct SplitScores {
    /// Share of correct answers; `None` if the task has no accuracy.
    pub accuracy: Option<f64>,
    pub task_loss: f64,
    pub penalty: f64,
    /// Share of explained variance; `None` for a task of classes.
    pub r2: Option<f64>,
}

impl SplitScores {
    /// The mean over tasks; `None` if there are none.
    pub fn mean(tasks: &[SplitScores]) -> Option<SplitScores> {
        let of = |value: &dyn Fn(&SplitScores) -> Option<f64>| mean(tasks.iter().map(value));
        Some(SplitScores {
            accuracy: of(&|scores| scores.accuracy),
            task_loss: of(&|scores| Some(scores.task_loss))?,
            penalty: of(&|scores| Some(scores.penalty))?,
            r2: of(&|scores| scores.r2),
        })
    }
}

/// The outputs of a forward pass, its loss, and the gradient in the outputs.
pub(super) struct Answers {
    pub outputs: Array2<f32>,
    pub gradient: Array2<f32>,
}

impl Answers {
    pub fn new() -> Self {
        Answers { outputs: Array2::zeros((0, 0)), gradient: Array2::zeros((0, 0)) }
    }

    /// Runs a batch through the model; with `differentiate`, computes the gradient
    /// in the outputs.
    pub fn pass(
        &mut self,
        model: &mut dyn Model,
        info: &TaskInfo,
        batch: &BatchView<'_>,
        mode: Mode,
        differentiate: bool,
    ) -> Result<LossSums> {
        let shape = (batch.scored().count(), info.outputs);
        if self.outputs.dim() != shape {
            self.outputs = Array2::zeros(shape);
            self.gradient = Array2::zeros(shape);
        }
        model.forward(batch, mode, self.outputs.view_mut())?;
        let gradient = differentiate.then(|| self.gradient.view_mut());
        info.loss.compare(batch, self.outputs.view(), gradient)
    }
}

/// Sums over passes. The running loss weights each batch by its trials, as
/// Keras does; evaluation weights by the mask, so it does not depend on the
/// division of trials into batches.
#[derive(Default)]
pub(super) struct Sums {
    trials: f64,
    loss_by_trials: f64,
    penalty_by_trials: f64,
    loss_by_weight: f64,
    correct: f64,
    weight: f64,
    /// Correct answers and weight by [`Batch::scored`], if the batch has one.
    scored: Option<(f64, f64)>,
    explained: Option<Explained>,
}

impl Sums {
    pub fn add(&mut self, loss: &LossSums, correct: f64, penalty: f64, trials: usize) {
        let trials = trials as f64;
        self.trials += trials;
        self.loss_by_trials += trials * (loss.mean() + penalty);
        self.penalty_by_trials += trials * penalty;
        self.loss_by_weight += loss.weight * loss.mean();
        self.correct += correct;
        self.weight += loss.weight;
    }

    /// Adds how much of the targets the last pass explains, if they are values.
    pub fn explain(
        &mut self,
        info: &TaskInfo,
        batch: &BatchView<'_>,
        outputs: ArrayView2<'_, f32>,
    ) -> Result<()> {
        if info.loss.of_classes() {
            return Ok(());
        }
        let explained = self.explained.get_or_insert_default();
        explained.add(batch, outputs, info.loss == Loss::Poisson)
    }

    /// Adds another pass over trials of the task `of` that weight their steps
    /// differently in the accuracy and in the loss.
    pub fn score(
        &mut self,
        model: &mut dyn Model,
        tasks: &mut Tasks,
        of: usize,
        batch: &Batch,
        range: Range<usize>,
    ) -> Result<()> {
        if batch.scored.is_some() && tasks.members[of].info().has_accuracy() {
            let (view, mut answers) = (batch.slice_scored(range), Answers::new());
            let sums = answers.pass(model, &tasks.info, &view, Mode::Evaluate, false)?;
            let found = tasks.correct(Some(of), &view, answers.outputs.view(), &sums)?;
            self.add_scored(found, sums.weight);
        }
        Ok(())
    }

    /// Adds correct answers and their weight by [`Batch::scored`].
    pub fn add_scored(&mut self, found: f64, weighed: f64) {
        let (correct, weight) = self.scored.get_or_insert((0.0, 0.0));
        *correct += found;
        *weight += weighed;
    }

    pub fn any(&self) -> bool {
        self.weight > 0.0
    }

    pub fn running_loss(&self) -> f64 {
        ratio(self.loss_by_trials, self.trials)
    }

    pub fn penalty(&self) -> f64 {
        ratio(self.penalty_by_trials, self.trials)
    }

    pub fn task_loss(&self) -> f64 {
        ratio(self.loss_by_weight, self.weight)
    }

    /// The share of correct answers, if the task has an accuracy.
    pub fn accuracy(&self, info: &TaskInfo) -> Option<f64> {
        let (correct, weight) = self.scored.unwrap_or((self.correct, self.weight));
        info.has_accuracy().then(|| ratio(correct, weight))
    }

    pub fn r2(&self) -> Option<f64> {
        self.explained.as_ref()?.r2()
    }
}

/// The mean over tasks; `None` if one of them lacks the value.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values = values.collect::<Option<Vec<f64>>>()?;
    match values.as_slice() {
        [] => None,
        // Of one task, exactly its value.
        [one] => Some(*one),
        all => Some(all.iter().sum::<f64>() / all.len() as f64),
    }
}

/// 0 if there is nothing to average; used only if [`Sums::any`].
fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}
