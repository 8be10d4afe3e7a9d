//! `spatial.communicability`: λ Σ|W|∘D∘C.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::expm::Exponential;
use crate::function::Function;
use crate::network::NetworkCommunicability;
use crate::on_connections::{OnConnections, factorials};
use crate::views::{check_shapes, square_distances, with_slices};

pallium_core::params! {
    /// Parameters of `spatial.communicability`.
    pub struct Params {
        /// Factor λ of the penalty (per unit of length of the geometry, at
        /// least 0).
        strength: f64 = 0.3,
        /// For weights on connections: maximum length of the walks that count, in
        /// connections (up to 12). With 0, all walks count (by a matrix) in networks of
        /// up to 1,024 neurons, or of up to 4,096 with more than a tenth of all pairs
        /// connected; in others, the length, at least 4, is chosen such
        /// that penalty and gradient are within about 1e-4 of those of all walks.
        walks: u32 = 0,
    }
}

/// λ Σ|W|∘D∘C with C = exp(S^−½|W|S^−½), where S is the diagonal matrix of the
/// row sums of |W|, and the diagonal of C is set to 0.
///
/// A connection costs most if it is long and its neurons already communicate
/// well through others. The gradient includes the derivatives of C and S. A
/// neuron whose row of W is entirely 0 has communicability 0 and contributes
/// neither to the penalty nor to its gradient.
///
/// On a set of connections, C is summed over walks of up to `walks` connections, and
/// the gradient is that of this sum. Single entries of C are less exact than the
/// penalty: with 15,448 neurons of 19 connections each and walks of 4, one in seven
/// connected pairs is off by more than 1e-4.
pub struct Communicability {
    strength: f64,
    on: On,
}

/// What the recurrent weights are.
pub(crate) enum On<F = Exponential<f32>> {
    Matrix { neurons: usize, distance: Vec<f32>, network: Box<NetworkCommunicability<F>> },
    Connections(Box<OnConnections<F>>),
}

impl<F: Function> On<F> {
    /// [`Constraint::penalty`], with λ as `factor`.
    pub(crate) fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        factor: f32,
    ) -> Result<f64> {
        match self {
            On::Matrix { neurons, distance, network } => {
                check_shapes(Some((*neurons, *neurons)), &weights, &gradient)?;
                with_slices(weights, gradient, |w, g| penalty(network, w, g, distance, factor))
            }
            On::Connections(network) => network.penalty(weights, gradient, factor),
        }
    }

    /// [`Constraint::rewired`].
    pub(crate) fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        match self {
            On::Matrix { .. } => Err(Error::unsupported("a matrix has no connections that change")),
            On::Connections(network) => network.rewired(change),
        }
    }
}

impl Component for Communicability {
    const ID: &'static str = "spatial.communicability";
    const ABOUT: &'static str = "sum of absolute weights times distance times communicability";
    const CITE: &'static str = "Achterberg, Akarca, Strouse, Duncan, Astle 2023, Nat. Mach. Intell. 5:1369; \
                                communicability: Crofts and Higham 2009, J. R. Soc. Interface 6:411";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        one_of_range("walks", f64::from(params.walks), 0.0, 12.0)?;
        let on = if setting.connections.is_some() {
            let walks = match (params.walks, setting.connections) {
                (0, Some(connections)) => longest_walks(connections),
                (walks, _) => walks,
            };
            let matrix = |n| (params.walks == 0).then(|| NetworkCommunicability::new(n, setting.threads));
            On::Connections(Box::new(OnConnections::new(setting, factorials(walks), matrix)?))
        } else {
            let (neurons, distance) = square_distances(setting)?;
            let network = Box::new(NetworkCommunicability::new(neurons, setting.threads));
            On::Matrix { neurons, distance, network }
        };
        Ok(Communicability { strength: params.strength, on })
    }
}

/// Length of the shortest walks of which longer ones change the penalty and its
/// gradient by about 1e-4 at most (relative).
///
/// Long walks end anywhere. So those left out, of weight Σ 1/k! beyond the length, add
/// to a connected pair a share of this weight that is the share of connected pairs.
/// The gradient of networks whose connections are local in space is off by up to 2.5
/// times as much (compared with SciPy at 1,000 and 3,000 neurons).
fn longest_walks(connections: ConnectionsView<'_>) -> u32 {
    let (n, _) = connections.dim();
    let share = connections.len() as f64 / (n as f64 * n as f64);
    let left_out = |order: u32| -> f64 {
        std::f64::consts::E - 1.0 - factorials(order).iter().map(|&c| f64::from(c)).sum::<f64>()
    };
    (4..12).find(|&order| share * left_out(order) < 2e-5).unwrap_or(12)
}

impl Constraint for Communicability {
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
