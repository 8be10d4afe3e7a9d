//! `null.strengths`: the sums of each neuron's inputs and outputs.

use pallium_core::prelude::*;

use crate::anneal::anneal;
use crate::rewire::rewired;
use crate::wiring::{Diagonal, Wiring, weight_source};

pallium_core::params! {
    /// What stays, and how much is exchanged.
    pub struct Params {
        /// The weights from neurons to themselves. The same neurons have one before and
        /// after, in either case.
        diagonal: Diagonal = Diagonal::Move,
        /// Attempted exchanges of targets for each connection (1 to 10,000).
        swaps: u32 = 20,
        /// Stages of the annealing, each with a lower temperature (1 to 10,000).
        stages: u32 = 60,
        /// Attempted exchanges of weights in each stage, as a multiple of the number of
        /// connections (1 to 1,000); at least 10,000 are made.
        exchanges: u32 = 2,
    }
}

/// Exchanges in a stage of a small network.
const LEAST: usize = 10_000;

/// As `null.degrees`; then connections exchange their weights, by simulated annealing,
/// until the sums of each neuron's inputs and outputs are nearly those of the original
/// (the sums of signed weights, if there are negative ones). N×N, or on connections.
pub struct Strengths {
    original: Wiring,
    params: Params,
}

impl Component for Strengths {
    const ID: &'static str = "null.strengths";
    const ABOUT: &'static str =
        "null: keeps every weight, degrees, and nearly the sums of inputs and outputs";
    const CITE: &'static str =
        "Misic et al. 2015, Neuron 86:1518; Milisav et al. 2025, Nature Computational Science 5:48";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("swaps", params.swaps.into(), 1.0, 1e4)?;
        one_of_range("stages", params.stages.into(), 1.0, 1e4)?;
        one_of_range("exchanges", params.exchanges.into(), 1.0, 1e3)?;
        Ok(Strengths { original: Wiring::original(setting)?, params })
    }
}

impl Strengths {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        let mut stream = random::stream(request.seed, Self::ID);
        let (moving, stay) = self.original.split(self.params.diagonal);
        let swaps = self.params.swaps as usize;
        let pairs = rewired(moving.n, &moving.pairs(), swaps, &mut stream, |_| true);
        let mut found = moving.at(pairs, &mut stream);
        let exchanges = (self.params.exchanges as usize * found.all.len()).max(LEAST);
        let schedule = [self.params.stages as usize, exchanges];
        anneal(moving.n, &mut found.all, &moving.all, schedule, &mut stream);
        Ok(found.with(stay))
    }
}
weight_source!(Strengths);
