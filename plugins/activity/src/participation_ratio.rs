//! `activity.participation-ratio`: the effective number of dimensions.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

use crate::recording::Recording;

pallium_core::choice! {
    /// What the dimension is computed from.
    pub enum Of {
        /// The covariance of recorded activity.
        Activity = "activity",
        /// The singular values of the recurrent matrix.
        Weights = "weights",
    }
}

pallium_core::params! {
    /// What the dimension is computed from.
    pub struct Params {
        /// What the dimension is computed from.
        of: Of = Of::Activity,
    }
}

/// The participation ratio (Σλ)²/Σλ²: N if all λ are equal, 1 if only one is
/// not 0.
///
/// For activity, λ are the eigenvalues of the neurons' covariance over all
/// steps of all trials (Gao et al. 2017); for weights, the squared singular
/// values. They need not be computed: Σλ is the trace of the matrix, and Σλ²
/// the sum of its squared entries. NaN if nothing varies.
pub struct ParticipationRatio(Params);

impl Component for ParticipationRatio {
    const ID: &'static str = "activity.participation-ratio";
    const ABOUT: &'static str = "effective number of dimensions of activity or of the recurrent matrix";
    const CITE: &'static str = "Abbott, Rajan, Sompolinsky 2011 (arXiv 0912.3832); Gao, Trautmann, Yu, Santhanam, \
                                Ryu, Shenoy, Ganguli 2017, bioRxiv 214262";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(ParticipationRatio(params))
    }
}

impl Metric for ParticipationRatio {
    fn wants_activity(&self) -> bool {
        self.0.of == Of::Activity
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        Ok(vec![match self.0.of {
            Of::Activity => Measure::new("participation_ratio", of_activity(&Recording::new(network)?)),
            Of::Weights => {
                let w = network.recurrent.mapv(f64::from);
                if let Some(w) = w.iter().find(|w| !w.is_finite()) {
                    return Err(Error::input(format!("a recurrent weight is {w}")));
                }
                Measure::new("participation_ratio_weights", ratio(&w.t().dot(&w)))
            }
        }]
        .into())
    }
}
pallium_core::register!(Metric, ParticipationRatio);

/// (Σλ)²/Σλ² of a symmetric matrix.
fn ratio(matrix: &Array2<f64>) -> f64 {
    let trace: f64 = matrix.diag().sum();
    let squares: f64 = matrix.iter().map(|v| v * v).sum();
    let ratio = trace * trace / squares;
    if ratio.is_finite() { ratio } else { f64::NAN }
}

fn of_activity(recording: &Recording<'_>) -> f64 {
    let n = recording.neurons();
    let rows: Vec<f64> = (0..recording.steps())
        .flat_map(|step| recording.trials_at(step).map(move |trial| (step, trial)))
        .flat_map(|(step, trial)| recording.at(step, trial).mapv(f64::from).to_vec())
        .collect();
    let Some(count) = rows.len().checked_div(n) else { return f64::NAN };
    let Ok(mut samples) = Array2::from_shape_vec((count, n), rows) else { return f64::NAN };
    if let Some(mean) = samples.mean_axis(pallium_core::ndarray::Axis(0)) {
        samples -= &mean;
    }
    ratio(&samples.t().dot(&samples))
}
