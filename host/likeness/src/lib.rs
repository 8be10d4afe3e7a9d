//! How alike two networks are: their activity at the same points of the same trials, and
//! their weights.
//!
//! Activity is a matrix of points × units. Units of the two networks need not correspond,
//! and their numbers may differ, except where weights are compared. [`null_likeness`]
//! compares a null model with the weights that it was made from.

mod activity;
mod assignment;
mod dynamics;
mod geometry;
mod null;
mod weights;

#[cfg(test)]
mod tests;

pub use activity::{Activity, cka, cross, matching, procrustes};
pub use assignment::assignment;
pub use dynamics::{Flow, dsa};
pub use geometry::{distances, rsa};
pub use null::{Weights, null_likeness};
pub use weights::correlation;
