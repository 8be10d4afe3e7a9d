//! The six roles of components, as plain Rust traits.

use std::path::Path;

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut3};
use serde::{Deserialize, Serialize};

use crate::{Batch, BatchView, Error, Matrix, MatrixView, MatrixViewMut, Measure, Result, Substrate, Tensor};

/// Supplies the neurons that a network is grown from.
pub trait SubstrateSource: Send + Sync {
    /// Reads or generates the substrate. `seed` is for sources that draw random
    /// numbers.
    ///
    /// # Errors
    /// If the data cannot be read or are inconsistent.
    fn substrate(&mut self, seed: u64) -> Result<Substrate>;

    /// Writes `substrate` to a new folder, in the format that this source reads.
    ///
    /// # Errors
    /// If the folder exists, cannot be written, or this source has no format of
    /// its own (the default).
    fn store(&mut self, substrate: &Substrate, folder: &Path) -> Result<()> {
        let _ = (substrate, folder);
        Err(Error::unsupported("this substrate source cannot write"))
    }
}

/// A request for initial recurrent weights.
#[derive(Clone, Copy)]
pub struct WeightRequest<'a> {
    /// Number of neurons N.
    pub neurons: usize,
    /// The substrate, if the experiment has one.
    pub substrate: Option<&'a Substrate>,
    /// Seed of this run.
    pub seed: u64,
    /// An N×N matrix of random numbers to use instead of the source's own draw
    /// (the lognormal factor L of functional weights), so that results can be
    /// compared with those of other programs.
    pub draw: Option<ArrayView2<'a, f64>>,
}

/// Supplies the initial recurrent weights.
pub trait WeightSource: Send + Sync {
    /// The recurrent matrix, N×N: row i, column j holds the weight from neuron i
    /// to neuron j.
    ///
    /// # Errors
    /// If the substrate lacks what the source needs.
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix>;
}

/// Acts on the recurrent weights during training by a penalty that is added to
/// the loss, a hard rule that is applied after each update, a penalty on
/// activity, or several of these.
pub trait Constraint: Send + Sync {
    /// Returns the penalty at `weights` (N×N) and adds its gradient to
    /// `gradient` (N×N).
    ///
    /// Add, do not assign: `gradient` already holds the gradients of other
    /// constraints. A constraint without a penalty returns 0 and leaves the
    /// gradient unchanged. Shapes are checked before the call.
    ///
    /// # Errors
    /// If the penalty cannot be computed.
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64>;

    /// Projects `weights` (N×N) onto the weights that the hard rule allows; called
    /// after each update. Does nothing by default.
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn project(&mut self, weights: MatrixViewMut<'_>) -> Result<()> {
        let _ = weights;
        Ok(())
    }

    /// Whether [`Constraint::activity_penalty`] does anything; called once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// Returns a penalty on the hidden activity (steps × trials × neurons) and
    /// adds its gradient to `gradient`, which has the same shape.
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn activity_penalty(
        &mut self,
        activity: ArrayView3<'_, f32>,
        gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        let _ = (activity, gradient);
        Ok(0.0)
    }
}

/// Reference accuracies of a task (fractions from 0 to 1), against which the
/// accuracy of a network can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Accuracy of guessing: 1 / classes, or the share of the most frequent class.
    pub chance: f64,
    /// Best accuracy of an observer that sees only the inputs of the scored step
    /// and remembers none before; `None` if unknown.
    pub memoryless: Option<f64>,
    /// Best accuracy of any observer; `None` if unknown.
    pub ideal: Option<f64>,
}

/// Description of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Number of input channels.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of steps of the longest possible trial.
    pub steps: usize,
    /// Duration of a step in milliseconds, if the task defines one.
    pub step_ms: Option<f64>,
    /// Names of the conditions, by their index in [`Batch::conditions`].
    pub conditions: Vec<String>,
    /// Reference accuracies.
    pub levels: Levels,
}

/// Generates trials.
pub trait Task: Send + Sync {
    /// The description of the task.
    fn info(&self) -> TaskInfo;

    /// Generates `count` trials; the same seed gives the same trials, bit by bit.
    ///
    /// # Errors
    /// If the trials cannot be generated.
    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch>;
}

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: adds input noise and keeps what the backward pass needs.
    Train {
        /// Seed of the noise of this batch.
        noise_seed: u64,
    },
    /// Evaluation: no noise; only the outcome is used.
    Evaluate,
    /// Recording: no noise; keeps the hidden activity for [`Model::activity`].
    Record,
}

/// The result of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Mask-weighted mean cross-entropy, in nats.
    pub loss: f64,
    /// Mask-weighted number of correct answers. In training the mask is that of
    /// the loss; to compute an accuracy the host passes [`Batch::scored`] as the
    /// mask, if there is one.
    pub correct: f64,
    /// Sum of the mask.
    pub weight: f64,
}

/// Description of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Number of neurons N.
    pub neurons: usize,
    /// Number of N×N recurrent blocks that constraints act on: one for a vanilla
    /// recurrent network, one for each gate of a gated one.
    pub blocks: usize,
    /// Names of the blocks, such as `recurrent` or `update gate`.
    pub block_names: Vec<String>,
    /// Number of trainable parameters.
    pub parameters: usize,
}

/// A recurrent network that is trained.
///
/// The host runs the training loop. For each batch it calls
/// [`forward`](Model::forward) and [`backward`](Model::backward), adds the
/// gradients of all constraints, calls [`update`](Model::update), and applies
/// [`Constraint::project`] to [`recurrent_mut`](Model::recurrent_mut). If a model
/// has several recurrent blocks, every constraint acts on each of them and the
/// penalties add up; metrics measure block 0.
pub trait Model: Send + Sync {
    /// The description of the model.
    fn info(&self) -> ModelInfo;

    /// Whether [`update`](Model::update) may change the recurrent blocks; called
    /// once. If not (a reservoir), a penalty on weights or activity would have no
    /// effect, so the host refuses it, and hard constraints are applied once,
    /// after [`initialise`](Model::initialise).
    fn plastic(&self) -> bool {
        true
    }

    /// Resets the model: `recurrent` (N×N) becomes block 0 (the model documents
    /// what further blocks become), all other parameters are drawn from `seed`,
    /// and the optimizer's state is cleared.
    ///
    /// # Errors
    /// If `recurrent` is not N×N.
    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()>;

    /// Runs a batch through the network.
    ///
    /// # Errors
    /// If the batch does not fit the model. A loss that is not finite is not an
    /// error: the host records that the training diverged.
    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome>;

    /// Hidden activity of the last forward pass under [`Mode::Train`] or
    /// [`Mode::Record`], steps × trials × neurons.
    ///
    /// # Errors
    /// If there was no such forward pass.
    fn activity(&self) -> Result<ArrayView3<'_, f32>>;

    /// Overwrites `recurrent` (blocks × N × N) with the gradient of the loss of
    /// the last forward pass under [`Mode::Train`]. `activity` (steps × trials ×
    /// neurons) is the gradient of a further loss term with respect to the
    /// activity, and is propagated back as well.
    ///
    /// # Errors
    /// If there was no such forward pass.
    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()>;

    /// Takes one optimizer step. `recurrent` (blocks × N × N) is the full gradient
    /// of the recurrent blocks, task plus penalties; for all other parameters the
    /// model uses the gradients that it kept from [`backward`](Model::backward).
    ///
    /// # Errors
    /// If there was no backward pass.
    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()>;

    /// A recurrent block, N×N.
    ///
    /// # Errors
    /// If there is no such block.
    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>>;

    /// A recurrent block, N×N, to be changed in place.
    ///
    /// # Errors
    /// If there is no such block.
    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>>;

    /// The complete state: parameters, then the optimizer's state. Parameters are
    /// named `recurrent`, `input`, `bias`, `readout`, `readout_bias`, as far as
    /// the model has them; names of the optimizer's state begin with
    /// `optimizer.`.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn state(&self) -> Result<Vec<Tensor>>;

    /// Restores a state of [`Model::state`], so that training continues
    /// bit-identically.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    fn restore(&mut self, state: &[Tensor]) -> Result<()>;
}

/// A network to be measured.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The recurrent matrix, N×N.
    pub recurrent: MatrixView<'a>,
    /// The recurrent matrix before training, N×N.
    pub initial: Option<MatrixView<'a>>,
    /// The substrate.
    pub substrate: Option<&'a Substrate>,
    /// Hidden activity, steps × trials × neurons; present if the metric's
    /// [`wants_activity`](Metric::wants_activity) is true.
    pub activity: Option<ArrayView3<'a, f32>>,
    /// Condition of each recorded trial.
    pub conditions: &'a [u32],
    /// Number of steps of each recorded trial; later activity must be ignored.
    /// Empty if unknown.
    pub lengths: &'a [u32],
}

impl<'a> Network<'a> {
    /// A network with only a recurrent matrix (N×N).
    pub fn new(recurrent: MatrixView<'a>) -> Self {
        Network { recurrent, initial: None, substrate: None, activity: None, conditions: &[], lengths: &[] }
    }
}

/// Measures a network.
pub trait Metric: Send + Sync {
    /// Whether the metric needs [`Network::activity`]; called once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// Whether the result stays the same when the neurons are permuted; the
    /// conformance checks verify it.
    fn invariant(&self) -> bool {
        true
    }

    /// Computes one or several named measures.
    ///
    /// # Errors
    /// If the network lacks something that the metric needs. A measure that is
    /// not defined for this network is not an error: its value is NaN.
    fn measure(&mut self, network: &Network<'_>) -> Result<Vec<Measure>>;
}
