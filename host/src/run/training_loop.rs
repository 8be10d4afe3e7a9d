//! The training loop: batches forward and backward, penalties, updates,
//! validation, checkpoints, and the evaluation of the trained network.

use std::ops::Range;
use std::time::Instant;

use pallium_core::{
    Batch, Error, LearnedMut, Mode, Model, ModelInfo, Moment, Optimizer, Result, Task, TaskInfo, Tensor,
    random,
};
use pallium_record::checkpoint::{Checkpoint, CheckpointFile};
use pallium_record::outcome::{Divergence, Epoch};
use pallium_record::snapshots;
use pallium_record::spec::CellSpec;
use pallium_record::training::Snapshot;

use super::clip::clip_and_decay;
use super::early_stopping;
use super::penalties::{Penalties, When, prefixed};
use super::schedule;
use super::scores::{Answers, SplitScores, Sums};
use super::trials::Trials;

/// Number of trials in an evaluating pass, unless batches are larger: passes
/// without learning are faster with many trials.
const EVALUATED_AT_ONCE: usize = 128;

/// Prefix of the names of the optimizer's tensors in a training's state.
const OPTIMIZER: &str = "optimizer.";
/// Prefix of the names of parameters after earlier epochs.
const SNAPSHOT: &str = "snapshot.";
/// Prefix of what a model remembers besides its parameters.
const MODEL: &str = "model.";

/// What is trained, by what.
pub(super) struct Network<'a> {
    pub model: &'a mut dyn Model,
    pub info: &'a ModelInfo,
    pub optimizer: &'a mut dyn Optimizer,
    pub penalties: &'a mut Penalties,
}

impl Network<'_> {
    /// The complete state: parameters, then what model, optimizer and constraints
    /// remember.
    pub fn state(&self) -> Result<Vec<Tensor>> {
        let mut state = parameters(self.model)?;
        let of_model = self.model.state()?.into_iter().map(|tensor| (MODEL, tensor));
        let of_optimizer = self.optimizer.state()?.into_iter().map(|tensor| (OPTIMIZER, tensor));
        state.extend(
            of_model
                .chain(of_optimizer)
                .map(|(prefix, tensor)| Tensor { name: format!("{prefix}{}", tensor.name), ..tensor }),
        );
        state.extend(self.penalties.state(self.info)?);
        Ok(state)
    }

    /// Restores a state of [`Network::state`].
    pub fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        self.penalties.restore_wiring(self.model, self.info, self.optimizer, state)?;
        set_parameters(self.model, self.info, state)?;
        self.model.restore(&prefixed(state, MODEL))?;
        self.optimizer.restore(&prefixed(state, OPTIMIZER))?;
        self.penalties.restore(self.info, state)
    }
}

/// The training loop and its buffers.
pub(super) struct TrainingLoop<'a> {
    spec: &'a CellSpec,
    task: &'a mut dyn Task,
    info: &'a TaskInfo,
    answers: Answers,
    /// Number of updates so far.
    updates: u64,
    pub curves: Vec<Epoch>,
    pub divergence: Option<Divergence>,
    /// Parameters after some epochs.
    pub snapshots: Vec<Snapshot>,
    clock: Instant,
    /// Seconds of training before an interruption.
    pub seconds_before: f64,
}

impl<'a> TrainingLoop<'a> {
    pub fn new(spec: &'a CellSpec, task: &'a mut dyn Task, info: &'a TaskInfo) -> Self {
        TrainingLoop {
            spec,
            task,
            info,
            answers: Answers::new(),
            updates: 0,
            curves: Vec::with_capacity(spec.training.epochs as usize),
            divergence: None,
            snapshots: Vec::new(),
            clock: Instant::now(),
            seconds_before: 0.0,
        }
    }

    /// Continues after the epochs of `found`, whose state the network has.
    pub fn resume(&mut self, found: Checkpoint) {
        tracing::info!(epochs = found.curves.len(), "continued from a checkpoint");
        self.snapshots = snapshots::from_tensors(prefixed(&found.state, SNAPSHOT));
        self.curves = found.curves;
        self.seconds_before = found.seconds;
    }

    /// Keeps the parameters before training, if snapshots are wanted.
    pub fn begin(&mut self, before: &[Tensor]) {
        if self.spec.training.snapshots.is_some() && self.snapshots.is_empty() {
            self.snapshots.push(Snapshot { epoch: 0, parameters: before.to_vec() });
        }
    }

    /// Duration of the training so far, in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.clock.elapsed().as_secs_f64()
    }

    pub fn run(
        &mut self,
        network: &mut Network<'_>,
        trials: &mut Trials,
        keep: Option<&CheckpointFile>,
        observe: &mut dyn FnMut(&Epoch),
    ) -> Result<()> {
        self.clock = Instant::now();
        let training = &self.spec.training;
        let noise = self.spec.derived_seed("noise");
        let behind = self.curves.len();
        let steps = ranges(trials.train.trials(), training.batch).count() as u64;
        self.updates = behind as u64 * steps;
        // A training that continues after its last epoch is evaluated on that epoch's
        // trials.
        if training.fresh && behind > 0 {
            trials.renew(self.spec, self.task, self.info, behind as u32)?;
        }
        let rule = training.early_stopping.as_ref();
        for epoch in (1..=training.epochs).skip(behind) {
            if rule.is_some_and(|rule| early_stopping::is_over(rule, &self.curves)) {
                tracing::info!(epochs = self.curves.len(), "stopped early");
                break;
            }
            if training.fresh {
                trials.renew(self.spec, self.task, self.info, epoch)?;
            }
            let mut sums = Sums::default();
            for (at, range) in ranges(trials.train.trials(), training.batch).enumerate() {
                let seed = random::derive(noise, self.updates, "batch");
                let factor = schedule::factor(training, epoch - 1, self.updates, steps, &self.curves);
                let moment = (epoch, factor, seed);
                if let Some(what) = self.step(network, &trials.train, range, moment, &mut sums)? {
                    self.divergence = Some(Divergence { epoch, batch: at + 1, what });
                    return Ok(());
                }
                self.updates += 1;
            }
            if let Some(what) = not_finite(network.model)? {
                self.divergence = Some(Divergence { epoch, batch: 0, what });
                return Ok(());
            }
            let mut validation = Sums::default();
            for range in ranges(trials.validation.trials(), at_once(training.batch)) {
                let batch = trials.validation.slice(range.clone());
                let loss = self.answers.pass(network.model, self.info, &batch, Mode::Evaluate, false)?;
                let correct = self.answers.correct(self.task, self.info, &batch, &loss)?;
                validation.add(&loss, correct, 0.0, range.len());
                validation.score(network.model, self.task, self.info, &trials.validation, range)?;
            }
            let done = Epoch {
                epoch,
                running_loss: sums.running_loss(),
                running_accuracy: sums.accuracy(self.info),
                penalty: sums.penalty(),
                validation_loss: validation.any().then(|| validation.task_loss()),
                validation_accuracy: validation.accuracy(self.info).filter(|_| validation.any()),
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
            if training.snapshots.is_some_and(|snapshots| snapshots.is_due(epoch)) {
                self.snapshots.push(Snapshot { epoch, parameters: parameters(network.model)? });
            }
            if let Some(place) = keep.filter(|place| place.is_due(epoch)) {
                let (curves, seconds) = (self.curves.clone(), self.seconds());
                let state = with_snapshots(network.state()?, &self.snapshots);
                place.save(&Checkpoint { curves, seconds, state });
            }
        }
        Ok(())
    }

    /// Trains one batch: forward, loss, backward, penalties at the weights before
    /// the update, clipping, decay, update, projections. Returns the name of a
    /// value that is not finite, if there is one.
    fn step(
        &mut self,
        network: &mut Network<'_>,
        trials: &Batch,
        range: Range<usize>,
        (epoch, factor, noise_seed): (u32, f64, u64),
        sums: &mut Sums,
    ) -> Result<Option<String>> {
        let Network { model, info, optimizer, penalties } = network;
        let when = When { step: self.updates, epoch, task: 0 };
        let count = range.len();
        let batch = trials.slice(range);
        let loss = self.answers.pass(*model, self.info, &batch, Mode::Train { noise_seed }, true)?;
        if !loss.mean().is_finite() {
            return Ok(Some(format!("loss {}", loss.mean())));
        }
        let correct = self.answers.correct(self.task, self.info, &batch, &loss)?;
        let mut penalty = penalties.of_activity(*model, batch.lengths)?;
        model.backward(self.answers.gradient.view(), penalties.activity_gradient()?)?;
        {
            let mut learned = model.learned()?;
            penalty += penalties.add(info, &mut learned, when)?;
            if !penalty.is_finite() {
                return Ok(Some(format!("penalty {penalty}")));
            }
            sums.add(&loss, correct, penalty, count);
            if !self.spec.training.frozen.is_empty() {
                learned.retain(|learned| info.parameters[learned.index].trained);
            }
            clip_and_decay(&self.spec.training, &mut learned);
            if !info.updates_itself {
                let moment = Moment::at(self.updates + 1, epoch, factor);
                update(*optimizer, info, &mut learned, &moment)?;
            }
        }
        if info.updates_itself {
            model.update_itself()?;
        }
        let after = When { step: self.updates + 1, ..when };
        let bad = penalties.project(*model, info, after)?;
        penalties.rewire(*model, info, *optimizer, after)?;
        Ok(bad.map(|name| format!("parameter `{name}`")))
    }

    /// The scores of the trained network on a split; `None` if the split has no
    /// trials or the network turns out to have diverged.
    pub fn evaluate(
        &mut self,
        network: &mut Network<'_>,
        batch: &Batch,
        split: &str,
    ) -> Result<Option<SplitScores>> {
        let Network { model, info, penalties, .. } = network;
        let when = When { step: self.updates, ..When::default() };
        let weights = penalties.value(*model, info, when)?;
        let mode = if penalties.wants_activity() { Mode::Record } else { Mode::Evaluate };
        let mut sums = Sums::default();
        for range in ranges(batch.trials(), at_once(self.spec.training.batch)) {
            let view = batch.slice(range.clone());
            let loss = self.answers.pass(*model, self.info, &view, mode, false)?;
            let correct = self.answers.correct(self.task, self.info, &view, &loss)?;
            let penalty = penalties.of_activity(*model, view.lengths)?;
            sums.add(&loss, correct, penalty, range.len());
            sums.explain(self.info, &view, &self.answers)?;
            sums.score(*model, self.task, self.info, batch, range)?;
        }
        if !sums.any() {
            return Ok(None);
        }
        let found = SplitScores {
            accuracy: sums.accuracy(self.info),
            task_loss: sums.task_loss(),
            penalty: weights + sums.penalty(),
            r2: sums.r2(),
        };
        if !found.task_loss.is_finite() || !found.penalty.is_finite() {
            let what = format!("{split} loss {} and penalty {}", found.task_loss, found.penalty);
            self.divergence.get_or_insert(Divergence { epoch: 0, batch: 0, what });
            return Ok(None);
        }
        Ok(Some(found))
    }
}

/// A state with snapshots, so that a continued training keeps them.
pub(super) fn with_snapshots(mut state: Vec<Tensor>, snapshots: &[Snapshot]) -> Vec<Tensor> {
    let named = |tensor: Tensor| Tensor { name: format!("{SNAPSHOT}{}", tensor.name), ..tensor };
    state.extend(snapshots::to_tensors(snapshots).into_iter().map(named));
    state
}

/// Lets the optimizer change what was learned.
pub(super) fn update(
    optimizer: &mut dyn Optimizer,
    info: &ModelInfo,
    learned: &mut [LearnedMut<'_>],
    moment: &Moment,
) -> Result<()> {
    let mut given: Vec<_> = learned
        .iter_mut()
        .filter(|parameter| info.parameters[parameter.index].trained)
        .map(|parameter| {
            let index = parameter.index;
            parameter.learned(&info.parameters[index])
        })
        .collect();
    optimizer.update(&mut given, moment)
}

/// `0..count` in ranges of `length`; the last one may be shorter.
pub(super) fn ranges(count: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(length.max(1)).map(move |start| start..count.min(start + length))
}

/// Number of trials in an evaluating pass of a training with this batch size.
pub(super) fn at_once(batch: usize) -> usize {
    batch.max(EVALUATED_AT_ONCE)
}

/// A copy of a model's parameters.
pub(super) fn parameters(model: &dyn Model) -> Result<Vec<Tensor>> {
    Ok(model.parameters()?.into_iter().map(|parameter| parameter.to_tensor()).collect())
}

/// Replaces a model's parameters by those in `state`.
///
/// # Errors
/// If one is missing or has another shape; the model is unchanged.
pub(super) fn set_parameters(model: &mut dyn Model, info: &ModelInfo, state: &[Tensor]) -> Result<()> {
    let found = info
        .parameters
        .iter()
        .map(|parameter| Tensor::find::<f32>(state, &parameter.name, &parameter.shape))
        .collect::<Result<Vec<_>>>()?;
    for (to, from) in model.parameters_mut()?.into_iter().zip(found) {
        if to.len() != from.len() {
            return Err(Error::plugin("a model lends parameters of another size than it states"));
        }
        to.copy_from_slice(from);
    }
    Ok(())
}

/// A parameter that is not finite, if there is one.
fn not_finite(model: &dyn Model) -> Result<Option<String>> {
    let parameters = model.parameters()?;
    let bad = parameters.iter().find(|parameter| !parameter.values.iter().all(|v| v.is_finite()));
    Ok(bad.map(|parameter| format!("parameter `{}`", parameter.name)))
}
