//! The roles of components, as plain Rust traits.

mod constraint;
mod metric;
mod model;
mod optimizer;
mod source;
mod task;

pub use constraint::{Activity, Constraint, Point};
pub use metric::{Dynamics, Metric, Network, RecordedTrials};
pub use model::{
    Kind as ParameterKind, LearnedMut, Mode, Model, ModelInfo, ParameterInfo, Population, StatePart,
};
pub use optimizer::{Learned, Moment, Optimizer};
pub use source::{SubstrateSource, WeightRequest, WeightSource};
pub use task::{Levels, Split, Task, TaskInfo};
