//! Losses: the distance between a model's outputs and a task's targets, and its
//! gradient with respect to the outputs. Models do not compute losses.

use std::fmt;

use ndarray::{ArrayView2, ArrayViewMut2, Axis, Zip, s};
use serde::{Deserialize, Serialize};

use crate::{BatchView, Error, Result, Scored, TargetsView};

/// How answers are compared with targets at a scored step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Loss {
    /// Cross-entropy, in nats, of softmax(outputs) at the correct class.
    #[default]
    CrossEntropy,
    /// Mean over the outputs of the squared difference.
    MeanSquaredError,
    /// Mean over the outputs of exp(o) − t·o: the negative log-likelihood, up to
    /// a constant, of a count t under a Poisson distribution with the rate
    /// exp(o). Outputs are logarithms of rates.
    Poisson,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Loss::CrossEntropy => "cross-entropy",
            Loss::MeanSquaredError => "mean-squared-error",
            Loss::Poisson => "poisson",
        })
    }
}

/// Sums over the scored steps of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSums {
    /// Σ weight · loss.
    pub loss: f64,
    /// Σ weight over the steps whose largest output is that of the correct class;
    /// 0 if targets are values.
    pub correct: f64,
    /// Σ weight.
    pub weight: f64,
}

impl LossSums {
    /// The weighted mean of the loss; 0 if no step is scored.
    pub fn mean(&self) -> f64 {
        if self.weight > 0.0 { self.loss / self.weight } else { 0.0 }
    }
}

/// The index of the first largest value; NaN is never larger.
pub fn largest(outputs: impl IntoIterator<Item = f32>) -> u32 {
    let mut best: Option<(u32, f32)> = None;
    for (class, value) in outputs.into_iter().enumerate() {
        if best.is_none_or(|(_, highest)| value > highest) {
            best = Some((class as u32, value));
        }
    }
    best.map_or(0, |(class, _)| class)
}

impl Loss {
    /// Whether targets are classes; otherwise they are values.
    pub fn of_classes(self) -> bool {
        self == Loss::CrossEntropy
    }

    /// Compares `outputs` (scored steps × outputs, in the order of
    /// [`BatchView::scored`]) with the targets. With `gradient` (the same shape),
    /// overwrites it with the gradient of the weighted mean of the loss.
    ///
    /// # Errors
    /// If the shapes disagree, or the targets are of the other kind.
    pub fn compare(
        self,
        batch: &BatchView<'_>,
        outputs: ArrayView2<'_, f32>,
        mut gradient: Option<ArrayViewMut2<'_, f32>>,
    ) -> Result<LossSums> {
        let scored: Vec<Scored> = batch.scored().collect();
        let expected = (scored.len(), outputs.ncols());
        if outputs.dim() != expected || gradient.as_ref().is_some_and(|g| g.dim() != expected) {
            return Err(Error::bug(format!(
                "outputs are {:?}, but {} steps are scored",
                outputs.dim(),
                scored.len()
            )));
        }
        let weights: Vec<f32> = scored.iter().map(|at| batch.mask[[at.trial, at.step]]).collect();
        let mut sums =
            LossSums { weight: batch.mask.iter().map(|&w| f64::from(w)).sum(), ..LossSums::default() };
        // The factor on every row's gradient, rounded as frameworks do: once.
        let scale = if sums.weight > 0.0 { (1.0 / sums.weight) as f32 } else { 0.0 };
        for (row, (at, &weight)) in scored.iter().zip(&weights).enumerate() {
            let outputs = outputs.row(row);
            let into = gradient.as_mut().map(|gradient| gradient.row_mut(row));
            match (self, batch.targets) {
                (Loss::CrossEntropy, TargetsView::Classes(classes)) => {
                    let class = classes[[at.trial, at.step]];
                    if class as usize >= outputs.len() {
                        return Err(Error::input(format!(
                            "a target has class {class}, but the model has {} outputs",
                            outputs.len()
                        )));
                    }
                    let highest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f32 = outputs.iter().fold(0.0, |sum, o| sum + (o - highest).exp());
                    let loss = sum.ln() - (outputs[class as usize] - highest);
                    sums.loss += f64::from(weight) * f64::from(loss);
                    if largest(outputs.iter().copied()) == class {
                        sums.correct += f64::from(weight);
                    }
                    if let Some(into) = into {
                        let factor = scale * weight;
                        let share = factor / sum;
                        Zip::from(into).and(outputs).for_each(|g, o| *g = share * (o - highest).exp());
                        if let Some(gradient) = &mut gradient {
                            gradient[[row, class as usize]] += -factor;
                        }
                    }
                }
                (Loss::MeanSquaredError | Loss::Poisson, TargetsView::Values(values)) => {
                    let targets = values.slice(s![at.trial, at.step, ..]);
                    if targets.len() != outputs.len() {
                        return Err(Error::input(format!(
                            "a step has {} targets, but the model has {} outputs",
                            targets.len(),
                            outputs.len()
                        )));
                    }
                    let count = outputs.len().max(1) as f64;
                    let loss: f64 = outputs
                        .iter()
                        .zip(targets)
                        .map(|(&o, &t)| {
                            let (o, t) = (f64::from(o), f64::from(t));
                            if self == Loss::Poisson { o.exp() - t * o } else { (o - t).powi(2) }
                        })
                        .sum();
                    sums.loss += f64::from(weight) * loss / count;
                    if let Some(into) = into {
                        let factor = scale * weight / count as f32;
                        Zip::from(into).and(outputs).and(targets).for_each(|g, &o, &t| {
                            *g = factor * if self == Loss::Poisson { o.exp() - t } else { 2.0 * (o - t) };
                        });
                    }
                }
                (_, targets) => {
                    // Reports which kind is missing.
                    if self.of_classes() {
                        targets.classes().map(drop)?
                    } else {
                        targets.values().map(drop)?
                    }
                }
            }
        }
        Ok(sums)
    }
}

/// Sums from which the share of explained variance follows: R² pooled over
/// outputs, 1 − Σ w·(o − t)² / Σ w·(t − t̄)², with a mean t̄ of each output
/// (scikit-learn's `r2_score` with `multioutput="variance_weighted"`).
#[derive(Clone, Debug, Default)]
pub struct Explained {
    weight: f64,
    residual: f64,
    /// Weighted mean of the targets of each output so far.
    means: Vec<f64>,
    /// Σ w·(t − t̄)² over all outputs.
    total: f64,
}

impl Explained {
    /// Adds the scored steps of a batch; `rate` says that outputs are logarithms of
    /// the values that they predict.
    ///
    /// # Errors
    /// If the targets are classes.
    pub fn add(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>, rate: bool) -> Result<()> {
        let values = batch.targets.values()?;
        self.means.resize(outputs.ncols(), 0.0);
        for (row, at) in outputs.axis_iter(Axis(0)).zip(batch.scored()) {
            let weight = f64::from(batch.mask[[at.trial, at.step]]);
            self.weight += weight;
            for ((&o, &t), mean) in
                row.iter().zip(values.slice(s![at.trial, at.step, ..])).zip(&mut self.means)
            {
                let o = if rate { f64::from(o).exp() } else { f64::from(o) };
                let t = f64::from(t);
                self.residual += weight * (o - t).powi(2);
                // West 1979: no cancellation where the mean is large.
                let before = t - *mean;
                *mean += before * weight / self.weight;
                self.total += weight * before * (t - *mean);
            }
        }
        Ok(())
    }

    /// R²; `None` if the targets do not vary.
    pub fn r2(&self) -> Option<f64> {
        (self.total > 0.0).then(|| 1.0 - self.residual / self.total)
    }
}
