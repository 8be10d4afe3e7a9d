//! `python.metric`: a measure of a trained network written in Python.

use pallium_core::ndarray::aview1;
use pallium_core::prelude::*;
use pallium_core::serde_json::json;
use pallium_core::{Measures, Network, TargetsView};

use crate::describe;
use crate::memory::Sent;
use crate::object::{Object, substrate_parts};
use crate::params::Params;

/// A user's class with `measure`, or a function of an installed module.
pub struct PythonMetric {
    object: Object,
    activity: bool,
    permutation_invariant: bool,
}

impl Component for PythonMetric {
    const ID: &'static str = "python.metric";
    const ABOUT: &'static str =
        "a measure of a trained network written in Python, or a function of networkx, bctpy or scikit-learn";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn describe(params: &Params) -> Result<Option<pallium_core::Description>> {
        describe::describe("metric", params)
    }

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let (object, about) = Object::new("metric", &params, setting)?;
        Ok(PythonMetric {
            object,
            activity: about["activity"].as_bool().unwrap_or(false),
            permutation_invariant: about["permutation_invariant"].as_bool().unwrap_or(true),
        })
    }
}

impl Metric for PythonMetric {
    fn wants_activity(&self) -> bool {
        self.activity
    }

    fn permutation_invariant(&self) -> bool {
        self.permutation_invariant
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let mut arrays = vec![Sent::f32("recurrent", network.recurrent)];
        if let Some(initial) = network.initial {
            arrays.push(Sent::f32("initial", initial));
        }
        for parameter in network.parameters {
            let values = pallium_core::ndarray::ArrayView::from_shape(parameter.shape, parameter.values)
                .map_err(|e| Error::bug(e.to_string()))?;
            arrays.push(Sent::f32(format!("parameters.{}", parameter.name), values));
        }
        if let Some(activity) = network.activity {
            arrays.push(Sent::f32("activity", activity));
            arrays.push(Sent::u32("conditions", aview1(network.conditions)));
            arrays.push(Sent::u32("lengths", aview1(network.lengths)));
        }
        if let Some(trials) = &network.trials {
            arrays.push(Sent::f32("inputs", trials.inputs));
            match trials.targets {
                TargetsView::Classes(classes) => arrays.push(Sent::u32("targets", classes)),
                TargetsView::Values(values) => arrays.push(Sent::f32("targets", values)),
                _ => return Err(Error::unsupported("this kind of targets cannot be sent to Python")),
            }
            arrays.push(Sent::f32("mask", trials.mask));
            arrays.push(Sent::f32("outputs", trials.outputs));
        }
        let substrate = substrate_parts(network.substrate, &mut arrays);
        let header = json!({"substrate": substrate, "model": network.model});
        let (about, tensors) = self.object.call("measure", header, &arrays)?;
        let values = about["values"].as_array().into_iter().flatten().map(|value| {
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            Measure::new(text("name"), value["value"].as_f64().unwrap_or(f64::NAN)).unit(text("unit"))
        });
        let measures = Measures::from(values.collect::<Vec<_>>());
        Ok(tensors.into_iter().fold(measures, Measures::with))
    }
}
pallium_core::register!(Metric, PythonMetric);
