//! Bootstrap intervals.

use pallium_core::rand::Rng;
use pallium_core::random;

use super::quantile::quantile;
use super::tail::{normal_cdf, normal_quantile};

/// The mean; NaN of an empty sample.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The bias-corrected and accelerated bootstrap interval (Efron 1987) of
/// `statistic`, from `resamples` resamples drawn from `seed`.
///
/// The bias correction is the normal quantile of the share of resamples below
/// the statistic (ties count half), the acceleration comes from leaving out one
/// value at a time, and percentiles are interpolated linearly, as in scipy's
/// `bootstrap(method="BCa")`.
///
/// Both ends are NaN with fewer than two values or without resamples. If every
/// resample gives the same statistic, both ends are equal to it (scipy: NaN).
/// resample gives the same statistic, both ends are that (scipy: NaN).
pub fn bootstrap_bca(
    values: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> (f64, f64) {
    let undefined = (f64::NAN, f64::NAN);
    let n = values.len();
    let Ok(bound) = u32::try_from(n) else { return undefined };
    if n < 2 || resamples == 0 {
        return undefined;
    }
    let observed = statistic(values);
    let mut stream = random::stream(seed, "bootstrap");
    let mut sample = vec![0.0; n];
    let mut found: Vec<f64> = (0..resamples)
        .map(|_| {
            sample.fill_with(|| values[stream.random_range(0..bound) as usize]);
            statistic(&sample)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    if found[0] == found[resamples - 1] {
        return (found[0], found[0]);
    }
    let below = found.partition_point(|s| *s < observed) + found.partition_point(|s| *s <= observed);
    let bias = normal_quantile(below as f64 / (2 * resamples) as f64);

    // `sample` without one value, for each value in turn.
    sample.copy_from_slice(values);
    sample.truncate(n - 1);
    let mut without = Vec::with_capacity(n);
    for left_out in (0..n).rev() {
        without.push(statistic(&sample));
        if left_out > 0 {
            sample[left_out - 1] = values[left_out];
        }
    }
    let centre = mean(&without);
    let (squares, cubes) =
        without.iter().map(|s| centre - s).fold((0.0, 0.0), |(s, c), d| (s + d * d, c + d * d * d));
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };

    let tail = normal_quantile((1.0 - confidence) / 2.0);
    let place = |z: f64| {
        let shifted = bias + z;
        quantile(&found, normal_cdf(bias + shifted / (1.0 - acceleration * shifted)))
    };
    (place(tail), place(-tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEWED: [f64; 12] = [0.1, 0.3, 0.2, 0.9, 1.7, 0.4, 0.2, 3.5, 0.6, 0.1, 0.8, 2.2];

    #[test]
    fn the_interval_agrees_with_scipy() {
        // scipy.stats.bootstrap(method="BCa") with 1,000,000 resamples
        let (low, high) = bootstrap_bca(&SKEWED, mean, 0.95, 200_000, 1);
        assert!((low - 0.49167).abs() < 0.006, "{low}");
        assert!((high - 1.70833).abs() < 0.015, "{high}");
    }

    #[test]
    fn the_jackknife_leaves_out_every_value() {
        // The median of resamples of a symmetric sample is unbiased.
        let median = |v: &[f64]| {
            let mut v = v.to_vec();
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        let (low, high) = bootstrap_bca(&[1.0, 2.0, 3.0, 4.0, 5.0], median, 0.9, 20_000, 0);
        assert!(low < 3.0 && high > 3.0, "{low} {high}");
    }

    #[test]
    fn it_is_repeatable() {
        let interval = |seed| bootstrap_bca(&SKEWED, mean, 0.95, 999, seed);
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn edges() {
        assert!(bootstrap_bca(&[], mean, 0.95, 99, 0).0.is_nan());
        assert!(bootstrap_bca(&[1.0], mean, 0.95, 99, 0).0.is_nan());
        assert!(bootstrap_bca(&SKEWED, mean, 0.95, 0, 0).0.is_nan());
        assert_eq!(bootstrap_bca(&[0.5; 5], mean, 0.95, 99, 0), (0.5, 0.5));
    }
}
