//! `connectivity.participation-coef`: how evenly nodes connect to communities.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph, mean};
use crate::modularity::{check_gamma, communities};

pallium_core::choice! {
    /// Which of a node's connections count in directed networks.
    pub enum Side {
        /// Outgoing connections.
        Out = "out",
        /// Incoming connections.
        In = "in",
    }
}

pallium_core::params! {
    /// Which graph is measured, and how.
    pub struct Params {
        /// Whether the network is binary or weighted, undirected or directed.
        kind: Kind = Kind::Wd,
        /// Only connections whose |weight| is at least this quantile of all N²
        /// values of |weight|, and not 0, count (0 to 1; see `ties`).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile counts as well, as in
        /// binary matrices.
        ties: Ties = Ties::Include,
        /// Directed networks: whether outgoing or incoming connections count.
        side: Side = Side::Out,
        /// Resolution γ of the communities (above 0).
        gamma: f64 = 1.0,
    }
}

/// The mean participation coefficient. That of a node is 1 − Σ_s (κ_s/k)²,
/// where κ_s is the sum of its weights to community s and k the sum to all
/// (Guimerà and Amaral 2005); 0 for a node without connections. Equal to
/// `participation_coef` of the Brain Connectivity Toolbox for the same
/// communities, which are those of `connectivity.modularity`.
pub struct ParticipationCoef {
    params: Params,
    cut: Cut,
}

impl Component for ParticipationCoef {
    const ID: &'static str = "connectivity.participation-coef";
    const ABOUT: &'static str = "mean participation coefficient over spectral communities";
    const CITE: &'static str =
        "Guimerà and Amaral 2005, Nature 433:895; communities: Newman 2006, PNAS 103:8577";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        check_gamma(params.gamma)?;
        Ok(ParticipationCoef { params, cut })
    }
}

impl Metric for ParticipationCoef {
    /// The communities are not invariant.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, side, gamma, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let all = participation(&graph, &communities(&graph, gamma), side);
        let end = match side {
            _ if !kind.directed() => "",
            Side::Out => "_out",
            Side::In => "_in",
        };
        Ok(vec![Measure::new(format!("participation_coef{end}"), mean(all))].into())
    }
}
pallium_core::register!(Metric, ParticipationCoef);

/// Every node's participation coefficient.
pub fn participation(graph: &WeightedGraph, community: &[usize], side: Side) -> Vec<f64> {
    let n = graph.nodes();
    let count = community.iter().max().map_or(0, |&last| last + 1);
    (0..n)
        .map(|i| {
            let mut sums = vec![0.0; count];
            for (j, &community) in community.iter().enumerate() {
                sums[community] += match side {
                    Side::Out => graph.weight(i, j),
                    Side::In => graph.weight(j, i),
                };
            }
            let total: f64 = sums.iter().sum();
            if total == 0.0 { 0.0 } else { 1.0 - sums.iter().map(|s| (s / total).powi(2)).sum::<f64>() }
        })
        .collect()
}
