//! `null.density`: as many connections.

use pallium_core::prelude::*;
use pallium_core::rand_distr::{Distribution, StandardNormal};

use crate::wiring::{Diagonal, Wiring, draw, weight_source};

pallium_core::params! {
    /// What stays.
    pub struct Params {
        /// The weights from neurons to themselves.
        diagonal: Diagonal = Diagonal::Move,
    }
}

/// As many connections as the original, between pairs that are drawn from all pairs
/// (of different neurons, if none is connected to itself), with normal weights of the
/// original's mean and standard deviation. N×N, or on connections.
pub struct Density {
    original: Wiring,
    params: Params,
}

impl Component for Density {
    const ID: &'static str = "null.density";
    const ABOUT: &'static str = "null: keeps the number of connections, and the weights' mean and deviation";
    const CITE: &'static str = "Erdős and Rényi 1959";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(Density { original: Wiring::original(setting)?, params })
    }
}

impl Density {
    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        let mut stream = random::stream(request.seed, Self::ID);
        let (moving, stay) = self.original.split(self.params.diagonal);
        let neurons: Vec<u32> = (0..moving.n as u32).collect();
        let pairs = draw([&neurons, &neurons], moving.has_loops(), moving.all.len(), &mut stream);
        let weights: Vec<f64> = moving.weights().into_iter().map(f64::from).collect();
        let count = weights.len().max(1) as f64;
        let mean = weights.iter().sum::<f64>() / count;
        let deviation = (weights.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / count).sqrt();
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        let weights = weights.iter().map(|_| (mean + deviation * normal()) as f32).collect();
        Ok(Wiring::new(moving.n, pairs, weights).with(stay))
    }
}
weight_source!(Density);
