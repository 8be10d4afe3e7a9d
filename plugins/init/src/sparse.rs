//! `init.sparse`: W, normal numbers for a share of all pairs of neurons.

use pallium_core::prelude::*;
use pallium_weights::Diagonal;
use rand::seq::{SliceRandom, index};
use rand_distr::{Distribution, StandardNormal};

use crate::gaussian::normal;

pallium_weights::weight_params! {
    /// Density, size and sign of the weights.
    pub struct Params (spectral_radius = 0.0) {
        /// Share of the pairs of neurons that are connected, in each direction (0
        /// to 1). With `diagonal = "zero"`, neurons are not paired with
        /// themselves.
        density: f64 = 0.1,
        /// Standard deviation of the weights that are not 0, times √(density·N);
        /// about the spectral radius of a large matrix.
        gain: f64 = 1.0,
    }
}

/// Normal weights with standard deviation gain/√(density·N) between pairs of
/// neurons drawn at random; the others are 0. The number of connections is
/// exactly `density` of all pairs, rounded (Jaeger 2001; Erdős and Rényi 1959).
/// N×N; needs no substrate. On a set of connections the same, from other draws, in
/// time that grows with the connections; at given pairs, normal weights with
/// standard deviation gain/√(C/N) for C pairs.
pub struct Sparse {
    params: Params,
}

impl Component for Sparse {
    const ID: &'static str = "init.sparse";
    const ABOUT: &'static str =
        "W: normal numbers for a random share of all pairs of neurons, 0 for the others";
    const CITE: &'static str =
        "Jaeger 2001, GMD Report 148; Erdős and Rényi 1959, Publ. Math. Debrecen 6:290";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("density", params.density, 0.0, 1.0)?;
        one_of_range("gain", params.gain, 0.0, 1e6)?;
        params.finish(Self::ID).check()?;
        Ok(Sparse { params })
    }
}

impl WeightSource for Sparse {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let n = request.neurons;
        let Params { density, gain, diagonal, .. } = self.params;
        let mut weights = normal(request, "sparse weights")?;
        let pairs = n * if diagonal == Diagonal::Zero { n.saturating_sub(1) } else { n };
        let mut connected = vec![false; pairs];
        let count = (density * pairs as f64).round() as usize;
        if count == 0 && density > 0.0 {
            pallium_core::tracing::warn!(
                "`init.sparse`: density {density} of {pairs} pairs is no connection: all weights are 0"
            );
        }
        connected[..count].fill(true);
        connected.shuffle(&mut random::stream(request.seed, "sparse weights: pairs"));
        let deviation = if density > 0.0 { gain / (density * n as f64).sqrt() } else { 0.0 };
        let mut connected = connected.into_iter();
        for ((i, j), weight) in weights.indexed_iter_mut() {
            let candidate = i != j || diagonal == Diagonal::Keep;
            let kept = candidate && connected.next().unwrap_or(false);
            *weight = if kept { deviation * *weight } else { 0.0 };
        }
        self.params.finish(Self::ID).apply(weights)
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        let n = request.neurons;
        let Params { density, gain, diagonal, .. } = self.params;
        let connections = match request.connections {
            Some(given) => given.to_owned(),
            None => {
                let others = if diagonal == Diagonal::Zero { n.saturating_sub(1) } else { n };
                let count = (density * (n * others) as f64).round() as usize;
                let mut stream = random::stream(request.seed, "sparse weights: connections");
                let drawn = index::sample(&mut stream, n * others, count).into_iter().map(|at| {
                    let (i, j) = (at / others, at % others);
                    // Without autapses, the column of the neuron itself is left out.
                    (i as u32, (j + usize::from(others < n && j >= i)) as u32)
                });
                Connections::from_pairs(n, n, drawn.collect())?
            }
        };
        let count = connections.view().len();
        let deviation = gain / (count.max(1) as f64 / n as f64).sqrt();
        let mut stream = random::stream(request.seed, "sparse weights: values");
        let mut draw = || -> f64 { StandardNormal.sample(&mut stream) };
        let values = (0..count).map(|_| deviation * draw()).collect();
        self.params.finish(Self::ID).apply_on(connections, values)
    }
}
pallium_core::register!(WeightSource, Sparse);
