//! A network whose recurrent weights are a matrix, or lie on a set of connections.

use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2};
use pallium_core::prelude::*;

use crate::connected::{Connected, ConnectedUnit};
use crate::dynamics::Dynamics;
use crate::trained::Trained;

/// A layer of units D with a linear read-out.
#[expect(clippy::large_enum_variant, reason = "one of them exists for each training")]
pub(crate) enum Layout<D: Dynamics> {
    /// Its recurrent weights are a matrix.
    Matrix(Trained<D>),
    /// They lie on the setting's connections.
    Connections(Connected<D>),
}

/// Calls the same method of either.
macro_rules! either {
    ($self:ident, $model:ident => $call:expr) => {
        match $self {
            Layout::Matrix($model) => $call,
            Layout::Connections($model) => $call,
        }
    };
}

impl<D: ConnectedUnit> Model for Layout<D> {
    fn info(&self) -> ModelInfo {
        either!(self, model => model.info())
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        either!(self, model => model.initialise(recurrent, seed))
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode, outputs: ArrayViewMut2<'_, f32>) -> Result<()> {
        either!(self, model => model.forward(batch, mode, outputs))
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        either!(self, model => model.activity())
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        either!(self, model => model.backward(outputs, activity))
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        either!(self, model => model.parameters())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        either!(self, model => model.parameters_mut())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        either!(self, model => model.learned())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        either!(self, model => model.step(states, inputs))
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        either!(self, model => model.step_gradient(states, inputs, cotangents))
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        either!(self, model => model.rewired(change))
    }
}

#[cfg(test)]
impl<D: Dynamics> Layout<D> {
    /// The network of matrices.
    pub fn matrix(&self) -> &Trained<D> {
        match self {
            Layout::Matrix(model) => model,
            Layout::Connections(_) => panic!("this network lies on connections"),
        }
    }

    /// The network on connections.
    pub fn connected(&mut self) -> &mut Connected<D> {
        match self {
            Layout::Matrix(_) => panic!("this network has matrices"),
            Layout::Connections(model) => model,
        }
    }
}
