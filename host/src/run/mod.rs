//! Running the cells of an experiment.
//!
//! [`shard`] selects the cells of this machine; [`pool`] claims each training
//! and hands it to a [`worker`] process ([`workers`] starts and follows it);
//! there [`train`] builds the components, `training_loop` trains, and the run
//! folder's store writes the result, which the parent moves into place in one
//! step. [`progress`] shows how it goes, and [`log`] keeps it. Nothing here
//! knows a file format: those are `pallium-record`'s.

pub mod cost;
pub mod log;
#[cfg(test)]
mod mock;
pub mod pool;
pub mod progress;
pub mod progress_event;
pub mod protocol;
pub mod shard;
pub mod train;
mod training_loop;
pub mod worker;
pub mod workers;
