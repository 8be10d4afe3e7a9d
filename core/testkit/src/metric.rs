//! Checks of metrics.

use ndarray::{Array2, Array3, Axis, s};
use rand::seq::SliceRandom;

use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::state::differing;
use crate::toy::Toy;
use crate::{Check, Note, RateNetwork, Subject, World, broken, passed, skipped, world};
use pallium_core::{
    Batch, Error, Kind, Matrix, Measures, Metric, Network, Positions, RecordedTrials, Result, Setting,
    Substrate, TensorView, random,
};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "measures",
        about: "measures and arrays have unique names that tables and files can have, and some measures are finite for a typical network",
        run: measures,
    },
    Check {
        name: "asks",
        about: "needs the activity, the trials and the dynamics only if it asks for them",
        run: asks,
    },
    Check {
        name: "deterministic",
        about: "the same network gives bit-identical results, in a second call and in another instance",
        run: deterministic,
    },
    Check {
        name: "relabelling",
        about: "permuting the neurons changes no measure, if `permutation_invariant` is true",
        run: relabelling,
    },
    Check {
        name: "survives",
        about: "networks of zeros, with values that are not finite, of one neuron or of a wrong shape cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long a call takes", run: time },
];

/// Largest relative difference from summing in another order.
const RELABELLED: f64 = 1e-5;

/// Everything that a network can have, owned.
struct Sample {
    recurrent: Matrix,
    initial: Matrix,
    substrate: Substrate,
    rates: RateNetwork,
    activity: Array3<f32>,
    trials: Batch,
    outputs: Array2<f32>,
}

/// What a metric is given besides the matrices, the substrate and the model.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// Activity, trials and dynamics.
    All,
    /// The same without dynamics.
    NoDynamics,
    /// The activity and its lengths alone.
    ActivityAlone,
    /// Nothing.
    Nothing,
}

impl Sample {
    fn new(world: &World) -> Self {
        Sample::of(world, Toy::Classes)
    }

    /// The sample that the metric measures: of values if it refuses classes, or if
    /// nothing is defined for them.
    fn suited(subject: &Subject<'_>, world: &World) -> Result<Self> {
        let classes = Sample::new(world);
        let of_values = match classes.measured_by(&mut *built(subject, world)?) {
            Err(error) => error.kind == Kind::Unsupported,
            Ok(found) => found.values.iter().all(|measure| !measure.value.is_finite()),
        };
        Ok(if of_values { Sample::of(world, Toy::Values) } else { classes })
    }

    fn of(world: &World, toy: Toy) -> Self {
        let trials = toy.ragged_from(8, 12, 1);
        let mut activity = world.activity(trials.inputs.dim().1, 12);
        for (trial, &length) in trials.lengths.iter().enumerate() {
            activity.slice_mut(s![length as usize.., trial, ..]).fill(0.0);
        }
        let recurrent = world.weights(1);
        let rates = world.rate_network(&recurrent, 1);
        let outputs = Array2::from_shape_fn((trials.view().scored().count(), 2), |(row, output)| {
            (row as f32 + 0.5 * output as f32).sin()
        });
        let mut sample = Sample {
            initial: world.weights(2),
            substrate: world.substrate().clone(),
            recurrent,
            rates,
            activity,
            trials,
            outputs,
        };
        sample.trials.conditions = (0..12).map(|trial| trial % 2).collect();
        sample
    }

    fn parameters(&self) -> Vec<TensorView<'_>> {
        self.rates.parameters()
    }

    fn network<'a>(&'a self, parameters: &'a [TensorView<'a>], given: Given) -> Network<'a> {
        let mut network = Network {
            initial: Some(self.initial.view()),
            substrate: Some(&self.substrate),
            model: Some(self.rates.info()),
            parameters,
            ..Network::new(self.recurrent.view())
        };
        if given == Given::Nothing {
            return network;
        }
        network.activity = Some(self.activity.view());
        network.conditions = &self.trials.conditions;
        network.lengths = &self.trials.lengths;
        if given != Given::ActivityAlone {
            let trials = &self.trials;
            network.trials = Some(RecordedTrials::new(
                trials.inputs.view(),
                trials.targets.view(),
                trials.mask.view(),
                self.outputs.view(),
            ));
        }
        if given == Given::All {
            network.dynamics = Some(&self.rates);
        }
        network
    }

    /// Measures the network as a host gives it to the metric.
    fn measured_by(&self, metric: &mut dyn Metric) -> Result<Measures> {
        let given = if metric.wants_activity() { Given::All } else { Given::Nothing };
        metric.measure(&self.network(&self.parameters(), given))
    }

    /// The same network, neuron k being what was neuron `order[k]`.
    fn relabelled(&self, order: &[usize]) -> Self {
        fn both<A: Clone>(matrix: &Array2<A>, order: &[usize]) -> Array2<A> {
            matrix.select(Axis(0), order).select(Axis(1), order)
        }
        let s = &self.substrate;
        Sample {
            recurrent: both(&self.recurrent, order),
            initial: both(&self.initial, order),
            substrate: Substrate {
                positions: s
                    .positions
                    .as_ref()
                    .map(|p| Positions::new(p.values.view().select(Axis(0), order), p.unit_um)),
                matrices: s
                    .matrices
                    .iter()
                    .map(|(k, m)| (k.clone(), both(&m.to_array(), order).into()))
                    .collect(),
                ids: s
                    .ids
                    .iter()
                    .map(|(k, ids)| (k.clone(), order.iter().map(|&i| ids[i]).collect::<Vec<_>>().into()))
                    .collect(),
                events: s.events.as_ref().map(|e| order.iter().map(|&i| e[i].clone()).collect()),
                ..s.clone()
            },
            rates: self.rates.relabelled(order),
            activity: self.activity.select(Axis(2), order),
            trials: self.trials.clone(),
            outputs: self.outputs.clone(),
        }
    }
}

fn built(subject: &Subject<'_>, world: &World) -> Result<Box<dyn Metric>> {
    subject.metric(&world.setting())
}

fn measures(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let found = Sample::suited(subject, &world)?.measured_by(&mut *built(subject, &world)?)?;
    found.check()?;
    if found.values.iter().all(|m| !m.value.is_finite()) {
        return broken(format!("no measure is finite for a typical network of {} neurons", world::NEURONS));
    }
    let values = found.values.iter().map(|m| format!("{} = {:.4}", m.name, m.value));
    let arrays = found.arrays.iter().map(|a| format!("{} {:?}", a.name, a.shape));
    passed(values.chain(arrays).collect::<Vec<_>>().join(", "))
}

fn asks(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let sample = Sample::suited(subject, &world)?;
    let parameters = sample.parameters();
    let wants = built(subject, &world)?.wants_activity();
    let mut lacking = Vec::new();
    for (what, given) in [
        ("the dynamics", Given::NoDynamics),
        ("the trials", Given::ActivityAlone),
        ("the activity", Given::Nothing),
    ] {
        let found = built(subject, &world)?.measure(&sample.network(&parameters, given));
        orderly(&format!("a network without {what}"), found.as_ref().map(drop).map_err(Error::clone))?;
        if found.is_err() {
            lacking.push(what);
        }
    }
    if !wants
        && let Err(error) = built(subject, &world)?.measure(&sample.network(&parameters, Given::Nothing))
    {
        return Err(error
            .context("it does not ask for activity, but fails without")
            .help("return true from `wants_activity`; activity, trials and dynamics come only then"));
    }
    if wants && lacking.is_empty() {
        return passed("it asks for the activity, but has measures without it too");
    }
    if lacking.is_empty() { passed("") } else { passed(format!("it needs {}", lacking.join(", "))) }
}

/// The first measure in which two results differ by more than `relative`.
fn difference(one: &Measures, two: &Measures, relative: f64) -> Option<String> {
    let shapes =
        |m: &Measures| -> Vec<_> { m.arrays.iter().map(|a| (a.name.clone(), a.shape.clone())).collect() };
    if shapes(one) != shapes(two) {
        return Some("the names or shapes of its arrays change".into());
    }
    let (one, two) = (&one.values, &two.values);
    if one.len() != two.len() || one.iter().zip(two).any(|(a, b)| a.name != b.name) {
        return Some("the names of its measures change".into());
    }
    one.iter().zip(two).find_map(|(a, b)| {
        let scale = a.value.abs().max(b.value.abs());
        let same = a.value.to_bits() == b.value.to_bits()
            || (a.value.is_nan() && b.value.is_nan())
            || (a.value - b.value).abs() <= relative * scale.max(1e-6);
        (!same).then(|| format!("`{}` is {} and then {}", a.name, a.value, b.value))
    })
}

fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let sample = Sample::suited(subject, &world)?;
    let mut one = built(subject, &world)?;
    let first = sample.measured_by(&mut *one)?;
    let other = Sample { recurrent: sample.initial.clone(), ..Sample::suited(subject, &world)? };
    other.measured_by(&mut *one)?;
    let again = sample.measured_by(&mut *one)?;
    let fresh = sample.measured_by(&mut *built(subject, &world)?)?;
    for (what, second) in [("a second call", &again), ("another instance", &fresh)] {
        let text = difference(&first, second, 0.0).or_else(|| {
            differing(&first.arrays, &second.arrays)
                .map(|name| format!("the array `{name}` has other values"))
        });
        if let Some(text) = text {
            return Err(Error::plugin(format!("{what} differs: {text}"))
                .help("draw only from pallium_core::random::stream(setting.seed, …)"));
        }
    }
    passed("")
}

fn relabelling(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut metric = built(subject, &world)?;
    if !metric.permutation_invariant() {
        return skipped("`permutation_invariant` is false");
    }
    let sample = Sample::suited(subject, &world)?;
    let straight = sample.measured_by(&mut *metric)?;
    for seed in 1..=3 {
        let mut order: Vec<usize> = (0..world::NEURONS).collect();
        order.shuffle(&mut random::stream(seed, "testkit order"));
        let relabelled = sample.relabelled(&order).measured_by(&mut *metric)?;
        if let Some(text) = difference(&straight, &relabelled, RELABELLED) {
            return Err(Error::plugin(format!("permuting the neurons changes the result: {text}")).help(
                "make it independent of the order of the neurons, or return false from `permutation_invariant`",
            ));
        }
    }
    passed("3 orders")
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let sample = Sample::new(&world);
    let n = world::NEURONS;
    let parameters = sample.parameters();
    let full = sample.network(&parameters, Given::All);
    let call = |doing: &str, setting: &Setting<'_>, network: &Network<'_>| match subject.metric(setting) {
        Ok(mut metric) => orderly(doing, metric.measure(network).map(drop)),
        Err(error) => orderly(doing, Err(error)),
    };
    let setting = world.setting();
    let mut cases = 0;
    let mut nan = sample.recurrent.clone();
    nan[[1, 2]] = f32::NAN;
    for (doing, recurrent) in &[
        ("a network of zeros", Matrix::zeros((n, n))),
        ("a network of ones", Matrix::ones((n, n))),
        ("weights that are not finite", nan),
        ("very large weights", sample.recurrent.mapv(|w| w * 1e30)),
        ("very small weights", sample.recurrent.mapv(|w| w * 1e-30)),
        ("negative weights", sample.recurrent.mapv(|w| -w.abs())),
    ] {
        call(doing, &setting, &Network { recurrent: recurrent.view(), ..full })?;
        cases += 1;
    }
    let bare = Matrix::from_elem((n, n), 0.1);
    call("a network with only a recurrent matrix", &setting, &Network::new(bare.view()))?;
    let oblong = Matrix::zeros((n, n - 1));
    call("a matrix that is not square", &setting, &Network::new(oblong.view()))?;
    for neurons in [1, 2] {
        let small = World::new(neurons, 1);
        let sample = Sample::new(&small);
        let parameters = sample.parameters();
        let network = sample.network(&parameters, Given::All);
        call(&format!("a network of {neurons} neurons"), &small.setting(), &network)?;
    }
    let empty = Matrix::zeros((0, 0));
    call(
        "a network of no neuron",
        &Setting { neurons: Some(0), ..Setting::default() },
        &Network::new(empty.view()),
    )?;
    passed(format!("{} cases", cases + 5))
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(100, 1);
    let sample = Sample::suited(subject, &world)?;
    let mut metric = built(subject, &world)?;
    let each = repeat(|| sample.measured_by(&mut *metric).map(drop))?;
    passed(format!("{} per network of 100 neurons", duration(each)))
}
