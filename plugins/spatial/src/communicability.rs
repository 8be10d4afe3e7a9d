//! `spatial.communicability`: λ Σ|W|∘D∘C, wire that duplicates other routes.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::network::Network;
use crate::views::{check_shapes, distances, with_slices};

pallium_core::params! {
    /// Parameters of `spatial.communicability`.
    pub struct Params {
        /// Factor λ of the penalty (per unit of length of the geometry, at
        /// least 0).
        strength: f64 = 0.3,
    }
}

/// λ Σ|W|∘D∘C, with C = exp(S^−½|W|S^−½), S the diagonal matrix of |W|'s row
/// sums, and C's diagonal set to 0.
///
/// A weight costs most if it is long and joins neurons that communicate well
/// anyhow. The gradient goes through C, and through S in it. A neuron whose
/// whole row of W is 0 has no communicability: it adds nothing to the penalty
/// or to its gradient.
pub struct Communicability {
    neurons: usize,
    strength: f64,
    distance: Vec<f32>,
    network: Network,
    arch: Arch,
}

impl Component for Communicability {
    const ID: &'static str = "spatial.communicability";
    const ABOUT: &'static str = "sum of absolute weights times distance times communicability";
    const CITE: &'static str = "Achterberg, Akarca, Strouse, Duncan, Astle 2023, Nat. Mach. Intell. 5:1369; \
                                communicability: Crofts and Higham 2009, J. R. Soc. Interface 6:411";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        let (neurons, distance) = distances(setting)?;
        let network = Network::new(neurons, setting.threads);
        Ok(Communicability { neurons, strength: params.strength, distance, network, arch: Arch::new() })
    }
}

impl Constraint for Communicability {
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64> {
        check_shapes(Some(self.neurons), &weights, &gradient)?;
        let Communicability { strength, distance, network, arch, .. } = self;
        let factor = *strength as f32;
        with_slices(weights, gradient, |w, g| {
            let (_, seed) = network.communicability(w);
            arch.dispatch(|| cost(seed, w, distance, factor));
            // The value is Σ (λ|W|∘D)∘C, and λ|W|∘D the derivative in C.
            network.add_gradient(w, distance, g, |d, c| factor * (d * c))
        })
    }
}

/// cost = λ|w|·d.
#[inline(always)]
pub(crate) fn cost(cost: &mut [f32], w: &[f32], d: &[f32], factor: f32) {
    for ((cost, &w), &d) in cost.iter_mut().zip(w).zip(d) {
        *cost = factor * (w.abs() * d);
    }
}
pallium_core::register!(Constraint, Communicability);
