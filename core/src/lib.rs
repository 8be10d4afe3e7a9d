//! The contract between Pallium and its plugins, and the only crate that a
//! plugin author depends on.
//!
//! A plugin is one shared library (`crate-type = ["cdylib"]`) that offers
//! *components*. `pallium plugins new NAME --role ROLE` creates a crate that
//! builds and passes its checks; `docs/writing-a-plugin.md` explains it step by
//! step.
//!
//! # The parts of a component
//!
//! 1. A type with its parameters: [`params!`], and [`choice!`] for parameters
//!    with named values.
//! 2. [`Component`]: id, description, citation, and `build`, which receives the
//!    parameters and the [`Setting`] (neurons, distances, substrate, seed).
//! 3. One of seven roles, a plain Rust trait on ndarray views:
//!
//!    | role | supplies |
//!    |---|---|
//!    | [`SubstrateSource`] | the neurons, and what was measured of them |
//!    | [`WeightSource`] | the recurrent matrix to start from |
//!    | [`Constraint`] | a penalty with its gradient, a hard constraint, a penalty on activity |
//!    | [`Task`] | trials with targets (classes or values) and masks per step |
//!    | [`Model`] | a network: outputs, gradients, named parameters |
//!    | [`Optimizer`] | the update of all parameters along their gradients |
//!    | [`Metric`] | named measures of a trained network |
//!
//! 4. [`register!`] beside the component, and [`plugin!`] as the last line of
//!    `lib.rs`.
//!
//! Three rules hold everywhere: return an [`Error`] and do not panic; draw only
//! from [`random::stream`] with a given seed; do not print, but log through
//! [`tracing`]. Only [`abi`] knows how an object of a role's trait reaches the
//! host from a separately compiled library.
//!
//! # A complete plugin
//!
//! ```
//! use pallium_core::prelude::*;
//!
//! pallium_core::params! {
//!     /// Parameters of the example.
//!     pub struct Params {
//!         /// Factor λ of the penalty (dimensionless).
//!         strength: f64 = 0.1,
//!     }
//! }
//!
//! /// λ·Σ w², the classical ridge.
//! struct Ridge { strength: f64 }
//!
//! impl Component for Ridge {
//!     const ID: &'static str = "example.ridge";
//!     const ABOUT: &'static str = "λ times the sum of squared weights";
//!     const CITE: &'static str = "Hoerl and Kennard 1970";
//!     type Params = Params;
//!     fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
//!         at_least_zero("strength", params.strength)?;
//!         Ok(Ridge { strength: params.strength })
//!     }
//! }
//!
//! impl Constraint for Ridge {
//!     fn penalty(
//!         &mut self,
//!         weights: MatrixView<'_>,
//!         mut gradient: MatrixViewMut<'_>,
//!         _: &Point<'_>,
//!     ) -> Result<f64> {
//!         let factor = self.strength as f32;
//!         gradient.scaled_add(2.0 * factor, &weights);
//!         Ok(self.strength * weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>())
//!     }
//! }
//! pallium_core::register!(Constraint, Ridge);
//!
//! // The last line of a plugin's lib.rs:
//! // pallium_core::plugin!();
//! ```

// So that the macros' paths also hold inside this crate.
extern crate self as pallium_core;

pub mod abi;
mod component;
mod data;
mod error;
mod loss;
mod parameters;
pub mod random;
mod role;
mod setting;
pub mod text;

pub use component::{
    Builder, Component, Description, Offer, ProfileValue, Registration, Role, registrations,
};
pub use data::{
    Batch, BatchView, Connections, ConnectionsView, Direction, Element, Matrix, MatrixView, MatrixViewMut,
    Measure, Measures, PairTable, Positions, PositionsBase, Rewiring, RewiringView, Scored, SparseWeights,
    Substrate, SubstrateBase, SubstrateView, Table, Targets, TargetsView, Tensor, TensorView, Values,
};
pub use error::{Error, Kind, Result};
pub use loss::{Explained, Loss, LossSums, largest};
pub use parameters::{
    accepts_further_names, at_least_zero, nearest, one_of_range, parse_parameters, schema_of,
};
pub use role::{
    Activity, Constraint, Dynamics, Learned, LearnedMut, Levels, Metric, Mode, Model, ModelInfo, Moment,
    Network, Optimizer, ParameterInfo, ParameterKind, Point, Population, RecordedTrials, Split, StatePart,
    SubstrateSource, Task, TaskInfo, WeightRequest, WeightSource,
};
pub use setting::{Setting, Units};

// Re-exported so that a plugin needs no other dependency, and so that the
// macros find them.
pub use {inventory, ndarray, rand, rand_distr, schemars, serde, serde_json, tracing};

/// What a plugin file usually needs, in one `use`.
pub mod prelude {
    pub use crate::{
        Activity, Batch, BatchView, Component, Connections, ConnectionsView, Constraint, Direction, Dynamics,
        Error, Learned, LearnedMut, Levels, Loss, Matrix, MatrixView, MatrixViewMut, Measure, Measures,
        Metric, Mode, Model, ModelInfo, Moment, Network, Optimizer, ParameterInfo, ParameterKind, Point,
        Population, Positions, ProfileValue, Result, Rewiring, RewiringView, Scored, Setting, SparseWeights,
        Split, StatePart, Substrate, SubstrateSource, SubstrateView, Targets, TargetsView, Task, TaskInfo,
        Tensor, TensorView, Values, WeightRequest, WeightSource, at_least_zero, ndarray, one_of_range,
        random,
    };
}

/// Version of this crate, as written into plugin manifests and run folders.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
