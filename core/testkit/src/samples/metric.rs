//! The largest difference between the recorded activity and the model's own step,
//! the share of correct answers, and the mean absolute weight.

use pallium_core::ndarray::{Array1, Array2, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;

use super::{conforms, faulty};

pallium_core::params! {
    /// Parameters of the sample.
    pub struct Params {
        /// The promise to break.
        fault: String = String::new(),
    }
}

pub struct Sample(String);

impl Component for Sample {
    const ID: &'static str = "sample.metric";
    const ABOUT: &'static str = "measures of the weights, the answers and the dynamics";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Sample(params.fault))
    }
}

impl Metric for Sample {
    fn wants_activity(&self) -> bool {
        self.0 != "does-not-ask"
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let missing = || Error::input("it measures recorded activity");
        let trials = network.trials.ok_or_else(missing)?;
        let dynamics = network.dynamics.ok_or_else(missing)?;
        let n = network.recurrent.nrows();
        let mut state = Array2::zeros((trials.inputs.dim().0, n));
        let mut norms = Vec::new();
        for step in 0..trials.inputs.dim().1 {
            let inputs = trials.inputs.slice(s![.., step, ..]).mapv(f64::from);
            state = dynamics.step(state.view(), inputs.view())?;
            norms.push(state.mapv(|v| v * v).sum().sqrt());
        }
        let answers = trials.scored().zip(trials.outputs.rows()).filter(|(at, row)| {
            let TargetsView::Classes(classes) = trials.targets else { return false };
            row[classes[[at.trial, at.step]] as usize] >= 0.5
        });
        let mut measures = vec![
            Measure::new("weight", f64::from(network.recurrent.mapv(f32::abs).mean().unwrap_or(f32::NAN))),
            Measure::new("confident", answers.count() as f64),
            Measure::new("norm", norms.iter().copied().fold(0.0, f64::max)),
        ];
        if self.0 == "order" {
            measures.push(Measure::new("first", state[[0, 0]]));
        }
        let array = |name: &str| Tensor::from_view(name, Array1::from(norms.clone()).view());
        let mut measures = Measures::from(measures).with(array("norms"));
        match self.0.as_str() {
            "same-names" => measures = measures.with(array("norms")),
            "shape" => measures.arrays[0].shape = vec![99],
            _ => {}
        }
        Ok(measures)
    }
}
pallium_core::register!(Metric, Sample);

#[test]
fn a_metric_that_keeps_its_promises_conforms() {
    conforms("sample.metric", &json!({}), &["profiles"]);
}

#[test]
fn broken_promises_of_metrics_are_found() {
    for (fault, check, message) in [
        ("does-not-ask", "asks", "it does not ask for activity"),
        ("same-names", "measures", "two arrays are named `norms`"),
        ("shape", "measures", "malformed: shape [99]"),
        ("order", "relabelling", "`first` is"),
    ] {
        faulty("sample.metric", fault, check, message);
    }
}
