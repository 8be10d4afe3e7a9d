//! `python.constraint`: a penalty or a hard rule written in Python.

use pallium_core::ndarray::{ArrayViewMut3, Zip};
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{Activity, Tensor};

use crate::describe;
use crate::memory::Sent;
use crate::object::{Object, nothing};
use crate::params::Params;

/// A user's class with `penalty`, `project` or `activity_penalty`.
pub struct PythonConstraint {
    object: Object,
    seed: u64,
    penalty: bool,
    project: bool,
    activity_penalty: bool,
    loss_gradient: bool,
    state: bool,
    /// Whether the process has the parameter's initial values.
    knows_initial: bool,
}

impl Component for PythonConstraint {
    const ID: &'static str = "python.constraint";
    const ABOUT: &'static str = "a penalty or a hard rule written in Python";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        describe::describe("constraint", params)
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let (object, about) = Object::new("constraint", &params, setting)?;
        let is = |name: &str| about[name].as_bool().unwrap_or(false);
        Ok(PythonConstraint {
            object,
            seed: setting.seed,
            penalty: is("penalty"),
            project: is("project"),
            activity_penalty: is("activity_penalty"),
            loss_gradient: is("loss_gradient"),
            state: is("state"),
            knows_initial: false,
        })
    }
}

impl PythonConstraint {
    fn header(&self, at: &Point<'_>) -> Value {
        json!({
            "step": at.step,
            "epoch": at.epoch,
            "task": at.task,
            "parameter": at.parameter,
            // Each step has a seed of its own, also after an interruption.
            "seed": self.seed ^ at.step,
        })
    }

    /// The arrays of a point; initial values are sent once.
    fn arrays<'a>(&mut self, weights: MatrixView<'a>, at: &'a Point<'_>) -> Vec<Sent<'a>> {
        let mut arrays = vec![Sent::f32("weights", weights)];
        if let Some(initial) = &at.initial
            && !std::mem::replace(&mut self.knows_initial, true)
        {
            arrays.push(Sent::f32("initial", initial.view()));
        }
        if let Some(gradient) = &at.loss_gradient {
            arrays.push(Sent::f32("loss_gradient", gradient.view()));
        }
        arrays
    }
}

/// Adds an array of an answer to a gradient.
fn add<D: pallium_core::ndarray::Dimension>(
    answer: &[Tensor],
    mut gradient: pallium_core::ndarray::ArrayViewMut<'_, f32, D>,
) -> Result<()> {
    let shape = gradient.shape().to_vec();
    let found = Tensor::find::<f32>(answer, "gradient", &shape)?;
    let found = pallium_core::ndarray::ArrayView::from_shape(gradient.raw_dim(), found)
        .map_err(|e| Error::bug(e.to_string()))?;
    Zip::from(&mut gradient).and(&found).for_each(|to, from| *to += from);
    Ok(())
}

impl Constraint for PythonConstraint {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        if !self.penalty {
            return Ok(0.0);
        }
        let arrays = self.arrays(weights.view(), at);
        let (about, answer) = self.object.call("penalty", self.header(at), &arrays)?;
        add(&answer, gradient)?;
        self.object.recycle(answer);
        Ok(about["value"].as_f64().unwrap_or(f64::NAN))
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        if !self.project {
            return Ok(());
        }
        let header = self.header(at);
        let answer = {
            let arrays = self.arrays(weights.view(), at);
            self.object.call("project", header, &arrays)?.1
        };
        let (rows, columns) = weights.dim();
        let found = Tensor::find::<f32>(&answer, "weights", &[rows, columns])?;
        weights.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
        self.object.recycle(answer);
        Ok(())
    }

    fn wants_activity(&self) -> bool {
        self.activity_penalty
    }

    fn wants_loss_gradient(&self) -> bool {
        self.loss_gradient
    }

    fn activity_penalty(&mut self, activity: &Activity<'_>, gradient: ArrayViewMut3<'_, f32>) -> Result<f64> {
        let arrays = [
            Sent::f32("activity", activity.values),
            Sent::u32("lengths", pallium_core::ndarray::aview1(activity.lengths)),
        ];
        let header = json!({"seed": self.seed});
        let (about, answer) = self.object.call("activity_penalty", header, &arrays)?;
        add(&answer, gradient)?;
        self.object.recycle(answer);
        Ok(about["value"].as_f64().unwrap_or(f64::NAN))
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        if !self.state {
            return Ok(Vec::new());
        }
        Ok(self.object.call("state", nothing(), &[])?.1)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        if state.is_empty() && !self.state {
            return Ok(());
        }
        let arrays = state.iter().map(Sent::tensor).collect::<Result<Vec<_>>>()?;
        self.object.call("restore", nothing(), &arrays).map(drop)
    }
}
pallium_core::register!(Constraint, PythonConstraint);
