//! Runs the trainings of an experiment.
//!
//! [`shard`] selects the trainings of this machine; [`pool`] claims each one
//! and passes it to a [`worker`] process ([`workers`] starts and supervises
//! it). There `components` builds the components, [`train`] and `training_loop`
//! train and measure (with `tasks`, `trials`, `scores`, `penalties`, `clip`, `learning_rate` and
//! `early_stopping`), and the run folder's store writes the result, which the
//! parent moves into place in one step. Before, [`check`] builds each component
//! once to find mistakes. [`progress`] shows the progress, [`log`] records it. No module
//! here knows a file format: those are in `pallium-record`.

pub mod check;
mod clip;
pub mod components;
pub mod cost;
pub mod each;
mod early_stopping;
pub mod evaluation;
mod finished_network;
mod learning_rate;
pub mod log;
#[cfg(test)]
mod mock;
pub mod nulls;
mod on_matrix;
mod penalties;
pub mod pool;
pub mod progress;
pub mod progress_event;
pub mod protocol;
mod queue;
mod scores;
pub mod shard;
mod tasks;
pub mod traces;
pub mod train;
mod training_loop;
mod trials;
pub mod warnings;
pub mod worker;
pub mod workers;
