//! Spectral radius and inverse of a matrix.

use faer::Mat;
use pallium_core::{
    ndarray::{Array1, Array2},
    prelude::*,
};

/// Relative width of the bracket at which iteration stops.
const TOLERANCE: f64 = 1e-13;
/// Products before the iteration gives up.
const PATIENCE: usize = 500;

/// Largest absolute eigenvalue.
///
/// For a matrix without negative entries it is bracketed, to 1e-13, by the
/// quotients (Wx)ᵢ/xᵢ of any positive x (Collatz 1942, Wielandt 1950), which
/// tighten as x becomes the Perron vector: tens of matrix-vector products
/// instead of a decomposition. Where that does not converge, and for all other
/// matrices, it is taken from all eigenvalues.
///
/// # Errors
/// If the eigenvalues cannot be found.
pub fn spectral_radius(matrix: &Array2<f64>) -> Result<f64> {
    let diagonal = |((i, j), v): ((usize, usize), &f64)| i == j || *v == 0.0;
    if matrix.indexed_iter().all(diagonal) {
        return Ok(matrix.diag().iter().fold(0.0, |largest, v| v.abs().max(largest)));
    }
    if let Some(radius) = perron(matrix) {
        return Ok(radius);
    }
    let (rows, columns) = matrix.dim();
    let eigenvalues = Mat::from_fn(rows, columns, |i, j| matrix[[i, j]])
        .eigenvalues()
        .map_err(|e| Error::input(format!("the eigenvalues of the weights cannot be found: {e:?}")))?;
    Ok(eigenvalues.iter().map(|value| value.re.hypot(value.im)).fold(0.0, f64::max))
}

/// The Perron root, if iteration finds it.
fn perron(matrix: &Array2<f64>) -> Option<f64> {
    if matrix.iter().any(|v| v.is_sign_negative() && *v != 0.0) {
        return None;
    }
    let mut x = Array1::from_elem(matrix.nrows(), 1.0);
    for _ in 0..PATIENCE {
        let mut y = matrix.dot(&x);
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for (y, x) in y.iter().zip(&x) {
            low = low.min(y / x);
            high = high.max(y / x);
        }
        // Also ends here: zeros, infinities, and entries too far apart.
        if !(low > 0.0 && high.is_finite()) {
            return None;
        }
        if high - low <= TOLERANCE * high {
            return Some(0.5 * (low + high));
        }
        let largest = y.iter().copied().fold(0.0, f64::max);
        y /= largest;
        x = y;
    }
    None
}

/// Inverse of a symmetric positive definite matrix, by Cholesky.
///
/// # Errors
/// If it is not positive definite.
pub fn inverse(matrix: &Array2<f64>) -> Result<Array2<f64>> {
    use faer::linalg::solvers::DenseSolveCore;
    let (rows, columns) = matrix.dim();
    let inverse = Mat::from_fn(rows, columns, |i, j| matrix[[i, j]])
        .llt(faer::Side::Lower)
        .map_err(|_| Error::bug("a covariance is not positive definite"))?
        .inverse();
    Ok(Array2::from_shape_fn((rows, columns), |(i, j)| inverse[(i.max(j), i.min(j))]))
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;
    use rand::Rng;

    use super::*;

    fn all_eigenvalues(matrix: &Array2<f64>) -> f64 {
        let n = matrix.nrows();
        let values = Mat::from_fn(n, n, |i, j| matrix[[i, j]]).eigenvalues().unwrap();
        values.iter().map(|v| v.re.hypot(v.im)).fold(0.0, f64::max)
    }

    #[test]
    fn known_radii() {
        assert_eq!(spectral_radius(&array![[0.0, 2.0], [2.0, 0.0]]).unwrap(), 2.0);
        // A rotation by 90° and a shear: complex, and defective.
        assert!((spectral_radius(&array![[0.0, -3.0], [3.0, 0.0]]).unwrap() - 3.0).abs() < 1e-12);
        assert!((spectral_radius(&array![[1.0, 5.0], [0.0, 1.0]]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(spectral_radius(&array![[0.0, 1.0], [0.0, 0.0]]).unwrap(), 0.0);
        assert!((spectral_radius(&array![[0.5, 0.0], [0.0, 4.0]]).unwrap() - 4.0).abs() < 1e-12);
        assert!((spectral_radius(&array![[-7.0]]).unwrap() - 7.0).abs() < 1e-12);
    }

    #[test]
    fn both_ways_agree() {
        let mut random = random::stream(3, "test");
        for n in [2, 17, 60] {
            for sparse in [0.0, 0.8] {
                let matrix = Array2::from_shape_fn((n, n), |_| {
                    if random.random::<f64>() < sparse { 0.0 } else { random.random::<f64>() }
                });
                let (a, b) = (spectral_radius(&matrix).unwrap(), all_eigenvalues(&matrix));
                assert!((a - b).abs() < 1e-11 * b.max(1e-3), "{a} {b}");
            }
        }
    }

    #[test]
    fn an_inverse_inverts() {
        let matrix = array![[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]];
        let product = matrix.dot(&inverse(&matrix).unwrap());
        assert!((product - Array2::<f64>::eye(3)).iter().all(|v| v.abs() < 1e-14));
        assert!(inverse(&array![[1.0, 2.0], [2.0, 1.0]]).is_err());
    }
}
