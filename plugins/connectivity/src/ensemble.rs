//! What the null models share: a network's clustering and efficiency against
//! those of random networks.

use pallium_core::prelude::*;
use pallium_core::rand::{Rng, RngCore};

use crate::clustering_coef::clustering;
use crate::efficiency::global_efficiency;
use crate::graph::{Graph, Kind, check_quantile, mean};

/// An ensemble of random networks.
pub struct Ensemble {
    pub kind: Kind,
    pub quantile: f64,
    pub graphs: u32,
    pub seed: u64,
}

impl Ensemble {
    /// Refuses a quantile or number of graphs out of range.
    pub fn new(kind: Kind, quantile: f64, graphs: u32, seed: u64) -> Result<Self> {
        check_quantile(quantile)?;
        one_of_range("graphs", f64::from(graphs), 2.0, 1e5)?;
        Ok(Ensemble { kind, quantile, graphs, seed })
    }

    /// For the clustering coefficient and the global efficiency of `network`: the
    /// mean over the ensemble that `draw` makes one by one, and how many of its
    /// standard deviations the network lies from it. Not a number where the
    /// ensemble does not vary.
    pub fn compare(
        &self,
        network: &Network<'_>,
        null: &str,
        mut draw: impl FnMut(&Graph, &mut random::Stream) -> Graph,
    ) -> Result<Vec<Measure>> {
        let graph = Graph::of(network, self.kind, self.quantile)?;
        // A fresh stream for each network: the result does not depend on what
        // was measured before.
        let mut stream = random::stream(self.seed, &format!("null {null}"));
        let of = |graph: &Graph| [mean(clustering(graph)), global_efficiency(graph)];
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
        Ok(found)
    }
}

/// A network whose connections trade ends: of i → j and k → l become i → l and k
/// → j, weights staying with their sources (undirected: with either end).
pub struct Rewiring {
    pub graph: Graph,
    directed: bool,
    /// One direction each, if undirected.
    edges: Vec<(usize, usize)>,
}

impl Rewiring {
    /// Starts from `graph` itself.
    pub fn new(graph: Graph, directed: bool) -> Self {
        let edges = graph.edges().filter(|(i, j, _)| directed || i < j).map(|(i, j, _)| (i, j)).collect();
        Rewiring { graph, directed, edges }
    }

    /// Tries `attempts` swaps for each connection; those that would make a
    /// connection to itself or a second one are left out, and those that
    /// `accepts` refuses.
    pub fn swap(
        &mut self,
        attempts: u32,
        rng: &mut impl RngCore,
        accepts: impl Fn(&Graph, [usize; 4]) -> bool,
    ) {
        let count = self.edges.len() as u32;
        if count < 2 {
            return;
        }
        for _ in 0..attempts * count {
            let first = rng.random_range(0..count) as usize;
            let second = rng.random_range(0..count) as usize;
            let ((i, j), (mut k, mut l)) = (self.edges[first], self.edges[second]);
            if !self.directed && rng.random_range(0..2_u32) == 1 {
                (k, l) = (l, k);
            }
            let graph = &mut self.graph;
            // Equal connections show as loops or as connections that are there.
            if i == l || k == j || graph.weight(i, l) > 0.0 || graph.weight(k, j) > 0.0 || first == second {
                continue;
            }
            if !accepts(graph, [i, j, k, l]) {
                continue;
            }
            for (from, old, new) in [(i, j, l), (k, l, j)] {
                let weight = graph.weight(from, old);
                graph.set(from, old, 0.0);
                graph.set(from, new, weight);
                if !self.directed {
                    graph.set(old, from, 0.0);
                    graph.set(new, from, weight);
                }
            }
            self.edges[first] = (i, l);
            self.edges[second] = (k, j);
        }
    }
}
