//! The network of a finished training, built again.

use pallium_core::{Matrix, Model, ModelInfo, Result, Setting, Tensor};
use pallium_record::spec::CellSpec;
use pallium_record::weights::Weights;

use super::components::{Ground, Grown, Options, build_model, initialise};
use super::penalties::Wiring;
use super::training_loop::{parameters, set_parameters};
use crate::plugins::Catalogue;

/// A finished network.
pub(super) struct FinishedNetwork {
    /// The model, with its trained parameters.
    pub model: Box<dyn Model>,
    /// Its description.
    pub info: ModelInfo,
    grown: Grown,
    distance: Option<Matrix>,
}

impl FinishedNetwork {
    /// The network of a training that ended with `weights`.
    ///
    /// # Errors
    /// If the model is missing or refuses its parameters, or the stored ones do not fit
    /// it.
    pub fn new(
        spec: &CellSpec,
        weights: &Weights,
        ground: &Ground,
        catalogue: &Catalogue,
        options: &Options<'_>,
    ) -> Result<Self> {
        let grown = Grown::finished(weights)?;
        let distance = ground.distance_on(grown.connections.as_ref());
        let base = grown.setting(ground.setting(spec, options), distance.as_ref());
        let mut model = build_model(spec, catalogue, &base)?;
        let info = model.info();
        // Without the parameters of another training, whose folder may be gone.
        model.initialise(grown.values.view(), spec.derived_seed("model"))?;
        let mut network = FinishedNetwork { model, info, grown, distance };
        network
            .set(&weights.parameters)
            .map_err(|e| e.context("the stored training does not fit the model"))?;
        Ok(network)
    }

    /// Sets all parameters.
    ///
    /// # Errors
    /// If they do not fit the model.
    pub fn set(&mut self, parameters: &[Tensor]) -> Result<()> {
        set_parameters(self.model.as_mut(), &self.info, parameters)
    }

    /// The parameters before training, and what the weights lie on. The model keeps its
    /// parameters.
    ///
    /// # Errors
    /// If the training began with another one that cannot be read.
    pub fn before(&mut self, spec: &CellSpec) -> Result<(Vec<Tensor>, Wiring)> {
        let trained = parameters(self.model.as_ref())?;
        initialise(
            spec,
            self.model.as_mut(),
            &self.info,
            &self.grown.values,
            self.grown.connections.as_ref(),
        )?;
        let before = parameters(self.model.as_ref())?;
        self.set(&trained)?;
        Ok((before, Wiring::new(self.grown.connections.as_ref(), &self.grown.values, None)))
    }

    /// What its components are built with.
    pub fn setting<'a>(&'a self, base: Setting<'a>) -> Setting<'a> {
        self.grown.setting(base, self.distance.as_ref())
    }
}
