//! Random graphs with given degrees, by swapping the ends of pairs of edges
//! (Maslov and Sneppen 2002).

use rand::{Rng, RngCore};

use crate::graph::Graph;

/// A graph whose edges can be rewired.
pub trait Rewire {
    /// Whether there is an edge from i to j.
    fn joined(&self, i: usize, j: usize) -> bool;

    /// Replaces the edge `from` → `old` by `from` → `new` and keeps its weight;
    /// undirected graphs also replace the opposite direction.
    fn redirect(&mut self, from: usize, old: usize, new: usize);
}

impl Rewire for Graph {
    #[inline(always)]
    fn joined(&self, i: usize, j: usize) -> bool {
        self.joined(i, j)
    }

    #[inline(always)]
    fn redirect(&mut self, from: usize, old: usize, new: usize) {
        self.part(from, old);
        self.join(from, new);
    }
}

/// A graph that is being randomised: each swap replaces i → j and k → l by i → l
/// and k → j, which keeps all degrees.
pub struct Rewiring<G> {
    graph: G,
    directed: bool,
    /// One direction per edge if undirected.
    edges: Vec<(u32, u32)>,
}

impl Rewiring<Graph> {
    /// Starts from an undirected graph.
    pub fn new(graph: Graph) -> Self {
        let edges: Vec<_> = graph.edges().collect();
        Rewiring::from_edges(graph, false, edges)
    }
}

impl<G: Rewire> Rewiring<G> {
    /// Starts from `graph`. `edges` lists each of its edges once, in either
    /// direction if the graph is undirected.
    pub fn from_edges(graph: G, directed: bool, edges: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let edges = edges.into_iter().map(|(i, j)| (i as u32, j as u32)).collect();
        Rewiring { graph, directed, edges }
    }

    /// The current graph.
    pub fn graph(&self) -> &G {
        &self.graph
    }

    /// Tries `attempts` swaps per edge and returns the resulting graph. Swaps that
    /// would create a loop or a duplicate edge are skipped.
    #[inline(always)]
    pub fn swap(&mut self, attempts: usize, rng: &mut impl RngCore) -> &G {
        self.swap_if(attempts, rng, |_, _| true)
    }

    /// As [`Rewiring::swap`], but also skips swaps for which `accepts` returns
    /// false; it receives the graph and i, j, k, l.
    #[inline(always)]
    pub fn swap_if(
        &mut self,
        attempts: usize,
        rng: &mut impl RngCore,
        accepts: impl Fn(&G, [usize; 4]) -> bool,
    ) -> &G {
        let edges = self.edges.len();
        if edges < 2 {
            return &self.graph;
        }
        for _ in 0..attempts * edges {
            let first = below(edges, rng);
            // In undirected graphs, also draw the direction of the second edge.
            let drawn = below(if self.directed { edges } else { 2 * edges }, rng);
            let (second, turned) = if self.directed { (drawn, false) } else { (drawn / 2, drawn % 2 == 1) };
            let (a, b) = self.edges[first];
            let (c, d) =
                if turned { (self.edges[second].1, self.edges[second].0) } else { self.edges[second] };
            let [i, j, k, l] = [a, b, c, d].map(|node| node as usize);
            // This also covers equal edges and edges that share a node.
            if i == l || k == j || self.graph.joined(i, l) || self.graph.joined(k, j) {
                continue;
            }
            if !accepts(&self.graph, [i, j, k, l]) {
                continue;
            }
            self.graph.redirect(i, j, l);
            self.graph.redirect(k, l, j);
            self.edges[first] = (a, d);
            self.edges[second] = (c, b);
        }
        &self.graph
    }
}

/// Uniform in 0..`bound`. The draw has a fixed width, so that a seed gives the
/// same graph on machines of any word size.
#[inline(always)]
fn below(bound: usize, rng: &mut impl RngCore) -> usize {
    rng.random_range(0..bound as u32) as usize
}

#[cfg(test)]
mod tests {
    use pallium_core::random;

    use super::*;
    use crate::examples::random as random_graph;

    #[test]
    fn swaps_keep_degrees_but_not_edges() {
        let graph = random_graph(60, 0.1, 1);
        let mut rewiring = Rewiring::new(graph.clone());
        let found = rewiring.swap(10, &mut random::stream(1, "test"));
        assert_eq!(found.degrees(), graph.degrees());
        let kept = graph.edges().filter(|&(i, j)| found.joined(i, j)).count();
        assert!(kept < graph.size() / 2, "{kept} of {}", graph.size());
        assert!((0..60).all(|i| !found.joined(i, i)));
    }

    #[test]
    fn refused_swaps_change_nothing() {
        let graph = random_graph(30, 0.2, 2);
        let mut rewiring = Rewiring::new(graph.clone());
        assert!(*rewiring.swap_if(5, &mut random::stream(1, "test"), |_, _| false) == graph);
    }
}
