//! The exponential of a non-negative matrix, and its reverse sweep.
//!
//! The polynomial is the Taylor polynomial of degree 8 in three products
//! (Bader, Blanes and Casas 2019, *Computing the matrix exponential with an
//! optimized Taylor polynomial approximation*, Mathematics 7:1174), evaluated
//! at `A / 2^q` and squared `q` times. All its coefficients are positive, so a
//! non-negative argument causes no cancellation: every entry of the result has
//! a small relative error, and zeros are exact.
//!
//! The row sums of the argument must be at most 1 (see [`crate::network`]), so
//! `q` is a constant of the number type: the truncation error relative to the
//! norm is 7e-9 for f32 (`q` = 1, four products) and 3e-18 for f64 (`q` = 5,
//! eight products). The reverse sweep takes two products for each product of
//! the forward pass.

use std::ops::{Add, AddAssign, Mul};

use pallium_linalg::{View, Write, product_on_threads};
use pulp::Arch;

use crate::function::Function;

/// A number type of the exponential.
pub(crate) trait Real:
    pallium_linalg::Real + Add<Output = Self> + AddAssign + Mul<Output = Self>
{
    /// Number of squarings q at which the truncation error for an argument of
    /// norm 1 lies below the rounding error of the type.
    const SQUARINGS: u32;
    /// The nearest value.
    fn nearest(value: f64) -> Self;
}

impl Real for f32 {
    const SQUARINGS: u32 = 1;
    fn nearest(value: f64) -> Self {
        value as f32
    }
}

impl Real for f64 {
    const SQUARINGS: u32 = 5;
    fn nearest(value: f64) -> Self {
        value
    }
}

/// Coefficients of the three-product scheme in the paper's notation, multiplied
/// by the scale of the argument.
struct Scheme<T> {
    /// 2^−q, the scale of the argument.
    scale: T,
    /// x1·2^−q and x2 of the second factor of the fourth power.
    x1: T,
    x2: T,
    x3: T,
    x4: T,
    /// x5·2^−q.
    x5: T,
    x6: T,
    x7: T,
    y2: T,
}

impl<T: Real> Scheme<T> {
    fn new() -> Self {
        let scale = 0.5_f64.powi(T::SQUARINGS as i32);
        let root = 177.0_f64.sqrt();
        let x3 = 2.0 / 3.0;
        let of = T::nearest;
        Scheme {
            scale: of(scale),
            x1: of(scale * x3 * (1.0 + root) / 88.0),
            x2: of(x3 * (1.0 + root) / 352.0),
            x3: of(x3),
            x4: of((-271.0 + 29.0 * root) / (315.0 * x3)),
            x5: of(scale * 11.0 * (-1.0 + root) / (1260.0 * x3)),
            x6: of(11.0 * (-9.0 + root) / (5040.0 * x3)),
            x7: of((89.0 - root) / (5040.0 * x3 * x3)),
            y2: of((857.0 - 58.0 * root) / 630.0),
        }
    }

    // The element-wise steps between the products. They are functions of
    // slices, not closures: only then does the compiler know that the slices do
    // not overlap, and vectorises.

    /// U = x1·X + x2·X².
    #[inline(always)]
    fn inner(&self, u: &mut [T], a: &[T], square: &[T]) {
        for ((u, &a), &s) in u.iter_mut().zip(a).zip(square) {
            *u = self.x1 * a + self.x2 * s;
        }
    }

    /// From X²U in `left`: V in its place, R without its x4·I, and X + y2·X².
    #[inline(always)]
    fn factors(&self, left: &mut [T], right: &mut [T], rest: &mut [T], a: &[T], square: &[T]) {
        let outputs = left.iter_mut().zip(right).zip(rest);
        for (((v, r), e), (&a, &s)) in outputs.zip(a.iter().zip(square)) {
            let fourth = *v;
            *v = self.x3 * s + fourth;
            *r = self.x5 * a + self.x6 * s + self.x7 * fourth;
            *e = self.scale * a + self.y2 * s;
        }
    }

    /// From the adjoints of exp(X), V and R: parts of those of A, X²U and X².
    #[inline(always)]
    fn factors_adjoint(&self, e: &mut [T], v: &mut [T], r: &mut [T]) {
        for ((e, v), r) in e.iter_mut().zip(v).zip(r) {
            let (of_e, of_v, of_r) = (*e, *v, *r);
            *e = self.scale * of_e + self.x5 * of_r;
            *v = of_v + self.x7 * of_r;
            *r = self.y2 * of_e + self.x3 * of_v + self.x6 * of_r;
        }
    }

    /// Adds the contributions of the adjoint of U to the adjoints of A and X².
    #[inline(always)]
    fn inner_adjoint(&self, a: &mut [T], square: &mut [T], u: &[T]) {
        for ((a, s), &u) in a.iter_mut().zip(square).zip(u) {
            *a += self.x1 * u;
            *s += self.x2 * u;
        }
    }
}

/// exp(A) for row-major N×N matrices, and its reverse sweep. All memory is
/// allocated at construction.
pub(crate) struct Exponential<T> {
    n: usize,
    threads: usize,
    arch: Arch,
    scheme: Scheme<T>,
    /// A.
    argument: Vec<T>,
    /// X², X = A/2^q.
    square: Vec<T>,
    /// U = x1·X + x2·X².
    inner: Vec<T>,
    /// V = x3·X² + X²U.
    left: Vec<T>,
    /// R = x4·I + x5·X + x6·X² + x7·X²U.
    right: Vec<T>,
    /// exp(X), exp(2X), …, exp(A).
    powers: Vec<Vec<T>>,
    /// The adjoint during the reverse sweep: of exp(A), …, exp(X), finally of
    /// A.
    adjoint: Vec<T>,
    spare: Vec<T>,
    other: Vec<T>,
}

impl<T: Real> Exponential<T> {
    /// For N×N matrices, on `threads` threads (0 and 1: only the calling
    /// thread).
    pub(crate) fn new(n: usize, threads: usize) -> Self {
        let zeros = || vec![T::nearest(0.0); n * n];
        Exponential {
            n,
            threads: threads.max(1),
            arch: Arch::new(),
            scheme: Scheme::new(),
            argument: zeros(),
            square: zeros(),
            inner: zeros(),
            left: zeros(),
            right: zeros(),
            powers: (0..=T::SQUARINGS).map(|_| zeros()).collect(),
            adjoint: zeros(),
            spare: zeros(),
            other: zeros(),
        }
    }
}

impl<T: Real> Function<T> for Exponential<T> {
    fn argument_mut(&mut self) -> &mut [T] {
        &mut self.argument
    }

    fn argument(&self) -> &[T] {
        &self.argument
    }

    fn result(&self) -> &[T] {
        &self.powers[T::SQUARINGS as usize]
    }

    fn adjoint_mut(&mut self) -> &mut [T] {
        &mut self.adjoint
    }

    fn adjoint(&self) -> &[T] {
        &self.adjoint
    }

    fn forward(&mut self) {
        let Exponential { n, threads, arch, scheme, argument: a, square, inner, left, right, powers, .. } =
            self;
        let scale = scheme.scale;
        let n = *n;
        let product = |to: &mut [T], write, left: View<'_, T>, right: View<'_, T>, factor| {
            product_on_threads(*threads, to, write, left, right, factor);
        };
        let one = T::nearest(1.0);
        product(square, Write::Replace, View::new(a, n), View::new(a, n), scale * scale);
        arch.dispatch(|| scheme.inner(inner, a, square));
        product(left, Write::Replace, View::new(square, n), View::new(inner, n), one);
        let first = &mut powers[0];
        arch.dispatch(|| scheme.factors(left, right, first, a, square));
        for (r, e) in right.iter_mut().zip(&mut *first).step_by(n + 1) {
            *r += scheme.x4;
            *e += one;
        }
        product(first, Write::Add, View::new(left, n), View::new(right, n), one);
        for k in 1..powers.len() {
            let (done, next) = powers.split_at_mut(k);
            product(
                &mut next[0],
                Write::Replace,
                View::new(&done[k - 1], n),
                View::new(&done[k - 1], n),
                one,
            );
        }
    }

    fn backward(&mut self) {
        let Exponential {
            n,
            threads,
            arch,
            scheme,
            argument: a,
            square,
            inner,
            left,
            right,
            powers,
            adjoint,
            spare,
            other,
        } = self;
        let scale = scheme.scale;
        let n = *n;
        let product = |to: &mut [T], write, left: View<'_, T>, right: View<'_, T>, factor| {
            product_on_threads(*threads, to, write, left, right, factor);
        };
        let one = T::nearest(1.0);
        for power in powers.iter().rev().skip(1) {
            product(spare, Write::Replace, View::new(adjoint, n), View::new(power, n).transposed(), one);
            product(spare, Write::Add, View::new(power, n).transposed(), View::new(adjoint, n), one);
            std::mem::swap(adjoint, spare);
        }
        // Adjoints of V and R …
        product(spare, Write::Replace, View::new(adjoint, n), View::new(right, n).transposed(), one);
        product(other, Write::Replace, View::new(left, n).transposed(), View::new(adjoint, n), one);
        // … become those of X²U and X².
        arch.dispatch(|| scheme.factors_adjoint(adjoint, spare, other));
        product(other, Write::Add, View::new(spare, n), View::new(inner, n).transposed(), one);
        // `left` is no longer needed: its memory takes the adjoint of U.
        product(left, Write::Replace, View::new(square, n).transposed(), View::new(spare, n), one);
        arch.dispatch(|| scheme.inner_adjoint(adjoint, other, left));
        product(adjoint, Write::Add, View::new(other, n), View::new(a, n).transposed(), scale * scale);
        product(adjoint, Write::Add, View::new(a, n).transposed(), View::new(other, n), scale * scale);
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::{Array2, s};
    use pallium_core::rand::Rng;

    use super::*;

    /// The power series, summed to convergence.
    fn series(a: &Array2<f64>) -> Array2<f64> {
        let mut term = Array2::eye(a.nrows());
        let mut sum = term.clone();
        for k in 1..60 {
            term = term.dot(a) / f64::from(k);
            sum += &term;
        }
        sum
    }

    /// A non-negative matrix with row sums 1, a share of its entries 0.
    fn stochastic(n: usize, zeros: f64) -> Array2<f64> {
        let mut stream = pallium_core::random::stream(n as u64, "stochastic");
        let mut a = Array2::from_shape_simple_fn((n, n), || {
            if stream.random_bool(zeros) { 0.0 } else { stream.random_range(0.0_f64..1.0).powi(4) }
        });
        for mut row in a.rows_mut() {
            let sum = row.sum();
            row.mapv_inplace(|x| if sum == 0.0 { 0.0 } else { x / sum });
        }
        a
    }

    fn forward<T: Real>(a: &Array2<f64>, threads: usize) -> Exponential<T> {
        let mut exponential = Exponential::<T>::new(a.nrows(), threads);
        for (to, &from) in exponential.argument_mut().iter_mut().zip(a) {
            *to = T::nearest(from);
        }
        exponential.forward();
        exponential
    }

    /// Error in the Frobenius norm, relative.
    fn apart<T: Real + Into<f64>>(found: &[T], expected: &Array2<f64>) -> f64 {
        let square = |sum: f64, x: f64| sum + x * x;
        let error = found.iter().zip(expected).map(|(&x, e)| x.into() - e).fold(0.0, square);
        (error / expected.iter().copied().fold(0.0, square)).sqrt()
    }

    /// Eight units of rounding, doubled by each squaring but the first.
    fn tolerance<T: Real + Into<f64>>() -> f64 {
        let epsilon = if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        4.0 * 2_f64.powi(T::SQUARINGS as i32) * epsilon
    }

    /// Largest error of an entry, relative to that entry.
    fn entry_apart<T: Real + Into<f64>>(found: &[T], expected: &Array2<f64>) -> f64 {
        let error = |(&x, &e): (&T, &f64)| if x.into() == e { 0.0 } else { (x.into() / e - 1.0).abs() };
        found.iter().zip(expected).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn the_exponential_agrees_with_the_power_series() {
        for a in [
            stochastic(1, 0.0),
            stochastic(42, 0.5),
            stochastic(161, 0.9),
            stochastic(312, 0.0),
            0.1 * stochastic(70, 0.3),
        ] {
            let n = a.nrows() as f64;
            let expected = series(&a);
            let (single, double) = (forward::<f32>(&a, 1), forward::<f64>(&a, 1));
            let norms = (apart(single.result(), &expected), apart(double.result(), &expected));
            println!("N = {n}: f32 {:.1e}, f64 {:.1e}", norms.0, norms.1);
            assert!(norms.0 < tolerance::<f32>() && norms.1 < tolerance::<f64>(), "N = {n}: {norms:?}");
            // Without cancellation the rounding errors of an entry are at most
            // four sums of N products, doubled by each squaring.
            let entries = (entry_apart(single.result(), &expected), entry_apart(double.result(), &expected));
            let bound =
                |epsilon: f64, squarings: u32| 2_f64.powi(squarings as i32) * 4.0 * (n + 4.0) * epsilon;
            assert!(entries.0 < bound(f32::EPSILON.into(), f32::SQUARINGS), "N = {n}: {entries:?}");
            assert!(entries.1 < bound(f64::EPSILON, f64::SQUARINGS), "N = {n}: {entries:?}");
        }
    }

    #[test]
    fn entries_that_only_long_products_reach_are_right() {
        // A ring, whose far side is reached by products of eight factors.
        let ring = Array2::from_shape_fn((9, 9), |(i, j)| f64::from(u8::from((i + 1) % 9 == j)));
        let expected = series(&ring);
        assert!(apart(forward::<f32>(&ring, 1).result(), &expected) < tolerance::<f32>());
        assert!(apart(forward::<f64>(&ring, 1).result(), &expected) < tolerance::<f64>());
        assert!(entry_apart(forward::<f32>(&ring, 1).result(), &expected) < 1e-5);
    }

    #[test]
    fn the_reverse_sweep_agrees_with_the_derivative_in_a_block_matrix() {
        for n in [1, 7, 42, 150] {
            let a = stochastic(n, 0.3);
            let mut stream = pallium_core::random::stream(3, "seed");
            let g = Array2::from_shape_simple_fn((n, n), || stream.random_range(-1.0_f64..1.0));
            // exp([[Aᵀ, G], [0, Aᵀ]]) holds the adjoint in its corner.
            let mut block = Array2::zeros((2 * n, 2 * n));
            block.slice_mut(s![..n, ..n]).assign(&a.t());
            block.slice_mut(s![n.., n..]).assign(&a.t());
            block.slice_mut(s![..n, n..]).assign(&g);
            let expected = series(&block).slice(s![..n, n..]).to_owned();

            let mut double = forward::<f64>(&a, 1);
            double.adjoint_mut().copy_from_slice(g.as_slice().unwrap());
            double.backward();
            let mut single = forward::<f32>(&a, 1);
            for (to, &from) in single.adjoint_mut().iter_mut().zip(&g) {
                *to = from as f32;
            }
            single.backward();
            let norms = (apart(single.adjoint(), &expected), apart(double.adjoint(), &expected));
            println!("N = {n}: f32 {:.1e}, f64 {:.1e}", norms.0, norms.1);
            assert!(norms.0 < 1e-6 && norms.1 < 1e-13, "N = {n}: {norms:?}");
        }
    }

    #[test]
    fn at_full_size_both_number_types_agree() {
        let a = stochastic(312, 0.1);
        let (mut single, mut double) = (forward::<f32>(&a, 1), forward::<f64>(&a, 2));
        single.adjoint_mut().fill(1.0);
        double.adjoint_mut().fill(1.0);
        single.backward();
        double.backward();
        let expected = Array2::from_shape_vec((312, 312), double.adjoint().to_vec()).unwrap();
        assert!(apart(single.adjoint(), &expected) < 1e-6);

        let mut shared = forward::<f32>(&a, 2);
        shared.adjoint_mut().fill(1.0);
        shared.backward();
        assert!(shared.result() == single.result() && shared.adjoint() == single.adjoint());
    }
}
