//! The complete state of a training: model, optimizer and curves so far.
//!
//! While a training runs, its state is stored after epochs, so that after an
//! interruption it continues and its results are bit-identical to an
//! uninterrupted run. A finished training keeps its last state as
//! `state.safetensors`, from which it can be continued.
//!
//! All random draws of a training follow from its seeds, and the noise of a
//! batch depends on the batch's number alone. So the parameters, the states of
//! model, optimizer and constraints, the number of epochs and the curves are
//! sufficient.
//!
//! The file is a safetensors file with these tensors. Its metadata
//! hold the identity of the training, the curves, the seconds so far, the order
//! of the tensors and a SHA-256 of all of these. The file is replaced in one
//! step but not forced to disk: after a power failure the hash does not match,
//! and the training starts again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result, Tensor};
use pallium_files::hash::hex;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::durable;
use crate::outcome::Epoch;
use crate::safetensors_file::{from_bytes, of_tensors, to_bytes, with_metadata};

/// Kind of file and version of its format.
const KIND: &str = "pallium training state 3";

/// The state of a training after an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// One entry per completed epoch.
    pub curves: Vec<Epoch>,
    /// Duration of these epochs, in seconds.
    pub seconds: f64,
    /// The model's state.
    pub state: Vec<Tensor>,
}

/// The file of a training's checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    /// Path of the file.
    pub path: PathBuf,
    /// Identity of the training.
    pub identity: String,
    /// Number of epochs between checkpoints; 0 for never.
    pub every: u32,
}

impl CheckpointFile {
    /// Whether a checkpoint is due after `epoch`.
    pub fn is_due(&self, epoch: u32) -> bool {
        self.every > 0 && epoch.is_multiple_of(self.every)
    }

    /// The checkpoint, if there is one that is complete, belongs to this
    /// training and has at most `epochs` epochs. One that cannot be used is
    /// logged and removed.
    pub fn load(&self, epochs: u32) -> Option<Checkpoint> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                self.reject(&e.to_string());
                return None;
            }
        };
        match decode(&bytes, &self.identity, epochs) {
            Ok(checkpoint) => Some(checkpoint),
            Err(why) => {
                self.reject(&why);
                None
            }
        }
    }

    /// Logs why the checkpoint is not used, and removes it.
    pub fn reject(&self, why: &str) {
        tracing::warn!(
            "the checkpoint {} is not used, so the training starts again: {why}",
            self.path.display()
        );
        if let Err(e) = fs::remove_file(&self.path) {
            tracing::debug!("{}: {e}", self.path.display());
        }
    }

    /// Replaces the checkpoint. A training can finish without one, so an error
    /// is only logged.
    pub fn save(&self, checkpoint: &Checkpoint) {
        let saved = encode(checkpoint, &self.identity).and_then(|bytes| self.replace(&bytes));
        if let Err(error) = saved {
            tracing::warn!("cannot write the checkpoint of epoch {}: {error}", checkpoint.curves.len());
        }
    }

    fn replace(&self, bytes: &[u8]) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let write = || {
            fs::create_dir_all(folder)?;
            let mut file = durable::temporary(0o666).tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.persist(&self.path).map_err(|e| e.error).map(drop)
        };
        write().map_err(|e| Error::io(&self.path, &e))
    }
}

/// The bytes of a state file.
///
/// # Errors
/// If two tensors have one name, or one does not have the shape it states.
pub fn encode(checkpoint: &Checkpoint, identity: &str) -> Result<Vec<u8>> {
    let wrong = |what: &dyn std::fmt::Display| Error::plugin(format!("a training's state: {what}"));
    let text = |value: serde_json::Result<String>| value.map_err(|e| wrong(&e));
    let curves = text(serde_json::to_string(&checkpoint.curves))?;
    let seconds = text(serde_json::to_string(&checkpoint.seconds))?;
    let names: Vec<&str> = checkpoint.state.iter().map(|tensor| tensor.name.as_str()).collect();
    let order = text(serde_json::to_string(&names))?;
    let sum = sum([identity, &seconds, &curves], &checkpoint.state)?;
    let file = of_tensors("a training's state", &checkpoint.state)?;
    let about = BTreeMap::from([
        ("curves", curves.as_str()),
        ("format", KIND),
        ("identity", identity),
        ("order", &order),
        ("seconds", &seconds),
        ("sha256", &sum),
    ]);
    with_metadata(&file, &about)
}

/// Reads a state file of the training `identity` with at most `epochs` epochs.
///
/// # Errors
/// The reason why it cannot be used.
pub fn decode(bytes: &[u8], identity: &str, epochs: u32) -> Result<Checkpoint, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("it is damaged: {e}"))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format!("it is damaged: {e}"))?;
    let about = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| about.get(key).map(String::as_str).unwrap_or_default();
    if entry("format") != KIND {
        return Err(format!("its format is `{}`, and this version reads `{KIND}`", entry("format")));
    }
    if entry("identity") != identity {
        return Err("it belongs to another training".into());
    }
    let curves: Vec<Epoch> = serde_json::from_str(entry("curves")).map_err(|e| e.to_string())?;
    let seconds = serde_json::from_str(entry("seconds")).map_err(|e| e.to_string())?;
    let names: Vec<String> = serde_json::from_str(entry("order")).map_err(|e| e.to_string())?;
    let mut state = Vec::with_capacity(names.len());
    for name in names {
        let view = file.tensor(&name).map_err(|e| e.to_string())?;
        let values = from_bytes(view.dtype(), view.data())
            .ok_or_else(|| format!("tensor `{name}` has type {:?}", view.dtype()))?;
        state.push(Tensor::new(name, view.shape(), values));
    }
    let found = sum([identity, entry("seconds"), entry("curves")], &state).map_err(|e| e.to_string())?;
    if entry("sha256") != found {
        return Err("it is damaged".into());
    }
    let numbers = (1..=epochs).zip(&curves).all(|(number, epoch)| number == epoch.epoch);
    if curves.is_empty() || curves.len() > epochs as usize || !numbers {
        return Err(format!("it has {} epochs, and the training has {epochs}", curves.len()));
    }
    Ok(Checkpoint { curves, seconds, state })
}

/// SHA-256 of everything that is read from the file.
fn sum(texts: [&str; 3], state: &[Tensor]) -> Result<String> {
    let mut sum = Sha256::new();
    for text in texts {
        sum.update(format!("{} {text}\n", text.len()));
    }
    for tensor in state {
        sum.update(format!("{} {:?}\n", tensor.name, tensor.shape));
        sum.update(to_bytes(&tensor.values)?.1);
    }
    Ok(hex(&sum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> CheckpointFile {
        CheckpointFile { path: folder.join("checkpoints/a"), identity: "12ab".into(), every: 1 }
    }

    fn checkpoint() -> Checkpoint {
        let epoch = |epoch| Epoch {
            epoch,
            running_loss: 0.1 + 0.2,
            running_accuracy: Some(1.0 / 3.0),
            penalty: 5e-324,
            validation_loss: None,
            validation_accuracy: Some(0.7),
            ..Epoch::default()
        };
        Checkpoint {
            curves: vec![epoch(1), epoch(2)],
            seconds: 1.5,
            state: vec![
                Tensor::new("recurrent", [1, 2, 2], vec![0.1, -0.0, f32::MIN_POSITIVE, 1e30]),
                Tensor::new("bias", [0], Vec::<f32>::new()),
                Tensor::new("sum", [2], vec![0.1_f64, 5e-324]),
                Tensor::new("updates", [1], vec![u64::MAX]),
                // The bits of a NaN are kept, too.
                Tensor::new("odd", [1], vec![f32::from_bits(0x7f80_0001)]),
            ],
        }
    }

    fn bits(checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
        checkpoint.state.iter().map(|tensor| to_bytes(&tensor.values).unwrap().1).collect()
    }

    #[test]
    fn a_state_is_read_back_bit_for_bit() {
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
    fn a_foreign_or_damaged_checkpoint_is_removed() {
        let here = tempfile::tempdir().unwrap();
        let place = place(here.path());
        place.save(&checkpoint());
        let bytes = fs::read(&place.path).unwrap();
        for length in [0, 7, 70, bytes.len() - 1] {
            fs::write(&place.path, &bytes[..length]).unwrap();
            assert!(place.load(5).is_none(), "{length}");
            assert!(!place.path.exists());
        }
        for at in [0, 64, 400, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&place.path, &bad).unwrap();
            assert!(place.load(5).is_none(), "{at}");
        }
        fs::write(&place.path, &bytes).unwrap();
        assert!(CheckpointFile { identity: "other".into(), ..place.clone() }.load(5).is_none());
        // A checkpoint with more epochs than the training.
        fs::write(&place.path, &bytes).unwrap();
        assert!(place.load(1).is_none());
        fs::write(&place.path, &bytes).unwrap();
        assert!(place.load(2).is_some());
    }

    #[test]
    fn checkpoints_are_due_at_multiples_of_the_interval() {
        let at =
            |every, epoch| CheckpointFile { path: "a".into(), identity: String::new(), every }.is_due(epoch);
        assert!(at(1, 1) && at(3, 6) && !at(3, 4) && !at(0, 3));
    }
}
