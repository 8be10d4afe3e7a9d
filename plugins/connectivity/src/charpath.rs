//! `connectivity.charpath`: how far apart nodes are.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph, mean};
use crate::paths::distances;

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
        /// Whether pairs without a path between them count as infinitely far
        /// apart; if not, they are left out.
        include_infinite: bool = false,
    }
}

/// The characteristic path length λ, which is the mean length d of the shortest
/// paths between ordered pairs, with 1/weight as a connection's length (Watts
/// and Strogatz 1998); the mean of 1/d; and the smallest and largest
/// eccentricity (the longest of a node's shortest paths).
///
/// Equal to `charpath` of the Brain Connectivity Toolbox without the diagonal,
/// except that nodes without a path have no eccentricity (bctpy gives them one
/// of 10²⁰), and, if all pairs have a path, to networkx's
/// `average_shortest_path_length`, `radius` and `diameter`. NaN without paths.
pub struct Charpath {
    params: Params,
    cut: Cut,
}

impl Component for Charpath {
    const ID: &'static str = "connectivity.charpath";
    const ABOUT: &'static str = "characteristic path length, radius and diameter";
    const CITE: &'static str =
        "Watts and Strogatz 1998, Nature 393:440; Rubinov and Sporns 2010, NeuroImage 52:1059";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        Ok(Charpath { params, cut })
    }
}

impl Metric for Charpath {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, include_infinite, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let n = graph.nodes();
        let all = distances(n, graph.weights());
        let counts = |i: usize, j: usize| i != j && (include_infinite || all[i * n + j].is_finite());
        let of_pairs = || (0..n * n).filter(|k| counts(k / n, k % n)).map(|k| all[k]);
        // A node without paths has no eccentricity.
        let eccentricities: Vec<f64> = (0..n)
            .filter_map(|i| (0..n).filter(|&j| counts(i, j)).map(|j| all[i * n + j]).max_by(f64::total_cmp))
            .collect();
        let extreme = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let ends = eccentricities.iter().copied();
        Ok(vec![
            Measure::new("charpath_lambda", mean(of_pairs())),
            Measure::new("charpath_efficiency", mean(of_pairs().map(|d| 1.0 / d))),
            Measure::new("charpath_radius", extreme(ends.clone().min_by(f64::total_cmp))),
            Measure::new("charpath_diameter", extreme(ends.max_by(f64::total_cmp))),
        ]
        .into())
    }
}
pallium_core::register!(Metric, Charpath);
