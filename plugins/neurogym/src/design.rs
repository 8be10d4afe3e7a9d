//! Shared by all tasks: turns a design, which draws a trial's parameters and
//! lays them out, into batches of trials.

use std::ops::Range;

use pallium_core::ndarray::{ArrayViewMut1, ArrayViewMut2, s};
use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;
use rand_distr::StandardNormal;

use crate::duration::Duration;

/// Maximum number of steps of a trial: far beyond what a network can be trained
/// on, so that typing errors are refused.
const MAX_STEPS: usize = 100_000;

/// Maximum number of input values in one draw of trials (8 GiB).
const MAX_VALUES: usize = 1 << 31;

/// The input channel that shows whether to fixate.
pub const FIXATION: usize = 0;

/// The class for fixating.
pub const FIXATE: u32 = 0;

/// Parameters that all tasks have, and the size of their trials.
pub struct Frame {
    /// Name of the random stream that trials are drawn from.
    pub purpose: &'static str,
    /// Duration of a step in milliseconds.
    pub dt_ms: u32,
    /// The periods whose duration is a parameter, in the order of drawing.
    pub periods: Vec<(&'static str, Duration)>,
    /// Number of input channels.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
    /// Weight in the loss of a step outside the decision.
    pub fixation_weight: f64,
    /// Standard deviation of the noise of one channel at one step.
    pub noise: f64,
}

impl Frame {
    /// Checks the parameters that all tasks have. The periods in `required`
    /// must have at least one step.
    ///
    /// # Errors
    /// If a parameter is out of range, or a required period may be
    /// empty.
    pub fn check(&self, required: &[&str]) -> Result<()> {
        one_of_range("dt_ms", self.dt_ms.into(), 1.0, 1e6)?;
        one_of_range("fixation_weight", self.fixation_weight, 0.0, 1e6)?;
        for (name, duration) in &self.periods {
            duration.check(name, self.dt_ms, required.contains(name).into())?;
        }
        Ok(())
    }

    /// Number of steps of each period in one trial.
    pub fn draw_steps(&self, stream: &mut Stream) -> Vec<usize> {
        self.periods.iter().map(|(_, duration)| duration.draw(self.dt_ms, stream)).collect()
    }

    /// The duration of a period.
    pub fn period(&self, name: &str) -> &Duration {
        let at = self.periods.iter().position(|(n, _)| *n == name);
        &self.periods[at.unwrap_or_default()].1
    }
}

/// Standard deviation of the noise at a step.
///
/// # Errors
/// If `sigma` is not between 0 and 1e6, or a step has no duration.
pub fn noise(sigma: f64, dt_ms: u32) -> Result<f64> {
    one_of_range("sigma", sigma, 0.0, 1e6)?;
    one_of_range("dt_ms", dt_ms.into(), 1.0, 1e6)?;
    Ok(sigma / f64::from(dt_ms).sqrt())
}

/// A task: how a trial's parameters are drawn, and how they are laid out.
pub trait Design: Send + Sync + 'static {
    /// A trial's parameters except durations.
    type Trial;

    /// Size, timing and weights.
    fn frame(&self) -> &Frame;

    /// Parameters of one trial.
    fn draw(&self, stream: &mut Stream) -> Self::Trial;

    /// The steps of each period of a trial, given the number of steps of the
    /// periods whose duration is a parameter. By default, periods follow each
    /// other.
    fn ranges(&self, steps: &[usize]) -> Vec<Range<usize>> {
        consecutive(steps)
    }

    /// Number of steps of the longest trial.
    fn longest(&self) -> usize {
        let frame = self.frame();
        frame.periods.iter().map(|(_, duration)| duration.longest(frame.dt_ms)).sum()
    }

    /// Lays a trial out on a blank canvas; returns the trial's condition.
    fn lay(&self, trial: &Self::Trial, canvas: &mut Canvas<'_>) -> u32;

    /// The name of each condition.
    fn conditions(&self) -> Vec<String>;

    /// Reference accuracies.
    fn levels(&self) -> Levels;
}

/// Ranges of consecutive periods.
pub fn consecutive(steps: &[usize]) -> Vec<Range<usize>> {
    let mut start = 0;
    let range = |&count: &usize| {
        start += count;
        start - count..start
    };
    steps.iter().map(range).collect()
}

/// One trial while it is laid out, initially without inputs and with class 0 at
/// every step.
pub struct Canvas<'a> {
    ranges: Vec<Range<usize>>,
    inputs: ArrayViewMut2<'a, f32>,
    targets: ArrayViewMut1<'a, u32>,
    mask: ArrayViewMut1<'a, f32>,
    scored: ArrayViewMut1<'a, f32>,
    noise: f64,
    stream: Option<&'a mut Stream>,
}

impl Canvas<'_> {
    /// The steps of a period.
    pub fn range(&self, period: usize) -> Range<usize> {
        self.ranges[period].clone()
    }

    /// Shows `value` on a channel throughout some periods.
    pub fn show(&mut self, periods: &[usize], channel: usize, value: f64) {
        for &period in periods {
            self.inputs.slice_mut(s![self.ranges[period].clone(), channel]).mapv_inplace(|v| add(v, value));
        }
    }

    /// Shows a pattern on the channels from `first` on, throughout a period.
    pub fn pattern(&mut self, period: usize, first: usize, values: &[f64]) {
        for (channel, &value) in values.iter().enumerate() {
            self.show(&[period], first + channel, value);
        }
    }

    /// Adds noise to some channels throughout some periods.
    pub fn noise(&mut self, periods: &[usize], channels: Range<usize>) {
        let Some(stream) = self.stream.as_deref_mut().filter(|_| self.noise > 0.0) else { return };
        for &period in periods {
            for value in self.inputs.slice_mut(s![self.ranges[period].clone(), channels.clone()]) {
                *value = add(*value, self.noise * stream.sample::<f64, _>(StandardNormal));
            }
        }
    }

    /// Sets the decision period and its correct answer.
    pub fn decide(&mut self, period: usize, class: u32) {
        let range = self.ranges[period].clone();
        self.targets.slice_mut(s![range.clone()]).fill(class);
        self.mask.slice_mut(s![range.clone()]).fill(1.0);
        self.scored.slice_mut(s![range]).fill(1.0);
    }

    /// Sets the decision period and the correct answer at each step from its start.
    pub fn decide_each(&mut self, period: usize, class: impl Fn(usize) -> u32) {
        self.decide(period, FIXATE);
        let range = self.ranges[period].clone();
        self.targets.slice_mut(s![range]).iter_mut().enumerate().for_each(|(step, to)| *to = class(step));
    }

    /// Sets a decision period in which class 1 is correct at one `step` (from
    /// the period's start) only. That step counts as much in the accuracy as
    /// all others together, so never answering gives an accuracy of one half.
    pub fn decide_at(&mut self, period: usize, step: usize) {
        let range = self.ranges[period].clone();
        self.decide(period, FIXATE);
        let others = range.len().saturating_sub(1).max(1) as f32;
        self.scored.slice_mut(s![range.clone()]).fill(0.5 / others);
        self.targets[range.start + step] = 1;
        self.scored[range.start + step] = 0.5;
    }
}

/// Adds in f64 and rounds to f32, as numpy does.
fn add(to: f32, value: f64) -> f32 {
    (f64::from(to) + value) as f32
}

/// The description of a design's task.
pub fn info<D: Design>(design: &D) -> TaskInfo {
    let frame = design.frame();
    let mut info = TaskInfo::classes(frame.inputs, frame.classes, design.longest());
    info.step_ms = Some(f64::from(frame.dt_ms));
    info.conditions = design.conditions();
    info.levels = Some(design.levels());
    info.periods = frame.periods.iter().map(|(name, _)| (*name).to_owned()).collect();
    info
}

/// Refuses a design whose trials are empty or too long.
///
/// # Errors
/// If not.
pub fn check_length<D: Design>(design: D) -> Result<D> {
    let (steps, periods) = (design.longest(), &design.frame().periods);
    if (1..=MAX_STEPS).contains(&steps) {
        return Ok(design);
    }
    let names: Vec<_> = periods.iter().map(|(name, _)| format!("`{name}`")).collect();
    Err(Error::input(format!("a trial with the periods {} may have {steps} steps", names.join(", "))).help(
        format!("a trial must have between 1 and {MAX_STEPS} steps: shorten periods or increase dt_ms"),
    ))
}

/// `count` trials of a design.
///
/// # Errors
/// If the batch would be too large for memory.
pub fn trials<D: Design>(design: &D, count: usize, seed: u64) -> Result<Batch> {
    let mut stream = random::stream(seed, design.frame().purpose);
    let mut batch = blank(design, count)?;
    for trial in 0..count {
        let steps = design.frame().draw_steps(&mut stream);
        let drawn = design.draw(&mut stream);
        lay_out(design, &drawn, &steps, &mut batch, trial, Some(&mut stream));
    }
    if batch.scored.as_ref() == Some(&batch.mask) {
        batch.scored = None;
    }
    Ok(batch)
}

/// An empty batch of `count` trials.
pub fn blank<D: Design>(design: &D, count: usize) -> Result<Batch> {
    let (steps, channels) = (design.longest(), design.frame().inputs);
    match count.checked_mul(steps).and_then(|n| n.checked_mul(channels)) {
        Some(values) if values <= MAX_VALUES => {
            let mut batch = Batch::zeros(count, steps, channels);
            batch.scored = Some(batch.mask.clone());
            batch.periods = Some(batch.mask.mapv(|_| 0));
            Ok(batch)
        }
        _ => Err(Error::input(format!(
            "{count} trials of {steps} steps and {channels} channels are more than {MAX_VALUES} values"
        ))
        .help("draw fewer trials at a time, or shorten the task's periods")),
    }
}

/// Lays one trial out in a blank batch; without a stream, without noise.
pub fn lay_out<D: Design>(
    design: &D,
    drawn: &D::Trial,
    steps: &[usize],
    batch: &mut Batch,
    trial: usize,
    stream: Option<&mut Stream>,
) {
    let frame = design.frame();
    let ranges = design.ranges(steps);
    let length = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    batch.mask.slice_mut(s![trial, ..length]).fill(frame.fixation_weight as f32);
    if let Some(periods) = &mut batch.periods {
        // Where periods overlap, the later one is meant.
        for (period, range) in (0..).zip(&ranges).take(frame.periods.len()) {
            periods.slice_mut(s![trial, range.clone()]).fill(period);
        }
    }
    let (Some(scored), Targets::Classes(targets)) = (&mut batch.scored, &mut batch.targets) else { return };
    let mut canvas = Canvas {
        ranges,
        inputs: batch.inputs.slice_mut(s![trial, .., ..]),
        targets: targets.row_mut(trial),
        mask: batch.mask.row_mut(trial),
        scored: scored.row_mut(trial),
        noise: frame.noise,
        stream,
    };
    batch.conditions[trial] = design.lay(drawn, &mut canvas);
    batch.lengths[trial] = u32::try_from(length).unwrap_or(u32::MAX);
}

/// Implements [`pallium_core::Task`] for a design and registers it.
macro_rules! task {
    ($design:ty) => {
        impl pallium_core::Task for $design {
            fn info(&self) -> pallium_core::TaskInfo {
                $crate::design::info(self)
            }

            fn trials(&mut self, count: usize, seed: u64) -> pallium_core::Result<pallium_core::Batch> {
                $crate::design::trials(self, count, seed)
            }
        }
        pallium_core::register!(Task, $design);
    };
}
pub(crate) use task;
