//! Delayed match to sample: is the second stimulus the first one again?

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, noise, task};
use crate::duration::{Duration, ms};
use crate::levels::{normal, over};
use crate::ring::Ring;

pallium_core::params! {
    /// Timing, noise and size of the ring.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the sample, in ms.
        fixation: Duration = ms(300.0),
        /// Duration of the sample, in ms.
        sample: Duration = ms(500.0),
        /// Delay between sample and test, in ms.
        delay: Duration = ms(1000.0),
        /// Duration of the test, in ms.
        test: Duration = ms(500.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(900.0),
        /// Strength of the noise on the ring while a stimulus is shown: its
        /// standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Number of channels of the ring, and of directions of the sample (2
        /// to 1000).
        dim_ring: u32 = 2,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Channel 0: fixation, 1 except in the decision. Channels 1…n: a ring that
/// shows 0.5·cos(θ_k − θ) + 0.5 of the sample and of the test, which has the
/// sample's direction or the opposite one. Classes: 0 fixate, 1 match, 2
/// non-match. Conditions: answer · n + direction of the sample.
///
/// The ideal level is known without noise, and for a ring of two, where the
/// sign of the difference of the channels identifies each stimulus and the
/// product of the signs the answer.
pub struct DelayMatchSample {
    pub frame: Frame,
    ring: Ring,
}

/// The parameters of a trial.
pub struct Trial {
    /// Whether the test matches the sample.
    pub matches: bool,
    /// Ring channel whose angle the sample has.
    pub sample: usize,
}

const SAMPLE: usize = 1;
const TEST: usize = 3;
const DECISION: usize = 4;

impl Component for DelayMatchSample {
    const ID: &'static str = "neurogym.delay-match-sample";
    const ABOUT: &'static str = "report whether a second stimulus, after a delay, matches the first";
    const CITE: &'static str =
        "Miller, Erickson, Desimone 1996; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, DelayMatchSample)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let ring = Ring::new(params.dim_ring)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("sample", params.sample),
                ("delay", params.delay),
                ("test", params.test),
                ("decision", params.decision),
            ],
            inputs: 1 + ring.len(),
            classes: 3,
            fixation_weight: params.fixation_weight,
            noise: noise(params.sigma, params.dt_ms)?,
        };
        frame.check(&["sample", "test", "decision"])?;
        check_length(DelayMatchSample { frame, ring })
    }
}

impl Design for DelayMatchSample {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        Trial { matches: stream.random(), sample: stream.random_range(0..self.ring.len()) }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        let sample = self.ring.angle(trial.sample);
        let test = if trial.matches { sample } else { self.ring.opposite(trial.sample) };
        canvas.show(&[0, 1, 2, 3], FIXATION, 1.0);
        canvas.pattern(SAMPLE, 1, &self.ring.cosine(sample, 0.5, 0.5));
        canvas.pattern(TEST, 1, &self.ring.cosine(test, 0.5, 0.5));
        canvas.noise(&[SAMPLE, TEST], 1..1 + n);
        canvas.decide(DECISION, if trial.matches { 1 } else { 2 });
        (usize::from(!trial.matches) * n + trial.sample) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let name = |answer: &'static str| {
            (0..self.ring.len()).map(move |k| format!("{answer}, sample {}", self.ring.degrees(k)))
        };
        name("match").chain(name("non-match")).collect()
    }

    fn levels(&self) -> Levels {
        let accuracy = |name: &str| {
            let right = |steps: usize| normal((steps as f64 / 2.0).sqrt() / self.frame.noise);
            over(&self.frame.period(name).distribution(self.frame.dt_ms), right)
        };
        let ideal = match (self.frame.noise, self.ring.len()) {
            (0.0, _) => Some(1.0),
            (_, 2) => {
                let (sample, test) = (accuracy("sample"), accuracy("test"));
                Some(sample * test + (1.0 - sample) * (1.0 - test))
            }
            _ => None,
        };
        Levels { chance: 0.5, memoryless: Some(0.5), ideal }
    }
}
task!(DelayMatchSample);
