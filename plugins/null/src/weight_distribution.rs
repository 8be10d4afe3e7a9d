//! `null.weight-distribution`: the same weights anywhere.

use pallium_core::prelude::*;
use pallium_core::random::Stream;

use crate::wiring::{Diagonal, Wiring, draw, weight_source};

pallium_core::params! {
    /// What stays.
    pub struct Params {
        /// The weights from neurons to themselves; `null.diagonal` keeps them.
        diagonal: Diagonal = Diagonal::Move,
    }
}

/// The original's weights, each with its sign, at pairs that are drawn from all pairs
/// (of different neurons, if none is connected to itself). N×N, or on connections.
pub struct WeightDistribution {
    original: Wiring,
    params: Params,
}

impl Component for WeightDistribution {
    const ID: &'static str = "null.weight-distribution";
    const ABOUT: &'static str = "null: keeps every weight with its sign, at other pairs";
    const CITE: &'static str = "Erdős and Rényi 1959";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(WeightDistribution { original: Wiring::original(setting)?, params })
    }
}

/// The weights of `original` at other pairs.
pub fn moved(original: &Wiring, diagonal: Diagonal, stream: &mut Stream) -> Wiring {
    let (moving, stay) = original.split(diagonal);
    let neurons: Vec<u32> = (0..moving.n as u32).collect();
    let pairs = draw([&neurons, &neurons], moving.has_loops(), moving.all.len(), stream);
    moving.at(pairs, stream).with(stay)
}

impl WeightDistribution {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        let mut stream = random::stream(request.seed, Self::ID);
        Ok(moved(&self.original, self.params.diagonal, &mut stream))
    }
}
weight_source!(WeightDistribution);
