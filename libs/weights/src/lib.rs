//! Helpers for sources of recurrent weights: checks of given draws, and the
//! spectral radius. It does not know where weights come from.

use pallium_core::{
    ndarray::{Array2, ArrayView2},
    prelude::*,
};
use pallium_linalg::perron_root;

/// Checks that a draw supplied by the user in place of random numbers is N×N and
/// finite.
///
/// # Errors
/// If it is not.
pub fn checked_draw(draw: ArrayView2<'_, f64>, n: usize) -> Result<ArrayView2<'_, f64>> {
    if draw.dim() != (n, n) {
        let (rows, columns) = draw.dim();
        return Err(Error::input(format!("the draw is {rows}×{columns}, but there are {n} neurons"))
            .help("supply N×N numbers"));
    }
    if let Some(((i, j), value)) = draw.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::input(format!("the draw has {value} at row {i}, column {j}"))
            .help("every number must be finite"));
    }
    Ok(draw)
}

/// The largest absolute eigenvalue: from the diagonal of a diagonal matrix, from
/// [`perron_root`] for a matrix without negative entries, otherwise from all
/// eigenvalues.
///
/// # Errors
/// If the eigenvalues cannot be found.
pub fn spectral_radius(matrix: &Array2<f64>) -> Result<f64> {
    let diagonal = |((i, j), v): ((usize, usize), &f64)| i == j || *v == 0.0;
    if matrix.indexed_iter().all(diagonal) {
        return Ok(matrix.diag().iter().fold(0.0, |largest, v| v.abs().max(largest)));
    }
    perron_root(matrix.view())
        .or_else(|| pallium_linalg::spectral_radius(matrix.view()))
        .ok_or_else(|| Error::input("the eigenvalues of the weights cannot be found"))
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn draws_are_checked() {
        let finite = array![[1.0, 2.0], [3.0, 4.0]];
        assert_eq!(checked_draw(finite.view(), 2).unwrap(), finite);
        assert!(checked_draw(finite.view(), 3).unwrap_err().message.contains("2×2, but there are 3"));
        let infinite = array![[1.0, f64::INFINITY], [3.0, 4.0]];
        assert!(checked_draw(infinite.view(), 2).unwrap_err().message.contains("inf at row 0, column 1"));
    }

    #[test]
    fn radii_of_known_matrices() {
        assert_eq!(spectral_radius(&array![[0.0, 2.0], [2.0, 0.0]]).unwrap(), 2.0);
        // A rotation by 90° and a shear: complex, and defective.
        assert!((spectral_radius(&array![[0.0, -3.0], [3.0, 0.0]]).unwrap() - 3.0).abs() < 1e-12);
        assert!((spectral_radius(&array![[1.0, 5.0], [0.0, 1.0]]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(spectral_radius(&array![[0.0, 1.0], [0.0, 0.0]]).unwrap(), 0.0);
        assert!((spectral_radius(&array![[0.5, 0.0], [0.0, 4.0]]).unwrap() - 4.0).abs() < 1e-12);
        assert!((spectral_radius(&array![[-7.0]]).unwrap() - 7.0).abs() < 1e-12);
    }
}
