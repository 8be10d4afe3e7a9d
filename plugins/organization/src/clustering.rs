//! Clustering: how often two neighbours of a neuron are neighbours themselves.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Graph};

use crate::graph::{GraphParams, TIES, graph_of};
use crate::two_steps::TwoSteps;

/// `clustering`: mean over all neurons of the share of pairs of neighbours that
/// are connected (Watts and Strogatz 1998), of the [graph](crate::graph). The
/// share is 0 for neurons with fewer than two neighbours, as in networkx's
/// `average_clustering` and in the Brain Connectivity Toolbox.
pub struct Clustering {
    cut: Cut,
}

impl Component for Clustering {
    const ID: &'static str = "organization.clustering";
    const ABOUT: &'static str = "mean clustering coefficient of the graph of strong connections";
    const CITE: &'static str = "Watts and Strogatz 1998";
    type Params = GraphParams;
    const PROFILES: &'static [ProfileValue] = &TIES;
    fn build(params: GraphParams, _: &Setting<'_>) -> Result<Self> {
        Ok(Clustering { cut: params.cut()? })
    }
}

impl Metric for Clustering {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, _) = graph_of(network, self.cut)?;
        Ok(vec![Measure::new("clustering", mean_clustering(&graph))].into())
    }
}
pallium_core::register!(Metric, Clustering);

/// Mean clustering; NaN for a graph without nodes.
///
/// A self-loop counts as the Brain Connectivity Toolbox counts it: the node is
/// its own neighbour, and the loops of neighbours are connections among them.
pub fn mean_clustering(graph: &Graph) -> f64 {
    mean_clustering_within(&TwoSteps::new(graph))
}

/// [`mean_clustering`] from known [`TwoSteps`].
pub(crate) fn mean_clustering_within(two_steps: &TwoSteps) -> f64 {
    let (degrees, joined) = (two_steps.degrees(), two_steps.joined_neighbours());
    // Integer sums by degree, so that the result does not depend on the order
    // of neurons.
    let mut by_degree = vec![0u64; degrees.len() + 1];
    for (&degree, joined) in degrees.iter().zip(joined) {
        by_degree[degree as usize] += joined;
    }
    let sum: f64 =
        by_degree.iter().enumerate().skip(2).map(|(k, &joined)| joined as f64 / (k * (k - 1)) as f64).sum();
    sum / degrees.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::examples::*;

    #[test]
    fn known_graphs_have_known_values() {
        assert_eq!(mean_clustering(&complete(70)), 1.0);
        assert_eq!(mean_clustering(&star(9)), 0.0);
        assert_eq!(mean_clustering(&Graph::empty(3)), 0.0);
        assert!(mean_clustering(&Graph::empty(0)).is_nan());
        // A ring with reach r: 3(r - 1) / 2(2r - 1) (Watts and Strogatz).
        assert!((mean_clustering(&ring(100, 2)) - 0.5).abs() < 1e-15);
        assert!((mean_clustering(&ring(200, 5)) - 12.0 / 18.0).abs() < 1e-15);
        // networkx 3.6.1: average_clustering(karate_club_graph())
        assert!((mean_clustering(&karate()) - 0.570_638_478_207_682_3).abs() < 1e-14);
    }

    #[test]
    fn self_loops_count_as_neighbours() {
        // Node 0: neighbours {0, 1, 2}, and 1 + 2·2 ordered connections among
        // them; nodes 1 and 2: neighbours {0, …} without a connection but 0's
        // own: 1 of 2 for node 1 with neighbours {0, 3}.
        let graph = from_edges(4, &[(0, 0), (0, 1), (0, 2), (1, 3)]);
        assert!((mean_clustering(&graph) - (5.0 / 6.0 + 1.0 / 2.0) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn relabelling_gives_bit_identical_results() {
        let graph = random(150, 0.2, 1);
        for seed in 0..5 {
            assert_eq!(mean_clustering(&graph), mean_clustering(&shuffled(&graph, seed)));
        }
    }
}
