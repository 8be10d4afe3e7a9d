//! The read-out, softmax(h·Wo + bo), and its cross-entropy, computed with
//! candle.
//!
//! It is small compared with the recurrence (one product of 128×312 by 312×4
//! against fifty of 128×312 by 312×312), so candle's copies cost little, and
//! candle differentiates any other loss that is written here.
//!
//! candle runs large products on a thread pool that it starts on first use.
//! [`Readout::rows`] keeps every product below that size, so that a component
//! uses only the threads that its setting grants.

use candle_core::{D, Device, Tensor as Values, Var};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::elementwise::add;
use crate::optimizer::{AdamStep, Moments};

/// Number of multiplications above which candle's engine (the gemm crate)
/// distributes a product over threads: 48·48·256, less a margin.
const PRODUCT: usize = 500_000;

/// Number of hidden-state values scored at a time. candle allocates new tensors
/// each time; below 128 KiB the allocator reuses memory instead of requesting
/// zeroed pages from the system (four times faster).
const VALUES: usize = 24_000;

/// The read-out's parameters and their moments.
pub(crate) struct Readout {
    neurons: usize,
    classes: usize,
    weights: Var,
    bias: Var,
    moments: Moments,
}

/// Hidden states to be scored, collected into passes through candle.
#[derive(Default)]
pub(crate) struct Pending {
    states: Vec<f32>,
    classes: Vec<u32>,
    weights: Vec<f32>,
}

impl Pending {
    /// Adds a hidden state, its correct class, and its weight.
    pub fn push(&mut self, state: &[f32], class: u32, weight: f32) {
        self.states.extend_from_slice(state);
        self.classes.push(class);
        self.weights.push(weight);
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Removes all states.
    pub fn clear(&mut self) {
        self.states.clear();
        self.classes.clear();
        self.weights.clear();
    }
}

/// Gradients of the loss with respect to the read-out's inputs and parameters.
#[derive(Default)]
pub(crate) struct ReadoutGradient {
    /// With respect to each scored hidden state, in the order of scoring:
    /// scored × N.
    pub states: Vec<f32>,
    /// With respect to Wo (N × classes), then bo (classes).
    pub parameters: Vec<f32>,
    /// Factor on the sum of weighted cross-entropies.
    scale: f64,
}

impl ReadoutGradient {
    /// Starts a new batch whose loss is `scale` times the sum of weighted
    /// cross-entropies.
    pub fn start(&mut self, parameters: usize, scale: f64) {
        self.scale = scale;
        self.states.clear();
        self.parameters.clear();
        self.parameters.resize(parameters, 0.0);
    }
}

/// Loss and correct answers of scored steps.
#[derive(Clone, Copy, Default)]
pub(crate) struct Score {
    /// Σ weight · cross-entropy in nats.
    pub loss: f64,
    /// Σ weight over the correct answers.
    pub correct: f64,
}

impl Readout {
    /// A read-out with the given weights (N × classes) and bias.
    pub fn new(neurons: usize, classes: usize, weights: &[f32], bias: &[f32]) -> Result<Self> {
        Ok(Readout {
            neurons,
            classes,
            weights: Var::from_slice(weights, (neurons, classes), &Device::Cpu).map_err(failed)?,
            bias: Var::from_slice(bias, classes, &Device::Cpu).map_err(failed)?,
            moments: Moments::zeros((neurons + 1) * classes),
        })
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        (self.neurons + 1) * self.classes
    }

    /// Number of states to score at a time.
    pub fn rows(&self) -> usize {
        (PRODUCT / self.classes).min(VALUES).div_euclid(self.neurons).max(1)
    }

    /// Scores and removes all pending states; adds their gradient to
    /// `gradient`. An answer of NaNs counts as class 0.
    pub fn score(&self, pending: &mut Pending, gradient: Option<&mut ReadoutGradient>) -> Result<Score> {
        if pending.len() == 0 {
            return Ok(Score::default());
        }
        let score = self.graph(pending, gradient).map_err(failed);
        pending.clear();
        score
    }

    fn graph(&self, pending: &Pending, gradient: Option<&mut ReadoutGradient>) -> candle_core::Result<Score> {
        let count = pending.len();
        let classes = Values::from_slice(&pending.classes, (count, 1), &Device::Cpu)?;
        let weights = Values::from_slice(&pending.weights, (count, 1), &Device::Cpu)?;
        let states = Values::from_slice(&pending.states, (count, self.neurons), &Device::Cpu)?;

        // candle differentiates the loss with respect to the logits. The logits
        // are affine in states and parameters, so each further gradient is one
        // product, written directly to its buffer.
        let logits = states.matmul(&self.weights)?.broadcast_add(&self.bias)?;
        let logits = Var::from_tensor(&logits.detach())?;
        let (losses, answers) = cross_entropy(&logits, &classes)?;

        let mut score = Score::default();
        for (row, (loss, answer)) in
            losses.flatten_all()?.to_vec1::<f32>()?.into_iter().zip(answers).enumerate()
        {
            let weight = f64::from(pending.weights[row]);
            score.loss += weight * f64::from(loss);
            if answer == pending.classes[row] {
                score.correct += weight;
            }
        }
        if let Some(gradient) = gradient {
            let loss = ((losses * weights)?.sum_all()? * gradient.scale)?;
            if let Some(in_logits) = loss.backward()?.get(&logits) {
                let in_logits = in_logits.flatten_all()?.to_vec1::<f32>()?;
                let (neurons, classes) = (self.neurons, self.classes);
                let readout = self.weights.flatten_all()?.to_vec1::<f32>()?;
                let slopes = View::new(&in_logits, classes);
                let known = gradient.states.len();
                gradient.states.resize(known + count * neurons, 0.0);
                let in_states = &mut gradient.states[known..];
                product(in_states, Write::Replace, slopes, View::new(&readout, classes).transposed(), 1.0);
                let (in_weights, in_bias) = gradient.parameters.split_at_mut(neurons * classes);
                product(
                    in_weights,
                    Write::Add,
                    View::new(&pending.states, neurons).transposed(),
                    slopes,
                    1.0,
                );
                in_logits.chunks_exact(classes).for_each(|row| add(in_bias, row));
            }
        }
        Ok(score)
    }

    /// One optimizer step along `gradient` (Wo, then bo).
    pub fn update(&mut self, step: AdamStep, gradient: &[f32]) -> Result<()> {
        let (mut weights, mut bias) = self.values()?;
        let (in_weights, in_bias) = gradient.split_at(weights.len());
        self.moments.update(step, 0, &mut weights, in_weights);
        self.moments.update(step, in_weights.len(), &mut bias, in_bias);
        self.set(weights, bias)
    }

    /// Weights (N × classes) and bias.
    pub fn values(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let values = |v: &Var| v.flatten_all()?.to_vec1::<f32>();
        Ok((values(&self.weights).map_err(failed)?, values(&self.bias).map_err(failed)?))
    }

    /// Replaces weights (N × classes) and bias.
    pub fn set(&mut self, weights: Vec<f32>, bias: Vec<f32>) -> Result<()> {
        let weights =
            Values::from_vec(weights, (self.neurons, self.classes), &Device::Cpu).map_err(failed)?;
        let bias = Values::from_vec(bias, self.classes, &Device::Cpu).map_err(failed)?;
        self.weights.set(&weights).map_err(failed)?;
        self.bias.set(&bias).map_err(failed)
    }

    /// The optimizer's moments.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// The optimizer's moments, mutable.
    pub fn moments_mut(&mut self) -> &mut Moments {
        &mut self.moments
    }
}

/// Cross-entropy of each row of `logits` (rows × classes) against `classes`
/// (rows × 1), as rows × 1, and the answer of each row.
fn cross_entropy(logits: &Values, classes: &Values) -> candle_core::Result<(Values, Vec<u32>)> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let losses = (normaliser - shifted.gather(classes, 1)?)?;
    let answers = logits.detach().to_vec2::<f32>()?.iter().map(|row| answer(row)).collect();
    Ok((losses, answers))
}

/// The index of the first largest value; NaN is never larger.
fn answer(row: &[f32]) -> u32 {
    let mut best = 0;
    for (class, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = class;
        }
    }
    best as u32
}

fn failed(error: candle_core::Error) -> Error {
    Error::bug(format!("the read-out cannot be computed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_nan_count_as_class_0() {
        assert_eq!(answer(&[0.1, 0.7, 0.2]), 1);
        assert_eq!(answer(&[f32::NAN, f32::NAN]), 0);
        assert_eq!(answer(&[0.5, 0.5]), 0);
    }
}
