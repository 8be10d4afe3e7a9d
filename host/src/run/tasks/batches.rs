//! Batches of trials: drawn, selected and joined.

use ndarray::{ArrayView2, Axis, s};
use pallium_core::{Batch, BatchView, Error, Result, Split, Targets, TargetsView, Task, TaskInfo};

/// Trials of a task, checked.
pub(super) fn drawn(
    task: &mut dyn Task,
    info: &TaskInfo,
    split: Split,
    count: usize,
    seed: u64,
) -> Result<Batch> {
    let batch = task.trials_of(split, count, seed)?;
    batch.check(info)?;
    if batch.trials() != count {
        return Err(Error::plugin(format!("{} trials instead of {count}", batch.trials())));
    }
    let scored = |mask: ArrayView2<'_, f32>| mask.iter().any(|&m| m > 0.0);
    if !scored(batch.mask.view()) || !scored(batch.accuracy_mask()) {
        return Err(Error::plugin("no step of any trial is scored"));
    }
    Ok(batch)
}

/// A copy of a batch.
pub(super) fn select_all(batch: &BatchView<'_>) -> Batch {
    select(batch, &(0..batch.lengths.len()).collect::<Vec<_>>())
}

/// Some trials of a batch.
pub(super) fn select(batch: &BatchView<'_>, trials: &[usize]) -> Batch {
    let (_, steps, channels) = batch.dim();
    let mut out = Batch::zeros(trials.len(), steps, channels);
    out.inputs = batch.inputs.select(Axis(0), trials);
    out.targets = match batch.targets {
        TargetsView::Values(values) => Targets::Values(values.select(Axis(0), trials)),
        other => match other.classes() {
            Ok(classes) => Targets::Classes(classes.select(Axis(0), trials)),
            Err(_) => out.targets,
        },
    };
    out.mask = batch.mask.select(Axis(0), trials);
    out.lengths = trials.iter().map(|&trial| batch.lengths[trial]).collect();
    out.conditions = trials.iter().map(|&trial| batch.conditions[trial]).collect();
    out
}

/// Trials of several batches, each given by its batch and its place there, as one
/// batch; shorter ones are padded. The batches have the same channels and kind of
/// targets.
pub(in crate::run) fn gather(batches: &[Batch], places: &[(usize, usize)]) -> Batch {
    let of = |&(at, _): &(usize, usize)| &batches[at];
    let steps = places.iter().map(|place| of(place).inputs.dim().1).max().unwrap_or(0);
    let channels = places.first().map_or(0, |place| of(place).inputs.dim().2);
    let mut out = match places.first().map(|place| &of(place).targets) {
        Some(Targets::Values(values)) => Batch::of_values(places.len(), steps, channels, values.dim().2),
        _ => Batch::zeros(places.len(), steps, channels),
    };
    if places.iter().any(|place| of(place).scored.is_some()) {
        out.scored = Some(out.mask.clone());
    }
    for (trial, place) in places.iter().enumerate() {
        let (from, at) = (of(place), place.1);
        let own = from.inputs.dim().1;
        out.inputs.slice_mut(s![trial, ..own, ..]).assign(&from.inputs.index_axis(Axis(0), at));
        out.mask.slice_mut(s![trial, ..own]).assign(&from.mask.row(at));
        if let Some(scored) = &mut out.scored {
            scored.slice_mut(s![trial, ..own]).assign(&from.accuracy_mask().row(at));
        }
        match (&mut out.targets, &from.targets) {
            (Targets::Classes(to), Targets::Classes(from)) => {
                to.slice_mut(s![trial, ..own]).assign(&from.row(at));
            }
            (Targets::Values(to), Targets::Values(from)) => {
                to.slice_mut(s![trial, ..own, ..]).assign(&from.index_axis(Axis(0), at));
            }
            _ => {}
        }
        out.lengths[trial] = from.lengths[at];
        out.conditions[trial] = from.conditions[at];
    }
    out
}
