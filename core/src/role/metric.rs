//! Metrics: measures of a trained network.

use ndarray::{Array2, ArrayView2, ArrayView3};

use crate::{
    ConnectionsView, MatrixView, Measures, ModelInfo, Result, Scored, SubstrateView, TargetsView, TensorView,
};

/// The map that a model iterates, without noise and in double precision: see
/// [`Model::step`](crate::Model::step).
pub trait Dynamics: Send + Sync {
    /// Advances states (rows × values, laid out as [`ModelInfo::states`]) by one
    /// step with `inputs` (rows × channels).
    ///
    /// # Errors
    /// If the model does not offer it.
    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>>;

    /// The gradients of Σ `cotangents` · step in the states and in the inputs.
    ///
    /// # Errors
    /// If the model does not offer it.
    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)>;
}

/// Trials that a trained network was run on, without noise.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RecordedTrials<'a> {
    /// Stimuli, trials × steps × channels.
    pub inputs: ArrayView3<'a, f32>,
    /// The correct answers.
    pub targets: TargetsView<'a>,
    /// Weight of each step in the accuracy, trials × steps.
    pub mask: ArrayView2<'a, f32>,
    /// The network's outputs at the scored steps, scored steps × outputs.
    pub outputs: ArrayView2<'a, f32>,
}

impl<'a> RecordedTrials<'a> {
    /// Recorded trials from their parts.
    pub fn new(
        inputs: ArrayView3<'a, f32>,
        targets: TargetsView<'a>,
        mask: ArrayView2<'a, f32>,
        outputs: ArrayView2<'a, f32>,
    ) -> Self {
        RecordedTrials { inputs, targets, mask, outputs }
    }

    /// The step and trial of each row of the outputs.
    pub fn scored(&self) -> impl Iterator<Item = Scored> + use<'a> {
        crate::BatchView::new(self.inputs, self.targets, self.mask, &[], &[]).scored()
    }
}

/// A network to be measured. Build it with [`Network::new`] and set what is known.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// The recurrent weights of all units (row = from, column = to), in the order of
    /// [`ModelInfo::places`]: row i is neuron i of the substrate; free units follow.
    /// Of several blocks between the same populations, the first.
    /// 1 × C if the weights lie on a set of C connections and the component states
    /// [`Component::CONNECTIONS`](crate::Component::CONNECTIONS).
    pub recurrent: MatrixView<'a>,
    /// The same before training; 0 for a connection that was added since.
    pub initial: Option<MatrixView<'a>>,
    /// The connections that the recurrent weights lie on; `None` if they are a
    /// matrix.
    pub connections: Option<ConnectionsView<'a>>,
    /// The substrate.
    pub substrate: Option<&'a SubstrateView<'a>>,
    /// The description of the model.
    pub model: Option<&'a ModelInfo>,
    /// All parameters of the model.
    pub parameters: &'a [TensorView<'a>],
    /// Hidden activity, steps × trials × units, in the order of the model's
    /// populations; present if [`Metric::wants_activity`], as are the fields that
    /// follow.
    pub activity: Option<ArrayView3<'a, f32>>,
    /// Condition of each recorded trial.
    pub conditions: &'a [u32],
    /// Names of the conditions, by their index, such as `direction 0°, coherence 6.4 %`;
    /// empty if unknown.
    pub condition_names: &'a [String],
    /// Number of steps of each recorded trial; later activity must be ignored.
    /// Empty if unknown.
    pub lengths: &'a [u32],
    /// Stimuli, correct answers and outputs of the recorded trials.
    pub trials: Option<RecordedTrials<'a>>,
    /// The model's own step; `None` if it does not offer one.
    pub dynamics: Option<&'a dyn Dynamics>,
}

impl<'a> Network<'a> {
    /// A network with only a recurrent matrix (N×N).
    pub fn new(recurrent: MatrixView<'a>) -> Self {
        Network {
            recurrent,
            initial: None,
            connections: None,
            substrate: None,
            model: None,
            parameters: &[],
            activity: None,
            conditions: &[],
            condition_names: &[],
            lengths: &[],
            trials: None,
            dynamics: None,
        }
    }
}

/// Measures a network.
pub trait Metric: Send + Sync {
    /// Whether the metric needs [`Network::activity`] and the trials; called once.
    fn wants_activity(&self) -> bool {
        false
    }

    /// Whether the result stays the same when the neurons are permuted; the
    /// conformance checks verify it.
    fn permutation_invariant(&self) -> bool {
        true
    }

    /// Computes one or several named measures, and arrays if it has any:
    /// `Ok(vec![Measure::new("density", 0.1)].into())`.
    ///
    /// # Errors
    /// If the network lacks something that the metric needs. A measure that is
    /// not defined for this network is not an error: its value is NaN.
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures>;
}
