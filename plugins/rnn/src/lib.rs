//! Recurrent networks.
//!
//! | component | network | recurrent blocks |
//! |---|---|---|
//! | `rnn.vanilla` | rectified units, as published | 1 |
//! | `rnn.leaky` | continuous-time units with time constants and noise | 1 |
//! | `rnn.gru` | gated recurrent units | 3: candidate, reset and update gate |
//! | `rnn.lstm` | long short-term memory | 4: candidate, input, forget and output gate |
//! | `rnn.populations` | rectified units, excitatory and inhibitory, with free units | 4: between each pair of populations |
//! | `rnn.candle` | `rnn.vanilla` in candle, on a processor or a GPU | 1 |
//! | `rnn.reservoir` | echo-state network, read-out by ridge regression | 1, never changed |
//!
//! Block 0 starts from the given weights and is the one that metrics measure;
//! the parameter `gates` sets the initial weights of the others. Constraints
//! act on every block.
//!
//! Models compute outputs and gradients; the host computes the loss, and an
//! optimizer of the experiment updates the parameters. The read-out's product is
//! candle's (`readout`). The recurrence does not use candle (`recurrence`): for
//! 312 neurons, 128 trials and 50 steps, candle's automatic differentiation takes
//! about three times as long as a fused backpropagation through time. Tests
//! compare the fused recurrence with candle's differentiation of the same network.
//!
//! `rnn.vanilla` and `rnn.leaky` also run along a set of connections (`connected`).

// Components.
mod candle;
mod gru;
mod leaky;
mod lstm;
mod populations;
mod reservoir;
mod vanilla;

// Weights as a matrix or on a set of connections.
mod connected;
mod layout;

// A trained model: a layer and a read-out.
mod dynamics;
mod readout;
mod recurrence;
mod scoring;
mod step;
mod trained;
mod unit;
mod wiring;

// Kernels and helpers.
mod common;
mod device;
mod elementwise;
mod panels;
mod regression;
mod sparse;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
