//! Tasks written in Python: NeuroGym's, Gymnasium-style ones, or your own class. For
//! users: `docs/python-task.md`.
//!
//! The task runs in a separate process, which sends trials over pipes in batches. No
//! interpreter is linked.

mod process;
mod task;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
