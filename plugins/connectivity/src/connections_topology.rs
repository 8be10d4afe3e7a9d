//! `connectivity.connections-topology`: communities, hubs and paths of all connections,
//! whose cost grows with their number.

use pallium_core::prelude::*;
use pallium_core::rand::seq::SliceRandom;
use pallium_graph::louvain::{Weighted, communities};
use pallium_weights::Arnoldi;

pallium_core::params! {
    /// Which connections are measured, and how.
    pub struct Params {
        /// Connections with |weight| up to this count as absent (at least 0).
        least: f64 = 0.0,
        /// Number of divisions into communities, each with the neurons in another order;
        /// the best one counts (1 to 1,000).
        divisions: u32 = 4,
        /// Number of neurons from which paths are followed (at least 1); all if there
        /// are fewer. With 256 of 15,000, the standard error of efficiency is about 1 % if most cells reach most others, and
        /// 9 % in the complete MICrONS volume, where few do.
        sources: u32 = 256,
    }
}

/// Of the graph of all connections whose |weight| exceeds `least`, without a quantile and
/// without connections of neurons with themselves:
///
/// modularity and number of communities by Louvain's method (weighted, both directions
/// of a pair added up); assortativity of the numbers of outputs of the source and of
/// inputs of the target (networkx's `degree_pearson_correlation_coefficient`); the binary
/// undirected rich-club coefficient at the largest level whose club has at least a fifth
/// of all neurons (networkx's `rich_club_coefficient`, not normalized); the mean of
/// 1/(number of connections of the shortest directed path) from `sources` neurons, drawn
/// with the seed, to all others; and the spectral radius of the weights.
///
/// Takes weights on connections as well as matrices, of any size.
pub struct Topology {
    params: Params,
    seed: u64,
}

impl Component for Topology {
    const ID: &'static str = "connectivity.connections-topology";
    const ABOUT: &'static str = "communities, assortativity, rich club, efficiency and spectral radius of all connections, in \
                                 networks of any size";
    const CITE: &'static str = "Blondel, Guillaume, Lambiotte, Lefebvre 2008, J. Stat. Mech. P10008; Newman 2003, Phys. Rev. E \
                                67:026126; Latora and Marchiori 2001, Phys. Rev. Lett. 87:198701";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("least", params.least)?;
        one_of_range("divisions", params.divisions.into(), 1.0, 1000.0)?;
        one_of_range("sources", params.sources.into(), 1.0, 1e9)?;
        Ok(Topology { params, seed: setting.seed })
    }
}

impl Metric for Topology {
    fn permutation_invariant(&self) -> bool {
        // The order of the neurons decides among equal communities, and the draw.
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let all = match network.connections {
            Some(connections) => SparseWeights {
                connections: connections.to_owned(),
                values: network.recurrent.iter().copied().collect(),
            },
            None => SparseWeights::from_matrix(network.recurrent, None),
        };
        let strong = all.values.iter().map(|w| if w.abs() > self.params.least as f32 { *w } else { 0.0 });
        let weights: Vec<f64> = strong.map(f64::from).collect();
        let radius = Arnoldi::default().spectral_radius(all.connections.view(), &weights)?;
        let (mut pairs, mut values) = (Vec::new(), Vec::new());
        for (((i, j), &kept), &w) in all.connections.view().pairs().zip(&weights).zip(&all.values) {
            if kept != 0.0 && i != j {
                pairs.push((i as u32, j as u32));
                values.push(w);
            }
        }
        let n = all.connections.view().dim().0;
        let graph = Connections::from_pairs(n, n, pairs)?;
        let undirected = Weighted::new(graph.view(), &values);
        let (community, modularity) = communities(&undirected, self.params.divisions);
        // A neuron without connections is no community.
        let mut names: Vec<u32> = community
            .iter()
            .zip(0..)
            .filter(|&(_, node)| !undirected.of(node).is_empty())
            .map(|(c, _)| *c)
            .collect();
        names.sort_unstable();
        names.dedup();
        let (rich_club, level) = rich_club(&undirected, n);
        Ok(vec![
            Measure::new("topology_modularity", modularity),
            Measure::new("topology_communities", names.len() as f64),
            Measure::new("topology_assortativity", assortativity(graph.view())),
            Measure::new("topology_rich_club", rich_club),
            Measure::new("topology_rich_club_level", level),
            Measure::new("topology_efficiency", self.efficiency(graph.view())),
            Measure::new("topology_spectral_radius", radius),
        ]
        .into())
    }
}
pallium_core::register!(Metric, Topology);

impl Topology {
    /// Mean of 1/d over paths from drawn neurons; 0 without a path.
    fn efficiency(&self, graph: ConnectionsView<'_>) -> f64 {
        let n = graph.dim().0;
        let mut sources: Vec<usize> = (0..n).collect();
        if (self.params.sources as usize) < n {
            sources.shuffle(&mut random::stream(self.seed, "sources of paths"));
            sources.truncate(self.params.sources as usize);
        }
        let mut depth = vec![u32::MAX; n];
        let mut sum = 0.0;
        for &source in &sources {
            depth.fill(u32::MAX);
            depth[source] = 0;
            let (mut front, mut steps) = (vec![source as u32], 0_u32);
            while !front.is_empty() {
                steps += 1;
                let mut next = Vec::new();
                for &at in &front {
                    for &to in graph.row(at as usize) {
                        if depth[to as usize] == u32::MAX {
                            depth[to as usize] = steps;
                            next.push(to);
                        }
                    }
                }
                sum += next.len() as f64 / f64::from(steps);
                front = next;
            }
        }
        sum / (sources.len() as f64 * (n as f64 - 1.0))
    }
}

/// Correlation over connections of the source's outputs and the target's inputs; NaN if
/// either does not vary.
fn assortativity(graph: ConnectionsView<'_>) -> f64 {
    let (reversed, _) = graph.reversed();
    let ends =
        || graph.pairs().map(|(i, j)| (graph.row(i).len() as f64, reversed.view().row(j).len() as f64));
    let count = graph.len() as f64;
    let mean = ends().fold([0.0; 2], |sum, (x, y)| [sum[0] + x / count, sum[1] + y / count]);
    let mut moments = [0.0; 3];
    for (x, y) in ends() {
        let (x, y) = (x - mean[0], y - mean[1]);
        moments = [moments[0] + x * y, moments[1] + x * x, moments[2] + y * y];
    }
    moments[0] / (moments[1] * moments[2]).sqrt()
}

/// The density of connections among the neurons of degree above the level; NaN with fewer
/// than two. And the level.
fn rich_club(graph: &Weighted, n: usize) -> (f64, f64) {
    let degrees: Vec<usize> = (0..n).map(|node| graph.of(node).len()).collect();
    let mut sorted = degrees.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let rank = n.div_ceil(5).saturating_sub(1);
    let level = sorted.get(rank).copied().unwrap_or(0).saturating_sub(1);
    let club = |node: usize| degrees[node] > level;
    let size = degrees.iter().filter(|&&degree| degree > level).count() as f64;
    let ends: usize = (0..n)
        .filter(|&node| club(node))
        .map(|node| graph.of(node).iter().filter(|(other, _)| club(*other as usize)).count())
        .sum();
    let density = if size < 2.0 { f64::NAN } else { ends as f64 / (size * (size - 1.0)) };
    (density, level as f64)
}

#[cfg(test)]
mod tests {
    use pallium_core::serde_json::{self, Value};
    use pallium_graph::louvain::modularity;

    use super::*;

    fn golden() -> Value {
        serde_json::from_str(include_str!("../fixtures/topology.json")).unwrap()
    }

    /// `fixtures/topology.py` makes the graph and computes the values by networkx.
    #[test]
    fn measures_are_those_of_networkx_and_numpy() {
        let golden = golden();
        let n = golden["nodes"].as_u64().unwrap() as usize;
        let mut matrix = Matrix::zeros((n, n));
        for edge in golden["edges"].as_array().unwrap() {
            let [i, j] = [0, 1].map(|k| edge[k].as_u64().unwrap() as usize);
            matrix[[i, j]] = edge[2].as_f64().unwrap() as f32;
        }
        let sparse = SparseWeights::from_matrix(matrix.view(), None);
        let row = Matrix::from_shape_vec((1, sparse.values.len()), sparse.values.clone()).unwrap();
        let on = Network { connections: Some(sparse.connections.view()), ..Network::new(row.view()) };
        let mut found = Vec::new();
        for network in [on, Network::new(matrix.view())] {
            let mut metric = Topology::build(Params::default(), &Setting::default()).unwrap();
            found.push(metric.measure(&network).unwrap().values);
        }
        assert_eq!(found[0], found[1]);
        for measure in &found[0] {
            let expected = golden["values"][&measure.name].as_f64().unwrap();
            let off = (measure.value - expected).abs();
            assert!(off < 1e-5, "{}: {} and not {expected}", measure.name, measure.value);
        }
        assert_eq!(found[0].len(), golden["values"].as_object().unwrap().len());
        let graph = Weighted::new(sparse.connections.view(), &sparse.values);
        let groups: Vec<u32> = (0..n as u32).map(|node| node % 4).collect();
        let expected = golden["of_groups"].as_f64().unwrap();
        assert!((modularity(&graph, &groups) - expected).abs() < 1e-6);
    }

    #[test]
    fn efficiency_of_drawn_sources_is_near_that_of_all() {
        let mut stream = random::stream(1, "graph");
        let mut pairs: Vec<(u32, u32)> = (0..8000)
            .map(|_| [0; 2].map(|_: u32| pallium_core::rand::Rng::random_range(&mut stream, 0..1000_u32)))
            .map(|[i, j]| (i, j))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let graph = Connections::from_pairs(1000, 1000, pairs).unwrap();
        let of = |sources: u32| {
            let params = Params { sources, ..Params::default() };
            Topology::build(params, &Setting::default()).unwrap().efficiency(graph.view())
        };
        let (all, drawn) = (of(1000), of(100));
        assert!(all > 0.0 && drawn != all && (drawn / all - 1.0).abs() < 0.02, "{drawn} and not {all}");
    }

    #[test]
    fn networks_without_connections_have_no_values() {
        let none = Matrix::zeros((5, 5));
        let mut metric = Topology::build(Params::default(), &Setting::default()).unwrap();
        let found = metric.measure(&Network::new(none.view())).unwrap().values;
        let of = |name: &str| found.iter().find(|m| m.name == format!("topology_{name}")).unwrap().value;
        assert!(of("modularity").is_nan() && of("assortativity").is_nan() && of("rich_club").is_nan());
        assert_eq!([of("communities"), of("efficiency"), of("spectral_radius")], [0.0; 3]);
    }
}
