//! Interval discrimination: which of two stimuli lasted longer?

use pallium_core::prelude::*;
use pallium_core::random::Stream;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, task};
use crate::duration::{Duration, ms, uniform};

pallium_core::params! {
    /// Timing.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 80,
        /// Duration of fixation before the first stimulus, in ms.
        fixation: Duration = ms(300.0),
        /// Duration of the first stimulus, in ms.
        stim1: Duration = uniform(300.0, 600.0),
        /// Delay between the stimuli, in ms.
        delay1: Duration = uniform(800.0, 1500.0),
        /// Duration of the second stimulus, in ms.
        stim2: Duration = uniform(300.0, 600.0),
        /// Delay between the second stimulus and the decision, in ms.
        delay2: Duration = ms(500.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(300.0),
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Channel 0: fixation, 1 except in the decision; channel 1: the first
/// stimulus; channel 2: the second. Classes: 0 fixate, 1 the first stimulus had
/// more steps, 2 it had not. The conditions are the two answers.
///
/// Stimuli with the same number of steps count as class 2, so an observer
/// without memory is correct in the share of trials in which the first is not
/// longer (0.618 with the defaults).
pub struct IntervalDiscrimination {
    pub frame: Frame,
}

const STIM1: usize = 1;
const STIM2: usize = 3;
const DECISION: usize = 5;

impl Component for IntervalDiscrimination {
    const ID: &'static str = "neurogym.interval-discrimination";
    const ABOUT: &'static str = "report which of two stimuli lasted longer";
    const CITE: &'static str =
        "Genovesio, Tsujimoto, Wise 2009; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, IntervalDiscrimination)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stim1", params.stim1),
                ("delay1", params.delay1),
                ("stim2", params.stim2),
                ("delay2", params.delay2),
                ("decision", params.decision),
            ],
            inputs: 3,
            classes: 3,
            fixation_weight: params.fixation_weight,
            noise: 0.0,
        };
        frame.check(&["stim1", "stim2", "decision"])?;
        check_length(IntervalDiscrimination { frame })
    }
}

impl Design for IntervalDiscrimination {
    /// Only durations are drawn.
    type Trial = ();

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, _: &mut Stream) {}

    fn lay(&self, (): &(), canvas: &mut Canvas<'_>) -> u32 {
        let longer = canvas.range(STIM1).len() > canvas.range(STIM2).len();
        canvas.show(&[0, 1, 2, 3, 4], FIXATION, 1.0);
        canvas.show(&[STIM1], 1, 1.0);
        canvas.show(&[STIM2], 2, 1.0);
        canvas.decide(DECISION, if longer { 1 } else { 2 });
        u32::from(!longer)
    }

    fn conditions(&self) -> Vec<String> {
        vec!["the first is longer".into(), "the first is not longer".into()]
    }

    fn levels(&self) -> Levels {
        let steps = |name: &str| self.frame.period(name).distribution(self.frame.dt_ms);
        let (first, second) = (steps("stim1"), steps("stim2"));
        let longer: f64 = first
            .iter()
            .flat_map(|(a, p)| second.iter().filter(move |(b, _)| a > b).map(move |(_, q)| p * q))
            .sum();
        Levels {
            // If one answer never occurs, guessing is always correct.
            chance: if longer <= 0.0 || longer >= 1.0 - 1e-12 { 1.0 } else { 0.5 },
            memoryless: Some(longer.max(1.0 - longer)),
            ideal: Some(1.0),
        }
    }
}
task!(IntervalDiscrimination);
