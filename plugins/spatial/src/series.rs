//! A truncated power series of a non-negative matrix, and its reverse sweep.
//!
//! By Horner's rule: H_K−1 = c_K−1·I + c_K·A and H_k = c_k·I + A·H_k+1, so that
//! H_0 = Σ_k c_k·Aᵏ takes K − 1 products. In the reverse sweep, with a bar for
//! the adjoint of a matrix, H̄_k·H_k+1ᵀ is added to Ā, and H̄_k+1 is Aᵀ·H̄_k:
//! two products for each product of the forward pass.

use pallium_linalg::{View, Write, product_on_threads};

use crate::function::Function;

/// Σ_k c_k·Aᵏ for row-major N×N matrices, k from 0 to K ≥ 1. All memory is
/// allocated at construction.
pub(crate) struct Series {
    n: usize,
    threads: usize,
    coefficients: Vec<f32>,
    argument: Vec<f32>,
    /// H_0 to H_K−1.
    levels: Vec<Vec<f32>>,
    /// The adjoint of H_k during the reverse sweep, finally that of A.
    adjoint: Vec<f32>,
    spare: Vec<f32>,
    sum: Vec<f32>,
}

impl Series {
    /// For N×N matrices on `threads` threads; at least two coefficients.
    pub(crate) fn new(n: usize, threads: usize, coefficients: Vec<f32>) -> Self {
        let zeros = || vec![0.0; n * n];
        Series {
            n,
            threads: threads.max(1),
            argument: zeros(),
            levels: coefficients.iter().skip(1).map(|_| zeros()).collect(),
            coefficients,
            adjoint: zeros(),
            spare: zeros(),
            sum: zeros(),
        }
    }
}

impl Function for Series {
    fn argument_mut(&mut self) -> &mut [f32] {
        &mut self.argument
    }

    fn argument(&self) -> &[f32] {
        &self.argument
    }

    fn result(&self) -> &[f32] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    fn adjoint_mut(&mut self) -> &mut [f32] {
        &mut self.adjoint
    }

    fn adjoint(&self) -> &[f32] {
        &self.adjoint
    }

    fn forward(&mut self) {
        let Series { n, threads, coefficients, argument, levels, .. } = self;
        let mut above: Option<&Vec<f32>> = None;
        for (k, level) in levels.iter_mut().enumerate().rev() {
            match above {
                Some(above) => {
                    let (left, right) = (View::new(argument, *n), View::new(above, *n));
                    product_on_threads(*threads, level, Write::Replace, left, right, 1.0);
                }
                None => level.iter_mut().zip(argument.iter()).for_each(|(h, a)| *h = coefficients[k + 1] * a),
            }
            level.iter_mut().step_by(*n + 1).for_each(|diagonal| *diagonal += coefficients[k]);
            above = Some(level);
        }
    }

    fn backward(&mut self) {
        let Series { n, threads, coefficients, argument, levels, adjoint, spare, sum } = self;
        sum.fill(0.0);
        for above in levels.iter().skip(1) {
            let (back, up) = (View::new(adjoint, *n), View::new(above, *n).transposed());
            product_on_threads(*threads, sum, Write::Add, back, up, 1.0);
            let argument = View::new(argument, *n).transposed();
            product_on_threads(*threads, spare, Write::Replace, argument, back, 1.0);
            std::mem::swap(adjoint, spare);
        }
        let last = coefficients.last().copied().unwrap_or(0.0);
        adjoint.iter_mut().zip(sum.iter()).for_each(|(adjoint, sum)| *adjoint = sum + last * *adjoint);
    }
}
