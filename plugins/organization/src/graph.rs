//! The graph that the metrics measure: the strong connections of a network.

use std::cell::RefCell;

use pallium_core::prelude::*;
use pallium_graph::{Graph, recurrent, strong_connections};

pallium_core::params! {
    /// Which graph is measured.
    pub struct GraphParams {
        /// Two neurons are connected if |weight| in either direction exceeds
        /// this quantile of all N² values of |weight| (0 to 1).
        quantile: f64 = 0.9,
    }
}

/// A graph, with the weights and quantile it was computed from.
struct CachedGraph {
    weights: Matrix,
    quantile: f64,
    graph: Graph,
    threshold: f64,
}

/// The graph of a network, and the threshold of |weight|.
///
/// Six metrics measure the same graph one after the other. Finding the threshold
/// takes longer than most of them, so each thread caches its last graph.
///
/// # Errors
/// As [`recurrent`].
pub fn graph_of(network: &Network<'_>, quantile: f64) -> Result<(Graph, f64)> {
    thread_local!(static LAST: RefCell<Option<CachedGraph>> = const { RefCell::new(None) });
    LAST.with_borrow_mut(|last| {
        let made = match last {
            Some(made) if made.quantile == quantile && made.weights == network.recurrent => made,
            _ => {
                let weights = recurrent(network)?;
                let (graph, threshold) = strong_connections(weights, quantile);
                last.insert(CachedGraph { weights: weights.to_owned(), quantile, graph, threshold })
            }
        };
        Ok((made.graph.clone(), made.threshold))
    })
}
