//! The communicability of a weighted network, and the gradient through it.
//!
//! With A = |W| and S the diagonal matrix of the row sums of A (the neurons'
//! out-strengths), the communicability is C = exp(S^−½ A S^−½) (Crofts and
//! Higham 2009) with its diagonal set to 0. It is computed as
//!
//! > C = S^½ · exp(P) · S^−½,  P = S^−1 A,
//!
//! because the rows of P always sum to 1, so one polynomial is accurate for all
//! weights. The norm of S^−½ A S^−½, in contrast, grows without bound as the
//! strengths diverge, and would need more and more squarings. No precision is
//! lost: all values are non-negative, and scaling rows and columns does not
//! change relative errors.
//!
//! A neuron whose row of W is entirely 0 has strength 0, by which P cannot be
//! divided. Its row and column of C are 0, and so is their part of the
//! gradient.
//!
//! With a bar for the adjoint of a matrix (the derivative of the value with
//! respect to its entries),
//!
//! > Ē = S^½ C̄ S^−½,  P̄ from Ē by the reverse sweep of the exponential,
//! >
//! > Āᵢⱼ = P̄ᵢⱼ/sᵢ + (½ Σₖ C̄ᵢₖCᵢₖ − ½ Σₖ C̄ₖᵢCₖᵢ − Σₖ P̄ᵢₖPᵢₖ)/sᵢ,
//!
//! where the second term is the derivative with respect to the strength of
//! neuron i, which scales its row and column of C and, inversely, its row of P.

use pallium_core::ndarray::ArrayView2;
use pulp::Arch;

use crate::expm::Exponential;
use crate::function::Function;
use crate::views::{sign, sum_of};

/// Computes the communicability of N neurons and its gradient. Another power
/// series can replace the exponential; the formulas above hold for any.
pub(crate) struct NetworkCommunicability<F = Exponential<f32>> {
    n: usize,
    arch: Arch,
    function: F,
    /// Row sums of |W|, their square roots, and the inverse square roots (0 for
    /// an empty row).
    strength: Vec<f32>,
    root: Vec<f32>,
    inverse_root: Vec<f32>,
    communicability: Vec<f32>,
    /// Derivatives with respect to each neuron's strength, from its row and
    /// column of C.
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl NetworkCommunicability {
    /// For N neurons, on `threads` threads.
    pub(crate) fn new(n: usize, threads: usize) -> Self {
        NetworkCommunicability::with_function(n, Exponential::new(n, threads))
    }
}

impl<F: Function> NetworkCommunicability<F> {
    /// For N neurons, with `function` instead of the exponential.
    pub(crate) fn with_function(n: usize, function: F) -> Self {
        NetworkCommunicability {
            n,
            arch: Arch::new(),
            function,
            strength: vec![0.0; n],
            root: vec![0.0; n],
            inverse_root: vec![0.0; n],
            communicability: vec![0.0; n * n],
            rows: vec![0.0; n],
            columns: vec![0.0; n],
        }
    }

    /// Computes C from W, both N×N and row-major. Returns C and the buffer for
    /// its adjoint C̄, which [`NetworkCommunicability::add_gradient`] reads (the diagonal is
    /// ignored).
    pub(crate) fn communicability(&mut self, weights: &[f32]) -> (&[f32], &mut [f32]) {
        let NetworkCommunicability {
            n, arch, function, strength, root, inverse_root, communicability, ..
        } = self;
        let n = *n;
        arch.dispatch(|| {
            let argument = function.argument_mut().chunks_exact_mut(n);
            for ((p, w), i) in argument.zip(weights.chunks_exact(n)).zip(0..) {
                let s = sum_of(w, w, |w, _| w.abs()) as f32;
                strength[i] = s;
                root[i] = s.sqrt();
                // "is 0", not "is not above 0": NaN must propagate.
                inverse_root[i] = if s == 0.0 { 0.0 } else { 1.0 / s.sqrt() };
                share(p, w, if s == 0.0 { 1.0 } else { s });
            }
        });
        function.forward();
        arch.dispatch(|| {
            let result = function.result().chunks_exact(n);
            for ((c, e), i) in communicability.chunks_exact_mut(n).zip(result).zip(0..) {
                c.copy_from_slice(e);
                scale_row(c, root[i], inverse_root);
                c[i] = 0.0;
            }
        });
        (communicability, function.adjoint_mut())
    }

    /// Adds sign(W) ∘ (direct(D, C) + derivative through C) to the gradient.
    /// `weights` are those of the last call of [`NetworkCommunicability::communicability`].
    /// Returns Σ C̄∘C.
    pub(crate) fn add_gradient(
        &mut self,
        weights: &[f32],
        distance: &[f32],
        gradient: &mut [f32],
        direct: impl Fn(f32, f32) -> f32,
    ) -> f64 {
        let NetworkCommunicability {
            n,
            arch,
            function,
            strength,
            root,
            inverse_root,
            communicability,
            rows,
            columns,
        } = self;
        let n = *n;
        columns.fill(0.0);
        arch.dispatch(|| {
            let adjoint = function.adjoint_mut().chunks_exact_mut(n);
            for ((g, c), i) in adjoint.zip(communicability.chunks_exact(n)).zip(0..) {
                g[i] = 0.0;
                rows[i] = sum_of(c, g, |c, g| c * g);
                add_products(columns, c, g);
                scale_row(g, root[i], inverse_root);
            }
        });
        function.backward();
        arch.dispatch(|| {
            let swept = function.adjoint().chunks_exact(n).zip(function.argument().chunks_exact(n));
            let given = weights.chunks_exact(n).zip(distance.chunks_exact(n));
            let to = gradient.chunks_exact_mut(n).zip(communicability.chunks_exact(n));
            for ((((out, c), (w, d)), (g, p)), i) in to.zip(given).zip(swept).zip(0..) {
                let s = strength[i];
                if s == 0.0 {
                    // All weights of this row are 0, and so is the gradient.
                    continue;
                }
                let through_row = sum_of(g, p, |g, p| g * p);
                let shift = ((0.5 * (rows[i] - columns[i]) - through_row) / f64::from(s)) as f32;
                add_row(out, w, d, c, g, s, shift, &direct);
            }
        });
        rows.iter().sum()
    }
}

// The steps within a row. They are functions of slices, not closures: only then
// does the compiler know that the slices do not overlap, and vectorises.

/// p = |w| / divisor.
#[inline(always)]
fn share(p: &mut [f32], w: &[f32], divisor: f32) {
    for (p, &w) in p.iter_mut().zip(w) {
        *p = w.abs() / divisor;
    }
}

/// Multiplies each entry by `row` and by the factor of its column.
#[inline(always)]
fn scale_row(entries: &mut [f32], row: f32, columns: &[f32]) {
    for (entry, &column) in entries.iter_mut().zip(columns) {
        *entry *= row * column;
    }
}

/// sums += c · g, in f64.
#[inline(always)]
fn add_products(sums: &mut [f64], c: &[f32], g: &[f32]) {
    for ((sum, &c), &g) in sums.iter_mut().zip(c).zip(g) {
        *sum += f64::from(c * g);
    }
}

/// to += sign(w) · (direct(d, c) + p/s + shift).
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one row of each matrix")]
fn add_row(
    to: &mut [f32],
    w: &[f32],
    d: &[f32],
    c: &[f32],
    p: &[f32],
    s: f32,
    shift: f32,
    direct: impl Fn(f32, f32) -> f32,
) {
    for ((((to, &w), &d), &c), &p) in to.iter_mut().zip(w).zip(d).zip(c).zip(p) {
        *to += sign(w) * (direct(d, c) + (p / s + shift));
    }
}

/// The communicability of a measured network of N neurons in f64, row-major, by
/// the same formula. `empty` is the strength of an empty row; with 0, such a
/// neuron has communicability 0.
pub(crate) fn measured_communicability(counts: ArrayView2<'_, f64>, empty: f64, threads: usize) -> Vec<f64> {
    let n = counts.nrows();
    let mut exponential = Exponential::<f64>::new(n, threads);
    let mut strength = Vec::with_capacity(n);
    for (p, counts) in exponential.argument_mut().chunks_exact_mut(n).zip(counts.rows()) {
        let sum: f64 = counts.iter().map(|count| count.abs()).sum();
        strength.push(if sum == 0.0 { empty } else { sum });
        if sum != 0.0 {
            for (p, count) in p.iter_mut().zip(counts) {
                *p = count.abs() / sum;
            }
        }
    }
    exponential.forward();
    let mut result = exponential.result().to_vec();
    for (i, row) in result.chunks_exact_mut(n).enumerate() {
        for (j, c) in row.iter_mut().enumerate() {
            let zero = i == j || strength[i] == 0.0 || strength[j] == 0.0;
            *c = if zero { 0.0 } else { *c * (strength[i] / strength[j]).sqrt() };
        }
    }
    result
}
