//! Comparison with numpy and scipy (`fixtures/recording.py`), and properties
//! that hold for any recording.

use pallium_core::ndarray::{Array3, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};
use pallium_testkit::assert_all_conform;

use crate::participation_ratio::ParticipationRatio;
use crate::recording::Recording;
use crate::selectivity::{Selectivity, analyse};
use crate::task_variance::TaskVariance;

#[test]
fn conform() {
    assert_all_conform();
}

const T: usize = 9;
const B: usize = 14;
const N: usize = 6;

struct Example {
    activity: Array3<f32>,
    lengths: Vec<u32>,
    conditions: Vec<u32>,
}

/// As in `fixtures/recording.py`; values past a trial's end must be ignored.
fn example() -> Example {
    let conditions: Vec<u32> = (0..B as u32).map(|trial| trial % 3).collect();
    let lengths: Vec<u32> = (0..B as u32).map(|trial| 9 - trial % 4).collect();
    let mut k = -1.0;
    let activity = Array3::from_shape_fn((T, B, N), |(t, b, i)| {
        k += 1.0;
        let own = f64::from((1.0_f64 + 0.7 * k * k).sin() as f32);
        let value = own + f64::from((f64::from(conditions[b]) * i as f64 * 0.25) as f32);
        if t as u32 >= lengths[b] {
            if i == 0 { f32::NAN } else { 100.0 }
        } else if i == 5 {
            0.5
        } else {
            value as f32
        }
    });
    Example { activity, lengths, conditions }
}

fn measure<M: Component + Metric>(params: Value, example: &Example) -> Vec<Measure> {
    let params = pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap();
    let mut metric = M::build(params, &Setting::default()).unwrap();
    let recurrent = example.activity.slice(s![0, ..N, ..]);
    metric
        .measure(&Network {
            activity: metric.wants_activity().then(|| example.activity.view()),
            conditions: &example.conditions,
            lengths: &example.lengths,
            ..Network::new(recurrent)
        })
        .unwrap()
        .values
}

fn all(example: &Example) -> Vec<Measure> {
    let mut all = measure::<ParticipationRatio>(json!({}), example);
    all.extend(measure::<ParticipationRatio>(json!({"of": "weights"}), example));
    all.extend(measure::<TaskVariance>(json!({}), example));
    all.extend(measure::<Selectivity>(json!({}), example));
    all
}

#[test]
fn agree_with_numpy_and_scipy() {
    let expected: Value = serde_json::from_str(include_str!("../fixtures/recording.json")).unwrap();
    let example = example();
    let found = all(&example);
    assert_eq!(found.len() + 1, expected.as_object().unwrap().len());
    for measure in found {
        let expected = expected[&measure.name].as_f64().unwrap();
        let error = (measure.value - expected).abs() / expected.abs().max(1e-3);
        println!("{}: {} ({error:.1e})", measure.name, measure.value);
        assert!(error < 1e-9, "{}: {} against {expected}", measure.name, measure.value);
    }
    let network = Network {
        activity: Some(example.activity.view()),
        conditions: &example.conditions,
        lengths: &example.lengths,
        ..Network::new(example.activity.slice(s![0, ..N, ..]))
    };
    let recording = Recording::new(&network).unwrap();
    let neurons = analyse(&recording.means(), N).unwrap();
    for (neuron, p) in neurons.iter().zip(expected["p"].as_array().unwrap()) {
        let p = p.as_f64().unwrap();
        assert!((neuron.p - p).abs() < 1e-9 * p.max(1e-3), "{} against {p}", neuron.p);
    }
    assert!(neurons[5].share.is_none() && neurons[5].p == 1.0, "it does not vary");
}

/// Steps that one trial alone has say nothing of the variance over trials.
#[test]
fn task_variance_does_not_depend_on_the_length_of_one_long_trial() {
    let of = |longest: u32| {
        let mut example = example();
        example.lengths = vec![5; B];
        example.lengths[4] = longest;
        measure::<TaskVariance>(json!({}), &example).into_iter().map(|m| m.value).collect::<Vec<_>>()
    };
    assert!(of(5)[0] > 0.1);
    assert_eq!(of(6), of(5));
}

#[test]
fn known_recordings_have_known_values() {
    let value = |found: &[Measure], name: &str| found.iter().find(|m| m.name == name).unwrap().value;
    // Every neuron's activity depends only on the condition.
    let mut example = example();
    example.lengths.fill(T as u32);
    let conditions = example.conditions.clone();
    example.activity = Array3::from_shape_fn((T, B, N), |(_, b, i)| conditions[b] as f32 * (i + 1) as f32);
    let found = all(&example);
    assert!((value(&found, "participation_ratio") - 1.0).abs() < 1e-9);
    assert!((value(&found, "task_variance_conditions") - 1.0).abs() < 1e-9);
    assert_eq!((value(&found, "selectivity"), value(&found, "selective_units")), (1.0, 1.0));
    assert_eq!(value(&found, "task_variance_active_units"), N as f64);
    // With one condition, selectivity is undefined; with silence, all ratios
    // are.
    example.conditions.fill(0);
    assert!(value(&all(&example), "selectivity").is_nan());
    example.activity.fill(0.0);
    example.conditions = conditions;
    let found = all(&example);
    for undefined in ["participation_ratio", "selectivity", "task_variance_conditions"] {
        assert!(value(&found, undefined).is_nan(), "{undefined}");
    }
    assert_eq!((value(&found, "task_variance"), value(&found, "selective_units")), (0.0, 0.0));
    // Without a recording, the error says how to get one.
    let weights = Matrix::eye(4);
    let mut metric = TaskVariance::build(Default::default(), &Setting::default()).unwrap();
    let error = metric.measure(&Network::new(weights.view())).unwrap_err();
    assert!(error.help.unwrap().contains("[metrics]"));
}
