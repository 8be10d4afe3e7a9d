//! `circuit.no-autapses`: no neuron connects to itself.

use pallium_core::prelude::*;

use crate::shapes::{check_shape, no_penalty};

pallium_core::params! {
    /// `circuit.no-autapses` has no parameters.
    pub struct Params {}
}

/// The diagonal of W is set to 0 after each update; no penalty.
pub struct NoAutapses {
    neurons: Option<usize>,
}

impl Component for NoAutapses {
    const ID: &'static str = "circuit.no-autapses";
    const ABOUT: &'static str = "hard: no neuron connects to itself";
    const CITE: &'static str = "Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792";
    type Params = Params;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(NoAutapses { neurons: setting.neurons })
    }
}

impl Constraint for NoAutapses {
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64> {
        no_penalty(self.neurons, &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>) -> Result<()> {
        check_shape("weights", self.neurons, weights.dim())?;
        weights.diag_mut().fill(0.0);
        Ok(())
    }
}
pallium_core::register!(Constraint, NoAutapses);
