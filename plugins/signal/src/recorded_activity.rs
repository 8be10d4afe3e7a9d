//! `signal.recorded-activity`: put out the recorded activity of some neurons, given
//! that of the others.

use std::ops::Range;

use pallium_core::ndarray::{Array2, s};
use pallium_core::prelude::*;
use rand::Rng;
use rand::seq::SliceRandom;

pallium_core::choice! {
    /// What drives the network.
    pub enum Drive {
        /// The activity of the neurons that are not predicted, at the same step.
        Others = "others",
        /// Their activity at the step before.
        Past = "past",
    }
}

pallium_core::params! {
    /// Parameters of the fit.
    pub struct Params {
        /// Number of neurons to be predicted, drawn with `seed`; at least 1.
        predicted: usize = 10,
        /// Indices of the predicted neurons, from 0. If given, `predicted` is ignored.
        neurons: Vec<usize> = Vec::new(),
        /// What drives the network.
        drive: Drive = Drive::Others,
        /// Duration of a step in ms: events are counted in bins of this length.
        step_ms: f64 = 200.0,
        /// Duration of a trial in ms: a window of the recording.
        duration: f64 = 4000.0,
        /// Time at the beginning of a window that is not scored, in ms, because the
        /// network starts from silence.
        burn_in: f64 = 400.0,
        /// Share of the recording, at its end, that is not used for training: half of it
        /// is for validation, half for the test.
        held_out: f64 = 0.2,
        /// Whether outputs are compared as rates of a Poisson process instead of by
        /// the mean squared error.
        poisson: bool = false,
        /// Seed that selects the predicted neurons.
        seed: u64 = 0,
    }
}

/// Windows of a recording. Inputs are the counts of events of the neurons that are
/// not predicted, divided by their standard deviation over the training part;
/// targets those of the predicted neurons, in the same unit (under `poisson`,
/// plain counts). Training trials are windows of the first part of the recording
/// at random begins; validation and test trials windows of the next parts, which
/// do not overlap with it.
pub(crate) struct RecordedActivity {
    params: Params,
    steps: usize,
    burn_in: usize,
    /// Steps × inputs, and steps × outputs.
    inputs: Array2<f32>,
    targets: Array2<f32>,
}

impl Component for RecordedActivity {
    const ID: &'static str = "signal.recorded-activity";
    const ABOUT: &'static str = "predict the recorded activity of some neurons from that of the others";
    const CITE: &'static str =
        "Perich et al. 2021, bioRxiv 2020.12.18.423348; Rajan, Harvey, Tank 2016, Neuron 90:128";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let substrate = setting.substrate()?;
        let events = substrate.events.as_ref().ok_or_else(|| {
            Error::input(format!("the substrate `{}` has no event times to fit", substrate.name))
                .help("use a field with events and read them: substrate = { path = \"…\", events = true }")
        })?;
        let n = events.len();
        one_of_range("step_ms", params.step_ms, 1e-3, 1e6)?;
        one_of_range("held_out", params.held_out, 0.02, 0.9)?;
        let steps = crate::steps("duration", params.duration, params.step_ms)?;
        let burn_in = (params.burn_in / params.step_ms).round();
        if !(0.0..steps as f64).contains(&burn_in) {
            return Err(Error::input(format!("parameter `burn_in` is {} ms", params.burn_in))
                .help("it must be shorter than `duration`"));
        }
        let predicted = chosen(&params, n)?;
        let counts = counts(events, substrate.recording, params.step_ms / 1e3)?;
        let test = part(counts.nrows(), params.held_out, Split::Test);
        if test.len() < steps {
            return Err(Error::input(format!(
                "the held-out part has {} steps for validation and as many for the test, but a trial has {steps}",
                test.len()
            ))
            .help("shorten `duration`, or raise `held_out`"));
        }
        let training = part(counts.nrows(), params.held_out, Split::Train);
        let scale: Vec<f32> = (0..n)
            .map(|neuron| match params.poisson && predicted.contains(&neuron) {
                true => 1.0,
                false => {
                    let deviation = counts.slice(s![training.clone(), neuron]).std(0.0);
                    if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
                }
            })
            .collect();
        if let Some(&silent) = predicted.iter().find(|&&neuron| scale[neuron] == 0.0) {
            return Err(Error::input(format!("neuron {silent} is silent in the training part"))
                .help("predict other neurons: `neurons` lists them"));
        }
        let others: Vec<usize> = (0..n).filter(|neuron| !predicted.contains(neuron)).collect();
        let select = |which: &[usize]| {
            Array2::from_shape_fn((counts.nrows(), which.len()), |(step, column)| {
                counts[[step, which[column]]] * scale[which[column]]
            })
        };
        let (inputs, targets) = (select(&others), select(&predicted));
        Ok(RecordedActivity { params, steps, burn_in: burn_in as usize, inputs, targets })
    }
}

/// The predicted neurons, ascending.
fn chosen(params: &Params, n: usize) -> Result<Vec<usize>> {
    let mut chosen = params.neurons.clone();
    if chosen.is_empty() {
        if params.predicted == 0 || params.predicted >= n {
            return Err(Error::input(format!("parameter `predicted` is {}", params.predicted))
                .help(format!("it must be at least 1 and below the number of neurons, {n}")));
        }
        let mut all: Vec<usize> = (0..n).collect();
        all.shuffle(&mut random::stream(params.seed, "predicted neurons"));
        chosen = all[..params.predicted].to_vec();
    }
    chosen.sort_unstable();
    if let Some(&wrong) = chosen.iter().find(|&&neuron| neuron >= n) {
        return Err(Error::input(format!("parameter `neurons` names neuron {wrong}"))
            .help(format!("the substrate has neurons 0 to {}", n - 1)));
    }
    if chosen.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::input("parameter `neurons` names a neuron twice").help("name each once"));
    }
    if chosen.len() == n {
        return Err(Error::input("parameter `neurons` names every neuron, so none drives the network")
            .help("leave some out"));
    }
    Ok(chosen)
}

/// Events of each neuron in bins of `seconds`: steps × neurons.
fn counts(events: &[Vec<f64>], recording: Option<(f64, f64)>, seconds: f64) -> Result<Array2<f32>> {
    let ends = events.iter().filter_map(|times| Some((*times.first()?, *times.last()?)));
    let span = ends.fold(None, |span: Option<(f64, f64)>, (first, last)| {
        Some(span.map_or((first, last), |(a, b)| (a.min(first), b.max(last))))
    });
    let (begin, end) = recording.or(span).ok_or_else(|| {
        Error::input("the recording has no events").help("use a substrate with recorded event times")
    })?;
    let bins = ((end - begin) / seconds).floor();
    if !(2.0..=1e9).contains(&bins) {
        return Err(Error::input(format!("the recording has {bins} steps of {} ms", seconds * 1e3))
            .help("change `step_ms`"));
    }
    let bins = bins as usize;
    let mut counts = Array2::zeros((bins, events.len()));
    for (neuron, times) in events.iter().enumerate() {
        for &time in times {
            let bin = ((time - begin) / seconds).floor();
            if bin >= 0.0 && (bin as usize) < bins {
                counts[[bin as usize, neuron]] += 1.0;
            }
        }
    }
    Ok(counts)
}

/// The steps of all splits.
#[cfg(test)]
pub(crate) fn parts(steps: usize, held_out: f64) -> [Range<usize>; 3] {
    Split::ALL.map(|split| part(steps, held_out, split))
}

/// The steps of a split.
fn part(steps: usize, held_out: f64, split: Split) -> Range<usize> {
    let held = (steps as f64 * held_out / 2.0) as usize;
    match split {
        Split::Train => 0..steps - 2 * held,
        Split::Validation => steps - 2 * held..steps - held,
        Split::Test => steps - held..steps,
    }
}

impl Task for RecordedActivity {
    fn info(&self) -> TaskInfo {
        let loss = if self.params.poisson { Loss::Poisson } else { Loss::MeanSquaredError };
        let mut info = TaskInfo::values(self.inputs.ncols(), self.targets.ncols(), self.steps, loss);
        info.step_ms = Some(self.params.step_ms);
        info.conditions = vec!["recording".into()];
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        self.trials_of(Split::Train, count, seed)
    }

    fn trials_of(&mut self, split: Split, count: usize, seed: u64) -> Result<Batch> {
        let mut stream = random::stream(seed, Self::ID);
        let part = part(self.inputs.nrows(), self.params.held_out, split);
        let mut batch = crate::blank(count, self.steps, self.inputs.ncols(), self.targets.ncols())?;
        batch.mask.slice_mut(s![.., self.burn_in..]).fill(1.0);
        let lag = usize::from(matches!(self.params.drive, Drive::Past));
        for trial in 0..count {
            let begin = stream.random_range(part.start..=part.end - self.steps);
            for step in 0..self.steps {
                if let Some(from) = (begin + step).checked_sub(lag).filter(|&from| from >= part.start) {
                    batch.inputs.slice_mut(s![trial, step, ..]).assign(&self.inputs.row(from));
                }
                let targets = self.targets.row(begin + step).to_vec();
                batch.set_values(trial, step, &targets);
            }
        }
        Ok(batch)
    }
}
pallium_core::register!(Task, RecordedActivity);
