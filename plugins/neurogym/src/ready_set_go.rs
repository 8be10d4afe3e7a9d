//! Ready, set, go: measure an interval and reproduce it.

use std::ops::Range;

use pallium_core::prelude::*;
use pallium_core::random::Stream;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, task};
use crate::duration::{Duration, ms, uniform};

pallium_core::params! {
    /// Timing, and the factor between measured and produced interval.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 80,
        /// Duration of fixation before the ready cue, in ms.
        fixation: Duration = ms(100.0),
        /// Duration of the ready cue, in ms.
        ready: Duration = ms(83.0),
        /// Interval between the onsets of the ready cue and the set cue, in ms.
        measure: Duration = uniform(800.0, 1500.0),
        /// Duration of the set cue, in ms.
        set: Duration = ms(83.0),
        /// Factor on the measured interval (above 0, at most 100).
        gain: f64 = 1.0,
        /// Weight in the loss of each step outside the production.
        fixation_weight: f64 = 1.0,
    }
}

/// Channel 0: fixation, 1 except in the production; channel 1: ready; channel
/// 2: set. The production begins after the set cue and lasts for twice the
/// interval to be produced. Classes: 0 wait, 1 go, which is correct at the one
/// step of the production at which the interval has elapsed. In the accuracy,
/// that step counts as much as all other steps of the production together, so
/// always waiting gives an accuracy of one half. Conditions: number of steps of
/// the measured interval.
pub struct ReadySetGo {
    pub frame: Frame,
    gain: f64,
    /// Number of steps of the shortest interval to measure.
    shortest: usize,
}

const FIXATING: usize = 0;
const READY: usize = 1;
const MEASURE: usize = 2;
const SET: usize = 3;
const PRODUCTION: usize = 4;

impl ReadySetGo {
    /// The interval to produce, in ms, after `steps` of measuring.
    fn production(&self, steps: usize) -> f64 {
        (steps as f64 * f64::from(self.frame.dt_ms)) * self.gain
    }

    /// Number of steps in `milliseconds`, truncated as by Python's `int`.
    fn steps(&self, milliseconds: f64) -> usize {
        (milliseconds / f64::from(self.frame.dt_ms)) as usize
    }
}

impl Component for ReadySetGo {
    const ID: &'static str = "neurogym.ready-set-go";
    const ABOUT: &'static str = "measure the interval between two cues and reproduce it";
    const CITE: &'static str =
        "Remington, Narain, Hosseini, Jazayeri 2018; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, ReadySetGo)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("gain", params.gain, 0.0, 100.0)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("ready", params.ready),
                ("measure", params.measure),
                ("set", params.set),
            ],
            inputs: 3,
            classes: 2,
            fixation_weight: params.fixation_weight,
            noise: 0.0,
        };
        frame.check(&["ready", "measure", "set"])?;
        let shortest = frame.period("measure").distribution(frame.dt_ms).keys().next().copied().unwrap_or(1);
        if frame.period("ready").longest(frame.dt_ms) > shortest {
            return Err(Error::input("parameter `ready` may be longer than `measure`, which begins with it")
                .help("shorten the cue or lengthen the interval"));
        }
        let task = ReadySetGo { frame, gain: params.gain, shortest };
        if task.steps(task.production(shortest)) == 0 {
            return Err(Error::input(format!("parameter `gain` is {}", params.gain))
                .help("the interval to produce must have at least one step"));
        }
        check_length(task)
    }
}

impl Design for ReadySetGo {
    /// Only durations are drawn.
    type Trial = ();

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, _: &mut Stream) {}

    fn ranges(&self, steps: &[usize]) -> Vec<Range<usize>> {
        let ready = steps[FIXATING]..steps[FIXATING] + steps[READY];
        let measure = steps[FIXATING]..steps[FIXATING] + steps[MEASURE];
        let set = measure.end..measure.end + steps[SET];
        let production = set.end..set.end + self.steps(2.0 * self.production(steps[MEASURE]));
        vec![0..steps[FIXATING], ready, measure, set, production]
    }

    fn longest(&self) -> usize {
        let longest = |name: &str| self.frame.period(name).longest(self.frame.dt_ms);
        let measure = longest("measure");
        longest("fixation") + measure + longest("set") + self.steps(2.0 * self.production(measure))
    }

    fn lay(&self, (): &(), canvas: &mut Canvas<'_>) -> u32 {
        let measured = canvas.range(MEASURE).len();
        canvas.show(&[FIXATING, MEASURE, SET], FIXATION, 1.0);
        canvas.show(&[READY], 1, 1.0);
        canvas.show(&[SET], 2, 1.0);
        canvas.decide_at(PRODUCTION, self.steps(self.production(measured)));
        (measured - self.shortest) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let longest = self.frame.period("measure").longest(self.frame.dt_ms);
        (self.shortest..=longest)
            .map(|steps| format!("{} ms", steps as u64 * u64::from(self.frame.dt_ms)))
            .collect()
    }

    fn levels(&self) -> Levels {
        Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) }
    }
}
task!(ReadySetGo);
