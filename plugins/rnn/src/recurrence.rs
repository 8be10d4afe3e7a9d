//! Rectified units: the recurrence and its gradient, fused for speed.
//!
//! Hidden states lie in one buffer, steps × trials × N. A forward step is one
//! pass: the product with the recurrent weights, the product with the inputs
//! (the bias is the weight of an input that is always 1) while the sums are in
//! registers, and the rectifier. A backward step is one product and one pass;
//! the gradient of the weights is summed over several steps while its operands
//! are in the cache. These products skip silent units ([`crate::sparse`]).
//! h_0 = 0 saves the first product. A step allocates no large buffers.
//!
//! Threads divide a batch by trials; each has a [`RectifiedPart`].
//! Backpropagation through time: Werbos 1990.

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut3, Axis, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};
use pulp::Simd;

use crate::dynamics::{Dynamics, Gradients, Layer, Part};
use crate::elementwise::{
    NEGLIGIBLE, activate_leaky, activate_leaky_first, add, drop_negligible, gate, gate_leaky,
};
use crate::readout::Readout;
use crate::scoring::Scoring;
use crate::sparse::{self, Factors, Finish, Lists, Panels, Sums};
use crate::step::UnitStep;

/// Number of rows (steps × trials) that one product sums for the weights'
/// gradient.
pub(crate) const ROWS: usize = 640;

/// Rectified units: h_t = (1 − leak)·h_{t−1} + leak·relu(x_t·Wx + h_{t−1}·W + b).
#[derive(Clone, Copy)]
pub(crate) struct Rectified {
    /// dt/τ, above 0 and at most 1.
    pub leak: f32,
}

impl Dynamics for Rectified {
    const BLOCKS: &'static [&'static str] = &["recurrent"];
    const SUFFIXES: &'static [&'static str] = &[""];
    const VECTORS: &'static [&'static str] = &[];
    type Part = RectifiedPart;

    fn vectors(&self, _: usize, _: u64) -> Vec<f32> {
        Vec::new()
    }

    fn bias(&self, _: usize) -> f32 {
        0.0
    }

    fn piecewise_linear(&self) -> bool {
        true
    }
}

impl UnitStep for Rectified {
    fn next(&self, drive: &[f64], product: &[f64], state: &[f64], _: &[f64], next: &mut [f64]) {
        let leak = f64::from(self.leak);
        next[0] = (1.0 - leak) * state[0] + leak * (drive[0] + product[0]).max(0.0);
    }

    fn gradient(
        &self,
        drive: &[f64],
        product: &[f64],
        _: &[f64],
        _: &[f64],
        in_next: &[f64],
        in_drive: &mut [f64],
        in_product: &mut [f64],
        in_state: &mut [f64],
    ) {
        let leak = f64::from(self.leak);
        in_drive[0] = if drive[0] + product[0] > 0.0 { leak * in_next[0] } else { 0.0 };
        in_product[0] = in_drive[0];
        in_state[0] = (1.0 - leak) * in_next[0];
    }
}

impl Layer<Rectified> {
    /// W, and Wx with b below it.
    fn split(&self) -> (&[f32], &[f32]) {
        self.weights.split_at(self.neurons * self.neurons)
    }
}

/// Buffers of the forward steps.
#[derive(Default)]
struct Steps {
    recurrent: Panels,
    drive: Panels,
    lists: Lists,
}

impl Steps {
    /// Copies the layer's weights.
    fn start(&mut self, layer: &Layer<Rectified>) {
        let (recurrent, drive) = layer.split();
        self.recurrent.copy_from(recurrent, layer.neurons);
        self.drive.copy_from(drive, layer.neurons);
    }

    /// Computes one step of some trials: from `previous` (none at the first
    /// step) and `input` (trials × (C + 1), the last column 1) to `next`
    /// (trials × N).
    fn step(
        &mut self,
        layer: &Layer<Rectified>,
        order: &[u32],
        input: &[f32],
        previous: Option<&[f32]>,
        next: &mut [f32],
    ) {
        let leak = layer.unit.leak;
        let Steps { recurrent, drive, lists } = self;
        if let Some(previous) = previous {
            lists.fill(previous, order);
        }
        let drive = Some(Factors { left: input, right: drive });
        let recurrent = previous.map(|left| (Factors { left, right: recurrent }, &*lists));
        if leak == 1.0 {
            sparse::product(next, recurrent, drive, order, &Rectify);
            return;
        }
        sparse::product(next, recurrent, drive, order, &Sums);
        match previous {
            Some(previous) => activate_leaky(next, previous, leak),
            None => activate_leaky_first(next, leak),
        }
    }
}

/// Rectifies a step's sums into its hidden states.
struct Rectify;

impl Finish for Rectify {
    #[inline(always)]
    fn finish<S: Simd, const VECTORS: usize>(&self, simd: S, _: Range<usize>, sums: &mut [S::f32s; VECTORS]) {
        // NaN is not below 0, so it stays NaN.
        let zero = simd.splat_f32s(0.0);
        for sum in sums {
            *sum = simd.select_f32s(simd.less_than_f32s(*sum, zero), zero, *sum);
        }
    }
}

/// Keeps a step's gradients where its hidden states are above 0, as [`gate`]
/// does, and drops negligible ones, as [`drop_negligible`] does.
struct Gate<'a> {
    state: &'a [f32],
}

impl Finish for Gate<'_> {
    #[inline(always)]
    fn finish<S: Simd, const VECTORS: usize>(
        &self,
        simd: S,
        at: Range<usize>,
        sums: &mut [S::f32s; VECTORS],
    ) {
        let state: [_; VECTORS] = sparse::load(simd, &self.state[at]);
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let negligible = simd.splat_f32s(NEGLIGIBLE);
        for (sum, state) in sums.iter_mut().zip(state) {
            let passes = simd.select_f32s(simd.less_than_f32s(zero, state), one, zero);
            let passed = simd.mul_f32s(*sum, passes);
            let little = simd.less_than_or_equal_f32s(simd.abs_f32s(passed), negligible);
            *sum = simd.select_f32s(little, zero, passed);
        }
    }
}

/// See [`Part`].
#[derive(Default)]
pub(crate) struct RectifiedPart {
    scoring: Scoring,
    /// Gradient with respect to Wx and, below it, b: (C + 1) × N.
    drive: Vec<f32>,
    /// Gradients with respect to the relu's arguments of several steps, and one
    /// more slot.
    deltas: Vec<f32>,
    /// Gradient with respect to the hidden state, for leaky units.
    carry: Vec<f32>,
    /// Contiguous inputs of several steps; in evaluation, two steps' hidden
    /// states and an input.
    room: Vec<f32>,
    forward: Steps,
    /// The transpose of W.
    transposed: Panels,
    /// Gradient with respect to W.
    recurrent: Panels,
    outer: sparse::Workspace,
}

impl Part<Rectified> for RectifiedPart {
    fn scoring(&mut self) -> &mut Scoring {
        &mut self.scoring
    }

    fn gradients(&mut self) -> Gradients<'_> {
        Gradients { drive: &mut self.drive, vectors: &mut [] }
    }

    fn run(
        &mut self,
        layer: &Layer<Rectified>,
        readout: &Readout,
        batch: &BatchView<'_>,
        inputs: ArrayView3<'_, f32>,
        mut hidden: ArrayViewMut3<'_, f32>,
        _: Option<u64>,
    ) -> Result<()> {
        self.scoring.sort(batch);
        self.forward.start(layer);
        let mut cursor = 0;
        let steps = self.scoring.steps();
        for step in 0..steps {
            let (before, mut from) = hidden.view_mut().split_at(Axis(0), step);
            let previous = step.checked_sub(1).map(|last| before.index_axis_move(Axis(0), last));
            let previous = previous.as_ref().and_then(|p| p.as_slice());
            let mut next = from.index_axis_mut(Axis(0), 0);
            let input = inputs.index_axis(Axis(0), step);
            let (Some(next), Some(input)) = (next.as_slice_mut(), input.as_slice()) else {
                return Err(gaps());
            };
            self.forward.step(layer, self.scoring.order(), input, previous, next);
            self.scoring.silence(step, next, layer.neurons);
            self.scoring.read(step, next, readout, &mut cursor)?;
        }
        hidden.slice_mut(s![steps.., .., ..]).fill(0.0);
        self.scoring.flush(readout)
    }

    fn evaluate(&mut self, layer: &Layer<Rectified>, readout: &Readout, batch: &BatchView<'_>) -> Result<()> {
        self.scoring.share_rows(batch);
        self.scoring.sort(batch);
        let (rows, neurons, width) = (self.scoring.firsts().len(), layer.neurons, layer.channels + 1);
        let mut room = std::mem::take(&mut self.room);
        room.resize(rows * (2 * neurons + width), 0.0);
        let (states, input) = room.split_at_mut(2 * rows * neurons);
        let (mut previous, mut next) = states.split_at_mut(rows * neurons);

        self.forward.start(layer);
        let mut cursor = 0;
        let steps = self.scoring.scored_steps();
        for step in 0..steps {
            self.scoring.fill_inputs(batch, step, input);
            self.forward.step(layer, self.scoring.order(), input, (step > 0).then_some(&*previous), next);
            self.scoring.read(step, next, readout, &mut cursor)?;
            std::mem::swap(&mut previous, &mut next);
        }
        self.room = room;
        self.scoring.flush(readout)
    }

    fn backward(
        &mut self,
        layer: &Layer<Rectified>,
        inputs: ArrayView3<'_, f32>,
        hidden: ArrayView3<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: &mut [f32],
    ) -> Result<()> {
        let (trials, neurons, width) = (self.scoring.count(), layer.neurons, layer.channels + 1);
        let size = trials * neurons;
        let slots = (ROWS / trials).max(1);
        let leak = layer.unit.leak;
        let leaky = leak < 1.0;
        self.transposed.copy_from_transposed(layer.split().0, neurons);

        self.recurrent.clear(neurons, neurons);
        self.drive.clear();
        self.drive.resize(width * neurons, 0.0);
        // Every slot is written before it is read, except the one past the last
        // step.
        let mut deltas = std::mem::take(&mut self.deltas);
        deltas.resize((slots + 1) * size, 0.0);
        let mut carry = std::mem::take(&mut self.carry);
        carry.clear();
        carry.resize(if leaky { size } else { 0 }, 0.0);

        let steps = self.scoring.gradient_steps(activity.is_some());
        let mut scored = self.scoring.scored();
        // Whether any gradient may reach the previous step.
        let mut alive = false;
        let mut end = steps;
        while end > 0 {
            // Slots 0.. hold steps start..end; the next slot holds the delta of
            // step `end`, if it exists.
            let start = end - slots.min(end);
            let mut first = start;
            if end < steps {
                deltas.copy_within(..size, (end - start) * size);
            }
            for step in (start..end).rev() {
                let (delta, later) = deltas[(step - start) * size..].split_at_mut(size);
                let state = hidden.index_axis(Axis(0), step);
                let state = state.as_slice().ok_or_else(gaps)?;
                let order = self.scoring.order();
                let later = &later[..size];
                if alive {
                    self.forward.lists.fill(later, order);
                    alive = !self.forward.lists.is_empty();
                }
                let later = (Factors { left: later, right: &self.transposed }, &self.forward.lists);
                if alive && !leaky && activity.is_none() && !self.scoring.is_scored(step, scored) {
                    // No gradient passes where hidden states are 0, as past a
                    // trial's end. The next step determines whether any
                    // gradient is left.
                    sparse::product(delta, Some(later), None, order, &Gate { state });
                } else {
                    if alive {
                        sparse::product(delta, Some(later), None, order, &Sums);
                    } else {
                        delta.fill(0.0);
                    }
                    self.scoring.add_gradient(step, delta, neurons, &mut scored);
                    if let Some(activity) = activity {
                        add_step(delta, activity, step);
                    }
                    if leaky && step > 0 {
                        let previous = hidden.index_axis(Axis(0), step - 1);
                        gate_leaky(delta, &mut carry, state, previous.as_slice().ok_or_else(gaps)?, leak);
                    } else {
                        if leaky {
                            for (delta, carry) in delta.iter_mut().zip(&carry) {
                                *delta = leak * (*delta + (1.0 - leak) * carry);
                            }
                        }
                        gate(delta, state);
                    }
                    // Past a trial's end, the state is a constant 0.
                    self.scoring.silence(step, delta, neurons);
                    if leaky {
                        self.scoring.silence(step, &mut carry, neurons);
                    }
                    alive = drop_negligible(delta) | drop_negligible(&mut carry);
                }
                // If no gradient is left and no earlier step is scored, all
                // earlier steps have gradient 0.
                if !alive && scored == 0 && activity.is_none() {
                    first = step + 1;
                    break;
                }
            }

            if first < end {
                let delta = View::new(&deltas[(first - start) * size..(end - start) * size], neurons);
                let input = contiguous(inputs.slice(s![first..end, .., ..]), &mut self.room)?;
                product(&mut self.drive, Write::Add, View::new(input, width).transposed(), delta, 1.0);
            }
            // The first step has no previous state.
            let from = first.max(1);
            if from < end {
                let mut states = Vec::with_capacity(slots);
                for step in from - 1..end - 1 {
                    let state = hidden.index_axis_move(Axis(0), step);
                    states.push(state.to_slice().ok_or_else(gaps)?);
                }
                let deltas: Vec<&[f32]> =
                    deltas[(from - start) * size..(end - start) * size].chunks_exact(size).collect();
                let order = self.scoring.order();
                sparse::add_outer(&mut self.recurrent, &states, &deltas, order, &mut self.outer);
            }
            end = if first > start { 0 } else { start };
        }
        self.recurrent.write_to(recurrent);
        self.deltas = deltas;
        self.carry = carry;
        Ok(())
    }
}

/// The values of `view` as a contiguous slice, copied into `room` if necessary.
pub(crate) fn contiguous<'a>(view: ArrayView3<'a, f32>, room: &'a mut Vec<f32>) -> Result<&'a [f32]> {
    if let Some(values) = view.to_slice() {
        return Ok(values);
    }
    room.clear();
    for step in view.outer_iter() {
        room.extend_from_slice(step.as_slice().ok_or_else(gaps)?);
    }
    Ok(room)
}

/// Adds the values of `terms` (steps × trials × N) at `step` to `sum`.
pub(crate) fn add_step(sum: &mut [f32], terms: ArrayView3<'_, f32>, step: usize) {
    let term = terms.index_axis(Axis(0), step);
    match term.as_slice() {
        Some(term) => add(sum, term),
        None => sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term),
    }
}

pub(crate) fn gaps() -> Error {
    Error::bug("a step of the hidden states is not contiguous")
}
