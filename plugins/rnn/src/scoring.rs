//! The scored steps of the trials of one thread.

use std::cmp::Ordering;
use std::ops::Range;

use pallium_core::ndarray::{Array1, Axis, s};
use pallium_core::prelude::*;

use crate::elementwise::add;
use crate::readout::{Pending, Readout, ReadoutGradient, Score};

/// A step of a trial that counts in the loss.
struct Scored {
    step: usize,
    /// Index within the part.
    trial: usize,
    class: u32,
    weight: f32,
}

/// The trials that one thread scores.
#[derive(Default)]
pub(crate) struct Scoring {
    /// The trials of the batch.
    trials: Range<usize>,
    /// Number of steps of each trial.
    lengths: Vec<usize>,
    /// The scored steps, ordered by step, then by trial.
    scored: Vec<Scored>,
    /// The row of the states for each trial.
    rows: Vec<usize>,
    /// The trial that each row is computed from.
    firsts: Vec<usize>,
    /// The rows, ordered so that similar trials are adjacent.
    order: Vec<u32>,
    pending: Pending,
    /// Gradients of the read-out from the last training pass.
    pub readout: ReadoutGradient,
}

impl Scoring {
    /// Selects `trials` of `batch`.
    pub fn assign(&mut self, batch: &BatchView<'_>, trials: Range<usize>) {
        self.lengths.clear();
        self.lengths.extend(batch.lengths[trials.clone()].iter().map(|&l| l as usize));
        self.scored.clear();
        for step in 0..batch.dim().1 {
            for (trial, index) in trials.clone().enumerate() {
                let weight = batch.mask[[index, step]];
                if weight > 0.0 {
                    let class = batch.targets[[index, step]];
                    self.scored.push(Scored { step, trial, class, weight });
                }
            }
        }
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
    pub fn read(
        &mut self,
        step: usize,
        states: &[f32],
        readout: &Readout,
        learn: bool,
        cursor: &mut usize,
        score: &mut Score,
    ) -> Result<()> {
        let neurons = states.len() / self.firsts.len();
        while let Some(Scored { trial, class, weight, .. }) =
            self.scored.get(*cursor).filter(|scored| scored.step == step)
        {
            self.pending.push(&states[self.rows[*trial] * neurons..][..neurons], *class, *weight);
            *cursor += 1;
            if self.pending.len() == readout.rows() {
                self.flush(readout, learn, score)?;
            }
        }
        Ok(())
    }

    /// Scores the pending states.
    pub fn flush(&mut self, readout: &Readout, learn: bool, score: &mut Score) -> Result<()> {
        let part = readout.score(&mut self.pending, learn.then_some(&mut self.readout))?;
        score.loss += part.loss;
        score.correct += part.correct;
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
