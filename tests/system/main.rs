//! Drives the real executable with real plugin files.
//!
//! `harness` has what the tests share: how commands are run and what is kept of
//! a failed test. `crates` builds plugins as their authors begin them;
//! `tests/fixtures` holds plugins that are good, bad or not plugins at all.
//!
//! What is not at hand is skipped, with a line that begins in `skipped:`. The
//! environment adds to what is tested:
//!
//! | variable | for |
//! |---|---|
//! | `PALLIUM_DATA` | the folder of recorded fields, if it is not `../shared/data` |
//! | `PALLIUM_PYTHON` | a Python that has pandas, TensorBoard, safetensors or torch |
//! | `PALLIUM_TOOLCHAIN` | a plugin built by another compiler, such as `nightly` |
//! | `PALLIUM_KILLS` | how often runs and workers are killed, if not 12 times |
//! | `PALLIUM_MATRIX` | `full`: every constraint with every model on every task |

#![expect(clippy::unwrap_used, reason = "in tests, whatever goes wrong is a failure")]

mod authors;
mod compatibility;
mod components;
mod crates;
mod data;
mod docs;
mod experiments;
mod fetch;
mod golden;
mod harness;
mod hostile;
mod input;
mod layers;
mod matrix;
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
