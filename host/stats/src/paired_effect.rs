//! Sizes of the effect in paired runs.

use super::differences::Differences;
use super::noncentral_t::noncentrality;
use super::signed_rank::SignedRanks;

/// The size of a difference in paired runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedEffect {
    /// Mean difference divided by the standard deviation of the differences (Cohen's
    /// d_z).
    pub d_z: f64,
    /// Interval of `d_z`, exact for normal differences (Steiger and Fouladi 1997).
    pub interval: (f64, f64),
    /// d_z without its bias in small samples (Hedges 1981).
    pub g_z: f64,
    /// Matched-pairs rank-biserial correlation (Kerby 2014): the share of the sum of ranks
    /// that speaks for the first minus the share for the second, −1 to 1. Pairs without
    /// a difference do not count.
    pub rank_biserial: f64,
}

/// The effect in paired runs, with intervals of this coverage. `d_z` is NaN with fewer
/// than two pairs and without a difference, and infinite if all differ alike on paper;
/// its interval is then NaN. `rank_biserial` is NaN without a difference.
///
/// # Panics
/// If the samples differ in length.
pub fn paired_effect(a: &[f64], b: &[f64], confidence: f64) -> PairedEffect {
    let differences = Differences::new(a, b);
    let n = a.len() as f64;
    let df = n - 1.0;
    let d_z = differences.mean().on_paper() / differences.deviation();
    let tail = (1.0 - confidence) / 2.0;
    let end = |p: f64| noncentrality(d_z * n.sqrt(), df, p) / n.sqrt();
    let bias = (libm::lgamma(df / 2.0) - libm::lgamma((df - 1.0) / 2.0)).exp() * (2.0 / df).sqrt();
    PairedEffect {
        d_z,
        interval: (end(1.0 - tail), end(tail)),
        g_z: d_z * if df > 1.0 { bias } else { f64::NAN },
        rank_biserial: rank_biserial(&differences),
    }
}

fn rank_biserial(differences: &Differences) -> f64 {
    let SignedRanks { positive, negative, .. } = SignedRanks::new(differences);
    (positive - negative) / (positive + negative)
}

#[cfg(test)]
mod tests {
    use super::super::reference::paired;
    use super::*;

    #[test]
    fn effects_are_those_of_scipy_and_pingouin() {
        for case in paired() {
            let found = paired_effect(&case.a, &case.b, 0.95);
            let near = |what: &str, found: f64, expected: f64, relative: f64| {
                let same = found.is_nan() && expected.is_nan();
                assert!(
                    same || (found - expected).abs() <= relative * expected.abs().max(1e-3),
                    "{what}: {found} and {expected}"
                );
            };
            near("d_z", found.d_z, case.d_z, 1e-10);
            near("g_z", found.g_z, case.g_z, 1e-10);
            near("lower end", found.interval.0, case.interval[0], 1e-6);
            near("upper end", found.interval.1, case.interval[1], 1e-6);
            near("rank-biserial", found.rank_biserial, case.rank_biserial, 1e-10);
        }
    }

    #[test]
    fn effects_follow_the_unit_over_all_magnitudes() {
        let (a, b) = ([1.0, 4.0, 9.0, 5.0, 3.0], [4.0, 7.0, 2.0, 6.0, 1.0]);
        for unit in [1e-300, 1e-200, 1e-155, 1.0, 1e155, 1e200, 1e299] {
            let times = |v: [f64; 5]| v.map(|v| v * unit);
            let found = paired_effect(&times(a), &times(b), 0.95);
            // scipy: `ttest_rel`, and `nct` for the interval.
            for (found, expected) in
                [(found.d_z, D_Z), (found.interval.0, INTERVAL.0), (found.interval.1, INTERVAL.1)]
            {
                assert!((found - expected).abs() < 1e-8, "{unit}: {found} and {expected}");
            }
        }
    }

    const D_Z: f64 = 0.09480909262799544;
    const INTERVAL: (f64, f64) = (-0.789661334791423, 0.9679644178479844);

    #[test]
    fn differences_that_are_equal_on_paper_have_no_spread() {
        let whole = paired_effect(&[1.0, 0.0, 2.0], &[2.0, 1.0, 3.0], 0.95);
        let thirds = paired_effect(&[1.0 / 3.0, 0.0, 2.0 / 3.0], &[2.0 / 3.0, 1.0 / 3.0, 1.0], 0.95);
        let tenths = paired_effect(&[0.1, 0.3, 0.7], &[0.3, 0.5, 0.9], 0.95);
        for found in [whole, thirds, tenths] {
            assert_eq!((found.d_z, found.g_z), (f64::NEG_INFINITY, f64::NEG_INFINITY));
            assert_eq!(found.rank_biserial, -1.0);
            assert!(found.interval.0.is_nan() && found.interval.1.is_nan());
        }
    }

    #[test]
    fn ties_do_not_depend_on_the_unit() {
        // The sums of ranks are 31.5 and 121.5 by scipy.
        let (a, b) = PERCENT;
        for unit in [1.0, 0.1, 0.01] {
            let times = |v: [f64; 20]| v.map(|v| v * unit);
            let found = paired_effect(&times(a), &times(b), 0.95);
            assert_eq!(found.rank_biserial, (31.5 - 121.5) / 153.0, "{unit}");
        }
        let shares = |v: [f64; 20]| v.map(|v| v / 100.0);
        assert_eq!(paired_effect(&shares(a), &shares(b), 0.95).rank_biserial, (31.5 - 121.5) / 153.0);
    }

    const PERCENT: ([f64; 20], [f64; 20]) = (
        [
            55.0, 51.0, 67.0, 65.0, 59.0, 61.0, 77.0, 56.0, 76.0, 78.0, 62.0, 67.0, 54.0, 58.0, 68.0, 51.0,
            73.0, 54.0, 67.0, 50.0,
        ],
        [
            52.0, 50.0, 70.0, 62.0, 58.0, 66.0, 82.0, 57.0, 78.0, 78.0, 62.0, 71.0, 57.0, 60.0, 69.0, 52.0,
            72.0, 59.0, 72.0, 50.0,
        ],
    );

    #[test]
    fn edges() {
        let alike = paired_effect(&[1.0, 2.0, 3.0], &[0.5, 1.5, 2.5], 0.95);
        assert_eq!((alike.d_z, alike.rank_biserial), (f64::INFINITY, 1.0));
        assert!(alike.interval.0.is_nan());
        let same = paired_effect(&[1.0, 2.0], &[1.0, 2.0], 0.95);
        assert!(same.d_z.is_nan() && same.rank_biserial.is_nan());
        assert!(paired_effect(&[1.0], &[2.0], 0.95).d_z.is_nan());
    }
}
