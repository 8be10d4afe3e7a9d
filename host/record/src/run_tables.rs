//! The tables of a run folder, with the rows of all trainings: `results.csv`,
//! `results.parquet`, `curves.csv` and `axes.csv`.

use std::fs;
use std::io;

use pallium_core::Result;

use crate::curves::Curves;
use crate::durable::{replace, unwritten};
use crate::finished::{Record, Records};
use crate::identity::Cell;
use crate::outcome::{Status, Value};
use crate::parquet;
use crate::results::{self, Row};
use crate::store::Store;
use crate::table::{self, unwritable};

impl Store {
    /// Updates `records` and `results.csv`.
    ///
    /// If several processes do so at once, the slowest one's file stays; so
    /// each process checks afterwards whether more trainings have finished.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn refresh(&self, plan: &[Cell], records: &mut Records) -> Result<()> {
        self.until_settled(plan, records, &|rows, _| {
            replace(&self.root().join("results.csv"), &results::write(rows)?)
        })
    }

    /// As [`Store::refresh`], and writes `results.parquet` and `curves.csv` too.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn export(&self, plan: &[Cell], records: &mut Records) -> Result<()> {
        self.until_settled(plan, records, &|rows, records| {
            replace(&self.root().join("results.csv"), &results::write(rows)?)?;
            replace(&self.root().join("results.parquet"), &parquet::write(rows)?)?;
            let mut curves = Curves::new(plan.iter().any(|cell| cell.spec.has_curriculum()))?;
            for (cell, record) in plan.iter().zip(records) {
                if let Some(Record::Finished(finished)) = record {
                    curves.add(&cell.spec, &finished.curve, &finished.status, &cell.folder)?;
                }
            }
            replace(&self.root().join("curves.csv"), &curves.finish()?)
        })
    }

    /// Writes `axes.csv`, or removes it if there are no axes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_axes(&self, rows: &[Vec<String>]) -> Result<()> {
        let path = self.root().join("axes.csv");
        if rows.is_empty() {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(unwritten(&path, &e)),
                _ => Ok(()),
            };
        }
        let mut file = csv::Writer::from_writer(Vec::new());
        for row in rows {
            file.write_record(row).map_err(|e| unwritable(&e))?;
        }
        replace(&path, &table::finish(file)?)
    }

    fn until_settled(
        &self,
        plan: &[Cell],
        records: &mut Records,
        write: &dyn Fn(&[Row], &Records) -> Result<()>,
    ) -> Result<()> {
        self.records(plan, records)?;
        loop {
            write(&rows(plan, records), records)?;
            let before = records.clone();
            self.records(plan, records)?;
            if *records == before {
                return Ok(());
            }
        }
    }
}

/// The rows of `results.csv`, in the order of `plan`. A failed training has one
/// row, a test accuracy without a value.
fn rows(plan: &[Cell], records: &Records) -> Vec<Row> {
    let mut rows = Vec::new();
    for (cell, record) in plan.iter().zip(records) {
        match record {
            Some(Record::Finished(finished)) => {
                let folder = Some(cell.folder.as_str());
                rows.extend(results::rows(&cell.spec, &finished.values, &finished.status, folder));
                rows.extend(results::rows(&cell.spec, &finished.times, &finished.status, folder));
            }
            Some(Record::Failed(reason)) => {
                let nothing = [Value::new("test", "accuracy", None)];
                rows.extend(results::rows(&cell.spec, &nothing, &Status::Failed(reason.clone()), None));
            }
            None => {}
        }
    }
    rows
}
