//! The roles a component can play, as plain Rust traits.

use std::path::Path;

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut3};
use serde::{Deserialize, Serialize};

use crate::{Batch, BatchView, Error, Matrix, MatrixView, MatrixViewMut, Measure, Result, Substrate, Tensor};

/// Supplies the neurons that a network is grown from.
pub trait SubstrateSource: Send + Sync {
    /// Reads or makes the substrate. `seed` is for sources that draw.
    ///
    /// # Errors
    /// If the data cannot be read or contradict each other.
    fn substrate(&mut self, seed: u64) -> Result<Substrate>;

    /// Writes `substrate` as a new folder in this source's own format, so that
    /// the same source can read it again.
    ///
    /// # Errors
    /// If the folder exists already, cannot be written, or this source has no
    /// format of its own.
    fn store(&mut self, substrate: &Substrate, folder: &Path) -> Result<()> {
        let _ = (substrate, folder);
        Err(Error::unsupported("this substrate source cannot write"))
    }
}

/// What a weight source is asked for.
#[derive(Clone, Copy)]
pub struct WeightRequest<'a> {
    /// Number of neurons N.
    pub neurons: usize,
    /// The substrate, if the experiment has one.
    pub substrate: Option<&'a Substrate>,
    /// Seed of this run.
    pub seed: u64,
    /// An N×N draw to use instead of the source's own (the lognormal factor L
    /// of functional weights), so that results can be compared with others'.
    pub draw: Option<ArrayView2<'a, f64>>,
}

/// Supplies the recurrent weights that training starts from.
pub trait WeightSource: Send + Sync {
    /// An N×N recurrent matrix, row i to column j.
    ///
    /// # Errors
    /// If the substrate lacks what the source needs.
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix>;
}

/// Acts on the recurrent weights during training: a penalty added to the loss,
/// a hard rule applied after each update, a penalty on activity, or several of
/// these.
pub trait Constraint: Send + Sync {
    /// The penalty at `weights`; adds its gradient into `gradient`.
    ///
    /// Both are N×N. A constraint without a soft part returns 0 and leaves the
    /// gradient as it is.
    ///
    /// # Errors
    /// If the shapes do not fit the setting that the constraint was built for.
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64>;

    /// Brings `weights` back to what the hard part allows, after each update.
    ///
    /// # Errors
    /// As [`Constraint::penalty`].
    fn project(&mut self, weights: MatrixViewMut<'_>) -> Result<()> {
        let _ = weights;
        Ok(())
    }

    /// Whether [`Constraint::activity_penalty`] does anything; asked once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// A penalty on the hidden activity, steps × trials × neurons; adds its
    /// gradient into `gradient` of the same shape.
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

/// How well one can do, so that an accuracy can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Accuracy of guessing.
    pub chance: f64,
    /// The best that an observer of the last inputs alone, without memory of
    /// earlier ones, can do.
    pub memoryless: Option<f64>,
    /// The best that any observer can do.
    pub ideal: Option<f64>,
}

/// What a task says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Number of input channels.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of steps of the longest trial.
    pub steps: usize,
    /// Duration of a step in milliseconds, where the task states one.
    pub step_ms: Option<f64>,
    /// What each condition index in [`Batch::conditions`] stands for.
    pub conditions: Vec<String>,
    /// How well one can do.
    pub levels: Levels,
}

/// Generates trials.
pub trait Task: Send + Sync {
    /// What the task says of itself.
    fn info(&self) -> TaskInfo;

    /// `count` trials, the same for the same seed.
    ///
    /// # Errors
    /// If the trials cannot be generated.
    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch>;
}

/// Whether a forward pass is for learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With input noise drawn from `noise_seed` (one seed a batch), keeping
    /// what the backward pass needs.
    Train {
        /// Seed of this batch's noise.
        noise_seed: u64,
    },
    /// Without noise; only the outcome is needed.
    Evaluate,
    /// Without noise, keeping the hidden activity for [`Model::activity`].
    Record,
}

/// What came out of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Mask-weighted mean cross-entropy, in nats.
    pub loss: f64,
    /// Mask-weighted number of right answers. While learning the mask is that
    /// of the loss; for an accuracy the host hands in [`Batch::scored`] as the
    /// mask, where there is one.
    pub correct: f64,
    /// Sum of the mask.
    pub weight: f64,
}

/// What a model says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Number of neurons N.
    pub neurons: usize,
    /// Number of N×N recurrent blocks that constraints act on (one for a
    /// plain recurrent network, one a gate for gated ones).
    pub blocks: usize,
    /// What each block is, such as `recurrent` or `update gate`.
    pub block_names: Vec<String>,
    /// Number of trained parameters.
    pub parameters: usize,
}

/// A recurrent network that learns.
///
/// The host owns the loop. For each batch it calls [`forward`](Model::forward),
/// then [`backward`](Model::backward), adds every constraint's gradient, then
/// [`update`](Model::update), then lets the hard constraints act on
/// [`recurrent_mut`](Model::recurrent_mut). Where a model has several recurrent
/// blocks, every constraint acts on each of them alike and the penalties add
/// up; metrics look at block 0.
pub trait Model: Send + Sync {
    /// What the model says of itself.
    fn info(&self) -> ModelInfo;

    /// Whether [`update`](Model::update) may change the recurrent blocks; asked
    /// once. Where it does not (a reservoir), no penalty on weights or activity
    /// could have an effect, so the host refuses those, and hard constraints
    /// act once, after [`initialise`](Model::initialise).
    fn plastic(&self) -> bool {
        true
    }

    /// Starts anew: `recurrent` becomes block 0 (and whatever the model
    /// documents for further blocks), everything else is drawn from `seed`,
    /// and the optimizer forgets.
    ///
    /// # Errors
    /// If `recurrent` is not N×N.
    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()>;

    /// Runs a batch.
    ///
    /// # Errors
    /// If the batch does not fit the model. A loss that is not finite is not
    /// an error; the host notes that the run diverged.
    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome>;

    /// Hidden activity of the last forward pass under [`Mode::Train`] or
    /// [`Mode::Record`], steps × trials × neurons.
    ///
    /// # Errors
    /// If there was none.
    fn activity(&self) -> Result<ArrayView3<'_, f32>>;

    /// Overwrites `recurrent` (blocks × N × N) with the gradient of the last
    /// [`Mode::Train`] forward's loss, plus that of a term whose gradient in
    /// the activity is `activity`.
    ///
    /// # Errors
    /// If there was no such forward pass.
    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()>;

    /// One optimizer step. `recurrent` is the full gradient of the recurrent
    /// blocks (task plus penalties); for all else the model uses its own.
    ///
    /// # Errors
    /// If there was no backward pass.
    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()>;

    /// A recurrent block, N×N.
    ///
    /// # Errors
    /// If there is no such block.
    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>>;

    /// A recurrent block, to be changed in place.
    ///
    /// # Errors
    /// If there is no such block.
    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>>;

    /// Everything that determines what comes next: parameters and optimizer.
    /// Trained parameters come first and are named `recurrent`, `input`,
    /// `bias`, `readout`, `readout_bias` where a model has them; the
    /// optimizer's state is named `optimizer.…`.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn state(&self) -> Result<Vec<Tensor>>;

    /// Continues from [`Model::state`], exactly.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    fn restore(&mut self, state: &[Tensor]) -> Result<()>;
}

/// A network to be measured.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The recurrent matrix, N×N; required.
    pub recurrent: MatrixView<'a>,
    /// The recurrent matrix before training.
    pub initial: Option<MatrixView<'a>>,
    /// The substrate.
    pub substrate: Option<&'a Substrate>,
    /// Hidden activity, steps × trials × neurons, for metrics that ask.
    pub activity: Option<ArrayView3<'a, f32>>,
    /// Kind of each recorded trial.
    pub conditions: &'a [u32],
    /// Steps of each recorded trial; past them its activity is not to be
    /// counted. Empty where they are not known.
    pub lengths: &'a [u32],
}

impl<'a> Network<'a> {
    /// A recurrent matrix and nothing else known.
    pub fn new(recurrent: MatrixView<'a>) -> Self {
        Network { recurrent, initial: None, substrate: None, activity: None, conditions: &[], lengths: &[] }
    }
}

/// Measures a network.
pub trait Metric: Send + Sync {
    /// Whether [`Network::activity`] must be there; asked once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// Whether the result stays the same when the neurons are relabelled.
    fn invariant(&self) -> bool {
        true
    }

    /// One or several named measures.
    ///
    /// # Errors
    /// If the network lacks what the metric needs. A measure that is not
    /// defined for this network is not an error but a value that is not finite.
    fn measure(&mut self, network: &Network<'_>) -> Result<Vec<Measure>>;
}
