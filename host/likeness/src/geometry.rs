//! Representational similarity: how alike are the distances between states?

use ndarray::ArrayView2;
use pallium_stats::spearman;

/// Euclidean distances between the rows, of each pair i < j.
pub fn distances(rows: ArrayView2<'_, f64>) -> Vec<f64> {
    let n = rows.nrows();
    let apart = |i: usize, j: usize| {
        rows.row(i).iter().zip(rows.row(j)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    };
    (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|(i, j)| apart(i, j)).collect()
}

/// Representational similarity (Kriegeskorte, Mur, Bandettini 2008): Spearman's correlation
/// of the [`distances`] of two networks, from −1 to 1; NaN if those of one are all equal.
pub fn rsa(a: &[f64], b: &[f64]) -> f64 {
    spearman(a, b).statistic
}
