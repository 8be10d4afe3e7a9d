//! The graph of strong connections.

use pallium_core::prelude::*;
use pallium_graph::{Cut, recurrent};

pallium_core::choice! {
    /// Binary or weighted, undirected or directed.
    pub enum Kind {
        /// Binary, undirected.
        Bu = "bu",
        /// Binary, directed.
        Bd = "bd",
        /// Weighted, undirected: |weight| divided by the largest, as bctpy's
        /// `weight_conversion(W, "normalize")`.
        Wu = "wu",
        /// Weighted, directed; weights as for `wu`.
        Wd = "wd",
    }
}

impl Kind {
    /// Whether weights count.
    pub fn weighted(self) -> bool {
        matches!(self, Kind::Wu | Kind::Wd)
    }

    /// Whether directions count.
    pub fn directed(self) -> bool {
        matches!(self, Kind::Bd | Kind::Wd)
    }

    /// `bu`, `bd`, `wu` or `wd`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bu => "bu",
            Kind::Bd => "bd",
            Kind::Wu => "wu",
            Kind::Wd => "wd",
        }
    }

    /// `bin` or `wei`.
    pub fn weights(self) -> &'static str {
        if self.weighted() { "wei" } else { "bin" }
    }
}

/// A graph of N nodes as a matrix of non-negative weights with a zero diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedGraph {
    nodes: usize,
    weights: Vec<f64>,
}

impl WeightedGraph {
    /// A graph from N×N weights, row-major; the diagonal is ignored.
    pub fn new(nodes: usize, mut weights: Vec<f64>) -> Self {
        for i in 0..nodes {
            weights[i * nodes + i] = 0.0;
        }
        WeightedGraph { nodes, weights }
    }

    /// The graph of a network: the connections of the [`Cut`], without autapses.
    /// Weights are |weight| divided by the largest, or 1 if binary. Undirected
    /// weights are the mean of both directions (binary: 1 if either exists).
    ///
    /// # Errors
    /// If the recurrent matrix is not square or not finite.
    pub fn from_network(network: &Network<'_>, kind: Kind, cut: Cut) -> Result<Self> {
        let weights = recurrent(network)?;
        let n = weights.nrows();
        let threshold = cut.threshold(weights);
        let mut sizes: Vec<f64> = weights.iter().map(|w| f64::from(w.abs())).collect();
        sizes.iter_mut().filter(|w| !cut.connects(**w, threshold)).for_each(|w| *w = 0.0);
        let mut graph = WeightedGraph::new(n, sizes);
        if !kind.weighted() {
            graph.weights.iter_mut().filter(|w| **w > 0.0).for_each(|w| *w = 1.0);
        }
        if !kind.directed() {
            for i in 0..n {
                for j in 0..i {
                    let (a, b) = (graph.weight(i, j), graph.weight(j, i));
                    let both = if kind.weighted() { (a + b) / 2.0 } else { a.max(b) };
                    graph.set(i, j, both);
                    graph.set(j, i, both);
                }
            }
        }
        let largest = graph.weights.iter().fold(0.0, |a: f64, &b| a.max(b));
        if kind.weighted() && largest > 0.0 {
            graph.weights.iter_mut().for_each(|w| *w /= largest);
        }
        Ok(graph)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// All weights, row-major.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Weights from a node.
    pub fn row(&self, node: usize) -> &[f64] {
        &self.weights[node * self.nodes..(node + 1) * self.nodes]
    }

    /// The weight from i to j.
    pub fn weight(&self, i: usize, j: usize) -> f64 {
        self.weights[i * self.nodes + j]
    }

    /// Sets the weight from i to j.
    pub fn set(&mut self, i: usize, j: usize, weight: f64) {
        self.weights[i * self.nodes + j] = weight;
    }

    /// Connections as (from, to, weight), row by row.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let n = self.nodes;
        self.weights.iter().enumerate().filter(|(_, w)| **w > 0.0).map(move |(k, &w)| (k / n, k % n, w))
    }

    /// For each node, the sum of `of(weight)` over its outgoing connections.
    pub fn out_sums(&self, of: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..self.nodes).map(|i| self.row(i).iter().map(|&w| of(w)).sum()).collect()
    }

    /// For each node, the sum of `of(weight)` over its incoming connections.
    pub fn in_sums(&self, of: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.nodes];
        for i in 0..self.nodes {
            sums.iter_mut().zip(self.row(i)).for_each(|(sum, &w)| *sum += of(w));
        }
        sums
    }

    /// `of(weight)` of every weight, row-major.
    pub fn map(&self, of: impl Fn(f64) -> f64) -> Vec<f64> {
        self.weights.iter().map(|&w| of(w)).collect()
    }
}

/// 1 for a connection, 0 for none.
pub fn present(weight: f64) -> f64 {
    f64::from(u8::from(weight > 0.0))
}

/// The mean; NaN without values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    sum / count
}
