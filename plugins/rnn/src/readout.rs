//! The read-out h·Wo + bo, and its gradients.
//!
//! Its product is candle's. candle runs large products on a thread pool that it
//! starts on first use; [`Readout::rows`] keeps every product below that size, so
//! that a component uses only the threads that its setting grants.

use candle_core::{Device, Tensor as Values};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::elementwise::add;

/// Number of multiplications above which candle's engine (the gemm crate)
/// distributes a product over threads: 48·48·256, less a margin.
const PRODUCT: usize = 500_000;

/// Number of hidden-state values read at a time. candle allocates new tensors
/// each time; below 128 KiB the allocator reuses memory instead of requesting
/// zeroed pages from the system (four times faster).
const VALUES: usize = 24_000;

/// The read-out's parameters.
pub(crate) struct Readout {
    neurons: usize,
    outputs: usize,
    /// Wo (N × outputs), then bo.
    pub values: Vec<f32>,
    /// Wo as candle multiplies it, of the last [`Readout::refresh`].
    weights: Values,
}

/// Gradients with respect to the read-out's inputs and parameters.
#[derive(Default)]
pub(crate) struct ReadoutGradient {
    /// With respect to each scored hidden state, in the order of scoring:
    /// scored × N.
    pub states: Vec<f32>,
    /// With respect to Wo (N × outputs), then bo.
    pub parameters: Vec<f32>,
}

impl ReadoutGradient {
    /// Starts a new batch.
    pub fn start(&mut self, readout: &Readout) {
        self.states.clear();
        self.parameters.clear();
        self.parameters.resize(readout.values.len(), 0.0);
    }

    /// Adds the gradients of scored states (scored × N), given those in their
    /// outputs (scored × outputs).
    pub fn add(&mut self, readout: &Readout, states: &[f32], in_outputs: &[f32]) {
        let (neurons, outputs) = (readout.neurons, readout.outputs);
        let slopes = View::new(in_outputs, outputs);
        let (weights, _) = readout.values.split_at(neurons * outputs);
        let known = self.states.len();
        self.states.resize(known + states.len(), 0.0);
        let in_states = &mut self.states[known..];
        product(in_states, Write::Replace, slopes, View::new(weights, outputs).transposed(), 1.0);
        let (in_weights, in_bias) = self.parameters.split_at_mut(neurons * outputs);
        product(in_weights, Write::Add, View::new(states, neurons).transposed(), slopes, 1.0);
        in_outputs.chunks_exact(outputs).for_each(|row| add(in_bias, row));
    }
}

impl Readout {
    /// A read-out with the given values: Wo (N × outputs), then bo.
    pub fn new(neurons: usize, outputs: usize, values: Vec<f32>) -> Result<Self> {
        let weights = Values::zeros((1, 1), candle_core::DType::F32, &Device::Cpu).map_err(failed)?;
        let mut readout = Readout { neurons, outputs, values, weights };
        readout.refresh()?;
        Ok(readout)
    }

    /// Prepares the products after the values changed.
    pub fn refresh(&mut self) -> Result<()> {
        let (weights, _) = self.values.split_at(self.neurons * self.outputs);
        self.weights =
            Values::from_slice(weights, (self.neurons, self.outputs), &Device::Cpu).map_err(failed)?;
        Ok(())
    }

    /// Number of states to read at a time.
    pub fn rows(&self) -> usize {
        (PRODUCT / self.outputs).min(VALUES).div_euclid(self.neurons).max(1)
    }

    /// Appends the outputs of `states` (rows × N) to `outputs`.
    pub fn outputs(&self, states: &[f32], outputs: &mut Vec<f32>) -> Result<()> {
        if states.is_empty() {
            return Ok(());
        }
        let rows = states.len() / self.neurons;
        let product = Values::from_slice(states, (rows, self.neurons), &Device::Cpu)
            .and_then(|states| states.matmul(&self.weights)?.flatten_all()?.to_vec1::<f32>())
            .map_err(failed)?;
        let bias = &self.values[self.neurons * self.outputs..];
        let known = outputs.len();
        outputs.extend(product);
        outputs[known..].chunks_exact_mut(self.outputs).for_each(|row| add(row, bias));
        Ok(())
    }
}

fn failed(error: candle_core::Error) -> Error {
    Error::bug(format!("the read-out cannot be computed: {error}"))
}
