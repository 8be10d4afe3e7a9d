//! A training that is under way, kept so that it can go on after an
//! interruption and end with the same bits.
//!
//! Everything that a training draws is drawn anew from the cell's seeds, and
//! the noise of a batch depends on the batch's number alone. So the model's
//! state, the number of epochs behind it and the curves so far are all there
//! is to keep.
//!
//! The file is three parts: the SHA-256 of the rest in hexadecimal and a line
//! break; one line of JSON; the values of all tensors as little-endian f32, in
//! the order of the JSON. It is replaced in one step, but not forced to disk:
//! where a machine loses power, the sum tells, and the cell begins anew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::Epoch;
use crate::hash::hex;

/// Version of the file.
const FORMAT: u32 = 1;

/// A training after an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// One entry for each epoch behind it.
    pub curves: Vec<Epoch>,
    /// How long they took, in seconds.
    pub seconds: f64,
    /// The model's state.
    pub state: Vec<Tensor>,
}

/// Where a cell's checkpoint is kept.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Identity of the cell.
    pub identity: String,
    /// After how many epochs each; 0 for never.
    pub every: u32,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    identity: String,
    seconds: f64,
    curves: Vec<Epoch>,
    tensors: Vec<(String, Vec<usize>)>,
}

impl Place {
    /// Whether one is due after `epoch`.
    pub fn is_due(&self, epoch: u32) -> bool {
        self.every > 0 && epoch.is_multiple_of(self.every)
    }

    /// The checkpoint, if there is one and it is this cell's and whole. What
    /// cannot be used is told to the log, removed, and does no further harm.
    pub fn load(&self, epochs: u32) -> Option<Checkpoint> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                self.reject(&e.to_string());
                return None;
            }
        };
        match self.decode(&bytes, epochs) {
            Ok(checkpoint) => Some(checkpoint),
            Err(why) => {
                self.reject(&why);
                None
            }
        }
    }

    /// Says why the checkpoint is not used, and removes it.
    pub fn reject(&self, why: &str) {
        tracing::warn!("the checkpoint {} is not used, the cell begins anew: {why}", self.path.display());
        if let Err(e) = fs::remove_file(&self.path) {
            tracing::debug!("{}: {e}", self.path.display());
        }
    }

    /// Keeps `checkpoint` in place of the one before. A training does not fail
    /// for want of it, so the log is told where that is not possible.
    pub fn save(&self, checkpoint: &Checkpoint) {
        let saved = self.encode(checkpoint).and_then(|bytes| self.replace(&bytes));
        if let Err(error) = saved {
            tracing::warn!("there is no checkpoint of epoch {}: {error}", checkpoint.curves.len());
        }
    }

    fn replace(&self, bytes: &[u8]) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || {
            fs::create_dir_all(folder)?;
            let mut file = super::durable::temporary(0o666).tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.persist(&self.path).map_err(|e| e.error).map(drop)
        };
        write().map_err(|e| Error::io(&self.path, &e))
    }

    fn encode(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
        let head = Head {
            format: FORMAT,
            identity: self.identity.clone(),
            seconds: checkpoint.seconds,
            curves: checkpoint.curves.clone(),
            tensors: checkpoint.state.iter().map(|t| (t.name.clone(), t.shape.clone())).collect(),
        };
        let mut rest = serde_json::to_vec(&head)
            .map_err(|e| Error::bug(format!("a checkpoint cannot be written: {e}")))?;
        rest.push(b'\n');
        for tensor in &checkpoint.state {
            rest.extend(tensor.values.iter().flat_map(|v| v.to_le_bytes()));
        }
        let mut bytes = hex(&Sha256::digest(&rest)).into_bytes();
        bytes.push(b'\n');
        bytes.append(&mut rest);
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8], epochs: u32) -> Result<Checkpoint, String> {
        let (sum, rest) = split(bytes).ok_or("it is cut short")?;
        if hex(&Sha256::digest(rest)).as_bytes() != sum {
            return Err("it is damaged".into());
        }
        let (head, mut values) = split(rest).ok_or("it is cut short")?;
        let head: Head = serde_json::from_slice(head).map_err(|e| e.to_string())?;
        if head.format != FORMAT {
            return Err(format!("it is in format {}, and this version reads {FORMAT}", head.format));
        }
        if head.identity != self.identity {
            return Err("it is of another cell".into());
        }
        let numbers = (1..=epochs).zip(&head.curves).all(|(number, epoch)| number == epoch.epoch);
        if head.curves.is_empty() || head.curves.len() > epochs as usize || !numbers {
            return Err(format!("it is of {} epochs, and the cell has {epochs}", head.curves.len()));
        }
        let mut state = Vec::with_capacity(head.tensors.len());
        for (name, shape) in head.tensors {
            let length = shape
                .iter()
                .try_fold(4usize, |all, &extent| all.checked_mul(extent))
                .filter(|length| *length <= values.len())
                .ok_or("it is cut short")?;
            let (own, others) = values.split_at(length);
            values = others;
            let (numbers, _) = own.as_chunks::<4>();
            state.push(Tensor {
                name,
                shape,
                values: numbers.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            });
        }
        Ok(Checkpoint { curves: head.curves, seconds: head.seconds, state })
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Place {
        Place { path: folder.join("checkpoints/a"), identity: "12ab".into(), every: 1 }
    }

    fn checkpoint() -> Checkpoint {
        let epoch = |epoch| Epoch {
            epoch,
            running_loss: 0.1 + 0.2,
            running_accuracy: 1.0 / 3.0,
            penalty: 5e-324,
            validation_loss: None,
            validation_accuracy: Some(0.7),
        };
        let tensor = |name: &str, shape: &[usize], values: &[f32]| Tensor {
            name: name.into(),
            shape: shape.into(),
            values: values.into(),
        };
        Checkpoint {
            curves: vec![epoch(1), epoch(2)],
            seconds: 1.5,
            state: vec![
                tensor("recurrent", &[1, 2, 2], &[0.1, -0.0, f32::MIN_POSITIVE, 1e30]),
                tensor("bias", &[0], &[]),
                // A number may be kept as the bits of an f32 that is none.
                tensor("optimizer.updates", &[1], &[f32::from_bits(0x7f80_0001)]),
            ],
        }
    }

    fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
        checkpoint.state.iter().flat_map(|t| &t.values).map(|v| v.to_bits()).collect()
    }

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let here = tempfile::tempdir().unwrap();
        let place = place(here.path());
        assert!(place.load(5).is_none());
        for _ in 0..2 {
            place.save(&checkpoint());
        }
        let found = place.load(5).unwrap();
        assert_eq!(found.curves, checkpoint().curves);
        assert_eq!(bits(&found), bits(&checkpoint()));
        let names =
            |c: &Checkpoint| c.state.iter().map(|t| (t.name.clone(), t.shape.clone())).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&checkpoint()));
        assert_eq!(fs::read_dir(here.path().join("checkpoints")).unwrap().count(), 1);
    }

    #[test]
    fn what_is_foreign_or_damaged_is_removed() {
        let here = tempfile::tempdir().unwrap();
        let place = place(here.path());
        place.save(&checkpoint());
        let whole = fs::read(&place.path).unwrap();
        for length in [0, 10, 70, whole.len() - 1] {
            fs::write(&place.path, &whole[..length]).unwrap();
            assert!(place.load(5).is_none(), "{length}");
            assert!(!place.path.exists());
        }
        for at in [0, 64, 80, whole.len() - 1] {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&place.path, &bad).unwrap();
            assert!(place.load(5).is_none(), "{at}");
        }
        fs::write(&place.path, &whole).unwrap();
        assert!(Place { identity: "other".into(), ..place.clone() }.load(5).is_none());
        // Of a longer training than the cell has.
        fs::write(&place.path, &whole).unwrap();
        assert!(place.load(1).is_none());
        fs::write(&place.path, &whole).unwrap();
        assert!(place.load(2).is_some());
    }

    #[test]
    fn checkpoints_fall_due_as_told() {
        let at = |every, epoch| Place { path: "a".into(), identity: String::new(), every }.is_due(epoch);
        assert!(at(1, 1) && at(3, 6) && !at(3, 4) && !at(0, 3));
    }
}
