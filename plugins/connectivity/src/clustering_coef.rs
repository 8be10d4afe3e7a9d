//! `connectivity.clustering-coef`: how often neighbours are connected.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};
use pallium_linalg::{View, Write, product};

use crate::graph::{Kind, WeightedGraph, mean, present};

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
    }
}

/// The mean clustering coefficient. With S = W^⅓ + (Wᵀ)^⅓, element-wise roots,
/// that of a node is
///
/// > ½(S³)ᵢᵢ / (kᵢ(kᵢ − 1) − 2rᵢ),
///
/// where k counts its connections in and out and r its reciprocal ones (Fagiolo
/// 2007); 0 if it is not in a triangle. Undirected, this is the mean over pairs
/// of neighbours of the triangle's geometric mean weight (Onnela et al. 2005);
/// binary, the share of pairs of neighbours that are connected (Watts and
/// Strogatz 1998). Equal to networkx's `average_clustering` and to the mean of
/// `clustering_coef_*` of the Brain Connectivity Toolbox. NaN without nodes.
pub struct ClusteringCoef {
    params: Params,
    cut: Cut,
}

impl Component for ClusteringCoef {
    const ID: &'static str = "connectivity.clustering-coef";
    const ABOUT: &'static str = "mean clustering coefficient, binary or weighted, undirected or directed";
    const CITE: &'static str = "Watts and Strogatz 1998, Nature 393:440; Onnela, Saramäki, Kertész, Kaski 2005, \
                                Phys. Rev. E 71:065103; Fagiolo 2007, Phys. Rev. E 76:026107";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        Ok(ClusteringCoef { params, cut })
    }
}

impl Metric for ClusteringCoef {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let kind = self.params.kind;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let name = format!("clustering_coef_{}", kind.name());
        Ok(vec![Measure::new(name, mean(clustering(&graph)))].into())
    }
}
pallium_core::register!(Metric, ClusteringCoef);

/// Every node's clustering coefficient.
pub fn clustering(graph: &WeightedGraph) -> Vec<f64> {
    let n = graph.nodes();
    if n == 0 {
        return Vec::new();
    }
    let mut s = graph.map(f64::cbrt);
    for i in 0..n {
        for j in 0..i {
            let both = s[i * n + j] + s[j * n + i];
            s[i * n + j] = both;
            s[j * n + i] = both;
        }
    }
    let mut square = vec![0.0; n * n];
    product(&mut square, Write::Replace, View::new(&s, n), View::new(&s, n), 1.0);
    let degrees: Vec<f64> =
        graph.out_sums(present).iter().zip(graph.in_sums(present)).map(|(a, b)| a + b).collect();
    (0..n)
        .map(|i| {
            let row = i * n..(i + 1) * n;
            // S is symmetric.
            let cycles: f64 = 0.5 * square[row.clone()].iter().zip(&s[row]).map(|(a, b)| a * b).sum::<f64>();
            let reciprocal =
                (0..n).filter(|&j| graph.weight(i, j) > 0.0 && graph.weight(j, i) > 0.0).count() as f64;
            let possible = degrees[i] * (degrees[i] - 1.0) - 2.0 * reciprocal;
            if cycles == 0.0 || possible == 0.0 { 0.0 } else { cycles / possible }
        })
        .collect()
}
