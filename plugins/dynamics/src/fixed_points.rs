//! `dynamics.fixed-points`: fixed and slow points, and their stability.

use pallium_core::ndarray::{Array2, Array3, Axis};
use pallium_core::prelude::*;
use pallium_linalg::eigenvalues;

use crate::map::{Map, dynamics_of, timescale};
use crate::search::{Point, Rules, find};
use crate::visited::{Input, Visited, input};

pallium_core::params! {
    /// Where points are searched, and which count.
    pub struct Params {
        /// The constant input under which a point is fixed.
        input: Input = Input::Zero,
        /// The step whose mean input is used by `input = "mean"`, from 0.
        step: u32 = 0,
        /// Number of states, drawn from those that the network visits on the
        /// recorded trials, from which a search starts.
        starts: u32 = 32,
        /// Standard deviation of normal noise on the starts, in units of the
        /// state.
        noise: f64 = 0.0,
        /// Largest q = ½·|F(x) − x|² of a fixed point.
        fixed_q: f64 = 1e-12,
        /// Largest q of a slow point.
        slow_q: f64 = 1e-6,
        /// Points that differ by less than this in every value count as one.
        unique: f64 = 1e-3,
        /// Maximum number of steps of one search.
        iterations: u32 = 100,
        /// Points farther from the centre of the starts than this many times the
        /// starts' mean distance are left out, as artefacts of the search; 0 keeps
        /// all.
        outlier: f64 = 10.0,
    }
}

/// Fixed points F(x) = x and slow points of the map F under a constant input: minima
/// of q(x) = ½·|F(x) − x|² (Sussillo and Barak 2013), found from states that the
/// network visits, by Levenberg and Marquardt's method with exact Jacobians in double
/// precision. For a model that declares itself piecewise linear also exactly, by a
/// linear solve within the region of each start.
///
/// Measures: numbers of `fixed_points` (q ≤ `fixed_q`), of the stable ones among them
/// (all |λ| < 1) and of `slow_points` (`fixed_q` < q ≤ `slow_q`); of the fixed points the mean
/// number of unstable directions, the largest |λ| and its `fixed_point_timescale`
/// −1/ln|λ| in steps (undefined from |λ| = 1 on), and `fixed_point_dimension`, the
/// participation ratio of the points themselves: near 1 for a line. Arrays: `points`
/// (points × values), `q`, `eigenvalues` (points × values × real and imaginary part,
/// by descending modulus), `stable` and `exact`.
pub struct FixedPoints {
    params: Params,
    seed: u64,
}

impl Component for FixedPoints {
    const ID: &'static str = "dynamics.fixed-points";
    const ABOUT: &'static str = "fixed and slow points of the network's map, and their stability";
    const CITE: &'static str = "Sussillo and Barak 2013; Golub and Sussillo 2018 (FixedPointFinder)";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("starts", params.starts.into(), 1.0, 100_000.0)?;
        one_of_range("iterations", params.iterations.into(), 1.0, 1e6)?;
        at_least_zero("noise", params.noise)?;
        at_least_zero("fixed_q", params.fixed_q)?;
        at_least_zero("unique", params.unique)?;
        at_least_zero("outlier", params.outlier)?;
        if params.slow_q < params.fixed_q {
            return Err(Error::input(format!(
                "parameter `slow_q` is {}, below `fixed_q` {}",
                params.slow_q, params.fixed_q
            ))
            .help("a slow point may have a larger q than a fixed one"));
        }
        Ok(FixedPoints { params, seed: setting.seed })
    }
}

impl Metric for FixedPoints {
    fn wants_activity(&self) -> bool {
        true
    }

    /// The order of sums may decide whether a search converges.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let params = &self.params;
        let dynamics = dynamics_of(network)?;
        let map = Map::new(dynamics, input(network, params.input, params.step)?);
        let starts = Visited::new(network, dynamics)?.draw(params.starts as usize, params.noise, self.seed);
        let rules = Rules {
            fixed: params.fixed_q,
            slow: params.slow_q,
            unique: params.unique,
            iterations: params.iterations,
            outlier: params.outlier,
        };
        let linear = network.model.is_some_and(|model| model.piecewise_linear);
        describe(&find(&map, starts.view(), linear, &rules)?, starts.ncols(), &rules)
    }
}
pallium_core::register!(Metric, FixedPoints);

/// The measures of some points with `size` values each.
fn describe(points: &[Point], size: usize, rules: &Rules) -> Result<Measures> {
    let spectra: Vec<Vec<(f64, f64)>> = points
        .iter()
        .map(|point| {
            eigenvalues(point.jacobian.view())
                .ok_or_else(|| Error::plugin("the eigenvalues of a Jacobian cannot be computed"))
        })
        .collect::<Result<_>>()?;
    let modulus = |spectrum: &Vec<(f64, f64)>| spectrum.first().map_or(0.0, |(re, im)| re.hypot(*im));
    let unstable =
        |spectrum: &Vec<(f64, f64)>| spectrum.iter().filter(|(re, im)| re.hypot(*im) >= 1.0).count();
    let fixed: Vec<usize> = (0..points.len()).filter(|&at| points[at].q <= rules.fixed).collect();
    let stable = fixed.iter().filter(|&&at| unstable(&spectra[at]) == 0).count();
    let largest = fixed.iter().map(|&at| modulus(&spectra[at])).fold(f64::NAN, f64::max);
    let directions = fixed.iter().map(|&at| unstable(&spectra[at]) as f64).sum::<f64>() / fixed.len() as f64;
    let states = Array2::from_shape_fn((points.len(), size), |(at, value)| points[at].state[value]);
    let parts = Array3::from_shape_fn((points.len(), size, 2), |(at, value, part)| {
        let (re, im) = spectra[at][value];
        if part == 0 { re } else { im }
    });
    let flags = |of: &dyn Fn(usize) -> bool| (0..points.len()).map(|at| u8::from(of(at))).collect::<Vec<_>>();
    let values = vec![
        Measure::new("fixed_points", fixed.len() as f64),
        Measure::new("stable_fixed_points", stable as f64),
        Measure::new("slow_points", (points.len() - fixed.len()) as f64),
        Measure::new("fixed_point_unstable_directions", directions),
        Measure::new("fixed_point_modulus", largest),
        Measure::new("fixed_point_timescale", timescale(largest)).unit("steps"),
        Measure::new("fixed_point_dimension", dimension(&states.select(Axis(0), &fixed))),
    ];
    Ok(Measures::from(values)
        .with(Tensor::from_view("points", states.view()))
        .with(Tensor::new("q", [points.len()], points.iter().map(|point| point.q).collect::<Vec<_>>()))
        .with(Tensor::from_view("eigenvalues", parts.view()))
        .with(Tensor::new("stable", [points.len()], flags(&|at| unstable(&spectra[at]) == 0)))
        .with(Tensor::new("exact", [points.len()], flags(&|at| points[at].exact))))
}

/// The participation ratio of some points; NaN of fewer than two.
fn dimension(points: &Array2<f64>) -> f64 {
    let Some(mean) = points.mean_axis(Axis(0)).filter(|_| points.nrows() > 1) else { return f64::NAN };
    let centred = points - &mean;
    // The points' Gram matrix has the eigenvalues of their covariance, and is smaller.
    let gram = centred.dot(&centred.t());
    let trace = gram.diag().sum();
    trace * trace / gram.mapv(|v| v * v).sum()
}
