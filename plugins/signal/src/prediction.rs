//! `signal.prediction`: how well outputs predict their targets, against
//! predictions that need no network.

use pallium_core::ndarray::{Array2, Axis, s};
use pallium_core::prelude::*;

pallium_core::params! {
    /// Parameters of the comparison.
    pub struct Params {
        /// Whether outputs are logarithms of rates, as they always are under a Poisson
        /// loss.
        log_rates: bool = false,
    }
}

/// On up to 256 test trials:
///
/// - `prediction_r2`: share of the targets' variance that the outputs explain,
///   pooled over outputs, with the mean of each output over these trials as the
///   reference: the mean rate has 0, and a network that knows less is negative;
/// - `prediction_r2_shifted`: the same of outputs that are shifted by one trial, so
///   that each window is predicted by the outputs of another: what follows from
///   the distribution of the activity alone;
/// - `prediction_r2_persistence`: the same of the target one step before;
/// - `prediction_beats_both`: 1 if the first exceeds 0 and the second, else 0.
///
/// Arrays: `prediction_r2_by_output`, one value for each output. Of a task of
/// classes all measures are undefined.
pub(crate) struct Prediction(Params);

impl Component for Prediction {
    const ID: &'static str = "signal.prediction";
    const ABOUT: &'static str =
        "how well outputs predict values, compared with the mean rate and shifted outputs";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let log_rates = params.log_rates || setting.loss == Some(Loss::Poisson);
        Ok(Prediction(Params { log_rates }))
    }
}

/// 1 − Σ (o − t)²/Σ (t − t̄)², for each output and pooled.
fn explained(outputs: &Array2<f64>, targets: &Array2<f64>) -> (Vec<f64>, f64) {
    let Some(mean) = targets.mean_axis(Axis(0)) else { return (Vec::new(), f64::NAN) };
    let residual = (outputs - targets).mapv(|v| v * v).sum_axis(Axis(0));
    let total = (targets - &mean).mapv(|v| v * v).sum_axis(Axis(0));
    let by_output = residual.iter().zip(&total).map(|(r, t)| if *t > 0.0 { 1.0 - r / t } else { f64::NAN });
    (by_output.collect(), 1.0 - residual.sum() / total.sum())
}

fn undefined() -> Vec<Measure> {
    ["prediction_r2", "prediction_r2_shifted", "prediction_r2_persistence", "prediction_beats_both"]
        .map(|name| Measure::new(name, f64::NAN))
        .into()
}

impl Metric for Prediction {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let missing = || Error::input("there are no recorded trials").help("set training.test above 0");
        let trials = network.trials.ok_or_else(missing)?;
        // Not defined for a task of classes.
        let Ok(values) = trials.targets.values() else { return Ok(undefined().into()) };
        let scored: Vec<Scored> = trials.scored().collect();
        let width = values.dim().2;
        let targets = Array2::from_shape_fn((scored.len(), width), |(row, output)| {
            f64::from(values[[scored[row].trial, scored[row].step, output]])
        });
        let outputs =
            trials.outputs.mapv(|o| if self.0.log_rates { f64::from(o).exp() } else { f64::from(o) });
        let (by_output, r2) = explained(&outputs, &targets);

        // Rows are ordered by step, then by trial.
        let mut shifted = outputs.clone();
        let mut from = 0;
        while from < scored.len() {
            let step = scored[from].step;
            let count = scored[from..].iter().take_while(|at| at.step == step).count();
            for row in 0..count {
                let other = from + (row + 1) % count;
                shifted.row_mut(from + row).assign(&outputs.row(other));
            }
            from += count;
        }
        let before = scored.iter().filter(|at| at.step > 0).count();
        let mut previous = Array2::zeros((before, width));
        let mut followed = Array2::zeros((before, width));
        for (row, at) in scored.iter().filter(|at| at.step > 0).enumerate() {
            let value = |step: usize| values.slice(s![at.trial, step, ..]).mapv(f64::from);
            previous.row_mut(row).assign(&value(at.step - 1));
            followed.row_mut(row).assign(&value(at.step));
        }
        let (_, r2_shifted) = explained(&shifted, &targets);
        let (_, r2_persistence) = explained(&previous, &followed);
        let beats = f64::from(u8::from(r2 > 0.0 && r2 > r2_shifted));
        let measures = vec![
            Measure { direction: Direction::Higher, ..Measure::new("prediction_r2", r2) },
            Measure::new("prediction_r2_shifted", r2_shifted),
            Measure::new("prediction_r2_persistence", r2_persistence),
            Measure { direction: Direction::Higher, ..Measure::new("prediction_beats_both", beats) },
        ];
        Ok(Measures::from(measures).with(Tensor::new("prediction_r2_by_output", [width], by_output)))
    }
}
pallium_core::register!(Metric, Prediction);
