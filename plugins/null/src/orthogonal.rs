//! Random orthogonal matrices, and the change of basis by one.

use pallium_core::ndarray::Array2;
use pallium_core::rand_distr::{Distribution, StandardNormal};
use pallium_core::random::Stream;
use pallium_linalg::{Qr, qr};

/// An N×N orthogonal matrix, uniform over all of them (Mezzadri 2007).
pub fn orthogonal(n: usize, stream: &mut Stream) -> Array2<f64> {
    let gaussian = Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(stream));
    let Qr { q, diagonal } = qr(gaussian.view());
    Array2::from_shape_fn((n, n), |(i, j)| if diagonal[j] < 0.0 { -q[[i, j]] } else { q[[i, j]] })
}

/// Q·M·Qᵀ with a random orthogonal Q.
pub fn turned(matrix: &Array2<f64>, stream: &mut Stream) -> Array2<f64> {
    let q = orthogonal(matrix.nrows(), stream);
    q.dot(matrix).dot(&q.t())
}
