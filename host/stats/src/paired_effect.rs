//! Sizes of the effect in paired runs.

use super::mean::mean;
use super::noncentral_t::noncentrality;
use super::ranks::Ranks;

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
/// than two pairs and without a difference, and infinite if all differ alike; its
/// interval is then NaN. `rank_biserial` is NaN without a difference.
pub fn paired_effect(a: &[f64], b: &[f64], confidence: f64) -> PairedEffect {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let n = differences.len() as f64;
    let centre = mean(&differences);
    let df = n - 1.0;
    let d_z = centre / (differences.iter().map(|d| (d - centre).powi(2)).sum::<f64>() / df).sqrt();
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

fn rank_biserial(differences: &[f64]) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let sizes: Vec<f64> = moved.iter().map(|d| d.abs()).collect();
    let ranks = Ranks::new(&sizes).ranks;
    let signed: f64 = ranks.iter().zip(&moved).map(|(rank, d)| rank * d.signum()).sum();
    signed / ranks.iter().sum::<f64>()
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
    fn edges() {
        let alike = paired_effect(&[1.0, 2.0, 3.0], &[0.5, 1.5, 2.5], 0.95);
        assert_eq!((alike.d_z, alike.rank_biserial), (f64::INFINITY, 1.0));
        assert!(alike.interval.0.is_nan());
        let same = paired_effect(&[1.0, 2.0], &[1.0, 2.0], 0.95);
        assert!(same.d_z.is_nan() && same.rank_biserial.is_nan());
        assert!(paired_effect(&[1.0], &[2.0], 0.95).d_z.is_nan());
    }
}
