//! Sparse inverse covariance: the graphical lasso, with its penalty chosen by
//! cross-validation.

use pallium_core::{ndarray::Array2, prelude::*};
use pallium_linalg::{log_determinant, pseudo_inverse};

use crate::parallel;

pallium_core::choice! {
    /// When a column's coordinate descent stops, and which neurons it visits.
    /// The resulting matrix depends on it in its fourth digit, because
    /// cross-validation compares estimates that are stopped early.
    pub enum Descent {
        /// As scikit-learn since 1.8: at most 20 sweeps, none if the start is
        /// good enough, and neurons whose weight is provably zero are skipped
        /// (Ndiaye, Fercoq, Gramfort and Salmon 2017).
        Screened = "screened",
        /// As scikit-learn up to 1.7, which made the released matrices: at most
        /// as many sweeps as rounds, over all neurons.
        Plain = "plain",
    }
}

/// Tolerance of an estimate: its duality gap, and the gap of each column
/// relative to the squared norm of the column's covariances.
pub const GAP: f64 = 1e-4;
/// Maximum number of rounds over all columns, for the final estimate and while
/// candidates are compared.
pub const ROUNDS: (usize, usize) = (100, 10);
/// Candidates per grid, and number of grids, each refined around the best
/// candidate so far.
const CANDIDATES: usize = 4;
const REFINEMENTS: usize = 4;

/// An estimate of covariance and precision.
#[derive(Clone)]
pub struct Estimate {
    /// Covariance, p×p.
    pub covariance: Array2<f64>,
    /// Precision, p×p, symmetric.
    pub precision: Array2<f64>,
    /// The duality gap, if it is still above [`GAP`] after the last round.
    pub gap: Option<f64>,
}

/// A precision matrix and the penalty chosen for it.
pub struct Chosen {
    /// Precision, p×p, symmetric.
    pub precision: Array2<f64>,
    /// The penalty α, in units of covariance.
    pub alpha: f64,
    /// Number of penalties compared.
    pub compared: usize,
    /// The duality gap of the final estimate, if it did not converge.
    pub gap: Option<f64>,
}

/// Covariances of one fold of the samples.
pub struct Fold {
    /// Covariance of the training samples, p×p.
    pub train: Array2<f64>,
    /// Covariance of the test samples, p×p.
    pub test: Array2<f64>,
}

/// Chooses the penalty by the likelihood of left-out samples and estimates the
/// precision of `covariance` under it.
///
/// The grid is that of scikit-learn's `GraphicalLassoCV`: four penalties from
/// the largest absolute covariance down to a hundredth of it, then three times
/// four new ones between the neighbours of the best so far; ties go to the
/// smallest. `on_progress` receives the completed fraction of the work.
///
/// # Errors
/// If no estimate succeeds: the covariances are too ill-conditioned.
pub fn cross_validated(
    covariance: &Array2<f64>,
    folds: &[Fold],
    descent: Descent,
    threads: usize,
    on_progress: &(dyn Fn(f64) + Sync),
) -> Result<Chosen> {
    let largest = covariance
        .indexed_iter()
        .filter(|((i, j), _)| i != j)
        .fold(0.0, |largest: f64, (_, v)| largest.max(v.abs()));
    if largest == 0.0 {
        // Nothing covaries, whatever the penalty.
        let precision =
            Array2::from_shape_fn(
                covariance.dim(),
                |(i, j)| if i == j { 1.0 / covariance[[i, i]] } else { 0.0 },
            );
        return Ok(Chosen { precision, alpha: 0.0, compared: 0, gap: None });
    }
    let mut grid = spaced(0.01 * largest, largest, CANDIDATES);
    grid.reverse();
    // Penalties and the mean log-likelihood of the test samples, in nats.
    let mut compared: Vec<(f64, f64)> = Vec::new();
    let mut best = 0;
    for refinement in 0..REFINEMENTS {
        let mut scores = vec![Vec::new(); folds.len()];
        let done = std::sync::atomic::AtomicUsize::new(0);
        parallel::for_each(scores.iter_mut().zip(folds), threads, |(scores, fold)| {
            *scores = path(fold, &grid, descent);
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            on_progress((refinement as f64 + done as f64 / folds.len() as f64) / (REFINEMENTS as f64 + 0.5));
        });
        for (k, &alpha) in grid.iter().enumerate() {
            let mean = scores.iter().map(|scores| scores[k]).sum::<f64>() / folds.len() as f64;
            compared.push((alpha, mean));
        }
        compared.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut best_score, mut last_finite) = (f64::NEG_INFINITY, 0);
        for (k, &(_, score)) in compared.iter().enumerate() {
            // An unbounded likelihood comes from a singular matrix.
            let sound = score.is_finite() && score < 0.1 / f64::EPSILON;
            if sound {
                last_finite = k;
            }
            if (sound || score == f64::NEG_INFINITY) && score >= best_score {
                (best_score, best) = (score, k);
            }
        }
        let last = compared.len() - 1;
        let (high, low) = match best {
            0 => (compared[0].0, compared[1].0),
            // No smaller penalty converged.
            k if k == last_finite && k != last => (compared[k].0, compared[k + 1].0),
            k if k == last => (compared[k].0, 0.01 * compared[k].0),
            k => (compared[k - 1].0, compared[k + 1].0),
        };
        grid = spaced(high, low, CANDIDATES + 2);
        grid.remove(0);
        grid.pop();
    }
    let (alpha, score) = compared[best];
    if score == f64::NEG_INFINITY {
        return Err(ill_conditioned());
    }
    let estimate = graphical_lasso(covariance, alpha, None, ROUNDS.0, descent)?;
    on_progress(1.0);
    Ok(Chosen { precision: estimate.precision, alpha, compared: compared.len(), gap: estimate.gap })
}

/// Estimates the precision with the penalty `alpha`.
///
/// # Errors
/// If the covariances are too ill-conditioned.
pub fn at(covariance: &Array2<f64>, alpha: f64, descent: Descent) -> Result<Estimate> {
    graphical_lasso(covariance, alpha, None, ROUNDS.0, descent)
}

/// Scores of descending penalties, each started from the previous estimate.
fn path(fold: &Fold, alphas: &[f64], descent: Descent) -> Vec<f64> {
    let mut start: Option<Array2<f64>> = None;
    let score = |&alpha: &f64| match graphical_lasso(&fold.train, alpha, start.as_ref(), ROUNDS.1, descent) {
        Ok(estimate) => {
            let score = log_likelihood(&fold.test, &estimate.precision);
            start = Some(estimate.covariance);
            if score.is_finite() { score } else { f64::NEG_INFINITY }
        }
        Err(_) => f64::NEG_INFINITY,
    };
    alphas.iter().map(score).collect()
}

/// `count` numbers from `from` to `to`, evenly spaced in the logarithm.
fn spaced(from: f64, to: f64, count: usize) -> Vec<f64> {
    let (from, to) = (from.log10(), to.log10());
    let step = (to - from) / (count - 1) as f64;
    let at = |k| if k + 1 == count { to } else { from + k as f64 * step };
    (0..count).map(|k| 10_f64.powf(at(k))).collect()
}

fn ill_conditioned() -> Error {
    Error::input("the covariances of event counts are too ill-conditioned for a graphical lasso").help(
        "use a larger penalty (alpha) or wider bins, or leave out one of two neurons that are nearly equal",
    )
}

/// Mean log-likelihood, in nats, of samples with this covariance under a Gaussian
/// with this precision; not finite if the precision is invalid.
fn log_likelihood(covariance: &Array2<f64>, precision: &Array2<f64>) -> f64 {
    let p = precision.nrows() as f64;
    let trace: f64 = covariance.iter().zip(precision).map(|(c, p)| c * p).sum();
    0.5 * (log_determinant(precision.view()) - trace - p * std::f64::consts::TAU.ln())
}

/// The graphical lasso by block coordinate descent (Friedman, Hastie and
/// Tibshirani 2008), with the primal updates of Mazumder and Hastie 2012 for
/// the precision: minimises tr(SΘ) − log|Θ| + α·Σ_{i≠j}|Θᵢⱼ|. The diagonal is
/// not penalised.
fn graphical_lasso(
    empirical: &Array2<f64>,
    alpha: f64,
    start: Option<&Array2<f64>>,
    rounds: usize,
    descent: Descent,
) -> Result<Estimate> {
    let p = empirical.nrows();
    // Moved towards the diagonal, the start is well-conditioned.
    let mut covariance = start.unwrap_or(empirical) * 0.95;
    covariance.diag_mut().assign(&empirical.diag());
    let mut precision = pseudo_inverse(covariance.view()).ok_or_else(ill_conditioned)?;
    let sweeps = match descent {
        Descent::Screened => rounds.max(20),
        Descent::Plain => rounds,
    };
    // Uses the widest vector instructions of the machine.
    let arch = pulp::Arch::new();
    let mut gap = f64::INFINITY;
    let mut work = Regression { weights: vec![0.0; p], image: vec![0.0; p], active: Vec::with_capacity(p) };
    for round in 0..rounds {
        for k in 0..p {
            let own = precision[[k, k]];
            for (weight, theta) in work.weights.iter_mut().zip(precision.row(k)) {
                *weight = -(theta / (own + 1000.0 * f64::EPSILON));
            }
            work.weights[k] = 0.0;
            let column = &mut work;
            arch.dispatch(Descend {
                column,
                covariance: &covariance,
                own: k,
                empirical,
                alpha,
                sweeps,
                descent,
            });
            let explained: f64 = covariance.row(k).iter().zip(&work.weights).map(|(c, w)| c * w).sum();
            let own = 1.0 / (covariance[[k, k]] - explained);
            precision[[k, k]] = own;
            for j in (0..p).filter(|&j| j != k) {
                precision[[j, k]] = -own * work.weights[j];
                precision[[k, j]] = precision[[j, k]];
                covariance[[j, k]] = work.image[j];
                covariance[[k, j]] = work.image[j];
            }
        }
        let (mut trace, mut sum, mut norm) = (0.0, 0.0, 0.0);
        for ((i, j), &value) in precision.indexed_iter() {
            sum += value;
            trace += empirical[[i, j]] * value;
            if i != j {
                norm += value.abs();
            }
        }
        if !f64::is_finite(sum) {
            return Err(ill_conditioned());
        }
        gap = trace - p as f64 + alpha * norm;
        if gap.abs() < GAP {
            break;
        }
        if round > 0 && !log_determinant(precision.view()).is_finite() {
            return Err(ill_conditioned());
        }
    }
    Ok(Estimate { covariance, precision, gap: Some(gap).filter(|gap| gap.abs() >= GAP) })
}

/// One column's descent, compiled once per instruction set.
struct Descend<'a> {
    column: &'a mut Regression,
    covariance: &'a Array2<f64>,
    own: usize,
    empirical: &'a Array2<f64>,
    alpha: f64,
    sweeps: usize,
    descent: Descent,
}

impl pulp::NullaryFnOnce for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.column.descend(self.covariance, self.own, self.empirical, self.alpha, self.sweeps, self.descent);
    }
}

/// Workspace of one column's regression on all others.
struct Regression {
    /// Regression weights; the column's own is 0.
    weights: Vec<f64>,
    /// Covariance times `weights`.
    image: Vec<f64>,
    /// Neurons that the descent visits.
    active: Vec<usize>,
}

impl Regression {
    /// Minimises ½wᵀQw − qᵀw + α‖w‖₁ over all entries except `own`, where Q is
    /// the covariance and q the empirical row. Afterwards `image` is Qw, except
    /// for its own entry.
    #[inline(always)]
    fn descend(
        &mut self,
        covariance: &Array2<f64>,
        own: usize,
        empirical: &Array2<f64>,
        alpha: f64,
        sweeps: usize,
        descent: Descent,
    ) {
        let p = self.weights.len();
        let target = empirical.row(own);
        let norm: f64 = target.iter().map(|v| v * v).sum::<f64>() - target[own].powi(2);
        let enough = GAP * norm;
        self.image.fill(0.0);
        for j in 0..p {
            self.shift(covariance, j, self.weights[j]);
        }
        let visited = |j: &usize| *j != own && covariance[[*j, *j]] != 0.0;
        self.active.clear();
        self.active.extend((0..p).filter(visited));
        if descent == Descent::Screened {
            let (gap, steepest) = self.gap(own, target.as_slice(), alpha, norm);
            if (0.0..=enough).contains(&gap) {
                return;
            }
            self.screen(covariance, target.as_slice(), alpha, gap, steepest);
        }
        for sweep in 0..sweeps {
            let (mut largest, mut largest_step) = (0.0_f64, 0.0_f64);
            for place in 0..self.active.len() {
                let j = self.active[place];
                let (before, scale) = (self.weights[j], covariance[[j, j]]);
                let pull = target[j] - self.image[j] + before * scale;
                let after =
                    if pull.abs() <= alpha { 0.0 } else { pull.signum() * (pull.abs() - alpha) / scale };
                if after != before {
                    self.weights[j] = after;
                    self.shift(covariance, j, after - before);
                    largest_step = largest_step.max((after - before).abs());
                }
                largest = largest.max(after.abs());
            }
            let (quiet, last) = (largest_step / largest, sweep + 1 == sweeps);
            let settled = match descent {
                Descent::Screened => quiet <= GAP,
                Descent::Plain => quiet < GAP,
            };
            if largest == 0.0 || settled || last {
                let (gap, steepest) = self.gap(own, target.as_slice(), alpha, norm);
                match descent {
                    Descent::Screened if gap <= enough => return,
                    Descent::Plain if gap < enough => return,
                    Descent::Screened => self.screen(covariance, target.as_slice(), alpha, gap, steepest),
                    Descent::Plain => {}
                }
            }
        }
    }

    /// Adds `step` times row `j` of the covariance to the image.
    #[inline(always)]
    fn shift(&mut self, covariance: &Array2<f64>, j: usize, step: f64) {
        if step != 0.0
            && let Some(row) = covariance.row(j).as_slice()
        {
            for (image, value) in self.image.iter_mut().zip(row) {
                *image += step * value;
            }
        }
    }

    /// The duality gap, and the largest slope.
    #[inline(always)]
    fn gap(&self, own: usize, target: Option<&[f64]>, alpha: f64, norm: f64) -> (f64, f64) {
        let target = target.unwrap_or(&[]);
        let (mut explained, mut square, mut sum, mut steepest) = (0.0, 0.0, 0.0, 0.0_f64);
        for (j, ((&w, &image), &q)) in self.weights.iter().zip(&self.image).zip(target).enumerate() {
            if j != own {
                explained += w * q;
                square += w * image;
                sum += w.abs();
                steepest = steepest.max((q - image).abs());
            }
        }
        let rest = norm + square - 2.0 * explained;
        let scale = if steepest > alpha { alpha / steepest } else { 1.0 };
        let primal = 0.5 * rest + alpha * sum;
        let dual = -0.5 * scale.powi(2) * rest + scale * (norm - explained);
        (primal - dual, steepest)
    }

    /// Drops neurons whose weight must be zero at the optimum: the duality gap
    /// bounds the optimum by a sphere around the dual point.
    #[inline(always)]
    fn screen(
        &mut self,
        covariance: &Array2<f64>,
        target: Option<&[f64]>,
        alpha: f64,
        gap: f64,
        steepest: f64,
    ) {
        let target = target.unwrap_or(&[]);
        let radius = (2.0 * gap.abs()).sqrt() / alpha;
        let slopes: Vec<f64> = target.iter().zip(&self.image).map(|(q, image)| q - image).collect();
        let mut active = std::mem::take(&mut self.active);
        active.retain(|&j| {
            let distance = (1.0 - (slopes[j] / alpha.max(steepest)).abs()) / covariance[[j, j]].sqrt();
            let kept = distance <= radius;
            if !kept {
                self.shift(covariance, j, -self.weights[j]);
                self.weights[j] = 0.0;
            }
            kept
        });
        self.active = active;
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    fn example() -> Array2<f64> {
        array![[0.9, 0.1, 0.4, 0.0], [0.1, 0.4, -0.1, 0.02], [0.4, -0.1, 0.8, 0.15], [0.0, 0.02, 0.15, 0.7]]
    }

    #[test]
    fn the_optimum_satisfies_the_kkt_conditions() {
        // S − Θ⁻¹ is −α·sign Θ where Θ is not 0, else at most α.
        for descent in [Descent::Screened, Descent::Plain] {
            let (s, alpha) = (example(), 0.06);
            let estimate = graphical_lasso(&s, alpha, None, 200, descent).unwrap();
            let w = pseudo_inverse(estimate.precision.view()).unwrap();
            for ((i, j), &theta) in estimate.precision.indexed_iter() {
                let slope = s[[i, j]] - w[[i, j]];
                match (i == j, theta == 0.0) {
                    (true, _) => assert!(slope.abs() < 1e-4, "{slope}"),
                    (false, true) => assert!(slope.abs() < alpha * 1.001, "{slope}"),
                    (false, false) => {
                        assert!((slope + alpha * theta.signum()).abs() < 2e-4, "{i} {j}: {slope} {theta}");
                    }
                }
            }
            assert_eq!(estimate.precision, estimate.precision.t());
            assert!(estimate.precision.iter().any(|v| *v == 0.0));
        }
    }

    #[test]
    fn the_same_estimates_converge_as_in_scikit_learn() {
        // graphical_lasso of scikit-learn 1.9.1 on Sᵢⱼ = ρ^|i−j|: whether it converges
        // in 100 rounds. The gap of those that do not depends on rounding.
        for (neurons, rho, alpha, converges) in [
            (10, 0.5, 0.03, true),
            (10, 0.5, 0.001, true),
            (10, 0.9, 0.03, true),
            (10, 0.9, 0.001, false),
            (10, 0.97, 0.03, false),
            (10, 0.97, 0.01, false),
            (10, 0.97, 0.001, false),
            (20, 0.5, 0.001, true),
            (20, 0.97, 0.03, false),
            (20, 0.97, 0.001, false),
            (30, 0.5, 0.001, true),
            (30, 0.97, 0.03, false),
            (30, 0.97, 0.01, false),
        ] {
            let s = Array2::from_shape_fn((neurons, neurons), |(i, j): (usize, usize)| {
                f64::powi(rho, i.abs_diff(j) as i32)
            });
            let gap = at(&s, alpha, Descent::Screened).unwrap().gap;
            assert_eq!(gap.is_none(), converges, "{neurons} neurons, ρ = {rho}, α = {alpha}: {gap:?}");
            assert!(gap.is_none_or(|gap| gap.abs() >= GAP));
        }
    }

    #[test]
    fn without_penalty_the_lasso_is_the_inverse() {
        let inverse = pseudo_inverse(example().view()).unwrap();
        let product = inverse.dot(&example()) - Array2::<f64>::eye(4);
        assert!(product.iter().all(|v| v.abs() < 1e-12));
        let lasso = at(&example(), 1e-9, Descent::Plain).unwrap().precision;
        assert!((lasso - &inverse).iter().all(|v| v.abs() < 1e-3));
    }

    #[test]
    fn grids_are_logarithmic() {
        let grid = spaced(0.01, 1.0, 3);
        assert!(grid.iter().zip([0.01, 0.1, 1.0]).all(|(a, b)| (a / b - 1.0).abs() < 1e-15), "{grid:?}");
    }

    #[test]
    fn independent_neurons_need_no_penalty() {
        let s = array![[2.0, 0.0], [0.0, 4.0]];
        let folds = [Fold { train: s.clone(), test: s.clone() }];
        let chosen = cross_validated(&s, &folds, Descent::Plain, 1, &|_| {}).unwrap();
        assert_eq!(chosen.precision, array![[0.5, 0.0], [0.0, 0.25]]);
    }
}
