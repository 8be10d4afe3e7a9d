//! Checks of penalties on activity.

use ndarray::{Array3, s};

use super::GRADIENT;
use crate::gradient::slope_within;
use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Activity, Constraint, Error, Matrix, Result};

/// Largest relative change of a penalty if padding is added: only rounding.
const PADDED: f64 = 1e-5;

fn penalty(
    constraint: &mut dyn Constraint,
    values: &Array3<f32>,
    lengths: &[u32],
) -> Result<(f64, Array3<f32>)> {
    let mut gradient = Array3::zeros(values.dim());
    let value = constraint.activity_penalty(&Activity::new(values.view(), lengths), gradient.view_mut())?;
    Ok((value, gradient))
}

/// Sets the activity past the end of each trial, in a batch of any number of steps.
fn pad(values: &mut Array3<f32>, lengths: &[u32], with: f32) {
    for (trial, &length) in lengths.iter().enumerate() {
        values.slice_mut(s![length as usize.., trial, ..]).fill(with);
    }
}

pub(super) fn activity(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut constraint = subject.constraint(&world.setting())?;
    let lengths = [7, 4, 6, 7, 3];
    let mut cube = world.activity(7, lengths.len());
    pad(&mut cube, &lengths, 0.0);
    if !constraint.wants_activity() {
        let (value, gradient) = penalty(&mut *constraint, &cube, &lengths).unwrap_or_default();
        if value != 0.0 || gradient.iter().any(|&g| g != 0.0) {
            return Err(Error::plugin(format!(
                "`activity_penalty` returns {value}, but is never called, since `wants_activity` is false"
            ))
            .help("return true from `wants_activity`"));
        }
        return skipped("it does not use activity");
    }
    let error = gradient(&mut *constraint, &cube, &lengths)?;
    padding(&mut *constraint, &cube, &lengths)?;
    let zeros = Array3::zeros(cube.dim());
    for (what, lengths) in [("no neuron is active", lengths), ("every trial has no steps", [0; 5])] {
        let (value, gradient) = penalty(&mut *constraint, &zeros, &lengths)?;
        if !value.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            return Err(Error::plugin(format!(
                "the penalty is {value}, or its gradient not finite, if {what}"
            ))
            .help("beware of dividing by a sum or a number of steps that is zero"));
        }
    }
    passed(format!("largest relative error {error:.1e}"))
}

fn gradient(constraint: &mut dyn Constraint, cube: &Array3<f32>, lengths: &[u32]) -> Result<f64> {
    let (steps, trials, n) = cube.dim();
    let bug = |e: ndarray::ShapeError| Error::bug(e.to_string());
    let flat = Matrix::from_shape_vec((steps * trials, n), cube.iter().copied().collect()).map_err(bug)?;
    let mut function = |at: &Matrix, gradient: Option<&mut Matrix>| {
        let values = at.view().into_shape_with_order((steps, trials, n)).map_err(bug)?;
        let mut ignored = Matrix::zeros(if gradient.is_some() { (0, 0) } else { at.dim() });
        let into = gradient.unwrap_or(&mut ignored).view_mut();
        let into = into.into_shape_with_order((steps, trials, n)).map_err(bug)?;
        constraint.activity_penalty(&Activity::new(values, lengths), into)
    };
    let place =
        |row: usize, neuron| format!("step {}, trial {}, neuron {neuron}", row / trials, row % trials);
    slope_within(&mut function, &flat, 1, GRADIENT, "the activity gradient", place)
}

/// Neither the number of steps after a trial's end nor what is there matters.
fn padding(constraint: &mut dyn Constraint, cube: &Array3<f32>, lengths: &[u32]) -> Result<()> {
    let help = "a trial ends at its length in `Activity::lengths`: skip later steps, and divide by \
                `Activity::steps`, not by steps × trials";
    let (steps, trials, n) = cube.dim();
    let (value, gradient) = penalty(constraint, cube, lengths)?;
    for (trial, &length) in lengths.iter().enumerate() {
        if let Some(g) = gradient.slice(s![length as usize.., trial, ..]).iter().find(|&&g| g != 0.0) {
            return Err(Error::plugin(format!("the gradient is {g} past the end of a trial")).help(help));
        }
    }
    let mut longer = Array3::zeros((steps + 20, trials, n));
    longer.slice_mut(s![..steps, .., ..]).assign(cube);
    let (padded, _) = penalty(constraint, &longer, lengths)?;
    if (padded - value).abs() > PADDED * value.abs() {
        return Err(Error::plugin(format!(
            "twenty steps after the end of all trials change the penalty from {value} to {padded}"
        ))
        .help(help));
    }
    let mut filled = cube.clone();
    pad(&mut filled, lengths, 5.0);
    let (other, in_filled) = penalty(constraint, &filled, lengths)?;
    if other.to_bits() != value.to_bits() || in_filled != gradient {
        return Err(Error::plugin(format!(
            "values past the end of trials change the penalty from {value} to {other}, or its gradient"
        ))
        .help(help));
    }
    if penalty(constraint, &filled.slice_move(s![.., ..1, ..]), &[0]).is_err() {
        return broken("it refuses a trial without steps");
    }
    Ok(())
}
