//! `curves.csv`: learning curves, one row per epoch.
//!
//! Each training has its own table. The table of the run folder holds the
//! curves of all trainings, with columns that identify them.

use std::path::Path;

use pallium_core::Result;

use crate::outcome::{Epoch, Status};
use crate::spec::CellSpec;
use crate::table::{self, CsvTable, damaged, number, parse_number, unwritable};

/// The columns of an epoch.
pub const COLUMNS: [&str; 6] =
    ["epoch", "running_loss", "running_accuracy", "penalty", "validation_loss", "validation_accuracy"];

/// The fields of an epoch, in the order of [`COLUMNS`].
fn fields(epoch: &Epoch) -> [String; 6] {
    let [loss, accuracy, penalty, validation_loss, validation_accuracy] = values(epoch);
    [
        epoch.epoch.to_string(),
        number(loss),
        number(accuracy),
        number(penalty),
        number(validation_loss),
        number(validation_accuracy),
    ]
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

/// The curve of one training as CSV.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn write(curve: &[Epoch]) -> Result<Vec<u8>> {
    let mut file = table::with_header(COLUMNS)?;
    for epoch in curve {
        file.write_record(fields(epoch)).map_err(|e| unwritable(&e))?;
    }
    table::finish(file)
}

/// Reads the curve of one training.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Vec<Epoch>> {
    let mut file = csv::Reader::from_path(path).map_err(|e| damaged(path, &e))?;
    if file.headers().map_err(|e| damaged(path, &e))? != COLUMNS[..] {
        return Err(damaged(path, &"its columns are not those of a learning curve"));
    }
    let mut curve = Vec::new();
    for record in file.records() {
        let record = record.map_err(|e| damaged(path, &e))?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let value = |at: usize| parse_number(path, field(at));
        curve.push(Epoch {
            epoch: field(0).parse().map_err(|e| damaged(path, &format!("epoch `{}`: {e}", field(0))))?,
            running_loss: value(1)?.unwrap_or(f64::NAN),
            running_accuracy: value(2)?,
            penalty: value(3)?.unwrap_or(f64::NAN),
            validation_loss: value(4)?,
            validation_accuracy: value(5)?,
        });
    }
    Ok(curve)
}

/// The learning curves of a run folder, under construction.
pub struct Curves(CsvTable);

impl Curves {
    /// A table without rows.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn new() -> Result<Self> {
        let columns = ["variant", "task", "run"].into_iter().chain(COLUMNS).chain(["status", "folder"]);
        table::with_header(columns).map(Curves)
    }

    /// Adds the curve of a training.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn add(&mut self, spec: &CellSpec, curve: &[Epoch], status: &Status, folder: &str) -> Result<()> {
        let (run, status) = (spec.run.to_string(), status.to_string());
        for epoch in curve {
            let epoch = fields(epoch);
            let row = [&spec.variant, &spec.task, &run].into_iter().map(String::as_str);
            let row = row.chain(epoch.iter().map(String::as_str)).chain([status.as_str(), folder]);
            self.0.write_record(row).map_err(|e| unwritable(&e))?;
        }
        Ok(())
    }

    /// The table as CSV.
    ///
    /// # Errors
    /// None in practice; writing into memory does not fail.
    pub fn finish(self) -> Result<Vec<u8>> {
        table::finish(self.0)
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
        }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.csv");
        std::fs::write(&path, write(&curve).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), curve);
        std::fs::write(&path, "epoch\n1\n").unwrap();
        assert!(read(&path).unwrap_err().message.contains("columns"));
    }
}
