//! One time step of some trials, forward and backward, along the connections.
//!
//! For units j and trials b, with h_{−1} = 0:
//!
//! > y_t = f(x_t·Wx + h_{t−1}·W + b + noise),  h_t = (1 − α)∘h_{t−1} + α∘y_t.
//!
//! Forward, each unit adds what its incoming connections bring. Backward, each unit
//! i goes once through its outgoing connections i → j: they bring back the gradient
//! Σ_j W_ij·δ_{t+1,j}, and the same loads give the gradient of each weight,
//! h_{t,i}·δ_{t+1,j}. A rectified unit without leak that is silent in all trials
//! needs neither.

use pallium_core::prelude::*;
use pulp::{Simd, WithSimd};

use super::lanes::{Lanes, add_times, by_length, dot, each, load, store};
use crate::elementwise::{NEGLIGIBLE, tanh};
use crate::leaky::{Transfer, softplus};

/// What a network's units compute, ready for the steps of a batch.
pub(super) struct Layer<'a> {
    pub transfer: Transfer,
    /// α of each unit; empty if all are 1.
    pub alphas: &'a [f32],
    /// Number of input channels C.
    pub channels: usize,
    /// Number of outputs K.
    pub outputs: usize,
    /// Connections to each unit, with the weight of each.
    pub incoming: (ConnectionsView<'a>, &'a [f32]),
    /// Connections from each unit, with the weight of each.
    pub outgoing: (ConnectionsView<'a>, &'a [f32]),
    /// For each unit the weights from the channels and the bias: N × (C + 1).
    pub drive: &'a [f32],
    /// N × K.
    pub readout: &'a [f32],
    pub readout_bias: &'a [f32],
}

impl Layer<'_> {
    pub fn units(&self) -> usize {
        self.incoming.0.dim().0
    }

    fn alpha(&self, unit: usize) -> f32 {
        self.alphas.get(unit).copied().unwrap_or(1.0)
    }

    /// Whether h says everything about y.
    pub fn keeps_nothing(&self) -> bool {
        self.alphas.is_empty()
    }
}

/// The inputs of a step: C + 1 values for each trial, the last 1; and the channels
/// that are not 0 in all trials.
pub(super) struct Inputs {
    pub values: Vec<Lanes>,
    pub active: Vec<u32>,
}

/// A step forward.
pub(super) struct Forward<'a> {
    pub layer: &'a Layer<'a>,
    pub inputs: &'a Inputs,
    /// h_{t−1}; none at the first step.
    pub previous: Option<&'a [Lanes]>,
    /// Noise in the arguments of f.
    pub noise: Option<&'a [Lanes]>,
    /// 1 for trials that go on, 0 for others; none if all do.
    pub going: Option<&'a Lanes>,
    /// h_t.
    pub next: &'a mut [Lanes],
    /// y_t; empty if it is not kept.
    pub kept: &'a mut [Lanes],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_length!(simd, forward, self);
    }
}

#[inline(always)]
fn forward<S: Simd, const V: usize>(simd: S, of: Forward<'_>) {
    let Forward { layer, inputs, previous, noise, going, next, kept } = of;
    let (pairs, weights) = layer.incoming;
    let width = layer.channels + 1;
    let going = going.map(|going| load::<S, V>(simd, going));
    for (j, next) in next.iter_mut().enumerate() {
        let drive = &layer.drive[j * width..][..width];
        let mut sums = [simd.splat_f32s(drive[layer.channels]); V];
        for &c in &inputs.active {
            let values = load(simd, &inputs.values[c as usize]);
            sums = add_times(simd, sums, drive[c as usize], values);
        }
        if let Some(noise) = noise {
            sums = add_times(simd, sums, 1.0, load(simd, &noise[j]));
        }
        if let Some(previous) = previous {
            let range = pairs.range(j);
            for (&i, &w) in pairs.indices()[range.clone()].iter().zip(&weights[range]) {
                sums = add_times(simd, sums, w, load(simd, &previous[i as usize]));
            }
        }
        let mut state = transferred(simd, layer.transfer, sums);
        if let Some(kept) = kept.get_mut(j) {
            store(simd, kept, state);
        }
        if !layer.alphas.is_empty() {
            let alpha = layer.alphas[j];
            let before = previous.map_or(Lanes::ZERO, |previous| previous[j]);
            let none = [simd.splat_f32s(0.0); V];
            let rest = add_times(simd, none, 1.0 - alpha, load(simd, &before));
            state = add_times(simd, rest, alpha, state);
        }
        if let Some(going) = going {
            state = where_going(simd, state, going);
        }
        store(simd, next, state);
    }
}

/// `values` of trials that go on, 0 of others, even if it would be NaN.
#[inline(always)]
fn where_going<S: Simd, const V: usize>(simd: S, values: [S::f32s; V], going: [S::f32s; V]) -> [S::f32s; V] {
    let zero = simd.splat_f32s(0.0);
    let mut left = values;
    for (value, going) in left.iter_mut().zip(going) {
        *value = simd.select_f32s(simd.less_than_f32s(zero, going), *value, zero);
    }
    left
}

#[inline(always)]
fn transferred<S: Simd, const V: usize>(simd: S, transfer: Transfer, sums: [S::f32s; V]) -> [S::f32s; V] {
    match transfer {
        Transfer::Relu => {
            // NaN is not below 0, so it stays NaN.
            let zero = simd.splat_f32s(0.0);
            let mut values = sums;
            for value in &mut values {
                *value = simd.select_f32s(simd.less_than_f32s(*value, zero), zero, *value);
            }
            values
        }
        Transfer::Tanh => each(simd, sums, tanh),
        Transfer::Softplus => each(simd, sums, softplus),
    }
}

/// The outputs of a step: K values for each trial.
pub(super) struct ReadOut<'a> {
    pub layer: &'a Layer<'a>,
    pub states: &'a [Lanes],
    pub outputs: &'a mut [Lanes],
}

impl WithSimd for ReadOut<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_length!(simd, read_out, self);
    }
}

/// Outputs that are summed at once.
const AT_ONCE: usize = 4;

#[inline(always)]
fn read_out<S: Simd, const V: usize>(simd: S, of: ReadOut<'_>) {
    let ReadOut { layer, states, outputs } = of;
    for (chunk, outputs) in outputs.chunks_mut(AT_ONCE).enumerate() {
        let first = chunk * AT_ONCE;
        let mut sums = [[simd.splat_f32s(0.0); V]; AT_ONCE];
        for (weights, state) in layer.readout.chunks_exact(layer.outputs).zip(states) {
            let state = load(simd, state);
            for (sum, &w) in sums.iter_mut().zip(&weights[first..]) {
                *sum = add_times(simd, *sum, w, state);
            }
        }
        for (k, (output, sum)) in outputs.iter_mut().zip(sums).enumerate() {
            let bias = [simd.splat_f32s(layer.readout_bias[first + k]); V];
            store(simd, output, add_times(simd, bias, 1.0, sum));
        }
    }
}

/// Gradients that several trials add to.
#[derive(Default)]
pub(super) struct Gradients {
    /// Of the weight of each outgoing connection.
    pub weights: Vec<f32>,
    /// Of Wx and b, as [`Layer::drive`].
    pub drive: Vec<f32>,
    /// Of α of each unit; empty if it is not asked for.
    pub alphas: Vec<f32>,
    /// N × K.
    pub readout: Vec<f32>,
}

impl Gradients {
    pub fn clear(&mut self, layer: &Layer<'_>, alphas: bool) {
        let n = layer.units();
        for (values, length) in [
            (&mut self.weights, layer.outgoing.1.len()),
            (&mut self.drive, layer.drive.len()),
            (&mut self.alphas, if alphas { n } else { 0 }),
            (&mut self.readout, layer.readout.len()),
        ] {
            values.clear();
            values.resize(length, 0.0);
        }
    }

    pub fn parts(&mut self) -> [&mut Vec<f32>; 4] {
        [&mut self.weights, &mut self.drive, &mut self.alphas, &mut self.readout]
    }
}

/// A step backward.
pub(super) struct Backward<'a> {
    pub layer: &'a Layer<'a>,
    pub inputs: &'a Inputs,
    /// h_t, and y_t if it is kept.
    pub states: &'a [Lanes],
    pub kept: &'a [Lanes],
    /// h_{t−1}; none at the first step.
    pub previous: Option<&'a [Lanes]>,
    /// δ_{t+1}, the gradient in the arguments of f one step later; none if it is 0.
    pub later: Option<&'a [Lanes]>,
    /// The gradient in the outputs of this step, K values; none if it is not scored.
    pub in_outputs: Option<&'a [Lanes]>,
    /// The gradient of a further term in h_t.
    pub in_states: Option<&'a [Lanes]>,
    /// See [`Forward::going`].
    pub going: Option<&'a Lanes>,
    /// In: the gradient in h_t through h_{t+1} directly. Out: the same for h_{t−1}.
    pub carry: &'a mut [Lanes],
    /// Out: δ_t.
    pub delta: &'a mut [Lanes],
    pub gradients: &'a mut Gradients,
}

impl WithSimd for Backward<'_> {
    /// Whether any gradient is left for the step before.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        by_length!(simd, backward, self)
    }
}

#[inline(always)]
fn backward<S: Simd, const V: usize>(simd: S, of: Backward<'_>) -> bool {
    let Backward {
        layer,
        inputs,
        states,
        kept,
        previous,
        later,
        in_outputs,
        in_states,
        going,
        carry,
        delta,
        gradients,
    } = of;
    let (pairs, weights) = layer.outgoing;
    let (width, outputs) = (layer.channels + 1, layer.outputs);
    let rectified = layer.keeps_nothing() && matches!(layer.transfer, Transfer::Relu);
    let going = going.map(|going| load::<S, V>(simd, going));
    let mut left = false;
    for (i, delta) in delta.iter_mut().enumerate() {
        let state = &states[i];
        // Neither a gradient passes, nor do weights from here have one.
        if rectified && state.is_zero() {
            *delta = Lanes::ZERO;
            continue;
        }
        let state = load::<S, V>(simd, state);
        let mut total = [simd.splat_f32s(0.0); V];
        if let Some(later) = later {
            let range = pairs.range(i);
            let targets = pairs.indices()[range.clone()].iter().zip(&weights[range.clone()]);
            for ((&j, &w), gradient) in targets.zip(&mut gradients.weights[range]) {
                let later = load(simd, &later[j as usize]);
                total = add_times(simd, total, w, later);
                *gradient += dot(simd, state, later);
            }
        }
        if let Some(in_outputs) = in_outputs {
            let range = i * outputs..(i + 1) * outputs;
            let weights = layer.readout[range.clone()].iter().zip(in_outputs);
            for ((&w, slope), gradient) in weights.zip(&mut gradients.readout[range]) {
                let slope = load(simd, slope);
                total = add_times(simd, total, w, slope);
                *gradient += dot(simd, state, slope);
            }
        }
        if let Some(in_states) = in_states {
            total = add_times(simd, total, 1.0, load(simd, &in_states[i]));
        }
        let alpha = layer.alpha(i);
        if !layer.alphas.is_empty() {
            total = add_times(simd, total, 1.0, load(simd, &carry[i]));
        }
        if let Some(going) = going {
            total = where_going(simd, total, going);
        }
        // y_t: the state itself, unless units leak.
        let transferred = kept.get(i).map_or(state, |kept| load(simd, kept));
        if !layer.alphas.is_empty() {
            let none = [simd.splat_f32s(0.0); V];
            let rest = drop_negligible(simd, add_times(simd, none, 1.0 - alpha, total));
            store(simd, &mut carry[i], rest);
            left |= alpha < 1.0 && !carry[i].is_zero();
            if let Some(gradient) = gradients.alphas.get_mut(i) {
                let before = load(simd, &previous.map_or(Lanes::ZERO, |previous| previous[i]));
                let moved = add_times(simd, transferred, -1.0, before);
                *gradient += dot(simd, total, moved);
            }
        }
        let slope = sloped(simd, layer.transfer, transferred);
        let mut here = total;
        for (value, slope) in here.iter_mut().zip(slope) {
            *value = simd.mul_f32s(simd.mul_f32s(*value, simd.splat_f32s(alpha)), slope);
        }
        let here = drop_negligible(simd, here);
        store(simd, delta, here);
        if delta.is_zero() {
            continue;
        }
        left = true;
        let in_drive = &mut gradients.drive[i * width..][..width];
        for &c in &inputs.active {
            in_drive[c as usize] += dot(simd, load(simd, &inputs.values[c as usize]), here);
        }
        in_drive[layer.channels] += dot(simd, [simd.splat_f32s(1.0); V], here);
    }
    left
}

/// f′, given y = f(x).
#[inline(always)]
fn sloped<S: Simd, const V: usize>(simd: S, transfer: Transfer, of: [S::f32s; V]) -> [S::f32s; V] {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    match transfer {
        Transfer::Relu => {
            let mut slopes = of;
            for y in &mut slopes {
                *y = simd.select_f32s(simd.less_than_f32s(zero, *y), one, zero);
            }
            slopes
        }
        Transfer::Tanh => {
            let mut slopes = of;
            for y in &mut slopes {
                *y = simd.sub_f32s(one, simd.mul_f32s(*y, *y));
            }
            slopes
        }
        Transfer::Softplus => each(simd, of, |y| -(-y).exp_m1()),
    }
}

/// See [`NEGLIGIBLE`].
#[inline(always)]
fn drop_negligible<S: Simd, const V: usize>(simd: S, values: [S::f32s; V]) -> [S::f32s; V] {
    let (zero, limit) = (simd.splat_f32s(0.0), simd.splat_f32s(NEGLIGIBLE));
    let mut left = values;
    for value in &mut left {
        let little = simd.less_than_or_equal_f32s(simd.abs_f32s(*value), limit);
        *value = simd.select_f32s(little, zero, *value);
    }
    left
}
