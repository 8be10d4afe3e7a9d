//! The step in double precision and its gradient, of every model that offers them.

use pallium_core::ndarray::{Array2, Axis, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;
use rand::Rng;

use super::{Adam, SMALL, Size, batch, build_any, learn, pass};
use crate::candle::Candle;
use crate::gru::Gru;
use crate::layout::Layout;
use crate::leaky::Leaky;
use crate::lstm::Lstm;
use crate::populations::Populations;
use crate::trained::Trained;
use crate::vanilla::Vanilla;

/// Every model after some training, so that no parameter is 0 and none is equal to
/// another.
fn models() -> Vec<(&'static str, Box<dyn Model>)> {
    let setting = Setting { step_ms: Some(25.0), ..SMALL.setting(1) };
    let leaky = |transfer: &str| -> Box<dyn Model> {
        let params =
            json!({"transfer": transfer, "tau_spread": 0.5, "learn_tau": true, "recurrent_noise": 0.1});
        Box::new(build_any::<Layout<Leaky>>(&params, &setting))
    };
    let mut all: Vec<(&str, Box<dyn Model>)> = vec![
        ("vanilla", Box::new(build_any::<Vanilla>(&json!({}), &setting))),
        ("vanilla with a leak", Box::new(build_any::<Vanilla>(&json!({"leak": 0.3}), &setting))),
        ("leaky relu", leaky("relu")),
        ("leaky tanh", leaky("tanh")),
        ("leaky softplus", leaky("softplus")),
        ("gru", Box::new(build_any::<Trained<Gru>>(&json!({"gates": "relabelled"}), &setting))),
        (
            "populations",
            Box::new(build_any::<Populations>(&json!({"leak": 0.6, "free_inhibitory": 2}), &setting)),
        ),
        ("candle", Box::new(build_any::<Candle>(&json!({"leak": 0.6}), &setting))),
        ("lstm", Box::new(build_any::<Trained<Lstm>>(&json!({"gates": "relabelled"}), &setting))),
    ];
    for (_, model) in &mut all {
        let mut adam = Adam::new(0.02);
        for seed in 0..3 {
            learn(model.as_mut(), &mut adam, &batch(SMALL, seed), seed);
        }
    }
    all
}

fn length(model: &dyn Model) -> usize {
    model.info().states.iter().map(|part| part.length).sum()
}

/// Iterated from 0, the step leads through the activity of a forward pass without
/// noise.
#[test]
fn the_step_is_the_forward_pass() {
    let batch = batch(Size { trials: 7, ..SMALL }, 8);
    for (name, mut model) in models() {
        pass(model.as_mut(), &batch.view(), Mode::Record).unwrap();
        let n = model.info().units;
        assert_eq!(model.info().states[0], StatePart { name: "hidden".into(), length: n }, "{name}");
        let mut states = Array2::zeros((7, length(model.as_ref())));
        let mut worst = 0.0_f64;
        for (step, expected) in model.activity().unwrap().outer_iter().enumerate() {
            let inputs = batch.inputs.index_axis(Axis(1), step).mapv(f64::from);
            states = model.step(states.view(), inputs.view()).unwrap();
            let scale = expected.iter().fold(0.0_f64, |m, &h| m.max(f64::from(h).abs()));
            let off = (&states.slice(s![.., ..n]) - &expected.mapv(f64::from)).mapv(f64::abs);
            worst = worst.max(off.into_iter().fold(0.0, f64::max) / scale);
        }
        println!("{name}: {worst:.1e}");
        assert!(worst < 3e-6, "{name}: off by {worst:.1e}");
    }
}

#[test]
fn the_steps_gradient_is_that_of_finite_differences() {
    let rows = 4;
    for (name, model) in models() {
        let mut stream = random::stream(17, name);
        let mut draw =
            |columns| Array2::from_shape_simple_fn((rows, columns), || stream.random_range(-1.0..1.0_f64));
        let (states, inputs) = (draw(length(model.as_ref())), draw(SMALL.channels));
        let cotangents = draw(length(model.as_ref()));
        let value = |states: &Array2<f64>, inputs: &Array2<f64>| {
            (model.step(states.view(), inputs.view()).unwrap() * &cotangents).sum()
        };
        let (in_states, in_inputs) =
            model.step_gradient(states.view(), inputs.view(), cotangents.view()).unwrap();
        let width = 1e-5;
        let slope = |at: (usize, usize), of_states: bool| {
            let at_distance = |width: f64| {
                let (mut states, mut inputs) = (states.clone(), inputs.clone());
                (if of_states { &mut states } else { &mut inputs })[at] += width;
                value(&states, &inputs)
            };
            (at_distance(width) - at_distance(-width)) / (2.0 * width)
        };
        for (of_states, gradient) in [(true, &in_states), (false, &in_inputs)] {
            assert_eq!(gradient.dim(), if of_states { states.dim() } else { inputs.dim() });
            let norm = gradient.mapv(|g| g * g).sum().sqrt();
            for (at, &found) in gradient.indexed_iter() {
                let off = (found - slope(at, of_states)).abs() / norm;
                assert!(off < 1e-8, "{name}, of states {of_states}, {at:?}: off by {off:.1e}");
            }
        }
    }
}

/// Rows of equal states, as of a Jacobian, are computed together.
#[test]
fn equal_states_have_the_steps_and_gradients_of_each_alone() {
    for (name, model) in models() {
        let mut stream = random::stream(19, name);
        let n = length(model.as_ref());
        let mut draw = |rows, columns| {
            Array2::from_shape_simple_fn((rows, columns), || stream.random_range(-1.0..1.0_f64))
        };
        let (own, input, cotangents) = (draw(2, n), draw(2, SMALL.channels), draw(5, n));
        // The first four rows are equal; with the last one they are not.
        let rows = |of: &Array2<f64>| of.select(Axis(0), &[0, 0, 0, 0, 1]);
        let (states, inputs) = (rows(&own), rows(&input));
        let head = |of: &Array2<f64>| of.slice(s![..4, ..]).to_owned();
        let (equal, equal_inputs, some) = (head(&states), head(&inputs), head(&cotangents));
        let close = |a: &Array2<f64>, b: &Array2<f64>| {
            assert!((a - &head(b)).iter().all(|off| off.abs() < 1e-12), "{name}");
        };
        let all = model.step(states.view(), inputs.view()).unwrap();
        close(&model.step(equal.view(), equal_inputs.view()).unwrap(), &all);
        let all = model.step_gradient(states.view(), inputs.view(), cotangents.view()).unwrap();
        let found = model.step_gradient(equal.view(), equal_inputs.view(), some.view()).unwrap();
        close(&found.0, &all.0);
        close(&found.1, &all.1);
    }
}

#[test]
fn states_of_another_shape_are_refused() {
    for (name, model) in models() {
        let (n, c) = (length(model.as_ref()), SMALL.channels);
        let zeros = |rows, columns| Array2::<f64>::zeros((rows, columns));
        let good = (zeros(2, n), zeros(2, c));
        for (states, inputs) in [(zeros(2, n + 1), zeros(2, c)), (zeros(2, n), zeros(3, c))] {
            assert!(model.step(states.view(), inputs.view()).is_err(), "{name}");
            assert!(model.step_gradient(states.view(), inputs.view(), states.view()).is_err(), "{name}");
        }
        let error = model.step_gradient(good.0.view(), good.1.view(), zeros(1, n).view());
        assert!(error.is_err(), "{name}");
    }
}
