//! Comparison with scikit-learn and numpy (`fixtures/reference.py`), and cases whose answer
//! is known.

use pallium_core::ndarray::{Array2, Array3, array};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};

use crate::correlations::Correlations;
use crate::decoding::{Decoding, Split};
use crate::like_to_like::LikeToLike;
use crate::pairs::correlation;
use crate::pca::{Components, Pca};
use crate::ridge::cross_validated;

#[test]
fn components_conform() {
    pallium_testkit::assert_all_conform();
}

struct Example {
    expected: Value,
    activity: Array3<f32>,
    weights: Array2<f32>,
    conditions: Vec<u32>,
    lengths: Vec<u32>,
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn example() -> Example {
    let expected: Value = serde_json::from_str(include_str!("../fixtures/reference.json")).unwrap();
    let single = |name: &str| numbers(&expected[name]).into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let whole = |name: &str| numbers(&expected[name]).into_iter().map(|v| v as u32).collect::<Vec<_>>();
    Example {
        activity: Array3::from_shape_vec((6, 36, 7), single("activity")).unwrap(),
        weights: Array2::from_shape_vec((7, 7), single("weights")).unwrap(),
        conditions: whole("conditions"),
        lengths: whole("lengths"),
        expected,
    }
}

impl Example {
    fn measure<M: Component + Metric>(&self, params: Value) -> Measures {
        let params = pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap();
        let mut metric = M::build(params, &Setting::default()).unwrap();
        let network = Network {
            activity: Some(self.activity.view()),
            conditions: &self.conditions,
            lengths: &self.lengths,
            ..Network::new(self.weights.view())
        };
        metric.measure(&network).unwrap()
    }

    fn expects(&self, name: &str, found: f64) {
        let expected = self.expected[name].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-10, "{name}: {found} and not {expected}");
    }
}

pub fn value(measures: &Measures, name: &str) -> f64 {
    measures.values.iter().find(|measure| measure.name == name).unwrap().value
}

pub fn array(measures: &Measures, name: &str) -> Vec<f64> {
    measures.arrays.iter().find(|array| array.name == name).unwrap().slice::<f64>().unwrap().to_vec()
}

#[test]
fn components_are_those_of_scikit_learn() {
    let example = example();
    let found = example.measure::<Pca>(json!({"components": 3}));
    let close = |name: &str, expected: &str| {
        let (found, expected) = (array(&found, name), numbers(&example.expected[expected]));
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-10, "{name}: {found:?} and not {expected:?}");
        }
    };
    close("explained", "explained");
    close("components", "components");
    let explained = numbers(&example.expected["explained"]);
    assert!((value(&found, "pca_variance_2") - explained[1]).abs() < 1e-10);
    let count = (1..=7).find(|&n| explained[..n].iter().sum::<f64>() >= 0.9).unwrap();
    assert_eq!(value(&found, "pca_components"), count as f64);
    assert_eq!(array(&found, "paths").len(), 3 * 6 * 3);
}

#[test]
fn rows_on_a_line_have_one_component() {
    let line = Array2::from_shape_fn((9, 3), |(i, j)| i as f64 * [3.0, 0.0, -4.0][j] + 1.0);
    let found = Components::of(&line).unwrap();
    assert!((found.explained[0] - 1.0).abs() < 1e-12);
    let loading: Vec<f64> = found.loadings.row(0).to_vec();
    // The largest loading is positive.
    for (a, b) in loading.iter().zip([-0.6, 0.0, 0.8]) {
        assert!((a - b).abs() < 1e-12, "{loading:?}");
    }
    assert!(Components::of(&Array2::ones((4, 2))).is_none());
}

#[test]
fn decoding_is_that_of_scikit_learn() {
    let example = example();
    let labels: Vec<usize> = example.conditions.iter().map(|&condition| condition as usize).collect();
    let folds: Vec<usize> = (0..36).map(|trial| trial % 4).collect();
    for (step, expected) in numbers(&example.expected["decoded"]).into_iter().enumerate() {
        let features = example.activity.index_axis(pallium_core::ndarray::Axis(0), step).mapv(f64::from);
        let found = cross_validated(features.view(), &labels, &folds, 0.1).unwrap();
        assert!((found - expected).abs() < 1e-12, "step {step}: {found} and not {expected}");
    }
}

#[test]
fn what_activity_tells_is_decoded_and_what_it_does_not_is_at_chance() {
    let labels: Vec<usize> = (0..40).map(|trial| usize::from(trial % 4 == 0)).collect();
    let folds: Vec<usize> = (0..40).map(|trial| trial % 5).collect();
    let told = Array2::from_shape_fn((40, 2), |(trial, unit)| if unit == labels[trial] { 1.0 } else { 0.0 });
    assert_eq!(cross_validated(told.view(), &labels, &folds, 0.1).unwrap(), 1.0);
    let silent = Array2::zeros((40, 2));
    assert_eq!(cross_validated(silent.view(), &labels, &folds, 0.1).unwrap(), 0.75, "the frequent class");
}

#[test]
fn folds_have_like_shares_of_each_class_and_small_classes_are_left_out() {
    let labels: Vec<Option<u32>> =
        (0..30).map(|trial| [Some(4), Some(7), None, Some(4), Some(4)][trial % 5]).chain([Some(9)]).collect();
    let split = Split::new(&labels, 3, 1).unwrap();
    assert_eq!(split.trials.len(), 24);
    assert_eq!(split.chance(), 0.75);
    for class in 0..2 {
        let counts: Vec<usize> = (0..3)
            .map(|fold| (0..24).filter(|&at| split.folds[at] == fold && split.labels[at] == class).count())
            .collect();
        assert!(counts.iter().all(|&count| count == [6, 2][class]), "{counts:?}");
    }
    assert!(Split::new(&labels[..3], 3, 1).is_none());
    let again = Split::new(&labels, 3, 1).unwrap();
    assert_eq!((split.trials, split.folds), (again.trials, again.folds));
}

#[test]
fn the_decoder_measures_conditions_and_leaves_out_what_is_not_known() {
    let found = example().measure::<Decoding>(json!({"every": 2}));
    let accuracy = array(&found, "accuracy");
    assert_eq!(accuracy.len(), 3 * 6);
    assert!(accuracy[0] > 0.5 && accuracy[1].is_nan() && accuracy[5].is_nan(), "{accuracy:?}");
    let mean = (accuracy[0] + accuracy[2] + accuracy[4]) / 3.0;
    assert!((value(&found, "decoding_condition_mean") - mean).abs() < 1e-12);
    assert_eq!(value(&found, "decoding_condition_chance"), 1.0 / 3.0);
    // Without answers there are neither targets nor choices.
    assert!(value(&found, "decoding_target_mean").is_nan() && value(&found, "decoding_choice_last").is_nan());
}

#[test]
fn correlations_are_those_of_numpy() {
    let example = example();
    let found = example.measure::<Correlations>(json!({}));
    example.expects("signal", value(&found, "signal_correlation"));
    example.expects("noise", value(&found, "noise_correlation"));
    example.expects("signal_noise", value(&found, "signal_noise"));
    assert!(array(&found, "signal")[3].is_nan(), "unit 3 is constant");
    assert!(value(&found, "signal_recorded").is_nan(), "nothing was recorded");
}

#[test]
fn like_to_like_is_the_correlation_of_weights_with_tuning() {
    let example = example();
    let found = example.measure::<LikeToLike>(json!({}));
    example.expects("like_to_like", value(&found, "like_to_like"));
    assert!(value(&found, "like_to_like_initial").is_nan() && value(&found, "like_to_like_near").is_nan());
}

#[test]
fn groups_of_distance_part_what_distance_explains() {
    // Four units on a line in two places. Weights follow distance alone, and so does
    // recorded correlation; within a group of distances nothing is left.
    let correlation_of = |i: usize, j: usize| if i / 2 == j / 2 { 0.8 } else { 0.2 };
    let recorded = Array2::from_shape_fn((4, 4), |(i, j)| if i == j { 1.0 } else { correlation_of(i, j) });
    let at = array![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [50.0, 0.0, 0.0], [51.0, 0.0, 0.0]];
    let substrate = Substrate {
        name: "line".into(),
        neurons: 4,
        positions: Some(Positions::new(at, [1.0; 3])),
        matrices: [(Substrate::CORRELATION.to_owned(), recorded.into())].into(),
        ..Substrate::default()
    };
    let weights = Array2::from_shape_fn((4, 4), |(i, j)| correlation_of(i, j) as f32);
    let activity = Array3::from_shape_fn((3, 4, 4), |(step, trial, unit)| {
        ((step + 1) * (trial + 2) * (unit + 3) % 7) as f32
    });
    let network = Network {
        activity: Some(activity.view()),
        conditions: &[0, 0, 1, 1],
        substrate: Some(&substrate),
        ..Network::new(weights.view())
    };
    let params = pallium_core::parse_parameters(LikeToLike::ID, r#"{"distances": 3}"#).unwrap();
    let found = LikeToLike::build(params, &Setting::default()).unwrap().measure(&network).unwrap();
    assert!((value(&found, "like_to_like_recorded") - 1.0).abs() < 1e-12);
    assert!(value(&found, "like_to_like_recorded_near").is_nan(), "all weights of a group are equal");
    let rows = array(&found, "by_distance");
    let distances: Vec<f64> = rows.chunks(5).map(|row| row[0]).collect();
    // Of twelve ordered pairs four are within a place, then 49 to 51 µm apart.
    assert_eq!(distances[0], 1.0);
    assert!(distances[1] >= 49.0 && distances[2] > distances[1], "{distances:?}");
}

#[test]
fn correlations_of_constants_are_undefined() {
    let of = |a: [f64; 3], b: [f64; 3]| correlation(a.into_iter().zip(b));
    assert!((of([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
    assert!(of([0.1, 0.1, 0.1], [1.0, 2.0, 3.0]).is_nan());
    assert!((of([1.0, 2.0, f64::NAN], [2.0, 1.0, 5.0]) + 1.0).abs() < 1e-12);
}
