//! Penalties on recurrent weights that depend on the positions of the neurons,
//! and hard constraints on the weights.
//!
//! | component | penalty |
//! |---|---|
//! | `spatial.l1` | λ Σ\|W\| |
//! | `spatial.distance` | λ Σ\|W\|∘D |
//! | `spatial.communicability` | λ Σ\|W\|∘D∘C |
//! | `spatial.communicability-emd` | λ Σ\|W\|∘D + λ′ mean\|sort C − sort C′\| |
//! | `spatial.communicability-walks` | λ Σ\|W\|∘D∘C, C over walks of limited length |
//! | `spatial.wiring-budget` | λ max(0, Σ\|W\|∘D / B − 1)², or none; W is projected onto the budget B after each update |
//! | `spatial.non-negative` | none; W ← max(W, 0) after each update |
//!
//! D is the matrix of distances between neurons; C is the communicability of
//! \|W\|, each weight scaled by the strengths of its two neurons; C′ is the
//! communicability of the measured connectome. The derivative of \|w\| at w = 0
//! is 0 everywhere.

mod communicability;
mod communicability_emd;
mod communicability_walks;
mod distance;
mod l1;
mod non_negative;
mod wiring_budget;

mod expm;
mod function;
mod network;
mod on_connections;
mod ranks;
mod series;
mod views;
mod walks;

#[cfg(test)]
mod blocks;
#[cfg(test)]
mod reference;

pallium_core::plugin!();
