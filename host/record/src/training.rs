//! The records of a finished or failed training: `cell.json` and
//! `failed/NAME.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pallium_core::{Connections, Error, Matrix, Result, TaskInfo, Tensor};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::compact::Restored;
use crate::identity::Cell;
use crate::model::ModelRecord;
use crate::outcome::{Divergence, Epoch, Status, Value};
use crate::spec::CellSpec;
use crate::table::damaged;
use crate::{FORMAT, VERSION};

/// Name of the file that describes a finished training.
pub const FILE: &str = "cell.json";

/// The result of a training that completed or diverged.
#[derive(Clone, Debug)]
pub struct Trained {
    /// [`Status::Ok`] or [`Status::Diverged`].
    pub status: Status,
    /// Where it diverged, if it did.
    pub divergence: Option<Divergence>,
    /// Notes of the substrate's source about the data.
    pub notes: Vec<String>,
    /// Warnings of components during the training, each once.
    pub warnings: Vec<String>,
    /// Description of the task; of several tasks, of all together.
    pub task: TaskInfo,
    /// Each of several tasks, in the order of the specification.
    pub members: Vec<TaskInfo>,
    /// Description of the model.
    pub model: ModelRecord,
    /// `accuracy`, `task_loss` and `penalty` of every split after training, and
    /// `running_accuracy` and `running_loss` of the last epoch; `None` if the
    /// training diverged.
    pub values: Vec<Value>,
    /// The measures of each metric, in the order of the spec; empty if the
    /// training diverged.
    pub measures: Vec<Vec<Value>>,
    /// The arrays of each metric, in the order of the spec.
    pub arrays: Vec<Vec<Tensor>>,
    /// `seconds_…`, stored apart because they vary.
    pub times: Vec<Value>,
    /// One entry per completed epoch.
    pub curves: Vec<Epoch>,
    /// The substrate's identifiers of the neurons, N each, by name (`root`).
    pub ids: BTreeMap<String, Vec<i64>>,
    /// Recurrent weights before training, N×N; 1 × C on a set of C connections.
    pub initial: Matrix,
    /// The connections before and after training; `None` if the weights are a
    /// matrix.
    pub connections: Option<[Connections; 2]>,
    /// Trained parameters; empty if the training diverged.
    pub parameters: Vec<Tensor>,
    /// The parameters after some epochs, 0 for those before training.
    pub snapshots: Vec<Snapshot>,
    /// The state to continue from; `None` if the training diverged or its state
    /// is not stored.
    pub state: Option<Checkpoint>,
}

/// The parameters of a network after an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Number of the epoch; 0 before training.
    pub epoch: u32,
    /// The parameters.
    pub parameters: Vec<Tensor>,
}

impl Trained {
    /// A value by split and measure.
    pub fn value(&self, split: &str, measure: &str) -> Option<f64> {
        self.values.iter().find(|v| v.split == split && v.measure == measure)?.value
    }
}

/// `cell.json`: the specification and inputs of a training, and how it ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingFile {
    /// Version of the format.
    pub format: u32,
    /// `variant/task/run` at the time of training.
    pub cell: String,
    /// Name of the variant at the time of training; it may have been renamed
    /// since.
    pub variant: String,
    /// Label of the task at the time of training.
    pub task: String,
    /// Number of the run, from 0.
    pub run: u32,
    /// Identity of the training.
    pub identity: String,
    /// Name of the profile.
    pub profile: String,
    /// [`Status::Ok`] or [`Status::Diverged`].
    pub status: Status,
    /// Where it diverged.
    pub divergence: Option<Divergence>,
    /// Version of Pallium.
    pub pallium: String,
    /// Version of pallium-core.
    pub core: String,
    /// What the result depends on besides the spec.
    pub inputs: BTreeMap<String, String>,
    /// Notes of the substrate's source about the data.
    pub notes: Vec<String>,
    /// Warnings of components during the training, each once; none in older
    /// folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Description of the task; of several tasks, of all together.
    pub task_info: TaskInfo,
    /// Each of several tasks, in the order of the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_infos: Vec<TaskInfo>,
    /// Description of the model.
    pub model_info: ModelRecord,
    /// The specification.
    pub spec: CellSpec,
    /// What the training was restored from; then its folder has no weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    /// Path of the training's folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl TrainingFile {
    /// The file of a training of `cell` under `profile`.
    pub fn new(cell: &Cell, trained: &Trained, profile: &str) -> Self {
        let spec = &cell.spec;
        TrainingFile {
            format: FORMAT,
            cell: spec.label(),
            variant: spec.variant.clone(),
            task: spec.task.clone(),
            run: spec.run,
            identity: cell.identity.clone(),
            profile: profile.into(),
            status: trained.status.clone(),
            divergence: trained.divergence.clone(),
            pallium: VERSION.into(),
            core: pallium_core::VERSION.into(),
            inputs: cell.inputs.iter().cloned().collect(),
            notes: trained.notes.clone(),
            warnings: trained.warnings.clone(),
            task_info: trained.task.clone(),
            member_infos: trained.members.clone(),
            model_info: trained.model.clone(),
            spec: spec.clone(),
            restored: None,
            folder: PathBuf::new(),
        }
    }

    /// Reads the file in a training's folder.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let file: Self = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        Ok(TrainingFile { folder: folder.to_owned(), ..file })
    }
}

/// Why a training failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The reason, in one line.
    pub reason: String,
    /// The error, if the training's process reported one.
    pub error: Option<Error>,
    /// The end of the process's output.
    pub log: String,
}

/// `failed/NAME.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailureFile {
    /// Version of the format.
    pub format: u32,
    /// `variant/task/run`.
    pub cell: String,
    /// Name of the variant.
    pub variant: String,
    /// Label of the task.
    pub task: String,
    /// Number of the run, from 0.
    pub run: u32,
    /// Identity of the training.
    pub identity: String,
    /// Why it failed.
    #[serde(flatten)]
    pub failure: Failure,
}

impl FailureFile {
    /// The file of a failed training of `cell`.
    pub fn new(cell: &Cell, failure: &Failure) -> Self {
        let spec = &cell.spec;
        FailureFile {
            format: FORMAT,
            cell: spec.label(),
            variant: spec.variant.clone(),
            task: spec.task.clone(),
            run: spec.run,
            identity: cell.identity.clone(),
            failure: failure.clone(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| Error::io(path, &e))?;
        serde_json::from_str(&text).map_err(|e| damaged(path, &e))
    }
}
