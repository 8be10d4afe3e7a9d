//! What each null model keeps, and comparison with netneurotools and bctpy
//! (`fixtures/netneurotools_nulls.py`).

use pallium_core::ndarray::{Array2, Axis};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};
use pallium_linalg::eigenvalues;
use rand::Rng;

use crate::degrees::Degrees;
use crate::density::Density;
use crate::diagonal::Diagonal;
use crate::eigenvalues::Eigenvalues;
use crate::lengths::Lengths;
use crate::modules::{self, Modules};
use crate::schur_form::SchurForm;
use crate::strengths::Strengths;
use crate::weight_distribution::WeightDistribution;
use crate::wiring::Wiring;

#[test]
fn conform() {
    pallium_testkit::assert_all_conform();
}

fn request<'a>(neurons: usize, substrate: Option<&'a Substrate>, seed: u64) -> WeightRequest<'a> {
    WeightRequest { neurons, substrate, seed, draw: None, connections: None }
}

fn build<S: Component + WeightSource>(params: Value, original: &Matrix) -> Result<S> {
    let params = pallium_core::parse_parameters(S::ID, &params.to_string())?;
    S::build(params, &Setting { original: Some(original.view()), ..Setting::default() })
}

fn null_of<S: Component + WeightSource>(params: Value, original: &Matrix, seed: u64) -> Matrix {
    build::<S>(params, original).unwrap().weights(&request(original.nrows(), None, seed)).unwrap()
}

fn null_in<S: Component + WeightSource>(field: &Substrate, original: &Matrix, seed: u64) -> Matrix {
    let request = request(original.nrows(), Some(field), seed);
    build::<S>(json!({}), original).unwrap().weights(&request).unwrap()
}

/// Signed weights for a fifth of the pairs, some neurons connected to themselves.
fn example(n: usize, seed: u64) -> Matrix {
    let mut stream = random::stream(seed, "test");
    Matrix::from_shape_simple_fn((n, n), || {
        let weight = stream.random_range(-0.5..1.0_f32);
        if stream.random_bool(0.2) { weight } else { 0.0 }
    })
}

fn without_loops(mut matrix: Matrix) -> Matrix {
    matrix.diag_mut().fill(0.0);
    matrix
}

fn field(points: Array2<f64>) -> Substrate {
    Substrate {
        name: "f".into(),
        neurons: points.nrows(),
        positions: Some(Positions::new(points, [1.0; 3])),
        ..Substrate::default()
    }
}

fn sorted(values: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.into_iter().filter(|w| *w != 0.0).collect();
    values.sort_by(f32::total_cmp);
    values
}

fn degrees(matrix: &Matrix) -> [Vec<usize>; 2] {
    [Axis(1), Axis(0)].map(|axis| {
        matrix.lanes(axis).into_iter().map(|lane| lane.iter().filter(|w| **w != 0.0).count()).collect()
    })
}

/// Root mean square difference of the sums of outputs and of inputs, in standard
/// deviations; the larger one.
fn strength_error(original: &Matrix, null: &Matrix) -> f64 {
    let (a, b) = (original.mapv(f64::from), null.mapv(f64::from));
    let error = |axis| {
        let (a, b) = (a.sum_axis(axis), b.sum_axis(axis));
        ((&a - &b).mapv(|e| e * e).mean().unwrap()).sqrt() / a.std(0.0)
    };
    error(Axis(0)).max(error(Axis(1)))
}

/// Share of the connections that are at the same pair.
fn kept(original: &Matrix, null: &Matrix) -> f64 {
    let both = original.iter().zip(null).filter(|(a, b)| **a != 0.0 && **b != 0.0).count();
    both as f64 / original.iter().filter(|w| **w != 0.0).count() as f64
}

/// Lengths and weights of connections of different neurons, by length.
fn lengths(matrix: &Matrix, points: &Array2<f64>) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = matrix
        .indexed_iter()
        .filter(|((i, j), w)| i != j && **w != 0.0)
        .map(|((i, j), w)| ((&points.row(i) - &points.row(j)).mapv(|d| d * d).sum().sqrt(), f64::from(*w)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

/// Kolmogorov–Smirnov distance of lengths.
fn length_distance(a: &[(f64, f64)], b: &[(f64, f64)]) -> f64 {
    let share = |of: &[(f64, f64)], v: f64| of.partition_point(|l| l.0 <= v) as f64 / of.len() as f64;
    a.iter().chain(b).map(|(v, _)| (share(a, *v) - share(b, *v)).abs()).fold(0.0, f64::max)
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / count, y + b / count));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| of(a - x, b - y)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// The largest distance of an eigenvalue from the nearest one of the other matrix.
fn eigenvalue_distance(a: &Matrix, b: &Matrix) -> f64 {
    let [a, b] = [a, b].map(|m| eigenvalues(m.mapv(f64::from).view()).unwrap());
    let nearest = |(re, im): &(f64, f64), of: &[(f64, f64)]| {
        of.iter().map(|other| (re - other.0).hypot(im - other.1)).fold(f64::INFINITY, f64::min)
    };
    a.iter().map(|v| nearest(v, &b)).chain(b.iter().map(|v| nearest(v, &a))).fold(0.0, f64::max)
}

#[test]
fn weights_stay_with_their_signs_wherever_they_go() {
    for original in [example(30, 1), without_loops(example(30, 2)), example(30, 3).mapv(|w| w + 2.0)] {
        let none = original.diag().iter().all(|w| *w == 0.0);
        let nulls = [
            null_of::<WeightDistribution>(json!({}), &original, 5),
            null_of::<Diagonal>(json!({}), &original, 5),
            null_of::<Degrees>(json!({}), &original, 5),
            null_of::<Strengths>(json!({"stages": 5}), &original, 5),
            null_of::<Modules>(json!({}), &original, 5),
        ];
        for (at, null) in nulls.iter().enumerate() {
            assert_ne!(*null, original, "{at}");
            assert_eq!(sorted(null.iter().copied()), sorted(original.iter().copied()), "{at}");
            assert!(!none || null.diag().iter().all(|w| *w == 0.0), "{at} connects a neuron to itself");
        }
        assert_eq!(nulls[1].diag(), original.diag());
        assert!(none || nulls[0].diag() != original.diag());
    }
}

#[test]
fn every_rung_can_keep_the_diagonal() {
    let original = example(30, 1);
    let points = Array2::from_shape_fn((30, 3), |(i, axis)| ((7 * i + 3 * axis) % 30) as f64);
    let keep = || json!({"diagonal": "keep"});
    for null in [
        null_of::<Density>(keep(), &original, 5),
        null_of::<WeightDistribution>(keep(), &original, 5),
        null_of::<Degrees>(keep(), &original, 5),
        null_of::<Strengths>(keep(), &original, 5),
        null_of::<Modules>(keep(), &original, 5),
        build::<Lengths>(keep(), &original).unwrap().weights(&request(30, Some(&field(points)), 5)).unwrap(),
    ] {
        assert_eq!(null.diag(), original.diag());
        assert_ne!(null, original);
    }
}

#[test]
fn density_has_as_many_connections_with_the_moments_of_the_weights() {
    let original = without_loops(example(200, 1));
    let null = null_of::<Density>(json!({}), &original, 1);
    let weights =
        |of: &Matrix| -> Vec<f64> { of.iter().filter(|w| **w != 0.0).map(|w| f64::from(*w)).collect() };
    let (a, b) = (weights(&original), weights(&null));
    assert_eq!(a.len(), b.len());
    let moments = |of: &[f64]| {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        (mean, (of.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / of.len() as f64).sqrt())
    };
    let ((mean, deviation), (other, spread)) = (moments(&a), moments(&b));
    // Four standard errors of about 8,000 draws.
    assert!((mean - other).abs() < 4.0 * deviation / 8000f64.sqrt(), "{mean} and {other}");
    assert!((spread / deviation - 1.0).abs() < 4.0 / 16_000f64.sqrt(), "{spread} and {deviation}");
}

#[test]
fn degrees_are_those_of_the_original_and_the_pairs_are_not() {
    for seed in 0..5 {
        let original = example(40, seed);
        let null = null_of::<Degrees>(json!({}), &original, seed);
        assert_eq!(degrees(&null), degrees(&original));
        let loops = |of: &Matrix| of.diag().mapv(|w| w != 0.0);
        assert_eq!(loops(&null), loops(&original));
        assert!(kept(&without_loops(original), &without_loops(null)) < 0.4);
    }
    // Of a complete matrix only the weights move.
    let complete = example(12, 1).mapv(|w| w + 2.0);
    let null = null_of::<Degrees>(json!({}), &complete, 1);
    assert!(null.iter().all(|w| *w != 0.0) && null != complete);
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../fixtures/netneurotools_nulls.json")).unwrap()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn strengths_are_matched_at_least_as_well_as_by_netneurotools() {
    for (seed, case) in golden()["cases"].as_array().unwrap().iter().enumerate() {
        let original = matrix(&case["matrix"]).mapv(|w| w as f32);
        let null = null_of::<Strengths>(json!({}), &original, seed as u64);
        assert_eq!(degrees(&null), degrees(&original));
        let (error, theirs) = (strength_error(&original, &null), case["strength_error"].as_f64().unwrap());
        println!("case {seed}: error of strengths {error:.5}, of netneurotools {theirs:.5}");
        assert!(error <= theirs, "{error} and {theirs}");
    }
}

#[test]
fn rewiring_moves_as_many_connections_as_bctpy() {
    for case in golden()["cases"].as_array().unwrap().iter().filter(|case| !case["kept"].is_null()) {
        let original = matrix(&case["matrix"]).mapv(|w| w as f32);
        let shares = (0..20).map(|seed| kept(&original, &null_of::<Degrees>(json!({}), &original, seed)));
        let (mean, theirs) = (shares.sum::<f64>() / 20.0, case["kept"].as_f64().unwrap());
        assert!((mean - theirs).abs() < 0.02, "{mean} and {theirs}");
    }
}

#[test]
fn lengths_are_matched_at_least_as_well_as_by_netneurotools() {
    for (seed, case) in golden()["cases"].as_array().unwrap().iter().enumerate() {
        if case["points"].is_null() {
            continue;
        }
        let (directed, points) = (matrix(&case["matrix"]), matrix(&case["points"]));
        let either = Array2::from_shape_fn(directed.dim(), |(i, j)| directed[[i, j]].max(directed[[j, i]]));
        let original = either.mapv(|w| w as f32);
        let null = null_in::<Lengths>(&field(points.clone()), &original, seed as u64);
        assert_eq!(degrees(&null), degrees(&original));
        assert_eq!(sorted(null.iter().copied()), sorted(original.iter().copied()));
        let (before, after) = (lengths(&original, &points), lengths(&null, &points));
        let (distance, theirs) =
            (length_distance(&before, &after), case["length_distance"].as_f64().unwrap());
        println!("case {seed}: distance of lengths {distance:.4}, of netneurotools {theirs:.4}");
        assert!(distance <= theirs, "{distance} and {theirs}");
        let relation: Vec<f64> = serde_json::from_value(case["relation"].clone()).unwrap();
        assert!((correlation(&before) - relation[0]).abs() < 1e-6);
        assert!(
            (correlation(&after) - relation[0]).abs() < 0.1,
            "{} and {}",
            correlation(&after),
            relation[0]
        );
        assert!(kept(&original, &null) < 0.8, "{}", kept(&original, &null));
    }
}

#[test]
fn modules_keep_what_lies_within_and_between_them() {
    // Two dense groups of 15, the even and the odd neurons.
    let mut stream = random::stream(1, "test");
    let original = Matrix::from_shape_fn((30, 30), |(i, j)| {
        let share = if i % 2 == j % 2 { 0.6 } else { 0.05 };
        let weight = stream.random_range(0.5..1.0_f32);
        if i != j && stream.random_bool(share) { weight } else { 0.0 }
    });
    let setting = Setting { original: Some(original.view()), ..Setting::default() };
    let found = modules::found(&Wiring::original(&setting).unwrap()).unwrap();
    assert!((0..30).all(|i| found[i] == found[i % 2]) && found[0] != found[1], "{found:?}");
    let mut labelled = Substrate { name: "f".into(), neurons: 30, ..Substrate::default() };
    labelled.ids.insert("group".into(), (0..30).map(|i| i % 3).collect());
    for (params, of) in [(json!({}), found), (json!({"labels": "group"}), (0..30).map(|i| i % 3).collect())] {
        let mut source = build::<Modules>(params, &original).unwrap();
        let null = source.weights(&request(30, Some(&labelled), 3)).unwrap();
        assert!(kept(&original, &null) < 0.7);
        let block = |of_matrix: &Matrix, a: i64, b: i64| {
            sorted(of_matrix.indexed_iter().filter(|((i, j), _)| (of[*i], of[*j]) == (a, b)).map(|(_, w)| *w))
        };
        for (a, b) in (0..3).flat_map(|a| (0..3).map(move |b| (a, b))) {
            assert_eq!(block(&null, a, b), block(&original, a, b), "{a} {b}");
        }
    }
    let mut source = build::<Modules>(json!({"labels": "area"}), &original).unwrap();
    let error = source.weights(&request(30, Some(&labelled), 3)).unwrap_err();
    assert!(error.message.contains("no identifiers `area`") && error.help.unwrap().contains("group"));
}

#[test]
fn spectral_nulls_keep_what_they_promise() {
    for original in [example(25, 1), example(24, 2).mapv(|w| w + 0.3)] {
        let (eigen, schur) =
            (null_of::<Eigenvalues>(json!({}), &original, 4), null_of::<SchurForm>(json!({}), &original, 4));
        for null in [&eigen, &schur] {
            let distance = eigenvalue_distance(&original, null);
            assert!(distance < 2e-5, "{distance}");
        }
        let wide = |m: &Matrix| m.mapv(f64::from);
        let (o, e, s) = (wide(&original), wide(&eigen), wide(&schur));
        // Eigenvectors are orthogonal: the matrix commutes with its transpose.
        let largest = |m: Array2<f64>| m.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        assert!(largest(e.dot(&e.t()) - e.t().dot(&e)) < 1e-4);
        assert!(largest(o.dot(&o.t()) - o.t().dot(&o)) > 0.1, "the original is not normal");
        // Singular values: eigenvalues of W·Wᵀ.
        let singular = |m: &Array2<f64>| pallium_linalg::symmetric(m.dot(&m.t()).view()).unwrap().values;
        for (a, b) in singular(&o).iter().zip(singular(&s)) {
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
        let apart = singular(&o).iter().zip(singular(&e)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart > 0.1, "{apart}");
    }
    // A symmetric matrix stays one.
    let symmetric = example(20, 3);
    let symmetric = &symmetric + &symmetric.t();
    let null = null_of::<Eigenvalues>(json!({}), &symmetric, 1);
    assert!((&null - &null.t()).iter().all(|d| d.abs() < 1e-5));
}

#[test]
fn connections_and_the_matrix_have_the_same_nulls() {
    let original = example(20, 1);
    let points = Array2::from_shape_fn((20, 3), |(i, axis)| ((7 * i + 3 * axis) % 20) as f64);
    let field = field(points);
    let sparse = SparseWeights::from_matrix(original.view(), None);
    let row = Matrix::from_shape_vec((1, sparse.values.len()), sparse.values.clone()).unwrap();
    let pairs = sparse.connections.view();
    let on = Setting { original: Some(row.view()), connections: Some(pairs), ..Setting::default() };
    fn both<S: Component + WeightSource>(original: &Matrix, on: &Setting<'_>, field: &Substrate) {
        let matrix = null_in::<S>(field, original, 2);
        let mut source = S::build(S::Params::default(), on).unwrap();
        let found = source.sparse(&request(20, Some(field), 2)).unwrap();
        assert_eq!(found.connections.view().scatter(&found.values), matrix, "{}", S::ID);
        let given = on.connections.unwrap();
        let asked = WeightRequest { connections: Some(given), ..request(20, Some(field), 2) };
        let at = source.sparse(&asked).unwrap();
        assert_eq!((at.connections.view(), at.values), (given, given.gather(matrix.view())));
    }
    both::<Density>(&original, &on, &field);
    both::<WeightDistribution>(&original, &on, &field);
    both::<Diagonal>(&original, &on, &field);
    both::<Degrees>(&original, &on, &field);
    both::<Strengths>(&original, &on, &field);
    both::<Lengths>(&original, &on, &field);
    both::<Modules>(&original, &on, &field);
}

#[test]
fn what_a_null_model_lacks_is_named() {
    let error = Degrees::build(Default::default(), &Setting::default()).err().unwrap();
    assert!(error.message.contains("the weights that it changes") && error.help.unwrap().contains("[nulls]"));
    let wide = Matrix::zeros((2, 3));
    for error in [build::<Density>(json!({}), &wide).err(), build::<SchurForm>(json!({}), &wide).err()] {
        assert!(error.unwrap().message.contains("2×3"));
    }
    let original = example(5, 1);
    let mut source = build::<Lengths>(json!({}), &original).unwrap();
    assert!(source.weights(&request(5, None, 1)).unwrap_err().message.contains("needs a substrate"));
    let bare = Substrate { name: "bare".into(), neurons: 5, ..Substrate::default() };
    assert!(source.weights(&request(5, Some(&bare), 1)).unwrap_err().message.contains("no positions"));
    let mut feedforward = Matrix::zeros((3, 3));
    (feedforward[[0, 1]], feedforward[[1, 2]]) = (1.0, 2.0);
    let mut none = build::<Eigenvalues>(json!({}), &feedforward).unwrap();
    assert!(none.weights(&request(3, None, 1)).unwrap_err().message.contains("form a cycle"));
    let mut other = build::<Degrees>(json!({}), &original).unwrap();
    assert!(other.weights(&request(6, None, 1)).unwrap_err().message.contains("5 neurons, not 6"));
    assert!(build::<Strengths>(json!({"stages": 0}), &original).is_err());
    let empty = null_of::<Strengths>(json!({}), &Matrix::zeros((4, 4)), 1);
    assert_eq!(empty, Matrix::zeros((4, 4)));
}
