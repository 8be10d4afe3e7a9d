//! Checks of models.

use ndarray::{Array3, s};

use crate::common::orderly;
use crate::constraint::{duration, repeat};
use crate::gradient::slope_within;
use crate::{Check, Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Batch, Error, Matrix, Mode, Model, Outcome, Result, Tensor};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "blocks",
        about: "description, recurrent blocks and activity have the stated shapes",
        run: blocks,
    },
    Check { name: "outcome", about: "loss and correct answers are weighted by the mask", run: outcome },
    Check {
        name: "deterministic",
        about: "the same seeds give bit-identical results, in a second training and in another instance",
        run: deterministic,
    },
    Check {
        name: "gradient",
        about: "the gradient of the recurrent blocks is the derivative of the loss and of a term on activity",
        run: gradient,
    },
    Check { name: "fixed", about: "recurrent blocks do not change if `plastic` is false", run: fixed },
    Check {
        name: "update",
        about: "an update follows the given gradient, penalties included, and trains all parameters",
        run: update,
    },
    Check { name: "learns", about: "learns to remember one of two stimuli for three steps", run: learns },
    Check { name: "restores", about: "a restored model continues bit-identically", run: restores },
    Check {
        name: "survives",
        about: "calls out of order, wrong shapes and inputs that are not finite cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long a training step takes", run: time },
];

/// Largest relative error of a gradient. A loss is summed in single precision,
/// and rectified units have kinks, so this is larger than for a constraint.
const GRADIENT: f64 = 8e-3;
/// Maximum number of updates for the toy task.
const UPDATES: u64 = 1200;

fn built(subject: &Subject<'_>, world: &World, seed: u64) -> Result<Box<dyn Model>> {
    let mut model = subject.model(&world.setting())?;
    model.initialise(start(world).view(), seed)?;
    Ok(model)
}

/// Near the identity, so that inputs are not forgotten immediately.
fn start(world: &World) -> Matrix {
    let n = world.substrate().neurons;
    world.weights(5) * 0.3 + Matrix::eye(n) * 0.8
}

fn zeros(model: &dyn Model) -> Array3<f32> {
    let info = model.info();
    Array3::zeros((info.blocks, info.neurons, info.neurons))
}

/// One training step without constraints.
fn step(model: &mut dyn Model, batch: &Batch, noise_seed: u64) -> Result<Outcome> {
    let outcome = model.forward(&batch.view(), Mode::Train { noise_seed })?;
    let mut gradient = zeros(model);
    model.backward(None, gradient.view_mut())?;
    model.update(gradient.view())?;
    Ok(outcome)
}

fn blocks(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    let info = model.info();
    let n = world::NEURONS;
    if info.neurons != n || info.blocks == 0 || info.block_names.len() != info.blocks {
        return broken(format!(
            "{} neurons and {} blocks named {:?}, for {n} neurons",
            info.neurons, info.blocks, info.block_names
        ));
    }
    if model.recurrent(0)? != start(&world) {
        return broken("after `initialise`, block 0 is not the given matrix");
    }
    let batch = world.trials(5, 1);
    for mode in [Mode::Train { noise_seed: 1 }, Mode::Record] {
        model.forward(&batch.view(), mode)?;
        let dim = model.activity()?.dim();
        if dim != (6, 5, n) {
            return broken(format!("activity is {dim:?} for 6 steps, 5 trials and {n} neurons"));
        }
    }
    for block in 0..info.blocks {
        let dim = model.recurrent(block)?.dim();
        if dim != (n, n) {
            return broken(format!("block {block} is {dim:?} for {n} neurons"));
        }
        model.recurrent_mut(block)?[[1, 2]] = 0.125;
        if model.recurrent(block)?[[1, 2]] != 0.125 {
            return broken(format!("values written to block {block} are lost"));
        }
    }
    let trained: usize =
        model.state()?.iter().filter(|t| !t.name.starts_with("optimizer.")).map(|t| t.values.len()).sum();
    if trained != info.parameters {
        return broken(format!("it states {} parameters, but its state has {trained}", info.parameters));
    }
    passed(format!(
        "{} block{}, {} parameters",
        info.blocks,
        if info.blocks == 1 { "" } else { "s" },
        info.parameters
    ))
}

fn outcome(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    let mut batch = world.trials(40, 1);
    let even = model.forward(&batch.view(), Mode::Evaluate)?;
    let weight = |batch: &Batch| batch.mask.iter().map(|&m| f64::from(m)).sum::<f64>();
    let sane = |outcome: Outcome, batch: &Batch| {
        let weight = weight(batch);
        if (outcome.weight - weight).abs() > 1e-6 * weight {
            return broken(format!(
                "the mask sums to {weight}, and the outcome's weight is {}",
                outcome.weight
            ));
        }
        if !(0.0..=weight * (1.0 + 1e-6)).contains(&outcome.correct)
            || !outcome.loss.is_finite()
            || outcome.loss < 0.0
        {
            return broken(format!("loss {}, {} of {weight} correct", outcome.loss, outcome.correct));
        }
        Ok(())
    };
    sane(even, &batch)?;
    // Twice the mask: the same mean loss, twice the correct answers.
    batch.mask *= 2.0;
    let twice = model.forward(&batch.view(), Mode::Evaluate)?;
    sane(twice, &batch)?;
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * a.abs().max(1e-3);
    if !near(even.loss, twice.loss) || !near(2.0 * even.correct, twice.correct) {
        return broken(format!(
            "with twice the mask the loss goes from {} to {}, and correct answers from {} to {}",
            even.loss, twice.loss, even.correct, twice.correct
        ));
    }
    // Trials with mask 0 must have no effect.
    batch.mask.slice_mut(s![20.., ..]).fill(0.0);
    let masked = model.forward(&batch.view(), Mode::Evaluate)?;
    sane(masked, &batch)?;
    let half = world.trials(40, 1);
    let alone = model.forward(&half.slice(0..20), Mode::Evaluate)?;
    if !near(alone.loss, masked.loss) {
        return broken(format!(
            "trials without weight change the loss from {} to {}",
            alone.loss, masked.loss
        ));
    }
    passed(format!("loss {:.3} before training", even.loss))
}

fn bits(state: &[Tensor]) -> Vec<(&str, &[usize], Vec<u32>)> {
    state
        .iter()
        .map(|t| (t.name.as_str(), t.shape.as_slice(), t.values.iter().map(|v| v.to_bits()).collect()))
        .collect()
}

/// The first tensor in which two states differ.
fn differing(one: &[Tensor], two: &[Tensor]) -> Option<String> {
    let (a, b) = (bits(one), bits(two));
    let at = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at))?;
    one.get(at).or(two.get(at)).map(|t| t.name.clone())
}

fn trained(subject: &Subject<'_>, world: &World) -> Result<(Vec<Tensor>, Outcome)> {
    let mut model = built(subject, world, 9)?;
    for seed in 0..4 {
        step(&mut *model, &world.trials(16, seed), seed)?;
    }
    let outcome = model.forward(&world.trials(16, 9).view(), Mode::Evaluate)?;
    Ok((model.state()?, outcome))
}

fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let (one, two) = (trained(subject, &world)?, trained(subject, &world)?);
    if bits(&one.0) != bits(&two.0) || one.1 != two.1 {
        return Err(Error::plugin("two trainings with the same seeds give different weights").help(
            "draw only from pallium_core::random::stream, with the given seeds, and sum in a fixed order",
        ));
    }
    let mut model = built(subject, &world, 9)?;
    step(&mut *model, &world.trials(16, 1), 1)?;
    model.initialise(start(&world).view(), 9)?;
    let again = model.state()?;
    if bits(&again) != bits(&built(subject, &world, 9)?.state()?) {
        return broken("`initialise` does not reset the effects of an earlier training");
    }
    let other = built(subject, &world, 10)?.state()?;
    if bits(&again) == bits(&other) {
        return Err(Error::plugin("`initialise` ignores its seed: two seeds give the same parameters").help(
            "draw all parameters except the recurrent matrix from pallium_core::random::stream(seed, …)",
        ));
    }
    passed("")
}

fn fixed(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    if model.plastic() {
        return skipped("`plastic` is true");
    }
    let blocks = |model: &dyn Model| -> Result<Vec<Matrix>> {
        (0..model.info().blocks).map(|block| Ok(model.recurrent(block)?.to_owned())).collect()
    };
    let before = blocks(&*model)?;
    for seed in 0..5 {
        model.forward(&world.trials(16, seed).view(), Mode::Train { noise_seed: seed })?;
        let mut gradient = zeros(&*model);
        model.backward(None, gradient.view_mut())?;
        // Like the gradient of a penalty.
        model.update(gradient.mapv(|g| g + 1.0).view())?;
    }
    if blocks(&*model)? != before {
        return broken("`plastic` is false, but `update` changed the recurrent blocks");
    }
    passed("5 updates")
}

fn gradient(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    if !model.plastic() {
        return skipped("`plastic` is false");
    }
    let info = model.info();
    let n = info.neurons;
    let batch = world.trials(48, 2);
    // After some training, when biases are not 0.
    for seed in 0..3 {
        step(&mut *model, &batch, seed)?;
    }
    let mut flat = Matrix::zeros((info.blocks * n, n));
    for block in 0..info.blocks {
        flat.slice_mut(s![block * n..(block + 1) * n, ..]).assign(&model.recurrent(block)?);
    }
    let term = world.activity(6, 48).mapv(|a| (a - 1.1) * 1e-3);
    overwrites(&mut *model, &batch)?;
    let mut worst = [0.0; 2];
    for (with_term, worst) in worst.iter_mut().enumerate() {
        let term = (with_term == 1).then(|| term.view());
        let mut function = |at: &Matrix, gradient: &mut Matrix| {
            for block in 0..info.blocks {
                model.recurrent_mut(block)?.assign(&at.slice(s![block * n..(block + 1) * n, ..]));
            }
            let mut value = model.forward(&batch.view(), Mode::Train { noise_seed: 5 })?.loss;
            if let Some(term) = &term {
                let activity = model.activity()?;
                value += activity.iter().zip(term).map(|(a, t)| f64::from(*a) * f64::from(*t)).sum::<f64>();
            }
            let mut own = Array3::zeros((info.blocks, n, n));
            model.backward(term, own.view_mut())?;
            gradient.iter_mut().zip(own.iter()).for_each(|(sum, g)| *sum += g);
            Ok(value)
        };
        let of = ["the loss", "the loss and a term on activity"][with_term];
        let place = |row: usize, j| {
            let block = info.block_names.get(row / n).map_or("", String::as_str);
            format!("row {}, column {j} of block `{block}`", row % n)
        };
        let what = format!("the recurrent gradient of {of}");
        *worst = slope_within(&mut function, &flat, 1, GRADIENT, &what, place)?;
    }
    passed(format!("largest relative error {:.1e}; {:.1e} with a term on activity", worst[0], worst[1]))
}

/// Checks that `backward` overwrites the matrix.
fn overwrites(model: &mut dyn Model, batch: &Batch) -> Result<()> {
    let mut found = Vec::new();
    for held in [0.0, 7.0] {
        model.forward(&batch.view(), Mode::Train { noise_seed: 5 })?;
        let mut gradient = zeros(model);
        gradient.fill(held);
        model.backward(None, gradient.view_mut())?;
        found.push(gradient.mapv(f32::to_bits));
    }
    if found[0] == found[1] {
        return Ok(());
    }
    Err(Error::plugin(
        "`backward` does not overwrite the matrix it is given: its result depends on what was in it",
    )
    .help("assign the gradient to every entry; the matrix is not cleared first (only constraints add)"))
}

fn update(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut first = built(subject, &world, 1)?;
    if !first.plastic() {
        return skipped("`plastic` is false");
    }
    let initial = first.state()?;
    for seed in 0..4 {
        step(&mut *first, &world.trials(16, seed), seed)?;
    }
    // Vectors are exempt: they may be constants of the units, such as time
    // constants.
    let weights =
        |t: &&Tensor| !t.name.starts_with("optimizer.") && t.shape.len() > 1 && !t.values.is_empty();
    let parameters = |state: &[Tensor]| -> Vec<Tensor> { state.iter().filter(weights).cloned().collect() };
    let state = first.state()?;
    if let Some(frozen) = parameters(&initial).iter().find(|t| parameters(&state).contains(t)) {
        return Err(Error::plugin(format!("`{}` does not change in four updates", frozen.name)).help(
            "every matrix of the state that is not named optimizer.… is a trained parameter: update it too",
        ));
    }
    // Two copies with penalties that pull in opposite directions, far more
    // strongly than the loss.
    let mut pulled = Vec::new();
    for sign in [1.0, -1.0] {
        let mut model = built(subject, &world, 1)?;
        model.restore(&state)?;
        model.forward(&world.trials(16, 9).view(), Mode::Train { noise_seed: 9 })?;
        let mut gradient = zeros(&*model);
        model.backward(None, gradient.view_mut())?;
        gradient += &(pull(&*model) * sign);
        model.update(gradient.view())?;
        let blocks = (0..model.info().blocks).map(|block| model.recurrent(block).map(|w| w.to_owned()));
        pulled.push(blocks.collect::<Result<Vec<_>>>()?);
    }
    let pull = pull(&*first);
    let names = first.info().block_names;
    for (block, (up, down)) in pulled[0].iter().zip(&pulled[1]).enumerate() {
        let way: f64 = (up - down)
            .iter()
            .zip(pull.index_axis(ndarray::Axis(0), block))
            .map(|(difference, pull)| f64::from(*difference) * f64::from(*pull))
            .sum();
        let name = names.get(block).map_or("", String::as_str);
        // Also fails for NaN.
        if way.is_nan() || way >= 0.0 {
            let what = if way == 0.0 { "does not depend on" } else { "increases along" };
            return Err(Error::plugin(format!(
                "an update of block `{name}` {what} the gradient that `update` receives"
            ))
            .help(
                "use the gradient that `update` receives for the recurrent blocks: it includes the penalties",
            ));
        }
    }
    passed("")
}

/// A gradient as of strong penalties.
fn pull(model: &dyn Model) -> Array3<f32> {
    let mut pull = zeros(model);
    pull.indexed_iter_mut()
        .for_each(|((b, i, j), p)| *p = if (b + 3 * i + 5 * j) % 2 == 0 { 3.0 } else { -3.0 });
    pull
}

fn learns(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    let test = world.trials(200, 1000);
    let before = model.forward(&test.view(), Mode::Evaluate)?;
    for seed in 0..UPDATES {
        step(&mut *model, &world.trials(32, seed), seed)?;
        if seed % 50 == 49 {
            let outcome = model.forward(&test.view(), Mode::Evaluate)?;
            let accuracy = outcome.correct / outcome.weight;
            if accuracy >= 0.95 && outcome.loss < before.loss {
                return passed(format!("{:.0} % correct after {} updates", 100.0 * accuracy, seed + 1));
            }
        }
    }
    let outcome = model.forward(&test.view(), Mode::Evaluate)?;
    broken(format!(
        "after {UPDATES} updates its accuracy is {:.0} %, and that of guessing 50 %; the loss went from {:.3} to {:.3}",
        100.0 * outcome.correct / outcome.weight,
        before.loss,
        outcome.loss
    ))
}

fn restores(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut model = built(subject, &world, 1)?;
    for seed in 0..4 {
        step(&mut *model, &world.trials(16, seed), seed)?;
    }
    let state = model.state()?;
    let mut other = built(subject, &world, 2)?;
    other.restore(&state).map_err(|e| e.context("`restore` refuses what `state` returned"))?;
    if let Some(name) = differing(&state, &other.state()?) {
        return Err(Error::plugin(format!("after `restore`, `{name}` differs from the saved state"))
            .help("`restore` must restore every tensor that `state` returns"));
    }
    for seed in 4..8 {
        let batch = world.trials(16, seed);
        let (one, two) = (step(&mut *model, &batch, seed)?, step(&mut *other, &batch, seed)?);
        let differing = differing(&model.state()?, &other.state()?);
        if one != two || differing.is_some() {
            let first = differing.map(|name| format!(", first in `{name}`")).unwrap_or_default();
            let count = seed - 3;
            let updates = if count == 1 { "update" } else { "updates" };
            return Err(Error::plugin(format!("{count} {updates} after `restore` it differs from the original{first}"))
                .help("`state` must contain everything that the next update depends on, including the optimizer's moments and its number of updates"));
        }
    }
    for at in (0..state.len()).filter(|&at| !state[at].values.is_empty()) {
        let mut less = state.clone();
        let missing = less.remove(at);
        if other.restore(&less).is_ok() {
            return broken(format!("it accepts a state without `{}`", missing.name));
        }
        let mut short = state.clone();
        short[at].values.pop();
        short[at].shape = vec![short[at].values.len()];
        if other.restore(&short).is_ok() {
            return broken(format!("it accepts a state with `{}` of another shape", short[at].name));
        }
    }
    passed(format!("{} tensors", state.len()))
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let n = world::NEURONS;
    let mut cases = 0;
    let mut call = |doing: &str, call: &dyn Fn(&mut dyn Model) -> Result<()>| {
        cases += 1;
        let mut model = subject.model(&world.setting())?;
        orderly(doing, call(&mut *model))?;
        let mut model = built(subject, &world, 1)?;
        orderly(doing, call(&mut *model))
    };
    let batch = world.trials(4, 1);
    call("activity before a forward pass", &|m| m.activity().map(drop))?;
    call("backward before a forward pass", &|m| {
        m.backward(None, Array3::zeros((m.info().blocks, n, n)).view_mut())
    })?;
    call("update before a backward pass", &|m| m.update(Array3::zeros((m.info().blocks, n, n)).view()))?;
    call("a block that does not exist", &|m| m.recurrent(99).map(drop))?;
    call("a block that does not exist, to be changed", &|m| m.recurrent_mut(99).map(drop))?;
    call("a matrix of another size", &|m| m.initialise(Matrix::zeros((n + 1, n + 1)).view(), 1))?;
    call("an empty state", &|m| m.restore(&[]))?;
    call("a batch of other channels", &|m| {
        m.forward(&Batch::zeros(3, 4, world::INPUTS + 1).view(), Mode::Evaluate).map(drop)
    })?;
    call("a batch without trials", &|m| {
        m.forward(&Batch::zeros(0, 4, world::INPUTS).view(), Mode::Train { noise_seed: 1 }).map(drop)
    })?;
    call("trials without steps", &|m| {
        m.forward(&Batch::zeros(3, 0, world::INPUTS).view(), Mode::Train { noise_seed: 1 }).map(drop)
    })?;
    call("a batch without scored steps", &|m| {
        m.forward(&Batch::zeros(3, 4, world::INPUTS).view(), Mode::Train { noise_seed: 1 })?;
        m.backward(None, zeros(m).view_mut())
    })?;
    call("a gradient of a wrong shape", &|m| {
        m.forward(&batch.view(), Mode::Train { noise_seed: 1 })?;
        m.backward(None, Array3::zeros((m.info().blocks, n, n + 1)).view_mut())
    })?;
    call("an activity gradient of a wrong shape", &|m| {
        m.forward(&batch.view(), Mode::Train { noise_seed: 1 })?;
        m.backward(Some(Array3::zeros((2, 2, 2)).view()), zeros(m).view_mut())
    })?;
    let mut nan = batch.clone();
    nan.inputs[[0, 0, 0]] = f32::NAN;
    call("inputs that are not finite", &|m| step(m, &nan, 1).map(drop))?;
    let mut unknown = batch.clone();
    unknown.targets.fill(99);
    call("a class that does not exist", &|m| m.forward(&unknown.view(), Mode::Evaluate).map(drop))?;
    let single = World::new(1, 1);
    let mut model = subject.model(&single.setting())?;
    orderly("a single neuron", model.initialise(Matrix::from_elem((1, 1), 0.5).view(), 1))?;
    orderly("a single neuron", step(&mut *model, &batch, 1).map(drop))?;
    passed(format!("{} cases", cases + 1))
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(100, 1);
    let mut model = built(subject, &world, 1)?;
    let batch = world.trials(128, 1);
    let each = repeat(|| step(&mut *model, &batch, 1).map(drop))?;
    passed(format!("{} per training step (N = 100, 128 trials of 6 steps)", duration(each)))
}
