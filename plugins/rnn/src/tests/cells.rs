//! The other models, compared with PyTorch in double precision
//! (`fixtures/cells.py`) and with `rnn.vanilla` where they coincide.

use pallium_core::ndarray::{Array3, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};

use super::{
    Adam, SMALL, build_any as build, distance, evaluate, gradients, learn, put, ragged_batch, recurrent,
    tensor, train,
};
use crate::gru::Gru;
use crate::layout::Layout;
use crate::leaky::Leaky;
use crate::lstm::Lstm;
use crate::trained::Trained;
use crate::vanilla::{self, Vanilla};

pub(super) const N: usize = 6;
pub(super) const C: usize = 3;
pub(super) const K: usize = 3;
const T: usize = 8;
const LENGTHS: [u32; 5] = [8, 3, 8, 6, 1];

pub(super) fn setting(threads: usize) -> Setting<'static> {
    Setting { neurons: Some(N), inputs: Some(C), outputs: Some(K), threads, ..Setting::default() }
}

/// As in `fixtures/cells.py`.
fn numbers(offset: f64, count: usize, scale: f64) -> Vec<f32> {
    (0..count).map(|i| (scale * (1.0 + 0.7 * i as f64 * i as f64 + offset).sin()) as f32).collect()
}

pub(super) fn batch() -> Batch {
    let x =
        Array3::from_shape_vec((T, LENGTHS.len(), C), numbers(100.0, T * LENGTHS.len() * C, 1.0)).unwrap();
    let mut batch = Batch::zeros(LENGTHS.len(), T, C);
    batch.inputs.assign(&x.permuted_axes([1, 0, 2]));
    batch.lengths = LENGTHS.into();
    for (b, &length) in LENGTHS.iter().enumerate() {
        let length = length as usize;
        batch.inputs.slice_mut(s![b, length.., ..]).fill(0.0);
        for t in 0..length {
            batch.set_class(b, t, ((2 * b + t) % K) as u32);
            if (t + b) % 3 == 0 || t == length - 1 {
                batch.mask[[b, t]] = 0.5 + 0.25 * ((t + b) % 4) as f32;
            }
        }
    }
    batch
}

/// Gives a model the parameters of `fixtures/cells.py`.
pub(super) fn set(model: &mut dyn Model, suffixes: &[&str]) {
    for parameter in model.info().parameters {
        let block = |name: &str| {
            let suffix = parameter.name.strip_prefix(name)?;
            Some(10.0 * suffixes.iter().position(|s| *s == suffix)? as f64)
        };
        let count = parameter.len();
        let values = match parameter.name.as_str() {
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
                _ => panic!("{} is not among the parameters", parameter.name),
            },
        };
        put(model, &parameter.name, &values);
    }
}

pub(super) fn golden() -> Value {
    serde_json::from_str(include_str!("../../fixtures/cells.json")).unwrap()
}

pub(super) fn expected(golden: &Value) -> Vec<f64> {
    golden.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The largest relative error of loss and gradients, over one to three threads.
fn compare<M: Component + Model>(params: Value, suffixes: &[&str], golden: &Value, activity: bool) -> f64 {
    let (batch, mut worst) = (batch(), 0.0_f64);
    let term = Array3::from_shape_vec((T, 5, N), numbers(70.0, T * 5 * N, 0.05)).unwrap();
    for threads in 1..=3 {
        let mut model: M = build(&params, &setting(threads));
        set(&mut model, suffixes);
        // A longer pass before and two backward passes: earlier passes must
        // leave no trace.
        let longer =
            ragged_batch(super::Size { neurons: N, channels: C, outputs: K, trials: 9, steps: 14 }, 1);
        let pass = train(&mut model, &longer, 1);
        model.backward(pass.gradient.view(), None).unwrap();
        let pass = train(&mut model, &batch, 1);
        let evaluated = evaluate(&mut model, &batch).sums.mean();
        let target = golden["loss"].as_f64().unwrap();
        worst = worst.max((pass.sums.mean() / target - 1.0).abs()).max((evaluated / target - 1.0).abs());
        let term = activity.then_some(&term);
        model.backward(pass.gradient.view(), term.map(|t| t.view())).unwrap();
        let found = gradients(&mut model, &pass, term);
        let golden = golden["gradients"].as_object().unwrap();
        for (name, gradient) in &found {
            worst = worst.max(distance(gradient, expected(&golden[name])));
        }
        assert_eq!(golden.len(), found.len());
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
            found.push((name, compare::<Layout<Leaky>>(params, &[""], of(name), activity)));
        }
        for (name, error) in found {
            println!("{name}, activity {activity}: {error:.1e}");
            assert!(error < 1e-5, "{name}, activity {activity}: off by {error:.1e}");
        }
    }
}

/// With one time constant, `rnn.leaky` equals `rnn.vanilla` with a leak.
#[test]
fn leaky_units_of_one_time_constant_equal_vanilla() {
    let setting = Setting { step_ms: Some(25.0), ..SMALL.setting(1) };
    // Weak weights, a label at the end: gradients vanish on the way back.
    for (tau, leak, strength) in [(100.0, 0.25, 1.0), (25.0, 1.0, 1.0), (10.0, 1.0, 1.0), (25.0, 1.0, 1e-6)] {
        let mut leaky: Layout<Leaky> = build(&json!({"tau": tau, "recurrent_noise": 0.0}), &setting);
        let mut plain = Vanilla::build(vanilla::Params { leak, ..Default::default() }, &setting).unwrap();
        let weights = recurrent(SMALL.neurons).mapv(|w| strength * w);
        leaky.initialise(weights.view(), 3).unwrap();
        plain.initialise(weights.view(), 3).unwrap();
        let mut optimizers = [Adam::new(1e-3), Adam::new(1e-3)];
        for seed in 0..5 {
            let batch = if strength < 1.0 { super::batch(SMALL, seed) } else { ragged_batch(SMALL, seed) };
            let models = [&mut leaky as &mut dyn Model, &mut plain].into_iter().zip(&mut optimizers);
            let losses: Vec<f64> =
                models.map(|(model, adam)| learn(model, adam, &batch, seed).sums.mean()).collect();
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
        let size = super::Size { neurons: n, channels: 1, outputs: 2, trials, steps };
        // Small enough for tanh to be linear.
        let params =
            json!({"noise": 0.0, "recurrent_noise": 0.01, "tau": 50.0, "step": 10.0, "transfer": "tanh"});
        let mut model: Layout<Leaky> = build(&params, &size.setting(threads));
        model.initialise(Matrix::zeros((n, n)).view(), 11).unwrap();
        let mut batch = Batch::zeros(trials, steps, 1);
        (0..trials).for_each(|trial| batch.label_at_end(trial, 0));
        train(&mut model, &batch, 8);
        let activity = model.activity().unwrap().to_owned();
        let late = activity.slice(s![30.., .., ..]);
        let variance = late.iter().map(|&h| f64::from(h).powi(2)).sum::<f64>() / late.len() as f64;
        // α²·(2/α)·σ²/(1 − (1 − α)²) = 2σ²/(2 − α); a few hundred independent
        // values, so a relative error of some percent.
        let expected = 2.0 * 1e-4 / (2.0 - 0.2);
        assert!((variance / expected - 1.0).abs() < 0.05, "{variance} {expected}");
        let values: Vec<f32> = activity.iter().copied().collect();
        assert_eq!(*first.get_or_insert_with(|| values.clone()), values);
        super::pass(&mut model, &batch.view(), Mode::Record).unwrap();
        assert!(model.activity().unwrap().iter().all(|&h| h == 0.0));
    }
}

#[test]
fn time_constants_are_drawn_and_trained_if_set() {
    let size = super::Size { neurons: 400, channels: 2, outputs: 2, trials: 4, steps: 6 };
    let of = |params: Value| {
        let mut model: Layout<Leaky> = build(&params, &size.setting(1));
        model.initialise(Matrix::eye(400).view(), 5).unwrap();
        let before = tensor(&model, "log_time_constant");
        let mut batch = Batch::zeros(4, 6, 2);
        batch.inputs.fill(1.0);
        (0..4).for_each(|trial| batch.label_at_end(trial, 1));
        learn(&mut model, &mut Adam::new(1e-3), &batch, 1);
        let changed = tensor(&model, "log_time_constant") != before;
        let info = model.info();
        let described = info.parameters.iter().find(|p| p.name == "log_time_constant").unwrap();
        assert_eq!(described.trained, changed);
        assert_eq!(model.learned().unwrap().iter().any(|l| info.parameters[l.index] == *described), changed);
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
        assert!(Layout::<Leaky>::build(params, &size.setting(1)).is_err(), "{wrong}");
    }
}

#[test]
fn gates_start_as_their_parameter_sets() {
    let setting = setting(1);
    let given = Matrix::from_shape_fn((N, N), |(i, j)| (i * N + j) as f32);
    for (gates, sum) in [("same", 630.0), ("zero", 0.0), ("relabelled", 630.0)] {
        let mut model: Trained<Lstm> = build(&json!({"gates": gates}), &setting);
        model.initialise(given.view(), 1).unwrap();
        let parameters = model.parameters().unwrap();
        assert_eq!(parameters[0].matrix().unwrap(), given);
        let gates_found = parameters.iter().filter(|p| p.name.starts_with("recurrent_"));
        assert_eq!(gates_found.clone().count(), 3);
        for gate in gates_found {
            let gate = gate.matrix().unwrap();
            assert_eq!(gate.sum(), sum);
            assert_eq!(gate == given, gates == "same");
            let relabelled = gate.diag().sum() == given.diag().sum();
            assert_eq!(relabelled, gates != "zero");
        }
        let forget = tensor(&model, "bias_forget");
        assert!(forget.iter().all(|&b| b == 1.0));
    }
}
