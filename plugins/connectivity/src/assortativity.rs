//! `connectivity.assortativity`: whether similar nodes connect to each other.

use pallium_core::prelude::*;
use pallium_graph::check_quantile;

use crate::graph::{Kind, WeightedGraph, present};

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
        /// Only connections whose |weight| exceeds this quantile of all N²
        /// values of |weight| count (0 to 1).
        quantile: f64 = 0.9,
        /// Directed networks: which degrees of a connection's source and target
        /// are compared.
        ends: Ends = Ends::OutIn,
    }
}

/// The correlation, over connections, of the degrees (weighted: strengths) of
/// the two ends (Newman 2002, equation 4): where a and b are those of the ends
/// and ⟨ ⟩ is the mean over connections,
///
/// > (⟨ab⟩ − ⟨(a + b)/2⟩²) / (⟨(a² + b²)/2⟩ − ⟨(a + b)/2⟩²).
///
/// In directed networks the formula runs over directed connections, as in the
/// Brain Connectivity Toolbox. NaN if all ends are equal.
pub struct Assortativity(Params);

impl Component for Assortativity {
    const ID: &'static str = "connectivity.assortativity";
    const ABOUT: &'static str = "assortativity by degree or strength, undirected or directed";
    const CITE: &'static str = "Newman 2002, Phys. Rev. Lett. 89:208701; Foster, Foster, Grassberger, Paczuski \
                                2010, PNAS 107:10815; Leung and Chau 2007, Physica A 378:591";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        check_quantile(params.quantile)?;
        Ok(Assortativity(params))
    }
}

impl Metric for Assortativity {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, quantile, ends } = self.0;
        let graph = WeightedGraph::from_network(network, kind, quantile)?;
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
    let (mut count, mut product, mut half, mut square) = (0.0, 0.0, 0.0, 0.0);
    for (i, j, w) in graph.edges().filter(|(i, j, _)| ends.is_some() || i < j) {
        let (a, b) = (source[i], target[j]);
        count += present(w);
        product += a * b;
        half += (a + b) / 2.0;
        square += (a * a + b * b) / 2.0;
    }
    let mean = half / count;
    let spread = square / count - mean * mean;
    // The rounding error of a spread of 0.
    if spread > 1e-12 * (square / count) { (product / count - mean * mean) / spread } else { f64::NAN }
}
