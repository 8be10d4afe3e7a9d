//! Fixed and slow points of a map: minima of q(x) = ½·|F(x) − x|² (Sussillo and Barak
//! 2013), by Levenberg and Marquardt's method with the exact Jacobian.
//!
//! A piecewise linear map equals A·x + c within a region, so its fixed point there is
//! (I − A)⁻¹·c: found by one linear solve, and one if it lies within the region.

use pallium_core::ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use pallium_core::prelude::*;
use pallium_linalg::solve;

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

/// q below which a search has converged, far below any tolerance.
const CONVERGED: f64 = 1e-30;

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
        if piecewise_linear && let Some(point) = within_region(map, start)? {
            found.push(point);
        }
        found.extend(descend(map, start, rules)?);
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

/// q at a state, and F(x) − x.
fn residual(map: &Map<'_>, state: ArrayView1<'_, f64>) -> Result<(f64, Array1<f64>)> {
    let apart = map.at(state)? - state;
    Ok((0.5 * apart.dot(&apart), apart))
}

/// The fixed point of the region of `start`, if it lies within.
fn within_region(map: &Map<'_>, start: ArrayView1<'_, f64>) -> Result<Option<Point>> {
    let jacobian = map.jacobian(start)?;
    let n = start.len();
    let apart = map.at(start)? - start;
    // (I − A)·(x* − x) = F(x) − x, by normal equations and one refinement.
    let a = Array2::eye(n) - &jacobian;
    let normal = a.t().dot(&a);
    let mut moved = Array1::<f64>::zeros(n);
    for _ in 0..2 {
        let rest = &apart - &a.dot(&moved);
        let right = a.t().dot(&rest).insert_axis(Axis(1));
        let Some(step) = solve(normal.view(), right.view()) else { return Ok(None) };
        moved += &step.column(0);
    }
    let state = &start + &moved;
    if state.iter().any(|value| !value.is_finite()) {
        return Ok(None);
    }
    let same = map.jacobian(state.view())? == jacobian;
    let (q, _) = residual(map, state.view())?;
    Ok(same.then_some(Point { state, q, jacobian, exact: true }))
}

/// The minimum of q that a search from `start` reaches.
fn descend(map: &Map<'_>, start: ArrayView1<'_, f64>, rules: &Rules) -> Result<Option<Point>> {
    let n = start.len();
    let mut state = start.to_owned();
    let (mut q, mut apart) = residual(map, state.view())?;
    let mut damping: Option<f64> = None;
    for _ in 0..rules.iterations {
        if q <= CONVERGED {
            break;
        }
        let a = map.jacobian(state.view())? - Array2::<f64>::eye(n);
        let normal = a.t().dot(&a);
        let right = a.t().dot(&apart).mapv(|v| -v).insert_axis(Axis(1));
        let scale = normal.diag().sum() / n as f64;
        let mut mu = damping.unwrap_or(1e-3 * scale);
        let mut better = None;
        // From Newton's step to a short one down the gradient.
        for _ in 0..30 {
            let mut damped = normal.clone();
            damped.diag_mut().mapv_inplace(|v| v + mu);
            if let Some(step) = solve(damped.view(), right.view()) {
                let next = &state + &step.column(0);
                let (next_q, next_apart) = residual(map, next.view())?;
                if next_q < q {
                    better = Some((next, next_q, next_apart));
                    break;
                }
            }
            mu = (mu * 8.0).max(1e-12 * scale);
        }
        let Some((next, next_q, next_apart)) = better else { break };
        let gained = (q - next_q) / q;
        damping = Some(mu / 16.0);
        (state, q, apart) = (next, next_q, next_apart);
        // The bottom of a valley: a slow point.
        if gained < 1e-9 {
            break;
        }
    }
    if !q.is_finite() {
        return Ok(None);
    }
    let jacobian = map.jacobian(state.view())?;
    Ok(Some(Point { state, q, jacobian, exact: false }))
}
