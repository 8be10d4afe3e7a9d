//! Checks of a model's step in double precision.

use ndarray::{Array2, ArrayView2, Axis, s};
use pallium_core::{Error, Kind, Mode, Result};
use rand::Rng;

use super::Trainee;
use crate::toy::{INPUTS, Toy};
use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::random;

/// Largest difference between the step and the forward pass, which is in single
/// precision, relative to the largest activity.
const FORWARD: f64 = 1e-5;
/// Largest relative error of a gradient in double precision.
const GRADIENT: f64 = 1e-6;
/// Width of finite differences in double precision.
const WIDTH: f64 = 1e-5;

pub(super) fn step(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut trainee = Trainee::new(subject, &world, Toy::Classes, 1)?;
    let length: usize = trainee.info.states.iter().map(|part| part.length).sum();
    if length == 0 {
        let found = trainee.model.step(Array2::zeros((1, 1)).view(), Array2::zeros((1, INPUTS)).view());
        return match found {
            Err(error) if error.kind == Kind::Unsupported => skipped("it does not offer its step"),
            Err(error) => {
                Err(error.context("its description has no `states`, so `step` must be unsupported"))
            }
            Ok(_) => broken("it offers a step, but its description has no `states`"),
        };
    }
    let mut agrees = forward(&mut trainee)?;
    let mut worst = gradient(&trainee, length)?;
    // Also with other parameters, which the step must not have copied before.
    let batch = Toy::Classes.trials(16, 1);
    for seed in 0..3 {
        trainee.step(&batch, seed)?;
    }
    agrees = agrees.and(forward(&mut trainee)?);
    worst = worst.max(gradient(&trainee, length)?);
    linear_pieces(&trainee, length)?;
    let agrees = match agrees {
        Some(off) => format!("{off:.1e} off the forward pass"),
        None => "no part `hidden` with one value per unit to compare with the activity".into(),
    };
    passed(format!("{agrees}; largest relative error of its gradient {worst:.1e}"))
}

/// Random states and inputs, rows × values.
fn draw(rows: usize, length: usize, seed: u64) -> (Array2<f64>, Array2<f64>) {
    let mut stream = random::stream(seed, "testkit states");
    let mut draw = |columns| Array2::from_shape_simple_fn((rows, columns), || stream.random_range(-1.0..1.0));
    (draw(length), draw(INPUTS))
}

/// Advances states and checks the result's shape.
fn advance(
    trainee: &Trainee,
    states: ArrayView2<'_, f64>,
    inputs: ArrayView2<'_, f64>,
) -> Result<Array2<f64>> {
    let next = trainee.model.step(states, inputs)?;
    if next.dim() != states.dim() {
        return broken(format!("`step` returns {:?} for states of {:?}", next.dim(), states.dim()));
    }
    if let Some(((row, at), v)) = next.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return broken(format!("`step` returns {v} in row {row}, value {at}"));
    }
    Ok(next)
}

/// The largest difference from the forward pass without noise, relative to the
/// largest activity; `None` if the states cannot be compared with it.
fn forward(trainee: &mut Trainee) -> Result<Option<f64>> {
    let (mut from, mut hidden) = (0, None);
    for part in &trainee.info.states {
        if part.name == "hidden" && part.length == trainee.info.units {
            hidden = Some(from..from + part.length);
        }
        from += part.length;
    }
    let Some(hidden) = hidden else { return Ok(None) };
    let batch = Toy::Classes.trials(5, 3);
    trainee.forward(&batch.view(), Mode::Record)?;
    let activity = trainee.model.activity()?.mapv(f64::from);
    let scale = activity.iter().fold(0.0_f64, |scale, a| scale.max(a.abs()));
    let (steps, trials, _) = activity.dim();
    // Where units have no other state, the activity is the state. Otherwise the
    // state starts at 0 and is advanced from there.
    let complete = hidden.len() == from;
    let mut states = Array2::zeros((trials, from));
    let mut worst = 0.0_f64;
    for step in 0..steps {
        let inputs = batch.inputs.slice(s![.., step, ..]).mapv(f64::from);
        if complete && step > 0 {
            states.assign(&activity.index_axis(Axis(0), step - 1));
        }
        states = advance(trainee, states.view(), inputs.view())?;
        if complete && step == 0 {
            // A model may start from another state than 0.
            continue;
        }
        let found = states.slice(s![.., hidden.clone()]);
        for (((trial, unit), found), expected) in found.indexed_iter().zip(activity.index_axis(Axis(0), step))
        {
            let off = (found - expected).abs() / scale.max(f64::MIN_POSITIVE);
            if off > FORWARD {
                return Err(Error::plugin(format!(
                    "`step` leads unit {unit} to {found:.7} in step {step} of trial {trial}, but the forward pass without noise to {expected:.7}"
                ))
                .help("`step` is the forward pass without noise, with the present parameters; the states before the first step are 0"));
            }
            worst = worst.max(off);
        }
    }
    Ok(Some(worst))
}

/// The largest error of `step_gradient`, relative to the norm of the gradient.
fn gradient(trainee: &Trainee, length: usize) -> Result<f64> {
    let rows = 3;
    let (states, inputs) = draw(rows, length, 1);
    let (cotangents, _) = draw(rows, length, 2);
    let next = advance(trainee, states.view(), inputs.view())?;
    for row in 0..rows {
        let range = row..row + 1;
        let alone =
            advance(trainee, states.slice(s![range.clone(), ..]), inputs.slice(s![range.clone(), ..]))?;
        let off = (&alone.row(0) - &next.row(row)).iter().fold(0.0_f64, |off, v| off.max(v.abs()));
        if off > 1e-12 {
            return broken(format!("row {row} of `step` is off by {off:.1e} if it is advanced alone"));
        }
    }
    let model = &trainee.model;
    let (in_states, in_inputs) = model.step_gradient(states.view(), inputs.view(), cotangents.view())?;
    if in_states.dim() != states.dim() || in_inputs.dim() != inputs.dim() {
        return broken(format!(
            "`step_gradient` returns {:?} and {:?} for states of {:?} and inputs of {:?}",
            in_states.dim(),
            in_inputs.dim(),
            states.dim(),
            inputs.dim()
        ));
    }
    let norm = in_states.iter().chain(&in_inputs).map(|g| g * g).sum::<f64>().sqrt();
    let mut worst = 0.0_f64;
    for (what, values, stated) in [("states", &states, &in_states), ("inputs", &inputs, &in_inputs)] {
        for ((row, at), &stated) in stated.indexed_iter() {
            let displaced = |by: f64| -> Result<f64> {
                let mut values = values.clone();
                values[[row, at]] += by;
                let (states, inputs) = if what == "states" { (&values, &inputs) } else { (&states, &values) };
                Ok((&advance(trainee, states.view(), inputs.view())? * &cotangents).sum())
            };
            let found = (displaced(WIDTH)? - displaced(-WIDTH)?) / (2.0 * WIDTH);
            let off = (found - stated).abs() / norm.max(f64::MIN_POSITIVE);
            // Also fails for NaN.
            if off.is_nan() || off > GRADIENT {
                return Err(Error::plugin(format!(
                    "`step_gradient` is {stated:.7e} in value {at} of the {what} of row {row}, where finite differences give {found:.7e}"
                ))
                .help("it returns the gradients of Σ cotangents · step in the states and in the inputs"));
            }
            worst = worst.max(off);
        }
    }
    Ok(worst)
}

/// Second differences vanish if the step is piecewise linear, except across kinks.
fn linear_pieces(trainee: &Trainee, length: usize) -> Result<()> {
    if !trainee.info.piecewise_linear {
        return Ok(());
    }
    let (states, inputs) = draw(20, length, 3);
    let (direction, _) = draw(20, length, 4);
    let next = |by: f64| advance(trainee, (&states + &(&direction * by)).view(), inputs.view());
    let width = 1e-3;
    let second = next(width)? + next(-width)? - next(0.0)? * 2.0;
    let curved = second.iter().filter(|v| v.abs() > 1e-9).count();
    if curved * 10 > second.len() {
        return broken(format!(
            "it states that its step is piecewise linear, but {curved} of {} values are curved",
            second.len()
        ));
    }
    Ok(())
}
