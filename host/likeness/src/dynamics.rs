//! Dynamical similarity: how alike are the flows of activity, whatever their coordinates?

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use pallium_core::random;
use pallium_linalg::{View, Write, product, qr, solve, symmetric};
use rand::Rng;
use rand_distr::StandardNormal;

/// Number of the activity's first principal directions that are followed.
const DIRECTIONS: usize = 20;
/// Ridge penalty of the flow, which only keeps the equations solvable.
const RIDGE: f64 = 1e-8;
/// Singular values below this share of the largest are rounding.
const ROUNDING: f64 = 1e-6;

/// The linear flow of activity in delay coordinates, rank × rank.
#[derive(Clone, Debug)]
pub struct Flow(Array2<f64>);

fn gram(rows: ArrayView2<'_, f64>) -> Array2<f64> {
    let values: Vec<f64> = rows.iter().copied().collect();
    let view = View::new(&values, rows.ncols());
    let mut out = vec![0.0; rows.ncols() * rows.ncols()];
    product(&mut out, Write::Replace, view.transposed(), view, 1.0);
    Array2::from_shape_vec((rows.ncols(), rows.ncols()), out).unwrap_or_default()
}

/// The right singular vectors of some rows by descending singular value, at most `count`,
/// and these values; without those that are rounding.
fn directions(rows: ArrayView2<'_, f64>, count: usize) -> Option<(Array2<f64>, Vec<f64>)> {
    let eigen = symmetric(gram(rows).view())?;
    let size = eigen.values.len();
    let largest = eigen.values.last().copied().unwrap_or(0.0).max(0.0).sqrt();
    let values: Vec<f64> = eigen.values.iter().rev().map(|value| value.max(0.0).sqrt()).collect();
    let kept = values.iter().take(count).filter(|&&value| value > ROUNDING * largest).count();
    let order: Vec<usize> = (0..kept).map(|at| size - 1 - at).collect();
    (kept > 0).then(|| (eigen.vectors.select(Axis(1), &order), values[..kept].to_vec()))
}

impl Flow {
    /// The flow of activity (steps × units) in several trials: its first principal
    /// directions, `delays` of them together (a Hankel matrix), reduced to `rank` delay
    /// coordinates, in which each step is regressed on the one before. `None` if no trial
    /// is longer than `delays` or activity is 0.
    pub fn new(trials: &[Array2<f64>], delays: usize, rank: usize) -> Option<Self> {
        let long: Vec<ArrayView2<'_, f64>> =
            trials.iter().filter(|trial| trial.nrows() > delays).map(|trial| trial.view()).collect();
        let all = concatenate(Axis(0), &long).ok()?;
        let (first, _) = directions(all.view(), DIRECTIONS)?;
        let width = first.ncols();
        let embedded: Vec<Array2<f64>> = long
            .iter()
            .map(|trial| {
                let reduced = trial.dot(&first);
                Array2::from_shape_fn((trial.nrows() + 1 - delays, width * delays), |(row, column)| {
                    reduced[[row + delays - 1 - column / width, column % width]]
                })
            })
            .collect();
        let views: Vec<ArrayView2<'_, f64>> = embedded.iter().map(|rows| rows.view()).collect();
        let (vectors, values) = directions(concatenate(Axis(0), &views).ok()?.view(), rank)?;
        let scaled = &vectors / &ndarray::Array1::from(values);
        let coordinates: Vec<Array2<f64>> = embedded.iter().map(|rows| rows.dot(&scaled)).collect();
        let join = |of: &dyn Fn(&Array2<f64>) -> Array2<f64>| {
            let parts: Vec<Array2<f64>> = coordinates.iter().map(of).collect();
            let views: Vec<ArrayView2<'_, f64>> = parts.iter().map(|part| part.view()).collect();
            concatenate(Axis(0), &views).ok()
        };
        let before = join(&|rows| rows.slice(s![..-1, ..]).to_owned())?;
        let after = join(&|rows| rows.slice(s![1.., ..]).to_owned())?;
        let mut normal = before.t().dot(&before);
        normal.diag_mut().mapv_inplace(|value| value + RIDGE);
        let flow = solve(normal.view(), before.t().dot(&after).view())?.t().to_owned();
        // Coordinates that activity lacks do not flow.
        let mut padded = Array2::zeros((rank, rank));
        padded.slice_mut(s![..flow.nrows(), ..flow.ncols()]).assign(&flow);
        Some(Flow(padded))
    }

    /// The flow x ↦ A·x of a square matrix.
    pub fn of_matrix(matrix: Array2<f64>) -> Self {
        Flow(matrix)
    }

    /// The matrix.
    pub fn matrix(&self) -> ArrayView2<'_, f64> {
        self.0.view()
    }
}

/// Number of random rotations that the search starts from.
const RANDOM: usize = 6;
/// Maximum number of steps of one search, and the gain below which it ends.
const STEPS: usize = 2000;
const GAIN: f64 = 1e-12;

/// Dynamical similarity (Ostrow et al. 2023): the cosine between two flows A and B of one
/// rank after the best rotation or reflection C, tr(Aᵀ·C·B·Cᵀ) / (|A|·|B|), from −1 to 1 for
/// flows that differ in their coordinates alone. Its arc cosine is the angular distance of
/// dynamical similarity analysis. NaN if a flow is 0 or their ranks differ.
///
/// The best C is searched from several starts, each by rotations that never lower the
/// cosine: C ← polar(A·C·Bᵀ + Aᵀ·C·B + α·C).
pub fn dsa(a: &Flow, b: &Flow) -> f64 {
    let norm = |matrix: &Array2<f64>| matrix.iter().map(|value| value * value).sum::<f64>().sqrt();
    let sizes = norm(&a.0) * norm(&b.0);
    if a.0.dim() != b.0.dim() || sizes <= 0.0 {
        return f64::NAN;
    }
    let (a, b) = (&a.0 / norm(&a.0), &b.0 / norm(&b.0));
    let n = a.nrows();
    let mut starts = vec![Array2::eye(n)];
    let axes = |matrix: &Array2<f64>| symmetric((matrix + &matrix.t()).view()).map(|eigen| eigen.vectors);
    if let (Some(of_a), Some(of_b)) = (axes(&a), axes(&b)) {
        starts.push(of_a.dot(&of_b.t()));
    }
    let mut rng = random::stream(0, "rotations of flows");
    for _ in 0..RANDOM {
        let normal = Array2::from_shape_simple_fn((n, n), || rng.sample::<f64, _>(StandardNormal));
        starts.push(qr(normal.view()).q);
    }
    let mut best = f64::NEG_INFINITY;
    for start in starts {
        // A search does not leave the rotations, nor the reflections.
        let mut reflected = start.clone();
        reflected.column_mut(0).mapv_inplace(|value| -value);
        best = best.max(climb(&a, &b, start)).max(climb(&a, &b, reflected));
    }
    best.min(1.0)
}

/// tr(Aᵀ·C·B·Cᵀ) where a search from `c` ends.
fn climb(a: &Array2<f64>, b: &Array2<f64>, mut c: Array2<f64>) -> f64 {
    let value = |c: &Array2<f64>| (&c.dot(b).dot(&c.t()) * a).sum();
    let mut now = value(&c);
    let mut shift = 0.01;
    for _ in 0..STEPS {
        let gradient = a.dot(&c).dot(&b.t()) + a.t().dot(&c).dot(b);
        let Some(next) = polar(&gradient + &(&c * shift)) else { break };
        let then = value(&next);
        if then >= now {
            let gain = then - now;
            (c, now) = (next, then);
            shift = (0.7 * shift).max(1e-4);
            if gain < GAIN {
                break;
            }
        } else if shift < 4.0 {
            // With a large enough shift, no step lowers the value.
            shift = 4.0 * shift + 1e-3;
        } else {
            break;
        }
    }
    now
}

/// The orthogonal factor of M = C·√(MᵀM); `None` if M is singular.
fn polar(matrix: Array2<f64>) -> Option<Array2<f64>> {
    let eigen = symmetric(matrix.t().dot(&matrix).view())?;
    if eigen.values.first().is_none_or(|&least| least <= 0.0) {
        return None;
    }
    let scaled = &eigen.vectors / &ndarray::Array1::from(eigen.values).mapv(f64::sqrt);
    let factor = matrix.dot(&scaled).dot(&eigen.vectors.t());
    // One step of Newton and Schulz's iteration takes off what rounding left.
    let mut correction = factor.t().dot(&factor) * -0.5;
    correction.diag_mut().mapv_inplace(|value| value + 1.5);
    Some(factor.dot(&correction))
}
