//! `weights.safetensors`: the weights before and after training.
//!
//! `initial` (f32, N×N) is the recurrent matrix before training. Further
//! tensors are the trained parameters, by the model's names (f32), and
//! `ids.NAME` the identifiers of the neurons (i64) in the order of rows and
//! columns. Row = from, column = to.
//!
//! On a set of C connections, `initial` and the recurrent parameters have one value
//! for each, and `connections.indptr` (u64) and `connections.indices` (u32) are
//! their compressed rows, so that scipy reads them as
//! `csr_array((f["recurrent"], f["connections.indices"], f["connections.indptr"]))`.
//! If connections moved during the training, `initial` belongs to
//! `initial.indptr` and `initial.indices`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use itertools::Itertools;
use ndarray::Array2;
use pallium_core::{Connections, Error, Matrix, Result, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

use crate::identity::Cell;
use crate::safetensors_file::{from_bytes, to_bytes, with_metadata};
use crate::table::damaged;
use crate::training::{Trained, TrainingFile};

/// The file's name.
pub const FILE: &str = "weights.safetensors";
/// Orientation of recurrent matrices.
pub const ORIENTATION: &str = "row = from, column = to";

/// The tensor of the recurrent weights before training.
const INITIAL: &str = "initial";
/// Prefix of the compressed rows of the connections after training.
const CONNECTIONS: &str = "connections";
/// Prefix of the tensors with identifiers.
const IDS: &str = "ids.";

/// The contents of the file.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Recurrent weights before training, N×N; 1 × C on a set of C connections.
    pub initial: Matrix,
    /// The connections before and after training; `None` if the weights are a
    /// matrix.
    pub connections: Option<[Connections; 2]>,
    /// Trained parameters; empty if the training diverged.
    pub parameters: Vec<Tensor>,
}

/// The compressed rows of `connections`.
pub fn compressed_rows(prefix: &str, connections: &Connections) -> [Tensor; 2] {
    let view = connections.view();
    [
        Tensor::new(format!("{prefix}.indptr"), [view.indptr().len()], view.indptr().to_vec()),
        Tensor::new(format!("{prefix}.indices"), [view.len()], view.indices().to_vec()),
    ]
}

/// Takes the compressed rows of a square set of connections from `tensors`, if they
/// are there.
///
/// # Errors
/// If they are not compressed rows.
pub fn take_compressed_rows(prefix: &str, tensors: &mut Vec<Tensor>) -> Result<Option<Connections>> {
    let mut take = |part: &str| {
        let name = format!("{prefix}.{part}");
        let at = tensors.iter().position(|tensor| tensor.name == name)?;
        Some(tensors.remove(at))
    };
    let (Some(indptr), Some(indices)) = (take("indptr"), take("indices")) else { return Ok(None) };
    let (indptr, indices) = (indptr.slice::<u64>()?.to_vec(), indices.slice::<u32>()?.to_vec());
    Connections::new(indptr.len().saturating_sub(1), indptr, indices).map(Some)
}

impl Weights {
    /// The recurrent block `name` of `neurons`×`neurons`, if it exists.
    pub fn block(&self, name: &str, neurons: usize) -> Option<Matrix> {
        let tensor = self.parameters.iter().find(|tensor| tensor.name == name)?;
        let square = tensor.shape == [neurons, neurons];
        let values = tensor.slice::<f32>().ok().filter(|_| square)?;
        Array2::from_shape_vec((neurons, neurons), values.to_vec()).ok()
    }
}

/// The file of a training.
///
/// # Errors
/// If two tensors have one name.
pub fn write(cell: &Cell, trained: &Trained, profile: &str) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::plugin(format!("the state of `{}`: {what}", cell.spec.model.id));
    let initial = Tensor::from_view(INITIAL, trained.initial.view());
    let mut tensors: BTreeMap<&str, (&[usize], Dtype, Vec<u8>)> = BTreeMap::new();
    let mut rows = Vec::new();
    if let Some([before, after]) = &trained.connections {
        rows.extend(compressed_rows(CONNECTIONS, after));
        if before != after {
            rows.extend(compressed_rows(INITIAL, before));
        }
    }
    for tensor in std::iter::once(&initial).chain(&trained.parameters).chain(&rows) {
        let (dtype, bytes) = to_bytes(&tensor.values)?;
        if tensors.insert(&tensor.name, (&tensor.shape, dtype, bytes)).is_some() {
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
    for (name, (shape, dtype, bytes)) in &tensors {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes)
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
    let bytes = fs::read(path).map_err(|e| unread(path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
    let mut initial = None;
    let mut parameters = Vec::new();
    for (name, view) in file.iter().filter(|(name, _)| !name.starts_with(IDS)) {
        let Some(values) = from_bytes(view.dtype(), view.data()) else { continue };
        let tensor = Tensor::new(name, view.shape(), values);
        if name != INITIAL {
            parameters.push(tensor);
        } else if let [rows, columns] = tensor.shape[..] {
            initial = Array2::from_shape_vec((rows, columns), tensor.slice::<f32>()?.to_vec()).ok();
        }
    }
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    let before = take_compressed_rows(INITIAL, &mut parameters).map_err(|e| damaged(path, &e))?;
    let after = take_compressed_rows(CONNECTIONS, &mut parameters).map_err(|e| damaged(path, &e))?;
    let connections = after.map(|after| [before.unwrap_or_else(|| after.clone()), after]);
    let initial = initial.ok_or_else(|| damaged(path, &format!("the matrix `{INITIAL}` is missing")))?;
    Ok(Weights { initial, connections, parameters })
}

/// The error for weights that cannot be read; those of a training without weights are
/// named so.
fn unread(path: &Path, error: &std::io::Error) -> Error {
    let training = path.parent().map(TrainingFile::read);
    match training {
        Some(Ok(training)) if training.restored.is_some() => Error::input(format!(
            "{} has no weights: the training was restored from a compact file",
            training.folder.display()
        ))
        .help("remove its folder and run the experiment without --finished to train it again"),
        _ => Error::io(path, error),
    }
}

/// The part of square matrices that belongs to `neurons`: of the one before
/// training, and of the trained block `block`; `None` if a matrix is not
/// `size`×`size`. Reads no more than the neurons' rows, so that a sample of a large
/// network takes as long as one of a small network.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn sample(path: &Path, block: &str, size: usize, neurons: &[usize]) -> Result<Option<[Matrix; 2]>> {
    let unreadable = |e: std::io::Error| Error::io(path, &e);
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(|e| damaged(path, &e))?;
    let begin = u64::from_le_bytes(head);
    let room = length.saturating_sub(8);
    if begin > room.min(LONGEST_HEADER) {
        return Err(damaged(path, &"its header is longer than the file"));
    }
    let mut header = vec![0; begin as usize];
    file.read_exact(&mut header).map_err(unreadable)?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|e| damaged(path, &e))?;
    if header.contains_key(&format!("{CONNECTIONS}.indptr")) {
        return sample_of_connections(path, block, size, neurons);
    }
    let mut read = |name: &str| -> Result<Option<Matrix>> {
        let entry = header.get(name).and_then(|entry| serde_json::from_value::<Entry>(entry.clone()).ok());
        let Some(entry) = entry.filter(|e| e.dtype == "F32" && e.shape == [size, size]) else {
            return Ok(None);
        };
        let [from, to] = entry.data_offsets;
        if to > room - begin || to.checked_sub(from) != Some(4 * (size * size) as u64) {
            return Err(damaged(path, &format!("the tensor `{name}` is not complete")));
        }
        let mut matrix = Array2::zeros((neurons.len(), neurons.len()));
        let mut bytes = vec![0; 4 * size];
        for (own, &neuron) in matrix.rows_mut().into_iter().zip(neurons) {
            let at = 8 + begin + from + 4 * (neuron * size) as u64;
            file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes)).map_err(unreadable)?;
            let (row, _) = bytes.as_chunks::<4>();
            for (own, &other) in own.into_iter().zip(neurons) {
                *own = f32::from_le_bytes(row[other]);
            }
        }
        Ok(Some(matrix))
    };
    Ok(read(INITIAL)?.zip(read(block)?).map(|(initial, trained)| [initial, trained]))
}

/// As [`sample`], of weights on connections; 0 for pairs that are not connected.
fn sample_of_connections(
    path: &Path,
    block: &str,
    size: usize,
    neurons: &[usize],
) -> Result<Option<[Matrix; 2]>> {
    let Weights { initial, connections, parameters } = read(path)?;
    let Some([before, after]) = connections.filter(|[_, after]| after.view().dim() == (size, size)) else {
        return Ok(None);
    };
    let Some(trained) = parameters.iter().find(|tensor| tensor.name == block) else { return Ok(None) };
    let among = |pairs: &Connections, values: &[f32]| {
        Array2::from_shape_fn((neurons.len(), neurons.len()), |(a, b)| {
            let place = pairs.view().find(neurons[a], neurons[b]);
            place.and_then(|place| values.get(place)).copied().unwrap_or_default()
        })
    };
    let initial: Vec<f32> = initial.iter().copied().collect();
    Ok(Some([among(&before, &initial), among(&after, trained.slice()?)]))
}

/// Maximum length of a header, in bytes; safetensors has the same.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor in the header of a safetensors file.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_back_and_sampled() {
        let pairs = |all: &[(u32, u32)]| Connections::from_pairs(4, 4, all.to_vec()).unwrap();
        let (before, after) = (pairs(&[(0, 1), (2, 3), (3, 0)]), pairs(&[(0, 1), (1, 3), (3, 0)]));
        let cell = crate::testing::cell(0);
        let trained = Trained {
            initial: ndarray::array![[1.0, 2.0, 3.0]],
            connections: Some([before.clone(), after.clone()]),
            parameters: vec![Tensor::new("recurrent", [3], vec![4.0_f32, 5.0, 6.0])],
            ..crate::testing::trained()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, write(&cell, &trained, "corrected").unwrap()).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.connections, Some([before, after]));
        assert_eq!(found.initial, trained.initial);
        assert_eq!(found.parameters, trained.parameters);
        let [initial, trained] = sample(&path, "recurrent", 4, &[0, 1, 3]).unwrap().unwrap();
        assert_eq!(initial, ndarray::array![[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]);
        assert_eq!(trained, ndarray::array![[0.0, 4.0, 0.0], [0.0, 0.0, 5.0], [6.0, 0.0, 0.0]]);
        assert!(sample(&path, "recurrent", 5, &[0]).unwrap().is_none());
    }

    #[test]
    fn a_sample_has_the_weights_between_its_neurons() {
        let matrix = |shift: f32| Array2::from_shape_fn((5, 5), |(i, j)| (10 * i + j) as f32 + shift);
        let bytes =
            [matrix(0.0), matrix(0.5)].map(|m| to_bytes(&m.into_raw_vec_and_offset().0.into()).unwrap().1);
        let view = |bytes| TensorView::new(Dtype::F32, vec![5, 5], bytes).unwrap();
        let file =
            safetensors::serialize([("initial", view(&bytes[0])), ("h", view(&bytes[1]))], None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        fs::write(&path, &file).unwrap();
        let [initial, trained] = sample(&path, "h", 5, &[1, 4]).unwrap().unwrap();
        assert_eq!(initial, ndarray::array![[11.0, 14.0], [41.0, 44.0]]);
        assert_eq!(trained, ndarray::array![[11.5, 14.5], [41.5, 44.5]]);
        let all: Vec<usize> = (0..5).collect();
        let complete = read(&path).unwrap();
        let [initial, trained] = sample(&path, "h", 5, &all).unwrap().unwrap();
        assert_eq!((Some(trained), initial), (complete.block("h", 5), complete.initial));
        assert!(
            sample(&path, "h", 4, &[0]).unwrap().is_none() && sample(&path, "g", 5, &[0]).unwrap().is_none()
        );
        fs::write(&path, &file[..file.len() - 1]).unwrap();
        assert!(sample(&path, "h", 5, &[0]).unwrap_err().message.contains("not complete"));
        fs::write(&path, b"nothing").unwrap();
        assert!(sample(&path, "h", 5, &[0]).is_err());
        fs::write(&path, [u64::MAX.to_le_bytes(), [0; 8]].concat()).unwrap();
        assert!(sample(&path, "h", 5, &[0]).unwrap_err().message.contains("longer than the file"));
    }
}
