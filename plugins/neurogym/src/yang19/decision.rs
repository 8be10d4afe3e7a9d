//! Point to the stronger of two stimuli, shown simultaneously or successively,
//! in one modality, in one of two, or in both together.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use super::components;
use super::extension::Extension;
use crate::design::{Canvas, Design, FIXATION, Frame, noise};
use crate::duration::{Distribution, Duration, ms, uniform};
use crate::ring::Ring;

macro_rules! params {
    ($name:ident, $stimulus:expr) => {
        pallium_core::params! {
            /// Timing, noise, strengths, and size of the rings.
            pub struct $name {
                /// Duration of a step in milliseconds, 1 to 1e6.
                dt_ms: u32 = 100,
                /// Duration of fixation before the stimuli, in ms.
                fixation: Duration = uniform(200.0, 500.0),
                /// Duration of the two stimuli, in ms.
                stimulus: Duration = $stimulus,
                /// Duration of the decision, in ms.
                decision: Duration = ms(200.0),
                /// Differences in strength (0 to 1) between the two stimuli,
                /// whose strengths sum to 1; drawn equally often.
                coherences: Vec<f64> = vec![0.08, 0.16, 0.32, 0.64],
                /// Strength of the noise on both rings while stimuli are shown:
                /// its standard deviation at a step is sigma / √dt_ms.
                sigma: f64 = 1.0,
                /// Number of channels of each ring, and of choices (2 to 1000).
                dim_ring: u32 = 16,
                /// Weight in the loss of each step outside the decision.
                fixation_weight: f64 = 1.0,
            }
        }
        impl $name {
            fn design(self, purpose: &'static str, rule: Rule) -> Result<Decision> {
                let periods = vec![
                    ("fixation", self.fixation),
                    ("stimulus", self.stimulus),
                    ("decision", self.decision),
                ];
                let frame = frame(purpose, self.dt_ms, periods, self.sigma, self.fixation_weight)?;
                Decision::new(frame, self.dim_ring, self.coherences, rule)
            }
        }
    };
}
params!(Params, ms(500.0));
params!(Varied, Duration::Drawn(Distribution::Choice(vec![200.0, 400.0, 600.0])));

pallium_core::params! {
    /// Timing, noise, strengths, and size of the rings.
    pub struct Delayed {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the first stimulus, in ms.
        fixation: Duration = uniform(200.0, 500.0),
        /// Duration of the first stimulus, in ms.
        stim1: Duration = ms(500.0),
        /// Delay between the stimuli, in ms.
        delay: Duration = ms(1000.0),
        /// Duration of the second stimulus, in ms.
        stim2: Duration = ms(500.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(200.0),
        /// Strengths of stimuli (0 to 1), drawn equally often; the two stimuli
        /// of a modality differ in strength.
        coherences: Vec<f64> = vec![0.3, 0.6, 1.0],
        /// Strength of the noise on both rings while stimuli are shown: its
        /// standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Number of channels of each ring, and of choices (2 to 1000).
        dim_ring: u32 = 16,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

impl Delayed {
    fn design(self, purpose: &'static str, rule: Rule) -> Result<Decision> {
        let periods = vec![
            ("fixation", self.fixation),
            ("stim1", self.stim1),
            ("delay", self.delay),
            ("stim2", self.stim2),
            ("decision", self.decision),
        ];
        let frame = frame(purpose, self.dt_ms, periods, self.sigma, self.fixation_weight)?;
        Decision::new(frame, self.dim_ring, self.coherences, rule)
    }
}

fn frame(
    purpose: &'static str,
    dt_ms: u32,
    periods: Vec<(&'static str, Duration)>,
    sigma: f64,
    fixation_weight: f64,
) -> Result<Frame> {
    let noise = noise(sigma, dt_ms)?;
    Ok(Frame { purpose, dt_ms, periods, inputs: 0, classes: 0, fixation_weight, noise })
}

/// Which modalities show stimuli, and their weights in the decision.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    shown: [bool; 2],
    weights: [f64; 2],
}

pub(super) const FIRST: Rule = Rule { shown: [true, false], weights: [1.0, 1.0] };
pub(super) const SECOND: Rule = Rule { shown: [false, true], weights: [1.0, 1.0] };
pub(super) const ONLY_FIRST: Rule = Rule { shown: [true, true], weights: [1.0, 0.0] };
pub(super) const ONLY_SECOND: Rule = Rule { shown: [true, true], weights: [0.0, 1.0] };
pub(super) const BOTH: Rule = Rule { shown: [true, true], weights: [1.0, 1.0] };

/// Strengths that differ by less count as equal; the answer is then random.
const TIE: f64 = 1e-6;

/// Two directions, each shown as a bump of some strength. The correct answer is
/// the direction with the larger sum of strengths over the modalities that
/// count (with equal sums, either with equal probability). Fixation is 1 only
/// in the fixation period. Conditions: the correct choice.
///
/// The ideal level is known without noise, where only ties must be guessed.
pub struct Decision {
    pub frame: Frame,
    ring: Ring,
    coherences: Vec<f64>,
    rule: Rule,
    extension: Extension,
}

/// The parameters of a trial.
pub struct Trial {
    /// The two directions, as channels of a ring.
    pub directions: [usize; 2],
    /// Strengths of the two stimuli in each modality; `None` if it shows none.
    pub strengths: [Option<[f64; 2]>; 2],
    /// A number between −1e-6 and 1e-6 that decides ties.
    pub tie: f64,
}

impl Decision {
    pub(super) fn new(mut frame: Frame, dim_ring: u32, coherences: Vec<f64>, rule: Rule) -> Result<Self> {
        let ring = Ring::new(dim_ring)?;
        frame.inputs = 1 + 2 * ring.len();
        frame.classes = 1 + ring.len();
        frame.check(&["stimulus", "stim1", "stim2", "decision"])?;
        let least = if frame.periods.len() == 5 { 2 } else { 1 };
        if !(least..=1_000).contains(&coherences.len()) {
            return Err(Error::input(format!("parameter `coherences` has {} values", coherences.len()))
                .help(format!("name between {least} and 1000 of them, each between 0 and 1")));
        }
        for (index, &coherence) in coherences.iter().enumerate() {
            one_of_range(&format!("coherences[{index}]"), coherence, 0.0, 1.0)?;
        }
        Ok(Decision { frame, ring, coherences, rule, extension: Extension::NONE })
    }

    /// The same task with an extension.
    pub(super) fn extended(self, extension: Extension) -> Self {
        Decision { extension, ..self }
    }

    /// Whether the stimuli are shown successively.
    fn delayed(&self) -> bool {
        self.frame.periods.len() == 5
    }

    /// The pairs of strengths that a modality shows, equally often.
    fn pairs(&self) -> Vec<[f64; 2]> {
        let mut pairs = Vec::new();
        for (at, &one) in self.coherences.iter().enumerate() {
            if self.delayed() {
                let others = self.coherences.iter().enumerate().filter(|(other, _)| *other != at);
                pairs.extend(others.map(|(_, &other)| [one, other]));
            } else {
                pairs.extend([one, -one].map(|c| [0.5 + c / 2.0, 0.5 - c / 2.0]));
            }
        }
        pairs
    }

    /// Sums of the strengths of the two directions over the modalities that
    /// count.
    fn evidence(&self, strengths: &[Option<[f64; 2]>; 2]) -> [f64; 2] {
        let mut sums = [0.0; 2];
        for (pair, weight) in strengths.iter().zip(self.rule.weights) {
            if let Some(pair) = pair {
                sums.iter_mut().zip(pair).for_each(|(sum, strength)| *sum += weight * strength);
            }
        }
        sums
    }
}

impl Design for Decision {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        let n = self.ring.len();
        let first = stream.random_range(0..n);
        let second = (first + stream.random_range(1..n)) % n;
        let count = self.coherences.len();
        let strengths = self.rule.shown.map(|shown| {
            let at = stream.random_range(0..count);
            let one = self.coherences[at];
            let pair = if self.delayed() {
                [one, self.coherences[(at + stream.random_range(1..count)) % count]]
            } else {
                let one = if stream.random() { one } else { -one };
                [0.5 + one / 2.0, 0.5 - one / 2.0]
            };
            shown.then_some(pair)
        });
        Trial { directions: [first, second], strengths, tie: stream.random_range(-TIE..TIE) }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let n = self.ring.len();
        let (stimuli, decision) = if self.delayed() { ([1, 3], 4) } else { ([1, 1], 2) };
        let periods = if self.delayed() { &stimuli[..] } else { &stimuli[..1] };
        let (extension, dt_ms) = (&self.extension, self.frame.dt_ms);
        canvas.show(extension.fixates(&[0, 1, 2, 3][..decision]), FIXATION, 1.0);
        canvas.noise(periods, extension.first_noisy()..1 + 2 * n);
        for (modality, pair) in trial.strengths.iter().enumerate() {
            let Some(pair) = pair else { continue };
            for ((period, direction), &strength) in stimuli.into_iter().zip(trial.directions).zip(pair) {
                let bump = self.ring.bump(self.ring.angle(direction), strength);
                canvas.pattern(period, 1 + modality * n, &bump);
            }
        }
        let [first, second] = self.evidence(&trial.strengths);
        let choice = trial.directions[usize::from(first + trial.tie <= second)];
        let delay = if self.delayed() { canvas.range(2).len() } else { 0 };
        let choice = extension.moved(choice, delay, dt_ms, n);
        canvas.decide_each(decision, |step| extension.class(choice, step, dt_ms, n));
        choice as u32
    }

    fn conditions(&self) -> Vec<String> {
        (0..self.ring.len()).map(|choice| format!("answer {}", self.ring.degrees(choice))).collect()
    }

    fn levels(&self) -> Levels {
        let chance = 1.0 / self.ring.len() as f64;
        let known = self.frame.noise == 0.0;
        let ideal = known.then(|| {
            let pairs = self.pairs();
            let each = |shown: bool| -> Vec<Option<[f64; 2]>> {
                if shown { pairs.iter().copied().map(Some).collect() } else { vec![None] }
            };
            let [first, second] = self.rule.shown.map(each);
            let mut sum = 0.0;
            for one in &first {
                for two in &second {
                    let [a, b] = self.evidence(&[*one, *two]);
                    let right = ((a - b + TIE) / (2.0 * TIE)).clamp(0.0, 1.0);
                    sum += right.max(1.0 - right);
                }
            }
            sum / (first.len() * second.len()) as f64
        });
        Levels { chance, memoryless: Some(chance), ideal }
    }
}

components! {
    Decision:
    Dm1 = "yang19.dm1", "point to the stronger of two stimuli in modality 1", Varied, |id, p| p.design(id, FIRST);
    Dm2 = "yang19.dm2", "point to the stronger of two stimuli in modality 2", Params, |id, p| p.design(id, SECOND);
    CtxDm1 = "yang19.ctxdm1", "point to the stronger of two stimuli in modality 1, ignoring modality 2", Params, |id, p| p.design(id, ONLY_FIRST);
    CtxDm2 = "yang19.ctxdm2", "point to the stronger of two stimuli in modality 2, ignoring modality 1", Params, |id, p| p.design(id, ONLY_SECOND);
    MultiDm = "yang19.multidm", "point to the stronger of two stimuli, combined over both modalities", Params, |id, p| p.design(id, BOTH);
    DlyDm1 = "yang19.dlydm1", "point to the stronger of two successive stimuli in modality 1", Delayed, |id, p| p.design(id, FIRST);
    DlyDm2 = "yang19.dlydm2", "point to the stronger of two successive stimuli in modality 2", Delayed, |id, p| p.design(id, SECOND);
    CtxDlyDm1 = "yang19.ctxdlydm1", "point to the stronger of two successive stimuli in modality 1, ignoring modality 2", Delayed, |id, p| p.design(id, ONLY_FIRST);
    CtxDlyDm2 = "yang19.ctxdlydm2", "point to the stronger of two successive stimuli in modality 2, ignoring modality 1", Delayed, |id, p| p.design(id, ONLY_SECOND);
    MultiDlyDm = "yang19.multidlydm", "point to the stronger of two successive stimuli, combined over both modalities", Delayed, |id, p| p.design(id, BOTH);
}
