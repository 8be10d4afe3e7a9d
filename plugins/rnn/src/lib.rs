//! Recurrent networks that learn to classify.
//!
//! | component | network | recurrent blocks |
//! |---|---|---|
//! | `rnn.vanilla` | rectified units, as published | 1 |
//! | `rnn.leaky` | continuous-time units with time constants and noise | 1 |
//! | `rnn.gru` | gated recurrent units | 3: candidate, reset and update gate |
//! | `rnn.lstm` | long short-term memory | 4: candidate, input, forget and output gate |
//! | `rnn.reservoir` | echo-state network, read-out by ridge regression | 1, never changed |
//!
//! Block 0 starts from the given weights and is the one that metrics measure;
//! the parameter `gates` sets the initial weights of the others. Constraints
//! act on every block.
//!
//! This is the only plugin that links candle. The read-out uses it: softmax and
//! cross-entropy are candle operations that candle differentiates (`readout`).
//! The recurrence does not (`recurrence`): for 312 neurons, 128 trials and 50
//! steps, candle's automatic differentiation takes about three times as long as
//! a fused backpropagation through time. The recurrent weights are an ordinary
//! buffer because constraints read and change them in place, and candle's
//! storage is behind a lock. Tests compare the fused recurrence with candle's
//! differentiation of the same network.

// Components.
mod gru;
mod leaky;
mod lstm;
mod reservoir;
mod vanilla;

// A trained model: a layer, a read-out, an optimizer.
mod dynamics;
mod optimizer;
mod readout;
mod recurrence;
mod saved;
mod scoring;
mod trained;
mod unit;

// Kernels and helpers.
mod common;
mod elementwise;
mod panels;
mod sparse;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
