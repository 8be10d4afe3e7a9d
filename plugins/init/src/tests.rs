//! Weights drawn at random, from files and from synapses.

use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::ndarray::{Array2, array};
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_testing::{Folder, warnings};
use safetensors::tensor::{Dtype, TensorView};

use crate::file::FromFile;
use crate::gaussian::Gaussian;
use crate::sparse::Sparse;
use crate::synapses::Synapses;

#[test]
fn conform() {
    pallium_testkit::assert_all_conform();
}

fn build<S: Component + WeightSource>(params: Value) -> Result<S> {
    S::build(pallium_core::parse_parameters(S::ID, &params.to_string())?, &Setting::default())
}

fn drawn<S: Component + WeightSource>(params: Value, neurons: usize, seed: u64) -> Array2<f64> {
    let request = WeightRequest { neurons, substrate: None, seed, draw: None, connections: None };
    build::<S>(params).unwrap().weights(&request).unwrap().mapv(f64::from)
}

fn radius(weights: &Array2<f64>) -> f64 {
    pallium_linalg::spectral_radius(weights.view()).unwrap()
}

/// Weights for the neurons of `field`.
fn from(params: Value, field: &Substrate) -> Result<Matrix> {
    let request = WeightRequest {
        neurons: field.neurons,
        substrate: Some(field),
        seed: 1,
        draw: None,
        connections: None,
    };
    build::<FromFile>(params)?.weights(&request)
}

fn field(neurons: usize) -> Substrate {
    Substrate { name: "f".into(), neurons, ..Substrate::default() }
}

#[test]
fn gaussian_weights_have_their_moments_and_radius() {
    let weights = drawn::<Gaussian>(json!({"gain": 1.5, "mean": 0.5}), 300, 1);
    let mean = weights.mean().unwrap();
    // Standard errors: 2.9e-4 of the mean, 1.4e-4 of the deviation.
    assert!((mean - 0.5 / 300.0).abs() < 1.2e-3, "{mean}");
    assert!((weights.std(0.0) - 1.5 / 300f64.sqrt()).abs() < 6e-4);
    assert!((radius(&weights) / 1.5 - 1.0).abs() < 0.1, "{}", radius(&weights));
    assert_eq!(weights, drawn::<Gaussian>(json!({"gain": 1.5, "mean": 0.5}), 300, 1));
    assert_ne!(weights, drawn::<Gaussian>(json!({"gain": 1.5, "mean": 0.5}), 300, 2));
    // A supplied draw takes the place of the random numbers: w = 0.5/4 + 2/√4 · z.
    let draw = Array2::from_shape_fn((4, 4), |(i, j)| i as f64 - j as f64);
    let request =
        WeightRequest { neurons: 4, substrate: None, seed: 0, draw: Some(draw.view()), connections: None };
    let mut source = build::<Gaussian>(json!({"gain": 2.0, "mean": 0.5})).unwrap();
    assert_eq!(source.weights(&request).unwrap(), draw.mapv(|z| (0.125 + z) as f32));
}

#[test]
fn sparse_weights_have_exactly_their_density() {
    for (density, diagonal, expected) in [
        (0.0, "keep", 0),
        (0.013, "keep", 130),
        (0.1, "keep", 1000),
        (0.1, "zero", 990),
        (1.0, "zero", 9900),
        (1.0, "keep", 10_000),
    ] {
        let weights = drawn::<Sparse>(json!({"density": density, "diagonal": diagonal}), 100, 3);
        assert_eq!(weights.iter().filter(|w| **w != 0.0).count(), expected, "{density} {diagonal}");
        let autapses = weights.diag().iter().filter(|w| **w != 0.0).count();
        assert!(autapses <= if diagonal == "zero" { 0 } else { 100 });
    }
    let weights = drawn::<Sparse>(json!({"density": 0.2, "gain": 0.8}), 400, 5);
    assert!((radius(&weights) / 0.8 - 1.0).abs() < 0.1, "{}", radius(&weights));
    // The density decides which pairs are connected, not the weights of the others.
    let dense = drawn::<Sparse>(json!({"density": 1.0, "gain": 1.0}), 400, 5);
    let ratio = 0.8 / 0.2f64.sqrt();
    assert!(weights.iter().zip(&dense).all(|(w, d)| *w == 0.0 || (w / d / ratio - 1.0).abs() < 1e-6));
}

#[test]
fn every_source_takes_signs_diagonal_and_radius() {
    let common = json!({"signs": "positive", "diagonal": "zero", "spectral_radius": 0.7});
    for weights in [drawn::<Gaussian>(common.clone(), 50, 1), drawn::<Sparse>(common.clone(), 50, 1)] {
        assert!(weights.iter().all(|w| *w >= 0.0) && weights.diag().iter().all(|w| *w == 0.0));
        assert!((radius(&weights) - 0.7).abs() < 1e-6);
    }
    let none = warnings(|| assert_eq!(radius(&drawn::<Sparse>(json!({"density": 0}), 9, 1)), 0.0));
    assert!(none.is_empty(), "{none}");
    let unkept = warnings(|| drop(drawn::<Sparse>(json!({"density": 0, "spectral_radius": 0.5}), 9, 1)));
    assert!(unkept.contains("`init.sparse`: the spectral radius is 0 instead of 0.5"), "{unkept}");
}

#[test]
fn weights_are_proportional_to_synapses() {
    let mut field = field(3);
    let synapses = array![[0.0, 4.0, 0.0], [1.0, 0.0, 0.25], [0.0, 0.0, 0.0]];
    field.matrices.insert(Substrate::CONNECTOME.into(), synapses.clone().into());
    field.matrices.insert("signed".into(), (&synapses * -1.0).into());
    let weights = |params: Value| {
        let request =
            WeightRequest { neurons: 3, substrate: Some(&field), seed: 1, draw: None, connections: None };
        build::<Synapses>(params).unwrap().weights(&request).map(|w| w.mapv(f64::from))
    };
    // The radius is √(4·1) = 2.
    let found = weights(json!({"spectral_radius": 0.5})).unwrap();
    assert!((found - &synapses * 0.25).iter().all(|v| v.abs() < 1e-7));
    let raw = |transform: &str, matrix: &str| {
        weights(json!({"spectral_radius": 0, "transform": transform, "matrix": matrix})).unwrap()
    };
    assert_eq!(raw("binary", "connectome"), array![[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]);
    let logarithms = synapses.mapv(|s| (s + 1.0).ln());
    assert!((raw("log", "connectome") - &logarithms).iter().all(|v| v.abs() < 1e-7));
    assert!((raw("log", "signed") + &logarithms).iter().all(|v| v.abs() < 1e-7));
    assert_eq!(raw("linear", "signed"), &synapses * -1.0);
    let error = weights(json!({"matrix": "sizes"})).unwrap_err();
    assert!(error.message.contains("`sizes`") && error.help.unwrap().contains("connectome"));
}

const VALUES: [[f32; 3]; 3] = [[0.5, -2.0, 0.0], [1.0, 0.25, 3.0], [-1.5, 0.0, 4.0]];

fn matrix() -> Matrix {
    Array2::from(VALUES.to_vec())
}

/// A safetensors file of matrices and ids.
fn safetensors(matrices: &[(&str, &Matrix)], ids: &[(&str, &[i64])]) -> Vec<u8> {
    let floats: Vec<Vec<u8>> =
        matrices.iter().map(|(_, m)| m.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let whole: Vec<Vec<u8>> =
        ids.iter().map(|(_, ids)| ids.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for ((name, matrix), bytes) in matrices.iter().zip(&floats) {
        views.push((*name, TensorView::new(Dtype::F32, matrix.shape().to_vec(), bytes).unwrap()));
    }
    for ((name, ids), bytes) in ids.iter().zip(&whole) {
        views.push((*name, TensorView::new(Dtype::I64, vec![ids.len()], bytes).unwrap()));
    }
    safetensors::serialize(views, None).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_kind_of_file_holds_the_same_weights() {
    let folder = Folder::new();
    let npy = folder.path().join("w.npy");
    ndarray_npy::write_npy(&npy, &matrix()).unwrap();
    let csv = folder.file("w.csv", b"0.5,-2,0\n1,0.25,3\n-1.5,0,4\n");
    let tensors = folder.file("w.safetensors", &safetensors(&[("w", &matrix())], &[]));
    for path in [npy, csv, tensors] {
        assert_eq!(from(json!({"path": text(&path)}), &field(3)).unwrap(), matrix(), "{}", path.display());
        let transposed = json!({"path": text(&path), "transposed": true});
        assert_eq!(from(transposed, &field(3)).unwrap(), matrix().reversed_axes());
        let scaled = json!({"path": text(&path), "spectral_radius": 0.9, "diagonal": "zero"});
        let scaled = from(scaled, &field(3)).unwrap().mapv(f64::from);
        assert!((radius(&scaled) - 0.9).abs() < 1e-6);
        assert!(scaled[[0, 1]] < 0.0 && scaled[[1, 2]] > 0.0, "signs are kept");
        let error = from(json!({"path": text(&path)}), &field(4)).unwrap_err();
        assert!(error.message.contains("is 3×3, but there are 4 neurons"), "{error}");
    }
    let error = from(json!({}), &field(3)).unwrap_err();
    assert!(error.help.unwrap().contains("path = "));
    let error = from(json!({"path": text(folder.path())}), &field(3)).unwrap_err();
    assert!(error.message.contains("has no weights.safetensors"), "{error}");
    assert!(from(json!({"path": "/nowhere/w.npy"}), &field(3)).unwrap_err().message.contains("/nowhere"));
}

#[test]
fn a_training_gives_its_trained_or_its_initial_weights() {
    let folder = Folder::new();
    let bytes = |matrices: &[(&str, &Matrix)]| safetensors(matrices, &[("ids.root", &[30, 10, 20])]);
    let (trained, initial, bias) = (matrix(), matrix() * 2.0, Matrix::zeros((1, 3)));
    folder.file(
        "weights.safetensors",
        &bytes(&[("initial", &initial), ("recurrent", &trained), ("bias", &bias), ("readout", &trained)]),
    );
    let path = text(folder.path());
    assert_eq!(from(json!({"path": path}), &field(3)).unwrap(), trained);
    assert_eq!(from(json!({"path": path, "array": "initial"}), &field(3)).unwrap(), initial);
    let error = from(json!({"path": path, "array": "bias"}), &field(3)).unwrap_err();
    assert!(error.help.unwrap().ends_with("initial, readout, recurrent"));

    // Neurons are matched by their ids.
    let with = |ids: [i64; 3]| Substrate {
        ids: BTreeMap::from([("root".to_owned(), ids.to_vec().into())]),
        ..field(3)
    };
    assert_eq!(from(json!({"path": path}), &with([30, 10, 20])).unwrap(), trained);
    let turned = from(json!({"path": path}), &with([10, 20, 30])).unwrap();
    assert_eq!(turned[[2, 0]], trained[[0, 1]]);
    assert_eq!(turned[[0, 1]], trained[[1, 2]]);
    let other = warnings(|| assert_eq!(from(json!({"path": path}), &with([1, 2, 3])).unwrap(), trained));
    assert!(other.contains("are not the substrate's"), "{other}");

    // Of several recurrent blocks, one must be chosen.
    folder.file("weights.safetensors", &bytes(&[("initial", &initial), ("a", &trained), ("b", &initial)]));
    let error = from(json!({"path": path}), &field(3)).unwrap_err();
    assert!(error.message.contains("2 square matrices") && error.help.unwrap().contains("a, b"));
    assert_eq!(from(json!({"path": path, "array": "b"}), &field(3)).unwrap(), initial);
    folder.file("weights.safetensors", b"no tensors");
    assert!(from(json!({"path": path}), &field(3)).is_err());
}

#[test]
fn parameters_out_of_range_are_refused() {
    assert!(build::<Gaussian>(json!({"gain": -1})).is_err());
    assert!(build::<Sparse>(json!({"density": 1.5})).is_err());
    assert!(build::<Synapses>(json!({"spectral_radius": -1})).is_err());
    assert!(build::<FromFile>(json!({"path": "a", "signs": "mixed"})).is_err());
}
