//! Drives the real executable with real plugin files.
//!
//! Tests that need recorded fields look for them in `../shared/data` or in
//! `$PALLIUM_DATA` and say so where they are absent.

#![expect(clippy::unwrap_used, reason = "in tests, whatever goes wrong is a failure")]

mod authors;
mod compatibility;
mod components;
mod crates;
mod data;
mod docs;
mod experiments;
mod fetch;
mod gate;
mod golden;
mod harness;
mod hostile;
mod input;
mod layers;
mod matrix;
mod messages;
mod nwb;
mod own;
mod page;
mod python_task;
mod report;
mod results;
mod slurm;
mod statistics;
mod survival;
mod tasks;
