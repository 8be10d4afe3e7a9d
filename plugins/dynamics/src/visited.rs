//! The states that a network visits on the recorded trials, and the input under which
//! its map is analysed.

use pallium_core::ndarray::{Array1, Array2, Axis, s};
use pallium_core::prelude::*;
use rand::seq::index::sample;
use rand_distr::{Distribution, StandardNormal};

pallium_core::choice! {
    /// The constant input.
    pub enum Input {
        /// Zero in every channel.
        Zero = "zero",
        /// The mean over the trials at `step`.
        Mean = "mean",
    }
}

/// The states after each step of some trials, steps × trials × values.
pub struct Visited {
    states: Vec<Array2<f64>>,
    lengths: Vec<usize>,
}

/// Number of trials that are run.
const TRIALS: usize = 64;

fn trials<'a>(network: &Network<'a>) -> Result<pallium_core::RecordedTrials<'a>> {
    network.trials.ok_or_else(|| {
        Error::input("no trials were recorded")
            .help("this metric needs a trained network and its task: name it in [metrics] of an experiment")
    })
}

/// The input at which the map is analysed.
///
/// # Errors
/// If no trials were recorded, or none has this step.
pub fn input(network: &Network<'_>, kind: Input, step: u32) -> Result<Array1<f64>> {
    let inputs = trials(network)?.inputs;
    let (_, steps, channels) = inputs.dim();
    if kind == Input::Zero {
        return Ok(Array1::zeros(channels));
    }
    if step as usize >= steps {
        return Err(Error::input(format!("parameter `step` is {step}, but the trials have {steps} steps"))
            .help("steps are counted from 0"));
    }
    let at = inputs.index_axis(Axis(1), step as usize).mapv(f64::from);
    at.mean_axis(Axis(0)).ok_or_else(|| Error::input("no trials were recorded"))
}

impl Visited {
    /// Runs the recorded trials from the state zero.
    ///
    /// # Errors
    /// If no trials were recorded, or the model does not offer its step.
    pub fn new(network: &Network<'_>, dynamics: &dyn Dynamics) -> Result<Self> {
        let inputs = trials(network)?.inputs;
        let (count, steps, _) = inputs.dim();
        let count = count.min(TRIALS);
        let size = match network.model {
            Some(model) if !model.states.is_empty() => model.states.iter().map(|part| part.length).sum(),
            _ => network.recurrent.nrows(),
        };
        let mut state = Array2::zeros((count, size));
        let mut states = Vec::with_capacity(steps);
        for step in 0..steps {
            let now = inputs.slice(s![..count, step, ..]).mapv(f64::from);
            state = dynamics.step(state.view(), now.view())?;
            if let Some(value) = state.iter().find(|value| !value.is_finite()) {
                return Err(Error::input(format!("a state is {value} at step {step}")));
            }
            states.push(state.clone());
        }
        let lengths = match network.lengths {
            [] => vec![steps; count],
            lengths => lengths.iter().take(count).map(|&length| (length as usize).min(steps)).collect(),
        };
        Ok(Visited { states, lengths })
    }

    /// `count` different states, or all if there are fewer, each with normal noise of
    /// this standard deviation.
    pub fn draw(&self, count: usize, noise: f64, seed: u64) -> Array2<f64> {
        let all: Vec<(usize, usize)> = self
            .lengths
            .iter()
            .enumerate()
            .flat_map(|(trial, &length)| (0..length).map(move |step| (step, trial)))
            .collect();
        let mut rng = random::stream(seed, "visited states");
        let chosen = sample(&mut rng, all.len(), count.min(all.len()));
        let size = self.states.first().map_or(0, Array2::ncols);
        let mut drawn = Array2::zeros((chosen.len(), size));
        for (mut row, at) in drawn.outer_iter_mut().zip(chosen) {
            let (step, trial) = all[at];
            row.assign(&self.states[step].row(trial));
            if noise > 0.0 {
                for value in row {
                    let deviate: f64 = StandardNormal.sample(&mut rng);
                    *value += noise * deviate;
                }
            }
        }
        drawn
    }

    /// The state at the end of the first trial.
    pub fn last(&self) -> Option<Array1<f64>> {
        let length = self.lengths.iter().position(|&length| length > 0)?;
        Some(self.states.get(self.lengths[length] - 1)?.row(length).to_owned())
    }
}
