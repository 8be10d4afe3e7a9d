//! `python.model`: a network written with PyTorch.
//!
//! The parameters live here, since the host changes them in place; each forward pass
//! sends them to the process.

use pallium_core::ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut2, aview1};
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{
    BatchView, LearnedMut, Mode, Model, ModelInfo, ParameterInfo, ParameterKind, Tensor, TensorView,
};

use crate::describe;
use crate::memory::Sent;
use crate::object::Object;
use crate::params::Params;

/// A user's `torch.nn.Module`.
pub struct PythonModel {
    object: Object,
    info: ModelInfo,
    values: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    activity: Option<Array3<f32>>,
    trained: bool,
}

impl Component for PythonModel {
    const ID: &'static str = "python.model";
    const ABOUT: &'static str = "a network written in Python with PyTorch, which differentiates it";
    const CITE: &'static str = "Paszke et al. 2019 (PyTorch)";
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        describe::describe("model", params)
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        setting.neurons()?;
        let (object, about) = Object::new("model", &params, setting)?;
        let units = about["units"].as_u64().unwrap_or(0) as usize;
        let mut parameters = Vec::new();
        for one in about["parameters"].as_array().into_iter().flatten() {
            let shape: Vec<usize> = one["shape"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .map(|n| n as usize)
                .collect();
            let kind = match one["kind"].as_str() {
                Some("recurrent") => ParameterKind::Recurrent,
                Some("input") => ParameterKind::Input,
                Some("readout") => ParameterKind::Readout,
                _ => ParameterKind::Other,
            };
            parameters.push(ParameterInfo::new(one["name"].as_str().unwrap_or_default(), shape, kind));
        }
        // The host's first recurrent block is the one that the weights start.
        parameters
            .iter()
            .position(|p| p.name == "recurrent")
            .ok_or_else(|| Error::bug("no recurrent block"))?;
        let values: Vec<Vec<f32>> = parameters.iter().map(|p| vec![0.0; p.len()]).collect();
        Ok(PythonModel {
            object,
            info: ModelInfo::new(units, parameters),
            gradients: values.clone(),
            values,
            activity: None,
            trained: false,
        })
    }
}

/// Copies the arrays of an answer, which are numbered, to `to`.
fn copy(answer: &[Tensor], info: &ModelInfo, to: &mut [Vec<f32>]) -> Result<()> {
    for (at, (to, parameter)) in to.iter_mut().zip(&info.parameters).enumerate() {
        to.copy_from_slice(Tensor::find::<f32>(answer, &at.to_string(), &parameter.shape)?);
    }
    Ok(())
}

fn none() -> Error {
    Error::plugin("there was no forward pass in the mode that keeps it")
}

impl Model for PythonModel {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let arrays = [Sent::f32("recurrent", recurrent)];
        let (_, answer) = self.object.call("initialise", json!({"seed": seed}), &arrays)?;
        copy(&answer, &self.info, &mut self.values)
    }

    fn forward(
        &mut self,
        batch: &BatchView<'_>,
        mode: Mode,
        mut outputs: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        let (name, seed) = match mode {
            Mode::Train { noise_seed } => ("train", noise_seed),
            Mode::Evaluate => ("evaluate", 0),
            Mode::Record => ("record", 0),
        };
        let mut arrays = vec![
            Sent::f32("inputs", batch.inputs),
            Sent::f32("mask", batch.mask),
            Sent::u32("lengths", aview1(batch.lengths)),
        ];
        for (at, (values, parameter)) in self.values.iter().zip(&self.info.parameters).enumerate() {
            let view = pallium_core::ndarray::ArrayView::from_shape(parameter.shape.as_slice(), values)
                .map_err(|e| Error::bug(e.to_string()))?;
            arrays.push(Sent::f32(format!("p{at}"), view));
        }
        self.activity = None;
        let (_, answer) = self.object.call("forward", json!({"mode": name, "seed": seed}), &arrays)?;
        let (rows, columns) = outputs.dim();
        let found = Tensor::find::<f32>(&answer, "outputs", &[rows, columns])?;
        outputs.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
        self.trained = matches!(mode, Mode::Train { .. });
        if mode != Mode::Evaluate {
            let (trials, steps, _) = batch.dim();
            let shape = [steps, trials, self.info.units];
            let values = Tensor::find::<f32>(&answer, "activity", &shape)?.to_vec();
            self.activity =
                Some(Array3::from_shape_vec(shape, values).map_err(|e| Error::bug(e.to_string()))?);
        }
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        self.activity.as_ref().map(|activity| activity.view()).ok_or_else(none)
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        if !self.trained {
            return Err(none());
        }
        let mut arrays = vec![Sent::f32("outputs", outputs)];
        arrays.extend(activity.map(|activity| Sent::f32("activity", activity)));
        let (_, answer) = self.object.call("backward", crate::object::nothing(), &arrays)?;
        copy(&answer, &self.info, &mut self.gradients)
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let all = self.info.parameters.iter().zip(&self.values);
        Ok(all.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        Ok(self.values.iter_mut().map(Vec::as_mut_slice).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        let all = self.values.iter_mut().zip(&mut self.gradients).enumerate();
        Ok(all.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect())
    }
}
pallium_core::register!(Model, PythonModel);
