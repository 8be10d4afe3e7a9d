//! Experiment files: variants and tasks to compare, and the number of runs.
//!
//! [`Experiment::load`] reads a file, its bases and the `--set` overrides, and
//! checks everything that can be checked without plugins.
//! [`Experiment::expand`] checks the components against a catalogue and
//! resolves the specification of every training.

mod analysis;
mod expand;
mod filter;
mod nulls;
mod origins;
mod read;
mod schema;
mod sweep;
mod task;
mod tested;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use expand::Expansion;
pub use filter::filter;
pub use sweep::Coordinate;
pub use tested::TestedTask;
pub use tree::Place;

use pallium_profile::{Accuracy, Interval};
use pallium_record::analysis::Analysis;
use pallium_record::spec::{DataSeed, Geometry, Order, Training, Until, Use};

use crate::limits::Limits;

/// Names of variants as a list in a message: those of null models contain commas.
pub fn names(all: &[impl AsRef<str>]) -> String {
    all.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A component as an experiment file names it, before profile and defaults are
/// applied.
#[derive(Clone, Debug)]
pub struct Component {
    /// The component and the parameters written there.
    pub component: Use,
    /// Place of its name.
    pub at: Place,
    /// Place of each parameter.
    pub parameters_at: BTreeMap<String, Place>,
}

/// A task and its label.
#[derive(Clone, Debug)]
pub struct Task {
    /// Label in tables; by default the component's id.
    pub name: String,
    /// The component; [`SEVERAL_TASKS`](pallium_record::spec::SEVERAL_TASKS) for
    /// several tasks of one network.
    pub component: Component,
    /// What comes before the task itself.
    pub curriculum: Vec<Stage>,
    /// The tasks, if there are several in one network.
    pub members: Option<Members>,
}

impl Task {
    /// All components of the task: its own, or those of its members, and those of its
    /// curriculum.
    fn components(&self) -> Vec<&Component> {
        let mut all = match &self.members {
            Some(members) => members.tasks.iter().flat_map(|(task, _)| task.components()).collect(),
            None => vec![&self.component],
        };
        all.extend(self.curriculum.iter().map(|stage| &stage.component));
        all
    }
}

/// A stage of a curriculum.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The component with the parameters of the stage.
    pub component: Component,
    /// When the next stage begins.
    pub until: Until,
}

/// Several tasks of one network.
#[derive(Clone, Debug)]
pub struct Members {
    /// In which order the network is trained on them.
    pub order: Order,
    /// Whether a rule input names the task.
    pub rules: bool,
    /// The tasks and their shares.
    pub tasks: Vec<(Task, f64)>,
}

/// A variant: weights, geometry and constraints under one name.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Name in tables, such as `W*D*C`.
    pub name: String,
    /// Place of the variant.
    pub at: Place,
    /// Initial recurrent weights.
    pub weights: Component,
    /// The weight source that says which pairs are connected; `None` for a matrix of
    /// all pairs.
    pub connections: Option<Component>,
    /// The null model that changes the initial weights.
    pub null: Option<Component>,
    /// Distances between neurons, with switches applied.
    pub geometry: Geometry,
    /// Its own constraints, then those of the experiment.
    pub constraints: Vec<Component>,
    /// Its model, if it is not the experiment's.
    pub model: Option<Component>,
    /// Its optimizer, if it is not the experiment's.
    pub optimizer: Option<Component>,
    /// Its training.
    pub training: Training,
}

/// An experiment, read and checked.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Name in reports; by default the file's name.
    pub name: String,
    /// Description; may be empty.
    pub about: String,
    /// Path of the file.
    pub path: PathBuf,
    /// The file and its bases, itself first.
    pub sources: Vec<(PathBuf, String)>,
    /// The file's text.
    pub source_text: String,
    /// The overrides, `path=value`.
    pub overrides: Vec<String>,
    /// The experiment without base and overrides.
    complete: Arc<tree::Node>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Number of runs, at least 1.
    pub runs: u32,
    /// Name of the profile.
    pub profile: String,
    /// The value of every switch.
    pub switches: BTreeMap<String, String>,
    /// The switches that are set over the profile.
    pub set_switches: BTreeMap<String, String>,
    /// The accuracy in tables.
    pub accuracy: Accuracy,
    /// The interval in tables.
    pub interval: Interval,
    /// Whether runs share their trials.
    pub data_seed: DataSeed,
    /// Folders and files with plugins, absolute.
    pub plugin_path: Vec<PathBuf>,
    /// The substrate.
    pub substrate: Component,
    /// The model.
    pub model: Component,
    /// The optimizer.
    pub optimizer: Component,
    /// Metrics of the trained matrix.
    pub metrics: Vec<Component>,
    /// Training.
    pub training: Training,
    /// Whether the state after training is stored with each result, to continue
    /// from; it does not affect the identity of a training.
    pub keep_state: bool,
    /// Tasks, in the order of the file.
    pub tasks: Vec<Task>,
    /// Variants, in the order of the file.
    pub variants: Vec<Variant>,
    /// Default parameters of components, by id.
    pub defaults: BTreeMap<String, Component>,
    /// The comparisons that the report makes.
    pub analysis: Analysis,
    /// Limits of each training.
    pub limits: Limits,
    /// SweptNames that come from the axes of single variants and single tasks.
    names: (sweep::SweptNames, sweep::SweptNames),
    /// The axes of the complete experiment; the other fields describe its first
    /// point.
    sweep: sweep::Sweep,
}
