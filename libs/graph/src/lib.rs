//! The graph of a network's strong connections: what is measured on it by
//! plugins and drawn in reports, each implemented once.

pub mod communities;
pub mod examples;
mod graph;
mod rewiring;
mod threshold;

pub use graph::{Graph, Ones, ones};
pub use rewiring::{Rewire, Rewiring};
pub use threshold::{check_quantile, quantile_of_magnitudes, recurrent, strong_connections};
