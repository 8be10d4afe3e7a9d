//! The nodes within two steps of every node: sufficient for clustering, and
//! nearly so for efficiency.

use multiversion::multiversion;

use pallium_graph::Graph;

/// The nodes within two steps of every node.
pub struct TwoSteps {
    words: usize,
    degrees: Vec<u64>,
    /// Ordered pairs of connected neighbours, by node.
    joined: Vec<u64>,
    /// For each node, the nodes beyond two steps, as bits.
    beyond: Vec<u64>,
}

impl TwoSteps {
    /// Finds the nodes within two steps in `graph`.
    pub fn new(graph: &Graph) -> Self {
        find(graph)
    }

    /// Number of neighbours of each node, including itself if it has a
    /// self-loop.
    pub fn degrees(&self) -> &[u64] {
        &self.degrees
    }

    /// For each node, the number of ordered pairs of connected neighbours. A
    /// self-loop makes a node its own neighbour, and connected to itself.
    pub fn joined_neighbours(&self) -> &[u64] {
        &self.joined
    }

    /// Nodes that are more than two steps away from `node` or unreachable, as
    /// bits.
    pub fn beyond(&self, node: usize) -> &[u64] {
        &self.beyond[node * self.words..][..self.words]
    }
}

// Compiled for several instruction sets: with AVX-512, a block of eight words
// is one register, and its ones are counted in one instruction.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512vpopcntdq+avx2+popcnt+bmi1+bmi2+lzcnt",
    "x86_64+avx2+popcnt+bmi1+bmi2+lzcnt"
))]
fn find(graph: &Graph) -> TwoSteps {
    if graph.words() <= 4 { find_in_blocks::<4>(graph) } else { find_in_blocks::<8>(graph) }
}

/// Processes rows in blocks of `BLOCK` words; the last one is padded.
#[inline(always)]
fn find_in_blocks<const BLOCK: usize>(graph: &Graph) -> TwoSteps {
    let (nodes, words) = (graph.nodes(), graph.words());
    let mut rows = vec![[0u64; BLOCK]; nodes * words.div_ceil(BLOCK)];
    for node in 0..nodes {
        for (at, part) in graph.row(node).chunks(BLOCK).enumerate() {
            rows[at * nodes + node][..part.len()].copy_from_slice(part);
        }
    }
    let mut around = vec![0; words * 64 + EXTRA];
    let mut degrees = vec![0; nodes];
    let mut joined = vec![0; nodes];
    let mut beyond = vec![0; nodes * words];
    for u in 0..nodes {
        let around = list(graph.row(u), &mut around);
        degrees[u] = around.len() as u64;
        let (eights, rest) = around.as_chunks::<8>();
        let beyond = &mut beyond[u * words..][..words];
        for (at, beyond) in beyond.chunks_mut(BLOCK).enumerate() {
            let rows = &rows[at * nodes..][..nodes];
            let own = rows[u];
            let mut common = [0u64; BLOCK];
            let mut unseen = [u64::MAX; BLOCK];
            // Counts for each bit the neighbours that have it, in binary: eight
            // rows are added to sums of three binary digits before carries are
            // counted (Harley and Seal; Muła, Kurz and Lemire 2018, Comput. J.
            // 61:111).
            let [mut ones, mut twos, mut fours] = [[0u64; BLOCK]; 3];
            for eight in eights {
                let [a, b, c, d, e, f, g, h] = eight.map(|v| &rows[v as usize]);
                for k in 0..BLOCK {
                    let (one, two_a) = add(ones[k], a[k], b[k]);
                    let (one, two_b) = add(one, c[k], d[k]);
                    let (two, four_a) = add(twos[k], two_a, two_b);
                    let (one, two_a) = add(one, e[k], f[k]);
                    let (one, two_b) = add(one, g[k], h[k]);
                    let (two, four_b) = add(two, two_a, two_b);
                    let (four, eight) = add(fours[k], four_a, four_b);
                    (ones[k], twos[k], fours[k]) = (one, two, four);
                    common[k] += 8 * u64::from((own[k] & eight).count_ones());
                    unseen[k] &= !(a[k] | b[k] | c[k] | d[k] | e[k] | f[k] | g[k] | h[k]);
                }
            }
            for (value, digit) in [(1, ones), (2, twos), (4, fours)] {
                for k in 0..BLOCK {
                    common[k] += value * u64::from((own[k] & digit[k]).count_ones());
                }
            }
            for &v in rest {
                let row = &rows[v as usize];
                for k in 0..BLOCK {
                    common[k] += u64::from((own[k] & row[k]).count_ones());
                    unseen[k] &= !row[k];
                }
            }
            joined[u] += common.iter().sum::<u64>();
            for k in 0..beyond.len() {
                beyond[k] = unseen[k] & !own[k];
            }
        }
        beyond[u / 64] &= !(1 << (u % 64));
        if nodes % 64 != 0 {
            beyond[words - 1] &= (1 << (nodes % 64)) - 1;
        }
    }
    TwoSteps { words, degrees, joined, beyond }
}

/// Adds three binary digits, bit by bit; returns the digit of each sum and the
/// carry.
#[inline(always)]
fn add(a: u64, b: u64, c: u64) -> (u64, u64) {
    (a ^ b ^ c, a & b | a & c | b & c)
}

/// Extra length of the buffer of [`list`]: the bits of a word and of a byte.
const EXTRA: usize = 64 + 8;

/// Positions of the ones in a row, ascending, written to `buffer`. Like
/// [`ones`](pallium_graph::ones), but without a branch on each bit: on random
/// graphs, a misprediction would cost as much as three neighbours. `buffer`
/// must have [`EXTRA`] entries more than the row has bits.
#[inline(always)]
fn list<'a>(row: &[u64], buffer: &'a mut [u32]) -> &'a [u32] {
    let mut found = 0;
    for (first, &word) in (0..).step_by(64).zip(row) {
        let buffer: &mut [u32; EXTRA] =
            buffer[found..].first_chunk_mut().expect("the buffer has EXTRA entries more");
        let mut of_word = 0;
        for at in (0..64).step_by(8) {
            let byte = (word >> at) as u8;
            for (place, &of) in buffer[of_word..of_word + 8].iter_mut().zip(&ONES_OF_BYTES[byte as usize]) {
                *place = first + at + of;
            }
            of_word += byte.count_ones() as usize;
        }
        found += of_word;
    }
    &buffer[..found]
}

/// Positions of the ones in every byte; the entries after them are meaningless.
const ONES_OF_BYTES: [[u32; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut found) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                all[byte][found] = bit;
                found += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::examples::*;
    use pallium_graph::ones;

    #[test]
    fn agrees_with_a_search_pair_by_pair() {
        for (nodes, density) in [(1, 0.5), (5, 0.3), (64, 0.1), (256, 0.02), (257, 0.05), (600, 0.01)] {
            let mut graph = random(nodes, density, 7);
            graph.join(nodes / 2, nodes / 2);
            let found = TwoSteps::new(&graph);
            for u in 0..nodes {
                let around: Vec<usize> = (0..nodes).filter(|&v| graph.joined(u, v)).collect();
                assert_eq!(found.degrees()[u], around.len() as u64, "{nodes}, {u}");
                let joined = around.iter().map(|&v| around.iter().filter(|&&w| graph.joined(v, w)).count());
                assert_eq!(found.joined_neighbours()[u], joined.sum::<usize>() as u64, "{nodes}, {u}");
                let near = |v| v == u || graph.joined(u, v) || around.iter().any(|&w| graph.joined(v, w));
                let beyond: Vec<usize> = (0..nodes).filter(|&v| !near(v)).collect();
                assert_eq!(ones(found.beyond(u)).collect::<Vec<_>>(), beyond, "{nodes}, {u}");
            }
        }
    }
}
