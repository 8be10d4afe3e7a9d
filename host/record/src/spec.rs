//! A cell: one variant, on one task, in one run, with everything that
//! determines its result spelt out.

use pallium_core::random;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A component and what it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// The component's id.
    #[serde(rename = "use")]
    pub id: String,
    /// Its parameters; what is absent takes the component's default.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

impl Use {
    /// A component with its defaults.
    pub fn new(id: impl Into<String>) -> Self {
        Use { id: id.into(), params: Map::new() }
    }

    /// The parameters as the JSON text that crosses to the plugin.
    pub fn json(&self) -> String {
        Value::Object(self.params.clone()).to_string()
    }
}

/// Where distances between neurons come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Which space the neurons are in.
    pub space: Space,
    /// How an N×3 table of positions is read.
    pub coordinate_layout: CoordinateLayout,
    /// What the coordinates are scaled to.
    pub coordinate_scale: CoordinateScale,
    /// What the distances are scaled to.
    pub distance_scale: DistanceScale,
    /// Control: positions dealt out anew among the neurons, afresh every run.
    #[serde(default)]
    pub shuffled: bool,
}

/// Which space the neurons are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// None: constraints that ask for distances are refused.
    None,
    /// The somata's recorded positions.
    Soma,
    /// A regular grid of A×B×C points, A·B·C ≥ N, filled in numpy's
    /// `meshgrid(x, y, z)` order; `None` lets the host choose the extents.
    Grid(Option<[usize; 3]>),
}

/// How an N×3 table of positions is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinateLayout {
    /// As 3×N without transposing, as published: the axes interleave.
    Interleaved,
    /// A neuron a row.
    Rows,
}

/// What soma coordinates are scaled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinateScale {
    /// Each axis to 0…1.
    Minmax,
    /// Micrometres.
    Micrometre,
}

/// What distances are scaled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistanceScale {
    /// Left as they are.
    None,
    /// To mean 1 off the diagonal.
    MeanOne,
}

/// Whether runs share their trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSeed {
    /// All runs train and test on the same trials.
    Shared,
    /// Each run has its own trials; variants of one run share them.
    PerRun,
}

/// How long and on how much a network trains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Passes over the training trials.
    pub epochs: u32,
    /// Number of training trials.
    pub trials: usize,
    /// Number of validation trials.
    pub validation: usize,
    /// Number of test trials.
    pub test: usize,
    /// Trials per batch; the last batch of an epoch may be smaller.
    pub batch: usize,
    /// Threads that compute one cell, at least 1. Sums that threads share are
    /// added in another order, so the number is part of what identifies a cell.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub threads: usize,
}

fn one() -> usize {
    1
}

/// Cells of one thread are identified as they were before there was a choice.
fn is_one(threads: &usize) -> bool {
    *threads == 1
}

/// A cell, fully resolved: profile, switches and defaults have gone into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSpec {
    /// Name of the variant, as in the experiment file (`W*D*C`).
    pub variant: String,
    /// Label of the task in tables (the component's id unless renamed).
    pub task: String,
    /// Run number, from 0.
    pub run: u32,
    /// The experiment's seed.
    pub seed: u64,
    /// Whether runs share their trials.
    pub data_seed: DataSeed,
    /// The substrate.
    pub substrate: Use,
    /// Initial recurrent weights.
    pub weights: Use,
    /// Distances between neurons.
    pub geometry: Geometry,
    /// Constraints; their penalties add up, their projections act in order.
    pub constraints: Vec<Use>,
    /// The task component.
    pub task_component: Use,
    /// The model.
    pub model: Use,
    /// Metrics of the trained matrix.
    pub metrics: Vec<Use>,
    /// Training.
    pub training: Training,
}

impl CellSpec {
    /// `variant/task/run`, for messages and `--only` patterns.
    pub fn label(&self) -> String {
        format!("{}/{}/{}", self.variant, self.task, self.run)
    }

    /// The seed of a purpose within this cell. Variants and tasks of one run
    /// share it, so that they are paired.
    pub fn derived_seed(&self, purpose: &str) -> u64 {
        random::derive(self.seed, u64::from(self.run), purpose)
    }

    /// The seed of trials of `split`.
    pub fn trial_seed(&self, split: &str) -> u64 {
        let run = match self.data_seed {
            DataSeed::Shared => 0,
            DataSeed::PerRun => u64::from(self.run),
        };
        random::derive(self.seed, run, &format!("trials {split}"))
    }

    /// Every component that the cell uses.
    pub fn components(&self) -> impl Iterator<Item = &Use> {
        [&self.substrate, &self.weights, &self.task_component, &self.model]
            .into_iter()
            .chain(&self.constraints)
            .chain(&self.metrics)
    }

    /// A name for the cell's folder: readable on every file system, and unique
    /// through the head of its identity. Long names are cut.
    pub fn folder_name(&self, identity: &str) -> String {
        let cut = |text: &str, length| -> String { text.chars().take(length).collect() };
        // File systems take 255 bytes, and what is under way has a prefix.
        let (variant, task) = (cut(&file_name(&self.variant), 100), cut(&file_name(&self.task), 60));
        format!("{variant}.{task}.{:03}.{}", self.run, cut(identity, 12))
    }
}

/// A name as it is written on disk: `*` becomes `s`, `!` becomes `p`, anything
/// else that a file system might mind becomes `-`; so does a dot in front, which
/// would hide the file.
pub fn file_name(name: &str) -> String {
    let name = name.strip_prefix('.').map_or_else(|| name.to_owned(), |rest| format!("-{rest}"));
    name.chars()
        .map(|c| match c {
            '*' => 's',
            '!' => 'p',
            c if c.is_ascii_alphanumeric() || "._-+".contains(c) => c,
            _ => '-',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_fit_any_file_system_and_are_never_hidden() {
        assert_eq!(file_name("W*D*C*"), "WsDsCs");
        assert_eq!(file_name("W!D a/b"), "WpD-a-b");
        assert_eq!(file_name(".5"), "-5");
    }
}
