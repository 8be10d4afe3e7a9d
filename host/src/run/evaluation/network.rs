//! A network as lesions see it: units, and connections between them, over all its
//! recurrent blocks. A block on a set of connections is shown as a matrix; the state
//! holds its compressed rows ([`with_connections`]).

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use pallium_core::{Connections, Error, ModelInfo, ParameterInfo, ParameterKind, Result, Tensor};
use pallium_record::weights::{compressed_rows, take_compressed_rows};

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

/// Prefix of the compressed rows in a state.
const CONNECTIONS: &str = "connections";

/// A state with the connections that its recurrent block lies on.
pub(super) fn with_connections(mut state: Vec<Tensor>, connections: Option<&Connections>) -> Vec<Tensor> {
    state.extend(connections.into_iter().flat_map(|connections| compressed_rows(CONNECTIONS, connections)));
    state
}

/// Lets `change` change a parameter of a state, as a matrix.
fn change_matrix(
    state: &mut [Tensor],
    info: &ParameterInfo,
    change: impl FnOnce(ArrayViewMut2<'_, f32>) -> Result<()>,
) -> Result<()> {
    let mut rows: Vec<Tensor> = match info.connections {
        true => state.iter().filter(|tensor| tensor.name.starts_with(CONNECTIONS)).cloned().collect(),
        false => Vec::new(),
    };
    let connections = take_compressed_rows(CONNECTIONS, &mut rows)?;
    let tensor = state.iter_mut().find(|tensor| tensor.name == info.name);
    let tensor = tensor.ok_or_else(|| Error::bug(format!("the parameter `{}` is missing", info.name)))?;
    let wrong = || Error::plugin(format!("`{}` has other values than it states", info.name));
    let pallium_core::Values::F32(values) = &mut tensor.values else { return Err(wrong()) };
    if let Some(connections) = connections {
        let pairs = connections.view();
        if pairs.len() != values.len() {
            return Err(wrong());
        }
        let mut matrix = pairs.scatter(values);
        change(matrix.view_mut())?;
        *values = pairs.gather(matrix.view());
        return Ok(());
    }
    let [rows, columns] = info.shape[..] else {
        return Err(Error::plugin(format!(
            "`{}` has the shape {:?} instead of a matrix's",
            info.name, info.shape
        )));
    };
    change(ArrayViewMut2::from_shape((rows, columns), values).map_err(|_| wrong())?)
}

/// Changes each recurrent block, given the units of its rows and of its columns.
pub(super) fn each_block(
    info: &ModelInfo,
    state: &mut [Tensor],
    mut change: impl FnMut(ArrayViewMut2<'_, f32>, Range<usize>, Range<usize>),
) -> Result<()> {
    for (_, block) in info.recurrent() {
        change_matrix(state, block, |matrix| {
            let (rows, columns) = matrix.dim();
            change(matrix, units(info, &block.rows, rows)?, units(info, &block.columns, columns)?);
            Ok(())
        })?;
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
        change_matrix(state, parameter, |mut matrix| {
            let rows = units(info, &parameter.rows, matrix.nrows())?;
            for &unit in silent.iter().filter(|unit| rows.contains(unit)) {
                matrix.row_mut(unit - rows.start).fill(0.0);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The substrate's neuron of each unit; `None` for a free unit.
pub(in crate::run) fn neurons(info: &ModelInfo) -> Vec<Option<usize>> {
    info.neurons().into_iter().map(|neuron| neuron.map(|neuron| neuron as usize)).collect()
}

/// Values between neurons (N×N) as values between units; NaN where one is not a
/// neuron.
pub(in crate::run) fn between_units(info: &ModelInfo, values: ArrayView2<'_, f64>) -> Array2<f64> {
    let neurons = neurons(info);
    Array2::from_shape_fn((info.units, info.units), |(i, j)| match (neurons[i], neurons[j]) {
        (Some(a), Some(b)) => values.get((a, b)).copied().unwrap_or(f64::NAN),
        _ => f64::NAN,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use pallium_core::Population;

    use super::*;

    /// A network of three units on the connections 0→1, 1→2, 2→0 and 2→2.
    fn network() -> (ModelInfo, Vec<Tensor>) {
        let pairs = Connections::from_pairs(3, 3, vec![(0, 1), (1, 2), (2, 0), (2, 2)]).unwrap();
        let recurrent = ParameterInfo::new("recurrent", [4], ParameterKind::Recurrent).on_connections();
        let readout = ParameterInfo::new("readout", [3, 1], ParameterKind::Readout);
        let info = ModelInfo::new(3, vec![recurrent, readout]);
        assert_eq!(info.populations.iter().map(|p: &Population| p.units).sum::<usize>(), 3);
        let state = vec![
            Tensor::new("recurrent", [4], vec![1.0_f32, -2.0, 3.0, 4.0]),
            Tensor::new("readout", [3, 1], vec![5.0_f32, 6.0, 7.0]),
        ];
        (info, with_connections(state, Some(&pairs)))
    }

    #[test]
    fn blocks_on_connections_are_lesioned_as_matrices_are() {
        let (info, trained) = network();
        let [signed, strength] = sums(&info, &trained).unwrap();
        assert_eq!(signed, array![[0.0, 1.0, 0.0], [0.0, 0.0, -2.0], [3.0, 0.0, 4.0]]);
        assert_eq!(strength[[1, 2]], 2.0);
        let values = |state: &[Tensor], at: usize| state[at].slice::<f32>().unwrap().to_vec();
        let mut state = trained.clone();
        cut_connections(&info, &mut state, &[(1, 2), (2, 2)]).unwrap();
        assert_eq!(values(&state, 0), [1.0, 0.0, 3.0, 0.0]);
        let mut state = trained.clone();
        silence(&info, &mut state, &[2]).unwrap();
        assert_eq!((values(&state, 0), values(&state, 1)), (vec![1.0, -2.0, 0.0, 0.0], vec![5.0, 6.0, 0.0]));
    }
}
