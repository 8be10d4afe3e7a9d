//! `spatial.communicability`: λ Σ|W|∘D∘C.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::function::Function;
use crate::network::NetworkCommunicability;
use crate::views::{check_shapes, square_distances, with_slices};

pallium_core::params! {
    /// Parameters of `spatial.communicability`.
    pub struct Params {
        /// Factor λ of the penalty (per unit of length of the geometry, at
        /// least 0).
        strength: f64 = 0.3,
    }
}

/// λ Σ|W|∘D∘C with C = exp(S^−½|W|S^−½), where S is the diagonal matrix of the
/// row sums of |W|, and the diagonal of C is set to 0.
///
/// A connection costs most if it is long and its neurons already communicate
/// well through others. The gradient includes the derivatives of C and S. A
/// neuron whose row of W is entirely 0 has communicability 0 and contributes
/// neither to the penalty nor to its gradient.
pub struct Communicability {
    neurons: usize,
    strength: f64,
    distance: Vec<f32>,
    network: NetworkCommunicability,
}

impl Component for Communicability {
    const ID: &'static str = "spatial.communicability";
    const ABOUT: &'static str = "sum of absolute weights times distance times communicability";
    const CITE: &'static str = "Achterberg, Akarca, Strouse, Duncan, Astle 2023, Nat. Mach. Intell. 5:1369; \
                                communicability: Crofts and Higham 2009, J. R. Soc. Interface 6:411";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        let (neurons, distance) = square_distances(setting)?;
        let network = NetworkCommunicability::new(neurons, setting.threads);
        Ok(Communicability { neurons, strength: params.strength, distance, network })
    }
}

impl Constraint for Communicability {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(Some((self.neurons, self.neurons)), &weights, &gradient)?;
        let factor = self.strength as f32;
        with_slices(weights, gradient, |w, g| penalty(&mut self.network, w, g, &self.distance, factor))
    }
}

/// Returns λ Σ|W|∘D∘C and adds its gradient.
pub(crate) fn penalty<F: Function>(
    network: &mut NetworkCommunicability<F>,
    weights: &[f32],
    gradient: &mut [f32],
    distance: &[f32],
    factor: f32,
) -> f64 {
    let (_, adjoint) = network.communicability(weights);
    // The value is Σ (λ|W|∘D)∘C, so λ|W|∘D is the adjoint of C.
    Arch::new().dispatch(|| cost(adjoint, weights, distance, factor));
    network.add_gradient(weights, distance, gradient, |d, c| factor * (d * c))
}

/// cost = λ|w|·d.
#[inline(always)]
fn cost(cost: &mut [f32], w: &[f32], d: &[f32], factor: f32) {
    for ((cost, &w), &d) in cost.iter_mut().zip(w).zip(d) {
        *cost = factor * (w.abs() * d);
    }
}

pallium_core::register!(Constraint, Communicability);
