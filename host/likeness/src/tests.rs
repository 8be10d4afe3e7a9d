//! Comparison with numpy, scipy and rsatoolbox on random networks
//! (`reference/make.py`), and identities.

use ndarray::{Array2, Axis, array};
use pallium_core::SparseWeights;
use serde_json::Value;

use super::*;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[track_caller]
fn near(what: &str, found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{what}: {found} and not {expected}");
}

#[test]
fn random_networks_are_as_alike_as_other_implementations_say() {
    let cases: Value = serde_json::from_str(include_str!("../reference/likeness.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 40);
    for case in cases {
        let (x, y) = (matrix(&case["x"]), matrix(&case["y"]));
        let (a, b) = (Activity::new(&x), Activity::new(&y));
        let both = cross(&a, &b);
        near("CKA", cka(&a, &b, &both), &case["cka"]);
        near("Procrustes", procrustes(&a, &b, &both), &case["procrustes"]);
        near("RSA", rsa(&distances(x.view()), &distances(y.view())), &case["rsa"]);
        let Some(order) = matching(&a, &b, &both) else {
            assert!(case["matching"].is_null());
            continue;
        };
        let expected: Vec<usize> = numbers(&case["matching"]).into_iter().map(|v| v as usize).collect();
        assert_eq!(order, expected);
        let [v, w] = ["v", "w"].map(|name| matrix(&case[name]).mapv(|value| value as f32));
        near("weights", correlation(v.view(), w.view(), None), &case["weights"]);
        near("matched weights", correlation(v.view(), w.view(), Some(&order)), &case["matched"]);
    }
}

#[test]
fn a_network_is_like_itself_turned_scaled_and_relabelled() {
    let x = Array2::from_shape_fn((30, 3), |(i, j)| ((i * (j + 2) * 7 + j) % 11) as f64);
    let turn = array![[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
    let (a, b) = (Activity::new(&x), Activity::new(&(x.dot(&turn) * 3.0 + 5.0)));
    let both = cross(&a, &b);
    assert!((cka(&a, &b, &both) - 1.0).abs() < 1e-12 && (procrustes(&a, &b, &both) - 1.0).abs() < 1e-9);
    // Unit i of the first is unit order[i] of the second.
    let order = [2, 0, 1];
    let relabelled = x.select(Axis(1), &[1, 2, 0]);
    let b = Activity::new(&relabelled);
    assert_eq!(matching(&a, &b, &cross(&a, &b)).unwrap(), order);
    let v = array![[0.0_f32, 1.0, 2.0], [3.0, 0.0, 5.0], [4.0, 7.0, 0.0]];
    let w = v.select(Axis(0), &[1, 2, 0]).select(Axis(1), &[1, 2, 0]);
    assert!((correlation(v.view(), w.view(), Some(&order)) - 1.0).abs() < 1e-12);
    assert!(correlation(v.view(), w.view(), None) < 0.9);
}

#[test]
fn what_cannot_be_compared_is_undefined() {
    let (still, other) = (Activity::new(&Array2::ones((4, 2))), Activity::new(&Array2::eye(4)));
    let both = cross(&still, &other);
    assert!(cka(&still, &other, &both).is_nan() && procrustes(&still, &other, &both).is_nan());
    assert_eq!(matching(&still, &other, &both), None);
    assert!(correlation(Array2::zeros((2, 2)).view(), Array2::ones((3, 3)).view(), None).is_nan());
    assert!(rsa(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
}

#[test]
fn the_cheapest_matching_is_found_among_all() {
    let cost = Array2::from_shape_fn((5, 5), |(i, j)| ((i * 7 + j * 13 + i * j * 5) % 17) as f64);
    let found: f64 = assignment(&cost).iter().enumerate().map(|(i, &j)| cost[[i, j]]).sum();
    let mut best = f64::INFINITY;
    let mut order = [0, 1, 2, 3, 4];
    // All 120 orders, by Heap's algorithm.
    fn each(k: usize, order: &mut [usize; 5], of: &mut dyn FnMut(&[usize; 5])) {
        if k <= 1 {
            return of(order);
        }
        for i in 0..k {
            each(k - 1, order, of);
            order.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
        }
    }
    each(5, &mut order, &mut |order| {
        best = best.min(order.iter().enumerate().map(|(i, &j)| cost[[i, j]]).sum());
    });
    assert_eq!(found, best);
    assert!(assignment(&Array2::zeros((0, 0))).is_empty());
}

fn trials(value: &Value) -> Vec<Array2<f64>> {
    value.as_array().unwrap().iter().map(matrix).collect()
}

#[test]
fn flows_are_those_of_dsa_metric_and_no_rotation_is_better_than_the_one_found() {
    let all: Value = serde_json::from_str(include_str!("../reference/dsa.json")).unwrap();
    let [delays, rank] = ["delays", "rank"].map(|name| all[name].as_u64().unwrap() as usize);
    for case in all["cases"].as_array().unwrap() {
        let [x, y] = ["x", "y"].map(|name| Flow::new(&trials(&case[name]), delays, rank).unwrap());
        for (flow, name) in [(&x, "x_eigenvalues"), (&y, "y_eigenvalues")] {
            let found = pallium_linalg::eigenvalues(flow.matrix()).unwrap();
            for expected in case[name].as_array().unwrap() {
                let expected = numbers(expected);
                // The package computes in single precision.
                let near = |value: &&(f64, f64)| (value.0 - expected[0]).hypot(value.1 - expected[1]) < 2e-3;
                assert!(found.iter().any(|value| near(&value)), "{name}: {expected:?} is not in {found:?}");
            }
        }
        let (found, expected) = (dsa(&x, &y).acos(), case["angle"].as_f64().unwrap());
        // Its search may end in a worse place, but not far from the best of several.
        assert!(found < expected + 2e-3 && found > expected - 0.05, "{found} and {expected}");
    }
}

#[test]
fn flows_that_differ_in_their_coordinates_alone_are_alike() {
    let flow = array![[0.9, -0.4, 0.1], [0.3, 0.7, 0.0], [0.0, -0.2, 0.5]];
    // A rotation about two axes, and a reflection.
    let turn = array![[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]].dot(&array![
        [-1.0, 0.0, 0.0],
        [0.0, 0.28, -0.96],
        [0.0, 0.96, 0.28]
    ]);
    let turned = turn.dot(&flow).dot(&turn.t()) * 3.0;
    let of = |matrix: &Array2<f64>| Flow::of_matrix(matrix.clone());
    assert!((dsa(&of(&flow), &of(&turned)) - 1.0).abs() < 1e-9);
    // Of symmetric flows, the best rotation pairs the eigenvalues in their order.
    let (a, b) = (array![[1.0, 0.0], [0.0, 3.0]], array![[2.0, 0.0], [0.0, -1.0]]);
    let best = (3.0 * 2.0 - 1.0) / (10.0_f64 * 5.0).sqrt();
    assert!((dsa(&of(&a), &of(&b)) - best).abs() < 1e-9);
    assert!((dsa(&of(&a), &of(&(-&a))) + 6.0 / 10.0).abs() < 1e-9);
    assert!(dsa(&of(&a), &of(&Array2::zeros((2, 2)))).is_nan());
    assert!(dsa(&of(&a), &of(&flow)).is_nan());
}

#[test]
fn activity_on_a_circle_flows_as_a_rotation() {
    // Eight steps around, of two circles of different size, in four units.
    let trial = |size: f64, begin: usize| {
        Array2::from_shape_fn((20, 4), |(step, unit)| {
            let angle = std::f64::consts::TAU * (step + begin) as f64 / 8.0;
            size * (angle + [0.0, 1.0, 2.0, 0.5][unit]).cos()
        })
    };
    let flow = Flow::new(
        &[trial(1.0, 0), trial(2.0, 3), trial(9.0, 1).slice(ndarray::s![..2, ..]).to_owned()],
        3,
        4,
    );
    let found = pallium_linalg::eigenvalues(flow.unwrap().matrix()).unwrap();
    let (re, im) = found[0];
    assert!(
        (re.hypot(im) - 1.0).abs() < 1e-6 && (im.abs().atan2(re) - std::f64::consts::TAU / 8.0).abs() < 1e-6
    );
    assert!(found[2..].iter().all(|value| value.0.hypot(value.1) < 1e-9), "nothing else flows");
    assert!(Flow::new(&[trial(0.0, 0)], 3, 4).is_none() && Flow::new(&[], 3, 4).is_none());
}

/// `reference/null.py` makes the weights, and compares them by numpy, scipy and networkx.
#[test]
fn a_null_model_is_as_alike_its_original_as_other_implementations_say() {
    let cases: Value = serde_json::from_str(include_str!("../reference/null.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let sparse =
            |name: &str| SparseWeights::from_matrix(matrix(&case[name]).mapv(|w| w as f32).view(), None);
        let (original, null) = (sparse("original"), sparse("null"));
        let weights = |of| {
            let SparseWeights { connections, values }: &SparseWeights = of;
            Weights { pairs: connections.view(), values }
        };
        let points = matrix(&case["points"]);
        let found = null_likeness(weights(&original), weights(&null), Some(points.view()));
        assert_eq!(found.len(), case["kept"].as_object().unwrap().len());
        for (name, value) in found {
            let expected = case["kept"][name].as_f64().unwrap();
            // Weights are rounded to single precision.
            assert!((value - expected).abs() < 2e-7, "{name}: {value} and not {expected}");
        }
        let same = null_likeness(weights(&original), weights(&original), None);
        for (name, value) in same.into_iter().filter(|(name, _)| !name.ends_with("length_distance")) {
            let exact = if name.ends_with("correlation") { 1.0 } else { 0.0 };
            assert!((value - exact).abs() < 1e-12, "{name} of the original itself: {value}");
        }
    }
}

#[test]
fn a_null_model_of_weights_without_eigenvalues_is_compared() {
    let sparse = |weights: [[f32; 2]; 2]| SparseWeights::from_matrix(ndarray::arr2(&weights).view(), None);
    let (original, null) = (sparse([[0.0, 1.0], [0.0, 0.0]]), sparse([[0.5, 0.0], [0.0, 0.0]]));
    let found = null_likeness(
        Weights { pairs: original.connections.view(), values: &original.values },
        Weights { pairs: null.connections.view(), values: &null.values },
        None,
    );
    let found: std::collections::BTreeMap<_, _> = found.into_iter().collect();
    // Eigenvalues 0, 0 and 0.5, 0, in norms of the original, which is 1.
    assert!((found["null_eigenvalue_distance"] - 0.25).abs() < 1e-12);
    // Correlations with what does not vary are undefined, not infinite.
    assert!(found["null_pair_correlation"].is_nan());
}
