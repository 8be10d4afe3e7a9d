//! Checks of how a task reacts to answers.

use ndarray::{Array2, Array3, ArrayView3, Axis, Slice};

use super::{built, count};
use crate::common::orderly;
use crate::toy::uniform;
use crate::{Note, Subject, broken, passed, skipped};
use pallium_core::{Batch, Error, Result, Targets};

pub(super) fn react(subject: &Subject<'_>) -> Result<Note> {
    let mut task = built(subject)?;
    let info = task.info();
    if info.reacts.is_empty() {
        return skipped("stimuli do not depend on answers");
    }
    info.check()?;
    let mut batch = task.trials(count(&info, 60), 5)?;
    let trials = batch.trials();
    let answers = |number: u64| -> Result<Array2<f32>> {
        let values = uniform(number, "testkit answers", trials * info.outputs);
        Array2::from_shape_vec((trials, info.outputs), values).map_err(|e| Error::bug(e.to_string()))
    };
    let mut depends = false;
    for (number, &step) in info.reacts.iter().enumerate() {
        let (one, other) = (answers(2 * number as u64)?, answers(2 * number as u64 + 1)?);
        let changed = task.react(batch.clone(), step, one.view())?;
        changed.check(&info)?;
        if changed.inputs.dim() != batch.inputs.dim()
            || changed.lengths != batch.lengths
            || changed.conditions != batch.conditions
            || content(&changed, ..=step) != content(&batch, ..=step)
        {
            return Err(Error::plugin(format!("the reaction to step {step} changes more than later steps"))
                .help("change inputs, targets and weights of later steps, and nothing else"));
        }
        let all = |batch: &Batch| content(batch, ..info.steps);
        depends |= all(&task.react(batch.clone(), step, other.view())?) != all(&changed);
        for (what, again) in [
            ("a second call", task.react(batch.clone(), step, one.view())?),
            ("another instance", built(subject)?.react(batch.clone(), step, one.view())?),
        ] {
            if all(&again) != all(&changed) {
                return Err(Error::plugin(format!("{what} reacts to the same answers otherwise")).help(
                    "draw what chance decides with the trial, and react by the batch and the answers alone",
                ));
            }
        }
        let odd = Array2::from_elem((trials, info.outputs), f32::NAN);
        orderly(
            "answers that are not finite",
            built(subject)?.react(batch.clone(), step, odd.view()).map(drop),
        )?;
        batch = changed;
    }
    if !depends {
        return broken("it states that it reacts to answers, but no answer changes anything");
    }
    passed(format!("{} reactions in a trial", info.reacts.len()))
}

/// Inputs, targets and mask of some steps. Targets of steps that are not scored may be
/// NaN, so bits are compared.
fn content(batch: &Batch, steps: impl Into<Slice>) -> (Array3<u32>, Array3<u32>, Array2<u32>) {
    let steps: Slice = steps.into();
    let bits = |values: ArrayView3<'_, f32>| {
        let mut values = values.mapv(f32::to_bits);
        values.slice_axis_inplace(Axis(1), steps);
        values
    };
    let targets = match &batch.targets {
        Targets::Values(values) => bits(values.view()),
        Targets::Classes(classes) => classes.slice_axis(Axis(1), steps).insert_axis(Axis(2)).to_owned(),
        _ => Array3::zeros((0, 0, 0)),
    };
    let mask = batch.mask.slice_axis(Axis(1), steps).mapv(f32::to_bits);
    (bits(batch.inputs.view()), targets, mask)
}
