//! `null.modules`: connections within and between communities.

use std::collections::BTreeMap;

use pallium_core::prelude::*;
use pallium_graph::louvain::{Weighted, communities};
use rand::seq::SliceRandom;

use crate::wiring::{Connection, Diagonal, Wiring, draw, same_size, weight_source};

pallium_core::params! {
    /// What stays, and what the modules are.
    pub struct Params {
        /// The weights from neurons to themselves.
        diagonal: Diagonal = Diagonal::Move,
        /// The substrate's identifiers that name each neuron's module, such as an area
        /// or a layer; by default the modules are communities of the original weights.
        labels: Option<String> = None,
    }
}

/// Divisions of which the best is taken.
const ROUNDS: u32 = 8;

/// Between each two modules, and within each, as many connections with the same weights
/// as in the original, at pairs that are drawn from all pairs there. So every measure
/// of the modules stays, such as their modularity. Modules are the communities of
/// highest modularity of |W| + |Wᵀ|, by Louvain's method, or `labels`. N×N, or on
/// connections.
pub struct Modules {
    original: Wiring,
    params: Params,
}

impl Component for Modules {
    const ID: &'static str = "null.modules";
    const ABOUT: &'static str = "null: keeps the weights and connections within and between modules";
    const CITE: &'static str = "Holland, Laskey and Leinhardt 1983, Social Networks 5:109; Blondel et al. 2008, \
                                J. Stat. Mech. P10008";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(Modules { original: Wiring::original(setting)?, params })
    }
}

/// The modules of the original weights.
///
/// # Errors
/// None in practice; the pairs of a network are valid.
pub fn found(original: &Wiring) -> Result<Vec<i64>> {
    let pairs = Connections::from_pairs(original.n, original.n, original.pairs())?;
    let graph = Weighted::new(pairs.view(), &original.weights());
    Ok(communities(&graph, ROUNDS).0.into_iter().map(i64::from).collect())
}

impl Modules {
    fn modules(&self, request: &WeightRequest<'_>) -> Result<Vec<i64>> {
        let Some(name) = &self.params.labels else { return found(&self.original) };
        let substrate = request.substrate()?;
        let Some(ids) = substrate.ids.get(name).filter(|ids| ids.len() == self.original.n) else {
            let known: Vec<_> = substrate.ids.keys().map(String::as_str).collect();
            let has = if known.is_empty() { "none".into() } else { known.join(", ") };
            return Err(Error::input(format!("substrate `{}` has no identifiers `{name}`", substrate.name))
                .help(format!("it has: {has}")));
        };
        Ok(ids.to_vec())
    }

    fn draw(&self, request: &WeightRequest<'_>) -> Result<Wiring> {
        same_size(self.original.n, request)?;
        let mut stream = random::stream(request.seed, Self::ID);
        let (moving, stay) = self.original.split(self.params.diagonal);
        let of = self.modules(request)?;
        let mut members: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        of.iter().zip(0..).for_each(|(&module, neuron)| members.entry(module).or_default().push(neuron));
        let mut blocks: BTreeMap<[i64; 2], Vec<Connection>> = BTreeMap::new();
        for &(i, j, w) in &moving.all {
            blocks.entry([i, j].map(|end| of[end as usize])).or_default().push((i, j, w));
        }
        let mut all = Wiring { n: moving.n, all: Vec::with_capacity(moving.all.len()) };
        for (ends, block) in blocks {
            let loops = block.iter().any(|(i, j, _)| i == j);
            let pairs = draw(ends.map(|end| members[&end].as_slice()), loops, block.len(), &mut stream);
            let mut weights: Vec<f32> = block.into_iter().map(|(_, _, w)| w).collect();
            weights.shuffle(&mut stream);
            all.all.extend(pairs.into_iter().zip(weights).map(|((i, j), w)| (i, j, w)));
        }
        Ok(all.with(stay))
    }
}
weight_source!(Modules);
