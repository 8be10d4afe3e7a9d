//! Optimizers: from the gradients of a batch to new parameters.
//!
//! | component | update |
//! |---|---|
//! | `optimizer.adam` | Adam, in the form of Keras or of PyTorch |
//! | `optimizer.adamw` | Adam with decoupled weight decay |
//! | `optimizer.sgd` | gradient descent, with momentum |
//! | `optimizer.rmsprop` | RMSprop, optionally centred and with momentum |
//!
//! Each is a file of its own. `memory` keeps what an optimizer remembers of each
//! parameter, and saves and restores it.

mod adam;
mod adamw;
mod memory;
mod rmsprop;
mod sgd;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
