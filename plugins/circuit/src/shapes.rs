//! Shapes of matrices, and the units that their rows and columns stand for.

use pallium_core::Units;
use pallium_core::prelude::*;

/// The shape of the parameter that a constraint is built for; `None` if the
/// setting does not say it.
pub(crate) fn shape_of(setting: &Setting<'_>) -> Option<(usize, usize)> {
    setting.shape().ok()
}

/// The neuron that row or column `index` stands for; `None` for a free unit.
pub(crate) fn neuron(units: Option<Units<'_>>, index: usize) -> Option<usize> {
    units.map_or(Some(index), |units| units.neuron(index))
}

/// Whether rows and columns stand for the same units, so that the diagonal holds
/// the connections of units to themselves.
pub(crate) fn within_one_population(setting: &Setting<'_>) -> bool {
    match shape_of(setting) {
        Some((rows, columns)) => {
            rows == columns && (0..rows).all(|i| neuron(setting.rows, i) == neuron(setting.columns, i))
        }
        None => true,
    }
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

/// The penalty, 0, of a constraint without one; checks the shapes.
pub(crate) fn no_penalty(
    expected: Option<(usize, usize)>,
    weights: &MatrixView<'_>,
    gradient: &MatrixViewMut<'_>,
) -> Result<f64> {
    check_shape("weights", expected, weights.dim())?;
    check_shape("gradient", Some(weights.dim()), gradient.dim())?;
    Ok(0.0)
}
