//! `rnn.lstm`: long short-term memory.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::elementwise::{sigmoid, tanh};
use crate::step::{self, UnitStep};
use crate::trained::{Start, Trained};
use crate::unit::{BackwardStep, PreviousStep, Unit, vector, vectors_mut};
use crate::wiring::{UnitChoice, Wiring};

pallium_core::params! {
    /// Parameters of the long short-term memory.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// Initial recurrent weights of the three gates. Block 0 is the
        /// candidate's.
        gates: Start = Start::Same,
        /// Initial bias of the forget gate; all other biases start at 0.
        forget_bias: f64 = 1.0,
        /// Units that receive input: a number of them, drawn with the run's seed,
        /// or a list of indices, counted from 0. The input weights of all others
        /// are 0 and stay 0. All units if left out.
        input_units: Option<UnitChoice> = None,
        /// Units that are read out, as for `input_units`.
        readout_units: Option<UnitChoice> = None,
    }
}

/// Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate
/// (Gers et al. 2000), as PyTorch and Keras compute it:
///
/// > g = tanh(x·Wxg + h·Wg + bg); i, f, o = σ(x·Wx + h·W + b), each with its own
/// > weights,
/// >
/// > c′ = f∘c + i∘g, h′ = o∘tanh(c′).
///
/// Four recurrent blocks: the candidate's Wg (block 0, which starts from the
/// given weights), and those of the input, forget and output gate. Constraints
/// act on all four, metrics measure the candidate's. Activity is h.
pub(crate) struct Lstm {
    arch: Arch,
    forget_bias: f32,
}

impl Component for Trained<Lstm> {
    const ID: &'static str = "rnn.lstm";
    const ABOUT: &'static str = "long short-term memory with a linear read-out";
    const CITE: &'static str = "Hochreiter and Schmidhuber 1997, Neural Comput. 9:1735; Gers, Schmidhuber, \
                                Cummins 2000, Neural Comput. 12:2451";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("forget_bias", params.forget_bias, -100.0, 100.0)?;
        let unit = Lstm { arch: Arch::new(), forget_bias: params.forget_bias as f32 };
        let wiring = Wiring { input: params.input_units, readout: params.readout_units };
        Trained::new(unit, params.noise, params.gates, wiring, setting)
    }
}
pallium_core::register!(Model, Trained<Lstm>);

/// The cell, kept after the gates (0 to 3, in the order of the blocks).
const CELL: usize = 4;
/// The forget gate's block.
const FORGET: usize = 2;

/// The gates and the next cell, in double precision: g, i, f, o, c′.
fn gates(drive: &[f64], product: &[f64], cell: f64) -> [f64; 5] {
    let sum = |block: usize| drive[block] + product[block];
    let (g, i) = (sum(0).tanh(), step::sigmoid(sum(1)));
    let (f, o) = (step::sigmoid(sum(2)), step::sigmoid(sum(3)));
    [g, i, f, o, f * cell + i * g]
}

impl UnitStep for Lstm {
    const STATES: &'static [&'static str] = &["hidden", "cell"];

    fn next(&self, drive: &[f64], product: &[f64], state: &[f64], _: &[f64], next: &mut [f64]) {
        let [_, _, _, o, c] = gates(drive, product, state[1]);
        next[0] = o * c.tanh();
        next[1] = c;
    }

    fn gradient(
        &self,
        drive: &[f64],
        product: &[f64],
        state: &[f64],
        _: &[f64],
        in_next: &[f64],
        in_drive: &mut [f64],
        in_product: &mut [f64],
        in_state: &mut [f64],
    ) {
        let [g, i, f, o, c] = gates(drive, product, state[1]);
        let t = c.tanh();
        let in_cell = in_next[1] + in_next[0] * o * (1.0 - t * t);
        in_drive[0] = in_cell * i * (1.0 - g * g);
        in_drive[1] = in_cell * g * i * (1.0 - i);
        in_drive[2] = in_cell * state[1] * f * (1.0 - f);
        in_drive[3] = in_next[0] * t * o * (1.0 - o);
        in_product.copy_from_slice(in_drive);
        in_state[0] = 0.0;
        in_state[1] = in_cell * f;
    }
}

impl Unit for Lstm {
    const BLOCKS: &'static [&'static str] = &["candidate", "input gate", "forget gate", "output gate"];
    const SUFFIXES: &'static [&'static str] = &["", "_input", "_forget", "_output"];
    const KEPT: usize = 5;
    const DRIVE: &'static [usize] = &[0, 1, 2, 3];
    const RECURRENT: &'static [usize] = &[0, 1, 2, 3];
    const DELTAS: usize = 4;
    const DRIVE_DELTA: &'static [usize] = &[0, 1, 2, 3];
    const VECTORS: &'static [&'static str] = &[];

    fn vectors(&self, _: usize, _: u64) -> Vec<f32> {
        Vec::new()
    }

    fn bias(&self, block: usize) -> f32 {
        if block == FORGET { self.forget_bias } else { 0.0 }
    }

    fn noise(&self, _: &[f32]) -> Vec<f32> {
        Vec::new()
    }

    fn forward(&self, _: &[f32], kept: &mut [f32], before: PreviousStep<'_>, next: &mut [f32]) {
        let size = next.len();
        let [g, i, f, o, c] = vectors_mut(kept, size);
        self.arch.dispatch(|| forward(g, i, f, o, c, vector(before.kept, CELL, size), next));
    }

    fn backward(&self, _: &[f32], kept: &[f32], before: PreviousStep<'_>, back: BackwardStep<'_>) {
        let BackwardStep { delta, carry, deltas, .. } = back;
        let size = delta.len();
        let [g, i, f, o, c] = [0, 1, 2, 3, CELL].map(|index| vector(kept, index, size));
        let [in_g, in_i, in_f, in_o] = vectors_mut(deltas, size);
        let cell = vector(before.kept, CELL, size);
        self.arch.dispatch(|| backward(g, i, f, o, c, cell, delta, carry, in_g, in_i, in_f, in_o));
    }
}

// Functions of separate slices: only then does the compiler know that they do
// not overlap, and vectorises.

#[inline(always)]
fn forward(
    g: &mut [f32],
    i: &mut [f32],
    f: &mut [f32],
    o: &mut [f32],
    c: &mut [f32],
    before: &[f32],
    next: &mut [f32],
) {
    let gates = g.iter_mut().zip(i).zip(f).zip(o);
    for (((((g, i), f), o), c), (next, &cell)) in gates.zip(c).zip(next.iter_mut().zip(before)) {
        *g = tanh(*g);
        *i = sigmoid(*i);
        *f = sigmoid(*f);
        *o = sigmoid(*o);
        *c = *f * cell + *i * *g;
        *next = *o * tanh(*c);
    }
}

/// Carries back the gradient with respect to the cell.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "separate slices vectorise")]
fn backward(
    g: &[f32],
    i: &[f32],
    f: &[f32],
    o: &[f32],
    c: &[f32],
    before: &[f32],
    delta: &[f32],
    carry: &mut [f32],
    in_g: &mut [f32],
    in_i: &mut [f32],
    in_f: &mut [f32],
    in_o: &mut [f32],
) {
    let kept = g.iter().zip(i).zip(f).zip(o).zip(c).zip(before);
    let into = in_g.iter_mut().zip(in_i).zip(in_f).zip(in_o);
    for (((((((&g, &i), &f), &o), &c), &cell), (&delta, carry)), (((dg, di), df), d_o)) in
        kept.zip(delta.iter().zip(carry)).zip(into)
    {
        let t = tanh(c);
        let in_cell = *carry + delta * o * (1.0 - t * t);
        *d_o = delta * t * o * (1.0 - o);
        *dg = in_cell * i * (1.0 - g * g);
        *di = in_cell * g * i * (1.0 - i);
        *df = in_cell * cell * f * (1.0 - f);
        *carry = in_cell * f;
    }
}
