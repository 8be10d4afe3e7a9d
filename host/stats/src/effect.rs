//! Effect sizes.

use super::ranks::Ranks;

/// Cliff's δ (1993): the share of pairs in which `a` is larger minus the share
/// in which `b` is larger, from −1 to 1.
///
/// NaN if a sample is empty.
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> f64 {
    let (n1, n2) = (a.len() as f64, b.len() as f64);
    // The sum of ranks is exact, and faster than all pairs.
    let sum: f64 = Ranks::new(&[a, b].concat()).ranks[..a.len()].iter().sum();
    let u = sum - n1 * (n1 + 1.0) / 2.0;
    (2.0 * u - n1 * n2) / (n1 * n2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_is_a_difference_of_shares_of_pairs() {
        let pairs = |a: &[f64], b: &[f64]| {
            let sum: f64 =
                a.iter().flat_map(|x| b.iter().map(move |y| f64::from(x > y) - f64::from(x < y))).sum();
            sum / (a.len() * b.len()) as f64
        };
        for (a, b) in [
            (vec![1.0, 2.0, 2.0], vec![2.0, 5.0]),
            (vec![3.0; 4], vec![3.0]),
            (vec![9.0, 7.0], vec![1.0, 8.0]),
        ] {
            assert_eq!(cliffs_delta(&a, &b), pairs(&a, &b));
            assert_eq!(cliffs_delta(&b, &a), -pairs(&a, &b));
        }
        assert!(cliffs_delta(&[], &[1.0]).is_nan());
    }
}
