//! A recurrent layer, and the part of a batch that one thread runs through it.
//! [`crate::trained`] builds a model from them.
//!
//! Two kinds of dynamics exist: rectified units, fused for speed
//! ([`crate::recurrence`]), and any [`crate::unit::Unit`].

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut3};
use pallium_core::prelude::*;

use crate::readout::Readout;
use crate::scoring::Scoring;
use crate::step::UnitStep;

/// How a layer's state follows from the previous one.
pub(crate) trait Dynamics: UnitStep + Send + Sync + Sized + 'static {
    /// Names of the recurrent blocks; block 0 starts from the given weights.
    const BLOCKS: &'static [&'static str];
    /// Suffixes of the names of the blocks' tensors.
    const SUFFIXES: &'static [&'static str];
    /// Names of further parameters, N each.
    const VECTORS: &'static [&'static str];
    /// One thread's part of a batch.
    type Part: Part<Self>;

    /// Initial values of the further parameters, one after another.
    fn vectors(&self, neurons: usize, seed: u64) -> Vec<f32>;

    /// Whether the further parameters are trained.
    fn trains_vectors(&self) -> bool {
        true
    }

    /// The initial bias of `block`.
    fn bias(&self, block: usize) -> f32;

    /// Whether a step is piecewise linear in the state.
    fn piecewise_linear(&self) -> bool {
        false
    }
}

/// The trials that one thread computes, with its buffers.
pub(crate) trait Part<D>: Default + Send + Sync {
    /// The trials, their scored steps, and the state of the read-out.
    fn scoring(&mut self) -> &mut Scoring;

    /// Runs the trials and keeps what the backward pass needs. Writes hidden
    /// states to `hidden` (steps × trials × N), 0 past a trial's end. `inputs`
    /// are the trials' noisy inputs, steps × trials × (C + 1), the last channel
    /// 1. `noise_seed` is that of the noise inside the layer, if there is any.
    fn run(
        &mut self,
        layer: &Layer<D>,
        readout: &Readout,
        batch: &BatchView<'_>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayViewMut3<'_, f32>,
        noise_seed: Option<u64>,
    ) -> Result<()>;

    /// Runs the trials without noise up to the last scored step, keeping
    /// nothing.
    fn evaluate(&mut self, layer: &Layer<D>, readout: &Readout, batch: &BatchView<'_>) -> Result<()>;

    /// Backpropagation through time. Overwrites `recurrent` (blocks × N × N) and
    /// [`Part::gradients`] with the gradients of the loss of the last
    /// [`Part::run`], of whose scored states
    /// [`Scoring::differentiate`] was called, plus a term whose gradient with respect to
    /// the hidden states is `activity`.
    fn backward(
        &mut self,
        layer: &Layer<D>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayView3<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: &mut [f32],
    ) -> Result<()>;

    /// The gradients other than those of the recurrent blocks and the read-out.
    fn gradients(&mut self) -> Gradients<'_>;
}

/// Gradients computed by a backward pass.
pub(crate) struct Gradients<'a> {
    /// With respect to Wx and b of each block: blocks × (C + 1) × N.
    pub drive: &'a mut [f32],
    /// With respect to the further parameters.
    pub vectors: &'a mut [f32],
}

/// A recurrent layer and its weights.
pub(crate) struct Layer<D> {
    pub unit: D,
    /// Number of neurons N.
    pub neurons: usize,
    /// Number of input channels C.
    pub channels: usize,
    /// The blocks, N×N each; then for each block Wx and, below it, b, (C + 1) ×
    /// N; then the further parameters, N each.
    pub weights: Vec<f32>,
}

impl<D: Dynamics> Layer<D> {
    pub const COUNT: usize = D::BLOCKS.len();

    /// The range of a block in the weights.
    pub fn block(&self, block: usize) -> Range<usize> {
        let size = self.neurons * self.neurons;
        block * size..(block + 1) * size
    }

    /// The range of a block's Wx and b.
    pub fn drive(&self, block: usize) -> Range<usize> {
        let size = (self.channels + 1) * self.neurons;
        let start = Self::COUNT * self.neurons * self.neurons + block * size;
        start..start + size
    }

    /// The range of the further parameters.
    pub fn vectors(&self) -> Range<usize> {
        let start = self.drive(Self::COUNT).start;
        start..start + D::VECTORS.len() * self.neurons
    }
}
