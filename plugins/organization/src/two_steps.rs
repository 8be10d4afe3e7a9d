//! What lies within two steps of every node: all that clustering needs, and
//! almost all that efficiency does.

use multiversion::multiversion;

use crate::graph::Graph;

/// See [the module](self).
pub struct TwoSteps {
    words: usize,
    degrees: Vec<u64>,
    joined: Vec<u64>,
    beyond: Vec<u64>,
}

impl TwoSteps {
    /// Looks around in `graph`.
    pub fn of(graph: &Graph) -> Self {
        look(graph)
    }

    /// Number of neighbours of each node, itself included if it has a loop.
    pub fn degrees(&self) -> &[u64] {
        &self.degrees
    }

    /// Ordered pairs of neighbours that are joined, by node. A self-loop makes
    /// a node its own neighbour, and joined to itself.
    pub fn joined_neighbours(&self) -> &[u64] {
        &self.joined
    }

    /// Nodes that more than two steps, or none, lead to from `node`, as bits.
    pub fn beyond(&self, node: usize) -> &[u64] {
        &self.beyond[node * self.words..][..self.words]
    }
}

// Compiled once for each instruction set: a block of eight words is one
// register where there is AVX-512, and its ones are counted at once.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512vpopcntdq+avx2+popcnt+bmi1+bmi2+lzcnt",
    "x86_64+avx2+popcnt+bmi1+bmi2+lzcnt"
))]
fn look(graph: &Graph) -> TwoSteps {
    if graph.words() <= 4 { look_in_blocks::<4>(graph) } else { look_in_blocks::<8>(graph) }
}

/// Rows are looked at in blocks of `BLOCK` words, the last one filled up.
#[inline(always)]
fn look_in_blocks<const BLOCK: usize>(graph: &Graph) -> TwoSteps {
    let (nodes, words) = (graph.nodes(), graph.words());
    let blocks = words.div_ceil(BLOCK);
    let mut rows = vec![[0u64; BLOCK]; nodes * blocks];
    for (node, row) in rows.chunks_exact_mut(blocks.max(1)).enumerate() {
        row.as_flattened_mut()[..words].copy_from_slice(graph.row(node));
    }
    let mut around = vec![0; words * 64 + 8];
    let mut degrees = vec![0; nodes];
    let mut joined = vec![0; nodes];
    let mut beyond = vec![0; nodes * words];
    for u in 0..nodes {
        let around = list(graph.row(u), &mut around);
        degrees[u] = around.len() as u64;
        let beyond = &mut beyond[u * words..][..words];
        for (at, beyond) in beyond.chunks_mut(BLOCK).enumerate() {
            let own = rows[u * blocks + at];
            let mut common = [0u64; BLOCK];
            let mut unseen = [u64::MAX; BLOCK];
            for &v in around {
                let row = &rows[v as usize * blocks + at];
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

/// Positions of the ones in a row, ascending, written into `room`. As
/// [`ones`](crate::graph::ones), but whether a bit is one decides no branch:
/// on random graphs every wrong guess would cost as much as three neighbours.
/// `room` has eight places more than the row has bits.
#[inline(always)]
fn list<'a>(row: &[u64], room: &'a mut [u32]) -> &'a [u32] {
    let mut found = 0;
    let bytes = row.iter().flat_map(|word| word.to_le_bytes());
    for (at, byte) in bytes.enumerate() {
        let room: &mut [u32; 8] = room[found..].first_chunk_mut().expect("eight places more");
        for (place, &of) in room.iter_mut().zip(&ONES_OF_BYTES[byte as usize]) {
            *place = at as u32 * 8 + u32::from(of);
        }
        found += byte.count_ones() as usize;
    }
    &room[..found]
}

/// Positions of the ones in every byte; what follows them has no meaning.
const ONES_OF_BYTES: [[u8; 8]; 256] = {
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
    use crate::graph::examples::*;
    use crate::graph::ones;

    #[test]
    fn is_what_looking_pair_by_pair_finds() {
        for (nodes, density) in [(1, 0.5), (5, 0.3), (64, 0.1), (256, 0.02), (257, 0.05), (600, 0.01)] {
            let mut graph = random(nodes, density, 7);
            graph.join(nodes / 2, nodes / 2);
            let found = TwoSteps::of(&graph);
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
