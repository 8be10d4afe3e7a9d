//! Checks of forward and backward passes.

use ndarray::{Array2, s};

use super::Trainee;
use crate::state::differing;
use crate::toy::{INPUTS, Toy};
use crate::{Note, Subject, World, broken, passed, world};
use pallium_core::{Batch, Error, Mode, Result, Scored, Tensor};

/// Largest difference of outputs from another order of summation, relative to the
/// largest output.
const ROUNDING: f32 = 1e-4;

/// The first row in which outputs differ by more than rounding, with both values.
fn deviation(one: &Array2<f32>, two: &Array2<f32>) -> Option<(usize, f32, f32)> {
    let scale = one.iter().fold(1.0_f32, |scale, v| scale.max(v.abs()));
    one.indexed_iter()
        .zip(two)
        .find(|((_, a), b)| {
            let off = (*a - *b).abs();
            off.is_nan() || off > ROUNDING * scale
        })
        .map(|(((row, _), a), b)| (row, *a, *b))
}

/// The batch with more steps of zeros at its end.
fn longer(toy: Toy, batch: &Batch, by: usize) -> Batch {
    let (trials, steps, channels) = batch.inputs.dim();
    let mut longer = match toy {
        Toy::Classes => Batch::zeros(trials, steps + by, channels),
        Toy::Values => Batch::of_values(trials, steps + by, channels, toy.outputs()),
    };
    longer.inputs.slice_mut(s![.., ..steps, ..]).assign(&batch.inputs);
    longer.mask.slice_mut(s![.., ..steps]).assign(&batch.mask);
    longer.lengths.clone_from(&batch.lengths);
    longer
}

pub(super) fn outputs(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let (mut names, mut range) = (Vec::new(), (f32::INFINITY, f32::NEG_INFINITY));
    for mut trainee in Trainee::each(subject, &world, 1)? {
        let toy = trainee.toy;
        names.push(toy.name());
        let batch = toy.ragged(12, 1);
        let scored: Vec<Scored> = batch.view().scored().collect();
        let found = trainee.forward(&batch.view(), Mode::Evaluate)?;
        if let Some(((row, output), v)) = found.indexed_iter().find(|(_, v)| !v.is_finite()) {
            let Scored { trial, step } = scored[row];
            return Err(Error::plugin(format!("output {output} is {v} at step {step} of trial {trial}"))
                .help(
                    "write every scored step: the rows of `outputs`, in the order of `BatchView::scored`",
                ));
        }
        range = found.iter().fold(range, |(low, high), &v| (low.min(v), high.max(v)));
        differ(&mut trainee, &batch, &found, &scored)?;
        activity(&mut trainee, &batch)?;
    }
    passed(format!("{}; from {:.2} to {:.2} before training", names.join(" and "), range.0, range.1))
}

/// Nothing but the inputs of a trial may matter for its outputs.
fn differ(trainee: &mut Trainee, batch: &Batch, found: &Array2<f32>, scored: &[Scored]) -> Result<()> {
    let toy = trainee.toy;
    let at = |row: usize| format!("at step {} of trial {}", scored[row].step, scored[row].trial);
    let fail = |what: &str, (row, one, two): (usize, f32, f32)| -> Result<()> {
        Err(Error::plugin(format!("{what}: an output {} is {one} and then {two}", at(row))))
    };
    for trial in 0..batch.trials() {
        let alone = trainee.forward(&batch.slice(trial..trial + 1), Mode::Evaluate)?;
        let rows: Vec<usize> = (0..scored.len()).filter(|&row| scored[row].trial == trial).collect();
        let among = found.select(ndarray::Axis(0), &rows);
        if let Some((row, one, two)) = deviation(&among, &alone) {
            return fail("a trial alone has other outputs than among others", (rows[row], one, two)).map_err(
                |e: Error| e.help("rows of `outputs` are ordered by step, and by trial within a step"),
            );
        }
    }
    let mut asked = batch.clone();
    asked.targets = toy.ragged(batch.trials(), 99).targets;
    asked.conditions.fill(1);
    asked.mask *= 2.0;
    let other = trainee.forward(&asked.view(), Mode::Evaluate)?;
    if let Some(row) = (0..scored.len()).find(|&row| other.row(row) != found.row(row)) {
        return broken(format!(
            "other targets, conditions or weights of steps change an output {} from {} to {}",
            at(row),
            found.row(row),
            other.row(row)
        ));
    }
    let padded = trainee.forward(&longer(toy, batch, 4).view(), Mode::Evaluate)?;
    if let Some(row) = deviation(found, &padded) {
        return fail("four steps after the end of all trials change outputs", row);
    }
    let recorded = trainee.forward(&batch.view(), Mode::Record)?;
    if let Some(row) = deviation(found, &recorded) {
        return fail("a recording has other outputs than an evaluation", row);
    }
    let mut more = batch.clone();
    for (trial, &length) in batch.lengths.iter().enumerate() {
        more.mask.slice_mut(s![trial, ..length as usize]).fill(1.0);
    }
    let all = trainee.forward(&more.view(), Mode::Evaluate)?;
    let rows: Vec<usize> = more
        .view()
        .scored()
        .enumerate()
        .filter_map(|(row, step)| scored.contains(&step).then_some(row))
        .collect();
    match deviation(found, &all.select(ndarray::Axis(0), &rows)) {
        Some(row) => fail("scoring more steps changes the outputs of the others", row),
        None => Ok(()),
    }
}

/// Activity ends with the trial.
fn activity(trainee: &mut Trainee, batch: &Batch) -> Result<()> {
    for mode in [Mode::Train { noise_seed: 3 }, Mode::Record] {
        trainee.forward(&batch.view(), mode)?;
        let activity = trainee.model.activity()?;
        for (trial, &length) in batch.lengths.iter().enumerate() {
            let after = activity.slice(s![length as usize.., trial, ..]);
            if let Some(((step, unit), a)) = after.indexed_iter().find(|(_, a)| **a != 0.0) {
                return broken(format!(
                    "unit {unit} has the activity {a} in step {} of a trial of {length} steps; it must be 0",
                    step + length as usize
                ));
            }
        }
    }
    Ok(())
}

/// What a training step leads to if `between` is done after the forward pass; the
/// step may be refused.
fn interrupted(
    subject: &Subject<'_>,
    world: &World,
    between: impl Fn(&mut Trainee) -> Result<()>,
) -> Result<Option<Vec<Tensor>>> {
    let mut trainee = Trainee::new(subject, world, Toy::Classes, 1)?;
    trainee.step(&Toy::Classes.trials(8, 4), 1)?;
    let (_, gradient) = trainee.loss_gradient(&Toy::Classes.ragged(10, 1), 2)?;
    between(&mut trainee)?;
    if trainee.model.backward(gradient.view(), None).is_err() {
        return Ok(None);
    }
    let mut found = if trainee.info.updates_itself { Vec::new() } else { trainee.gradients()? };
    trainee.update()?;
    found.extend(trainee.parameters()?);
    Ok(Some(found))
}

pub(super) fn passes(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let batch = Toy::Classes.ragged(10, 1);
    let before = trainee.parameters()?;
    trainee.differentiate(&batch, 1, None)?;
    trainee.forward(&batch.view(), Mode::Evaluate)?;
    trainee.forward(&batch.view(), Mode::Record)?;
    if let Some(name) = differing(&before, &trainee.parameters()?) {
        return Err(Error::plugin(format!("a pass changes `{name}`")).help(
            "parameters may change only in `initialise`, in `update_itself`, and through what is lent",
        ));
    }
    let Some(plain) = interrupted(subject, &world, |_| Ok(()))? else {
        return broken("it refuses a backward pass after a training pass");
    };
    let other = Toy::Classes.trials(3, 7);
    let evaluate = |trainee: &mut Trainee| trainee.forward(&other.view(), Mode::Evaluate).map(drop);
    let record = |trainee: &mut Trainee| trainee.forward(&other.view(), Mode::Record).map(drop);
    let twice = |trainee: &mut Trainee| {
        let batch = Toy::Classes.ragged(10, 1);
        trainee.differentiate(&batch, 2, None).map(drop)
    };
    type Between<'a> = &'a dyn Fn(&mut Trainee) -> Result<()>;
    let cases: [(&str, Between); 3] =
        [("an evaluation", &evaluate), ("a recording", &record), ("another backward pass", &twice)];
    let mut refused = Vec::new();
    for (what, between) in cases {
        match interrupted(subject, &world, between)? {
            None => refused.push(what),
            Some(found) => {
                if let Some(name) = differing(&plain, &found) {
                    return Err(Error::plugin(format!(
                        "{what} before the backward pass changes the gradient of `{name}`, or its update"
                    ))
                    .help("`backward` belongs to the last training pass and overwrites the gradients; return an error if that pass is lost"));
                }
            }
        }
    }
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    trainee.forward(&batch.view(), Mode::Train { noise_seed: 1 })?;
    let kept = trainee.model.activity()?.to_owned();
    trainee.forward(&Batch::zeros(2, 3, INPUTS).view(), Mode::Evaluate)?;
    if trainee.model.activity().is_ok_and(|activity| activity != kept) {
        return broken("an evaluation changes the activity of the training pass before it");
    }
    if refused.is_empty() { passed("") } else { passed(format!("it refuses {}", refused.join(" and "))) }
}
