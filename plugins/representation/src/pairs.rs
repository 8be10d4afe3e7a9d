//! Pairs of neurons, and correlations over them.

/// Pearson's correlation of two numbers of each pair, over the pairs where both are
/// defined; NaN if one of them does not vary.
pub fn correlation(values: impl Iterator<Item = (f64, f64)>) -> f64 {
    let known: Vec<(f64, f64)> = values.filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    let n = known.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| known.iter().map(of).sum::<f64>() / n;
    let (a, b) = (mean(|v| v.0), mean(|v| v.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| known.iter().map(|v| of(v.0 - a, v.1 - b)).sum::<f64>();
    let (aa, bb, ab) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    let largest =
        |of: fn(&(f64, f64)) -> f64| known.iter().map(of).fold(0.0_f64, |most, v| most.max(v.abs()));
    let varies = |sum: f64, size: f64| sum > (1e-12 * size).powi(2) * n;
    match varies(aa, largest(|v| v.0)) && varies(bb, largest(|v| v.1)) {
        true => ab / (aa.sqrt() * bb.sqrt()),
        false => f64::NAN,
    }
}

/// Mean of the defined values; NaN without any.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let known: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

/// The pairs i < j of `n` neurons.
pub fn unordered(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

/// The pairs i ≠ j of `n` neurons.
pub fn ordered(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (0..n).filter(move |&j| j != i).map(move |j| (i, j)))
}
