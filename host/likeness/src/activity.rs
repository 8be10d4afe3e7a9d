//! Likeness of activity under linear maps: CKA and Procrustes; units that match.

use ndarray::{Array2, Axis};
use pallium_linalg::{View, Write, product, symmetric};

use crate::assignment::assignment;

/// Activity of a network, with each unit's mean taken off.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Points × units, row-major.
    values: Vec<f64>,
    /// Number of units.
    units: usize,
    /// Length of each unit's column.
    lengths: Vec<f64>,
    /// The Frobenius norm of XᵀX.
    gram: f64,
}

impl Activity {
    /// The activity `rows`, points × units.
    pub fn new(rows: &Array2<f64>) -> Self {
        let units = rows.ncols();
        let mean = rows.mean_axis(Axis(0)).unwrap_or_default();
        let centred = rows - &mean;
        let lengths = centred.axis_iter(Axis(1)).map(|column| column.dot(&column).sqrt()).collect();
        let mut own = Activity { values: centred.into_iter().collect(), units, lengths, gram: 0.0 };
        own.gram = norm(&cross(&own, &own));
        own
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The Frobenius norm.
    fn norm(&self) -> f64 {
        self.lengths.iter().map(|length| length * length).sum::<f64>().sqrt()
    }
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// XᵀY of the activity at the same points.
pub fn cross(x: &Activity, y: &Activity) -> Array2<f64> {
    let mut out = Array2::zeros((x.units, y.units));
    if let Some(values) = out.as_slice_mut().filter(|values| !values.is_empty()) {
        let (x, y) = (View::new(&x.values, x.units), View::new(&y.values, y.units));
        product(values, Write::Replace, x.transposed(), y, 1.0);
    }
    out
}

/// Linear centred kernel alignment (Kornblith et al. 2019): ‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖), from 0
/// to 1, unchanged by rotations and by one scale of all units. `cross` is XᵀY. NaN if
/// one network's activity does not vary.
pub fn cka(x: &Activity, y: &Activity, cross: &Array2<f64>) -> f64 {
    let both = x.gram * y.gram;
    if both > 0.0 { norm(cross).powi(2) / both } else { f64::NAN }
}

/// Likeness after the best rotation (Procrustes; Schönemann 1966): the sum of the singular
/// values of XᵀY over ‖X‖·‖Y‖, from 0 to 1. `cross` is XᵀY. NaN if one network's activity
/// does not vary.
pub fn procrustes(x: &Activity, y: &Activity, cross: &Array2<f64>) -> f64 {
    let both = x.norm() * y.norm();
    if both <= 0.0 {
        return f64::NAN;
    }
    // Singular values are the roots of the eigenvalues of the smaller product.
    let square = if x.units < y.units { cross.dot(&cross.t()) } else { cross.t().dot(cross) };
    let Some(eigen) = symmetric(square.view()) else { return f64::NAN };
    eigen.values.iter().map(|value| value.max(0.0).sqrt()).sum::<f64>() / both
}

/// For each unit of the first network the unit of the second with like activity: the
/// matching of all units with the largest sum of correlations. `cross` is XᵀY. `None` if
/// the numbers of units differ. Units that do not vary correlate with none.
pub fn matching(x: &Activity, y: &Activity, cross: &Array2<f64>) -> Option<Vec<usize>> {
    if x.units != y.units {
        return None;
    }
    let cost = Array2::from_shape_fn(cross.dim(), |(i, j)| {
        let both = x.lengths[i] * y.lengths[j];
        if both > 0.0 { -cross[[i, j]] / both } else { 0.0 }
    });
    Some(assignment(&cost))
}
