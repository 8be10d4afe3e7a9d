//! `null.diagonal`: the weights from neurons to themselves, and the others anywhere.

use pallium_core::prelude::*;

use crate::weight_distribution::moved;
use crate::wiring::{Diagonal as Choice, Wiring, weight_source};

pallium_core::params! {
    /// It has no parameters.
    pub struct Params {}
}

/// The weight from each neuron to itself stays; the other weights, each with its sign,
/// are at pairs that are drawn from all pairs of different neurons. N×N, or on
/// connections.
pub struct Diagonal {
    original: Wiring,
}

impl Component for Diagonal {
    const ID: &'static str = "null.diagonal";
    const ABOUT: &'static str = "null: keeps the diagonal, and every other weight at other pairs";
    const CITE: &'static str = "this work";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(Diagonal { original: Wiring::original(setting)? })
    }
}

impl Diagonal {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        Ok(moved(&self.original, Choice::Keep, &mut random::stream(request.seed, Self::ID)))
    }
}
weight_source!(Diagonal);
