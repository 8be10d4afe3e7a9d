//! Selects strong connections: those above a quantile of all |weights|.

use pallium_core::ndarray::ArrayView2;
use pallium_core::prelude::*;

use crate::graph::Graph;

/// Refuses a quantile outside 0 to 1.
///
/// # Errors
/// If it is; the message names the parameter `quantile`.
pub fn check_quantile(quantile: f64) -> Result<()> {
    one_of_range("quantile", quantile, 0.0, 1.0)
}

/// Returns the recurrent matrix after checking that it is square and finite.
///
/// # Errors
/// If it is not; the message names row and column.
pub fn recurrent<'a>(network: &Network<'a>) -> Result<MatrixView<'a>> {
    let (rows, columns) = network.recurrent.dim();
    if rows != columns {
        return Err(Error::input(format!("the recurrent matrix is {rows}×{columns}"))
            .help("it must be square: row i, column j is the weight from neuron i to neuron j"));
    }
    match network.recurrent.indexed_iter().find(|(_, w)| !w.is_finite()) {
        Some(((i, j), w)) => {
            Err(Error::input(format!("the recurrent matrix has {w} at row {i}, column {j}"))
                .help("networks are measured on finite weights; did the run diverge?"))
        }
        None => Ok(network.recurrent),
    }
}

/// The `quantile` (0 to 1) of all |values|, interpolated linearly; bit-identical
/// to numpy's default method. NaN if there are no values.
pub fn quantile_of_magnitudes(values: ArrayView2<'_, f32>, quantile: f64) -> f64 {
    // Bit patterns of non-negative floats sort like the floats.
    let mut bits: Vec<u32> = values.iter().map(|v| v.abs().to_bits()).collect();
    let Some(last) = bits.len().checked_sub(1) else { return f64::NAN };
    let position = quantile * last as f64;
    let index = (position.floor() as usize).min(last);
    let fraction = position - index as f64;
    let (_, low, above) = bits.select_nth_unstable(index);
    let low = f64::from(f32::from_bits(*low));
    let high = above.iter().min().map_or(low, |&b| f64::from(f32::from_bits(b)));
    // numpy's order of operations, so that results are bit-identical.
    if fraction < 0.5 { low + (high - low) * fraction } else { high - (high - low) * (1.0 - fraction) }
}

/// The graph of strong connections, and its threshold: the `quantile` of all N²
/// values of |weight|. Two neurons are joined if |weight| exceeds it in either
/// direction. Self-connections are ignored (Shakiba et al. 2026).
pub fn strong_connections(weights: ArrayView2<'_, f32>, quantile: f64) -> (Graph, f64) {
    let threshold = quantile_of_magnitudes(weights, quantile);
    let mut graph = Graph::empty(weights.nrows());
    for ((i, j), w) in weights.indexed_iter() {
        if i != j && f64::from(w.abs()) > threshold {
            graph.join(i, j);
        }
    }
    (graph, threshold)
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn quantiles_equal_numpy() {
        // numpy 2.4: np.quantile(np.abs(a), q) of a = arange(-7, 9).reshape(4, 4) / 8.
        let a = Matrix::from_shape_fn((4, 4), |(i, j)| ((4 * i + j) as f32 - 7.0) / 8.0);
        for (q, expected) in [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.9, 0.875), (0.93, 0.875), (1.0, 1.0)] {
            assert_eq!(quantile_of_magnitudes(a.view(), q), expected, "{q}");
        }
        assert!((quantile_of_magnitudes(a.view(), 0.97) - 0.943_75).abs() < 1e-15);
    }

    #[test]
    fn either_direction_joins_and_loops_are_ignored() {
        let w = array![[9.0, 0.0, -5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 7.0_f32]];
        let (graph, threshold) = strong_connections(w.view(), 0.5);
        assert_eq!(threshold, 0.0);
        assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        let (graph, threshold) = strong_connections(w.view(), 0.75);
        assert_eq!(threshold, 5.0, "{graph:?}");
        assert_eq!(graph.size(), 0);
    }

    #[test]
    fn matrices_that_are_not_square_or_not_finite_are_refused() {
        let e = recurrent(&Network::new(Matrix::zeros((3, 4)).view())).unwrap_err();
        assert_eq!(e.message, "the recurrent matrix is 3×4");
        let mut w = Matrix::zeros((3, 3));
        w[[1, 2]] = f32::NAN;
        let e = recurrent(&Network::new(w.view())).unwrap_err();
        assert_eq!(e.message, "the recurrent matrix has NaN at row 1, column 2");
    }
}
