//! The seeds of a training, which all follow from the experiment's seed, the
//! run and the purpose.

use pallium_core::random;

use crate::spec::{CellSpec, DataSeed};

/// The seed for `purpose` in a run of an experiment with the seed `experiment`.
pub fn run_seed(experiment: u64, run: u32, purpose: &str) -> u64 {
    random::derive(experiment, u64::from(run), purpose)
}

impl CellSpec {
    /// The seed for `purpose`. Variants and tasks of one run share it, so that
    /// they are paired.
    pub fn derived_seed(&self, purpose: &str) -> u64 {
        run_seed(self.seed, self.run, purpose)
    }

    /// The seed of the trials of `split`, which runs share or not.
    pub fn trial_seed(&self, split: &str) -> u64 {
        let run = match self.data_seed {
            DataSeed::Shared => 0,
            DataSeed::PerRun => u64::from(self.run),
        };
        random::derive(self.seed, run, &format!("trials {split}"))
    }

    /// The seed of a metric by its id. It does not depend on the run, so all
    /// trainings are compared with the same ensemble of null graphs, and
    /// differences between runs come from the networks.
    pub fn metric_seed(&self, id: &str) -> u64 {
        random::derive(self.seed, 0, &format!("metric {id}"))
    }
}
