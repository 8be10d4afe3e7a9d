//! Values of networkx 3.6.1 and scipy 1.17 for eight weight matrices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value};
use pallium_npy::npz::Npz;
use pallium_testing::golden;

/// The folder of reference values, if available.
fn folder() -> Option<PathBuf> {
    Some(golden("metrics.json")?.parent()?.to_owned())
}

fn measure<C: Component + Metric>(weights: &Matrix, json: &str) -> Vec<Measure> {
    let params = pallium_core::parse_parameters(C::ID, json).unwrap();
    let mut metric = C::build(params, &Setting::default()).unwrap();
    metric.measure(&Network::new(weights.view())).unwrap().values
}

fn all(weights: &Matrix) -> Vec<Measure> {
    let mut all = measure::<crate::density::Density>(weights, "");
    all.extend(measure::<crate::modularity::Modularity>(weights, ""));
    all.extend(measure::<crate::assortativity::Assortativity>(weights, ""));
    all.extend(measure::<crate::clustering::Clustering>(weights, ""));
    all.extend(measure::<crate::efficiency::Efficiency>(weights, ""));
    all.extend(measure::<crate::entropy::Entropy>(weights, ""));
    all
}

fn compare(place: &str, found: &[Measure], expected: &Value, tolerance: f64) {
    for (name, expected) in expected.as_object().unwrap() {
        let expected = expected.as_f64().unwrap();
        let Some(found) = found.iter().find(|m| &m.name == name) else { panic!("no {name}") };
        let difference = found.value - expected;
        println!("{place} {name} {} {expected} {difference:.1e}", found.value);
        match name.as_str() {
            // Ties between equal gains may be broken differently.
            "modularity" => assert!(difference > -0.01, "{place}: modularity {difference}"),
            "communities" => {}
            _ => assert!(difference.abs() < tolerance, "{place}: {name} {difference}"),
        }
    }
}

#[test]
fn metrics_of_eight_matrices_agree_with_references() {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), 8);
    for (file, expected) in expected {
        let weights = trained(&folder, file);
        compare(file, &all(&weights), expected, 1e-12);
        // The ratios of the values above to the means of 1,000 graphs drawn
        // with numpy (see the tests of `null`).
        if weights.nrows() == 312 {
            let value = |name: &str| expected[name].as_f64().unwrap();
            let sigma = value("clustering") / 0.194_366_12 * (value("efficiency") / 0.590_004_95);
            let found =
                measure::<crate::small_worldness::SmallWorldness>(&weights, r#"{"null": "published"}"#);
            // 1 / (relative standard error of either mean C₀), 3.6e-4, and twice √2 of it.
            assert!((found[0].value / sigma - 1.0).abs() < 1.1e-3, "{file}: {} {sigma}", found[0].value);
        }
    }
}

fn trained(folder: &Path, file: &str) -> Matrix {
    let path = folder.join("weights").join(file);
    pallium_npy::read_matrix(&path, &pallium_npy::any).unwrap().mapv(|w| w as f32)
}

/// Kept with the code, so that values are compared on every machine.
#[test]
fn the_metrics_of_a_small_network() {
    let parsed = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let expected = parsed(include_str!("../fixtures/5_3_8.json"));
    let field = parsed(include_str!("../../spatial/fixtures/5_3_8.json"));
    for kind in ["bio", "gaussian"] {
        let rows: Vec<Vec<f64>> = serde_json::from_value(field["weights"][kind].clone()).unwrap();
        let weights = Matrix::from_shape_fn((rows.len(), rows.len()), |(i, j)| rows[i][j] as f32);
        // The references are of f64 weights; ours are f32.
        compare(kind, &all(&weights), &expected[kind], 1e-6);
    }
}

/// The binary, undirected rows of the table of plugins/connectivity.
#[test]
fn metrics_of_matrices_with_ties_and_zeros_equal_networkx() {
    let mut lines = include_str!("../../connectivity/fixtures/random_graphs.csv").lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut rows = 0;
    for line in lines {
        let row: BTreeMap<_, _> = header.iter().copied().zip(line.split(',')).collect();
        if row["kind"] != "bu" {
            continue;
        }
        rows += 1;
        let weights = pallium_graph::examples::tied_weights(row["matrix"].parse().unwrap());
        let params = format!(r#"{{"quantile": {}, "ties": "{}"}}"#, row["quantile"], row["ties"]);
        for (column, found) in [
            ("edges", measure::<crate::density::Density>(&weights, &params)),
            ("clustering", measure::<crate::clustering::Clustering>(&weights, &params)),
            ("efficiency", measure::<crate::efficiency::Efficiency>(&weights, &params)),
            ("assortativity out-out", measure::<crate::assortativity::Assortativity>(&weights, &params)),
        ] {
            let found = found[0].value;
            match row[column] {
                "" => assert!(found.is_nan(), "{column}: {found} in {row:?}"),
                text => {
                    let expected: f64 = text.parse().unwrap();
                    assert!((found - expected).abs() < 1e-11, "{column}: {found} in {row:?}");
                }
            }
        }
    }
    assert_eq!(rows, 80);
}

#[test]
fn the_metrics_of_initial_weights() {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join("fields.json")).unwrap();
    let fields: Value = serde_json::from_str(&text).unwrap();
    for field in ["5_3_8", "5_3_4", "6_6_2"] {
        for kind in ["bio", "gaussian"] {
            let mut archive = Npz::open(&folder.join(format!("field_{field}.npz"))).unwrap();
            if !archive.names().contains(&kind) {
                println!("{field} has no {kind}");
                continue;
            };
            let weights = archive.matrix(kind).unwrap().mapv(|w| w as f32);
            let place = format!("{field} {kind}");
            // The references are of f64 weights; ours are f32.
            compare(&place, &all(&weights), &fields[field]["metrics"][kind], 1e-6);
        }
    }
}

/// `cargo test --release -p pallium-organization timings -- --ignored --nocapture`
#[test]
#[ignore = "prints timings"]
fn timings() {
    use crate::null::*;
    use pallium_graph::Rewiring;
    let Some(folder) = folder() else { return };
    let time = |what: &str, run: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..15)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{:9.3} ms  {what}", times[7]);
    };
    for file in ["trained_one_choice_W.npy", "trained_one_choice_WDsC.npy", "trained_one_choice_WsDsC.npy"] {
        println!("{file}");
        let weights = trained(&folder, file);
        let cut = crate::graph::GraphParams::default().cut().unwrap();
        let graph = crate::graph::graph_of(&Network::new(weights.view()), cut).unwrap().0;
        time("graph", &mut || drop(crate::graph::graph_of(&Network::new(weights.view()), cut)));
        time("canonical", &mut || drop(graph.canonical()));
        time("clustering", &mut || {
            crate::clustering::mean_clustering(&graph);
        });
        time("efficiency", &mut || {
            crate::efficiency::global_efficiency(&graph);
        });
        time("greedy", &mut || drop(pallium_graph::communities::greedy_communities(&graph)));
        let values: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        time("entropy", &mut || {
            crate::entropy::entropy(&values, 100);
        });
        time("spectral radius", &mut || {
            crate::spectral_radius::spectral_radius(weights.view());
        });
        let mut rng = random::stream(1, "t");
        let mut coins = Coins::from_rng(&mut rng);
        time("published graph", &mut || drop(published_graph(312, &mut coins)));
        time("matched graph", &mut || drop(matched(312, graph.size(), &mut rng)));
        let mut chain = Rewiring::new(graph.clone());
        time("swaps", &mut || {
            chain.swap(1, &mut rng);
        });
        for null in ["published", "matched", "degree-preserving"] {
            let params = format!(r#"{{"null": "{null}"}}"#);
            let params = pallium_core::parse_parameters("", &params).unwrap();
            let mut metric =
                crate::small_worldness::SmallWorldness::build(params, &Setting::default()).unwrap();
            time(null, &mut || drop(metric.measure(&Network::new(weights.view()))));
        }
        let (nodes, edges) = (graph.nodes(), graph.size());
        let all: Vec<f64> = (0..1000)
            .map(|_| Coefficients::new(&matched(nodes, edges, &mut rng)))
            .map(|c| c.clustering * c.efficiency)
            .collect();
        let mean = all.iter().sum::<f64>() / 1000.0;
        let variance = all.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 999.0;
        println!("{edges} edges: standard deviation of a matched graph's σ {:.5}", variance.sqrt() / mean);
        time("modularity, 16 orders", &mut || {
            pallium_graph::communities::best_partition(&graph, 16);
        });
        time("published null of 1,000", &mut || {
            draw_published(312, 1000);
        });
    }
}
