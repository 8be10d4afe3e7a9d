//! Maps whose fixed points, exponents and time constants are known, and values of
//! numpy and scipy (`fixtures/reference.py`) and of FixedPointFinder
//! (`fixtures/fixed_point_finder.py`).

use pallium_core::ndarray::{Array1, Array2, ArrayView2, array};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value};

use crate::dimension::ratio;
use crate::lyapunov::{exponents, kaplan_yorke};
use crate::map::{Map, median, timescale};
use crate::search::{Point, Rules, find};
use crate::timescales::time_constant;

#[test]
fn components_conform() {
    pallium_testkit::assert_all_conform();
}

/// A map of a row, and the rows of its Jacobian.
struct Known<F, J>(F, J);

impl<F, J> Dynamics for Known<F, J>
where
    F: Fn(&[f64]) -> Vec<f64> + Send + Sync,
    J: Fn(&[f64]) -> Array2<f64> + Send + Sync,
{
    fn step(&self, states: ArrayView2<'_, f64>, _: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let rows: Vec<f64> = states.outer_iter().flat_map(|row| (self.0)(&row.to_vec())).collect();
        Array2::from_shape_vec(states.dim(), rows).map_err(|e| Error::bug(e.to_string()))
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let mut rows = Array2::zeros(states.dim());
        for ((mut to, state), cotangent) in
            rows.outer_iter_mut().zip(states.outer_iter()).zip(cotangents.outer_iter())
        {
            to.assign(&cotangent.dot(&(self.1)(&state.to_vec())));
        }
        Ok((rows, Array2::zeros(inputs.dim())))
    }
}

/// x' = tanh(x·W + b), with any element-wise function and its slope for tanh.
fn network(w: Array2<f64>, b: Array1<f64>, unit: fn(f64) -> f64, slope: fn(f64) -> f64) -> impl Dynamics {
    let sums = move |x: &[f64], w: &Array2<f64>, b: &Array1<f64>| Array1::from(x.to_vec()).dot(w) + b;
    let (w2, b2) = (w.clone(), b.clone());
    Known(
        move |x: &[f64]| sums(x, &w, &b).mapv(unit).to_vec(),
        move |x: &[f64]| {
            let slopes = sums(x, &w2, &b2).mapv(slope);
            let mut jacobian = w2.t().to_owned();
            jacobian.outer_iter_mut().zip(&slopes).for_each(|(mut row, slope)| row *= *slope);
            jacobian
        },
    )
}

fn tanh_network(w: Array2<f64>, b: Array1<f64>) -> impl Dynamics {
    network(w, b, f64::tanh, |x| 1.0 - x.tanh().powi(2))
}

fn rectified(w: Array2<f64>, b: Array1<f64>) -> impl Dynamics {
    network(w, b, |x| x.max(0.0), |x| if x > 0.0 { 1.0 } else { 0.0 })
}

const RULES: Rules = Rules { fixed: 1e-12, slow: 1e-6, unique: 1e-3, iterations: 200, outlier: 0.0 };

fn fixed(dynamics: &dyn Dynamics, starts: &Array2<f64>, linear: bool) -> Vec<Point> {
    let map = Map::new(dynamics, Array1::zeros(1));
    let found = find(&map, starts.view(), linear, &RULES).unwrap();
    found.into_iter().filter(|point| point.q <= RULES.fixed).collect()
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../fixtures/reference.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn rows(value: &Value, columns: usize) -> Array2<f64> {
    let values = numbers(value);
    Array2::from_shape_vec((values.len() / columns, columns), values).unwrap()
}

fn modulus(jacobian: &Array2<f64>) -> f64 {
    let (re, im) = pallium_linalg::eigenvalues(jacobian.view()).unwrap()[0];
    re.hypot(im)
}

#[test]
fn every_fixed_point_is_one_of_scipy() {
    let mut compared = 0;
    for case in reference()["fixed_points"].as_array().unwrap() {
        let b = Array1::from(numbers(&case["b"]));
        let n = b.len();
        let dynamics = tanh_network(rows(&case["w"], n), b);
        let expected: Vec<Vec<f64>> = case["points"].as_array().unwrap().iter().map(numbers).collect();
        let found = fixed(&dynamics, &rows(&case["starts"], n), false);
        for point in &found {
            let same = |known: &Vec<f64>| known.iter().zip(&point.state).all(|(a, b)| (a - b).abs() < 1e-8);
            let at = expected.iter().position(same).expect("scipy does not find this point");
            let expected = case["moduli"][at].as_f64().unwrap();
            assert!((modulus(&point.jacobian) - expected).abs() < 1e-8);
        }
        // The searches differ, so one may miss a point that the other finds.
        assert!(
            found.len() + 1 >= expected.len() && !found.is_empty(),
            "{} of {}",
            found.len(),
            expected.len()
        );
        compared += found.len();
    }
    assert!(compared >= 5, "{compared}");
}

#[test]
fn fixed_points_are_the_ground_truth_of_fixed_point_finder() {
    let cases: Value = serde_json::from_str(include_str!("../fixtures/fixed_point_finder.json")).unwrap();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let values = numbers(&case["w"]);
        let n = values.len().isqrt();
        let dynamics = tanh_network(Array2::from_shape_vec((n, n), values).unwrap(), Array1::zeros(n));
        // The starts of its tests: a grid of −1, 0 and 1 in each unit.
        let starts = Array2::from_shape_fn((3_usize.pow(n as u32), n), |(start, unit)| {
            (start / 3_usize.pow(unit as u32) % 3) as f64 - 1.0
        });
        let found = fixed(&dynamics, &starts, false);
        let expected: Vec<Vec<f64>> = case["points"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(found.len(), expected.len(), "{n} units");
        for (known, expected_modulus) in expected.iter().zip(numbers(&case["moduli"])) {
            // Its tolerance; the stored points are in single precision.
            let same = |point: &&Point| known.iter().zip(&point.state).all(|(a, b)| (a - b).abs() < 1e-3);
            let point = found.iter().find(same).expect("a point of the ground truth is missing");
            assert!(point.q <= 1e-12 && (modulus(&point.jacobian) - expected_modulus).abs() < 1e-5);
            compared += 1;
        }
    }
    assert_eq!(compared, 15);
}

#[test]
fn a_bistable_unit_has_two_stable_points_and_one_between() {
    let dynamics = tanh_network(array![[2.0]], array![0.0]);
    let starts = Array2::from_shape_fn((9, 1), |(i, _)| i as f64 / 4.0 - 1.0);
    let mut found = fixed(&dynamics, &starts, false);
    found.sort_by(|a, b| a.state[0].total_cmp(&b.state[0]));
    let states: Vec<f64> = found.iter().map(|point| point.state[0]).collect();
    // The solution of x = tanh(2 x).
    let edge = 0.957_504_024_077_268_7;
    for (state, expected) in states.iter().zip([-edge, 0.0, edge]) {
        assert!((state - expected).abs() < 1e-12, "{states:?}");
    }
    let moduli: Vec<f64> = found.iter().map(|point| modulus(&point.jacobian)).collect();
    let stable = 2.0 * (1.0 - edge * edge);
    assert!((moduli[0] - stable).abs() < 1e-12 && (moduli[1] - 2.0).abs() < 1e-12 && moduli.len() == 3);
}

#[test]
fn a_piecewise_linear_map_is_solved_exactly() {
    // In the positive quadrant x = x·W + b: one region, one solve.
    let w = array![[0.5, 0.2], [-0.3, 0.4]];
    let b = array![1.0, 0.5];
    let dynamics = rectified(w.clone(), b.clone());
    let found = fixed(&dynamics, &array![[1.0, 1.0]], true);
    let [point] = found.as_slice() else { panic!("{found:?}") };
    // (I − Wᵀ)·x = b, by Cramer's rule.
    let determinant = 0.5 * 0.6 + 0.3 * 0.2;
    let expected = [(1.0 * 0.6 - 0.3 * 0.5) / determinant, (0.5 * 0.5 + 0.2 * 1.0) / determinant];
    assert!(point.exact && point.state.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-13), "{point:?}");
    // A region whose solution lies outside has none.
    let away = rectified(array![[2.0]], array![1.0]);
    assert!(fixed(&away, &array![[1.0]], true).is_empty(), "x' = 2x + 1 has its fixed point at −1");
}

#[test]
fn an_integrator_has_a_line_of_fixed_points_and_a_forgetful_network_has_none() {
    // Along (1, 1)/√2 the eigenvalue is 1, across it 0.3.
    let integrator = array![[0.65, 0.35], [0.35, 0.65]];
    let starts = Array2::from_shape_fn((12, 2), |(i, j)| 0.3 + 0.2 * i as f64 + 0.05 * j as f64);
    let found = fixed(&rectified(integrator, array![0.0, 0.0]), &starts, true);
    assert!(found.len() >= 10, "{}", found.len());
    for point in &found {
        assert!((point.state[0] - point.state[1]).abs() < 1e-6, "on the line");
        assert!((modulus(&point.jacobian) - 1.0).abs() < 1e-9);
    }
    let states = Array2::from_shape_fn((found.len(), 2), |(i, j)| found[i].state[j]);
    assert!((ratio(&states) - 1.0).abs() < 1e-6, "the points form a line");
    let forgetful = rectified(array![[0.4, 0.1], [0.1, 0.4]], array![0.1, 0.1]);
    let found = fixed(&forgetful, &starts, true);
    let [point] = found.as_slice() else { panic!("one point, and not {}", found.len()) };
    assert!((modulus(&point.jacobian) - 0.5).abs() < 1e-12);
    assert!((timescale(0.5) - 1.0 / 2.0_f64.ln()).abs() < 1e-15);
}

#[test]
fn a_slow_point_is_a_minimum_that_is_not_fixed() {
    // x' = x + ε + x²: no fixed point, slowest at 0 with q = ε²/2.
    let dynamics = Known(|x: &[f64]| vec![x[0] + 1e-4 + x[0] * x[0]], |x: &[f64]| array![[1.0 + 2.0 * x[0]]]);
    let map = Map::new(&dynamics, Array1::zeros(1));
    let found = find(&map, array![[0.3], [-0.4]].view(), false, &RULES).unwrap();
    let [point] = found.as_slice() else { panic!("{found:?}") };
    assert!(point.state[0].abs() < 1e-3 && (point.q - 0.5e-8).abs() < 1e-10, "{point:?}");
}

#[test]
fn exponents_of_a_linear_map_are_logarithms_of_its_eigenvalues() {
    let w = array![[0.9, 0.0, 0.0], [0.3, 0.5, 0.0], [-0.2, 0.1, 0.2]];
    let dynamics = network(w, Array1::zeros(3), |x| x, |_| 1.0);
    let map = Map::new(&dynamics, Array1::zeros(1));
    let found = exponents(&map, array![1.0, 1.0, 1.0].view(), 3, 400, 100).unwrap();
    for (found, expected) in found.iter().zip([0.9_f64, 0.5, 0.2]) {
        assert!((found - expected.ln()).abs() < 1e-6, "{found} and not {}", expected.ln());
    }
}

#[test]
fn exponents_of_the_henon_map_are_the_published_ones() {
    // a = 1.4, b = 0.3: 0.41922 and −1.62319 (Sprott 2003).
    let dynamics = Known(
        |x: &[f64]| vec![1.0 - 1.4 * x[0] * x[0] + x[1], 0.3 * x[0]],
        |x: &[f64]| array![[-2.8 * x[0], 1.0], [0.3, 0.0]],
    );
    let map = Map::new(&dynamics, Array1::zeros(1));
    let found = exponents(&map, array![0.1, 0.1].view(), 2, 100_000, 1_000).unwrap();
    assert!((found[0] - 0.41922).abs() < 3e-3 && (found[1] + 1.62319).abs() < 3e-3, "{found:?}");
    // Their sum is the logarithm of the determinant, everywhere −0.3.
    assert!((found[0] + found[1] - 0.3_f64.ln()).abs() < 1e-9);
    assert!((kaplan_yorke(&found, true) - 1.25827).abs() < 3e-3);
    assert!(kaplan_yorke(&[0.5], false).is_nan() && kaplan_yorke(&[-0.5], false) == 0.0);
}

#[test]
fn exponents_equal_those_of_the_forward_product() {
    let case = &reference()["lyapunov"];
    let dynamics = tanh_network(rows(&case["w"], 6), Array1::zeros(6));
    let map = Map::new(&dynamics, Array1::zeros(1));
    let start = Array1::from(numbers(&case["start"]));
    let found = exponents(&map, start.view(), 6, 5_000, 500).unwrap();
    for (found, expected) in found.iter().zip(numbers(&case["exponents"])) {
        assert!((found - expected).abs() < 2e-3, "{found} and not {expected}");
    }
}

#[test]
fn a_time_constant_equals_numpys() {
    let case = &reference()["timescales"];
    let columns = case["trials"].as_u64().unwrap() as usize;
    let (found, above) = time_constant(rows(&case["values"], columns).view());
    assert!(!above);
    assert!((found - case["time"].as_f64().unwrap()).abs() < 1e-12, "{found}");
    let constant = Array2::from_shape_fn((5, 4), |(step, _)| step as f64);
    assert!(time_constant(constant.view()).0.is_nan(), "no trial differs from another");
    let kept = Array2::from_shape_fn((5, 4), |(_, trial)| trial as f64);
    assert_eq!(time_constant(kept.view()), (4.0, true), "it never falls");
    // As under fixation at the first step: no pair of steps is further apart than 3.
    let late = Array2::from_shape_fn((5, 4), |(step, trial)| if step == 0 { 0.5 } else { trial as f64 });
    assert_eq!(time_constant(late.view()), (3.0, true));
}

#[test]
fn the_dimension_counts_directions_of_equal_variance() {
    let corners = array![[1.0, 0.0, 5.0], [-1.0, 0.0, 5.0], [0.0, 1.0, 5.0], [0.0, -1.0, 5.0]];
    assert!((ratio(&corners) - 2.0).abs() < 1e-12);
    // (1 + 4)²/(1 + 16), with fewer trials than units.
    let wide = Array2::from_shape_fn(
        (4, 9),
        |(i, j)| if j < 3 { corners[[i, j]] * [1.0, 2.0, 1.0][j] } else { 0.0 },
    );
    assert!((ratio(&wide) - 25.0 / 17.0).abs() < 1e-12);
    assert!(ratio(&Array2::ones((3, 2))).is_nan() && ratio(&Array2::zeros((1, 2))).is_nan());
    assert!(median([]).is_nan() && median([3.0, 1.0]) == 2.0);
}
