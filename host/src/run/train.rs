//! Runs one training in this process.
//!
//! Every draw comes from the training's own seeds, every sum has a fixed order,
//! and nothing here depends on the clock: the same specification gives the same
//! bytes, whatever ran before it and with any number of workers.

use std::time::Instant;

use itertools::Itertools;
use ndarray::{Array2, ArrayView2};
use pallium_core::{
    Connections, Dynamics, Error, Kind, Matrix, MatrixView, Metric, Mode, Model, ModelInfo,
    Network as Measured, RecordedTrials, Result, TaskInfo, Tensor, TensorView,
};
use pallium_record::checkpoint::Checkpoint;
use pallium_record::model::ModelRecord;
use pallium_record::outcome::{Epoch, Status, Value};
use pallium_record::spec::CellSpec;
use pallium_record::training::{Snapshot, Trained};
use pallium_record::weights::Weights;

use super::components::{
    Ground, Options, begin, build_constraints, build_metric, build_metrics, build_model, build_optimizer,
    check_model, check_training, describe_model,
};
use super::finished_network::FinishedNetwork;
use super::nulls;
use super::penalties::{Penalties, Wiring};
use super::scores::{Answers, SplitScores};
use super::tasks::Tasks;
use super::training_loop::{Network, TrainingLoop, parameters, with_snapshots};
use super::trials::Trials;
use super::warnings;
use crate::plugins::Catalogue;

/// Number of test trials whose hidden activity is recorded for metrics that
/// need it.
pub const RECORDED_TRIALS: usize = 256;

/// The splits, in the order in which results are written.
pub const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Trains a network and measures it. `observe` receives every epoch that is
/// trained here; a continued training does not repeat earlier ones.
///
/// # Errors
/// If a component is missing, refuses its parameters or its setting, or fails.
/// A loss or weight that is not finite is not an error: the training has
/// diverged. A metric that fails leaves a value with the reason.
pub fn train(
    spec: &CellSpec,
    catalogue: &Catalogue,
    options: &Options<'_>,
    observe: &mut dyn FnMut(&Epoch),
) -> Result<Trained> {
    let span = tracing::info_span!("cell", variant = %spec.variant, task = %spec.task, run = spec.run);
    let _inside = span.enter();
    let clock = Instant::now();

    check_training(spec)?;
    let mut ground = Ground::new(spec, catalogue, options)?;
    let base = ground.setting(spec, options);
    let (grown, of_null) = nulls::grown(spec, catalogue, &base, &ground.substrate)?;
    let distance = ground.distance_on(grown.connections.as_ref());
    let base = grown.setting(base, distance.as_ref());
    let initial = &grown.values;
    let mut model = build_model(spec, catalogue, &base)?;
    let info = describe_model(spec, model.as_ref())?;
    check_model(spec, &info)?;
    let wiring = Wiring::new(grown.connections.as_ref(), initial, ground.places.as_ref());
    let on = build_constraints(spec, catalogue, &base, &info, ground.places.as_ref())?;
    let mut penalties = Penalties::new(on, wiring, spec);
    let mut optimizer = build_optimizer(spec, catalogue, &base)?;
    let mut metrics = build_metrics(spec, catalogue, &base)?;
    let first = ground.tasks.stages(&[]);
    let mut trials = Trials::draw(spec, &mut ground.tasks, &first)?;
    let before = begin(spec, model.as_mut(), &info, initial, &mut penalties)?;
    penalties.check_rewiring(model.as_mut(), &info, optimizer.as_mut())?;
    let begun = begun_with(spec, &info, &before, initial)?;
    if penalties.wiring.now.is_some() {
        penalties.wiring.initial = begun.iter().copied().collect();
    }
    let mut network = Network {
        model: model.as_mut(),
        info: &info,
        optimizer: optimizer.as_mut(),
        penalties: &mut penalties,
    };
    let mut training = TrainingLoop::new(spec, &mut ground.tasks);
    if let Some(place) = options.checkpoint
        && let Some(found) = place.load(spec.training.epochs)
    {
        match network.restore(&found.state) {
            Ok(()) => training.resume(found),
            // What panicked is not called again.
            Err(error) if error.kind == Kind::Panic => return Err(error),
            Err(error) => {
                place.reject(&error.to_string());
                // What was restored before the error is reset.
                network.optimizer.restore(&[])?;
                begin(spec, network.model, &info, initial, network.penalties)?;
            }
        }
    } else if let Some(found) = options.earlier {
        match network.restore(&found.state) {
            Ok(()) => training.resume(found.clone()),
            Err(error) if error.kind == Kind::Panic => return Err(error),
            Err(error) => {
                tracing::warn!(target: warnings::OF_RESULT, "the state of a shorter training is not used: {error}");
                network.optimizer.restore(&[])?;
                begin(spec, network.model, &info, initial, network.penalties)?;
            }
        }
    }
    let seconds_setup = clock.elapsed().as_secs_f64();
    tracing::info!(units = info.units, parameters = info.count(), "set up");

    training.begin(&before);
    training.run(&mut network, &mut trials, options.checkpoint, observe)?;
    let seconds_training = training.seconds();
    let seconds_before = training.seconds_before;

    let evaluating = Instant::now();
    let mut splits = Vec::new();
    if training.divergence.is_none() {
        for (name, batches) in SPLITS.iter().zip(trials.all()) {
            splits.push(training.evaluate(&mut network, batches, name)?);
        }
    }
    let trained = match &training.divergence {
        None => parameters(network.model)?,
        Some(_) => Vec::new(),
    };
    let seconds_evaluation = evaluating.elapsed().as_secs_f64();

    let TrainingLoop { curves, divergence, snapshots, .. } = training;
    let diverged = divergence.is_some();
    let several = ground.tasks.several;
    let state = match diverged || !options.keep_state {
        true => None,
        // Durations vary between repetitions, so they are in `times.csv` alone.
        false => {
            let state = with_snapshots(network.state()?, &snapshots);
            Some(Checkpoint { curves: curves.clone(), seconds: 0.0, state })
        }
    };
    if let Some(warning) = cut_off(spec, &info, &begun, &trained, &penalties.wiring) {
        tracing::warn!(target: warnings::OF_RESULT, "{warning}");
    }
    let tasks = &ground.tasks;
    let mut values = values(tasks, if diverged { &[] } else { &splits }, curves.last().filter(|_| !diverged));
    values.extend(of_null);

    let measuring = Instant::now();
    let (mut measures, mut arrays) = (Vec::new(), Vec::new());
    if diverged {
        tracing::warn!(at = ?divergence, "diverged");
    } else {
        let all: Vec<usize> = (0..metrics.len()).collect();
        let before = Before { parameters: &before, wiring: &penalties.wiring };
        let found = measure(
            spec,
            &all,
            &mut metrics,
            catalogue,
            model.as_mut(),
            &info,
            before,
            &mut ground,
            &trials,
        )?;
        (measures, arrays) = found.into_iter().unzip();
    }
    let seconds_metrics = measuring.elapsed().as_secs_f64();
    let times = [
        ("seconds_setup", seconds_setup),
        ("seconds_training", seconds_training),
        ("seconds_evaluation", seconds_evaluation),
        ("seconds_metrics", seconds_metrics),
        ("seconds_total", clock.elapsed().as_secs_f64() + seconds_before),
    ];
    Ok(Trained {
        status: if diverged { Status::Diverged } else { Status::Ok },
        divergence,
        notes: ground.substrate.notes.clone(),
        warnings: Vec::new(),
        model: ModelRecord::from(&info),
        values,
        measures,
        arrays,
        times: times.map(|(name, seconds)| Value::new("", name, Some(seconds))).into(),
        curves,
        ids: ground.substrate.ids.iter().map(|(name, ids)| (name.clone(), ids.to_vec())).collect(),
        initial: begun,
        connections: penalties.wiring.before.take().zip(penalties.wiring.now.take()).map(<[_; 2]>::from),
        parameters: trained,
        snapshots: if diverged { Vec::new() } else { snapshots },
        state,
        members: ground.tasks.members.iter().filter(|_| several).map(|task| task.info().clone()).collect(),
        task: ground.tasks.info,
    })
}

/// A warning if constraints leave neurons without outgoing or incoming recurrent
/// weights that they had initially, as Dale's law does together with weights that must
/// not be negative: such neurons take no part in the recurrence, whatever is learned.
fn cut_off(
    spec: &CellSpec,
    info: &ModelInfo,
    initial: &Matrix,
    trained: &[Tensor],
    wiring: &Wiring,
) -> Option<String> {
    let (at, _) = info.recurrent().next().filter(|_| !spec.constraints.is_empty())?;
    let after = trained.get(at)?.slice::<f32>().ok().filter(|after| after.len() == initial.len())?;
    let pairs = |connections: &Option<Connections>| -> Vec<(usize, usize)> {
        match connections {
            Some(connections) => connections.view().pairs().collect(),
            None => initial.indexed_iter().map(|(pair, _)| pair).collect(),
        }
    };
    let when = [
        (pairs(&wiring.before), initial.iter().copied().collect_vec()),
        (pairs(&wiring.now), after.to_vec()),
    ];
    let size = wiring.before.as_ref().map_or(initial.nrows(), |connections| connections.view().dim().0);
    // By neuron: whether it has outgoing, incoming weights, before and after.
    let mut has = vec![[[false; 2]; 2]; size];
    for (when, (pairs, weights)) in when.iter().enumerate() {
        for (&(from, to), _) in pairs.iter().zip(weights).filter(|(_, weight)| **weight != 0.0) {
            has[from][0][when] = true;
            has[to][1][when] = true;
        }
    }
    let lost = |way: usize| has.iter().positions(|of| of[way] == [true, false]).collect::<Vec<_>>();
    let [out, into] = [lost(0), lost(1)];
    if out.is_empty() && into.is_empty() {
        return None;
    }
    let part = |neurons: &[usize], way: &str| {
        let more = if neurons.len() > 5 { ", …" } else { "" };
        let have = if neurons.len() == 1 { "neurons has" } else { "neurons have" };
        let which = neurons.iter().take(5).join(", ");
        (!neurons.is_empty())
            .then(|| format!("{} of {size} {have} no {way} recurrent weight ({which}{more})", neurons.len()))
    };
    Some(format!(
        "after training, {}, although they had some before; constraints: {}",
        part(&out, "outgoing").into_iter().chain(part(&into, "incoming")).join(" and "),
        spec.constraints.iter().map(|constraint| &constraint.id).join(", ")
    ))
}

/// The recurrent weights before training, N×N: as initialised, or those of the finished
/// training that this one starts from.
fn begun_with(spec: &CellSpec, info: &ModelInfo, before: &[Tensor], grown: &Matrix) -> Result<Matrix> {
    let block = info.recurrent().next().and_then(|(at, _)| before.get(at));
    // On connections the block is a vector, and the weights have one row.
    let fits =
        |block: &&Tensor| block.shape == grown.shape() || grown.nrows() == 1 && block.shape == [grown.len()];
    match block.filter(|block| spec.training.from.is_some() && fits(block)) {
        Some(block) => Matrix::from_shape_vec(grown.dim(), block.slice::<f32>()?.to_vec())
            .map_err(|e| Error::bug(format!("a block has another shape: {e}"))),
        None => Ok(grown.clone()),
    }
}

/// The values of a training: of each split by task, and of the last epoch; of several
/// tasks, first their means and then each of them. Without `splits` and `last`,
/// nothing is known.
fn values(tasks: &Tasks, splits: &[Vec<SplitScores>], last: Option<&Epoch>) -> Vec<Value> {
    let mut values = Vec::new();
    let mut add = |task: &str, info: &TaskInfo, scores: &[Option<SplitScores>], running: [Option<f64>; 2]| {
        let of = |split: &str, measure: &str, value: Option<f64>| Value {
            task: task.into(),
            ..Value::new(split, measure, value)
        };
        for (name, found) in SPLITS.iter().zip(scores) {
            if info.has_accuracy() {
                values.push(of(name, "accuracy", found.and_then(|f| f.accuracy)));
            }
            if !info.loss.of_classes() {
                values.push(of(name, "r2", found.and_then(|f| f.r2)));
            }
            values.push(of(name, "task_loss", found.map(|f| f.task_loss)));
            values.push(of(name, "penalty", found.map(|f| f.penalty)));
        }
        let [loss, accuracy] = running;
        if info.has_accuracy() {
            values.push(of("train", "running_accuracy", accuracy));
        }
        values.push(of("train", "running_loss", loss));
    };
    let split = |at: usize| splits.get(at).map(Vec::as_slice).unwrap_or_default();
    let whole: Vec<_> = (0..SPLITS.len()).map(|at| SplitScores::mean(split(at))).collect();
    add("", &tasks.info, &whole, [last.map(|e| e.running_loss), last.and_then(|e| e.running_accuracy)]);
    for (of, member) in tasks.members.iter().enumerate().filter(|_| tasks.several) {
        let own: Vec<_> = (0..SPLITS.len()).map(|at| split(at).get(of).copied()).collect();
        let last = last.and_then(|epoch| epoch.tasks.get(of));
        let running = [last.and_then(|e| e.running_loss), last.and_then(|e| e.running_accuracy)];
        add(&member.name, member.info(), &own, running);
    }
    values
}

/// Computes metrics of a finished training, given by their positions in the
/// spec, without training again: the network is rebuilt and gets the stored
/// parameters.
///
/// # Errors
/// If a component is missing, refuses its parameters or its setting, or the
/// stored parameters do not fit the model.
pub fn measure_finished(
    spec: &CellSpec,
    wanted: &[usize],
    weights: &Weights,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<MeasuredBy>> {
    let mut ground = Ground::new(spec, catalogue, options)?;
    let mut network = FinishedNetwork::new(spec, weights, &ground, catalogue, options)?;
    let (before, wiring) = network.before(spec)?;
    let base = network.setting(ground.setting(spec, options));
    let mut metrics = wanted
        .iter()
        .filter_map(|&at| spec.metrics.get(at))
        .map(|metric| build_metric(spec, metric, catalogue, &base))
        .collect::<Result<Vec<_>>>()?;
    let last = ground.tasks.last_stages();
    let trials = Trials::draw(spec, &mut ground.tasks, &last)?;
    let before = Before { parameters: &before, wiring: &wiring };
    let FinishedNetwork { model, info, .. } = &mut network;
    measure(spec, wanted, &mut metrics, catalogue, model.as_mut(), info, before, &mut ground, &trials)
}

/// Computes the metrics of a spec of the network after each of its snapshots, without
/// training: the epoch and its values.
///
/// # Errors
/// As [`measure_finished`].
pub fn measure_snapshots(
    spec: &CellSpec,
    weights: &Weights,
    snapshots: &[Snapshot],
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<(u32, Value)>> {
    let mut ground = Ground::new(spec, catalogue, options)?;
    if weights.connections.as_ref().is_some_and(|[before, after]| before != after) {
        return Err(Error::unsupported("snapshots of a network whose connections change cannot be measured")
            .help("a snapshot holds the weights, but not the connections; measure the finished network"));
    }
    let mut network = FinishedNetwork::new(spec, weights, &ground, catalogue, options)?;
    let (before, wiring) = network.before(spec)?;
    let last = ground.tasks.last_stages();
    let trials = Trials::draw(spec, &mut ground.tasks, &last)?;
    let all: Vec<usize> = (0..spec.metrics.len()).collect();
    let before = Before { parameters: &before, wiring: &wiring };
    let mut rows = Vec::new();
    for snapshot in snapshots {
        network.set(&snapshot.parameters).map_err(|e| {
            e.context(format!("the snapshot of epoch {} does not fit the model", snapshot.epoch))
        })?;
        // Built anew, so that each network is measured like a finished one.
        let mut metrics = build_metrics(spec, catalogue, &network.setting(ground.setting(spec, options)))?;
        let FinishedNetwork { model, info, .. } = &mut network;
        let found =
            measure(spec, &all, &mut metrics, catalogue, model.as_mut(), info, before, &mut ground, &trials)?;
        rows.extend(found.into_iter().flat_map(|(values, _)| values).map(|value| (snapshot.epoch, value)));
    }
    Ok(rows)
}

/// The numbers and arrays of a metric.
pub type MeasuredBy = (Vec<Value>, Vec<Tensor>);

/// A model's step, for metrics.
struct StepOf<'a>(&'a dyn Model);

impl Dynamics for StepOf<'_> {
    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.0.step(states, inputs)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        self.0.step_gradient(states, inputs, cotangents)
    }
}

/// What a network was before training.
#[derive(Clone, Copy)]
struct Before<'a> {
    parameters: &'a [Tensor],
    wiring: &'a Wiring,
}

/// The recurrent weights before and after training, as metrics see them.
fn recurrent_weights(info: &ModelInfo, after: &[TensorView<'_>], before: Before<'_>) -> Result<[Matrix; 2]> {
    if before.wiring.now.is_some() {
        let (index, _) = info.recurrent().next().ok_or_else(|| Error::bug("no recurrent block"))?;
        let initial = before.wiring.initial.clone();
        let initial = Matrix::from_shape_vec((1, initial.len()), initial);
        return Ok([initial.map_err(|e| Error::bug(e.to_string()))?, after[index].matrix()?.to_owned()]);
    }
    let whole = info.recurrent_matrix(|index, _| Ok(after[index].matrix()?.to_owned()))?;
    let initial = info.recurrent_matrix(|index, block| {
        let shape = (block.shape[0], block.shape[1]);
        MatrixView::from_shape(shape, before.parameters[index].slice()?)
            .map(|values| values.to_owned())
            .map_err(|e| Error::bug(format!("a block before training has another shape: {e}")))
    })?;
    Ok([initial, whole])
}

/// The measures of each metric. `places` are their positions in the spec.
#[expect(clippy::too_many_arguments, reason = "all that metrics see")]
fn measure(
    spec: &CellSpec,
    places: &[usize],
    metrics: &mut [Box<dyn Metric>],
    catalogue: &Catalogue,
    model: &mut dyn Model,
    info: &ModelInfo,
    before: Before<'_>,
    ground: &mut Ground,
    trials: &Trials,
) -> Result<Vec<MeasuredBy>> {
    let wanted: Vec<bool> = metrics.iter().map(|m| m.wants_activity()).collect();
    let mut answers = Answers::new();
    let sample = match wanted.contains(&true) {
        true => trials.sample(&mut ground.tasks, model, RECORDED_TRIALS)?,
        false => None,
    };
    let recorded = match &sample {
        Some(batch) => {
            let recorded = batch.slice_scored(0..batch.trials());
            answers.pass(model, &ground.tasks.info, &recorded, Mode::Record, false)?;
            Some(recorded)
        }
        None => None,
    };
    let model: &dyn Model = model;
    let after: Vec<TensorView<'_>> = model.parameters()?;
    let [initial, whole] = recurrent_weights(info, &after, before)?;
    let connections = before.wiring.now.as_ref().map(|connections| connections.view());
    // Metrics that take only matrices get them; larger networks were refused before.
    let takes = |id: &str| catalogue.get(id).is_ok_and(|entry| entry.connections);
    let only_matrix = spec.metrics.iter().enumerate().any(|(at, m)| places.contains(&at) && !takes(&m.id));
    let matrices = connections.filter(|_| only_matrix).map(|connections| {
        [&initial, &whole].map(|values| connections.scatter(values.as_slice().unwrap_or_default()))
    });
    let step = StepOf(model);
    let network = Measured {
        initial: Some(initial.view()),
        substrate: Some(&ground.substrate),
        model: Some(info),
        parameters: &after,
        connections,
        dynamics: if info.states.is_empty() { None } else { Some(&step) },
        ..Measured::new(whole.view())
    };
    let with_activity = match recorded {
        Some(batch) => Measured {
            activity: Some(model.activity()?),
            conditions: batch.conditions,
            condition_names: &ground.tasks.info.conditions,
            lengths: batch.lengths,
            trials: Some(RecordedTrials::new(
                batch.inputs,
                batch.targets,
                batch.mask,
                answers.outputs.view(),
            )),
            ..network
        },
        None => network,
    };
    let mut found = Vec::with_capacity(metrics.len());
    for ((metric, &place), wants) in metrics.iter_mut().zip(places).zip(wanted) {
        let id = spec.metrics.get(place).map_or("", |component| component.id.as_str());
        let mut network = if wants { with_activity } else { network };
        if let Some([initial, whole]) = matrices.as_ref().filter(|_| !takes(id)) {
            network.connections = None;
            network.initial = Some(initial.view());
            network.recurrent = whole.view();
        }
        found.push(match metric.measure(&network) {
            Ok(measures) => {
                let values = measures.values.into_iter().map(|m| Value::new("", m.name, Some(m.value)));
                (values.collect(), measures.arrays)
            }
            Err(error) => {
                tracing::error!(metric = id, "{error}");
                (vec![Value { failed: Some(error.to_string()), ..Value::new("", id, None) }], Vec::new())
            }
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use pallium_record::checkpoint::CheckpointFile;
    use pallium_record::spec::{Member, Members, Order, SEVERAL_TASKS, Stage, Until, Use};

    use super::super::check::check;
    use super::super::mock::{catalogue, spec, with};
    use super::*;

    fn run(spec: &CellSpec) -> Trained {
        train(spec, &catalogue(), &Options::default(), &mut |_| ()).unwrap()
    }

    /// The same arithmetic by hand: w ← w − rate·((w − target) + 2·strength·w),
    /// all weights equal. Returns the losses without and with penalty of each
    /// batch, and the final weight.
    fn by_hand(weights: f64, rate: f64, strength: f64, steps: usize) -> (Vec<(f64, f64)>, f64) {
        let mut w: f64 = 1.0;
        let mut losses = Vec::new();
        for _ in 0..steps {
            let (loss, penalty) = (weights * 0.5 * (w - 0.25).powi(2), weights * strength * w * w);
            losses.push((loss, penalty));
            w -= rate * ((w - 0.25) + 2.0 * strength * w);
        }
        (losses, w)
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} and not {expected}");
    }

    fn measure(trained: &Trained, name: &str) -> Option<f64> {
        trained.measures.iter().flatten().find(|value| value.measure == name)?.value
    }

    #[test]
    fn losses_and_weights_agree_with_a_computation_by_hand() {
        let trained = run(&spec());
        let (losses, w) = by_hand(9.0, 0.1, 0.5, 6);
        assert_eq!(trained.status, Status::Ok);
        for (epoch, curve) in trained.curves.iter().enumerate() {
            let of = &losses[3 * epoch..3 * epoch + 3];
            // Batches of 2, 2 and 1 trials.
            let mean = |f: &dyn Fn(&(f64, f64)) -> f64| (2.0 * f(&of[0]) + 2.0 * f(&of[1]) + f(&of[2])) / 5.0;
            near(Some(curve.running_loss), mean(&|l| l.0 + l.1));
            near(Some(curve.penalty), mean(&|l| l.1));
            assert_eq!(curve.epoch, epoch as u32 + 1);
            // Classes 0, 1, 0, 1, 0, always answered with 0.
            assert_eq!(curve.running_accuracy, Some(0.6));
        }
        near(trained.curves[0].validation_loss, 9.0 * 0.5 * (by_hand(9.0, 0.1, 0.5, 3).1 - 0.25).powi(2));
        near(trained.value("train", "running_loss"), trained.curves[1].running_loss);
        assert_eq!(trained.value("train", "running_accuracy"), Some(0.6));
        for (split, accuracy) in [("train", 0.6), ("validation", 2.0 / 3.0), ("test", 0.5)] {
            assert_eq!(trained.value(split, "accuracy"), Some(accuracy));
            near(trained.value(split, "task_loss"), 9.0 * 0.5 * (w - 0.25).powi(2));
            near(trained.value(split, "penalty"), 9.0 * 0.5 * w * w);
        }
        near(measure(&trained, "sum"), 9.0 * w);
        assert_eq!(trained.initial, ndarray::Array2::from_elem((3, 3), 1.0));
        let names: Vec<_> = trained.parameters.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["recurrent", "bias"]);
        assert!(trained.times.iter().any(|t| t.measure == "seconds_total"));
    }

    #[test]
    fn a_training_that_was_interrupted_ends_with_the_same_bits() {
        let here = tempfile::tempdir().unwrap();
        let place = CheckpointFile { path: here.path().join("kept"), identity: "this cell".into(), every: 1 };
        let mut long = spec();
        long.training.epochs = 6;
        long.model = with("mock.model", "noise", 0.001);
        let options = Options { checkpoint: Some(&place), ..Options::default() };
        let go = |observe: &mut dyn FnMut(&Epoch)| train(&long, &catalogue(), &options, observe).unwrap();
        let uninterrupted = run(&long);
        for epochs in 1..=6 {
            // An interruption after an epoch leaves that epoch's checkpoint.
            let mut kept = None;
            go(&mut |at| {
                if at.epoch == epochs + 1 {
                    kept = std::fs::read(&place.path).ok();
                }
            });
            if let Some(kept) = kept {
                std::fs::write(&place.path, kept).unwrap();
            }
            let mut epochs_trained = Vec::new();
            let continued = go(&mut |at| epochs_trained.push(at.epoch));
            assert_eq!(epochs_trained, (epochs + 1..=6).collect::<Vec<_>>());
            assert_eq!(
                (&continued.values, &continued.curves),
                (&uninterrupted.values, &uninterrupted.curves)
            );
            assert_eq!(continued.parameters[0], uninterrupted.parameters[0]);
            std::fs::remove_file(&place.path).unwrap();
        }
    }

    #[test]
    fn more_epochs_continue_a_finished_training_with_the_bits_of_one_go() {
        use pallium_record::spec::{EarlyStopping, Schedule, ScheduleKind, Watched};
        let kinds = [
            ScheduleKind::Constant,
            ScheduleKind::Step { every: 2, factor: 0.5 },
            ScheduleKind::Plateau { factor: 0.1, patience: 1 },
        ];
        for (kind, fresh) in kinds.into_iter().zip([false, true, false]) {
            let mut long = spec();
            long.training.epochs = 6;
            long.training.fresh = fresh;
            long.training.schedule = Schedule { kind, warm_up: 2 };
            long.training.early_stopping =
                Some(EarlyStopping { measure: Watched::RunningLoss, patience: 5, least: 0.0 });
            long.model = with("mock.model", "noise", 0.001);
            let mut short = long.clone();
            short.training.epochs = 3;
            let keep = Options { keep_state: true, ..Options::default() };
            let state = train(&short, &catalogue(), &keep, &mut |_| ()).unwrap().state.unwrap();
            let options = Options { earlier: Some(&state), ..keep };
            let mut epochs = Vec::new();
            let continued = train(&long, &catalogue(), &options, &mut |at| epochs.push(at.epoch)).unwrap();
            let at_once = train(&long, &catalogue(), &keep, &mut |_| ()).unwrap();
            assert_eq!(epochs, [4, 5, 6]);
            assert_eq!((&continued.values, &continued.curves), (&at_once.values, &at_once.curves));
            assert_eq!(continued.parameters, at_once.parameters);
            // As bytes, since the mock's state has a NaN.
            let bytes = |trained: &Trained| {
                pallium_record::checkpoint::encode(trained.state.as_ref().unwrap(), "").unwrap()
            };
            assert!(bytes(&continued) == bytes(&at_once), "the states differ");
        }
    }

    /// Two tasks in one network, the second with a curriculum.
    fn two_tasks(order: Order) -> CellSpec {
        let until = Until { reached: None, for_epochs: 1, at_most: Some(2) };
        let stage = Stage { component: with("mock.task", "scored", true), until };
        let member = |name: &str, share, curriculum| Member {
            name: name.into(),
            component: Use::new("mock.task"),
            share,
            curriculum,
        };
        let tasks = vec![member("plain", 1.0, vec![]), member("staged", 2.0, vec![stage])];
        let mut two = spec();
        two.task_component = Use::new(SEVERAL_TASKS);
        two.members = Some(Members { order, rules: true, tasks });
        two.training.epochs = 6;
        two.training.trials = 9;
        two.model = with("mock.model", "noise", 0.001);
        two
    }

    #[test]
    fn several_tasks_have_values_and_curves_of_each() {
        for order in [Order::Interleaved, Order::Mixed, Order::Sequential] {
            let trained = run(&two_tasks(order));
            let value = |task: &str, measure: &str| {
                let found = trained
                    .values
                    .iter()
                    .find(|v| v.task == task && v.split == "test" && v.measure == measure);
                found.unwrap().value.unwrap()
            };
            for measure in ["accuracy", "task_loss", "penalty"] {
                let mean = (value("plain", measure) + value("staged", measure)) / 2.0;
                assert_eq!(value("", measure), mean, "{measure}");
            }
            // The trained task does not count the first step.
            assert_eq!(value("staged", "accuracy"), 0.5);
            assert_eq!(trained.members.len(), 2);
            let stages: Vec<_> = trained.curves.iter().map(|e| e.tasks[1].stage.unwrap()).collect();
            let active: Vec<Vec<bool>> = (0..2)
                .map(|task| trained.curves.iter().map(|e| e.tasks[task].running_loss.is_some()).collect())
                .collect();
            match order {
                Order::Sequential => {
                    assert_eq!(active[0], [true, true, false, false, false, false]);
                    assert_eq!(active[1], [false, false, true, true, true, true]);
                    assert_eq!(stages, [1, 1, 1, 1, 2, 2]);
                }
                _ => {
                    assert_eq!(active[1], [order == Order::Interleaved; 6]);
                    assert_eq!(stages, [1, 1, 2, 2, 2, 2]);
                }
            }
            for epoch in &trained.curves {
                // In the first stage only the first step counts, which is always right, and
                // then the second, which is right in even trials.
                let staged = epoch.tasks[1].validation_accuracy.unwrap();
                assert_eq!(staged, if epoch.tasks[1].stage == Some(1) { 1.0 } else { 2.0 / 3.0 });
                let plain = epoch.tasks[0].validation_accuracy.unwrap();
                near(epoch.validation_accuracy, (plain + staged) / 2.0);
            }
        }
    }

    #[test]
    fn several_tasks_and_curricula_continue_bit_identically() {
        for order in [Order::Interleaved, Order::Mixed, Order::Sequential] {
            for fresh in [false, true] {
                let here = tempfile::tempdir().unwrap();
                let place = CheckpointFile { path: here.path().join("kept"), identity: "a".into(), every: 1 };
                let mut long = two_tasks(order);
                long.training.fresh = fresh;
                let options = Options { checkpoint: Some(&place), ..Options::default() };
                let uninterrupted = run(&long);
                for epochs in 1..=6 {
                    let mut kept = None;
                    train(&long, &catalogue(), &options, &mut |at| {
                        if at.epoch == epochs + 1 {
                            kept = std::fs::read(&place.path).ok();
                        }
                    })
                    .unwrap();
                    if let Some(kept) = kept {
                        std::fs::write(&place.path, kept).unwrap();
                    }
                    let mut trained = Vec::new();
                    let continued =
                        train(&long, &catalogue(), &options, &mut |at| trained.push(at.epoch)).unwrap();
                    assert_eq!(trained, (epochs + 1..=6).collect::<Vec<_>>());
                    assert_eq!(
                        (&continued.values, &continued.curves),
                        (&uninterrupted.values, &uninterrupted.curves)
                    );
                    assert_eq!(continued.parameters[0], uninterrupted.parameters[0]);
                    std::fs::remove_file(&place.path).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_state_that_the_model_refuses_is_ignored() {
        let here = tempfile::tempdir().unwrap();
        let place = CheckpointFile { path: here.path().join("kept"), identity: String::new(), every: 1 };
        let options = Options { checkpoint: Some(&place), ..Options::default() };
        let curves = run(&spec()).curves[..1].to_vec();
        place.save(&Checkpoint { curves, seconds: 0.0, state: Vec::new() });
        let found = train(&spec(), &catalogue(), &options, &mut |_| ()).unwrap();
        assert_eq!(found.curves, run(&spec()).curves);
    }

    #[test]
    fn every_block_is_constrained() {
        let mut two = spec();
        two.model = with("mock.model", "blocks", 2);
        let (one, two) = (run(&spec()), run(&two));
        let ratio = |split, measure| two.value(split, measure).unwrap() / one.value(split, measure).unwrap();
        near(Some(ratio("test", "penalty")), 2.0);
        near(Some(ratio("train", "running_loss")), 2.0);
    }

    #[test]
    fn hard_constraints_act_after_the_update() {
        let mut hard = spec();
        hard.constraints = vec![with("mock.ridge", "least", 0.9)];
        let trained = run(&hard);
        assert!(trained.parameters[0].slice::<f32>().unwrap().iter().all(|&w| w == 0.9));
        near(measure(&trained, "sum"), 8.1);
    }

    #[test]
    fn weights_that_never_change_are_shaped_once_and_not_penalized() {
        let mut fixed = spec();
        fixed.model = with("mock.model", "fixed", true);
        fixed.constraints = vec![with("mock.ridge", "strength", 0.0)];
        fixed.constraints[0].params.insert("least".into(), 1.5.into());
        let trained = run(&fixed);
        assert!(trained.parameters[0].slice::<f32>().unwrap().iter().all(|&w| w == 1.5));
        assert_eq!(trained.value("test", "penalty"), Some(0.0));
        assert!(check(&[fixed.clone()], &catalogue(), &Options::default()).is_ok());
        for constraint in [with("mock.ridge", "strength", 0.1), with("mock.ridge", "activity", 0.1)] {
            fixed.constraints = vec![constraint];
            let error = check(&[fixed.clone()], &catalogue(), &Options::default()).unwrap_err();
            assert!(error.report().contains("`mock.ridge` is a penalty"), "{}", error.report());
            assert!(train(&fixed, &catalogue(), &Options::default(), &mut |_| ()).is_err());
        }
    }

    #[test]
    fn a_penalty_on_activity_reaches_loss_and_gradient() {
        let mut active = spec();
        active.training.epochs = 1;
        active.training.trials = 2;
        active.constraints = vec![with("mock.ridge", "activity", 0.001)];
        let (with, without) = (run(&active), {
            active.constraints = vec![Use::new("mock.ridge")];
            run(&active)
        });
        // 2 steps × 2 trials × 3 neurons, each as active as the first weight, 1.
        near(Some(with.curves[0].penalty - without.curves[0].penalty), 0.012);
        let of = |trained: &Trained| trained.parameters[0].slice::<f32>().unwrap().to_vec();
        let shift = of(&without)[0] - of(&with)[0];
        near(Some(f64::from(shift)), 0.1 * 0.012);
        assert_eq!(of(&with)[1], of(&without)[1]);
        // After training the penalty is taken on each split's own activity.
        assert!(with.value("test", "penalty") > with.value("train", "penalty"));
    }

    #[test]
    fn the_accuracy_may_weight_steps_differently_from_the_loss() {
        let mut other = spec();
        other.task_component = with("mock.task", "scored", true);
        let (usual, other) = (run(&spec()), run(&other));
        for split in SPLITS {
            assert_eq!(other.value(split, "accuracy"), Some(1.0), "{split}");
            assert_eq!(other.value(split, "task_loss"), usual.value(split, "task_loss"));
            assert_eq!(other.value(split, "penalty"), usual.value(split, "penalty"));
        }
        for (other, usual) in other.curves.iter().zip(&usual.curves) {
            assert_eq!(other.validation_accuracy, Some(1.0));
            assert_eq!(
                other.running_accuracy, usual.running_accuracy,
                "running means are of the loss's steps"
            );
            assert_eq!(other.validation_loss, usual.validation_loss);
        }
    }

    #[test]
    fn the_same_specification_gives_the_same_numbers_and_runs_differ_in_their_noise() {
        let mut noisy = spec();
        noisy.model = with("mock.model", "noise", 0.001);
        let (first, again) = (run(&noisy), run(&noisy));
        assert_eq!((&first.values, &first.curves), (&again.values, &again.curves));
        noisy.run = 1;
        assert_ne!(first.curves, run(&noisy).curves);
    }

    #[test]
    fn a_diverged_training_is_marked_and_has_no_numbers() {
        let mut wild = spec();
        wild.training.epochs = 200;
        wild.optimizer = with("mock.optimizer", "rate", 10.0);
        let trained = run(&wild);
        assert_eq!(trained.status, Status::Diverged);
        let at = trained.divergence.clone().unwrap();
        assert_eq!(trained.curves.len() as u32 + 1, at.epoch);
        assert!(trained.curves.iter().all(|e| e.running_loss.is_finite()));
        assert!(trained.values.iter().all(|v| v.value.is_none() && v.failed.is_none()));
        assert_eq!(trained.values.len(), 14);
        assert!(trained.parameters.is_empty());
    }

    #[test]
    fn metrics_may_be_undefined_fail_use_activity_and_share_a_name() {
        let mut measured = spec();
        measured.metrics = ["fails", "undefined", "activity", "sum", "again"]
            .map(|kind| with("mock.metric", "kind", kind))
            .into();
        let trained = run(&measured);
        let of = |name: &str| trained.measures.iter().flatten().find(|v| v.measure == name).unwrap();
        assert_eq!(of("mock.metric").failed.as_deref(), Some("the network is too small"));
        assert_eq!((of("undefined").value, &of("undefined").failed), (None, &None));
        assert_eq!(of("recorded").value, Some(4.0));
        assert_eq!(trained.measures[3], trained.measures[4]);
        assert_eq!(trained.status, Status::Ok);
    }

    #[test]
    fn splits_and_the_number_of_epochs_may_be_zero() {
        let mut bare = spec();
        bare.training = pallium_record::spec::Training::new(0, 0, 0, 4, 2);
        let trained = run(&bare);
        assert_eq!(trained.value("test", "accuracy"), Some(0.5));
        assert_eq!(trained.value("train", "accuracy"), None);
        assert_eq!(trained.value("train", "running_loss"), None);
        bare.training.epochs = 1;
        let error = train(&bare, &catalogue(), &Options::default(), &mut |_| ()).unwrap_err();
        assert!(error.report().contains("training.trials is 0"));
    }

    #[test]
    fn a_check_finds_the_users_mistakes_and_leaves_crashes_to_the_trainings() {
        let check = |spec: CellSpec| check(&[self::spec(), spec], &catalogue(), &Options::default());
        assert!(check(spec()).is_ok());
        let bad = CellSpec { weights: with("mock.weights", "scale", -1.0), variant: "bad".into(), ..spec() };
        let error = check(bad).unwrap_err();
        assert!(error.report().contains("training bad/alternating/0 cannot run"), "{}", error.report());
        assert!(error.report().contains("at least 0"));
        let unknown = CellSpec { model: with("mock.model", "targt", 0.1), ..spec() };
        assert!(check(unknown).unwrap_err().report().contains("did you mean `target`"));
        let unknown = CellSpec { optimizer: with("mock.optimizer", "rat", 0.1), ..spec() };
        assert!(check(unknown).unwrap_err().report().contains("did you mean `rate`"));
        assert!(check(CellSpec { model: with("mock.model", "panics", true), ..spec() }).is_ok());
    }
}
