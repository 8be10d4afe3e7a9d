//! Decompositions in double precision: eigenvalues, determinants, inverses, QR.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};
use ndarray::{Array2, ArrayView2};

use crate::components::strong_components;

fn dense(matrix: ArrayView2<'_, f64>) -> Mat<f64> {
    let (rows, columns) = matrix.dim();
    Mat::from_fn(rows, columns, |i, j| matrix[[i, j]])
}

/// Eigenvalues and eigenvectors of a symmetric matrix.
#[derive(Clone, Debug)]
pub struct Symmetric {
    /// Eigenvalues, ascending.
    pub values: Vec<f64>,
    /// Column k is the eigenvector of eigenvalue k, of length 1.
    pub vectors: Array2<f64>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix; only its lower triangle is
/// read. `None` if the iteration does not converge.
pub fn symmetric(matrix: ArrayView2<'_, f64>) -> Option<Symmetric> {
    let eigen = dense(matrix).self_adjoint_eigen(Side::Lower).ok()?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    Some(Symmetric {
        values: values.iter().copied().collect(),
        vectors: Array2::from_shape_fn(matrix.dim(), |at| vectors[at]),
    })
}

/// Logarithm of the determinant of a symmetric matrix, by Cholesky or, if it is
/// not positive definite, from its eigenvalues; −∞ if the determinant is not
/// positive.
pub fn log_determinant(matrix: ArrayView2<'_, f64>) -> f64 {
    let dense = dense(matrix);
    if let Ok(factor) = dense.llt(Side::Lower) {
        let l = factor.L();
        return 2.0 * (0..matrix.nrows()).map(|i| l[(i, i)].ln()).sum::<f64>();
    }
    match dense.self_adjoint_eigenvalues(Side::Lower) {
        Ok(values) if values.iter().filter(|v| **v < 0.0).count() % 2 == 0 => {
            values.iter().map(|v| v.abs().ln()).sum()
        }
        _ => f64::NEG_INFINITY,
    }
}

/// Inverse of a symmetric matrix, by Cholesky; `None` if it is not positive
/// definite.
pub fn inverse(matrix: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    let inverse = dense(matrix).llt(Side::Lower).ok()?.inverse();
    Some(Array2::from_shape_fn(matrix.dim(), |(i, j)| inverse[(i.max(j), i.min(j))]))
}

/// Inverse of a symmetric matrix; if it is not positive definite, the
/// pseudo-inverse, in which eigenvalues below N·ε times the largest count as 0.
/// `None` if the eigenvalues cannot be found.
pub fn pseudo_inverse(matrix: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    if let Some(inverse) = inverse(matrix) {
        return Some(inverse);
    }
    let p = matrix.nrows();
    let eigen = dense(matrix).self_adjoint_eigen(Side::Lower).ok()?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let largest = (0..p).map(|k| values[k].abs()).fold(0.0, f64::max);
    let least = largest * p as f64 * f64::EPSILON;
    let scaled =
        Mat::from_fn(p, p, |i, k| if values[k].abs() > least { vectors[(i, k)] / values[k] } else { 0.0 });
    let inverse = &scaled * vectors.transpose();
    Some(Array2::from_shape_fn((p, p), |(i, j)| inverse[(i.max(j), i.min(j))]))
}

/// Solves `matrix`·X = `right` for a symmetric `matrix`, by Cholesky; `None` if it
/// is not positive definite.
pub fn solve(matrix: ArrayView2<'_, f64>, right: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
    let solution = dense(matrix).llt(Side::Lower).ok()?.solve(&dense(right));
    Some(Array2::from_shape_fn(right.dim(), |at| solution[at]))
}

/// Eigenvalues of a square matrix as (real, imaginary), by descending modulus; those
/// of a conjugate pair with the positive imaginary part first. `None` if an entry is
/// not finite or the iteration does not converge.
///
/// They are those of the strongly connected components: a matrix with few cycles is as a
/// whole so ill-conditioned that the iteration may not end.
pub fn eigenvalues(matrix: ArrayView2<'_, f64>) -> Option<Vec<(f64, f64)>> {
    if matrix.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut values: Vec<(f64, f64)> = Vec::with_capacity(matrix.nrows());
    for nodes in strong_components(matrix) {
        values.extend(eigenvalues_among(matrix, &nodes)?);
    }
    let modulus = |value: &(f64, f64)| value.0.hypot(value.1);
    values.sort_by(|a, b| {
        modulus(b).total_cmp(&modulus(a)).then(b.0.total_cmp(&a.0)).then(b.1.total_cmp(&a.1))
    });
    Some(values)
}

/// The eigenvalues of the part of a matrix that belongs to `nodes`, in no order; `None` if
/// the iteration does not converge.
pub(crate) fn eigenvalues_among(matrix: ArrayView2<'_, f64>, nodes: &[usize]) -> Option<Vec<(f64, f64)>> {
    if let [node] = *nodes {
        return Some(vec![(matrix[[node, node]], 0.0)]);
    }
    let part = Mat::from_fn(nodes.len(), nodes.len(), |i, j| matrix[[nodes[i], nodes[j]]]);
    Some(part.eigenvalues().ok()?.iter().map(|value| (value.re, value.im)).collect())
}

/// A QR decomposition.
#[derive(Clone, Debug)]
pub struct Qr {
    /// The orthogonal factor Q.
    pub q: Array2<f64>,
    /// The diagonal of R.
    pub diagonal: Vec<f64>,
}

/// QR decomposition of an N×N matrix by Householder reflections. The diagonal of R
/// may have any signs.
pub fn qr(matrix: ArrayView2<'_, f64>) -> Qr {
    let decomposed = dense(matrix).qr();
    let (q, r) = (decomposed.compute_thin_Q(), decomposed.thin_R());
    Qr {
        q: Array2::from_shape_fn(matrix.dim(), |at| q[at]),
        diagonal: (0..matrix.nrows()).map(|j| r[(j, j)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    fn close(a: &Array2<f64>, b: &Array2<f64>) -> bool {
        a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13)
    }

    /// A network with few cycles, as synapses between hundreds of imaged cells are. Sums of
    /// powers of the eigenvalues are traces of powers of the matrix.
    #[test]
    fn a_network_with_few_cycles_has_its_eigenvalues() {
        use rand::{Rng, SeedableRng};
        for seed in 0..10 {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let n = 600;
            let mut matrix = Array2::zeros((n, n));
            for _ in 0..17 * n / 10 {
                matrix[[rng.random_range(0..n), rng.random_range(0..n)]] = rng.random::<f64>() + 0.1;
            }
            let found = eigenvalues(matrix.view()).unwrap();
            assert_eq!(found.len(), n);
            let square = matrix.dot(&matrix);
            let traces = [matrix.diag().sum(), square.diag().sum(), square.dot(&matrix).diag().sum()];
            // Sums of the real parts of powers.
            let sum =
                |power: &dyn Fn(f64, f64) -> f64| found.iter().map(|(re, im)| power(*re, *im)).sum::<f64>();
            let sums = [
                sum(&|re, _| re),
                sum(&|re, im| re * re - im * im),
                sum(&|re, im| re * re * re - 3.0 * re * im * im),
            ];
            for (trace, sum) in traces.iter().zip(sums) {
                assert!((trace - sum).abs() < 1e-10 * (1.0 + trace), "seed {seed}: {trace} and {sum}");
            }
            assert!(found.iter().filter(|value| **value == (0.0, 0.0)).count() > n / 4);
        }
    }

    #[test]
    fn eigenvectors_reconstruct_the_matrix() {
        let matrix = array![[2.0, 0.5, 0.1], [0.5, 1.0, -0.2], [0.1, -0.2, 3.0]];
        let Symmetric { values, vectors } = symmetric(matrix.view()).unwrap();
        assert!(values.is_sorted());
        let again = vectors.dot(&Array2::from_diag(&Array1::from(values))).dot(&vectors.t());
        assert!(close(&again, &matrix), "{again}");
    }

    #[test]
    fn determinants_of_any_sign() {
        let log_det = |matrix: Array2<f64>| log_determinant(matrix.view());
        assert!((log_det(array![[2.0, 1.0], [1.0, 3.0]]) - 5_f64.ln()).abs() < 1e-14);
        assert_eq!(log_det(array![[1.0, 2.0], [2.0, 1.0]]), f64::NEG_INFINITY);
        assert!((log_det(array![[-2.0, 0.0], [0.0, -3.0]]) - 6_f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn an_inverse_inverts() {
        let matrix = array![[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]];
        let inverse = inverse(matrix.view()).unwrap();
        assert!(close(&matrix.dot(&inverse), &Array2::eye(3)));
        assert!(super::inverse(array![[1.0, 2.0], [2.0, 1.0]].view()).is_none());
        assert_eq!(pseudo_inverse(matrix.view()).unwrap(), inverse);
        let right = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        let solution = solve(matrix.view(), right.view()).unwrap();
        assert!(close(&matrix.dot(&solution), &right));
        assert!(solve(array![[0.0]].view(), array![[1.0]].view()).is_none());
    }

    #[test]
    fn pseudo_inverses_of_singular_and_indefinite_matrices() {
        let matrix = array![[1.0, 1.0], [1.0, 1.0]];
        assert!(close(&pseudo_inverse(matrix.view()).unwrap(), &array![[0.25, 0.25], [0.25, 0.25]]));
        // Indefinite, with an inverse.
        let matrix = array![[1.0, 2.0], [2.0, 1.0]];
        assert!(close(&matrix.dot(&pseudo_inverse(matrix.view()).unwrap()), &Array2::eye(2)));
    }

    #[test]
    fn columns_of_q_are_orthonormal_and_span_those_of_the_matrix() {
        // By hand: columns (3, 4) and (1, 2).
        let Qr { q, diagonal } = qr(array![[3.0, 1.0], [4.0, 2.0]].view());
        let positive = Array2::from_shape_fn((2, 2), |(i, j)| q[[i, j]] * diagonal[j].signum());
        assert!(close(&positive, &array![[0.6, -0.8], [0.8, 0.6]]), "{positive}");
    }
}
