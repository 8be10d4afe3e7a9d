//! The graph that the organization metrics look at, as rows of bits.
//!
//! Two neurons are joined if |weight| exceeds the `quantile` of all N² values
//! of |weight| in either direction; self-connections are left out (Shakiba et
//! al. 2026). A row is ⌈N/64⌉ words, so that common neighbours are an AND and
//! a population count.

use std::cell::RefCell;
use std::cmp::Reverse;

use pallium_core::ndarray::ArrayView2;
use pallium_core::prelude::*;

pallium_core::params! {
    /// Which graph is measured.
    pub struct GraphParams {
        /// Two neurons are joined if |weight| exceeds this quantile of all N²
        /// values of |weight| (0 to 1), in either direction.
        quantile: f64 = 0.9,
    }
}

impl GraphParams {
    /// Refuses a quantile outside 0 to 1.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<()> {
        one_of_range("quantile", self.quantile, 0.0, 1.0)
    }
}

/// The recurrent matrix, square and finite.
///
/// # Errors
/// If it is not; the message names row and column.
pub fn recurrent<'a>(network: &Network<'a>) -> Result<MatrixView<'a>> {
    let (rows, columns) = network.recurrent.dim();
    if rows != columns {
        return Err(Error::input(format!("the recurrent matrix is {rows}×{columns}"))
            .help("it must be square: row i, column j is the weight from neuron i to neuron j"));
    }
    match network.recurrent.indexed_iter().find(|(_, w)| !w.is_finite()) {
        Some(((i, j), w)) => {
            Err(Error::input(format!("the recurrent matrix has {w} at row {i}, column {j}"))
                .help("organization is measured on finite weights; did the run diverge?"))
        }
        None => Ok(network.recurrent),
    }
}

/// The `quantile` of all |values|, interpolated linearly between neighbours as
/// numpy does by default; not a number if there are none.
pub fn quantile_of_magnitudes(values: ArrayView2<'_, f32>, quantile: f64) -> f64 {
    // Bit patterns of non-negative floats are ordered as the floats are.
    let mut bits: Vec<u32> = values.iter().map(|v| v.abs().to_bits()).collect();
    let Some(last) = bits.len().checked_sub(1) else { return f64::NAN };
    let position = quantile * last as f64;
    let index = (position.floor() as usize).min(last);
    let fraction = position - index as f64;
    let (_, low, above) = bits.select_nth_unstable(index);
    let low = f64::from(f32::from_bits(*low));
    let high = above.iter().min().map_or(low, |&b| f64::from(f32::from_bits(b)));
    // Numpy's order of operations, for equality to the last bit.
    if fraction < 0.5 { low + (high - low) * fraction } else { high - (high - low) * (1.0 - fraction) }
}

/// A graph and what it was made of.
struct Made {
    weights: Matrix,
    quantile: f64,
    graph: Graph,
    threshold: f64,
}

impl Made {
    fn of(network: &Network<'_>, quantile: f64) -> Result<Self> {
        let weights = recurrent(network)?;
        let threshold = quantile_of_magnitudes(weights, quantile);
        let mut graph = Graph::empty(weights.nrows());
        for ((i, j), w) in weights.indexed_iter() {
            if i != j && f64::from(w.abs()) > threshold {
                graph.join(i, j);
            }
        }
        Ok(Made { weights: weights.to_owned(), quantile, graph, threshold })
    }
}

/// An undirected graph on `0..nodes`. Without self-loops, except for one of
/// the [null ensembles](crate::null).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: usize,
    words: usize,
    bits: Vec<u64>,
}

impl Graph {
    /// `nodes` nodes and no edge.
    pub fn empty(nodes: usize) -> Self {
        let words = nodes.div_ceil(64);
        Graph { nodes, words, bits: vec![0; nodes * words] }
    }

    /// The graph of a network, and the threshold that |weight| has to exceed.
    ///
    /// Six metrics look at the same graph of one network after the other. To find
    /// the threshold takes longer than most of them, so a thread remembers the
    /// graph that it made last.
    ///
    /// # Errors
    /// As [`recurrent`].
    pub fn of(network: &Network<'_>, quantile: f64) -> Result<(Self, f64)> {
        thread_local!(static LAST: RefCell<Option<Made>> = const { RefCell::new(None) });
        LAST.with_borrow_mut(|last| {
            let made = match last {
                Some(made) if made.quantile == quantile && made.weights == network.recurrent => made,
                _ => last.insert(Made::of(network, quantile)?),
            };
            Ok((made.graph.clone(), made.threshold))
        })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Number of 64-bit words of a row.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Neighbours of `node` as bits; those past the last node are zero.
    #[inline(always)]
    pub fn row(&self, node: usize) -> &[u64] {
        &self.bits[node * self.words..(node + 1) * self.words]
    }

    /// A row, to be changed; the caller keeps the matrix symmetric.
    pub(crate) fn row_mut(&mut self, node: usize) -> &mut [u64] {
        &mut self.bits[node * self.words..(node + 1) * self.words]
    }

    /// Makes the matrix symmetric where only what lies right of the diagonal,
    /// and on it, is filled: the other half is put there, 64×64 bits at a time.
    #[inline(always)]
    pub(crate) fn mirror(&mut self) {
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

    /// Takes an edge away.
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

    /// Number of neighbours of `node`, itself included if it has a loop.
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

    /// The same graph under names that do not depend on how its nodes were
    /// numbered, so that whatever breaks ties or draws by number gives the
    /// same result for relabelled networks.
    ///
    /// Colour refinement (Weisfeiler and Leman 1968): a node's colour is its
    /// degree, then is told apart by the colours of its neighbours until
    /// nothing changes. Nodes that keep the same colour are singled out one at
    /// a time. That is a canonical form wherever nodes of one colour are
    /// images of each other, which holds in practice; the exceptions are
    /// highly regular graphs.
    pub fn canonical(&self) -> Graph {
        let neighbours: Vec<Vec<usize>> = (0..self.nodes).map(|i| self.neighbours(i).collect()).collect();
        let mut colours: Vec<u64> = neighbours.iter().map(|list| mix(list.len() as u64)).collect();
        loop {
            refine(&neighbours, &mut colours);
            let mut order: Vec<usize> = (0..self.nodes).collect();
            // Stable: nodes of one colour stay in the order they came. Hubs come
            // first, where searches through the graph profit from it.
            order.sort_by_key(|&i| (Reverse(neighbours[i].len()), colours[i]));
            let ambiguous = order
                .chunk_by(|&a, &b| colours[a] == colours[b])
                .find(|class| class.len() > 1 && !self.twins(class))
                .map(|class| class[0]);
            match ambiguous {
                Some(node) => colours[node] = mix(colours[node] ^ SINGLED_OUT),
                None => return self.relabelled(&order),
            }
        }
    }

    /// Whether all of `class` have the same neighbours (each other aside), so
    /// that they can be exchanged without anyone noticing.
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

/// Splits colours by the colours of neighbours until their number stays.
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

/// Makes bit j of word i bit i of word j: halves of the block change places,
/// then halves of those.
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

/// Positions of the ones in a row of bits, ascending.
#[inline(always)]
pub fn ones(row: &[u64]) -> Ones<'_> {
    Ones { row, at: 0, rest: row.first().copied().unwrap_or(0) }
}

/// See [`ones`].
#[derive(Clone)]
pub struct Ones<'a> {
    row: &'a [u64],
    /// The word that is looked at, and what of it is still to come.
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
    /// Those from `first` on.
    #[inline(always)]
    pub fn from(mut self, first: usize) -> Self {
        self.at = first / 64;
        self.rest = self.row.get(self.at).map_or(0, |word| word & u64::MAX << (first % 64));
        self
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    pub fn from_edges(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::empty(nodes);
        for &(i, j) in edges {
            graph.join(i, j);
        }
        graph
    }

    pub fn complete(nodes: usize) -> Graph {
        let edges: Vec<_> = (0..nodes).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
        from_edges(nodes, &edges)
    }

    /// Each node joined to the `reach` next ones on a circle.
    pub fn ring(nodes: usize, reach: usize) -> Graph {
        let edges: Vec<_> = (0..nodes).flat_map(|i| (1..=reach).map(move |k| (i, (i + k) % nodes))).collect();
        from_edges(nodes, &edges)
    }

    pub fn star(nodes: usize) -> Graph {
        from_edges(nodes, &(1..nodes).map(|i| (0, i)).collect::<Vec<_>>())
    }

    /// Zachary's karate club, 34 members and 78 friendships (Zachary 1977).
    pub fn karate() -> Graph {
        let edges: Vec<_> =
            KARATE.iter().enumerate().flat_map(|(i, list)| list.iter().map(move |&j| (i, j))).collect();
        from_edges(34, &edges)
    }

    /// A loop-free random graph.
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

    pub fn shuffled(graph: &Graph, seed: u64) -> Graph {
        use rand::seq::SliceRandom;
        let mut order: Vec<usize> = (0..graph.nodes()).collect();
        order.shuffle(&mut random::stream(seed, "shuffle"));
        graph.relabelled(&order)
    }

    /// A matrix whose graph at quantile 0 is `graph`.
    pub fn weights(graph: &Graph) -> Matrix {
        Matrix::from_shape_fn((graph.nodes(), graph.nodes()), |(i, j)| f32::from(graph.joined(i, j)))
    }

    #[rustfmt::skip]
    const KARATE: [&[usize]; 34] = [
        &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31], &[2, 3, 7, 13, 17, 19, 21, 30],
        &[3, 7, 8, 9, 13, 27, 28, 32], &[7, 12, 13], &[6, 10], &[6, 10, 16], &[16], &[], &[30, 32, 33],
        &[33], &[], &[], &[], &[33], &[32, 33], &[32, 33], &[], &[], &[32, 33], &[33], &[32, 33], &[],
        &[32, 33], &[25, 27, 29, 32, 33], &[25, 27, 31], &[31], &[29, 33], &[33], &[31, 33], &[32, 33],
        &[32, 33], &[32, 33], &[33], &[],
    ];
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::examples::*;
    use super::*;

    #[test]
    fn the_quantile_is_numpys() {
        // numpy 2.4: np.quantile(np.abs(a), q) of a = arange(-7, 9).reshape(4, 4) / 8.
        let a = Matrix::from_shape_fn((4, 4), |(i, j)| ((4 * i + j) as f32 - 7.0) / 8.0);
        for (q, expected) in [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.9, 0.875), (0.93, 0.875), (1.0, 1.0)] {
            assert_eq!(quantile_of_magnitudes(a.view(), q), expected, "{q}");
        }
        assert!((quantile_of_magnitudes(a.view(), 0.97) - 0.943_75).abs() < 1e-15);
    }

    #[test]
    fn the_graph_is_either_direction_without_self_loops() {
        let w = array![[9.0, 0.0, -5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 7.0_f32]];
        let (graph, threshold) = Graph::of(&Network::new(w.view()), 0.5).unwrap();
        assert_eq!(threshold, 0.0);
        assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        let (graph, threshold) = Graph::of(&Network::new(w.view()), 0.75).unwrap();
        assert_eq!(threshold, 5.0, "the sixth of nine, and {graph:?} has none above it off the diagonal");
        assert_eq!(graph.size(), 0);
    }

    #[test]
    fn what_is_not_square_or_not_finite_is_refused() {
        let e = recurrent(&Network::new(Matrix::zeros((3, 4)).view())).unwrap_err();
        assert_eq!(e.message, "the recurrent matrix is 3×4");
        let mut w = Matrix::zeros((3, 3));
        w[[1, 2]] = f32::NAN;
        let e = recurrent(&Network::new(w.view())).unwrap_err();
        assert_eq!(e.message, "the recurrent matrix has NaN at row 1, column 2");
    }

    #[test]
    fn the_canonical_form_forgets_the_numbering() {
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
    fn edges_come_and_go() {
        let mut graph = ring(130, 1);
        assert!(graph.joined(129, 0) && graph.joined(0, 129) && !graph.joined(0, 64));
        graph.part(129, 0);
        assert_eq!((graph.size(), graph.degree(0), graph.degree(129), graph.degree(64)), (129, 1, 1, 2));
        assert_eq!(graph.neighbours(64).collect::<Vec<_>>(), [63, 65]);
    }
}
