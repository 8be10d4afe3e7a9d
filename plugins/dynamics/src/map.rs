//! A model's step with a constant input: the map whose fixed points, spectra and
//! exponents are computed.

use pallium_core::ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use pallium_core::prelude::*;

/// The map x → F(x) under one input.
pub struct Map<'a> {
    dynamics: &'a dyn Dynamics,
    input: Array1<f64>,
}

/// The model's step.
///
/// # Errors
/// If the model does not offer it.
pub fn dynamics_of<'a>(network: &Network<'a>) -> Result<&'a dyn Dynamics> {
    network.dynamics.ok_or_else(|| {
        Error::unsupported("this model does not offer its step, so its dynamics cannot be analysed")
            .help("the models of `rnn.…` offer it; measure trained networks, not a matrix")
    })
}

impl<'a> Map<'a> {
    /// The map under `input` (channels).
    pub fn new(dynamics: &'a dyn Dynamics, input: Array1<f64>) -> Self {
        Map { dynamics, input }
    }

    fn inputs(&self, rows: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, self.input.len()), |(_, channel)| self.input[channel])
    }

    /// F of each row.
    pub fn step(&self, states: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        self.dynamics.step(states, self.inputs(states.nrows()).view())
    }

    /// F(x).
    pub fn at(&self, state: ArrayView1<'_, f64>) -> Result<Array1<f64>> {
        Ok(self.step(state.insert_axis(Axis(0)))?.remove_axis_of_one())
    }

    /// The gradient of Σ cotangent · F in each state: rows of cotangents times the
    /// Jacobian.
    pub fn transposed(
        &self,
        states: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<Array2<f64>> {
        Ok(self.dynamics.step_gradient(states, self.inputs(states.nrows()).view(), cotangents)?.0)
    }

    /// The Jacobian at a state: row i, column j is ∂F(x)ᵢ/∂xⱼ.
    pub fn jacobian(&self, state: ArrayView1<'_, f64>) -> Result<Array2<f64>> {
        let n = state.len();
        let states = Array2::from_shape_fn((n, n), |(_, j)| state[j]);
        self.transposed(states.view(), Array2::eye(n).view())
    }
}

/// The only row of a matrix.
trait OneRow {
    fn remove_axis_of_one(self) -> Array1<f64>;
}

impl OneRow for Array2<f64> {
    fn remove_axis_of_one(self) -> Array1<f64> {
        self.into_iter().collect()
    }
}

/// Time constant of a mode of modulus |λ|, in steps: −1/ln|λ|; infinite from 1 on.
pub fn timescale(modulus: f64) -> f64 {
    if modulus >= 1.0 { f64::INFINITY } else { -1.0 / modulus.ln() }
}

/// The median; NaN without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}
