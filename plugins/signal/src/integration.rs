//! `signal.integration`: put out the running integral of the input.

use pallium_core::prelude::*;
use rand::Rng;
use rand_distr::StandardNormal;

pallium_core::params! {
    /// Parameters of the integration.
    pub struct Params {
        /// Duration of a step in ms, 1 to 1000.
        step_ms: f64 = 20.0,
        /// Duration of a trial in ms.
        duration: f64 = 1000.0,
        /// Standard deviation of the mean input across trials, in units of the integral
        /// per second; at least 0.
        drift: f64 = 1.0,
        /// Standard deviation σ of the input's noise, in units of the integral per
        /// √second; at least 0.
        sigma: f64 = 0.5,
        /// Share of the steps at the end of a trial at which the input is 0 and the
        /// integral must be held; 0 to 1.
        hold: f64 = 0.2,
        /// An answer is correct if it differs from the target by at most this; above 0.
        tolerance: f64 = 0.2,
    }
}

/// Channel 0 is white noise around a mean that is drawn for each trial; the
/// target is its running integral, in units of 1 (the input is scaled so that an
/// input of x adds x·step/1 s). Every step counts. Conditions: whether the final
/// integral is negative or positive.
///
/// A network that integrates without error needs a line attractor.
pub(crate) struct Integration {
    params: Params,
    steps: usize,
}

impl Component for Integration {
    const ID: &'static str = "signal.integration";
    const ABOUT: &'static str = "output the running integral of a noisy input, and hold it";
    const CITE: &'static str =
        "Seung 1996, PNAS 93:13339; Mante, Sussillo, Shenoy, Newsome 2013, Nature 503:78";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("drift", params.drift)?;
        at_least_zero("sigma", params.sigma)?;
        one_of_range("hold", params.hold, 0.0, 1.0)?;
        one_of_range("step_ms", params.step_ms, 1e-3, 1e3)?;
        one_of_range("tolerance", params.tolerance, 1e-9, 1e9)?;
        if params.drift == 0.0 && params.sigma == 0.0 {
            return Err(Error::input(
                "parameters `drift` and `sigma` are 0, so there is nothing to integrate",
            )
            .help("raise one of them"));
        }
        let steps = crate::steps("duration", params.duration, params.step_ms)?;
        Ok(Integration { params, steps })
    }
}

impl Task for Integration {
    fn info(&self) -> TaskInfo {
        let mut info = TaskInfo::values(1, 1, self.steps, Loss::MeanSquaredError);
        info.judges = true;
        info.step_ms = Some(self.params.step_ms);
        info.conditions = vec!["negative".into(), "positive".into()];
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        let mut stream = random::stream(seed, Self::ID);
        let Params { drift, sigma, hold, step_ms, .. } = self.params;
        let seconds = step_ms / 1e3;
        let last = self.steps - (hold * self.steps as f64) as usize;
        let mut batch = crate::blank(count, self.steps, 1, 1)?;
        batch.mask.fill(1.0);
        for trial in 0..count {
            let mean = drift * stream.sample::<f64, _>(StandardNormal);
            let mut integral = 0.0;
            for step in 0..self.steps {
                // White noise: the standard deviation of a step grows as it shortens.
                let noise = sigma / seconds.sqrt() * stream.sample::<f64, _>(StandardNormal);
                let input = if step < last { mean + noise } else { 0.0 };
                integral += input * seconds;
                batch.inputs[[trial, step, 0]] = input as f32;
                batch.set_values(trial, step, &[integral as f32]);
            }
            batch.conditions[trial] = u32::from(integral > 0.0);
        }
        Ok(batch)
    }

    fn judge(&mut self, batch: &BatchView<'_>, outputs: ndarray::ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        crate::within(batch, outputs, self.params.tolerance)
    }
}
pallium_core::register!(Task, Integration);
