//! What all models of this plugin share: checks of batches and shapes, noisy
//! inputs, threads, errors.

use std::ops::Range;

use pallium_core::ndarray::{ArrayView2, Axis, ShapeError};
use pallium_core::prelude::*;
use rand::Rng;
use rand_distr::StandardNormal;

/// Checks the arguments of a step against the numbers of a model's state values and
/// channels.
pub(crate) fn check_states(
    states: ArrayView2<'_, f64>,
    inputs: ArrayView2<'_, f64>,
    values: usize,
    channels: usize,
) -> Result<()> {
    if states.ncols() == values && inputs.dim() == (states.nrows(), channels) {
        return Ok(());
    }
    Err(Error::input(format!(
        "states are {:?} and inputs {:?}, but must be rows × {values} and rows × {channels}",
        states.dim(),
        inputs.dim()
    )))
}

/// Checks the gradients in the states after a step against the states before it.
pub(crate) fn check_cotangents(states: ArrayView2<'_, f64>, cotangents: ArrayView2<'_, f64>) -> Result<()> {
    if cotangents.dim() == states.dim() {
        return Ok(());
    }
    Err(Error::input(format!(
        "states are {:?}, but the gradients in the next ones {:?}",
        states.dim(),
        cotangents.dim()
    )))
}

/// Checks a batch against a model's channels.
pub(crate) fn check_batch(batch: &BatchView<'_>, model_channels: usize) -> Result<()> {
    let (trials, steps, channels) = batch.dim();
    let refuse = |what: String| Err(Error::input(format!("the batch does not fit the model: {what}")));
    if trials == 0 || steps == 0 {
        return refuse(format!("it has {trials} trials of {steps} steps"));
    }
    if channels != model_channels {
        return refuse(format!(
            "it has {channels} input channels, but the model was built for {}",
            model_channels
        ));
    }
    if batch.mask.dim() != (trials, steps) {
        return refuse(format!("the mask must be {trials} trials × {steps} steps, like the inputs"));
    }
    if batch.lengths.len() != trials {
        return refuse(format!("it has {} lengths for {trials} trials", batch.lengths.len()));
    }
    for (trial, &length) in batch.lengths.iter().enumerate() {
        let length = length as usize;
        if length > steps {
            return refuse(format!("trial {trial} has {length} steps, but the batch has {steps}"));
        }
        for (step, &weight) in batch.mask.row(trial).iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            if !(weight.is_finite() && weight > 0.0) {
                return refuse(format!("the mask of trial {trial} at step {step} is {weight}"));
            }
            if step >= length {
                return refuse(format!("trial {trial} is scored at step {step}, but ends after {length}"));
            }
        }
    }
    Ok(())
}

/// Copies the batch's inputs as steps × trials × (channels + 1), the last
/// channel 1. `noise` is the standard deviation and seed of the input noise.
pub(crate) fn copy_inputs(inputs: &mut Vec<f32>, batch: &BatchView<'_>, noise: Option<(f32, u64)>) {
    let (trials, steps, channels) = batch.dim();
    let width = channels + 1;
    inputs.clear();
    inputs.resize(steps * trials * width, 0.0);
    for (step, rows) in inputs.chunks_exact_mut(trials * width).enumerate() {
        let values = batch.inputs.index_axis(Axis(1), step);
        for (row, values) in rows.chunks_exact_mut(width).zip(values.outer_iter()) {
            for (to, &from) in row.iter_mut().zip(values) {
                *to = from;
            }
            row[channels] = 1.0;
        }
    }
    if let Some((noise, seed)) = noise.filter(|(noise, _)| *noise > 0.0) {
        let mut stream = random::stream(seed, "input noise");
        for row in inputs.chunks_exact_mut(width) {
            for value in &mut row[..channels] {
                *value += noise * stream.sample::<f32, _>(StandardNormal);
            }
        }
    }
}

/// Refuses an array of another shape.
pub(crate) fn expect(what: &str, found: (usize, usize, usize), wanted: (usize, usize, usize)) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let text = |(a, b, c)| format!("{a}×{b}×{c}");
    Err(Error::input(format!("{what} is {}, but must be {}", text(found), text(wanted))))
}

/// Refuses outputs, or a gradient in them, of another shape.
pub(crate) fn expect_outputs(found: (usize, usize), wanted: (usize, usize)) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::input(format!(
        "outputs, or the gradient in them, are {}×{}, but must be {}×{} (scored steps × outputs)",
        found.0, found.1, wanted.0, wanted.1
    )))
}

/// The parameter `leak` in single precision; refuses values that are not above 0 and
/// at most 1.
pub(crate) fn leak_of(leak: f64) -> Result<f32> {
    one_of_range("leak", leak, 0.0, 1.0)?;
    // Compared after the conversion: the f32 that is used must not be 0.
    let narrow = leak as f32;
    if narrow == 0.0 {
        return Err(Error::input(format!("parameter `leak` is {leak}"))
            .help("it must be above 0 and at most 1; at 0 units would never change"));
    }
    Ok(narrow)
}

/// The error for a buffer of the wrong size.
pub(crate) fn wrong_size(error: ShapeError) -> Error {
    Error::bug(format!("a buffer has the wrong size: {error}"))
}

/// Runs all jobs concurrently, the first in this thread, and returns the
/// results in the order of the jobs.
pub(crate) fn in_threads<J: Send, R: Send>(
    mut jobs: impl Iterator<Item = J>,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    let Some(first) = jobs.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = jobs.map(|job| scope.spawn(move || work(job))).collect();
        let mut results = vec![work(first)];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// The numbers of neurons, input channels and outputs; refuses 0.
pub(crate) fn sizes(setting: &Setting<'_>) -> Result<(usize, usize, usize)> {
    let (neurons, channels, outputs) = (setting.neurons()?, setting.inputs()?, setting.outputs()?);
    for (what, count) in [("neurons", neurons), ("input channels", channels), ("outputs", outputs)] {
        if count == 0 {
            return Err(Error::input(format!("a recurrent network cannot have 0 {what}")));
        }
    }
    Ok((neurons, channels, outputs))
}

/// Refuses recurrent weights that are not N×N.
pub(crate) fn expect_square(recurrent: MatrixView<'_>, n: usize) -> Result<()> {
    if recurrent.dim() == (n, n) {
        return Ok(());
    }
    let (rows, columns) = recurrent.dim();
    Err(Error::input(format!("the recurrent weights are {rows}×{columns}, but must be {n}×{n}")))
}

/// rows × columns weights, uniform between ±√(6/(rows + columns)) (Glorot and
/// Bengio 2010).
pub(crate) fn glorot(rows: usize, columns: usize, seed: u64, purpose: &str) -> Vec<f32> {
    let limit = (6.0 / (rows + columns) as f64).sqrt() as f32;
    let mut stream = random::stream(seed, purpose);
    (0..rows * columns).map(|_| stream.random_range(-limit..=limit)).collect()
}

/// The error for activity requested before any pass.
pub(crate) fn no_activity() -> Error {
    Error::input("no activity has been recorded").help("run a batch in training or recording mode first")
}

/// The error for a backward pass without a training pass.
pub(crate) fn no_pass() -> Error {
    Error::input("there is no training pass to differentiate").help("run a batch in training mode first")
}

/// The error for an update without a backward pass.
pub(crate) fn no_gradient() -> Error {
    Error::input("there is no gradient for this update").help("each update needs its own backward pass")
}

/// Parts of a buffer in the order of `ranges`, which do not overlap.
pub(crate) fn parts_mut<'a>(buffer: &'a mut [f32], ranges: &[Range<usize>]) -> Vec<&'a mut [f32]> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&index| ranges[index].start);
    let mut parts: Vec<(usize, &mut [f32])> = Vec::with_capacity(ranges.len());
    let (mut rest, mut at) = (buffer, 0);
    for index in order {
        let Range { start, end } = ranges[index].clone();
        let (_, from) = rest.split_at_mut(start - at);
        let (part, behind) = from.split_at_mut(end - start);
        parts.push((index, part));
        (rest, at) = (behind, end);
    }
    parts.sort_by_key(|(index, _)| *index);
    parts.into_iter().map(|(_, part)| part).collect()
}
