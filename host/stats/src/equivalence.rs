//! Tests of equivalence: that a difference is smaller than a stated margin.

use super::Test;
use super::mean::mean;
use super::tail::{t_quantile, t_sf};

/// The two one-sided t-tests of paired runs (Schuirmann 1987).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// Number of pairs.
    pub n: usize,
    /// Mean of first minus second.
    pub difference: f64,
    /// Against a difference of −margin or less.
    pub lower: Test,
    /// Against a difference of margin or more.
    pub upper: Test,
    /// The larger of the two p-values: the probability of a mean difference as far
    /// inside the margin as this one, if the true difference is the margin.
    pub p: f64,
    /// The interval of the difference that lies within the margin exactly if p is below
    /// `alpha`: its coverage is 1 − 2·alpha.
    pub interval: (f64, f64),
}

/// Tests whether paired runs differ by less than `margin`. Differences that are all
/// equal have no spread: p is then 0 within the margin and 1 beyond. NaN with fewer than
/// two pairs.
pub fn equivalence(a: &[f64], b: &[f64], margin: f64, alpha: f64) -> Equivalence {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let n = differences.len();
    if n < 2 {
        let undefined = (f64::NAN, f64::NAN);
        return Equivalence {
            n,
            difference: mean(&differences),
            lower: Test::UNDEFINED,
            upper: Test::UNDEFINED,
            p: f64::NAN,
            interval: undefined,
        };
    }
    let difference = mean(&differences);
    let df = (n - 1) as f64;
    let error = (differences.iter().map(|d| (d - difference).powi(2)).sum::<f64>() / df / n as f64).sqrt();
    let one_sided = |distance: f64| {
        // 0/0 where the difference is the margin and does not vary.
        let statistic = if distance == 0.0 { 0.0 } else { distance / error };
        Test { statistic, p: t_sf(statistic, df) }
    };
    let (lower, upper) = (one_sided(difference + margin), one_sided(margin - difference));
    let half = t_quantile(1.0 - alpha, df) * error;
    Equivalence {
        n,
        difference,
        lower,
        upper: Test { statistic: -upper.statistic, ..upper },
        p: lower.p.max(upper.p),
        interval: (difference - half, difference + half),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::paired;
    use super::*;

    #[test]
    fn both_tests_are_those_of_statsmodels() {
        let cases = paired();
        assert!(cases.len() >= 200);
        for case in cases {
            let found = equivalence(&case.a, &case.b, case.margin, 0.05);
            let [lower, upper] = [found.lower, found.upper];
            for (found, expected) in [(lower.statistic, case.tost[0]), (upper.statistic, case.tost[2])] {
                assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} and {expected}");
            }
            for (found, expected) in
                [(lower.p, case.tost[1]), (upper.p, case.tost[3]), (found.p, case.tost[4])]
            {
                assert!((found - expected).abs() <= 1e-9 * expected + 1e-300, "{found} and {expected}");
            }
            let (low, high) = found.interval;
            // The interval and the test agree.
            let inside = -case.margin < low && high < case.margin;
            assert_eq!(inside, found.p < 0.05, "{low} {high} {}", found.p);
        }
    }

    #[test]
    fn edges() {
        assert!(equivalence(&[1.0], &[2.0], 0.1, 0.05).p.is_nan());
        let same = equivalence(&[0.5, 0.75, 1.0], &[0.5, 0.75, 1.0], 0.02, 0.05);
        assert_eq!((same.p, same.interval), (0.0, (0.0, 0.0)));
        let apart = equivalence(&[0.5, 0.75, 1.0], &[0.25, 0.5, 0.75], 0.1, 0.05);
        assert_eq!((apart.difference, apart.p), (0.25, 1.0));
        let at = equivalence(&[0.5, 0.75], &[0.25, 0.5], 0.25, 0.05);
        assert_eq!(at.p, 0.5);
    }
}
