//! The communicability of a weighted network, and the gradient through it.
//!
//! With A = |W| and S the diagonal matrix of A's row sums (the neurons' out
//! strengths), the communicability is C = exp(S^−½ A S^−½) (Crofts and Higham
//! 2009), its diagonal then set to 0. What is computed here is the equal
//!
//! > C = S^½ · exp(P) · S^−½,  P = S^−1 A,
//!
//! because the rows of P sum to 1 whatever the weights are: one polynomial
//! serves always, where the norm of S^−½ A S^−½ grows without bound as the
//! strengths drift apart, and would take ever more squarings. Nothing is lost
//! on the way: all numbers are non-negative, and scaling rows and columns
//! leaves relative errors alone.
//!
//! A neuron whose whole row of W is 0 has no strength to divide by. It is left
//! out of the network: its row and column of C are 0, and so is their part of
//! the gradient.
//!
//! With a bar for the derivative of a value in a matrix's entries,
//!
//! > Ē = S^½ C̄ S^−½,  P̄ from Ē by the reverse sweep of the exponential,
//! >
//! > Āᵢⱼ = P̄ᵢⱼ/sᵢ + (½ Σₖ C̄ᵢₖCᵢₖ − ½ Σₖ C̄ₖᵢCₖᵢ − Σₖ P̄ᵢₖPᵢₖ)/sᵢ,
//!
//! whose second term is the derivative in the strength of neuron i, which
//! scales its row and its column of C and, inversely, its row of P.

use pallium_core::ndarray::ArrayView2;
use pulp::Arch;

use crate::expm::Exponential;
use crate::views::{sign, sum_of};

/// A power series of a non-negative matrix with row sums of at most 1, and the
/// reverse sweep through it; both N×N, row-major.
pub(crate) trait Function {
    /// Where the argument is written before [`Function::forward`].
    fn argument_mut(&mut self) -> &mut [f32];
    /// The argument.
    fn argument(&self) -> &[f32];
    /// The function of the argument, after [`Function::forward`].
    fn result(&self) -> &[f32];
    /// Where the derivative of some value in the result's entries is written
    /// before [`Function::backward`].
    fn adjoint_mut(&mut self) -> &mut [f32];
    /// Its derivative in the argument's entries, after [`Function::backward`].
    fn adjoint(&self) -> &[f32];
    /// Computes the function.
    fn forward(&mut self);
    /// Turns the one derivative into the other; once after each
    /// [`Function::forward`].
    fn backward(&mut self);
}

impl Function for Exponential<f32> {
    fn argument_mut(&mut self) -> &mut [f32] {
        self.argument_mut()
    }

    fn argument(&self) -> &[f32] {
        self.argument()
    }

    fn result(&self) -> &[f32] {
        self.result()
    }

    fn adjoint_mut(&mut self) -> &mut [f32] {
        self.adjoint_mut()
    }

    fn adjoint(&self) -> &[f32] {
        self.adjoint()
    }

    fn forward(&mut self) {
        self.forward();
    }

    fn backward(&mut self) {
        self.backward();
    }
}

/// The communicability of N neurons, with memory for the gradient through it.
/// Another power series may take the exponential's place: what is said above
/// holds for any.
pub(crate) struct Network<F = Exponential<f32>> {
    n: usize,
    arch: Arch,
    exponential: F,
    /// Row sums of |W|, their square roots, and the inverses of these (0 for
    /// an empty row).
    strength: Vec<f32>,
    root: Vec<f32>,
    inverse_root: Vec<f32>,
    communicability: Vec<f32>,
    /// Derivative in each neuron's strength, from its row and column of C.
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Network {
    /// For N neurons, on so many threads.
    pub(crate) fn new(n: usize, threads: usize) -> Self {
        Network::of(n, Exponential::new(n, threads))
    }
}

impl<F: Function> Network<F> {
    /// For N neurons, with `exponential` or what stands for it.
    pub(crate) fn of(n: usize, exponential: F) -> Self {
        Network {
            n,
            arch: Arch::new(),
            exponential,
            strength: vec![0.0; n],
            root: vec![0.0; n],
            inverse_root: vec![0.0; n],
            communicability: vec![0.0; n * n],
            rows: vec![0.0; n],
            columns: vec![0.0; n],
        }
    }

    /// Computes C from W, both N×N and row-major. Hands out C, and the place
    /// for its derivative C̄, which [`Network::add_gradient`] reads (its
    /// diagonal is ignored).
    pub(crate) fn communicability(&mut self, weights: &[f32]) -> (&[f32], &mut [f32]) {
        let Network { n, arch, exponential, strength, root, inverse_root, communicability, .. } = self;
        let n = *n;
        arch.dispatch(|| {
            let argument = exponential.argument_mut().chunks_exact_mut(n);
            for ((p, w), i) in argument.zip(weights.chunks_exact(n)).zip(0..) {
                let s = sum_of(w, w, |w, _| w.abs()) as f32;
                strength[i] = s;
                root[i] = s.sqrt();
                // "is 0", not "is not above 0": what is not a number passes on.
                inverse_root[i] = if s == 0.0 { 0.0 } else { 1.0 / s.sqrt() };
                share(p, w, if s == 0.0 { 1.0 } else { s });
            }
        });
        exponential.forward();
        arch.dispatch(|| {
            let result = exponential.result().chunks_exact(n);
            for ((c, e), i) in communicability.chunks_exact_mut(n).zip(result).zip(0..) {
                c.copy_from_slice(e);
                scale_row(c, root[i], inverse_root);
                c[i] = 0.0;
            }
        });
        (communicability, exponential.adjoint_mut())
    }

    /// Adds sign(W) ∘ (direct(D, C) + derivative through C) to the gradient,
    /// for the weights that C was last computed from. Returns Σ C̄∘C.
    pub(crate) fn add_gradient(
        &mut self,
        weights: &[f32],
        distance: &[f32],
        gradient: &mut [f32],
        direct: impl Fn(f32, f32) -> f32,
    ) -> f64 {
        let Network { n, arch, exponential, strength, root, inverse_root, communicability, rows, columns } =
            self;
        let n = *n;
        columns.fill(0.0);
        arch.dispatch(|| {
            let adjoint = exponential.adjoint_mut().chunks_exact_mut(n);
            for ((g, c), i) in adjoint.zip(communicability.chunks_exact(n)).zip(0..) {
                g[i] = 0.0;
                rows[i] = sum_of(c, g, |c, g| c * g);
                add_products(columns, c, g);
                scale_row(g, root[i], inverse_root);
            }
        });
        exponential.backward();
        arch.dispatch(|| {
            let swept = exponential.adjoint().chunks_exact(n).zip(exponential.argument().chunks_exact(n));
            let given = weights.chunks_exact(n).zip(distance.chunks_exact(n));
            let to = gradient.chunks_exact_mut(n).zip(communicability.chunks_exact(n));
            for ((((out, c), (w, d)), (g, p)), i) in to.zip(given).zip(swept).zip(0..) {
                let s = strength[i];
                if s == 0.0 {
                    // All of this row's weights are 0, and so is the gradient.
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

// The steps within a row. They are functions of slices, not closures, because
// only so does the compiler know that the slices do not overlap, and vectorises.

/// p = |w| / divisor.
#[inline(always)]
fn share(p: &mut [f32], w: &[f32], divisor: f32) {
    for (p, &w) in p.iter_mut().zip(w) {
        *p = w.abs() / divisor;
    }
}

/// Multiplies each entry by row · its column's factor.
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

/// The communicability of a measured network of N neurons in f64, row-major,
/// by the same formula. `empty` is the strength that an empty row is given; at
/// 0 such a neuron is left out.
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
