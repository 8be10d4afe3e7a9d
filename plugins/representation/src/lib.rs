//! What the activity of a trained network represents.
//!
//! | component | measures |
//! |---|---|
//! | `representation.pca` | `pca_variance_1`, `_2`, `_3`, `pca_components`: principal components, and the paths of the conditions in them |
//! | `representation.demixed` | `demixed_…`: components of time, of two variables of the task, and of their interaction |
//! | `representation.selectivity` | `selective_…`, `selectivity_…`: shares of units with pure and mixed selectivity |
//! | `representation.axes` | `axes_…`, `axis_…`: axes of choice and stimulus |
//! | `representation.decoding` | `decoding_condition_…`, `_target_…`, `_choice_…`: what a linear read-out of each step tells of a trial |
//! | `representation.correlations` | `signal_correlation`, `noise_correlation`, and their agreement with the recorded ones |
//! | `representation.like-to-like` | whether units with like tuning are connected, before and after training, and at like distances |
//!
//! The host records the hidden activity in up to 256 test trials without noise. Steps past a
//! trial's end are ignored.

mod axes;
mod correlations;
mod decoding;
mod demixed;
mod design;
mod like_to_like;
mod pairs;
mod pca;
mod recording;
mod ridge;
mod selectivity;
mod tuning;

#[cfg(test)]
mod design_tests;
#[cfg(test)]
mod tests;

pallium_core::plugin!();
