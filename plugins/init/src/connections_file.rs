//! Reads weights on a set of connections: a sparse array that scipy saved, or the
//! `weights.safetensors` of a training on connections.

use std::io::Read;
use std::path::Path;

use pallium_core::prelude::*;
use pallium_npy::npz::Npz;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 30;

/// Weights in double precision on connections; `None` if the file holds a matrix.
///
/// # Errors
/// If the file cannot be read, or its compressed rows are malformed.
pub fn read(path: &Path, name: Option<&str>) -> Result<Option<(Connections, Vec<f64>)>> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let parts = match extension.as_deref() {
        Some("npz") => scipy(path)?,
        Some("safetensors") => training(path, name)?,
        _ => None,
    };
    let Some((n, indptr, indices, values)) = parts else { return Ok(None) };
    let connections =
        Connections::new(n, indptr, indices).map_err(|e| e.context(format!("{}", path.display())))?;
    if values.len() != connections.view().len() {
        return Err(Error::input(format!(
            "{} has {} weights for {} connections",
            path.display(),
            values.len(),
            connections.view().len()
        )));
    }
    Ok(Some((connections, values)))
}

/// Number of columns, `indptr`, `indices` and values.
type Parts = (usize, Vec<u64>, Vec<u32>, Vec<f64>);

/// A file of `scipy.sparse.save_npz`.
fn scipy(path: &Path) -> Result<Option<Parts>> {
    let mut file = Npz::open(path)?;
    let names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if !["indptr", "indices", "data", "shape"].into_iter().all(has) {
        return Ok(None);
    }
    if has("format") {
        let mut text = Vec::new();
        let member = file.array(Some("format"), 0)?;
        member.npy.take(4096).read_to_end(&mut text).map_err(|e| pallium_files::unread(path, &e))?;
        let text = String::from_utf8_lossy(&text).replace('\0', "");
        if !text.trim_end().ends_with("csr") {
            return Err(Error::unsupported(format!("{} is not in CSR format", path.display()))
                .help("save it with scipy.sparse.save_npz(path, array.tocsr())"));
        }
    }
    let mut numbers = |name: &str| -> Result<Vec<f64>> { Ok(file.numbers(name)?.into_iter().collect()) };
    let shape = numbers("shape")?;
    let whole = |values: Vec<f64>, most: f64| match values
        .iter()
        .find(|v| **v < 0.0 || v.fract() != 0.0 || **v > most)
    {
        Some(v) => Err(Error::input(format!("{}: {v} is not an index", path.display()))),
        None => Ok(values),
    };
    let [rows, columns] = shape[..] else {
        return Err(Error::input(format!("{} is not a matrix: its shape is {shape:?}", path.display())));
    };
    if rows != columns {
        return Err(Error::input(format!("{} is {rows}×{columns}, but must be square", path.display())));
    }
    let indptr = whole(numbers("indptr")?, 9e15)?.into_iter().map(|v| v as u64).collect();
    let indices: Vec<u32> =
        whole(numbers("indices")?, f64::from(u32::MAX))?.into_iter().map(|v| v as u32).collect();
    Ok(Some((columns as usize, indptr, indices, numbers("data")?)))
}

/// The recurrent weights of a training on connections.
fn training(path: &Path, name: Option<&str>) -> Result<Option<Parts>> {
    let bytes = pallium_files::bytes(path, LARGEST).map_err(|e| pallium_files::unread(path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::input(format!("{}: {e}", path.display())).help("is it a complete safetensors file?")
    })?;
    // Weights before a training have pairs of their own if connections moved since.
    let name = name.unwrap_or("recurrent");
    let own = file.tensor(&format!("{name}.indptr")).is_ok();
    let prefix = if own { name } else { "connections" };
    let find = |part: &str, dtype: Dtype| {
        file.tensor(&format!("{prefix}.{part}")).ok().filter(|view| view.dtype() == dtype)
    };
    let (Some(indptr), Some(indices)) = (find("indptr", Dtype::U64), find("indices", Dtype::U32)) else {
        return Ok(None);
    };
    let values = file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32).ok_or_else(|| {
        Error::input(format!("{} has no weights `{name}` in single precision", path.display()))
    })?;
    let indptr: Vec<u64> = indptr.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
    let indices = indices.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let values = values.data().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    Ok(Some((indptr.len().saturating_sub(1), indptr, indices, values)))
}
