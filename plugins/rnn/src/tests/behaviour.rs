//! The contract of `rnn.vanilla` with its host.

use pallium_core::ndarray::{Array3, Axis, s};
use pallium_core::prelude::*;

use super::{
    Adam, FULL, SMALL, Size, alone, batch, bits, build, evaluate, gradients, learn, pass, put, quiet,
    ragged_batch, recurrent, recurrent_gradient, tensor, train, weights,
};
use crate::vanilla::{Params, Vanilla};

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let batch = ragged_batch(SMALL, 21);
    let mut model = build(SMALL, 1, Params { noise: 0.1, leak: 0.6, ..Params::default() });
    let pass = train(&mut model, &batch, 4);
    let gradient = recurrent_gradient(&mut model, &pass, None);
    // Along the gradient itself, with the same noise.
    let length = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    let direction = gradient.mapv(|g| g / length as f32);
    let start = weights(&model);
    let mut at = |width: f32| {
        let moved = &start + &(&direction * width);
        put(&mut model, "recurrent", moved.as_slice().unwrap());
        train(&mut model, &batch, 4).sums.mean()
    };
    let width = 4e-3;
    let slope = (at(width) - at(-width)) / f64::from(2.0 * width);
    assert!((slope / length - 1.0).abs() < 1e-3, "slope {slope}, gradient {length}");
}

#[test]
fn learns() {
    let batch = batch(SMALL, 2);
    let mut model = build(SMALL, 1, Params::default());
    let first = evaluate(&mut model, &batch).sums;
    let mut adam = Adam::new(0.01);
    for seed in 0..150 {
        learn(&mut model, &mut adam, &batch, seed);
    }
    let last = evaluate(&mut model, &batch).sums;
    assert!(last.mean() < 0.2 * first.mean(), "{last:?} after {first:?}");
    assert_eq!((last.correct, last.weight), (SMALL.trials as f64, SMALL.trials as f64));
}

/// All that a training leaves in the model are its parameters.
#[test]
fn continues_bit_identically_from_its_parameters() {
    let batches = [batch(SMALL, 1), ragged_batch(SMALL, 2)];
    let mut model = build(SMALL, 1, Params::default());
    let mut adam = Adam::new(1e-3);
    for seed in 0..5 {
        learn(&mut model, &mut adam, &batches[seed % 2], seed as u64);
    }
    let saved: Vec<Tensor> = model.parameters().unwrap().iter().map(|p| p.to_tensor()).collect();
    assert!(model.state().unwrap().is_empty());
    let mut other = build(SMALL, 1, Params::default());
    other.initialise(Matrix::ones((SMALL.neurons, SMALL.neurons)).view(), 999).unwrap();
    learn(&mut other, &mut Adam::new(0.1), &batches[0], 0);
    for (parameter, saved) in other.parameters_mut().unwrap().into_iter().zip(&saved) {
        parameter.copy_from_slice(saved.slice().unwrap());
    }
    other.restore(&[]).unwrap();
    assert_eq!(bits(&other), bits(&model));
    let mut other_adam = adam.clone();
    for seed in 5..10 {
        let (a, b) = (
            learn(&mut model, &mut adam, &batches[seed % 2], seed as u64),
            learn(&mut other, &mut other_adam, &batches[seed % 2], seed as u64),
        );
        assert_eq!(a.outputs, b.outputs);
    }
    assert_eq!(bits(&other), bits(&model));

    let info = model.info();
    let names: Vec<_> = saved.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["recurrent", "input", "bias", "readout", "readout_bias"]);
    for (tensor, parameter) in saved.iter().zip(&info.parameters) {
        assert_eq!((&tensor.name, &tensor.shape), (&parameter.name, &parameter.shape));
        assert_eq!(tensor.values.len(), parameter.len(), "{}", tensor.name);
    }
    let count: usize = saved.iter().map(|t| t.values.len()).sum();
    assert_eq!(info.count(), count);
}

/// What is lent with its gradient are the parameters themselves, all of them, in
/// the order of the description.
#[test]
fn lent_parameters_are_those_of_the_passes() {
    let batch = ragged_batch(SMALL, 2);
    let mut model = build(SMALL, 2, quiet());
    let pass = train(&mut model, &batch, 0);
    model.backward(pass.gradient.view(), None).unwrap();
    let before = bits(&model);
    let mut indices = Vec::new();
    for learned in model.learned().unwrap() {
        assert_eq!(learned.values.len(), learned.gradient.len());
        let found: Vec<u32> = learned.values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(found, before[learned.index].1);
        indices.push(learned.index);
        learned.values.iter_mut().for_each(|v| *v = learned.index as f32);
    }
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    for (index, parameter) in model.parameters().unwrap().iter().enumerate() {
        assert!(parameter.values.iter().all(|&v| v == index as f32), "{}", parameter.name);
    }
    for (index, parameter) in model.parameters_mut().unwrap().into_iter().enumerate() {
        assert!(parameter.iter().all(|&v| v == index as f32));
        parameter.fill(0.0);
    }
    // The passes use them: without weights, outputs are the last bias.
    put(&mut model, "readout_bias", &[1.0, 2.0, 3.0, 4.0]);
    let outputs = evaluate(&mut model, &batch).outputs;
    assert!(outputs.outer_iter().all(|row| row.to_vec() == [1.0, 2.0, 3.0, 4.0]));
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let batches = [batch(SMALL, 1), ragged_batch(SMALL, 2)];
    for threads in [1, 2, 4] {
        let run = |noise: u64| {
            let mut model = build(SMALL, threads, Params::default());
            let mut adam = Adam::new(1e-3);
            let losses: Vec<_> = (0..6)
                .map(|i| learn(&mut model, &mut adam, &batches[i % 2], noise + i as u64).sums.loss.to_bits())
                .collect();
            (losses, bits(&model))
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0), run(1));
    }
}

#[test]
fn initial_weights_follow_the_seed_and_glorot() {
    let mut model = build(FULL, 1, quiet());
    let recurrent = weights(&model);
    model.initialise(recurrent.view(), 1).unwrap();
    let first = bits(&model);
    let batch = batch(Size { trials: 4, steps: 5, ..FULL }, 0);
    learn(&mut model, &mut Adam::new(1e-3), &batch, 0);
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
            let gradient = gradients(&mut model, &trained, None);
            let trained = train(&mut model, &batch, 1);
            let evaluated = evaluate(&mut model, &super::batch(SMALL, 3));
            assert_eq!(gradients(&mut model, &trained, None), gradient);
            assert_ne!(evaluated.outputs, trained.outputs);
            assert_eq!(evaluate(&mut model, &batch).outputs, trained.outputs);
            let recorded = pass(&mut model, &batch.view(), Mode::Record).unwrap();
            assert_eq!(recorded.outputs, trained.outputs);
            let activity = model.activity().unwrap();
            assert!(activity.is_standard_layout());
            for (trial, &length) in batch.lengths.iter().enumerate() {
                let past = activity.slice(s![length as usize.., trial, ..]);
                assert!(past.iter().all(|&h| h == 0.0));
            }
        }
    }
}

/// Evaluation computes trials with the same input once, but writes the outputs of
/// each where it is scored.
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
        let every = pass(&mut model, &batch.view(), Mode::Record).unwrap();
        let shared = evaluate(&mut model, &batch);
        assert_eq!(shared.outputs, every.outputs);
        assert_eq!(shared.sums, every.sums);
    }
}

/// Inputs past the end of a trial, and the other trials of a batch, do not
/// affect it.
#[test]
fn trials_are_independent_and_end() {
    let mut model = build(SMALL, 1, quiet());
    let long = ragged_batch(SMALL, 8);
    let complete = evaluate(&mut model, &long);
    for trial in 0..SMALL.trials {
        let length = long.lengths[trial] as usize;
        let mut alone = long.slice(trial..trial + 1);
        alone.inputs = alone.inputs.slice_move(s![.., ..length, ..]);
        let TargetsView::Classes(classes) = alone.targets else { unreachable!() };
        alone.targets = TargetsView::Classes(classes.slice_move(s![.., ..length]));
        alone.mask = alone.mask.slice_move(s![.., ..length]);
        let found = pass(&mut model, &alone, Mode::Evaluate).unwrap().outputs;
        let rows: Vec<usize> = long
            .view()
            .scored()
            .enumerate()
            .filter(|(_, at)| at.trial == trial)
            .map(|(row, _)| row)
            .collect();
        let expected = complete.outputs.select(Axis(0), &rows);
        assert!((&found - &expected).iter().all(|d| d.abs() < 1e-5), "trial {trial}");
    }

    let mut dirty = long.clone();
    for (trial, &length) in long.lengths.iter().enumerate() {
        dirty.inputs.slice_mut(s![trial, length as usize.., ..]).fill(1e3);
    }
    let one = train(&mut model, &dirty, 0);
    assert_eq!(one.outputs, complete.outputs);
    let gradient = gradients(&mut model, &one, None);
    let two = train(&mut model, &long, 0);
    assert_eq!(gradients(&mut model, &two, None), gradient);
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
        let contiguous = train(&mut model, &batch, 0);
        let plain = gradients(&mut model, &contiguous, Some(&terms));
        let mut gaps = Matrix::from_elem((contiguous.outputs.nrows(), 2 * SMALL.outputs), f32::NAN);
        let inside = s![.., ..;2];
        model.forward(&batch.view(), Mode::Train { noise_seed: 0 }, gaps.slice_mut(inside)).unwrap();
        assert_eq!(gaps.slice(inside), contiguous.outputs);
        gaps.slice_mut(inside).assign(&contiguous.gradient);
        model.backward(gaps.slice(inside), Some(doubled.slice(s![.., .., ..;2]))).unwrap();
        for (learned, (name, expected)) in model.learned().unwrap().into_iter().zip(&plain) {
            assert_eq!(learned.gradient, expected, "{name}");
        }
    }
}

#[test]
fn weights_of_nan_show_in_the_outputs() {
    for value in [f32::NAN, f32::INFINITY] {
        for (threads, leak) in [(1, 1.0), (2, 1.0), (1, 0.5)] {
            let batch = batch(SMALL, 1);
            let mut model = build(SMALL, threads, Params { leak, ..quiet() });
            let n = SMALL.neurons;
            put(&mut model, "recurrent", &vec![value; n * n]);
            for mode in [Mode::Evaluate, Mode::Record, Mode::Train { noise_seed: 1 }] {
                let pass = pass(&mut model, &batch.view(), mode).unwrap();
                assert!(!pass.outputs.iter().any(|v| v.is_finite()));
                assert!(!pass.sums.loss.is_finite());
            }
            let mut adam = Adam::new(1e-3);
            learn(&mut model, &mut adam, &batch, 1);
            assert!(!learn(&mut model, &mut adam, &batch, 2).sums.loss.is_finite());
        }
    }
}

#[test]
fn a_batch_without_scored_steps_has_no_gradient() {
    let mut batch = batch(SMALL, 1);
    batch.mask.fill(0.0);
    let mut model = build(SMALL, 1, quiet());
    let pass = train(&mut model, &batch, 0);
    assert_eq!(pass.outputs.dim(), (0, SMALL.outputs));
    for (name, gradient) in gradients(&mut model, &pass, None) {
        assert!(gradient.iter().all(|&g| g == 0.0), "{name}");
    }
}

/// Neither faer nor candle may start threads: a host with one worker per core
/// would be overloaded. Threads are counted in a separate process because other
/// tests start threads in this one.
#[test]
fn starts_no_threads() {
    alone("tests::behaviour::count_threads");
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
    learn(&mut model, &mut Adam::new(1e-3), &batch, 1);
    batch.mask.fill(1.0);
    for (name, size) in [("every step scored", FULL), ("many outputs", Size { outputs: 60, ..FULL })] {
        let mut model = build(size, 2, Params::default());
        learn(&mut model, &mut Adam::new(1e-3), &batch, 1);
        evaluate(&mut model, &batch);
        let after = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert_eq!(after, before, "{name}");
    }
}

/// The model starts as the setting's seed says even if it is not initialised.
#[test]
fn a_new_model_is_that_of_the_settings_seed() {
    let setting = Setting { seed: 11, ..SMALL.setting(1) };
    let mut model = Vanilla::build(quiet(), &setting).unwrap();
    let zeros = Matrix::zeros((SMALL.neurons, SMALL.neurons));
    assert_eq!(weights(&model), zeros);
    let input = tensor(&model, "input");
    model.initialise(recurrent(SMALL.neurons).view(), 11).unwrap();
    assert_eq!(tensor(&model, "input"), input);
}

#[test]
fn conforms() {
    pallium_testkit::assert_all_conform();
}
