//! Random graphs of the same degrees, by swapping the ends of pairs of edges
//! (Maslov and Sneppen 2002).

use rand::{Rng, RngCore};

use crate::graph::Graph;

/// A graph whose edges can trade ends.
pub trait Rewire {
    /// Whether i is joined to j.
    fn joined(&self, i: usize, j: usize) -> bool;

    /// Replaces the edge from `from` to `old` by one from `from` to `new`, with
    /// whatever it weighs; undirected graphs also in the other direction.
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

/// A graph on its way to a random one of the same degrees: of i → j and k → l
/// become i → l and k → j.
pub struct Rewiring<G> {
    graph: G,
    directed: bool,
    /// One direction each, if undirected.
    edges: Vec<(u32, u32)>,
}

impl Rewiring<Graph> {
    /// Starts from an undirected graph.
    pub fn new(graph: Graph) -> Self {
        let edges: Vec<_> = graph.edges().collect();
        Rewiring::of_edges(graph, false, edges)
    }
}

impl<G: Rewire> Rewiring<G> {
    /// Starts from `graph` with `edges`, each once, in either direction if the
    /// graph is undirected.
    pub fn of_edges(graph: G, directed: bool, edges: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let edges = edges.into_iter().map(|(i, j)| (i as u32, j as u32)).collect();
        Rewiring { graph, directed, edges }
    }

    /// The graph that has been reached.
    pub fn graph(&self) -> &G {
        &self.graph
    }

    /// Tries `attempts` swaps for each edge and returns the graph reached. A swap
    /// is left out if it would make a loop or a second edge between two nodes.
    #[inline(always)]
    pub fn swap(&mut self, attempts: usize, rng: &mut impl RngCore) -> &G {
        self.swap_if(attempts, rng, |_, _| true)
    }

    /// As [`Rewiring::swap`], but also leaves out swaps that `accepts`, given the
    /// graph and i, j, k, l, refuses.
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
            // Of an undirected graph, also draws which way round the second edge
            // is read.
            let drawn = below(if self.directed { edges } else { 2 * edges }, rng);
            let (second, turned) = if self.directed { (drawn, false) } else { (drawn / 2, drawn % 2 == 1) };
            let (a, b) = self.edges[first];
            let (c, d) =
                if turned { (self.edges[second].1, self.edges[second].0) } else { self.edges[second] };
            let [i, j, k, l] = [a, b, c, d].map(|node| node as usize);
            // Equal edges, and edges that share a node the wrong way, show as
            // loops or as edges that are there already.
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

/// Uniform in 0..`bound`. A draw of fixed width, so that a seed gives the same
/// graphs on machines of any word size.
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
    fn degrees_are_kept_and_edges_are_not() {
        let graph = random_graph(60, 0.1, 1);
        let mut rewiring = Rewiring::new(graph.clone());
        let found = rewiring.swap(10, &mut random::stream(1, "test"));
        assert_eq!(found.degrees(), graph.degrees());
        let kept = graph.edges().filter(|&(i, j)| found.joined(i, j)).count();
        assert!(kept < graph.size() / 2, "{kept} of {}", graph.size());
        assert!((0..60).all(|i| !found.joined(i, i)));
    }

    #[test]
    fn swaps_that_are_refused_change_nothing() {
        let graph = random_graph(30, 0.2, 2);
        let mut rewiring = Rewiring::new(graph.clone());
        assert!(*rewiring.swap_if(5, &mut random::stream(1, "test"), |_, _| false) == graph);
    }
}
