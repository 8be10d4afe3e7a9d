//! Every optimizer against PyTorch's, and the conformance checks.

use pallium_core::abi::Library;
use pallium_core::prelude::*;
use serde_json::Value;

/// Written by `torch_values.py`.
const TORCH: &str = include_str!("torch_values.json");
const COUNT: usize = 12;

fn gradient(t: u64) -> Vec<f32> {
    let of = |i: usize| (0.1 * (t + 1) as f64 * (i + 1) as f64).sin() * 10_f64.powi((i % 5) as i32 - 2);
    (0..COUNT).map(|i| of(i) as f32).collect()
}

fn built(id: &str, parameters: &Value) -> Box<dyn Optimizer> {
    let library = Library::from_this_crate();
    library.optimizer(id, &parameters.to_string(), &Setting::default()).unwrap()
}

fn update(optimizer: &mut dyn Optimizer, values: &mut [f32], step: u64, factor: f64) -> Result<()> {
    let gradient = gradient(step - 1);
    // Two parameters, to see that each keeps its own memory.
    let (one, two) = values.split_at_mut(5);
    let mut learned = [
        Learned { name: "one", shape: &[5], values: one, gradient: &gradient[..5] },
        Learned { name: "two", shape: &[COUNT - 5], values: two, gradient: &gradient[5..] },
    ];
    optimizer.update(&mut learned, &Moment::new(step).with_factor(factor))
}

#[test]
fn each_optimizer_follows_pytorch_for_200_updates() {
    let torch: Value = serde_json::from_str(TORCH).unwrap();
    let cases = torch["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let id = case["component"].as_str().unwrap();
        let mut optimizer = built(id, &case["parameters"]);
        let mut values = vec![0.5_f32; COUNT];
        for step in 1..=200 {
            update(optimizer.as_mut(), &mut values, step, 1.0).unwrap();
            let Some(expected) = case["after"].get(step.to_string()) else { continue };
            for (found, expected) in values.iter().zip(expected.as_array().unwrap()) {
                let expected = expected.as_f64().unwrap();
                let error = (f64::from(*found) - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-6, "{id} {} step {step}: {found} against {expected}", case["parameters"]);
            }
        }
    }
}

#[test]
fn a_restored_optimizer_continues_with_the_same_bits() {
    let torch: Value = serde_json::from_str(TORCH).unwrap();
    for case in torch["cases"].as_array().unwrap() {
        let id = case["component"].as_str().unwrap();
        let mut whole = built(id, &case["parameters"]);
        let mut values = vec![0.5_f32; COUNT];
        (1..=7).for_each(|step| update(whole.as_mut(), &mut values, step, 1.0).unwrap());
        let mut continued = built(id, &case["parameters"]);
        continued.restore(&whole.state().unwrap()).unwrap();
        let mut others = values.clone();
        for step in 8..=12 {
            update(whole.as_mut(), &mut values, step, 0.5).unwrap();
            update(continued.as_mut(), &mut others, step, 0.5).unwrap();
        }
        assert_eq!(values, others, "{id}");
        // The state of a new optimizer is empty, and begins anew.
        continued.restore(&[]).unwrap();
        let (mut fresh, mut first, mut again) =
            (built(id, &case["parameters"]), vec![0.5; COUNT], vec![0.5; COUNT]);
        update(fresh.as_mut(), &mut first, 1, 1.0).unwrap();
        update(continued.as_mut(), &mut again, 1, 1.0).unwrap();
        assert_eq!(first, again, "{id}");
    }
}

#[test]
fn other_parameters_are_refused() {
    let mut optimizer = built("optimizer.adam", &Value::Object(Default::default()));
    let mut values = vec![0.5_f32; COUNT];
    update(optimizer.as_mut(), &mut values, 1, 1.0).unwrap();
    let gradient = [0.1_f32; 3];
    let mut learned = [Learned { name: "one", shape: &[3], values: &mut values[..3], gradient: &gradient }];
    let error = optimizer.update(&mut learned, &Moment::new(2)).unwrap_err();
    assert!(error.message.contains("one [5]") && error.message.contains("one [3]"), "{error}");
}

#[test]
fn the_default_is_adam_as_keras_computes_it() {
    let mut optimizer = built("optimizer.adam", &Value::Object(Default::default()));
    let mut values = vec![0.5_f32; COUNT];
    let (mut w, mut m, mut v) = (vec![0.5; COUNT], vec![0.0; COUNT], vec![0.0; COUNT]);
    for step in 1..=50 {
        update(optimizer.as_mut(), &mut values, step, 1.0).unwrap();
        let t = step as i32;
        let rate = 1e-3 * (1.0 - 0.999_f64.powi(t)).sqrt() / (1.0 - 0.9_f64.powi(t));
        for (i, &g) in gradient(step - 1).iter().enumerate() {
            let g = f64::from(g);
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            w[i] -= rate * m[i] / (f64::sqrt(v[i]) + 1e-7);
        }
    }
    for (w, expected) in values.iter().zip(&w) {
        assert!((f64::from(*w) - expected).abs() < 1e-6, "{w} against {expected}");
    }
}

#[test]
fn conforms() {
    pallium_testkit::assert_all_conform();
}
