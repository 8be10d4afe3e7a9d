//! What the activity of a trained network represents.
//!
//! | component | measures |
//! |---|---|
//! | `representation.pca` | `pca_variance_1`, `_2`, `_3`, `pca_components`: principal components, and the paths of the conditions in them |
//! | `representation.decoding` | `decoding_condition_…`, `_target_…`, `_choice_…`: what a linear read-out of each step tells of a trial |
//! | `representation.correlations` | `signal_correlation`, `noise_correlation`, and their agreement with the recorded ones |
//! | `representation.like-to-like` | whether units with like tuning are connected, before and after training, and at like distances |
//!
//! The host records the hidden activity in up to 256 test trials without noise. Steps past a
//! trial's end are ignored.

mod correlations;
mod decoding;
mod like_to_like;
mod pairs;
mod pca;
mod recording;
mod ridge;
mod tuning;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
