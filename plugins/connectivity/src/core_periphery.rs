//! `connectivity.core-periphery`: a densely connected core and the rest.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph};
use crate::modularity::check_gamma;

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
        /// Resolution γ: values above 1 give a smaller core, values below 1 a larger
        /// one (above 0).
        gamma: f64 = 1.0,
    }
}

/// Coreness q = (Σ within the core − Σ within the periphery) of (w − γ·w̄) / m in
/// the best division into core and periphery, and the core's size (Borgatti and
/// Everett 2000, in the form of Rubinov et al. 2015). w̄ is the mean of all N²
/// weights and m their sum. Equal to `core_periphery_dir` of the Brain
/// Connectivity Toolbox for the same division. NaN without connections.
///
/// No search is needed. With bᵢⱼ the summand and cᵢ = 1 in the core, 0 elsewhere,
/// the sum is Σ b·(cᵢcⱼ − (1 − cᵢ)(1 − cⱼ)) = Σ b·(cᵢ + cⱼ − 1), so every node
/// contributes to q independently of the others, and the best core consists of
/// the nodes with a positive contribution: those whose weights in and out exceed
/// 2γ·N·w̄.
pub struct CorePeriphery {
    params: Params,
    cut: Cut,
}

impl Component for CorePeriphery {
    const ID: &'static str = "connectivity.core-periphery";
    const ABOUT: &'static str = "coreness of the best division into core and periphery";
    const CITE: &'static str = "Borgatti and Everett 2000, Soc. Netw. 21:375; Rubinov, Ypma, Watson, Bullmore \
                                2015, PNAS 112:10032";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        check_gamma(params.gamma)?;
        Ok(CorePeriphery { params, cut })
    }
}

impl Metric for CorePeriphery {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, gamma, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let gains = gains(&graph, gamma);
        let core: Vec<bool> = gains.iter().map(|&gain| gain > 0.0).collect();
        let size = core.iter().filter(|&&c| c).count() as f64;
        Ok(vec![
            Measure::new("core_periphery_dir", coreness(&gains, &core)),
            Measure::new(
                "core_periphery_dir_size",
                if gains.iter().any(|g| g.is_nan()) { f64::NAN } else { size },
            ),
        ]
        .into())
    }
}
pallium_core::register!(Metric, CorePeriphery);

/// Half of each node's contribution to q in the core; NaN without connections.
pub fn gains(graph: &WeightedGraph, gamma: f64) -> Vec<f64> {
    let n = graph.nodes() as f64;
    let total: f64 = graph.weights().iter().sum();
    let expected = 2.0 * gamma * total / n;
    let (out, into) = (graph.out_sums(|w| w), graph.in_sums(|w| w));
    out.iter().zip(into).map(|(out, into)| (out + into - expected) / (2.0 * total)).collect()
}

/// q of a division.
pub fn coreness(gains: &[f64], core: &[bool]) -> f64 {
    gains.iter().zip(core).map(|(&gain, &core)| if core { gain } else { -gain }).sum()
}
