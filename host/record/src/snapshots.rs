//! `snapshots.safetensors`: the parameters of a training after some epochs.
//!
//! The tensors are called `EPOCH/NAME`, with epoch 0 before training.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use pallium_core::{Error, Result, Tensor};
use safetensors::SafeTensors;

use crate::safetensors_file::{from_bytes, of_tensors};
use crate::table::damaged;
use crate::training::Snapshot;

/// The file's name.
pub const FILE: &str = "snapshots.safetensors";

/// Snapshots as tensors with the epoch in their names.
pub fn to_tensors(snapshots: &[Snapshot]) -> Vec<Tensor> {
    let of = |snapshot: &Snapshot| -> Vec<Tensor> {
        let named = |tensor: &Tensor| Tensor {
            name: format!("{}/{}", snapshot.epoch, tensor.name),
            ..tensor.clone()
        };
        snapshot.parameters.iter().map(named).collect()
    };
    snapshots.iter().flat_map(of).collect()
}

/// Snapshots from tensors with the epoch in their names, in the order of epochs;
/// other tensors are left out.
pub fn from_tensors(tensors: impl IntoIterator<Item = Tensor>) -> Vec<Snapshot> {
    let mut by: BTreeMap<u32, Vec<Tensor>> = BTreeMap::new();
    for tensor in tensors {
        let Some((epoch, name)) = tensor.name.split_once('/') else { continue };
        let Ok(epoch) = epoch.parse() else { continue };
        by.entry(epoch).or_default().push(Tensor { name: name.to_owned(), ..tensor });
    }
    by.into_iter().map(|(epoch, parameters)| Snapshot { epoch, parameters }).collect()
}

/// The file.
///
/// # Errors
/// If two tensors have one name.
pub fn write(snapshots: &[Snapshot]) -> Result<Vec<u8>> {
    of_tensors("snapshots", &to_tensors(snapshots))
}

/// Reads the file; there are no snapshots if it does not exist.
///
/// # Errors
/// If it cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Vec<Snapshot>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(path, &e)),
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, &e))?;
    let mut tensors: Vec<Tensor> = file
        .iter()
        .filter_map(|(name, view)| {
            Some(Tensor::new(name, view.shape(), from_bytes(view.dtype(), view.data())?))
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(from_tensors(tensors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_back_in_the_order_of_epochs() {
        let snapshot =
            |epoch| Snapshot { epoch, parameters: vec![Tensor::new("bias", [2], vec![epoch as f32, 0.5])] };
        let written = vec![snapshot(0), snapshot(2), snapshot(10)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), []);
        fs::write(&path, write(&written).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), written);
        fs::write(&path, b"nothing").unwrap();
        assert!(read(&path).unwrap_err().message.contains("damaged"));
    }
}
