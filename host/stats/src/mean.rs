//! The mean.

/// The mean; NaN of an empty sample. Equal values have that value as their mean.
///
/// The sum is compensated (Neumaier 1974), so neither the order of the values
/// nor the unit changes more than the last digit.
pub fn mean(values: &[f64]) -> f64 {
    let Some((first, rest)) = values.split_first() else { return f64::NAN };
    if rest.iter().all(|v| v == first) {
        return *first;
    }
    let (mut sum, mut lost) = (0.0, 0.0);
    for &value in values {
        let next: f64 = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    (sum + lost) / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_exact_to_the_last_digit() {
        assert_eq!(mean(&[1e16, 1.0, -1e16]), 1.0 / 3.0);
        assert_eq!(mean(&[0.7; 7]), 0.7);
        assert_eq!(mean(&[1e300, 3e300]), 2e300);
        assert!(mean(&[]).is_nan());
    }
}
