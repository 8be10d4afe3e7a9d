//! `dynamics.timescales`: autocorrelation times of units.

use pallium_core::ndarray::{ArrayView2, s};
use pallium_core::prelude::*;

use crate::map::median;

pallium_core::params! {
    /// The steps over which autocorrelation is computed.
    pub struct Params {
        /// First step of the autocorrelation, counted from 0.
        from: u32 = 0,
        /// Step after the last one; 0 for the end of the shortest trial.
        to: u32 = 0,
    }
}

/// The time constant of each unit: the lag in steps at which its autocorrelation over
/// trials falls below 1/e, interpolated linearly (Murray et al. 2014).
///
/// At each step the mean over trials is taken off, so that only differences between
/// trials count; the autocorrelation at a lag is the mean over pairs of steps of the
/// correlation between them. A unit that does not vary has none, and one whose
/// autocorrelation stays above 1/e is counted with the longest lag.
///
/// Measures: median, smallest and largest time constant over the units, and
/// `unit_timescale_censored`, the share of units whose autocorrelation stays above 1/e. Array:
/// `timescales`, one value a unit, NaN for none.
pub struct Timescales(Params);

impl Component for Timescales {
    const ID: &'static str = "dynamics.timescales";
    const ABOUT: &'static str = "autocorrelation times of the units' activity";
    const CITE: &'static str = "Murray et al. 2014, Nature Neuroscience 17:1661";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        if params.to != 0 && params.to < params.from.saturating_add(2) {
            return Err(Error::input(format!(
                "parameters `from` = {} and `to` = {} leave fewer than two steps",
                params.from, params.to
            ))
            .help("`to` is the step after the last one; 0 stands for the end"));
        }
        Ok(Timescales(params))
    }
}

impl Metric for Timescales {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let activity = network.activity.ok_or_else(|| {
            Error::input("no activity was recorded")
                .help("this metric needs a trained network: name it in [metrics] of an experiment")
        })?;
        let (steps, _, units) = activity.dim();
        let shortest =
            network.lengths.iter().map(|&length| length as usize).min().unwrap_or(steps).min(steps);
        let from = self.0.from as usize;
        let to = if self.0.to == 0 { shortest } else { self.0.to as usize };
        if to > shortest || from + 2 > to {
            return Err(Error::input(format!(
                "steps {from} to {to} are wanted, but the shortest trial has {shortest} steps"
            ))
            .help("set `from` and `to` within every trial, at least two steps apart"));
        }
        let window = activity.slice(s![from..to, .., ..]).mapv(f64::from);
        if let Some(value) = window.iter().find(|value| !value.is_finite()) {
            return Err(Error::input(format!("activity is {value}")));
        }
        let (times, above): (Vec<f64>, Vec<bool>) =
            (0..units).map(|unit| time_constant(window.slice(s![.., .., unit]))).unzip();
        let defined = || times.iter().copied().filter(|time| !time.is_nan());
        let count = defined().count();
        let censored = above.iter().filter(|above| **above).count() as f64 / count as f64;
        let values = vec![
            Measure::new("unit_timescale_median", median(defined())).unit("steps"),
            Measure::new("unit_timescale_min", defined().fold(f64::NAN, f64::min)).unit("steps"),
            Measure::new("unit_timescale_max", defined().fold(f64::NAN, f64::max)).unit("steps"),
            Measure::new("unit_timescale_censored", censored),
        ];
        Ok(Measures::from(values).with(Tensor::new("timescales", [units], times)))
    }
}
pallium_core::register!(Metric, Timescales);

/// The lag at which the autocorrelation of a unit (steps × trials) falls below 1/e; or the
/// longest lag at which there is one, and true, if it stays above. NaN if the unit does
/// not vary.
pub fn time_constant(values: ArrayView2<'_, f64>) -> (f64, bool) {
    let (steps, trials) = values.dim();
    let size = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let mut centred = values.to_owned();
    let mut deviations = Vec::with_capacity(steps);
    for mut row in centred.outer_iter_mut() {
        let mean = row.sum() / trials as f64;
        row.mapv_inplace(|value| value - mean);
        let deviation = (row.dot(&row) / trials as f64).sqrt();
        // Differences that are rounding do not count.
        deviations.push(if deviation > 1e-9 * size { deviation } else { 0.0 });
    }
    if deviations.iter().filter(|deviation| **deviation > 0.0).count() < 2 {
        return (f64::NAN, false);
    }
    let below = (-1.0_f64).exp();
    // The lag before, and its correlation.
    let (mut before, mut last) = (0.0, 1.0);
    for lag in 1..steps {
        let (mut sum, mut pairs) = (0.0, 0);
        for step in 0..steps - lag {
            let scale = deviations[step] * deviations[step + lag];
            if scale > 0.0 {
                sum += centred.row(step).dot(&centred.row(step + lag)) / (trials as f64 * scale);
                pairs += 1;
            }
        }
        // Steps at which the unit is constant leave lags out.
        if pairs == 0 {
            continue;
        }
        let correlation = sum / f64::from(pairs);
        if correlation < below {
            return (before + (lag as f64 - before) * (last - below) / (last - correlation), false);
        }
        (before, last) = (lag as f64, correlation);
    }
    (before, true)
}
