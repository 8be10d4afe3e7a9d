//! Checks on a set of connections: a component that states that it takes them is
//! called with one, and then with connections that take the place of others.

use pallium_core::{
    Activity, Connections, ConnectionsView, Constraint, Error, Kind, Learned, Matrix, Model, Moment,
    Optimizer, Point, Result, Rewiring, Setting, Tensor, WeightRequest, random,
};
use rand::Rng;

use crate::common::orderly;
use crate::constraint::{ENTRY, GRADIENT};
use crate::gradient::{entries_within, penalty, slope_within};
use crate::state::differing;
use crate::toy::{Toy, uniform};
use crate::{Note, Subject, World, broken, passed, skipped, world};

/// The reason for which a component is not checked here.
const MATRICES: &str =
    "it takes only matrices (in Rust, `const CONNECTIONS: bool = true` states that it takes connections too)";
/// Updates in which a constraint that rewires must have done so at least once.
const UPDATES: u64 = 500;

/// Some connections of a world's neurons.
struct Wiring {
    connections: Connections,
    distances: Matrix,
    /// One weight for each connection, 1 × C.
    weights: Matrix,
}

impl Wiring {
    /// About a third of all pairs, without connections of a neuron to itself.
    fn new(world: &World) -> Result<Self> {
        let n = world::NEURONS as u32;
        let mut stream = random::stream(4, "testkit connections");
        let all = (0..n).flat_map(|from| (0..n).map(move |to| (from, to)));
        let pairs = all.filter(|(from, to)| from != to && stream.random_bool(0.3)).collect();
        Wiring::on(world, Connections::from_pairs(world::NEURONS, world::NEURONS, pairs)?)
    }

    fn on(world: &World, connections: Connections) -> Result<Self> {
        let neurons: Vec<i64> = (0..world::NEURONS as i64).collect();
        let row = |values: Vec<f32>| {
            Matrix::from_shape_vec((1, values.len()), values).map_err(|e| Error::bug(e.to_string()))
        };
        let view = connections.view();
        let distances = row(view.gather(world.distance_between(&neurons, &neurons).view()))?;
        let weights = row(view.gather(world.weights(1).view()))?;
        Ok(Wiring { connections, distances, weights })
    }

    /// Every fifth connection takes the place of a pair that was not connected.
    fn changed(&self, world: &World) -> Result<Self> {
        let (n, view) = (world::NEURONS, self.connections.view());
        let mut free = (0..n)
            .flat_map(|from| (0..n).map(move |to| (from, to)))
            .filter(|&(from, to)| from != to && view.find(from, to).is_none());
        let moved = view.pairs().enumerate().map(|(at, pair)| {
            let (from, to) = if at % 5 == 0 { free.next().unwrap_or(pair) } else { pair };
            (from as u32, to as u32)
        });
        Wiring::on(world, Connections::from_pairs(n, n, moved.collect())?)
    }

    fn view(&self) -> ConnectionsView<'_> {
        self.connections.view()
    }

    fn setting<'a>(&'a self, world: &'a World) -> Setting<'a> {
        Setting { connections: Some(self.view()), distance: Some(self.distances.view()), ..world.setting() }
    }

    /// A moment of the training.
    fn point<'a>(&'a self, step: u64, initial: &'a Matrix, loss_gradient: &'a Matrix) -> Point<'a> {
        let mut point = Point::new("recurrent");
        point.step = step;
        point.initial = Some(initial.view());
        point.loss_gradient = Some(loss_gradient.view());
        point.connections = Some(self.view());
        point
    }
}

fn bits(values: &Matrix) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

pub(crate) fn constraint(subject: &Subject<'_>) -> Result<Note> {
    if !subject.entry.connections {
        return skipped(MATRICES);
    }
    let world = World::new(world::NEURONS, 1);
    let before = Wiring::new(&world)?;
    let setting = before.setting(&world);
    let mut constraint = subject.constraint(&setting)?;
    keeps_promises(&mut *constraint, &before)?;

    let made = match own_change(&mut *constraint, &before)? {
        Some(change) => change,
        None => {
            let after = before.changed(&world)?;
            Rewiring::between(before.view(), before.weights.as_slice().unwrap_or_default(), after.connections)
        }
    };
    let after = Wiring::on(&world, made.connections.clone())?;
    let change = made.view(before.view().len(), Some(after.distances.view()));
    match constraint.rewired(&change) {
        Err(error) if error.kind == Kind::Unsupported && !constraint.rewires() => {
            orderly("a change of the connections", Err(error))?;
            return passed(format!("{} connections; it refuses changes of them", before.view().len()));
        }
        followed => followed.map_err(|e| e.context("after connections changed"))?,
    }
    keeps_promises(&mut *constraint, &after).map_err(|e| e.context("after connections changed"))?;

    // As a training that continues does: the connections first, then the state.
    let mut resumed = subject.constraint(&setting)?;
    resumed.rewired(&change)?;
    let state = constraint.state()?;
    resumed
        .restore(&state)
        .map_err(|e| e.context("after connections changed, `restore` refuses what `state` returned"))?;
    if let Some(name) = differing(&state, &resumed.state()?) {
        return broken(format!("after connections changed, `restore` leaves another `{name}`"));
    }
    if value(&mut *constraint, &after)? != value(&mut *resumed, &after)? {
        return broken("after connections changed, a restored constraint differs from the original");
    }
    passed(format!("{} connections, {} of them changed", before.view().len(), change.added().count()))
}

/// The penalty, its gradient and the projected weights of a constraint with memory
/// of the connections, as bits.
fn value(constraint: &mut dyn Constraint, on: &Wiring) -> Result<(u64, Vec<u32>, Vec<u32>)> {
    let (initial, loss) = (&on.weights * 0.9, &on.weights * 0.01);
    let point = on.point(5, &initial, &loss);
    let (mut gradient, mut weights) = (Matrix::zeros(on.weights.dim()), on.weights.clone());
    let value = constraint.penalty(weights.view(), gradient.view_mut(), &point)?;
    constraint.project(weights.view_mut(), &point)?;
    Ok((value.to_bits(), bits(&gradient), bits(&weights)))
}

/// Finite, with the derivative as gradient.
fn keeps_promises(constraint: &mut dyn Constraint, on: &Wiring) -> Result<()> {
    let text = format!("{} connections", on.view().len());
    let (initial, loss) = (&on.weights * 0.9, &on.weights * 0.01);
    let point = on.point(3, &initial, &loss);
    let pairs: Vec<(usize, usize)> = on.view().pairs().collect();
    let place = |_, at: usize| {
        pairs.get(at).map_or(format!("entry {at}"), |(from, to)| format!("the connection {from} → {to}"))
    };
    let mut gradient = Matrix::zeros(on.weights.dim());
    let value = constraint
        .penalty(on.weights.view(), gradient.view_mut(), &point)
        .map_err(|e| e.context(format!("it states that it takes connections, but fails on {text}")))?;
    if !value.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
        return broken(format!("the penalty of {text} is {value}, or its gradient is not finite"));
    }
    let mut function = penalty(constraint, &point);
    let what = format!("the gradient on {text}");
    slope_within(&mut function, &on.weights, 1, GRADIENT, &what, place)?;
    entries_within(&mut function, &on.weights, ENTRY, &what, place)?;
    drop(function);
    let mut projected = on.weights.clone();
    constraint
        .project(projected.view_mut(), &point)
        .map_err(|e| e.context(format!("it states that it takes connections, but cannot project {text}")))?;
    if projected.iter().any(|w| !w.is_finite()) {
        return broken(format!("projecting {text} gives weights that are not finite"));
    }
    if constraint.wants_activity() {
        // Silence: whatever the gradient is, the call must be possible.
        let silence = ndarray::Array3::zeros((2, 3, world::NEURONS));
        let activity = Activity::new(silence.view(), &[2, 2, 2]);
        constraint.activity_penalty(&activity, silence.clone().view_mut())?;
    }
    Ok(())
}

/// The first change that a constraint makes by itself; `None` if it makes none.
fn own_change(constraint: &mut dyn Constraint, on: &Wiring) -> Result<Option<Rewiring>> {
    if !constraint.rewires() {
        return Ok(None);
    }
    let (initial, loss) = (&on.weights * 0.9, &on.weights * 0.01);
    for step in 1..=UPDATES {
        let change = constraint.rewire(on.weights.view(), &on.point(step, &initial, &loss))?;
        if let Some(change) = change {
            change.check(on.view()).map_err(|e| e.context("the change it makes is wrong"))?;
            return Ok(Some(change));
        }
    }
    // It may act less often, or under conditions that are not met here.
    Ok(None)
}

/// An optimizer's parameter on connections.
fn update(optimizer: &mut dyn Optimizer, values: &mut [f32], gradient: &[f32], step: u64) -> Result<()> {
    let shape = [values.len()];
    let mut learned = [Learned { name: "recurrent", shape: &shape, values, gradient }];
    optimizer.update(&mut learned, &Moment::new(step))
}

/// The gradient of every connection in an update, by its pair.
fn gradients(on: &Wiring, step: u64, tilt: f32) -> Vec<f32> {
    let all = uniform(step, "testkit gradient", world::NEURONS * world::NEURONS);
    let of = |(at, (from, to)): (usize, (usize, usize))| {
        all[from * world::NEURONS + to] + if at % 5 == 0 { tilt } else { 0.0 }
    };
    on.view().pairs().enumerate().map(of).collect()
}

pub(crate) fn optimizer(subject: &Subject<'_>) -> Result<Note> {
    if !subject.entry.connections {
        return skipped(MATRICES);
    }
    let world = World::new(world::NEURONS, 1);
    let before = Wiring::new(&world)?;
    let after = before.changed(&world)?;
    let built = || subject.optimizer(&World::new(world::NEURONS, 1).setting());
    let trained = |tilt: f32| -> Result<(Box<dyn Optimizer>, Vec<f32>)> {
        let (mut optimizer, mut values) = (built()?, before.weights.iter().copied().collect::<Vec<_>>());
        for step in 1..8 {
            update(&mut *optimizer, &mut values, &gradients(&before, step, tilt), step)?;
        }
        Ok((optimizer, values))
    };
    let same = |one: &[f32], two: &[f32]| one.iter().map(|v| v.to_bits()).eq(two.iter().map(|v| v.to_bits()));

    let (mut optimizer, values) = trained(0.0)?;
    let state = optimizer.state()?;
    let nothing = Rewiring::between(before.view(), &values, before.connections.clone());
    match optimizer.rewired("recurrent", &nothing.view(before.view().len(), None)) {
        Err(error) if error.kind == Kind::Unsupported => {
            return Err(
                error.context("it states that it takes connections, but does not follow changes of them")
            );
        }
        followed => followed?,
    }
    if let Some(name) = differing(&state, &optimizer.state()?) {
        return broken(format!("a change of no connection changes `{name}` of the state"));
    }

    let change = Rewiring::between(before.view(), &values, after.connections.clone());
    let told = change.view(before.view().len(), None);
    optimizer.rewired("recurrent", &told)?;
    let state = optimizer.state()?;
    let mut rewired = change.values.clone();
    update(&mut *optimizer, &mut rewired, &gradients(&after, 8, 0.0), 8)
        .map_err(|e| e.context("an update after connections changed"))?;
    if let Some(value) = rewired.iter().find(|value| !value.is_finite()) {
        return broken(format!("after connections changed, an update gives {value}"));
    }
    let (mut resumed, mut again) = (built()?, change.values.clone());
    resumed
        .restore(&state)
        .map_err(|e| e.context("after connections changed, `restore` refuses what `state` returned"))?;
    update(&mut *resumed, &mut again, &gradients(&after, 8, 0.0), 8)?;
    if !same(&rewired, &again) {
        return broken("after connections changed, a restored optimizer differs from the original");
    }

    // If each value is updated by its own gradients alone, kept connections must not
    // notice that others changed.
    let kept: Vec<(usize, usize)> = told.kept().collect();
    let (mut plain, mut unchanged) = trained(0.0)?;
    let (mut tilted, mut elsewhere) = trained(0.5)?;
    update(&mut *plain, &mut unchanged, &gradients(&before, 8, 0.0), 8)?;
    update(&mut *tilted, &mut elsewhere, &gradients(&before, 8, 0.5), 8)?;
    if kept.iter().all(|&(at, _)| at % 5 == 0 || unchanged[at].to_bits() == elsewhere[at].to_bits())
        && let Some(&(at, now)) =
            kept.iter().find(|&&(at, now)| unchanged[at].to_bits() != rewired[now].to_bits())
    {
        return Err(Error::plugin(format!(
            "after connections changed, a kept one becomes {} instead of {}",
            rewired[now], unchanged[at]
        ))
        .help("move what is remembered of each connection to its new place: `RewiringView::carry`"));
    }
    passed(format!("{} connections, {} of them changed", before.view().len(), told.added().count()))
}

pub(crate) fn model(subject: &Subject<'_>) -> Result<Note> {
    if !subject.entry.connections {
        return skipped(MATRICES);
    }
    let world = World::new(world::NEURONS, 1);
    let before = Wiring::new(&world)?;
    let setting = before.setting(&world);
    let mut model = subject.model(&setting)?;
    model.initialise(before.weights.view(), 1)?;
    let info = model.info();
    let on = info.parameters.iter().position(|parameter| parameter.connections);
    let Some(at) = on else {
        return broken("it states that it takes connections, but no parameter lies on them");
    };
    let length = info.parameters[at].len();
    if length != before.view().len() {
        return broken(format!(
            "`{}` has {length} values for {} connections",
            info.parameters[at].name,
            before.view().len()
        ));
    }
    let first = outputs(&mut *model)?;
    // The same weights as a matrix, if the model can be built for one.
    let dense = before.view().scatter(before.weights.as_slice().unwrap_or_default());
    let mut as_matrix = subject.model(&world.setting())?;
    as_matrix.initialise(dense.view(), 1)?;
    copy_others(&*model, &mut *as_matrix, at)?;
    let matrix = outputs(&mut *as_matrix)?;
    let scale = matrix.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if let Some((one, two)) = first.iter().zip(&matrix).find(|(one, two)| (*one - *two).abs() > 1e-4 * scale)
    {
        return broken(format!(
            "an output is {one} on connections and {two} on the same weights as a matrix"
        ));
    }

    let after = before.changed(&world)?;
    let values = model.parameters()?[at].values.to_vec();
    let change = Rewiring::between(before.view(), &values, after.connections.clone());
    match model.rewired(&change.view(values.len(), Some(after.distances.view()))) {
        Err(error) if error.kind == Kind::Unsupported => {
            orderly("a change of the connections", Err(error))?;
            return passed(format!("{length} connections; it refuses changes of them"));
        }
        followed => followed?,
    }
    if model.parameters()?[at].values != change.values.as_slice() {
        return broken("after connections changed, kept ones have other weights, or added ones not 0");
    }
    let mut other = subject.model(&after.setting(&world))?;
    let row =
        Matrix::from_shape_vec((1, length), change.values.clone()).map_err(|e| Error::bug(e.to_string()))?;
    other.initialise(row.view(), 1)?;
    let state: Vec<Tensor> = model.parameters()?.iter().map(|parameter| parameter.to_tensor()).collect();
    for (to, from) in other.parameters_mut()?.into_iter().zip(&state) {
        to.copy_from_slice(from.slice::<f32>()?);
    }
    let (one, two) = (outputs(&mut *model)?, outputs(&mut *other)?);
    if !one.iter().map(|v| v.to_bits()).eq(two.iter().map(|v| v.to_bits())) {
        return broken("after connections changed, outputs differ from those of a model built on them");
    }
    passed(format!(
        "{length} connections, {} of them changed",
        change.origin.iter().filter(|&&o| o < 0).count()
    ))
}

/// Outputs of some trials, after which a backward pass is possible too.
fn outputs(model: &mut dyn Model) -> Result<Vec<f32>> {
    let batch = Toy::Classes.ragged(4, 1);
    let view = batch.view();
    let mut outputs = Matrix::zeros((view.scored().count(), Toy::Classes.outputs()));
    model.forward(&view, pallium_core::Mode::Train { noise_seed: 1 }, outputs.view_mut())?;
    model.backward(outputs.view(), None)?;
    model.forward(&view, pallium_core::Mode::Evaluate, outputs.view_mut())?;
    Ok(outputs.into_iter().collect())
}

/// Copies every parameter but `except`.
fn copy_others(from: &dyn Model, to: &mut dyn Model, except: usize) -> Result<()> {
    let values: Vec<Vec<f32>> =
        from.parameters()?.iter().map(|parameter| parameter.values.to_vec()).collect();
    for (at, (to, from)) in to.parameters_mut()?.into_iter().zip(&values).enumerate() {
        if at != except {
            to.copy_from_slice(from);
        }
    }
    Ok(())
}

pub(crate) fn weights(subject: &Subject<'_>) -> Result<Note> {
    if !subject.entry.connections {
        return skipped(MATRICES);
    }
    let world = World::new(world::NEURONS, 1);
    let wiring = Wiring::new(&world)?;
    let asked = |connections| WeightRequest {
        neurons: world.substrate().neurons,
        substrate: Some(world.substrate()),
        seed: 1,
        draw: None,
        connections,
    };
    let found = subject.weights(&world.setting())?.sparse(&asked(Some(wiring.view())))?;
    found.check()?;
    if found.connections != wiring.connections {
        return Err(Error::plugin("asked for the weights of given connections, it returns others")
            .help("return a weight for each pair of `request.connections`, 0 included"));
    }
    let again = subject.weights(&world.setting())?.sparse(&asked(Some(wiring.view())))?;
    if !found.values.iter().map(|v| v.to_bits()).eq(again.values.iter().map(|v| v.to_bits())) {
        return broken("another instance gives other weights on connections for the same seed");
    }
    // Without given pairs, a source may choose its own, or refuse.
    match subject.weights(&world.setting())?.sparse(&asked(None)) {
        Ok(own) => own.check()?,
        Err(error) => orderly("weights on connections of its own choice", Err(error))?,
    }
    passed(format!("{} connections", found.values.len()))
}
