//! Spearman: do two measures increase together?

use super::Test;
use super::ranks::Ranks;
use super::tail::t_sf;

/// Spearman's rank correlation ρ (1904) of pairs, with mean ranks for ties and
/// the two-sided p from Student's t with n − 2 degrees of freedom.
///
/// ρ is undefined with fewer than two pairs or if a sample is constant; p is
/// also undefined with two pairs.
///
/// # Panics
/// If the samples differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> Test {
    assert_eq!(a.len(), b.len(), "pairs have two sides");
    if a.len() < 2 {
        return Test::UNDEFINED;
    }
    // Twice the distance from the middle rank is an integer, so sums are exact.
    let centred = |values: &[f64]| -> Vec<f64> {
        let middle = values.len() as f64 + 1.0;
        Ranks::new(values).ranks.iter().map(|r| 2.0 * r - middle).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let spread = (dot(&a, &a) * dot(&b, &b)).sqrt();
    if spread == 0.0 {
        return Test::UNDEFINED;
    }
    let rho = (dot(&a, &b) / spread).clamp(-1.0, 1.0);
    let df = a.len() as f64 - 2.0;
    let t = rho.abs() * (df / ((1.0 + rho) * (1.0 - rho))).sqrt();
    Test { statistic: rho, p: 2.0 * t_sf(t, df) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_agrees_with_scipy() {
        // scipy.stats.spearmanr
        let test = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        assert!((test.statistic - 0.8207826816681233).abs() < 1e-14, "{test:?}");
        assert!((test.p - 0.08858700531354381).abs() < 1e-12, "{test:?}");
    }

    #[test]
    fn edges() {
        let rising = spearman(&[1.0, 2.0, 9.0], &[0.1, 0.5, 0.6]);
        assert_eq!((rising.statistic, rising.p), (1.0, 0.0));
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]).statistic, -1.0);
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).statistic.is_nan());
        assert!(spearman(&[1.0], &[1.0]).statistic.is_nan());
        let two = spearman(&[1.0, 2.0], &[1.0, 2.0]);
        assert!(two.statistic == 1.0 && two.p.is_nan());
    }
}
