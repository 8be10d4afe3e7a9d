//! Constraints on what neurons and their connections may be, wherever they
//! lie.
//!
//! | component | acts on |
//! |---|---|
//! | `circuit.dale` | weights, hard: each neuron excites or inhibits |
//! | `circuit.mask` | weights, hard: pairs that are not connected stay so |
//! | `circuit.no-autapses` | weights, hard: no neuron connects to itself |
//! | `circuit.rate` | activity: what it costs to be active |
//! | `circuit.spectral-radius` | weights, hard: the largest \|eigenvalue\| |
//!
//! Hard constraints act after each update, in the order in which they are
//! listed. Clearing weights (signs, masks) changes the spectral radius, and
//! scaling them changes neither signs nor zeros: list the spectral radius last.

mod dale;
mod mask;
mod no_autapses;
mod rate;
mod spectral_radius;

mod shapes;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
