//! Checks of metrics.

use std::collections::BTreeSet;

use ndarray::{Array2, Array3, Axis};
use rand::seq::SliceRandom;

use crate::common::orderly;
use crate::constraint::{duration, repeat};
use crate::{Check, Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Error, Matrix, Measure, Metric, Network, Positions, Result, Setting, Substrate, random};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "measures",
        about: "measures have unique names, and some are finite for a typical network",
        run: measures,
    },
    Check {
        name: "deterministic",
        about: "the same network gives bit-identical results, in a second call and in another instance",
        run: deterministic,
    },
    Check {
        name: "relabelling",
        about: "permuting the neurons changes nothing, if `invariant` is true",
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
    activity: Array3<f32>,
    conditions: Vec<u32>,
    lengths: Vec<u32>,
}

impl Sample {
    fn new(world: &World) -> Self {
        let trials = 12;
        Sample {
            recurrent: world.weights(1),
            initial: world.weights(2),
            substrate: world.substrate().clone(),
            activity: world.activity(9, trials),
            conditions: (0..trials as u32).map(|t| t % 2).collect(),
            lengths: (0..trials as u32).map(|t| 9 - t % 3).collect(),
        }
    }

    fn network(&self) -> Network<'_> {
        Network {
            recurrent: self.recurrent.view(),
            initial: Some(self.initial.view()),
            substrate: Some(&self.substrate),
            activity: Some(self.activity.view()),
            conditions: &self.conditions,
            lengths: &self.lengths,
        }
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
                    .map(|p| Positions { values: p.values.select(Axis(0), order), unit_um: p.unit_um }),
                matrices: s.matrices.iter().map(|(k, m)| (k.clone(), both(m, order))).collect(),
                ids: s
                    .ids
                    .iter()
                    .map(|(k, ids)| (k.clone(), order.iter().map(|&i| ids[i]).collect()))
                    .collect(),
                events: s.events.as_ref().map(|e| order.iter().map(|&i| e[i].clone()).collect()),
                ..s.clone()
            },
            activity: self.activity.select(Axis(2), order),
            conditions: self.conditions.clone(),
            lengths: self.lengths.clone(),
        }
    }
}

fn built(subject: &Subject<'_>, world: &World) -> Result<Box<dyn Metric>> {
    subject.metric(&world.setting())
}

fn measures(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let found = built(subject, &world)?.measure(&Sample::new(&world).network())?;
    if found.is_empty() {
        return broken("it returned no measure");
    }
    let mut names = BTreeSet::new();
    for measure in &found {
        if measure.name.trim().is_empty() || measure.name.chars().any(|c| c.is_control() || c == ',') {
            return broken(format!("`{}` cannot be the name of a measure", measure.name.escape_debug()));
        }
        if !names.insert(&measure.name) {
            return broken(format!("duplicate measure `{}`", measure.name));
        }
    }
    if found.iter().all(|m| !m.value.is_finite()) {
        return broken(format!("no measure is finite for a typical network of {} neurons", world::NEURONS));
    }
    let values: Vec<String> = found.iter().map(|m| format!("{} = {:.4}", m.name, m.value)).collect();
    passed(values.join(", "))
}

/// The first measure in which two results differ by more than `relative`.
fn difference(one: &[Measure], two: &[Measure], relative: f64) -> Option<String> {
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
    let sample = Sample::new(&world);
    let mut one = built(subject, &world)?;
    let first = one.measure(&sample.network())?;
    one.measure(&Network { recurrent: sample.initial.view(), ..sample.network() })?;
    let again = one.measure(&sample.network())?;
    let other = built(subject, &world)?.measure(&sample.network())?;
    for (what, second) in [("a second call", &again), ("another instance", &other)] {
        if let Some(text) = difference(&first, second, 0.0) {
            return Err(Error::plugin(format!("{what} differs: {text}"))
                .help("draw only from pallium_core::random::stream(setting.seed, …)"));
        }
    }
    passed("")
}

fn relabelling(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut metric = built(subject, &world)?;
    if !metric.invariant() {
        return skipped("`invariant` is false");
    }
    let sample = Sample::new(&world);
    let straight = metric.measure(&sample.network())?;
    for seed in 1..=3 {
        let mut order: Vec<usize> = (0..world::NEURONS).collect();
        order.shuffle(&mut random::stream(seed, "testkit order"));
        let relabelled = metric.measure(&sample.relabelled(&order).network())?;
        if let Some(text) = difference(&straight, &relabelled, RELABELLED) {
            return Err(Error::plugin(format!("permuting the neurons changes the result: {text}"))
                .help("make it independent of the order of the neurons, or return false from `invariant`"));
        }
    }
    passed("3 orders")
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let sample = Sample::new(&world);
    let n = world::NEURONS;
    let call = |doing: &str, setting: &Setting<'_>, network: &Network<'_>| match subject.metric(setting) {
        Ok(mut metric) => orderly(doing, metric.measure(network).map(drop)),
        Err(error) => orderly(doing, Err(error)),
    };
    let setting = world.setting();
    let mut cases = 0;
    let mut nan = sample.recurrent.clone();
    nan[[1, 2]] = f32::NAN;
    for (doing, recurrent) in [
        ("a network of zeros", Matrix::zeros((n, n))),
        ("a network of ones", Matrix::ones((n, n))),
        ("weights that are not finite", nan),
        ("very large weights", sample.recurrent.mapv(|w| w * 1e30)),
        ("very small weights", sample.recurrent.mapv(|w| w * 1e-30)),
        ("negative weights", sample.recurrent.mapv(|w| -w.abs())),
    ] {
        call(doing, &setting, &Network { recurrent: recurrent.view(), ..sample.network() })?;
        cases += 1;
    }
    let bare = Matrix::from_elem((n, n), 0.1);
    call("a network with only a recurrent matrix", &setting, &Network::new(bare.view()))?;
    let oblong = Matrix::zeros((n, n - 1));
    call("a matrix that is not square", &setting, &Network::new(oblong.view()))?;
    for neurons in [1, 2] {
        let small = World::new(neurons, 1);
        let sample = Sample::new(&small);
        call(&format!("a network of {neurons} neurons"), &small.setting(), &sample.network())?;
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
    let sample = Sample::new(&world);
    let mut metric = built(subject, &world)?;
    let each = repeat(|| metric.measure(&sample.network()).map(drop))?;
    passed(format!("{} per network of 100 neurons", duration(each)))
}
