//! Fields on the command line: matrices derived from event times, descriptions of
//! fields, and synthetic fields.

use std::fs::File;
use std::path::Path;

use ndarray::Array2;
use ndarray_npy::ReadNpyExt;
use serde_json::Value;

use crate::harness::{Scratch, field, golden, pallium, read_json, text};

fn matrix(folder: &Path, file: &str) -> Array2<f64> {
    Array2::read_npy(File::open(folder.join(file)).unwrap()).unwrap()
}

fn largest_difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn info(folder: &Path) -> Value {
    pallium(&["field", "info", text(folder), "--json"]).ok().json()
}

fn number(json: &Value, path: &str) -> f64 {
    json.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {json}"))
}

#[test]
fn the_published_recipe_gives_the_released_matrices() {
    for name in ["5_3_8", "4_7_2", "5_6_8"] {
        let Some(folder) = field(name) else { return };
        let scratch = Scratch::new();
        let out = scratch.path().join("derived");
        let printed = pallium(&[
            "field",
            "derive",
            text(&folder),
            "--profile",
            "published",
            "--out",
            text(&out),
            "--json",
        ])
        .ok();
        for (file, allowed) in
            [("corr_matrix.npy", 1e-12), ("sttc_matrix.npy", 1e-10), ("precision_matrix.npy", 1e-9)]
        {
            let (found, mut released) = (matrix(&out, file), matrix(&folder, file));
            if file == "sttc_matrix.npy" {
                // Only its lower triangle is released.
                let n = released.nrows();
                (0..n).for_each(|i| (0..i).for_each(|j| released[[j, i]] = released[[i, j]]));
            }
            let off = largest_difference(&found, &released);
            assert!(off < allowed, "{name} {file}: off by {off:e}");
            assert_eq!(found, found.t(), "{name} {file}");
        }
        assert!(number(&printed.json(), "/matrices/sttc/largest_difference") < 1e-10);
        assert!(printed.stderr.contains("precision …"), "{}", printed.stderr);
        // The derived field can be read.
        let (before, after) = (info(&folder), info(&out));
        for key in ["neurons", "synapses", "connected_pairs", "mean_distance_um", "has_spikes"] {
            assert_eq!(before[key], after[key], "{name} {key}");
        }
    }
}

#[test]
fn the_corrected_recipe_takes_half_a_frame_and_adds_partial_correlations() {
    let Some(folder) = field("5_3_8") else { return };
    let scratch = Scratch::new();
    let out = scratch.path().join("derived");
    let printed = pallium(&["field", "derive", text(&folder), "--out", text(&out), "--json"]).ok().json();
    // Computed with numpy from the definition.
    let sttc = matrix(&out, "sttc_matrix.npy");
    assert!((sttc[[5, 30]] - 0.012228753665977792).abs() < 1e-12);
    let (precision, partial) =
        (matrix(&out, "precision_matrix.npy"), matrix(&out, "matrix_partial-correlation.npy"));
    for ((i, j), p) in partial.indexed_iter() {
        let expected =
            if i == j { 1.0 } else { -precision[[i, j]] / (precision[[i, i]] * precision[[j, j]]).sqrt() };
        assert!((p - expected).abs() < 1e-15);
    }
    assert!(printed["matrices"]["partial-correlation"]["largest_difference"].is_null());
    // Other bins, another window, a part of the recording, a single matrix.
    let part = scratch.path().join("part");
    pallium(&[
        "field",
        "derive",
        text(&folder),
        "--out",
        text(&part),
        "--matrix",
        "correlation",
        "--bin",
        "500",
        "--from",
        "100",
        "--to",
        "600",
        "--min-events",
        "100",
        "--threads",
        "1",
    ])
    .ok();
    assert_eq!(matrix(&part, "precision_matrix.npy"), matrix(&folder, "precision_matrix.npy"));
    assert!(
        largest_difference(&matrix(&part, "corr_matrix.npy"), &matrix(&folder, "corr_matrix.npy")) > 1e-3
    );
    pallium(&["field", "derive", text(&folder), "--out", text(&out)]).refused(&["not empty"]);
    let Some(without) = field("6_6_2") else { return };
    pallium(&["field", "derive", text(&without), "--out", text(&scratch.path().join("x"))])
        .refused(&["no event times"]);
}

#[test]
fn a_restored_field_gives_the_same_weights_as_the_released_one() {
    let Some(folder) = field("5_3_8") else { return };
    let scratch = Scratch::new();
    let out = scratch.path().join("restored");
    pallium(&["field", "restore", text(&folder), "--out", text(&out)]).ok();
    for profile in ["corrected", "published"] {
        let weights = |from: &Path, name: &str| {
            let file = scratch.path().join(format!("{name}-{profile}.npy"));
            let arguments = ["weights", "microns.functional", "--seed", "1", "--profile", profile];
            pallium(&[&arguments[..], &["--field", text(from), "--out", text(&file)]].concat()).ok();
            std::fs::read(file).unwrap()
        };
        assert_eq!(weights(&folder, "released"), weights(&out, "restored"), "{profile}");
    }
    // Derived matrices are kept.
    let derived = scratch.path().join("derived");
    pallium(&["field", "derive", text(&out), "--delta-t", "50", "--matrix", "sttc", "--out", text(&derived)])
        .ok();
    let again = scratch.path().join("again");
    pallium(&["field", "restore", text(&derived), "--out", text(&again)]).ok();
    assert_eq!(matrix(&derived, "sttc_matrix.npy"), matrix(&again, "sttc_matrix.npy"));
    assert!(std::fs::read_to_string(again.join("field.toml")).unwrap().contains("derived = [\"sttc\"]"));
}

#[test]
fn field_info_agrees_with_the_reference() {
    let Some(reference) = golden("fields.json").map(|path| read_json(&path)) else { return };
    let scratch = Scratch::new();
    for name in ["5_3_8", "5_3_4", "6_6_2"] {
        let Some(folder) = field(name) else { return };
        let page = info(&folder);
        let expected = &reference[name]["connectome"];
        for (path, key) in [
            ("/mean_distance_um", "mean_um_all"),
            ("/mean_connected_distance_um/released", "mean_um_connected_released"),
            ("/mean_connected_distance_um/restored", "mean_um_connected_restored"),
            ("/synapses", "synapses"),
            ("/connected_pairs", "pairs"),
        ] {
            let (found, expected) = (number(&page, path), expected[key].as_f64().unwrap());
            assert!((found / expected - 1.0).abs() < 1e-9, "{name} {path}: {found} {expected}");
        }
        assert!(page["ids"]["root"][0].is_string());
    }
    let Some(folder) = field("6_6_2") else { return };
    let page = info(&folder);
    // Connected pairs are near each other only in restored order.
    assert!(number(&page, "/order/released/p") > 0.05 && number(&page, "/order/restored/p") < 1e-3);
    assert!((number(&page, "/functional_weights/diagonal_share") - 0.4).abs() < 0.02);
    let pairs: f64 =
        page["profile"].as_array().unwrap().iter().map(|bin| bin["pairs"].as_f64().unwrap()).sum();
    assert_eq!(pairs, 312.0 * 311.0);
    let figure = scratch.path().join("figure.svg");
    let shown = pallium(&["field", "info", text(&folder), "--svg", text(&figure)]).ok().stdout;
    for part in ["another order than the neurons", "weight of W* is on the diagonal", "no event times", "█"]
    {
        assert!(shown.contains(part), "no «{part}» in:\n{shown}");
    }
    let svg = std::fs::read_to_string(&figure).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("field 6_6_2: 312 neurons"));
}

#[test]
fn a_synthetic_field_resembles_its_model() {
    let Some(folder) = field("5_6_8") else { return };
    let scratch = Scratch::new();
    let real = info(&folder);
    for (spikes, seed) in [(false, "1"), (true, "2")] {
        let out = scratch.path().join(seed);
        let mut arguments =
            vec!["field", "synth", "--like", text(&folder), "--seed", seed, "--out", text(&out)];
        arguments.extend(spikes.then_some("--spikes"));
        pallium(&arguments).ok();
        let made = info(&out);
        assert_eq!(made["neurons"], real["neurons"]);
        assert_eq!(made["has_spikes"], spikes);
        // One sample of a field with only 56 connections.
        for (path, allowed) in [
            ("/mean_distance_um", 0.1),
            ("/span_um/0", 0.2),
            ("/span_um/2", 0.2),
            ("/connected_pairs", 0.5),
            ("/synapses", 0.5),
            ("/mean_connected_distance_um/restored", 0.35),
            ("/relations/correlation/mean", 0.25),
            ("/relations/correlation/sd", 0.25),
            ("/relations/correlation/with_distance", 0.25),
            ("/functional_weights/spectral_radius", 0.25),
        ] {
            let (found, expected) = (number(&made, path), number(&real, path));
            assert!((found / expected - 1.0).abs() < allowed, "{path}: {found}, real {expected}");
        }
        if spikes {
            for (path, allowed) in [("/activity/rate_hz/1", 0.15), ("/activity/events", 0.15)] {
                let (found, expected) = (number(&made, path), number(&real, path));
                assert!((found / expected - 1.0).abs() < allowed, "{path}: {found}, real {expected}");
            }
        }
        assert!(made["order"]["restored"]["plausible"].as_bool().unwrap());
    }
}

#[test]
fn field_synth_checks_its_options() {
    let scratch = Scratch::new();
    let out = scratch.path().join("made");
    pallium(&["field", "synth", "--seed", "1", "--out", text(&out)]).refused(&["--neurons"]);
    pallium(&["field", "synth", "--neurons", "20", "--spikes", "--seed", "1", "--out", text(&out)])
        .refused(&["--like"]);
    pallium(&["field", "synth", "--neurons", "30", "--seed", "1", "--out", text(&out)]).ok();
    let page = info(&out);
    assert_eq!((page["neurons"].as_u64(), page["has_spikes"].as_bool()), (Some(30), Some(false)));
    let again = scratch.path().join("again");
    pallium(&[
        "field",
        "synth",
        "--like",
        text(&out),
        "--neurons",
        "25",
        "--seed",
        "1",
        "--out",
        text(&again),
    ])
    .ok();
    assert_eq!(info(&again)["neurons"], 25);
    pallium(&[
        "field",
        "synth",
        "--like",
        text(&out),
        "--spikes",
        "--seed",
        "1",
        "--out",
        text(&scratch.path().join("x")),
    ])
    .refused(&["rates are learnt from event times"]);
}
