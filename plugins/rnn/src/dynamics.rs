//! A recurrent layer and the trials that one thread runs through it: what
//! [`crate::trained`] makes a model of.
//!
//! Two kinds of dynamics exist: rectified units, fused for speed
//! ([`crate::recurrence`]), and any [`crate::unit::Unit`].

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut3};
use pallium_core::prelude::*;

use crate::readout::{Readout, Score};
use crate::scoring::Scoring;

/// How a layer's state follows from the one before.
pub(crate) trait Dynamics: Send + Sync + Sized + 'static {
    /// Names of the recurrent blocks; block 0 is the one that weights are given
    /// for.
    const BLOCKS: &'static [&'static str];
    /// Ends of the names of the blocks' tensors.
    const SUFFIXES: &'static [&'static str];
    /// Names of further parameters, N each.
    const VECTORS: &'static [&'static str];
    /// What one thread needs to run its trials.
    type Part: Part<Self>;

    /// The further parameters to start from, one after another.
    fn vectors(&self, neurons: usize, seed: u64) -> Vec<f32>;

    /// The bias of `block` to start from.
    fn bias(&self, block: usize) -> f32;
}

/// The trials that one thread computes, and the room it needs to do so.
pub(crate) trait Part<D>: Default + Send + Sync {
    /// Which trials they are, which of their steps count, and what the read-out
    /// makes of them.
    fn scoring(&mut self) -> &mut Scoring;

    /// Runs the trials and keeps what the backward pass needs; hidden states go
    /// to `hidden` (steps × trials × N) and are zero past a trial's end.
    /// `inputs` is steps × trials × (C + 1), the last channel 1: those of the
    /// trials in `batch`, with noise. To learn, also leaves the read-out's
    /// gradients.
    fn run(
        &mut self,
        layer: &Layer<D>,
        readout: &Readout,
        batch: &BatchView<'_>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayViewMut3<'_, f32>,
        learn: Option<Learn>,
    ) -> Result<Score>;

    /// Runs the trials without noise up to the last step that counts, keeping
    /// nothing.
    fn evaluate(&mut self, layer: &Layer<D>, readout: &Readout, batch: &BatchView<'_>) -> Result<Score>;

    /// Backpropagation through time. Overwrites `recurrent` (blocks × N × N) and
    /// [`Part::gradients`] with the gradient of the last learning
    /// [`Part::run`]'s loss, plus that of a term whose gradient in the hidden
    /// states is `activity`.
    fn backward(
        &mut self,
        layer: &Layer<D>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayView3<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: &mut [f32],
    ) -> Result<()>;

    /// The gradients besides those of the recurrent blocks and of the read-out.
    fn gradients(&mut self) -> Gradients<'_>;
}

/// What a pass for learning needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Learn {
    /// The loss is this times the sum of weighted cross-entropies.
    pub scale: f64,
    /// Seed of noise within the layer.
    pub noise_seed: u64,
}

/// Gradients that a backward pass leaves.
pub(crate) struct Gradients<'a> {
    /// In Wx and b of each block: blocks × (C + 1) × N.
    pub drive: &'a mut [f32],
    /// In the further parameters.
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

    /// Where a block lies among the weights.
    pub fn block(&self, block: usize) -> Range<usize> {
        let size = self.neurons * self.neurons;
        block * size..(block + 1) * size
    }

    /// Where a block's Wx and b lie.
    pub fn drive(&self, block: usize) -> Range<usize> {
        let size = (self.channels + 1) * self.neurons;
        let start = Self::COUNT * self.neurons * self.neurons + block * size;
        start..start + size
    }

    /// Where the further parameters lie.
    pub fn vectors(&self) -> Range<usize> {
        let start = self.drive(Self::COUNT).start;
        start..start + D::VECTORS.len() * self.neurons
    }
}
