//! Constraints: penalties and hard rules on parameters, and penalties on activity.

use ndarray::{ArrayView3, ArrayViewMut3};

use crate::{ConnectionsView, Error, MatrixView, MatrixViewMut, Result, Rewiring, RewiringView, Tensor};

/// The moment of the training at which a constraint acts, and the parameter that
/// it acts on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Point<'a> {
    /// Number of updates before this call, over all epochs.
    pub step: u64,
    /// Number of updates of the whole training, if it is known; early stopping may end
    /// it sooner.
    pub updates: Option<u64>,
    /// Number of the epoch, from 1; 0 before and after training.
    pub epoch: u32,
    /// Index of the task that is trained, if several are trained one after
    /// another.
    pub task: u32,
    /// Name of the parameter.
    pub parameter: &'a str,
    /// The parameter before training.
    pub initial: Option<MatrixView<'a>>,
    /// Gradient of the task's loss alone, without penalties; present while
    /// training if [`Constraint::wants_loss_gradient`].
    pub loss_gradient: Option<MatrixView<'a>>,
    /// The connections that the parameter lies on; `None` if it is a matrix.
    pub connections: Option<ConnectionsView<'a>>,
}

impl<'a> Point<'a> {
    /// Before the first update of `parameter`.
    pub fn new(parameter: &'a str) -> Self {
        Point {
            step: 0,
            updates: None,
            epoch: 0,
            task: 0,
            parameter,
            initial: None,
            loss_gradient: None,
            connections: None,
        }
    }

    /// The connections that the parameter lies on.
    ///
    /// # Errors
    /// If it is a matrix.
    pub fn connections(&self) -> Result<ConnectionsView<'a>> {
        self.connections.ok_or_else(|| {
            Error::unsupported(format!("`{}` is a matrix, not a set of connections", self.parameter))
        })
    }
}

/// The hidden activity of a batch.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Activity<'a> {
    /// Steps × trials × units.
    pub values: ArrayView3<'a, f32>,
    /// Number of steps of each trial. Later activity is padding: it is 0, and must
    /// be counted neither as activity nor as silence.
    pub lengths: &'a [u32],
}

impl<'a> Activity<'a> {
    /// Activity (steps × trials × units) with the number of steps of each trial.
    pub fn new(values: ArrayView3<'a, f32>, lengths: &'a [u32]) -> Self {
        Activity { values, lengths }
    }

    /// Number of real steps of all trials.
    pub fn steps(&self) -> usize {
        self.lengths.iter().map(|&length| length as usize).sum()
    }
}

/// Acts on parameters during training by a penalty that is added to the loss, a
/// hard rule that is applied after each update, a penalty on activity, or several
/// of these.
///
/// The host builds one instance for each parameter that a constraint acts on: by
/// default every recurrent block that is trained.
///
/// On a set of C connections ([`Setting::connections`](crate::Setting::connections))
/// every matrix here is 1 × C: one value for each connection, in their order. So a
/// constraint that treats each weight alone is the same code for both. A component
/// receives connections only if it states
/// [`Component::CONNECTIONS`](crate::Component::CONNECTIONS). Otherwise it acts on
/// the N×N matrix, as far as the network is small enough; its gradient is taken at
/// the connections, and a rule that gives an absent pair a weight is an error.
pub trait Constraint: Send + Sync {
    /// Returns the penalty at `weights` (rows × columns; N×N for a network of the
    /// substrate's neurons) and adds its gradient to `gradient` (same shape).
    ///
    /// Add, do not assign: `gradient` already holds the gradients of other
    /// constraints. A constraint without a penalty returns 0 and leaves the
    /// gradient unchanged. Shapes are checked before the call. The same weights at
    /// the same point must give the same penalty: memory changes in
    /// [`Constraint::project`] and nowhere else.
    ///
    /// # Errors
    /// If the penalty cannot be computed.
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64>;

    /// Projects `weights` onto the weights that the hard rule allows; called after
    /// each update. A constraint with memory changes it here. Does nothing by
    /// default.
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn project(&mut self, weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        let _ = (weights, at);
        Ok(())
    }

    /// Whether [`Constraint::activity_penalty`] does anything; called once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// Whether the constraint reads [`Point::loss_gradient`]; called once.
    fn wants_loss_gradient(&self) -> bool {
        false
    }

    /// Returns a penalty on the hidden activity and adds its gradient to
    /// `gradient` (steps × trials × units).
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn activity_penalty(&mut self, activity: &Activity<'_>, gradient: ArrayViewMut3<'_, f32>) -> Result<f64> {
        let _ = (activity, gradient);
        Ok(0.0)
    }

    /// What the constraint remembers between calls, so that a training that was
    /// interrupted continues bit-identically. Nothing by default.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    /// Restores a state of [`Constraint::state`].
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Whether [`Constraint::rewire`] does anything; called once.
    fn rewires(&self) -> bool {
        false
    }

    /// The connections that take the place of the present ones, called after each
    /// update and its projections, only on sets of connections; `weights` is 1 × C.
    /// `None` (the default) if none changes. The number of connections stays.
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn rewire(&mut self, weights: MatrixView<'_>, at: &Point<'_>) -> Result<Option<Rewiring>> {
        let _ = (weights, at);
        Ok(None)
    }

    /// Called after connections changed, by this constraint or by another: update
    /// everything that the constraint keeps for each connection.
    ///
    /// # Errors
    /// If it does not support this (the default).
    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        let _ = change;
        Err(Error::unsupported("this constraint does not support changes of the connections").help(
            "leave it out, or the constraint that rewires; to support them, its author implements `rewired`",
        ))
    }
}
