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
//! Block 0 starts from the given weights and is what metrics look at; the
//! others start as the parameter `gates` says. Constraints act on every block.
//!
//! This is the only plugin that links candle. candle holds the read-out: its
//! parameters are candle variables, softmax and cross-entropy are candle
//! operations, and candle differentiates them (`readout`). The recurrence does
//! not go through candle (`recurrence`): a training step of 312 neurons, 128
//! trials and 50 steps takes candle's automatic differentiation about three
//! times as long as a fused backpropagation through time. The recurrent weights
//! lie in a plain buffer, because constraints read and change them in place
//! many times, and candle lends its storage only behind a lock. The tests hold
//! the fused recurrence against candle's differentiation of the same network.

mod gru;
mod leaky;
mod lstm;
mod reservoir;
mod vanilla;

mod common;
mod dynamics;
mod elementwise;
mod optimizer;
mod readout;
mod recurrence;
mod scoring;
mod sparse;
mod trained;
mod unit;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
