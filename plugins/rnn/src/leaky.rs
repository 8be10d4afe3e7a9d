//! `rnn.leaky`: continuous-time rate units with time constants and noise.

use pallium_core::prelude::*;
use pulp::Arch;
use rand::Rng;
use rand_distr::StandardNormal;

use crate::connected::{Connected, ConnectedUnit};
use crate::elementwise::tanh;
use crate::layout::Layout;
use crate::step::{UnitStep, sigmoid};
use crate::trained::{Start, Trained};
use crate::unit::{BackwardStep, PreviousStep, Unit};
use crate::wiring::{UnitChoice, Wiring};

pallium_core::choice! {
    /// A unit's transfer function.
    pub enum Transfer {
        /// max(x, 0).
        Relu = "relu",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// ln(1 + eˣ).
        Softplus = "softplus",
    }
}

pallium_core::params! {
    /// Parameters of the continuous-time units.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// Time constant τ in ms (median over units, if they differ); above 0.
        /// A unit whose τ is shorter than a step has no leak.
        tau: f64 = 100.0,
        /// Standard deviation of ln τ across units, drawn with the run's seed (0
        /// to 5).
        tau_spread: f64 = 0.0,
        /// Whether time constants are trained (through their logarithms).
        learn_tau: bool = false,
        /// Duration of a step in ms. If left out, the task's own, or 20 ms if
        /// the task has none.
        step: Option<f64> = None,
        /// Standard deviation σ of the recurrent noise while training, in units
        /// of activity (at least 0): without input, a linear unit's activity
        /// fluctuates by about σ regardless of the step.
        recurrent_noise: f64 = 0.05,
        /// Transfer function f.
        transfer: Transfer = Transfer::Relu,
        /// Units that receive input: a number of them, drawn with the run's seed,
        /// or a list of indices, counted from 0. The input weights of all others
        /// are 0 and stay 0. All units if left out.
        input_units: Option<UnitChoice> = None,
        /// Units that are read out, as for `input_units`.
        readout_units: Option<UnitChoice> = None,
    }
}

/// Step in ms for tasks that state no duration (Yang et al. 2019).
const STEP_MS: f64 = 20.0;

/// Rate units in continuous time, τ·dh/dt = −h + f(x·Wx + h·W + b + noise), by
/// Euler's method with α = step/τ (at most 1) of each unit:
///
/// > h_t = (1 − α)∘h_{t−1} + α∘f(x_t·Wx + h_{t−1}·W + b + √(2/α)·σ·ξ_t), h_0 = 0,
///
/// where ξ is standard normal, independent over units and steps, and 0 except
/// while training (Song et al. 2016; Yang et al. 2019). One recurrent block.
///
/// With `learn_tau`, ln τ is trained like any other parameter; its gradient is 0
/// while τ is shorter than a step.
pub(crate) struct Leaky {
    arch: Arch,
    /// ln of the median τ and of the step, in ms.
    log_tau: f64,
    log_step: f64,
    spread: f64,
    learn: bool,
    noise: f32,
    transfer: Transfer,
}

impl Component for Layout<Leaky> {
    const ID: &'static str = "rnn.leaky";
    const ABOUT: &'static str =
        "continuous-time rate units with time constants and recurrent noise, linear read-out";
    const CITE: &'static str = "Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792; Yang, Joglekar, Song, \
                                Newsome, Wang 2019, Nat. Neurosci. 22:297; trained time constants: Perez-Nieves, \
                                Leung, Dragotti, Goodman 2021, Nat. Commun. 12:5791";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let step = params.step.or(setting.step_ms).unwrap_or(STEP_MS);
        for (name, value) in [("tau", params.tau), ("step", step)] {
            if !(1e-6..=1e9).contains(&value) {
                return Err(Error::input(format!("parameter `{name}` is {value}"))
                    .help("it is a time in ms, above 0"));
            }
        }
        one_of_range("tau_spread", params.tau_spread, 0.0, 5.0)?;
        one_of_range("recurrent_noise", params.recurrent_noise, 0.0, 1e6)?;
        let unit = Leaky {
            arch: Arch::new(),
            log_tau: params.tau.ln(),
            log_step: step.ln(),
            spread: params.tau_spread,
            learn: params.learn_tau,
            noise: params.recurrent_noise as f32,
            transfer: params.transfer,
        };
        let wiring = Wiring { input: params.input_units, readout: params.readout_units };
        Ok(match setting.connections {
            Some(pairs) => Layout::Connections(Connected::new(unit, params.noise, wiring, pairs, setting)?),
            None => Layout::Matrix(Trained::new(unit, params.noise, Start::Same, wiring, setting)?),
        })
    }
}
pallium_core::register!(Model, Layout<Leaky>);

impl ConnectedUnit for Leaky {
    fn transfer(&self) -> Transfer {
        self.transfer
    }

    fn alphas(&self, _: usize, vectors: &[f32]) -> Vec<f32> {
        Leaky::alphas(self, vectors)
    }

    fn noise(&self, vectors: &[f32]) -> Vec<f32> {
        Unit::noise(self, vectors)
    }

    fn learns_time_constants(&self) -> bool {
        self.learn
    }
}

impl Leaky {
    /// α of a unit.
    fn alpha(&self, log_tau: f32) -> f32 {
        (self.log_step - f64::from(log_tau)).min(0.0).exp() as f32
    }

    fn alphas(&self, vectors: &[f32]) -> Vec<f32> {
        vectors.iter().map(|&log_tau| self.alpha(log_tau)).collect()
    }
}

impl UnitStep for Leaky {
    fn next(&self, drive: &[f64], product: &[f64], state: &[f64], vectors: &[f64], next: &mut [f64]) {
        let alpha = f64::from(self.alpha(vectors[0] as f32));
        let sum = drive[0] + product[0];
        let rate = match self.transfer {
            Transfer::Relu => sum.max(0.0),
            Transfer::Tanh => sum.tanh(),
            Transfer::Softplus => sum.max(0.0) + (-sum.abs()).exp().ln_1p(),
        };
        next[0] = (1.0 - alpha) * state[0] + alpha * rate;
    }

    fn gradient(
        &self,
        drive: &[f64],
        product: &[f64],
        _: &[f64],
        vectors: &[f64],
        in_next: &[f64],
        in_drive: &mut [f64],
        in_product: &mut [f64],
        in_state: &mut [f64],
    ) {
        let alpha = f64::from(self.alpha(vectors[0] as f32));
        let sum = drive[0] + product[0];
        let slope = match self.transfer {
            Transfer::Relu => f64::from(u8::from(sum > 0.0)),
            Transfer::Tanh => 1.0 - sum.tanh().powi(2),
            Transfer::Softplus => sigmoid(sum),
        };
        in_drive[0] = alpha * slope * in_next[0];
        in_product[0] = in_drive[0];
        in_state[0] = (1.0 - alpha) * in_next[0];
    }
}

impl Unit for Leaky {
    const BLOCKS: &'static [&'static str] = &["recurrent"];
    const SUFFIXES: &'static [&'static str] = &[""];
    const KEPT: usize = 1;
    const DRIVE: &'static [usize] = &[0];
    const RECURRENT: &'static [usize] = &[0];
    const DELTAS: usize = 1;
    const DRIVE_DELTA: &'static [usize] = &[0];
    const VECTORS: &'static [&'static str] = &["log_time_constant"];

    fn vectors(&self, neurons: usize, seed: u64) -> Vec<f32> {
        let mut stream = random::stream(seed, "time constants");
        (0..neurons)
            .map(|_| (self.log_tau + self.spread * stream.sample::<f64, _>(StandardNormal)) as f32)
            .collect()
    }

    fn trains_vectors(&self) -> bool {
        self.learn
    }

    fn bias(&self, _: usize) -> f32 {
        0.0
    }

    fn piecewise_linear(&self) -> bool {
        matches!(self.transfer, Transfer::Relu)
    }

    fn noise(&self, vectors: &[f32]) -> Vec<f32> {
        if self.noise == 0.0 {
            return Vec::new();
        }
        self.alphas(vectors).into_iter().map(|alpha| self.noise * (2.0 / alpha).sqrt()).collect()
    }

    fn forward(&self, vectors: &[f32], kept: &mut [f32], before: PreviousStep<'_>, next: &mut [f32]) {
        let alphas = self.alphas(vectors);
        let n = alphas.len();
        self.arch.dispatch(|| {
            match self.transfer {
                Transfer::Relu => rectify(kept),
                Transfer::Tanh => kept.iter_mut().for_each(|y| *y = tanh(*y)),
                Transfer::Softplus => kept.iter_mut().for_each(|y| *y = softplus(*y)),
            }
            for start in (0..next.len()).step_by(n) {
                let row = start..start + n;
                leak(&alphas, &kept[row.clone()], &before.hidden[row.clone()], &mut next[row]);
            }
        });
    }

    fn backward(&self, vectors: &[f32], kept: &[f32], before: PreviousStep<'_>, back: BackwardStep<'_>) {
        let BackwardStep { delta, carry, deltas, gradient } = back;
        let alphas = self.alphas(vectors);
        let n = alphas.len();
        self.arch.dispatch(|| {
            for start in (0..delta.len()).step_by(n) {
                let row = start..start + n;
                unleak(&alphas, &mut delta[row.clone()], &mut carry[row.clone()], &mut deltas[row]);
            }
            match self.transfer {
                Transfer::Relu => slope(deltas, kept, |y| f32::from(u8::from(y > 0.0))),
                Transfer::Tanh => slope(deltas, kept, |y| 1.0 - y * y),
                Transfer::Softplus => slope(deltas, kept, |y| -(-y).exp_m1()),
            }
        });
        if self.learn {
            // dα/d ln τ is −α, but 0 where α is clamped to 1.
            let slopes: Vec<f32> =
                alphas.iter().map(|&alpha| if alpha < 1.0 { -alpha } else { 0.0 }).collect();
            for start in (0..delta.len()).step_by(n) {
                let row = start..start + n;
                let moved = kept[row.clone()].iter().zip(&before.hidden[row.clone()]);
                for (((sum, slope), delta), (y, h)) in
                    gradient.iter_mut().zip(&slopes).zip(&delta[row]).zip(moved)
                {
                    *sum += slope * delta * (y - h);
                }
            }
        }
    }
}

/// max(y, 0), but NaN stays NaN. Computed on the bits, as in
/// [`crate::elementwise`].
#[inline(always)]
fn rectify(values: &mut [f32]) {
    for y in values {
        let pass = y.is_nan() || *y >= 0.0;
        *y = f32::from_bits(y.to_bits() & u32::from(pass).wrapping_neg());
    }
}

/// ln(1 + eˣ).
pub(crate) fn softplus(x: f32) -> f32 {
    let positive = if x > 0.0 { x } else { 0.0 };
    positive + (-x.abs()).exp().ln_1p()
}

#[inline(always)]
fn leak(alphas: &[f32], kept: &[f32], before: &[f32], next: &mut [f32]) {
    for (((next, &y), &h), &alpha) in next.iter_mut().zip(kept).zip(before).zip(alphas) {
        *next = (1.0 - alpha) * h + alpha * y;
    }
}

/// Leaves the total gradient with respect to h in `delta`.
#[inline(always)]
fn unleak(alphas: &[f32], delta: &mut [f32], carry: &mut [f32], deltas: &mut [f32]) {
    for (((delta, carry), out), &alpha) in delta.iter_mut().zip(carry).zip(deltas).zip(alphas) {
        let total = *delta + *carry;
        *delta = total;
        *carry = (1.0 - alpha) * total;
        *out = alpha * total;
    }
}

#[inline(always)]
fn slope(deltas: &mut [f32], kept: &[f32], of: impl Fn(f32) -> f32) {
    for (delta, &y) in deltas.iter_mut().zip(kept) {
        *delta *= of(y);
    }
}
