//! `connectivity.efficiency`: how short the paths are.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph, mean, present};
use crate::paths::inverse_distances;

pallium_core::choice! {
    /// The weighted local efficiency.
    pub enum LocalFormula {
        /// Wang et al. (2017): path lengths are cube roots of 1/weight. With
        /// weights of 1 it is the binary local efficiency.
        Wang2017 = "wang-2017",
        /// Rubinov and Sporns (2010): the cube root of 1/d. With weights of 1 it
        /// exceeds the binary local efficiency wherever a path has several
        /// steps.
        RubinovSporns2010 = "rubinov-sporns-2010",
    }
}

pallium_core::params! {
    /// Which graph is measured.
    pub struct Params {
        /// Whether the network is binary or weighted, undirected or directed.
        kind: Kind = Kind::Wd,
        /// Only connections whose |weight| is at least this quantile of all N²
        /// values of |weight|, and not 0, count (0 to 1; see `ties`).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile counts as well, as in
        /// binary matrices.
        ties: Ties = Ties::Include,
        /// Whether to measure the mean local efficiency as well.
        local: bool = true,
        /// Weighted networks: the formula of the local efficiency.
        local_formula: LocalFormula = LocalFormula::Wang2017,
    }
}

/// The global efficiency: the mean of 1/d over ordered pairs (Latora and
/// Marchiori 2001), where d is the length of the shortest path with 1/weight as
/// a connection's length; 1/d is 0 without a path. Binary and undirected, it
/// equals networkx's `global_efficiency`. NaN for fewer than two nodes.
///
/// The local efficiency of a node is that of the graph of its neighbours, each
/// pair weighted by its connections to the node: with a the connections to and
/// from a neighbour (1, or 2 if both exist) and e = 1/d,
///
/// > ½ Σⱼₕ aⱼ aₕ (eⱼₕ + eₕⱼ) / ((Σ a)² − Σ a²);
///
/// 0 with fewer than two neighbours. Binary and undirected, it equals networkx's
/// `local_efficiency`. In weighted networks, a in the numerator is the sum of
/// the cube roots of the two weights, and e has a cube root: either every step
/// of its path (Wang et al. 2017) or the whole (Rubinov and Sporns 2010).
///
/// Equal to `efficiency_bin` and `efficiency_wei` of the Brain Connectivity
/// Toolbox. Python's bctpy finds only the targets of a node, not its sources, in
/// the local efficiency of binary directed networks; the toolbox in Matlab finds
/// both.
pub struct Efficiency {
    params: Params,
    cut: Cut,
}

impl Component for Efficiency {
    const ID: &'static str = "connectivity.efficiency";
    const ABOUT: &'static str = "global and local efficiency, binary or weighted, undirected or directed";
    const CITE: &'static str = "Latora and Marchiori 2001, Phys. Rev. Lett. 87:198701; Rubinov and Sporns 2010, \
                                NeuroImage 52:1059; Wang, Ghumare, Vandenberghe, Dupont 2017, Neural Comput. 29:313";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        Ok(Efficiency { params, cut })
    }
}

impl Metric for Efficiency {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, local, local_formula, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let name = format!("efficiency_{}", kind.weights());
        let mut found = vec![Measure::new(name.as_str(), global_efficiency(&graph))];
        if local {
            let formula = kind.weighted().then_some(local_formula);
            found.push(Measure::new(format!("{name}_local"), mean(local_efficiency(&graph, formula))));
        }
        Ok(found.into())
    }
}
pallium_core::register!(Metric, Efficiency);

/// The mean of 1/d over ordered pairs of different nodes; NaN without pairs.
pub fn global_efficiency(graph: &WeightedGraph) -> f64 {
    let n = graph.nodes() as f64;
    inverse_distances(graph.nodes(), graph.weights()).iter().sum::<f64>() / (n * (n - 1.0))
}

/// Every node's local efficiency; `formula` is `None` in binary networks.
pub fn local_efficiency(graph: &WeightedGraph, formula: Option<LocalFormula>) -> Vec<f64> {
    let n = graph.nodes();
    let root = |w: f64| if formula.is_some() { w.cbrt() } else { w };
    let of_steps = |w: f64| if formula == Some(LocalFormula::Wang2017) { w.cbrt() } else { w };
    let of_path = |e: f64| if formula == Some(LocalFormula::RubinovSporns2010) { e.cbrt() } else { e };
    (0..n)
        .map(|node| {
            let near: Vec<usize> =
                (0..n).filter(|&j| graph.weight(node, j) > 0.0 || graph.weight(j, node) > 0.0).collect();
            let k = near.len();
            let within: Vec<f64> =
                near.iter().flat_map(|&i| near.iter().map(move |&j| of_steps(graph.weight(i, j)))).collect();
            let inverse = inverse_distances(k, &within);
            let both = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
                near.iter().map(|&j| of(graph.weight(node, j)) + of(graph.weight(j, node))).collect()
            };
            let (strengths, counts) = (both(&root), both(&present));
            let mut ways = 0.0;
            for (j, a) in strengths.iter().enumerate() {
                for (h, b) in strengths.iter().enumerate() {
                    ways += a * b * (of_path(inverse[j * k + h]) + of_path(inverse[h * k + j])) / 2.0;
                }
            }
            let possible = counts.iter().sum::<f64>().powi(2) - counts.iter().map(|c| c * c).sum::<f64>();
            if ways == 0.0 || possible == 0.0 { 0.0 } else { ways / possible }
        })
        .collect()
}
