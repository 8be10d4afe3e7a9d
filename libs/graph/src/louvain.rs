//! Communities of large weighted graphs by Louvain's method (Blondel, Guillaume,
//! Lambiotte and Lefebvre 2008): nodes move to the neighbouring community that raises
//! the modularity most until none moves; then communities become the nodes of a smaller
//! graph, until it no longer shrinks.

use pallium_core::prelude::*;
use pallium_core::rand::seq::SliceRandom;

/// An undirected graph: for each node its neighbours and the weights of the edges, in
/// both directions. An edge of a node with itself counts twice.
pub struct Weighted {
    indptr: Vec<usize>,
    edges: Vec<(u32, f64)>,
}

impl Weighted {
    /// Both directions of each pair added up; connections of neurons with themselves are
    /// left out.
    pub fn new(connections: ConnectionsView<'_>, weights: &[f32]) -> Self {
        let mut all: Vec<(u32, u32, f64)> = Vec::with_capacity(2 * connections.len());
        for ((i, j), &w) in connections.pairs().zip(weights).filter(|((i, j), _)| i != j) {
            let (i, j, w) = (i as u32, j as u32, f64::from(w.abs()));
            all.extend([(i, j, w), (j, i, w)]);
        }
        Self::from_ends(connections.dim().0, all)
    }

    fn from_ends(nodes: usize, mut all: Vec<(u32, u32, f64)>) -> Self {
        // By weight too, so that sums do not depend on the order.
        all.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        all.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 += next.2;
            }
            same
        });
        let mut indptr = vec![0; nodes + 1];
        for (i, ..) in &all {
            indptr[*i as usize + 1] += 1;
        }
        for node in 0..nodes {
            indptr[node + 1] += indptr[node];
        }
        Weighted { indptr, edges: all.into_iter().map(|(_, j, w)| (j, w)).collect() }
    }

    fn nodes(&self) -> usize {
        self.indptr.len() - 1
    }

    /// The neighbours of a node, ascending.
    pub fn of(&self, node: usize) -> &[(u32, f64)] {
        &self.edges[self.indptr[node]..self.indptr[node + 1]]
    }

    fn strengths(&self) -> Vec<f64> {
        (0..self.nodes()).map(|node| self.of(node).iter().map(|(_, w)| w).sum()).collect()
    }
}

/// Modularity of communities (Newman 2004); NaN without edges.
pub fn modularity(graph: &Weighted, community: &[u32]) -> f64 {
    let n = graph.nodes();
    let (mut within, mut strength) = (vec![0.0; n], vec![0.0; n]);
    for (node, of) in graph.strengths().into_iter().enumerate() {
        let own = community[node];
        strength[own as usize] += of;
        let inside = graph.of(node).iter().filter(|(other, _)| community[*other as usize] == own);
        within[own as usize] += inside.map(|(_, w)| w).sum::<f64>();
    }
    let total: f64 = strength.iter().sum();
    within.iter().zip(&strength).map(|(w, s)| w / total - (s / total).powi(2)).sum()
}

/// The best of `rounds` divisions, each in another order of the nodes: the community of
/// each node, numbered from 0, and the modularity.
pub fn communities(graph: &Weighted, rounds: u32) -> (Vec<u32>, f64) {
    let mut best: Option<(Vec<u32>, f64)> = None;
    for round in 0..rounds.max(1) {
        let found = divide(graph, u64::from(round));
        let q = modularity(graph, &found);
        if best.as_ref().is_none_or(|(_, most)| q > *most) {
            best = Some((found, q));
        }
    }
    best.unwrap_or_default()
}

fn divide(graph: &Weighted, seed: u64) -> Vec<u32> {
    let mut stream = random::stream(seed, "order of nodes in Louvain's method");
    let mut of_node: Vec<u32> = (0..graph.nodes() as u32).collect();
    let mut coarse: Option<Weighted> = None;
    loop {
        let now = coarse.as_ref().unwrap_or(graph);
        let mut order: Vec<usize> = (0..now.nodes()).collect();
        order.shuffle(&mut stream);
        let (community, count) = moved(now, &order);
        of_node.iter_mut().for_each(|node| *node = community[*node as usize]);
        if count == now.nodes() {
            return of_node;
        }
        let ends = (0..now.nodes()).flat_map(|node| {
            let community = &community;
            now.of(node).iter().map(move |&(other, w)| (community[node], community[other as usize], w))
        });
        coarse = Some(Weighted::from_ends(count, ends.collect()));
    }
}

/// Moves nodes until no move raises the modularity. Returns their communities, numbered
/// from 0, and the number of these.
fn moved(graph: &Weighted, order: &[usize]) -> (Vec<u32>, usize) {
    let n = graph.nodes();
    let strength = graph.strengths();
    let total: f64 = strength.iter().sum();
    let mut community: Vec<u32> = (0..n as u32).collect();
    let mut sums = strength.clone();
    // Weights from the node at hand to each community.
    let mut towards = vec![0.0; n];
    // A gain below this is rounding.
    let least = 1e-12 * total;
    let mut moving = total > 0.0;
    while moving {
        moving = false;
        for &node in order {
            let own = community[node];
            let mut near = vec![own];
            for &(other, w) in graph.of(node).iter().filter(|(other, _)| *other as usize != node) {
                let of = community[other as usize];
                if towards[of as usize] == 0.0 && of != own {
                    near.push(of);
                }
                towards[of as usize] += w;
            }
            sums[own as usize] -= strength[node];
            let gain = |of: u32| towards[of as usize] - strength[node] * sums[of as usize] / total;
            let mut best = own;
            for &of in &near[1..] {
                if gain(of) > gain(best) + least {
                    best = of;
                }
            }
            sums[best as usize] += strength[node];
            if best != own {
                community[node] = best;
                moving = true;
            }
            near.iter().for_each(|&of| towards[of as usize] = 0.0);
        }
    }
    let mut number = vec![u32::MAX; n];
    let mut count = 0;
    for of in &mut community {
        let name = &mut number[*of as usize];
        if *name == u32::MAX {
            *name = count;
            count += 1;
        }
        *of = *name;
    }
    (community, count as usize)
}
