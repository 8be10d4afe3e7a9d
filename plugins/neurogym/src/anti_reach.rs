//! Anti-reach (anti-saccade): answer with the direction opposite to the
//! stimulus.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, task};
use crate::duration::{Duration, ms};
use crate::ring::Ring;

pallium_core::params! {
    /// Timing, size of the ring, and which direction is correct.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the stimulus, in ms.
        fixation: Duration = ms(500.0),
        /// Duration of the stimulus, in ms.
        stimulus: Duration = ms(500.0),
        /// Delay between stimulus and decision, in ms.
        delay: Duration = ms(0.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(500.0),
        /// Whether the opposite direction is correct, or the stimulus's own
        /// direction.
        anti: bool = true,
        /// Number of channels of the ring, and of choices (2 to 1000).
        dim_ring: u32 = 32,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Channel 0: fixation, 1 except in the decision. Channels 1…n: a ring that
/// shows cos(θ_k − θ) of the stimulus. Class c: the direction of channel c.
/// Conditions: choice.
pub struct AntiReach {
    pub frame: Frame,
    ring: Ring,
    anti: bool,
}

const STIMULUS: usize = 1;
const DECISION: usize = 3;

impl Component for AntiReach {
    const ID: &'static str = "neurogym.anti-reach";
    const ABOUT: &'static str = "answer with the direction opposite to that of a stimulus";
    const CITE: &'static str = "Munoz, Everling 2004; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, AntiReach)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let ring = Ring::new(params.dim_ring)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stimulus", params.stimulus),
                ("delay", params.delay),
                ("decision", params.decision),
            ],
            inputs: 1 + ring.len(),
            classes: 1 + ring.len(),
            fixation_weight: params.fixation_weight,
            noise: 0.0,
        };
        frame.check(&["stimulus", "decision"])?;
        check_length(AntiReach { frame, ring, anti: params.anti })
    }
}

impl Design for AntiReach {
    /// The correct choice, from 0.
    type Trial = usize;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> usize {
        stream.random_range(0..self.ring.len())
    }

    fn lay(&self, &choice: &usize, canvas: &mut Canvas<'_>) -> u32 {
        let shown = if self.anti { self.ring.opposite(choice) } else { self.ring.angle(choice) };
        canvas.show(&[0, 1, 2], FIXATION, 1.0);
        canvas.pattern(STIMULUS, 1, &self.ring.cosine(shown, 1.0, 0.0));
        canvas.decide(DECISION, 1 + choice as u32);
        choice as u32
    }

    fn conditions(&self) -> Vec<String> {
        (0..self.ring.len()).map(|choice| format!("answer {}", self.ring.degrees(choice))).collect()
    }

    fn levels(&self) -> Levels {
        let chance = 1.0 / self.ring.len() as f64;
        Levels { chance, memoryless: Some(chance), ideal: Some(1.0) }
    }
}
task!(AntiReach);
