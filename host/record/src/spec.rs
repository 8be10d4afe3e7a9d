//! The specification of a training: one variant, on one task, in one run, with
//! everything that determines its result.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::defaults;

/// The parameter of a component that names data to read.
pub const PATH: &str = "path";

/// A component and its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// The component's id.
    #[serde(rename = "use")]
    pub id: String,
    /// Its parameters; others have the component's defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Names of the model's parameters that a constraint acts on; empty for all
    /// recurrent blocks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Names of parameters, besides `path`, that name files: a training depends on the
    /// contents of these files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

impl Use {
    /// A component with default parameters.
    pub fn new(id: impl Into<String>) -> Self {
        Use { id: id.into(), params: Map::new(), on: Vec::new(), files: Vec::new() }
    }

    /// The parameters as JSON text, as they are passed to the plugin.
    pub fn json(&self) -> String {
        Value::Object(self.params.clone()).to_string()
    }

    /// The files and folders that its parameters name, by parameter; `path` is the first.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = std::iter::once(PATH).chain(self.files.iter().map(String::as_str));
        names.filter_map(|name| Some((name, self.params.get(name)?.as_str()?)))
    }

    /// Changes each path.
    pub fn change_paths(&mut self, change: impl Fn(&str) -> String) {
        for name in std::iter::once(PATH).chain(self.files.iter().map(String::as_str)) {
            if let Some(Value::String(path)) = self.params.get_mut(name) {
                *path = change(path);
            }
        }
    }
}

/// Where distances between neurons come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// The space of the neurons.
    pub space: Space,
    /// How an N×3 table of positions is read.
    pub coordinate_layout: CoordinateLayout,
    /// How coordinates are scaled.
    pub coordinate_scale: CoordinateScale,
    /// How distances are scaled.
    pub distance_scale: DistanceScale,
    /// Control: positions are permuted among the neurons, differently in every
    /// run.
    #[serde(default)]
    pub shuffled: bool,
}

/// The space of the neurons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// No space: constraints that need distances are refused.
    None,
    /// Recorded positions of the somata.
    Soma,
    /// A regular grid of A×B×C points, A·B·C ≥ N, filled in numpy's
    /// `meshgrid(x, y, z)` order; `None` lets the host choose the extents.
    Grid(Option<[usize; 3]>),
}

/// How an N×3 table of positions is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinateLayout {
    /// As a 3×N table without transposing it, as published: the axes
    /// interleave.
    Interleaved,
    /// One neuron per row.
    Rows,
}

/// How soma coordinates are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinateScale {
    /// Each axis to 0…1.
    Minmax,
    /// Micrometres.
    Micrometre,
}

/// How distances are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistanceScale {
    /// Unscaled.
    None,
    /// To a mean of 1 off the diagonal.
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

/// The length of a training and its numbers of trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Number of threads of a training, at least 1. Threads add sums in another
    /// order, so the number is a part of the training's identity.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub threads: usize,
    /// Whether new training trials are drawn for every epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fresh: bool,
    /// Largest norm of all gradients together; larger ones are scaled down.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clip_norm: Option<f64>,
    /// Largest absolute value of a gradient's entry; larger ones are cut.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clip_value: Option<f64>,
    /// Factor on the parameters that is added to their gradients.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight_decay: f64,
    /// How the learning rate changes over the training.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// When the training ends before its last epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub early_stopping: Option<EarlyStopping>,
    /// The finished training whose parameters it begins with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: Option<Origin>,
    /// Names of the parameters that the optimizer leaves as they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frozen: Vec<String>,
    /// After which epochs the parameters are kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub snapshots: Option<Snapshots>,
}

/// The finished training that another one begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its folder; in an experiment the run folder that holds it, or its folder.
    pub path: String,
    /// Its variant; by default of the same name, or the only one. `None` once the
    /// folder is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its task, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// After which epochs the parameters are kept. Those before training always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Snapshots {
    /// After every so many epochs.
    Every(u32),
    /// After epochs 1, 2, 4, 8, …
    Log,
}

impl Snapshots {
    /// Whether the parameters after `epoch` are kept.
    pub fn is_due(self, epoch: u32) -> bool {
        match self {
            Snapshots::Every(epochs) => epochs > 0 && epoch.is_multiple_of(epochs),
            Snapshots::Log => epoch == 0 || epoch.is_power_of_two(),
        }
    }
}

impl Training {
    /// A training of these epochs and trials, with everything else as by default.
    pub fn new(epochs: u32, trials: usize, validation: usize, test: usize, batch: usize) -> Self {
        Training {
            epochs,
            trials,
            validation,
            test,
            batch,
            threads: 1,
            fresh: false,
            clip_norm: None,
            clip_value: None,
            weight_decay: 0.0,
            schedule: Schedule::default(),
            early_stopping: None,
            from: None,
            frozen: Vec::new(),
            snapshots: None,
        }
    }
}

/// The factor on the learning rate over the training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What it follows after the warm-up.
    pub kind: ScheduleKind,
    /// Number of epochs in which it rises linearly from 0, in steps of one update.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warm_up: u32,
}

/// A course of the factor on the learning rate, by epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// 1 throughout.
    #[default]
    Constant,
    /// Multiplied by `factor` after every `every` epochs.
    Step {
        /// Number of epochs between changes.
        every: u32,
        /// The factor.
        factor: f64,
    },
    /// Half a period of a cosine, from 1 down to `to` after the last epoch
    /// (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// The final factor.
        to: f64,
    },
    /// Multiplied by `factor` whenever the validation loss has not fallen for
    /// more than `patience` epochs.
    Plateau {
        /// The factor.
        factor: f64,
        /// Number of epochs without a fall that are tolerated.
        patience: u32,
    },
}

/// When a training ends early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// The column of `curves.csv` that is watched.
    pub measure: Watched,
    /// Number of epochs without an improvement after which the training ends.
    pub patience: u32,
    /// An improvement is larger than this.
    #[serde(default, skip_serializing_if = "is_default")]
    pub least: f64,
}

/// A column of `curves.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// Loss on the validation trials; it should fall.
    ValidationLoss,
    /// Accuracy on the validation trials; it should rise.
    ValidationAccuracy,
    /// Loss of the epoch while training; it should fall.
    RunningLoss,
    /// Accuracy of the epoch while training; it should rise.
    RunningAccuracy,
}

/// A default is left out of the text, so older identities stay valid.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn optimizer() -> Use {
    Use::new(defaults::OPTIMIZER)
}

fn one() -> usize {
    1
}

/// One thread is left out of the text, so older identities stay valid.
fn is_one(threads: &usize) -> bool {
    *threads == 1
}

/// Several tasks of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// In which order the network is trained on them.
    pub order: Order,
    /// Whether the inputs end with one channel for each task, which is 1 in the
    /// trials of that task.
    pub rules: bool,
    /// The tasks.
    pub tasks: Vec<Member>,
}

/// The order in which a network is trained on several tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The trials of a batch belong to one task; the tasks' batches follow each
    /// other in random order.
    #[default]
    Interleaved,
    /// The trials of a batch belong to all tasks.
    Mixed,
    /// One task after another, for some epochs each.
    Sequential,
}

/// One of several tasks of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its label in tables.
    pub name: String,
    /// The task component.
    pub component: Use,
    /// Its part of the training trials, or of the epochs if the tasks follow one
    /// another, relative to the parts of the other tasks.
    pub share: f64,
    /// What comes before the task itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curriculum: Vec<Stage>,
}

impl Members {
    /// The number of epochs after which each task ends, if the tasks follow one
    /// another: epochs are divided in proportion to the shares.
    pub fn ends(&self, epochs: u32) -> Vec<u32> {
        let all: f64 = self.tasks.iter().map(|task| task.share).sum();
        let mut sum = 0.0;
        let end = |task: &Member| {
            sum += task.share;
            (f64::from(epochs) * sum / all).round() as u32
        };
        self.tasks.iter().map(end).collect()
    }
}

/// A stage of a curriculum: a task that is trained before the final one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The task component with the parameters of this stage.
    pub component: Use,
    /// When the next stage begins.
    pub until: Until,
}

/// When a stage of a curriculum ends: when the measure has reached the value in so
/// many consecutive epochs, or after so many epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Until {
    /// The measure, and the value that it reaches.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reached: Option<(Watched, f64)>,
    /// Number of consecutive epochs in which the measure is reached.
    #[serde(default = "one_epoch", skip_serializing_if = "is_one_epoch")]
    pub for_epochs: u32,
    /// The largest number of epochs of the stage.
    #[serde(default, skip_serializing_if = "is_default")]
    pub at_most: Option<u32>,
}

fn one_epoch() -> u32 {
    1
}

fn is_one_epoch(epochs: &u32) -> bool {
    *epochs == 1
}

/// The task component of trainings on several tasks; it belongs to no plugin.
pub const SEVERAL_TASKS: &str = "several-tasks";

/// A completely resolved specification, including profile, switches and
/// defaults.
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
    /// The weight source whose weights that are not 0 are the connections of the
    /// network; the recurrent weights then lie on these alone. `None` for a matrix of
    /// all pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Use>,
    /// The null model that changes the initial recurrent weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Use>,
    /// Distances between neurons.
    pub geometry: Geometry,
    /// Constraints; their penalties add up, their projections act in order.
    pub constraints: Vec<Use>,
    /// The task component; [`SEVERAL_TASKS`] if there are several in one network.
    pub task_component: Use,
    /// What comes before the task itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curriculum: Vec<Stage>,
    /// The tasks, if there are several in one network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub members: Option<Members>,
    /// The model.
    pub model: Use,
    /// The optimizer.
    #[serde(default = "optimizer")]
    pub optimizer: Use,
    /// Metrics of the trained matrix.
    pub metrics: Vec<Use>,
    /// Training.
    pub training: Training,
}

/// Parameters that models had before optimizers were components of their own.
pub const FORMER_MODEL_PARAMETERS: [&str; 4] = ["learning_rate", "beta1", "beta2", "epsilon"];

impl CellSpec {
    /// The same training with the parameters of its optimizer where they are now,
    /// if it was written when they were the model's.
    #[must_use]
    pub fn with_own_optimizer(mut self) -> Self {
        for name in FORMER_MODEL_PARAMETERS {
            if let Some(value) = self.model.params.remove(name) {
                self.optimizer.params.insert(name.into(), value);
            }
        }
        self.optimizer.params.sort_keys();
        self
    }

    /// `variant/task/run`, for messages and `--only` patterns.
    pub fn label(&self) -> String {
        format!("{}/{}/{}", self.variant, self.task, self.run)
    }

    /// Every component that the cell uses.
    pub fn components(&self) -> impl Iterator<Item = &Use> {
        self.trained_components().chain(&self.metrics)
    }

    /// Every component that the training uses.
    pub fn trained_components(&self) -> impl Iterator<Item = &Use> {
        [&self.substrate, &self.weights]
            .into_iter()
            .chain(&self.connections)
            .chain(&self.null)
            .chain(self.tasks())
            .chain([&self.model, &self.optimizer])
            .chain(&self.constraints)
    }

    /// The task components: one, or those of several tasks, each with the stages of
    /// its curriculum.
    pub fn tasks(&self) -> impl Iterator<Item = &Use> {
        let members = self.members.iter().flat_map(|members| &members.tasks);
        let single = self.members.is_none().then_some((&self.task_component, &self.curriculum));
        let all = single.into_iter().chain(members.map(|member| (&member.component, &member.curriculum)));
        all.flat_map(|(component, stages)| {
            std::iter::once(component).chain(stages.iter().map(|stage| &stage.component))
        })
    }

    /// Whether the parameters of a task change during the training.
    pub fn has_curriculum(&self) -> bool {
        let members = self.members.iter().flat_map(|members| &members.tasks);
        !self.curriculum.is_empty() || members.into_iter().any(|member| !member.curriculum.is_empty())
    }

    /// Leaves of each path only its last part.
    pub fn without_folders(&mut self) {
        let last = |path: &str| {
            Path::new(path)
                .file_name()
                .map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
        };
        let members = self.members.iter_mut().flat_map(|members| &mut members.tasks);
        let components = [&mut self.substrate, &mut self.weights, &mut self.task_component, &mut self.model];
        let components = components
            .into_iter()
            .chain([&mut self.optimizer])
            .chain(self.connections.as_mut())
            .chain(self.null.as_mut())
            .chain(&mut self.constraints)
            .chain(&mut self.metrics)
            .chain(self.curriculum.iter_mut().map(|stage| &mut stage.component))
            .chain(members.flat_map(|member| {
                let stages = member.curriculum.iter_mut().map(|stage| &mut stage.component);
                std::iter::once(&mut member.component).chain(stages)
            }));
        for component in components {
            component.change_paths(last);
        }
        if let Some(origin) = &mut self.training.from {
            origin.path = last(&origin.path);
        }
    }

    /// Name of the training's folder: allowed on every file system, and unique
    /// because it contains the beginning of the identity. Long names are cut.
    pub fn folder_name(&self, identity: &str) -> String {
        let cut = |text: &str, length| -> String { text.chars().take(length).collect() };
        // File systems allow 255 bytes, and temporary names have a prefix.
        let (variant, task) = (cut(&file_name(&self.variant), 100), cut(&file_name(&self.task), 60));
        format!("{variant}.{task}.{:03}.{}", self.run, cut(identity, 12))
    }
}

/// A name for the file system: `*` becomes `s`, `!` becomes `p`, and other
/// special characters `-`. A leading dot would hide the file, and commands would take a
/// leading dash for an option, so both become `_`.
pub fn file_name(name: &str) -> String {
    let allowed = name.chars().map(|c| match c {
        '*' => 's',
        '!' => 'p',
        c if c.is_ascii_alphanumeric() || "._-+".contains(c) => c,
        _ => '-',
    });
    allowed.enumerate().map(|(at, c)| if at == 0 && ".-".contains(c) { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_are_allowed_on_any_file_system_and_not_hidden() {
        assert_eq!(file_name("W*D*C*"), "WsDsCs");
        assert_eq!(file_name("W!D a/b"), "WpD-a-b");
        assert_eq!(file_name(".5"), "_5");
        assert_eq!(file_name("-rf"), "_rf");
        assert_eq!(file_name("λ"), "_");
    }
}
