//! `rnn.vanilla`: the recurrent classifier of Shakiba et al. 2026.

use pallium_core::prelude::*;

use crate::common::leak_of;
use crate::connected::{Connected, ConnectedUnit};
use crate::layout::Layout;
use crate::leaky::Transfer;
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
///
/// On a set of connections, time and memory grow with their number. The results
/// are those of the matrix with zeros elsewhere, up to rounding, and the same
/// for any number of threads.
pub(crate) type Vanilla = Layout<Rectified>;

impl Component for Vanilla {
    const ID: &'static str = "rnn.vanilla";
    const ABOUT: &'static str = "recurrent network of rectified units with a linear read-out";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi, Dehghani 2026 (arXiv 2606.14975); Werbos 1990";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let leak = leak_of(params.leak)?;
        // The only block starts from the given weights.
        let wiring = Wiring { input: params.input_units, readout: params.readout_units };
        let unit = Rectified { leak };
        Ok(match setting.connections {
            Some(pairs) => Layout::Connections(Connected::new(unit, params.noise, wiring, pairs, setting)?),
            None => Layout::Matrix(Trained::new(unit, params.noise, Start::Same, wiring, setting)?),
        })
    }
}

impl ConnectedUnit for Rectified {
    fn transfer(&self) -> Transfer {
        Transfer::Relu
    }

    fn alphas(&self, units: usize, _: &[f32]) -> Vec<f32> {
        if self.leak == 1.0 { Vec::new() } else { vec![self.leak; units] }
    }

    fn noise(&self, _: &[f32]) -> Vec<f32> {
        Vec::new()
    }

    fn learns_time_constants(&self) -> bool {
        false
    }
}

pallium_core::register!(Model, Vanilla);
