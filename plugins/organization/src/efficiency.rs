//! Efficiency: how short the paths between neurons are.

use multiversion::multiversion;
use pallium_core::prelude::*;
use pallium_graph::{Cut, Graph, ones};

use crate::density::pairs;
use crate::graph::{GraphParams, TIES, graph_of};
use crate::two_steps::TwoSteps;

/// `efficiency`: mean over all pairs of neurons of 1 / length of the shortest
/// path, 0 without a path (Latora and Marchiori 2001), of the
/// [graph](crate::graph); equal to networkx's `global_efficiency`. NaN for one
/// neuron, where networkx returns 0.
pub struct Efficiency {
    cut: Cut,
}

impl Component for Efficiency {
    const ID: &'static str = "organization.efficiency";
    const ABOUT: &'static str = "global efficiency of the graph of strong connections";
    const CITE: &'static str = "Latora and Marchiori 2001";
    type Params = GraphParams;
    const PROFILES: &'static [ProfileValue] = &TIES;
    fn build(params: GraphParams, _: &Setting<'_>) -> Result<Self> {
        Ok(Efficiency { cut: params.cut()? })
    }
}

impl Metric for Efficiency {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, _) = graph_of(network, self.cut)?;
        Ok(vec![Measure::new("efficiency", global_efficiency(&graph))].into())
    }
}
pallium_core::register!(Metric, Efficiency);

/// Global efficiency; NaN for fewer than two nodes. Self-loops have no effect.
pub fn global_efficiency(graph: &Graph) -> f64 {
    global_efficiency_within(graph, &TwoSteps::new(graph))
}

/// [`global_efficiency`] from known [`TwoSteps`].
pub(crate) fn global_efficiency_within(graph: &Graph, two_steps: &TwoSteps) -> f64 {
    let at_distance = pairs_by_distance(graph, two_steps);
    let sum: f64 = at_distance.iter().enumerate().skip(1).map(|(d, &n)| n as f64 / d as f64).sum();
    sum / (2.0 * pairs(graph.nodes()))
}

/// Number of ordered pairs by distance. From nodes that do not reach all others
/// in two steps, breadth-first search continues level by level on rows of bits.
// Compiled for several instruction sets, for the population count.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512vpopcntdq+avx2+popcnt+bmi1+bmi2+lzcnt",
    "x86_64+avx2+popcnt+bmi1+bmi2+lzcnt"
))]
fn pairs_by_distance(graph: &Graph, two_steps: &TwoSteps) -> Vec<u64> {
    let (nodes, words) = (graph.nodes(), graph.words());
    let mut at_distance = vec![0u64; nodes.max(3)];
    // Nodes without neighbours are never reached; excluding them lets searches
    // end early.
    let mut reachable = vec![0u64; words];
    for (node, &degree) in two_steps.degrees().iter().enumerate() {
        reachable[node / 64] |= u64::from(degree != 0) << (node % 64);
    }
    let (mut unseen, mut frontier, mut next) = (vec![0; words], vec![0; words], vec![0; words]);
    for source in ones(&reachable) {
        let (row, beyond) = (graph.row(source), two_steps.beyond(source));
        let direct = two_steps.degrees()[source] - u64::from(graph.joined(source, source));
        at_distance[1] += direct;
        at_distance[2] += nodes as u64 - 1 - direct - count(beyond);
        let mut any = 0;
        for k in 0..words {
            unseen[k] = beyond[k] & reachable[k];
            any |= unseen[k];
        }
        if any == 0 {
            continue;
        }
        // Exactly two steps away. The source may be among them, but it has no
        // unseen neighbours.
        for k in 0..words {
            frontier[k] = reachable[k] & !beyond[k] & !row[k];
        }
        for pairs in at_distance.iter_mut().skip(3) {
            beside(graph, &frontier, &unseen, &mut next);
            let found = count(&next);
            *pairs += found;
            let mut left = 0;
            for (unseen, next) in unseen.iter_mut().zip(&next) {
                *unseen &= !next;
                left |= *unseen;
            }
            if found == 0 || left == 0 {
                break;
            }
            std::mem::swap(&mut frontier, &mut next);
        }
    }
    at_distance
}

#[inline(always)]
fn count(row: &[u64]) -> u64 {
    row.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Writes the `nodes` with a neighbour in `frontier` to `found`, iterating over
/// the smaller of the two sets.
#[inline(always)]
fn beside(graph: &Graph, frontier: &[u64], nodes: &[u64], found: &mut [u64]) {
    found.fill(0);
    if count(nodes) < count(frontier) {
        for node in ones(nodes) {
            let mut touched = 0;
            for (row, frontier) in graph.row(node).iter().zip(frontier) {
                touched |= row & frontier;
            }
            found[node / 64] |= u64::from(touched != 0) << (node % 64);
        }
    } else {
        for node in ones(frontier) {
            for (found, row) in found.iter_mut().zip(graph.row(node)) {
                *found |= row;
            }
        }
        for (found, nodes) in found.iter_mut().zip(nodes) {
            *found &= nodes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::examples::*;

    #[test]
    fn known_graphs_have_known_values() {
        assert_eq!(global_efficiency(&complete(128)), 1.0);
        assert_eq!(global_efficiency(&Graph::empty(5)), 0.0);
        assert!(global_efficiency(&Graph::empty(1)).is_nan());
        assert!(global_efficiency(&Graph::empty(0)).is_nan());
        // A ring of 65: two nodes at each distance 1 … 32.
        let harmonic: f64 = (1..=32).map(|d| 1.0 / f64::from(d)).sum();
        assert!((global_efficiency(&ring(65, 1)) - 2.0 * harmonic / 64.0).abs() < 1e-15);
        // A star of n: (n - 1) at 1 for the centre; 1 at 1, n - 2 at 2 for the rest.
        assert!((global_efficiency(&star(20)) - (19.0 + 19.0 * (1.0 + 9.0)) / 380.0).abs() < 1e-15);
        // networkx 3.6.1: global_efficiency(karate_club_graph())
        assert!((global_efficiency(&karate()) - 0.4920083184789052).abs() < 1e-14);
    }

    #[test]
    fn self_loops_change_nothing() {
        let mut graph = random(100, 0.03, 3);
        let without = global_efficiency(&graph);
        for i in (0..100).step_by(3) {
            graph.join(i, i);
        }
        assert_eq!(global_efficiency(&graph), without);
    }

    #[test]
    fn relabelling_gives_bit_identical_results() {
        let graph = random(150, 0.02, 1);
        for seed in 0..5 {
            assert_eq!(global_efficiency(&graph), global_efficiency(&shuffled(&graph, seed)));
        }
    }
}
