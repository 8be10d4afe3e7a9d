//! The training loop: batches forward and backward, penalties, updates,
//! validation, checkpoints, and the evaluation of the trained network.

use std::ops::Range;
use std::time::Instant;

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis};
use pallium_core::{Batch, Constraint, Error, Mode, Model, Outcome, Result, Task, TaskInfo, Tensor, random};
use pallium_record::checkpoint::{Checkpoint, CheckpointFile};
use pallium_record::outcome::{Divergence, Epoch};
use pallium_record::spec::CellSpec;

/// Number of trials in an evaluating pass, unless batches are larger: passes
/// without learning are faster with many trials.
const EVALUATED_AT_ONCE: usize = 128;

/// The trials of the three splits.
pub(super) struct Trials {
    pub train: Batch,
    pub validation: Batch,
    pub test: Batch,
}

impl Trials {
    pub fn draw(spec: &CellSpec, task: &mut dyn Task, info: &TaskInfo) -> Result<Self> {
        let mut draw = |split: &str, count: usize| {
            if count == 0 {
                return Ok(Batch::zeros(0, info.steps, info.inputs));
            }
            let batch = task.trials(count, spec.trial_seed(split)).and_then(|batch| {
                batch.check(info.inputs, info.classes)?;
                match batch.trials() == count {
                    true if [batch.mask.view(), batch.accuracy_mask()]
                        .iter()
                        .all(|mask| mask.iter().any(|&m| m > 0.0)) =>
                    {
                        Ok(batch)
                    }
                    true => Err(Error::plugin("no step of any trial is scored")),
                    false => Err(Error::plugin(format!("{} trials instead of {count}", batch.trials()))),
                }
            });
            batch.map_err(|e| e.context(format!("{split} trials of `{}`", spec.task_component.id)))
        };
        let training = &spec.training;
        Ok(Trials {
            train: draw("train", training.trials)?,
            validation: draw("validation", training.validation)?,
            test: draw("test", training.test)?,
        })
    }

    pub fn all(&self) -> [&Batch; 3] {
        [&self.train, &self.validation, &self.test]
    }
}

/// The scores of a network on one split.
#[derive(Clone, Copy)]
pub(super) struct SplitScores {
    pub accuracy: f64,
    pub task_loss: f64,
    pub penalty: f64,
}

/// The training loop and its buffers.
pub(super) struct TrainingLoop<'a> {
    spec: &'a CellSpec,
    pub constraints: &'a mut [Box<dyn Constraint>],
    /// Whether the recurrent weights change.
    trains_recurrent: bool,
    /// Gradient of the recurrent blocks, blocks × N × N.
    gradient: Array3<f32>,
    activity: ActivityGradient,
    pub curves: Vec<Epoch>,
    pub divergence: Option<Divergence>,
    clock: Instant,
    /// Seconds of training before an interruption.
    pub seconds_before: f64,
}

impl<'a> TrainingLoop<'a> {
    pub fn new(spec: &'a CellSpec, model: &dyn Model, constraints: &'a mut [Box<dyn Constraint>]) -> Self {
        let looks = constraints.iter().map(|c| c.wants_activity()).collect();
        let info = model.info();
        TrainingLoop {
            spec,
            constraints,
            trains_recurrent: model.plastic(),
            gradient: Array3::zeros((info.blocks, info.neurons, info.neurons)),
            activity: ActivityGradient { looks, values: Vec::new(), shape: (0, 0, 0) },
            curves: Vec::with_capacity(spec.training.epochs as usize),
            divergence: None,
            clock: Instant::now(),
            seconds_before: 0.0,
        }
    }

    /// Continues after the epochs of `found`, whose state the model has.
    pub fn resume(&mut self, found: Checkpoint) {
        tracing::info!(epochs = found.curves.len(), "continued from a checkpoint");
        self.curves = found.curves;
        self.seconds_before = found.seconds;
    }

    /// Duration of the training so far, in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.clock.elapsed().as_secs_f64()
    }

    pub fn run(
        &mut self,
        model: &mut dyn Model,
        trials: &Trials,
        keep: Option<&CheckpointFile>,
        observe: &mut dyn FnMut(&Epoch),
    ) -> Result<()> {
        self.clock = Instant::now();
        let batch = self.spec.training.batch;
        let noise = self.spec.derived_seed("noise");
        let behind = self.curves.len();
        let mut step = (behind * ranges(trials.train.trials(), batch).count()) as u64;
        for epoch in (1..=self.spec.training.epochs).skip(behind) {
            let mut sums = Sums::default();
            for (at, range) in ranges(trials.train.trials(), batch).enumerate() {
                let seed = random::derive(noise, step, "batch");
                step += 1;
                if let Some(what) = self.step(model, &trials.train, range, seed, &mut sums)? {
                    self.divergence = Some(Divergence { epoch, batch: at + 1, what });
                    return Ok(());
                }
            }
            if let Some(what) = not_finite(model)? {
                self.divergence = Some(Divergence { epoch, batch: 0, what });
                return Ok(());
            }
            let mut validation = Sums::default();
            for range in ranges(trials.validation.trials(), at_once(batch)) {
                let outcome = model.forward(&trials.validation.slice(range.clone()), Mode::Evaluate)?;
                validation.add(&outcome, 0.0, range.len());
                validation.score(model, &trials.validation, range)?;
            }
            let done = Epoch {
                epoch,
                running_loss: sums.running_loss(),
                running_accuracy: sums.accuracy(),
                penalty: sums.penalty(),
                validation_loss: validation.any().then(|| validation.task_loss()),
                validation_accuracy: validation.any().then(|| validation.accuracy()),
            };
            if let Some(loss) = done.validation_loss.filter(|loss| !loss.is_finite()) {
                let what = format!("validation loss {loss}");
                self.divergence = Some(Divergence { epoch, batch: 0, what });
                return Ok(());
            }
            tracing::info!(
                epoch,
                loss = done.running_loss,
                accuracy = done.running_accuracy,
                validation_accuracy = done.validation_accuracy,
                "epoch"
            );
            observe(&done);
            self.curves.push(done);
            if let Some(place) = keep.filter(|place| place.is_due(epoch)) {
                let (curves, seconds) = (self.curves.clone(), self.seconds());
                place.save(&Checkpoint { curves, seconds, state: model.state()? });
            }
        }
        Ok(())
    }

    /// Trains one batch: forward, backward, penalties at the weights before the
    /// update, update, projections. Returns the name of a value that is not
    /// finite, if there is one.
    fn step(
        &mut self,
        model: &mut dyn Model,
        trials: &Batch,
        range: Range<usize>,
        noise_seed: u64,
        sums: &mut Sums,
    ) -> Result<Option<String>> {
        let count = range.len();
        let outcome = model.forward(&trials.slice(range), Mode::Train { noise_seed })?;
        if !outcome.loss.is_finite() {
            return Ok(Some(format!("loss {}", outcome.loss)));
        }
        let mut penalty = self.activity.penalty(model, self.constraints)?;
        model.backward(self.activity.gradient()?, self.gradient.view_mut())?;
        penalty += self.penalty(model)?;
        if !penalty.is_finite() {
            return Ok(Some(format!("penalty {penalty}")));
        }
        sums.add(&outcome, penalty, count);
        model.update(self.gradient.view())?;
        for block in 0..self.gradient.dim().0 {
            for constraint in self.constraints.iter_mut().filter(|_| self.trains_recurrent) {
                constraint.project(model.recurrent_mut(block)?)?;
            }
            // The loss may not show it: a rectifier turns NaN into 0.
            if !model.recurrent(block)?.iter().all(|w| w.is_finite()) {
                return Ok(Some(format!("recurrent weights of block {block}")));
            }
        }
        Ok(None)
    }

    /// The penalties on the recurrent blocks; adds their gradients to
    /// `self.gradient`.
    fn penalty(&mut self, model: &dyn Model) -> Result<f64> {
        let mut penalty = 0.0;
        if !self.trains_recurrent {
            return Ok(penalty);
        }
        for (block, mut gradient) in self.gradient.axis_iter_mut(Axis(0)).enumerate() {
            for constraint in self.constraints.iter_mut() {
                penalty += constraint.penalty(model.recurrent(block)?, gradient.view_mut())?;
            }
        }
        Ok(penalty)
    }

    /// The scores of the trained network on a split; `None` if the split has no
    /// trials or the network turns out to have diverged.
    pub fn evaluate(
        &mut self,
        model: &mut dyn Model,
        batch: &Batch,
        split: &str,
    ) -> Result<Option<SplitScores>> {
        // The gradient is not used here, but a constraint needs a buffer for it.
        let weights = self.penalty(model)?;
        let mode = if self.activity.wanted() { Mode::Record } else { Mode::Evaluate };
        let mut sums = Sums::default();
        for range in ranges(batch.trials(), at_once(self.spec.training.batch)) {
            let outcome = model.forward(&batch.slice(range.clone()), mode)?;
            let penalty = self.activity.penalty(model, self.constraints)?;
            sums.add(&outcome, penalty, range.len());
            sums.score(model, batch, range)?;
        }
        if !sums.any() {
            return Ok(None);
        }
        let found = SplitScores {
            accuracy: sums.accuracy(),
            task_loss: sums.task_loss(),
            penalty: weights + sums.penalty(),
        };
        if !found.task_loss.is_finite() || !found.penalty.is_finite() {
            let what = format!("{split} loss {} and penalty {}", found.task_loss, found.penalty);
            self.divergence.get_or_insert(Divergence { epoch: 0, batch: 0, what });
            return Ok(None);
        }
        Ok(Some(found))
    }
}

/// Penalties on activity, and their gradient.
struct ActivityGradient {
    /// For each constraint, whether it depends on activity.
    looks: Vec<bool>,
    /// Grows to the length of the largest pass so far.
    values: Vec<f32>,
    /// Shape of the last pass: steps, trials, neurons.
    shape: (usize, usize, usize),
}

impl ActivityGradient {
    fn wanted(&self) -> bool {
        self.looks.contains(&true)
    }

    /// The penalties on the activity of the last pass; 0 if no constraint uses
    /// it.
    fn penalty(&mut self, model: &dyn Model, constraints: &mut [Box<dyn Constraint>]) -> Result<f64> {
        if !self.wanted() {
            return Ok(0.0);
        }
        let activity = model.activity()?;
        self.shape = activity.dim();
        let length = activity.len();
        if self.values.len() < length {
            self.values.resize(length, 0.0);
        }
        self.values[..length].fill(0.0);
        let mut gradient = ArrayViewMut3::from_shape(self.shape, &mut self.values[..length])
            .map_err(|e| Error::bug(format!("activity gradient: {e}")))?;
        let mut penalty = 0.0;
        for (constraint, _) in constraints.iter_mut().zip(&self.looks).filter(|(_, looks)| **looks) {
            penalty += constraint.activity_penalty(activity, gradient.view_mut())?;
        }
        Ok(penalty)
    }

    fn gradient(&self) -> Result<Option<ArrayView3<'_, f32>>> {
        if !self.wanted() {
            return Ok(None);
        }
        let length = self.shape.0 * self.shape.1 * self.shape.2;
        ArrayView3::from_shape(self.shape, &self.values[..length])
            .map(Some)
            .map_err(|e| Error::bug(format!("activity gradient: {e}")))
    }
}

/// Sums over passes. The running loss weights each batch by its trials, as
/// Keras does; evaluation weights by the mask, so it does not depend on the
/// division of trials into batches.
#[derive(Default)]
struct Sums {
    trials: f64,
    loss_by_trials: f64,
    penalty_by_trials: f64,
    loss_by_weight: f64,
    correct: f64,
    weight: f64,
    /// Correct answers and weight by [`Batch::scored`], if the batch has one.
    scored: Option<(f64, f64)>,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome, penalty: f64, trials: usize) {
        let trials = trials as f64;
        self.trials += trials;
        self.loss_by_trials += trials * (outcome.loss + penalty);
        self.penalty_by_trials += trials * penalty;
        self.loss_by_weight += outcome.weight * outcome.loss;
        self.correct += outcome.correct;
        self.weight += outcome.weight;
    }

    /// Adds another pass over trials that weight their steps differently in the
    /// accuracy and in the loss.
    fn score(&mut self, model: &mut dyn Model, batch: &Batch, range: Range<usize>) -> Result<()> {
        if batch.scored.is_some() {
            let outcome = model.forward(&batch.slice_scored(range), Mode::Evaluate)?;
            let (correct, weight) = self.scored.get_or_insert((0.0, 0.0));
            *correct += outcome.correct;
            *weight += outcome.weight;
        }
        Ok(())
    }

    fn any(&self) -> bool {
        self.weight > 0.0
    }

    fn running_loss(&self) -> f64 {
        ratio(self.loss_by_trials, self.trials)
    }

    fn penalty(&self) -> f64 {
        ratio(self.penalty_by_trials, self.trials)
    }

    fn task_loss(&self) -> f64 {
        ratio(self.loss_by_weight, self.weight)
    }

    fn accuracy(&self) -> f64 {
        let (correct, weight) = self.scored.unwrap_or((self.correct, self.weight));
        ratio(correct, weight)
    }
}

/// 0 if there is nothing to average; used only if [`Sums::any`].
fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

/// `0..count` in ranges of `length`; the last one may be shorter.
fn ranges(count: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(length.max(1)).map(move |start| start..count.min(start + length))
}

fn at_once(batch: usize) -> usize {
    batch.max(EVALUATED_AT_ONCE)
}

/// Whether a tensor of a model's state belongs to its optimizer.
pub(super) fn is_optimizer(tensor: &Tensor) -> bool {
    tensor.name.starts_with("optimizer.")
}

/// The trained parameters: the model's state without the optimizer's.
pub(super) fn parameters(model: &dyn Model) -> Result<Vec<Tensor>> {
    let mut state = model.state()?;
    state.retain(|tensor| !is_optimizer(tensor));
    Ok(state)
}

/// A parameter that is not finite, if there is one.
fn not_finite(model: &dyn Model) -> Result<Option<String>> {
    let bad = parameters(model)?.into_iter().find(|t| !t.values.iter().all(|v| v.is_finite()));
    Ok(bad.map(|tensor| format!("parameter `{}`", tensor.name)))
}
