//! `weights.safetensors`: the weights before and after training.
//!
//! `initial` (f32, N×N) is the recurrent matrix before training. Further
//! tensors are the trained parameters, by the model's names (f32), and
//! `ids.NAME` the identifiers of the neurons (i64) in the order of rows and
//! columns. Row = from, column = to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use itertools::Itertools;
use ndarray::Array2;
use pallium_core::{Error, Matrix, Result, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::identity::Cell;
use crate::safetensors_file::{f32_bytes, floats, with_metadata};
use crate::table::damaged;
use crate::training::Trained;

/// The file's name.
pub const FILE: &str = "weights.safetensors";
/// Orientation of recurrent matrices.
pub const ORIENTATION: &str = "row = from, column = to";

/// The tensor of the recurrent weights before training.
const INITIAL: &str = "initial";
/// Prefix of the tensors with identifiers.
const IDS: &str = "ids.";

/// The contents of the file.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Recurrent weights before training, N×N.
    pub initial: Matrix,
    /// Trained parameters; empty if the training diverged.
    pub parameters: Vec<Tensor>,
}

impl Weights {
    /// The recurrent block `name` of `neurons`×`neurons`, if it exists.
    pub fn block(&self, name: &str, neurons: usize) -> Option<Matrix> {
        let tensor = self.parameters.iter().find(|tensor| tensor.name == name)?;
        let square = tensor.shape == [neurons, neurons];
        square.then(|| Array2::from_shape_vec((neurons, neurons), tensor.values.clone()).ok())?
    }
}

/// The file of a training.
///
/// # Errors
/// If two tensors have one name.
pub fn write(cell: &Cell, trained: &Trained, profile: &str) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::plugin(format!("the state of `{}`: {what}", cell.spec.model.id));
    let initial = Tensor {
        name: INITIAL.into(),
        shape: trained.initial.shape().into(),
        values: trained.initial.iter().copied().collect(),
    };
    let mut tensors: BTreeMap<&str, (&[usize], Vec<u8>)> = BTreeMap::new();
    for tensor in std::iter::once(&initial).chain(&trained.parameters) {
        if tensors.insert(&tensor.name, (&tensor.shape, f32_bytes(&tensor.values))).is_some() {
            return Err(wrong(format!("two tensors are named `{}`", tensor.name)));
        }
    }
    let ids: Vec<(String, Vec<u8>)> = trained
        .ids
        .iter()
        .map(|(name, ids)| (format!("{IDS}{name}"), ids.iter().flat_map(|id| id.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::new();
    for (name, bytes) in &ids {
        if tensors.contains_key(name.as_str()) {
            return Err(wrong(format!("the tensor `{name}` has the name of the neurons' identifiers")));
        }
        let view = TensorView::new(Dtype::I64, vec![bytes.len() / 8], bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((name.as_str(), view));
    }
    for (name, (shape, bytes)) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((*name, view));
    }
    let spec = &cell.spec;
    let run = spec.run.to_string();
    let label = spec.label();
    let ids = ids.iter().map(|(name, _)| name.as_str()).join(" ");
    let about = BTreeMap::from([
        ("cell", label.as_str()),
        ("format", "pallium 1"),
        ("ids", &ids),
        ("identity", &cell.identity),
        ("orientation", ORIENTATION),
        ("profile", profile),
        ("run", &run),
        ("task", &spec.task),
        ("variant", &spec.variant),
    ]);
    let file = safetensors::serialize(views, None).map_err(|e| wrong(e.to_string()))?;
    with_metadata(&file, &about)
}

/// Reads the file of a training.
///
/// # Errors
/// If it cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Weights> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
    let mut initial = None;
    let mut parameters = Vec::new();
    for (name, view) in
        file.iter().filter(|(name, view)| view.dtype() == Dtype::F32 && !name.starts_with(IDS))
    {
        let tensor = Tensor { name: name.into(), shape: view.shape().into(), values: floats(view.data()) };
        if name != INITIAL {
            parameters.push(tensor);
        } else if let [rows, columns] = tensor.shape[..] {
            initial = Array2::from_shape_vec((rows, columns), tensor.values).ok();
        }
    }
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    let initial = initial.ok_or_else(|| damaged(path, &format!("the matrix `{INITIAL}` is missing")))?;
    Ok(Weights { initial, parameters })
}
