//! Every measure on 320 matrices with ties, repeated values and zeros, against
//! networkx and bctpy (`fixtures/random_graphs.py`).

use std::collections::BTreeMap;

use pallium_graph::examples::tied_weights;

use super::*;

/// The rows of the table: texts by column.
fn rows() -> Vec<BTreeMap<&'static str, &'static str>> {
    let mut lines = include_str!("../../fixtures/random_graphs.csv").lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| header.iter().copied().zip(line.split(',')).collect()).collect()
}

/// An empty field is an undefined value.
fn expected(text: &str) -> f64 {
    if text.is_empty() { f64::NAN } else { text.parse().unwrap() }
}

#[test]
fn measures_of_matrices_with_ties_and_zeros_equal_networkx_and_bctpy() {
    let rows = rows();
    assert_eq!(rows.len(), 320);
    let (mut compared, mut undefined) = (0, 0);
    for row in &rows {
        let weights = tied_weights(row["matrix"].parse().unwrap());
        let quantile: f64 = row["quantile"].parse().unwrap();
        let kind: Kind = serde_json::from_value(json!(row["kind"])).unwrap();
        let ties: Ties = serde_json::from_value(json!(row["ties"])).unwrap();
        let cut = Cut::new(quantile, ties).unwrap();
        let graph = WeightedGraph::from_network(&Network::new(weights.view()), kind, cut).unwrap();
        let mut near = |column: &str, found: f64| {
            let expected = expected(row[column]);
            let same = (found - expected).abs() <= 1e-10 * expected.abs().max(1.0);
            assert!(same || found.is_nan() && expected.is_nan(), "{column}: {found} in {row:?}");
            compared += 1;
            undefined += u32::from(found.is_nan());
        };

        let edges = graph.edges().count() / if kind.directed() { 1 } else { 2 };
        near("edges", edges as f64);

        let mut params = json!({"kind": row["kind"], "quantile": quantile, "ties": row["ties"]});
        let one = |found: Vec<Measure>, name: &str| value(&found, name);
        let name = format!("clustering_coef_{}", kind.name());
        near("clustering", one(measure::<ClusteringCoef>(params.clone(), &weights), &name));
        let paths = measure::<Charpath>(params.clone(), &weights);
        near("lambda", value(&paths, "charpath_lambda"));
        near("charpath efficiency", value(&paths, "charpath_efficiency"));
        near("radius", value(&paths, "charpath_radius"));
        near("diameter", value(&paths, "charpath_diameter"));
        let name = format!("efficiency_{}", kind.weights());
        let efficiency = measure::<Efficiency>(params.clone(), &weights);
        near("efficiency", value(&efficiency, &name));
        near("local", value(&efficiency, &format!("{name}_local")));
        if kind.weighted() {
            let nodes = local_efficiency(&graph, Some(LocalFormula::RubinovSporns2010));
            near("local original", mean(nodes));
        }

        let sides =
            if kind.directed() { &["out-in", "in-out", "out-out", "in-in"][..] } else { &["out-out"] };
        for side in sides {
            params["ends"] = json!(side);
            let mut name = format!("assortativity_{}", kind.weights());
            if kind.directed() {
                name = format!("{name}_{}", side.replace('-', "_"));
            }
            let found = measure::<Assortativity>(params.clone(), &weights);
            near(&format!("assortativity {side}"), value(&found, &name));
        }

        near("rich club", rich_club(&graph, kind, row["level"].parse().unwrap()));

        let halves: Vec<usize> = (0..graph.nodes()).map(|i| i % 2).collect();
        near("modularity", modularity(&graph, &halves, 1.0));
        near("modularity 1.5", modularity(&graph, &halves, 1.5));
        near("participation out", mean(participation(&graph, &halves, Side::Out)));
        near("participation in", mean(participation(&graph, &halves, Side::In)));
        let core: Vec<bool> = halves.iter().map(|half| *half == 0).collect();
        near("coreness", coreness(&gains(&graph, 1.0), &core));
    }
    println!("{compared} values compared, {undefined} of them undefined");
}
