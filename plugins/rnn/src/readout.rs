//! The read-out, softmax(h·Wo + bo), and its cross-entropy, on candle.
//!
//! It is small (128×312 by 312×4 against fifty products of 128×312 by 312×312
//! in the recurrence), so what candle costs in copies hardly counts here, and
//! another loss is a change of a few lines that candle differentiates.
//!
//! candle hands products to a thread pool that it starts on first use, unless
//! they are small. [`Readout::rows`] keeps each product below that size: a
//! component stays within the threads that its setting grants.

use candle_core::{D, Device, Tensor as Values, Var};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::elementwise::{AdamStep, add};
use crate::optimizer::Moments;

/// Multiplications in a product above which candle's engine (the gemm crate)
/// would distribute it over threads: 48·48·256, less a margin.
const PRODUCT: usize = 500_000;

/// Values in the hidden states of one pass. candle allocates its tensors anew;
/// below 128 KiB the allocator reuses memory instead of asking the system for
/// pages that must be zeroed (measured: four times faster).
const VALUES: usize = 24_000;

/// The read-out's parameters, their optimizer's state, and the graph.
pub(crate) struct Readout {
    neurons: usize,
    classes: usize,
    weights: Var,
    bias: Var,
    moments: Moments,
}

/// Hidden states that are to be scored, collected until a pass through candle
/// is worth its while.
#[derive(Default)]
pub(crate) struct Pending {
    states: Vec<f32>,
    classes: Vec<u32>,
    weights: Vec<f32>,
}

impl Pending {
    /// Adds a hidden state, the right class, and its weight.
    pub fn push(&mut self, state: &[f32], class: u32, weight: f32) {
        self.states.extend_from_slice(state);
        self.classes.push(class);
        self.weights.push(weight);
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.states.clear();
        self.classes.clear();
        self.weights.clear();
    }
}

/// Gradients of the loss in what the read-out sees and in its parameters.
#[derive(Default)]
pub(crate) struct ReadoutGradient {
    /// In each scored hidden state, in the order of scoring: scored × N.
    pub states: Vec<f32>,
    /// In Wo (N × classes) and then in bo (classes).
    pub parameters: Vec<f32>,
    /// What the sum of weighted cross-entropies is multiplied by.
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

/// What scoring yields.
#[derive(Clone, Copy, Default)]
pub(crate) struct Score {
    /// Σ weight · cross-entropy in nats.
    pub loss: f64,
    /// Σ weight over the right answers.
    pub correct: f64,
}

impl Readout {
    /// A read-out of given weights (N × classes) and bias.
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

    /// How many states to score at a time.
    pub fn rows(&self) -> usize {
        (PRODUCT / self.classes).min(VALUES).div_euclid(self.neurons).max(1)
    }

    /// Scores all pending states and forgets them; adds to `gradient` if there
    /// is one. Answers that are not numbers count as class 0.
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

        // candle differentiates the loss as far as the logits. What comes before
        // them is affine; its gradients are one product each, straight into the
        // buffers they are needed in.
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

    /// The optimizer's state.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// The optimizer's state, to be replaced.
    pub fn moments_mut(&mut self) -> &mut Moments {
        &mut self.moments
    }
}

/// Cross-entropy of each row of `logits` (rows × classes) against `classes`
/// (rows × 1), as rows × 1, and the class that each row answers.
fn cross_entropy(logits: &Values, classes: &Values) -> candle_core::Result<(Values, Vec<u32>)> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let losses = (normaliser - shifted.gather(classes, 1)?)?;
    let answers = logits.detach().to_vec2::<f32>()?.iter().map(|row| answer(row)).collect();
    Ok((losses, answers))
}

/// The first of the largest values; a value that is not a number is never
/// larger.
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
    fn answers_that_are_not_numbers_count_as_class_0() {
        assert_eq!(answer(&[0.1, 0.7, 0.2]), 1);
        assert_eq!(answer(&[f32::NAN, f32::NAN]), 0);
        assert_eq!(answer(&[0.5, 0.5]), 0);
    }
}
