//! Results of complete commands, compared with reference values from TensorFlow,
//! scipy and networkx (float64).

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpyExt, WriteNpyExt};
use serde_json::Value;

use crate::harness::{Scratch, field, golden, pallium, read_json, root, text};

const FIELDS: [&str; 3] = ["5_3_8", "5_3_4", "6_6_2"];

fn array(npz: &Path, name: &str) -> Array2<f64> {
    array_if(npz, name).unwrap_or_else(|| panic!("no {name} in {}", npz.display()))
}

/// An array of either precision, as f64, if the file has it.
fn array_if(npz: &Path, name: &str) -> Option<Array2<f64>> {
    let mut npz = NpzReader::new(File::open(npz).unwrap()).unwrap();
    let name = npz.names().unwrap().into_iter().find(|n| n.trim_end_matches(".npy") == name)?;
    Some(match npz.by_name::<ndarray::OwnedRepr<f64>, ndarray::Ix2>(&name) {
        Ok(array) => array,
        Err(_) => npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::Ix2>(&name).unwrap().mapv(f64::from),
    })
}

fn write(array: &Array2<f64>, path: PathBuf) -> PathBuf {
    array.write_npy(File::create(&path).unwrap()).unwrap();
    path
}

/// A written matrix of either precision, as f64.
fn read(path: &Path) -> Array2<f64> {
    Array2::<f64>::read_npy(File::open(path).unwrap())
        .or_else(|_| Array2::<f32>::read_npy(File::open(path).unwrap()).map(|m| m.mapv(f64::from)))
        .unwrap()
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn near(found: f64, expected: f64, relative: f64, what: &str) {
    assert!(
        (found - expected).abs() <= relative * expected.abs().max(1e-12),
        "{what}: {found} against {expected}"
    );
}

/// A field, matrices on it and reference values.
struct Case {
    name: &'static str,
    folder: PathBuf,
    /// Matrices by name.
    npz: PathBuf,
    reference: Value,
    scratch: Scratch,
}

/// The recorded fields that are available.
fn recorded() -> Vec<Case> {
    let Some(all) = golden("fields.json").map(|path| read_json(&path)) else { return Vec::new() };
    FIELDS
        .into_iter()
        .filter_map(|name| {
            let (folder, npz) = (field(name)?, golden(&format!("field_{name}.npz"))?);
            Some(Case { name, folder, npz, reference: all[name].clone(), scratch: Scratch::new() })
        })
        .collect()
}

/// A field in the repository, for tests on machines without recorded fields.
fn in_repository() -> Case {
    let reference = read_json(&root().join("plugins/spatial/fixtures/5_3_8.json"));
    let rows = |value: &Value| -> Array2<f64> {
        let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
    };
    let scratch = Scratch::new();
    let folder = scratch.path().join("5_3_8");
    std::fs::create_dir(&folder).unwrap();
    let positions = rows(&reference["positions"]);
    let n = positions.nrows();
    write(&positions, folder.join("positions_5_3_8.npy"));
    write(&Array2::eye(n), folder.join("corr_matrix.npy"));
    let ids = File::create(folder.join("root_ids_5_3_8.npy")).unwrap();
    Array1::from_iter(1..=n as i64).write_npy(ids).unwrap();
    let mut counts = Array2::zeros((n, n));
    for synapses in rows(&reference["connectome"]).rows() {
        counts[[synapses[0] as usize, synapses[1] as usize]] = synapses[2];
    }
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut table =
        line((0..=n).map(|j| j.checked_sub(1).map_or(String::new(), |j| j.to_string())).collect());
    for (i, row) in counts.rows().into_iter().enumerate() {
        table += &line([i as f64].iter().chain(row).map(f64::to_string).collect());
    }
    std::fs::write(folder.join("connectome_5_3_8.csv"), table).unwrap();
    let npz = scratch.path().join("weights.npz");
    let mut file = NpzWriter::new(File::create(&npz).unwrap());
    for (name, weights) in reference["weights"].as_object().unwrap() {
        file.add_array(name.as_str(), &rows(weights)).unwrap();
    }
    file.finish().unwrap();
    Case { name: "kept", folder, npz, reference, scratch }
}

#[test]
fn penalties_and_gradients_agree_with_tensorflow() {
    for case in [in_repository()].into_iter().chain(recorded()) {
        let mut whole = 0;
        let grid: Vec<String> =
            case.reference["grid"].as_array().unwrap().iter().map(|n| n.to_string()).collect();
        let grid = format!("grid:{}", grid.join("x"));
        let minmax = ["coordinate_layout=rows", "coordinate_scale=minmax", "distance_scale=none"];
        let micrometre = ["coordinate_layout=rows", "coordinate_scale=micrometre", "distance_scale=none"];
        let geometries: [(&str, &str, &[&str]); 4] = [
            ("released_reshape", "soma", &[]),
            ("grid", &grid, &[]),
            ("minmax", "soma", &minmax),
            ("micrometre", "soma", &micrometre),
        ];
        for matrix in ["bio", "gaussian"] {
            let weights = write(&array(&case.npz, matrix), case.scratch.path().join(format!("{matrix}.npy")));
            for penalty in ["l1", "distance", "communicability", "communicability-emd"] {
                for (geometry, space, switches) in geometries {
                    let key = format!("{}|{geometry}|{matrix}", penalty.replace('-', "_"));
                    let Some(reference) = case.reference["penalties"].get(&key) else { continue };
                    let out = case.scratch.path().join("gradient.npy");
                    let id = format!("spatial.{penalty}");
                    let mut arguments = vec![
                        "penalty",
                        &id,
                        "--weights",
                        text(&weights),
                        "--field",
                        text(&case.folder),
                        "--geometry",
                        space,
                        "--profile",
                        "published",
                        "--switch",
                        "l1_strength=applied",
                        "--gradient",
                        text(&out),
                        "--json",
                    ];
                    switches.iter().for_each(|switch| arguments.extend(["--switch", switch]));
                    let _ = std::fs::remove_file(&out);
                    let found = pallium(&arguments).ok().json();
                    let what = format!("{} {key}", case.name);
                    near(found["value"].as_f64().unwrap(), reference["value"].as_f64().unwrap(), 1e-5, &what);
                    let frobenius = reference["grad_fro"].as_f64().unwrap();
                    near(found["gradient_frobenius"].as_f64().unwrap(), frobenius, 1e-4, &what);
                    let gradient = read(&out);
                    for (at, name) in [((0, 1), "grad_0_1"), ((7, 3), "grad_7_3")] {
                        let expected = reference[name].as_f64().unwrap();
                        let scale = frobenius / gradient.nrows() as f64;
                        assert!((gradient[at] - expected).abs() < 1e-3 * scale, "{what} {name}");
                    }
                    // The whole gradient is on file for one of the geometries.
                    let key = format!("grad|{}|{matrix}", penalty.replace('-', "_"));
                    let on_file = array_if(&case.npz, &key);
                    if let Some(on_file) = on_file.filter(|m| (norm(m) - frobenius).abs() < 1e-9 * frobenius)
                    {
                        let off = norm(&(&gradient - &on_file)) / frobenius;
                        assert!(off < 1e-4, "{what}: gradient off by {off:e}");
                        whole += 1;
                    }
                }
            }
        }
        let files_have_gradients = ["5_3_8", "5_3_4"].contains(&case.name);
        assert_eq!(whole, if files_have_gradients { 8 } else { 0 }, "{}", case.name);
    }
}

#[test]
fn functional_weights_from_a_given_draw_agree_with_the_published_code() {
    for case in recorded() {
        let draw = write(&array(&case.npz, "lognormal"), case.scratch.path().join("lognormal.npy"));
        for (parameters, reference) in
            [(vec![], "bio"), (vec!["--param", "matrix=precision"], "bio_precision")]
        {
            let out = case.scratch.path().join(format!("{reference}.out.npy"));
            let mut arguments = vec![
                "weights",
                "microns.functional",
                "--field",
                text(&case.folder),
                "--seed",
                "1",
                "--out",
                text(&out),
                "--lognormal",
                text(&draw),
                "--profile",
                "published",
            ];
            arguments.extend(parameters);
            pallium(&arguments).ok();
            let expected = array(&case.npz, reference);
            let off = norm(&(&read(&out) - &expected)) / norm(&expected);
            assert!(off < 1e-5, "{} {reference}: off by {off:e}", case.name);
        }
    }
}

#[test]
fn the_organization_of_a_small_network_agrees_with_networkx() {
    let case = in_repository();
    let expected = read_json(&root().join("plugins/organization/fixtures/5_3_8.json"));
    for name in ["bio", "gaussian"] {
        let path = write(&array(&case.npz, name), case.scratch.path().join(format!("{name}.npy")));
        organization_is(&path, &expected[name]);
    }
}

#[test]
fn the_organization_of_trained_networks_agrees_with_networkx() {
    let Some(reference) = golden("metrics.json").map(|path| read_json(&path)) else { return };
    let mut checked = 0;
    for (file, expected) in reference.as_object().unwrap() {
        let Some(path) = golden(&format!("weights/{file}")) else { continue };
        organization_is(&path, expected);
        checked += 1;
    }
    assert!(checked > 0);
}

/// Compares the output of `measure` with reference values.
fn organization_is(path: &Path, expected: &Value) {
    let found = pallium(&["measure", text(path), "--profile", "published", "--json"]).ok().json();
    let file = path.display();
    assert_eq!(found["edges"], expected["edges"], "{file}");
    for (measure, tolerance) in [
        ("density", 1e-6),
        ("assortativity", 1e-6),
        ("clustering", 1e-6),
        ("efficiency", 1e-6),
        ("entropy", 1e-3),
    ] {
        let (found, expected) = (found[measure].as_f64().unwrap(), expected[measure].as_f64().unwrap());
        assert!((found - expected).abs() <= tolerance, "{file} {measure}: {found} against {expected}");
    }
    let (q, networkx) = (found["modularity"].as_f64().unwrap(), expected["modularity"].as_f64().unwrap());
    assert!(q >= networkx - 0.01, "{file}: Q = {q} against {networkx}");
    for key in ["neurons", "communities", "small_worldness"] {
        assert!(found[key].is_number(), "{file}: no {key} in {found}");
    }
}

#[test]
fn connectomes_are_put_back_in_order() {
    for case in recorded() {
        let info = pallium(&["field", "info", text(&case.folder), "--json"]).ok().json();
        let expected = &case.reference["connectome"];
        assert_eq!(info["neurons"], case.reference["n"]);
        assert_eq!(info["synapses"], expected["synapses"]);
        assert_eq!(info["connected_pairs"], expected["pairs"]);
        for (found, key) in [
            (&info["mean_distance_um"], "mean_um_all"),
            (&info["mean_connected_distance_um"]["released"], "mean_um_connected_released"),
            (&info["mean_connected_distance_um"]["restored"], "mean_um_connected_restored"),
        ] {
            near(
                found.as_f64().unwrap(),
                expected[key].as_f64().unwrap(),
                1e-9,
                &format!("{} {key}", case.name),
            );
        }
    }
}

#[test]
fn a_restored_field_reads_back_in_order() {
    let Some(folder) = field("5_3_4") else { return };
    let scratch = Scratch::new();
    let restored = scratch.path().join("restored");
    pallium(&["field", "restore", text(&folder), "--out", text(&restored)]).ok();
    let before = pallium(&["field", "info", text(&folder), "--json"]).ok().json();
    let after = pallium(&["field", "info", text(&restored), "--json"]).ok().json();
    assert_eq!(
        before["mean_connected_distance_um"]["restored"],
        after["mean_connected_distance_um"]["restored"]
    );
    assert_eq!(before["has_spikes"], after["has_spikes"]);
    assert_eq!(before["synapses"], after["synapses"]);
    pallium(&["field", "restore", text(&folder), "--out", text(&restored)]).refused(&["restored"]);
}
