//! Communities: groups of nodes with more edges within than between them.
//!
//! Greedy merging (Clauset, Newman and Moore 2004): starting from single nodes,
//! repeatedly merge the two joined communities that raise the modularity Q most,
//! until every merger would lower it. Without weights many gains are equal, and
//! the choice among them changes the final Q of small or unstructured networks
//! by up to 0.02. Gains are therefore compared as integers, so that ties are
//! exact, and several tie-breaking orders are tried. The orders depend neither
//! on the numbering of the nodes ([`Graph::canonical`]) nor on a seed.

use multiversion::multiversion;
use pallium_core::random;
use rand::seq::SliceRandom;

use crate::graph::Graph;

/// Default number of tie-breaking orders.
pub const ORDERS: u32 = 16;

/// A division of a graph into communities.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Community of each node, numbered from 0 by descending size. A node
    /// without edges is its own community.
    pub community: Vec<usize>,
    /// Number of nodes in each community.
    pub sizes: Vec<usize>,
    /// Modularity Q; NaN without edges.
    pub modularity: f64,
}

/// The partition of highest modularity among `orders` runs of greedy merging with
/// different tie-breaking orders; the first of equally good ones.
pub fn best_partition(graph: &Graph, orders: u32) -> Partition {
    let names = graph.canonical_order();
    let canonical = graph.relabelled(&names);
    let mut order: Vec<usize> = (0..graph.nodes()).collect();
    let mut rng = random::stream(0, "orders of equal gains in modularity");
    let mut best: Option<(f64, Vec<usize>)> = None;
    for round in 0..orders {
        if round > 0 {
            order.shuffle(&mut rng);
        }
        let shuffled = canonical.relabelled(&order);
        let (found, tied) = greedy_communities(&shuffled);
        let q = modularity(&shuffled, &found);
        if best.as_ref().is_none_or(|(most, _)| q > *most) {
            let mut community = vec![0; found.len()];
            order.iter().zip(found).for_each(|(&node, found)| community[names[node]] = found);
            best = Some((q, community));
        }
        if !tied {
            break;
        }
    }
    let (modularity, community) = best.unwrap_or((f64::NAN, (0..graph.nodes()).collect()));
    by_size(modularity, &community)
}

/// Numbers communities by descending size, then by their first node.
fn by_size(modularity: f64, names: &[usize]) -> Partition {
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    names.iter().enumerate().for_each(|(node, &name)| groups[name].push(node));
    groups.retain(|members| !members.is_empty());
    groups.sort_by_key(|members| (usize::MAX - members.len(), members[0]));
    let mut community = vec![0; names.len()];
    for (number, group) in groups.iter().enumerate() {
        group.iter().for_each(|&node| community[node] = number);
    }
    Partition { community, sizes: groups.iter().map(Vec::len).collect(), modularity }
}

/// Modularity of a partition (Newman and Girvan 2004); NaN without edges.
/// `community` holds each node's community, below the number of nodes.
pub fn modularity(graph: &Graph, community: &[usize]) -> f64 {
    let mut within = vec![0i128; graph.nodes()];
    let mut degree = vec![0i128; graph.nodes()];
    let mut edges = 0i128;
    for (i, j) in graph.edges() {
        edges += 1;
        degree[community[i]] += 1;
        degree[community[j]] += 1;
        if community[i] == community[j] {
            within[community[i]] += 1;
        }
    }
    if edges == 0 {
        return f64::NAN;
    }
    let within: i128 = within.iter().sum();
    let squares: i128 = degree.iter().map(|d| d * d).sum();
    (4 * edges * within - squares) as f64 / (4 * edges * edges) as f64
}

/// Below every gain: no merger.
const NONE: i64 = i64::MIN;

/// State of the merging, indexed by community. Merged communities keep their
/// entries, so that loops over a row need no condition.
struct Merging {
    nodes: usize,
    /// Twice the number of edges.
    ends: i64,
    /// Sum of degrees.
    degree: Vec<i64>,
    /// `between[i·nodes + j]`: number of edges between communities i and j ≠ i,
    /// equal to `between[j·nodes + i]`; zero once either has been merged.
    between: Vec<u32>,
    /// Remaining communities that have edges, ascending.
    alive: Vec<usize>,
    /// Gain of a community's best merger; an upper bound if stale.
    gain: Vec<i64>,
    /// Partner of that merger; the former partner if stale.
    partner: Vec<usize>,
    /// Whether the best merger must be searched for again before use. Most are
    /// never used, which makes this fast.
    stale: Vec<bool>,
    /// Buffers for one community's gains and row.
    gains: Vec<i64>,
    row: Vec<u32>,
}

impl Merging {
    #[inline(always)]
    fn new(graph: &Graph) -> Self {
        let nodes = graph.nodes();
        let degree: Vec<i64> = graph.degrees().into_iter().map(|k| k as i64).collect();
        let mut between = vec![0; nodes * nodes];
        for i in 0..nodes {
            for j in graph.neighbours(i) {
                between[i * nodes + j] = 1;
            }
        }
        let mut merging = Merging {
            nodes,
            ends: degree.iter().sum(),
            between,
            alive: (0..nodes).filter(|&i| degree[i] > 0).collect(),
            gain: vec![NONE; nodes],
            partner: vec![usize::MAX; nodes],
            stale: vec![false; nodes],
            gains: vec![NONE; nodes],
            row: vec![0; nodes],
            degree,
        };
        for i in 0..nodes {
            merging.search(i);
        }
        merging
    }

    /// Searches the best merger of i; ties go to the lower number. Only joined
    /// communities are candidates, because others cannot raise Q. A gain is the
    /// change of Q times twice the squared number of edges, an integer.
    #[inline(always)]
    fn search(&mut self, i: usize) {
        let row = &self.between[i * self.nodes..(i + 1) * self.nodes];
        let (ends, own) = (self.ends, self.degree[i]);
        let mut most = NONE;
        for ((gain, &joined), &degree) in self.gains.iter_mut().zip(row).zip(&self.degree) {
            *gain = if joined > 0 { ends * i64::from(joined) - own * degree } else { NONE };
            most = most.max(*gain);
        }
        self.gain[i] = most;
        self.partner[i] = if most > NONE { first_of(&self.gains, most) } else { usize::MAX };
        self.stale[i] = false;
    }

    /// The best merger, and whether another one is equally good.
    #[inline(always)]
    fn choose(&mut self) -> Option<(usize, usize, bool)> {
        loop {
            let mut most = NONE;
            for &gain in &self.gain {
                most = most.max(gain);
            }
            // Every merger would lower Q.
            if most < 0 {
                return None;
            }
            let i = first_of(&self.gain, most);
            if self.stale[i] {
                self.search(i);
            } else {
                // Both members of a unique best pair have this gain.
                let mut equal = 0;
                for &gain in &self.gain {
                    equal += usize::from(gain == most);
                }
                return Some((i, self.partner[i], equal > 2));
            }
        }
    }

    #[inline(always)]
    fn merge(&mut self, from: usize, into: usize) {
        let nodes = self.nodes;
        self.alive.retain(|&k| k != from);
        self.gain[from] = NONE;
        self.degree[into] += self.degree[from];
        self.row.copy_from_slice(&self.between[from * nodes..(from + 1) * nodes]);
        self.between[into * nodes + from] = 0;
        for &k in self.alive.iter().filter(|&&k| k != into) {
            let mut joined = self.between[into * nodes + k];
            if self.row[k] > 0 {
                joined += self.row[k];
                self.between[into * nodes + k] = joined;
                self.between[k * nodes + into] = joined;
                self.between[k * nodes + from] = 0;
            }
            if joined > 0 {
                let gain = self.ends * i64::from(joined) - self.degree[k] * self.degree[into];
                let known = self.gain[k];
                if gain > known || !self.stale[k] && gain == known && into < self.partner[k] {
                    (self.gain[k], self.partner[k], self.stale[k]) = (gain, into, false);
                    continue;
                }
            }
            // The known gain has become invalid.
            self.stale[k] |= self.partner[k] == from || self.partner[k] == into;
        }
        self.search(into);
    }
}

/// Index of the first gain equal to `most`. Scanning all gains with vector
/// instructions is faster than stopping early.
#[inline(always)]
fn first_of(gains: &[i64], most: i64) -> usize {
    let mut first = u64::MAX;
    for (at, &gain) in (0..).zip(gains) {
        first = first.min(if gain == most { at } else { u64::MAX });
    }
    first as usize
}

/// Each node's community, named after one of its members, and whether any
/// merger was tied.
// Compiled once per instruction set. Loops rather than closures, because
// closures would be compiled for the baseline processor.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx2", "x86_64+avx2"))]
pub fn greedy_communities(graph: &Graph) -> (Vec<usize>, bool) {
    let mut merging = Merging::new(graph);
    // The community that each was merged into; itself while it exists.
    let mut community: Vec<usize> = (0..graph.nodes()).collect();
    let mut tied = false;
    while let Some((from, into, equal)) = merging.choose() {
        tied |= equal;
        merging.merge(from, into);
        community[from] = into;
    }
    for node in 0..community.len() {
        while community[community[node]] != community[node] {
            community[node] = community[community[node]];
        }
    }
    (community, tied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::*;

    fn greedy(graph: &Graph) -> (f64, usize) {
        let found = best_partition(graph, ORDERS);
        (found.modularity, found.sizes.len())
    }

    #[test]
    fn modularity_of_a_given_partition_equals_networkx() {
        // networkx 3.6.1: community.modularity(karate_club_graph(),
        // [range(0, 34, 2), range(1, 34, 2)], weight=None) and halves.
        let parity: Vec<usize> = (0..34).map(|i| i % 2).collect();
        assert!((modularity(&karate(), &parity) - -8.218277449054123e-05).abs() < 1e-14);
        let halves: Vec<usize> = (0..34).map(|i| i / 17).collect();
        assert!((modularity(&karate(), &halves) - 0.24326101249178175).abs() < 1e-14);
    }

    #[test]
    fn known_graphs_are_partitioned() {
        assert_eq!(greedy(&complete(12)), (0.0, 1));
        let (q, communities) = greedy(&Graph::empty(6));
        assert!(q.is_nan() && communities == 6);
        // Four cliques of five, joined in a circle by single edges:
        // Q = 40/44 − 4·(22/88)².
        let mut cliques = Graph::empty(20);
        for c in 0..4 {
            for i in 0..5 {
                for j in 0..i {
                    cliques.join(5 * c + i, 5 * c + j);
                }
            }
            cliques.join(5 * c, (5 * c + 6) % 20);
        }
        let (q, communities) = greedy(&cliques);
        assert_eq!(communities, 4);
        assert!((q - (40.0 / 44.0 - 0.25)).abs() < 1e-14);
    }

    #[test]
    fn greedy_merging_comes_close_to_networkx() {
        // networkx 3.6.1: greedy_modularity_communities(karate_club_graph(), weight=None)
        let (q, _) = greedy(&karate());
        assert!((q - 0.3806706114398422).abs() < 0.01, "{q}");
    }

    #[test]
    fn results_do_not_depend_on_numbering() {
        for graph in [karate(), random(90, 0.05, 1), random(90, 0.2, 2), ring(60, 3)] {
            let expected = greedy(&graph);
            for seed in 0..6 {
                assert_eq!(greedy(&shuffled(&graph, seed)), expected);
            }
        }
    }

    #[test]
    fn every_merger_is_the_best_one() {
        // Brute force with the same tie-breaking.
        for seed in 0..8 {
            let graph = random(25, 0.2, seed);
            let mut community: Vec<usize> = (0..25).collect();
            loop {
                let now = modularity(&graph, &community);
                let mut best = (f64::MIN, 0, 0);
                for a in 0..25 {
                    for b in 0..25 {
                        let joined = graph
                            .edges()
                            .any(|(i, j)| [(a, b), (b, a)].contains(&(community[i], community[j])));
                        if a != b && joined {
                            let merged: Vec<usize> =
                                community.iter().map(|&c| if c == a { b } else { c }).collect();
                            let gain = modularity(&graph, &merged) - now;
                            if gain > best.0 + 1e-12 {
                                best = (gain, a, b);
                            }
                        }
                    }
                }
                if best.0 < -1e-12 {
                    break;
                }
                community.iter_mut().filter(|c| **c == best.1).for_each(|c| *c = best.2);
            }
            let (expected, (found, _)) = (modularity(&graph, &community), greedy_communities(&graph));
            assert!((modularity(&graph, &found) - expected).abs() < 1e-12, "seed {seed}");
        }
    }

    #[test]
    fn communities_use_the_original_node_numbers() {
        // Two cliques of four, the even and the odd nodes, and an isolated node.
        let mut graph = Graph::empty(9);
        for i in 0..8 {
            for j in (0..i).filter(|j| (i - j) % 2 == 0) {
                graph.join(i, j);
            }
        }
        let found = best_partition(&graph, ORDERS);
        assert_eq!(found.community, [0, 1, 0, 1, 0, 1, 0, 1, 2]);
        assert_eq!(found.sizes, [4, 4, 1]);
        assert!((found.modularity - 0.5).abs() < 1e-12);
        let karate = best_partition(&karate(), ORDERS);
        assert!(
            (modularity(&crate::examples::karate(), &karate.community) - karate.modularity).abs() < 1e-14
        );
        assert!(karate.sizes.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn without_edges_every_node_is_its_own_community() {
        let found = best_partition(&Graph::empty(3), ORDERS);
        assert_eq!((found.community, found.sizes), (vec![0, 1, 2], vec![1, 1, 1]));
        assert!(found.modularity.is_nan());
    }
}
