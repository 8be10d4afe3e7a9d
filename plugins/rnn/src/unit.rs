//! Recurrent units, and how a layer of them runs forward and backward.
//!
//! A [`Unit`] names its recurrent blocks (one for each product with the
//! previous hidden state) and computes, element by element, a step from these
//! products and the gradients with respect to them. The [`Layer`] computes the
//! products, as [`crate::recurrence`] does for rectified units: one per block
//! and step, and one for the gradient of the weights over several steps.

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut3, Axis, s};
use pallium_core::prelude::*;
use pallium_core::random::Stream;
use pallium_linalg::{View, Write, product};
use rand::Rng;
use rand_distr::StandardNormal;

use crate::dynamics::{Dynamics, Gradients, Layer, Part};
use crate::elementwise::drop_negligible;
use crate::readout::Readout;
use crate::recurrence::{ROWS, add_step, contiguous, gaps};
use crate::scoring::Scoring;
use crate::step::UnitStep;

/// A recurrent unit. All its slices are trials × N, row-major.
///
/// At each step, the layer writes x·Wxᵦ + bᵦ of block b to the `kept` vector
/// `DRIVE[b]`, and h·Wᵦ to the vector `RECURRENT[b]`; if both are the same
/// vector, it holds the sum.
pub(crate) trait Unit: UnitStep + Send + Sync + 'static {
    /// Names of the recurrent blocks; block 0 starts from the given weights.
    const BLOCKS: &'static [&'static str];
    /// Suffixes of the names of the blocks' tensors.
    const SUFFIXES: &'static [&'static str];
    /// Number of vectors kept for each trial and step.
    const KEPT: usize;
    /// The kept vector that receives each block's drive.
    const DRIVE: &'static [usize];
    /// The kept vector that receives each block's recurrent product.
    const RECURRENT: &'static [usize];
    /// Number of gradients that a backward step computes. The first are with
    /// respect to each block's recurrent product.
    const DELTAS: usize;
    /// The index of the gradient with respect to each block's drive.
    const DRIVE_DELTA: &'static [usize];
    /// Names of further parameters, N each.
    const VECTORS: &'static [&'static str];

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

    /// Standard deviation, for each neuron, of the Gaussian noise added to kept
    /// vector 0 at each step while training; empty for no noise.
    fn noise(&self, vectors: &[f32]) -> Vec<f32>;

    /// Computes one step: the remaining `kept` vectors and the hidden state
    /// `next`. Before the first step, `before` is 0.
    fn forward(&self, vectors: &[f32], kept: &mut [f32], before: PreviousStep<'_>, next: &mut [f32]);

    /// Computes one step of backpropagation.
    fn backward(&self, vectors: &[f32], kept: &[f32], before: PreviousStep<'_>, back: BackwardStep<'_>);
}

/// Gradients of one step of backpropagation.
pub(crate) struct BackwardStep<'a> {
    /// In: the gradient with respect to the step's hidden state through the
    /// recurrent products.
    pub delta: &'a mut [f32],
    /// In: the gradient carried back by paths other than the recurrent
    /// products. Out: the same for the previous step.
    pub carry: &'a mut [f32],
    /// Out: `DELTAS` vectors.
    pub deltas: &'a mut [f32],
    /// The gradient with respect to the further parameters is added here.
    pub gradient: &'a mut [f32],
}

/// The previous step's kept vectors and hidden state.
#[derive(Clone, Copy)]
pub(crate) struct PreviousStep<'a> {
    pub kept: &'a [f32],
    pub hidden: &'a [f32],
}

/// The vector at `index`, each `size` long.
pub(crate) fn vector(all: &[f32], index: usize, size: usize) -> &[f32] {
    &all[index * size..(index + 1) * size]
}

/// The first K vectors, each `size` long.
pub(crate) fn vectors_mut<const K: usize>(all: &mut [f32], size: usize) -> [&mut [f32]; K] {
    let mut parts = all.chunks_exact_mut(size);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

impl<U: Unit> Dynamics for U {
    const BLOCKS: &'static [&'static str] = U::BLOCKS;
    const SUFFIXES: &'static [&'static str] = U::SUFFIXES;
    const VECTORS: &'static [&'static str] = U::VECTORS;
    type Part = UnitPart;

    fn vectors(&self, neurons: usize, seed: u64) -> Vec<f32> {
        Unit::vectors(self, neurons, seed)
    }

    fn trains_vectors(&self) -> bool {
        Unit::trains_vectors(self)
    }

    fn bias(&self, block: usize) -> f32 {
        Unit::bias(self, block)
    }

    fn piecewise_linear(&self) -> bool {
        Unit::piecewise_linear(self)
    }
}

impl<U: Unit> Layer<U> {
    /// Computes one step of some trials.
    fn step(
        &self,
        input: &[f32],
        first: bool,
        noise: &mut Noise,
        kept: &mut [f32],
        before: PreviousStep<'_>,
        next: &mut [f32],
    ) {
        let (n, size) = (self.neurons, next.len());
        let input = View::new(input, self.channels + 1);
        for block in 0..Self::COUNT {
            let drive = View::new(&self.weights[self.drive(block)], n);
            product(&mut kept[U::DRIVE[block] * size..][..size], Write::Replace, input, drive, 1.0);
            let to = &mut kept[U::RECURRENT[block] * size..][..size];
            let apart = U::RECURRENT[block] != U::DRIVE[block];
            match (first, apart) {
                (true, true) => to.fill(0.0),
                (true, false) => {}
                (false, _) => {
                    let accumulate = if apart { Write::Replace } else { Write::Add };
                    product(
                        to,
                        accumulate,
                        View::new(before.hidden, n),
                        View::new(&self.weights[self.block(block)], n),
                        1.0,
                    );
                }
            }
        }
        noise.add(&mut kept[..size], n);
        self.unit.forward(&self.weights[self.vectors()], kept, before, next);
    }
}

/// Recurrent noise of some trials. Each trial has its own stream, so the noise
/// does not depend on how trials are divided among threads.
#[derive(Default)]
struct Noise {
    scale: Vec<f32>,
    streams: Vec<Stream>,
}

impl Noise {
    fn start(&mut self, scale: Vec<f32>, seed: u64, trials: Range<usize>) {
        self.streams.clear();
        if !scale.is_empty() {
            self.streams
                .extend(trials.map(|trial| random::stream(seed, &format!("recurrent noise {trial}"))));
        }
        self.scale = scale;
    }

    fn add(&mut self, values: &mut [f32], neurons: usize) {
        for (row, stream) in values.chunks_exact_mut(neurons).zip(&mut self.streams) {
            for (value, &scale) in row.iter_mut().zip(&self.scale) {
                *value += scale * stream.sample::<f32, _>(StandardNormal);
            }
        }
    }
}

/// See [`Part`].
#[derive(Default)]
pub(crate) struct UnitPart {
    scoring: Scoring,
    noise: Noise,
    /// Kept vectors of all steps: steps × kept × trials × N.
    kept: Vec<f32>,
    /// Gradients with respect to Wx and b of each block.
    drive: Vec<f32>,
    /// Gradients with respect to the further parameters.
    vectors: Vec<f32>,
    /// Gradients of several steps, and one more slot: deltas × slots × trials ×
    /// N.
    deltas: Vec<f32>,
    /// Gradients of one step, and the gradient with respect to its hidden state.
    step: Vec<f32>,
    carry: Vec<f32>,
    room: Vec<f32>,
    /// Zeros: the state before the first step.
    zeros: Vec<f32>,
}

impl UnitPart {
    /// Prepares the zeros before the first step; returns the length of a vector
    /// of `rows` rows.
    fn prepare<U: Unit>(&mut self, layer: &Layer<U>, rows: usize) -> usize {
        let size = rows * layer.neurons;
        self.zeros.clear();
        self.zeros.resize(U::KEPT * size, 0.0);
        size
    }
}

impl<U: Unit> Part<U> for UnitPart {
    fn scoring(&mut self) -> &mut Scoring {
        &mut self.scoring
    }

    fn gradients(&mut self) -> Gradients<'_> {
        Gradients { drive: &mut self.drive, vectors: &mut self.vectors }
    }

    fn run(
        &mut self,
        layer: &Layer<U>,
        readout: &Readout,
        _: &BatchView<'_>,
        inputs: ArrayView3<'_, f32>,
        mut hidden: ArrayViewMut3<'_, f32>,
        noise_seed: Option<u64>,
    ) -> Result<()> {
        let size = self.prepare(layer, self.scoring.count());
        match noise_seed {
            Some(noise_seed) => {
                let noise = layer.unit.noise(&layer.weights[layer.vectors()]);
                self.noise.start(noise, noise_seed, self.scoring.trials());
            }
            None => self.noise.start(Vec::new(), 0, 0..0),
        }
        let mut cursor = 0;
        let steps = self.scoring.steps();
        let stride = U::KEPT * size;
        let mut kept = std::mem::take(&mut self.kept);
        kept.resize(steps * stride, 0.0);
        for step in 0..steps {
            let (earlier, mut from) = hidden.view_mut().split_at(Axis(0), step);
            let previous = step.checked_sub(1).map(|last| earlier.index_axis_move(Axis(0), last));
            let (kept_before, kept_now) = kept.split_at_mut(step * stride);
            let before = match &previous {
                Some(previous) => PreviousStep {
                    kept: &kept_before[(step - 1) * stride..],
                    hidden: previous.as_slice().ok_or_else(gaps)?,
                },
                None => PreviousStep { kept: &self.zeros, hidden: &self.zeros[..size] },
            };
            let mut next = from.index_axis_mut(Axis(0), 0);
            let next = next.as_slice_mut().ok_or_else(gaps)?;
            let input = inputs.index_axis(Axis(0), step);
            let input = input.as_slice().ok_or_else(gaps)?;
            layer.step(input, step == 0, &mut self.noise, &mut kept_now[..stride], before, next);
            self.scoring.silence(step, next, layer.neurons);
            self.scoring.read(step, next, readout, &mut cursor)?;
        }
        self.kept = kept;
        hidden.slice_mut(s![steps.., .., ..]).fill(0.0);
        self.scoring.flush(readout)
    }

    fn evaluate(&mut self, layer: &Layer<U>, readout: &Readout, batch: &BatchView<'_>) -> Result<()> {
        self.scoring.share_rows(batch);
        let (rows, width) = (self.scoring.firsts().len(), layer.channels + 1);
        let size = self.prepare(layer, rows);
        self.noise.start(Vec::new(), 0, 0..0);
        let stride = U::KEPT * size;
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        room.resize(2 * (stride + size) + rows * width, 0.0);
        let (states, input) = room.split_at_mut(2 * (stride + size));
        let (mut previous, mut next) = states.split_at_mut(stride + size);

        let mut cursor = 0;
        for step in 0..self.scoring.scored_steps() {
            self.scoring.fill_inputs(batch, step, input);
            let (kept, state) = next.split_at_mut(stride);
            let before = PreviousStep { kept: &previous[..stride], hidden: &previous[stride..] };
            layer.step(input, step == 0, &mut self.noise, kept, before, state);
            self.scoring.read(step, state, readout, &mut cursor)?;
            std::mem::swap(&mut previous, &mut next);
        }
        self.room = room;
        self.scoring.flush(readout)
    }

    fn backward(
        &mut self,
        layer: &Layer<U>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayView3<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: &mut [f32],
    ) -> Result<()> {
        let size = self.prepare(layer, self.scoring.count());
        let (trials, n, width) = (self.scoring.count(), layer.neurons, layer.channels + 1);
        let (blocks, stride) = (Layer::<U>::COUNT, U::KEPT * size);
        let slots = (ROWS / trials).max(1);
        let row = (slots + 1) * size;

        recurrent.fill(0.0);
        self.drive.clear();
        self.drive.resize(blocks * width * n, 0.0);
        self.vectors.clear();
        self.vectors.resize(U::VECTORS.len() * n, 0.0);
        self.carry.clear();
        self.carry.resize(size, 0.0);
        self.step.resize((U::DELTAS + 1) * size, 0.0);
        // Every slot is written before it is read, except the one past the last
        // step.
        let mut deltas = std::mem::take(&mut self.deltas);
        deltas.resize(U::DELTAS * row, 0.0);

        let steps = self.scoring.gradient_steps(activity.is_some());
        let mut scored = self.scoring.scored();
        // Whether any gradient reaches the previous step.
        let mut alive = false;
        let mut end = steps;
        while end > 0 {
            // Slots 0.. hold steps start..end; the next slot holds the deltas
            // of step `end`, if it exists.
            let start = end - slots.min(end);
            let mut first = start;
            if end < steps {
                for deltas in deltas.chunks_exact_mut(row) {
                    deltas.copy_within(..size, (end - start) * size);
                }
            }
            for step in (start..end).rev() {
                let (own, delta) = self.step.split_at_mut(U::DELTAS * size);
                if alive {
                    for (block, later) in deltas.chunks_exact(row).take(blocks).enumerate() {
                        let later = View::new(&later[(step + 1 - start) * size..][..size], n);
                        let weights = View::new(&layer.weights[layer.block(block)], n).transposed();
                        let accumulate = if block == 0 { Write::Replace } else { Write::Add };
                        product(delta, accumulate, later, weights, 1.0);
                    }
                } else {
                    delta.fill(0.0);
                }
                self.scoring.add_gradient(step, delta, n, &mut scored);
                if let Some(activity) = activity {
                    add_step(delta, activity, step);
                }
                // Past a trial's end, the state is a constant 0.
                self.scoring.silence(step, delta, n);
                let previous = step.checked_sub(1).map(|last| hidden.index_axis(Axis(0), last));
                let before = match &previous {
                    Some(previous) => PreviousStep {
                        kept: &self.kept[(step - 1) * stride..step * stride],
                        hidden: previous.as_slice().ok_or_else(gaps)?,
                    },
                    None => PreviousStep { kept: &self.zeros, hidden: &self.zeros[..size] },
                };
                let kept = &self.kept[step * stride..(step + 1) * stride];
                let vectors = &layer.weights[layer.vectors()];
                let back =
                    BackwardStep { delta, carry: &mut self.carry, deltas: own, gradient: &mut self.vectors };
                layer.unit.backward(vectors, kept, before, back);
                self.scoring.silence(step, &mut self.carry, n);
                alive = drop_negligible(own) | drop_negligible(&mut self.carry);
                for (deltas, own) in deltas.chunks_exact_mut(row).zip(own.chunks_exact(size)) {
                    deltas[(step - start) * size..][..size].copy_from_slice(own);
                }
                // If no gradient is left and no earlier step is scored, all
                // earlier steps have gradient 0.
                if !alive && scored == 0 && activity.is_none() {
                    first = step + 1;
                    break;
                }
            }

            let input = contiguous(inputs.slice(s![first..end, .., ..]), &mut self.room)?;
            for (block, drive) in self.drive.chunks_exact_mut(width * n).enumerate() {
                let delta = &vector(&deltas, U::DRIVE_DELTA[block], row)
                    [(first - start) * size..(end - start) * size];
                product(drive, Write::Add, View::new(input, width).transposed(), View::new(delta, n), 1.0);
            }
            // The first step has no previous state.
            let from = first.max(1);
            if from < end {
                let state = contiguous(hidden.slice(s![from - 1..end - 1, .., ..]), &mut self.room)?;
                for (block, recurrent) in recurrent.chunks_exact_mut(n * n).enumerate() {
                    let delta = &vector(&deltas, block, row)[(from - start) * size..(end - start) * size];
                    product(
                        recurrent,
                        Write::Add,
                        View::new(state, n).transposed(),
                        View::new(delta, n),
                        1.0,
                    );
                }
            }
            end = if first > start { 0 } else { start };
        }
        self.deltas = deltas;
        Ok(())
    }
}
