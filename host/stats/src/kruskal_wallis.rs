//! Kruskal–Wallis: do several samples have the same distribution?

use super::Test;
use super::ranks::Ranks;
use super::tail::chi_squared_sf;

/// The H test of Kruskal and Wallis (1952), with the correction for ties; p
/// from χ² with one degree of freedom less than there are samples.
///
/// Empty samples are left out. Undefined with fewer than two samples, or if all
/// values are equal; p also if no sample has two values (scipy: a number, but H
/// is then the same whatever the values are).
pub fn kruskal(samples: &[&[f64]]) -> Test {
    let samples: Vec<&[f64]> = samples.iter().copied().filter(|s| !s.is_empty()).collect();
    if samples.len() < 2 {
        return Test::UNDEFINED;
    }
    let ranks = Ranks::new(&samples.concat());
    let n = ranks.ranks.len() as f64;
    let middle = (n + 1.0) / 2.0;
    let mut rest = ranks.ranks.as_slice();
    let mut between = 0.0;
    for sample in &samples {
        let (own, others) = rest.split_at(sample.len());
        rest = others;
        let size = own.len() as f64;
        // Centred ranks avoid the cancellation of large sums.
        between += (own.iter().sum::<f64>() - size * middle).powi(2) / size;
    }
    let ties = 1.0 - ranks.tie_term() / (n * n * n - n);
    if ties <= 0.0 {
        return Test::UNDEFINED;
    }
    let h = 12.0 / (n * (n + 1.0)) * between / ties;
    let p = match samples.iter().any(|s| s.len() > 1) {
        true => chi_squared_sf(h, samples.len() as f64 - 1.0),
        false => f64::NAN,
    };
    Test { statistic: h, p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_agrees_with_scipy() {
        // scipy.stats.kruskal
        let test =
            kruskal(&[&[2.9, 3.0, 2.5, 2.6, 3.2], &[3.8, 2.7, 4.0, 2.4], &[2.8, 3.4, 3.7, 2.2, 2.0, 3.4]]);
        assert!((test.statistic - 0.6444841979725818).abs() < 1e-12, "{test:?}");
        assert!((test.p - 0.7245227628689193).abs() < 1e-12, "{test:?}");
    }

    #[test]
    fn fewer_than_two_samples_and_equal_values_are_undefined() {
        assert!(kruskal(&[]).p.is_nan());
        assert!(kruskal(&[&[1.0, 2.0], &[]]).p.is_nan());
        assert!(kruskal(&[&[1.0, 1.0], &[1.0]]).p.is_nan());
        let with = kruskal(&[&[1.0, 2.0], &[], &[3.0]]);
        assert_eq!(with, kruskal(&[&[1.0, 2.0], &[3.0]]));
        assert!(with.p > 0.0);
        assert!(kruskal(&[&[1.0], &[2.0], &[3.0]]).p.is_nan());
    }
}
