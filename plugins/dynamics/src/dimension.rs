//! `dynamics.dimension`: the dimension of activity at each step.

use pallium_core::ndarray::{Array2, Axis};
use pallium_core::prelude::*;

pallium_core::params! {
    /// No parameters.
    pub struct Params {}
}

/// The participation ratio (Σλ)²/Σλ² of the units' covariance over trials, at each
/// step: how many dimensions tell the trials apart, and when.
///
/// Measures: its mean over the steps, and its value at the first and at the last step
/// at which anything varies. Array: `participation_ratio`, one value a step; NaN where
/// nothing varies, or where fewer than two trials last that long.
pub struct Dimension;

impl Component for Dimension {
    const ID: &'static str = "dynamics.dimension";
    const ABOUT: &'static str = "effective number of dimensions of activity over trials, at each step";
    const CITE: &'static str =
        "Abbott, Rajan, Sompolinsky 2011 (arXiv 0912.3832); Gao et al. 2017, bioRxiv 214262";
    type Params = Params;

    fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Dimension)
    }
}

impl Metric for Dimension {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let activity = network.activity.ok_or_else(|| {
            Error::input("no activity was recorded")
                .help("this metric needs a trained network: name it in [metrics] of an experiment")
        })?;
        let (steps, trials, _) = activity.dim();
        let lasts = |trial: usize, step: usize| match network.lengths {
            [] => true,
            lengths => lengths.get(trial).is_some_and(|&length| step < length as usize),
        };
        let mut ratios = Vec::with_capacity(steps);
        for step in 0..steps {
            let rows: Vec<usize> = (0..trials).filter(|&trial| lasts(trial, step)).collect();
            let states = activity.index_axis(Axis(0), step).select(Axis(0), &rows).mapv(f64::from);
            if let Some(value) = states.iter().find(|value| !value.is_finite()) {
                return Err(Error::input(format!("activity is {value} at step {step}")));
            }
            ratios.push(ratio(&states));
        }
        let defined: Vec<f64> = ratios.iter().copied().filter(|ratio| !ratio.is_nan()).collect();
        let mean = defined.iter().sum::<f64>() / defined.len() as f64;
        let values = vec![
            Measure::new("dimension_mean", mean),
            Measure::new("dimension_first", defined.first().copied().unwrap_or(f64::NAN)),
            Measure::new("dimension_last", defined.last().copied().unwrap_or(f64::NAN)),
        ];
        Ok(Measures::from(values).with(Tensor::new("participation_ratio", [ratios.len()], ratios)))
    }
}
pallium_core::register!(Metric, Dimension);

/// (Σλ)²/Σλ² of the covariance of rows; NaN if they do not differ.
pub fn ratio(rows: &Array2<f64>) -> f64 {
    let Some(mean) = rows.mean_axis(Axis(0)).filter(|_| rows.nrows() > 1) else { return f64::NAN };
    let size = rows.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let centred = rows - &mean;
    // The smaller of the two products has the same eigenvalues other than 0.
    let product =
        if rows.nrows() < rows.ncols() { centred.dot(&centred.t()) } else { centred.t().dot(&centred) };
    let trace = product.diag().sum();
    // Trials that are alike differ by rounding of the mean.
    if trace <= (1e-12 * size).powi(2) * rows.len() as f64 {
        return f64::NAN;
    }
    trace * trace / product.mapv(|value| value * value).sum()
}
