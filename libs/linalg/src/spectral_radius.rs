//! The largest absolute eigenvalue of a square matrix, in three ways:
//!
//! | function | matrices | cost |
//! |---|---|---|
//! | [`spectral_radius`] | any | a Schur decomposition |
//! | [`perron_root`] | without negative entries | tens of products with a vector |
//! | [`Squaring`] | any, to about 1e-9 | 10 to 24 products of matrices; reuses its memory |
//!
//! They agree within their accuracy but are not bit-identical, so a component
//! must always use the same one.

use ndarray::{Array1, ArrayView2};

use crate::components::strong_components;
use crate::decomposition::eigenvalues_among;
use crate::product::{View, Write, product};

/// The spectral radius from all eigenvalues, by the real Schur form (Golub and
/// Van Loan 2013, chapter 7). NaN if the matrix is empty; `None` if the iteration
/// does not converge.
///
/// The eigenvalues are those of the strongly connected components, so each is
/// decomposed alone. Without a cycle, the radius is exactly 0: the matrix is
/// nilpotent, and as a whole it is so ill-conditioned that a decomposition of 100
/// neurons would find a radius of about 0.5.
pub fn spectral_radius(matrix: ArrayView2<'_, f64>) -> Option<f64> {
    if matrix.is_empty() {
        return Some(f64::NAN);
    }
    strong_components(matrix).iter().try_fold(0.0, |largest: f64, nodes| {
        let found = eigenvalues_among(matrix, nodes)?;
        Some(found.iter().map(|(re, im)| re.hypot(*im)).fold(largest, f64::max))
    })
}

/// Relative width of the bracket at which the iteration for a Perron root stops.
const BRACKET: f64 = 1e-13;
/// Maximum number of products in that iteration.
const PRODUCTS: usize = 500;

/// The spectral radius of a matrix without negative entries, bracketed to 1e-13
/// by the quotients (Wx)ᵢ/xᵢ of a positive x (Collatz 1942, Wielandt 1950), which
/// tighten as x approaches the Perron vector. `None` if an entry is negative or
/// the bracket does not close.
pub fn perron_root(matrix: ArrayView2<'_, f64>) -> Option<f64> {
    if matrix.iter().any(|v| v.is_sign_negative() && *v != 0.0) {
        return None;
    }
    let mut x = Array1::from_elem(matrix.nrows(), 1.0);
    for _ in 0..PRODUCTS {
        let mut y = matrix.dot(&x);
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for (y, x) in y.iter().zip(&x) {
            low = low.min(y / x);
            high = high.max(y / x);
        }
        // Zeros, infinities and extreme ranges of entries also end here.
        if !(low > 0.0 && high.is_finite()) {
            return None;
        }
        if high - low <= BRACKET * high {
            return Some(0.5 * (low + high));
        }
        let largest = y.iter().copied().fold(0.0, f64::max);
        y /= largest;
        x = y;
    }
    None
}

/// Maximum number of squarings. The error after k of them is of order 2^−k.
const SQUARINGS: u32 = 24;

/// The spectral radius from ρ = lim ‖Wᵏ‖^(1/k) (Gelfand 1941), by repeated
/// squaring. Unlike a power iteration, this needs no gap between the largest
/// eigenvalues, and orthogonal weights have none. Memory is reused between
/// matrices.
#[derive(Debug, Default)]
pub struct Squaring {
    power: Vec<f64>,
    square: Vec<f64>,
}

impl Squaring {
    /// The spectral radius of a square matrix; NaN if an entry is NaN.
    pub fn spectral_radius(&mut self, weights: ArrayView2<'_, f32>) -> f64 {
        let n = weights.nrows();
        self.power.clear();
        self.power.extend(weights.iter().map(|&w| f64::from(w)));
        self.square.resize(n * n, 0.0);
        // ln ‖Wᵏ‖ / k for k = 2^squarings, W scaled to norm 1 after each.
        let mut mean = scale_to_one(&mut self.power);
        if !mean.is_finite() {
            return mean.exp();
        }
        let (mut radius, mut settled) = (f64::INFINITY, 0);
        for squarings in 1..=SQUARINGS {
            let power = View::new(&self.power, n);
            product(&mut self.square, Write::Replace, power, power, 1.0);
            std::mem::swap(&mut self.power, &mut self.square);
            let norm = scale_to_one(&mut self.power);
            if !norm.is_finite() {
                return norm.exp();
            }
            let next = mean + norm / f64::from(1 << squarings);
            // A common factor of the norms cancels between k and 2k.
            let estimate = 2.0 * next - mean;
            settled = if (estimate - radius).abs() < 1e-9 { settled + 1 } else { 0 };
            (mean, radius) = (next, estimate);
            if settled == 2 {
                break;
            }
        }
        radius.exp()
    }
}

/// Divides `values` by their Euclidean norm and returns its logarithm. If that
/// is not finite (−∞ for zeros), the values are unchanged.
fn scale_to_one(values: &mut [f64]) -> f64 {
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let ln = norm.ln();
    if ln.is_finite() {
        let factor = 1.0 / norm;
        values.iter_mut().for_each(|v| *v *= factor);
    }
    ln
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::{Rng, SeedableRng};

    use super::*;

    fn radius(matrix: &Array2<f64>) -> f64 {
        spectral_radius(matrix.view()).unwrap()
    }

    fn squared(weights: &Array2<f32>) -> f64 {
        Squaring::default().spectral_radius(weights.view())
    }

    #[test]
    fn radii_of_known_matrices() {
        assert_eq!(radius(&array![[-3.0]]), 3.0);
        assert!((radius(&array![[0.0, 2.0], [2.0, 0.0]]) - 2.0).abs() < 1e-14);
        assert_eq!(radius(&Array2::zeros((4, 4))), 0.0);
        assert!(radius(&Array2::zeros((0, 0))).is_nan());
        // A rotation by any angle times 2: a complex pair of modulus 2.
        let (s, c) = 0.7_f64.sin_cos();
        assert!((radius(&array![[2.0 * c, -2.0 * s], [2.0 * s, 2.0 * c]]) - 2.0).abs() < 1e-14);
        // A shear: defective.
        assert!((radius(&array![[1.0, 5.0], [0.0, 1.0]]) - 1.0).abs() < 1e-12);
        // A nilpotent matrix has no eigenvalue but zero.
        assert_eq!(radius(&Array2::from_shape_fn((8, 8), |(i, j)| f64::from(j == i + 1))), 0.0);
        // A cyclic shift: all eigenvalues on the unit circle.
        let cyclic = Array2::from_shape_fn((30, 30), |(i, j)| f64::from(j == (i + 1) % 30));
        assert!((radius(&cyclic) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn paths_that_never_return_do_not_count() {
        for n in [3, 8, 30, 100] {
            // All connections lead from earlier to later nodes, in random order.
            let place = |i: usize| (7 * i + 3) % n;
            let mut w = Array2::zeros((n, n));
            for i in 0..n {
                for j in i + 1..n {
                    w[[place(i), place(j)]] = ((13 * i + 5 * j) as f64).sin();
                }
            }
            assert_eq!(radius(&w), 0.0, "{n}");
            assert_eq!(squared(&w.mapv(|v| v as f32)), 0.0, "{n}");
            // One pair of neurons connected in both directions: √|w·v|.
            let (i, j) = (place(n / 2 - 1), place(n / 2));
            (w[[i, j]], w[[j, i]]) = (0.04, 0.01);
            assert!((radius(&w) - 0.02).abs() < 1e-15, "{n}: {}", radius(&w));
        }
    }

    #[test]
    fn the_radius_equals_numpy() {
        // numpy 2.4: i, j = np.mgrid[:50, :50]; w = np.sin(1 + 7*i + 13*j*j).astype(np.float32)
        // abs(np.linalg.eigvals(w.astype(float))).max()
        let w = Array2::from_shape_fn((50, 50), |(i, j)| ((1 + 7 * i + 13 * j * j) as f64).sin() as f32);
        assert!((radius(&w.mapv(f64::from)) - 3.340375979912798).abs() < 1e-10);
    }

    #[test]
    fn the_perron_root_equals_the_radius() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for n in [2, 17, 60] {
            for sparse in [0.0, 0.8] {
                let matrix = Array2::from_shape_simple_fn((n, n), || {
                    if random.random::<f64>() < sparse { 0.0 } else { random.random::<f64>() }
                });
                let all = radius(&matrix);
                match perron_root(matrix.view()) {
                    Some(root) => assert!((root - all).abs() < 1e-11 * all.max(1e-3), "{root} {all}"),
                    None => assert!(sparse > 0.0, "N = {n}"),
                }
            }
        }
        assert!(perron_root(array![[1.0, -1.0], [1.0, 1.0]].view()).is_none());
        assert!(perron_root(array![[1.0, 0.0], [0.0, 0.0]].view()).is_none());
        assert!(perron_root(array![[f64::INFINITY]].view()).is_none());
    }

    #[test]
    fn squaring_agrees_with_the_decomposition() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let mut worst = 0.0_f64;
        for n in [1, 2, 3, 8, 42, 120] {
            for kind in 0..4 {
                // Approximately normal: a sum of twelve uniform numbers.
                let normal = |_| (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
                let drawn = Array2::from_shape_fn((n, n), normal);
                let w = match kind {
                    0 => drawn,
                    1 => drawn.mapv(f32::abs),
                    2 => &drawn - &drawn.t(),
                    _ => &drawn * 0.01 + Array2::<f32>::eye(n),
                };
                if n == 1 && kind == 2 {
                    continue;
                }
                worst = worst.max((squared(&w) / radius(&w.mapv(f64::from)) - 1.0).abs());
            }
        }
        println!("off by {worst:.1e}");
        assert!(worst < 1e-6, "off by {worst:.1e}");
    }

    #[test]
    fn squaring_needs_no_gap_between_eigenvalues() {
        let cyclic = Array2::from_shape_fn((30, 30), |(i, j)| f32::from(j == (i + 1) % 30));
        assert!((squared(&cyclic) - 1.0).abs() < 1e-9);
        let rotation = array![[0.6_f32, -0.8], [0.8, 0.6]];
        assert!((squared(&rotation) - 1.0).abs() < 1e-7);
        let nilpotent = Array2::from_shape_fn((8, 8), |(i, j)| f32::from(j == i + 1));
        assert_eq!(squared(&nilpotent), 0.0);
        assert_eq!(squared(&Array2::zeros((4, 4))), 0.0);
        // Two opposite eigenvalues, and one defective.
        assert!((squared(&array![[0.0_f32, 4.0], [1.0, 0.0]]) - 2.0).abs() < 1e-7);
        assert!((squared(&array![[2.0_f32, 1.0], [0.0, 2.0]]) - 2.0).abs() < 1e-6);
        assert!(squared(&array![[f32::NAN, 1.0], [1.0, 1.0]]).is_nan());
    }
}
