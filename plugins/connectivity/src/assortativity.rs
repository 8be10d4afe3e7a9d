//! `connectivity.assortativity`: whether similar nodes connect to each other.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph, mean};

pallium_core::choice! {
    /// Which degrees of the two ends are compared in directed networks.
    pub enum Ends {
        /// Outgoing of the source, incoming of the target.
        OutIn = "out-in",
        /// Incoming of the source, outgoing of the target.
        InOut = "in-out",
        /// Outgoing of both.
        OutOut = "out-out",
        /// Incoming of both.
        InIn = "in-in",
    }
}

pallium_core::params! {
    /// Which graph is measured, and how.
    pub struct Params {
        /// By degree (binary) or by strength (weighted), undirected or
        /// directed.
        kind: Kind = Kind::Wu,
        /// Only connections whose |weight| is at least this quantile of all N²
        /// values of |weight|, and not 0, count (0 to 1; see `ties`).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile counts as well, as in
        /// binary matrices.
        ties: Ties = Ties::Include,
        /// Directed networks: which degrees of a connection's source and target
        /// are compared.
        ends: Ends = Ends::OutIn,
    }
}

/// Pearson's correlation, over connections, of the degrees (weighted: strengths)
/// of a connection's two ends. NaN if either does not vary.
///
/// Undirected, every connection counts in both directions, which is equation 4
/// of Newman (2002). Directed, it counts once, from source to target, and the
/// degrees are those that `ends` names (Foster et al. 2010, equation 1).
///
/// Equal to networkx's `degree_pearson_correlation_coefficient`. The Brain
/// Connectivity Toolbox applies Newman's undirected formula to directed
/// connections as well, which is not a correlation: it uses the mean and the
/// variance of both ends together. Leung and Chau (2007) define another weighted
/// coefficient, in which connections rather than degrees are weighted.
pub struct Assortativity {
    params: Params,
    cut: Cut,
}

impl Component for Assortativity {
    const ID: &'static str = "connectivity.assortativity";
    const ABOUT: &'static str = "assortativity by degree or strength, undirected or directed";
    const CITE: &'static str = "Newman 2002, Phys. Rev. Lett. 89:208701; directed: Foster, Foster, Grassberger, \
                                Paczuski 2010, PNAS 107:10815";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        Ok(Assortativity { params, cut })
    }
}

impl Metric for Assortativity {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, ends, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let mut name = format!("assortativity_{}", kind.weights());
        if kind.directed() {
            name += match ends {
                Ends::OutIn => "_out_in",
                Ends::InOut => "_in_out",
                Ends::OutOut => "_out_out",
                Ends::InIn => "_in_in",
            };
        }
        Ok(vec![Measure::new(name, assortativity(&graph, kind.directed().then_some(ends)))].into())
    }
}
pallium_core::register!(Metric, Assortativity);

/// The assortativity of a graph; undirected without `ends`.
pub fn assortativity(graph: &WeightedGraph, ends: Option<Ends>) -> f64 {
    // A binary graph's weights are 1, so its strengths are its degrees.
    let (out, into) = (graph.out_sums(|w| w), graph.in_sums(|w| w));
    let (source, target) = match ends {
        None | Some(Ends::OutOut) => (&out, &out),
        Some(Ends::OutIn) => (&out, &into),
        Some(Ends::InOut) => (&into, &out),
        Some(Ends::InIn) => (&into, &into),
    };
    // The edges of an undirected graph are there in both directions.
    let ends: Vec<(f64, f64)> = graph.edges().map(|(i, j, _)| (source[i], target[j])).collect();
    let (mean_a, mean_b) = (mean(ends.iter().map(|e| e.0)), mean(ends.iter().map(|e| e.1)));
    let (mut both, mut a_alone, mut b_alone) = (0.0, 0.0, 0.0);
    for (a, b) in &ends {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        a_alone += a * a;
        b_alone += b * b;
    }
    // Equal values have a deviation of some rounding errors.
    let count = ends.len() as f64;
    let varies = |squares: f64, mean: f64| (squares / count).sqrt() > 1e-12 * mean;
    if varies(a_alone, mean_a) && varies(b_alone, mean_b) {
        both / (a_alone.sqrt() * b_alone.sqrt())
    } else {
        f64::NAN
    }
}
