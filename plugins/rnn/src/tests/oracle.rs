//! Comparison with candle's automatic differentiation of the same network in
//! double precision.

use candle_core::{D, Device, Tensor as Values, Var};
use pallium_core::ndarray::{Array3, Axis};
use pallium_core::prelude::*;
use rand::Rng;

use super::{
    Size, batch, build, distance, gradients, quiet, ragged_batch, recurrent_gradient, train, weights,
};
use crate::vanilla::{Params, Vanilla};

struct Oracle {
    loss: f64,
    hidden: Vec<Values>,
    gradients: Vec<Vec<f64>>,
}

fn values<'a>(from: impl IntoIterator<Item = &'a f32>, shape: &[usize]) -> Values {
    let from: Vec<f64> = from.into_iter().map(|&v| f64::from(v)).collect();
    Values::from_vec(from, shape, &Device::Cpu).unwrap()
}

/// The network step by step. `inputs` is steps × trials × channels.
fn oracle(
    model: &Vanilla,
    batch: &Batch,
    inputs: &Array3<f32>,
    activity: Option<&Array3<f32>>,
    leak: f64,
) -> candle_core::Result<Oracle> {
    let (trials, steps, channels) = batch.inputs.dim();
    let parameters = model.parameters().unwrap();
    let variables: Vec<Var> =
        parameters.iter().map(|p| Var::from_tensor(&values(p.values, p.shape)).unwrap()).collect();
    let [recurrent, input, bias, readout, readout_bias] = &variables[..] else { unreachable!() };

    let mut h = Values::zeros((trials, model.info().units), candle_core::DType::F64, &Device::Cpu)?;
    let mut loss = Values::zeros((), candle_core::DType::F64, &Device::Cpu)?;
    let mut extra = loss.clone();
    let mut hidden = Vec::new();
    for step in 0..steps {
        let x = values(inputs.index_axis(Axis(0), step), &[trials, channels]);
        let drive = (x.matmul(input)? + h.matmul(recurrent)?)?.broadcast_add(bias)?.relu()?;
        h = ((h * (1.0 - leak))? + (drive * leak)?)?;
        let alive: Vec<f32> = batch.lengths.iter().map(|&l| f32::from(u8::from(step < l as usize))).collect();
        h = h.broadcast_mul(&values(&alive, &[trials, 1]))?;
        hidden.push(h.clone());

        let logits = h.matmul(readout)?.broadcast_add(readout_bias)?;
        let normaliser = logits.exp()?.sum_keepdim(D::Minus1)?.log()?;
        let classes: Vec<u32> = batch.targets.view().classes().unwrap().column(step).to_vec();
        let picked = logits.gather(&Values::from_vec(classes, (trials, 1), &Device::Cpu)?, 1)?;
        let mask = values(batch.mask.column(step), &[trials, 1]);
        loss = (loss + ((normaliser - picked)? * mask)?.sum_all()?)?;
        if let Some(activity) = activity {
            let term = values(activity.index_axis(Axis(0), step), &[trials, model.info().units]);
            extra = (extra + (&h * term)?.sum_all()?)?;
        }
    }
    let weight: f64 = batch.mask.iter().map(|&m| f64::from(m)).sum();
    let loss = (loss / weight)?;
    let gradients = (&loss + extra)?.backward()?;
    let gradients = variables
        .iter()
        .map(|v| gradients.get(v).unwrap().flatten_all().unwrap().to_vec1().unwrap())
        .collect();
    Ok(Oracle { loss: loss.to_scalar()?, hidden, gradients })
}

/// The largest relative difference between a model and the oracle.
fn compare(model: &mut Vanilla, batch: &Batch, activity: Option<&Array3<f32>>, leak: f64) -> f64 {
    let inputs = batch.inputs.view().permuted_axes([1, 0, 2]).to_owned();
    let expected = oracle(model, batch, &inputs, activity, leak).unwrap();

    let pass = train(model, batch, 0);
    let mut worst = (pass.sums.mean() - expected.loss).abs() / expected.loss;
    for (step, hidden) in expected.hidden.iter().enumerate() {
        let hidden: Vec<f64> = hidden.flatten_all().unwrap().to_vec1().unwrap();
        let activity = model.activity().unwrap();
        let found = activity.index_axis(Axis(0), step);
        if hidden.iter().any(|&h| h != 0.0) {
            worst = worst.max(distance(found, hidden));
        } else {
            assert!(found.iter().all(|&h| h == 0.0));
        }
    }
    // Twice: a second backward pass must not accumulate.
    model.backward(pass.gradient.view(), activity.map(|a| a.view())).unwrap();
    for ((_, gradient), expected) in gradients(model, &pass, activity).iter().zip(expected.gradients) {
        worst = worst.max(distance(gradient, expected));
    }
    worst
}

fn activity_gradient(size: Size) -> Array3<f32> {
    let mut stream = random::stream(3, "activity gradient");
    Array3::from_shape_simple_fn((size.steps, size.trials, size.neurons), || stream.random_range(-0.1..0.1))
}

/// Sizes with remainders in every blocked loop; one label at the end or random
/// masks and lengths; leak, activity gradients and threads in all combinations.
#[test]
fn agrees_with_automatic_differentiation() {
    let sizes = [
        Size { neurons: 23, channels: 3, outputs: 4, trials: 9, steps: 14 },
        Size { neurons: 7, channels: 1, outputs: 2, trials: 1, steps: 1 },
        Size { neurons: 40, channels: 5, outputs: 3, trials: 65, steps: 23 },
        Size { neurons: 17, channels: 2, outputs: 3, trials: 700, steps: 3 },
    ];
    let mut worst: f64 = 0.0;
    for (index, size) in sizes.into_iter().enumerate() {
        let terms = activity_gradient(size);
        let seed = 40 + index as u64;
        for batch in [batch(size, seed), ragged_batch(size, seed)] {
            for leak in [1.0, 0.25] {
                for activity in [None, Some(&terms)] {
                    for threads in [1, 3] {
                        let mut model = build(size, threads, Params { leak, ..quiet() });
                        let found = compare(&mut model, &batch, activity, leak);
                        worst = worst.max(found);
                        assert!(
                            found < 1e-5,
                            "size {index}, leak {leak}, activity {}, {threads} threads: off by {found:.1e}",
                            activity.is_some()
                        );
                    }
                }
            }
        }
    }
    println!("largest relative error {worst:.1e}");
}

/// With weak recurrent weights, gradients vanish within a few steps, and
/// reappear where an earlier step is scored.
#[test]
fn agrees_where_gradients_vanish() {
    let size = Size { neurons: 23, channels: 3, outputs: 4, trials: 9, steps: 90 };
    let once = batch(size, 50);
    let mut twice = batch(size, 51);
    twice.mask.column_mut(7).fill(1.0);
    for (name, batch) in [("once", once), ("twice", twice)] {
        for threads in [1, 3] {
            let mut model = build(size, threads, quiet());
            let weak = weights(&model).mapv(|w| 1e-6 * w);
            model.initialise(weak.view(), 11).unwrap();
            let found = compare(&mut model, &batch, None, 1.0);
            assert!(found < 1e-5, "{name}, {threads} threads: off by {found:.1e}");
        }
    }
}

/// The noise is Gaussian with the stated standard deviation on every channel at
/// every step, and gradients are taken at the noisy input.
#[test]
fn differentiates_at_the_noisy_input() {
    let size = Size { neurons: 20, channels: 8, outputs: 3, trials: 64, steps: 30 };
    let batch = batch(size, 9);
    let mut model = build(size, 1, Params { noise: 0.3, ..Params::default() });
    let inputs = |model: &mut Vanilla| {
        let kept = model.matrix().kept_inputs();
        assert!(kept.index_axis(Axis(2), size.channels).iter().all(|&one| one == 1.0));
        kept.slice(pallium_core::ndarray::s![.., .., ..size.channels]).to_owned()
    };
    let pass = train(&mut model, &batch, 77);
    let noisy = inputs(&mut model);
    let expected = oracle(&model, &batch, &noisy, None, 1.0).unwrap();
    assert!((pass.sums.mean() - expected.loss).abs() < 1e-5 * expected.loss);
    let gradient = recurrent_gradient(&mut model, &pass, None);
    assert!(distance(&gradient, expected.gradients[0].iter().copied()) < 1e-5);

    let clean = batch.inputs.view().permuted_axes([1, 0, 2]).to_owned();
    let noise = &noisy - &clean;
    let count = noise.len() as f64;
    let moment = |power: i32| noise.iter().map(|&n| (f64::from(n) / 0.3).powi(power)).sum::<f64>() / count;
    // Four standard errors of each moment of a normal variable.
    for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        let bound = 4.0 * f64::sqrt(variance / count);
        assert!((moment(power) - expected).abs() < bound, "moment {power} is {}", moment(power));
    }
    let mut previous = noise[[0, 0, 0]];
    assert!(noise.iter().skip(1).all(|&n| n != std::mem::replace(&mut previous, n)));

    train(&mut model, &batch, 78);
    assert_ne!(inputs(&mut model), noisy);
    super::pass(&mut model, &batch.view(), Mode::Record).unwrap();
    assert_eq!(inputs(&mut model), clean);
}
