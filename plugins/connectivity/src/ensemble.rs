//! Shared by the null models: compares a network's clustering and efficiency
//! with those of random networks.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Rewire, Rewiring};

use crate::clustering_coef::clustering;
use crate::efficiency::global_efficiency;
use crate::graph::{Kind, WeightedGraph, mean};

/// An ensemble of random networks.
pub struct Ensemble {
    pub kind: Kind,
    pub cut: Cut,
    pub graphs: u32,
    pub seed: u64,
}

impl Ensemble {
    /// Refuses a number of graphs out of range.
    pub fn new(kind: Kind, cut: Cut, graphs: u32, seed: u64) -> Result<Self> {
        one_of_range("graphs", f64::from(graphs), 2.0, 1e5)?;
        Ok(Ensemble { kind, cut, graphs, seed })
    }

    /// For clustering coefficient and global efficiency: the mean over an
    /// ensemble of graphs from `draw`, and the z-score of `network` in the
    /// ensemble (NaN if the ensemble does not vary).
    pub fn compare(
        &self,
        network: &Network<'_>,
        null: &str,
        mut draw: impl FnMut(&WeightedGraph, &mut random::Stream) -> WeightedGraph,
    ) -> Result<Measures> {
        let graph = WeightedGraph::from_network(network, self.kind, self.cut)?;
        // A new stream for each network, so that the result does not depend on
        // earlier measurements.
        let mut stream = random::stream(self.seed, &format!("null {null}"));
        let of = |graph: &WeightedGraph| [mean(clustering(graph)), global_efficiency(graph)];
        let own = of(&graph);
        let all: Vec<[f64; 2]> = (0..self.graphs).map(|_| of(&draw(&graph, &mut stream))).collect();
        let names =
            [format!("clustering_coef_{}", self.kind.name()), format!("efficiency_{}", self.kind.weights())];
        let mut found = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let average = mean(all.iter().map(|values| values[index]));
            let squares: f64 = all.iter().map(|values| (values[index] - average).powi(2)).sum();
            let deviation = (squares / (all.len() as f64 - 1.0)).sqrt();
            let z = if deviation > 1e-12 { (own[index] - average) / deviation } else { f64::NAN };
            found.push(Measure::new(format!("{name}_{null}"), average));
            found.push(Measure::new(format!("{name}_{null}_z"), z).unit("standard deviations"));
        }
        Ok(found.into())
    }
}

/// A network whose connections swap targets: i → j and k → l become i → l and k
/// → j. Weights stay with their sources (undirected: with either end).
pub struct RewiredGraph {
    pub graph: WeightedGraph,
    directed: bool,
}

impl RewiredGraph {
    /// Starts from `graph` itself.
    pub fn rewiring(graph: WeightedGraph, directed: bool) -> Rewiring<Self> {
        let edges: Vec<(usize, usize)> =
            graph.edges().filter(|(i, j, _)| directed || i < j).map(|(i, j, _)| (i, j)).collect();
        Rewiring::from_edges(RewiredGraph { graph, directed }, directed, edges)
    }
}

impl Rewire for RewiredGraph {
    fn joined(&self, i: usize, j: usize) -> bool {
        self.graph.weight(i, j) > 0.0
    }

    fn redirect(&mut self, from: usize, old: usize, new: usize) {
        let weight = self.graph.weight(from, old);
        self.graph.set(from, old, 0.0);
        self.graph.set(from, new, weight);
        if !self.directed {
            self.graph.set(old, from, 0.0);
            self.graph.set(new, from, weight);
        }
    }
}
