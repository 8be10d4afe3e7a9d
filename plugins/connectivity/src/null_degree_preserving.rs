//! `connectivity.null-degree-preserving`: random networks of the same degrees.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::ensemble::{Ensemble, RewiredGraph};
use crate::graph::Kind;

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
        /// Attempted swaps per connection from one network to the next (ten
        /// times as many before the first; 1 to 1,000).
        swaps: u32 = 2,
    }
}

/// Clustering coefficient and global efficiency of networks in which every node
/// keeps its numbers of connections, in and out, because pairs of connections
/// swap their targets (Maslov and Sneppen 2002): the means over the ensemble,
/// and the measured network's z-scores in it. Weights stay with their sources,
/// so out-strengths are kept as well.
pub struct NullDegreePreserving {
    ensemble: Ensemble,
    swaps: u32,
}

impl Component for NullDegreePreserving {
    const ID: &'static str = "connectivity.null-degree-preserving";
    const ABOUT: &'static str = "clustering and efficiency against random networks of the same degrees";
    const CITE: &'static str = "Maslov and Sneppen 2002, Science 296:910; Rubinov and Sporns 2010, NeuroImage \
                                52:1059";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("swaps", f64::from(params.swaps), 1.0, 1000.0)?;
        let ensemble =
            Ensemble::new(params.kind, Cut::new(params.quantile, params.ties)?, params.graphs, setting.seed)?;
        Ok(NullDegreePreserving { ensemble, swaps: params.swaps })
    }
}

impl Metric for NullDegreePreserving {
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (directed, swaps) = (self.ensemble.kind.directed(), self.swaps as usize);
        let mut chain = None;
        self.ensemble.compare(network, "degree_preserving", |graph, rng| {
            let chain = chain.get_or_insert_with(|| {
                let mut first = RewiredGraph::rewiring(graph.clone(), directed);
                first.swap(10 * swaps, rng);
                first
            });
            chain.swap(swaps, rng).graph.clone()
        })
    }
}
pallium_core::register!(Metric, NullDegreePreserving);
