//! Optimizers: from gradients to new parameters.

use crate::{Error, Result, RewiringView, Tensor};

/// A parameter that is trained, with its gradient.
#[derive(Debug)]
pub struct Learned<'a> {
    /// Name, unique within the model and the same in every call.
    pub name: &'a str,
    /// Length of each axis.
    pub shape: &'a [usize],
    /// The parameter, row-major.
    pub values: &'a mut [f32],
    /// Its gradient: loss and penalties, clipped and decayed as the experiment
    /// says.
    pub gradient: &'a [f32],
}

/// The moment of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Moment {
    /// Number of this update over all epochs, from 1.
    pub step: u64,
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Factor on the learning rate, from the experiment's schedule; 1 without one.
    pub factor: f64,
}

impl Moment {
    /// Update number `step`, from 1, in the first epoch, without a schedule.
    pub fn new(step: u64) -> Self {
        Moment { step, epoch: 1, factor: 1.0 }
    }

    /// Update number `step` of `epoch`, both from 1.
    pub fn at(step: u64, epoch: u32, factor: f64) -> Self {
        Moment { step, epoch, factor }
    }

    /// The same update with another factor on the learning rate.
    #[must_use]
    pub fn with_factor(self, factor: f64) -> Self {
        Moment { factor, ..self }
    }
}

/// Updates all trained parameters of a model, once a batch.
///
/// The order of a training step is: gradients of loss and penalties, clipping,
/// decay, [`Optimizer::update`], projections of hard constraints. The same number
/// of parameters of the same shapes comes in every call, in the same order.
pub trait Optimizer: Send + Sync {
    /// Changes the values of `parameters`.
    ///
    /// # Errors
    /// If the parameters are not those of earlier calls.
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()>;

    /// What the optimizer remembers between updates, such as running means.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn state(&self) -> Result<Vec<Tensor>>;

    /// Restores a state of [`Optimizer::state`], so that training continues
    /// bit-identically. An empty state is that of a new optimizer.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    fn restore(&mut self, state: &[Tensor]) -> Result<()>;

    /// Called after the connections of `parameter` changed between two updates: update
    /// what is kept for each connection; added ones start with an empty memory. Such a
    /// parameter has one axis, with a value for each connection.
    ///
    /// # Errors
    /// If the optimizer does not support this (the default).
    fn rewired(&mut self, parameter: &str, change: &RewiringView<'_>) -> Result<()> {
        let _ = (parameter, change);
        Err(Error::unsupported("this optimizer does not support changes of the connections").help(
            "use another optimizer, such as optimizer.adam, or leave out the constraint that rewires; to support them, its author implements `rewired`",
        ))
    }
}
