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
//! So a neuron with d connections costs about d³ for K = 4, not the square of the
//! network, and lists are read in order.

use std::ops::Range;

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::sign;

/// Rows that are computed together are one of so many parts of all rows, or of more if
/// their lists would be longer than [`ENTRIES`]. The parts do not depend on the number of
/// threads, and neither does the result.
const PARTS: usize = 8;
const ENTRIES: f64 = 1.6e7;

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
}

/// The rows that are listed at each neuron, and their r_k and g_k.
#[derive(Default)]
struct Level {
    /// Where the list of each neuron begins, and last their length.
    begin: Vec<usize>,
    /// Rows, counted from the first of the part.
    rows: Vec<u32>,
    r: Vec<f32>,
    g: Vec<f32>,
}

impl Level {
    fn list(&self, neuron: usize) -> Range<usize> {
        self.begin[neuron]..self.begin[neuron + 1]
    }
}

/// What a thread needs, and the sums of its part.
#[derive(Default)]
struct Room {
    levels: Vec<Level>,
    /// Numbers of each row of the part, 0 where they are not in use.
    numbers: Vec<[f32; 2]>,
    listed: Vec<bool>,
    /// Derivatives at the outgoing and at the incoming connections.
    out: Vec<f32>,
    into: Vec<f32>,
    /// C at the incoming connections.
    walks: Vec<f32>,
    value: f64,
}

/// What all threads read.
#[derive(Clone, Copy)]
struct Network<'a> {
    coefficients: &'a [f32],
    outgoing: ConnectionsView<'a>,
    incoming: ConnectionsView<'a>,
    out: &'a [f32],
    into: &'a [f32],
    /// M at the incoming connections.
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
        let mut value = 0.0;
        for parts in ends.windows(2).collect::<Vec<_>>().chunks(*threads) {
            std::thread::scope(|scope| {
                for (part, room) in parts.iter().zip(&mut self.rooms) {
                    let mut work = move || arch.dispatch(|| room.part(&network, part[0]..part[1]));
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
    wanted.min(connections.dim().0.max(1))
}

impl Room {
    /// Adds up the rows of a part.
    #[inline(always)]
    fn part(&mut self, network: &Network<'_>, rows: Range<usize>) {
        let count = network.outgoing.len();
        let order = network.coefficients.len() - 1;
        let middle = order / 2;
        self.levels.resize_with(order + 1, Level::default);
        self.numbers.clear();
        self.numbers.resize(rows.len(), [0.0; 2]);
        self.listed.clear();
        self.listed.resize(rows.len(), false);
        for sums in [&mut self.out, &mut self.into, &mut self.walks] {
            sums.clear();
            sums.resize(count, 0.0);
        }
        self.value = 0.0;
        self.start(network, &rows);
        for k in 1..=middle {
            self.forward(network, k);
            self.read(network, &rows, k);
        }
        for k in (middle + 1..=order).rev() {
            self.backward(network, &rows, k);
        }
        self.meet(network, middle + 1);
        self.read(network, &rows, middle + 1);
        for k in middle + 2..=order {
            self.pass_on(network, k);
            self.read(network, &rows, k);
        }
        if middle > 0 {
            self.meet_again(network, &rows, middle);
        }
        for k in (1..=middle).rev() {
            self.pass_back(network, &rows, k);
        }
        self.value = self.walks.iter().zip(network.weight).map(|(c, m)| f64::from(c * m)).sum();
    }

    /// r_0: each row at its own neuron.
    #[inline(always)]
    fn start(&mut self, network: &Network<'_>, rows: &Range<usize>) {
        let level = &mut self.levels[0];
        let n = network.outgoing.dim().0;
        level.begin.clear();
        level.begin.extend((0..=n).map(|x| x.clamp(rows.start, rows.end) - rows.start));
        level.rows.clear();
        level.rows.extend(0..rows.len() as u32);
        level.r.clear();
        level.r.resize(rows.len(), 1.0);
    }

    /// r_k of all rows that reach a neuron, from r_k−1 at its sources.
    #[inline(always)]
    fn forward(&mut self, network: &Network<'_>, k: usize) {
        let Room { levels, numbers, listed, .. } = self;
        let (before, after) = levels.split_at_mut(k);
        let (from, to) = (&before[k - 1], &mut after[0]);
        to.clear();
        for x in 0..network.outgoing.dim().0 {
            let places = network.incoming.range(x);
            for (&q, &a) in network.incoming.row(x).iter().zip(&network.into[places]) {
                let list = from.list(q as usize);
                to.add(&from.rows[list.clone()], &from.r[list], a, numbers, listed);
            }
            to.close(numbers, listed);
        }
        std::mem::swap(&mut to.r, &mut to.g);
    }

    /// g_k of all rows whose targets a neuron reaches, from g_k+1 at its targets.
    #[inline(always)]
    fn backward(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize) {
        let Room { levels, numbers, listed, .. } = self;
        let (before, after) = levels.split_at_mut(k + 1);
        let to = &mut before[k];
        to.clear();
        let c = network.coefficients[k];
        for x in 0..network.outgoing.dim().0 {
            for place in within(network.incoming, x, rows) {
                let row = network.incoming.indices()[place] - rows.start as u32;
                to.add(&[row], &[network.weight[place]], c, numbers, listed);
            }
            if let Some(from) = after.first() {
                let places = network.outgoing.range(x);
                for (&l, &a) in network.outgoing.row(x).iter().zip(&network.out[places]) {
                    let list = from.list(l as usize);
                    to.add(&from.rows[list.clone()], &from.g[list], a, numbers, listed);
                }
            }
            to.close(numbers, listed);
        }
        to.r.clear();
        to.r.resize(to.rows.len(), 0.0);
    }

    /// r_k just beyond the middle, where g_k is known; and the derivatives of the k-th
    /// connection of a walk.
    #[inline(always)]
    fn meet(&mut self, network: &Network<'_>, k: usize) {
        let Room { levels, numbers, into, .. } = self;
        let (before, after) = levels.split_at_mut(k);
        let (from, to) = (&before[k - 1], &mut after[0]);
        for x in 0..network.outgoing.dim().0 {
            let list = to.list(x);
            if list.is_empty() {
                continue;
            }
            for (&row, &g) in to.rows[list.clone()].iter().zip(&to.g[list.clone()]) {
                numbers[row as usize][0] = g;
            }
            for place in network.incoming.range(x) {
                let a = network.into[place];
                let of = from.list(network.incoming.indices()[place] as usize);
                into[place] += multiply_add(&from.rows[of.clone()], &from.r[of], a, numbers);
            }
            for (&row, r) in to.rows[list.clone()].iter().zip(&mut to.r[list]) {
                *r = numbers[row as usize][1];
            }
            numbers.fill([0.0; 2]);
        }
    }

    /// r_k further beyond, from r_k−1 at the sources; and the derivatives.
    #[inline(always)]
    fn pass_on(&mut self, network: &Network<'_>, k: usize) {
        let Room { levels, numbers, out, .. } = self;
        let (before, after) = levels.split_at_mut(k);
        let (from, to) = (&before[k - 1], &mut after[0]);
        for x in 0..network.outgoing.dim().0 {
            let list = from.list(x);
            if list.is_empty() {
                continue;
            }
            for (&row, &r) in from.rows[list.clone()].iter().zip(&from.r[list.clone()]) {
                numbers[row as usize][0] = r;
            }
            for place in network.outgoing.range(x) {
                let a = network.out[place];
                let of = to.list(network.outgoing.indices()[place] as usize);
                let mut slope = 0.0;
                let values = to.g[of.clone()].iter().zip(&mut to.r[of.clone()]);
                for (&row, (&g, r)) in to.rows[of].iter().zip(values) {
                    let before = numbers[row as usize][0];
                    slope += before * g;
                    *r += a * before;
                }
                out[place] += slope;
            }
            from.rows[list].iter().for_each(|&row| numbers[row as usize][0] = 0.0);
        }
    }

    /// g_k at the middle, where r_k is known.
    #[inline(always)]
    fn meet_again(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize) {
        let Room { levels, numbers, .. } = self;
        let (before, after) = levels.split_at_mut(k + 1);
        let (to, from) = (&mut before[k], &after[0]);
        to.direct(network, rows, k, numbers);
        for l in 0..network.outgoing.dim().0 {
            let list = to.list(l);
            if list.is_empty() {
                continue;
            }
            for place in network.outgoing.range(l) {
                let a = network.out[place];
                let of = from.list(network.outgoing.indices()[place] as usize);
                multiply_add(&from.rows[of.clone()], &from.g[of], a, numbers);
            }
            for (&row, g) in to.rows[list.clone()].iter().zip(&mut to.g[list]) {
                *g += numbers[row as usize][1];
            }
            numbers.fill([0.0; 2]);
        }
    }

    /// The derivatives of the k-th connection of a walk; and g_k−1, from g_k at the
    /// targets.
    #[inline(always)]
    fn pass_back(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize) {
        let Room { levels, numbers, into, .. } = self;
        let (before, after) = levels.split_at_mut(k);
        let (to, from) = (&mut before[k - 1], &after[0]);
        to.direct(network, rows, k - 1, numbers);
        for l in 0..network.outgoing.dim().0 {
            let list = from.list(l);
            for (&row, &g) in from.rows[list.clone()].iter().zip(&from.g[list.clone()]) {
                numbers[row as usize][0] = g;
            }
            for place in network.incoming.range(l) {
                let a = network.into[place];
                let of = to.list(network.incoming.indices()[place] as usize);
                let mut slope = 0.0;
                let values = to.r[of.clone()].iter().zip(&mut to.g[of.clone()]);
                for (&row, (&r, g)) in to.rows[of].iter().zip(values) {
                    let after = numbers[row as usize][0];
                    slope += r * after;
                    *g += a * after;
                }
                into[place] += slope;
            }
            from.rows[list].iter().for_each(|&row| numbers[row as usize][0] = 0.0);
        }
    }

    /// Adds c_k r_k at connected pairs to C.
    #[inline(always)]
    fn read(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize) {
        let Room { levels, numbers, walks, .. } = self;
        let (level, c) = (&levels[k], network.coefficients[k]);
        for x in 0..network.outgoing.dim().0 {
            let places = within(network.incoming, x, rows);
            if places.is_empty() {
                continue;
            }
            let list = level.list(x);
            for (&row, &r) in level.rows[list.clone()].iter().zip(&level.r[list.clone()]) {
                numbers[row as usize][0] = r;
            }
            for place in places {
                let row = network.incoming.indices()[place] as usize - rows.start;
                walks[place] += c * numbers[row][0];
            }
            level.rows[list].iter().for_each(|&row| numbers[row as usize][0] = 0.0);
        }
    }
}

impl Level {
    fn clear(&mut self) {
        self.begin.clear();
        self.begin.push(0);
        self.rows.clear();
        self.g.clear();
    }

    /// Adds `factor` times the values of a list to the list that is being made.
    #[inline(always)]
    fn add(
        &mut self,
        rows: &[u32],
        values: &[f32],
        factor: f32,
        numbers: &mut [[f32; 2]],
        listed: &mut [bool],
    ) {
        for (&row, &value) in rows.iter().zip(values) {
            if !std::mem::replace(&mut listed[row as usize], true) {
                self.rows.push(row);
            }
            numbers[row as usize][0] += factor * value;
        }
    }

    /// Ends the list of a neuron; its values are kept as g.
    #[inline(always)]
    fn close(&mut self, numbers: &mut [[f32; 2]], listed: &mut [bool]) {
        let start = self.begin.last().copied().unwrap_or(0);
        for &row in &self.rows[start..] {
            self.g.push(numbers[row as usize][0]);
            numbers[row as usize][0] = 0.0;
            listed[row as usize] = false;
        }
        self.begin.push(self.rows.len());
    }

    /// Sets g_k to c_k M, what the k-th neuron of a walk is the target for.
    #[inline(always)]
    fn direct(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize, numbers: &mut [[f32; 2]]) {
        self.g.clear();
        self.g.resize(self.rows.len(), 0.0);
        let c = network.coefficients[k];
        for x in 0..network.outgoing.dim().0 {
            let row = |place: usize| network.incoming.indices()[place] as usize - rows.start;
            let places = within(network.incoming, x, rows);
            for place in places.clone() {
                numbers[row(place)][0] = c * network.weight[place];
            }
            let list = self.list(x);
            for (&row, g) in self.rows[list.clone()].iter().zip(&mut self.g[list]) {
                *g = numbers[row as usize][0];
            }
            places.for_each(|place| numbers[row(place)][0] = 0.0);
        }
    }
}

/// Adds `factor` times the values of a list to the second number of its rows, and returns
/// the sum of the values times the first. Eight sums side by side, since each addition
/// would wait for the one before.
#[inline(always)]
fn multiply_add(rows: &[u32], values: &[f32], factor: f32, numbers: &mut [[f32; 2]]) -> f32 {
    let (row_chunks, last_rows) = rows.as_chunks::<8>();
    let (chunks, last_values) = values.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (rows, values) in row_chunks.iter().zip(chunks) {
        for k in 0..8 {
            let [first, second] = &mut numbers[rows[k] as usize];
            sums[k] += values[k] * *first;
            *second += values[k] * factor;
        }
    }
    let mut sum = 0.0;
    for (&row, &value) in last_rows.iter().zip(last_values) {
        let [first, second] = &mut numbers[row as usize];
        sum += value * *first;
        *second += value * factor;
    }
    sum + sums.iter().sum::<f32>()
}

/// The connections to a neuron from `rows`.
#[inline(always)]
fn within(incoming: ConnectionsView<'_>, neuron: usize, rows: &Range<usize>) -> Range<usize> {
    let (all, sources) = (incoming.range(neuron), incoming.row(neuron));
    let from = sources.partition_point(|&row| (row as usize) < rows.start);
    let to = sources.partition_point(|&row| (row as usize) < rows.end);
    all.start + from..all.start + to
}
