//! Likeness of recurrent weights.

use ndarray::ArrayView2;

/// Pearson's correlation of the weights between different units, unit i of the first
/// network with `order[i]` of the second, or with unit i. NaN if the numbers of units
/// differ, or if the weights of one network do not vary.
pub fn correlation(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, order: Option<&[usize]>) -> f64 {
    let n = a.nrows();
    if a.dim() != b.dim() || order.is_some_and(|order| order.len() != n) {
        return f64::NAN;
    }
    let place = |i: usize| order.map_or(i, |order| order[i]);
    let pairs = || (0..n).flat_map(move |i| (0..n).filter(move |&j| j != i).map(move |j| (i, j)));
    let values = || pairs().map(|(i, j)| (f64::from(a[[i, j]]), f64::from(b[[place(i), place(j)]])));
    let count = (n * n.saturating_sub(1)) as f64;
    let (x, y) = values().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (x, y) = (x / count, y / count);
    let [xx, yy, xy] = values().fold([0.0; 3], |[xx, yy, xy], (a, b)| {
        let (a, b) = (a - x, b - y);
        [xx + a * a, yy + b * b, xy + a * b]
    });
    if xx > 0.0 && yy > 0.0 { xy / (xx.sqrt() * yy.sqrt()) } else { f64::NAN }
}
