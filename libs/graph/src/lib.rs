//! The undirected graph of a network's strong connections, communities and rewiring that
//! keeps degrees. It does not know components, and not where the weights come from.

pub mod communities;
pub mod examples;
mod graph;
pub mod louvain;
mod rewiring;
mod threshold;

pub use graph::{Graph, Ones, ones};
pub use rewiring::{Rewire, Rewiring};
pub use threshold::{Cut, Ties, quantile_of_magnitudes, recurrent, strong_connections};
