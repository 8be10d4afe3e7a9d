//! The optimizer of the trained models: Adam (Kingma and Ba 2015) in the form
//! that Keras computes.
//!
//! To add an optimizer, implement it here with the three operations that
//! [`crate::trained`] and [`crate::readout`] use: [`Adam::step`],
//! [`Moments::update`], and the moments that [`crate::trained`] saves and
//! restores. Its parameters belong to the models' `Params` (the
//! learning rate's default is in each), which [`Adam::new`] checks.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::common::below_one;

/// Names of the optimizer's tensors in a saved state.
pub(crate) const UPDATES: &str = "optimizer.updates";
pub(crate) const FIRST: &str = "optimizer.first_moment";
pub(crate) const SECOND: &str = "optimizer.second_moment";

/// Parameters of Adam.
#[derive(Clone, Copy)]
pub(crate) struct Adam {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
}

impl Adam {
    /// Refuses parameters that are out of range.
    pub fn new(learning_rate: f64, beta1: f64, beta2: f64, epsilon: f64) -> Result<Self> {
        at_least_zero("learning_rate", learning_rate)?;
        below_one("beta1", beta1)?;
        below_one("beta2", beta2)?;
        at_least_zero("epsilon", epsilon)?;
        // Compared after the conversion: the f32 that is used must not be 0.
        if epsilon as f32 == 0.0 {
            return Err(Error::input(format!("parameter `epsilon` is {epsilon}"))
                .help("it must be above 0: a unit that was never active would divide 0 by 0"));
        }
        Ok(Adam { learning_rate, beta1, beta2, epsilon })
    }

    /// The factors of update number `count`, counted from 1.
    pub fn step(&self, count: u64) -> AdamStep {
        let correction = |beta: f64| 1.0 - beta.powf(count as f64);
        AdamStep {
            rate: (self.learning_rate * correction(self.beta2).sqrt() / correction(self.beta1)) as f32,
            first: (1.0 - self.beta1) as f32,
            second: (1.0 - self.beta2) as f32,
            epsilon: self.epsilon as f32,
        }
    }
}

/// The factors of one update.
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    /// lr·√(1 − β2^t)/(1 − β1^t).
    rate: f32,
    /// 1 − β1.
    first: f32,
    /// 1 − β2.
    second: f32,
    /// ε, added to √v.
    epsilon: f32,
}

/// Running means of a group of gradients and of their squares.
#[derive(Clone)]
pub(crate) struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl Moments {
    /// Moments of `count` parameters that have not been updated yet.
    pub fn zeros(count: usize) -> Self {
        Moments { first: vec![0.0; count], second: vec![0.0; count] }
    }

    /// Updates `parameters` along `gradient`; both begin `offset` parameters
    /// into the group.
    pub fn update(&mut self, step: AdamStep, offset: usize, parameters: &mut [f32], gradient: &[f32]) {
        // A function of slices, as in `elementwise`: only then does it vectorise.
        #[inline(always)]
        fn work(step: AdamStep, parameters: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32]) {
            for (((w, &g), m), v) in parameters.iter_mut().zip(gradient).zip(m).zip(v) {
                *m += (g - *m) * step.first;
                *v += (g * g - *v) * step.second;
                *w -= step.rate * *m / (v.sqrt() + step.epsilon);
            }
        }
        let range = offset..offset + gradient.len();
        let (first, second) = (&mut self.first[range.clone()], &mut self.second[range]);
        Arch::new().dispatch(|| work(step, parameters, gradient, first, second));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_recursion_in_double_precision() {
        let adam = Adam::new(1e-3, 0.9, 0.999, 1e-7).unwrap();
        let gradient = |t: u64, i: usize| ((t * 7 + i as u64 * 13) % 11) as f64 * 0.01 - 0.04;
        let (mut w, mut moments) = (vec![0.5_f32; 37], Moments::zeros(37));
        let (mut w64, mut m64, mut v64) = (vec![0.5; 37], vec![0.0; 37], vec![0.0; 37]);
        for t in 1..=50 {
            let g: Vec<f32> = (0..37).map(|i| gradient(t, i) as f32).collect();
            moments.update(adam.step(t), 0, &mut w, &g);
            let rate = 1e-3 * (1.0 - 0.999_f64.powi(t as i32)).sqrt() / (1.0 - 0.9_f64.powi(t as i32));
            for i in 0..37 {
                let g = gradient(t, i);
                m64[i] = 0.9 * m64[i] + 0.1 * g;
                v64[i] = 0.999 * v64[i] + 0.001 * g * g;
                w64[i] -= rate * m64[i] / (f64::sqrt(v64[i]) + 1e-7);
            }
        }
        for (w, w64) in w.iter().zip(&w64) {
            assert!((f64::from(*w) - w64).abs() < 1e-6, "{w} against {w64}");
        }
    }
}
