//! Linear classifiers by ridge regression, cross-validated.

use pallium_core::ndarray::{Array2, ArrayView2, Axis};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product, solve};

/// The share of rows whose label a classifier of the other folds finds.
///
/// For each class a ridge regression of 1 for its rows and −1 for the others is fitted
/// to the rows of the other folds, with an intercept; the class with the largest value
/// is the answer. The penalty is `ridge` times the mean squared distance of these rows
/// from their mean, so that it does not depend on the unit of the features.
///
/// `labels` are classes from 0, `folds` numbers of folds from 0.
///
/// # Errors
/// If the equations cannot be solved, which a positive `ridge` excludes.
pub fn cross_validated(
    features: ArrayView2<'_, f64>,
    labels: &[usize],
    folds: &[usize],
    ridge: f64,
) -> Result<f64> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let count = folds.iter().max().map_or(0, |most| most + 1);
    // Everything that is needed of the features are their inner products.
    let values: Vec<f64> = features.iter().copied().collect();
    let rows = features.nrows();
    let mut gram = vec![0.0; rows * rows];
    let view = View::new(&values, features.ncols());
    product(&mut gram, Write::Replace, view, view.transposed(), 1.0);
    let gram = Array2::from_shape_vec((rows, rows), gram).map_err(|e| Error::bug(e.to_string()))?;
    let mut right = 0;
    for fold in 0..count {
        let of = |held: bool| (0..rows).filter(|&row| (folds[row] == fold) == held).collect::<Vec<_>>();
        let (train, held) = (of(false), of(true));
        let answers = answers(&gram, &train, &held, labels, classes, ridge)?;
        right += answers.iter().zip(&held).filter(|(answer, row)| **answer == labels[**row]).count();
    }
    Ok(right as f64 / rows as f64)
}

/// The answers for the rows `held` of a classifier that is fitted to the rows `train`.
fn answers(
    gram: &Array2<f64>,
    train: &[usize],
    held: &[usize],
    labels: &[usize],
    classes: usize,
    ridge: f64,
) -> Result<Vec<usize>> {
    let n = train.len() as f64;
    let own = gram.select(Axis(0), train).select(Axis(1), train);
    let cross = gram.select(Axis(0), held).select(Axis(1), train);
    // Inner products of features from which the training rows' mean is taken off.
    let of_mean = own.sum_axis(Axis(1)) / n;
    let mean = of_mean.sum() / n;
    let kernel = Array2::from_shape_fn(own.dim(), |(i, j)| own[[i, j]] - of_mean[i] - of_mean[j] + mean);
    let held_mean = cross.sum_axis(Axis(1)) / n;
    let cross = Array2::from_shape_fn(cross.dim(), |(i, j)| cross[[i, j]] - held_mean[i] - of_mean[j] + mean);
    let target =
        Array2::from_shape_fn(
            (train.len(), classes),
            |(row, class)| {
                if labels[train[row]] == class { 1.0 } else { -1.0 }
            },
        );
    let intercept = target.sum_axis(Axis(0)) / n;
    let penalty = ridge * kernel.diag().sum() / n;
    let values = if penalty > 0.0 {
        let mut system = kernel;
        system.diag_mut().mapv_inplace(|value| value + penalty);
        let weights = solve(system.view(), (&target - &intercept).view()).ok_or_else(|| {
            Error::input("the decoder's equations have no solution").help("increase `ridge`")
        })?;
        cross.dot(&weights) + &intercept
    } else {
        // Features that do not vary tell nothing.
        Array2::from_shape_fn((held.len(), classes), |(_, class)| intercept[class])
    };
    let best = |row: pallium_core::ndarray::ArrayView1<'_, f64>| {
        let mut best = 0;
        for class in 1..row.len() {
            if row[class] > row[best] {
                best = class;
            }
        }
        best
    };
    Ok(values.outer_iter().map(best).collect())
}
