//! The contract of `rnn.vanilla` with its host.

use std::process::Command;

use pallium_core::ndarray::{Array3, Axis, s};
use pallium_core::prelude::*;

use super::{FULL, SMALL, Size, batch, build, learn, quiet, ragged_batch, recurrent_gradient, tensor, train};
use crate::vanilla::{Params, Vanilla};

fn bits(model: &Vanilla) -> Vec<(String, Vec<u32>)> {
    let state = model.state().unwrap().into_iter();
    state.map(|t| (t.name, t.values.iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let batch = ragged_batch(SMALL, 21);
    let mut model = build(SMALL, 1, Params { noise: 0.1, leak: 0.6, ..Params::default() });
    train(&mut model, &batch, 4);
    let gradient = recurrent_gradient(&mut model, None);
    // Along the gradient itself, with the same noise.
    let length = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    let direction = gradient.mapv(|g| g / length as f32);
    let start = model.recurrent(0).unwrap().to_owned();
    let mut at = |width: f32| {
        model.recurrent_mut(0).unwrap().assign(&(&start + &(&direction * width)));
        train(&mut model, &batch, 4).loss
    };
    let width = 4e-3;
    let slope = (at(width) - at(-width)) / f64::from(2.0 * width);
    assert!((slope / length - 1.0).abs() < 1e-3, "slope {slope}, gradient {length}");
}

#[test]
fn learns() {
    let batch = batch(SMALL, 2);
    let mut model = build(SMALL, 1, Params { learning_rate: 0.01, ..Params::default() });
    let first = model.forward(&batch.view(), Mode::Evaluate).unwrap();
    for seed in 0..150 {
        learn(&mut model, &batch, seed);
    }
    let last = model.forward(&batch.view(), Mode::Evaluate).unwrap();
    assert!(last.loss < 0.2 * first.loss, "{} after {}", last.loss, first.loss);
    assert_eq!((last.correct, last.weight), (SMALL.trials as f64, SMALL.trials as f64));
}

#[test]
fn continues_bit_identically_from_a_saved_state() {
    let batches = [batch(SMALL, 1), ragged_batch(SMALL, 2)];
    let mut model = build(SMALL, 1, Params::default());
    for seed in 0..5 {
        learn(&mut model, &batches[seed % 2], seed as u64);
    }
    let state = model.state().unwrap();
    let mut other = build(SMALL, 1, Params::default());
    other.initialise(Matrix::ones((SMALL.neurons, SMALL.neurons)).view(), 999).unwrap();
    learn(&mut other, &batches[0], 0);
    other.restore(&state).unwrap();
    assert_eq!(bits(&other), bits(&model));
    for seed in 5..10 {
        let (a, b) = (
            learn(&mut model, &batches[seed % 2], seed as u64),
            learn(&mut other, &batches[seed % 2], seed as u64),
        );
        assert_eq!(a.loss.to_bits(), b.loss.to_bits());
    }
    assert_eq!(bits(&other), bits(&model));

    let names: Vec<_> = state.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names[..5], ["recurrent", "input", "bias", "readout", "readout_bias"]);
    assert!(names[5..].iter().all(|name| name.starts_with("optimizer.")));
    for tensor in &state {
        assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len(), "{}", tensor.name);
    }
    let trained: usize = state[..5].iter().map(|t| t.values.len()).sum();
    assert_eq!(model.info().parameters, trained);
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut model = build(SMALL, 1, quiet());
    let before = bits(&model);
    let state = model.state().unwrap();
    for index in 0..state.len() {
        let mut missing = state.clone();
        let name = missing.remove(index).name;
        let error = model.restore(&missing).unwrap_err();
        assert!(error.message.contains(&format!("`{name}`")), "{error}");
        let mut wrong_size = state.clone();
        wrong_size[index].shape.push(1);
        wrong_size[index].shape[0] += 1;
        let error = model.restore(&wrong_size).unwrap_err();
        assert!(error.message.contains(&format!("`{name}`")), "{error}");
    }
    assert_eq!(bits(&model), before);
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let batches = [batch(SMALL, 1), ragged_batch(SMALL, 2)];
    for threads in [1, 2, 4] {
        let run = |noise: u64| {
            let mut model = build(SMALL, threads, Params::default());
            let losses: Vec<_> =
                (0..6).map(|i| learn(&mut model, &batches[i % 2], noise + i as u64).loss.to_bits()).collect();
            (losses, bits(&model))
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0), run(1));
    }
}

#[test]
fn initial_weights_follow_the_seed_and_glorot() {
    let mut model = build(FULL, 1, quiet());
    let recurrent = model.recurrent(0).unwrap().to_owned();
    model.initialise(recurrent.view(), 1).unwrap();
    let first = bits(&model);
    learn(&mut model, &batch(Size { trials: 4, steps: 5, ..FULL }, 0), 0);
    model.initialise(recurrent.view(), 2).unwrap();
    assert_ne!(bits(&model), first);
    model.initialise(recurrent.view(), 1).unwrap();
    assert_eq!(bits(&model), first);
    for (name, fans) in [("input", 8 + 312), ("readout", 312 + 4)] {
        let (values, limit) = (tensor(&model, name), (6.0 / fans as f32).sqrt());
        let largest = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        assert!(largest <= limit && largest > 0.98 * limit, "{name}: {largest} of {limit}");
        let variance = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        assert!((variance / (limit * limit / 3.0) - 1.0).abs() < 0.1, "{name}: variance {variance}");
    }
    for name in ["bias", "readout_bias"] {
        assert!(tensor(&model, name).iter().all(|&v| v == 0.0));
    }
}

/// Evaluation, recording and training without noise give the same results, and
/// evaluation leaves the last training pass intact.
#[test]
fn all_modes_agree() {
    for leak in [1.0, 0.4] {
        for threads in [1, 3] {
            let batch = ragged_batch(Size { trials: 40, ..SMALL }, 6);
            let mut model = build(SMALL, threads, Params { leak, ..quiet() });
            let trained = train(&mut model, &batch, 1);
            let gradient = recurrent_gradient(&mut model, None);
            let evaluated = model.forward(&super::batch(SMALL, 3).view(), Mode::Evaluate).unwrap();
            assert_eq!(recurrent_gradient(&mut model, None), gradient);
            assert_ne!(evaluated, trained);
            assert_eq!(model.forward(&batch.view(), Mode::Evaluate).unwrap(), trained);
            assert_eq!(model.forward(&batch.view(), Mode::Record).unwrap(), trained);
            assert_eq!(trained.weight, batch.mask.iter().map(|&m| f64::from(m)).sum::<f64>());
            let activity = model.activity().unwrap();
            assert!(activity.is_standard_layout());
            for (trial, &length) in batch.lengths.iter().enumerate() {
                let past = activity.slice(s![length as usize.., trial, ..]);
                assert!(past.iter().all(|&h| h == 0.0));
            }
        }
    }
}

/// Evaluation computes trials with the same input once, but scores each with
/// its own mask and targets.
#[test]
fn trials_with_the_same_input_are_scored_separately() {
    for threads in [1, 3] {
        let mut batch = ragged_batch(Size { trials: 40, ..SMALL }, 9);
        let kinds = batch.inputs.slice(s![..4, .., ..]).to_owned();
        for (trial, mut input) in batch.inputs.outer_iter_mut().enumerate() {
            input.assign(&kinds.index_axis(Axis(0), (trial / 2) % 4));
        }
        // A trial that differs only in its last step has another input.
        let last = batch.lengths[39] as usize - 1;
        batch.inputs[[39, last, 0]] += 0.5;
        batch.mask[[39, last]] = 1.0;
        let mut model = build(SMALL, threads, quiet());
        let every = model.forward(&batch.view(), Mode::Record).unwrap();
        let shared = model.forward(&batch.view(), Mode::Evaluate).unwrap();
        assert!((shared.loss / every.loss - 1.0).abs() < 1e-6, "{shared:?}, {every:?}");
        assert_eq!((shared.correct, shared.weight), (every.correct, every.weight));
    }
}

/// Inputs past the end of a trial, and the other trials of a batch, do not
/// affect it.
#[test]
fn trials_are_independent_and_end() {
    let mut model = build(SMALL, 1, quiet());
    let long = ragged_batch(SMALL, 8);
    let complete = model.forward(&long.view(), Mode::Evaluate).unwrap();
    let (mut loss, mut correct) = (0.0, 0.0);
    for trial in 0..SMALL.trials {
        let length = long.lengths[trial] as usize;
        let view = long.slice(trial..trial + 1);
        let alone = BatchView {
            inputs: view.inputs.slice(s![.., ..length, ..]),
            targets: view.targets.slice(s![.., ..length]),
            mask: view.mask.slice(s![.., ..length]),
            ..view
        };
        let outcome = model.forward(&alone, Mode::Evaluate).unwrap();
        loss += outcome.loss * outcome.weight;
        correct += outcome.correct;
    }
    assert!((loss / complete.weight - complete.loss).abs() < 1e-5);
    assert!((correct - complete.correct).abs() < 1e-6);

    let mut dirty = long.clone();
    for (trial, &length) in long.lengths.iter().enumerate() {
        dirty.inputs.slice_mut(s![trial, length as usize.., ..]).fill(1e3);
    }
    assert_eq!(train(&mut model, &dirty, 0), complete);
    let gradient = recurrent_gradient(&mut model, None);
    train(&mut model, &long, 0);
    assert_eq!(recurrent_gradient(&mut model, None), gradient);
}

#[test]
fn strided_views_give_the_same_results() {
    let batch = ragged_batch(SMALL, 12);
    let n = SMALL.neurons;
    let terms =
        Array3::from_shape_fn((SMALL.steps, SMALL.trials, n), |(t, b, i)| (t + 2 * b + 3 * i) as f32 * 1e-3);
    let mut doubled = Array3::zeros((SMALL.steps, SMALL.trials, 2 * n));
    doubled.slice_mut(s![.., .., ..;2]).assign(&terms);
    for threads in [1, 2] {
        let mut model = build(SMALL, threads, quiet());
        train(&mut model, &batch, 0);
        let plain = recurrent_gradient(&mut model, Some(&terms));
        let mut gaps = Array3::from_elem((1, n, 2 * n), f32::NAN);
        model.backward(Some(doubled.slice(s![.., .., ..;2])), gaps.slice_mut(s![.., .., ..;2])).unwrap();
        assert_eq!(gaps.slice(s![0, .., ..;2]), plain);
        let mut other = build(SMALL, threads, quiet());
        train(&mut other, &batch, 0);
        recurrent_gradient(&mut other, Some(&terms));
        model.update(gaps.slice(s![.., .., ..;2])).unwrap();
        other.update(plain.view().insert_axis(Axis(0))).unwrap();
        assert_eq!(bits(&model), bits(&other));
    }
}

#[test]
fn weights_of_nan_show_in_the_loss() {
    for value in [f32::NAN, f32::INFINITY] {
        for (threads, leak) in [(1, 1.0), (2, 1.0), (1, 0.5)] {
            let batch = batch(SMALL, 1);
            let mut model = build(SMALL, threads, Params { leak, ..quiet() });
            model.recurrent_mut(0).unwrap().fill(value);
            for mode in [Mode::Evaluate, Mode::Record, Mode::Train { noise_seed: 1 }] {
                let outcome = model.forward(&batch.view(), mode).unwrap();
                assert!(!outcome.loss.is_finite());
                let zeros =
                    (0..SMALL.trials).filter(|&trial| batch.targets[[trial, SMALL.steps - 1]] == 0).count();
                assert_eq!((outcome.correct, outcome.weight), (zeros as f64, SMALL.trials as f64));
            }
            let outcome = learn(&mut model, &batch, 1);
            assert!(!outcome.loss.is_finite());
            assert!(!learn(&mut model, &batch, 2).loss.is_finite());
        }
    }
}

#[test]
fn a_batch_without_scored_steps_changes_no_recurrent_weights() {
    let mut batch = batch(SMALL, 1);
    batch.mask.fill(0.0);
    let mut model = build(SMALL, 1, quiet());
    let before = model.recurrent(0).unwrap().to_owned();
    assert_eq!(learn(&mut model, &batch, 0), Outcome { loss: 0.0, correct: 0.0, weight: 0.0 });
    assert_eq!(model.recurrent(0).unwrap(), before);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let mut model = build(SMALL, 1, quiet());
    let n = SMALL.neurons;
    let refused = |result: Result<Outcome>, text: &str| {
        let error = result.unwrap_err();
        assert!(error.message.contains(text), "{error}");
    };
    let good = batch(SMALL, 1);
    let try_batch = |model: &mut Vanilla, batch: &Batch, text: &str| {
        for mode in [Mode::Evaluate, Mode::Record, Mode::Train { noise_seed: 0 }] {
            refused(model.forward(&batch.view(), mode), text);
        }
    };
    try_batch(&mut model, &batch(Size { channels: 2, ..SMALL }, 1), "2 input channels");
    try_batch(&mut model, &Batch::zeros(0, 3, SMALL.channels), "0 trials");
    try_batch(&mut model, &Batch::zeros(3, 0, SMALL.channels), "0 steps");
    let mut bad = good.clone();
    bad.targets[[4, SMALL.steps - 1]] = 4;
    try_batch(&mut model, &bad, "trial 4 has class 4");
    let complete = good.view();
    let view = BatchView { mask: complete.mask.slice(s![.., 1..]), ..complete };
    refused(model.forward(&view, Mode::Evaluate), "targets and mask must be");
    let view = BatchView { targets: complete.targets.slice(s![1.., ..]), ..complete };
    refused(model.forward(&view, Mode::Evaluate), "targets and mask must be");
    for value in [-1.0, f32::NAN, f32::INFINITY] {
        let mut bad = good.clone();
        bad.mask[[2, 3]] = value;
        try_batch(&mut model, &bad, "the mask of trial 2 at step 3");
    }
    let mut bad = good.clone();
    bad.lengths[1] = 3;
    try_batch(&mut model, &bad, "ends after 3");
    let mut bad = good.clone();
    bad.lengths[1] = 99;
    try_batch(&mut model, &bad, "trial 1 has 99 steps");
    let short = good.lengths[..2].to_vec();
    let view = BatchView { lengths: &short, ..good.view() };
    refused(model.forward(&view, Mode::Evaluate), "2 lengths");

    assert!(model.initialise(Matrix::zeros((n, n + 1)).view(), 0).is_err());
    assert!(model.recurrent(1).is_err() && model.recurrent_mut(1).is_err());
    let mut gradient = Array3::zeros((1, n, n));
    assert!(model.activity().is_err(), "no pass yet");
    assert!(model.backward(None, gradient.view_mut()).is_err(), "no pass yet");
    assert!(model.update(gradient.view()).is_err(), "no gradient yet");
    model.forward(&good.view(), Mode::Record).unwrap();
    assert!(model.activity().is_ok());
    assert!(model.backward(None, gradient.view_mut()).is_err(), "recorded, not trained");
    train(&mut model, &good, 0);
    assert!(model.update(gradient.view()).is_err(), "no backward pass yet");
    assert!(model.backward(None, Array3::zeros((2, n, n)).view_mut()).is_err());
    let wrong = Array3::zeros((SMALL.steps, SMALL.trials, n + 1));
    assert!(model.backward(Some(wrong.view()), gradient.view_mut()).is_err());
    model.backward(None, gradient.view_mut()).unwrap();
    assert!(model.update(Array3::zeros((1, n, n - 1)).view()).is_err());
    model.update(gradient.view()).unwrap();
    assert!(model.update(gradient.view()).is_err(), "one update per backward pass");
    assert!(model.backward(None, gradient.view_mut()).is_err(), "the weights have changed");
    assert!(model.activity().is_ok());
}

#[test]
fn parameters_out_of_range_are_refused() {
    let setting = Setting { neurons: Some(4), inputs: Some(2), classes: Some(2), ..Setting::default() };
    let refused = |params: Params, name: &str| {
        let error = Vanilla::build(params, &setting).err().unwrap();
        assert!(error.message.contains(&format!("`{name}`")), "{error}");
        assert!(error.help.is_some());
    };
    let p = Params::default;
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        refused(Params { noise: bad, ..p() }, "noise");
        refused(Params { learning_rate: bad, ..p() }, "learning_rate");
    }
    for bad in [-0.1, 1.0, f64::NAN] {
        refused(Params { beta1: bad, ..p() }, "beta1");
        refused(Params { beta2: bad, ..p() }, "beta2");
    }
    for bad in [0.0, -1.0, 1e-60, f64::NAN] {
        refused(Params { epsilon: bad, ..p() }, "epsilon");
        refused(Params { leak: bad, ..p() }, "leak");
    }
    refused(Params { leak: 1.1, ..p() }, "leak");
    for lacking in [
        Setting { neurons: None, ..setting },
        Setting { inputs: None, ..setting },
        Setting { classes: None, ..setting },
        Setting { neurons: Some(0), ..setting },
        Setting { inputs: Some(0), ..setting },
        Setting { classes: Some(0), ..setting },
    ] {
        assert!(Vanilla::build(p(), &lacking).is_err());
    }
}

/// Neither faer nor candle may start threads: a host with one worker per core
/// would be overloaded. Threads are counted in a separate process because other
/// tests start threads in this one.
#[test]
fn starts_no_threads() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::behaviour::count_threads", "--ignored", "--test-threads=1", "--nocapture"])
        .env_remove("RAYON_NUM_THREADS")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by starts_no_threads in a separate process"]
fn count_threads() {
    let Ok(before) = std::fs::read_dir("/proc/self/task").map(Iterator::count) else {
        println!("skipped: this system has no /proc/self/task");
        return;
    };
    let mut batch = batch(FULL, 1);
    let mut model = build(FULL, 1, Params::default());
    learn(&mut model, &batch, 1);
    batch.mask.fill(1.0);
    for (name, size) in [("every step scored", FULL), ("many classes", Size { classes: 60, ..FULL })] {
        let mut model = build(size, 2, Params::default());
        learn(&mut model, &batch, 1);
        model.forward(&batch.view(), Mode::Evaluate).unwrap();
        let after = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert_eq!(after, before, "{name}");
    }
}

#[test]
fn conforms() {
    pallium_testkit::assert_all_conform();
}
