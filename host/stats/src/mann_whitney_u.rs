//! Mann–Whitney: does one sample tend to have larger values than another?

use super::Method;
use super::ranks::Ranks;
use super::tail::normal_sf;

/// Samples of this size or smaller are compared exactly.
const SMALL: usize = 8;

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// U of the first sample: the number of pairs in which its value is larger;
    /// ties count half.
    pub u: f64,
    /// Two-sided probability of a U at least as extreme if both samples have
    /// the same distribution.
    pub p: f64,
    /// How p was obtained.
    pub method: Method,
}

/// The two-sided U test of Mann and Whitney (1947).
///
/// As scipy's `mannwhitneyu(method="auto")`: exact if there are no ties and a
/// sample has at most 8 values; otherwise normal, with corrections for ties and
/// continuity. Undefined (NaN) if a sample is empty, and p also if both have a
/// single value (scipy: 1); p is 1 if all values are equal. (With 8 against some hundred thousand values the counts exceed 128
/// bits, and p is the normal one.)
pub fn mann_whitney(a: &[f64], b: &[f64]) -> MannWhitney {
    if a.is_empty() || b.is_empty() {
        return MannWhitney { u: f64::NAN, p: f64::NAN, method: Method::Normal };
    }
    let ranks = Ranks::new(&[a, b].concat());
    let (n1, n2) = (a.len() as f64, b.len() as f64);
    let u = ranks.ranks[..a.len()].iter().sum::<f64>() - n1 * (n1 + 1.0) / 2.0;
    if a.len() == 1 && b.len() == 1 {
        return MannWhitney { u, p: f64::NAN, method: Method::Exact };
    }
    let smaller = u.min(n1 * n2 - u);
    if a.len().min(b.len()) <= SMALL && !ranks.tied() {
        // Without ties U is an integer.
        if let Some(tail) = exact_tail(a.len(), b.len(), smaller as usize) {
            return MannWhitney { u, p: (2.0 * tail).min(1.0), method: Method::Exact };
        }
    }
    let n = n1 + n2;
    let variance = n1 * n2 / 12.0 * ((n + 1.0) - ranks.tie_term() / (n * (n - 1.0)));
    let z = (n1 * n2 / 2.0 - smaller - 0.5) / variance.max(0.0).sqrt();
    MannWhitney { u, p: (2.0 * normal_sf(z)).min(1.0), method: Method::Normal }
}

/// P(U ≤ u) without ties, by counting; `None` if the counts overflow.
///
/// The numbers of arrangements with each U are the integer coefficients of the
/// Gaussian binomial Π (1 − qⁿ⁺ⁱ)/(1 − qⁱ).
fn exact_tail(n1: usize, n2: usize, u: usize) -> Option<f64> {
    let (few, many) = (n1.min(n2), n1.max(n2));
    let mut counts = vec![0_i128; u + 1];
    counts[0] = 1;
    let mut all = 1.0;
    for i in 1..=few {
        for k in (many + i..=u).rev() {
            counts[k] = counts[k].checked_sub(counts[k - many - i])?;
        }
        for k in i..=u {
            counts[k] = counts[k].checked_add(counts[k - i])?;
        }
        all *= (many + i) as f64 / i as f64;
    }
    let tail = counts.into_iter().try_fold(0_i128, i128::checked_add)?;
    Some(tail as f64 / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same from every arrangement.
    fn brute_tail(n1: usize, n2: usize, u: usize) -> f64 {
        let n = n1 + n2;
        let (mut at_most, mut all) = (0_u32, 0_u32);
        for set in (0..1_u32 << n).filter(|set| set.count_ones() as usize == n1) {
            let larger: u32 = (0..n)
                .filter(|&i| set >> i & 1 == 1)
                .map(|i| i as u32 - (set & ((1 << i) - 1)).count_ones())
                .sum();
            all += 1;
            at_most += u32::from(larger as usize <= u);
        }
        f64::from(at_most) / f64::from(all)
    }

    #[test]
    fn exact_counts_are_those_of_all_arrangements() {
        for (n1, n2) in [(1, 1), (1, 6), (3, 4), (5, 5), (7, 3), (8, 8)] {
            for u in 0..=n1 * n2 {
                let found = exact_tail(n1, n2, u).unwrap();
                assert!((found - brute_tail(n1, n2, u)).abs() < 1e-14, "{n1} {n2} {u}: {found}");
            }
        }
    }

    #[test]
    fn small_samples_without_ties_are_exact_and_others_normal() {
        let a = [0.1, 0.5, 0.9];
        let found = mann_whitney(&a, &[0.2, 0.3, 1.1, 1.2]);
        assert_eq!((found.u, found.method), (4.0, Method::Exact));
        assert!((found.p - 0.6285714285714286).abs() < 1e-14);
        assert_eq!(mann_whitney(&a, &[0.1, 0.3]).method, Method::Normal);
        let nine: Vec<f64> = (0..9).map(f64::from).collect();
        let other: Vec<f64> = nine.iter().map(|x| x + 0.5).collect();
        assert_eq!(mann_whitney(&nine, &other).method, Method::Normal);
        assert_eq!(mann_whitney(&nine[..8], &other).method, Method::Exact);
    }

    #[test]
    fn few_against_very_many_stays_exact() {
        let many: Vec<f64> = (0..5000).map(f64::from).collect();
        let few: Vec<f64> = (0..8).map(|i| f64::from(i) * 100.0 + 0.5).collect();
        let found = mann_whitney(&few, &many);
        assert_eq!(found.method, Method::Exact);
        // scipy.stats.mannwhitneyu(few, many)
        assert_eq!(found.u, 2808.0);
        assert!((found.p / 5.135588327819163e-7 - 1.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn edges() {
        assert!(mann_whitney(&[], &[1.0]).p.is_nan());
        let one = mann_whitney(&[1.0], &[2.0]);
        assert!(one.u == 0.0 && one.p.is_nan());
        let same = mann_whitney(&[1.0; 20], &[1.0; 20]);
        assert_eq!((same.u, same.p), (200.0, 1.0));
        let (ab, ba) =
            (mann_whitney(&[1.0, 2.0, 2.0], &[3.0, 2.0]), mann_whitney(&[3.0, 2.0], &[1.0, 2.0, 2.0]));
        assert_eq!(ab.p, ba.p);
        assert_eq!(ab.u + ba.u, 6.0);
    }
}
