//! Comparison with bctpy and networkx (`fixtures/toolbox.py`), and properties
//! that hold for any network.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};
use pallium_graph::examples::{karate, weights};
use pallium_graph::{Cut, Ties};
use pallium_testkit::{World, assert_all_conform};

use crate::assortativity::{Assortativity, Ends, assortativity};
use crate::charpath::Charpath;
use crate::clustering_coef::{ClusteringCoef, clustering};
use crate::core_periphery::{coreness, gains};
use crate::efficiency::{Efficiency, LocalFormula, global_efficiency, local_efficiency};
use crate::ensemble::RewiredGraph;
use crate::graph::{Kind, WeightedGraph, mean, present};
use crate::modularity::{communities, modularity};
use crate::null_degree_preserving::NullDegreePreserving;
use crate::null_density_matched::{NullDensityMatched, shuffled_weights};
use crate::null_lattice::{NullLattice, lattice};
use crate::participation_coef::{Side, participation};
use crate::rich_club::{RichClub, rich_club};

mod random_graphs;

const KINDS: [Kind; 4] = [Kind::Bu, Kind::Bd, Kind::Wu, Kind::Wd];

#[test]
fn conform() {
    assert_all_conform();
}

fn measure<M: Component + Metric>(params: Value, weights: &Matrix) -> Vec<Measure> {
    let params = pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap();
    let mut metric = M::build(params, &Setting { seed: 5, ..Setting::default() }).unwrap();
    metric.measure(&Network::new(weights.view())).unwrap().values
}

fn value(found: &[Measure], name: &str) -> f64 {
    found.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no {name} in {found:?}")).value
}

/// The graph of weights.
fn graph_of(weights: &Matrix, kind: Kind, quantile: f64) -> WeightedGraph {
    let cut = Cut::new(quantile, Ties::Include).unwrap();
    WeightedGraph::from_network(&Network::new(weights.view()), kind, cut).unwrap()
}

/// The matrices of a fixture file.
fn matrices(file: &str) -> Vec<(String, Matrix)> {
    if file == "5_3_8" {
        let text = include_str!("../../spatial/fixtures/5_3_8.json");
        let field: Value = serde_json::from_str(text).unwrap();
        let of = |name: &str| {
            let rows: Vec<Vec<f64>> = serde_json::from_value(field["weights"][name].clone()).unwrap();
            let n = rows.len();
            let flat = rows.into_iter().flatten().map(|w| w as f32).collect();
            (name.to_owned(), Array2::from_shape_vec((n, n), flat).unwrap())
        };
        return vec![of("bio"), of("gaussian")];
    }
    let Some(folder) = pallium_testing::golden("weights") else { return Vec::new() };
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "npy"));
    paths
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), ndarray_npy::read_npy(p).unwrap()))
        .collect()
}

/// Compares all values of a fixture, which keeps twelve digits, with a relative
/// tolerance of 1e-6.
fn compare(file: &str, fixture: &str) {
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let mut worst = 0.0_f64;
    let mut near = |place: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        let error = (found - expected).abs() / expected.abs().max(1e-3);
        assert!(error < 1e-6, "{place}: {found} against {expected}");
        worst = worst.max(error);
    };
    for (name, weights) in matrices(file) {
        let Some(expected) = fixture.get(&name) else { continue };
        for kind in KINDS {
            let (place, expected) = (format!("{name} {}", kind.name()), &expected[kind.name()]);
            let mut near =
                |what: &str, found: f64, expected: &Value| near(&format!("{place} {what}"), found, expected);
            let params = json!({"kind": kind.name()});
            let graph = graph_of(&weights, kind, 0.9);

            let own = value(
                &measure::<ClusteringCoef>(params.clone(), &weights),
                &format!("clustering_coef_{}", kind.name()),
            );
            near("clustering", own, &expected["clustering_coef"]);
            near("networkx's clustering", own, &expected["networkx_clustering"]);
            let efficiency = measure::<Efficiency>(params.clone(), &weights);
            let label = format!("efficiency_{}", kind.weights());
            near("efficiency", value(&efficiency, &label), &expected["efficiency"]);
            if let Some(local) = expected.get("efficiency_local") {
                near("local efficiency", value(&efficiency, &format!("{label}_local")), local);
            }
            if let Some(original) = expected.get("efficiency_local original") {
                let nodes = local_efficiency(&graph, Some(LocalFormula::RubinovSporns2010));
                near("original local efficiency", mean(nodes), original);
            }
            let paths = measure::<Charpath>(params.clone(), &weights);
            for measure in ["lambda", "efficiency", "radius", "diameter"] {
                let expected = &expected[format!("charpath_{measure}")];
                // bctpy's value for a node without paths.
                if expected.as_f64() != Some(1e20) {
                    near(measure, value(&paths, &format!("charpath_{measure}")), expected);
                }
            }
            for (label, ends) in [
                ("und", None),
                ("out-in", Some(Ends::OutIn)),
                ("in-out", Some(Ends::InOut)),
                ("out-out", Some(Ends::OutOut)),
                ("in-in", Some(Ends::InIn)),
            ] {
                let Some(expected) = expected.get(format!("assortativity {label}")) else { continue };
                near(label, assortativity(&graph, ends), expected);
            }
            for (index, expected) in expected["rich_club"].as_array().unwrap().iter().enumerate() {
                let found = rich_club(&graph, kind, index as u32 + 1);
                match expected.as_f64() {
                    Some(_) => near("rich club", found, expected),
                    // Undefined for a club of all nodes or of none.
                    None => {
                        assert!(found.is_nan() || (found - 1.0).abs() < 1e-12, "{place}: rich club {found}")
                    }
                }
            }
            for (key, gamma) in [("modularity", 1.0), ("modularity 1.5", 1.5)] {
                let theirs: Vec<usize> = serde_json::from_value(expected[key]["community"].clone()).unwrap();
                near(key, modularity(&graph, &theirs, gamma), &expected[key]["q"]);
                // The order of equal gains decides which of several good
                // partitions is found; ours is at least as good.
                let ours = modularity(&graph, &communities(&graph, gamma), gamma);
                let theirs = expected[key]["q"].as_f64().unwrap();
                println!("{place} {key}: {ours:.6} against {theirs:.6}");
                assert!(ours > theirs - 5e-3, "{place} {key}: {ours} against {theirs}");
            }
            let fourths: Vec<usize> = (0..graph.nodes()).map(|i| i % 4).collect();
            for (label, side) in [("undirected", Side::Out), ("out", Side::Out), ("in", Side::In)] {
                let Some(expected) = expected.get(format!("participation_coef {label}")) else { continue };
                near("participation", mean(participation(&graph, &fourths, side)), expected);
            }
            let theirs: Vec<u8> = serde_json::from_value(expected["core_periphery"]["core"].clone()).unwrap();
            let theirs: Vec<bool> = theirs.into_iter().map(|c| c == 1).collect();
            let gains = gains(&graph, 1.0);
            near("core", coreness(&gains, &theirs), &expected["core_periphery"]["q"]);
            let best: Vec<bool> = gains.iter().map(|&gain| gain > 0.0).collect();
            assert!(coreness(&gains, &best) >= coreness(&gains, &theirs) - 1e-12);
        }
    }
    println!("{file}: off by {worst:.1e}");
}

#[test]
fn the_small_field_agrees_with_the_toolbox() {
    compare("5_3_8", include_str!("../fixtures/5_3_8.json"));
}

#[test]
fn networks_of_many_kinds_agree_with_the_toolbox() {
    compare("weights", include_str!("../fixtures/weights.json"));
}

fn world(n: usize) -> Matrix {
    World::new(n, 3).weights(2)
}

#[test]
fn graphs_have_the_stated_connections() {
    let weights = world(30);
    let sizes = weights.mapv(f32::abs);
    for kind in KINDS {
        let graph = graph_of(&weights, kind, 0.8);
        let count = graph.weights().iter().filter(|w| **w > 0.0).count();
        let largest = graph.weights().iter().fold(0.0, |a: f64, &b| a.max(b));
        assert_eq!(largest, 1.0);
        for (i, j, w) in graph.edges() {
            assert!(i != j && (kind.weighted() || w == 1.0));
            assert_eq!(graph.weight(j, i) == w, !kind.directed() || graph.weight(j, i) == w);
            let direct = sizes[[i, j]] > 0.0 || !kind.directed() && sizes[[j, i]] > 0.0;
            assert!(direct);
        }
        if kind == Kind::Bd {
            let diagonal = (0..30).filter(|&i| {
                let mut all: Vec<f32> = sizes.iter().copied().collect();
                all.sort_by(f32::total_cmp);
                sizes[[i, i]] > all[719]
            });
            assert_eq!(count, 180 - diagonal.count());
        }
    }
    let all = graph_of(&weights, Kind::Wd, 0.0);
    let off_diagonal = weights.indexed_iter().filter(|((i, j), w)| i != j && **w != 0.0).count();
    assert_eq!(all.edges().count(), off_diagonal);
    let nan = Matrix::from_elem((3, 3), f32::NAN);
    let cut = Cut::new(0.9, Ties::Include).unwrap();
    assert!(WeightedGraph::from_network(&Network::new(nan.view()), Kind::Bu, cut).is_err());
}

#[test]
fn known_graphs_have_known_values() {
    // A directed ring of 6 with all weights 0.5.
    let ring = Matrix::from_shape_fn((6, 6), |(i, j)| if j == (i + 1) % 6 { 0.5 } else { 0.0 });
    let at = |kind: &str| json!({"kind": kind, "quantile": 0.0});
    let paths = measure::<Charpath>(at("bd"), &ring);
    assert_eq!((value(&paths, "charpath_lambda"), value(&paths, "charpath_diameter")), (3.0, 5.0));
    let undirected = measure::<Charpath>(at("bu"), &ring);
    assert_eq!((value(&undirected, "charpath_lambda"), value(&undirected, "charpath_radius")), (1.8, 3.0));
    assert!(value(&measure::<Assortativity>(at("bu"), &ring), "assortativity_bin").is_nan());
    // Two disjoint triangles.
    let triangles = Matrix::from_shape_fn((6, 6), |(i, j)| f32::from(i != j && i / 3 == j / 3));
    for kind in ["bu", "bd", "wu", "wd"] {
        assert_eq!(
            value(&measure::<ClusteringCoef>(at(kind), &triangles), &format!("clustering_coef_{kind}")),
            1.0
        );
        let weights = if kind.starts_with('b') { "bin" } else { "wei" };
        let found = measure::<Efficiency>(at(kind), &triangles);
        assert!((value(&found, &format!("efficiency_{weights}")) - 0.4).abs() < 1e-12);
        assert!((value(&found, &format!("efficiency_{weights}_local")) - 1.0).abs() < 1e-12);
    }
    let graph = graph_of(&triangles, Kind::Bu, 0.0);
    assert_eq!(communities(&graph, 1.0), [0, 0, 0, 1, 1, 1]);
    assert!((modularity(&graph, &[0, 0, 0, 1, 1, 1], 1.0) - 0.5).abs() < 1e-12);
    assert_eq!(participation(&graph, &[0, 0, 0, 1, 1, 1], Side::Out), [0.0; 6]);
    // Without any connection, or any node.
    for n in [0, 1, 5] {
        let none = Matrix::zeros((n, n));
        let found = measure::<RichClub>(at("wd"), &none);
        assert!(value(&found, "rich_club_wd").is_nan());
        assert!(value(&measure::<Charpath>(at("wd"), &none), "charpath_lambda").is_nan());
        measure::<crate::core_periphery::CorePeriphery>(at("bd"), &none);
    }
}

#[test]
fn directed_assortativity_is_a_correlation_over_connections() {
    let edges = [(0, 3), (1, 0), (1, 2), (2, 4), (4, 1), (4, 2), (4, 3)];
    let weights = Matrix::from_shape_fn((5, 5), |pair| f32::from(edges.contains(&pair)));
    // networkx 3.6.1: degree_pearson_correlation_coefficient(g, x=…, y=…)
    for (ends, expected) in [
        ("out-in", 0.148_522_131_446_501_14),
        ("in-out", 0.766_032_346_285_426_6),
        ("out-out", -0.198_029_508_595_334_9),
        ("in-in", -0.471_404_520_791_031_73),
    ] {
        let found = measure::<Assortativity>(json!({"kind": "bd", "ends": ends}), &weights)[0].value;
        assert!((found - expected).abs() < 1e-14, "{ends}: {found}");
    }
}

#[test]
fn a_club_whose_nodes_are_not_connected_has_the_density_zero() {
    // The two largest hubs of the karate club, of degrees 16 and 17, are not
    // connected; networkx 3.6.1 gives 0 as well.
    let karate = weights(&karate());
    for (kind, double) in [(Kind::Bu, 1), (Kind::Bd, 2)] {
        let graph = graph_of(&karate, kind, 0.9);
        for level in 12..16 {
            assert_eq!(rich_club(&graph, kind, double * level), 0.0, "{kind:?} {level}");
        }
        assert!(rich_club(&graph, kind, double * 16).is_nan(), "a single node has no density");
    }
    let graph = graph_of(&karate, Kind::Wu, 0.9);
    assert!(rich_club(&graph, Kind::Wu, 13).is_nan(), "no connections, no strongest connections");
}

#[test]
fn weights_of_one_have_the_local_efficiency_of_a_binary_network() {
    let karate = weights(&karate());
    // networkx 3.6.1: local_efficiency(karate_club_graph())
    let expected = 0.645_126_510_200_039_5;
    for kind in KINDS {
        let found = measure::<Efficiency>(json!({"kind": kind.name()}), &karate);
        let found = value(&found, &format!("efficiency_{}_local", kind.weights()));
        assert!((found - expected).abs() < 1e-14, "{kind:?}: {found}");
    }
    let original = json!({"kind": "wu", "local_formula": "rubinov-sporns-2010"});
    // bctpy 0.6.1: efficiency_wei(…, local="original")
    let found = value(&measure::<Efficiency>(original, &karate), "efficiency_wei_local");
    assert!((found - 0.693_777_826_691_718_7).abs() < 1e-14, "{found}");
}

#[test]
fn transposing_exchanges_in_and_out() {
    let weights = world(40);
    for kind in [Kind::Bd, Kind::Wd] {
        let graph = graph_of(&weights, kind, 0.8);
        let transposed = graph_of(&weights.t().to_owned(), kind, 0.8);
        for (ends, exchanged) in
            [(Ends::InIn, Ends::OutOut), (Ends::OutIn, Ends::OutIn), (Ends::InOut, Ends::InOut)]
        {
            let (one, other) =
                (assortativity(&graph, Some(ends)), assortativity(&transposed, Some(exchanged)));
            assert!((one - other).abs() < 1e-12, "{one} {other}");
        }
        assert!((global_efficiency(&graph) - global_efficiency(&transposed)).abs() < 1e-12);
        let community: Vec<usize> = (0..40).map(|i| i % 3).collect();
        assert_eq!(
            participation(&graph, &community, Side::In),
            participation(&transposed, &community, Side::Out)
        );
    }
}

fn degrees(graph: &WeightedGraph) -> (Vec<f64>, Vec<f64>) {
    (graph.out_sums(present), graph.in_sums(present))
}

#[test]
fn null_models_keep_the_stated_properties() {
    let weights = world(60);
    for kind in KINDS {
        let directed = kind.directed();
        let graph = graph_of(&weights, kind, 0.8);
        let sorted = |graph: &WeightedGraph| {
            let mut all = graph.weights().to_vec();
            all.sort_by(f64::total_cmp);
            all
        };
        let mut rng = random::stream(1, "test");
        let matched = shuffled_weights(&graph, directed, &mut rng);
        let mut rewiring = RewiredGraph::rewiring(graph.clone(), directed);
        let rewired = rewiring.swap(20, &mut rng).graph.clone();
        let lattice = lattice(&graph, directed, 20, &mut rng);
        for null in [&matched, &rewired, &lattice] {
            assert_eq!(sorted(null), sorted(&graph), "{kind:?}: other weights");
            assert!((0..60).all(|i| null.weight(i, i) == 0.0));
            if !directed {
                assert!((0..60).all(|i| (0..60).all(|j| null.weight(i, j) == null.weight(j, i))));
            }
        }
        assert_ne!(degrees(&matched), degrees(&graph));
        for null in [&rewired, &lattice] {
            assert_eq!(degrees(null), degrees(&graph), "{kind:?}");
            let shared = graph.edges().filter(|&(i, j, _)| null.weight(i, j) > 0.0).count();
            assert!(shared * 2 < graph.edges().count(), "{kind:?}: {shared} connections are where they were");
        }
        let c = |graph: &WeightedGraph| mean(clustering(graph));
        assert!(c(&lattice) > 1.3 * c(&rewired), "{kind:?}: {} {}", c(&lattice), c(&rewired));
        assert!(global_efficiency(&lattice) < global_efficiency(&rewired));
    }
}

#[test]
fn scores_are_against_the_ensemble() {
    // A random network is as its ensembles; a ring with neighbours is a lattice.
    let ring = Matrix::from_shape_fn((60, 60), |(i, j)| {
        f32::from((1..=4).contains(&((j + 60 - i) % 60)) || (1..=4).contains(&((i + 60 - j) % 60)))
    });
    for (weights, clustered) in [(world(60), false), (ring, true)] {
        let found = [
            measure::<NullDensityMatched>(json!({"quantile": 0.8}), &weights),
            measure::<NullDegreePreserving>(json!({"quantile": 0.8}), &weights),
        ];
        for (found, null) in found.iter().zip(["density_matched", "degree_preserving"]) {
            let z = value(found, &format!("clustering_coef_bd_{null}_z"));
            assert_eq!(z > 10.0, clustered, "{null}: {z}");
            assert!(clustered || z.abs() < 5.0, "{null}: {z}");
        }
    }
    let lattices = measure::<NullLattice>(json!({"kind": "bu"}), &world(60));
    let shuffled_weights = measure::<NullDensityMatched>(json!({"kind": "bu"}), &world(60));
    assert!(
        value(&lattices, "clustering_coef_bu_lattice")
            > 1.3 * value(&shuffled_weights, "clustering_coef_bu_density_matched")
    );
    for _ in 0..2 {
        assert_eq!(measure::<NullLattice>(json!({"kind": "bu"}), &world(60))[0].value, lattices[0].value);
    }
}
