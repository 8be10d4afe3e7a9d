//! An undirected graph, stored as a matrix of bits.
//!
//! A row has ⌈N/64⌉ words, so counting common neighbours takes an AND and a
//! population count.

use std::cmp::Reverse;

/// An undirected graph on `0..nodes`. A node may be joined to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: usize,
    words: usize,
    bits: Vec<u64>,
}

impl Graph {
    /// A graph with `nodes` nodes and no edges.
    pub fn empty(nodes: usize) -> Self {
        let words = nodes.div_ceil(64);
        Graph { nodes, words, bits: vec![0; nodes * words] }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Number of 64-bit words per row.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Neighbours of `node` as bits; bits past the last node are zero.
    #[inline(always)]
    pub fn row(&self, node: usize) -> &[u64] {
        &self.bits[node * self.words..(node + 1) * self.words]
    }

    /// A mutable row; the caller must keep the matrix symmetric.
    pub fn row_mut(&mut self, node: usize) -> &mut [u64] {
        &mut self.bits[node * self.words..(node + 1) * self.words]
    }

    /// Copies the upper triangle to the lower one, 64×64 bits at a time. The
    /// lower triangle must be empty.
    #[inline(always)]
    pub fn mirror(&mut self) {
        let words = self.words;
        for across in 0..words {
            for down in 0..=across {
                let mut block = [0u64; 64];
                let rows = (down * 64..self.nodes.min(down * 64 + 64)).map(|row| row * words + across);
                for (word, at) in block.iter_mut().zip(rows) {
                    *word = self.bits[at];
                }
                transpose(&mut block);
                let rows = (across * 64..self.nodes.min(across * 64 + 64)).map(|row| row * words + down);
                for (&word, at) in block.iter().zip(rows) {
                    self.bits[at] |= word;
                }
            }
        }
    }

    /// Joins two nodes (or one to itself).
    #[inline(always)]
    pub fn join(&mut self, i: usize, j: usize) {
        self.bits[i * self.words + j / 64] |= 1 << (j % 64);
        self.bits[j * self.words + i / 64] |= 1 << (i % 64);
    }

    /// Removes an edge.
    #[inline(always)]
    pub fn part(&mut self, i: usize, j: usize) {
        self.bits[i * self.words + j / 64] &= !(1 << (j % 64));
        self.bits[j * self.words + i / 64] &= !(1 << (i % 64));
    }

    /// Whether two nodes are joined.
    #[inline(always)]
    pub fn joined(&self, i: usize, j: usize) -> bool {
        self.bits[i * self.words + j / 64] >> (j % 64) & 1 == 1
    }

    /// Neighbours of `node`, ascending.
    #[inline(always)]
    pub fn neighbours(&self, node: usize) -> Ones<'_> {
        ones(self.row(node))
    }

    /// Number of neighbours of `node`, including itself if it has a loop.
    #[inline(always)]
    pub fn degree(&self, node: usize) -> usize {
        self.row(node).iter().map(|w| w.count_ones() as usize).sum()
    }

    /// All degrees.
    pub fn degrees(&self) -> Vec<usize> {
        (0..self.nodes).map(|node| self.degree(node)).collect()
    }

    /// Edges as (i, j) with i ≤ j, in ascending order.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.nodes).flat_map(|i| self.neighbours(i).from(i).map(move |j| (i, j)))
    }

    /// Number of edges.
    pub fn size(&self) -> usize {
        self.edges().count()
    }

    /// The graph with node `order[k]` renamed to k.
    pub fn relabelled(&self, order: &[usize]) -> Graph {
        let mut name = vec![0; self.nodes];
        for (new, &old) in order.iter().enumerate() {
            name[old] = new;
        }
        let mut graph = Graph::empty(self.nodes);
        for (i, j) in self.edges() {
            graph.join(name[i], name[j]);
        }
        graph
    }

    /// The same graph with canonical node numbers, which do not depend on the
    /// original ones. Algorithms that break ties or draw by node number then
    /// give the same result for relabelled networks.
    ///
    /// Colour refinement (Weisfeiler and Leman 1968): a node's colour starts as
    /// its degree and is refined by the colours of its neighbours until nothing
    /// changes. Remaining nodes of equal colour are singled out one at a time.
    /// The result is canonical if nodes of equal colour are images of each other
    /// under automorphisms, which holds except for highly regular graphs.
    pub fn canonical(&self) -> Graph {
        self.relabelled(&self.canonical_order())
    }

    /// The order of nodes with which [`Graph::relabelled`] gives the canonical
    /// form.
    pub fn canonical_order(&self) -> Vec<usize> {
        let neighbours: Vec<Vec<usize>> = (0..self.nodes).map(|i| self.neighbours(i).collect()).collect();
        let mut colours: Vec<u64> = neighbours.iter().map(|list| mix(list.len() as u64)).collect();
        loop {
            refine(&neighbours, &mut colours);
            let mut order: Vec<usize> = (0..self.nodes).collect();
            // Stable, so nodes of one colour keep their order. Hubs come first,
            // which speeds up searches through the graph.
            order.sort_by_key(|&i| (Reverse(neighbours[i].len()), colours[i]));
            let ambiguous = order
                .chunk_by(|&a, &b| colours[a] == colours[b])
                .find(|class| class.len() > 1 && !self.twins(class))
                .map(|class| class[0]);
            match ambiguous {
                Some(node) => colours[node] = mix(colours[node] ^ SINGLED_OUT),
                None => return order,
            }
        }
    }

    /// Whether all nodes of `class` have the same neighbours, apart from each
    /// other, so that exchanging them does not change the graph.
    fn twins(&self, class: &[usize]) -> bool {
        let with = |node: usize| {
            let mut row = self.row(node).to_vec();
            row[node / 64] |= 1 << (node % 64);
            row
        };
        class.iter().all(|&node| self.row(node) == self.row(class[0])) || {
            let first = with(class[0]);
            class.iter().all(|&node| with(node) == first)
        }
    }
}

const SINGLED_OUT: u64 = 0x9e37_79b9_7f4a_7c15;

/// Refines colours by the neighbours' colours until their number is constant.
fn refine(neighbours: &[Vec<usize>], colours: &mut Vec<u64>) {
    let count = |colours: &[u64]| {
        let mut sorted = colours.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.len()
    };
    let mut known = count(colours);
    while known < colours.len() {
        let mixed: Vec<u64> = colours.iter().map(|&c| mix(c)).collect();
        let next: Vec<u64> = neighbours
            .iter()
            .zip(colours.iter())
            .map(|(list, &own)| {
                let around = list.iter().fold(0u64, |sum, &j| sum.wrapping_add(mixed[j]));
                mix(own.rotate_left(17) ^ mix(around))
            })
            .collect();
        let now = count(&next);
        if now <= known {
            return;
        }
        (*colours, known) = (next, now);
    }
}

/// Transposes a 64×64 block of bits by swapping halves, then quarters, and so
/// on.
#[inline(always)]
fn transpose(block: &mut [u64; 64]) {
    let mut low = u64::MAX >> 32;
    for width in [32, 16, 8, 4, 2, 1] {
        for pair in block.chunks_exact_mut(2 * width) {
            let (upper, lower) = pair.split_at_mut(width);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let moved = (*upper >> width ^ *lower) & low;
                *lower ^= moved;
                *upper ^= moved << width;
            }
        }
        low ^= low << (width / 2);
    }
}

/// Scatters the bits of `x` (the finalizer of SplitMix64, Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Iterates over the positions of the set bits of a row, ascending.
#[inline(always)]
pub fn ones(row: &[u64]) -> Ones<'_> {
    Ones { row, at: 0, rest: row.first().copied().unwrap_or(0) }
}

/// Iterator of [`ones`].
#[derive(Clone)]
pub struct Ones<'a> {
    row: &'a [u64],
    /// Index of the current word, and its remaining bits.
    at: usize,
    rest: u64,
}

impl Iterator for Ones<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.rest == 0 {
            self.at += 1;
            self.rest = *self.row.get(self.at)?;
        }
        let one = self.at * 64 + self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        Some(one)
    }
}

impl Ones<'_> {
    /// Skips positions below `first`.
    #[inline(always)]
    pub fn from(mut self, first: usize) -> Self {
        self.at = first / 64;
        self.rest = self.row.get(self.at).map_or(0, |word| word & u64::MAX << (first % 64));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::*;

    #[test]
    fn the_canonical_form_does_not_depend_on_numbering() {
        let disjoint = from_edges(12, &[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]);
        let mut graphs = vec![Graph::empty(5), complete(70), ring(40, 2), star(80), karate(), disjoint];
        graphs.extend((0..20).map(|seed| random(90, 0.02 + 0.02 * seed as f64, seed)));
        for (k, graph) in graphs.iter().enumerate() {
            let canonical = graph.canonical();
            assert_eq!(canonical.size(), graph.size());
            for seed in 0..5 {
                assert!(shuffled(graph, seed).canonical() == canonical, "graph {k}, seed {seed}");
            }
        }
    }

    #[test]
    fn edges_are_added_and_removed() {
        let mut graph = ring(130, 1);
        assert!(graph.joined(129, 0) && graph.joined(0, 129) && !graph.joined(0, 64));
        graph.part(129, 0);
        assert_eq!((graph.size(), graph.degree(0), graph.degree(129), graph.degree(64)), (129, 1, 1, 2));
        assert_eq!(graph.neighbours(64).collect::<Vec<_>>(), [63, 65]);
    }
}
