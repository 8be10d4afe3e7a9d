//! Products of row-major matrices.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// How a product treats the existing values of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Replaces them.
    Replace,
    /// Adds to them.
    Add,
}

/// A matrix in a slice, row-major or transposed.
#[derive(Clone, Copy)]
pub struct View<'a, T>(MatRef<'a, T>);

impl<'a, T> View<'a, T> {
    /// A matrix with `columns` columns from row-major `values`.
    ///
    /// # Panics
    /// If the last row is incomplete.
    pub fn new(values: &'a [T], columns: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        View(MatRef::from_row_major_slice(values, rows, columns))
    }

    /// The transposed matrix; nothing is copied.
    pub fn transposed(self) -> Self {
        View(self.0.transpose())
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.0.nrows()
    }

    /// Number of columns.
    pub fn columns(self) -> usize {
        self.0.ncols()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Number types that products are compiled for: `f32` and `f64`.
pub trait Real: Copy + Send + Sync + sealed::Sealed {
    /// See [`product`].
    #[doc(hidden)]
    fn multiply(out: &mut [Self], write: Write, left: View<'_, Self>, right: View<'_, Self>, factor: Self);
}

macro_rules! compile_for {
    ($($number:ty),*) => {$(
        impl Real for $number {
            // Not generic and not inlined, so that faer's product is compiled
            // here, once for all crates.
            #[inline(never)]
            fn multiply(out: &mut [Self], write: Write, left: View<'_, Self>, right: View<'_, Self>, factor: Self) {
                let accumulate = match write {
                    Write::Replace => Accum::Replace,
                    Write::Add => Accum::Add,
                };
                let out = MatMut::from_row_major_slice_mut(out, left.rows(), right.columns());
                matmul(out, accumulate, left.0, right.0, factor, Par::Seq);
            }
        }
    )*};
}
compile_for!(f32, f64);

/// Computes factor · `left` · `right` and writes it to, or adds it to, the
/// row-major `out`.
///
/// # Panics
/// If the shapes do not match.
#[inline]
pub fn product<T: Real>(out: &mut [T], write: Write, left: View<'_, T>, right: View<'_, T>, factor: T) {
    T::multiply(out, write, left, right, factor);
}

/// As [`product`], with the rows of `out` divided among `threads` threads (0 and
/// 1: the calling thread). The result does not depend on their number.
///
/// # Panics
/// As [`product`].
pub fn product_on_threads<T: Real>(
    threads: usize,
    out: &mut [T],
    write: Write,
    left: View<'_, T>,
    right: View<'_, T>,
    factor: T,
) {
    if threads <= 1 {
        product(out, write, left, right, factor);
        return;
    }
    let (rows, columns) = (left.rows().div_ceil(threads).max(1), right.columns());
    std::thread::scope(|scope| {
        for (block, out) in out.chunks_mut(rows * columns).enumerate() {
            scope.spawn(move || {
                let left = View(left.0.subrows(block * rows, out.len() / columns));
                product(out, write, left, right, factor);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn products_of_matrices_and_their_transposes() {
        let (a, b) = ([1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0_f32, 0.0, -1.0, 2.0, 1.0, 1.0]);
        let (left, right) = (View::new(&a, 3), View::new(&b, 2));
        let mut out = [10.0; 4];
        product(&mut out, Write::Replace, left, right, 2.0);
        assert_eq!(out, [4.0, 14.0, 10.0, 32.0]);
        product(&mut out, Write::Add, left, right, -1.0);
        assert_eq!(out, [2.0, 7.0, 5.0, 16.0]);
        let mut out = [0.0; 9];
        product(&mut out, Write::Replace, left.transposed(), right.transposed(), 1.0);
        assert_eq!(out, [1.0, 7.0, 5.0, 2.0, 8.0, 7.0, 3.0, 9.0, 9.0]);
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let value = |(i, j): (usize, usize)| ((i * 31 + j * 17) as f64).sin();
        let (a, b) = (Array2::from_shape_fn((50, 37), value), Array2::from_shape_fn((37, 41), value));
        let (left, right) = (View::new(a.as_slice().unwrap(), 37), View::new(b.as_slice().unwrap(), 41));
        let mut alone = vec![0.0; 50 * 41];
        product(&mut alone, Write::Replace, left, right, 1.0);
        let expected = a.dot(&b);
        assert!(alone.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-12));
        for threads in [0, 1, 3, 60] {
            let mut shared = vec![0.0; 50 * 41];
            product_on_threads(threads, &mut shared, Write::Replace, left, right, 1.0);
            assert_eq!(shared, alone, "{threads} threads");
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn mismatched_shapes_panic() {
        let values = array![1.0, 2.0, 3.0, 4.0];
        let view = View::new(values.as_slice().unwrap(), 2);
        product(&mut [0.0; 3], Write::Replace, view, view, 1.0);
    }
}
