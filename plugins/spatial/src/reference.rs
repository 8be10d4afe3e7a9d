//! Comparison with other implementations: the published penalties in TensorFlow
//! (f64) on real fields, and SciPy's matrix exponential and its Fréchet
//! derivative on networks with widely different strengths.

use std::collections::BTreeMap;

use pallium_core::ndarray::{Array2, aview1};
use pallium_core::parse_parameters;
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};
use pallium_fields::folder::{self, ConnectomeOrder, ReadOptions, Sttc};
use pallium_testing::{golden_json, golden_matrix, golden_names, real_field};
use pallium_testkit as testkit;

use crate::communicability::Communicability;
use crate::communicability_emd::CommunicabilityEmd;
use crate::communicability_walks::CommunicabilityWalks;
use crate::distance::Distance;
use crate::l1::L1;
use crate::non_negative::NonNegative;

const WEIGHTS: [&str; 2] = ["bio", "gaussian"];
const SMALL_FIELD: &str = include_str!("../fixtures/5_3_8.json");

/// An imaged field, with reference values of the penalties.
struct Field {
    name: String,
    distances: BTreeMap<&'static str, Array2<f64>>,
    weights: BTreeMap<&'static str, Array2<f64>>,
    connectome: Array2<f64>,
    penalties: Value,
    /// Complete gradients on the geometry `minmax`, if known.
    gradients: BTreeMap<String, Array2<f64>>,
}

fn build<C: Component>(params: Value, setting: &Setting<'_>) -> Result<C> {
    C::build(parse_parameters(C::ID, &params.to_string())?, setting)
}

fn component(id: &str, params: Value, setting: &Setting<'_>) -> Box<dyn Constraint> {
    match id {
        "l1" => Box::new(build::<L1>(params, setting).unwrap()),
        "distance" => Box::new(build::<Distance>(params, setting).unwrap()),
        "communicability" => Box::new(build::<Communicability>(params, setting).unwrap()),
        "communicability_emd" => Box::new(build::<CommunicabilityEmd>(params, setting).unwrap()),
        _ => panic!("unknown penalty {id}"),
    }
}

fn distances(points: &Array2<f64>) -> Array2<f64> {
    let n = points.nrows();
    Array2::from_shape_fn((n, n), |(i, j)| (&points.row(i) - &points.row(j)).mapv(|x| x * x).sum().sqrt())
}

fn min_max(mut points: Array2<f64>) -> Array2<f64> {
    for mut axis in points.columns_mut() {
        let low = axis.fold(f64::INFINITY, |a, &b| a.min(b));
        let high = axis.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        axis.mapv_inplace(|x| (x - low) / (high - low));
    }
    points
}

fn geometries(positions: &Array2<f64>, grid: &[usize]) -> BTreeMap<&'static str, Array2<f64>> {
    let n = positions.nrows();
    let interleaved = positions.to_shape((3, n)).unwrap().t().to_owned();
    // The order in which NumPy's meshgrid lays the points out: y, x, z.
    let points = Array2::from_shape_fn((n, 3), |(k, axis)| {
        let (y, x, z) = (k / grid[2] / grid[0], k / grid[2] % grid[0], k % grid[2]);
        [x, y, z][axis] as f64
    });
    BTreeMap::from([
        ("released_reshape", distances(&min_max(interleaved))),
        ("grid", distances(&points)),
        ("minmax", distances(&min_max(positions.clone()))),
        ("micrometre", distances(&(positions * &aview1(&[0.004, 0.004, 0.04])))),
    ])
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn grid_of(value: &Value) -> Vec<usize> {
    numbers(&value["grid"]).into_iter().map(|x| x as usize).collect()
}

/// The small field in `fixtures`.
fn small_field() -> Field {
    let all: Value = serde_json::from_str(SMALL_FIELD).unwrap();
    let positions = numbers(&all["positions"]);
    let n = positions.len() / 3;
    let positions = Array2::from_shape_vec((n, 3), positions).unwrap();
    let mut connectome = Array2::zeros((n, n));
    for synapses in all["connectome"].as_array().unwrap() {
        let s = numbers(synapses);
        connectome[[s[0] as usize, s[1] as usize]] = s[2];
    }
    let weights = WEIGHTS
        .map(|name| (name, Array2::from_shape_vec((n, n), numbers(&all["weights"][name])).unwrap()))
        .into();
    Field {
        name: "5_3_8".into(),
        distances: geometries(&positions, &grid_of(&all)),
        weights,
        connectome,
        penalties: all["penalties"].clone(),
        gradients: BTreeMap::new(),
    }
}

/// A real field, if it and its reference values are available.
fn field(name: &str) -> Option<Field> {
    let (folder, all, known) = (real_field(name)?, golden_json()?, golden_names(name)?);
    let reading =
        ReadOptions { order: ConnectomeOrder::Released, sttc: Sttc::Released, ..ReadOptions::default() };
    let substrate = folder::read(&folder, &reading).unwrap();
    assert_eq!(Value::from(substrate.neurons), all[name]["n"]);
    let matrix = |key: &str| golden_matrix(name, key).unwrap();
    let gradients = known.iter().filter_map(|key| Some((key.strip_prefix("grad|")?.to_owned(), matrix(key))));
    Some(Field {
        name: name.into(),
        distances: geometries(&substrate.positions().unwrap().values.to_array(), &grid_of(&all[name])),
        weights: WEIGHTS.map(|weights| (weights, matrix(weights))).into(),
        connectome: substrate.matrices[Substrate::CONNECTOME].to_array(),
        penalties: all[name]["penalties"].clone(),
        gradients: gradients.collect(),
    })
}

fn substrate(connectome: &Array2<f64>) -> Substrate {
    let matrices = [(Substrate::CONNECTOME.to_owned(), connectome.clone().into())].into();
    Substrate { name: "test".into(), neurons: connectome.nrows(), matrices, ..Substrate::default() }
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Value and gradient, the gradient in f64 so that it can be compared.
fn evaluate(constraint: &mut dyn Constraint, weights: &Array2<f64>) -> (f64, Array2<f64>) {
    let weights = weights.mapv(|w| w as f32);
    let mut gradient = Matrix::zeros(weights.dim());
    let value = constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap();
    (value, gradient.mapv(f64::from))
}

/// Compares all penalties on all geometries with the published values; returns
/// the largest errors of a value and of a gradient.
fn compare(field: &Field) -> (f64, f64) {
    let substrate = substrate(&field.connectome);
    let n = field.connectome.nrows() as f64;
    let (mut worst_value, mut worst_gradient) = (0.0_f64, 0.0_f64);
    let expected = field.penalties.as_object().unwrap();
    assert_eq!(expected.len(), 26);
    for (key, expected) in expected {
        let parts: Vec<&str> = key.split('|').collect();
        let [id, geometry, weights] = parts[..] else { panic!("{key}") };
        let distance = field.distances[geometry].mapv(|d| d as f32);
        let setting = Setting {
            neurons: Some(substrate.neurons),
            substrate: Some(&substrate),
            distance: Some(distance.view()),
            ..Setting::default()
        };
        let params = if id == "communicability_emd" { json!({"empty_rows": "floor"}) } else { json!({}) };
        let mut constraint = component(id, params, &setting);
        let (value, gradient) = evaluate(&mut *constraint, &field.weights[weights]);
        let of = |name: &str| expected[name].as_f64().unwrap();
        let size = of("grad_fro");
        let value_error = (value / of("value") - 1.0).abs();
        // A sum of N² entries, each off by e, is off by up to N times the norm
        // of the errors.
        let mut gradient_error = [
            (norm(&gradient) - size).abs() / size,
            (gradient.sum() - of("grad_sum")).abs() / (size * n),
            (gradient[[0, 1]] - of("grad_0_1")).abs() / size,
            (gradient[[7, 3]] - of("grad_7_3")).abs() / size,
        ]
        .into_iter()
        .fold(0.0, f64::max);
        if let (Some(complete), "minmax") = (field.gradients.get(&format!("{id}|{weights}")), geometry) {
            gradient_error = gradient_error.max(norm(&(&gradient - complete)) / size);
        }
        assert!(value_error < 1e-5, "{} {key}: value {value}, expected {}", field.name, of("value"));
        assert!(gradient_error < 1e-4, "{} {key}: gradient off by {gradient_error:e}", field.name);
        worst_value = worst_value.max(value_error);
        worst_gradient = worst_gradient.max(gradient_error);
    }
    (worst_value, worst_gradient)
}

#[test]
fn the_small_field_agrees_with_published_penalties() {
    let (value, gradient) = compare(&small_field());
    println!("5_3_8 (kept): values within {value:.1e}, gradients within {gradient:.1e}");
}

#[test]
fn real_fields_agree_with_published_penalties() {
    for name in ["5_3_8", "5_3_4", "6_6_2"] {
        let Some(field) = field(name) else { return };
        let (value, gradient) = compare(&field);
        println!("{name}: values within {value:.1e}, gradients within {gradient:.1e}");
    }
}

#[test]
fn measured_communicability_agrees_with_published() {
    for name in ["5_3_8", "5_3_4", "6_6_2"] {
        let Some(field) = field(name) else { return };
        let mut expected =
            golden_matrix(name, "empirical_communicability").unwrap().into_raw_vec_and_offset().0;
        let mut found = crate::network::measured_communicability(field.connectome.view(), 1e-10, 1);
        expected.sort_by(f64::total_cmp);
        found.sort_by(f64::total_cmp);
        // One of the files holds f32. Empty rows make the norm of the published
        // formula's argument 4e5, so its exponential has errors of 1e-12 of the
        // largest entry (some zeros are negative).
        let relative = if name == "6_6_2" { 1e-7 } else { 1e-14 };
        let absolute = 1e-11 * expected[expected.len() - 1];
        for (found, expected) in found.iter().zip(&expected) {
            let error = (found - expected).abs();
            assert!(error <= relative * expected.abs() + absolute, "{name}: {found}, expected {expected}");
        }
    }
}

/// A network with strengths over `decades` decades, with zero weights and one
/// empty row; its distances; and a connectome with two empty rows.
fn spread(decades: f64) -> (Array2<f64>, Matrix, Array2<f64>) {
    let n = 30;
    let weights = Array2::from_shape_fn((n, n), |(i, j)| {
        let (x, y) = (i as f64, j as f64);
        let scale = 10_f64.powf(-decades * (i % 5) as f64 / 4.0);
        let weight = (1.0 + 1.7 * x + 0.9 * y + 0.13 * x * y).sin() * scale;
        if (i + 2 * j) % 7 == 0 || i == 11 { 0.0 } else { f64::from(weight as f32) }
    });
    let distance = Matrix::from_shape_fn((n, n), |(i, j)| i.abs_diff(j) as f32 / 10.0);
    let connectome = Array2::from_shape_fn((n, n), |(i, j)| {
        let joined = (7 * i + 3 * j + i * j) % 11 == 0 && i != j && i != 4 && i != 17;
        if joined { (1 + (i + j) % 3) as f64 } else { 0.0 }
    });
    (weights, distance, connectome)
}

/// Values of SciPy 1.17.1 (expm, expm_frechet; f64) on [`spread`]: decades; then for
/// communicability and for the distribution alone (λ′ = 0.1, empty rows 0) the value, the
/// gradient's norm, and its entries (0,1), (8,3), (14,29), (21,11).
#[rustfmt::skip]
const SPREAD: [(f64, [f64; 6], [f64; 6]); 3] = [
    (0.0,
     [9.49959361916, 0.82719569343, -0.0121908511481, 0.0, -0.00369636112351, -0.0251764055893],
     [0.00658721386893, 0.000153574293683, 4.23552363807e-06, 0.0, -1.4323782383e-06, -1.02235844847e-05]),
    (2.0,
     [10.2606119918, 32.450399716, -0.0201633992423, 0.0, 0.296449787129, -0.0691096876526],
     [0.00581371034262, 0.0212914079156, 3.86169641568e-06, 0.0, 0.000875406309622, -9.07749795127e-05]),
    (6.0,
     [481.087809633, 26608357.7892, -1.77393392276, 0.0, 64953.7032856, -18.5880045713],
     [0.312104968793, 16574.3714913, -0.000520097777684, 0.0, 380.218135419, -0.0239611170329]),
];

#[test]
fn networks_of_unequal_strengths_agree_with_scipy() {
    for (decades, communicability, distribution) in SPREAD {
        let (weights, distance, connectome) = spread(decades);
        let substrate = substrate(&connectome);
        let setting =
            Setting { substrate: Some(&substrate), distance: Some(distance.view()), ..Setting::default() };
        for (id, params, expected) in [
            ("communicability", json!({}), communicability),
            ("communicability_emd", json!({"strength": 0.0}), distribution),
        ] {
            let (value, gradient) = evaluate(&mut *component(id, params, &setting), &weights);
            let places = [[0, 1], [8, 3], [14, 29], [21, 11]].map(|place| gradient[place]);
            let found = [&[value, norm(&gradient)], &places[..]].concat();
            println!("{decades} {id}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                let error = (found - expected).abs();
                assert!(error <= 1e-4 * expected.abs(), "{decades} {id}: {found}, expected {expected}");
            }
            assert!((value / expected[0] - 1.0).abs() < 1e-5, "{decades} {id}: {value}");
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_values() {
    for decades in [0.0, 2.0] {
        let (weights, distance, connectome) = spread(decades);
        let weights = weights.mapv(|w| w as f32);
        // With an empty connectome, all differences of the distributions have
        // the same sign, so their mean has no kinks.
        for (id, params, connectome) in [
            ("l1", json!({}), &connectome),
            ("distance", json!({}), &connectome),
            ("communicability", json!({}), &connectome),
            ("communicability_emd", json!({}), &connectome),
            ("communicability_emd", json!({"strength": 0.0}), &(0.0 * &connectome)),
        ] {
            let substrate = substrate(connectome);
            let setting = Setting {
                substrate: Some(&substrate),
                distance: Some(distance.view()),
                ..Setting::default()
            };
            let mut constraint = component(id, params.clone(), &setting);
            for seed in 0..3 {
                let error = testkit::gradient_error(&mut *constraint, &weights, seed).unwrap();
                println!("{decades} {id} {params}: {error:.1e}");
                assert!(error < 1e-3, "{decades} {id} {params}: {error:e}");
            }
        }
    }
}

/// All components that need distances, on the small field.
fn on_small_field(threads: usize) -> Vec<(&'static str, Box<dyn Constraint>, Matrix)> {
    let field = small_field();
    let substrate = substrate(&field.connectome);
    let distance = field.distances["minmax"].mapv(|d| d as f32);
    let setting = Setting {
        threads,
        neurons: Some(42),
        substrate: Some(&substrate),
        distance: Some(distance.view()),
        ..Setting::default()
    };
    let weights = field.weights["gaussian"].mapv(|w| w as f32);
    ["l1", "distance", "communicability", "communicability_emd"]
        .map(|id| (id, component(id, json!({}), &setting), weights.clone()))
        .into()
}

#[test]
fn non_finite_weights_give_a_non_finite_value() {
    for (id, mut constraint, weights) in on_small_field(1) {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut weights = weights.clone();
            weights[[3, 5]] = bad;
            let mut gradient = Matrix::zeros(weights.dim());
            let value =
                constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap();
            assert!(!value.is_finite(), "{id} with {bad}: {value}");
        }
        // Later calls are not affected.
        let mut gradient = Matrix::zeros(weights.dim());
        let value =
            constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap();
        assert!(value.is_finite() && gradient.iter().all(|g| g.is_finite()), "{id}");
    }
}

#[test]
fn a_wrong_shape_is_an_error() {
    for (id, mut constraint, _) in on_small_field(1) {
        for (weights, gradient) in [((41, 41), (42, 42)), ((42, 42), (42, 41)), ((42, 43), (42, 43))] {
            let error = constraint
                .penalty(
                    Matrix::zeros(weights).view(),
                    Matrix::zeros(gradient).view_mut(),
                    &Point::new("recurrent"),
                )
                .unwrap_err();
            assert!(error.message.contains("must be 42×42"), "{id}: {error}");
        }
    }
}

#[test]
fn all_layouts_and_thread_counts_give_bit_identical_results() {
    for ((id, mut alone, weights), (_, mut shared, _)) in on_small_field(0).into_iter().zip(on_small_field(3))
    {
        let mut expected = Matrix::from_elem(weights.dim(), 0.5);
        let value = alone.penalty(weights.view(), expected.view_mut(), &Point::new("recurrent")).unwrap();
        let transposed = weights.t().as_standard_layout().into_owned();
        let mut gradient = Matrix::from_elem(weights.dim(), 0.5);
        let same = shared
            .penalty(transposed.t(), gradient.view_mut().reversed_axes(), &Point::new("recurrent"))
            .unwrap();
        assert_eq!((value, expected.t()), (same, gradient.view()), "{id}");
    }
}

#[test]
fn a_silent_network_costs_nothing() {
    for (id, mut constraint, weights) in on_small_field(1) {
        let mut gradient = Matrix::zeros(weights.dim());
        let value = constraint
            .penalty(Matrix::zeros(weights.dim()).view(), gradient.view_mut(), &Point::new("recurrent"))
            .unwrap();
        // The connectome of this field has no communicability either.
        assert_eq!((value, gradient), (0.0, Matrix::zeros(weights.dim())), "{id}");
    }
}

#[test]
fn the_order_of_the_connectome_does_not_matter() {
    let (weights, distance, connectome) = spread(1.0);
    let mut permuted = connectome.clone();
    for ((i, j), &count) in connectome.indexed_iter() {
        permuted[[(7 * i + 2) % 30, (7 * j + 2) % 30]] = count;
    }
    let [first, second] = [connectome, permuted].map(|connectome| {
        let substrate = substrate(&connectome);
        let setting =
            Setting { substrate: Some(&substrate), distance: Some(distance.view()), ..Setting::default() };
        evaluate(&mut *component("communicability_emd", json!({}), &setting), &weights)
    });
    assert!((first.0 / second.0 - 1.0).abs() < 1e-9);
    assert!(norm(&(&first.1 - &second.1)) < 1e-6 * norm(&first.1));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (_, distance, connectome) = spread(0.0);
    let substrate = substrate(&connectome);
    let complete =
        Setting { substrate: Some(&substrate), distance: Some(distance.view()), ..Setting::default() };
    fn message<C: Component>(params: Value, setting: &Setting<'_>) -> String {
        build::<C>(params, setting).map(|_| ()).unwrap_err().message
    }
    let negative = json!({"strength": -0.1});
    assert_eq!(message::<L1>(negative.clone(), &complete), "parameter `strength` is -0.1");
    assert_eq!(message::<Distance>(negative.clone(), &complete), "parameter `strength` is -0.1");
    assert_eq!(message::<Communicability>(negative.clone(), &complete), "parameter `strength` is -0.1");
    assert_eq!(message::<CommunicabilityEmd>(negative, &complete), "parameter `strength` is -0.1");
    let negative = json!({"emd_strength": -1.0});
    assert_eq!(message::<CommunicabilityEmd>(negative, &complete), "parameter `emd_strength` is -1");

    let no_distance = Setting { distance: None, ..complete };
    assert!(message::<Communicability>(json!({}), &no_distance).contains("needs distances"));
    let no_substrate = Setting { substrate: None, ..complete };
    assert!(message::<CommunicabilityEmd>(json!({}), &no_substrate).contains("needs a substrate"));
    let other = Setting { neurons: Some(31), ..complete };
    assert_eq!(message::<Distance>(json!({}), &other), "distance matrix is 30×30, but must be 31×31");
    let small = Matrix::zeros((7, 7));
    let other = Setting { distance: Some(small.view()), ..complete };
    assert_eq!(
        message::<CommunicabilityEmd>(json!({}), &other),
        "connectome matrix is 30×30, but must be 7×7"
    );
    let mut holes = distance.clone();
    holes[[2, 4]] = f32::NAN;
    let other = Setting { distance: Some(holes.view()), ..complete };
    assert_eq!(message::<Distance>(json!({}), &other), "distance from neuron 2 to 4 is NaN");
    let none = Matrix::zeros((0, 0));
    let other = Setting { distance: Some(none.view()), ..complete };
    assert!(message::<Distance>(json!({}), &other).contains("no neurons"));
}

#[test]
fn the_published_baseline_ignores_its_strength() {
    let weights = Array2::from_shape_fn((3, 3), |(i, j)| i as f64 - j as f64);
    let params = json!({"strength": 0.3, "strength_rule": "ignored"});
    let (value, gradient) = evaluate(&mut *component("l1", params, &Setting::default()), &weights);
    assert_eq!((value, gradient), (8.0, weights.mapv(|w| if w == 0.0 { 0.0 } else { w.signum() })));
}

#[test]
fn non_negative_only_clips_negative_weights() {
    let mut rule = build::<NonNegative>(json!({}), &Setting::default()).unwrap();
    let mut weights = Matrix::from_shape_vec((2, 2), vec![-1.0, 2.0, 0.0, f32::NAN]).unwrap();
    rule.project(weights.view_mut(), &Point::new("recurrent")).unwrap();
    assert_eq!(weights.as_slice().unwrap()[..3], [0.0, 2.0, 0.0]);
    assert!(weights[[1, 1]].is_nan());
    let mut gradient = Matrix::zeros((2, 2));
    assert_eq!(rule.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap(), 0.0);
    assert_eq!(gradient, Matrix::zeros((2, 2)));
    let mut known =
        build::<NonNegative>(json!({}), &Setting { neurons: Some(3), ..Setting::default() }).unwrap();
    assert!(known.project(weights.view_mut(), &Point::new("recurrent")).is_err());
}

/// `cargo test --release -p pallium-spatial -- --ignored --nocapture speed`
#[test]
#[ignore = "prints times"]
fn speed() {
    use pallium_core::rand::Rng;
    for n in [42, 160, 312, 632] {
        let mut stream = pallium_core::random::stream(1, "speed");
        let mut draw = || Matrix::from_shape_simple_fn((n, n), || stream.random_range(0.0..1.0_f32));
        let (weights, distance, counts) = (draw() - 0.5, draw(), draw());
        let substrate = substrate(&counts.mapv(|c| if c > 0.97 { 1.0 } else { 0.0 }));
        let setting = Setting {
            threads: 1,
            substrate: Some(&substrate),
            distance: Some(distance.view()),
            ..Setting::default()
        };
        for id in ["l1", "distance", "communicability", "communicability_emd"] {
            let mut constraint = component(id, json!({}), &setting);
            let mut gradient = Matrix::zeros((n, n));
            let mut times: Vec<f64> = (0..61)
                .map(|_| {
                    let start = std::time::Instant::now();
                    constraint
                        .penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent"))
                        .unwrap();
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            println!("N = {n}, {id}: median {:.3} ms, least {:.3} ms", times[30], times[0]);
        }
    }
}

/// PyTorch's values and gradients (`fixtures/walks.py`).
#[test]
fn walks_of_limited_length_agree_with_automatic_differentiation() {
    let expected: Value = serde_json::from_str(include_str!("../fixtures/walks.json")).unwrap();
    let field = small_field();
    let distance = field.distances["minmax"].mapv(|d| d as f32);
    let setting = Setting { neurons: Some(42), distance: Some(distance.view()), ..Setting::default() };
    let mut worst = [0.0_f64; 2];
    for (key, expected) in expected.as_object().unwrap() {
        let parts: Vec<&str> = key.split('|').collect();
        let [kind, weighting, alpha, order] = parts[..] else { panic!("{key}") };
        let (alpha, order): (f64, u32) = (alpha.parse().unwrap(), order.parse().unwrap());
        let params = json!({"alpha": alpha, "order": order, "weighting": weighting});
        let mut constraint: CommunicabilityWalks = build(params, &setting).unwrap();
        let (value, gradient) = evaluate(&mut constraint, &field.weights[kind]);
        let of = |name: &str| expected[name].as_f64().unwrap();
        worst[0] = worst[0].max((value / of("value") - 1.0).abs());
        for (place, slope) in expected["gradient"].as_object().unwrap() {
            let (i, j) = place.split_once(',').unwrap();
            let found = gradient[[i.parse().unwrap(), j.parse().unwrap()]];
            worst[1] = worst[1].max((found - slope.as_f64().unwrap()).abs() / of("norm"));
        }
        if order == 20 && weighting == "factorial" {
            let mut complete: Communicability = build(json!({}), &setting).unwrap();
            let (same, slopes) = evaluate(&mut complete, &field.weights[kind]);
            assert!((value / same - 1.0).abs() < 1e-6, "{value} {same}");
            assert!((&gradient - &slopes).iter().all(|d| d.abs() < 1e-5 * of("norm")));
        }
    }
    println!("values off by {:.1e}, gradients by {:.1e}", worst[0], worst[1]);
    assert!(worst[0] < 1e-6 && worst[1] < 1e-6, "{worst:?}");
}

/// The conformance checks of all components.
#[test]
fn conform() {
    testkit::assert_all_conform();
}
