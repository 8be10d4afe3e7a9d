//! Student's interval of a mean.

use super::mean::mean;
use super::rounding::{Rounded, all_equal, scale_of};
use super::tail::t_quantile;

/// The interval that covers the mean with probability `confidence` if the
/// values are normal (Student 1908): mean ± t·s/√n, s with n − 1.
///
/// Both ends are equal to the mean if at least three values are all equal
/// (scipy: NaN), and NaN with fewer than two values or with two equal ones.
pub fn t_interval(values: &[f64], confidence: f64) -> (f64, f64) {
    let n = values.len() as f64;
    if values.len() < 2 {
        return (f64::NAN, f64::NAN);
    }
    let centre = mean(values);
    if all_equal(&values.iter().copied().map(Rounded::new).collect::<Vec<_>>()) {
        // Two equal values say nothing about the spread of others.
        return if values.len() == 2 { (f64::NAN, f64::NAN) } else { (centre, centre) };
    }
    let scale = scale_of(values.iter().map(|v| v - centre));
    let variance = values.iter().map(|v| ((v - centre) * scale).powi(2)).sum::<f64>() / (n - 1.0);
    let half = t_quantile(0.5 + confidence / 2.0, n - 1.0) * (variance / n).sqrt() / scale;
    (centre - half, centre + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_agrees_with_scipy() {
        let (low, high) = t_interval(
            &[
                0.75, 0.6875, 0.5625, 0.6875, 0.75, 0.5, 0.625, 0.375, 0.5, 0.375, 0.625, 0.5, 0.6875,
                0.6875, 0.625, 0.3125, 0.625, 0.6875, 0.6875, 0.4375,
            ],
            0.95,
        );
        assert!((low - 0.5226701580055356).abs() < 1e-13, "{low}");
        assert!((high - 0.6460798419944643).abs() < 1e-13, "{high}");
    }

    #[test]
    fn edges() {
        assert!(t_interval(&[], 0.95).0.is_nan());
        assert!(t_interval(&[0.5], 0.95).1.is_nan());
        assert_eq!(t_interval(&[0.25; 3], 0.95), (0.25, 0.25));
        assert!(t_interval(&[0.25; 2], 0.95).0.is_nan());
    }

    #[test]
    fn extreme_values_have_an_interval() {
        let (low, high) = t_interval(&[1.0, 2.0, 4.0], 0.95);
        for unit in [1e-200, 1e200] {
            let (l, h) = t_interval(&[unit, 2.0 * unit, 4.0 * unit], 0.95);
            assert!((l / unit / low - 1.0).abs() < 1e-14 && (h / unit / high - 1.0).abs() < 1e-14, "{l} {h}");
        }
    }
}
