//! Perceptual decision: which of two noisy channels is stronger on average?

use std::f64::consts::{PI, SQRT_2};
use std::ops::Range;

use libm::erfc;
use pallium_core::ndarray::s;
use pallium_core::prelude::*;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::trial::{Period, empty_batch, lay_out, mark_periods};

pallium_core::params! {
    /// Periods of a trial in their order, and what is shown.
    pub struct Params {
        /// Steps of fixation before the stimulus.
        fixation: u32 = 1,
        /// Steps during which the stimulus is shown; at least 1.
        stimulus: u32 = 30,
        /// Steps of fixation after the stimulus; the last one is scored.
        delay: u32 = 10,
        /// Strengths of the stimulus in percent, 0 to 100, drawn equally often.
        /// At 0, neither answer is better than the other.
        coherences: Vec<f64> = vec![0.0, 6.4, 12.8, 25.6, 51.2],
        /// Duration of a step in milliseconds, 0.001 to 1e6. A shorter step
        /// carries more noise.
        dt_ms: f64 = 100.0,
        /// Strength of the stimulus noise: its standard deviation at a step is
        /// sigma / √dt_ms; 0 to 1e6.
        sigma: f64 = 1.0,
    }
}

/// Preferred directions of the two stimulus channels, in radians.
const DIRECTIONS: [f64; 2] = [0.0, PI];

/// Mean of both channels at coherence 0.
const BASELINE: f64 = 0.5;

/// Channel 0 is 1 throughout (fixation). During the stimulus, channel 1 + k
/// shows cos(θ_k − θ)·coherence/200 + 0.5 + N(0, sigma/√dt), independent at
/// each step and channel, where θ is θ_0 or θ_1 = θ_0 + π with equal
/// probability; otherwise 0. Class k: the stimulus moved along θ_k.
///
/// The conditions are direction × coherence: index = direction · (number of
/// coherences) + index of the coherence.
///
/// Levels: for every coherence, the likelihood ratio of the two directions
/// increases with the sum of the difference of the two channels over the n
/// stimulus steps, so the ideal observer answers with the sign of this sum. At
/// each step the difference has mean ±2·c/200 = ±c/100 and variance 2·s², s =
/// sigma/√dt, so the observer is correct with probability Φ(c/100 · √(n/2) /
/// s), averaged over the coherences c. A memoryless observer sees none of the
/// stimulus (0.5), or, without a delay, one step of it (n = 1).
struct PerceptualDecision {
    fixation: Range<usize>,
    stimulus: Range<usize>,
    delay: Range<usize>,
    coherences: Vec<f64>,
    /// Duration of a step in milliseconds.
    step_ms: f64,
    /// Standard deviation of the noise of one channel at one step.
    noise: f64,
}

impl PerceptualDecision {
    /// Accuracy of the best observer that sees `steps` steps of the stimulus.
    fn accuracy(&self, steps: usize) -> f64 {
        let right = |coherence: f64| {
            if steps == 0 || coherence == 0.0 {
                0.5
            } else if self.noise == 0.0 {
                1.0
            } else {
                // Φ(x) from libm's complementary error function, which is
                // accurate to the last digits; that of statrs has errors up to
                // 1e-10.
                let x = coherence / 100.0 * (steps as f64 / 2.0).sqrt() / self.noise;
                0.5 * erfc(-x / SQRT_2)
            }
        };
        self.coherences.iter().map(|&c| right(c)).sum::<f64>() / self.coherences.len() as f64
    }
}

impl Component for PerceptualDecision {
    const ID: &'static str = "cognition.perceptual-decision";
    const ABOUT: &'static str = "report after a delay in which of two directions a noisy stimulus moved";
    const CITE: &'static str = "Britten et al. 1992; Molano-Mazón et al. 2022 (NeuroGym); as in Shakiba et al. 2026, arXiv 2606.14975, Task 3";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let [fixation, stimulus, delay] = lay_out([
            Period::optional("fixation", params.fixation),
            Period::required("stimulus", params.stimulus),
            Period::optional("delay", params.delay),
        ])?;
        one_of_range("dt_ms", params.dt_ms, 1e-3, 1e6)?;
        one_of_range("sigma", params.sigma, 0.0, 1e6)?;
        let coherences = params.coherences;
        if coherences.is_empty() {
            return Err(Error::input("parameter `coherences` is empty")
                .help("name at least one coherence in percent, such as [12.8]"));
        }
        if coherences.len() > 1_000 {
            return Err(Error::input(format!("parameter `coherences` has {} values", coherences.len()))
                .help("it must have at most 1000"));
        }
        for (index, &coherence) in coherences.iter().enumerate() {
            one_of_range(&format!("coherences[{index}]"), coherence, 0.0, 100.0)?;
            if coherences[..index].contains(&coherence) {
                return Err(Error::input(format!("parameter `coherences` has {coherence} twice"))
                    .help("name each coherence once; they are drawn equally often"));
            }
        }
        let noise = params.sigma / params.dt_ms.sqrt();
        Ok(PerceptualDecision { fixation, stimulus, delay, coherences, step_ms: params.dt_ms, noise })
    }
}

impl Task for PerceptualDecision {
    fn info(&self) -> TaskInfo {
        let conditions = DIRECTIONS
            .iter()
            .flat_map(|direction| {
                let degrees = direction.to_degrees();
                self.coherences.iter().map(move |c| format!("direction {degrees}°, coherence {c} %"))
            })
            .collect();
        // The number of stimulus steps that the last input shows.
        let last = usize::from(self.delay.is_empty());
        let mut info = TaskInfo::classes(1 + DIRECTIONS.len(), DIRECTIONS.len(), self.delay.end);
        info.step_ms = Some(self.step_ms);
        info.conditions = conditions;
        info.periods = ["fixation", "stimulus", "delay"].map(String::from).into();
        info.levels = Some(Levels {
            chance: 1.0 / DIRECTIONS.len() as f64,
            memoryless: Some(self.accuracy(last)),
            ideal: Some(self.accuracy(self.stimulus.len())),
        });
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        let mut batch = empty_batch(count, self.delay.end, 1 + DIRECTIONS.len())?;
        batch.inputs.slice_mut(s![.., self.fixation.start.., 0]).fill(1.0);
        mark_periods(&mut batch, &[self.fixation.clone(), self.stimulus.clone(), self.delay.clone()]);
        let mut stream = random::stream(seed, Self::ID);
        let coherences = self.coherences.len() as u32;
        for trial in 0..count {
            let condition = stream.random_range(0..DIRECTIONS.len() as u32 * coherences);
            let class = condition / coherences;
            let coherence = self.coherences[(condition % coherences) as usize];
            let shown = DIRECTIONS[class as usize];
            for step in self.stimulus.clone() {
                for (channel, direction) in DIRECTIONS.iter().enumerate() {
                    let mean = (direction - shown).cos() * coherence / 200.0 + BASELINE;
                    let deviate: f64 = StandardNormal.sample(&mut stream);
                    batch.inputs[[trial, step, 1 + channel]] = (mean + self.noise * deviate) as f32;
                }
            }
            batch.label_at_end(trial, class);
            batch.conditions[trial] = condition;
        }
        Ok(batch)
    }
}
pallium_core::register!(Task, PerceptualDecision);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::{assert_share, check_properties};

    fn build(params: Params) -> Result<PerceptualDecision> {
        PerceptualDecision::build(params, &Setting::default())
    }

    fn task(params: Params) -> PerceptualDecision {
        build(params).unwrap()
    }

    #[test]
    fn it_has_the_properties_of_all_tasks() {
        check_properties(&mut task(Params::default()));
        let short = Params { fixation: 0, stimulus: 2, delay: 0, coherences: vec![5.0], ..Params::default() };
        check_properties(&mut task(short));
    }

    #[test]
    fn trials_are_as_published() {
        let mut task = task(Params::default());
        let info = task.info();
        assert_eq!((info.inputs, info.outputs, info.steps, info.step_ms), (3, 2, 41, Some(100.0)));
        assert_eq!(info.conditions.len(), 10);
        assert_eq!(info.conditions[6], "direction 180°, coherence 6.4 %");
        let batch = task.trials(1_000, 1).unwrap();
        assert!(batch.inputs.slice(s![.., .., 0]).iter().all(|&v| v == 1.0), "fixation throughout");
        assert!(
            batch.inputs.slice(s![.., ..1, 1..]).iter().all(|&v| v == 0.0),
            "nothing before the stimulus"
        );
        assert!(batch.inputs.slice(s![.., 31.., 1..]).iter().all(|&v| v == 0.0), "nothing after it");
        for trial in 0..1_000 {
            assert_eq!(batch.targets.view().classes().unwrap()[[trial, 40]], batch.conditions[trial] / 5);
        }
    }

    #[test]
    fn without_noise_the_channels_show_the_coherence() {
        let mut task = task(Params { sigma: 0.0, ..Params::default() });
        let batch = task.trials(200, 2).unwrap();
        for trial in 0..200 {
            let class = batch.targets.view().classes().unwrap()[[trial, 40]] as usize;
            let half = [0.0, 0.032, 0.064, 0.128, 0.256][batch.conditions[trial] as usize % 5];
            for step in 1..31 {
                let (with, against) =
                    (batch.inputs[[trial, step, 1 + class]], batch.inputs[[trial, step, 2 - class]]);
                assert!((with - (0.5 + half)).abs() < 1e-6 && (against - (0.5 - half)).abs() < 1e-6);
            }
        }
        let levels = task.info().levels.unwrap();
        assert_eq!(levels.ideal, Some(0.9), "only coherence 0 is left to guess");
        assert_eq!(levels.memoryless, Some(0.5));
    }

    #[test]
    fn noise_has_the_stated_deviation_and_is_independent() {
        for (sigma, dt_ms, deviation) in [(1.0, 100.0, 0.1), (2.0, 25.0, 0.4)] {
            let params = Params { sigma, dt_ms, ..Params::default() };
            let batch = task(params.clone()).trials(5_000, 4).unwrap();
            let clean = task(Params { sigma: 0.0, ..params });
            let mean = |trial: usize, channel: usize| {
                let condition = batch.conditions[trial] as usize;
                let sign = if condition / 5 == channel { 1.0 } else { -1.0 };
                0.5 + sign * clean.coherences[condition % 5] / 200.0
            };
            let z = |trial: usize, step: usize, channel: usize| {
                (f64::from(batch.inputs[[trial, 1 + step, 1 + channel]]) - mean(trial, channel)) / deviation
            };
            let (mut count, mut inside) = (0, 0);
            let (mut sum, mut square) = (0.0, 0.0);
            let (mut across, mut after, mut next) = (0.0, 0.0, 0.0);
            for trial in 0..5_000 {
                for step in 0..30 {
                    across += z(trial, step, 0) * z(trial, step, 1);
                    for channel in 0..2 {
                        let value = z(trial, step, channel);
                        count += 1;
                        sum += value;
                        square += value * value;
                        inside += usize::from(value.abs() < 1.0);
                        after += value * z(trial, (step + 1) % 30, channel);
                        next += value * z((trial + 1) % 5_000, step, channel);
                    }
                }
            }
            let n = f64::from(count);
            assert!((sum / n).abs() < 5.0 / n.sqrt(), "mean {}", sum / n);
            assert!((square / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {}", square / n);
            assert_share("within one deviation", inside, count as usize, 0.682_689_492_137_085_9);
            assert!((across / (n / 2.0)).abs() < 5.0 / (n / 2.0).sqrt(), "across channels {across}");
            assert!((after / n).abs() < 5.0 / n.sqrt(), "across steps {after}");
            assert!((next / n).abs() < 5.0 / n.sqrt(), "across trials {next}");
        }
    }

    #[test]
    fn levels_match_the_normal_distribution() {
        // scipy.stats.norm.cdf(c / 100 * sqrt(n / 2) / s), averaged.
        let close = |value: Option<f64>, expected: f64| {
            let value = value.unwrap();
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        };
        let levels = task(Params::default()).info().levels.unwrap();
        close(levels.ideal, 0.898_681_341_478_928_2);
        assert_eq!((levels.chance, levels.memoryless), (0.5, Some(0.5)));
        let levels = task(Params { stimulus: 10, sigma: 3.0, ..Params::default() }).info().levels.unwrap();
        close(levels.ideal, 0.797_008_989_833_366_9);
        let levels = task(Params { delay: 0, ..Params::default() }).info().levels.unwrap();
        close(levels.memoryless, 0.791_315_185_391_081_1);
        close(levels.ideal, 0.898_681_341_478_928_2);
    }

    /// A Bayesian observer that weights every coherence by its likelihood given
    /// the steps `seen`. It does not use the sum that the formula is based on.
    fn bayesian(batch: &Batch, coherences: &[f64], noise: f64, seen: Range<usize>) -> usize {
        let likelihood = |trial: usize, class: usize| -> f64 {
            let logs: Vec<f64> = coherences
                .iter()
                .map(|c| {
                    let mut log = 0.0;
                    for step in seen.clone() {
                        for channel in 0..2 {
                            let sign = if channel == class { 1.0 } else { -1.0 };
                            let value = f64::from(batch.inputs[[trial, step, 1 + channel]]);
                            log -= ((value - 0.5 - sign * c / 200.0) / noise).powi(2) / 2.0;
                        }
                    }
                    log
                })
                .collect();
            let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most + logs.iter().map(|l| (l - most).exp()).sum::<f64>().ln()
        };
        let last = batch.inputs.dim().1 - 1;
        (0..batch.trials())
            .filter(|&trial| {
                let answer = u32::from(likelihood(trial, 1) > likelihood(trial, 0));
                answer == batch.targets.view().classes().unwrap()[[trial, last]]
            })
            .count()
    }

    #[test]
    fn a_bayesian_observer_reaches_the_levels() {
        for params in [Params::default(), Params { stimulus: 10, sigma: 3.0, ..Params::default() }] {
            let mut task = task(params);
            let batch = task.trials(20_000, 6).unwrap();
            let right = bayesian(&batch, &task.coherences, task.noise, task.stimulus.clone());
            assert_share("ideal", right, 20_000, task.info().levels.unwrap().ideal.unwrap());
        }
        let mut task = task(Params { delay: 0, ..Params::default() });
        let batch = task.trials(20_000, 6).unwrap();
        let right = bayesian(&batch, &task.coherences, task.noise, 30..31);
        assert_share(
            "memoryless without delay",
            right,
            20_000,
            task.info().levels.unwrap().memoryless.unwrap(),
        );
    }

    #[test]
    fn impossible_parameters_are_refused() {
        let refused = |params: Params, message: &str| {
            let e = build(params).err().unwrap();
            assert_eq!(e.message, message);
            assert!(e.help.is_some());
        };
        let with = |coherences: &[f64]| Params { coherences: coherences.to_vec(), ..Params::default() };
        refused(Params { stimulus: 0, ..Params::default() }, "parameter `stimulus` is 0");
        refused(with(&[]), "parameter `coherences` is empty");
        refused(with(&[6.4, -1.0]), "parameter `coherences[1]` is -1");
        refused(with(&[101.0]), "parameter `coherences[0]` is 101");
        refused(with(&[f64::NAN]), "parameter `coherences[0]` is NaN");
        refused(with(&[6.4, 0.0, 6.4]), "parameter `coherences` has 6.4 twice");
        refused(Params { dt_ms: 0.0, ..Params::default() }, "parameter `dt_ms` is 0");
        refused(Params { sigma: -0.1, ..Params::default() }, "parameter `sigma` is -0.1");
        refused(Params { sigma: f64::INFINITY, ..Params::default() }, "parameter `sigma` is inf");
    }
}
