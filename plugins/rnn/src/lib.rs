//! The recurrent classifier of the published system.
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

mod elementwise;
mod optimizer;
mod readout;
mod recurrence;
#[cfg(test)]
mod tests;
mod vanilla;

pallium_core::plugin!();
