//! A network as lesions see it: units, and connections between them, over all its
//! recurrent blocks.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use pallium_core::{Error, ModelInfo, ParameterInfo, ParameterKind, Result, Tensor};

/// The units at the ends of a parameter: a population's, or all if it names none.
fn units(info: &ModelInfo, population: &str, count: usize) -> Result<Range<usize>> {
    let mut start = 0;
    let all = population.is_empty() && count == info.units;
    for known in &info.populations {
        if all || population.is_empty() || known.name == population {
            let length = if all { info.units } else { known.units };
            if length != count {
                break;
            }
            return Ok(start..start + length);
        }
        start += known.units;
    }
    Err(Error::plugin(format!(
        "a parameter has {count} rows or columns, which is not the size of `{population}`"
    )))
}

/// A matrix of a state, to be changed.
fn matrix_mut<'a>(state: &'a mut [Tensor], info: &ParameterInfo) -> Result<ArrayViewMut2<'a, f32>> {
    let [rows, columns] = info.shape[..] else {
        return Err(Error::plugin(format!(
            "`{}` has the shape {:?} instead of a matrix's",
            info.name, info.shape
        )));
    };
    let tensor = state.iter_mut().find(|tensor| tensor.name == info.name);
    let tensor = tensor.ok_or_else(|| Error::bug(format!("the parameter `{}` is missing", info.name)))?;
    let wrong = || Error::plugin(format!("`{}` has other values than it states", info.name));
    let pallium_core::Values::F32(values) = &mut tensor.values else { return Err(wrong()) };
    ArrayViewMut2::from_shape((rows, columns), values).map_err(|_| wrong())
}

/// Changes each recurrent block, given the units of its rows and of its columns.
pub(super) fn each_block(
    info: &ModelInfo,
    state: &mut [Tensor],
    mut change: impl FnMut(ArrayViewMut2<'_, f32>, Range<usize>, Range<usize>),
) -> Result<()> {
    for (_, block) in info.recurrent() {
        let matrix = matrix_mut(state, block)?;
        let (rows, columns) = matrix.dim();
        change(matrix, units(info, &block.rows, rows)?, units(info, &block.columns, columns)?);
    }
    Ok(())
}

/// Sums over all recurrent blocks, units × units: of the weights, and of their
/// magnitudes.
pub(super) fn sums(info: &ModelInfo, state: &[Tensor]) -> Result<[Array2<f64>; 2]> {
    let mut sums = [(); 2].map(|()| Array2::<f64>::zeros((info.units, info.units)));
    let mut copy = state.to_vec();
    each_block(info, &mut copy, |block, rows, columns| {
        let wide = block.mapv(f64::from);
        let [signed, magnitude] = &mut sums;
        let place = s![rows, columns];
        let mut at = signed.slice_mut(place);
        at += &wide;
        let mut at = magnitude.slice_mut(place);
        at += &wide.mapv(f64::abs);
    })?;
    Ok(sums)
}

/// Sets connections to 0 in every block.
pub(super) fn cut_connections(
    info: &ModelInfo,
    state: &mut [Tensor],
    connections: &[(usize, usize)],
) -> Result<()> {
    each_block(info, state, |mut block, rows, columns| {
        for &(from, to) in connections {
            if rows.contains(&from) && columns.contains(&to) {
                block[[from - rows.start, to - columns.start]] = 0.0;
            }
        }
    })
}

/// Silences units: sets all of their outgoing connections to 0, to other units and
/// to the read-out. Nothing else reads a unit, so what it does no longer matters.
pub(super) fn silence(info: &ModelInfo, state: &mut [Tensor], silent: &[usize]) -> Result<()> {
    let outgoing = |p: &&ParameterInfo| matches!(p.kind, ParameterKind::Recurrent | ParameterKind::Readout);
    if !info.parameters.iter().any(|p| p.kind == ParameterKind::Readout) {
        return Err(Error::unsupported("this model has no parameter that it declares as its read-out")
            .help("cut connections instead: --lesion connections:…"));
    }
    for parameter in info.parameters.iter().filter(outgoing) {
        let mut matrix = matrix_mut(state, parameter)?;
        let rows = units(info, &parameter.rows, matrix.nrows())?;
        for &unit in silent.iter().filter(|unit| rows.contains(unit)) {
            matrix.row_mut(unit - rows.start).fill(0.0);
        }
    }
    Ok(())
}

/// The substrate's neuron of each unit; `None` for a free unit.
pub(in crate::run) fn neurons(info: &ModelInfo) -> Vec<Option<usize>> {
    info.neurons().into_iter().map(|neuron| neuron.map(|neuron| neuron as usize)).collect()
}

/// Values between neurons (N×N) as values between units; NaN where one is not a
/// neuron.
pub(super) fn between_units(info: &ModelInfo, values: ArrayView2<'_, f64>) -> Array2<f64> {
    let neurons = neurons(info);
    Array2::from_shape_fn((info.units, info.units), |(i, j)| match (neurons[i], neurons[j]) {
        (Some(a), Some(b)) => values.get((a, b)).copied().unwrap_or(f64::NAN),
        _ => f64::NAN,
    })
}
