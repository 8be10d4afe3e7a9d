//! Checks of whole trainings.

use super::Trainee;
use crate::state::{differing, refuses_spoiled, well_formed};
use crate::toy::Toy;
use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Error, Result, Tensor};

/// Maximum number of updates for a toy task.
const UPDATES: u64 = 1200;
/// Accuracy that counts as learned, and the share of the loss of answering 0 that
/// is left of it for values.
const LEARNED: (f64, f64) = (0.95, 0.1);

/// Parameters, states and the loss after four updates.
fn trained(subject: &Subject<'_>, world: &World) -> Result<(Vec<Tensor>, f64)> {
    let mut trainee = Trainee::new(subject, world, Toy::Classes, 9)?;
    for seed in 0..4 {
        trainee.step(&Toy::Classes.trials(16, seed), seed)?;
    }
    let loss = trainee.evaluate(&Toy::Classes.trials(16, 9))?.loss;
    Ok((everything(&trainee)?, loss))
}

/// All parameters and the state.
fn everything(trainee: &Trainee) -> Result<Vec<Tensor>> {
    let mut all = trainee.parameters()?;
    all.extend(trainee.model.state()?);
    Ok(all)
}

pub(super) fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let (one, two) = (trained(subject, &world)?, trained(subject, &world)?);
    if differing(&one.0, &two.0).is_some() || one.1.to_bits() != two.1.to_bits() {
        return Err(Error::plugin("two trainings with the same seeds give different parameters").help(
            "draw only from pallium_core::random::stream, with the given seeds, and sum in a fixed order",
        ));
    }
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 9)?;
    trainee.step(&Toy::Classes.trials(16, 1), 1)?;
    trainee.model.initialise(super::start(&world).view(), 9)?;
    let again = everything(&trainee)?;
    let fresh = everything(&Trainee::new(subject, &world, Toy::Classes, 9)?)?;
    if let Some(name) = differing(&again, &fresh) {
        return broken(format!("`initialise` does not reset `{name}` after a training"));
    }
    let other = everything(&Trainee::new(subject, &world, Toy::Classes, 10)?)?;
    if differing(&again, &other).is_none() {
        return Err(Error::plugin("`initialise` ignores its seed: two seeds give the same parameters").help(
            "draw all parameters except the recurrent matrix from pallium_core::random::stream(seed, …)",
        ));
    }
    passed("")
}

pub(super) fn fixed(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let infos = trainee.info.parameters.clone();
    if infos.iter().all(|info| info.trained) {
        return skipped("all parameters are trained");
    }
    let before = trainee.parameters()?;
    for seed in 0..5 {
        trainee.step(&Toy::Classes.trials(16, seed), seed)?;
    }
    let after = trainee.parameters()?;
    let mut count = 0;
    for ((info, before), after) in
        infos.iter().zip(&before).zip(&after).filter(|((info, _), _)| !info.trained)
    {
        if differing(std::slice::from_ref(before), std::slice::from_ref(after)).is_some() {
            return broken(format!("`{}` changes in training, but is described as fixed", info.name));
        }
        count += 1;
    }
    passed(format!("{count} fixed parameters, 5 updates"))
}

pub(super) fn own_updates(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    if !trainee.info.updates_itself {
        return skipped("an optimizer updates it");
    }
    let before = trainee.parameters()?;
    let batch = Toy::Classes.trials(16, 1);
    trainee.step(&batch, 1)?;
    if differing(&before, &trainee.parameters()?).is_none() {
        return broken("`update_itself` changes no parameter");
    }
    // Two copies with penalties that pull in opposite directions, far more
    // strongly than the loss.
    let mut pulled = Vec::new();
    for sign in [1.0, -1.0] {
        let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
        trainee.differentiate(&batch, 1, None)?;
        for learned in trainee.model.learned()? {
            learned.gradient.iter_mut().enumerate().for_each(|(at, g)| *g += sign * pull(at));
        }
        let lent: Vec<usize> = trainee.model.learned()?.iter().map(|learned| learned.index).collect();
        trainee.update()?;
        pulled.push((lent, trainee.parameters()?));
    }
    let (lent, up) = &pulled[0];
    for &index in lent {
        let (up, down) = (up[index].slice::<f32>()?, pulled[1].1[index].slice::<f32>()?);
        let differences = up.iter().zip(down).map(|(up, down)| f64::from(up - down));
        let way: f64 = differences.enumerate().map(|(at, difference)| difference * f64::from(pull(at))).sum();
        // Also fails for NaN.
        if way.is_nan() || way >= 0.0 {
            let what = if way == 0.0 { "does not depend on" } else { "increases along" };
            let name = &trainee.info.parameters[index].name;
            return Err(Error::plugin(format!(
                "an update of `{name}` {what} the gradient that `learned` lends"
            ))
            .help("penalties are added to the gradients of `learned`: follow them, or lend none"));
        }
    }
    passed(if lent.is_empty() {
        "no penalties act on it".into()
    } else {
        format!("{} parameters", lent.len())
    })
}

/// A gradient as of a strong penalty.
fn pull(at: usize) -> f32 {
    if at.is_multiple_of(2) { 3.0 } else { -3.0 }
}

pub(super) fn learns(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut details = Vec::new();
    for mut trainee in Trainee::each(subject, &world, 1)? {
        details.push(learns_toy(&mut trainee)?);
    }
    passed(details.join("; "))
}

fn learns_toy(trainee: &mut Trainee) -> Result<String> {
    let toy = trainee.toy;
    let test = toy.trials(200, 1000);
    let before = trainee.evaluate(&test)?.mean();
    // What answering 0 costs, which needs no memory.
    let rows = test.view().scored().count();
    let silent = ndarray::Array2::zeros((rows, toy.outputs()));
    let silent = toy.loss().compare(&test.view(), silent.view(), None)?.mean();
    let mut sums = trainee.evaluate(&test)?;
    for seed in 0..UPDATES {
        trainee.step(&toy.trials(32, seed), seed)?;
        if seed % 50 != 49 {
            continue;
        }
        sums = trainee.evaluate(&test)?;
        let updates = seed + 1;
        match toy {
            Toy::Classes if sums.correct / sums.weight >= LEARNED.0 && sums.mean() < before => {
                return Ok(format!(
                    "{:.0} % correct after {updates} updates",
                    100.0 * sums.correct / sums.weight
                ));
            }
            Toy::Values if sums.mean() <= LEARNED.1 * silent => {
                return Ok(format!("squared error of values {:.4} after {updates} updates", sums.mean()));
            }
            _ => {}
        }
    }
    broken(match toy {
        Toy::Classes => format!(
            "after {UPDATES} updates its accuracy is {:.0} %, and that of guessing 50 %; the loss went from {before:.3} to {:.3}",
            100.0 * sums.correct / sums.weight,
            sums.mean()
        ),
        Toy::Values => format!(
            "after {UPDATES} updates its squared error of values is {:.4}, and that of answering 0 {silent:.4}",
            sums.mean()
        ),
    })
}

pub(super) fn restores(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let trainee = uninterrupted(subject, &world)?;
    let (state, parameters) = (trainee.model.state()?, trainee.parameters()?);
    well_formed(&state)?;
    // In both orders, since a host may choose either.
    for parameters_first in [true, false] {
        let mut other = Trainee::new(subject, &world, Toy::Classes, 2)?;
        other.adam = trainee.adam.clone();
        for parameters_now in [parameters_first, !parameters_first] {
            if parameters_now {
                for (index, parameter) in parameters.iter().enumerate() {
                    other.set(index, parameter.slice()?)?;
                }
            } else {
                let refuses = |e: Error| e.context("`restore` refuses what `state` returned");
                other.model.restore(&state).map_err(refuses)?;
            }
        }
        if let Some(name) = differing(&everything(&trainee)?, &everything(&other)?) {
            return Err(Error::plugin(format!("after `restore`, `{name}` differs from what was saved"))
                .help("`restore` must restore every tensor that `state` returns, and no parameter"));
        }
        let mut original = uninterrupted(subject, &world)?;
        for seed in 4..8 {
            let batch = Toy::Classes.trials(16, seed);
            let (one, two) = (original.step(&batch, seed)?, other.step(&batch, seed)?);
            let differing = differing(&everything(&original)?, &everything(&other)?);
            if one != two || differing.is_some() {
                let first = differing.map(|name| format!(", first in `{name}`")).unwrap_or_default();
                let updates = if seed == 4 { "1 update".into() } else { format!("{} updates", seed - 3) };
                return Err(Error::plugin(format!(
                    "{updates} after `restore` it differs from the original{first}"
                ))
                .help(
                    "`state` must return everything besides the parameters that the next update depends on",
                ));
            }
        }
    }
    refuses_spoiled(&state, |spoiled| {
        Trainee::new(subject, &world, Toy::Classes, 2)?.model.restore(spoiled)
    })?;
    passed(format!("{} parameters, {} tensors besides", parameters.len(), state.len()))
}

/// A model after four updates.
fn uninterrupted(subject: &Subject<'_>, world: &World) -> Result<Trainee> {
    let mut trainee = Trainee::new(subject, world, Toy::Classes, 1)?;
    for seed in 0..4 {
        trainee.step(&Toy::Classes.trials(16, seed), seed)?;
    }
    Ok(trainee)
}
