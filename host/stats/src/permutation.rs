//! Permutation test: is the mean difference of pairs due to chance?

use pallium_core::rand::RngCore;
use pallium_core::random;

use super::Method;
use super::differences::Differences;
use super::rounding::error_of_sum;

/// Up to this number of different pairs, all assignments of signs are counted.
const EXACT: usize = 30;
/// Up to this share of the differences may be hidden by rounding: none of those
/// that are counted exactly, and too few of others to change an estimate.
const HIDDEN: f64 = 0.01;

/// The result of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedPermutation {
    /// Mean of a − b.
    pub difference: f64,
    /// Two-sided probability of a mean difference at least as large if the
    /// members of each pair are interchangeable.
    pub p: f64,
    /// How p was obtained.
    pub method: Method,
}

/// Fisher's (1935) randomisation test on the mean difference of pairs.
///
/// Exact up to 30 different pairs: all 2ⁿ assignments, from the sums of two
/// halves. Above, `resamples` assignments drawn from `seed`, plus the observed
/// one (Phipson and Smyth 2010), as scipy's
/// `permutation_test(permutation_type="samples")`. Two-sided means twice the
/// smaller side. Sums that are equal on paper count as equal.
///
/// Undefined (NaN) without pairs; p also with a single one, and if differences
/// are of so many magnitudes that rounding hides the smallest in the sum (a loss
/// of 1e20 among others near 1). p is 1 if no pair differs.
///
/// # Panics
/// If the samples differ in length.
pub fn paired_permutation(a: &[f64], b: &[f64], resamples: usize, seed: u64) -> PairedPermutation {
    let all = Differences::new(a, b);
    let difference = all.mean().on_paper() / all.scale;
    if a.len() < 2 {
        return PairedPermutation { difference, p: f64::NAN, method: Method::Exact };
    }
    let nonzero = all.nonzero();
    let differences: Vec<f64> = nonzero.iter().map(|d| d.value).collect();
    // A bound of what rounding does to a sum, whatever its signs.
    let slack = nonzero.iter().map(|d| d.error).sum::<f64>() + error_of_sum(differences.iter().copied());
    let method = if differences.len() <= EXACT { Method::Exact } else { Method::MonteCarlo };
    let hidden = differences.iter().filter(|d| d.abs() <= slack).count();
    if hidden as f64 > HIDDEN * differences.len() as f64 {
        return PairedPermutation { difference, p: f64::NAN, method };
    }
    let threshold = differences.iter().sum::<f64>().abs() - slack;
    let p = match method {
        Method::Exact => exact(&differences, threshold),
        _ => drawn(&differences, threshold, resamples, seed),
    };
    PairedPermutation { difference, p: (2.0 * p).min(1.0), method }
}

/// Share of all assignments of signs whose sum reaches `threshold`.
fn exact(differences: &[f64], threshold: f64) -> f64 {
    let (left, right) = differences.split_at(differences.len() / 2);
    let (left, right) = (sums(left), sums(right));
    let mut count = 0_u64;
    // As the left sum increases, more of the right ones are large enough.
    let mut first = right.len();
    for sum in &left {
        while first > 0 && sum + right[first - 1] >= threshold {
            first -= 1;
        }
        count += (right.len() - first) as u64;
    }
    count as f64 / (left.len() as f64 * right.len() as f64)
}

/// Sums of `differences` under all assignments of signs, sorted.
fn sums(differences: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for d in differences {
        sums = sums.iter().flat_map(|s| [s + d, s - d]).collect();
    }
    sums.sort_by(f64::total_cmp);
    sums
}

/// The same share of `resamples` assignments drawn at random.
fn drawn(differences: &[f64], threshold: f64, resamples: usize, seed: u64) -> f64 {
    // A random byte signs eight differences at once.
    let signed: Vec<[f64; 256]> = differences
        .chunks(8)
        .map(|eight| {
            std::array::from_fn(|signs| {
                eight.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 1 { *d } else { -d }).sum()
            })
        })
        .collect();
    let mut stream = random::stream(seed, "permutation");
    let mut bytes = vec![0; signed.len()];
    let mut count = 1_u64;
    for _ in 0..resamples {
        stream.fill_bytes(&mut bytes);
        let sum: f64 = signed.iter().zip(&bytes).map(|(sums, byte)| sums[usize::from(*byte)]).sum();
        count += u64::from(sum >= threshold);
    }
    count as f64 / (resamples as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brute(differences: &[f64]) -> f64 {
        let observed = differences.iter().sum::<f64>().abs() - 1e-12;
        let reached = (0..1_u32 << differences.len())
            .filter(|signs| {
                let sum: f64 = differences
                    .iter()
                    .enumerate()
                    .map(|(i, d)| if signs >> i & 1 == 1 { *d } else { -d })
                    .sum();
                sum >= observed
            })
            .count();
        (2.0 * reached as f64 / f64::from(1_u32 << differences.len())).min(1.0)
    }

    #[test]
    fn the_exact_test_counts_all_assignments() {
        for n in 2..=12 {
            let a: Vec<f64> = (0..n).map(|i| f64::from(i * i % 11) / 10.0 - 0.2).collect();
            let b: Vec<f64> = (0..n).map(|i| f64::from(i * 3 % 7) / 10.0).collect();
            let found = paired_permutation(&a, &b, 0, 0);
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            assert_eq!(found.p, brute(&differences), "{n}");
            assert_eq!(found.method, Method::Exact);
        }
    }

    #[test]
    fn the_sampled_test_agrees_with_the_exact_one() {
        let differences: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 13) - 4.7).collect();
        let threshold = differences.iter().sum::<f64>().abs() - 1e-9;
        let p = exact(&differences, threshold);
        let estimate = drawn(&differences, threshold, 200_000, 3);
        assert!((p - estimate).abs() < 4.0 * (p / 200_000.0).sqrt(), "{p} {estimate}");
        assert_eq!(estimate, drawn(&differences, threshold, 200_000, 3));
    }

    #[test]
    fn differences_that_rounding_hides_have_no_p() {
        let (a, b) = ([1e200, 0.5, 0.25, 0.75], [0.0; 4]);
        assert!(paired_permutation(&a, &b, 99, 0).p.is_nan());
        // Twice the share of assignments that reach the largest sum.
        for scale in [1e-200, 1e-10, 1.0, 1e10, 1e200] {
            let found = paired_permutation(&[0.3 * scale, 0.1 * scale, 0.2 * scale], &b[..3], 99, 0);
            assert_eq!(found.p, 0.25, "{scale}");
        }
    }

    #[test]
    fn edges() {
        assert!(paired_permutation(&[], &[], 99, 0).p.is_nan());
        assert_eq!(paired_permutation(&[1.0; 5], &[1.0; 5], 99, 0).p, 1.0);
        let one = paired_permutation(&[1.0], &[0.0], 99, 0);
        assert!(one.difference == 1.0 && one.p.is_nan());
        let many = vec![1.0; 5000];
        let found = paired_permutation(&many, &vec![0.0; 5000], 999, 0);
        assert_eq!((found.difference, found.p, found.method), (1.0, 0.002, Method::MonteCarlo));
        assert!((paired_permutation(&many[..30], &[0.0; 30], 0, 0).p - 2.0 / 2.0_f64.powi(30)).abs() < 1e-20);
    }
}
