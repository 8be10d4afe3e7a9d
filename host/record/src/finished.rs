//! When a training is done, and what a finished one contains.
//!
//! A training is done if its folder exists, its `cell.json` has its identity
//! and none of its files is missing; it is complete if each of its metrics has
//! a file in `measures/` and none of them failed. Folders appear in one step, so there is nothing in
//! between.

use std::fs;
use std::path::Path;

use pallium_core::{Error, Levels, Result};

use crate::identity::Cell;
use crate::outcome::{Epoch, Status, Value};
use crate::store::{MEASURES, Store};
use crate::table::damaged;
use crate::training::{FILE, FailureFile, TrainingFile};
use crate::{curves, earlier, results};

/// The files of every finished training, besides `cell.json`.
const FILES: [&str; 3] = ["results.csv", "times.csv", "curves.csv"];

/// A finished training, as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// [`Status::Ok`] or [`Status::Diverged`].
    pub status: Status,
    /// Its values and measures.
    pub values: Vec<Value>,
    /// Its durations.
    pub times: Vec<Value>,
    /// Reference levels of its task, if it has an accuracy.
    pub levels: Option<Levels>,
    /// The name and the reference levels of each of several tasks.
    pub members: Vec<(String, Option<Levels>)>,
    /// Its learning curve.
    pub curve: Vec<Epoch>,
    /// Number of metrics that are missing or failed.
    pub unmeasured: usize,
    /// Warnings of components during the training.
    pub warnings: Vec<String>,
}

impl Finished {
    /// A value by split and measure.
    pub fn value(&self, split: &str, measure: &str) -> Option<f64> {
        self.value_on("", split, measure)
    }

    /// A value of one of several tasks by name, split and measure.
    pub fn value_on(&self, task: &str, split: &str, measure: &str) -> Option<f64> {
        self.values.iter().find(|v| v.task == task && v.split == split && v.measure == measure)?.value
    }
}

/// What a run folder contains of a training.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// It is finished.
    Finished(Finished),
    /// It failed when it was last run.
    Failed(String),
}

/// The records of a plan, in its order.
pub type Records = Vec<Option<Record>>;

impl Store {
    /// Whether the folder contains this training, finished.
    ///
    /// # Errors
    /// If its folder exists with other contents.
    pub fn holds(&self, cell: &Cell) -> Result<bool> {
        self.training(cell).map(|found| found.is_some())
    }

    /// Whether the folder contains this training and all of its measures.
    ///
    /// # Errors
    /// As [`Store::holds`].
    pub fn is_complete(&self, cell: &Cell) -> Result<bool> {
        Ok(match self.training(cell)? {
            Some(file) => self.unmeasured(cell, &file)?.is_empty(),
            None => false,
        })
    }

    /// The metrics of a finished training that are missing or failed, as positions in
    /// the spec.
    ///
    /// # Errors
    /// As [`Store::holds`], or if the training is not finished.
    pub fn to_measure(&self, cell: &Cell) -> Result<Vec<usize>> {
        let file = self.training(cell)?.ok_or_else(|| Error::bug("a training to be measured is missing"))?;
        self.unmeasured(cell, &file)
    }

    /// What the folder contains of a training, if anything.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn record(&self, cell: &Cell) -> Result<Option<Record>> {
        if let Some(file) = self.training(cell)? {
            return self.finished(cell, &file).map(|f| Some(Record::Finished(f)));
        }
        let path = self.failure_file(cell);
        if !path.exists() {
            return Ok(None);
        }
        FailureFile::read(&path).map(|file| Some(Record::Failed(file.failure.reason)))
    }

    /// Updates the records of `plan`; finished trainings in `known` are not
    /// read again.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn records(&self, plan: &[Cell], known: &mut Records) -> Result<()> {
        known.resize(plan.len(), None);
        for (cell, record) in plan.iter().zip(known.iter_mut()) {
            if !matches!(record, Some(Record::Finished(finished)) if finished.unmeasured == 0) {
                *record = self.record(cell)?;
            }
        }
        Ok(())
    }

    fn unmeasured(&self, cell: &Cell, file: &TrainingFile) -> Result<Vec<usize>> {
        if file.status == Status::Diverged {
            return Ok(Vec::new());
        }
        let folder = self.folder(cell).join(MEASURES);
        // Format 1 kept all measures in one table.
        if file.format == earlier::FORMAT && !folder.exists() && earlier::has_same_metrics(file, cell) {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        for (at, name) in cell.measures.iter().enumerate() {
            let path = folder.join(name);
            // An undefined value is a result. A restored training has no weights to measure.
            let failed = || Ok(values_in(&path)?.iter().any(|value| value.failed.is_some()));
            if !path.exists() || file.restored.is_none() && failed()? {
                missing.push(at);
            }
        }
        Ok(missing)
    }

    /// Reads and checks `cell.json` of a finished training, if it exists.
    fn training(&self, cell: &Cell) -> Result<Option<TrainingFile>> {
        let folder = self.folder(cell);
        let path = folder.join(FILE);
        // The folder may appear between the two checks; then the file is there.
        if !path.exists() && !folder.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, &e))?;
        let file: TrainingFile = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        if file.identity != cell.identity && !earlier::is_same(&file, cell)? {
            return Err(damaged(&path, &"it belongs to another training than the folder's name says"));
        }
        let weights = file.restored.is_none().then_some(crate::weights::FILE);
        for name in FILES.into_iter().chain(weights) {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Ok(about) if about.len() > 0 => {}
                Ok(_) => return Err(damaged(&path, &"it is empty")),
                Err(e) => return Err(damaged(&path, &e)),
            }
        }
        Ok(Some(TrainingFile { folder, ..file }))
    }

    fn finished(&self, cell: &Cell, file: &TrainingFile) -> Result<Finished> {
        let read = |name: &str| values_in(&file.folder.join(name));
        let mut values = read("results.csv")?;
        let measures = file.folder.join(MEASURES);
        if file.format != earlier::FORMAT || measures.exists() {
            if file.format == earlier::FORMAT {
                // It stored measures in the same table.
                values.retain(|value| !value.split.is_empty());
            }
            for name in cell.measures.iter().filter(|name| measures.join(name).exists()) {
                add_measures(&mut values, read(&format!("{MEASURES}/{name}"))?);
            }
        }
        Ok(Finished {
            status: file.status.clone(),
            values,
            times: read("times.csv")?,
            levels: file.task_info.levels,
            members: file
                .spec
                .members
                .iter()
                .flat_map(|members| &members.tasks)
                .zip(&file.member_infos)
                .map(|(member, info)| (member.name.clone(), info.levels))
                .collect(),
            curve: curves::read(&file.folder.join("curves.csv"))?,
            unmeasured: self.unmeasured(cell, file)?.len(),
            warnings: file.warnings.clone(),
        })
    }
}

/// The values in a table of a training.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn values_in(path: &Path) -> Result<Vec<Value>> {
    Ok(results::read(path)?.into_iter().map(|row| row.value).collect())
}

/// Adds measures to values. If several metrics have measures of the same name,
/// or a metric is used twice with different parameters, all are kept and
/// numbered in the order of the metrics.
fn add_measures(values: &mut Vec<Value>, measures: Vec<Value>) {
    for measure in measures {
        let taken = |name: &str| values.iter().any(|v| v.split.is_empty() && v.measure == name);
        let numbered = (2..).map(|number| format!("{}_{number}", measure.measure));
        let name = std::iter::once(measure.measure.clone()).chain(numbered).find(|name| !taken(name));
        values.push(Value { measure: name.unwrap_or_default(), ..measure });
    }
}
