//! Communities of a recurrent matrix: which neurons belong together.
//!
//! The graph is that of the measures of organization: weights whose magnitude
//! is above a quantile, without self-loops, undirected. Communities are found
//! by greedy agglomeration (Clauset, Newman, Moore 2004), tried in several
//! orders of equal gains, as `modularity` does.

use ndarray::Array2;
use pallium_core::rand::seq::SliceRandom;
use pallium_core::random;

/// Times that communities are looked for, as the measure does.
const ORDERS: usize = 16;

/// Neurons by community.
#[derive(Clone, Debug, PartialEq)]
pub struct Communities {
    /// Community of each neuron, from 0, the largest first. Neurons without
    /// connections are communities of one.
    pub of: Vec<usize>,
    /// Number of neurons of each community.
    pub sizes: Vec<usize>,
    /// Modularity Q of the division; not a number of a graph without edges.
    pub modularity: f64,
}

impl Communities {
    /// Neurons in order of their community, within it by number of
    /// connections.
    pub fn order(&self, degree: &[usize]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.of.len()).collect();
        order.sort_by_key(|&i| (self.of[i], usize::MAX - degree.get(i).copied().unwrap_or(0), i));
        order
    }
}

/// The graph of a matrix: for each neuron, whom it is connected to.
pub fn graph(weights: &Array2<f32>, quantile: f64) -> Vec<Vec<usize>> {
    let bar = magnitude_quantile(weights, quantile);
    let n = weights.nrows();
    let strong = |i: usize, j: usize| f64::from(weights[[i, j]].abs()) > bar;
    (0..n).map(|i| (0..n).filter(|&j| i != j && (strong(i, j) || strong(j, i))).collect()).collect()
}

/// Quantile of the magnitudes of all entries, linearly interpolated.
fn magnitude_quantile(weights: &Array2<f32>, quantile: f64) -> f64 {
    let mut all: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
    if all.is_empty() {
        return 0.0;
    }
    let place = quantile * (all.len() - 1) as f64;
    let at = place.floor() as usize;
    let (_, low, above) = all.select_nth_unstable_by(at, f32::total_cmp);
    let low = f64::from(*low);
    let high = above.iter().copied().fold(f32::INFINITY, f32::min);
    if above.is_empty() { low } else { low + (place - at as f64) * (f64::from(high) - low) }
}

/// Finds the communities of the graph of `weights`.
pub fn communities(weights: &Array2<f32>, quantile: f64) -> Communities {
    divide(&graph(weights, quantile))
}

/// Divides a graph as often as `modularity` does, breaking equal gains in
/// another order each time; the division of highest Q counts.
fn divide(graph: &[Vec<usize>]) -> Communities {
    let n = graph.len();
    let mut order: Vec<usize> = (0..n).collect();
    let mut rng = random::stream(0, "orders of equal gains in a figure's communities");
    let mut found: Option<(f64, Vec<usize>)> = None;
    for round in 0..ORDERS {
        if round > 0 {
            order.shuffle(&mut rng);
        }
        let (of, tied) = merged(graph, &order);
        let q = modularity(graph, &of);
        if found.as_ref().is_none_or(|(best, _)| q > *best) {
            found = Some((q, of));
        }
        if !tied {
            break;
        }
    }
    let (modularity, names) = found.unwrap_or_default();
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); n];
    names.iter().enumerate().for_each(|(i, &name)| groups[name].push(i));
    groups.retain(|members| !members.is_empty());
    groups.sort_by_key(|members| (usize::MAX - members.len(), members[0]));
    let mut of = vec![0; n];
    for (place, group) in groups.iter().enumerate() {
        group.iter().for_each(|&i| of[i] = place);
    }
    Communities { modularity, sizes: groups.iter().map(Vec::len).collect(), of }
}

/// Joins, from single neurons on, the two communities whose joining raises Q
/// most, until all joining lowers it. For each neuron the place of its
/// community, and whether a choice was ever between equals; among equals the
/// one that comes first in `order` is taken.
///
/// Gains are integers (4·edges² times the gain in Q), where equal is equal.
fn merged(graph: &[Vec<usize>], order: &[usize]) -> (Vec<usize>, bool) {
    let n = graph.len();
    let mut place = vec![0; n];
    order.iter().enumerate().for_each(|(at, &i)| place[i] = at);
    let mut degree: Vec<i64> = order.iter().map(|&i| graph[i].len() as i64).collect();
    let ends: i64 = degree.iter().sum();
    let mut between = Array2::<i64>::zeros((n, n));
    for (i, own) in graph.iter().enumerate() {
        own.iter().for_each(|&j| between[[place[i], place[j]]] = 1);
    }
    let mut alive: Vec<usize> = (0..n).filter(|&k| degree[k] > 0).collect();
    // Of each community the partner that gains most, among those connected.
    let search = |k: usize, alive: &[usize], between: &Array2<i64>, degree: &[i64]| {
        let mut best = (i64::MIN, k);
        for &other in alive {
            let edges = between[[k, other]];
            if edges > 0 && other != k {
                let gain = ends * edges - degree[k] * degree[other];
                if gain > best.0 {
                    best = (gain, other);
                }
            }
        }
        best
    };
    let mut best: Vec<(i64, usize)> = (0..n).map(|k| search(k, &alive, &between, &degree)).collect();
    let mut name: Vec<usize> = (0..n).collect();
    let mut tied = false;
    while let Some(into) = alive.iter().copied().reduce(|a, b| if best[b].0 > best[a].0 { b } else { a })
        && best[into].0 >= 0
    {
        let (highest, from) = best[into];
        // A single best pair is the best of both its members.
        tied |= alive.iter().filter(|&&k| best[k].0 == highest).count() > 2;
        alive.retain(|&k| k != from);
        name.iter_mut().filter(|own| **own == from).for_each(|own| *own = into);
        degree[into] += std::mem::take(&mut degree[from]);
        for &k in alive.iter().filter(|&&k| k != into) {
            let moved = between[[k, from]];
            between[[k, into]] += moved;
            between[[into, k]] += moved;
        }
        for &k in alive.iter().filter(|&&k| k != into) {
            let edges = between[[k, into]];
            let gain = if edges > 0 { ends * edges - degree[k] * degree[into] } else { i64::MIN };
            let (known, partner) = best[k];
            if gain > known || gain == known && into <= partner {
                best[k] = (gain, into);
            } else if partner == from || partner == into {
                best[k] = search(k, &alive, &between, &degree);
            }
        }
        best[into] = search(into, &alive, &between, &degree);
    }
    // By neuron again.
    (place.iter().map(|&at| name[at]).collect(), tied)
}

/// Modularity (Newman, Girvan 2004) of a division.
fn modularity(graph: &[Vec<usize>], of: &[usize]) -> f64 {
    let total = graph.iter().map(Vec::len).sum::<usize>() as f64;
    let count = of.iter().max().map_or(0, |m| m + 1);
    let (mut inside, mut ends) = (vec![0.0; count], vec![0.0; count]);
    for (i, own) in graph.iter().enumerate() {
        ends[of[i]] += own.len() as f64;
        inside[of[i]] += own.iter().filter(|&&j| of[j] == of[i]).count() as f64;
    }
    inside.iter().zip(&ends).map(|(a, b)| a / total - (b / total).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zachary's karate club (1977).
    const KARATE: &str = "0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-10 0-11 0-12 0-13 0-17 0-19 0-21 0-31 1-2 1-3 1-7 \
        1-13 1-17 1-19 1-21 1-30 2-3 2-7 2-8 2-9 2-13 2-27 2-28 2-32 3-7 3-12 3-13 4-6 4-10 5-6 5-10 5-16 6-16 \
        8-30 8-32 8-33 9-33 13-33 14-32 14-33 15-32 15-33 18-32 18-33 19-33 20-32 20-33 22-32 22-33 23-25 23-27 \
        23-29 23-32 23-33 24-25 24-27 24-31 25-31 26-29 26-33 27-33 28-31 28-33 29-32 29-33 30-32 30-33 31-32 \
        31-33 32-33";

    fn karate() -> Vec<Vec<usize>> {
        let mut graph = vec![Vec::new(); 34];
        for edge in KARATE.split_whitespace() {
            let (a, b) = edge.split_once('-').unwrap();
            let (a, b): (usize, usize) = (a.parse().unwrap(), b.parse().unwrap());
            graph[a].push(b);
            graph[b].push(a);
        }
        graph
    }

    #[test]
    fn the_karate_club_falls_apart_as_published() {
        // Clauset, Newman, Moore 2004: Q = 0.381 with three communities; so
        // says networkx, 0.3806706.
        let found = divide(&karate());
        assert_eq!(found.sizes, [17, 9, 8]);
        assert!((found.modularity - 0.380_670_611_439_842_2).abs() < 1e-12, "{}", found.modularity);
    }

    #[test]
    fn two_cliques_are_two_communities() {
        let mut weights = Array2::<f32>::zeros((8, 8));
        for i in 0..8 {
            for j in 0..8 {
                if i % 2 == j % 2 && i != j {
                    weights[[i, j]] = -1.0;
                }
            }
        }
        let found = communities(&weights, 0.5);
        assert_eq!(found.of, [0, 1, 0, 1, 0, 1, 0, 1]);
        assert!((found.modularity - 0.5).abs() < 1e-12);
        assert_eq!(found.order(&[0, 0, 9, 0, 0, 0, 0, 0]), [2, 0, 4, 6, 1, 3, 5, 7]);
    }

    #[test]
    fn without_edges_everyone_is_alone() {
        let found = communities(&Array2::zeros((3, 3)), 0.9);
        assert_eq!((found.of, found.sizes), (vec![0, 1, 2], vec![1, 1, 1]));
        assert!(found.modularity.is_nan());
    }

    #[test]
    fn the_quantile_is_interpolated() {
        let weights = Array2::from_shape_vec((2, 2), vec![-4.0, 1.0, 2.0, -3.0]).unwrap();
        assert!((magnitude_quantile(&weights, 0.9) - 3.7).abs() < 1e-6);
    }
}
