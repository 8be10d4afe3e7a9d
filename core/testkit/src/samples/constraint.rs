//! A penalty with memory: λ·Σ (w − m)², where m is a running mean of past weights,
//! and λ·(mean squared activity).

use pallium_core::ndarray::{ArrayViewMut3, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::json;

use super::{conforms, faulty};

pallium_core::params! {
    /// Parameters of the sample.
    pub struct Params {
        /// Factor λ (dimensionless).
        strength: f64 = 0.5,
        /// The promise to break.
        fault: String = String::new(),
    }
}

pub struct Sample {
    strength: f32,
    fault: String,
    mean: Matrix,
    projections: u64,
}

impl Component for Sample {
    const ID: &'static str = "sample.constraint";
    const ABOUT: &'static str = "a penalty with memory";
    const CITE: &'static str = "this work";
    const PROFILES: &'static [ProfileValue] = &[ProfileValue::new("published", "strength", "0.25")];
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        let shape = match params.fault.as_str() {
            "square" => (setting.neurons()?, setting.neurons()?),
            _ => setting.shape()?,
        };
        Ok(Sample {
            strength: params.strength as f32,
            fault: params.fault,
            mean: Matrix::zeros(shape),
            projections: 0,
        })
    }
}

impl Constraint for Sample {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        if self.fault == "square" && weights.dim() != self.mean.dim() {
            return Err(Error::input("the weights must be square"));
        }
        if self.fault == "remembers-penalties" && self.projections > 0 {
            self.mean[[0, 0]] += 0.1;
        }
        let off = &weights - &self.mean;
        let slope = match self.fault.as_str() {
            "wrong-later" if self.projections > 0 => -2.0,
            _ => 2.0,
        };
        if self.fault == "assigns" {
            gradient.fill(0.0);
        }
        gradient.scaled_add(slope * self.strength, &off);
        Ok(f64::from(self.strength) * off.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>())
    }

    fn project(&mut self, weights: MatrixViewMut<'_>, _: &Point<'_>) -> Result<()> {
        if weights.iter().all(|w| w.is_finite()) {
            self.mean = &self.mean * 0.5 + &weights * 0.5;
            self.projections += 1;
        }
        Ok(())
    }

    fn wants_activity(&self) -> bool {
        true
    }

    fn activity_penalty(
        &mut self,
        activity: &Activity<'_>,
        mut gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        let (steps, trials, units) = activity.values.dim();
        let counted = if self.fault == "divides-by-padding" { steps * trials } else { activity.steps() };
        let factor = f64::from(self.strength) / (counted * units).max(1) as f64;
        let mut sum = 0.0;
        for (trial, &length) in activity.lengths.iter().enumerate() {
            let end = if self.fault == "reads-padding" { steps } else { length as usize };
            let values = activity.values.slice(s![..end, trial, ..]);
            sum += factor * values.iter().map(|&a| f64::from(a).powi(2)).sum::<f64>();
            gradient.slice_mut(s![..end, trial, ..]).scaled_add(2.0 * factor as f32, &values);
        }
        Ok(sum)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        if self.fault == "no-state" {
            return Ok(Vec::new());
        }
        let mut state = vec![Tensor::from_view("mean", self.mean.view())];
        if self.fault == "same-names" {
            state.push(state[0].clone());
        }
        Ok(state)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        match self.fault.as_str() {
            "no-state" => {}
            "forgets" => drop(Tensor::find::<f32>(state, "mean", self.mean.shape())?.len()),
            "lenient" => {
                if let Ok(mean) = Tensor::find::<f32>(state, "mean", self.mean.shape()) {
                    self.mean.iter_mut().zip(mean).for_each(|(to, from)| *to = *from);
                }
            }
            _ => {
                let mean = Tensor::find::<f32>(state, "mean", self.mean.shape())?;
                self.mean.iter_mut().zip(mean).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }
}
pallium_core::register!(Constraint, Sample);

#[test]
fn a_constraint_that_keeps_its_promises_conforms() {
    conforms("sample.constraint", &json!({}), &["project", "connections"]);
}

#[test]
fn broken_promises_of_constraints_are_found() {
    for (fault, check, message) in [
        ("no-state", "memory", "`state` is empty"),
        ("forgets", "memory", "after `restore`, `mean` differs"),
        ("lenient", "memory", "it accepts a state with `mean` of another shape"),
        ("assigns", "gradient", "a gradient of"),
        ("wrong-later", "gradient", "after updates and a change of task"),
        ("same-names", "memory", "two tensors are named `mean`"),
        ("remembers-penalties", "memory", "the same weights at the same point"),
        ("square", "shape", "but fails on them"),
        ("divides-by-padding", "activity", "twenty steps after the end"),
        ("reads-padding", "activity", "past the end"),
    ] {
        faulty("sample.constraint", fault, check, message);
    }
}
