//! `pallium measure` with any metric and parameter.

use std::fs::File;
use std::path::PathBuf;

use ndarray::Array2;
use ndarray_npy::WriteNpyExt;

use crate::harness::{Scratch, pallium, text};

/// The complete bipartite graph of 3 and 4 nodes, whose 24 ones are half of the
/// matrix.
fn bipartite(scratch: &Scratch) -> PathBuf {
    let path = scratch.path().join("binary.npy");
    let matrix = Array2::from_shape_fn((7, 7), |(i, j)| f32::from((i < 3) != (j < 3)));
    matrix.write_npy(File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn a_binary_matrix_has_its_edges() {
    let scratch = Scratch::new();
    let path = bipartite(&scratch);
    let found = pallium(&["measure", text(&path), "--json"]).ok().json();
    assert_eq!((&found["neurons"], &found["edges"]), (&7.into(), &12.into()));
    assert_eq!(found["clustering"], 0.0);
    // Every connection joins degrees 3 and 4.
    assert_eq!(found["assortativity"], -1.0);
    // The published computation leaves out weights that equal the threshold.
    let published = pallium(&["measure", text(&path), "--json", "--profile", "published"]).ok();
    assert_eq!(published.json()["edges"], 0);
    assert!(published.stderr.contains("none of the 24 weights"), "{}", published.stderr);
    let lower = ["--profile", "published", "--quantile", "0.5"];
    let lower = [&["measure", text(&path), "--json"], &lower[..]].concat();
    assert_eq!(pallium(&lower).ok().json()["edges"], 12);
}

#[test]
fn metrics_and_their_parameters_are_chosen() {
    let scratch = Scratch::new();
    let path = bipartite(&scratch);
    let measure = |rest: &[&str]| pallium(&[&["measure", text(&path), "--json"], rest].concat());
    let found = measure(&["--metric", "connectivity.efficiency,connectivity.charpath", "--param", "kind=bu"]);
    let found = found.ok().json();
    assert_eq!((&found["charpath_diameter"], &found["efficiency_bin_local"]), (&2.0.into(), &0.0.into()));
    assert!(found.get("edges").is_none());
    let all =
        measure(&["--metric", "connectivity.*", "--param", "connectivity.rich-club.kind=bd"]).ok().json();
    assert!(all["rich_club_bd_level"].is_u64() && all["clustering_coef_wd"].is_number(), "{all}");

    measure(&["--metric", "connectivity.*", "--param", "knid=bu"]).refused(&["`knid`", "`kind`"]);
    measure(&["--param", "connectivity.charpath.kind=bu"]).refused(&["--metric connectivity.charpath"]);
    measure(&["--metric", "circuit.mask"]).refused(&["constraint"]);
    measure(&["--metric", "nobody.*"]).refused(&["nobody.*"]);
    measure(&["--quantile", "2"]).refused(&["quantile", "between 0 and 1"]);
    measure(&["--quantile", "0.5", "--param", "quantile=0.6"]).refused(&["duplicate"]);
}
