//! `signal.sine-wave`: generate a sine whose frequency the input states.

use std::f64::consts::PI;

use pallium_core::prelude::*;
use rand::Rng;

pallium_core::params! {
    /// Parameters of the sine waves.
    pub struct Params {
        /// Number of frequencies, equally spaced; at least 1.
        frequencies: usize = 51,
        /// Lowest frequency in Hz; above 0.
        lowest: f64 = 1.0,
        /// Highest frequency in Hz.
        highest: f64 = 6.0,
        /// Duration of a step in ms, 1 to 1000.
        step_ms: f64 = 10.0,
        /// Duration of a trial in ms.
        duration: f64 = 500.0,
        /// An answer is correct if it differs from the target by at most this at every
        /// step; above 0.
        tolerance: f64 = 0.2,
    }
}

/// Channel 0 holds (index of the frequency)/(number of frequencies) + 0.25
/// throughout a trial; the target at time t is sin(2π·f·t), from t = one step.
/// Conditions are the frequencies.
pub(crate) struct SineWave {
    params: Params,
    steps: usize,
}

impl Component for SineWave {
    const ID: &'static str = "signal.sine-wave";
    const ABOUT: &'static str = "generate a sine wave whose frequency is set by a constant input";
    const CITE: &'static str = "Sussillo and Barak 2013, Neural Comput. 25:626";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        if !(1..=100_000).contains(&params.frequencies) {
            return Err(Error::input(format!("parameter `frequencies` is {}", params.frequencies))
                .help("it must be between 1 and 100000"));
        }
        one_of_range("step_ms", params.step_ms, 1e-3, 1e3)?;
        one_of_range("lowest", params.lowest, 1e-6, 1e6)?;
        one_of_range("highest", params.highest, params.lowest, 1e6)?;
        one_of_range("tolerance", params.tolerance, 1e-9, 1e9)?;
        let nyquist = 500.0 / params.step_ms;
        if params.highest > nyquist {
            return Err(Error::input(format!("parameter `highest` is {} Hz", params.highest)).help(format!(
                "with steps of {} ms a sine has at most {nyquist} Hz; lower it or shorten `step_ms`",
                params.step_ms
            )));
        }
        let steps = crate::steps("duration", params.duration, params.step_ms)?;
        Ok(SineWave { params, steps })
    }
}

impl SineWave {
    fn frequency(&self, index: usize) -> f64 {
        let Params { lowest, highest, frequencies, .. } = self.params;
        match frequencies {
            1 => lowest,
            _ => lowest + (highest - lowest) * index as f64 / (frequencies - 1) as f64,
        }
    }
}

impl Task for SineWave {
    fn info(&self) -> TaskInfo {
        let mut info = TaskInfo::values(1, 1, self.steps, Loss::MeanSquaredError);
        info.judges = true;
        info.step_ms = Some(self.params.step_ms);
        info.conditions =
            (0..self.params.frequencies).map(|index| format!("{:.3} Hz", self.frequency(index))).collect();
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        let mut stream = random::stream(seed, Self::ID);
        let mut batch = crate::blank(count, self.steps, 1, 1)?;
        batch.mask.fill(1.0);
        for trial in 0..count {
            let index = stream.random_range(0..self.params.frequencies);
            batch.conditions[trial] = index as u32;
            let level = index as f64 / self.params.frequencies as f64 + 0.25;
            let turn = 2.0 * PI * self.frequency(index) * self.params.step_ms / 1e3;
            for step in 0..self.steps {
                batch.inputs[[trial, step, 0]] = level as f32;
                batch.set_values(trial, step, &[(turn * (step + 1) as f64).sin() as f32]);
            }
        }
        Ok(batch)
    }

    fn judge(&mut self, batch: &BatchView<'_>, outputs: ndarray::ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        crate::within(batch, outputs, self.params.tolerance)
    }
}
pallium_core::register!(Task, SineWave);
