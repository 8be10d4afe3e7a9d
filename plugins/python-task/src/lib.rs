//! Tasks that are written in Python: NeuroGym's, Gymnasium-style ones, or a
//! lab's own class. `docs/python-task.md` is the user's page.
//!
//! The task runs in a process of its own, from which trials are requested over pipes
//! by the hundred; no interpreter is linked.

mod process;
mod task;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
