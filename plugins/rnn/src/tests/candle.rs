//! `rnn.candle`, compared with `rnn.vanilla`.

use pallium_core::ndarray::{Array2, Array3};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;
use rand::Rng;

use super::{
    Adam, FULL, Pass, SMALL, Size, alone, batch, bits, build_any, distance, evaluate, gradients, learn, pass,
    ragged_batch, tensor, train,
};
use crate::candle::Candle;
use crate::vanilla::Vanilla;

/// The two models with the same weights.
fn both(leak: f64, threads: usize) -> (Candle, Vanilla) {
    let (params, setting) = (json!({"leak": leak, "noise": 0.1}), SMALL.setting(threads));
    (build_any(&params, &setting), build_any(&params, &setting))
}

fn near(what: &str, found: &[f32], expected: &[f32]) {
    if expected.iter().all(|&v| v == 0.0) {
        assert!(found.iter().all(|&v| v == 0.0), "{what}");
        return;
    }
    let off = distance(found, expected.iter().map(|&v| f64::from(v)));
    assert!(off < 1e-5, "{what}: off by {off:.1e}");
}

fn flat(values: &Array2<f32>) -> Vec<f32> {
    values.iter().copied().collect()
}

#[test]
fn outputs_activity_and_gradients_equal_vanilla() {
    let mut stream = random::stream(3, "activity gradient");
    let terms = Array3::from_shape_simple_fn((SMALL.steps, SMALL.trials, SMALL.neurons), || {
        stream.random_range(-0.1..0.1)
    });
    for (leak, threads) in [(1.0, 1), (0.25, 2)] {
        let (mut candle, mut vanilla) = both(leak, threads);
        assert_eq!(bits(&candle), bits(&vanilla));
        for batch in [batch(SMALL, 1), ragged_batch(SMALL, 2)] {
            for mode in [Mode::Evaluate, Mode::Record, Mode::Train { noise_seed: 5 }] {
                let of = |model: &mut dyn Model| pass(model, &batch.view(), mode).unwrap();
                let (found, expected): (Pass, Pass) = (of(&mut candle), of(&mut vanilla));
                near("outputs", &flat(&found.outputs), &flat(&expected.outputs));
                let activity =
                    |model: &dyn Model| -> Vec<f32> { model.activity().unwrap().iter().copied().collect() };
                if mode != Mode::Evaluate {
                    near("activity", &activity(&candle), &activity(&vanilla));
                }
            }
            for activity in [None, Some(&terms)] {
                let (found, expected) = (train(&mut candle, &batch, 5), train(&mut vanilla, &batch, 5));
                // Between the passes: an evaluation must leave no trace.
                evaluate(&mut candle, &super::batch(SMALL, 9));
                let found = gradients(&mut candle, &found, activity);
                let expected = gradients(&mut vanilla, &expected, activity);
                for ((name, found), (other, expected)) in found.iter().zip(&expected) {
                    assert_eq!(name, other);
                    near(name, found, expected);
                }
            }
        }
    }
}

#[test]
fn learns_as_vanilla_does() {
    let (mut candle, mut vanilla) = both(0.5, 1);
    let mut adams = [Adam::new(3e-3), Adam::new(3e-3)];
    for seed in 0..30 {
        let batch = batch(SMALL, seed % 3);
        let found = learn(&mut candle, &mut adams[0], &batch, seed).sums.mean();
        let expected = learn(&mut vanilla, &mut adams[1], &batch, seed).sums.mean();
        assert!((found / expected - 1.0).abs() < 1e-3, "update {seed}: {found}, {expected}");
    }
    near("weights that were learned", &tensor(&candle, "bias"), &tensor(&vanilla, "bias"));
}

#[test]
fn the_step_equals_that_of_vanilla() {
    let (candle, vanilla) = both(0.3, 1);
    let mut stream = random::stream(1, "states");
    let mut draw =
        |columns| Array2::from_shape_simple_fn((6, columns), || stream.random_range(-1.0..1.0_f64));
    let (states, inputs, cotangents) = (draw(SMALL.neurons), draw(SMALL.channels), draw(SMALL.neurons));
    let off = |found: &Array2<f64>, expected: &Array2<f64>| {
        (found - expected).iter().fold(0.0_f64, |most, d| most.max(d.abs()))
    };
    let of = |model: &dyn Model| {
        let next = model.step(states.view(), inputs.view()).unwrap();
        let (a, b) = model.step_gradient(states.view(), inputs.view(), cotangents.view()).unwrap();
        [next, a, b]
    };
    // The leak of vanilla is in single precision.
    for (found, expected) in of(&candle).iter().zip(&of(&vanilla)) {
        assert!(off(found, expected) < 1e-7, "{found} {expected}");
    }
    assert!(candle.step(inputs.view(), inputs.view()).is_err());
    assert!(candle.step_gradient(states.view(), inputs.view(), inputs.view()).is_err());
}

#[test]
fn calls_out_of_order_are_refused() {
    let (mut candle, _) = both(1.0, 1);
    let batch = batch(SMALL, 1);
    assert!(candle.activity().is_err() && candle.learned().is_err());
    let recorded = pass(&mut candle, &batch.view(), Mode::Record).unwrap();
    assert!(candle.backward(recorded.gradient.view(), None).is_err(), "recorded, not trained");
    let trained = train(&mut candle, &batch, 1);
    assert!(candle.learned().is_err(), "no backward pass yet");
    assert!(candle.backward(Matrix::zeros((2, 2)).view(), None).is_err());
    candle.backward(trained.gradient.view(), None).unwrap();
    assert!(candle.learned().is_ok());
    assert!(candle.backward(trained.gradient.view(), None).is_err(), "the weights may have changed");
    train(&mut candle, &batch, 1);
    candle.parameters_mut().unwrap();
    assert!(candle.backward(trained.gradient.view(), None).is_err(), "the weights may have changed");
}

#[test]
fn a_batch_without_scored_steps_has_no_gradient() {
    let (mut candle, _) = both(1.0, 1);
    let mut batch = batch(SMALL, 1);
    batch.mask.fill(0.0);
    let pass = train(&mut candle, &batch, 0);
    assert_eq!(pass.outputs.dim(), (0, SMALL.outputs));
    for (name, gradient) in gradients(&mut candle, &pass, None) {
        assert!(!gradient.is_empty() && gradient.iter().all(|&g| g == 0.0), "{name}");
    }
}

/// candle follows the graph of a pass recursively.
#[test]
fn long_trials_are_differentiated() {
    let size = Size { neurons: 4, channels: 1, outputs: 2, trials: 2, steps: 20_000 };
    let mut candle: Candle = build_any(&json!({"leak": 0.01}), &size.setting(1));
    let pass = train(&mut candle, &batch(size, 1), 1);
    let gradients = gradients(&mut candle, &pass, None);
    assert!(gradients.iter().all(|(_, g)| g.iter().all(|g| g.is_finite())));
    assert!(gradients.iter().any(|(_, g)| g.iter().any(|&g| g != 0.0)));
}

#[test]
fn devices_that_were_not_built_are_refused() {
    for (device, built) in [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal"))] {
        if built {
            continue;
        }
        let params = pallium_core::parse_parameters("rnn.candle", &json!({"device": device}).to_string());
        let error = Candle::build(params.unwrap(), &SMALL.setting(1)).err().unwrap();
        assert!(error.message.contains(&format!("without the device `{device}`")), "{error}");
        assert!(error.help.unwrap().contains(&format!("--features {device}")));
    }
}

/// candle's products take the threads that the setting grants, not one per core.
#[test]
fn takes_the_threads_that_are_granted() {
    alone("tests::candle::count_threads");
}

#[test]
#[ignore = "run by takes_the_threads_that_are_granted in a separate process"]
fn count_threads() {
    let count = || std::fs::read_dir("/proc/self/task").map(Iterator::count).ok();
    let Some(before) = count() else {
        println!("skipped: this system has no /proc/self/task");
        return;
    };
    // Threads end a moment after their pool.
    let settles = |expected: usize| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while count() != Some(expected) && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(count(), Some(expected));
    };
    let size = Size { steps: 3, ..FULL };
    for threads in [1, 3] {
        let mut candle: Candle = build_any(&json!({}), &size.setting(threads));
        learn(&mut candle, &mut Adam::new(1e-3), &batch(size, 1), 1);
        let n = size.neurons;
        candle.step(Array2::zeros((400, n)).view(), Array2::zeros((400, size.channels)).view()).unwrap();
        settles(before + threads);
        drop(candle);
        settles(before);
    }
}
