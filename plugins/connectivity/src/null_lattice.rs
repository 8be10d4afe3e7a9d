//! `connectivity.null-lattice`: lattices of the same degrees.

use pallium_core::prelude::*;
use pallium_core::rand::{RngCore, seq::SliceRandom};
use pallium_graph::{Cut, Ties};

use crate::ensemble::{Ensemble, RewiredGraph};
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
        /// Number of lattices (2 to 100,000).
        graphs: u32 = 10,
        /// Attempted swaps per connection (1 to 1,000).
        swaps: u32 = 20,
    }
}

/// Clustering coefficient and global efficiency of lattices in which every node
/// keeps its numbers of connections, in and out: the means over the ensemble,
/// and the measured network's z-scores in it.
///
/// Nodes are placed on a ring in random order, and pairs of connections swap
/// their targets if that does not increase the sum of weight times length along
/// the ring (Sporns and Zwi 2004).
pub struct NullLattice {
    ensemble: Ensemble,
    swaps: u32,
}

impl Component for NullLattice {
    const ID: &'static str = "connectivity.null-lattice";
    const ABOUT: &'static str = "clustering and efficiency against lattices of the same degrees";
    const CITE: &'static str = "Sporns and Zwi 2004, Neuroinformatics 2:145; Maslov and Sneppen 2002, Science \
                                296:910";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("swaps", f64::from(params.swaps), 1.0, 1000.0)?;
        let ensemble =
            Ensemble::new(params.kind, Cut::new(params.quantile, params.ties)?, params.graphs, setting.seed)?;
        Ok(NullLattice { ensemble, swaps: params.swaps })
    }
}

impl Metric for NullLattice {
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (directed, swaps) = (self.ensemble.kind.directed(), self.swaps);
        self.ensemble.compare(network, "lattice", |graph, rng| lattice(graph, directed, swaps, rng))
    }
}
pallium_core::register!(Metric, NullLattice);

/// One lattice.
pub fn lattice(graph: &WeightedGraph, directed: bool, swaps: u32, rng: &mut impl RngCore) -> WeightedGraph {
    let n = graph.nodes();
    let mut place: Vec<usize> = (0..n).collect();
    place.shuffle(rng);
    let apart = |i: usize, j: usize| {
        let direct = place[i].abs_diff(place[j]);
        direct.min(n - direct) as f64
    };
    let accepts = |RewiredGraph { graph, .. }: &RewiredGraph, [i, j, k, l]: [usize; 4]| {
        let (one, two) = (graph.weight(i, j), graph.weight(k, l));
        one * apart(i, l) + two * apart(k, j) <= one * apart(i, j) + two * apart(k, l)
    };
    let mut rewiring = RewiredGraph::rewiring(graph.clone(), directed);
    rewiring.swap_if(swaps as usize, rng, accepts).graph.clone()
}
