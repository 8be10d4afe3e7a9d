//! Two toy tasks that every network with some memory can learn.

use ndarray::s;
use rand::Rng;

use pallium_core::{Batch, Loss, random};

/// Input channels of both tasks.
pub(crate) const INPUTS: usize = 3;

/// What a network is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toy {
    /// Which of two channels was on.
    Classes,
    /// The value that a channel had, and minus half of it.
    Values,
}

impl Toy {
    /// Number of classes or values.
    pub fn outputs(self) -> usize {
        2
    }

    pub fn loss(self) -> Loss {
        match self {
            Toy::Classes => Loss::CrossEntropy,
            Toy::Values => Loss::MeanSquaredError,
        }
    }

    /// The task for messages.
    pub fn name(self) -> &'static str {
        match self {
            Toy::Classes => "a task of classes",
            Toy::Values => "a task of values",
        }
    }

    fn empty(self, trials: usize, steps: usize) -> Batch {
        match self {
            Toy::Classes => Batch::zeros(trials, steps, INPUTS),
            Toy::Values => Batch::of_values(trials, steps, INPUTS, self.outputs()),
        }
    }

    /// Trials of six steps: a channel is on for three steps, and what it was is
    /// asked for three steps later.
    pub fn trials(self, count: usize, seed: u64) -> Batch {
        let mut stream = random::stream(seed, "testkit trials");
        let mut batch = self.empty(count, 6);
        for trial in 0..count {
            batch.inputs.slice_mut(s![trial, 3.., 0]).fill(1.0);
            if self == Toy::Classes {
                let class: u32 = stream.random_range(0..2);
                for step in 0..3 {
                    batch.inputs[[trial, step, 1 + class as usize]] = stream.random_range(0.8..1.2);
                }
                batch.conditions[trial] = class;
                batch.label_at_end(trial, class);
            } else {
                let value: f32 = stream.random_range(-1.0..1.0);
                batch.inputs.slice_mut(s![trial, ..3, 1]).fill(value);
                batch.set_values(trial, 5, &[value, -0.5 * value]);
                batch.mask[[trial, 5]] = 1.0;
            }
        }
        batch
    }

    /// Trials of three to seven steps in a batch of seven, with random inputs. What
    /// is asked for is the mean of a channel so far, or whether it is above −0.1.
    /// Every trial is scored at its end, every other one also at its second step,
    /// with half the weight.
    pub fn ragged(self, count: usize, seed: u64) -> Batch {
        self.ragged_from(3, count, seed)
    }

    /// The same with trials of `least` to `least` + 4 steps.
    pub fn ragged_from(self, least: usize, count: usize, seed: u64) -> Batch {
        let mut stream = random::stream(seed, "testkit ragged trials");
        let mut batch = self.empty(count, least + 4);
        for trial in 0..count {
            let length = least + trial % 5;
            batch.lengths[trial] = length as u32;
            batch.inputs.slice_mut(s![trial, ..length, ..]).mapv_inplace(|_| stream.random_range(-1.0..1.0));
            let scored = [(length - 1, 1.0), (1, 0.5)];
            for &(step, weight) in scored.iter().take(1 + trial % 2) {
                // Targets that follow from the inputs: gradients of random ones
                // would cancel, and a single kink would count for much.
                let mean = batch.inputs.slice(s![trial, ..=step, 1]).sum() / (step + 1) as f32;
                if self == Toy::Classes {
                    batch.set_class(trial, step, u32::from(mean > -0.1));
                } else {
                    batch.set_values(trial, step, &[mean + 0.5, -mean]);
                }
                batch.mask[[trial, step]] = weight;
            }
        }
        batch
    }
}

/// Random values between −1 and 1.
pub(crate) fn uniform(seed: u64, purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = random::stream(seed, purpose);
    (0..count).map(|_| stream.random_range(-1.0..1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_core::TaskInfo;

    #[test]
    fn the_trials_are_well_formed() {
        for toy in [Toy::Classes, Toy::Values] {
            let mut info = match toy {
                Toy::Classes => TaskInfo::classes(INPUTS, 2, 7),
                Toy::Values => TaskInfo::values(INPUTS, 2, 7, toy.loss()),
            };
            info.conditions = vec!["one".into(), "two".into()];
            toy.trials(20, 1).check(&info).unwrap();
            let ragged = toy.ragged(20, 1);
            ragged.check(&info).unwrap();
            assert_eq!(ragged.view().scored().count(), 30);
        }
    }
}
