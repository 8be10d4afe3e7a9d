//! Degree assortativity: whether neurons with many connections connect to each
//! other.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Graph};

use crate::graph::{GraphParams, TIES, graph_of};

/// `assortativity`: correlation of the degrees at the two ends of an edge
/// (Newman 2002, equation 4), of the [graph](crate::graph); equal to networkx's
/// `degree_pearson_correlation_coefficient` and to `assortativity_bin` of the
/// Brain Connectivity Toolbox. NaN if all these degrees are equal.
pub struct Assortativity {
    cut: Cut,
}

impl Component for Assortativity {
    const ID: &'static str = "organization.assortativity";
    const ABOUT: &'static str = "degree assortativity of the graph of strong connections";
    const CITE: &'static str = "Newman 2002";
    type Params = GraphParams;
    const PROFILES: &'static [ProfileValue] = &TIES;
    fn build(params: GraphParams, _: &Setting<'_>) -> Result<Self> {
        Ok(Assortativity { cut: params.cut()? })
    }
}

impl Metric for Assortativity {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, _) = graph_of(network, self.cut)?;
        Ok(vec![Measure::new("assortativity", degree_assortativity(&graph))].into())
    }
}
pallium_core::register!(Metric, Assortativity);

/// Degree assortativity of a loop-free graph; NaN if degrees do not vary over
/// the ends of edges.
pub fn degree_assortativity(graph: &Graph) -> f64 {
    // In integers, so that equal degrees give a variance of exactly 0.
    let degrees: Vec<i128> = graph.degrees().into_iter().map(|k| k as i128).collect();
    let ends: i128 = degrees.iter().sum();
    let squares: i128 = degrees.iter().map(|k| k * k).sum();
    let cubes: i128 = degrees.iter().map(|k| k * k * k).sum();
    let products: i128 = 2 * graph.edges().map(|(i, j)| degrees[i] * degrees[j]).sum::<i128>();
    let variance = ends * cubes - squares * squares;
    if variance == 0 { f64::NAN } else { (ends * products - squares * squares) as f64 / variance as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::examples::*;

    #[test]
    fn known_graphs_have_known_values() {
        assert_eq!(degree_assortativity(&star(7)), -1.0);
        for constant in [complete(9), ring(12, 2), Graph::empty(4), Graph::empty(1)] {
            assert!(degree_assortativity(&constant).is_nan());
        }
        // networkx 3.6.1: degree_assortativity_coefficient(karate_club_graph())
        assert!((degree_assortativity(&karate()) - -0.475_613_097_684_614_13).abs() < 1e-14);
    }

    #[test]
    fn relabelling_gives_bit_identical_results() {
        let graph = random(150, 0.1, 1);
        for seed in 0..5 {
            assert_eq!(degree_assortativity(&graph), degree_assortativity(&shuffled(&graph, seed)));
        }
    }
}
