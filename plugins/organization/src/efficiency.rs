//! How short the paths between neurons are.

use multiversion::multiversion;
use pallium_core::prelude::*;

use crate::density::pairs;
use crate::graph::{Bits, Graph, GraphParams, Rows, for_width, ones};

/// `efficiency`: mean over all pairs of neurons of 1 / length of the shortest
/// path, 0 where there is none (Latora and Marchiori 2001), of the
/// [graph](crate::graph). Not a number for one neuron.
pub struct Efficiency {
    params: GraphParams,
}

impl Component for Efficiency {
    const ID: &'static str = "organization.efficiency";
    const ABOUT: &'static str = "global efficiency of the graph of strong connections";
    const CITE: &'static str = "Latora and Marchiori 2001";
    type Params = GraphParams;
    fn build(params: GraphParams, _: &Setting<'_>) -> Result<Self> {
        params.check()?;
        Ok(Efficiency { params })
    }
}

impl Metric for Efficiency {
    fn measure(&mut self, network: &Network<'_>) -> Result<Vec<Measure>> {
        let (graph, _) = Graph::of(network, self.params.quantile)?;
        Ok(vec![Measure::new("efficiency", global_efficiency(&graph))])
    }
}
pallium_core::register!(Metric, Efficiency);

/// Global efficiency; not a number below two nodes. Self-loops change nothing.
pub fn global_efficiency(graph: &Graph) -> f64 {
    let at_distance = pairs_by_distance(graph);
    let sum: f64 = at_distance.iter().enumerate().skip(1).map(|(d, &n)| n as f64 / d as f64).sum();
    sum / (2.0 * pairs(graph.nodes()))
}

/// Number of ordered pairs by distance: breadth-first search from every node,
/// a level at a time, a row of bits at a time.
// Compiled once for each instruction set, for the population count.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512vpopcntdq+avx2+popcnt+bmi1+bmi2+lzcnt",
    "x86_64+avx2+popcnt+bmi1+bmi2+lzcnt"
))]
fn pairs_by_distance(graph: &Graph) -> Vec<u64> {
    for_width!(graph.words(), row => pairs_by_distance_in_rows(graph, row))
}

#[inline(always)]
fn pairs_by_distance_in_rows<B: Bits>(graph: &Graph, empty: B) -> Vec<u64> {
    let nodes = graph.nodes();
    let words = empty.as_ref().len();
    let rows = graph.rows(words);
    let row_of = |node: usize| {
        let mut row = empty.clone();
        row.as_mut().copy_from_slice(rows.of(node));
        row
    };
    let mut at_distance = vec![0u64; nodes.max(2)];
    // Nodes without neighbours are never reached: they must not keep a search
    // from ending early.
    let mut reachable = empty.clone();
    for node in 0..nodes {
        let reached = rows.of(node).iter().any(|&word| word != 0);
        reachable.as_mut()[node / 64] |= u64::from(reached) << (node % 64);
    }
    for source in ones(reachable.as_ref()) {
        let mut unseen = reachable.clone();
        unseen.as_mut()[source / 64] &= !(1 << (source % 64));
        let mut frontier = row_of(source);
        frontier.as_mut()[source / 64] &= !(1 << (source % 64));
        for count in at_distance.iter_mut().skip(1) {
            let (mut found, mut left) = (0, 0);
            for (unseen, &new) in unseen.as_mut().iter_mut().zip(frontier.as_ref()) {
                *unseen &= !new;
                found += new.count_ones();
                left += unseen.count_ones();
            }
            *count += u64::from(found);
            if found == 0 || left == 0 {
                break;
            }
            if left < found {
                // Few are left: ask each whether it touches the frontier.
                let mut next = empty.clone();
                for node in ones(unseen.as_ref()) {
                    let mut touched = 0;
                    for (row, frontier) in rows.of(node).iter().zip(frontier.as_ref()) {
                        touched |= row & frontier;
                    }
                    next.as_mut()[node / 64] |= u64::from(touched != 0) << (node % 64);
                }
                frontier = next;
            } else {
                let missing = not_beside(rows, frontier.as_ref(), unseen.clone());
                for ((next, &unseen), &missing) in
                    frontier.as_mut().iter_mut().zip(unseen.as_ref()).zip(missing.as_ref())
                {
                    *next = unseen & !missing;
                }
            }
        }
    }
    at_distance
}

/// Those of `nodes` that are beside none of `frontier`.
#[inline(always)]
fn not_beside<B: Bits>(rows: Rows<'_>, frontier: &[u64], mut nodes: B) -> B {
    // Asked seldom whether any is left: a row costs less than the question.
    const ROWS: usize = 8;
    let mut until = ROWS;
    for node in ones(frontier) {
        for (left, &row) in nodes.as_mut().iter_mut().zip(rows.of(node)) {
            *left &= !row;
        }
        until -= 1;
        if until == 0 {
            until = ROWS;
            let mut any = 0;
            for word in nodes.as_ref() {
                any |= word;
            }
            if any == 0 {
                return nodes;
            }
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::examples::*;

    #[test]
    fn of_known_graphs() {
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
    fn relabelling_changes_no_bit() {
        let graph = random(150, 0.02, 1);
        for seed in 0..5 {
            assert_eq!(global_efficiency(&graph), global_efficiency(&shuffled(&graph, seed)));
        }
    }
}
