//! Network organization of a recurrent matrix.
//!
//! | component | measures |
//! |---|---|
//! | [`organization.entropy`](entropy) | `entropy` of the distribution of the signed weights |
//! | [`organization.density`](density) | `edges`, `density`, `threshold` of the graph below |
//! | [`organization.modularity`](modularity) | `modularity`, `communities` |
//! | [`organization.assortativity`](assortativity) | `assortativity` by degree |
//! | [`organization.clustering`](clustering) | `clustering` |
//! | [`organization.efficiency`](efficiency) | `efficiency` |
//! | [`organization.small-worldness`](small_worldness) | `small_worldness`, `small_worldness_z` |
//! | [`organization.spectral-radius`](spectral_radius) | `spectral_radius` |
//!
//! All but the first and the last measure one [`graph`]: the pairs of neurons
//! whose |weight| in either direction reaches a quantile of all |weights|. A
//! measure that is undefined (no edges, one neuron, all degrees equal) is NaN;
//! a matrix that is not square or not finite is an error.

pub mod assortativity;
pub mod clustering;
pub mod density;
pub mod efficiency;
pub mod entropy;
pub mod graph;
pub mod modularity;
pub mod null;
pub mod small_worldness;
pub mod spectral_radius;
pub mod two_steps;

#[cfg(test)]
mod reference;

pallium_core::plugin!();
