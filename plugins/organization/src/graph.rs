//! The graph that the metrics measure: the strong connections of a network.

use std::cell::RefCell;

use pallium_core::prelude::*;
use pallium_graph::{Cut, Graph, Ties, recurrent, strong_connections};

pallium_core::params! {
    /// Which graph is measured.
    pub struct GraphParams {
        /// Two neurons are connected if |weight| in either direction exceeds
        /// this quantile of all N² values of |weight| (0 to 1).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile is a connection as well,
        /// as in binary matrices.
        ties: Ties = Ties::Include,
    }
}

/// The study excluded ties.
pub const TIES: [ProfileValue; 2] = [
    ProfileValue::new("published", "ties", r#""exclude""#),
    ProfileValue::new("corrected", "ties", r#""include""#),
];

impl GraphParams {
    /// # Errors
    /// If the quantile is out of range.
    pub fn cut(&self) -> Result<Cut> {
        Cut::new(self.quantile, self.ties)
    }
}

/// A graph, with the weights and the cut it was computed from.
struct CachedGraph {
    weights: Matrix,
    cut: Cut,
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
pub fn graph_of(network: &Network<'_>, cut: Cut) -> Result<(Graph, f64)> {
    thread_local!(static LAST: RefCell<Option<CachedGraph>> = const { RefCell::new(None) });
    LAST.with_borrow_mut(|last| {
        let made = match last {
            Some(made) if made.cut == cut && made.weights == network.recurrent => made,
            _ => {
                let weights = recurrent(network)?;
                let (graph, threshold) = strong_connections(weights, cut);
                last.insert(CachedGraph { weights: weights.to_owned(), cut, graph, threshold })
            }
        };
        Ok((made.graph.clone(), made.threshold))
    })
}
