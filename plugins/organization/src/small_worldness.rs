//! Small-worldness: whether neighbours cluster more than by chance while paths
//! stay short.

use std::path::PathBuf;

use pallium_core::prelude::*;
use pallium_graph::{Cut, Graph, Rewiring, Ties};

use crate::graph::{TIES, graph_of};
use crate::null::{Coefficients, matched, published};

pallium_core::choice! {
    /// The random graphs to compare with.
    pub enum Null {
        /// The published computation: graphs of density 0.18, regardless of the
        /// network's density, with self-loops counted in their clustering.
        Published = "published",
        /// Loop-free random graphs with as many edges as the network.
        Matched = "matched",
        /// Loop-free random graphs in which every neuron keeps its degree.
        DegreePreserving = "degree-preserving",
    }
}

pallium_core::params! {
    /// Which graph is measured, and the random graphs to compare with.
    pub struct Params {
        /// Two neurons are connected if |weight| in either direction exceeds
        /// this quantile of all N² values of |weight| (0 to 1).
        quantile: f64 = 0.9,
        /// Whether a |weight| that equals the quantile is a connection as well,
        /// as in binary matrices.
        ties: Ties = Ties::Include,
        /// Random graphs to compare with.
        null: Null = Null::Matched,
        /// Number of random graphs. If left out, 1,000 for the published null,
        /// which is drawn once for each number of neurons, and 100 for the
        /// others, which are drawn for every network.
        graphs: Option<u32> = None,
        /// Degree-preserving only: attempted swaps per edge from one graph to
        /// the next (ten times as many before the first).
        swaps: u32 = 1,
    }
}

/// `small_worldness` σ = (C / C₀) / (E₀ / E), where C is the mean clustering
/// and E the global efficiency of the [graph](crate::graph), and C₀ and E₀ are
/// their means over a [null ensemble](crate::null). This is the index of
/// Humphries and Gurney (2008) with the ratio of path lengths L / L₀ replaced
/// by E₀ / E, which is also defined for disconnected networks. Values above 1
/// indicate a small world.
///
/// With the matched and the degree-preserving null, also `small_worldness_z`,
/// the z-score of σ in the ensemble: each random graph has its own σ with
/// respect to the same C₀ and E₀, and z = (σ − mean) / standard deviation of
/// these.
///
/// Both are NaN without edges, or if the null has no triangles.
///
/// One hundred graphs are enough: at N = 312 and 9,225 edges the σ of a single
/// matched graph has a standard deviation of 0.45 % (0.9 % at 6,275 edges), so
/// the mean of a hundred graphs has an error of 0.05 to 0.1 % and the standard
/// deviation itself one of 7 %, at 11 ms per network. A thousand graphs would
/// take 0.1 s for every network, since networks differ in their number of
/// edges.
pub struct SmallWorldness {
    params: Params,
    cut: Cut,
    seed: u64,
    cache: Option<PathBuf>,
}

impl Component for SmallWorldness {
    const ID: &'static str = "organization.small-worldness";
    const ABOUT: &'static str = "small-worldness of the graph of strong connections, against random graphs";
    const CITE: &'static str =
        "Humphries and Gurney 2008; Latora and Marchiori 2001; Maslov and Sneppen 2002";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = &[
        TIES[0],
        TIES[1],
        ProfileValue::new("published", "null", r#""published""#),
        ProfileValue::new("corrected", "null", r#""matched""#),
    ];
    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let cut = Cut::new(params.quantile, params.ties)?;
        if let Some(graphs) = params.graphs {
            one_of_range("graphs", f64::from(graphs), 1.0, 1e6)?;
        }
        one_of_range("swaps", f64::from(params.swaps), 1.0, 1e4)?;
        Ok(SmallWorldness { params, cut, seed: setting.seed, cache: setting.cache.map(PathBuf::from) })
    }
}

impl SmallWorldness {
    fn graphs(&self) -> usize {
        let default = if self.params.null == Null::Published { 1000 } else { 100 };
        self.params.graphs.unwrap_or(default) as usize
    }

    /// The coefficients of the null ensemble of `graph`.
    fn ensemble(&self, graph: &Graph) -> Vec<Coefficients> {
        // A new stream for each network, so that the result does not depend on
        // earlier measurements.
        let mut rng = random::stream(self.seed, "small-worldness null graphs");
        if self.params.null == Null::Matched {
            let (nodes, edges) = (graph.nodes(), graph.size());
            return (0..self.graphs()).map(|_| Coefficients::new(&matched(nodes, edges, &mut rng))).collect();
        }
        let attempts = self.params.swaps as usize;
        let mut chain = Rewiring::new(graph.canonical());
        chain.swap(10 * attempts, &mut rng);
        (0..self.graphs()).map(|_| Coefficients::new(chain.swap(attempts, &mut rng))).collect()
    }
}

impl Metric for SmallWorldness {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let (graph, _) = graph_of(network, self.cut)?;
        let name = "small_worldness";
        let edgeless = graph.size() == 0;
        let own = Coefficients::new(&graph);
        if self.params.null == Null::Published {
            let sigma = if edgeless {
                f64::NAN
            } else {
                sigma(own, published(graph.nodes(), self.graphs(), self.cache.as_deref()))
            };
            return Ok(vec![Measure::new(name, sigma)].into());
        }
        let (value, z) = if edgeless { (f64::NAN, f64::NAN) } else { compare(own, &self.ensemble(&graph)) };
        Ok(vec![Measure::new(name, value), Measure::new("small_worldness_z", z).unit("standard deviations")]
            .into())
    }
}
pallium_core::register!(Metric, SmallWorldness);

fn sigma(of: Coefficients, null: Coefficients) -> f64 {
    let sigma = of.clustering / null.clustering * (of.efficiency / null.efficiency);
    if sigma.is_finite() { sigma } else { f64::NAN }
}

/// σ and its z-score in the ensemble.
fn compare(own: Coefficients, ensemble: &[Coefficients]) -> (f64, f64) {
    let null = Coefficients::mean(ensemble);
    let value = sigma(own, null);
    let count = ensemble.len() as f64;
    let mean = ensemble.iter().map(|&c| sigma(c, null)).sum::<f64>() / count;
    let squares = ensemble.iter().map(|&c| (sigma(c, null) - mean).powi(2)).sum::<f64>();
    let deviation = (squares / (count - 1.0)).sqrt();
    // Ensembles without variation (such as of complete graphs) leave rounding
    // errors.
    let z = if deviation > 1e-12 { (value - mean) / deviation } else { f64::NAN };
    (value, z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_graph::examples::*;

    const ALL: [Null; 3] = [Null::Published, Null::Matched, Null::DegreePreserving];

    fn values(weights: &Matrix, null: Null, seed: u64) -> Vec<f64> {
        let params = Params { quantile: 0.0, null, ..Params::default() };
        let mut metric = SmallWorldness::build(params, &Setting { seed, ..Setting::default() }).unwrap();
        let found = metric.measure(&Network::new(weights.view())).unwrap().values;
        assert_eq!(found[0].name, "small_worldness");
        found.iter().map(|m| m.value).collect()
    }

    #[test]
    fn a_small_world_is_distinguished_from_a_random_graph() {
        // A ring with every tenth connection rewired (Watts and Strogatz).
        let mut rng = random::stream(5, "test");
        let mut small_world = ring(150, 5);
        for (i, j) in ring(150, 5).edges().step_by(10) {
            let k = rand::Rng::random_range(&mut rng, 0..150);
            if k != i && !small_world.joined(i, k) {
                small_world.part(i, j);
                small_world.join(i, k);
            }
        }
        // The densities are 0.067 and 0.18: the published null is more
        // sensitive to density than to small-world structure.
        let published = values(&weights(&small_world), Null::Published, 1);
        for null in [Null::Matched, Null::DegreePreserving] {
            let found = values(&weights(&small_world), null, 1);
            assert!(published[0] < found[0] / 3.0, "{published:?} {found:?}");
            assert!(found[0] > 4.0 && found[1] > 30.0, "{found:?}");
            let found = values(&weights(&random(150, 0.15, 6)), null, 1);
            assert!((found[0] - 1.0).abs() < 0.05 && found[1].abs() < 4.0, "{found:?}");
        }
    }

    #[test]
    fn the_score_of_random_graphs_is_standard() {
        // z of graphs drawn from the ensemble itself: mean 0, deviation 1.
        let z: Vec<f64> = (0..300)
            .map(|k| {
                let graph = matched(50, 200, &mut random::stream(k, "test"));
                values(&weights(&graph), Null::Matched, k)[1]
            })
            .collect();
        let mean = z.iter().sum::<f64>() / 300.0;
        let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 299.0;
        assert!(mean.abs() < 0.25 && (variance.sqrt() - 1.0).abs() < 0.2, "{mean} {variance}");
    }

    #[test]
    fn undefined_values_are_nan() {
        for null in ALL {
            for graph in [Graph::empty(0), Graph::empty(1), Graph::empty(9)] {
                assert!(values(&weights(&graph), null, 1).iter().all(|v| v.is_nan()));
            }
        }
        // Every matched graph is the network itself: σ = 1, without spread.
        for null in [Null::Matched, Null::DegreePreserving] {
            let found = values(&weights(&complete(20)), null, 1);
            assert!((found[0] - 1.0).abs() < 1e-12 && found[1].is_nan(), "{found:?}");
            // No triangles in the null.
            assert!(values(&weights(&from_edges(9, &[(0, 1)])), null, 1)[0].is_nan());
        }
    }

    #[test]
    fn results_do_not_depend_on_numbering_or_history() {
        let graph = random(90, 0.1, 7);
        for null in ALL {
            let expected = values(&weights(&graph), null, 3);
            for seed in 0..3 {
                assert_eq!(values(&weights(&shuffled(&graph, seed)), null, 3), expected, "{null:?}");
            }
            let other = values(&weights(&graph), null, 4);
            assert_eq!(other == expected, null == Null::Published, "{null:?}");
            assert!((other[0] / expected[0] - 1.0).abs() < 0.05, "{null:?}: {other:?} {expected:?}");
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for params in [
            Params { graphs: Some(0), ..Params::default() },
            Params { swaps: 0, ..Params::default() },
            Params { quantile: -0.1, ..Params::default() },
        ] {
            assert!(SmallWorldness::build(params, &Setting::default()).is_err());
        }
    }
}
