//! `python.weights` and `python.substrate`: initial weights and neurons from Python.

use std::borrow::Cow;

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{PositionsBase, Substrate, SubstrateSource, Tensor, Values, WeightRequest, WeightSource};

use crate::describe;
use crate::memory::{Sent, matrix};
use crate::object::{Object, substrate_parts};
use crate::params::Params;

/// A user's class with `weights`.
pub struct PythonWeights {
    object: Object,
}

impl Component for PythonWeights {
    const ID: &'static str = "python.weights";
    const ABOUT: &'static str = "initial recurrent weights from a class written in Python";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        describe::describe("weights", params)
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(PythonWeights { object: Object::new("weights", &params, setting)?.0 })
    }
}

impl WeightSource for PythonWeights {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let mut arrays = Vec::new();
        let substrate = substrate_parts(request.substrate, &mut arrays);
        if let Some(draw) = request.draw {
            arrays.push(Sent::f64("draw", draw));
        }
        let header = json!({"neurons": request.neurons, "seed": request.seed, "substrate": substrate});
        let (_, answer) = self.object.call("weights", header, &arrays)?;
        let weights = answer.first().ok_or_else(|| Error::bug("weights() gave no matrix"))?;
        matrix(weights, request.neurons, request.neurons)
    }
}
pallium_core::register!(WeightSource, PythonWeights);

/// A user's class with `substrate`.
pub struct PythonSubstrate {
    object: Object,
}

impl Component for PythonSubstrate {
    const ID: &'static str = "python.substrate";
    const ABOUT: &'static str = "neurons and what was recorded of them, from a class written in Python";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        describe::describe("substrate", params)
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(PythonSubstrate { object: Object::new("substrate", &params, setting)?.0 })
    }
}

impl SubstrateSource for PythonSubstrate {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        let (about, answer) = self.object.call("substrate", json!({"seed": seed}), &[])?;
        let mut found = Substrate {
            name: about["name"].as_str().unwrap_or_default().into(),
            neurons: about["neurons"].as_u64().unwrap_or(0) as usize,
            frame_hz: about["frame_hz"].as_f64(),
            events: numbers(&about["events"]),
            recording: match about["recording"].as_array().map(Vec::as_slice) {
                Some([begin, end]) => begin.as_f64().zip(end.as_f64()),
                _ => None,
            },
            notes: texts(&about["notes"]),
            ..Substrate::default()
        };
        for tensor in answer {
            match tensor.name.split_once('.') {
                None => found.positions = Some(PositionsBase::new(table(&tensor)?, [1.0; 3])),
                Some(("matrices", name)) => {
                    found.matrices.insert(name.into(), table(&tensor)?.into());
                }
                Some((_, name)) => {
                    let ids = tensor.slice::<i64>()?.to_vec();
                    found.ids.insert(name.into(), Cow::Owned(ids));
                }
            }
        }
        // The matrices are the user's own.
        found.derived = found.matrices.keys().cloned().collect();
        Ok(found)
    }
}
pallium_core::register!(SubstrateSource, PythonSubstrate);

fn table(tensor: &Tensor) -> Result<Array2<f64>> {
    match (&tensor.values, tensor.shape.as_slice()) {
        (Values::F64(values), &[rows, columns]) => {
            Array2::from_shape_vec((rows, columns), values.clone()).map_err(|e| Error::bug(e.to_string()))
        }
        _ => Err(Error::bug(format!("`{}` is not a table", tensor.name))),
    }
}

fn numbers(lists: &Value) -> Option<Vec<Vec<f64>>> {
    let list = |list: &Value| list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    Some(lists.as_array()?.iter().map(list).collect())
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
