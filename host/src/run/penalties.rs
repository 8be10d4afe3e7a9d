//! The constraints of a training, by the parameters that they act on.

use ndarray::{Array2, ArrayView3, ArrayViewMut3};
use pallium_core::{
    Activity, Constraint, Error, LearnedMut, Matrix, MatrixView, MatrixViewMut, Model, ModelInfo,
    ParameterInfo, Point, Result, Tensor,
};

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
    pub epoch: u32,
    pub task: u32,
}

impl When {
    fn point<'a>(&self, parameter: &'a str, initial: MatrixView<'a>) -> Point<'a> {
        let mut point = Point::new(parameter);
        (point.step, point.epoch, point.task) = (self.step, self.epoch, self.task);
        point.initial = Some(initial);
        point
    }
}

/// All constraints of a training.
pub(super) struct Penalties {
    pub on: Vec<OnParameter>,
    activity: ActivityGradient,
}

impl Penalties {
    pub fn new(on: Vec<OnParameter>) -> Self {
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
        Penalties { on, activity: ActivityGradient { lookers, values: Vec::new(), shape: (0, 0, 0) } }
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
            let (_, constraint) = &mut self.on[at].constraints[slot];
            penalty += constraint.activity_penalty(&activity, gradient.view_mut())?;
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
            for (_, constraint) in &mut on.constraints {
                let weights = matrix(shape, learned.values)?;
                let gradient = MatrixViewMut::from_shape(shape, learned.gradient).map_err(shape_error)?;
                let mut point = when.point(&parameter.name, on.initial.view());
                if constraint.wants_loss_gradient() {
                    point.loss_gradient = on.loss_gradient.as_ref().map(|gradient| gradient.view());
                }
                penalty += constraint.penalty(weights, gradient, &point)?;
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
                let point = when.point(&info.parameters[on.index].name, on.initial.view());
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
            for (_, constraint) in &mut on.constraints {
                let weights =
                    MatrixViewMut::from_shape((on.rows, on.columns), values).map_err(shape_error)?;
                let mut point = when.point(&info.parameters[on.index].name, on.initial.view());
                if constraint.wants_loss_gradient() {
                    point.loss_gradient = on.loss_gradient.as_ref().map(|gradient| gradient.view());
                }
                constraint.project(weights, &point)?;
            }
        }
        // The loss may not show it: a rectifier turns NaN into 0.
        let not_finite =
            info.recurrent().find(|(index, _)| !parameters[*index].iter().all(|w| w.is_finite()));
        Ok(not_finite.map(|(_, parameter)| parameter.name.clone()))
    }

    /// Shapes parameters that are never trained, once: hard rules act, and a
    /// penalty, which would have no effect, is refused.
    pub fn shape_fixed(
        &mut self,
        model: &mut dyn Model,
        info: &ModelInfo,
        names: &[String],
        model_id: &str,
    ) -> Result<()> {
        let when = When::default();
        for on in self.on.iter_mut().filter(|on| !info.parameters[on.index].trained) {
            let ParameterInfo { name, .. } = &info.parameters[on.index];
            let shape = (on.rows, on.columns);
            for (place, constraint) in &mut on.constraints {
                let mut parameters = model.parameters_mut()?;
                let values = &mut *parameters[on.index];
                let mut gradient = Array2::zeros(shape);
                let point = when.point(name, on.initial.view());
                let penalty = constraint.penalty(matrix(shape, values)?, gradient.view_mut(), &point)?;
                if penalty != 0.0 || constraint.wants_activity() || gradient.iter().any(|&g| g != 0.0) {
                    return Err(Error::unsupported(format!(
                        "`{}` is a penalty, and `{name}` of `{model_id}` never changes",
                        names.get(*place).map_or("", String::as_str)
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
