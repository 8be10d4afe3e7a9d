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
//! computed forward up to k = K/2 and g_k backward down to there; beyond, only the
//! neurons are visited that the other end reaches too. So a neuron with d
//! connections costs about d³ for K = 4, not the square of the network.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::sign;

/// Rows that are added up together are this many parts of all rows. The parts do not
/// depend on the number of threads, and neither does the result.
const PARTS: usize = 8;

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
    /// M and C at the connections.
    weight: Vec<f32>,
    walks: Vec<f32>,
    /// The derivative with respect to A.
    slope: Vec<f32>,
    rooms: Vec<Room>,
}

/// What a thread needs for a row, and the sums of its part.
#[derive(Default)]
struct Room {
    /// r_k and g_k of all neurons, valid or 0 where they are read.
    rows: Vec<Vec<f32>>,
    slopes: Vec<Vec<f32>>,
    /// M of the row, 0 elsewhere.
    weight: Vec<f32>,
    /// The neurons that are visited at each k: from the row up to K/2, from its
    /// targets beyond.
    visited: Vec<Vec<u32>>,
    /// The last time that each neuron was listed.
    listed: Vec<u32>,
    time: u32,
    /// Derivatives at the outgoing and at the incoming connections.
    out: Vec<f32>,
    into: Vec<f32>,
    value: f64,
}

/// What all threads read.
#[derive(Clone, Copy)]
struct Network<'a> {
    coefficients: &'a [f32],
    outgoing: ConnectionsView<'a>,
    incoming: ConnectionsView<'a>,
    strength: &'a [f32],
    out: &'a [f32],
    into: &'a [f32],
    weight: &'a [f32],
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
        self.out.clear();
        self.weight.clear();
        for (place, (i, j)) in pairs.pairs().enumerate() {
            let size = weights[place].abs();
            self.out.push(size * self.inverse_root[i] * self.inverse_root[j]);
            self.weight.push(if i == j { 0.0 } else { factor * (size * distance[place]) });
        }
        self.into.clear();
        self.into.extend(self.places.iter().map(|&place| self.out[place as usize]));
    }

    /// Computes the value, C and the derivative with respect to A.
    fn sum(&mut self) -> f64 {
        let Walks { arch, threads, coefficients, outgoing, incoming, places, .. } = self;
        let (arch, outgoing, incoming) = (*arch, outgoing.view(), incoming.view());
        let network = Network {
            coefficients,
            outgoing,
            incoming,
            strength: &self.strength,
            out: &self.out,
            into: &self.into,
            weight: &self.weight,
        };
        let (n, count) = (outgoing.dim().0, outgoing.len());
        self.slope.clear();
        self.slope.resize(count, 0.0);
        self.rooms.resize_with(*threads, Room::default);
        let ends: Vec<usize> = (0..=PARTS).map(|part| part * n / PARTS).collect();
        let mut walks = self.walks.as_mut_slice();
        let mut value = 0.0;
        for parts in ends.windows(2).collect::<Vec<_>>().chunks(*threads) {
            std::thread::scope(|scope| {
                for (part, room) in parts.iter().zip(&mut self.rooms) {
                    let rows = part[0]..part[1];
                    let length = (outgoing.indptr()[rows.end] - outgoing.indptr()[rows.start]) as usize;
                    let (now, later) = std::mem::take(&mut walks).split_at_mut(length);
                    walks = later;
                    let work = move || arch.dispatch(|| room.part(&network, rows, now));
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
                for (&place, term) in places.iter().zip(&room.into) {
                    self.slope[place as usize] += term;
                }
            }
        }
        value
    }
}

impl Room {
    /// Adds up the rows of a part, and writes their C.
    #[inline(always)]
    fn part(&mut self, network: &Network<'_>, rows: std::ops::Range<usize>, walks: &mut [f32]) {
        let (n, count) = (network.outgoing.dim().0, network.outgoing.len());
        let order = network.coefficients.len() - 1;
        self.rows.resize_with(order + 1, || vec![0.0; n]);
        self.slopes.resize_with(order + 1, || vec![0.0; n]);
        self.visited.resize_with(order + 1, Vec::new);
        self.weight.resize(n, 0.0);
        self.listed.clear();
        self.listed.resize(n, 0);
        self.time = 0;
        for sums in [&mut self.out, &mut self.into] {
            sums.clear();
            sums.resize(count, 0.0);
        }
        self.value = 0.0;
        let start = network.outgoing.range(rows.start.min(n.saturating_sub(1))).start;
        for row in rows {
            let places = network.outgoing.range(row);
            let walks = &mut walks[places.start - start..places.end - start];
            if places.is_empty() || network.strength[row] == 0.0 {
                walks.fill(0.0);
            } else {
                self.row(network, row, walks);
            }
        }
    }

    /// Adds a row.
    #[inline(always)]
    fn row(&mut self, network: &Network<'_>, row: usize, walks: &mut [f32]) {
        let order = network.coefficients.len() - 1;
        let middle = order / 2;
        let targets = network.outgoing.row(row);
        let weight = &network.weight[network.outgoing.range(row)];
        for (&j, &m) in targets.iter().zip(weight) {
            self.weight[j as usize] = m;
        }
        self.forward(network, row, middle);
        self.backward(network, targets, middle);
        for k in middle + 1..=order {
            self.meet_targets(network, k);
        }
        for k in (0..=middle).rev() {
            self.meet_row(network, k, k == middle);
        }
        for (c, (&j, &m)) in walks.iter_mut().zip(targets.iter().zip(weight)) {
            let steps = self.rows.iter().zip(network.coefficients).skip(1);
            *c = steps.map(|(r, c)| c * r[j as usize]).sum();
            self.value += f64::from(m * *c);
            self.weight[j as usize] = 0.0;
        }
        for (r, visited) in self.rows.iter_mut().zip(&self.visited).take(middle + 1) {
            visited.iter().for_each(|&at| r[at as usize] = 0.0);
        }
        if let (Some(g), Some(visited)) = (self.slopes.get_mut(middle + 1), self.visited.get(middle + 1)) {
            visited.iter().for_each(|&at| g[at as usize] = 0.0);
        }
    }

    /// r_k up to the middle, at all neurons that walks of k connections reach.
    #[inline(always)]
    fn forward(&mut self, network: &Network<'_>, row: usize, middle: usize) {
        self.visited[0].clear();
        self.visited[0].push(row as u32);
        self.rows[0][row] = 1.0;
        for k in 1..=middle {
            self.time += 1;
            let (before, after) = self.visited.split_at_mut(k);
            let (sources, reached) = (&before[k - 1], &mut after[0]);
            reached.clear();
            let (before, after) = self.rows.split_at_mut(k);
            let (from, to) = (&before[k - 1], &mut after[0]);
            for &p in sources {
                let r = from[p as usize];
                let places = network.outgoing.range(p as usize);
                for (&l, &a) in network.outgoing.row(p as usize).iter().zip(&network.out[places]) {
                    let l = l as usize;
                    if self.listed[l] != self.time {
                        self.listed[l] = self.time;
                        reached.push(l as u32);
                    }
                    to[l] += r * a;
                }
            }
        }
    }

    /// g_k beyond the middle, at all neurons from which walks reach the targets.
    #[inline(always)]
    fn backward(&mut self, network: &Network<'_>, targets: &[u32], middle: usize) {
        let order = network.coefficients.len() - 1;
        for k in (middle + 1..=order).rev() {
            self.time += 1;
            let (before, after) = self.visited.split_at_mut(k + 1);
            let reached = &mut before[k];
            reached.clear();
            reached.extend_from_slice(targets);
            let (slopes, later) = self.slopes.split_at_mut(k + 1);
            let to = &mut slopes[k];
            for &j in targets {
                self.listed[j as usize] = self.time;
                to[j as usize] = network.coefficients[k] * self.weight[j as usize];
            }
            let (Some(sources), Some(from)) = (after.first(), later.first()) else { continue };
            for &x in sources {
                let g = from[x as usize];
                let places = network.incoming.range(x as usize);
                for (&q, &a) in network.incoming.row(x as usize).iter().zip(&network.into[places]) {
                    let q = q as usize;
                    if self.listed[q] != self.time {
                        self.listed[q] = self.time;
                        reached.push(q as u32);
                        to[q] = 0.0;
                    }
                    to[q] += g * a;
                }
            }
        }
    }

    /// r_k beyond the middle, at the neurons from which walks reach the targets; and
    /// the derivatives of the k-th connection of a walk.
    #[inline(always)]
    fn meet_targets(&mut self, network: &Network<'_>, k: usize) {
        let (before, after) = self.rows.split_at_mut(k);
        let (from, to) = (&before[k - 1], &mut after[0]);
        for &x in &self.visited[k] {
            let x = x as usize;
            let g = self.slopes[k][x];
            let places = network.incoming.range(x);
            let sums = &mut self.into[places.clone()];
            let ends = network.incoming.row(x).iter().zip(&network.into[places]);
            let mut r = 0.0;
            for ((&q, &a), sum) in ends.zip(sums) {
                let before = from[q as usize];
                r += before * a;
                *sum += before * g;
            }
            to[x] = r;
        }
    }

    /// g_k up to the middle, at the neurons that walks reach; and, below the middle,
    /// the derivatives of the connection k + 1 of a walk.
    #[inline(always)]
    fn meet_row(&mut self, network: &Network<'_>, k: usize, middle: bool) {
        let (before, after) = self.slopes.split_at_mut(k + 1);
        let (Some(to), Some(from)) = (before.last_mut(), after.first()) else { return };
        for &p in &self.visited[k] {
            let p = p as usize;
            let r = self.rows[k][p];
            let places = network.outgoing.range(p);
            let sums = &mut self.out[places.clone()];
            let ends = network.outgoing.row(p).iter().zip(&network.out[places]);
            let mut g = network.coefficients[k] * self.weight[p];
            if middle {
                g += ends.map(|(&l, &a)| a * from[l as usize]).sum::<f32>();
            } else {
                for ((&l, &a), sum) in ends.zip(sums) {
                    let after = from[l as usize];
                    g += a * after;
                    *sum += r * after;
                }
            }
            to[p] = g;
        }
    }
}
