//! `manifest.json`: versions, plugins, data, profile and machine of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::machine::Machine;
use crate::spec::Use;

/// The manifest of a run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the folder's format.
    pub format: u32,
    /// Version of Pallium.
    pub pallium: String,
    /// Version of pallium-core.
    pub core: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Description of the experiment; may be empty.
    #[serde(default)]
    pub about: String,
    /// Names of the variants, in the order of the experiment. Empty in
    /// manifests of older versions.
    #[serde(default)]
    pub variants: Vec<String>,
    /// Labels of the tasks, in the order of the experiment. Empty in manifests
    /// of older versions.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// The comparisons that the experiment states.
    #[serde(default, skip_serializing_if = "Analysis::is_empty")]
    pub analysis: Analysis,
    /// Metrics that the experiment does not have and that were computed of its finished
    /// trainings all the same, as they were named; later runs keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added_metrics: Vec<Use>,
    /// Path of the experiment file.
    pub file: PathBuf,
    /// `path=value` overrides of the run.
    pub overrides: Vec<String>,
    /// Name of the profile.
    pub profile: String,
    /// Value of every switch.
    pub switches: BTreeMap<String, String>,
    /// The experiment's seed.
    pub seed: u64,
    /// Number of runs.
    pub runs: u32,
    /// Number of trainings.
    pub cells: usize,
    /// Plugins in use.
    pub plugins: Vec<Plugin>,
    /// SHA-256 of the data in use, by the component that reads them.
    pub data: BTreeMap<String, Vec<String>>,
    /// The machine that last ran in this folder.
    pub machine: Machine,
    /// Start of the last run, in seconds since 1970.
    pub started: u64,
}

/// A plugin file, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plugin {
    /// Name of the crate.
    pub name: String,
    /// Version of the crate.
    pub version: String,
    /// Version of pallium-core that it was built against.
    pub core_version: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Path of the file.
    pub path: PathBuf,
}
