//! Adjustment of p-values for multiple tests.

/// P-values adjusted by Holm (1979), in the order of `p`: they bound the
/// probability of any false finding in the family.
///
/// A p-value that is NaN is not a part of the family and stays NaN.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &place) in order.iter().enumerate() {
        largest = largest.max(p[place] * (order.len() - rank) as f64);
        adjusted[place] = largest.min(1.0);
    }
    adjusted
}

/// P-values adjusted by Benjamini and Hochberg (1995), in the order of `p`:
/// they bound the expected share of false findings among all findings.
///
/// A p-value that is NaN is not a part of the family and stays NaN.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut smallest: f64 = 1.0;
    for (rank, &place) in order.iter().enumerate().rev() {
        // Division by the share gives the last digit of statsmodels; multiplication
        // by its inverse does not.
        smallest = smallest.min(p[place] / ((rank + 1) as f64 / order.len() as f64));
        adjusted[place] = smallest;
    }
    adjusted
}

/// Positions of the p-values that are not NaN, smallest p first.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjustments_are_statsmodels() {
        let p = [1.040018845906621e-05, 0.200896664797389, 0.0004755076040496408];
        assert_eq!(holm(&p), [3.120056537719863e-05, 0.200896664797389, 0.0009510152080992816]);
        assert_eq!(benjamini_hochberg(&p), [3.120056537719864e-05, 0.200896664797389, 0.0007132614060744612]);
    }

    #[test]
    fn adjusted_values_keep_the_order_and_stay_below_one() {
        assert_eq!(holm(&[0.04, 0.01, 0.04, 0.9]), [0.12, 0.04, 0.12, 0.9]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert_eq!(benjamini_hochberg(&[0.04, 0.01, 0.04, 0.9])[3], 0.9);
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    fn an_undefined_p_is_not_a_part_of_the_family() {
        let adjusted = holm(&[0.01, f64::NAN, 0.5]);
        assert_eq!((adjusted[0], adjusted[2]), (0.02, 0.5));
        assert!(adjusted[1].is_nan());
        assert!(benjamini_hochberg(&[f64::NAN])[0].is_nan());
    }
}
