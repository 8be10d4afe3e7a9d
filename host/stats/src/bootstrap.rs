//! Bootstrap intervals of a mean.

use pallium_core::rand::Rng;
use pallium_core::random;

use super::mean::mean;
use super::quantile::quantile;
use super::rounding::{Rounded, all_equal, scale_of};
use super::tail::{normal_cdf, normal_quantile};

/// The bias-corrected and accelerated bootstrap interval (Efron 1987) of the
/// mean, from `resamples` resamples drawn from `seed`.
///
/// The bias correction is the normal quantile of the share of resamples whose
/// mean is below that of the sample (those that are equal on paper count half),
/// the acceleration comes from leaving out one value at a time, and percentiles
/// are interpolated linearly, as in scipy's `bootstrap(method="BCa")`.
///
/// Both ends are equal to the mean if at least three values are all equal
/// (scipy: NaN). Both are NaN with fewer than two values, without resamples, and
/// with so few values that a resample of one value alone is likelier than a
/// tail, so that the interval would be the range: two or three values at 95 %.
pub fn bootstrap_bca(values: &[f64], confidence: f64, resamples: usize, seed: u64) -> (f64, f64) {
    let undefined = (f64::NAN, f64::NAN);
    let n = values.len();
    let Ok(bound) = u32::try_from(n) else { return undefined };
    if n < 2 || resamples == 0 {
        return undefined;
    }
    let centre = mean(values);
    if n > 2 && all_equal(&values.iter().copied().map(Rounded::new).collect::<Vec<_>>()) {
        return (centre, centre);
    }
    let tail = (1.0 - confidence) / 2.0;
    if (n as f64).powi(-(bound as i32)) >= tail {
        return undefined;
    }
    // Deviations, the largest about 1: squares and cubes keep within range.
    let scale = scale_of(values.iter().map(|v| v - centre));
    let deviations: Vec<f64> = values.iter().map(|v| (v - centre) * scale).collect();
    let mut stream = random::stream(seed, "bootstrap");
    let mut drawn = || deviations[stream.random_range(0..bound) as usize];
    let mut found: Vec<f64> =
        (0..resamples).map(|_| (0..n).map(|_| drawn()).sum::<f64>() / n as f64).collect();
    found.sort_by(f64::total_cmp);

    let largest = values.iter().map(|v| v.abs()).fold(0.0, f64::max);
    let rounding = Rounded::difference(largest, -centre.abs()).error * scale + 2.0 * n as f64 * f64::EPSILON;
    let below = found.partition_point(|m| *m < -rounding) + found.partition_point(|m| *m <= rounding);
    let bias = normal_quantile(below as f64 / (2 * resamples) as f64);
    // The mean without one value is lower by a multiple of its deviation.
    let (squares, cubes) = deviations.iter().fold((0.0, 0.0), |(s, c), d| (s + d * d, c + d * d * d));
    let acceleration = cubes / (6.0 * squares.powf(1.5));

    let place = |z: f64| {
        let shifted = bias + z;
        let share = normal_cdf(bias + shifted / (1.0 - acceleration * shifted));
        centre + quantile(&found, share) / scale
    };
    let tail = normal_quantile(tail);
    (place(tail), place(-tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEWED: [f64; 12] = [0.1, 0.3, 0.2, 0.9, 1.7, 0.4, 0.2, 3.5, 0.6, 0.1, 0.8, 2.2];

    #[test]
    fn the_interval_agrees_with_scipy() {
        // scipy.stats.bootstrap(method="BCa") with 1,000,000 resamples
        let (low, high) = bootstrap_bca(&SKEWED, 0.95, 200_000, 1);
        assert!((low - 0.49167).abs() < 0.006, "{low}");
        assert!((high - 1.70833).abs() < 0.015, "{high}");
    }

    #[test]
    fn the_interval_does_not_depend_on_the_unit() {
        // The exact interval of these, from the distribution of all resamples, is
        // 0.8556 … 0.9222.
        let tenths = [0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.9, 0.8, 1.0];
        let (low, high) = bootstrap_bca(&tenths, 0.95, 99_999, 0);
        assert!((low - 7.7 / 9.0).abs() < 1e-12 && (high - 8.3 / 9.0).abs() < 1e-12, "{low} {high}");
        for unit in [1e-200, 0.1, 10.0, 100.0, 1e200] {
            let scaled =
                |v: &[f64]| bootstrap_bca(&v.iter().map(|v| v * unit).collect::<Vec<_>>(), 0.95, 9999, 3);
            for sample in [&tenths[..], &SKEWED[..]] {
                let (one, other) = (bootstrap_bca(sample, 0.95, 9999, 3), scaled(sample));
                assert!((other.0 / unit / one.0 - 1.0).abs() < 1e-12, "{unit}: {one:?} {other:?}");
                assert!((other.1 / unit / one.1 - 1.0).abs() < 1e-12, "{unit}: {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn it_is_repeatable() {
        let interval = |seed| bootstrap_bca(&SKEWED, 0.95, 999, seed);
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    #[test]
    fn edges() {
        assert!(bootstrap_bca(&[], 0.95, 99, 0).0.is_nan());
        assert!(bootstrap_bca(&[1.0], 0.95, 99, 0).0.is_nan());
        assert!(bootstrap_bca(&SKEWED, 0.95, 0, 0).0.is_nan());
        assert_eq!(bootstrap_bca(&[0.5; 5], 0.95, 99, 0), (0.5, 0.5));
        assert_eq!(bootstrap_bca(&[0.1 + 0.2, 0.3, 0.3], 0.95, 99, 0).0, mean(&[0.1 + 0.2, 0.3, 0.3]));
    }

    #[test]
    fn an_interval_is_not_the_range_of_a_few_values() {
        for few in [&[0.5, 0.7][..], &[0.5, 0.5], &[0.5, 0.6, 0.9]] {
            assert!(bootstrap_bca(few, 0.95, 999, 0).0.is_nan(), "{few:?}");
        }
        let four = [0.5, 0.6, 0.8, 0.9];
        let (low, high) = bootstrap_bca(&four, 0.95, 9999, 0);
        assert!(low > 0.5 && high < 0.9, "{low} {high}");
        assert!(bootstrap_bca(&four[..3], 0.9, 9999, 0).0 > 0.5);
    }
}
