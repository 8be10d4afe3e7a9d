//! Constraints on neurons and their connections, regardless of their positions.
//!
//! | component | acts on |
//! |---|---|
//! | `circuit.dale` | weights, hard: each neuron excites or inhibits |
//! | `circuit.mask` | weights, hard: only connected pairs have weights |
//! | `circuit.no-autapses` | weights, hard: no neuron connects to itself |
//! | `circuit.rate` | activity: penalty on its size |
//! | `circuit.rewiring` | weights, hard: a fixed number of connections that find their places |
//! | `circuit.spectral-radius` | weights, hard: the largest \|eigenvalue\| |
//!
//! Hard constraints act after each update, in the order in which they are
//! listed. Clearing weights (signs, masks) changes the spectral radius, and
//! scaling them changes neither signs nor zeros: list the spectral radius last.

mod dale;
mod mask;
mod no_autapses;
mod rate;
mod rewiring;
mod spectral_radius;

mod shapes;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
