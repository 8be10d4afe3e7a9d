//! Gradient descent with momentum.

use pallium_core::Learned;
use pallium_core::prelude::*;
use pallium_core::serde_json::json;

use super::{conforms, faulty};

pallium_core::params! {
    /// Parameters of the sample.
    pub struct Params {
        /// Learning rate (dimensionless).
        rate: f64 = 0.01,
        /// Share of the previous step that is added (dimensionless).
        momentum: f64 = 0.9,
        /// The promise to break.
        fault: String = String::new(),
    }
}

pub struct Sample {
    params: Params,
    velocity: Vec<(Vec<usize>, Vec<f64>)>,
}

impl Component for Sample {
    const ID: &'static str = "sample.optimizer";
    const ABOUT: &'static str = "gradient descent with momentum";
    const CITE: &'static str = "Polyak 1964";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("rate", params.rate)?;
        one_of_range("momentum", params.momentum, 0.0, 0.999)?;
        Ok(Sample { params, velocity: Vec::new() })
    }
}

impl Optimizer for Sample {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        let fault = self.params.fault.as_str();
        if self.velocity.is_empty() {
            let zeros = parameters.iter().map(|p| (p.shape.to_vec(), vec![0.0; p.values.len()]));
            self.velocity = zeros.collect();
        }
        let same = self.velocity.len() == parameters.len()
            && self.velocity.iter().zip(parameters.iter()).all(|((shape, _), p)| shape == p.shape);
        if fault != "any-parameters" && !same {
            return Err(Error::input("the parameters are not those of earlier updates"));
        }
        let factor = if fault == "ignores-factor" { 1.0 } else { at.factor };
        let mut squares = 0.0;
        for (parameter, (_, velocity)) in parameters.iter_mut().zip(&mut self.velocity) {
            if fault == "asserts" {
                assert!(parameter.gradient.iter().all(|g| g.is_finite()), "not finite");
            }
            squares += parameter.gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            for ((value, gradient), v) in parameter.values.iter_mut().zip(parameter.gradient).zip(velocity) {
                let gradient = f64::from(*gradient);
                *v = self.params.momentum * *v + gradient;
                let rate = self.params.rate * factor;
                *value -= match fault {
                    "ascends" => -rate * *v,
                    "divides" => rate * *v / squares.sqrt(),
                    "stalls" => rate * 1e-6 * *v,
                    _ => rate * *v,
                } as f32;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let tensor = |(at, (shape, v)): (usize, &(Vec<usize>, Vec<f64>))| {
            Tensor::new(format!("velocity.{at}"), shape.clone(), v.clone())
        };
        Ok(self.velocity.iter().enumerate().map(tensor).collect())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        if self.params.fault == "keeps-old" && state.is_empty() {
            return Ok(());
        }
        let mut velocity = Vec::new();
        for (at, tensor) in state.iter().enumerate() {
            let mut found = Tensor::find::<f64>(state, &format!("velocity.{at}"), &tensor.shape)?.to_vec();
            if self.params.fault == "rounds" {
                found.iter_mut().for_each(|v| *v = f64::from(*v as f32));
            }
            velocity.push((tensor.shape.clone(), found));
        }
        if self.params.fault != "forgets" {
            self.velocity = velocity;
        }
        Ok(())
    }

    fn rewired(&mut self, _: &str, change: &RewiringView<'_>) -> Result<()> {
        for (_, velocity) in &mut self.velocity {
            match self.params.fault.as_str() {
                "left-behind" => {}
                "begins-anew" => velocity.fill(0.0),
                _ => *velocity = change.carry(velocity, 0.0),
            }
        }
        Ok(())
    }
}
pallium_core::register!(Optimizer, Sample);

#[test]
fn an_optimizer_that_keeps_its_promises_conforms() {
    conforms("sample.optimizer", &json!({}), &["profiles"]);
}

#[test]
fn broken_promises_of_optimizers_are_found() {
    for (fault, check, message) in [
        ("ascends", "descends", "moves along the gradient"),
        ("stalls", "descends", "went only from"),
        ("divides", "still", "gradients of zero lead to"),
        ("ignores-factor", "factor", "half the factor"),
        ("forgets", "restores", "`velocity.0` differs"),
        ("rounds", "restores", "`velocity.0` differs"),
        ("keeps-old", "restores", "after an empty state is restored"),
        ("any-parameters", "parameters kept", "it accepts fewer parameters"),
        ("asserts", "survives", "panic"),
        ("left-behind", "connections", "a kept one becomes"),
        ("begins-anew", "connections", "a change of no connection changes `velocity.0`"),
    ] {
        faulty("sample.optimizer", fault, check, message);
    }
}
