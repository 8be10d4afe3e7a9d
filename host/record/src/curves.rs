//! `curves.csv`: learning curves, one row per epoch.
//!
//! Each training has its own table. The table of the run folder holds the
//! curves of all trainings, with columns that identify them.

use std::path::Path;

use pallium_core::Result;

use crate::outcome::{Epoch, Status, TaskEpoch};
use crate::results::task_label;
use crate::spec::CellSpec;
use crate::table::{self, CsvTable, damaged, number, parse_number, unwritable};

/// The columns of an epoch.
pub const COLUMNS: [&str; 6] =
    ["epoch", "running_loss", "running_accuracy", "penalty", "validation_loss", "validation_accuracy"];

/// The column with the stage of a curriculum, in tables of trainings that have one.
const STAGE: &str = "stage";
/// The column with the name of one of several tasks of a network.
const TASK: &str = "task";

/// Loss, accuracy, penalty, validation loss and accuracy, stage and task of a row.
pub(crate) type Fields<'a> = ([f64; 5], Option<u32>, &'a str);

/// The rows of an epoch: the whole, then each of several tasks.
pub(crate) fn rows(epoch: &Epoch) -> impl Iterator<Item = Fields<'_>> {
    let of = |task: &TaskEpoch| {
        let TaskEpoch { running_loss, running_accuracy, validation_loss, validation_accuracy, .. } = *task;
        [running_loss, running_accuracy, None, validation_loss, validation_accuracy]
            .map(|value| value.unwrap_or(f64::NAN))
    };
    let tasks = epoch.tasks.iter().map(move |task| (of(task), task.stage, task.name.as_str()));
    std::iter::once((values(epoch), epoch.stage, "")).chain(tasks)
}

fn stage_text(stage: Option<u32>) -> String {
    stage.map_or_else(String::new, |stage| stage.to_string())
}

/// The values of an epoch, in the order of the last five of [`COLUMNS`]; NaN if
/// missing.
pub fn values(epoch: &Epoch) -> [f64; 5] {
    [
        epoch.running_loss,
        epoch.running_accuracy.unwrap_or(f64::NAN),
        epoch.penalty,
        epoch.validation_loss.unwrap_or(f64::NAN),
        epoch.validation_accuracy.unwrap_or(f64::NAN),
    ]
}

/// Whether any row has a stage of a curriculum.
fn has_stages(curve: &[Epoch]) -> bool {
    curve.iter().flat_map(rows).any(|(_, stage, _)| stage.is_some())
}

/// The curve of one training as CSV. Trainings with a curriculum have the column
/// `stage`, those on several tasks the column `task`, which is empty for the whole.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn write(curve: &[Epoch]) -> Result<Vec<u8>> {
    let (staged, several) = (has_stages(curve), curve.iter().any(|epoch| !epoch.tasks.is_empty()));
    let more = [(staged, STAGE), (several, TASK)].into_iter().filter(|(has, _)| *has);
    let mut file = table::with_header(COLUMNS.into_iter().chain(more.map(|(_, column)| column)))?;
    for epoch in curve {
        for (values, stage, task) in rows(epoch) {
            let mut row = vec![epoch.epoch.to_string()];
            row.extend(values.map(number));
            row.extend(staged.then(|| stage_text(stage)));
            row.extend(several.then(|| task.to_owned()));
            file.write_record(row).map_err(|e| unwritable(&e))?;
        }
    }
    table::finish(file)
}

/// Reads the curve of one training.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Vec<Epoch>> {
    let mut file = csv::Reader::from_path(path).map_err(|e| damaged(path, &e))?;
    let header = file.headers().map_err(|e| damaged(path, &e))?.clone();
    let mut columns = header.iter();
    let known = columns.by_ref().take(COLUMNS.len()).eq(COLUMNS);
    if !known || !columns.all(|column| [STAGE, TASK].contains(&column)) {
        return Err(damaged(path, &"its columns are not those of a learning curve"));
    }
    let place = |name: &str| header.iter().position(|column| column == name);
    let (stage_at, task_at) = (place(STAGE), place(TASK));
    let mut curve: Vec<Epoch> = Vec::new();
    for record in file.records() {
        let record = record.map_err(|e| damaged(path, &e))?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let value = |at: usize| parse_number(path, field(at));
        let whole = |at: usize| {
            field(at).parse().map_err(|e| damaged(path, &format!("`{}` is not a number: {e}", field(at))))
        };
        let epoch = whole(0)?;
        let stage = stage_at.filter(|at| !field(*at).is_empty()).map(whole).transpose()?;
        let name = task_at.map_or("", field);
        if name.is_empty() {
            curve.push(Epoch {
                epoch,
                running_loss: value(1)?.unwrap_or(f64::NAN),
                running_accuracy: value(2)?,
                penalty: value(3)?.unwrap_or(f64::NAN),
                validation_loss: value(4)?,
                validation_accuracy: value(5)?,
                stage,
                tasks: Vec::new(),
            });
            continue;
        }
        let task = TaskEpoch {
            name: name.into(),
            running_loss: value(1)?,
            running_accuracy: value(2)?,
            validation_loss: value(4)?,
            validation_accuracy: value(5)?,
            stage,
        };
        match curve.last_mut().filter(|last| last.epoch == epoch) {
            Some(last) => last.tasks.push(task),
            None => {
                let why = format!("the row of `{name}` in epoch {epoch} comes before that of all tasks");
                return Err(damaged(path, &why));
            }
        }
    }
    Ok(curve)
}

/// The learning curves of a run folder, under construction.
pub struct Curves {
    file: CsvTable,
    staged: bool,
}

impl Curves {
    /// A table without rows; with the column `stage` if a training of the folder has
    /// a curriculum.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn new(staged: bool) -> Result<Self> {
        let columns = ["variant", "task", "run"].into_iter().chain(COLUMNS).chain(staged.then_some(STAGE));
        Ok(Curves { file: table::with_header(columns.chain(["status", "folder"]))?, staged })
    }

    /// Adds the curve of a training.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn add(&mut self, spec: &CellSpec, curve: &[Epoch], status: &Status, folder: &str) -> Result<()> {
        for epoch in curve {
            for (values, stage, task) in rows(epoch) {
                let mut row = vec![spec.variant.clone(), task_label(&spec.task, task), spec.run.to_string()];
                row.push(epoch.epoch.to_string());
                row.extend(values.map(number));
                row.extend(self.staged.then(|| stage_text(stage)));
                row.extend([status.to_string(), folder.to_owned()]);
                self.file.write_record(row).map_err(|e| unwritable(&e))?;
            }
        }
        Ok(())
    }

    /// The table as CSV.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn finish(self) -> Result<Vec<u8>> {
        table::finish(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_read_back_as_written() {
        let curve = [Epoch {
            epoch: 1,
            running_loss: 0.1 + 0.2,
            running_accuracy: Some(1.0 / 3.0),
            penalty: 5e-324,
            validation_loss: None,
            validation_accuracy: Some(0.7),
            ..Epoch::default()
        }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.csv");
        std::fs::write(&path, write(&curve).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), curve);
        std::fs::write(&path, "epoch\n1\n").unwrap();
        assert!(read(&path).unwrap_err().message.contains("columns"));
    }

    #[test]
    fn curves_of_several_tasks_and_stages_are_read_back_as_written() {
        let task = |name: &str, running_loss, stage| TaskEpoch {
            name: name.into(),
            running_loss,
            validation_accuracy: Some(0.25),
            stage,
            ..TaskEpoch::default()
        };
        let epoch = |epoch| Epoch {
            epoch,
            running_loss: 0.5,
            tasks: vec![task("a", Some(0.5), Some(epoch)), task("b", None, None)],
            ..Epoch::default()
        };
        let curve = [epoch(1), epoch(2)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.csv");
        let text = String::from_utf8(write(&curve).unwrap()).unwrap();
        assert!(
            text.starts_with(
                "epoch,running_loss,running_accuracy,penalty,validation_loss,validation_accuracy,stage,task\n"
            ),
            "{text}"
        );
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap(), curve);
        let alone = [Epoch { epoch: 1, stage: Some(2), ..Epoch::default() }];
        std::fs::write(&path, write(&alone).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), alone);
        let mut whole = Curves::new(true).unwrap();
        whole.add(&crate::testing::spec(), &curve, &Status::Ok, "f").unwrap();
        let text = String::from_utf8(whole.finish().unwrap()).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("/b,")).count(), 2, "{text}");
    }
}
