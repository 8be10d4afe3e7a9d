//! The scored steps of the trials of one thread.

use std::cmp::Ordering;
use std::ops::Range;

use pallium_core::ndarray::{Array1, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};
use pallium_core::prelude::*;

use crate::elementwise::add;
use crate::readout::{Readout, ReadoutGradient};

/// A scored step of a trial.
struct ScoredStep {
    step: usize,
    /// Index within the part.
    trial: usize,
    /// Row of the model's outputs.
    row: usize,
}

/// The trials that one thread scores.
#[derive(Default)]
pub(crate) struct Scoring {
    /// The trials of the batch.
    trials: Range<usize>,
    /// Number of steps of each trial.
    lengths: Vec<usize>,
    /// The scored steps, ordered by step, then by trial.
    scored: Vec<ScoredStep>,
    /// The row of the states for each trial.
    rows: Vec<usize>,
    /// The trial that each row is computed from.
    firsts: Vec<usize>,
    /// The rows, ordered so that similar trials are adjacent.
    order: Vec<u32>,
    /// Hidden states that wait for the read-out.
    pending: Vec<f32>,
    /// Outputs of the scored steps of the last pass, scored × outputs.
    outputs: Vec<f32>,
    /// Gradients of the read-out from the last backward pass.
    pub readout: ReadoutGradient,
}

impl Scoring {
    /// Selects `trials` of `batch`.
    pub fn assign(&mut self, batch: &BatchView<'_>, trials: Range<usize>) {
        self.lengths.clear();
        self.lengths.extend(batch.lengths[trials.clone()].iter().map(|&l| l as usize));
        self.scored.clear();
        for (row, at) in batch.scored().enumerate() {
            if let Some(trial) = at.trial.checked_sub(trials.start).filter(|&trial| trial < trials.len()) {
                self.scored.push(ScoredStep { step: at.step, trial, row });
            }
        }
        self.outputs.clear();
        self.pending.clear();
        self.rows.clear();
        self.rows.extend(0..trials.len());
        self.firsts.clear();
        self.firsts.extend(trials.clone());
        self.trials = trials;
    }

    /// Lets trials with the same input share a row of the states: without noise
    /// they have the same activity. A task with a few kinds of trials is then
    /// as cheap to evaluate as one trial of each kind.
    pub fn share_rows(&mut self, batch: &BatchView<'_>) {
        let steps = self.scored_steps();
        let input = |trial: usize| batch.inputs.slice(s![trial, ..steps, ..]);
        self.rows.clear();
        self.firsts.clear();
        for trial in self.trials.clone() {
            let known = self.firsts.iter().position(|&first| input(first) == input(trial));
            self.rows.push(known.unwrap_or(self.firsts.len()));
            if known.is_none() {
                self.firsts.push(trial);
            }
        }
    }

    /// Sorts the rows by the mean input of their trials, starting with the
    /// channel in which they differ most; see [`Scoring::order`].
    pub fn sort(&mut self, batch: &BatchView<'_>) {
        let mean = |trial: usize| {
            let length = batch.lengths[trial] as usize;
            batch.inputs.slice(s![trial, ..length, ..]).sum_axis(Axis(0)) / length.max(1) as f32
        };
        let means: Vec<Array1<f32>> = self.firsts.iter().map(|&trial| mean(trial)).collect();
        let spread = |channel: usize| {
            let of = |mean: &Array1<f32>| mean[channel];
            let (least, most) =
                means.iter().map(of).fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(x), b.max(x)));
            most - least
        };
        let mut channels: Vec<usize> = (0..batch.dim().2).collect();
        channels.sort_by(|&a, &b| spread(b).total_cmp(&spread(a)));
        self.order.clear();
        self.order.extend(0..self.firsts.len() as u32);
        self.order.sort_by(|&a, &b| {
            let [a, b] = [a, b].map(|row| &means[row as usize]);
            let orders = channels.iter().map(|&channel| a[channel].total_cmp(&b[channel]));
            orders.fold(Ordering::Equal, Ordering::then)
        });
    }

    /// The rows of the states, ordered by [`Scoring::sort`] so that similar
    /// trials are adjacent.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Writes the inputs at `step` of the trials that the rows are computed
    /// from, each followed by a 1: rows × (C + 1).
    pub fn fill_inputs(&self, batch: &BatchView<'_>, step: usize, inputs: &mut [f32]) {
        let channels = batch.dim().2;
        for (row, &trial) in inputs.chunks_exact_mut(channels + 1).zip(&self.firsts) {
            for (channel, value) in row[..channels].iter_mut().enumerate() {
                *value = batch.inputs[[trial, step, channel]];
            }
            row[channels] = 1.0;
        }
    }

    /// The trials of the batch that the rows of the states are computed from.
    pub fn firsts(&self) -> &[usize] {
        &self.firsts
    }

    /// Number of trials.
    pub fn count(&self) -> usize {
        self.trials.len()
    }

    /// Number of steps until every trial has ended.
    pub fn steps(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Sets the rows of trials that ended before `step` to 0.
    pub fn silence(&self, step: usize, rows: &mut [f32], neurons: usize) {
        for (row, &length) in rows.chunks_exact_mut(neurons).zip(&self.lengths) {
            if length <= step {
                row.fill(0.0);
            }
        }
    }

    /// Passes the states (rows × N) that are scored at `step` to the read-out,
    /// starting at `cursor`.
    pub fn read(&mut self, step: usize, states: &[f32], readout: &Readout, cursor: &mut usize) -> Result<()> {
        let neurons = states.len() / self.firsts.len();
        while let Some(ScoredStep { trial, .. }) =
            self.scored.get(*cursor).filter(|scored| scored.step == step)
        {
            self.pending.extend_from_slice(&states[self.rows[*trial] * neurons..][..neurons]);
            *cursor += 1;
            if self.pending.len() == readout.rows() * neurons {
                self.flush(readout)?;
            }
        }
        Ok(())
    }

    /// Computes the outputs of the states that wait.
    pub fn flush(&mut self, readout: &Readout) -> Result<()> {
        readout.outputs(&self.pending, &mut self.outputs)?;
        self.pending.clear();
        Ok(())
    }

    /// Copies the outputs of the last pass to their rows of the model's outputs.
    pub fn write_outputs(&self, outputs: &mut ArrayViewMut2<'_, f32>) {
        let width = outputs.ncols();
        for (scored, from) in self.scored.iter().zip(self.outputs.chunks_exact(width)) {
            outputs.row_mut(scored.row).iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }

    /// Computes the read-out's gradients from those in the model's outputs, with
    /// the hidden states (steps × trials × N) of the last training pass.
    pub fn differentiate(
        &mut self,
        readout: &Readout,
        hidden: ArrayView3<'_, f32>,
        outputs: ArrayView2<'_, f32>,
    ) -> Result<()> {
        self.readout.start(readout);
        let mut in_outputs = Vec::new();
        // In the same groups as in the forward pass.
        for group in self.scored.chunks(readout.rows()) {
            self.pending.clear();
            in_outputs.clear();
            for scored in group {
                let state = hidden.slice_move(s![scored.step, scored.trial, ..]);
                self.pending.extend_from_slice(state.as_slice().ok_or_else(crate::recurrence::gaps)?);
                in_outputs.extend(outputs.row(scored.row));
            }
            self.readout.add(readout, &self.pending, &in_outputs);
        }
        self.pending.clear();
        Ok(())
    }

    /// The trials of the batch.
    pub fn trials(&self) -> Range<usize> {
        self.trials.clone()
    }

    /// Number of steps up to the last scored one.
    pub fn scored_steps(&self) -> usize {
        self.scored.last().map_or(0, |last| last.step + 1)
    }

    /// Number of steps that a gradient may reach: up to the last scored one, or
    /// all if there is a gradient of the activity.
    pub fn gradient_steps(&self, activity: bool) -> usize {
        if activity { self.steps() } else { self.scored_steps() }
    }

    /// Number of scored steps of all trials.
    pub fn scored(&self) -> usize {
        self.scored.len()
    }

    /// Whether any trial is scored at `step`; `cursor` as for
    /// [`Scoring::add_gradient`].
    pub fn is_scored(&self, step: usize, cursor: usize) -> bool {
        cursor.checked_sub(1).is_some_and(|last| self.scored[last].step == step)
    }

    /// Adds the read-out's gradient with respect to the states at `step` to
    /// `delta` (trials × N). `cursor` starts at [`Scoring::scored`]; steps must
    /// descend.
    pub fn add_gradient(&self, step: usize, delta: &mut [f32], neurons: usize, cursor: &mut usize) {
        while let Some(index) = cursor.checked_sub(1).filter(|&i| self.scored[i].step == step) {
            let row = &mut delta[self.scored[index].trial * neurons..][..neurons];
            add(row, &self.readout.states[index * neurons..][..neurons]);
            *cursor = index;
        }
    }
}
