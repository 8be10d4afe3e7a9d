//! `rnn.gru`: gated recurrent units.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::elementwise::{add, sigmoid, tanh};
use crate::step::{self, UnitStep};
use crate::trained::{Start, Trained};
use crate::unit::{BackwardStep, PreviousStep, Unit, vector, vectors_mut};
use crate::wiring::{UnitChoice, Wiring};

pallium_core::params! {
    /// Parameters of the gated recurrent units.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// Initial recurrent weights of the two gates. Block 0 is the
        /// candidate's.
        gates: Start = Start::Same,
        /// Units that receive input: a number of them, drawn with the run's seed,
        /// or a list of indices, counted from 0. The input weights of all others
        /// are 0 and stay 0. All units if left out.
        input_units: Option<UnitChoice> = None,
        /// Units that are read out, as for `input_units`.
        readout_units: Option<UnitChoice> = None,
    }
}

/// Gated recurrent units (Cho et al. 2014) with the reset gate after the
/// product, as PyTorch, Keras and cuDNN compute them:
///
/// > r = σ(x·Wxr + h·Wr + br), z = σ(x·Wxz + h·Wz + bz),
/// >
/// > n = tanh(x·Wxn + bn + r∘(h·Wn + cn)), h′ = (1 − z)∘n + z∘h.
///
/// Three recurrent blocks: the candidate's Wn (block 0, which starts from the
/// given weights), the reset gate's Wr and the update gate's Wz. Constraints
/// act on all three, metrics measure the candidate's. Biases start at 0.
pub(crate) struct Gru {
    arch: Arch,
}

impl Component for Trained<Gru> {
    const ID: &'static str = "rnn.gru";
    const ABOUT: &'static str = "gated recurrent units with a linear read-out";
    const CITE: &'static str =
        "Cho et al. 2014, EMNLP 1724; Chung, Gulcehre, Cho, Bengio 2014, arXiv 1412.3555";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let wiring = Wiring { input: params.input_units, readout: params.readout_units };
        Trained::new(Gru { arch: Arch::new() }, params.noise, params.gates, wiring, setting)
    }
}
pallium_core::register!(Model, Trained<Gru>);

/// Kept vectors: the candidate, the gates, and h·Wn + cn.
const CANDIDATE: usize = 0;
const RESET: usize = 1;
const UPDATE: usize = 2;
const PRODUCT: usize = 3;

impl UnitStep for Gru {
    fn next(&self, drive: &[f64], product: &[f64], state: &[f64], vectors: &[f64], next: &mut [f64]) {
        let (r, z) = (step::sigmoid(drive[1] + product[1]), step::sigmoid(drive[2] + product[2]));
        let n = (drive[0] + r * (product[0] + vectors[0])).tanh();
        next[0] = n + z * (state[0] - n);
    }

    fn gradient(
        &self,
        drive: &[f64],
        product: &[f64],
        state: &[f64],
        vectors: &[f64],
        in_next: &[f64],
        in_drive: &mut [f64],
        in_product: &mut [f64],
        in_state: &mut [f64],
    ) {
        let (r, z) = (step::sigmoid(drive[1] + product[1]), step::sigmoid(drive[2] + product[2]));
        let u = product[0] + vectors[0];
        let n = (drive[0] + r * u).tanh();
        in_drive[0] = in_next[0] * (1.0 - z) * (1.0 - n * n);
        in_product[0] = in_drive[0] * r;
        in_drive[1] = in_drive[0] * u * r * (1.0 - r);
        in_drive[2] = in_next[0] * (state[0] - n) * z * (1.0 - z);
        in_product[1..].copy_from_slice(&in_drive[1..]);
        in_state[0] = in_next[0] * z;
    }
}

impl Unit for Gru {
    const BLOCKS: &'static [&'static str] = &["candidate", "reset gate", "update gate"];
    const SUFFIXES: &'static [&'static str] = &["", "_reset", "_update"];
    const KEPT: usize = 4;
    const DRIVE: &'static [usize] = &[CANDIDATE, RESET, UPDATE];
    const RECURRENT: &'static [usize] = &[PRODUCT, RESET, UPDATE];
    const DELTAS: usize = 4;
    const DRIVE_DELTA: &'static [usize] = &[3, 1, 2];
    const VECTORS: &'static [&'static str] = &["recurrent_bias"];

    fn vectors(&self, neurons: usize, _: u64) -> Vec<f32> {
        vec![0.0; neurons]
    }

    fn bias(&self, _: usize) -> f32 {
        0.0
    }

    fn noise(&self, _: &[f32]) -> Vec<f32> {
        Vec::new()
    }

    fn forward(&self, vectors: &[f32], kept: &mut [f32], before: PreviousStep<'_>, next: &mut [f32]) {
        let (size, n) = (next.len(), vectors.len());
        let [candidate, reset, update, product] = vectors_mut(kept, size);
        self.arch.dispatch(|| {
            for start in (0..size).step_by(n) {
                let row = start..start + n;
                forward(
                    vectors,
                    &before.hidden[row.clone()],
                    &mut candidate[row.clone()],
                    &mut reset[row.clone()],
                    &mut update[row.clone()],
                    &mut product[row.clone()],
                    &mut next[row],
                );
            }
        });
    }

    fn backward(&self, _: &[f32], kept: &[f32], before: PreviousStep<'_>, back: BackwardStep<'_>) {
        let BackwardStep { delta, carry, deltas, gradient } = back;
        let size = delta.len();
        let [n, r, z, u] = [CANDIDATE, RESET, UPDATE, PRODUCT].map(|index| vector(kept, index, size));
        let [in_product, in_reset, in_update, in_candidate] = vectors_mut(deltas, size);
        self.arch.dispatch(|| {
            backward(n, r, z, u, before.hidden, delta, carry, in_product, in_reset, in_update, in_candidate);
            for row in in_product.chunks_exact(gradient.len()) {
                add(gradient, row);
            }
        });
    }
}

// Functions of separate slices: only then does the compiler know that they do
// not overlap, and vectorises.

#[inline(always)]
fn forward(
    bias: &[f32],
    before: &[f32],
    candidate: &mut [f32],
    reset: &mut [f32],
    update: &mut [f32],
    product: &mut [f32],
    next: &mut [f32],
) {
    let kept = candidate.iter_mut().zip(reset).zip(update).zip(product);
    for ((((((n, r), z), u), next), &h), &c) in kept.zip(next).zip(before).zip(bias) {
        *u += c;
        *r = sigmoid(*r);
        *z = sigmoid(*z);
        *n = tanh(*n + *r * *u);
        *next = *n + *z * (h - *n);
    }
}

/// Computes the gradients with respect to h·Wn + cn, the gates' arguments and
/// the candidate's.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "separate slices vectorise")]
fn backward(
    candidate: &[f32],
    reset: &[f32],
    update: &[f32],
    product: &[f32],
    before: &[f32],
    delta: &[f32],
    carry: &mut [f32],
    in_product: &mut [f32],
    in_reset: &mut [f32],
    in_update: &mut [f32],
    in_candidate: &mut [f32],
) {
    let kept = candidate.iter().zip(reset).zip(update).zip(product).zip(before);
    let into = in_product.iter_mut().zip(in_reset).zip(in_update).zip(in_candidate);
    for ((((((&n, &r), &z), &u), &h), (&delta, carry)), (((p, dr), dz), dn)) in
        kept.zip(delta.iter().zip(carry)).zip(into)
    {
        let total = delta + *carry;
        *carry = total * z;
        let in_n = total * (1.0 - z) * (1.0 - n * n);
        *dn = in_n;
        *p = in_n * r;
        *dr = in_n * u * r * (1.0 - r);
        *dz = total * (h - n) * z * (1.0 - z);
    }
}
