//! `rnn.vanilla`: the recurrent classifier of Shakiba et al. 2026.

use pallium_core::prelude::*;

use crate::common::leak_of;
use crate::recurrence::Rectified;
use crate::trained::{Start, Trained};
use crate::wiring::{UnitChoice, Wiring};

pallium_core::params! {
    /// Parameters of the recurrent classifier.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// α = dt/τ, the fraction of the state that is replaced at each step;
        /// above 0 and at most 1. 1 is the published model, without leak.
        leak: f64 = 1.0,
        /// Units that receive input: a number of them, drawn with the run's seed,
        /// or a list of indices, counted from 0. The input weights of all others
        /// are 0 and stay 0. All units if left out.
        input_units: Option<UnitChoice> = None,
        /// Units that are read out, as for `input_units`.
        readout_units: Option<UnitChoice> = None,
    }
}

/// The published model:
///
/// h_t = (1 − α)·h_{t−1} + α·relu(x_t·Wx + h_{t−1}·W + b), h_0 = 0, with α = 1
/// as published. Gaussian noise is added to x_t while training. The outputs at
/// every step whose mask is above 0 are h_t·Wo + bo. Wx and Wo start
/// Glorot-uniform (Glorot and Bengio 2010), biases at 0.
///
/// A trial ends at its length: its activity is 0 from there on, and an activity
/// gradient there is ignored.
///
/// Several threads divide a batch by trials. Results are bit-identical for the
/// same number of threads.
pub(crate) type Vanilla = Trained<Rectified>;

impl Component for Vanilla {
    const ID: &'static str = "rnn.vanilla";
    const ABOUT: &'static str = "recurrent network of rectified units with a linear read-out";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi, Dehghani 2026 (arXiv 2606.14975); Werbos 1990";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let leak = leak_of(params.leak)?;
        // The only block starts from the given weights.
        let wiring = Wiring { input: params.input_units, readout: params.readout_units };
        Trained::new(Rectified { leak }, params.noise, Start::Same, wiring, setting)
    }
}

pallium_core::register!(Model, Vanilla);
