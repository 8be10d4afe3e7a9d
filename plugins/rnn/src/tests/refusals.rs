//! What `rnn.vanilla` refuses, and with which words.

use pallium_core::ndarray::{Array3, s};
use pallium_core::prelude::*;

use super::{Adam, Pass, SMALL, Size, batch, build, pass, quiet, train};
use crate::vanilla::{Params, Vanilla};

fn refused(result: Result<Pass>, text: &str) {
    let error = result.err().unwrap();
    assert!(error.message.contains(text), "{error}");
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let mut model = build(SMALL, 1, quiet());
    let good = batch(SMALL, 1);
    let try_batch = |model: &mut Vanilla, batch: &Batch, text: &str| {
        for mode in [Mode::Evaluate, Mode::Record, Mode::Train { noise_seed: 0 }] {
            refused(pass(model, &batch.view(), mode), text);
        }
    };
    try_batch(&mut model, &batch(Size { channels: 2, ..SMALL }, 1), "2 input channels");
    try_batch(&mut model, &Batch::zeros(0, 3, SMALL.channels), "0 trials");
    try_batch(&mut model, &Batch::zeros(3, 0, SMALL.channels), "0 steps");
    let mut view = good.view();
    view.mask = view.mask.slice_move(s![.., 1..]);
    refused(pass(&mut model, &view, Mode::Evaluate), "the mask must be");
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
    let mut view = good.view();
    view.lengths = &short;
    refused(pass(&mut model, &view, Mode::Evaluate), "2 lengths");
    for dim in [(SMALL.trials, SMALL.outputs + 1), (SMALL.trials - 1, SMALL.outputs)] {
        let error = model.forward(&good.view(), Mode::Evaluate, Matrix::zeros(dim).view_mut()).unwrap_err();
        assert!(error.message.contains("must be 9×4"), "{error}");
    }
}

#[test]
fn calls_out_of_order_and_wrong_shapes_are_refused() {
    let mut model = build(SMALL, 1, quiet());
    let (n, good) = (SMALL.neurons, batch(SMALL, 1));
    assert!(model.initialise(Matrix::zeros((n, n + 1)).view(), 0).is_err());
    let gradient = Matrix::zeros((SMALL.trials, SMALL.outputs));
    assert!(model.activity().is_err(), "no pass yet");
    assert!(model.backward(gradient.view(), None).is_err(), "no pass yet");
    assert!(model.learned().is_err(), "no gradient yet");
    pass(&mut model, &good.view(), Mode::Record).unwrap();
    assert!(model.activity().is_ok());
    assert!(model.backward(gradient.view(), None).is_err(), "recorded, not trained");
    train(&mut model, &good, 0);
    assert!(model.learned().is_err(), "no backward pass yet");
    assert!(model.backward(Matrix::zeros((SMALL.trials, 3)).view(), None).is_err());
    assert!(model.backward(Matrix::zeros((SMALL.trials + 1, SMALL.outputs)).view(), None).is_err());
    let wrong = Array3::zeros((SMALL.steps, SMALL.trials, n + 1));
    assert!(model.backward(gradient.view(), Some(wrong.view())).is_err());
    model.backward(gradient.view(), None).unwrap();
    Adam::new(1e-3).update(&mut model);
    assert!(model.learned().is_ok(), "penalties and the optimizer ask one after another");
    assert!(model.backward(gradient.view(), None).is_err(), "the weights may have changed");
    model.parameters_mut().unwrap();
    assert!(model.learned().is_err(), "the gradient belongs to other weights");
    assert!(model.activity().is_ok());
    train(&mut model, &good, 0);
    model.parameters_mut().unwrap();
    assert!(model.backward(gradient.view(), None).is_err(), "the weights may have changed");
    assert!(model.update_itself().is_err());
}

#[test]
fn parameters_out_of_range_are_refused() {
    let setting = Setting { neurons: Some(4), inputs: Some(2), outputs: Some(2), ..Setting::default() };
    let refused = |params: Params, name: &str| {
        let error = Vanilla::build(params, &setting).err().unwrap();
        assert!(error.message.contains(&format!("`{name}`")), "{error}");
        assert!(error.help.is_some());
    };
    let p = Params::default;
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        refused(Params { noise: bad, ..p() }, "noise");
    }
    for bad in [0.0, -1.0, 1e-60, 1.1, f64::NAN] {
        refused(Params { leak: bad, ..p() }, "leak");
    }
    for lacking in [
        Setting { neurons: None, ..setting },
        Setting { inputs: None, ..setting },
        Setting { outputs: None, ..setting },
        Setting { neurons: Some(0), ..setting },
        Setting { inputs: Some(0), ..setting },
        Setting { outputs: Some(0), ..setting },
    ] {
        assert!(Vanilla::build(p(), &lacking).is_err());
    }
}
