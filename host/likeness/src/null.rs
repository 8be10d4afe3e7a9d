//! How alike a null model is to the weights that it was made from.

use ndarray::{Array2, ArrayView2};
use pallium_core::ConnectionsView;
use pallium_graph::louvain::{Weighted, communities, modularity};
use pallium_linalg::eigenvalues;
use pallium_stats as stats;

use crate::assignment;

/// Networks of more neurons are compared without eigenvalues, which would take longer
/// than a training.
const EIGENVALUES_UP_TO: usize = 1000;
/// Divisions into communities of which the best is taken.
const DIVISIONS: u32 = 8;

/// Weights on connections.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The connections.
    pub pairs: ConnectionsView<'a>,
    /// The weight of each.
    pub values: &'a [f32],
}

impl Weights<'_> {
    fn edges(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        self.pairs.pairs().zip(self.values).map(|((i, j), w)| (i, j, f64::from(*w)))
    }

    fn sorted(&self, of: impl Fn((usize, usize, f64)) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> = self.edges().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// For each neuron the sum of `of` over the connections from it, then into it.
    fn sums(&self, of: impl Fn(f64) -> f64) -> [Vec<f64>; 2] {
        let mut sums = [vec![0.0; self.pairs.dim().0], vec![0.0; self.pairs.dim().0]];
        for (i, j, w) in self.edges() {
            sums[0][i] += of(w);
            sums[1][j] += of(w);
        }
        sums
    }

    fn diagonal(&self) -> Vec<f64> {
        let place = |i| self.pairs.find(i, i).map_or(0.0, |place| f64::from(self.values[place]));
        (0..self.pairs.dim().0).map(place).collect()
    }

    fn matrix(&self) -> Array2<f64> {
        self.pairs.scatter(self.values).mapv(f64::from)
    }
}

/// What a null model keeps of the original: measures by name, each 0 if it is kept
/// exactly, but correlations, which are then 1. Undefined ones are NaN.
///
/// - `null_degree_difference`: largest difference in a neuron's number of inputs or outputs;
/// - `null_strength_correlation`: Pearson's correlation of the sums of the neurons' inputs,
///   or of their outputs; the lower one;
/// - `null_strength_error`: root mean square difference of these sums, as a multiple of
///   their standard deviation in the original; the larger one;
/// - `null_weight_distance`, `null_length_distance`: Kolmogorov–Smirnov distance of the
///   distributions of weights, and of the lengths of connections between `positions`
///   (N×3) of different neurons;
/// - `null_diagonal_difference`: largest difference of a weight on the diagonal;
/// - `null_modularity_difference`: modularity of the original's communities (by Louvain's
///   method) in the null model minus that in the original;
/// - `null_eigenvalue_distance`: mean distance of the eigenvalues, each matched with one
///   of the original, in spectral radii, or in norms ‖W‖ if the spectral radius is 0;
/// - `null_nonnormality_difference`: difference of the departure from normality (Henrici
///   1962), √(‖W‖² − Σ|λ|²), in norms ‖W‖ of the original;
/// - `null_pair_correlation`: Pearson's correlation of the weights pair by pair, between
///   different neurons: how much of the original is left. It is not a promise.
pub fn null_likeness(
    original: Weights<'_>,
    null: Weights<'_>,
    positions: Option<ArrayView2<'_, f64>>,
) -> Vec<(&'static str, f64)> {
    let largest =
        |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    let ones = |_| 1.0;
    let (degrees, of_null) = (original.sums(ones), null.sums(ones));
    let degree = largest(&degrees[0], &of_null[0]).max(largest(&degrees[1], &of_null[1]));
    let (strengths, of_null) = (original.sums(|w| w), null.sums(|w| w));
    let each = |of: fn(&[f64], &[f64]) -> f64| [0, 1].map(|end| of(&strengths[end], &of_null[end]));
    let (correlations, errors) = (each(pearson), each(relative_error));
    let weights = |of: &Weights<'_>| of.sorted(|(_, _, w)| Some(w));
    let lengths = positions.map(|at| {
        let of = |(i, j, _): (usize, usize, f64)| {
            let square = (0..3).map(|axis| (at[[i, axis]] - at[[j, axis]]).powi(2)).sum::<f64>();
            (i != j).then_some(square.sqrt())
        };
        kolmogorov_smirnov(&original.sorted(of), &null.sorted(of))
    });
    let graph = |of: &Weights<'_>| Weighted::new(of.pairs, of.values);
    let divided = graph(&original);
    let (modules, quality) = communities(&divided, DIVISIONS);
    let [eigenvalue, normality] = spectra(&original, &null).unwrap_or([f64::NAN; 2]);
    vec![
        ("null_degree_difference", degree),
        ("null_strength_correlation", correlations[0].min(correlations[1])),
        ("null_strength_error", errors[0].max(errors[1])),
        ("null_weight_distance", kolmogorov_smirnov(&weights(&original), &weights(&null))),
        ("null_length_distance", lengths.unwrap_or(f64::NAN)),
        ("null_diagonal_difference", largest(&original.diagonal(), &null.diagonal())),
        ("null_modularity_difference", modularity(&graph(&null), &modules) - quality),
        ("null_eigenvalue_distance", eigenvalue),
        ("null_nonnormality_difference", normality),
        ("null_pair_correlation", pair_correlation(&original, &null)),
    ]
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (x, y) = (stats::mean(a), stats::mean(b));
    let sum = |of: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| of(a - x, b - y)).sum::<f64>();
    correlation(sum(&|a, b| a * b), sum(&|a, _| a * a) * sum(&|_, b| b * b))
}

/// The covariance as a share of the root of the `variances`' product; NaN if it is 0.
fn correlation(covariance: f64, variances: f64) -> f64 {
    if variances > 0.0 { covariance / variances.sqrt() } else { f64::NAN }
}

fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let mean = stats::mean(a);
    let error: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let spread: f64 = a.iter().map(|a| (a - mean).powi(2)).sum();
    // Sums that are all alike have no deviation to compare with.
    match (error == 0.0, spread > 0.0) {
        (true, _) => 0.0,
        (false, true) => (error / spread).sqrt(),
        (false, false) => f64::NAN,
    }
}

/// The largest difference of the cumulative distributions of two ascending samples.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return if a.len() == b.len() { 0.0 } else { f64::NAN };
    }
    let share = |of: &[f64], value: f64| of.partition_point(|v| *v <= value) as f64 / of.len() as f64;
    a.iter().chain(b).fold(0.0, |most, &value| f64::max(most, (share(a, value) - share(b, value)).abs()))
}

/// Distance of the eigenvalues, and difference of the departures from normality.
fn spectra(original: &Weights<'_>, null: &Weights<'_>) -> Option<[f64; 2]> {
    if original.pairs.dim().0 > EIGENVALUES_UP_TO {
        return None;
    }
    let (a, b) = (original.matrix(), null.matrix());
    let (of_a, of_b) = (eigenvalues(a.view())?, eigenvalues(b.view())?);
    let distance = |(re, im): (f64, f64), other: (f64, f64)| (re - other.0).hypot(im - other.1);
    let cost = Array2::from_shape_fn(a.dim(), |(i, j)| distance(of_a[i], of_b[j]));
    let matched = assignment(&cost);
    let sum: f64 = matched.iter().enumerate().map(|(i, &j)| cost[[i, j]]).sum();
    let square = |of: &Array2<f64>| of.iter().map(|w| w * w).sum::<f64>();
    let unit = match of_a.first()?.0.hypot(of_a.first()?.1) {
        0.0 => square(&a).sqrt(),
        radius => radius,
    };
    let departure = |of: &Array2<f64>, values: &[(f64, f64)]| {
        (square(of) - values.iter().map(|(re, im)| re * re + im * im).sum::<f64>()).max(0.0).sqrt()
    };
    let difference = (departure(&b, &of_b) - departure(&a, &of_a)).abs() / square(&a).sqrt();
    Some([sum / of_a.len() as f64 / unit, difference])
}

/// Pearson's correlation over all pairs of different neurons, also those that are not
/// connected.
fn pair_correlation(original: &Weights<'_>, null: &Weights<'_>) -> f64 {
    let n = original.pairs.dim().0;
    let count = (n * n.saturating_sub(1)) as f64;
    let moments = |of: &Weights<'_>| {
        let apart = || of.edges().filter(|(i, j, _)| i != j).map(|(_, _, w)| w);
        (apart().sum::<f64>() / count, apart().map(|w| w * w).sum::<f64>() / count)
    };
    let ((x, xx), (y, yy)) = (moments(original), moments(null));
    let both = original.edges().filter(|(i, j, _)| i != j);
    let product =
        both.filter_map(|(i, j, w)| Some(w * f64::from(null.values[null.pairs.find(i, j)?]))).sum::<f64>();
    correlation(product / count - x * y, (xx - x * x) * (yy - y * y))
}
