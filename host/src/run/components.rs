//! Builds the components of a training, each with its setting and its seed.

use std::path::Path;

use itertools::Itertools;
use ndarray::Array2;
use pallium_core::{
    Connections, ConnectionsView, Constraint, Error, Matrix, Metric, Model, ModelInfo, Optimizer,
    ParameterInfo, ParameterKind, Population, Result, Rewiring, Setting, SparseWeights, Substrate, Task,
    TaskInfo, Tensor, Units, WeightRequest,
};
use pallium_record::checkpoint::{Checkpoint, CheckpointFile};
use pallium_record::spec::{CellSpec, Use};
use pallium_record::weights::Weights;

use super::on_matrix::{MATRIX_UP_TO, OnMatrix, only_matrices};
use super::penalties::{OnParameter, Penalties};
use super::tasks::Tasks;
use super::training_loop::parameters;
use super::warnings;
use crate::geometry::{self, Distances, Places};
use crate::plugins::Catalogue;

/// Options that must not change the result of a training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Folder in which components may cache results.
    pub cache: Option<&'a Path>,
    /// Where checkpoints are written, and continued from.
    pub checkpoint: Option<&'a CheckpointFile>,
    /// The state of the same training with fewer epochs, to continue from if there is
    /// no checkpoint.
    pub earlier: Option<&'a Checkpoint>,
    /// Whether the state after training is kept with the result.
    pub keep_state: bool,
}

pub(super) fn setting<'a>(
    spec: &CellSpec,
    options: &Options<'a>,
    substrate: &'a Substrate,
    distance: Option<&'a Distances>,
) -> Setting<'a> {
    Setting {
        threads: spec.training.threads,
        cache: options.cache,
        neurons: Some(substrate.neurons),
        substrate: Some(substrate),
        distance: distance.map(|d| d.values.view()),
        distance_unit_um: distance.and_then(|d| d.unit_um),
        ..Setting::default()
    }
}

/// Completes a setting for components that depend on the task.
pub(super) fn with_task<'a>(info: &TaskInfo, base: Setting<'a>) -> Setting<'a> {
    Setting {
        inputs: Some(info.inputs),
        outputs: Some(info.outputs),
        loss: Some(info.loss),
        step_ms: info.step_ms,
        ..base
    }
}

pub(super) fn read_substrate(
    spec: &CellSpec,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Substrate> {
    let seed = spec.derived_seed("substrate");
    let setting =
        Setting { seed, threads: spec.training.threads, cache: options.cache, ..Setting::default() };
    let substrate = catalogue
        .substrate(&spec.substrate, &setting)?
        .substrate(seed)
        .map_err(|e| e.context(format!("`{}` gives no substrate", spec.substrate.id)))?;
    substrate.check()?;
    Ok(substrate)
}

pub(super) fn distances(spec: &CellSpec, substrate: &Substrate) -> Result<Option<Distances>> {
    geometry::distances(&spec.geometry, Some(substrate), substrate.neurons, spec.derived_seed("geometry"))
}

pub(super) fn places(spec: &CellSpec, substrate: &Substrate) -> Result<Option<Places>> {
    geometry::places(&spec.geometry, Some(substrate), substrate.neurons, spec.derived_seed("geometry"))
}

pub(super) fn grow_weights(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    substrate: &Substrate,
) -> Result<Matrix> {
    matrix_of(&spec.weights, catalogue, &Setting { seed: spec.derived_seed("weights"), ..*base }, substrate)
}

/// The matrix of a source of weights.
fn matrix_of(
    source: &Use,
    catalogue: &Catalogue,
    setting: &Setting<'_>,
    substrate: &Substrate,
) -> Result<Matrix> {
    let n = substrate.neurons;
    let request = WeightRequest {
        neurons: n,
        substrate: Some(substrate),
        seed: setting.seed,
        draw: None,
        connections: None,
    };
    let weights = catalogue
        .weights(source, setting)?
        .weights(&request)
        .map_err(|e| e.context(format!("`{}` gives no weights", source.id)))?;
    if weights.dim() != (n, n) {
        let (rows, columns) = weights.dim();
        return Err(Error::plugin(format!("`{}` gave {rows}×{columns} weights for {n} neurons", source.id)));
    }
    if let Some(((i, j), w)) = weights.indexed_iter().find(|(_, w)| !w.is_finite()) {
        return Err(Error::plugin(format!("`{}` gave the weight {w} from {i} to {j}", source.id)));
    }
    Ok(weights.as_standard_layout().into_owned())
}

/// Whether a null model left the weights as they were, but for rounding.
pub fn unchanged(original: &Matrix, null: &Matrix) -> bool {
    let rounding = 1e-6 * original.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
    original.iter().zip(null).all(|(a, b)| (a - b).abs() <= rounding)
}

/// The warning about such a null model.
pub fn changes_nothing(id: &str) -> String {
    format!("`{id}` cannot change these weights: the null model equals the original")
}

/// Initial recurrent weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grown {
    /// N×N; 1 × C on a set of C connections.
    pub values: Matrix,
    /// The connections; `None` if the weights are a matrix.
    pub connections: Option<Connections>,
}

impl Grown {
    /// The initial weights of a training: a matrix, or those of its connections.
    pub fn new(
        spec: &CellSpec,
        catalogue: &Catalogue,
        base: &Setting<'_>,
        substrate: &Substrate,
    ) -> Result<Self> {
        Grown::original(spec, catalogue, base, substrate)?.null(spec, catalogue, base, substrate)
    }

    /// The weights that the null model of a training changes. They do not depend on the
    /// null model, so all null models of a run change the same weights.
    pub fn original(
        spec: &CellSpec,
        catalogue: &Catalogue,
        base: &Setting<'_>,
        substrate: &Substrate,
    ) -> Result<Self> {
        let Some(source) = &spec.connections else {
            return Ok(Grown { values: grow_weights(spec, catalogue, base, substrate)?, connections: None });
        };
        let weights = grow_on(spec, source, None, catalogue, base, substrate)?;
        let weights = match *source == spec.weights {
            true => weights,
            false => {
                let pairs = weights.connections.view();
                grow_on(spec, &spec.weights, Some(pairs), catalogue, base, substrate)?
            }
        };
        Grown::on(source, weights)
    }

    fn on(source: &Use, weights: SparseWeights) -> Result<Self> {
        if weights.values.is_empty() {
            return Err(Error::input(format!("`{}` connects no pair of neurons", source.id))
                .help("a network on connections needs at least one"));
        }
        let values = Matrix::from_shape_vec((1, weights.values.len()), weights.values)
            .map_err(|e| Error::bug(e.to_string()))?;
        Ok(Grown { values, connections: Some(weights.connections) })
    }

    /// What the null model of `spec` makes of these weights; themselves without one.
    pub fn null(
        &self,
        spec: &CellSpec,
        catalogue: &Catalogue,
        base: &Setting<'_>,
        substrate: &Substrate,
    ) -> Result<Self> {
        let Some(null) = &spec.null else { return Ok(self.clone()) };
        let seed = spec.derived_seed("null");
        let base = Setting { seed, original: Some(self.values.view()), ..base.reborrow() };
        let found = if self.connections.is_none() {
            Grown { values: matrix_of(null, catalogue, &base, substrate)?, connections: None }
        } else if catalogue.get(&null.id)?.connections {
            let base = self.setting(base, None);
            Grown::on(null, sparse_of(null, None, catalogue, &base, substrate)?)?
        } else {
            return Err(Error::unsupported(format!(
                "`{}` connects all pairs, but the variant's weights lie on connections",
                null.id
            ))
            .help("leave out `connections`, or choose another null model"));
        };
        if self.connections == found.connections && unchanged(&self.values, &found.values) {
            tracing::warn!(target: warnings::OF_RESULT, "{}", changes_nothing(&null.id));
        }
        Ok(found)
    }

    /// The weights before training of a finished training, at its connections after
    /// training.
    ///
    /// # Errors
    /// If the stored weights do not fit the connections.
    pub fn finished(weights: &Weights) -> Result<Self> {
        let Some([before, after]) = &weights.connections else {
            return Ok(Grown { values: weights.initial.clone(), connections: None });
        };
        let values: Vec<f32> = weights.initial.iter().copied().collect();
        let values = Rewiring::between(before.view(), &values, after.clone()).values;
        let values =
            Matrix::from_shape_vec((1, values.len()), values).map_err(|e| Error::bug(e.to_string()))?;
        Ok(Grown { values, connections: Some(after.clone()) })
    }

    /// `base` with the connections and the distance of each.
    pub fn setting<'a>(&'a self, base: Setting<'a>, distance: Option<&'a Matrix>) -> Setting<'a> {
        match &self.connections {
            None => base,
            Some(connections) => Setting {
                connections: Some(connections.view()),
                distance: distance.map(|d| d.view()),
                ..base
            },
        }
    }
}

/// The weights of a source at `pairs`, or where they are not 0.
fn grow_on(
    spec: &CellSpec,
    source: &Use,
    pairs: Option<ConnectionsView<'_>>,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    substrate: &Substrate,
) -> Result<SparseWeights> {
    sparse_of(source, pairs, catalogue, &Setting { seed: spec.derived_seed("weights"), ..*base }, substrate)
}

fn sparse_of(
    source: &Use,
    pairs: Option<ConnectionsView<'_>>,
    catalogue: &Catalogue,
    setting: &Setting<'_>,
    substrate: &Substrate,
) -> Result<SparseWeights> {
    let n = substrate.neurons;
    let request = WeightRequest {
        neurons: n,
        substrate: Some(substrate),
        seed: setting.seed,
        draw: None,
        connections: pairs,
    };
    let failed = |e: Error| e.context(format!("`{}` gives no weights", source.id));
    let takes = catalogue.get(&source.id)?.connections;
    if !takes && n > MATRIX_UP_TO {
        let instead =
            "choose weights that take connections, such as init.sparse, init.synapses or init.distance";
        return Err(only_matrices(&source.id, n, instead));
    }
    let mut component = catalogue.weights(source, setting)?;
    let weights = match takes {
        true => component.sparse(&request).map_err(failed)?,
        false => SparseWeights::from_matrix(component.weights(&request).map_err(failed)?.view(), pairs),
    };
    weights.check().map_err(|e| e.context(format!("the weights of `{}`", source.id)))?;
    Ok(weights)
}

/// What a training stands on: neurons, distances, and the tasks.
pub(super) struct Ground {
    pub substrate: Substrate,
    distance: Option<Distances>,
    /// Where the neurons are, in the place of all distances, on connections.
    pub places: Option<Places>,
    pub tasks: Tasks,
}

impl Ground {
    /// Reads the substrate and builds the tasks of `spec`.
    pub fn new(spec: &CellSpec, catalogue: &Catalogue, options: &Options<'_>) -> Result<Self> {
        let substrate = read_substrate(spec, catalogue, options)?;
        let (distance, places) = match spec.connections {
            None => (distances(spec, &substrate)?, None),
            Some(_) => (None, places(spec, &substrate)?),
        };
        let tasks = Tasks::build(spec, catalogue, &setting(spec, options, &substrate, distance.as_ref()))?;
        Ok(Ground { substrate, distance, places, tasks })
    }

    /// The setting of the components that depend on the task.
    pub fn setting<'a>(&'a self, spec: &CellSpec, options: &Options<'a>) -> Setting<'a> {
        let setting =
            with_task(&self.tasks.info, setting(spec, options, &self.substrate, self.distance.as_ref()));
        let unit = self.places.as_ref().and_then(|places| places.unit_um);
        Setting { distance_unit_um: setting.distance_unit_um.or(unit), ..setting }
    }

    /// The distance of each connection, 1 × C, if the weights lie on connections.
    pub fn distance_on(&self, connections: Option<&Connections>) -> Option<Matrix> {
        Some(self.places.as_ref()?.of(connections?.view()))
    }
}

/// Builds the tasks of `spec` on the ground of a training with other tasks.
pub(super) fn build_tasks_for(
    spec: &CellSpec,
    ground: &Ground,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Tasks> {
    Tasks::build(spec, catalogue, &setting(spec, options, &ground.substrate, ground.distance.as_ref()))
}

/// Builds the constraints of a training, one instance for each parameter that they
/// act on, in the order of the parameters.
pub(super) fn build_constraints(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    info: &ModelInfo,
    places: Option<&Places>,
) -> Result<Vec<OnParameter>> {
    for constraint in &spec.constraints {
        for name in &constraint.on {
            if !info.parameters.iter().any(|parameter| parameter.name == *name) {
                let known: Vec<&str> = info.parameters.iter().map(|p| p.name.as_str()).collect();
                return Err(Error::input(format!(
                    "`{}` acts on `{name}`, which is not a parameter of `{}`",
                    constraint.id, spec.model.id
                ))
                .help(format!("its parameters: {}", known.join(", "))));
            }
        }
    }
    let mut all = Vec::new();
    for (index, parameter) in info.parameters.iter().enumerate() {
        let acts = |constraint: &Use| match constraint.on.as_slice() {
            [] => parameter.kind == ParameterKind::Recurrent,
            names => names.contains(&parameter.name),
        };
        if !spec.constraints.iter().any(acts) {
            continue;
        }
        if parameter.connections {
            all.push(on_connections(spec, catalogue, base, places, index, &acts)?);
            continue;
        }
        let base = &Setting { connections: None, ..*base };
        let shape = match parameter.shape[..] {
            [rows, columns] => (rows, columns),
            // A vector is a matrix of one row.
            [columns] => (1, columns),
            _ => {
                return Err(Error::unsupported(format!(
                    "constraints act on matrices and vectors, but `{}` has the shape {:?}",
                    parameter.name, parameter.shape
                ))
                .help("name other parameters in `on` of the constraint"));
            }
        };
        let ends = Ends::new(info, parameter, shape)?;
        let distance = ends.distances(base);
        let setting = ends.setting(base, distance.as_ref());
        let constraints = spec.constraints.iter().enumerate().filter(|(_, constraint)| acts(constraint));
        let constraints = constraints
            .map(|(place, component)| {
                let built = build_constraint(spec, component, catalogue, &setting);
                let misplaced = base.distance.is_some() && setting.distance.is_none();
                Ok((
                    place,
                    built
                        .map_err(|e| if misplaced { without_places(e, info, parameter, base) } else { e })?,
                ))
            })
            .collect::<Result<_>>()?;
        let (rows, columns) = shape;
        all.push(OnParameter {
            index,
            rows,
            columns,
            constraints,
            initial: Matrix::zeros((0, 0)),
            loss_gradient: None,
        });
    }
    Ok(all)
}

/// Replaces the help of an error about missing distances: the geometry has some, but not
/// of units that are no neurons.
fn without_places(error: Error, info: &ModelInfo, parameter: &ParameterInfo, base: &Setting<'_>) -> Error {
    // As core's `Setting::distance` says it.
    if !error.report().contains("distances between neurons, but was given none") {
        return error;
    }
    let placed = info.parameters.iter().filter(|other| {
        let [rows, columns] = other.shape[..] else { return false };
        Ends::new(info, other, (rows, columns)).is_ok_and(|ends| ends.distances(base).is_some())
    });
    let placed = placed.map(|other| format!("\"{}\"", other.name)).join(", ");
    error
        .context(format!("`{}` has units that are not neurons of the field", parameter.name))
        .help(match placed.is_empty() {
        true => {
            "these units have no position: remove the constraint, or use a model whose units are all neurons"
                .into()
        }
        false => format!("restrict the constraint to blocks between neurons: on = [{placed}]"),
    })
}

/// The constraints of a parameter that lies on the setting's connections.
fn on_connections(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    places: Option<&Places>,
    index: usize,
    acts: &dyn Fn(&Use) -> bool,
) -> Result<OnParameter> {
    let connections = base
        .connections
        .ok_or_else(|| Error::plugin("a model has parameters on connections, but was built without any"))?;
    let mut constraints: Vec<(usize, Box<dyn Constraint>)> = Vec::new();
    for (place, component) in spec.constraints.iter().enumerate().filter(|(_, constraint)| acts(constraint)) {
        let built = match catalogue.get(&component.id)?.connections {
            true => build_constraint(spec, component, catalogue, base)?,
            false => OnMatrix::build(&component.id, connections, base, places, |setting| {
                build_constraint(spec, component, catalogue, setting)
            })?,
        };
        constraints.push((place, built));
    }
    Ok(OnParameter {
        index,
        rows: 1,
        columns: connections.len(),
        constraints,
        initial: Matrix::zeros((0, 0)),
        loss_gradient: None,
    })
}

/// The units at the ends of a parameter's connections; `None` where row or column
/// i is neuron i of the substrate.
struct Ends {
    rows: Option<Vec<i64>>,
    columns: Option<Vec<i64>>,
}

impl Ends {
    fn new(info: &ModelInfo, parameter: &ParameterInfo, (rows, columns): (usize, usize)) -> Result<Self> {
        let end = |name: &str, count: usize| {
            let population = population(info, name)
                .ok_or_else(|| Error::plugin(format!("`{}` has no population `{name}`", parameter.name)))?;
            if population.units != count {
                return Err(Error::plugin(format!(
                    "`{}` has {count} rows or columns for the {} units of `{}`",
                    parameter.name, population.units, population.name
                )));
            }
            Ok(neurons_of(population))
        };
        if parameter.kind != ParameterKind::Recurrent {
            // Inputs and outputs are not neurons; what they connect to are: the units of a
            // population, or all units.
            let free = |count| Some(vec![-1; count]);
            let of = |name: &str, count: usize| match (name.is_empty(), &info.populations[..]) {
                (true, [one]) if one.neurons.is_none() && one.units == count => Ok(None),
                (true, _) => {
                    Ok(Some(all_units(info)).filter(|units| units.len() == count).or_else(|| free(count)))
                }
                (false, _) => end(name, count),
            };
            return Ok(match parameter.kind {
                ParameterKind::Input => Ends { rows: free(rows), columns: of(&parameter.columns, columns)? },
                ParameterKind::Readout => Ends { rows: of(&parameter.rows, rows)?, columns: free(columns) },
                _ => Ends { rows: free(rows), columns: free(columns) },
            });
        }
        Ok(Ends { rows: end(&parameter.rows, rows)?, columns: end(&parameter.columns, columns)? })
    }

    /// The distances between the units, if all of them are neurons.
    fn distances(&self, base: &Setting<'_>) -> Option<Matrix> {
        let all = base.distance?;
        if self.rows.is_none() && self.columns.is_none() {
            return None;
        }
        let places = |ends: &Option<Vec<i64>>| -> Option<Vec<usize>> {
            match ends {
                None => Some((0..all.nrows()).collect()),
                Some(units) => units
                    .iter()
                    .map(|&unit| usize::try_from(unit).ok().filter(|&neuron| neuron < all.nrows()))
                    .collect(),
            }
        };
        let (rows, columns) = (places(&self.rows)?, places(&self.columns)?);
        Some(Array2::from_shape_fn((rows.len(), columns.len()), |(i, j)| all[[rows[i], columns[j]]]))
    }

    fn setting<'a>(&'a self, base: &'a Setting<'_>, distance: Option<&'a Matrix>) -> Setting<'a> {
        if self.rows.is_none() && self.columns.is_none() {
            return base.reborrow();
        }
        let units = |ends: &'a Option<Vec<i64>>| ends.as_deref().map(|neurons| Units { neurons });
        Setting {
            rows: units(&self.rows),
            columns: units(&self.columns),
            distance: distance.map(|d| d.view()),
            ..base.reborrow()
        }
    }
}

/// The population `name`; the first one if it is empty.
fn population<'a>(info: &'a ModelInfo, name: &str) -> Option<&'a Population> {
    info.populations.iter().find(|p| name.is_empty() || p.name == name)
}

/// The neurons of the units of all populations, one after the other; −1 is none.
fn all_units(info: &ModelInfo) -> Vec<i64> {
    let of = |population| neurons_of(population).unwrap_or_else(|| (0..population.units as i64).collect());
    info.populations.iter().flat_map(of).collect()
}

fn neurons_of(population: &Population) -> Option<Vec<i64>> {
    population.neurons.as_ref().map(|units| units.iter().map(|unit| unit.map_or(-1, i64::from)).collect())
}

pub(super) fn build_constraint(
    spec: &CellSpec,
    component: &Use,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Constraint>> {
    let seed = spec.derived_seed(&format!("constraint {}", component.id));
    catalogue.constraint(component, &Setting { seed, ..*base })
}

pub(super) fn build_optimizer(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Optimizer>> {
    if base.connections.is_some() && !catalogue.get(&spec.optimizer.id)?.connections {
        return Err(Error::unsupported(format!(
            "`{}` cannot train networks on connections",
            spec.optimizer.id
        ))
        .help("use another optimizer: `pallium plugins show ID` says whether one takes connections"));
    }
    catalogue.optimizer(&spec.optimizer, &Setting { seed: spec.derived_seed("optimizer"), ..*base })
}

pub(super) fn build_task(
    spec: &CellSpec,
    component: &Use,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Task>> {
    catalogue.task(component, &Setting { seed: spec.trial_seed("task"), ..*base })
}

pub(super) fn build_model(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Model>> {
    if base.connections.is_some() && !catalogue.get(&spec.model.id)?.connections {
        return Err(Error::unsupported(format!(
            "`{}` takes recurrent weights as a matrix, but the variant has `connections`",
            spec.model.id
        ))
        .help("use a model that takes connections, such as rnn.vanilla or rnn.leaky, or leave `connections` out"));
    }
    catalogue.model(&spec.model, &Setting { seed: spec.derived_seed("model"), ..*base })
}

/// Initialises the model and returns its parameters. Hard constraints shape parameters that are never trained
/// once, here; a penalty would have no effect on them, so it is refused.
pub(super) fn begin(
    spec: &CellSpec,
    model: &mut dyn Model,
    info: &ModelInfo,
    initial: &Matrix,
    penalties: &mut Penalties,
) -> Result<Vec<Tensor>> {
    penalties.start_again(model, info)?;
    initialise(spec, model, info, initial, penalties.wiring.now.as_ref())?;
    let before = parameters(model)?;
    penalties.start(model)?;
    penalties.shape_fixed(model, info, &spec.model.id)?;
    Ok(before)
}

/// The description of a training's model, in which frozen parameters are not trained.
///
/// # Errors
/// If a frozen parameter does not exist, or the model updates itself.
pub(super) fn describe_model(spec: &CellSpec, model: &dyn Model) -> Result<ModelInfo> {
    let mut info = model.info();
    for name in &spec.training.frozen {
        let known: Vec<String> = info.parameters.iter().map(|p| p.name.clone()).collect();
        let Some(parameter) = info.parameters.iter_mut().find(|p| p.name == *name) else {
            return Err(Error::input(format!(
                "training.frozen: `{}` has no parameter `{name}`",
                spec.model.id
            ))
            .help(format!("its parameters: {}", known.join(", "))));
        };
        parameter.trained = false;
    }
    if info.updates_itself && !spec.training.frozen.is_empty() {
        return Err(Error::unsupported(format!(
            "`{}` changes its parameters itself, so none can be frozen",
            spec.model.id
        ))
        .help("leave out training.frozen, or use a model that an optimizer trains"));
    }
    if !spec.training.frozen.is_empty() && info.parameters.iter().all(|p| !p.trained) {
        return Err(Error::input("training.frozen: no parameter is left to train")
            .help("remove at least one parameter from it"));
    }
    Ok(info)
}

/// The parameters of the finished training that this one begins with: those that the
/// model has in the same shape. Every recurrent block must be among them, on the same
/// `connections`.
///
/// # Errors
/// If the training cannot be read, or its network has other recurrent blocks.
pub(super) fn inherited(
    spec: &CellSpec,
    info: &ModelInfo,
    connections: Option<&Connections>,
) -> Result<Option<Vec<Tensor>>> {
    let Some(origin) = &spec.training.from else { return Ok(None) };
    let folder = Path::new(&origin.path);
    let weights = pallium_record::weights::read(&folder.join(pallium_record::weights::FILE))?;
    let other = match (&weights.connections, connections) {
        (None, None) => None,
        (Some([_, after]), Some(now)) if after == now => None,
        (Some([_, after]), Some(now)) => Some(format!(
            "lies on {} other connections than the {} of this one",
            after.view().len(),
            now.view().len()
        )),
        (Some(_), None) => Some("lies on connections, and this one has a matrix".to_owned()),
        (None, Some(_)) => Some("has a matrix, and this one lies on connections".to_owned()),
    };
    if let Some(other) = other {
        let error = Error::input(format!("training.from: the network of {} {other}", folder.display()));
        if weights.connections.is_none() {
            return Err(error.help("leave out `connections`"));
        }
        let file = folder.join(pallium_record::weights::FILE);
        return Err(error.help(format!(
            "start on its connections: weights = {{ use = \"init.file\", path = \"{}\" }}, \
             connections = true",
            file.display()
        )));
    }
    let mut all = Vec::new();
    for parameter in &info.parameters {
        let found = weights.parameters.iter().find(|tensor| tensor.name == parameter.name);
        match found.filter(|tensor| tensor.shape == parameter.shape) {
            Some(tensor) => all.push(tensor.clone()),
            None if parameter.kind == ParameterKind::Recurrent => {
                return Err(Error::input(format!(
                    "training.from: {} has no parameter `{}` of the shape {:?}",
                    folder.display(),
                    parameter.name,
                    parameter.shape
                ))
                .help("start from a network of the same model with the same number of units"));
            }
            None if spec.training.frozen.contains(&parameter.name) => {
                return Err(Error::input(format!(
                    "`training.frozen` lists `{}`, but the network of training.from has no such parameter of the shape \
                     {:?}, so it would keep random values",
                    parameter.name, parameter.shape
                ))
                .help(format!("leave `{}` out of `frozen`, so that it is trained", parameter.name)));
            }
            None => tracing::warn!(
                target: warnings::OF_RESULT,
                "`{}` is initialised anew: the network of training.from has no such parameter of shape {:?}",
                parameter.name,
                parameter.shape
            ),
        }
    }
    Ok(Some(all))
}

/// Initialises the model: as it does itself, then with the parameters of
/// [`inherited`].
pub(super) fn initialise(
    spec: &CellSpec,
    model: &mut dyn Model,
    info: &ModelInfo,
    initial: &Matrix,
    connections: Option<&Connections>,
) -> Result<()> {
    model
        .initialise(initial.view(), spec.derived_seed("model"))
        .map_err(|e| e.context(format!("cannot initialise `{}`", spec.model.id)))?;
    if let Some(inherited) = inherited(spec, info, connections)? {
        for (to, parameter) in model.parameters_mut()?.into_iter().zip(&info.parameters) {
            if let Some(tensor) = inherited.iter().find(|tensor| tensor.name == parameter.name) {
                to.copy_from_slice(tensor.slice::<f32>()?);
            }
        }
    }
    Ok(())
}

/// Refuses a model's description that contradicts itself.
pub(super) fn check_model(spec: &CellSpec, info: &ModelInfo) -> Result<()> {
    let wrong = |what: String| Err(Error::plugin(format!("`{}` {what}", spec.model.id)));
    let units: usize = info.populations.iter().map(|population| population.units).sum();
    if units != info.units || info.units == 0 {
        return wrong(format!("has {} units, and {units} in its populations", info.units));
    }
    if info.recurrent().next().is_none() {
        return wrong("has no recurrent block".into());
    }
    if let Some((_, block)) =
        info.recurrent().find(|(_, block)| block.shape.len() != if block.connections { 1 } else { 2 })
    {
        return wrong(format!("has a recurrent block `{}` of shape {:?}", block.name, block.shape));
    }
    Ok(())
}

pub(super) fn build_metrics(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Vec<Box<dyn Metric>>> {
    spec.metrics.iter().map(|m| build_metric(spec, m, catalogue, base)).collect()
}

pub(super) fn build_metric(
    spec: &CellSpec,
    component: &Use,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Metric>> {
    if base.connections.is_some() && !catalogue.get(&component.id)?.connections {
        let neurons = base.neurons()?;
        if neurons > MATRIX_UP_TO {
            let instead =
                "name metrics that take connections, such as [metrics] use = [\"connectivity.connections\"]";
            return Err(only_matrices(&component.id, neurons, instead));
        }
    }
    let seed = spec.metric_seed(&component.id);
    catalogue.metric(component, &Setting { seed, ..*base })
}

pub(super) fn check_training(spec: &CellSpec) -> Result<()> {
    let training = &spec.training;
    if training.batch == 0 {
        return Err(Error::input("training.batch is 0").help("set it to 1 or more; 128 is usual"));
    }
    if training.trials == 0 && training.epochs > 0 {
        return Err(Error::input(format!("training.trials is 0, and training.epochs {}", training.epochs))
            .help("set training.epochs to 0 to measure untrained networks"));
    }
    Ok(())
}
