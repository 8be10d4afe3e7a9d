//! Sums over walks between connected neurons, and their gradient, along
//! connections alone.
//!
//! With A = S^−½|W|S^−½ on the connected pairs and weights M of pairs, the value is
//! Σ M∘C with C = Σ_k c_k Aᵏ, k from 1 to K. Of C only the entries at connected pairs
//! are computed. Let r_k be row i of Aᵏ, and g_k the derivative of row i's part of
//! the value with respect to r_k:
//!
//! > r_k = r_k−1 A,  r_0 = e_i;  g_K = c_K M_i,  g_k = c_k M_i + A g_k+1,
//! >
//! > C_ij = Σ_k c_k r_k\[j\],  ∂value/∂A_pl = Σ_i Σ_k r_k−1\[p\] g_k\[l\].
//!
//! This is the exact gradient of the truncated sum. Walks meet in the middle: r_k is
//! computed for all neurons up to k = K/2, and g_k for all beyond; the rest is needed
//! only where the other one is not 0. All rows i of a part are computed together: each
//! neuron has a list of the rows that reach it, and of those whose targets it reaches.
//! For K = 4, a neuron with d connections has lists of d², and each connection joins two
//! of them, of which few rows are in both. Finding these takes about d³ a neuron; they
//! depend on the connections alone, so they are kept.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::sign;
use meetings::Meetings;
use part::{Network, Room};

mod meetings;
mod part;
#[cfg(test)]
mod tests;

/// Rows that are computed together are one of so many parts of all rows, or of more if
/// their lists would be longer than [`ENTRIES`]. The parts do not depend on the number of
/// threads, and neither does the result.
const PARTS: usize = 4;
const ENTRIES: f64 = 1.6e7;

/// Largest number of rows of a part: places in lists are kept as `u16`.
const ROWS: usize = 60_000;

/// Number of entries of the lists of meetings that are kept, 4 bytes each.
const KEPT: usize = 1 << 26;

/// Computes the value of a network on connections, and its gradient.
pub(crate) struct Walks {
    arch: Arch,
    threads: usize,
    /// c_k, k from 0.
    coefficients: Vec<f32>,
    outgoing: Connections,
    incoming: Connections,
    /// The place among the outgoing connections of each incoming one.
    places: Vec<u32>,
    /// Row sums of |W|, and their inverse square roots; 0 for an empty row.
    strength: Vec<f32>,
    inverse_root: Vec<f32>,
    /// A at the outgoing and at the incoming connections.
    out: Vec<f32>,
    into: Vec<f32>,
    /// M at the incoming connections, and C at the outgoing ones.
    weight: Vec<f32>,
    walks: Vec<f32>,
    /// The derivative with respect to A.
    slope: Vec<f32>,
    rooms: Vec<Room>,
    /// Of each part.
    meetings: Vec<Meetings>,
}

impl Walks {
    /// For a network on `connections`, with c_k in `coefficients` from k = 0, at least
    /// two.
    pub(crate) fn new(connections: ConnectionsView<'_>, threads: usize, coefficients: Vec<f32>) -> Self {
        let (incoming, places) = connections.reversed();
        Walks {
            arch: Arch::new(),
            threads: threads.clamp(1, PARTS),
            coefficients,
            outgoing: connections.to_owned(),
            incoming,
            places,
            strength: Vec::new(),
            inverse_root: Vec::new(),
            out: Vec::new(),
            into: Vec::new(),
            weight: Vec::new(),
            walks: vec![0.0; connections.len()],
            slope: Vec::new(),
            rooms: Vec::new(),
            meetings: Vec::new(),
        }
    }

    /// Follows a change of the connections.
    pub(crate) fn rewired(&mut self, connections: ConnectionsView<'_>) {
        *self = Walks::new(connections, self.threads, std::mem::take(&mut self.coefficients));
    }

    /// Returns λ Σ|W|∘D∘C with C's diagonal 0, and adds its gradient.
    pub(crate) fn penalty(
        &mut self,
        weights: &[f32],
        gradient: &mut [f32],
        distance: &[f32],
        factor: f32,
    ) -> f64 {
        let arch = self.arch;
        self.prepare(weights, distance, factor);
        let value = self.sum();
        let pairs = self.outgoing.view();
        // Σ_j of derivative times A: what a neuron's strength does by scaling its row
        // and its column of A.
        let mut scaled = vec![0.0_f64; pairs.dim().0];
        for ((i, j), (slope, a)) in pairs.pairs().zip(self.slope.iter().zip(&self.out)) {
            let product = f64::from(slope * a);
            scaled[i] += product;
            scaled[j] += product;
        }
        arch.dispatch(|| {
            for (i, scaled) in scaled.iter().enumerate() {
                let s = self.strength[i];
                if s == 0.0 {
                    // All weights of this row are 0, and so is the gradient.
                    continue;
                }
                let shift = (0.5 * scaled / f64::from(s)) as f32;
                let from = self.inverse_root[i];
                for place in pairs.range(i) {
                    let j = pairs.indices()[place] as usize;
                    let direct = if i == j { 0.0 } else { factor * distance[place] * self.walks[place] };
                    let through = self.slope[place] * from * self.inverse_root[j] - shift;
                    gradient[place] += sign(weights[place]) * (direct + through);
                }
            }
        });
        value
    }

    /// Computes A and M.
    fn prepare(&mut self, weights: &[f32], distance: &[f32], factor: f32) {
        let pairs = self.outgoing.view();
        let n = pairs.dim().0;
        self.strength.clear();
        self.strength.extend((0..n).map(|i| {
            let row = &weights[pairs.range(i)];
            row.iter().map(|w| f64::from(w.abs())).sum::<f64>() as f32
        }));
        // "is 0", not "is not above 0": NaN must propagate.
        let inverse = |&s: &f32| if s == 0.0 { 0.0 } else { 1.0 / s.sqrt() };
        self.inverse_root.clear();
        self.inverse_root.extend(self.strength.iter().map(inverse));
        let root = &self.inverse_root;
        self.out.clear();
        self.out.extend(pairs.pairs().zip(weights).map(|((i, j), w)| w.abs() * root[i] * root[j]));
        self.into.clear();
        self.into.extend(self.places.iter().map(|&place| self.out[place as usize]));
        // Rows without weights have no walks, and C's diagonal is 0.
        let size = |((j, i), &place): ((usize, usize), &u32)| match i == j || self.strength[i] == 0.0 {
            true => 0.0,
            false => factor * (weights[place as usize].abs() * distance[place as usize]),
        };
        self.weight.clear();
        self.weight.extend(self.incoming.view().pairs().zip(&self.places).map(size));
    }

    /// Computes the value, C and the derivative with respect to A.
    fn sum(&mut self) -> f64 {
        let Walks { arch, threads, coefficients, outgoing, incoming, places, .. } = self;
        let (arch, outgoing, incoming) = (*arch, outgoing.view(), incoming.view());
        let network = Network {
            coefficients,
            outgoing,
            incoming,
            out: &self.out,
            into: &self.into,
            weight: &self.weight,
        };
        let (n, count) = (outgoing.dim().0, outgoing.len());
        for sums in [&mut self.slope, &mut self.walks] {
            sums.clear();
            sums.resize(count, 0.0);
        }
        self.rooms.resize_with(*threads, Room::default);
        let parts = parts(outgoing, coefficients.len() - 1);
        let ends: Vec<usize> = (0..=parts).map(|part| part * n / parts).collect();
        self.meetings.resize_with(parts, Meetings::default);
        let mut value = 0.0;
        let ends: Vec<&[usize]> = ends.windows(2).collect();
        for (parts, meetings) in ends.chunks(*threads).zip(self.meetings.chunks_mut(*threads)) {
            std::thread::scope(|scope| {
                for ((part, room), meetings) in parts.iter().zip(&mut self.rooms).zip(meetings) {
                    let most = KEPT / ends.len();
                    let mut work =
                        move || arch.dispatch(|| room.part(&network, part[0]..part[1], meetings, most));
                    if *threads == 1 {
                        work();
                    } else {
                        scope.spawn(work);
                    }
                }
            });
            for room in &self.rooms[..parts.len()] {
                value += room.value;
                self.slope.iter_mut().zip(&room.out).for_each(|(sum, term)| *sum += term);
                for ((&place, term), c) in places.iter().zip(&room.into).zip(&room.walks) {
                    self.slope[place as usize] += term;
                    self.walks[place as usize] += c;
                }
            }
        }
        value
    }
}

/// Number of parts of the rows.
fn parts(connections: ConnectionsView<'_>, order: usize) -> usize {
    let n = connections.dim().0 as f64;
    let degree = connections.len() as f64 / n;
    let entries = n * degree.powi(order.div_ceil(2).max(1) as i32).min(n);
    let wanted = PARTS * (entries / (PARTS as f64 * ENTRIES)).ceil().max(1.0) as usize;
    wanted.max(connections.dim().0.div_ceil(ROWS)).min(connections.dim().0.max(1))
}
