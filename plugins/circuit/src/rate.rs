//! `circuit.rate`: a penalty on activity.

use pallium_core::ndarray::ArrayViewMut3;
use pallium_core::prelude::*;

use crate::shapes::{no_penalty, shape_of};

pallium_core::choice! {
    /// Form of the penalty.
    pub enum Rule {
        /// λ·mean (h − r)².
        Square = "square",
        /// λ·mean |h − r|.
        Absolute = "absolute",
        /// λ·mean over neurons of (⟨h⟩ − r)².
        Homeostatic = "homeostatic",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.rate`.
    pub struct Params {
        /// Factor λ of the penalty (at least 0).
        strength: f64 = 0.01,
        /// Form of the penalty. Means are over the steps of all trials and over
        /// neurons; ⟨h⟩ is a neuron's mean over the steps of all trials.
        rule: Rule = Rule::Square,
        /// Activity r at which the penalty is 0 (in units of the model's
        /// activity).
        target: f64 = 0.0,
    }
}

/// A penalty on the hidden activity h (steps × trials × neurons). Steps past
/// the end of a shorter trial do not count. The derivative of |x| at 0 is 0.
pub struct Rate {
    shape: Option<(usize, usize)>,
    strength: f64,
    rule: Rule,
    target: f64,
}

impl Component for Rate {
    const ID: &'static str = "circuit.rate";
    const ABOUT: &'static str =
        "penalty on activity: on its square, its absolute value, or each neuron's mean";
    const CITE: &'static str = "Yang, Joglekar, Song, Newsome, Wang 2019, Nat. Neurosci. 22:297; homeostasis: \
                                Turrigiano 2008, Cell 135:422";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        one_of_range("target", params.target, -1e6, 1e6)?;
        Ok(Rate {
            shape: shape_of(setting),
            strength: params.strength,
            rule: params.rule,
            target: params.target,
        })
    }
}

impl Constraint for Rate {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        no_penalty(self.shape, &weights, &gradient)
    }

    fn wants_activity(&self) -> bool {
        true
    }

    fn activity_penalty(
        &mut self,
        activity: &Activity<'_>,
        mut gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        let Activity { values, lengths, .. } = *activity;
        let (steps, trials, neurons) = values.dim();
        if values.dim() != gradient.dim() || lengths.len() != trials {
            return Err(Error::input(format!(
                "activity is {:?} with {} lengths of trials, and its gradient {:?}",
                values.dim(),
                lengths.len(),
                gradient.dim()
            )));
        }
        let lasts = |trial: usize, step: usize| step < lengths[trial] as usize;
        let samples = lengths.iter().map(|&length| (length as usize).min(steps)).sum::<usize>() as f64;
        if samples == 0.0 || neurons == 0 {
            return Ok(0.0);
        }
        let target = self.target as f32;
        if self.rule == Rule::Homeostatic {
            let mut excess = vec![0.0_f64; neurons];
            for (step, values) in values.outer_iter().enumerate() {
                for (_, row) in values.outer_iter().enumerate().filter(|&(trial, _)| lasts(trial, step)) {
                    excess.iter_mut().zip(row).for_each(|(sum, &h)| *sum += f64::from(h));
                }
            }
            excess.iter_mut().for_each(|sum| *sum = *sum / samples - self.target);
            let factor = 2.0 * self.strength / (neurons as f64 * samples);
            let slope: Vec<f32> = excess.iter().map(|e| (factor * e) as f32).collect();
            for (step, mut gradient) in gradient.outer_iter_mut().enumerate() {
                for (_, mut row) in
                    gradient.outer_iter_mut().enumerate().filter(|&(trial, _)| lasts(trial, step))
                {
                    row.iter_mut().zip(&slope).for_each(|(g, s)| *g += s);
                }
            }
            return Ok(self.strength * excess.iter().map(|e| e * e).sum::<f64>() / neurons as f64);
        }
        let count = samples * neurons as f64;
        let factor = (self.strength / count) as f32;
        let square = self.rule == Rule::Square;
        let mut sum = 0.0;
        for (step, (values, mut gradient)) in values.outer_iter().zip(gradient.outer_iter_mut()).enumerate() {
            let mut of_step = 0.0;
            for (trial, (h, mut g)) in values.outer_iter().zip(gradient.outer_iter_mut()).enumerate() {
                if !lasts(trial, step) {
                    continue;
                }
                if square {
                    g.zip_mut_with(&h, |g, &h| *g += 2.0 * factor * (h - target));
                    h.iter().for_each(|&h| of_step += f64::from(h - target).powi(2));
                } else {
                    // 0 at the target; NaN if h is NaN.
                    let sign = |x: f32| {
                        if x > 0.0 {
                            1.0
                        } else if x < 0.0 {
                            -1.0
                        } else {
                            x
                        }
                    };
                    g.zip_mut_with(&h, |g, &h| *g += factor * sign(h - target));
                    h.iter().for_each(|&h| of_step += f64::from((h - target).abs()));
                }
            }
            sum += of_step;
        }
        Ok(self.strength * sum / count)
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, Rate);
