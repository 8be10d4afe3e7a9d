//! `representation.correlations`: signal and noise correlations, beside the recorded ones.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

use crate::pairs::{correlation, mean, unordered};
use crate::tuning::Tuning;

pallium_core::params! {
    /// No parameters.
    pub struct Params {}
}

/// Correlations between units over trials, and whether they are those of the recorded
/// neurons that the units were grown from.
///
/// Signal correlations are Pearson's of the conditions' mean activity, over conditions and
/// steps; noise correlations are those of what remains of each trial, over trials and
/// steps. Only steps that every trial has count. Units that do not vary have none; noise
/// correlations are undefined if the trials of a condition are all alike.
///
/// Measures: `signal_correlation` and `noise_correlation`, means over pairs;
/// `signal_noise`, Pearson's correlation of the two over pairs; `signal_recorded` and
/// `noise_recorded`, that of each with the substrate's `correlation`, over pairs of units
/// that are neurons; undefined without that matrix. Arrays: `signal` and `noise` (N×N, in
/// the order of the neurons).
pub struct Correlations;

impl Component for Correlations {
    const ID: &'static str = "representation.correlations";
    const ABOUT: &'static str =
        "signal and noise correlations of units, and their likeness to the recorded ones";
    const CITE: &'static str = "Cohen and Kohn 2011, Nature Neuroscience 14:811";
    type Params = Params;

    fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Correlations)
    }
}

/// The substrate's correlation of recorded activity, if it has one.
pub fn recorded(network: &Network<'_>) -> Option<Array2<f64>> {
    let substrate = network.substrate?;
    Some(substrate.matrix(Substrate::CORRELATION).ok()?.to_owned())
}

impl Metric for Correlations {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let Tuning { signal, noise } = Tuning::new(network)?;
        let units = signal.nrows();
        let recorded = recorded(network);
        let neurons = recorded.as_ref().map_or(0, Array2::nrows).min(units);
        let with_recorded = |own: &Array2<f64>| match &recorded {
            Some(recorded) => correlation(unordered(neurons).map(|at| (own[at], recorded[at]))),
            None => f64::NAN,
        };
        let values = vec![
            Measure::new("signal_correlation", mean(unordered(units).map(|at| signal[at]))),
            Measure::new("noise_correlation", mean(unordered(units).map(|at| noise[at]))),
            Measure::new("signal_noise", correlation(unordered(units).map(|at| (signal[at], noise[at])))),
            Measure::new("signal_recorded", with_recorded(&signal)),
            Measure::new("noise_recorded", with_recorded(&noise)),
        ];
        Ok(Measures::from(values)
            .with(Tensor::from_view("signal", signal.view()))
            .with(Tensor::from_view("noise", noise.view())))
    }
}
pallium_core::register!(Metric, Correlations);
