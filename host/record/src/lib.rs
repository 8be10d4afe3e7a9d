//! The run folder: the format of every file, its writer and its reader, and the
//! identities by which finished work is recognized.
//!
//! ```text
//! manifest.json     versions, plugins, data, profile, switches, seed, machine   manifest
//! experiment.toml   the experiment, resolved: one file without base or overrides
//! results.csv       a row for each value of every training                      results
//! results.parquet   the same with types                                         parquet
//! curves.csv        a row for each epoch of every training                      curves
//! axes.csv          coordinates of the points of a sweep
//! log.jsonl         the log of the run, its workers and its plugins
//! tensorboard/      event files, if asked for                                   tensorboard
//! failed/NAME.json  why a training failed, and the end of its log               training
//! cells/NAME/       a finished training
//!   cell.json             what was trained, and how it ended                    training
//!   results.csv           its values after training                             results
//!   measures/ID.HASH.csv  the measures of one metric                            results
//!   times.csv             its seconds                                           results
//!   curves.csv            its learning curve                                    curves
//!   weights.safetensors   recurrent weights before training, parameters after   weights
//!   state.safetensors     model and optimizer, to continue from                 checkpoint
//!   log.txt               output of its process
//! ```
//!
//! [`store`] knows where each file is and writes it durably, [`finished`]
//! decides whether a training is done, `run_tables` collects the tables of
//! all trainings, and [`identity`] decides which trainings and measurements are
//! the same. This crate knows nothing of plugins, experiment files or how
//! networks train.

pub mod analysis;
pub mod checkpoint;
pub mod claim;
pub mod compact;
pub mod continuation;
pub mod curves;
pub mod defaults;
pub mod durable;
pub mod earlier;
pub mod finished;
pub mod identity;
pub mod linked;
pub mod machine;
pub mod manifest;
pub mod model;
pub mod outcome;
pub mod owner;
mod parquet;
pub mod results;
mod run_tables;
pub mod safetensors_file;
pub mod seeds;
pub mod snapshots;
pub mod spec;
pub mod store;
pub mod table;
pub mod tensorboard;
#[cfg(test)]
mod testing;
pub mod training;
pub mod weights;

/// Version of the format of run folders.
pub const FORMAT: u32 = 2;

/// The oldest format that can still be opened.
pub const OLDEST_FORMAT: u32 = 1;

/// Version of Pallium, which is a part of every training's identity.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
