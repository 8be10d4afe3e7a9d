//! `init.identity`: W, connections of the neurons to themselves.

use pallium_core::{ndarray::Array2, prelude::*};

pallium_core::params! {
    /// Size of the weights.
    pub struct Params {
        /// The weight of each neuron to itself, equal to every eigenvalue.
        gain: f64 = 1.0,
    }
}

/// The identity matrix times `gain`: each neuron is connected only to itself, so
/// that without input it keeps its activity (Le, Jaitly and Hinton 2015). N×N; the
/// same in every run; needs no substrate. On connections the N autapses; at given
/// pairs, 0 for all others.
pub struct Identity {
    params: Params,
}

impl Component for Identity {
    const ID: &'static str = "init.identity";
    const ABOUT: &'static str = "W: the identity matrix, each neuron connected only to itself";
    const CITE: &'static str = "Le, Jaitly and Hinton 2015, arXiv 1504.00941";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("gain", params.gain, -1e6, 1e6)?;
        Ok(Identity { params })
    }
}

impl WeightSource for Identity {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        Ok(Array2::from_diag_elem(request.neurons, self.params.gain as f32))
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        let n = request.neurons;
        let connections = match request.connections {
            Some(given) => given.to_owned(),
            None => Connections::from_pairs(n, n, (0..n as u32).map(|unit| (unit, unit)).collect())?,
        };
        let at = |(i, j)| if i == j { self.params.gain as f32 } else { 0.0 };
        let values = connections.view().pairs().map(at).collect();
        Ok(SparseWeights { connections, values })
    }
}
pallium_core::register!(WeightSource, Identity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_the_weights_of_the_matrix() {
        let mut identity = Identity::build(Params { gain: 0.5 }, &Setting::default()).unwrap();
        let request =
            |connections| WeightRequest { neurons: 3, substrate: None, seed: 1, draw: None, connections };
        let weights = identity.weights(&request(None)).unwrap();
        assert_eq!(weights, Array2::from_diag_elem(3, 0.5));
        let own = identity.sparse(&request(None)).unwrap();
        assert_eq!((own.values.len(), own.connections.view().scatter(&own.values)), (3, weights));
        let given = Connections::from_pairs(3, 3, vec![(0, 1), (1, 1)]).unwrap();
        let at = identity.sparse(&request(Some(given.view()))).unwrap();
        assert_eq!(at.values, [0.0, 0.5]);
    }
}
