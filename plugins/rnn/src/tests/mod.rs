//! Tests of complete models, and their shared helpers.

mod behaviour;
mod candle;
mod cells;
mod golden;
mod measure;
mod oracle;
mod populations;
mod refusals;
mod reservoir;
mod step;
mod values;
mod wiring;

use pallium_core::LossSums;
use pallium_core::ndarray::{Array2, Array3};
use pallium_core::prelude::*;
use pallium_core::serde_json::Value;
use rand::Rng;

use crate::vanilla::{Params, Vanilla};

/// Sizes of a network and of a batch for it.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) neurons: usize,
    pub(crate) channels: usize,
    pub(crate) outputs: usize,
    pub(crate) trials: usize,
    pub(crate) steps: usize,
}

pub(crate) const SMALL: Size = Size { neurons: 23, channels: 3, outputs: 4, trials: 9, steps: 14 };

/// The published problem on field 6_6_2.
const FULL: Size = Size { neurons: 312, channels: 8, outputs: 4, trials: 128, steps: 50 };

impl Size {
    pub(crate) fn setting(self, threads: usize) -> Setting<'static> {
        Setting {
            neurons: Some(self.neurons),
            inputs: Some(self.channels),
            outputs: Some(self.outputs),
            threads,
            ..Setting::default()
        }
    }
}

/// Parameters without noise.
fn quiet() -> Params {
    Params { noise: 0.0, ..Params::default() }
}

/// Random recurrent weights.
fn recurrent(neurons: usize) -> Matrix {
    let mut stream = random::stream(5, "recurrent");
    let scale = 1.6 / (neurons as f32).sqrt();
    Matrix::from_shape_simple_fn((neurons, neurons), || stream.random_range(-scale..scale))
}

fn build(size: Size, threads: usize, params: Params) -> Vanilla {
    let mut model = Vanilla::build(params, &size.setting(threads)).unwrap();
    model.initialise(recurrent(size.neurons).view(), 11).unwrap();
    model
}

/// A model of any kind, with random recurrent weights.
fn build_any<M: Component + Model>(params: &Value, setting: &Setting<'_>) -> M {
    let params = pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap();
    let mut model = M::build(params, setting).unwrap();
    model.initialise(recurrent(setting.neurons.unwrap()).view(), 11).unwrap();
    model
}

/// Random inputs, one label at the last step of each trial.
pub(crate) fn batch(size: Size, seed: u64) -> Batch {
    let mut stream = random::stream(seed, "trials");
    let mut batch = Batch::zeros(size.trials, size.steps, size.channels);
    batch.inputs.mapv_inplace(|_| stream.random_range(-1.0..1.0));
    for trial in 0..size.trials {
        batch.label_at_end(trial, stream.random_range(0..size.outputs as u32));
    }
    batch
}

/// Random inputs, lengths, targets and masks; the first trial has full length.
pub(crate) fn ragged_batch(size: Size, seed: u64) -> Batch {
    let mut stream = random::stream(seed, "ragged trials");
    let mut batch = batch(size, seed);
    batch.mask.fill(0.0);
    for trial in 0..size.trials {
        let length = if trial == 0 { size.steps } else { stream.random_range(1..=size.steps) };
        batch.lengths[trial] = length as u32;
        for step in 0..size.steps {
            batch.set_class(trial, step, stream.random_range(0..size.outputs as u32));
            if step >= length {
                (0..size.channels).for_each(|c| batch.inputs[[trial, step, c]] = 0.0);
            } else if stream.random_bool(0.4) {
                batch.mask[[trial, step]] = stream.random_range(0.1..2.0);
            }
        }
    }
    batch
}

/// A pass through a model, and what a host computes from its outputs.
pub(crate) struct Pass {
    /// Scored steps × outputs.
    pub(crate) outputs: Array2<f32>,
    pub(crate) sums: LossSums,
    /// The gradient of the mean loss in the outputs.
    pub(crate) gradient: Array2<f32>,
}

fn pass(model: &mut dyn Model, batch: &BatchView<'_>, mode: Mode) -> Result<Pass> {
    pass_with(model, batch, mode, Loss::CrossEntropy)
}

fn pass_with(model: &mut dyn Model, batch: &BatchView<'_>, mode: Mode, loss: Loss) -> Result<Pass> {
    let width = tensor(model, "readout_bias").len();
    let mut outputs = Array2::from_elem((batch.scored().count(), width), f32::NAN);
    model.forward(batch, mode, outputs.view_mut())?;
    let mut gradient = Array2::zeros(outputs.dim());
    let sums = loss.compare(batch, outputs.view(), Some(gradient.view_mut()))?;
    Ok(Pass { outputs, sums, gradient })
}

pub(crate) fn train(model: &mut dyn Model, batch: &Batch, noise_seed: u64) -> Pass {
    pass(model, &batch.view(), Mode::Train { noise_seed }).unwrap()
}

pub(crate) fn evaluate(model: &mut dyn Model, batch: &Batch) -> Pass {
    pass(model, &batch.view(), Mode::Evaluate).unwrap()
}

/// The gradients of all trained parameters, by their names.
pub(crate) fn gradients(
    model: &mut dyn Model,
    pass: &Pass,
    activity: Option<&Array3<f32>>,
) -> Vec<(String, Vec<f32>)> {
    model.backward(pass.gradient.view(), activity.map(|a| a.view())).unwrap();
    lent(model)
}

/// The gradients as they are lent now, by the names of the parameters.
pub(crate) fn lent(model: &mut dyn Model) -> Vec<(String, Vec<f32>)> {
    let info = model.info();
    let learned = model.learned().unwrap().into_iter();
    learned.map(|l| (info.parameters[l.index].name.clone(), l.gradient.to_vec())).collect()
}

/// The gradient with respect to the recurrent weights of the first block.
fn recurrent_gradient(model: &mut dyn Model, pass: &Pass, activity: Option<&Array3<f32>>) -> Matrix {
    let n = model.info().units;
    let (name, gradient) = gradients(model, pass, activity).swap_remove(0);
    assert_eq!(name, "recurrent");
    Matrix::from_shape_vec((n, n), gradient).unwrap()
}

/// Adam as `optimizer.adam` computes it in the form of Keras.
#[derive(Clone)]
pub(crate) struct Adam {
    rate: f64,
    updates: i32,
    /// Running means of the gradient and of its square, for each parameter.
    moments: Vec<[Vec<f32>; 2]>,
}

impl Adam {
    pub(crate) fn new(rate: f64) -> Self {
        Adam { rate, updates: 0, moments: Vec::new() }
    }

    fn update(&mut self, model: &mut dyn Model) {
        self.updates += 1;
        let correction = |beta: f64| 1.0 - beta.powi(self.updates);
        let rate = (self.rate * correction(0.999).sqrt() / correction(0.9)) as f32;
        let (first, second) = ((1.0 - 0.9_f64) as f32, (1.0 - 0.999_f64) as f32);
        let learned = model.learned().unwrap();
        self.moments.resize(learned.len(), [Vec::new(), Vec::new()]);
        for (learned, [m, v]) in learned.into_iter().zip(&mut self.moments) {
            m.resize(learned.values.len(), 0.0);
            v.resize(learned.values.len(), 0.0);
            let values = learned.values.iter_mut().zip(learned.gradient.iter());
            for ((w, &g), (m, v)) in values.zip(m.iter_mut().zip(v)) {
                *m += (g - *m) * first;
                *v += (g * g - *v) * second;
                *w -= rate * *m / (v.sqrt() + 1e-7);
            }
        }
    }
}

/// Forward, backward and update; the pass before the update.
pub(crate) fn learn(model: &mut dyn Model, adam: &mut Adam, batch: &Batch, noise_seed: u64) -> Pass {
    let pass = train(model, batch, noise_seed);
    model.backward(pass.gradient.view(), None).unwrap();
    adam.update(model);
    pass
}

/// A parameter of the model by name.
pub(crate) fn tensor(model: &dyn Model, name: &str) -> Vec<f32> {
    let parameters = model.parameters().unwrap();
    parameters.iter().find(|p| p.name == name).unwrap().values.to_vec()
}

/// Overwrites a parameter of the model.
pub(crate) fn put(model: &mut dyn Model, name: &str, values: &[f32]) {
    let index = model.info().parameters.iter().position(|p| p.name == name).unwrap();
    model.parameters_mut().unwrap()[index].copy_from_slice(values);
}

/// The recurrent weights of the first block.
fn weights(model: &dyn Model) -> Matrix {
    model.parameters().unwrap()[0].matrix().unwrap().to_owned()
}

/// All parameters, bit by bit.
pub(crate) fn bits(model: &dyn Model) -> Vec<(String, Vec<u32>)> {
    let parameters = model.parameters().unwrap().into_iter();
    parameters.map(|p| (p.name.to_owned(), p.values.iter().map(|v| v.to_bits()).collect())).collect()
}

/// ‖a − b‖ / ‖b‖.
pub(crate) fn distance<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = f64>) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&a, b) in a.into_iter().zip(b) {
        difference += (f64::from(a) - b).powi(2);
        norm += b * b;
    }
    (difference / norm).sqrt()
}

/// Runs a test of this library that is ignored in a process of its own, because
/// tests that run beside it would disturb it.
fn alone(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--test-threads=1", "--nocapture"])
        .env_remove("RAYON_NUM_THREADS")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
