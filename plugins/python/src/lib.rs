//! Components written in Python: tasks (NeuroGym's, PsychRNN's, Gymnasium-style, a
//! user's own class), constraints, metrics, sources of weights and of neurons, and models. For
//! users: `docs/python-components.md` and `docs/python-task.md`.
//!
//! A user's code runs in a separate process. No interpreter is linked. Requests
//! cross as JSON over sockets, arrays in a file in shared memory; the trials of a task,
//! which has a process of its own, over the socket in batches.

mod constraint;
mod describe;
mod memory;
mod metric;
mod model;
mod object;
mod params;
mod process;
mod sources;
mod task;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
