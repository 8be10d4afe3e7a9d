//! Delayed comparison: which of two magnitudes, apart in time, was larger?

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::Rng;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, noise, task};
use crate::duration::{Duration, ms};
use crate::levels::normal;

pallium_core::params! {
    /// Timing, noise, and what is compared.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 100,
        /// Duration of fixation before the first stimulus, in ms.
        fixation: Duration = ms(500.0),
        /// Duration of the first stimulus, in ms.
        stimulus1: Duration = ms(500.0),
        /// Delay between the stimuli, in ms.
        delay: Duration = ms(1000.0),
        /// Duration of the second stimulus, in ms.
        stimulus2: Duration = ms(500.0),
        /// Duration of the decision, in ms.
        decision: Duration = ms(100.0),
        /// Pairs of magnitudes, the larger first, drawn equally often and shown
        /// in either order.
        pairs: Vec<[f64; 2]> =
            vec![[18.0, 10.0], [22.0, 14.0], [26.0, 18.0], [30.0, 22.0], [34.0, 26.0]],
        /// Strength of the noise on both channels during the stimuli: its
        /// standard deviation at a step is sigma / √dt_ms.
        sigma: f64 = 1.0,
        /// Weight in the loss of each step outside the decision.
        fixation_weight: f64 = 1.0,
    }
}

/// Channel 0: fixation, 1 except in the decision, noisy during the stimuli.
/// Channel 1: magnitude v as (1 + (v − least)/(most − least))/2. Classes: 0
/// fixate, 1 the first was larger, 2 the second was. Conditions: answer ·
/// (number of pairs) + pair.
///
/// If the two magnitudes differ equally in all pairs, and both stimuli have the
/// same fixed number of steps n, the best observer answers with the sign of the
/// difference of the two means, which has mean d and variance 2s²/n:
/// Φ(d·√(n/2)/s).
pub struct DelayComparison {
    pub frame: Frame,
    pairs: Vec<[f64; 2]>,
    least: f64,
    most: f64,
}

/// The parameters of a trial.
pub struct Trial {
    /// Whether the first magnitude of the pair is shown first.
    pub in_order: bool,
    /// Index of the pair.
    pub pair: usize,
}

const STIMULUS1: usize = 1;
const STIMULUS2: usize = 3;
const DECISION: usize = 4;

impl DelayComparison {
    /// A magnitude as it is shown.
    fn shown(&self, magnitude: f64) -> f64 {
        (1.0 + (magnitude - self.least) / (self.most - self.least)) / 2.0
    }
}

impl Component for DelayComparison {
    const ID: &'static str = "neurogym.delay-comparison";
    const ABOUT: &'static str = "report which of two magnitudes, separated by a delay, was larger";
    const CITE: &'static str =
        "Barak, Tsodyks, Romo 2010; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, DelayComparison)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let pairs = params.pairs;
        one_of_range("pairs", pairs.len() as f64, 1.0, 1_000.0).map_err(|_| {
            Error::input(format!("parameter `pairs` has {} pairs", pairs.len()))
                .help("name 1 to 1000 pairs of magnitudes, such as [[18, 10]]")
        })?;
        for (index, &[first, second]) in pairs.iter().enumerate() {
            for value in [first, second] {
                one_of_range(&format!("pairs[{index}]"), value, -1e6, 1e6)?;
            }
            if first <= second {
                return Err(Error::input(format!("parameter `pairs[{index}]` is [{first}, {second}]"))
                    .help("name the larger magnitude first; both orders are shown"));
            }
        }
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("stimulus1", params.stimulus1),
                ("delay", params.delay),
                ("stimulus2", params.stimulus2),
                ("decision", params.decision),
            ],
            inputs: 2,
            classes: 3,
            fixation_weight: params.fixation_weight,
            noise: noise(params.sigma, params.dt_ms)?,
        };
        frame.check(&["stimulus1", "stimulus2", "decision"])?;
        let all = || pairs.iter().flatten().copied();
        let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
        check_length(DelayComparison { frame, pairs, least, most })
    }
}

impl Design for DelayComparison {
    type Trial = Trial;

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, stream: &mut Stream) -> Trial {
        Trial { in_order: stream.random(), pair: stream.random_range(0..self.pairs.len()) }
    }

    fn lay(&self, trial: &Trial, canvas: &mut Canvas<'_>) -> u32 {
        let [mut first, mut second] = self.pairs[trial.pair];
        if !trial.in_order {
            (first, second) = (second, first);
        }
        canvas.show(&[0, 1, 2, 3], FIXATION, 1.0);
        canvas.show(&[STIMULUS1], 1, self.shown(first));
        canvas.show(&[STIMULUS2], 1, self.shown(second));
        canvas.noise(&[STIMULUS1, STIMULUS2], 0..2);
        canvas.decide(DECISION, if trial.in_order { 1 } else { 2 });
        (usize::from(!trial.in_order) * self.pairs.len() + trial.pair) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let name = |at: usize, first: f64, second: f64| format!("{first}, then {second} (pair {})", at + 1);
        let all = || self.pairs.iter().enumerate();
        all()
            .map(|(at, &[first, second])| name(at, first, second))
            .chain(all().map(|(at, &[first, second])| name(at, second, first)))
            .collect()
    }

    fn levels(&self) -> Levels {
        let steps = |name: &str| self.frame.period(name).distribution(self.frame.dt_ms);
        let (first, second) = (steps("stimulus1"), steps("stimulus2"));
        let apart: Vec<f64> = self.pairs.iter().map(|&[a, b]| self.shown(a) - self.shown(b)).collect();
        let ideal = if self.frame.noise == 0.0 {
            Some(1.0)
        } else if first == second
            && first.len() == 1
            && apart.iter().all(|difference| (difference - apart[0]).abs() < 1e-9)
        {
            first.keys().next().map(|&n| normal(apart[0] * (n as f64 / 2.0).sqrt() / self.frame.noise))
        } else {
            None
        };
        Levels { chance: 0.5, memoryless: Some(0.5), ideal }
    }
}
task!(DelayComparison);
