//! Density: how many pairs of neurons are connected.

use pallium_core::prelude::*;
use pallium_graph::Cut;

use crate::graph::{GraphParams, TIES, graph_of};

/// `edges`, `density` (share of all pairs, as networkx's `density`; NaN for one
/// neuron, where networkx returns 0) and `threshold` (of |weight|) of the
/// [graph](crate::graph).
pub struct Density {
    cut: Cut,
}

impl Component for Density {
    const ID: &'static str = "organization.density";
    const ABOUT: &'static str = "edges, density and threshold of the graph of strong connections";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975)";
    type Params = GraphParams;
    const PROFILES: &'static [ProfileValue] = &TIES;
    fn build(params: GraphParams, _: &Setting<'_>) -> Result<Self> {
        Ok(Density { cut: params.cut()? })
    }
}

impl Metric for Density {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, threshold) = graph_of(network, self.cut)?;
        let edges = graph.size() as f64;
        Ok(vec![
            Measure::new("edges", edges),
            Measure::new("density", edges / pairs(graph.nodes())),
            Measure::new("threshold", threshold),
        ]
        .into())
    }
}
pallium_core::register!(Metric, Density);

/// Number of pairs among `nodes`.
pub(crate) fn pairs(nodes: usize) -> f64 {
    let nodes = nodes as f64;
    nodes * (nodes - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::{Graph, examples::*};

    fn density(graph: &Graph) -> Vec<f64> {
        let mut metric = Density::build(GraphParams::default(), &Setting::default()).unwrap();
        let weights = weights(graph);
        metric.measure(&Network::new(weights.view())).unwrap().values.iter().map(|m| m.value).collect()
    }

    #[test]
    fn known_graphs_have_known_values() {
        assert_eq!(density(&karate()), [78.0, 78.0 / 561.0, 1.0]);
        assert_eq!(density(&ring(10, 2)), [20.0, 20.0 / 45.0, 1.0]);
        assert_eq!(density(&Graph::empty(4)), [0.0, 0.0, 0.0]);
        assert!(density(&Graph::empty(1))[1].is_nan());
    }

    #[test]
    fn a_quantile_out_of_range_is_refused() {
        let e = Density::build(GraphParams { quantile: 1.5, ..GraphParams::default() }, &Setting::default())
            .err()
            .unwrap();
        assert_eq!(e.message, "parameter `quantile` is 1.5");
    }
}
