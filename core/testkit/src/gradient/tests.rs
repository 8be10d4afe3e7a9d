//! Gradients with known errors.

use super::*;
use pallium_core::{MatrixView, MatrixViewMut};

/// Σ |w|³ − w², with a gradient multiplied by a factor.
struct Cubic {
    factor: f32,
    adds: bool,
}

impl Constraint for Cubic {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        if !self.adds {
            gradient.fill(0.0);
        }
        let slope = weights.mapv(|w| self.factor * (3.0 * w * w.abs() - 2.0 * w));
        gradient += &slope;
        Ok(weights.iter().map(|&w| f64::from(w.abs().powi(3) - w * w)).sum())
    }
}

fn weights() -> Matrix {
    Matrix::from_shape_fn((9, 9), |(i, j)| if i == j { 0.0 } else { ((i * 9 + j) as f32).sin() })
}

#[test]
fn a_wrong_gradient_has_a_large_error() {
    let error = |factor| gradient_error(&mut Cubic { factor, adds: true }, &weights(), 1).unwrap();
    assert!(error(1.0) < 1e-5, "{}", error(1.0));
    assert!(error(1.01) > 5e-3, "{}", error(1.01));
    assert!(error(-1.0) > 1.0, "{}", error(-1.0));
}

#[test]
fn the_entry_with_the_largest_deviation_is_named() {
    let mut function = |weights: &Matrix, gradient: Option<&mut Matrix>| {
        if let Some(gradient) = gradient {
            *gradient += &weights.mapv(|w| 2.0 * w);
            gradient[[3, 5]] -= 1.5 * weights[[3, 5]];
        }
        Ok(weights.iter().map(|&w| f64::from(w).powi(2)).sum())
    };
    let place = |i, j| format!("row {i}, column {j}");
    let error =
        slope_within(&mut function, &weights(), 1, Precision::new(5e-3), "the gradient", place).unwrap_err();
    assert!(error.message.contains("largest deviation at row 3, column 5"), "{error}");
    let w = f64::from(f32::from_bits(weights()[[3, 5]].to_bits() & 0xFFFF_E000));
    for number in [format!("{:.5e}", 0.5 * w), format!("{:.4e}", 2.0 * w)] {
        assert!(error.message.contains(number.split('e').next().unwrap()), "no {number} in {error}");
    }
}

#[test]
fn a_single_wrong_entry_is_found() {
    let place = |i, j| format!("row {i}, column {j}");
    let entries = |factor: f32| {
        let mut function = |weights: &Matrix, gradient: Option<&mut Matrix>| {
            if let Some(gradient) = gradient {
                *gradient += &weights.mapv(|w| 2.0 * w);
                gradient[[3, 5]] += (factor - 1.0) * 2.0 * weights[[3, 5]];
            }
            Ok(weights.iter().map(|&w| f64::from(w).powi(2)).sum())
        };
        entries_within(&mut function, &weights(), Precision::new(1e-2), "the gradient", place)
    };
    entries(1.0).unwrap();
    for factor in [0.95, 1.05, 1.5, -1.0] {
        let error = entries(factor).unwrap_err();
        assert!(error.message.contains("row 3, column 5"), "{error}");
    }
}

#[test]
fn a_gradient_that_changes_between_calls_is_distinguished_from_one_that_overwrites() {
    let mut calls = 0.0;
    let mut function = |weights: &Matrix, gradient: Option<&mut Matrix>| {
        calls += 1.0;
        if let Some(gradient) = gradient {
            *gradient += &weights.mapv(|w| calls * w);
        }
        Ok(weights.iter().map(|&w| f64::from(w).powi(2)).sum())
    };
    let error = slope_error(&mut function, &weights(), 1, Precision::new(0.0)).unwrap_err();
    assert!(error.message.contains("different gradients"), "{error}");
}

#[test]
fn overwriting_instead_of_adding_is_an_error() {
    let error = gradient_error(&mut Cubic { factor: 1.0, adds: false }, &weights(), 1).unwrap_err();
    assert!(error.message.contains("does not add"), "{error}");
}
