//! `dynamics.lyapunov`: how fast nearby states separate.

use pallium_core::ndarray::{Array1, Array2, ArrayView1, Axis};
use pallium_core::prelude::*;

use crate::map::{Map, dynamics_of};
use crate::visited::{Input, Visited, input};

pallium_core::params! {
    /// The trajectory along which exponents are computed.
    pub struct Params {
        /// The constant input.
        input: Input = Input::Zero,
        /// The step whose mean input is used by `input = "mean"`, from 0.
        step: u32 = 0,
        /// Number of exponents, the largest first; at most the number of values of
        /// the state.
        exponents: u32 = 10,
        /// Number of steps over which the exponents are averaged.
        steps: u32 = 1_000,
        /// Number of steps before the averaged ones, in which the state settles.
        transient: u32 = 200,
    }
}

/// Lyapunov exponents of the network's map under a constant input, in nats per step,
/// along a trajectory that starts at the end of a recorded trial: positive for chaos, 0
/// for a memory that neither fades nor grows, negative for contraction.
///
/// They are the growth rates of the singular values of the product of all Jacobians
/// (Benettin et al. 1980). The product of the transposed Jacobians, taken backwards
/// along the trajectory, has the same ones, and needs no more than the model's
/// vector–Jacobian product.
///
/// Measures: `lyapunov_max`; `lyapunov_sum` of the computed exponents; and
/// `lyapunov_dimension`, the dimension of Kaplan and Yorke (1979), undefined if more
/// exponents would be needed. Array: `exponents`, descending.
pub struct Lyapunov(Params);

impl Component for Lyapunov {
    const ID: &'static str = "dynamics.lyapunov";
    const ABOUT: &'static str = "Lyapunov exponents: how fast nearby states diverge or converge";
    const CITE: &'static str = "Benettin, Galgani, Giorgilli, Strelcyn 1980; Kaplan and Yorke 1979";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("exponents", params.exponents.into(), 1.0, 1e6)?;
        one_of_range("steps", params.steps.into(), 1.0, 1e8)?;
        Ok(Lyapunov(params))
    }
}

impl Metric for Lyapunov {
    fn wants_activity(&self) -> bool {
        true
    }

    /// Along a chaotic trajectory rounding grows.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let params = &self.0;
        let dynamics = dynamics_of(network)?;
        let map = Map::new(dynamics, input(network, params.input, params.step)?);
        let Some(start) = Visited::new(network, dynamics)?.last() else {
            return Err(Error::input("no trial has a step"));
        };
        let count = (params.exponents as usize).min(start.len());
        let (steps, transient) = (params.steps as usize, params.transient as usize);
        let exponents = exponents(&map, start.view(), count, steps, transient)?;
        let complete = count == start.len();
        let values = vec![
            Measure::new("lyapunov_max", exponents.first().copied().unwrap_or(f64::NAN))
                .unit("nats per step"),
            Measure::new("lyapunov_sum", exponents.iter().sum()).unit("nats per step"),
            Measure::new("lyapunov_dimension", kaplan_yorke(&exponents, complete)),
        ];
        Ok(Measures::from(values).with(Tensor::new("exponents", [exponents.len()], exponents)))
    }
}
pallium_core::register!(Metric, Lyapunov);

/// Smallest growth of a direction in one step; what vanishes has the exponent of
/// this instead of −∞.
const LEAST: f64 = 1e-300;

/// The `count` largest exponents, descending.
///
/// # Errors
/// If the map cannot be computed, or the trajectory diverges.
pub fn exponents(
    map: &Map<'_>,
    start: ArrayView1<'_, f64>,
    count: usize,
    steps: usize,
    transient: usize,
) -> Result<Vec<f64>> {
    let mut state = start.to_owned();
    let mut visited: Vec<Array1<f64>> = Vec::with_capacity(steps);
    // The last steps only turn the directions.
    let turning = transient.min(steps);
    for step in 0..transient + steps + turning {
        if step >= transient {
            visited.push(state.clone());
        }
        state = map.at(state.view())?;
        if let Some(value) = state.iter().find(|value| !value.is_finite()) {
            return Err(Error::input(format!("the trajectory diverges: a state is {value} at step {step}"))
                .help("another `input` or fewer `steps` may help"));
        }
    }
    let n = start.len();
    // Any directions; those of a stream, so that none is orthogonal to a mode by
    // construction.
    let mut rng = random::stream(0, "directions of Lyapunov exponents");
    let mut directions = Array2::from_shape_simple_fn((count, n), || {
        use rand_distr::{Distribution, StandardNormal};
        let value: f64 = StandardNormal.sample(&mut rng);
        value
    });
    orthonormalise(&mut directions);
    let mut sums = vec![0.0; count];
    for (step, state) in visited.iter().enumerate().rev() {
        let states = Array2::from_shape_fn((count, n), |(_, j)| state[j]);
        directions = map.transposed(states.view(), directions.view())?;
        let growth = orthonormalise(&mut directions);
        if step < steps {
            sums.iter_mut().zip(growth).for_each(|(sum, length)| *sum += length.max(LEAST).ln());
        }
    }
    let mut exponents: Vec<f64> = sums.into_iter().map(|sum| sum / steps as f64).collect();
    exponents.sort_by(|a, b| b.total_cmp(a));
    Ok(exponents)
}

/// Makes rows orthonormal, by Gram and Schmidt's method with a second pass; returns
/// their lengths. A row that vanishes stays 0.
fn orthonormalise(rows: &mut Array2<f64>) -> Vec<f64> {
    let mut lengths = Vec::with_capacity(rows.nrows());
    for row in 0..rows.nrows() {
        let (before, mut own) = rows.view_mut().split_at(Axis(0), row);
        let mut own = own.row_mut(0);
        let first = own.dot(&own).sqrt();
        for _ in 0..2 {
            for known in before.outer_iter() {
                let along = known.dot(&own);
                own.scaled_add(-along, &known);
            }
        }
        let length = own.dot(&own).sqrt();
        // What is left of a vector in the span of others is rounding.
        if length <= 1e-14 * first {
            own.fill(0.0);
            lengths.push(0.0);
        } else {
            own.mapv_inplace(|value| value / length);
            lengths.push(length);
        }
    }
    lengths
}

/// The dimension of Kaplan and Yorke: the number k of exponents whose sum is not
/// negative, plus that sum over the size of the next one.
pub fn kaplan_yorke(exponents: &[f64], complete: bool) -> f64 {
    let mut sum = 0.0;
    for (count, &exponent) in exponents.iter().enumerate() {
        if sum + exponent < 0.0 {
            return count as f64 + sum / exponent.abs();
        }
        sum += exponent;
    }
    if complete { exponents.len() as f64 } else { f64::NAN }
}
