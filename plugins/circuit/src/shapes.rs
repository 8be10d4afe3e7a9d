//! Checks of matrix shapes.

use pallium_core::prelude::*;

/// Refuses a matrix that is not N×N, or not square if N is not known.
pub(crate) fn check_shape(what: &str, neurons: Option<usize>, (rows, columns): (usize, usize)) -> Result<()> {
    let n = neurons.unwrap_or(rows);
    if (rows, columns) == (n, n) {
        return Ok(());
    }
    Err(Error::input(format!("{what} matrix is {rows}×{columns}, but must be {n}×{n}")))
}

/// The penalty, 0, of a constraint without one; checks the shapes.
pub(crate) fn no_penalty(
    neurons: Option<usize>,
    weights: &MatrixView<'_>,
    gradient: &MatrixViewMut<'_>,
) -> Result<f64> {
    check_shape("weights", neurons, weights.dim())?;
    check_shape("gradient", neurons.or(Some(weights.nrows())), gradient.dim())?;
    Ok(0.0)
}
