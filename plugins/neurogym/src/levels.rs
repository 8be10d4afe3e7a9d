//! Reference accuracies computed from a task's parameters.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

use libm::erfc;

/// Probability that a standard normal number is below `x`.
pub fn normal(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// Accuracy of the best observer that identifies one of `choices` equally
/// likely signals in white noise. The signals are cosine patterns of amplitude
/// `amplitude` on as many ring channels, one for each of the ring's angles,
/// shown for `steps` steps with noise of standard deviation `noise` on each
/// channel.
///
/// The patterns lie on a circle in a plane (for two choices: at two points on a
/// line), and the best observer answers with the nearest one for any amplitude.
/// So this follows from the symbol error of phase-shift keying: 1 − (1/π) ∫
/// exp(−γ sin²(π/M) / sin²θ) dθ from 0 to π(M − 1)/M, where γ is the signal's
/// squared length over twice the noise's variance (Craig 1991).
pub fn ring_accuracy(choices: usize, amplitude: f64, steps: usize, noise: f64) -> f64 {
    let m = choices as f64;
    if steps == 0 || amplitude == 0.0 {
        return 1.0 / m;
    }
    if noise == 0.0 {
        return 1.0;
    }
    // Σ cos² over the ring is M/2, but 2 for two channels.
    let squares = if choices == 2 { 2.0 } else { m / 2.0 };
    let gamma = steps as f64 * amplitude * amplitude * squares / (2.0 * noise * noise);
    if choices == 2 {
        return normal((2.0 * gamma).sqrt());
    }
    let sine = (PI / m).sin().powi(2);
    let end = PI * (m - 1.0) / m;
    let height = |theta: f64| match theta.sin().powi(2) {
        0.0 => 0.0,
        square => (-gamma * sine / square).exp(),
    };
    1.0 - simpson(height, 0.0, end, 4_000) / PI
}

/// Simpson's rule with an even number of intervals.
fn simpson(f: impl Fn(f64) -> f64, from: f64, to: f64, intervals: usize) -> f64 {
    let h = (to - from) / intervals as f64;
    let inner: f64 =
        (1..intervals).map(|k| f(from + h * k as f64) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (f(from) + inner + f(to)) * h / 3.0
}

/// The mean of `accuracy` over a distribution of steps.
pub fn over(steps: &BTreeMap<usize, f64>, accuracy: impl Fn(usize) -> f64) -> f64 {
    // Rounding may leave a value just above 1.
    steps.iter().map(|(&k, p)| p * accuracy(k)).sum::<f64>().min(1.0)
}

/// The mean of `value` over `all`.
pub fn mean<T>(all: &[T], value: impl Fn(&T) -> f64) -> f64 {
    (all.iter().map(value).sum::<f64>() / all.len() as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use pallium_core::random;
    use rand::Rng;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::ring::Ring;

    #[test]
    fn a_simulated_observer_reaches_the_stated_accuracy() {
        // A value from tables, and a simulated observer that correlates.
        assert!((normal(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        let mut stream = random::stream(3, "test");
        for (choices, amplitude, steps, noise) in
            [(2_usize, 0.025, 7, 0.1), (3, 0.075, 4, 0.1), (4, 0.05, 7, 0.1), (9, 0.2, 3, 0.2)]
        {
            let stated = ring_accuracy(choices, amplitude, steps, noise);
            let ring = Ring::new(choices as u32).unwrap();
            let patterns: Vec<_> = (0..choices).map(|k| ring.cosine(ring.angle(k), 1.0, 0.0)).collect();
            let mut right = 0;
            for _ in 0..40_000 {
                let shown = stream.random_range(0..choices);
                let sum: Vec<f64> = patterns[shown]
                    .iter()
                    .map(|p| {
                        let deviate: f64 = stream.sample(StandardNormal);
                        p * amplitude * steps as f64 + noise * (steps as f64).sqrt() * deviate
                    })
                    .collect();
                let score = |k: &usize| patterns[*k].iter().zip(&sum).map(|(p, s)| p * s).sum::<f64>();
                let answer = (0..choices).max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
                right += usize::from(answer == shown);
            }
            let found = f64::from(u32::try_from(right).unwrap()) / 40_000.0;
            let slack = 5.0 * (stated * (1.0 - stated) / 40_000.0).sqrt();
            assert!((found - stated).abs() < slack, "{choices} choices: {found}, stated {stated}");
        }
        assert_eq!(ring_accuracy(4, 0.0, 7, 0.1), 0.25);
        assert_eq!(ring_accuracy(4, 0.1, 7, 0.0), 1.0);
    }
}
