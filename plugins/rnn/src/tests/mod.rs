//! Tests of complete models, and their shared helpers.

mod behaviour;
mod cells;
mod golden;
mod measure;
mod oracle;

use pallium_core::ndarray::{Array2, Array3, Axis};
use pallium_core::prelude::*;
use rand::Rng;

use crate::vanilla::{Params, Vanilla};

/// Sizes of a network and of a batch for it.
#[derive(Clone, Copy)]
struct Size {
    neurons: usize,
    channels: usize,
    classes: usize,
    trials: usize,
    steps: usize,
}

const SMALL: Size = Size { neurons: 23, channels: 3, classes: 4, trials: 9, steps: 14 };

/// The published problem on field 6_6_2.
const FULL: Size = Size { neurons: 312, channels: 8, classes: 4, trials: 128, steps: 50 };

/// Parameters without noise.
fn quiet() -> Params {
    Params { noise: 0.0, ..Params::default() }
}

fn build(size: Size, threads: usize, params: Params) -> Vanilla {
    let setting = Setting {
        neurons: Some(size.neurons),
        inputs: Some(size.channels),
        classes: Some(size.classes),
        threads,
        ..Setting::default()
    };
    let mut model = Vanilla::build(params, &setting).unwrap();
    let mut stream = random::stream(5, "recurrent");
    let scale = 1.6 / (size.neurons as f32).sqrt();
    let recurrent =
        Matrix::from_shape_simple_fn((size.neurons, size.neurons), || stream.random_range(-scale..scale));
    model.initialise(recurrent.view(), 11).unwrap();
    model
}

/// Random inputs, one label at the last step of each trial.
fn batch(size: Size, seed: u64) -> Batch {
    let mut stream = random::stream(seed, "trials");
    let mut batch = Batch::zeros(size.trials, size.steps, size.channels);
    batch.inputs.mapv_inplace(|_| stream.random_range(-1.0..1.0));
    for trial in 0..size.trials {
        batch.label_at_end(trial, stream.random_range(0..size.classes as u32));
    }
    batch
}

/// Random inputs, lengths, targets and masks; the first trial has full length.
fn ragged_batch(size: Size, seed: u64) -> Batch {
    let mut stream = random::stream(seed, "ragged trials");
    let mut batch = batch(size, seed);
    batch.mask.fill(0.0);
    for trial in 0..size.trials {
        let length = if trial == 0 { size.steps } else { stream.random_range(1..=size.steps) };
        batch.lengths[trial] = length as u32;
        for step in 0..size.steps {
            batch.targets[[trial, step]] = stream.random_range(0..size.classes as u32);
            if step >= length {
                (0..size.channels).for_each(|c| batch.inputs[[trial, step, c]] = 0.0);
            } else if stream.random_bool(0.4) {
                batch.mask[[trial, step]] = stream.random_range(0.1..2.0);
            }
        }
    }
    batch
}

fn train(model: &mut Vanilla, batch: &Batch, noise_seed: u64) -> Outcome {
    model.forward(&batch.view(), Mode::Train { noise_seed }).unwrap()
}

/// The gradient with respect to the recurrent weights.
fn recurrent_gradient(model: &mut Vanilla, activity: Option<&Array3<f32>>) -> Array2<f32> {
    let n = model.info().neurons;
    let mut gradient = Array3::from_elem((1, n, n), f32::NAN);
    model.backward(activity.map(|a| a.view()), gradient.view_mut()).unwrap();
    gradient.index_axis_move(Axis(0), 0)
}

/// Forward, backward and update; the outcome before the update.
fn learn(model: &mut Vanilla, batch: &Batch, noise_seed: u64) -> Outcome {
    let outcome = train(model, batch, noise_seed);
    let n = model.info().neurons;
    let mut gradient = Array3::zeros((1, n, n));
    model.backward(None, gradient.view_mut()).unwrap();
    model.update(gradient.view()).unwrap();
    outcome
}

/// A tensor of the model's state by name.
fn tensor(model: &Vanilla, name: &str) -> Vec<f32> {
    model.state().unwrap().into_iter().find(|t| t.name == name).unwrap().values
}

/// ‖a − b‖ / ‖b‖.
fn distance<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = f64>) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&a, b) in a.into_iter().zip(b) {
        difference += (f64::from(a) - b).powi(2);
        norm += b * b;
    }
    (difference / norm).sqrt()
}
