//! Checks of shapes, and access to matrices as slices.

use pallium_core::ndarray::CowArray;
use pallium_core::prelude::*;

/// Refuses weights that have not the shape `expected`, if that is known, and a
/// gradient of another shape than the weights.
pub(crate) fn check_shapes(
    expected: Option<(usize, usize)>,
    weights: &MatrixView<'_>,
    gradient: &MatrixViewMut<'_>,
) -> Result<()> {
    check_shape("weights", expected, weights.dim())?;
    check_shape("gradient", Some(weights.dim()), gradient.dim())
}

/// Refuses a matrix that has not the shape `expected`, if that is known.
pub(crate) fn check_shape(
    what: &str,
    expected: Option<(usize, usize)>,
    (rows, columns): (usize, usize),
) -> Result<()> {
    match expected {
        Some((r, c)) if (r, c) != (rows, columns) => {
            Err(Error::input(format!("{what} matrix is {rows}×{columns}, but must be {r}×{c}")))
        }
        _ => Ok(()),
    }
}

/// The shape of the parameter, and the setting's distances between its rows and
/// columns, row-major.
pub(crate) fn distances(setting: &Setting<'_>) -> Result<((usize, usize), Vec<f32>)> {
    let distance = setting.distance()?;
    check_shape("distance", setting.shape().ok(), distance.dim())?;
    if distance.is_empty() {
        return Err(Error::input("the distance matrix is empty: there are no neurons"));
    }
    if let Some(((i, j), d)) = distance.indexed_iter().find(|(_, d)| !d.is_finite() || **d < 0.0) {
        return Err(Error::input(format!("distance from neuron {i} to {j} is {d}"))
            .help("distances must be finite and at least 0"));
    }
    Ok((distance.dim(), distance.iter().copied().collect()))
}

/// The distances of the connections after a change.
pub(crate) fn distances_after(change: &RewiringView<'_>) -> Result<Vec<f32>> {
    let distance = change
        .distance
        .ok_or_else(|| Error::input("connections changed, but the distances of the new ones are unknown"))?;
    check_shape("distance", Some((1, change.connections.len())), distance.dim())?;
    Ok(distance.iter().copied().collect())
}

/// N and the setting's distances, row-major, for a penalty on walks over several
/// connections.
pub(crate) fn square_distances(setting: &Setting<'_>) -> Result<(usize, Vec<f32>)> {
    let ((rows, columns), distance) = distances(setting)?;
    if rows != columns || setting.rows != setting.columns {
        return Err(Error::unsupported(format!(
            "communicability is not defined for connections from {rows} units to {columns} others"
        ))
        .help("name the parameters within one population, such as `on = [\"recurrent_ee\"]`"));
    }
    Ok((rows, distance))
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
