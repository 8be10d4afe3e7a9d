//! Draws shared by both components: distances, correlation, STTC, precision and
//! ids.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pallium_core::random::Stream;
use pallium_core::{
    ndarray::{Array1, Array2},
    prelude::*,
};
use rand_distr::{Distribution, LogNormal, Normal, StandardNormal};

/// Number of hidden signals that neurons follow or oppose at random.
const SIGNALS: usize = 16;
/// Minimum private variance of a neuron.
const PRIVATE: f64 = 0.3;

/// Median variance of event counts, and the standard deviation of its logarithm.
pub(crate) const COUNT_VARIANCE: (f64, f64) = (0.08, 0.3);

/// Distance of two points.
pub(crate) fn between(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Distances of all pairs, N×N.
pub(crate) fn distances(somata: &[[f64; 3]]) -> Array2<f64> {
    Array2::from_shape_fn((somata.len(), somata.len()), |(i, j)| between(&somata[i], &somata[j]))
}

/// Positions of somata given in µm.
pub(crate) fn positions(somata: &[[f64; 3]]) -> Positions {
    Positions::new(Array2::from_shape_fn((somata.len(), 3), |(i, k)| somata[i][k]), [1.0; 3])
}

/// Ids of every kind. They are as large as real segmentation ids, so that code
/// that stores ids as floats fails.
pub(crate) fn ids(n: usize) -> BTreeMap<String, Cow<'static, [i64]>> {
    [("root", 1_i64 << 60), ("unit", 1), ("target", 1_000_000)]
        .map(|(name, base)| (name.to_owned(), (base..base + n as i64).collect()))
        .into()
}

/// Correlation: the parts shared by all and by neighbours, with its decay length,
/// and the standard deviations of the gains' logarithm and of the signals.
pub(crate) struct Correlation {
    pub(crate) all: f64,
    pub(crate) near: f64,
    pub(crate) length: f64,
    pub(crate) gain_sd: f64,
    pub(crate) signal_sd: f64,
}

impl Correlation {
    /// Draws a correlation matrix, which is positive definite by construction.
    /// `gain_mean` is the mean of the gains' logarithm.
    pub(crate) fn draw(&self, distance: &Array2<f64>, gain_mean: f64, stream: &mut Stream) -> Array2<f64> {
        let n = distance.nrows();
        let normal = |stream: &mut Stream| -> f64 { StandardNormal.sample(stream) };
        let gain: Array1<f64> = (0..n).map(|_| (self.gain_sd * normal(stream) + gain_mean).exp()).collect();
        let follow = (self.signal_sd / (SIGNALS as f64).sqrt()).sqrt();
        let loadings = Array2::from_shape_simple_fn((n, SIGNALS), || follow * normal(stream));
        let mut covariance = loadings.dot(&loadings.t());
        for ((i, j), entry) in covariance.indexed_iter_mut() {
            *entry += gain[i] * gain[j] * (self.all + self.near * (-distance[[i, j]] / self.length).exp());
        }
        with_private_variance(covariance)
    }
}

/// The correlation matrix of neurons with the shared `covariance`. Private variance
/// raises each variance to 1 and is at least [`PRIVATE`], so the sum is positive
/// definite.
fn with_private_variance(mut covariance: Array2<f64>) -> Array2<f64> {
    for entry in covariance.diag_mut() {
        *entry += (1.0 - *entry).max(PRIVATE);
    }
    let sd: Vec<f64> = covariance.diag().iter().map(|v| v.sqrt()).collect();
    Array2::from_shape_fn(covariance.dim(), |(i, j)| {
        let (i, j) = (i.min(j), i.max(j));
        if i == j { 1.0 } else { covariance[[i, j]] / (sd[i] * sd[j]) }
    })
}

/// A regression line, and the standard deviation of the residuals.
pub(crate) struct Line {
    pub(crate) slope: f64,
    pub(crate) offset: f64,
    pub(crate) scatter: f64,
}

impl Line {
    /// Draws values around the line for every pair: N×N, symmetric, 1 on the
    /// diagonal, within −1 to 1.
    pub(crate) fn draw(&self, x: &Array2<f64>, stream: &mut Stream) -> Result<Array2<f64>> {
        let scatter =
            Normal::new(0.0, self.scatter).map_err(|e| Error::bug(format!("normal distribution: {e}")))?;
        let n = x.nrows();
        let mut y = Array2::eye(n);
        for i in 0..n {
            for j in i + 1..n {
                let value = self.slope * x[[i, j]] + self.offset + scatter.sample(stream);
                y[[i, j]] = value.clamp(-1.0, 1.0);
                y[[j, i]] = y[[i, j]];
            }
        }
        Ok(y)
    }
}

/// Precision of event counts: the inverse of their covariance. Variances are
/// lognormal with this mean and standard deviation of the logarithm.
pub(crate) fn precision(
    correlation: &Array2<f64>,
    (mean, spread): (f64, f64),
    stream: &mut Stream,
) -> Result<Array2<f64>> {
    let variance =
        LogNormal::new(mean, spread).map_err(|e| Error::bug(format!("lognormal distribution: {e}")))?;
    let sd: Vec<f64> = (0..correlation.nrows()).map(|_| variance.sample(stream).sqrt()).collect();
    let mut precision = pallium_linalg::inverse(correlation.view())
        .ok_or_else(|| Error::bug("a covariance is not positive definite"))?;
    for ((i, j), entry) in precision.indexed_iter_mut() {
        *entry /= sd[i] * sd[j];
    }
    Ok(precision)
}
