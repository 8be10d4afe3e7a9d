//! Compares the gradients of a model's parameters with finite differences.

use ndarray::{Array3, s};

use super::{Trainee, place};
use crate::gradient::{Precision, slope_norm, slope_within};
use crate::toy::{Toy, uniform};
use crate::{Note, Subject, World, passed, skipped, world};
use pallium_core::{Batch, Error, Matrix, Result};

/// A loss is summed in single precision, and rectified units have kinks, so the
/// limit is wider than for a constraint.
const GRADIENT: Precision = Precision { limit: 8e-3, least: 0.0, kinks: true, trials: [4, 4] };
/// Seed of the noise of all passes, whose gradients must be those of one function.
const NOISE: u64 = 5;
/// Trials of a pass: so many that the kinks of rectified units average out.
const TRIALS: usize = 96;
/// Size of the gradient in the activity, which shall matter as much as the loss.
/// All of one sign, so that kinks average out.
const TERM: f32 = 1e-3;
/// Errors are relative to this share of the steepest parameter's slope where a
/// parameter has smaller ones: the loss is known only to single precision.
const LEAST: f64 = 0.01;

pub(super) fn gradient(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut details = Vec::new();
    for mut trainee in Trainee::each(subject, &world, 1)? {
        if trainee.info.updates_itself {
            return skipped("it updates itself by a rule that need not follow the gradient");
        }
        let batch = trainee.toy.ragged(TRIALS, 2);
        // After some training, when biases are not 0.
        for seed in 0..3 {
            trainee.step(&batch, seed)?;
        }
        let term = activity_term(trainee.info.units, &batch.lengths);
        // Each loss, and the term in addition to one of them.
        let cases = match trainee.toy {
            Toy::Classes => vec![("a task of classes", None), ("a term on activity", Some(&term))],
            Toy::Values => vec![("a task of values", None)],
        };
        for (what, term) in cases {
            let least = LEAST * steepest(&mut trainee, &batch, term)?;
            let mut worst = 0.0_f64;
            for index in 0..trainee.info.parameters.len() {
                if trainee.info.parameters[index].trained {
                    worst = worst.max(of_parameter(&mut trainee, index, &batch, term, least)?);
                }
            }
            details.push(format!("{worst:.1e} for {what}"));
        }
    }
    passed(format!("largest relative error {}", details.join(", ")))
}

/// A gradient in the activity, as a constraint adds it: 0 after a trial's end.
fn activity_term(units: usize, lengths: &[u32]) -> Array3<f32> {
    let (steps, trials) = (7, lengths.len());
    let mut values = uniform(4, "testkit activity term", steps * trials * units).into_iter();
    let mut term =
        Array3::from_shape_simple_fn((steps, trials, units), || TERM * (1.0 + values.next().unwrap_or(0.0)));
    for (trial, &length) in lengths.iter().enumerate() {
        term.slice_mut(s![length as usize.., trial, ..]).fill(0.0);
    }
    term
}

/// The largest norm of a parameter's slopes.
fn steepest(trainee: &mut Trainee, batch: &Batch, term: Option<&Array3<f32>>) -> Result<f64> {
    trainee.differentiate(batch, NOISE, term.map(|term| term.view()))?;
    let flat = |values: &[f32]| {
        Matrix::from_shape_vec((1, values.len()), values.to_vec()).map_err(|e| Error::bug(e.to_string()))
    };
    let mut most = 0.0_f64;
    for learned in trainee.model.learned()? {
        most = most.max(slope_norm(&flat(learned.gradient)?, &flat(learned.values)?));
    }
    Ok(most)
}

fn of_parameter(
    trainee: &mut Trainee,
    index: usize,
    batch: &Batch,
    term: Option<&Array3<f32>>,
    least: f64,
) -> Result<f64> {
    let info = trainee.info.parameters[index].clone();
    let mut kept = trainee.model.parameters()?[index].values.to_vec();
    if kept.iter().all(|&value| value == 0.0) {
        // Steps are relative to each value, so values of 0 would never move.
        kept = uniform(index as u64, "testkit parameter", info.len()).iter().map(|v| 0.1 * v).collect();
    }
    let at = Matrix::from_shape_vec((1, kept.len()), kept.clone()).map_err(|e| Error::bug(e.to_string()))?;
    let mut function = |at: &Matrix, gradient: Option<&mut Matrix>| {
        trainee.set(index, at.as_slice().unwrap_or_default())?;
        let (sums, in_outputs) = trainee.loss_gradient(batch, NOISE)?;
        let mut value = sums.mean();
        if let Some(term) = term {
            let activity = trainee.model.activity()?;
            value += activity.iter().zip(term).map(|(a, t)| f64::from(*a) * f64::from(*t)).sum::<f64>();
        }
        if let Some(gradient) = gradient {
            trainee.model.backward(in_outputs.view(), term.map(|term| term.view()))?;
            let learned = trainee.model.learned()?;
            let own = learned.into_iter().find(|learned| learned.index == index);
            let own = own.ok_or_else(|| Error::plugin(format!("`learned` does not lend `{}`", info.name)))?;
            gradient.iter_mut().zip(own.gradient.iter()).for_each(|(sum, g)| *sum += g);
        }
        Ok(value)
    };
    let of = if term.is_some() { "the loss and a term on activity" } else { "the loss" };
    let what = format!("the gradient of {of} in `{}`", info.name);
    let error = slope_within(&mut function, &at, 1, Precision { least, ..GRADIENT }, &what, |_, at| {
        place(&info, at)
    })?;
    trainee.set(index, &kept)?;
    Ok(error)
}
