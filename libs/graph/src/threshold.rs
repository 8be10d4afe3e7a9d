//! Selects strong connections: those from a quantile of all |weights| up.

use pallium_core::ndarray::ArrayView2;
use pallium_core::prelude::*;

use crate::graph::Graph;

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

/// The `quantile` (0 to 1) of all |values|, interpolated linearly, as numpy's
/// default method does. NaN if there are no values.
///
/// A quantile is a decimal number, so its product with the number of values may
/// miss a whole number by rounding (0.07 · 100 = 7.000000000000001). Such a
/// position counts as the whole number, and the quantile is exactly that value;
/// numpy interpolates instead, which changes the last digits.
pub fn quantile_of_magnitudes(values: ArrayView2<'_, f32>, quantile: f64) -> f64 {
    // Bit patterns of non-negative floats sort like the floats.
    let mut bits: Vec<u32> = values.iter().map(|v| v.abs().to_bits()).collect();
    let Some(last) = bits.len().checked_sub(1) else { return f64::NAN };
    let product = quantile * last as f64;
    let whole = product.round();
    let position = if (product - whole).abs() <= 4.0 * f64::EPSILON * whole { whole } else { product };
    let index = (position.floor() as usize).min(last);
    let fraction = position - index as f64;
    let (_, low, above) = bits.select_nth_unstable(index);
    let low = f64::from(f32::from_bits(*low));
    let high = above.iter().min().map_or(low, |&b| f64::from(f32::from_bits(b)));
    // numpy's order of operations, so that results are bit-identical.
    if fraction < 0.5 { low + (high - low) * fraction } else { high - (high - low) * (1.0 - fraction) }
}

pallium_core::choice! {
    /// What becomes of weights whose magnitude equals the threshold.
    pub enum Ties {
        /// They are connections, unless they are 0. A binary matrix keeps all
        /// its connections.
        Include = "include",
        /// They are not connections. A binary matrix that is denser than 1 −
        /// quantile then has none.
        Exclude = "exclude",
    }
}

/// Which weights are connections: those whose magnitude exceeds (or reaches, see
/// [`Ties`]) a quantile of all magnitudes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    quantile: f64,
    ties: Ties,
}

impl Cut {
    /// A cut at the parameters `quantile` (0 to 1) and `ties`.
    ///
    /// # Errors
    /// If the quantile is out of range; the message names the parameter.
    pub fn new(quantile: f64, ties: Ties) -> Result<Self> {
        one_of_range("quantile", quantile, 0.0, 1.0)?;
        Ok(Cut { quantile, ties })
    }

    /// The threshold of |weight|: the quantile of all N² values, the diagonal
    /// and zeros included.
    pub fn threshold(&self, weights: ArrayView2<'_, f32>) -> f64 {
        quantile_of_magnitudes(weights, self.quantile)
    }

    /// Whether a |weight| is a connection at this threshold. 0 never is.
    #[inline(always)]
    pub fn connects(&self, magnitude: f64, threshold: f64) -> bool {
        magnitude > threshold || self.ties == Ties::Include && magnitude == threshold && magnitude > 0.0
    }
}

/// The graph of strong connections, and its threshold. Two neurons are joined if
/// the weight in either direction is a connection. Self-connections are ignored
/// (Shakiba et al. 2026, with [`Ties::Exclude`]).
pub fn strong_connections(weights: ArrayView2<'_, f32>, cut: Cut) -> (Graph, f64) {
    let threshold = cut.threshold(weights);
    let mut graph = Graph::empty(weights.nrows());
    for ((i, j), w) in weights.indexed_iter() {
        if i != j && cut.connects(f64::from(w.abs()), threshold) {
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
    fn a_position_that_is_whole_on_paper_is_a_value() {
        // 0.07 · 100 and 0.57 · 100 miss 7 and 57 in floating point.
        let a = Matrix::from_shape_fn((1, 101), |(_, j)| j as f32);
        for percent in 0..=100 {
            assert_eq!(quantile_of_magnitudes(a.view(), f64::from(percent) / 100.0), f64::from(percent));
        }
        assert!((quantile_of_magnitudes(a.view(), 0.070_001) - 7.000_1).abs() < 1e-9);
    }

    fn graph(weights: &Matrix, quantile: f64, ties: Ties) -> (Graph, f64) {
        strong_connections(weights.view(), Cut::new(quantile, ties).unwrap())
    }

    #[test]
    fn either_direction_joins_and_loops_are_ignored() {
        let w = array![[9.0, 0.0, -5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 7.0_f32]];
        for ties in [Ties::Include, Ties::Exclude] {
            let (graph, threshold) = graph(&w, 0.5, ties);
            assert_eq!(threshold, 0.0);
            assert_eq!(graph.edges().collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        }
        assert_eq!(graph(&w, 0.75, Ties::Exclude), (Graph::empty(3), 5.0));
        assert_eq!(graph(&w, 0.75, Ties::Include).0.edges().collect::<Vec<_>>(), [(0, 2)]);
    }

    #[test]
    fn a_binary_matrix_keeps_its_connections_at_every_quantile() {
        let karate = crate::examples::karate();
        let w = crate::examples::weights(&karate);
        for quantile in [0.0, 0.5, 0.86, 0.87, 0.9, 1.0] {
            assert_eq!(graph(&w, quantile, Ties::Include).0, karate, "{quantile}");
        }
        assert_eq!(graph(&w, 0.9, Ties::Exclude).0.size(), 0);
        assert_eq!(graph(&Matrix::zeros((5, 5)), 0.9, Ties::Include).0.size(), 0);
    }

    #[test]
    fn a_quantile_out_of_range_is_refused() {
        assert!(Cut::new(1.0, Ties::Include).is_ok());
        for quantile in [-0.1, 1.5, f64::NAN] {
            let e = Cut::new(quantile, Ties::Include).unwrap_err();
            assert_eq!(e.message, format!("parameter `quantile` is {quantile}"));
        }
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
