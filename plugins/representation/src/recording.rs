//! The recorded trials: activity, conditions, correct answers and the network's choices.

use pallium_core::ndarray::{Array2, Axis};
use pallium_core::prelude::*;
use pallium_core::{TargetsView, largest};

/// Activity of some trials in double precision.
pub struct Recording {
    /// One matrix for each step, trials × units.
    pub steps: Vec<Array2<f64>>,
    /// Number of steps of each trial.
    pub lengths: Vec<usize>,
    /// Condition of each trial.
    pub conditions: Vec<u32>,
}

impl Recording {
    /// The recording of a network.
    ///
    /// # Errors
    /// If nothing was recorded, its parts have different numbers of trials, or activity
    /// is not finite.
    pub fn new(network: &Network<'_>) -> Result<Self> {
        let values = network.activity.ok_or_else(|| {
            Error::input("no activity was recorded").help(
                "this metric measures the activity of a trained network: name it in [metrics] of an experiment",
            )
        })?;
        let (steps, trials, _) = values.dim();
        let lengths: Vec<usize> = match network.lengths {
            [] => vec![steps; trials],
            lengths => lengths.iter().map(|&length| (length as usize).min(steps)).collect(),
        };
        if lengths.len() != trials || network.conditions.len() != trials {
            return Err(Error::input(format!(
                "activity of {trials} trials came with {} lengths and {} conditions",
                lengths.len(),
                network.conditions.len()
            )));
        }
        let bad =
            |&((step, trial, _), h): &((usize, usize, usize), &f32)| step < lengths[trial] && !h.is_finite();
        if let Some(((step, trial, unit), h)) = values.indexed_iter().find(bad) {
            return Err(Error::input(format!(
                "activity is {h} at step {step} of trial {trial} in unit {unit}"
            )));
        }
        let steps = values.outer_iter().map(|step| step.mapv(f64::from)).collect();
        Ok(Recording { steps, lengths, conditions: network.conditions.to_vec() })
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.steps.first().map_or(0, Array2::ncols)
    }

    /// Number of steps that every trial has.
    pub fn shortest(&self) -> usize {
        self.lengths.iter().copied().min().unwrap_or(0)
    }

    /// The trials that last beyond `step`.
    pub fn trials_at(&self, step: usize) -> Vec<usize> {
        (0..self.lengths.len()).filter(|&trial| step < self.lengths[trial]).collect()
    }

    /// The conditions that occur, ascending.
    pub fn kinds(&self) -> Vec<u32> {
        let mut kinds = self.conditions.clone();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The mean activity at each step of the trials of a condition that last so long,
    /// steps × units; NaN where none does.
    pub fn mean_of(&self, condition: u32) -> Array2<f64> {
        let mut mean = Array2::from_elem((self.steps.len(), self.units()), f64::NAN);
        for (step, values) in self.steps.iter().enumerate() {
            let own: Vec<usize> = self
                .trials_at(step)
                .into_iter()
                .filter(|&trial| self.conditions[trial] == condition)
                .collect();
            if let Some(own) = values.select(Axis(0), &own).mean_axis(Axis(0)) {
                mean.row_mut(step).assign(&own);
            }
        }
        mean
    }
}

/// The correct class at each trial's last scored step; `None` for trials without one,
/// and for tasks of values.
pub fn targets(network: &Network<'_>) -> Vec<Option<u32>> {
    let Some(trials) = network.trials else { return Vec::new() };
    let TargetsView::Classes(classes) = trials.targets else { return Vec::new() };
    let rows = trials.mask.outer_iter().zip(classes.outer_iter());
    rows.map(|(weights, classes)| weights.iter().rposition(|&weight| weight > 0.0).map(|step| classes[step]))
        .collect()
}

/// The network's answer at each trial's last scored step, the largest output.
pub fn choices(network: &Network<'_>) -> Vec<Option<u32>> {
    let Some(trials) = network.trials else { return Vec::new() };
    if !matches!(trials.targets, TargetsView::Classes(_)) {
        return Vec::new();
    }
    let mut found: Vec<Option<(usize, u32)>> = vec![None; trials.mask.nrows()];
    for (at, outputs) in trials.scored().zip(trials.outputs.outer_iter()) {
        let answer = largest(outputs.iter().copied());
        if found[at.trial].is_none_or(|(step, _)| step <= at.step) {
            found[at.trial] = Some((at.step, answer));
        }
    }
    found.into_iter().map(|last| last.map(|(_, answer)| answer)).collect()
}
