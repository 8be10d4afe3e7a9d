//! Which numbers are equal on paper?
//!
//! Accuracies are k/n, and tables hold decimals. Neither are floats: 0.7 − 0.4
//! and 0.4 − 0.1 differ in their last bits. Ties, zeros and counts jump at
//! equality, so they would depend on the unit of a table. Here numbers are equal
//! if they differ by less than rounding can explain.

use super::mean::mean;

/// Relative error of a number that was rounded a few times: written as a
/// decimal, read, and multiplied. Numbers of up to 15 digits stay distinct.
const RELATIVE: f64 = 2.0 * f64::EPSILON;

/// A number, and a bound of its rounding error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rounded {
    /// The number.
    pub value: f64,
    /// The bound.
    pub error: f64,
}

impl Rounded {
    /// A number of a table.
    pub fn new(value: f64) -> Self {
        Rounded { value, error: RELATIVE * value.abs() }
    }

    /// `a` − `b`: its error is that of the numbers, however small it is itself.
    pub fn difference(a: f64, b: f64) -> Self {
        Rounded { value: a - b, error: RELATIVE * (a.abs() + b.abs()) }
    }

    /// The mean; NaN of an empty sample.
    pub fn mean(of: &[Self]) -> Self {
        let values: Vec<f64> = of.iter().map(|r| r.value).collect();
        Rounded { value: mean(&values), error: of.iter().map(|r| r.error).sum::<f64>() / of.len() as f64 }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Rounded { value: self.value + other.value, error: self.error + other.error }
    }

    /// The difference of both.
    pub fn minus(self, other: Self) -> Self {
        Rounded { value: self.value - other.value, error: self.error + other.error }
    }

    /// The number in another unit; `scale` is a positive power of two.
    pub fn times(self, scale: f64) -> Self {
        Rounded { value: self.value * scale, error: self.error * scale }
    }

    /// The number, or 0 if it is zero on paper.
    pub fn on_paper(self) -> f64 {
        if self.is_zero() { 0.0 } else { self.value }
    }

    /// Its magnitude.
    pub fn abs(self) -> Self {
        Rounded { value: self.value.abs(), ..self }
    }

    /// Whether it is zero on paper.
    pub fn is_zero(self) -> bool {
        self.value.abs() <= self.error
    }

    /// Whether both are one number on paper.
    pub fn equals(self, other: Self) -> bool {
        // The first test is for 0 and −0, and for numbers without an error.
        self.value == other.value || (self.value - other.value).abs() <= self.error + other.error
    }
}

/// Whether all are one number on paper.
pub(super) fn all_equal(values: &[Rounded]) -> bool {
    values.iter().all(|v| v.equals(values[0]))
}

/// Bound of the error of adding `values` in any order.
pub(super) fn error_of_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().count() as f64 * f64::EPSILON * values.map(f64::abs).sum::<f64>()
}

/// A power of two that brings the largest magnitude of `values` near 1, so that
/// squares and cubes neither overflow nor vanish. Multiplying by it is exact.
pub(super) fn scale_of(values: impl Iterator<Item = f64>) -> f64 {
    let largest = values.map(f64::abs).fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return 1.0;
    }
    // The inverse of the scale must be finite, too.
    2.0_f64.powi(-(largest.log2().floor() as i32).clamp(-1000, 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_are_equal_on_paper_are_equal() {
        let d = Rounded::difference;
        assert_ne!(0.7 - 0.4, 0.4 - 0.1);
        assert!(d(0.7, 0.4).equals(d(0.4, 0.1)));
        assert!(d(1.0 / 3.0, 0.0).equals(d(1.0, 2.0 / 3.0)));
        assert!(d(0.1 + 0.2, 0.3).is_zero() && !d(0.31, 0.3).is_zero());
        assert!(!d(1e200, 0.0).equals(d(1e-200, 0.0)) && !d(1e-200, 0.0).is_zero());
    }

    #[test]
    fn numbers_of_fifteen_digits_are_distinct() {
        let r = Rounded::new;
        assert!(r(0.1 + 0.2).equals(r(0.3)) && r(0.0).equals(r(-0.0)));
        assert!(!r(0.999_999_999_999_999).equals(r(0.999_999_999_999_998)));
    }

    #[test]
    fn scales_are_powers_of_two_with_an_inverse() {
        for value in [1e-308, 3e-200, 0.7, 1.0, 5e200, 1.7e308] {
            let scale = scale_of([value, -value / 3.0].into_iter());
            assert!(scale.is_normal() && (1.0 / scale).is_normal(), "{value}");
            assert_eq!(value * scale / scale, value);
            assert!((1e-8..1e8).contains(&(value * scale)), "{value}");
        }
        assert_eq!(scale_of([0.0].into_iter()), 1.0);
    }
}
