//! Modularity: how well the network divides into communities.

use pallium_core::prelude::*;
use pallium_graph::communities::{ORDERS, best_partition};
use pallium_graph::{Cut, Ties};

use crate::graph::{TIES, graph_of};

pallium_core::params! {
    /// Which graph is measured, and how.
    pub struct Params {
        /// Two neurons are connected if |weight| in either direction exceeds
        /// this quantile of all N² values of |weight| (0 to 1).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile is a connection as well,
        /// as in binary matrices.
        ties: Ties = Ties::Include,
        /// Number of runs of the greedy merging, each breaking ties in another
        /// order; the best result counts (1 to 10,000). 1 is the published
        /// algorithm.
        orders: u32 = ORDERS,
    }
}

/// `modularity` Q of the partition found by greedy merging, and its number of
/// `communities`, of the [graph](crate::graph).
///
/// Starting from single neurons, the two connected communities whose merging
/// increases Q most are merged, until every merger decreases Q (Clauset, Newman
/// and Moore 2004; see [`pallium_graph::communities`]). In an unweighted graph
/// many gains are equal, and the choice among them changes the final Q of small
/// or unstructured networks by up to 0.02, so several orders are tried. The
/// result depends neither on the order of the neurons nor on a seed.
///
/// Q = Σ over communities of m_c/m − (d_c/2m)², as networkx's `modularity`, where
/// m_c counts the edges within a community and d_c is its sum of degrees. NaN
/// without edges; then every neuron is its own community.
pub struct Modularity {
    params: Params,
    cut: Cut,
}

impl Component for Modularity {
    const ID: &'static str = "organization.modularity";
    const ABOUT: &'static str = "modularity of the graph of strong connections, by greedy merging";
    const CITE: &'static str = "Clauset, Newman and Moore 2004";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = &TIES;
    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        one_of_range("orders", f64::from(params.orders), 1.0, 10_000.0)?;
        Ok(Modularity { params, cut })
    }
}

impl Metric for Modularity {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, _) = graph_of(network, self.cut)?;
        let found = best_partition(&graph, self.params.orders);
        Ok(vec![
            Measure::new("modularity", found.modularity),
            Measure::new("communities", found.sizes.len() as f64),
        ]
        .into())
    }
}
pallium_core::register!(Metric, Modularity);
