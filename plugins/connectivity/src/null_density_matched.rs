//! `connectivity.null-density-matched`: random networks of the same density.

use pallium_core::prelude::*;
use pallium_core::rand::{RngCore, seq::SliceRandom};
use pallium_graph::{Cut, Ties};

use crate::ensemble::Ensemble;
use crate::graph::{Kind, WeightedGraph};

pallium_core::params! {
    /// Which graph is compared, and the size of the ensemble.
    pub struct Params {
        /// Whether the network is binary or weighted, undirected or directed.
        kind: Kind = Kind::Bd,
        /// Only connections whose |weight| is at least this quantile of all N²
        /// values of |weight|, and not 0, count (0 to 1; see `ties`).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile counts as well, as in
        /// binary matrices.
        ties: Ties = Ties::Include,
        /// Number of random networks (2 to 100,000).
        graphs: u32 = 50,
    }
}

/// Clustering coefficient and global efficiency of networks with the same
/// weights as the measured one between randomly drawn pairs of nodes (Erdős and
/// Rényi 1959): the means over the ensemble, and the measured network's z-scores
/// in it.
pub struct NullDensityMatched(Ensemble);

impl Component for NullDensityMatched {
    const ID: &'static str = "connectivity.null-density-matched";
    const ABOUT: &'static str = "clustering and efficiency against random networks of the same density";
    const CITE: &'static str = "Erdős and Rényi 1959, Publ. Math. Debrecen 6:290; Rubinov and Sporns 2010, \
                                NeuroImage 52:1059";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(NullDensityMatched(Ensemble::new(
            params.kind,
            Cut::new(params.quantile, params.ties)?,
            params.graphs,
            setting.seed,
        )?))
    }
}

impl Metric for NullDensityMatched {
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let directed = self.0.kind.directed();
        self.0.compare(network, "density_matched", |graph, rng| shuffled_weights(graph, directed, rng))
    }
}
pallium_core::register!(Metric, NullDensityMatched);

/// The weights of `graph`, shuffled among all pairs.
pub fn shuffled_weights(graph: &WeightedGraph, directed: bool, rng: &mut impl RngCore) -> WeightedGraph {
    let n = graph.nodes();
    let pairs: Vec<(usize, usize)> = (0..n)
        .flat_map(|i| (0..n).map(move |j| (i, j)))
        .filter(|&(i, j)| i < j || directed && i != j)
        .collect();
    let mut weights: Vec<f64> = pairs.iter().map(|&(i, j)| graph.weight(i, j)).collect();
    weights.shuffle(rng);
    let mut shuffled = WeightedGraph::new(n, vec![0.0; n * n]);
    for ((i, j), weight) in pairs.into_iter().zip(weights) {
        shuffled.set(i, j, weight);
        if !directed {
            shuffled.set(j, i, weight);
        }
    }
    shuffled
}
