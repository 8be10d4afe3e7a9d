//! The training loop: batches forward and backward, penalties, updates,
//! validation, checkpoints, and the evaluation of the trained network.

use std::time::Instant;

use pallium_core::{
    Batch, BatchView, Error, LearnedMut, LossSums, Mode, Model, ModelInfo, Moment, Optimizer, Result, Tensor,
    random,
};
use pallium_record::checkpoint::{Checkpoint, CheckpointFile};
use pallium_record::outcome::{Divergence, Epoch, TaskEpoch};
use pallium_record::snapshots;
use pallium_record::spec::CellSpec;
use pallium_record::training::Snapshot;

use super::clip::clip_and_decay;
use super::early_stopping;
use super::learning_rate;
use super::penalties::{Penalties, When, prefixed};
use super::scores::{Answers, SplitScores, Sums, mean};
use super::tasks::Tasks;
use super::trials::{Trials, present, ranges};
use super::warnings;

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
    tasks: &'a mut Tasks,
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
    pub fn new(spec: &'a CellSpec, tasks: &'a mut Tasks) -> Self {
        TrainingLoop {
            spec,
            tasks,
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
        // The same in every epoch.
        let steps = trials.chunks(self.spec, self.tasks, 1).len() as u64;
        self.updates = behind as u64 * steps;
        let updates = u64::from(training.epochs) * steps;
        let rule = training.early_stopping.as_ref();
        for epoch in (1..=training.epochs).skip(behind) {
            let stages = self.tasks.stages(&self.curves);
            if rule.is_some_and(|rule| {
                stages == self.tasks.last_stages() && early_stopping::is_over(rule, &self.curves)
            }) {
                tracing::info!(epochs = self.curves.len(), "stopped early");
                break;
            }
            trials.prepare(self.spec, self.tasks, &stages, epoch)?;
            let task = self.tasks.active(epoch);
            let mut sums = Sums::default();
            let mut of_tasks: Vec<Sums> = self.tasks.members.iter().map(|_| Sums::default()).collect();
            for (at, chunk) in trials.chunks(self.spec, self.tasks, epoch).iter().enumerate() {
                let seed = random::derive(noise, self.updates, "batch");
                let factor = learning_rate::factor(training, epoch - 1, self.updates, steps, &self.curves);
                let moment = Now { updates, epoch, task: task.unwrap_or(0) as u32, factor, noise_seed: seed };
                let (update, of) = trials.update(chunk, self.tasks, network.model)?;
                let (batch, range) = update.trials();
                let step = match self.step(network, &batch.slice(range), of, &moment)? {
                    Ok(step) => step,
                    Err(what) => {
                        self.divergence = Some(Divergence { epoch, batch: at + 1, what });
                        return Ok(());
                    }
                };
                step.add_to(&mut sums);
                if let Some(of) = of {
                    step.add_to(&mut of_tasks[of]);
                }
                self.updates += 1;
            }
            if let Some(what) = not_finite(network.model)? {
                self.divergence = Some(Divergence { epoch, batch: 0, what });
                return Ok(());
            }
            let done = self.epoch(network, trials, epoch, &sums, &of_tasks)?;
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
        // The trained network is evaluated on the tasks themselves, and, if every epoch
        // has its own trials, on those of the last one.
        let last = self.tasks.last_stages();
        let before = self.curves.split_last().map_or(&[][..], |(_, before)| before);
        for ((member, stage), last) in self.tasks.members.iter().zip(self.tasks.stages(before)).zip(&last) {
            if stage < *last && !self.curves.is_empty() {
                tracing::warn!(
                    target: warnings::OF_RESULT,
                    "the curriculum of `{}` ended in stage {} of {}: the network was not trained on the task \
                     itself. Raise training.epochs, or relax `until`",
                    member.name, stage + 1, last + 1
                );
            }
        }
        trials.prepare(self.spec, self.tasks, &last, self.curves.len() as u32)
    }

    /// Validates the network after an epoch.
    fn epoch(
        &mut self,
        network: &mut Network<'_>,
        trials: &Trials,
        epoch: u32,
        sums: &Sums,
        of_tasks: &[Sums],
    ) -> Result<Epoch> {
        let (mut losses, mut accuracies, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for (of, trained) in of_tasks.iter().enumerate() {
            let batch = &trials.validation[of];
            let mut validation = Sums::default();
            for range in ranges(batch.trials(), at_once(self.spec.training.batch)) {
                let presented = present(self.tasks, network.model, of, batch, range)?;
                let (batch, range) = presented.trials();
                let view = batch.slice(range.clone());
                let loss =
                    self.answers.pass(network.model, &self.tasks.info, &view, Mode::Evaluate, false)?;
                let correct = self.tasks.correct(Some(of), &view, self.answers.outputs.view(), &loss)?;
                validation.add(&loss, correct, 0.0, range.len());
                validation.score(network.model, self.tasks, of, batch, range)?;
            }
            let member = &self.tasks.members[of];
            let validation_loss = validation.any().then(|| validation.task_loss());
            let validation_accuracy = validation.accuracy(member.info()).filter(|_| validation.any());
            losses.push(validation_loss);
            accuracies.push(validation_accuracy);
            tasks.push(TaskEpoch {
                name: member.name.clone(),
                running_loss: trained.any().then(|| trained.running_loss()),
                running_accuracy: trained.accuracy(member.info()).filter(|_| trained.any()),
                validation_loss,
                validation_accuracy,
                stage: member.has_curriculum().then_some(member.stage as u32 + 1),
            });
        }
        Ok(Epoch {
            epoch,
            running_loss: sums.running_loss(),
            running_accuracy: sums.accuracy(&self.tasks.info),
            penalty: sums.penalty(),
            validation_loss: mean(losses.into_iter()),
            validation_accuracy: mean(accuracies.into_iter()),
            stage: tasks.first().filter(|_| !self.tasks.several).and_then(|task| task.stage),
            tasks: if self.tasks.several { tasks } else { Vec::new() },
        })
    }

    /// Trains one batch: forward, loss, backward, penalties at the weights before
    /// the update, clipping, decay, update, projections. The error is the name of a
    /// value that is not finite.
    fn step(
        &mut self,
        network: &mut Network<'_>,
        batch: &BatchView<'_>,
        of: Option<usize>,
        now: &Now,
    ) -> Result<std::result::Result<Step, String>> {
        let Network { model, info, optimizer, penalties } = network;
        let when = When { step: self.updates, updates: Some(now.updates), epoch: now.epoch, task: now.task };
        let mode = Mode::Train { noise_seed: now.noise_seed };
        let loss = self.answers.pass(*model, &self.tasks.info, batch, mode, true)?;
        if !loss.mean().is_finite() {
            return Ok(Err(format!("loss {}", loss.mean())));
        }
        let correct = self.tasks.correct(of, batch, self.answers.outputs.view(), &loss)?;
        let mut penalty = penalties.of_activity(*model, batch.lengths)?;
        model.backward(self.answers.gradient.view(), penalties.activity_gradient()?)?;
        {
            let mut learned = model.learned()?;
            penalty += penalties.add(info, &mut learned, when)?;
            if !penalty.is_finite() {
                return Ok(Err(format!("penalty {penalty}")));
            }
            if !self.spec.training.frozen.is_empty() {
                learned.retain(|learned| info.parameters[learned.index].trained);
            }
            clip_and_decay(&self.spec.training, &mut learned);
            if !info.updates_itself {
                let moment = Moment::at(self.updates + 1, now.epoch, now.factor);
                update(*optimizer, info, &mut learned, &moment)?;
            }
        }
        if info.updates_itself {
            model.update_itself()?;
        }
        let after = When { step: self.updates + 1, ..when };
        let bad = penalties.project(*model, info, after)?;
        penalties.rewire(*model, info, *optimizer, after)?;
        Ok(match bad {
            Some(name) => Err(format!("parameter `{name}`")),
            None => Ok(Step { loss, correct, penalty, trials: batch.lengths.len() }),
        })
    }

    /// The scores of the trained network on a split, for each task; empty if the split
    /// has no trials or the network turns out to have diverged.
    pub fn evaluate(
        &mut self,
        network: &mut Network<'_>,
        batches: &[Batch],
        split: &str,
    ) -> Result<Vec<SplitScores>> {
        let Network { model, info, penalties, .. } = network;
        let when = When { step: self.updates, ..When::default() };
        let weights = penalties.value(*model, info, when)?;
        let mode = if penalties.wants_activity() { Mode::Record } else { Mode::Evaluate };
        let mut scores = Vec::with_capacity(batches.len());
        for (of, batch) in batches.iter().enumerate() {
            let mut sums = Sums::default();
            for range in ranges(batch.trials(), at_once(self.spec.training.batch)) {
                let presented = present(self.tasks, *model, of, batch, range)?;
                let (batch, range) = presented.trials();
                let view = batch.slice(range.clone());
                let loss = self.answers.pass(*model, &self.tasks.info, &view, mode, false)?;
                let correct = self.tasks.correct(Some(of), &view, self.answers.outputs.view(), &loss)?;
                let penalty = penalties.of_activity(*model, view.lengths)?;
                sums.add(&loss, correct, penalty, range.len());
                sums.explain(&self.tasks.info, &view, self.answers.outputs.view())?;
                sums.score(*model, self.tasks, of, batch, range)?;
            }
            if !sums.any() {
                return Ok(Vec::new());
            }
            let found = SplitScores {
                accuracy: sums.accuracy(self.tasks.members[of].info()),
                task_loss: sums.task_loss(),
                penalty: weights + sums.penalty(),
                r2: sums.r2(),
            };
            if !found.task_loss.is_finite() || !found.penalty.is_finite() {
                let what = format!("{split} loss {} and penalty {}", found.task_loss, found.penalty);
                self.divergence.get_or_insert(Divergence { epoch: 0, batch: 0, what });
                return Ok(Vec::new());
            }
            scores.push(found);
        }
        Ok(scores)
    }
}

/// The moment of an update.
struct Now {
    /// Number of updates of the whole training.
    updates: u64,
    epoch: u32,
    /// The task, if they follow one another.
    task: u32,
    /// Factor on the learning rate.
    factor: f64,
    noise_seed: u64,
}

/// What an update found before it changed the weights.
struct Step {
    loss: LossSums,
    correct: f64,
    penalty: f64,
    trials: usize,
}

impl Step {
    fn add_to(&self, sums: &mut Sums) {
        sums.add(&self.loss, self.correct, self.penalty, self.trials);
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
