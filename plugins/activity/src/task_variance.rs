//! `activity.task-variance`: the variance of activity from trial to trial.

use pallium_core::prelude::*;

use crate::recording::{ByCondition, Recording, mean};

pallium_core::params! {
    /// Parameters of `activity.task-variance`.
    pub struct Params {
        /// A neuron is active if its task variance exceeds this (in units of
        /// activity squared, at least 0).
        active: f64 = 1e-3,
    }
}

/// A neuron's task variance is the variance of its activity over trials at one
/// step, averaged over steps with at least two trials, each step weighted by its
/// number of trials (Yang et al. 2019; recorded without noise). Three measures: `task_variance`, the
/// mean over neurons; `task_variance_conditions`, the share of it that lies
/// between the means of the task's conditions; and `task_variance_active_units`,
/// the number of neurons above `active`.
pub struct TaskVariance(Params);

impl Component for TaskVariance {
    const ID: &'static str = "activity.task-variance";
    const ABOUT: &'static str = "variance of activity over trials, and the share that conditions explain";
    const CITE: &'static str = "Yang, Joglekar, Song, Newsome, Wang 2019, Nat. Neurosci. 22:297";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("active", params.active)?;
        Ok(TaskVariance(params))
    }
}

impl Metric for TaskVariance {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let n = recording.neurons();
        let (mut total, mut between, mut samples) = (vec![0.0; n], vec![0.0; n], 0.0);
        for step in 0..recording.steps() {
            let mut by = ByCondition::default();
            let (mut squares, mut sums, mut count) = (vec![0.0; n], vec![0.0; n], 0.0);
            for trial in recording.trials_at(step) {
                let h = recording.at(step, trial).mapv(f64::from);
                by.add(recording.condition(trial), n, h.iter().copied());
                for ((square, sum), h) in squares.iter_mut().zip(&mut sums).zip(&h) {
                    *square += h * h;
                    *sum += h;
                }
                count += 1.0;
            }
            // A single trial says nothing of the variance.
            if count < 2.0 {
                continue;
            }
            samples += count;
            for i in 0..n {
                let expected = sums[i] * sums[i] / count;
                let of_conditions: f64 = by.0.values().map(|(count, sums)| sums[i] * sums[i] / count).sum();
                // Differences of large sums may be negative by rounding.
                total[i] += (squares[i] - expected).max(0.0);
                between[i] += (of_conditions - expected).max(0.0);
            }
        }
        let variances: Vec<f64> = total.iter().map(|v| v / samples).collect();
        let share = between.iter().sum::<f64>() / total.iter().sum::<f64>();
        let active = variances.iter().filter(|&&v| v > self.0.active).count();
        Ok(vec![
            Measure::new("task_variance", mean(variances)),
            // Rounding may exceed 1.
            Measure::new(
                "task_variance_conditions",
                if share.is_finite() { share.min(1.0) } else { f64::NAN },
            ),
            Measure::new("task_variance_active_units", active as f64),
        ]
        .into())
    }
}
pallium_core::register!(Metric, TaskVariance);
