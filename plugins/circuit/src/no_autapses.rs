//! `circuit.no-autapses`: no neuron connects to itself.

use pallium_core::prelude::*;

use crate::shapes::{check_shape, neuron, no_penalty, shape_of, within_one_population};

pallium_core::params! {
    /// `circuit.no-autapses` has no parameters.
    pub struct Params {}
}

/// The diagonal of W is set to 0 after each update; no penalty. In connections
/// from one population to another, the weights from a neuron to itself are, if it
/// belongs to both.
pub struct NoAutapses {
    shape: Option<(usize, usize)>,
    /// Places of the weights from a neuron to itself; `None` for the diagonal.
    autapses: Option<Vec<(usize, usize)>>,
}

impl Component for NoAutapses {
    const ID: &'static str = "circuit.no-autapses";
    const ABOUT: &'static str = "hard: no neuron connects to itself";
    const CITE: &'static str = "Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        let shape = shape_of(setting);
        let matrix = shape.filter(|_| setting.connections.is_none());
        let autapses = matrix.filter(|_| !within_one_population(setting)).map(|(rows, columns)| {
            let same = |&(i, j): &(usize, usize)| {
                neuron(setting.rows, i).is_some_and(|from| neuron(setting.columns, j) == Some(from))
            };
            (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).filter(same).collect()
        });
        Ok(NoAutapses { shape, autapses })
    }
}

impl Constraint for NoAutapses {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        no_penalty(self.shape, &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        check_shape("weights", self.shape, weights.dim())?;
        if let Some(connections) = at.connections {
            for place in (0..connections.dim().0).filter_map(|unit| connections.find(unit, unit)) {
                weights[[0, place]] = 0.0;
            }
            return Ok(());
        }
        match &self.autapses {
            None => weights.diag_mut().fill(0.0),
            Some(autapses) => autapses.iter().for_each(|&place| weights[place] = 0.0),
        }
        Ok(())
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, NoAutapses);
