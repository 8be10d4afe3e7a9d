//! The rows of a part: their lists, and the passes along the connections.

use std::ops::Range;

use pallium_core::prelude::*;

use super::meetings::{Meetings, find};

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

    fn clear(&mut self) {
        self.begin.clear();
        self.begin.push(0);
        self.rows.clear();
        self.g.clear();
    }

    /// Adds `factor` times the values of a list to the list that is being made.
    #[inline(always)]
    fn add(&mut self, rows: &[u32], values: &[f32], factor: f32, numbers: &mut [f32], listed: &mut [bool]) {
        for (&row, &value) in rows.iter().zip(values) {
            if !std::mem::replace(&mut listed[row as usize], true) {
                self.rows.push(row);
            }
            numbers[row as usize] += factor * value;
        }
    }

    /// Ends the list of a neuron; its values are kept as g.
    #[inline(always)]
    fn close(&mut self, numbers: &mut [f32], listed: &mut [bool]) {
        let start = self.begin.last().copied().unwrap_or(0);
        for &row in &self.rows[start..] {
            self.g.push(numbers[row as usize]);
            numbers[row as usize] = 0.0;
            listed[row as usize] = false;
        }
        self.begin.push(self.rows.len());
    }

    /// Sets g_k to c_k M, what the k-th neuron of a walk is the target for.
    #[inline(always)]
    fn direct(&mut self, network: &Network<'_>, rows: &Range<usize>, k: usize, numbers: &mut [f32]) {
        self.g.clear();
        self.g.resize(self.rows.len(), 0.0);
        let c = network.coefficients[k];
        for x in 0..network.outgoing.dim().0 {
            let row = |place: usize| network.incoming.indices()[place] as usize - rows.start;
            let places = within(network.incoming, x, rows);
            for place in places.clone() {
                numbers[row(place)] = c * network.weight[place];
            }
            let list = self.list(x);
            for (&row, g) in self.rows[list.clone()].iter().zip(&mut self.g[list]) {
                *g = numbers[row as usize];
            }
            places.for_each(|place| numbers[row(place)] = 0.0);
        }
    }
}

/// What a thread needs, and the sums of its part.
#[derive(Default)]
pub(super) struct Room {
    levels: Vec<Level>,
    /// A number of each row of the part, 0 where it is not in use.
    numbers: Vec<f32>,
    listed: Vec<bool>,
    /// The place of each row in a list, from 1; 0 if it is not there.
    places: Vec<u16>,
    found: Vec<[u16; 2]>,
    /// Derivatives at the outgoing and at the incoming connections.
    pub(super) out: Vec<f32>,
    pub(super) into: Vec<f32>,
    /// C at the incoming connections.
    pub(super) walks: Vec<f32>,
    pub(super) value: f64,
}

/// What all threads read.
#[derive(Clone, Copy)]
pub(super) struct Network<'a> {
    pub(super) coefficients: &'a [f32],
    pub(super) outgoing: ConnectionsView<'a>,
    pub(super) incoming: ConnectionsView<'a>,
    pub(super) out: &'a [f32],
    pub(super) into: &'a [f32],
    /// M at the incoming connections.
    pub(super) weight: &'a [f32],
}

impl Room {
    /// Adds up the rows of a part. At most `most` meetings are kept.
    #[inline(always)]
    pub(super) fn part(
        &mut self,
        network: &Network<'_>,
        rows: Range<usize>,
        meetings: &mut Meetings,
        most: usize,
    ) {
        let count = network.outgoing.len();
        let order = network.coefficients.len() - 1;
        let middle = order / 2;
        self.levels.resize_with(order + 1, Level::default);
        self.numbers.clear();
        self.numbers.resize(rows.len(), 0.0);
        self.listed.clear();
        self.listed.resize(rows.len(), false);
        self.places.clear();
        self.places.resize(rows.len(), 0);
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
        self.levels[middle].direct(network, &rows, middle, &mut self.numbers);
        self.meet(network, middle + 1, meetings, most);
        self.read(network, &rows, middle + 1);
        for k in middle + 2..=order {
            self.pass_on(network, k);
            self.read(network, &rows, k);
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

    /// r_k just beyond the middle, where g_k is known, the derivatives of the k-th
    /// connection of a walk, and g_k−1.
    #[inline(always)]
    fn meet(&mut self, network: &Network<'_>, k: usize, meetings: &mut Meetings, most: usize) {
        let Room { levels, places, found, into, .. } = self;
        let (before, after) = levels.split_at_mut(k);
        let (from, to) = (&mut before[k - 1], &mut after[0]);
        let known = meetings.complete(network.incoming.len());
        if !known {
            meetings.begin();
        }
        for x in 0..network.outgoing.dim().0 {
            let list = to.list(x);
            if !known {
                for (place, &row) in to.rows[list.clone()].iter().enumerate() {
                    places[row as usize] = place as u16 + 1;
                }
            }
            for connection in network.incoming.range(x) {
                let of = from.list(network.incoming.indices()[connection] as usize);
                if !known {
                    find(&from.rows[of.clone()], places, found);
                    meetings.add(found, most);
                }
                let pairs = if known { meetings.of(connection) } else { &found[..] };
                let (r, g) = (&from.r[of.clone()], &mut from.g[of]);
                let (g_after, r_after) = (&to.g[list.clone()], &mut to.r[list.clone()]);
                let a = network.into[connection];
                let mut slope = 0.0;
                for &[i, j] in pairs {
                    let (i, j) = (usize::from(i), usize::from(j));
                    slope += r[i] * g_after[j];
                    r_after[j] += a * r[i];
                    g[i] += a * g_after[j];
                }
                into[connection] += slope;
            }
            if !known {
                to.rows[list].iter().for_each(|&row| places[row as usize] = 0);
            }
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
                numbers[row as usize] = r;
            }
            for place in network.outgoing.range(x) {
                let a = network.out[place];
                let of = to.list(network.outgoing.indices()[place] as usize);
                let mut slope = 0.0;
                let values = to.g[of.clone()].iter().zip(&mut to.r[of.clone()]);
                for (&row, (&g, r)) in to.rows[of].iter().zip(values) {
                    let before = numbers[row as usize];
                    slope += before * g;
                    *r += a * before;
                }
                out[place] += slope;
            }
            from.rows[list].iter().for_each(|&row| numbers[row as usize] = 0.0);
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
                numbers[row as usize] = g;
            }
            for place in network.incoming.range(l) {
                let a = network.into[place];
                let of = to.list(network.incoming.indices()[place] as usize);
                let mut slope = 0.0;
                let values = to.r[of.clone()].iter().zip(&mut to.g[of.clone()]);
                for (&row, (&r, g)) in to.rows[of].iter().zip(values) {
                    let after = numbers[row as usize];
                    slope += r * after;
                    *g += a * after;
                }
                into[place] += slope;
            }
            from.rows[list].iter().for_each(|&row| numbers[row as usize] = 0.0);
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
                numbers[row as usize] = r;
            }
            for place in places {
                let row = network.incoming.indices()[place] as usize - rows.start;
                walks[place] += c * numbers[row];
            }
            level.rows[list].iter().for_each(|&row| numbers[row as usize] = 0.0);
        }
    }
}

/// The connections to a neuron from `rows`.
#[inline(always)]
fn within(incoming: ConnectionsView<'_>, neuron: usize, rows: &Range<usize>) -> Range<usize> {
    let (all, sources) = (incoming.range(neuron), incoming.row(neuron));
    let from = sources.partition_point(|&row| (row as usize) < rows.start);
    let to = sources.partition_point(|&row| (row as usize) < rows.end);
    all.start + from..all.start + to
}
