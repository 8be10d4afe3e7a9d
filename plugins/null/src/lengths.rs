//! `null.lengths`: the distribution of the connections' lengths.

use std::collections::{BTreeMap, BTreeSet};

use pallium_core::prelude::*;
use rand::seq::SliceRandom;

use crate::rewire::rewired;
use crate::wiring::{Diagonal, Wiring, weight_source};

pallium_core::params! {
    /// What stays, and how finely lengths are kept.
    pub struct Params {
        /// The weights from neurons to themselves, whose length is 0: they are exchanged
        /// only with each other, or stay in place.
        diagonal: Diagonal = Diagonal::Move,
        /// Number of bins of length, each with as many connections (2 to 1,000). With
        /// fewer bins lengths are kept less well, and more connections move.
        bins: u32 = 20,
        /// Attempted exchanges for each connection (1 to 10,000). If few pairs are
        /// connected, most attempts fail, and 10,000 move many more connections.
        swaps: u32 = 100,
    }
}

/// As `null.degrees`, but connections exchange their targets only if the two new ones
/// have the lengths of the two old ones, up to a bin; weights then move only among
/// connections of one bin, which keeps how they depend on length. Lengths are those
/// between the recorded positions. If all pairs are connected, only the weights move.
/// N×N, or on connections.
pub struct Lengths {
    original: Wiring,
    params: Params,
}

impl Component for Lengths {
    const ID: &'static str = "null.lengths";
    const ABOUT: &'static str = "null: keeps every weight, degrees, the distribution of lengths, and the weights' \
                                 dependence on them";
    const CITE: &'static str = "Betzel and Bassett 2018, PNAS 115:E4880";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("bins", params.bins.into(), 2.0, 1e3)?;
        one_of_range("swaps", params.swaps.into(), 1.0, 1e4)?;
        Ok(Lengths { original: Wiring::original(setting)?, params })
    }
}

impl Lengths {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        let mut stream = random::stream(request.seed, Self::ID);
        let (moving, stay) = self.original.split(self.params.diagonal);
        let points = request.substrate()?.positions()?.micrometres();
        if points.nrows() != moving.n {
            return Err(Error::input(format!(
                "the substrate has {} positions for {} neurons",
                points.nrows(),
                moving.n
            )));
        }
        let length = |i: usize, j: usize| {
            (0..3).map(|axis| (points[[i, axis]] - points[[j, axis]]).powi(2)).sum::<f64>().sqrt()
        };
        let between = |pair: &(u32, u32)| length(pair.0 as usize, pair.1 as usize);
        let pairs = moving.pairs();
        let mut sorted: Vec<f64> = pairs.iter().filter(|(i, j)| i != j).map(between).collect();
        sorted.sort_by(f64::total_cmp);
        let bins = self.params.bins as usize;
        let edges: Vec<f64> =
            (1..bins).filter_map(|bin| sorted.get(sorted.len() * bin / bins)).copied().collect();
        // Bin 0 is that of neurons with themselves.
        let bin = |i: usize, j: usize| match i == j {
            true => 0,
            false => 1 + edges.partition_point(|edge| *edge <= length(i, j)),
        };
        let swaps = self.params.swaps as usize;
        let before: BTreeSet<(u32, u32)> = pairs.iter().copied().filter(|(i, j)| i != j).collect();
        let pairs = rewired(moving.n, &pairs, swaps, &mut stream, |[i, j, k, l]| {
            let (old, new) = ([bin(i, j), bin(k, l)], [bin(i, l), bin(k, j)]);
            old == new || old == [new[1], new[0]]
        });
        // Most connections of a dense network are at the same pairs in any other one.
        let dense = 2 * before.len() > moving.n * moving.n.saturating_sub(1);
        let stayed = pairs.iter().filter(|pair| before.contains(pair)).count();
        if !dense && 2 * stayed > before.len() {
            pallium_core::tracing::warn!(
                "`null.lengths` leaves {stayed} of {} connections where they were; more `swaps` (up to 10000) or \
                 fewer `bins` move more",
                before.len()
            );
        }
        let mut weights: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for &(i, j, w) in &moving.all {
            weights.entry(bin(i as usize, j as usize)).or_default().push(w);
        }
        weights.values_mut().for_each(|weights| weights.shuffle(&mut stream));
        let take = |&(i, j): &(u32, u32)| weights.get_mut(&bin(i as usize, j as usize)).and_then(Vec::pop);
        let found: Option<Vec<f32>> = pairs.iter().map(take).collect();
        let found =
            found.ok_or_else(|| Error::bug("an exchange changed the number of connections of a length"))?;
        Ok(Wiring::new(moving.n, pairs, found).with(stay))
    }
}
weight_source!(Lengths);
