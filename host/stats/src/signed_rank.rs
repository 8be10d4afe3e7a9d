//! Wilcoxon: do paired values differ?

use super::Method;
use super::differences::Differences;
use super::ranks::Ranks;
use super::rounding::Rounded;
use super::tail::normal_sf;

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of the sums of ranks of positive and negative differences.
    pub w: f64,
    /// Two-sided probability of sums at least as unequal if signs are random.
    pub p: f64,
    /// How p was obtained.
    pub method: Method,
}

/// Ranks of the magnitudes of differences, without those that are zero on paper.
/// Magnitudes that are equal on paper are tied.
pub(super) struct SignedRanks {
    /// The ranks.
    ranks: Ranks,
    /// Sum of the ranks of positive differences.
    pub positive: f64,
    /// Sum of the ranks of negative ones.
    pub negative: f64,
}

impl SignedRanks {
    /// Ranks differences.
    pub fn new(differences: &Differences) -> Self {
        let nonzero = differences.nonzero();
        let ranks = Ranks::of_rounded(&nonzero.iter().map(|d| d.abs()).collect::<Vec<Rounded>>());
        let positive = ranks.ranks.iter().zip(&nonzero).filter(|(_, d)| d.value > 0.0);
        let positive: f64 = positive.map(|(r, _)| r).sum();
        let n = nonzero.len() as f64;
        SignedRanks { ranks, positive, negative: n * (n + 1.0) / 2.0 - positive }
    }
}

/// The two-sided signed-rank test of Wilcoxon (1945) on pairs; equal pairs are
/// left out.
///
/// As scipy's `wilcoxon(method="auto")`: exact up to 50 pairs if all absolute
/// differences are distinct and not zero, and always up to 13 pairs; otherwise
/// normal with the correction for ties but not for continuity. Differences that
/// are equal on paper are tied (scipy compares floats). Undefined (NaN) without
/// pairs, and p also with a single one (scipy: 1). If no pair differs p is 1
/// (scipy: NaN above 13 pairs).
///
/// # Panics
/// If the samples differ in length.
pub fn wilcoxon(a: &[f64], b: &[f64]) -> Wilcoxon {
    let differences = Differences::new(a, b);
    if a.is_empty() {
        return Wilcoxon { w: f64::NAN, p: f64::NAN, method: Method::Exact };
    }
    let pairs = a.len();
    let SignedRanks { ranks, positive, negative } = SignedRanks::new(&differences);
    let w = positive.min(negative);
    let different = ranks.ranks.len();
    let n = different as f64;
    if pairs == 1 {
        return Wilcoxon { w, p: f64::NAN, method: Method::Exact };
    }
    if different == 0 {
        return Wilcoxon { w: 0.0, p: 1.0, method: Method::Exact };
    }
    if pairs <= 13 || (pairs <= 50 && !ranks.tied() && different == pairs) {
        return Wilcoxon { w, p: (2.0 * exact_tail(&ranks.ranks, w)).min(1.0), method: Method::Exact };
    }
    let mean = n * (n + 1.0) / 4.0;
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ranks.tie_term() / 2.0) / 24.0;
    let z = (mean - w) / variance.sqrt();
    Wilcoxon { w, p: (2.0 * normal_sf(z)).min(1.0), method: Method::Normal }
}

/// P(sum ≤ w) of the sum of those `ranks` with a positive sign, over all signs;
/// at most 50 ranks, so that the counts are exact.
fn exact_tail(ranks: &[f64], w: f64) -> f64 {
    // Twice a mean rank is an integer.
    let top = (2.0 * w).round() as usize;
    let mut counts = vec![0_u64; top + 1];
    counts[0] = 1;
    for rank in ranks.iter().map(|r| (2.0 * r).round() as usize) {
        for sum in (rank..=top).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    counts.iter().sum::<u64>() as f64 / 2.0_f64.powi(ranks.len() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_agrees_with_scipy() {
        let zero = |d: &[f64]| wilcoxon(d, &vec![0.0; d.len()]);
        // scipy.stats.wilcoxon of these differences
        let exact = zero(&[6., 8., 14., 16., 23., 24., 28., 29., 41., -48., 49., 56., 60., -67., 75.]);
        assert_eq!((exact.w, exact.method), (24.0, Method::Exact));
        assert!((exact.p - 0.041259765625).abs() < 1e-15);
        let tied = zero(&[1.0, 1.0, -1.0, 2.0, 0.0, 3.0]);
        assert_eq!((tied.w, tied.p), (2.0, 0.25));
        let many: Vec<f64> = (0..20).map(|i| f64::from(i % 7) - 2.0).collect();
        let normal = zero(&many);
        assert_eq!(normal.method, Method::Normal);
        assert_eq!(normal.w, 39.0);
        assert!((normal.p - 0.07279323715480493).abs() < 1e-13, "{normal:?}");
    }

    #[test]
    fn edges() {
        assert!(wilcoxon(&[], &[]).p.is_nan());
        let one = wilcoxon(&[1.0], &[0.0]);
        assert!(one.w == 0.0 && one.p.is_nan());
        assert_eq!(wilcoxon(&[1.0; 30], &[1.0; 30]).p, 1.0);
        let many: Vec<f64> = (0..5000).map(f64::from).collect();
        assert_eq!(wilcoxon(&many, &vec![-1.0; 5000]).p, 0.0);
    }
}
