//! Estimates what a training will cost by doing a little of it.
//!
//! A table of component ids could not price components that do not exist yet,
//! and no nominal speed fits every machine. So one batch is trained, each
//! penalty is computed once and each metric is measured once, on this machine
//! and on the experiment's own substrate; the rest is multiplication. It takes
//! about a second for a field of a few hundred neurons.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array2, s};
use pallium_core::{Mode, Moment, Network, Point, Positions, Result, Setting, Split, Substrate, Table};
use pallium_record::spec::{CellSpec, Use};
use serde::{Deserialize, Serialize};

use super::components::{Grown, build_constraint, with_task};
use super::on_matrix::OnMatrix;
use super::scores::Answers;
use super::tasks::{Tasks, gather};
use super::training_loop::update;
use crate::geometry;
use crate::plugins::Catalogue;

/// The cost of one training, on one thread of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds.
    pub seconds: f64,
    /// Peak memory of its worker process, in MB (10^6 bytes).
    pub memory_mb: f64,
}

/// Multiply-adds that the trial batch may take, about a twentieth of a second.
const TRIAL_OPERATIONS: f64 = 2e9;
/// Above this number of neurons, penalties and metrics are tried on a part of
/// this size. Their time is scaled by the cube of the ratio, which fits dense
/// linear algebra and overestimates element-wise penalties.
const TRIAL_NEURONS: usize = 700;
/// Memory of a worker that has loaded nothing yet.
const PROCESS_MB: f64 = 30.0;
/// Recurrent-sized f32 matrices of a training at its end, when it needs most: parameters,
/// gradients, moments, and their copies that become files; and of penalties. Measured
/// with 2,000 and 5,000 neurons: 24 without a penalty, 27 with `spatial.distance`, 36 with
/// `spatial.communicability`.
const MODEL_MATRICES: f64 = 24.0;
const PENALTY_MATRICES: f64 = 8.0;
/// Copies of a batch's hidden activity that a model keeps: its states, and what
/// each of its recurrent blocks adds. Measured with batches of 2,560 trials:
/// rnn.vanilla 1.0, rnn.leaky 2.1, rnn.gru 5.3 (three blocks), rnn.lstm 6.4
/// (four blocks).
const STATE_COPIES: f64 = 0.6;
const BLOCK_COPIES: f64 = 1.4;

/// Bytes for each connection of a network on connections: weights, gradients of up to
/// eight groups of trials, moments, and the connections themselves in both directions;
/// and of a penalty on walks.
const CONNECTION_BYTES: f64 = 84.0;
const WALK_BYTES: f64 = 40.0;
/// Networks on connections that would keep more states compute them again, from the
/// square root of the number of steps.
const KEPT_STATES: f64 = 1.1e9;

/// Estimates costs of trainings; each distinct part is tried once.
pub struct Estimator<'a> {
    catalogue: &'a Catalogue,
    substrates: BTreeMap<String, Arc<Substrate>>,
    weights: BTreeMap<String, Arc<Grown>>,
    models: BTreeMap<String, ModelCost>,
    seconds: BTreeMap<String, f64>,
}

/// What one model costs on one task.
#[derive(Clone, Copy)]
struct ModelCost {
    /// Training on one trial, without penalties.
    train: f64,
    /// Evaluating one trial.
    evaluate: f64,
    /// Generating one trial.
    generate: f64,
    /// Recurrent blocks.
    blocks: f64,
    /// Steps and input channels of a trial.
    steps: f64,
    inputs: f64,
    /// Copies of the hidden activity that a network on connections keeps.
    copies: f64,
}

/// Numbers of trials in each split; every task is validated and tested.
struct Passes {
    train: f64,
    validation: f64,
    test: f64,
}

impl Passes {
    fn of(cell: &CellSpec) -> Self {
        let training = &cell.training;
        let tasks = cell.members.as_ref().map_or(1, |members| members.tasks.len());
        let each = |count: usize| (tasks * count) as f64;
        let (validation, test) = (each(training.validation), each(training.test));
        Passes { train: training.trials as f64, validation, test }
    }
}

/// The tasks of a training, as text.
fn tasks(cell: &CellSpec) -> String {
    cell.tasks().map(text).collect::<Vec<_>>().join("\n")
}

impl<'a> Estimator<'a> {
    /// An estimator without measurements.
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Estimator {
            catalogue,
            substrates: BTreeMap::new(),
            weights: BTreeMap::new(),
            models: BTreeMap::new(),
            seconds: BTreeMap::new(),
        }
    }

    /// The cost of training `cell`.
    ///
    /// # Errors
    /// If a component refuses its parameters or its setting, or fails.
    pub fn cell(&mut self, cell: &CellSpec) -> Result<Cost> {
        self.price(cell).map_err(|e| e.context(format!("training {} cannot run", cell.label())))
    }

    fn price(&mut self, cell: &CellSpec) -> Result<Cost> {
        let substrate = self.substrate(cell)?;
        let model = self.model(cell, &substrate)?;
        let n = substrate.neurons as f64;
        // What lies on connections costs too little to be tried on a part.
        let tried = if substrate.neurons > TRIAL_NEURONS && cell.connections.is_none() {
            Arc::new(head(&substrate, TRIAL_NEURONS))
        } else {
            Arc::clone(&substrate)
        };
        let scale = (n / tried.neurons as f64).powi(3);

        let mut penalty = 0.0;
        for constraint in &cell.constraints {
            penalty += scale * self.constraint(cell, constraint, &tried)?;
        }
        let mut metrics = 0.0;
        for metric in &cell.metrics {
            metrics += scale * self.metric(cell, metric, &tried)?;
        }

        let training = &cell.training;
        let (epochs, batch) = (f64::from(training.epochs), training.batch.min(training.trials) as f64);
        let Passes { train, validation, test } = Passes::of(cell);
        let all = train + validation + test;
        let seconds = model.generate * all
            + epochs * (train * model.train + (train / batch).ceil() * penalty * model.blocks)
            + epochs * validation * model.evaluate
            + all * model.evaluate
            + metrics;

        let trials = all * model.steps * (model.inputs + 2.0) * 4.0;
        let constrained = !cell.constraints.is_empty();
        let network = match &cell.connections {
            None => {
                let constraints = if constrained { PENALTY_MATRICES } else { 0.0 };
                (STATE_COPIES + BLOCK_COPIES * model.blocks) * model.steps * batch * n * 4.0
                    + n * n * 4.0 * (MODEL_MATRICES * model.blocks + constraints)
            }
            Some(_) => {
                let count = self.weights(cell, &substrate)?.values.len() as f64;
                let step = model.copies * batch * n * 4.0;
                let mut states = step * model.steps;
                if states > KEPT_STATES {
                    states = 2.0 * step * model.steps.sqrt().ceil();
                }
                states + count * (CONNECTION_BYTES + if constrained { WALK_BYTES } else { 0.0 })
            }
        };
        let bytes = trials + network + size(&substrate);
        Ok(Cost { seconds, memory_mb: PROCESS_MB + bytes / 1e6 })
    }

    fn substrate(&mut self, cell: &CellSpec) -> Result<Arc<Substrate>> {
        let key = text(&cell.substrate);
        if let Some(known) = self.substrates.get(&key) {
            return Ok(Arc::clone(known));
        }
        let seed = cell.derived_seed("substrate");
        let setting = Setting { seed, threads: 1, ..Setting::default() };
        let substrate = self.catalogue.substrate(&cell.substrate, &setting)?.substrate(seed)?;
        substrate.check()?;
        let substrate = Arc::new(substrate);
        self.substrates.insert(key, Arc::clone(&substrate));
        Ok(substrate)
    }

    fn model(&mut self, cell: &CellSpec, substrate: &Substrate) -> Result<ModelCost> {
        let key = [
            text(&cell.substrate),
            tasks(cell),
            text(&cell.model),
            text(&cell.weights),
            pairs(cell),
            cell.training.threads.to_string(),
        ]
        .join("\n");
        if let Some(known) = self.models.get(&key) {
            return Ok(*known);
        }
        let base = setting(cell, substrate);
        let mut tasks = Tasks::build(cell, self.catalogue, &base)?;
        let info = tasks.info.clone();
        let grown = self.weights(cell, substrate)?;
        let operations = (3 * grown.values.len() * info.steps.max(1)) as f64;
        let count = ((TRIAL_OPERATIONS / operations) as usize).clamp(1, cell.training.batch.max(1));
        let seed = cell.trial_seed("train");
        let (generate, batch) = timed(|| {
            let each = count.div_ceil(tasks.members.len());
            let last = tasks.last_stages();
            let batches = last
                .into_iter()
                .enumerate()
                .map(|(at, stage)| tasks.draw(at, stage, Split::Train, each, seed));
            let batches = batches.collect::<Result<Vec<_>>>()?;
            let places = (0..count).map(|trial| (trial % batches.len(), trial / batches.len()));
            Ok(gather(&batches, &places.collect::<Vec<_>>()))
        })?;
        let setting = grown.setting(with_task(&info, base), None);
        let mut model = self.catalogue.model(&cell.model, &setting)?;
        let about = model.info();
        let blocks = about.recurrent().count();
        // The time of a step depends on how many units are silent and on how far
        // back gradients reach.
        model.initialise(grown.values.view(), 0)?;
        let mut optimizer = self.catalogue.optimizer(&cell.optimizer, &setting)?;
        let (view, mut answers) = (batch.view(), Answers::new());
        let mut updates = 0;
        let train = best(|| {
            updates += 1;
            timed(|| {
                answers.pass(model.as_mut(), &info, &view, Mode::Train { noise_seed: 0 }, true)?;
                model.backward(answers.gradient.view(), None)?;
                if about.updates_itself {
                    return model.update_itself();
                }
                update(optimizer.as_mut(), &about, &mut model.learned()?, &Moment::new(updates))
            })
        })?;
        let evaluate =
            best(|| timed(|| answers.pass(model.as_mut(), &info, &view, Mode::Evaluate, false).map(drop)))?;
        // A reaction to answers is a pass over the steps before it: half of them, on
        // average.
        let looks = 0.5 * info.reacts.len() as f64;
        let per_trial = |seconds: f64| seconds / count as f64;
        let cost = ModelCost {
            train: per_trial(train + looks * evaluate),
            evaluate: per_trial(evaluate * (1.0 + looks)),
            generate: per_trial(generate),
            blocks: blocks as f64,
            steps: info.steps as f64,
            inputs: info.inputs as f64,
            // Units with further parameters, such as time constants, keep their drive too.
            copies: about.parameters.iter().filter(|p| p.shape == [about.units]).count().clamp(1, 2) as f64,
        };
        self.models.insert(key, cost);
        Ok(cost)
    }

    fn constraint(&mut self, cell: &CellSpec, constraint: &Use, substrate: &Substrate) -> Result<f64> {
        let key = [
            text(&cell.substrate),
            format!("{:?}", cell.geometry),
            text(constraint),
            text(&cell.weights),
            pairs(cell),
            cell.training.threads.to_string(),
        ]
        .join("\n");
        if let Some(known) = self.seconds.get(&key) {
            return Ok(*known);
        }
        let n = substrate.neurons;
        let (seed, grown) = (cell.derived_seed("geometry"), self.weights(cell, substrate)?);
        let mut constraint = match &grown.connections {
            None => {
                let distance = geometry::distances(&cell.geometry, Some(substrate), n, seed)?;
                let setting = Setting {
                    distance: distance.as_ref().map(|d| d.values.view()),
                    distance_unit_um: distance.as_ref().and_then(|d| d.unit_um),
                    ..setting(cell, substrate)
                };
                self.catalogue.constraint(constraint, &setting)?
            }
            Some(pairs) => {
                let places = geometry::places(&cell.geometry, Some(substrate), n, seed)?;
                let distance = places.as_ref().map(|places| places.of(pairs.view()));
                let base = Setting {
                    distance_unit_um: places.as_ref().and_then(|places| places.unit_um),
                    ..grown.setting(setting(cell, substrate), distance.as_ref())
                };
                let build =
                    |setting: &Setting<'_>| build_constraint(cell, constraint, self.catalogue, setting);
                match self.catalogue.get(&constraint.id)?.connections {
                    true => build(&base)?,
                    false => OnMatrix::build(&constraint.id, pairs.view(), &base, places.as_ref(), build)?,
                }
            }
        };
        // A copy, since hard constraints change it.
        let mut weights = grown.values.clone();
        let mut gradient = Array2::zeros(weights.dim());
        let initial = weights.clone();
        let mut point = Point::new("recurrent");
        point.connections = grown.connections.as_ref().map(|pairs| pairs.view());
        point.initial = Some(initial.view());
        let seconds = best(|| {
            timed(|| {
                black_box(constraint.penalty(weights.view(), gradient.view_mut(), &point)?);
                constraint.project(weights.view_mut(), &point)
            })
        })?;
        self.seconds.insert(key, seconds);
        Ok(seconds)
    }

    fn metric(&mut self, cell: &CellSpec, metric: &Use, substrate: &Substrate) -> Result<f64> {
        let of_pairs = pairs(cell);
        let key =
            [text(&cell.substrate), text(metric), of_pairs, cell.training.threads.to_string()].join("\n");
        if let Some(known) = self.seconds.get(&key) {
            return Ok(*known);
        }
        let grown = self.weights(cell, substrate)?;
        let seed = cell.metric_seed(&metric.id);
        let takes = self.catalogue.get(&metric.id)?.connections;
        let matrix = grown.connections.as_ref().filter(|_| !takes);
        let matrix = matrix.map(|c| c.view().scatter(grown.values.as_slice().unwrap_or_default()));
        let base = Setting { seed, ..setting(cell, substrate) };
        let base = if matrix.is_some() { base } else { grown.setting(base, None) };
        let mut metric = self.catalogue.metric(metric, &base)?;
        let weights = matrix.as_ref().unwrap_or(&grown.values);
        let network = Network {
            initial: Some(weights.view()),
            substrate: Some(substrate),
            connections: grown.connections.as_ref().filter(|_| takes).map(|pairs| pairs.view()),
            ..Network::new(weights.view())
        };
        let seconds = if metric.wants_activity() { 0.0 } else { timed(|| metric.measure(&network))?.0 };
        self.seconds.insert(key, seconds);
        Ok(seconds)
    }

    fn weights(&mut self, cell: &CellSpec, substrate: &Substrate) -> Result<Arc<Grown>> {
        let of_pairs = pairs(cell);
        let key =
            [text(&cell.substrate), text(&cell.weights), of_pairs, substrate.neurons.to_string()].join("\n");
        if let Some(known) = self.weights.get(&key) {
            return Ok(Arc::clone(known));
        }
        let weights = Arc::new(Grown::new(cell, self.catalogue, &setting(cell, substrate), substrate)?);
        self.weights.insert(key, Arc::clone(&weights));
        Ok(weights)
    }
}

/// The relative work of each training, computed and not timed: multiply-adds of
/// a recurrent network with one matrix exponential per constraint. Timing would
/// be more accurate, but machines that share a plan must all compute the same
/// shards.
///
/// # Errors
/// If a substrate or a task cannot be built.
pub fn weigh(cells: &[CellSpec], catalogue: &Catalogue) -> Result<Vec<f64>> {
    let mut sizes: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut weights = Vec::with_capacity(cells.len());
    for cell in cells {
        let key = [text(&cell.substrate), tasks(cell)].join("\n");
        let (neurons, steps) = match sizes.get(&key) {
            Some(known) => *known,
            None => {
                let size = size_of(cell, catalogue)
                    .map_err(|e| e.context(format!("training {} cannot run", cell.label())))?;
                sizes.insert(key, size);
                size
            }
        };
        weights.push(operations(cell, neurons, steps));
    }
    Ok(weights)
}

/// Number of neurons, and of steps in a trial.
fn size_of(cell: &CellSpec, catalogue: &Catalogue) -> Result<(f64, f64)> {
    let seed = cell.derived_seed("substrate");
    let base = Setting { seed, threads: 1, ..Setting::default() };
    let substrate = catalogue.substrate(&cell.substrate, &base)?.substrate(seed)?;
    let info = Tasks::build(cell, catalogue, &setting(cell, &substrate))?.info;
    Ok((substrate.neurons as f64, info.steps as f64))
}

/// The forward and backward passes are three products with the recurrent
/// matrix, a penalty with a matrix exponential about forty products of two
/// matrices.
fn operations(cell: &CellSpec, neurons: f64, steps: f64) -> f64 {
    let training = &cell.training;
    let epochs = f64::from(training.epochs);
    let Passes { train, validation, test } = Passes::of(cell);
    let step = neurons * neurons * steps;
    let passes = epochs * (3.0 * train + validation) + train + validation + test;
    let updates = epochs * (train / training.batch.max(1) as f64).ceil();
    passes * step + 40.0 * updates * cell.constraints.len() as f64 * neurons.powi(3)
}

fn setting<'a>(cell: &CellSpec, substrate: &'a Substrate) -> Setting<'a> {
    Setting {
        threads: cell.training.threads,
        neurons: Some(substrate.neurons),
        substrate: Some(substrate),
        ..Setting::default()
    }
}

fn timed<T>(action: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let clock = Instant::now();
    let out = action()?;
    Ok((clock.elapsed().as_secs_f64(), out))
}

/// The shortest of several timings: the first one also allocates, and on a busy
/// machine other processes interrupt.
fn best<T>(mut once: impl FnMut() -> Result<(f64, T)>) -> Result<f64> {
    let mut least = f64::INFINITY;
    let clock = Instant::now();
    for repeat in 0..6 {
        least = least.min(once()?.0);
        if repeat > 0 && clock.elapsed().as_secs_f64() > 0.2 {
            break;
        }
    }
    Ok(least)
}

fn text(component: &Use) -> String {
    format!("{} {}", component.id, component.json())
}

/// What decides which pairs are connected, besides the source of the weights.
fn pairs(cell: &CellSpec) -> String {
    cell.connections.iter().chain(&cell.null).map(text).collect::<Vec<_>>().join(" ")
}

/// The first `neurons` of a substrate.
fn head(substrate: &Substrate, neurons: usize) -> Substrate {
    let square = |m: &Table<'_>| m.view().slice(s![..neurons, ..neurons]).to_owned().into();
    Substrate {
        name: substrate.name.clone(),
        neurons,
        positions: substrate
            .positions
            .as_ref()
            .map(|p| Positions::new(p.values.view().slice(s![..neurons, ..]).to_owned(), p.unit_um)),
        matrices: substrate.matrices.iter().map(|(name, m)| (name.clone(), square(m))).collect(),
        ids: substrate.ids.iter().map(|(name, ids)| (name.clone(), ids[..neurons].to_vec().into())).collect(),
        events: substrate.events.as_ref().map(|events| events[..neurons].to_vec()),
        ..Substrate::default()
    }
}

/// Bytes of a substrate.
fn size(substrate: &Substrate) -> f64 {
    let values = substrate.matrices.values().map(|m| m.view().len()).sum::<usize>()
        + substrate.positions.as_ref().map_or(0, |p| p.values.view().len())
        // A number and the half of one for each pair.
        + substrate.pairs.values().map(|pairs| pairs.values().len() * 3 / 2).sum::<usize>()
        + substrate.ids.values().map(|ids| ids.len()).sum::<usize>()
        + substrate.events.iter().flatten().map(Vec::len).sum::<usize>();
    8.0 * values as f64
}
