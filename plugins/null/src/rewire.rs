//! Other pairs with the same degrees: pairs of connections exchange their targets
//! (Maslov and Sneppen 2002). Connections of neurons with themselves stay.

use std::collections::BTreeSet;

use pallium_core::random::Stream;
use pallium_graph::{Rewire, Rewiring};

/// The targets of each neuron.
struct Targets(Vec<BTreeSet<u32>>);

impl Rewire for Targets {
    fn joined(&self, i: usize, j: usize) -> bool {
        i == j || self.0[i].contains(&(j as u32))
    }

    fn redirect(&mut self, from: usize, old: usize, new: usize) {
        self.0[from].remove(&(old as u32));
        self.0[from].insert(new as u32);
    }
}

/// The pairs after `attempts` exchanges for each, of which those that would connect a
/// pair twice or a neuron to itself are left out, as are those that `accepts` refuses:
/// it receives i, j, k, l where i → j and k → l would become i → l and k → j.
pub fn rewired(
    n: usize,
    pairs: &[(u32, u32)],
    attempts: usize,
    stream: &mut Stream,
    accepts: impl Fn([usize; 4]) -> bool,
) -> Vec<(u32, u32)> {
    let (loops, moving): (Vec<_>, Vec<_>) = pairs.iter().copied().partition(|(i, j)| i == j);
    // Of a complete graph no connection can move.
    if moving.len() == n * n.saturating_sub(1) {
        return pairs.to_vec();
    }
    let mut targets = vec![BTreeSet::new(); n];
    for &(i, j) in &moving {
        targets[i as usize].insert(j);
    }
    let edges = moving.into_iter().map(|(i, j)| (i as usize, j as usize));
    let mut rewiring = Rewiring::from_edges(Targets(targets), true, edges);
    let Targets(found) = rewiring.swap_if(attempts, stream, |_, ends| accepts(ends));
    let found = found.iter().enumerate().flat_map(|(i, to)| to.iter().map(move |&j| (i as u32, j)));
    loops.into_iter().chain(found).collect()
}
