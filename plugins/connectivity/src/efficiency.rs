//! `connectivity.efficiency`: how short the paths are.

use pallium_core::prelude::*;
use pallium_graph::check_quantile;

use crate::graph::{Kind, WeightedGraph, mean, present};
use crate::paths::inverse_distances;

pallium_core::params! {
    /// Which graph is measured.
    pub struct Params {
        /// Whether the network is binary or weighted, undirected or directed.
        kind: Kind = Kind::Wd,
        /// Only connections whose |weight| exceeds this quantile of all N²
        /// values of |weight| count (0 to 1).
        quantile: f64 = 0.9,
        /// Whether to measure the mean local efficiency as well.
        local: bool = true,
    }
}

/// The global efficiency: the mean of 1/d over ordered pairs (Latora and
/// Marchiori 2001), where d is the length of the shortest path with 1/weight as
/// a connection's length; 1/d is 0 without a path.
///
/// The local efficiency of a node is that of the graph of its neighbours, each
/// pair weighted by its connections to the node (Rubinov and Sporns 2010): with
/// a the connections to and from a neighbour and e = 1/d,
///
/// > ½ Σⱼₕ aⱼ aₕ (eⱼₕ + eₕⱼ) / ((Σ a)² − Σ a²).
///
/// In weighted networks, a in the numerator is the sum of the cube roots of the
/// two weights, and e is replaced by its cube root.
pub struct Efficiency(Params);

impl Component for Efficiency {
    const ID: &'static str = "connectivity.efficiency";
    const ABOUT: &'static str = "global and local efficiency, binary or weighted, undirected or directed";
    const CITE: &'static str = "Latora and Marchiori 2001, Phys. Rev. Lett. 87:198701; Rubinov and Sporns 2010, \
                                NeuroImage 52:1059; Fagiolo 2007, Phys. Rev. E 76:026107";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        check_quantile(params.quantile)?;
        Ok(Efficiency(params))
    }
}

impl Metric for Efficiency {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, quantile, local } = self.0;
        let graph = WeightedGraph::from_network(network, kind, quantile)?;
        let name = format!("efficiency_{}", kind.weights());
        let mut found = vec![Measure::new(name.as_str(), global_efficiency(&graph))];
        if local {
            found
                .push(Measure::new(format!("{name}_local"), mean(local_efficiency(&graph, kind.weighted()))));
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

/// Every node's local efficiency.
pub fn local_efficiency(graph: &WeightedGraph, weighted: bool) -> Vec<f64> {
    let n = graph.nodes();
    let root = |w: f64| if weighted { w.cbrt() } else { w };
    (0..n)
        .map(|node| {
            let near: Vec<usize> =
                (0..n).filter(|&j| graph.weight(node, j) > 0.0 || graph.weight(j, node) > 0.0).collect();
            let k = near.len();
            let within: Vec<f64> =
                near.iter().flat_map(|&i| near.iter().map(move |&j| graph.weight(i, j))).collect();
            let inverse = inverse_distances(k, &within);
            let both = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
                near.iter().map(|&j| of(graph.weight(node, j)) + of(graph.weight(j, node))).collect()
            };
            let (strengths, counts) = (both(&root), both(&present));
            let mut ways = 0.0;
            for (j, a) in strengths.iter().enumerate() {
                for (h, b) in strengths.iter().enumerate() {
                    ways += a * b * (root(inverse[j * k + h]) + root(inverse[h * k + j])) / 2.0;
                }
            }
            let possible = counts.iter().sum::<f64>().powi(2) - counts.iter().map(|c| c * c).sum::<f64>();
            if ways == 0.0 || possible == 0.0 { 0.0 } else { ways / possible }
        })
        .collect()
}
