//! The trials of a training's splits.

use pallium_core::{Batch, Error, Result, Split, Task, TaskInfo, random};
use pallium_record::spec::CellSpec;

/// The trials of the three splits.
pub(super) struct Trials {
    pub train: Batch,
    pub validation: Batch,
    pub test: Batch,
}

impl Trials {
    pub fn draw(spec: &CellSpec, task: &mut dyn Task, info: &TaskInfo) -> Result<Self> {
        let training = &spec.training;
        let mut of =
            |split: Split, count: usize| draw(spec, task, info, split, count, spec.trial_seed(split.name()));
        Ok(Trials {
            train: of(Split::Train, training.trials)?,
            validation: of(Split::Validation, training.validation)?,
            test: of(Split::Test, training.test)?,
        })
    }

    /// New training trials for `epoch`, counted from 1; those of the first epoch
    /// are the ones that [`Trials::draw`] drew.
    pub fn renew(&mut self, spec: &CellSpec, task: &mut dyn Task, info: &TaskInfo, epoch: u32) -> Result<()> {
        let seed = match epoch {
            0 | 1 => spec.trial_seed("train"),
            _ => random::derive(spec.trial_seed("train"), u64::from(epoch), "fresh trials"),
        };
        self.train = draw(spec, task, info, Split::Train, spec.training.trials, seed)?;
        Ok(())
    }

    pub fn all(&self) -> [&Batch; 3] {
        [&self.train, &self.validation, &self.test]
    }
}

/// `count` trials of a split.
pub(super) fn draw(
    spec: &CellSpec,
    task: &mut dyn Task,
    info: &TaskInfo,
    split: Split,
    count: usize,
    seed: u64,
) -> Result<Batch> {
    if count == 0 {
        return Ok(Batch::zeros(0, info.steps, info.inputs));
    }
    let batch = task.trials_of(split, count, seed).and_then(|batch| {
        batch.check(info)?;
        if batch.trials() != count {
            return Err(Error::plugin(format!("{} trials instead of {count}", batch.trials())));
        }
        let scored = |mask: ndarray::ArrayView2<'_, f32>| mask.iter().any(|&m| m > 0.0);
        if !scored(batch.mask.view()) || !scored(batch.accuracy_mask()) {
            return Err(Error::plugin("no step of any trial is scored"));
        }
        Ok(batch)
    });
    batch.map_err(|e| e.context(format!("{} trials of `{}`", split.name(), spec.task_component.id)))
}
