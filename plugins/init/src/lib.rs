//! Recurrent weights from anywhere: drawn at random, read from a file, or
//! proportional to synapses.
//!
//! | component | W |
//! |---|---|
//! | `init.distance` | normal numbers on a random graph whose connections become rarer with distance |
//! | `init.file` | a matrix in a file, or the weights of a finished training |
//! | `init.gaussian` | independent normal numbers |
//! | `init.identity` | each neuron connected only to itself |
//! | `init.orthogonal` | a random orthogonal matrix |
//! | `init.sparse` | normal numbers for a share of all pairs, 0 for the others |
//! | `init.synapses` | proportional to numbers or sizes of synapses |
//!
//! All but `init.identity` and `init.orthogonal` share the parameters `signs`, `diagonal` and
//! `spectral_radius` ([`pallium_weights::Finish`]).

mod connections_file;
mod controls;
mod distance;
mod distance_boxes;
mod file;
mod gaussian;
mod identity;
mod orthogonal;
mod safetensors_file;
mod sparse;
mod synapses;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
