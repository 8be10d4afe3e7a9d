//! A square matrix in a file of its own, without a `field.toml`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::{ndarray::Array2, prelude::*};

use super::{FileRef, arrays};
use crate::released::NeuronCount;

/// The help for an empty cell.
const EMPTY: &str = "write 0 where there is no connection";

/// Reads a square matrix from an npy, npz (of which `array` names the array) or
/// csv. Rows and columns that a csv labels with `ids` or indices are put into the
/// order of the neurons.
///
/// # Errors
/// If the file is missing or not such a matrix, or its labels are not the
/// neurons'.
pub fn read_matrix(
    path: &Path,
    array: Option<&str>,
    ids: &BTreeMap<String, Cow<'_, [i64]>>,
) -> Result<Array2<f64>> {
    let file = path.to_str().ok_or_else(|| {
        Error::input(format!("the path `{}` is not valid Unicode", path.display())).help("rename it")
    })?;
    let file = FileRef { file: file.into(), array: array.map(str::to_owned), column: None };
    let (matrix, labels) = arrays::matrix(Path::new(""), &file, &NeuronCount::default(), EMPTY)?;
    arrays::in_order(matrix, &labels, ids, path)
}
