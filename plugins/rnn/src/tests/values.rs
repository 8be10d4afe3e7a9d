//! Tasks that ask for values: the gradients of all parameters, compared with finite
//! differences in double precision of the network that [`Model::step`] iterates.

use pallium_core::ndarray::{Array2, Axis, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;
use rand::Rng;

use super::{Size, build_any, gradients, pass_with, ragged_batch, tensor};
use crate::gru::Gru;
use crate::layout::Layout;
use crate::leaky::Leaky;
use crate::lstm::Lstm;
use crate::trained::Trained;
use crate::vanilla::Vanilla;

const SIZE: Size = Size { neurons: 7, channels: 2, outputs: 3, trials: 5, steps: 6 };

/// Random lengths, masks and targets; counts for a Poisson loss.
fn trials(loss: Loss) -> Batch {
    let classes = ragged_batch(SIZE, 3);
    let mut batch = Batch::of_values(SIZE.trials, SIZE.steps, SIZE.channels, SIZE.outputs);
    batch.inputs.assign(&classes.inputs);
    batch.mask.assign(&classes.mask);
    batch.lengths.clone_from(&classes.lengths);
    let mut stream = random::stream(4, "values");
    for at in classes.view().scored() {
        let mut value = || match loss {
            Loss::Poisson => stream.random_range(0..4_u8).into(),
            _ => stream.random_range(-1.0..1.0_f32),
        };
        let values: Vec<f32> = (0..SIZE.outputs).map(|_| value()).collect();
        batch.set_values(at.trial, at.step, &values);
    }
    batch
}

/// The weighted mean of the loss, all in double precision.
fn mean_loss(model: &dyn Model, batch: &Batch, loss: Loss) -> f64 {
    let wide = |name: &str| tensor(model, name).into_iter().map(f64::from).collect::<Vec<_>>();
    let readout = Array2::from_shape_vec((SIZE.neurons, SIZE.outputs), wide("readout")).unwrap();
    let bias = Array2::from_shape_vec((1, SIZE.outputs), wide("readout_bias")).unwrap();
    let length: usize = model.info().states.iter().map(|part| part.length).sum();
    let mut states = Array2::zeros((SIZE.trials, length));
    let targets = batch.targets.view().values().unwrap();
    let (mut sum, mut weight) = (0.0, 0.0);
    for step in 0..SIZE.steps {
        let inputs = batch.inputs.index_axis(Axis(1), step).mapv(f64::from);
        states = model.step(states.view(), inputs.view()).unwrap();
        let outputs = states.slice(s![.., ..SIZE.neurons]).dot(&readout) + &bias;
        for trial in 0..SIZE.trials {
            let mask = f64::from(batch.mask[[trial, step]]);
            let terms =
                outputs.row(trial).into_iter().zip(targets.slice(s![trial, step, ..])).map(|(&o, &t)| {
                    match loss {
                        Loss::Poisson => o.exp() - f64::from(t) * o,
                        _ => (o - f64::from(t)).powi(2),
                    }
                });
            sum += mask * terms.sum::<f64>() / SIZE.outputs as f64;
            weight += mask;
        }
    }
    sum / weight
}

fn check(name: &str, model: &mut dyn Model, loss: Loss) {
    let batch = trials(loss);
    for parameter in model.parameters_mut().unwrap() {
        parameter.iter_mut().for_each(|v| *v = (*v * 65536.0).round() / 65536.0);
    }
    let pass = pass_with(model, &batch.view(), Mode::Train { noise_seed: 1 }, loss).unwrap();
    let expected = mean_loss(model, &batch, loss);
    assert!((pass.sums.mean() - expected).abs() < 1e-6 * expected.abs().max(1.0), "{name}: {expected}");
    let found = gradients(model, &pass, None);
    let info = model.info();
    for (index, (parameter, gradient)) in found.iter().enumerate() {
        assert_eq!(*parameter, info.parameters[index].name);
        // α, which follows from a time constant, is in single precision.
        let width = 2.0_f32.powi(if parameter == "log_time_constant" { -5 } else { -12 });
        let slopes: Vec<f64> = (0..gradient.len())
            .map(|at| {
                // What the parameter becomes is exact: it was a multiple of 2⁻¹⁶.
                let mut moved = |widths: f32| {
                    let value = &mut model.parameters_mut().unwrap()[index][at];
                    let before = std::mem::replace(value, *value + widths * width);
                    let loss = mean_loss(model, &batch, loss);
                    model.parameters_mut().unwrap()[index][at] = before;
                    loss
                };
                let near = moved(1.0) - moved(-1.0);
                let far = moved(2.0) - moved(-2.0);
                (8.0 * near - far) / (12.0 * f64::from(width))
            })
            .collect();
        let off = super::distance(gradient, slopes);
        println!("{name}, {loss}, {parameter}: {off:.1e}");
        assert!(off < 3e-6, "{name}, {loss}, {parameter}: off by {off:.1e}");
    }
}

#[test]
fn gradients_of_values_are_those_of_finite_differences() {
    for loss in [Loss::MeanSquaredError, Loss::Poisson] {
        let setting = Setting { loss: Some(loss), step_ms: Some(20.0), ..SIZE.setting(2) };
        let quiet = json!({"noise": 0.0});
        let leaky = json!({
            "noise": 0.0, "recurrent_noise": 0.0, "tau_spread": 0.5, "learn_tau": true, "transfer": "softplus"
        });
        check("vanilla", &mut build_any::<Vanilla>(&json!({"noise": 0.0, "leak": 0.4}), &setting), loss);
        check("leaky", &mut build_any::<Layout<Leaky>>(&leaky, &setting), loss);
        check("gru", &mut build_any::<Trained<Gru>>(&quiet, &setting), loss);
        check("lstm", &mut build_any::<Trained<Lstm>>(&quiet, &setting), loss);
    }
}
