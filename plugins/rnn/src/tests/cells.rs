//! The other models, compared with PyTorch in double precision
//! (`fixtures/cells.py`) and with `rnn.vanilla` where they coincide.

use pallium_core::ndarray::{Array3, Axis};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};

use super::{SMALL, distance, quiet, ragged_batch};
use crate::gru::Gru;
use crate::leaky::Leaky;
use crate::lstm::Lstm;
use crate::reservoir::Reservoir;
use crate::trained::Trained;
use crate::vanilla::{self, Vanilla};

const N: usize = 6;
const C: usize = 3;
const K: usize = 3;
const T: usize = 8;
const LENGTHS: [u32; 5] = [8, 3, 8, 6, 1];

fn build<M: Component>(params: Value, setting: &Setting<'_>) -> M {
    M::build(pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap(), setting).unwrap()
}

fn setting(threads: usize) -> Setting<'static> {
    Setting { neurons: Some(N), inputs: Some(C), classes: Some(K), threads, ..Setting::default() }
}

/// As in `fixtures/cells.py`.
fn numbers(offset: f64, count: usize, scale: f64) -> Vec<f32> {
    (0..count).map(|i| (scale * (1.0 + 0.7 * i as f64 * i as f64 + offset).sin()) as f32).collect()
}

fn batch() -> Batch {
    let x =
        Array3::from_shape_vec((T, LENGTHS.len(), C), numbers(100.0, T * LENGTHS.len() * C, 1.0)).unwrap();
    let mut batch = Batch::zeros(LENGTHS.len(), T, C);
    batch.inputs.assign(&x.permuted_axes([1, 0, 2]));
    batch.lengths = LENGTHS.into();
    for (b, &length) in LENGTHS.iter().enumerate() {
        let length = length as usize;
        for t in 0..T {
            if t >= length {
                batch.inputs.index_axis_mut(Axis(0), b).index_axis_mut(Axis(0), t).fill(0.0);
                continue;
            }
            batch.targets[[b, t]] = ((2 * b + t) % K) as u32;
            if (t + b) % 3 == 0 || t == length - 1 {
                batch.mask[[b, t]] = 0.5 + 0.25 * ((t + b) % 4) as f32;
            }
        }
    }
    batch
}

/// Gives a model the parameters of `fixtures/cells.py`.
fn set(model: &mut dyn Model, suffixes: &[&str]) {
    let mut state = model.state().unwrap();
    for tensor in state.iter_mut().filter(|t| !t.name.starts_with("optimizer.")) {
        let block = |name: &str| {
            let suffix = tensor.name.strip_prefix(name)?;
            Some(10.0 * suffixes.iter().position(|s| *s == suffix)? as f64)
        };
        let count = tensor.values.len();
        tensor.values = match tensor.name.as_str() {
            "readout" => numbers(61.0, count, 0.7),
            "readout_bias" => numbers(62.0, count, 0.2),
            "recurrent_bias" => numbers(50.0, count, 0.4),
            "log_time_constant" => numbers(51.0, count, 0.6)
                .into_iter()
                .map(|v| (f64::from(v) + f64::from(60.0_f64.ln() as f32)) as f32)
                .collect(),
            _ => match (block("recurrent"), block("input"), block("bias")) {
                (Some(offset), _, _) => numbers(offset, count, 0.5),
                (_, Some(offset), _) => numbers(offset + 1.0, count, 0.8),
                (_, _, Some(offset)) => numbers(offset + 2.0, count, 0.3),
                _ => panic!("{} is not among the parameters", tensor.name),
            },
        };
    }
    model.restore(&state).unwrap();
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../../fixtures/cells.json")).unwrap()
}

fn expected(golden: &Value) -> Vec<f64> {
    golden.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The largest relative error of loss and gradients, over one to three threads.
fn compare<M: Component + Model>(params: Value, suffixes: &[&str], golden: &Value, activity: bool) -> f64 {
    let (batch, mut worst) = (batch(), 0.0_f64);
    let term = Array3::from_shape_vec((T, 5, N), numbers(70.0, T * 5 * N, 0.05)).unwrap();
    for threads in 1..=3 {
        let mut model: M = build(params.clone(), &setting(threads));
        set(&mut model, suffixes);
        let mut gradient = Array3::from_elem((suffixes.len(), N, N), f32::NAN);
        // A longer pass before and two backward passes: earlier passes must
        // leave no trace.
        let longer =
            ragged_batch(super::Size { neurons: N, channels: C, classes: K, trials: 9, steps: 14 }, 1);
        model.forward(&longer.view(), Mode::Train { noise_seed: 1 }).unwrap();
        model.backward(None, gradient.view_mut()).unwrap();
        let loss = model.forward(&batch.view(), Mode::Train { noise_seed: 1 }).unwrap().loss;
        let evaluated = model.forward(&batch.view(), Mode::Evaluate).unwrap().loss;
        let target = golden["loss"].as_f64().unwrap();
        worst = worst.max((loss / target - 1.0).abs()).max((evaluated / target - 1.0).abs());
        for _ in 0..2 {
            model.backward(activity.then(|| term.view()), gradient.view_mut()).unwrap();
        }
        model.update(gradient.view()).unwrap();
        // After the first update, the first moments are 0.1 times the
        // gradients.
        let state = model.state().unwrap();
        let gradients = golden["gradients"].as_object().unwrap();
        for (name, gradient) in gradients {
            let name = format!("optimizer.first_moment.{name}");
            let moment = &state.iter().find(|t| t.name == name).unwrap().values;
            worst = worst.max(distance(moment, expected(gradient).into_iter().map(|g| 0.1 * g)));
        }
        assert_eq!(gradients.len(), state.iter().filter(|t| !t.name.starts_with("optimizer.")).count());
    }
    worst
}

#[test]
fn models_agree_with_pytorch() {
    let golden = golden();
    for activity in [false, true] {
        let of = |name: &str| &golden[&format!("{name}{}", if activity { " with activity" } else { "" })];
        let quiet = json!({"noise": 0.0});
        let mut found = vec![
            ("gru", compare::<Trained<Gru>>(quiet.clone(), &["", "_reset", "_update"], of("gru"), activity)),
            (
                "lstm",
                compare::<Trained<Lstm>>(quiet, &["", "_input", "_forget", "_output"], of("lstm"), activity),
            ),
        ];
        for (name, transfer) in
            [("leaky relu", "relu"), ("leaky tanh", "tanh"), ("leaky softplus", "softplus")]
        {
            let params = json!({"noise": 0.0, "recurrent_noise": 0.0, "step": 20.0, "learn_tau": true, "transfer": transfer});
            found.push((name, compare::<Trained<Leaky>>(params, &[""], of(name), activity)));
        }
        for (name, error) in found {
            println!("{name}, activity {activity}: {error:.1e}");
            assert!(error < 1e-5, "{name}, activity {activity}: off by {error:.1e}");
        }
    }
}

#[test]
fn the_reservoirs_read_out_is_the_regressions_solution() {
    let mut model: Reservoir = build(json!({"noise": 0.0, "leak": 0.7, "ridge": 0.01}), &setting(1));
    set(&mut model, &[""]);
    let before = model.recurrent(0).unwrap().to_owned();
    let (batch, mut gradient) = (batch(), Array3::zeros((1, N, N)));
    // The same trials in two halves, in either order, and again.
    for range in [0..3, 3..5, 3..5, 0..3] {
        model.forward(&batch.slice(range), Mode::Train { noise_seed: 1 }).unwrap();
        model.backward(None, gradient.view_mut()).unwrap();
        model.update(gradient.view()).unwrap();
    }
    let state = model.state().unwrap();
    let values = |name: &str| state.iter().find(|t| t.name == name).unwrap().values.clone();
    let error =
        distance(&[values("readout"), values("readout_bias")].concat(), expected(&golden()["reservoir"]));
    assert!(error < 1e-6, "off by {error:.1e}");
    assert_eq!(model.recurrent(0).unwrap(), before);
    assert!(!model.plastic());
}

/// With one time constant, `rnn.leaky` equals `rnn.vanilla` with a leak.
#[test]
fn leaky_units_of_one_time_constant_equal_vanilla() {
    let setting = Setting {
        neurons: Some(SMALL.neurons),
        inputs: Some(SMALL.channels),
        classes: Some(SMALL.classes),
        step_ms: Some(25.0),
        ..Setting::default()
    };
    // Weak weights, a label at the end: gradients vanish on the way back.
    for (tau, leak, strength) in [(100.0, 0.25, 1.0), (25.0, 1.0, 1.0), (10.0, 1.0, 1.0), (25.0, 1.0, 1e-6)] {
        let mut leaky: Trained<Leaky> = build(json!({"tau": tau, "recurrent_noise": 0.0}), &setting);
        let mut plain = Vanilla::build(vanilla::Params { leak, ..Default::default() }, &setting).unwrap();
        let weights = super::build(SMALL, 1, quiet()).recurrent(0).unwrap().mapv(|w| strength * w);
        leaky.initialise(weights.view(), 3).unwrap();
        plain.initialise(weights.view(), 3).unwrap();
        for seed in 0..5 {
            let batch = if strength < 1.0 { super::batch(SMALL, seed) } else { ragged_batch(SMALL, seed) };
            let mut losses = Vec::new();
            for model in [&mut leaky as &mut dyn Model, &mut plain] {
                losses.push(model.forward(&batch.view(), Mode::Train { noise_seed: seed }).unwrap().loss);
                let mut gradient = Array3::zeros((1, SMALL.neurons, SMALL.neurons));
                model.backward(None, gradient.view_mut()).unwrap();
                model.update(gradient.view()).unwrap();
            }
            assert!((losses[0] / losses[1] - 1.0).abs() < 1e-5, "τ = {tau}, batch {seed}: {losses:?}");
        }
    }
}

/// Recurrent noise has the stated variance, occurs only in training, and does
/// not depend on the number of threads.
#[test]
fn recurrent_noise_has_the_stated_variance() {
    let (n, trials, steps) = (20, 40, 60);
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let setting =
            Setting { neurons: Some(n), inputs: Some(1), classes: Some(2), threads, ..Setting::default() };
        // Small enough for tanh to be linear.
        let params =
            json!({"noise": 0.0, "recurrent_noise": 0.01, "tau": 50.0, "step": 10.0, "transfer": "tanh"});
        let mut model: Trained<Leaky> = build(params, &setting);
        let mut batch = Batch::zeros(trials, steps, 1);
        (0..trials).for_each(|trial| batch.label_at_end(trial, 0));
        model.forward(&batch.view(), Mode::Train { noise_seed: 8 }).unwrap();
        let activity = model.activity().unwrap().to_owned();
        let late = activity.slice(pallium_core::ndarray::s![30.., .., ..]);
        let variance = late.iter().map(|&h| f64::from(h).powi(2)).sum::<f64>() / late.len() as f64;
        // α²·(2/α)·σ²/(1 − (1 − α)²) = 2σ²/(2 − α); a few hundred independent
        // values, so a relative error of some percent.
        let expected = 2.0 * 1e-4 / (2.0 - 0.2);
        assert!((variance / expected - 1.0).abs() < 0.05, "{variance} {expected}");
        let values: Vec<f32> = activity.iter().copied().collect();
        assert_eq!(*first.get_or_insert_with(|| values.clone()), values);
        model.forward(&batch.view(), Mode::Record).unwrap();
        assert!(model.activity().unwrap().iter().all(|&h| h == 0.0));
    }
}

#[test]
fn time_constants_are_drawn_and_trained_if_set() {
    let setting = Setting { neurons: Some(400), inputs: Some(2), classes: Some(2), ..Setting::default() };
    let of = |params: Value| {
        let mut model: Trained<Leaky> = build(params, &setting);
        model.initialise(Matrix::eye(400).view(), 5).unwrap();
        let read = |model: &dyn Model| {
            let state = model.state().unwrap();
            state.into_iter().find(|t| t.name == "log_time_constant").unwrap().values
        };
        let before = read(&model);
        let mut batch = Batch::zeros(4, 6, 2);
        batch.inputs.fill(1.0);
        (0..4).for_each(|trial| batch.label_at_end(trial, 1));
        let mut gradient = Array3::zeros((1, 400, 400));
        model.forward(&batch.view(), Mode::Train { noise_seed: 1 }).unwrap();
        model.backward(None, gradient.view_mut()).unwrap();
        model.update(gradient.view()).unwrap();
        let changed = read(&model) != before;
        (before, changed)
    };
    let (alike, changed) = of(json!({}));
    assert!(alike.iter().all(|&t| t == 100.0_f64.ln() as f32) && !changed);
    let (spread, changed) = of(json!({"tau_spread": 0.5, "learn_tau": true}));
    let mean = spread.iter().sum::<f32>() / 400.0;
    let deviation = (spread.iter().map(|t| (t - mean).powi(2)).sum::<f32>() / 399.0).sqrt();
    // Four standard errors.
    assert!((mean - 100.0_f32.ln()).abs() < 0.1 && (deviation - 0.5).abs() < 0.07 && changed);
    for wrong in [
        json!({"tau": 0.0}),
        json!({"step": -1.0}),
        json!({"tau_spread": 9.0}),
        json!({"recurrent_noise": -1}),
    ] {
        let params = pallium_core::parse_parameters("rnn.leaky", &wrong.to_string()).unwrap();
        assert!(Trained::<Leaky>::build(params, &setting).is_err(), "{wrong}");
    }
}

#[test]
fn gates_start_as_their_parameter_sets() {
    let setting = setting(1);
    let given = Matrix::from_shape_fn((N, N), |(i, j)| (i * N + j) as f32);
    for (gates, sum) in [("same", 630.0), ("zero", 0.0), ("relabelled", 630.0)] {
        let mut model: Trained<Lstm> = build(json!({"gates": gates}), &setting);
        model.initialise(given.view(), 1).unwrap();
        assert_eq!(model.recurrent(0).unwrap(), given);
        for block in 1..4 {
            let gate = model.recurrent(block).unwrap();
            assert_eq!(gate.sum(), sum);
            assert_eq!(gate == given, gates == "same");
            let relabelled = gate.diag().sum() == given.diag().sum();
            assert_eq!(relabelled, gates != "zero");
        }
        assert!(model.recurrent(4).is_err());
        let state = model.state().unwrap();
        let forget = &state.iter().find(|t| t.name == "bias_forget").unwrap().values;
        assert!(forget.iter().all(|&b| b == 1.0));
    }
}
