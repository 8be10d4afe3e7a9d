//! The constraints of a training, by the parameters that they act on.

use ndarray::{Array2, ArrayView3, ArrayViewMut3};
use pallium_core::{
    Activity, Connections, Constraint, Error, LearnedMut, Matrix, MatrixView, MatrixViewMut, Model,
    ModelInfo, Optimizer, ParameterInfo, Point, Result, Rewiring, Tensor,
};
use pallium_record::spec::CellSpec;
use pallium_record::weights::{compressed_rows, take_compressed_rows};

use super::warnings;
use crate::geometry::Places;

/// The constraints on one parameter.
pub(super) struct OnParameter {
    /// Its place among the model's parameters.
    pub index: usize,
    pub rows: usize,
    pub columns: usize,
    /// With the place of each in the spec.
    pub constraints: Vec<(usize, Box<dyn Constraint>)>,
    /// The parameter before training.
    pub initial: Matrix,
    /// Gradient of the loss alone in the last batch, if a constraint reads it.
    pub loss_gradient: Option<Matrix>,
}

/// The moment of a training at which constraints act.
#[derive(Clone, Copy, Default)]
pub(super) struct When {
    pub step: u64,
    pub updates: Option<u64>,
    pub epoch: u32,
    pub task: u32,
}

impl When {
    fn point<'a>(
        &self,
        parameter: &'a ParameterInfo,
        initial: MatrixView<'a>,
        wiring: &'a Wiring,
    ) -> Point<'a> {
        let mut point = Point::new(&parameter.name);
        if parameter.connections {
            point.connections = wiring.now.as_ref().map(|connections| connections.view());
        }
        (point.step, point.updates) = (self.step, self.updates);
        (point.epoch, point.task) = (self.epoch, self.task);
        point.initial = Some(initial);
        point
    }
}

/// All constraints of a training.
pub(super) struct Penalties {
    pub on: Vec<OnParameter>,
    /// Ids of the constraints, by their places in the spec.
    ids: Vec<String>,
    activity: ActivityGradient,
    pub wiring: Wiring,
}

/// The connections that recurrent weights lie on; `None` if they are matrices.
#[derive(Default)]
pub(super) struct Wiring {
    pub before: Option<Connections>,
    pub now: Option<Connections>,
    /// Weights before training at the connections of now; 0 for those that were
    /// added.
    pub initial: Vec<f32>,
    pub places: Option<Places>,
}

impl Wiring {
    pub fn new(connections: Option<&Connections>, initial: &Matrix, places: Option<&Places>) -> Self {
        let initial = if connections.is_some() { initial.iter().copied().collect() } else { Vec::new() };
        Wiring { before: connections.cloned(), now: connections.cloned(), initial, places: places.cloned() }
    }

    fn connections(&self) -> Result<&Connections> {
        self.now.as_ref().ok_or_else(|| Error::bug("a matrix has no connections that change"))
    }
}

/// Prefix of the connections in a training's state.
const CONNECTIONS: &str = "connections";
/// The weights before training at the connections of a training's state.
const INITIAL: &str = "connections.initial";

impl Penalties {
    pub fn new(on: Vec<OnParameter>, wiring: Wiring, spec: &CellSpec) -> Self {
        let ids = spec.constraints.iter().map(|constraint| constraint.id.clone()).collect();
        // Activity belongs to no parameter, so one instance of each constraint sees
        // it.
        let mut seen = Vec::new();
        let mut lookers = Vec::new();
        for (at, parameter) in on.iter().enumerate() {
            for (slot, (place, constraint)) in parameter.constraints.iter().enumerate() {
                if constraint.wants_activity() && !seen.contains(place) {
                    seen.push(*place);
                    lookers.push((at, slot));
                }
            }
        }
        let activity = ActivityGradient { lookers, values: Vec::new(), shape: (0, 0, 0) };
        Penalties { on, ids, activity, wiring }
    }

    /// Whether a constraint changes connections.
    fn rewires(&self) -> bool {
        self.on.iter().flat_map(|on| &on.constraints).any(|(_, constraint)| constraint.rewires())
    }

    /// Takes the connections back that were changed.
    pub fn start_again(&mut self, model: &mut dyn Model, info: &ModelInfo) -> Result<()> {
        let Wiring { before: Some(before), now: Some(now), .. } = &self.wiring else { return Ok(()) };
        if before == now {
            return Ok(());
        }
        let change = Rewiring::between(now.view(), &self.wiring.initial, before.clone());
        self.tell(&change, model, info, None)
    }

    /// Lets constraints change connections, and notifies all components of the change.
    pub fn rewire(
        &mut self,
        model: &mut dyn Model,
        info: &ModelInfo,
        optimizer: &mut dyn Optimizer,
        when: When,
    ) -> Result<()> {
        for at in 0..self.on.len() {
            for slot in 0..self.on[at].constraints.len() {
                if !self.on[at].constraints[slot].1.rewires() {
                    continue;
                }
                let on = &mut self.on[at];
                let parameter = &info.parameters[on.index];
                let parameters = model.parameters()?;
                let point = when.point(parameter, on.initial.view(), &self.wiring);
                let weights = parameters[on.index].matrix()?;
                let Some(change) = on.constraints[slot].1.rewire(weights, &point)? else { continue };
                let index = on.index;
                change.check(self.wiring.connections()?.view())?;
                self.tell(&change, model, info, Some(optimizer))?;
                let mut parameters = model.parameters_mut()?;
                parameters[index].copy_from_slice(&change.values);
            }
        }
        Ok(())
    }

    /// Tells model, optimizer and constraints of changed connections.
    fn tell(
        &mut self,
        change: &Rewiring,
        model: &mut dyn Model,
        info: &ModelInfo,
        optimizer: Option<&mut dyn Optimizer>,
    ) -> Result<()> {
        let before = self.wiring.connections()?.view().len();
        let distance = self.wiring.places.as_ref().map(|places| places.of(change.connections.view()));
        let told = change.view(before, distance.as_ref().map(|d| d.view()));
        model.rewired(&told)?;
        if let Some(optimizer) = optimizer {
            for parameter in info.parameters.iter().filter(|p| p.connections && p.trained) {
                optimizer.rewired(&parameter.name, &told)?;
            }
        }
        for on in self.on.iter_mut().filter(|on| info.parameters[on.index].connections) {
            let carried = told.carry(on.initial.as_slice().unwrap_or_default(), 0.0);
            on.initial = Matrix::from_shape_vec((1, carried.len()), carried).map_err(shape_error)?;
            on.loss_gradient = None;
            for (_, constraint) in &mut on.constraints {
                constraint.rewired(&told)?;
            }
        }
        self.wiring.initial = told.carry(&self.wiring.initial, 0.0);
        self.wiring.now = Some(change.connections.clone());
        Ok(())
    }

    /// Refuses components that cannot follow changes of the connections, before
    /// training: they are told of a change in which nothing moves.
    pub fn check_rewiring(
        &mut self,
        model: &mut dyn Model,
        info: &ModelInfo,
        optimizer: &mut dyn Optimizer,
    ) -> Result<()> {
        if !self.rewires() {
            return Ok(());
        }
        let Some(now) = &self.wiring.now else {
            return Err(Error::unsupported("a constraint changes connections, but the weights are a matrix"));
        };
        let change = Rewiring::between(now.view(), &self.wiring.initial, now.clone());
        self.tell(&change, model, info, Some(optimizer)).map_err(|e| {
            e.context("connections change during this training, which a component does not support")
        })
    }

    /// Restores the connections of a training's state, before the parameters.
    pub fn restore_wiring(
        &mut self,
        model: &mut dyn Model,
        info: &ModelInfo,
        optimizer: &mut dyn Optimizer,
        state: &[Tensor],
    ) -> Result<()> {
        let rows = state.iter().filter(|tensor| tensor.name.starts_with(CONNECTIONS)).cloned();
        let Some(found) = take_compressed_rows(CONNECTIONS, &mut rows.collect())? else { return Ok(()) };
        let now = self.wiring.connections()?.view();
        let initial = Tensor::find::<f32>(state, INITIAL, &[now.len()])?.to_vec();
        let change = Rewiring::between(now, &self.wiring.initial, found);
        change.check(now)?;
        self.tell(&change, model, info, Some(optimizer))?;
        for on in self.on.iter_mut().filter(|on| info.parameters[on.index].connections) {
            on.initial = Matrix::from_shape_vec((1, initial.len()), initial.clone()).map_err(shape_error)?;
        }
        self.wiring.initial = initial;
        Ok(())
    }

    pub fn wants_activity(&self) -> bool {
        !self.activity.lookers.is_empty()
    }

    /// Notes the parameters before training.
    pub fn start(&mut self, model: &dyn Model) -> Result<()> {
        let parameters = model.parameters()?;
        for on in &mut self.on {
            on.initial = matrix((on.rows, on.columns), parameters[on.index].values)?.to_owned();
        }
        Ok(())
    }

    /// The penalties on the activity of the last pass; 0 if no constraint uses
    /// it.
    pub fn of_activity(&mut self, model: &dyn Model, lengths: &[u32]) -> Result<f64> {
        if !self.wants_activity() {
            return Ok(0.0);
        }
        let activity = Activity::new(model.activity()?, lengths);
        let ActivityGradient { lookers, values, shape } = &mut self.activity;
        *shape = activity.values.dim();
        let length = activity.values.len();
        if values.len() < length {
            values.resize(length, 0.0);
        }
        values[..length].fill(0.0);
        let mut gradient = ArrayViewMut3::from_shape(*shape, &mut values[..length]).map_err(shape_error)?;
        let mut penalty = 0.0;
        for &(at, slot) in lookers.iter() {
            let (place, constraint) = &mut self.on[at].constraints[slot];
            penalty += constraint
                .activity_penalty(&activity, gradient.view_mut())
                .map_err(|e| of_constraint(e, &self.ids, *place, "penalty on activity"))?;
        }
        Ok(penalty)
    }

    /// The gradient of [`Penalties::of_activity`].
    pub fn activity_gradient(&self) -> Result<Option<ArrayView3<'_, f32>>> {
        if self.wants_activity() { self.activity.view().map(Some) } else { Ok(None) }
    }

    /// The penalties on trained parameters; adds their gradients.
    pub fn add(&mut self, info: &ModelInfo, learned: &mut [LearnedMut<'_>], when: When) -> Result<f64> {
        let mut penalty = 0.0;
        for on in &mut self.on {
            let parameter = &info.parameters[on.index];
            if !parameter.trained {
                continue;
            }
            let Some(learned) = learned.iter_mut().find(|learned| learned.index == on.index) else {
                return Err(Error::unsupported(format!(
                    "a constraint acts on `{}`, which the model trains by itself",
                    parameter.name
                ))
                .help("leave the constraint out, or use a model that an optimizer trains"));
            };
            let shape = (on.rows, on.columns);
            let wants_loss = on.constraints.iter().any(|(_, c)| c.wants_loss_gradient());
            on.loss_gradient = match wants_loss {
                true => Some(matrix(shape, learned.gradient)?.to_owned()),
                false => None,
            };
            for (place, constraint) in &mut on.constraints {
                let weights = matrix(shape, learned.values)?;
                let gradient = MatrixViewMut::from_shape(shape, learned.gradient).map_err(shape_error)?;
                let mut point = when.point(parameter, on.initial.view(), &self.wiring);
                if constraint.wants_loss_gradient() {
                    point.loss_gradient = on.loss_gradient.as_ref().map(|gradient| gradient.view());
                }
                let value = constraint
                    .penalty(weights, gradient, &point)
                    .map_err(|e| of_constraint(e, &self.ids, *place, "penalty"))?;
                if !value.is_finite() {
                    tracing::warn!(target: warnings::OF_RESULT, "`{}`: the penalty on `{}` is {value}", self.ids[*place], parameter.name);
                }
                penalty += value;
            }
        }
        Ok(penalty)
    }

    /// The penalties at the model's present parameters.
    pub fn value(&mut self, model: &dyn Model, info: &ModelInfo, when: When) -> Result<f64> {
        let parameters = model.parameters()?;
        let mut penalty = 0.0;
        for on in self.on.iter_mut().filter(|on| info.parameters[on.index].trained) {
            // The gradient is not used here, but a constraint needs a buffer for it.
            let mut gradient = Array2::zeros((on.rows, on.columns));
            for (_, constraint) in &mut on.constraints {
                let point = when.point(&info.parameters[on.index], on.initial.view(), &self.wiring);
                let weights = matrix((on.rows, on.columns), parameters[on.index].values)?;
                penalty += constraint.penalty(weights, gradient.view_mut(), &point)?;
            }
        }
        Ok(penalty)
    }

    /// Applies the hard rules. Returns the name of a constrained parameter that is
    /// not finite, if there is one.
    pub fn project(&mut self, model: &mut dyn Model, info: &ModelInfo, when: When) -> Result<Option<String>> {
        let mut parameters = model.parameters_mut()?;
        for on in self.on.iter_mut().filter(|on| info.parameters[on.index].trained) {
            let Some(values) = parameters.get_mut(on.index) else { continue };
            for (place, constraint) in &mut on.constraints {
                let weights =
                    MatrixViewMut::from_shape((on.rows, on.columns), values).map_err(shape_error)?;
                let mut point = when.point(&info.parameters[on.index], on.initial.view(), &self.wiring);
                if constraint.wants_loss_gradient() {
                    point.loss_gradient = on.loss_gradient.as_ref().map(|gradient| gradient.view());
                }
                constraint
                    .project(weights, &point)
                    .map_err(|e| of_constraint(e, &self.ids, *place, "projection"))?;
            }
        }
        // The loss may not show it: a rectifier turns NaN into 0.
        let not_finite =
            info.recurrent().find(|(index, _)| !parameters[*index].iter().all(|w| w.is_finite()));
        Ok(not_finite.map(|(_, parameter)| parameter.name.clone()))
    }

    /// Shapes parameters that are never trained, once: hard rules act, and a
    /// penalty, which would have no effect, is refused.
    pub fn shape_fixed(&mut self, model: &mut dyn Model, info: &ModelInfo, model_id: &str) -> Result<()> {
        let when = When::default();
        for on in self.on.iter_mut().filter(|on| !info.parameters[on.index].trained) {
            let parameter = &info.parameters[on.index];
            let name = &parameter.name;
            let shape = (on.rows, on.columns);
            for (place, constraint) in &mut on.constraints {
                let mut parameters = model.parameters_mut()?;
                let values = &mut *parameters[on.index];
                let mut gradient = Array2::zeros(shape);
                let point = when.point(parameter, on.initial.view(), &self.wiring);
                // Elsewhere than at the initial weights, where some penalties are 0.
                let moved = matrix(shape, values)?.mapv(|w| 1.5 * w + 0.01);
                let penalty = constraint.penalty(moved.view(), gradient.view_mut(), &point)?;
                if penalty != 0.0 || constraint.wants_activity() || gradient.iter().any(|&g| g != 0.0) {
                    return Err(Error::unsupported(format!(
                        "`{}` is a penalty, and `{name}` of `{model_id}` never changes",
                        self.ids[*place]
                    ))
                    .help("leave it out, or train the weights with another model; hard constraints shape such weights once, before training"));
                }
                constraint.project(MatrixViewMut::from_shape(shape, values).map_err(shape_error)?, &point)?;
            }
        }
        Ok(())
    }

    /// What the constraints remember, with names that tell them apart.
    pub fn state(&self, info: &ModelInfo) -> Result<Vec<Tensor>> {
        let mut state = Vec::new();
        if let Some(now) = self.wiring.now.as_ref().filter(|_| self.rewires()) {
            state.extend(compressed_rows(CONNECTIONS, now));
            state.push(Tensor::new(INITIAL, [self.wiring.initial.len()], self.wiring.initial.clone()));
        }
        for on in &self.on {
            for (place, constraint) in &on.constraints {
                let prefix = prefix(*place, &info.parameters[on.index].name);
                state.extend(constraint.state()?.into_iter().map(|mut tensor| {
                    tensor.name = format!("{prefix}{}", tensor.name);
                    tensor
                }));
            }
        }
        Ok(state)
    }

    /// Restores a state of [`Penalties::state`].
    pub fn restore(&mut self, info: &ModelInfo, state: &[Tensor]) -> Result<()> {
        for on in &mut self.on {
            for (place, constraint) in &mut on.constraints {
                let own = prefixed(state, &prefix(*place, &info.parameters[on.index].name));
                constraint.restore(&own)?;
            }
        }
        Ok(())
    }
}

/// An error of a constraint with its id, and what it was called for.
fn of_constraint(error: Error, ids: &[String], place: usize, what: &str) -> Error {
    error.context(format!("the {what} of `{}` failed", ids[place]))
}

fn prefix(place: usize, parameter: &str) -> String {
    format!("constraint.{place}.{parameter}.")
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn prefixed(state: &[Tensor], prefix: &str) -> Vec<Tensor> {
    let own = state.iter().filter_map(|tensor| {
        let name = tensor.name.strip_prefix(prefix)?.to_owned();
        Some(Tensor { name, ..tensor.clone() })
    });
    own.collect()
}

fn matrix(shape: (usize, usize), values: &[f32]) -> Result<MatrixView<'_>> {
    MatrixView::from_shape(shape, values).map_err(shape_error)
}

fn shape_error(error: ndarray::ShapeError) -> Error {
    Error::bug(format!("a parameter has another shape than stated: {error}"))
}

/// The gradient of penalties on activity.
struct ActivityGradient {
    /// The constraints that look at activity: parameter, and place there.
    lookers: Vec<(usize, usize)>,
    /// Grows to the length of the largest pass so far.
    values: Vec<f32>,
    /// Shape of the last pass: steps, trials, units.
    shape: (usize, usize, usize),
}

impl ActivityGradient {
    fn view(&self) -> Result<ArrayView3<'_, f32>> {
        let length = self.shape.0 * self.shape.1 * self.shape.2;
        ArrayView3::from_shape(self.shape, &self.values[..length]).map_err(shape_error)
    }
}
