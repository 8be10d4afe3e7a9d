//! Point to the second of two stimuli if it matches the first, or if it does
//! not. A match is the same direction or the same half of the circle.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use super::extension::Extension;
use super::{MODALITIES, components};
use crate::design::{Canvas, Design, FIXATE, FIXATION, Frame, noise};
use crate::duration::{Duration, ms};
use crate::ring::Ring;

pallium_core::params! {
    /// Timing, noise, and size of the rings.
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
        /// Strength of the noise on the ring in use while a stimulus is shown:
        /// its standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Number of channels of each ring, and of choices (even, 2 to 1000).
        dim_ring: u32 = 16,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// What counts as a match.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Match {
    /// The same direction; a non-match is the opposite one.
    Sample,
    /// The same half of the circle. A sample of 180° belongs to the first half;
    /// a test is any direction of [0°, 180°) or [180°, 360°).
    Category,
}

/// A bump on one of the two rings shows a sample, and after a delay a test.
/// Fixation is 1 only in the fixation period. The correct answer is the test's
/// direction, or, in half of the trials, to fixate. Conditions: (modality · 2 +
/// non-match) · n + direction of the sample.
///
/// Always fixating is correct in half of the trials, which is the chance level.
/// The ideal level is known without noise.
pub struct Matching {
    pub frame: Frame,
    ring: Ring,
    to: Match,
    /// Whether to point on a match, or on a non-match.
    on_match: bool,
    extension: Extension,
}

/// The parameters of a trial.
pub struct Trial {
    /// The ring in use.
    pub modality: usize,
    /// Whether the test matches the sample.
    pub matches: bool,
    /// Direction of the sample, as a channel of the ring.
    pub sample: usize,
    /// Direction of the test.
    pub test: usize,
}

const SAMPLE: usize = 1;
const TEST: usize = 3;
const DECISION: usize = 4;

impl Matching {
    fn new(purpose: &'static str, params: Params, to: Match, on_match: bool) -> Result<Self> {
        let noise = noise(params.sigma, params.dt_ms)?;
        let periods = vec![
            ("fixation", params.fixation),
            ("sample", params.sample),
            ("delay", params.delay),
            ("test", params.test),
            ("decision", params.decision),
        ];
        let (dt_ms, fixation_weight) = (params.dt_ms, params.fixation_weight);
        let frame = Frame { purpose, dt_ms, periods, inputs: 0, classes: 0, fixation_weight, noise };
        Matching::in_frame(frame, params.dim_ring, to, on_match)
    }

    /// A task with these five periods.
    pub(super) fn in_frame(mut frame: Frame, dim_ring: u32, to: Match, on_match: bool) -> Result<Self> {
        let ring = Ring::new(dim_ring)?;
        if !ring.len().is_multiple_of(2) {
            return Err(Error::input(format!("parameter `dim_ring` is {dim_ring}"))
                .help("it must be even, so that each direction has an opposite one"));
        }
        frame.inputs = 1 + 2 * ring.len();
        frame.classes = 1 + ring.len();
        frame.check(&["sample", "test", "decision"])?;
        Ok(Matching { frame, ring, to, on_match, extension: Extension::NONE })
    }

    /// The same task with an extension.
    pub(super) fn extended(self, extension: Extension) -> Self {
        Matching { extension, ..self }
    }
}

impl Design for Matching {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        let n = self.ring.len();
        let half = n / 2;
        let (modality, matches) = (stream.random_range(0..2), stream.random());
        let sample = stream.random_range(0..n);
        let test = match self.to {
            Match::Sample if matches => sample,
            Match::Sample => (sample + half) % n,
            Match::Category => {
                let beyond = (sample > half) == matches;
                stream.random_range(0..half) + if beyond { half } else { 0 }
            }
        };
        Trial { modality, matches, sample, test }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        let first = 1 + trial.modality * n;
        let (extension, dt_ms) = (&self.extension, self.frame.dt_ms);
        canvas.show(extension.fixates(&[0, SAMPLE, 2, TEST]), FIXATION, 1.0);
        canvas.pattern(SAMPLE, first, &self.ring.bump(self.ring.angle(trial.sample), 1.0));
        canvas.pattern(TEST, first, &self.ring.bump(self.ring.angle(trial.test), 1.0));
        canvas.noise(&[SAMPLE, TEST], first..first + n);
        let point = trial.matches == self.on_match;
        let test = extension.moved(trial.test, canvas.range(2).len(), dt_ms, n);
        canvas.decide_each(
            DECISION,
            |step| {
                if point { extension.class(test, step, dt_ms, n) } else { FIXATE }
            },
        );
        ((trial.modality * 2 + usize::from(!trial.matches)) * n + trial.sample) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let mut names = Vec::new();
        for modality in MODALITIES {
            for answer in ["match", "non-match"] {
                names.extend(
                    (0..self.ring.len())
                        .map(|k| format!("{modality}, {answer}, sample {}", self.ring.degrees(k))),
                );
            }
        }
        names
    }

    fn levels(&self) -> Levels {
        let ideal = (self.frame.noise == 0.0).then_some(1.0);
        let chance = 0.5 + 0.5 * self.extension.shared(self.ring.len());
        Levels { chance, memoryless: Some(chance), ideal }
    }
}

components! {
    Matching:
    Dms = "yang19.dms", "point to a second stimulus if it matches the first", Params, |id, p| Matching::new(id, p, Match::Sample, true);
    Dnms = "yang19.dnms", "point to a second stimulus if it does not match the first", Params, |id, p| Matching::new(id, p, Match::Sample, false);
    Dmc = "yang19.dmc", "point to a second stimulus if it is in the same half of the circle as the first", Params, |id, p| Matching::new(id, p, Match::Category, true);
    Dnmc = "yang19.dnmc", "point to a second stimulus if it is not in the same half of the circle as the first", Params, |id, p| Matching::new(id, p, Match::Category, false);
}
