//! Fixed and slow points of a map: minima of q(x) = ½·|F(x) − x|² (Sussillo and Barak
//! 2013), by Levenberg and Marquardt's method with the exact Jacobian.
//!
//! A piecewise linear map equals A·x + c within a region, so its fixed point there is
//! (I − A)⁻¹·c: found by one linear solve, and one if it lies within the region.

use pallium_core::ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product, solve};

use crate::map::Map;

/// When a search ends, and which points count.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Largest q of a fixed point.
    pub fixed: f64,
    /// Largest q of a slow point.
    pub slow: f64,
    /// Points that differ by less in every value are one.
    pub unique: f64,
    /// Maximum number of steps from one start.
    pub iterations: u32,
    /// Points farther from the centre of the starts than this many times the starts'
    /// mean distance are left out; 0 keeps all.
    pub outlier: f64,
}

/// A fixed or slow point.
#[derive(Clone, Debug)]
pub struct Point {
    /// The state.
    pub state: Array1<f64>,
    /// ½·|F(x) − x|².
    pub q: f64,
    /// The Jacobian there.
    pub jacobian: Array2<f64>,
    /// Whether a linear solve within its region finds it.
    pub exact: bool,
}

/// q below which a search has converged, relative to 1 + |x|²: what rounding leaves of
/// F(x) − x where it is 0.
const CONVERGED: f64 = 1e-29;

/// A search ends as a slow point once this many steps together lower q by less than
/// half.
const PATIENCE: usize = 10;

/// The points that searches from each row of `starts` find, without repetitions, in
/// the order of q.
///
/// # Errors
/// If the map cannot be computed.
pub fn find(
    map: &Map<'_>,
    starts: ArrayView2<'_, f64>,
    piecewise_linear: bool,
    rules: &Rules,
) -> Result<Vec<Point>> {
    let mut found = Vec::new();
    for start in starts.outer_iter() {
        let begin = Place::new(map, start.to_owned())?;
        let exact = if piecewise_linear { within_region(map, &begin)? } else { None };
        match exact {
            Some(point) if point.q <= rules.fixed => found.push(point),
            _ => found.extend(descend(map, begin, rules)?),
        }
    }
    found.retain(|point| point.q <= rules.slow);
    if rules.outlier > 0.0 && starts.nrows() > 1 {
        let centre = starts.mean_axis(Axis(0)).unwrap_or_default();
        let far = |state: ArrayView1<'_, f64>| (&state - &centre).mapv(|d| d * d).sum().sqrt();
        let mean = starts.outer_iter().map(far).sum::<f64>() / starts.nrows() as f64;
        found.retain(|point| far(point.state.view()) <= rules.outlier * mean.max(f64::MIN_POSITIVE));
    }
    found.sort_by(|a, b| a.q.total_cmp(&b.q));
    let mut unique: Vec<Point> = Vec::new();
    for point in found {
        let same = |known: &&mut Point| {
            known.state.iter().zip(&point.state).all(|(a, b)| (a - b).abs() < rules.unique)
        };
        match unique.iter_mut().find(same) {
            Some(known) => known.exact |= point.exact,
            None => unique.push(point),
        }
    }
    Ok(unique)
}

/// A state with its q and F(x) − x.
struct Place {
    state: Array1<f64>,
    q: f64,
    apart: Array1<f64>,
}

impl Place {
    fn new(map: &Map<'_>, state: Array1<f64>) -> Result<Self> {
        let apart = map.at(state.view())? - &state;
        Ok(Place { q: 0.5 * apart.dot(&apart), state, apart })
    }

    fn converged(&self) -> bool {
        self.q <= CONVERGED * (1.0 + self.state.dot(&self.state))
    }
}

/// Aᵀ·A.
fn normal_matrix(a: &Array2<f64>) -> Array2<f64> {
    let n = a.ncols();
    let values: Vec<f64> = a.iter().copied().collect();
    let mut normal = vec![0.0; n * n];
    let view = View::new(&values, n);
    product(&mut normal, Write::Replace, view.transposed(), view, 1.0);
    Array2::from_shape_fn((n, n), |(i, j)| normal[i * n + j])
}

/// A⁻¹·right, by normal equations and one refinement; `None` if A is singular.
fn solve_square(a: &Array2<f64>, right: &Array1<f64>) -> Option<Array1<f64>> {
    let normal = normal_matrix(a);
    let mut solution = Array1::<f64>::zeros(right.len());
    for _ in 0..2 {
        let rest = a.t().dot(&(right - &a.dot(&solution))).insert_axis(Axis(1));
        solution += &solve(normal.view(), rest.view())?.column(0);
    }
    Some(solution)
}

/// The fixed point of the region of `start`, if it lies within.
fn within_region(map: &Map<'_>, start: &Place) -> Result<Option<Point>> {
    let jacobian = map.jacobian(start.state.view())?;
    // (I − A)·(x* − x) = F(x) − x.
    let a = Array2::eye(start.state.len()) - &jacobian;
    let Some(moved) = solve_square(&a, &start.apart) else { return Ok(None) };
    let state = &start.state + &moved;
    if state.iter().any(|value| !value.is_finite()) {
        return Ok(None);
    }
    let end = Place::new(map, state)?;
    let same = map.jacobian(end.state.view())? == jacobian;
    Ok(same.then_some(Point { state: end.state, q: end.q, jacobian, exact: true }))
}

/// The minimum of q that a search from `start` reaches.
fn descend(map: &Map<'_>, start: Place, rules: &Rules) -> Result<Option<Point>> {
    let n = start.state.len();
    let mut at = start;
    let mut jacobian = map.jacobian(at.state.view())?;
    let mut damping: Option<f64> = None;
    let mut earlier = vec![at.q];
    for _ in 0..rules.iterations {
        if at.converged() {
            break;
        }
        let a = &jacobian - &Array2::<f64>::eye(n);
        let normal = normal_matrix(&a);
        let right = a.t().dot(&at.apart).mapv(|v| -v).insert_axis(Axis(1));
        let scale = normal.diag().sum() / n as f64;
        let mut mu = damping.unwrap_or(1e-3 * scale);
        let mut better = None;
        // From Newton's step to a short one down the gradient.
        for _ in 0..30 {
            let mut damped = normal.clone();
            damped.diag_mut().mapv_inplace(|v| v + mu);
            if let Some(step) = solve(damped.view(), right.view()) {
                let next = Place::new(map, &at.state + &step.column(0))?;
                if next.q < at.q {
                    better = Some(next);
                    break;
                }
            }
            mu = (mu * 8.0).max(1e-12 * scale);
        }
        let Some(next) = better else { break };
        at = next;
        jacobian = map.jacobian(at.state.view())?;
        damping = Some(mu / 16.0);
        // The bottom of a valley: a slow point.
        earlier.push(at.q);
        let before = earlier.len().checked_sub(PATIENCE + 1).map(|place| earlier[place]);
        if before.is_some_and(|before| at.q > 0.5 * before) {
            break;
        }
    }
    Ok(at.q.is_finite().then_some(Point { state: at.state, q: at.q, jacobian, exact: false }))
}
