//! `connectivity.rich-club`: how densely hubs are connected.

use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};

use crate::graph::{Kind, WeightedGraph, present};

pallium_core::params! {
    /// Which graph is measured, and how.
    pub struct Params {
        /// Whether the network is binary or weighted, undirected or directed.
        kind: Kind = Kind::Wd,
        /// Only connections whose |weight| is at least this quantile of all N²
        /// values of |weight|, and not 0, count (0 to 1; see `ties`).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile counts as well, as in
        /// binary matrices.
        ties: Ties = Ties::Include,
        /// Level k: the club is the nodes of degree above k (binary), or of at
        /// least k (weighted). If left out, the largest level whose club has at
        /// least a fifth of all nodes.
        level: Option<u32> = None,
    }
}

/// The rich-club coefficient at one level of degree (directed: in and out
/// together), not divided by that of random networks.
///
/// Binary, it is the density of connections within the club (Zhou and Mondragón
/// 2004; Colizza et al. 2006): 0 if none of its nodes are connected, NaN if it
/// has fewer than two nodes. Equal to networkx's `rich_club_coefficient` without
/// `normalized`, and to `rich_club_bu` and `_bd` of the Brain Connectivity
/// Toolbox.
///
/// Weighted, it is the sum of weights within the club over that of as many of
/// the network's strongest connections (Opsahl et al. 2008), which is undefined
/// (NaN) if the club has no connections. Equal to `rich_club_wu` and `_wd` of
/// the toolbox, except that it is 1 for a club of all nodes, where bctpy returns
/// NaN.
pub struct RichClub {
    params: Params,
    cut: Cut,
}

impl Component for RichClub {
    const ID: &'static str = "connectivity.rich-club";
    const ABOUT: &'static str = "rich-club coefficient, binary or weighted, undirected or directed";
    const CITE: &'static str = "Colizza, Flammini, Serrano, Vespignani 2006, Nat. Phys. 2:110; Opsahl, Colizza, \
                                Panzarasa, Ramasco 2008, Phys. Rev. Lett. 101:168702";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        Ok(RichClub { params, cut })
    }
}

impl Metric for RichClub {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, level, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let level = level.unwrap_or_else(|| default_level(&graph, kind));
        let name = format!("rich_club_{}", kind.name());
        Ok(vec![
            Measure::new(name.as_str(), rich_club(&graph, kind, level)),
            Measure::new(format!("{name}_level"), f64::from(level)),
        ]
        .into())
    }
}
pallium_core::register!(Metric, RichClub);

fn degrees(graph: &WeightedGraph, kind: Kind) -> Vec<u32> {
    let out = graph.out_sums(present);
    let into = if kind.directed() { graph.in_sums(present) } else { vec![0.0; graph.nodes()] };
    out.iter().zip(into).map(|(a, b)| (a + b) as u32).collect()
}

/// The minimum degree of nodes in the club of `level`.
fn min_degree(kind: Kind, level: u32) -> u32 {
    if kind.weighted() { level } else { level.saturating_add(1) }
}

fn default_level(graph: &WeightedGraph, kind: Kind) -> u32 {
    let mut sorted = degrees(graph, kind);
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let rank = sorted.len().div_ceil(5).saturating_sub(1);
    let degree = sorted.get(rank).copied().unwrap_or(0);
    if kind.weighted() { degree } else { degree.saturating_sub(1) }
}

/// The rich-club coefficient at `level`.
pub fn rich_club(graph: &WeightedGraph, kind: Kind, level: u32) -> f64 {
    let degrees = degrees(graph, kind);
    let club = |i: usize| degrees[i] >= min_degree(kind, level);
    let within: Vec<f64> = graph.edges().filter(|&(i, j, _)| club(i) && club(j)).map(|(_, _, w)| w).collect();
    if !kind.weighted() {
        let size = (0..graph.nodes()).filter(|&i| club(i)).count() as f64;
        return if size < 2.0 { f64::NAN } else { within.len() as f64 / (size * (size - 1.0)) };
    }
    if within.is_empty() {
        return f64::NAN;
    }
    let mut all: Vec<f64> = graph.edges().map(|(_, _, w)| w).collect();
    all.sort_unstable_by(|a, b| b.total_cmp(a));
    within.iter().sum::<f64>() / all[..within.len()].iter().sum::<f64>()
}
