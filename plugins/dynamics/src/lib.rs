//! The dynamics of trained networks, in double precision, by the model's own step and
//! its vector–Jacobian product.
//!
//! | component | measures |
//! |---|---|
//! | `dynamics.fixed-points` | `fixed_points`, `stable_fixed_points`, `slow_points`, the slowest mode; the points with their eigenvalues as arrays |
//! | `dynamics.spectrum` | `jacobian_radius`, `jacobian_timescale`: eigenvalues of the Jacobian at visited states |
//! | `dynamics.lyapunov` | `lyapunov_max`, `lyapunov_sum`, `lyapunov_dimension` |
//! | `dynamics.timescales` | `unit_timescale_median`, `_min`, `_max`: autocorrelation times of units |
//! | `dynamics.dimension` | `dimension_mean`, `dimension_first`, `dimension_last`: participation ratio over time |
//!
//! Times are in steps of the model.

mod dimension;
mod fixed_points;
mod lyapunov;
mod map;
mod search;
mod spectrum;
mod timescales;
mod visited;

#[cfg(test)]
mod tests;

pallium_core::plugin!();
