//! `spatial.communicability-walks`: communicability over walks of limited
//! length.

use pallium_core::prelude::*;

use crate::communicability::On;
use crate::network::NetworkCommunicability;
use crate::on_connections::OnConnections;
use crate::series::Series;
use crate::views::square_distances;

pallium_core::choice! {
    /// Weight of a walk of k connections.
    pub enum Weighting {
        /// αᵏ/k!: truncated communicability.
        Factorial = "factorial",
        /// αᵏ: truncated Katz centrality.
        Geometric = "geometric",
    }
}

pallium_core::params! {
    /// Parameters of `spatial.communicability-walks`.
    pub struct Params {
        /// Factor λ of the penalty (per unit of length of the geometry, at
        /// least 0).
        strength: f64 = 0.3,
        /// Factor α for each connection of a walk (above 0, at most 4).
        alpha: f64 = 1.0,
        /// Maximum length of a walk, in connections (1 to 32).
        order: u32 = 4,
        /// Weight of a walk of k connections.
        weighting: Weighting = Weighting::Factorial,
    }
}

/// λ Σ|W|∘D∘C with C = Σ_k c_k (S^−½|W|S^−½)ᵏ, k from 1 to the order, c_k = αᵏ/k!
/// or αᵏ, and C's diagonal set to 0.
///
/// With factorial weights, α = 1 and a high order, this is
/// `spatial.communicability` (the remainder after order 12 is below 2e-10). α is
/// the inverse temperature of Estrada and Hatano (2008): small values emphasise
/// direct connections, large ones long walks. Order 1 counts only direct
/// connections.
///
/// On a set of connections the walks are summed along them; networks of up to 1,024
/// neurons are computed by their matrix.
pub struct CommunicabilityWalks {
    strength: f64,
    on: On<Series>,
}

impl Component for CommunicabilityWalks {
    const ID: &'static str = "spatial.communicability-walks";
    const ABOUT: &'static str =
        "sum of absolute weights times distance times communicability over walks of limited length";
    const CITE: &'static str = "Estrada and Hatano 2008, Phys. Rev. E 77:036111; Katz 1953, Psychometrika 18:39; \
                                Crofts and Higham 2009, J. R. Soc. Interface 6:411";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        one_of_range("order", f64::from(params.order), 1.0, 32.0)?;
        one_of_range("alpha", params.alpha, 0.0, 4.0)?;
        if params.alpha < 1e-6 {
            return Err(Error::input(format!("parameter `alpha` is {}", params.alpha))
                .help("it must be at least 0.000001; at 0 every walk would have weight 0"));
        }
        let mut coefficient = 1.0;
        let mut coefficients = vec![0.0];
        for k in 1..=params.order {
            coefficient *= params.alpha;
            if params.weighting == Weighting::Factorial {
                coefficient /= f64::from(k);
            }
            coefficients.push(coefficient as f32);
        }
        let series = |n| {
            NetworkCommunicability::with_function(n, Series::new(n, setting.threads, coefficients.clone()))
        };
        let on = if setting.connections.is_some() {
            let network = OnConnections::new(setting, coefficients.clone(), |n| Some(series(n)))?;
            On::Connections(Box::new(network))
        } else {
            let (neurons, distance) = square_distances(setting)?;
            On::Matrix { neurons, distance, network: Box::new(series(neurons)) }
        };
        Ok(CommunicabilityWalks { strength: params.strength, on })
    }
}

impl Constraint for CommunicabilityWalks {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        self.on.penalty(weights, gradient, self.strength as f32)
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        self.on.rewired(change)
    }
}
pallium_core::register!(Constraint, CommunicabilityWalks);
