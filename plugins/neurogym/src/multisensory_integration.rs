//! Multisensory integration: two noisy stimuli that show the same direction.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, noise, task};
use crate::duration::{Duration, ms};
use crate::levels::{mean, normal, over};
use crate::ring::Ring;

pallium_core::params! {
    /// Timing, noise and size of the rings.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the stimulus, in ms.
        fixation: Duration = ms(300.0),
        /// Duration of the stimulus, in ms.
        stimulus: Duration = ms(750.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(100.0),
        /// Strength of the noise on all channels during the stimulus: its
        /// standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Number of channels of each ring, and of choices (2 to 1000).
        dim_ring: u32 = 2,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Strengths of both stimuli together, in percent.
const COHERENCES: [f64; 3] = [5.0, 15.0, 50.0];

/// Channel 0: fixation, 1 except in the decision, noisy during the stimulus.
/// Channels 1…n and n+1…2n: two rings that show the same direction as cos(θ_k −
/// θ)·c/200 + 0.5, where a coherence is divided between the two with a uniform
/// random share. Class c: the direction of channel c. Conditions: choice · 3 +
/// coherence.
///
/// With two choices, the best observer adds the two rings, because a share and
/// its complement are equally likely: over n steps, the sum of both differences
/// of channels has mean ±n·c/100 and variance 4n·s², so the observer is correct
/// with probability Φ(c/100·√n/(2s)). With more choices, the shares carry
/// information, and the ideal level is stated only without noise.
pub struct MultisensoryIntegration {
    pub frame: Frame,
    ring: Ring,
}

/// The parameters of a trial.
pub struct Trial {
    /// Channel whose angle both stimuli have, from 0.
    pub choice: usize,
    /// Index of the coherence.
    pub coherence: usize,
    /// The first ring's share of the coherence.
    pub share: f64,
}

const FIXATING: usize = 0;
const STIMULUS: usize = 1;
const DECISION: usize = 2;

impl Component for MultisensoryIntegration {
    const ID: &'static str = "neurogym.multisensory-integration";
    const ABOUT: &'static str = "judge the direction that two noisy stimuli show together";
    const CITE: &'static str = "Raposo, Kaufman, Churchland 2014; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, MultiSensoryIntegration)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let ring = Ring::new(params.dim_ring)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stimulus", params.stimulus),
                ("decision", params.decision),
            ],
            inputs: 1 + 2 * ring.len(),
            classes: 1 + ring.len(),
            fixation_weight: params.fixation_weight,
            noise: noise(params.sigma, params.dt_ms)?,
        };
        frame.check(&["stimulus", "decision"])?;
        check_length(MultisensoryIntegration { frame, ring })
    }
}

impl Design for MultisensoryIntegration {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        Trial {
            choice: stream.random_range(0..self.ring.len()),
            coherence: stream.random_range(0..COHERENCES.len()),
            share: stream.random(),
        }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        canvas.show(&[FIXATING, STIMULUS], FIXATION, 1.0);
        for (modality, share) in [trial.share, 1.0 - trial.share].into_iter().enumerate() {
            let amplitude = COHERENCES[trial.coherence] * share / 200.0;
            let pattern = self.ring.cosine(self.ring.angle(trial.choice), amplitude, 0.5);
            canvas.pattern(STIMULUS, 1 + modality * n, &pattern);
        }
        canvas.noise(&[STIMULUS], 0..1 + 2 * n);
        canvas.decide(DECISION, 1 + trial.choice as u32);
        (trial.choice * COHERENCES.len() + trial.coherence) as u32
    }

    fn conditions(&self) -> Vec<String> {
        (0..self.ring.len())
            .flat_map(|choice| {
                COHERENCES.map(|coherence| format!("{}, coherence {coherence} %", self.ring.degrees(choice)))
            })
            .collect()
    }

    fn levels(&self) -> Levels {
        let steps = self.frame.period("stimulus").distribution(self.frame.dt_ms);
        let right = |coherence: f64, steps: usize| {
            normal(coherence / 100.0 * (steps as f64).sqrt() / (2.0 * self.frame.noise))
        };
        let ideal = match (self.frame.noise, self.ring.len()) {
            (0.0, _) => Some(1.0),
            (_, 2) => Some(mean(&COHERENCES, |&c| over(&steps, |n| right(c, n)))),
            _ => None,
        };
        let chance = 1.0 / self.ring.len() as f64;
        Levels { chance, memoryless: Some(chance), ideal }
    }
}
task!(MultisensoryIntegration);
