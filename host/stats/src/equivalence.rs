//! Tests of equivalence: that a difference is smaller than a stated margin.

use super::Test;
use super::differences::Differences;
use super::hierarchical::Nested;
use super::rounding::Rounded;
use super::tail::{t_quantile, t_sf};

/// The two one-sided t-tests of paired runs (Schuirmann 1987).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// Number of pairs, or of outermost groups.
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
/// equal on paper have no spread: p is then 0 within the margin, 1 beyond it and 0.5 at
/// it. NaN with fewer than two pairs.
///
/// # Panics
/// If the samples differ in length.
pub fn equivalence(a: &[f64], b: &[f64], margin: f64, alpha: f64) -> Equivalence {
    two_one_sided(&Differences::new(a, b), margin, alpha)
}

/// As [`equivalence`], over the mean differences of the outermost groups: runs of one group
/// are not independent. NaN also of two equal groups, which say nothing about the spread of
/// others.
pub fn grouped_equivalence(values: &Nested, margin: f64, alpha: f64) -> Equivalence {
    let groups = values.outermost();
    match groups.all.len() == 2 && groups.deviation() == 0.0 {
        true => undefined(&groups),
        false => two_one_sided(&groups, margin, alpha),
    }
}

/// Without a test.
fn undefined(differences: &Differences) -> Equivalence {
    Equivalence {
        n: differences.all.len(),
        difference: differences.mean().on_paper() / differences.scale,
        lower: Test::UNDEFINED,
        upper: Test::UNDEFINED,
        p: f64::NAN,
        interval: (f64::NAN, f64::NAN),
    }
}

fn two_one_sided(differences: &Differences, margin: f64, alpha: f64) -> Equivalence {
    let (n, scale) = (differences.all.len(), differences.scale);
    let mean = differences.mean();
    let difference = mean.on_paper() / scale;
    if n < 2 {
        return undefined(differences);
    }
    let df = (n - 1) as f64;
    let error = differences.deviation() / (n as f64).sqrt();
    let one_sided = |distance: Rounded| {
        let distance = distance.on_paper();
        // 0/0 where the difference is the margin and does not vary.
        let statistic = if distance == 0.0 { 0.0 } else { distance / error };
        Test { statistic, p: t_sf(statistic, df) }
    };
    let margin = Rounded::new(margin).times(scale);
    let (lower, upper) = (one_sided(mean.plus(margin)), one_sided(margin.minus(mean)));
    let half = t_quantile(1.0 - alpha, df) * error / scale;
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

    const GROUPED: f64 = 0.051147149780573775;

    #[test]
    fn groups_are_judged_by_their_means() {
        // Five runs in each of three groups, whose mean differences are 0.0675, 0.025 and 0.12.
        let groups = [("a", 0.0675), ("b", 0.025), ("c", 0.12)];
        let labels: Vec<Vec<&str>> = groups.iter().flat_map(|(name, _)| vec![vec![*name]; 5]).collect();
        let a: Vec<f64> = groups
            .iter()
            .flat_map(|(_, mean)| (0..5).map(move |run| mean + 0.01 * f64::from(run - 2)))
            .collect();
        let found = grouped_equivalence(&Nested::new(&labels, &a, &[0.0; 15]), 0.15, 0.05);
        // With two degrees of freedom, P(T ≤ t) = 1/2 + t / (2·√(2 + t²)).
        assert!(found.n == 3 && (found.p - GROUPED).abs() < 1e-12, "{found:?}");
        assert!(found.interval.0 < 0.0 && found.interval.1 > 0.15, "{found:?}");
        // As independent runs they would be equivalent.
        assert!(equivalence(&a, &[0.0; 15], 0.15, 0.05).p < 1e-4);
        assert!(grouped_equivalence(&Nested::new(&labels[..5], &a[..5], &[0.0; 5]), 0.15, 0.05).p.is_nan());
        let two = grouped_equivalence(&Nested::new(&labels[..10], &[0.1; 10], &[0.0; 10]), 0.15, 0.05);
        assert!(two.n == 2 && two.p.is_nan() && two.interval.0.is_nan(), "{two:?}");
    }

    /// statsmodels: `ttost_paired` of the samples below within ±3.
    const TOST: f64 = 0.1201346097396696;

    #[test]
    fn edges() {
        assert!(equivalence(&[1.0], &[2.0], 0.1, 0.05).p.is_nan());
        let same = equivalence(&[0.5, 0.75, 1.0], &[0.5, 0.75, 1.0], 0.02, 0.05);
        assert_eq!((same.p, same.interval), (0.0, (0.0, 0.0)));
        let apart = equivalence(&[0.5, 0.75, 1.0], &[0.25, 0.5, 0.75], 0.1, 0.05);
        assert_eq!((apart.difference, apart.p), (0.25, 1.0));
        let at = equivalence(&[0.5, 0.75], &[0.25, 0.5], 0.25, 0.05);
        assert_eq!(at.p, 0.5);
        // 0.1 on paper.
        let at = equivalence(&[0.3, 0.5, 0.9], &[0.2, 0.4, 0.8], 0.1, 0.05);
        assert_eq!((at.p, at.lower.statistic, at.upper.statistic), (0.5, f64::INFINITY, -0.0));
    }

    #[test]
    fn tests_follow_the_unit_over_all_magnitudes() {
        let (a, b) = ([1.0, 4.0, 9.0, 5.0, 3.0], [4.0, 7.0, 2.0, 6.0, 1.0]);
        let one = equivalence(&a, &b, 3.0, 0.05);
        assert!((one.p - TOST).abs() < 1e-12, "{one:?}");
        for unit in [1e-300, 1e-200, 1e-155, 1e155, 1e200, 1e299] {
            let times = |v: [f64; 5]| v.map(|v| v * unit);
            let found = equivalence(&times(a), &times(b), 3.0 * unit, 0.05);
            assert!((found.p / one.p - 1.0).abs() < 1e-12, "{unit}: {found:?}");
            let (low, high) = (found.interval.0 / unit, found.interval.1 / unit);
            assert!((low / one.interval.0 - 1.0).abs() < 1e-12, "{unit}: {found:?}");
            assert!((high / one.interval.1 - 1.0).abs() < 1e-12, "{unit}: {found:?}");
        }
    }
}
