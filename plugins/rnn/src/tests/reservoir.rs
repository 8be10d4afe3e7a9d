//! `rnn.reservoir`: its regression, compared with numpy's, and its state.

use pallium_core::ndarray::{Array2, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;

use super::cells::{C, K, N, batch, expected, golden, set, setting};
use super::{bits, build_any, distance, pass_with, tensor, weights};
use crate::reservoir::Reservoir;

fn update(model: &mut Reservoir, batch: &BatchView<'_>, loss: Loss) -> f64 {
    let pass = pass_with(model, batch, Mode::Train { noise_seed: 1 }, loss).unwrap();
    model.backward(pass.gradient.view(), None).unwrap();
    assert!(model.learned().unwrap().is_empty());
    model.update_itself().unwrap();
    pass.sums.mean()
}

#[test]
fn the_read_out_is_the_regressions_solution() {
    let mut model: Reservoir = build_any(&json!({"noise": 0.0, "leak": 0.7, "ridge": 0.01}), &setting(1));
    set(&mut model, &[""]);
    let before = weights(&model);
    // The same trials in two halves, in either order, and again.
    for range in [0..3, 3..5, 3..5, 0..3] {
        update(&mut model, &batch().slice(range), Loss::CrossEntropy);
    }
    let found = [tensor(&model, "readout"), tensor(&model, "readout_bias")].concat();
    let error = distance(&found, expected(&golden()["reservoir"]));
    assert!(error < 1e-6, "off by {error:.1e}");
    assert_eq!(weights(&model), before);
    let info = model.info();
    assert!(info.updates_itself);
    let trained: Vec<&str> = info.parameters.iter().filter(|p| p.trained).map(|p| p.name.as_str()).collect();
    assert_eq!(trained, ["readout", "readout_bias"]);
}

/// Trials that ask for values: the activity's own linear combinations, which the
/// regression must find, or their exponentials.
fn values(model: &mut Reservoir, rates: bool) -> Batch {
    let classes = batch();
    let (trials, steps, _) = classes.inputs.dim();
    let mut batch = Batch::of_values(trials, steps, C, K);
    batch.inputs.assign(&classes.inputs);
    batch.mask.assign(&classes.mask);
    batch.lengths.clone_from(&classes.lengths);
    pass_with(model, &batch.view(), Mode::Record, Loss::MeanSquaredError).unwrap();
    let activity = model.activity().unwrap().to_owned();
    for at in classes.view().scored() {
        let h = activity.slice(s![at.step, at.trial, ..]);
        let targets: Vec<f32> = (0..K)
            .map(|k| {
                let sum: f32 = h.iter().enumerate().map(|(i, h)| h * (i as f32 - k as f32) * 0.2).sum();
                0.3 * sum + if rates { 2.0 } else { 0.5 }
            })
            .collect();
        batch.set_values(at.trial, at.step, &targets);
    }
    batch
}

#[test]
fn values_are_regressed_without_a_softmax() {
    for loss in [Loss::MeanSquaredError, Loss::Poisson] {
        let setting = Setting { loss: Some(loss), ..setting(1) };
        let mut model: Reservoir = build_any(&json!({"noise": 0.0, "leak": 0.7, "ridge": 1e-12}), &setting);
        set(&mut model, &[""]);
        let batch = values(&mut model, loss == Loss::Poisson);
        update(&mut model, &batch.view(), loss);
        let pass = pass_with(&mut model, &batch.view(), Mode::Evaluate, loss).unwrap();
        let targets = batch.targets.view().values().unwrap();
        let expected = Array2::from_shape_fn(pass.outputs.dim(), |(row, k)| {
            let at = batch.view().scored().nth(row).unwrap();
            let target = f64::from(targets[[at.trial, at.step, k]]);
            if loss == Loss::Poisson { target.ln() } else { target }
        });
        let error = distance(&pass.outputs, expected.iter().copied());
        assert!(error < 1e-4, "{loss}: off by {error:.1e}");
    }
}

/// Targets must be of the kind that the setting states.
#[test]
fn targets_of_the_other_kind_are_refused() {
    let setting = Setting { loss: Some(Loss::MeanSquaredError), ..setting(1) };
    let mut model: Reservoir = build_any(&json!({}), &setting);
    let batch = batch();
    let mut outputs = Matrix::zeros((batch.view().scored().count(), K));
    let error = model.forward(&batch.view(), Mode::Train { noise_seed: 1 }, outputs.view_mut()).unwrap_err();
    assert!(error.message.contains("classes"), "{error}");
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut model: Reservoir = build_any(&json!({}), &setting(1));
    update(&mut model, &batch().view(), Loss::CrossEntropy);
    let (state, before) = (model.state().unwrap(), bits(&model));
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
    assert_eq!(model.state().unwrap(), state);
    assert_eq!(bits(&model), before);
}

#[test]
fn continues_bit_identically_from_its_state_and_parameters() {
    let halves = [0..3, 3..5];
    let mut model: Reservoir = build_any(&json!({}), &setting(1));
    update(&mut model, &batch().slice(halves[0].clone()), Loss::CrossEntropy);
    let mut other: Reservoir = build_any(&json!({}), &setting(1));
    other.initialise(Matrix::zeros((N, N)).view(), 5).unwrap();
    let saved: Vec<Tensor> = model.parameters().unwrap().iter().map(|p| p.to_tensor()).collect();
    for (parameter, saved) in other.parameters_mut().unwrap().into_iter().zip(&saved) {
        parameter.copy_from_slice(saved.slice().unwrap());
    }
    other.restore(&model.state().unwrap()).unwrap();
    for model in [&mut model, &mut other] {
        update(model, &batch().slice(halves[1].clone()), Loss::CrossEntropy);
    }
    assert_eq!(bits(&other), bits(&model));
    assert_eq!(other.state().unwrap(), model.state().unwrap());
}
