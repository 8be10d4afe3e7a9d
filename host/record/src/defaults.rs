//! The components that are used where an experiment file or a command names none.
//!
//! Apart from records of earlier versions, these are the only ids in the host.
//! Components do not declare themselves a default: a file that names no model must
//! mean the same network whatever plugins are found, and an experiment file is read
//! before the plugins are.

/// Reads and writes the folder of a recorded field.
pub const FIELD: &str = "microns.field";
/// The substrate of experiments without a path.
pub const SYNTHETIC: &str = "synthetic.field";
/// The initial weights of variants.
pub const WEIGHTS: &str = "init.orthogonal";
/// The family of null models: `degrees` in an experiment's `[nulls]` is `null.degrees`.
pub const NULLS: &str = "null";
/// The model of experiments.
pub const MODEL: &str = "rnn.vanilla";
/// The optimizer of experiments, and of records from before optimizers were
/// components: with its default parameters, the published one.
pub const OPTIMIZER: &str = "optimizer.adam";
/// The metrics of experiments.
pub const METRICS: [&str; 7] = [
    "organization.entropy",
    "organization.modularity",
    "organization.assortativity",
    "organization.clustering",
    "organization.efficiency",
    "organization.small-worldness",
    "organization.spectral-radius",
];

/// The metrics of `pallium measure`, in the order in which they are printed.
pub const MEASURED: [&str; 7] = [
    "organization.density",
    "organization.modularity",
    "organization.assortativity",
    "organization.clustering",
    "organization.efficiency",
    "organization.small-worldness",
    "organization.entropy",
];

/// The substrate of `pallium field derive`.
pub const DERIVED: &str = "microns.derived";
/// The substrate of `pallium field from-tables`.
pub const TABLES: &str = "microns.tables";
/// The substrate of `pallium field import`.
pub const RECORDING: &str = "nwb.field";
/// The substrate of `pallium field synth --like`.
pub const LIKE: &str = "synthetic.like";
/// The weights that `pallium field info` describes.
pub const FROM_ACTIVITY: &str = "microns.functional";
