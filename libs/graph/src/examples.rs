//! Small graphs with known measures, for tests.

use pallium_core::prelude::*;

use crate::graph::Graph;

/// A graph with these edges.
pub fn from_edges(nodes: usize, edges: &[(usize, usize)]) -> Graph {
    let mut graph = Graph::empty(nodes);
    for &(i, j) in edges {
        graph.join(i, j);
    }
    graph
}

/// Every node joined to every other.
pub fn complete(nodes: usize) -> Graph {
    let edges: Vec<_> = (0..nodes).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    from_edges(nodes, &edges)
}

/// A ring: each node is joined to the next `reach` nodes.
pub fn ring(nodes: usize, reach: usize) -> Graph {
    let edges: Vec<_> = (0..nodes).flat_map(|i| (1..=reach).map(move |k| (i, (i + k) % nodes))).collect();
    from_edges(nodes, &edges)
}

/// Node 0 joined to all others.
pub fn star(nodes: usize) -> Graph {
    from_edges(nodes, &(1..nodes).map(|i| (0, i)).collect::<Vec<_>>())
}

/// Zachary's karate club, 34 members and 78 friendships (Zachary 1977).
pub fn karate() -> Graph {
    let edges: Vec<_> =
        KARATE.iter().enumerate().flat_map(|(i, list)| list.iter().map(move |&j| (i, j))).collect();
    from_edges(34, &edges)
}

/// A random graph without loops; each pair is joined with probability `share`.
pub fn random(nodes: usize, share: f64, seed: u64) -> Graph {
    use rand::Rng;
    let mut rng = random::stream(seed, "example graph");
    let mut graph = Graph::empty(nodes);
    for i in 0..nodes {
        for j in 0..i {
            if rng.random_bool(share) {
                graph.join(i, j);
            }
        }
    }
    graph
}

/// The same graph with its nodes renumbered at random.
pub fn shuffled(graph: &Graph, seed: u64) -> Graph {
    use rand::seq::SliceRandom;
    let mut order: Vec<usize> = (0..graph.nodes()).collect();
    order.shuffle(&mut random::stream(seed, "shuffle"));
    graph.relabelled(&order)
}

/// The binary matrix of `graph`.
pub fn weights(graph: &Graph) -> Matrix {
    Matrix::from_shape_fn((graph.nodes(), graph.nodes()), |(i, j)| f32::from(graph.joined(i, j)))
}

/// Signed weights of 2 to 16 neurons with ties, repeated values and zeros:
/// matrix `k` of the tables that `fixtures/random_graphs.py` of
/// plugins/connectivity writes.
pub fn tied_weights(k: u64) -> Matrix {
    let n = 2 + scattered(k, 0, 5000) % 15;
    let levels = [1, 2, 5, 1 << 20][(scattered(k, 1, 5000) % 4) as usize];
    let zeros = [0, 50, 80, 93][(scattered(k, 2, 5000) % 4) as usize];
    Matrix::from_shape_fn((n as usize, n as usize), |(i, j)| {
        let x = scattered(k, i as u64, j as u64);
        if x % 100 < zeros {
            return 0.0;
        }
        let size = (1 + (x >> 8) % levels) as f64 / levels as f64;
        if x >> 40 & 1 == 1 { -size as f32 } else { size as f32 }
    })
}

/// An integer that looks random (the finalizer of SplitMix64, Steele et al.
/// 2014).
fn scattered(k: u64, i: u64, j: u64) -> u64 {
    let x = (k * 1_000_003 + i * 1_009 + j + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[rustfmt::skip]
const KARATE: [&[usize]; 34] = [
    &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31], &[2, 3, 7, 13, 17, 19, 21, 30],
    &[3, 7, 8, 9, 13, 27, 28, 32], &[7, 12, 13], &[6, 10], &[6, 10, 16], &[16], &[], &[30, 32, 33],
    &[33], &[], &[], &[], &[33], &[32, 33], &[32, 33], &[], &[], &[32, 33], &[33], &[32, 33], &[],
    &[32, 33], &[25, 27, 29, 32, 33], &[25, 27, 31], &[31], &[29, 33], &[33], &[31, 33], &[32, 33],
    &[32, 33], &[32, 33], &[33], &[],
];
