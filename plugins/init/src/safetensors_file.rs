//! Reads a square matrix from a safetensors file, such as the
//! `weights.safetensors` of a finished training.

use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::{ndarray::Array2, prelude::*};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 30;
/// The recurrent matrix of models with a single one, and the matrix before the
/// training.
const RECURRENT: &str = "recurrent";
const INITIAL: &str = "initial";
/// Prefix of the tensors with identifiers of the neurons.
const IDS: &str = "ids.";

/// Identifiers of the neurons, by kind.
pub type Ids = BTreeMap<String, Vec<i64>>;

/// Reads the tensor `name`, or `recurrent`, or the only square matrix, apart from
/// that before the training; and the identifiers of its neurons by kind, if the
/// file has any.
///
/// # Errors
/// If the file cannot be read, or there is no such matrix; the message lists the
/// matrices.
pub fn read(path: &Path, name: Option<&str>) -> Result<(Array2<f64>, Ids)> {
    let bytes = pallium_files::bytes(path, LARGEST).map_err(|e| pallium_files::unread(path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::input(format!("{}: {e}", path.display())).help("is it a complete safetensors file?")
    })?;
    let square = |view: &TensorView<'_>| matches!(view.shape(), [n, m] if n == m);
    let mut known: Vec<String> =
        file.iter().filter(|(_, v)| square(v)).map(|(name, _)| name.to_owned()).collect();
    known.sort();
    let trained: Vec<&String> = known.iter().filter(|name| *name != INITIAL).collect();
    let chosen = match (name, &trained[..]) {
        (Some(name), _) => name,
        (None, _) if known.iter().any(|name| name == RECURRENT) => RECURRENT,
        (None, [only]) => only,
        (None, _) => {
            let message = format!("{} has {} square matrices", path.display(), trained.len());
            return Err(Error::input(message).help(choose(&known)));
        }
    };
    let view = file.tensor(chosen).ok().filter(square).ok_or_else(|| {
        Error::input(format!("{} has no square matrix `{chosen}`", path.display())).help(choose(&known))
    })?;
    let matrix = numbers(&view).and_then(|values| {
        let n = view.shape()[0];
        Array2::from_shape_vec((n, n), values).ok()
    });
    let matrix = matrix.ok_or_else(|| {
        Error::unsupported(format!("{}: `{chosen}` has the type {:?}", path.display(), view.dtype()))
            .help("save it in single or double precision")
    })?;
    if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::input(format!("{}: `{chosen}` has {v} at row {i}, column {j}", path.display()))
            .help("every weight must be finite; did the training diverge?"));
    }
    let ids = file
        .iter()
        .filter(|(_, view)| view.dtype() == Dtype::I64)
        .filter_map(|(name, view)| {
            let (ids, _) = view.data().as_chunks::<8>();
            Some((name.strip_prefix(IDS)?.to_owned(), ids.iter().map(|b| i64::from_le_bytes(*b)).collect()))
        })
        .collect();
    Ok((matrix, ids))
}

fn choose(known: &[String]) -> String {
    match known {
        [] => "the file must hold an N×N matrix".into(),
        _ => format!("choose one with `array`: {}", known.join(", ")),
    }
}

/// The values of a tensor of floats; `None` for another type.
fn numbers(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => {
            Some(data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect())
        }
        Dtype::F64 => Some(data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        _ => None,
    }
}
