//! Controls of sets of connections: other pairs with the same weights.

use std::collections::BTreeSet;

use pallium_core::random::Stream;
use rand::Rng;

/// Exchanges that are tried for each connection.
const EXCHANGES: usize = 20;

/// A connection: from, to, weight.
pub type Connection = (u32, u32, f64);

/// Moves all connections to pairs drawn from those of `n` different neurons.
pub fn draw(connections: &mut [Connection], n: usize, stream: &mut Stream) {
    let drawn = rand::seq::index::sample(stream, n * n.saturating_sub(1), connections.len());
    for ((from, to, _), at) in connections.iter_mut().zip(drawn) {
        let (i, j) = (at / (n - 1), at % (n - 1));
        (*from, *to) = (i as u32, (j + usize::from(j >= i)) as u32);
    }
}

/// Exchanges the targets of pairs of connections, unless that would connect a neuron to
/// itself or a pair twice.
pub fn exchange(connections: &mut [Connection], stream: &mut Stream) {
    let mut taken: BTreeSet<(u32, u32)> = connections.iter().map(|&(i, j, _)| (i, j)).collect();
    let count = connections.len();
    for _ in 0..EXCHANGES * count {
        let (a, b) = (stream.random_range(0..count), stream.random_range(0..count));
        let ((i, j, _), (k, l, _)) = (connections[a], connections[b]);
        if i == l || k == j || taken.contains(&(i, l)) || taken.contains(&(k, j)) {
            continue;
        }
        taken.remove(&(i, j));
        taken.remove(&(k, l));
        taken.insert((i, l));
        taken.insert((k, j));
        (connections[a].1, connections[b].1) = (l, j);
    }
}
