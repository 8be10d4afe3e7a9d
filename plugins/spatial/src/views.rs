//! Checks of shapes, and access to matrices as slices.

use pallium_core::ndarray::CowArray;
use pallium_core::prelude::*;

/// Refuses weights and gradients that are not N×N; if N is not known, that are
/// not square or differ in shape.
pub(crate) fn check_shapes(
    neurons: Option<usize>,
    weights: &MatrixView<'_>,
    gradient: &MatrixViewMut<'_>,
) -> Result<()> {
    check_shape("weights", neurons, weights.dim())?;
    check_shape("gradient", neurons.or(Some(weights.nrows())), gradient.dim())
}

/// Refuses a matrix that is not N×N, or not square if N is not known.
pub(crate) fn check_shape(what: &str, neurons: Option<usize>, (rows, columns): (usize, usize)) -> Result<()> {
    let n = neurons.unwrap_or(rows);
    if (rows, columns) == (n, n) {
        return Ok(());
    }
    Err(Error::input(format!("{what} matrix is {rows}×{columns}, but must be {n}×{n}")))
}

/// N and the setting's distances, row-major.
pub(crate) fn distances(setting: &Setting<'_>) -> Result<(usize, Vec<f32>)> {
    let distance = setting.distance()?;
    check_shape("distance", setting.neurons, distance.dim())?;
    if distance.is_empty() {
        return Err(Error::input("the distance matrix is empty: there are no neurons"));
    }
    if let Some(((i, j), d)) = distance.indexed_iter().find(|(_, d)| !d.is_finite() || **d < 0.0) {
        return Err(Error::input(format!("distance from neuron {i} to {j} is {d}"))
            .help("distances must be finite and at least 0"));
    }
    Ok((distance.nrows(), distance.iter().copied().collect()))
}

/// Runs `work` on the entries of both matrices in row-major order. Only views
/// with another layout are copied.
pub(crate) fn with_slices<R>(
    weights: MatrixView<'_>,
    mut gradient: MatrixViewMut<'_>,
    work: impl FnOnce(&[f32], &mut [f32]) -> R,
) -> Result<R> {
    let weights: CowArray<'_, f32, _> = weights.as_standard_layout();
    let Some(w) = weights.as_slice() else {
        return Err(Error::bug("a row-major matrix is not contiguous"));
    };
    if let Some(g) = gradient.as_slice_mut() {
        return Ok(work(w, g));
    }
    let mut entries: Vec<f32> = gradient.iter().copied().collect();
    let result = work(w, &mut entries);
    for (to, from) in gradient.iter_mut().zip(entries) {
        *to = from;
    }
    Ok(result)
}

/// The derivative of |w|: 0 at 0, NaN if w is NaN.
#[inline(always)]
pub(crate) fn sign(w: f32) -> f32 {
    if w > 0.0 {
        1.0
    } else if w < 0.0 {
        -1.0
    } else {
        w
    }
}

/// Σ f(a, b) over two slices of equal length. Sixteen partial sums in f64 keep the
/// precision and avoid a chain of dependent additions.
#[inline(always)]
pub(crate) fn sum_of(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut parts = [0.0_f64; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for k in 0..16 {
            parts[k] += f64::from(f(a[k], b[k]));
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(f(a, b))).sum();
    parts.iter().sum::<f64>() + rest
}
