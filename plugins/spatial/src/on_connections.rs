//! Penalties on walks in networks on connections: along the connections, or by the
//! matrix of a small network.

use pallium_core::ndarray::ArrayView2;
use pallium_core::prelude::*;

use crate::communicability::penalty;
use crate::expm::Exponential;
use crate::function::Function;
use crate::network::NetworkCommunicability;
use crate::views::{check_shapes, distances, distances_after, with_slices};
use crate::walks::Walks;

/// Whether a network is computed by its matrix: a small one, or one with so many
/// connections that walking along them takes longer.
fn by_matrix(connections: ConnectionsView<'_>) -> bool {
    let (n, _) = connections.dim();
    n <= 1024 || n <= 4096 && 10 * connections.len() > n * n
}

/// The penalty λ Σ|W|∘D∘C on connections; F computes C of a matrix.
pub(crate) struct OnConnections<F = Exponential<f32>> {
    distance: Vec<f32>,
    by: By<F>,
}

enum By<F> {
    /// The network's matrix, with 0 at pairs that are not connected.
    Matrix {
        connections: Connections,
        network: NetworkCommunicability<F>,
    },
    Walks(Walks),
}

/// c_k = 1/k!, k from 0 to `order`; c_0 is 0, since C has no diagonal.
pub(crate) fn factorials(order: u32) -> Vec<f32> {
    let mut c = 1.0;
    let further = (1..=order).map(|k| {
        c /= f64::from(k);
        c as f32
    });
    std::iter::once(0.0).chain(further).collect()
}

impl<F: Function> OnConnections<F> {
    /// On the setting's connections, over walks with the weights `coefficients`, c_k
    /// from k = 0. `matrix` makes what computes a network of so many neurons by its
    /// matrix; it is asked where that is faster.
    pub(crate) fn new(
        setting: &Setting<'_>,
        coefficients: Vec<f32>,
        matrix: impl FnOnce(usize) -> Option<NetworkCommunicability<F>>,
    ) -> Result<Self> {
        let connections = setting.connections.ok_or_else(|| Error::bug("a matrix has no connections"))?;
        let (_, distance) = distances(setting)?;
        let network = if by_matrix(connections) { matrix(connections.dim().0) } else { None };
        let by = match network {
            Some(network) => By::Matrix { connections: connections.to_owned(), network },
            None => By::Walks(Walks::new(connections, setting.threads, coefficients)),
        };
        Ok(OnConnections { distance, by })
    }

    pub(crate) fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        factor: f32,
    ) -> Result<f64> {
        check_shapes(Some((1, self.distance.len())), &weights, &gradient)?;
        let OnConnections { distance, by } = self;
        with_slices(weights, gradient, |w, g| match by {
            By::Walks(walks) => Ok(walks.penalty(w, g, distance, factor)),
            By::Matrix { connections, network } => {
                let pairs = connections.view();
                let [all, far] =
                    [w, distance].map(|values| pairs.scatter(values).into_raw_vec_and_offset().0);
                let mut slopes = vec![0.0; all.len()];
                let value = penalty(network, &all, &mut slopes, &far, factor);
                let slopes = ArrayView2::from_shape(pairs.dim(), &slopes);
                let slopes = slopes.map_err(|e| Error::bug(e.to_string()))?;
                g.iter_mut().zip(pairs.gather(slopes)).for_each(|(to, from)| *to += from);
                Ok(value)
            }
        })?
    }

    pub(crate) fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        self.distance = distances_after(change)?;
        match &mut self.by {
            By::Matrix { connections, .. } => *connections = change.connections.to_owned(),
            By::Walks(walks) => walks.rewired(change.connections),
        }
        Ok(())
    }
}
