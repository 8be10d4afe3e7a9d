//! How well the network falls into communities.

use pallium_core::prelude::*;

use rand::seq::SliceRandom;

use crate::graph::{Graph, GraphParams};

pallium_core::params! {
    /// Which graph is measured, and how.
    pub struct Params {
        /// Two neurons are joined if |weight| exceeds this quantile of all N²
        /// values of |weight| (0 to 1), in either direction.
        quantile: f64 = 0.9,
        /// Number of times that the greedy merging is done, breaking equal
        /// gains in another order each time; the best result counts (1 to
        /// 10,000). 1 is the algorithm as published.
        orders: u32 = 16,
    }
}

/// `modularity` Q of the partition that greedy merging finds, and its number
/// of `communities`, of the [graph](crate::graph).
///
/// Starting from single neurons, the two joined communities whose merging
/// raises Q most are merged, until all mergers lower it (Clauset, Newman and
/// Moore 2004). In a graph without weights many gains are equal, and which is
/// taken first is left to chance, which moves the final Q of small or
/// unstructured networks by up to 0.02. So gains are compared as integers,
/// where equal is equal, and several orders are tried. The orders do not
/// depend on the numbering of the neurons ([`Graph::canonical`]), nor on any
/// seed.
///
/// Q is not a number without edges; then every neuron is its own community.
pub struct Modularity {
    params: Params,
}

impl Component for Modularity {
    const ID: &'static str = "organization.modularity";
    const ABOUT: &'static str = "modularity of the graph of strong connections, by greedy merging";
    const CITE: &'static str = "Clauset, Newman and Moore 2004";
    type Params = Params;
    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        GraphParams { quantile: params.quantile }.check()?;
        one_of_range("orders", f64::from(params.orders), 1.0, 10_000.0)?;
        Ok(Modularity { params })
    }
}

impl Metric for Modularity {
    fn measure(&mut self, network: &Network<'_>) -> Result<Vec<Measure>> {
        let (graph, _) = Graph::of(network, self.params.quantile)?;
        let (modularity, communities) = best_modularity(&graph, self.params.orders);
        Ok(vec![Measure::new("modularity", modularity), Measure::new("communities", communities as f64)])
    }
}
pallium_core::register!(Metric, Modularity);

/// The highest modularity that greedy merging reaches over `orders` orders of
/// equal gains, and its number of communities.
pub fn best_modularity(graph: &Graph, orders: u32) -> (f64, usize) {
    let graph = graph.canonical();
    let mut order: Vec<usize> = (0..graph.nodes()).collect();
    let mut rng = random::stream(0, "orders of equal gains in modularity");
    let mut best = (f64::NAN, graph.nodes());
    for round in 0..orders {
        if round > 0 {
            order.shuffle(&mut rng);
        }
        let graph = graph.relabelled(&order);
        let (community, tied) = greedy_communities(&graph);
        let found = modularity(&graph, &community);
        if best.0.is_nan() || found > best.0 {
            let communities = community.iter().enumerate().filter(|&(node, &c)| node == c).count();
            best = (found, communities);
        }
        if !tied {
            break;
        }
    }
    best
}

/// Modularity of a partition (Newman and Girvan 2004); not a number without
/// edges. `community` gives each node's community as a number below the number
/// of nodes.
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

/// What is known of a community's best merger.
#[derive(Clone, Copy)]
struct Best {
    /// Its gain; if stale, a bound on it.
    gain: i64,
    /// With whom; if stale, with whom it was.
    partner: usize,
    /// Whether it has to be looked for again before it is used. Most never
    /// are, which is what makes this fast.
    stale: bool,
}

/// No merger: below every gain.
const NONE: Best = Best { gain: i64::MIN, partner: usize::MAX, stale: false };

/// Communities while they are merged.
struct Merging {
    nodes: usize,
    /// Twice the number of edges.
    ends: i64,
    /// Sum of degrees, by community.
    degree: Vec<i64>,
    /// `between[i·nodes + j]`: number of edges between communities i and j ≠ i.
    between: Vec<u32>,
    /// Names of the communities that are left and have edges, ascending.
    alive: Vec<usize>,
    best: Vec<Best>,
}

impl Merging {
    /// Twice the squared number of edges, times what Q gains when i and j are
    /// merged: an integer.
    fn gain(&self, i: usize, j: usize) -> i64 {
        self.ends * i64::from(self.between[i * self.nodes + j]) - self.degree[i] * self.degree[j]
    }

    /// The best merger of i; the lower number wins among equals. Only joined
    /// communities are merged: others would lose anyway.
    fn search(&self, i: usize) -> Best {
        let row = &self.between[i * self.nodes..(i + 1) * self.nodes];
        let mut best = NONE;
        for &j in &self.alive {
            if row[j] > 0 {
                let gain = self.ends * i64::from(row[j]) - self.degree[i] * self.degree[j];
                if gain > best.gain {
                    best = Best { gain, partner: j, stale: false };
                }
            }
        }
        best
    }

    /// The best merger of all, and whether another is as good.
    fn choose(&mut self) -> Option<(usize, usize, bool)> {
        loop {
            let mut chosen = None;
            let mut found = NONE.gain;
            let mut equal = 0;
            for &i in &self.alive {
                let gain = self.best[i].gain;
                if gain > found {
                    (chosen, found, equal) = (Some(i), gain, 1);
                } else if gain == found {
                    equal += 1;
                }
            }
            // Q would fall from here on.
            let i = chosen.filter(|_| found >= 0)?;
            if self.best[i].stale {
                self.best[i] = self.search(i);
            } else {
                // A single best pair is the best of both its members.
                return Some((i, self.best[i].partner, equal > 2));
            }
        }
    }

    fn merge(&mut self, from: usize, into: usize) {
        let nodes = self.nodes;
        self.alive.retain(|&k| k != from);
        self.degree[into] += self.degree[from];
        for &k in &self.alive {
            let moved = self.between[from * nodes + k];
            if moved > 0 && k != into {
                self.between[into * nodes + k] += moved;
                self.between[k * nodes + into] += moved;
            }
        }
        for at in 0..self.alive.len() {
            let k = self.alive[at];
            if k == into {
                continue;
            }
            let known = self.best[k];
            if self.between[k * nodes + into] > 0 {
                let gain = self.gain(k, into);
                if gain > known.gain || !known.stale && gain == known.gain && into < known.partner {
                    self.best[k] = Best { gain, partner: into, stale: false };
                    continue;
                }
            }
            // The gain that was known has fallen or is gone.
            self.best[k].stale |= known.partner == from || known.partner == into;
        }
        self.best[into] = self.search(into);
    }
}

/// Each node's community, named after one of its members, and whether any
/// choice was between equal gains.
pub fn greedy_communities(graph: &Graph) -> (Vec<usize>, bool) {
    let nodes = graph.nodes();
    let degree: Vec<i64> = graph.degrees().into_iter().map(|k| k as i64).collect();
    let mut merging = Merging {
        nodes,
        ends: degree.iter().sum(),
        between: vec![0; nodes * nodes],
        alive: (0..nodes).filter(|&i| degree[i] > 0).collect(),
        best: vec![NONE; nodes],
        degree,
    };
    for (i, j) in graph.edges() {
        merging.between[i * nodes + j] = 1;
        merging.between[j * nodes + i] = 1;
    }
    for i in 0..nodes {
        merging.best[i] = merging.search(i);
    }
    let mut community: Vec<usize> = (0..nodes).collect();
    let mut tied = false;
    while let Some((from, into, equal)) = merging.choose() {
        tied |= equal;
        merging.merge(from, into);
        community.iter_mut().filter(|name| **name == from).for_each(|name| *name = into);
    }
    (community, tied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::examples::*;

    fn greedy(graph: &Graph) -> (f64, usize) {
        let mut metric =
            Modularity::build(Params { quantile: 0.0, ..Params::default() }, &Setting::default()).unwrap();
        let weights = weights(graph);
        let found = metric.measure(&Network::new(weights.view())).unwrap();
        (found[0].value, found[1].value as usize)
    }

    #[test]
    fn of_a_given_partition() {
        // networkx 3.6.1: community.modularity(karate_club_graph(),
        // [range(0, 34, 2), range(1, 34, 2)], weight=None) and halves.
        let parity: Vec<usize> = (0..34).map(|i| i % 2).collect();
        assert!((modularity(&karate(), &parity) - -8.218277449054123e-05).abs() < 1e-14);
        let halves: Vec<usize> = (0..34).map(|i| i / 17).collect();
        assert!((modularity(&karate(), &halves) - 0.24326101249178175).abs() < 1e-14);
    }

    #[test]
    fn of_known_graphs() {
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
    fn greedy_merging_finds_what_networkx_finds() {
        // networkx 3.6.1: greedy_modularity_communities(karate_club_graph(), weight=None)
        let (q, _) = greedy(&karate());
        assert!((q - 0.3806706114398422).abs() < 0.01, "{q}");
    }

    #[test]
    fn relabelling_changes_nothing() {
        for graph in [karate(), random(90, 0.05, 1), random(90, 0.2, 2), ring(60, 3)] {
            let expected = greedy(&graph);
            for seed in 0..6 {
                assert_eq!(greedy(&shuffled(&graph, seed)), expected);
            }
        }
    }

    #[test]
    fn each_merge_is_the_best_there_is() {
        // The greedy rule by brute force, on graphs where ties are broken the
        // same way: the final Q is that of the definition.
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
}
