//! Measures of a trained network's activity in test trials.
//!
//! | component | measures |
//! |---|---|
//! | `activity.participation-ratio` | `participation_ratio`, effective number of dimensions of activity (or weights) |
//! | `activity.selectivity` | `selectivity`, `selective_units`: share of variance that conditions explain, share of selective neurons |
//! | `activity.task-variance` | `task_variance`, `_conditions`, `_active_units`: variance over trials, share that conditions explain, active neurons |
//!
//! The host records the hidden activity in up to 256 test trials without noise.
//! Steps past the end of a shorter trial are ignored. The task defines the
//! condition of each trial.

mod participation_ratio;
mod selectivity;
mod task_variance;

mod recording;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
