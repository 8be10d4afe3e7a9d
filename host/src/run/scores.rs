//! Losses, accuracies and explained variance over the passes of an epoch or a
//! split.

use std::ops::Range;

use ndarray::Array2;
use pallium_core::{Batch, BatchView, Error, Explained, Loss, LossSums, Mode, Model, Result, Task, TaskInfo};

/// The scores of a network on one split.
#[derive(Clone, Copy)]
pub(super) struct SplitScores {
    /// Share of correct answers; `None` if the task has no accuracy.
    pub accuracy: Option<f64>,
    pub task_loss: f64,
    pub penalty: f64,
    /// Share of explained variance; `None` for a task of classes.
    pub r2: Option<f64>,
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

    /// Weight of the correct answers of the last pass, over `batch`.
    pub fn correct(
        &self,
        task: &mut dyn Task,
        info: &TaskInfo,
        batch: &BatchView<'_>,
        sums: &LossSums,
    ) -> Result<f64> {
        if !info.judges {
            return Ok(sums.correct);
        }
        let judged = task.judge(batch, self.outputs.view())?;
        if judged.len() != self.outputs.nrows() {
            return Err(Error::plugin(format!(
                "the task judged {} of {} answers",
                judged.len(),
                self.outputs.nrows()
            )));
        }
        let weights = batch.scored().map(|at| f64::from(batch.mask[[at.trial, at.step]]));
        Ok(weights.zip(judged).filter(|(_, correct)| *correct).map(|(weight, _)| weight).sum())
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
    pub fn explain(&mut self, info: &TaskInfo, batch: &BatchView<'_>, answers: &Answers) -> Result<()> {
        if info.loss.of_classes() {
            return Ok(());
        }
        let explained = self.explained.get_or_insert_default();
        explained.add(batch, answers.outputs.view(), info.loss == Loss::Poisson)
    }

    /// Adds another pass over trials that weight their steps differently in the
    /// accuracy and in the loss.
    pub fn score(
        &mut self,
        model: &mut dyn Model,
        task: &mut dyn Task,
        info: &TaskInfo,
        batch: &Batch,
        range: Range<usize>,
    ) -> Result<()> {
        if batch.scored.is_some() && info.has_accuracy() {
            let (view, mut answers) = (batch.slice_scored(range), Answers::new());
            let sums = answers.pass(model, info, &view, Mode::Evaluate, false)?;
            let found = answers.correct(task, info, &view, &sums)?;
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

/// 0 if there is nothing to average; used only if [`Sums::any`].
fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}
