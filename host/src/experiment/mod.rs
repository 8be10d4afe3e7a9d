//! Experiment files: what is compared with what, on which tasks, how often.
//!
//! [`Experiment::load`] reads a file, its bases and the `--set` overrides, and
//! checks everything that can be checked without plugins.
//! [`Experiment::expand`] checks the components against a catalogue and spells
//! every cell out.

mod expand;
mod filter;
mod read;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use expand::Expansion;
pub use filter::filter;
pub use sweep::Coordinate;
pub use tree::Place;

use crate::limits::Limits;
use pallium_profile::{Accuracy, Interval};
use pallium_record::spec::{DataSeed, Geometry, Training, Use};

/// A component as an experiment file names it, before profile and defaults go
/// into it.
#[derive(Clone, Debug)]
pub struct Component {
    /// The component and the parameters written with it.
    pub component: Use,
    /// Where it is named.
    pub at: Place,
    /// Where each parameter is written.
    pub parameters_at: BTreeMap<String, Place>,
}

/// A task and its label.
#[derive(Clone, Debug)]
pub struct Task {
    /// Label in tables: the component's id unless the file says otherwise.
    pub name: String,
    /// The component.
    pub component: Component,
}

/// A variant: weights, geometry and constraints under one name.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Name in tables, such as `W*D*C`.
    pub name: String,
    /// Where it is written.
    pub at: Place,
    /// Initial recurrent weights.
    pub weights: Component,
    /// Distances between neurons; switches have gone into it.
    pub geometry: Geometry,
    /// Its own constraints, then those of the whole experiment.
    pub constraints: Vec<Component>,
}

/// An experiment, read and checked.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Name in reports: the file's name unless it says otherwise.
    pub name: String,
    /// What it is about, in the author's words; empty if nothing is said.
    pub about: String,
    /// The file.
    pub path: PathBuf,
    /// The file and its bases, itself first, as read.
    pub sources: Vec<(PathBuf, String)>,
    /// The file's text.
    pub source_text: String,
    /// The overrides, `path=value`.
    pub overrides: Vec<String>,
    /// Everything together as one file without base and overrides, paths made
    /// absolute: loading it gives the same cells from any folder.
    pub resolved_text: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Number of runs, at least 1.
    pub runs: u32,
    /// Name of the profile.
    pub profile: String,
    /// The value of every switch.
    pub switches: BTreeMap<String, String>,
    /// The accuracy that tables show.
    pub accuracy: Accuracy,
    /// The interval that tables show.
    pub interval: Interval,
    /// Whether runs share their trials.
    pub data_seed: DataSeed,
    /// Folders and files to look for plugins in, absolute.
    pub plugin_path: Vec<PathBuf>,
    /// The substrate.
    pub substrate: Component,
    /// The model.
    pub model: Component,
    /// Metrics of the trained matrix.
    pub metrics: Vec<Component>,
    /// Training.
    pub training: Training,
    /// Whether the state after training is kept with each result, to continue
    /// from; not a part of what identifies a training.
    pub keep_state: bool,
    /// Tasks, in the order of the file.
    pub tasks: Vec<Task>,
    /// Variants, in the order of the file.
    pub variants: Vec<Variant>,
    /// Parameters wherever a component is used, by its id.
    pub defaults: BTreeMap<String, Component>,
    /// What bounds each cell.
    pub limits: Limits,
    /// What the axes of single variants and of single tasks have made.
    names: (sweep::Names, sweep::Names),
    /// The axes of the whole experiment; what is said above is its first point.
    sweep: sweep::Sweep,
}
