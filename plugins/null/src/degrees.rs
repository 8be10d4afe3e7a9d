//! `null.degrees`: each neuron's numbers of inputs and outputs.

use pallium_core::prelude::*;

use crate::rewire::rewired;
use crate::wiring::{Diagonal, Wiring, weight_source};

pallium_core::params! {
    /// What stays, and how much is exchanged.
    pub struct Params {
        /// The weights from neurons to themselves. The same neurons have one before and
        /// after, in either case.
        diagonal: Diagonal = Diagonal::Move,
        /// Attempted exchanges for each connection (1 to 10,000).
        swaps: u32 = 20,
    }
}

/// Pairs of connections exchange their targets, which keeps each neuron's numbers of
/// inputs and outputs exactly; then the weights, each with its sign, are distributed
/// over the connections at random. If all pairs are connected, only the weights move.
/// N×N, or on connections.
pub struct Degrees {
    original: Wiring,
    params: Params,
}

impl Component for Degrees {
    const ID: &'static str = "null.degrees";
    const ABOUT: &'static str = "null: keeps every weight, and each neuron's numbers of inputs and outputs";
    const CITE: &'static str = "Maslov and Sneppen 2002, Science 296:910";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("swaps", params.swaps.into(), 1.0, 1e4)?;
        Ok(Degrees { original: Wiring::original(setting)?, params })
    }
}

impl Degrees {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        let mut stream = random::stream(request.seed, Self::ID);
        let (moving, stay) = self.original.split(self.params.diagonal);
        let swaps = self.params.swaps as usize;
        let pairs = rewired(moving.n, &moving.pairs(), swaps, &mut stream, |_| true);
        Ok(moving.at(pairs, &mut stream).with(stay))
    }
}
weight_source!(Degrees);
