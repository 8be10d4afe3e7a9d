//! Models: networks that are trained.

use ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::optimizer::Learned;
use crate::{BatchView, Error, Matrix, MatrixView, Result, RewiringView, Tensor, TensorView};

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Training: adds noise and keeps what the backward pass needs.
    Train {
        /// Seed of the noise of this batch.
        noise_seed: u64,
    },
    /// Evaluation: no noise; only the outputs are used.
    Evaluate,
    /// Recording: no noise; keeps the hidden activity for [`Model::activity`].
    Record,
}

/// What a parameter does in a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Connections between hidden units: a matrix, rows from and columns to.
    /// Constraints act on these by default.
    Recurrent,
    /// Connections from the inputs.
    Input,
    /// The read-out: connections to the outputs.
    Readout,
    /// Anything else, such as biases and time constants.
    #[default]
    #[serde(other)]
    Other,
}

/// Description of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ParameterInfo {
    /// Name, unique within the model: `recurrent`, `input`, `bias`, `readout`,
    /// `readout_bias` as far as the model has them.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// What it does.
    #[serde(default)]
    pub kind: Kind,
    /// Name for readers, such as `update gate`; empty if there is only the name.
    #[serde(default)]
    pub title: String,
    /// Of a recurrent block, the population of its rows: where the connections come
    /// from; empty for the first population. Empty for other parameters, unless their
    /// rows are the units of a population.
    #[serde(default)]
    pub rows: String,
    /// As `rows`, for its columns: where the connections lead.
    #[serde(default)]
    pub columns: String,
    /// Whether the optimizer changes it.
    #[serde(default = "yes")]
    pub trained: bool,
    /// Whether its values are those of the setting's connections
    /// ([`Setting::connections`](crate::Setting::connections)), one for each in their
    /// order; it has one axis.
    #[serde(default)]
    pub connections: bool,
}

fn yes() -> bool {
    true
}

impl ParameterInfo {
    /// A trained parameter.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, kind: Kind) -> Self {
        ParameterInfo {
            name: name.into(),
            shape: shape.into(),
            kind,
            title: String::new(),
            rows: String::new(),
            columns: String::new(),
            trained: true,
            connections: false,
        }
    }

    /// A parameter with one value for each of the setting's connections.
    #[must_use]
    pub fn on_connections(mut self) -> Self {
        self.connections = true;
        self
    }

    /// Sets the name for readers.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the populations of its rows and columns.
    #[must_use]
    pub fn between(mut self, rows: impl Into<String>, columns: impl Into<String>) -> Self {
        self.rows = rows.into();
        self.columns = columns.into();
        self
    }

    /// A parameter that the optimizer does not change.
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.trained = false;
        self
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A group of hidden units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Population {
    /// Name, such as `excitatory`.
    pub name: String,
    /// Number of units.
    pub units: usize,
    /// The substrate's neuron of each unit; `None` for a free unit. `None` for the
    /// whole list means that unit i is neuron i.
    #[serde(default)]
    pub neurons: Option<Vec<Option<u32>>>,
}

impl Population {
    /// A population whose unit i is neuron i of the substrate.
    pub fn new(name: impl Into<String>, units: usize) -> Self {
        Population { name: name.into(), units, neurons: None }
    }

    /// A population with a neuron, or none, for each unit.
    pub fn of_neurons(name: impl Into<String>, neurons: Vec<Option<u32>>) -> Self {
        Population { name: name.into(), units: neurons.len(), neurons: Some(neurons) }
    }
}

/// A part of the state that [`Model::step`] advances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePart {
    /// Name, such as `hidden` or `cell`.
    pub name: String,
    /// Number of values.
    pub length: usize,
}

/// Description of a model.
///
/// An excitatory and an inhibitory population, with an input from the task's two
/// channels and a read-out of three outputs:
///
/// ```
/// use pallium_core::{ModelInfo, ParameterInfo, ParameterKind as Kind, Population};
///
/// // Of four neurons, the second is inhibitory; a further inhibitory unit is no neuron.
/// let excitatory = Population::of_neurons("excitatory", vec![Some(0), Some(2), Some(3)]);
/// let inhibitory = Population::of_neurons("inhibitory", vec![Some(1), None]);
/// let block = |name: &str, shape: [usize; 2], rows: &str, columns: &str| {
///     ParameterInfo::new(name, shape, Kind::Recurrent).between(rows, columns)
/// };
/// let mut info = ModelInfo::new(
///     5,
///     vec![
///         block("recurrent_ee", [3, 3], "excitatory", "excitatory"),
///         block("recurrent_ei", [3, 2], "excitatory", "inhibitory"),
///         block("recurrent_ie", [2, 3], "inhibitory", "excitatory"),
///         block("recurrent_ii", [2, 2], "inhibitory", "inhibitory"),
///         ParameterInfo::new("input", [2, 5], Kind::Input),
///         ParameterInfo::new("readout", [5, 3], Kind::Readout),
///     ],
/// );
/// info.populations = vec![excitatory, inhibitory];
/// // Row 1 of `recurrent_ei` is unit 1 of the excitatory population, neuron 2.
/// assert_eq!(info.neurons(), [Some(0), Some(2), Some(3), Some(1), None]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Number of hidden units: the last axis of the activity.
    pub units: usize,
    /// Groups of hidden units, in the order of the activity; their units add up
    /// to `units`.
    pub populations: Vec<Population>,
    /// All parameters, in the order of [`Model::parameters`].
    pub parameters: Vec<ParameterInfo>,
    /// Whether the model changes its parameters itself, in
    /// [`Model::update_itself`], without an optimizer.
    #[serde(default)]
    pub updates_itself: bool,
    /// The layout of the states that [`Model::step`] advances; empty if the model
    /// does not offer it.
    #[serde(default)]
    pub states: Vec<StatePart>,
    /// Whether a step is piecewise linear in the state, as for rectified units.
    #[serde(default)]
    pub piecewise_linear: bool,
}

impl ModelInfo {
    /// A model of `units` hidden units, unit i being neuron i of the substrate.
    pub fn new(units: usize, parameters: Vec<ParameterInfo>) -> Self {
        ModelInfo {
            units,
            populations: vec![Population::new("neurons", units)],
            parameters,
            updates_itself: false,
            states: Vec::new(),
            piecewise_linear: false,
        }
    }

    /// The recurrent blocks, with their places among the parameters.
    pub fn recurrent(&self) -> impl Iterator<Item = (usize, &ParameterInfo)> {
        self.parameters.iter().enumerate().filter(|(_, p)| p.kind == Kind::Recurrent)
    }

    /// The neuron of each unit, in the order of the activity; `None` for a free
    /// unit.
    pub fn neurons(&self) -> Vec<Option<u32>> {
        let mut found = Vec::with_capacity(self.units);
        for population in &self.populations {
            let first = found.len() as u32;
            match &population.neurons {
                Some(neurons) => found.extend_from_slice(neurons),
                None => found.extend((first..first + population.units as u32).map(Some)),
            }
        }
        found
    }

    /// The place of each unit in the matrix of all units: units that are neurons in
    /// the substrate's order, then free units in the order of the activity.
    pub fn places(&self) -> Vec<usize> {
        let neurons = self.neurons();
        let mut order: Vec<usize> = (0..neurons.len()).collect();
        order.sort_by_key(|&unit| neurons[unit].unwrap_or(u32::MAX));
        let mut places = vec![0; order.len()];
        for (place, unit) in order.into_iter().enumerate() {
            places[unit] = place;
        }
        places
    }

    /// The recurrent matrix of all units, ordered as [`places`](Self::places) says:
    /// the first block between each pair of populations, 0 where there is none.
    /// `values` finds the values of a block.
    ///
    /// # Errors
    /// If `values` fails, or a block names a population that does not exist or
    /// has another shape than its populations.
    pub fn recurrent_matrix(
        &self,
        mut values: impl FnMut(usize, &ParameterInfo) -> Result<Matrix>,
    ) -> Result<Matrix> {
        let places = self.places();
        let units = |block: &ParameterInfo, name: &str| {
            let at = match name {
                "" => Some(0),
                name => self.populations.iter().position(|p| p.name == name),
            };
            let at = at.filter(|&at| at < self.populations.len()).ok_or_else(|| {
                Error::plugin(format!("the block `{}` is between populations that do not exist", block.name))
            })?;
            let first: usize = self.populations[..at].iter().map(|p| p.units).sum();
            places.get(first..first + self.populations[at].units).ok_or_else(|| {
                Error::plugin(format!("the populations have more units than the model's {}", self.units))
            })
        };
        let mut whole = Matrix::zeros((self.units, self.units));
        let mut filled = Vec::new();
        for (index, block) in self.recurrent() {
            let pair = (&block.rows, &block.columns);
            if filled.contains(&pair) {
                continue;
            }
            filled.push(pair);
            let (rows, columns) = (units(block, pair.0)?, units(block, pair.1)?);
            let values = values(index, block)?;
            if values.dim() != (rows.len(), columns.len()) {
                return Err(Error::plugin(format!(
                    "the block `{}` has shape {:?} between populations of {} and {} units",
                    block.name,
                    values.shape(),
                    rows.len(),
                    columns.len()
                )));
            }
            for ((i, j), value) in values.indexed_iter() {
                whole[[rows[i], columns[j]]] = *value;
            }
        }
        Ok(whole)
    }

    /// Number of trainable values.
    pub fn count(&self) -> usize {
        self.parameters.iter().filter(|p| p.trained || self.updates_itself).map(ParameterInfo::len).sum()
    }
}

/// A recurrent network that is trained.
///
/// The host runs the training loop. For each batch it calls
/// [`forward`](Model::forward), computes loss and gradient of the outputs, calls
/// [`backward`](Model::backward), adds the gradients of all constraints to those
/// that [`learned`](Model::learned) lends, and lets the optimizer and the hard
/// constraints change the parameters in place. No model computes a loss or an
/// optimizer's step.
pub trait Model: Send + Sync {
    /// The description of the model.
    fn info(&self) -> ModelInfo;

    /// Resets the model: the first recurrent block becomes `recurrent` (N×N for
    /// the N neurons of the substrate), or with several populations each block the
    /// part of it between its neurons; the model documents what other recurrent
    /// blocks become. All other parameters are drawn from `seed`. A model that was built for
    /// a set of C connections
    /// ([`Setting::connections`](crate::Setting::connections)) receives their
    /// weights, 1 × C.
    ///
    /// # Errors
    /// If `recurrent` has another shape.
    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()>;

    /// Runs a batch through the network and writes the outputs of its scored
    /// steps to `outputs`: scored steps × outputs, in the order of
    /// [`BatchView::scored`]. Outputs are linear; the loss applies a softmax.
    ///
    /// # Errors
    /// If the batch does not fit the model. Outputs that are not finite are not an
    /// error: the host records that the training diverged.
    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode, outputs: ArrayViewMut2<'_, f32>) -> Result<()>;

    /// Hidden activity of the last forward pass under [`Mode::Train`] or
    /// [`Mode::Record`], steps × trials × units; 0 past a trial's end.
    ///
    /// # Errors
    /// If there was no such forward pass.
    fn activity(&self) -> Result<ArrayView3<'_, f32>>;

    /// Computes the gradients of all trained parameters, for
    /// [`learned`](Model::learned). `outputs` (scored steps × outputs) is the
    /// gradient of the loss in the outputs of the last forward pass under
    /// [`Mode::Train`]; `activity` (steps × trials × units) that of a further term
    /// in the activity.
    ///
    /// # Errors
    /// If there was no such forward pass.
    fn backward(&mut self, outputs: ArrayView2<'_, f32>, activity: Option<ArrayView3<'_, f32>>)
    -> Result<()>;

    /// All parameters, in the order of [`ModelInfo::parameters`].
    ///
    /// # Errors
    /// If they cannot be read.
    fn parameters(&self) -> Result<Vec<TensorView<'_>>>;

    /// The values of all parameters, in the order of [`ModelInfo::parameters`], to
    /// be changed in place: by hard constraints, and when a training continues.
    ///
    /// # Errors
    /// If they cannot be changed.
    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>>;

    /// The trained parameters and the gradients of the last
    /// [`backward`](Model::backward), in the order of [`ModelInfo::parameters`]. A
    /// model that updates itself returns its gradients here only if penalties
    /// shall act on it; otherwise nothing.
    ///
    /// # Errors
    /// If there was no backward pass.
    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>>;

    /// Takes a step of the model's own learning rule; called instead of an
    /// optimizer if [`ModelInfo::updates_itself`].
    ///
    /// # Errors
    /// If there was no backward pass.
    fn update_itself(&mut self) -> Result<()> {
        Err(Error::plugin("the model states that it updates itself, but does not implement it"))
    }

    /// What the model remembers besides its parameters, such as the sums of a
    /// regression. Nothing by default.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    /// Restores a state of [`Model::state`]; the parameters are restored through
    /// [`parameters_mut`](Model::parameters_mut).
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Advances states (rows × values, laid out as [`ModelInfo::states`]) by one
    /// step with `inputs` (rows × channels), without noise, in double precision:
    /// the map whose fixed points, Jacobians and exponents describe the dynamics.
    ///
    /// # Errors
    /// If the model does not offer it (the default).
    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let _ = (states, inputs);
        Err(Error::unsupported("this model does not offer its step"))
    }

    /// The gradients of Σ `cotangents` · [`step`](Model::step) in the states and
    /// in the inputs (vector–Jacobian products), with shapes as theirs.
    ///
    /// # Errors
    /// As [`step`](Model::step).
    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let _ = (states, inputs, cotangents);
        Err(Error::unsupported("this model does not offer the gradient of its step"))
    }

    /// Changes the connections between two steps of the training: kept ones keep
    /// their weights, added ones have weight 0. Their number stays the same.
    ///
    /// # Errors
    /// If the model has no connections (the default).
    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        let _ = change;
        Err(Error::unsupported("this model has no connections that can change"))
    }
}

/// A trained parameter of a model, lent with its gradient so that both can be
/// changed.
#[derive(Debug)]
pub struct LearnedMut<'a> {
    /// Place among [`ModelInfo::parameters`].
    pub index: usize,
    /// The parameter, row-major.
    pub values: &'a mut [f32],
    /// Its gradient, to which penalties are added.
    pub gradient: &'a mut [f32],
}

impl LearnedMut<'_> {
    /// The parameter as an optimizer receives it.
    pub fn learned<'b>(&'b mut self, info: &'b ParameterInfo) -> Learned<'b> {
        Learned { name: &info.name, shape: &info.shape, values: self.values, gradient: self.gradient }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// Neurons 1 and 3 are excitatory, 0 and 2 inhibitory; one excitatory unit is free.
    fn two_populations() -> ModelInfo {
        let block = |name: &str, shape: [usize; 2], rows: &str, columns: &str| {
            ParameterInfo::new(name, shape, Kind::Recurrent).between(rows, columns)
        };
        let blocks = vec![
            block("ei", [3, 2], "e", "i"),
            ParameterInfo::new("bias", [5], Kind::Other),
            block("ie", [2, 3], "i", "e"),
            // A second block between the same populations, such as a gate.
            block("gate", [3, 2], "e", "i"),
        ];
        let mut info = ModelInfo::new(5, blocks);
        info.populations = vec![
            Population::of_neurons("e", vec![Some(1), Some(3), None]),
            Population::of_neurons("i", vec![Some(0), Some(2)]),
        ];
        info
    }

    #[test]
    fn the_matrix_of_all_units_is_in_the_order_of_the_neurons() {
        let info = two_populations();
        assert_eq!(info.places(), [1, 3, 4, 0, 2]);
        let whole = info
            .recurrent_matrix(|_, block| {
                Ok(match block.name.as_str() {
                    "ei" => array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
                    "ie" => array![[7.0, 8.0, 9.0], [10.0, 11.0, 12.0]],
                    _ => panic!("{} is not needed", block.name),
                })
            })
            .unwrap();
        let expected = array![
            [0.0, 7.0, 0.0, 8.0, 9.0],
            [1.0, 0.0, 2.0, 0.0, 0.0],
            [0.0, 10.0, 0.0, 11.0, 12.0],
            [3.0, 0.0, 4.0, 0.0, 0.0],
            [5.0, 0.0, 6.0, 0.0, 0.0],
        ];
        assert_eq!(whole, expected);
    }

    #[test]
    fn one_population_has_its_first_block() {
        let block = |name: &str| ParameterInfo::new(name, [2, 2], Kind::Recurrent);
        let info = ModelInfo::new(2, vec![block("a"), block("b")]);
        let whole = info.recurrent_matrix(|index, _| Ok(Matrix::from_elem((2, 2), index as f32 + 1.0)));
        assert_eq!(whole.unwrap(), Matrix::from_elem((2, 2), 1.0));
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let info = two_populations();
        let wrong = info.recurrent_matrix(|_, _| Ok(Matrix::zeros((2, 2)))).unwrap_err();
        assert!(wrong.message.contains("`ei` has shape [2, 2] between populations of 3 and 2 units"));
        let mut info = two_populations();
        info.parameters[0].rows = "x".into();
        let wrong = info.recurrent_matrix(|_, block| Ok(Matrix::zeros((block.shape[0], block.shape[1]))));
        assert!(wrong.unwrap_err().message.contains("populations that do not exist"));
    }
}
