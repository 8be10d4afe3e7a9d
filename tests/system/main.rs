//! Drives the real executable with real plugin files.
//!
//! `harness` runs commands and keeps the folders of failed tests. `crates` builds
//! plugins that `pallium plugins new` creates. `tests/fixtures` has valid and
//! invalid plugins.
//!
//! Tests whose data or programs are missing are skipped, with a line that begins
//! with `skipped:`. Environment variables extend the tests:
//!
//! | variable | for |
//! |---|---|
//! | `PALLIUM_DATA` | the folder of recorded fields, if it is not `../shared/data` |
//! | `PALLIUM_PYTHON` | a Python that has pandas, TensorBoard, safetensors or torch |
//! | `PALLIUM_TOOLCHAIN` | a plugin built by another compiler, such as `nightly` |
//! | `PALLIUM_KILLS` | how often runs and workers are killed (12 by default) |
//! | `PALLIUM_MATRIX` | `full`: all combinations of constraint, model and task |

#![expect(clippy::unwrap_used, reason = "in tests, every error is a failure")]

mod authors;
mod compatibility;
mod components;
mod connections;
mod continuation;
mod crates;
mod data;
mod docs;
mod evaluation;
mod experiments;
mod fetch;
mod golden;
mod harness;
mod hostile;
mod input;
mod isolation;
mod later;
mod layers;
mod matrix;
mod measure;
mod multitask;
mod nwb;
mod own;
mod page;
mod plugins;
mod python_task;
mod refusals;
mod report;
mod results;
mod slurm;
mod statistics;
mod survival;
mod tasks;
mod training;
mod tune;
