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

const MEASURED: &str = "seed = 2\nruns = 2\ntasks = [\"cognition.go-no-go\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 12\n\
    [training]\nepochs = 1\ntrials = 32\nbatch = 8\n\
    [metrics]\nuse = [\"organization.density\", \"organization.entropy\"]\n\
    [[variant]]\nname = \"W\"\n";

/// Replaces the measures of a metric in the first finished training by the row that a
/// killed process leaves.
fn fail(out: &std::path::Path, metric: &str) {
    let mut cells: Vec<_> =
        std::fs::read_dir(out.join("cells")).unwrap().map(|e| e.unwrap().path()).collect();
    cells.sort();
    let files = std::fs::read_dir(cells[0].join("measures")).unwrap().map(|e| e.unwrap().path());
    let mut files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(metric));
    let file = files.next().unwrap();
    let table = std::fs::read_to_string(&file).unwrap();
    let (header, row) = table.trim_end().split_once('\n').unwrap();
    let row = row.lines().next().unwrap();
    let mut fields: Vec<&str> = row.split(',').collect();
    (fields[4], fields[5], fields[6]) = (metric, "", "failed: killed");
    std::fs::write(file, format!("{header}\n{}\n", fields.join(","))).unwrap();
}

#[test]
fn a_failed_measure_is_computed_again() {
    let scratch = Scratch::new();
    let (file, out) = (scratch.path().join("small.toml"), scratch.path().join("run"));
    std::fs::write(&file, MEASURED).unwrap();
    let run = ["run", text(&file), "--out", text(&out)];
    pallium(&run).ok();
    let table = || std::fs::read_to_string(out.join("results.csv")).unwrap();
    // The time differs between runs.
    let measures = || {
        let mut rows: Vec<_> =
            table().lines().filter(|row| !row.contains(",seconds_")).map(String::from).collect();
        rows.sort();
        rows
    };
    let complete = measures();
    fail(&out, "organization.density");
    let planned = pallium(&[&run[..], &["--dry-run", "--json"]].concat()).ok().json();
    assert_eq!((&planned["to_run"], &planned["to_measure"]), (&0.into(), &1.into()));
    let again = pallium(&run).ok();
    assert!(again.stderr.contains("1 finished trainings lack a metric, or it failed"), "{}", again.stderr);
    assert_eq!(measures(), complete);

    // The same metric, and not another one that failed.
    fail(&out, "organization.density");
    fail(&out, "organization.entropy");
    pallium(&["measure", text(&out), "--metric", "organization.density"]).ok();
    let rows = measures();
    assert!(rows.iter().any(|row| row.contains(",organization.entropy,,failed: killed,")), "{rows:?}");
    assert!(!rows.iter().any(|row| row.contains("_2,")), "{rows:?}");
    pallium(&run).ok();
    assert_eq!(measures(), complete);
}
