//! Context-dependent decision: two noisy stimuli at once, one of which counts.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, noise, task};
use crate::duration::{Distribution, Duration, ms};
use crate::levels::{mean, over, ring_accuracy};
use crate::ring::Ring;

pallium_core::params! {
    /// Timing, noise, size of the rings, and how the context is known.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the stimulus, in ms.
        fixation: Duration = ms(300.0),
        /// Duration of the stimulus, in ms.
        stimulus: Duration = ms(750.0),
        /// Delay between stimulus and decision, in ms.
        delay: Duration = Duration::Drawn(Distribution::TruncatedExponential([600.0, 300.0, 3000.0])),
        /// Duration of the decision, in ms.
        decision: Duration = ms(100.0),
        /// Strength of the noise on both rings during the stimulus: its
        /// standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Number of channels of each ring, and of choices (2 to 1000).
        dim_ring: u32 = 2,
        /// Whether two further channels show which ring counts, drawn for each
        /// trial. If not, the same ring counts in all trials and must be
        /// learnt.
        explicit_context: bool = false,
        /// The ring that counts, 0 or 1, if the context is not explicit.
        implicit_modality: u32 = 0,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Strengths of a stimulus in percent.
const COHERENCES: [f64; 3] = [5.0, 15.0, 50.0];

/// Channel 0: fixation, 1 only in the fixation period. Channels 1…n and n+1…2n:
/// two rings, each showing cos(θ_k − θ)·coherence/200 + 0.5 of its own
/// stimulus. With an explicit context, two more channels, one of which is 1
/// throughout. Class c: the direction of channel c on the ring that counts.
/// Conditions: (context · n + choice) · 3 + coherence that counts.
///
/// The best observer uses only the ring that counts, and correlates.
pub struct ContextDecisionMaking {
    pub frame: Frame,
    ring: Ring,
    contexts: Vec<usize>,
    explicit: bool,
}

/// The parameters of a trial.
pub struct Trial {
    /// The ring that counts.
    pub context: usize,
    /// Channel of the stimulus on the ring that counts, from 0.
    pub choice: usize,
    /// Channel of the stimulus on the other ring.
    pub other: usize,
    /// Index of the coherence of each ring.
    pub coherences: [usize; 2],
}

const FIXATING: usize = 0;
const STIMULUS: usize = 1;
const DELAY: usize = 2;
const DECISION: usize = 3;

impl Component for ContextDecisionMaking {
    const ID: &'static str = "neurogym.context-decision-making";
    const ABOUT: &'static str = "judge one of two noisy stimuli, selected by the context";
    const CITE: &'static str = "Mante, Sussillo, Shenoy, Newsome 2013; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, ContextDecisionMaking)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let ring = Ring::new(params.dim_ring)?;
        let explicit = params.explicit_context;
        one_of_range("implicit_modality", params.implicit_modality.into(), 0.0, 1.0)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stimulus", params.stimulus),
                ("delay", params.delay),
                ("decision", params.decision),
            ],
            inputs: 1 + 2 * ring.len() + if explicit { 2 } else { 0 },
            classes: 1 + ring.len(),
            fixation_weight: params.fixation_weight,
            noise: noise(params.sigma, params.dt_ms)?,
        };
        frame.check(&["stimulus", "decision"])?;
        let contexts = if explicit { vec![0, 1] } else { vec![params.implicit_modality as usize] };
        check_length(ContextDecisionMaking { frame, ring, contexts, explicit })
    }
}

impl Design for ContextDecisionMaking {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        let n = self.ring.len();
        Trial {
            context: self.contexts[stream.random_range(0..self.contexts.len())],
            choice: stream.random_range(0..n),
            other: stream.random_range(0..n),
            coherences: std::array::from_fn(|_| stream.random_range(0..COHERENCES.len())),
        }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        canvas.show(&[FIXATING], FIXATION, 1.0);
        for modality in [0, 1] {
            let shown = if modality == trial.context { trial.choice } else { trial.other };
            let amplitude = COHERENCES[trial.coherences[modality]] / 200.0;
            let pattern = self.ring.cosine(self.ring.angle(shown), amplitude, 0.5);
            canvas.pattern(STIMULUS, 1 + modality * n, &pattern);
        }
        canvas.noise(&[STIMULUS], 1..1 + 2 * n);
        if self.explicit {
            canvas.show(&[FIXATING, STIMULUS, DELAY, DECISION], 1 + 2 * n + trial.context, 1.0);
        }
        canvas.decide(DECISION, 1 + trial.choice as u32);
        let context = if self.explicit { trial.context } else { 0 };
        ((context * n + trial.choice) * COHERENCES.len() + trial.coherences[trial.context]) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let mut names = Vec::new();
        for context in &self.contexts {
            for choice in 0..self.ring.len() {
                for coherence in COHERENCES {
                    let direction = self.ring.degrees(choice);
                    names.push(format!("context {}, {direction}, coherence {coherence} %", context + 1));
                }
            }
        }
        names
    }

    fn levels(&self) -> Levels {
        let choices = self.ring.len();
        let steps = self.frame.period("stimulus").distribution(self.frame.dt_ms);
        let ideal = mean(&COHERENCES, |coherence| {
            over(&steps, |steps| ring_accuracy(choices, coherence / 200.0, steps, self.frame.noise))
        });
        let chance = 1.0 / choices as f64;
        Levels { chance, memoryless: Some(chance), ideal: Some(ideal) }
    }
}
task!(ContextDecisionMaking);
