//! `connectivity.modularity`: how well the network divides into communities.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_graph::{Cut, Ties};
use pallium_linalg::symmetric;

use crate::graph::{Kind, WeightedGraph};

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
        /// Resolution γ: values above 1 give smaller communities, values below
        /// 1 larger ones (above 0).
        gamma: f64 = 1.0,
    }
}

/// Newman's modularity Q of the communities found by his spectral method, and
/// their number. The graph is split in two along the leading eigenvector of its
/// modularity matrix, then nodes are moved one at a time as long as Q increases
/// (Newman 2006), and each part is split in the same way until no split
/// increases Q. The directed version is that of Leicht and Newman (2008).
///
/// For the same communities, Q equals networkx's `modularity`. Another search
/// may find others. NaN without connections.
pub struct Modularity {
    params: Params,
    cut: Cut,
}

impl Component for Modularity {
    const ID: &'static str = "connectivity.modularity";
    const ABOUT: &'static str =
        "modularity by the spectral method, binary or weighted, undirected or directed";
    const CITE: &'static str = "Newman 2006, PNAS 103:8577; Leicht and Newman 2008, Phys. Rev. Lett. 100:118703; \
                                resolution: Reichardt and Bornholdt 2006, Phys. Rev. E 74:016110";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        check_gamma(params.gamma)?;
        Ok(Modularity { params, cut })
    }
}

/// Refuses a resolution that is not above 0.
pub fn check_gamma(gamma: f64) -> Result<()> {
    one_of_range("gamma", gamma, 0.0, 1e3)?;
    if gamma > 0.0 {
        return Ok(());
    }
    Err(Error::input("parameter `gamma` is 0").help("it must be above 0; the usual value is 1"))
}

impl Metric for Modularity {
    /// Nodes with identical connections may be assigned by their order.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Params { kind, gamma, .. } = self.params;
        let graph = WeightedGraph::from_network(network, kind, self.cut)?;
        let communities = communities(&graph, gamma);
        let name = if kind.directed() { "modularity_dir" } else { "modularity_und" };
        let count = communities.iter().max().map_or(0, |&last| last + 1);
        Ok(vec![
            Measure::new(name, modularity(&graph, &communities, gamma)),
            Measure::new(format!("{name}_communities"), count as f64),
        ]
        .into())
    }
}
pallium_core::register!(Metric, Modularity);

/// Q of a partition: Σ over pairs within a community of (w − γ·s_out·s_in/m)/m,
/// where m is the sum of all weights.
pub fn modularity(graph: &WeightedGraph, community: &[usize], gamma: f64) -> f64 {
    let (out, into) = (graph.out_sums(|w| w), graph.in_sums(|w| w));
    let total: f64 = out.iter().sum();
    let mut sum = 0.0;
    for i in 0..graph.nodes() {
        for (j, w) in graph.row(i).iter().enumerate() {
            if community[i] == community[j] {
                sum += w - gamma * out[i] * into[j] / total;
            }
        }
    }
    sum / total
}

/// The community of each node, numbered from 0 in the order of their first
/// nodes.
pub fn communities(graph: &WeightedGraph, gamma: f64) -> Vec<usize> {
    let n = graph.nodes();
    let (out, into) = (graph.out_sums(|w| w), graph.in_sums(|w| w));
    let total: f64 = out.iter().sum();
    if total == 0.0 {
        return (0..n).collect();
    }
    // A directed graph's modularity matrix can be replaced by its symmetric
    // part.
    let matrix = |i: usize, j: usize| {
        let own = |i: usize, j: usize| graph.weight(i, j) - gamma * out[i] * into[j] / total;
        (own(i, j) + own(j, i)) / 2.0
    };
    let mut done: Vec<Vec<usize>> = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![(0..n).collect()];
    while let Some(group) = open.pop() {
        match split(&group, total, matrix) {
            Some((left, right)) => open.extend([right, left]),
            None => done.push(group),
        }
    }
    done.sort();
    let mut community = vec![0; n];
    for (name, group) in done.iter().enumerate() {
        group.iter().for_each(|&node| community[node] = name);
    }
    community
}

/// The two halves of `group` that increase the modularity most, if any do.
fn split(
    group: &[usize],
    total: f64,
    matrix: impl Fn(usize, usize) -> f64,
) -> Option<(Vec<usize>, Vec<usize>)> {
    let n = group.len();
    if n < 2 {
        return None;
    }
    let mut b = Array2::from_shape_fn((n, n), |(i, j)| matrix(group[i], group[j]));
    for i in 0..n {
        let row: f64 = (0..n).map(|j| matrix(group[i], group[j])).sum();
        b[[i, i]] -= row;
    }
    let eigen = symmetric(b.view())?;
    let vector = eigen.vectors.column(n - 1);
    let mut side: Vec<f64> = (0..n).map(|i| if vector[i] >= 0.0 { 1.0 } else { -1.0 }).collect();
    // B·side, updated as nodes move.
    let mut pull: Vec<f64> = (0..n).map(|i| (0..n).map(|j| b[[i, j]] * side[j]).sum()).collect();
    let quality = |side: &[f64], pull: &[f64]| side.iter().zip(pull).map(|(s, p)| s * p).sum::<f64>();
    let tolerance = 1e-10 * total;
    let mut best = quality(&side, &pull);
    loop {
        // Every node is moved once, the one with the largest gain first; the
        // best state on the way is kept (Kernighan and Lin 1970).
        let (mut trial, mut trial_pull, mut moved) = (side.clone(), pull.clone(), vec![false; n]);
        let mut reached = best;
        let mut kept: Option<(f64, Vec<f64>, Vec<f64>)> = None;
        for _ in 0..n {
            let gain = |i: usize| 4.0 * (b[[i, i]] - trial[i] * trial_pull[i]);
            let free = (0..n).filter(|&i| !moved[i]);
            let node = free.reduce(|a, c| if gain(c) > gain(a) { c } else { a })?;
            reached += gain(node);
            trial[node] = -trial[node];
            moved[node] = true;
            let change = 2.0 * trial[node];
            trial_pull.iter_mut().enumerate().for_each(|(i, p)| *p += b[[i, node]] * change);
            if reached > kept.as_ref().map_or(best, |(q, _, _)| *q) + tolerance {
                kept = Some((reached, trial.clone(), trial_pull.clone()));
            }
        }
        let Some((better, sides, pulls)) = kept else { break };
        (best, side, pull) = (better, sides, pulls);
    }
    let half = |of: f64| -> Vec<usize> {
        group.iter().zip(&side).filter(|(_, s)| **s == of).map(|(&node, _)| node).collect()
    };
    let (left, right) = (half(1.0), half(-1.0));
    (best > tolerance && !left.is_empty() && !right.is_empty()).then_some((left, right))
}
