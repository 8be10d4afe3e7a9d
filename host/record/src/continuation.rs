//! More epochs of a finished training: whether it can continue from its stored state
//! instead of starting again.
//!
//! A training with more epochs begins exactly like the one with fewer if nothing
//! in it depends on the number of epochs. Only the cosine schedule does.

use std::fs;
use std::path::PathBuf;

use pallium_core::Result;

use crate::checkpoint::{self, Checkpoint};
use crate::identity::{Cell, essence};
use crate::outcome::Status;
use crate::results;
use crate::spec::{CellSpec, Order, ScheduleKind, Training};
use crate::store::{STATE, Store};
use crate::training::TrainingFile;

/// A finished training that differs from another only in having fewer epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// The other one continues from its state.
    From {
        /// Its folder.
        folder: PathBuf,
        /// Its identity.
        identity: String,
        /// Its number of epochs.
        epochs: u32,
    },
    /// The other one has to start again.
    Impossible {
        /// Its number of epochs.
        epochs: u32,
        /// Why.
        why: &'static str,
    },
}

impl Continuation {
    /// The state to continue from, with the duration of the training so far.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub fn load(&self) -> Result<Checkpoint, String> {
        let Continuation::From { folder, identity, epochs } = self else {
            return Err("it cannot be continued".into());
        };
        let bytes = fs::read(folder.join(STATE)).map_err(|e| e.to_string())?;
        let state = checkpoint::decode(&bytes, identity, *epochs)?;
        // Durations are in their own table alone.
        let times = results::read(&folder.join("times.csv")).unwrap_or_default();
        let seconds = times.into_iter().find(|row| row.value.measure == "seconds_training");
        Ok(Checkpoint { seconds: seconds.and_then(|row| row.value.value).unwrap_or_default(), ..state })
    }
}

impl Store {
    /// The finished training that differs from that of `cell` only in having fewer
    /// epochs; of several, the longest whose state is stored.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn continuation(&self, cell: &Cell) -> Result<Option<Continuation>> {
        // A folder's name ends with run and identity: variants and tasks may have been
        // renamed, and the run cannot.
        let run = format!(".{:03}", cell.spec.run);
        let names = self.trainings()?.into_iter();
        let alike = names.filter(|name| name.rsplit_once('.').is_some_and(|(head, _)| head.ends_with(&run)));
        let rank = |file: &TrainingFile| (file.folder.join(STATE).exists(), file.spec.training.epochs);
        let mut best: Option<TrainingFile> = None;
        for name in alike {
            // Another process may be working on the folder.
            let Ok(file) = TrainingFile::read(&self.cells().join(name)) else { continue };
            let epochs = file.spec.training.epochs;
            let shorter = file.status == Status::Ok && epochs < cell.spec.training.epochs;
            if !shorter || best.as_ref().is_some_and(|best| rank(&file) <= rank(best)) {
                continue;
            }
            let training = Training { epochs, ..cell.spec.training.clone() };
            if essence(&CellSpec { training, ..cell.spec.clone() }, &cell.inputs)? == file.identity {
                best = Some(file);
            }
        }
        Ok(best.map(|file| {
            let epochs = file.spec.training.epochs;
            let why = match file.spec.training.schedule.kind {
                ScheduleKind::Cosine { .. } => "a cosine schedule depends on the number of epochs",
                _ if file.spec.members.as_ref().is_some_and(|members| members.order == Order::Sequential) => {
                    "the epochs of each of several sequential tasks depend on the number of epochs"
                }
                _ if !file.folder.join(STATE).exists() => {
                    "their states are not stored (`training.keep_state = false`, or restored with --finished)"
                }
                _ => return Continuation::From { folder: file.folder, identity: file.identity, epochs },
            };
            Continuation::Impossible { epochs, why }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Schedule;
    use crate::testing::{cell_of, spec, trained};

    fn with(epochs: u32, kind: ScheduleKind) -> CellSpec {
        let schedule = Schedule { kind, ..Schedule::default() };
        CellSpec { training: Training { epochs, schedule, ..spec().training }, ..spec() }
    }

    fn finish(store: &Store, spec: CellSpec, keep_state: bool) {
        let cell = cell_of(spec);
        let trained = trained();
        let trained = match keep_state {
            true => trained,
            false => crate::training::Trained { state: None, ..trained },
        };
        let unfinished = store.write(&cell, &trained, "corrected").unwrap();
        store.commit(&cell, &unfinished, "").unwrap();
    }

    #[test]
    fn only_a_training_that_is_shorter_and_otherwise_the_same_is_continued() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        let of = |spec: CellSpec| store.continuation(&cell_of(spec)).unwrap();
        let constant = |epochs| with(epochs, ScheduleKind::Constant);
        assert_eq!(of(constant(5)), None);
        finish(&store, constant(2), true);
        let found = of(constant(5)).unwrap();
        assert!(matches!(found, Continuation::From { epochs: 2, .. }), "{found:?}");
        let state = found.load().unwrap();
        assert_eq!(state.state, trained().state.unwrap().state);
        assert_eq!(of(constant(2)), None);
        assert_eq!(of(constant(1)), None);
        assert_eq!(of(CellSpec { seed: 8, ..constant(5) }), None);
        assert_eq!(of(CellSpec { run: 1, ..constant(5) }), None);
        let renamed = CellSpec { variant: "another".into(), ..constant(5) };
        assert!(matches!(of(renamed), Some(Continuation::From { .. })));
        // A longer one without a state does not hide it.
        finish(&store, constant(3), false);
        assert!(matches!(of(constant(5)), Some(Continuation::From { epochs: 2, .. })));
    }

    #[test]
    fn a_training_that_cannot_be_continued_says_why() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        let cosine = |epochs| with(epochs, ScheduleKind::Cosine { to: 0.1 });
        finish(&store, cosine(2), true);
        finish(&store, with(2, ScheduleKind::Constant), false);
        for (spec, part) in [(cosine(5), "cosine"), (with(5, ScheduleKind::Constant), "keep_state")] {
            match store.continuation(&cell_of(spec)).unwrap() {
                Some(Continuation::Impossible { epochs: 2, why }) => assert!(why.contains(part), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
