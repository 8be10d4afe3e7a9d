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
