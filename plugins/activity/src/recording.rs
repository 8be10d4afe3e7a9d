//! Recorded activity.

use std::collections::BTreeMap;

use pallium_core::ndarray::{ArrayView1, ArrayView3, s};
use pallium_core::prelude::*;

/// Hidden activity of some trials.
pub struct Recording<'a> {
    /// steps × trials × N.
    values: ArrayView3<'a, f32>,
    /// Steps of each trial.
    lengths: Vec<usize>,
    /// Condition of each trial.
    conditions: &'a [u32],
}

impl<'a> Recording<'a> {
    /// The recording of a network.
    ///
    /// # Errors
    /// If nothing was recorded, if its parts have different numbers of
    /// trials, or if activity is not finite.
    pub fn new(network: &Network<'a>) -> Result<Self> {
        let values = network.activity.ok_or_else(|| {
            Error::input("no activity was recorded").help(
                "this metric measures the activity of a trained network: name it in [metrics] of an experiment",
            )
        })?;
        let (steps, trials, _) = values.dim();
        let conditions = network.conditions;
        // An older host does not send lengths.
        let lengths = match network.lengths {
            [] => vec![steps; trials],
            lengths => lengths.iter().map(|&l| (l as usize).min(steps)).collect(),
        };
        if lengths.len() != trials || conditions.len() != trials {
            return Err(Error::input(format!(
                "activity of {trials} trials came with {} lengths and {} conditions",
                lengths.len(),
                conditions.len()
            )));
        }
        let bad =
            |&((step, trial, _), h): &((usize, usize, usize), &f32)| step < lengths[trial] && !h.is_finite();
        if let Some(((step, trial, neuron), h)) = values.indexed_iter().find(bad) {
            return Err(Error::input(format!(
                "activity is {h} at step {step} of trial {trial} in neuron {neuron}"
            )));
        }
        Ok(Recording { values, lengths, conditions })
    }

    /// Number of neurons.
    pub fn neurons(&self) -> usize {
        self.values.dim().2
    }

    /// Number of steps of the longest trial.
    pub fn steps(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Trials that last beyond `step`.
    pub fn trials_at(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.lengths.len()).filter(move |&trial| step < self.lengths[trial])
    }

    /// Activity of all neurons.
    pub fn at(&self, step: usize, trial: usize) -> ArrayView1<'_, f32> {
        self.values.slice(s![step, trial, ..])
    }

    /// A trial's condition.
    pub fn condition(&self, trial: usize) -> u32 {
        self.conditions[trial]
    }

    /// For each trial with at least one step, its condition and each neuron's
    /// mean over its steps.
    pub fn means(&self) -> Vec<(u32, Vec<f64>)> {
        let trials = (0..self.lengths.len()).filter(|&trial| self.lengths[trial] > 0);
        trials
            .map(|trial| {
                let mut mean = vec![0.0; self.neurons()];
                for step in 0..self.lengths[trial] {
                    mean.iter_mut().zip(self.at(step, trial)).for_each(|(sum, &h)| *sum += f64::from(h));
                }
                mean.iter_mut().for_each(|sum| *sum /= self.lengths[trial] as f64);
                (self.conditions[trial], mean)
            })
            .collect()
    }
}

/// Number and sum of vectors for each condition.
#[derive(Default)]
pub struct ByCondition(pub BTreeMap<u32, (f64, Vec<f64>)>);

impl ByCondition {
    /// Adds a vector of `length` values.
    pub fn add(&mut self, condition: u32, length: usize, values: impl IntoIterator<Item = f64>) {
        let (count, sums) = self.0.entry(condition).or_insert_with(|| (0.0, vec![0.0; length]));
        *count += 1.0;
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}

/// The mean; NaN without values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    sum / count
}
