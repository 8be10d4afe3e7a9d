//! Tasks whose correct answers are values instead of classes.
//!
//! | component | what the network puts out |
//! |---|---|
//! | `signal.sine-wave` | a sine whose frequency the input states |
//! | `signal.integration` | the running integral of the input |
//! | `signal.recorded-activity` | the recorded activity of some neurons, from that of the others |
//!
//! `signal.prediction` is a metric for such tasks: how well the outputs predict the
//! targets, against predictions that need no network.

mod integration;
mod prediction;
mod recorded_activity;
mod sine_wave;

#[cfg(test)]
mod tests;

use pallium_core::ndarray::{ArrayView2, s};
use pallium_core::prelude::*;

/// Number of steps in `milliseconds`.
fn steps(name: &str, milliseconds: f64, step_ms: f64) -> Result<usize> {
    let steps = (milliseconds / step_ms).round();
    if (1.0..=100_000.0).contains(&steps) {
        return Ok(steps as usize);
    }
    Err(Error::input(format!("parameter `{name}` is {milliseconds} ms"))
        .help(format!("it must be 1 to 100000 steps of {step_ms} ms")))
}

/// Maximum number of input values in one draw of trials (8 GiB).
const MAX_VALUES: usize = 1 << 31;

/// An all-zero batch of values.
///
/// # Errors
/// If it would be too large for memory.
fn blank(trials: usize, steps: usize, channels: usize, outputs: usize) -> Result<Batch> {
    let values = trials.checked_mul(steps).and_then(|n| n.checked_mul(channels.max(outputs)));
    match values {
        Some(values) if values <= MAX_VALUES => Ok(Batch::of_values(trials, steps, channels, outputs)),
        _ => Err(Error::input(format!(
            "{trials} trials of {steps} steps and {channels} channels are more than {MAX_VALUES} values"
        ))
        .help("draw fewer trials at a time, or shorten them")),
    }
}

/// Whether each answer differs from its target by at most `tolerance` in every
/// output.
fn within(batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>, tolerance: f64) -> Result<Vec<bool>> {
    let values = batch.targets.values()?;
    let close = |(at, answer): (Scored, pallium_core::ndarray::ArrayView1<'_, f32>)| {
        let targets = values.slice(s![at.trial, at.step, ..]);
        answer.iter().zip(targets).all(|(&o, &t)| (f64::from(o) - f64::from(t)).abs() <= tolerance)
    };
    Ok(batch.scored().zip(outputs.outer_iter()).map(close).collect())
}

pallium_core::plugin!();
