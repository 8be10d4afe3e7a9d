//! Measures of the activity that a trained network shows on test trials.
//!
//! | component | measures |
//! |---|---|
//! | `activity.participation-ratio` | `participation_ratio`, how many dimensions activity (or the weights) fills |
//! | `activity.selectivity` | `selectivity`, `selective_units`: what neurons tell of a trial's condition |
//! | `activity.task-variance` | `task_variance`, `_conditions`, `_active_units`: what varies from trial to trial |
//!
//! The host records the hidden activity of up to 256 test trials, without noise.
//! Steps past the end of a shorter trial do not count. A trial's condition is
//! what the task says of it.

mod participation_ratio;
mod selectivity;
mod task_variance;

mod recording;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
