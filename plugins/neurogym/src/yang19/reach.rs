//! Point towards a stimulus or away from it: immediately, after it, or after a
//! delay.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use super::extension::Extension;
use super::{MODALITIES, components};
use crate::design::{Canvas, Design, FIXATION, Frame};
use crate::duration::{Duration, ms};
use crate::ring::Ring;

macro_rules! params {
    ($name:ident, $delay:literal) => {
        pallium_core::params! {
            /// Timing and size of the rings.
            pub struct $name {
                /// Duration of a step in milliseconds, 1 to 1e6.
                dt_ms: u32 = 100,
                /// Duration of fixation before the stimulus, in ms.
                fixation: Duration = ms(500.0),
                /// Duration of the stimulus, in ms.
                stimulus: Duration = ms(500.0),
                /// Delay between stimulus and decision, in ms.
                delay: Duration = ms($delay),
                /// Duration of the decision, in ms.
                decision: Duration = ms(500.0),
                /// Number of channels of each ring, and of choices (2 to 1000).
                dim_ring: u32 = 16,
                /// Weight in the loss of each step outside the decision.
                fixation_weight: f64 = 1.0,
            }
        }
        impl $name {
            fn design(self, purpose: &'static str, anti: bool) -> Result<Reach> {
                let periods = vec![
                    ("fixation", self.fixation),
                    ("stimulus", self.stimulus),
                    ("delay", self.delay),
                    ("decision", self.decision),
                ];
                Reach::new(purpose, self.dt_ms, periods, self.dim_ring, self.fixation_weight, anti)
            }
        }
    };
}
params!(Params, 0.0);
params!(Delayed, 500.0);

pallium_core::params! {
    /// Timing and size of the rings.
    pub struct Reaction {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the stimulus, in ms.
        fixation: Duration = ms(500.0),
        /// Duration of the decision, during which the stimulus is shown, in ms.
        decision: Duration = ms(500.0),
        /// Number of channels of each ring, and of choices (2 to 1000).
        dim_ring: u32 = 16,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

impl Reaction {
    fn design(self, purpose: &'static str, anti: bool) -> Result<Reach> {
        let periods = vec![("fixation", self.fixation), ("decision", self.decision)];
        Reach::new(purpose, self.dt_ms, periods, self.dim_ring, self.fixation_weight, anti)
    }
}

/// A bump on one of the two rings shows a direction. Fixation is 1 except in
/// the decision. Conditions: modality · n + choice.
pub struct Reach {
    pub frame: Frame,
    ring: Ring,
    anti: bool,
    extension: Extension,
}

/// The parameters of a trial.
pub struct Trial {
    /// The ring that shows the stimulus.
    pub modality: usize,
    /// The correct choice, from 0.
    pub choice: usize,
}

impl Reach {
    pub(super) fn new(
        purpose: &'static str,
        dt_ms: u32,
        periods: Vec<(&'static str, Duration)>,
        dim_ring: u32,
        fixation_weight: f64,
        anti: bool,
    ) -> Result<Self> {
        let ring = Ring::new(dim_ring)?;
        let frame = Frame {
            purpose,
            dt_ms,
            periods,
            inputs: 1 + 2 * ring.len(),
            classes: 1 + ring.len(),
            fixation_weight,
            noise: 0.0,
        };
        frame.check(&["stimulus", "decision"])?;
        Ok(Reach { frame, ring, anti, extension: Extension::NONE })
    }

    /// The same task with an extension.
    pub(super) fn extended(self, extension: Extension) -> Self {
        Reach { extension, ..self }
    }

    /// Whether the stimulus is shown during the decision.
    fn reaction(&self) -> bool {
        self.frame.periods.len() == 2
    }
}

impl Design for Reach {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        Trial { modality: stream.random_range(0..2), choice: stream.random_range(0..self.ring.len()) }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        let (extension, dt_ms) = (&self.extension, self.frame.dt_ms);
        let shown = if self.anti { self.ring.opposite(trial.choice) } else { self.ring.angle(trial.choice) };
        let (before, stimulus, decision): (&[usize], _, _) =
            if self.reaction() { (&[0], 1, 1) } else { (&[0, 1, 2], 1, 3) };
        let shown =
            if self.reaction() { shown } else { extension.turned(shown, canvas.range(2).len(), dt_ms) };
        canvas.show(before, FIXATION, 1.0);
        canvas.pattern(stimulus, 1 + trial.modality * n, &self.ring.bump(shown, 1.0));
        canvas.decide_each(decision, |step| extension.class(trial.choice, step, dt_ms, n));
        (trial.modality * n + trial.choice) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let choices = |modality: &'static str| {
            (0..self.ring.len())
                .map(move |choice| format!("{modality}, answer {}", self.ring.degrees(choice)))
        };
        MODALITIES.into_iter().flat_map(choices).collect()
    }

    fn levels(&self) -> Levels {
        let chance = 1.0 / self.ring.len() as f64;
        // Where the answer moves while the stimulus is shown, it depends on durations.
        let memoryless = match (self.reaction(), self.extension.sequence == 0) {
            (true, true) => Some(1.0),
            (true, false) => None,
            (false, _) => Some(chance),
        };
        Levels { chance, memoryless, ideal: Some(1.0) }
    }
}

components! {
    Reach:
    Go = "yang19.go", "point to where a stimulus was, once fixation ends", Params, |id, p| p.design(id, false);
    Anti = "yang19.anti", "point away from where a stimulus was, once fixation ends", Params, |id, p| p.design(id, true);
    RtGo = "yang19.rtgo", "point to a stimulus as soon as it appears", Reaction, |id, p| p.design(id, false);
    RtAnti = "yang19.rtanti", "point away from a stimulus as soon as it appears", Reaction, |id, p| p.design(id, true);
    DlyGo = "yang19.dlygo", "point to where a stimulus was, after a delay", Delayed, |id, p| p.design(id, false);
    DlyAnti = "yang19.dlyanti", "point away from where a stimulus was, after a delay", Delayed, |id, p| p.design(id, true);
}
