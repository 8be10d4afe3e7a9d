//! `dynamics.spectrum`: eigenvalues of the Jacobian at visited states.

use pallium_core::ndarray::Array3;
use pallium_core::prelude::*;
use pallium_linalg::eigenvalues;

use crate::map::{Map, dynamics_of, median, timescale};
use crate::visited::{Input, Visited, input};

pallium_core::params! {
    /// Where the Jacobian is taken.
    pub struct Params {
        /// The constant input.
        input: Input = Input::Zero,
        /// The step whose mean input is used by `input = "mean"`, from 0.
        step: u32 = 0,
        /// Number of states, drawn from those that the network visits on the
        /// recorded trials.
        states: u32 = 16,
    }
}

/// The eigenvalues λ of the Jacobian of the network's map at states that it visits, in
/// double precision: how activity near them grows and turns in one step.
///
/// Measures, as medians over the states: `jacobian_radius`, the largest |λ|;
/// `jacobian_timescale`, its −1/ln|λ| in steps, undefined from |λ| = 1 on;
/// `jacobian_expanding`, the number of |λ| of at least 1; and `jacobian_rotating`, the
/// share of eigenvalues that are not real. Array: `eigenvalues`, states × values × real
/// and imaginary part, by descending modulus.
pub struct Spectrum {
    params: Params,
    seed: u64,
}

impl Component for Spectrum {
    const ID: &'static str = "dynamics.spectrum";
    const ABOUT: &'static str = "eigenvalues of the network's Jacobian at states that it visits";
    const CITE: &'static str = "Sussillo and Barak 2013";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("states", params.states.into(), 1.0, 100_000.0)?;
        Ok(Spectrum { params, seed: setting.seed })
    }
}

/// Imaginary parts below this share of the modulus are rounding.
const REAL: f64 = 1e-9;

impl Metric for Spectrum {
    fn wants_activity(&self) -> bool {
        true
    }

    /// Rounding may turn a double eigenvalue into a pair.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let dynamics = dynamics_of(network)?;
        let map = Map::new(dynamics, input(network, self.params.input, self.params.step)?);
        let states = Visited::new(network, dynamics)?.draw(self.params.states as usize, 0.0, self.seed);
        let mut spectra = Vec::new();
        for state in states.outer_iter() {
            let found = eigenvalues(map.jacobian(state)?.view());
            spectra.push(
                found.ok_or_else(|| Error::plugin("the eigenvalues of a Jacobian cannot be computed"))?,
            );
        }
        let size = states.ncols();
        let modulus = |value: &(f64, f64)| value.0.hypot(value.1);
        let radius = median(spectra.iter().map(|all| all.first().map_or(0.0, modulus)));
        let count = |of: fn(&(f64, f64)) -> bool| {
            median(spectra.iter().map(|all| all.iter().filter(|value| of(value)).count() as f64))
        };
        let parts = Array3::from_shape_fn((spectra.len(), size, 2), |(at, value, part)| {
            let (re, im) = spectra[at][value];
            if part == 0 { re } else { im }
        });
        let values = vec![
            Measure::new("jacobian_radius", radius),
            Measure::new("jacobian_timescale", timescale(radius)).unit("steps"),
            Measure::new("jacobian_expanding", count(|value| value.0.hypot(value.1) >= 1.0)),
            Measure::new(
                "jacobian_rotating",
                count(|value| value.1.abs() > REAL * value.0.hypot(value.1)) / size as f64,
            ),
        ];
        Ok(Measures::from(values).with(Tensor::from_view("eigenvalues", parts.view())))
    }
}
pallium_core::register!(Metric, Spectrum);
