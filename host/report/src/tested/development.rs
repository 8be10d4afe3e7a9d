//! Tables of `pallium measure --snapshots` in a report: how measures develop over training.

use std::path::Path;

use itertools::Itertools;
use pallium_core::{Result, random};
use pallium_stats as stats;
use serde::Deserialize;

use super::{RunSums, TestCurves, TestFigure, TestLine, TestPoint, Tested, read_rows, title};
use crate::folder::RunFolder;
use crate::run_table::ends;

/// A row of a table of `pallium measure --snapshots`.
#[derive(Clone, Debug, Deserialize)]
struct SnapshotRow {
    variant: String,
    task: String,
    run: u32,
    epoch: u32,
    measure: String,
    value: Option<f64>,
}

impl Tested {
    /// Adds tables that `pallium measure --snapshots` wrote for this run.
    ///
    /// # Errors
    /// If a file cannot be read, is not such a table, or is about other variants.
    pub fn add_development(&mut self, run: &RunFolder, files: &[impl AsRef<Path>]) -> Result<()> {
        let mut rows: Vec<SnapshotRow> = Vec::new();
        for file in files {
            let command = "pallium measure RUN --metric ID --snapshots --out FILE.csv";
            let own = read_rows(run, file.as_ref(), command, |row: &SnapshotRow| vec![&row.variant])?;
            rows.extend(own);
        }
        for (task, measure) in rows.iter().map(|row| (&row.task, &row.measure)).unique() {
            let own = || rows.iter().filter(|row| row.task == *task && row.measure == *measure);
            let lines: Vec<TestLine> = (0..run.variants.len())
                .filter_map(|variant| {
                    let points = points(run, own().filter(|row| row.variant == run.variants[variant]));
                    (!points.is_empty()).then_some(TestLine { variant, control: false, points })
                })
                .collect();
            if !lines.is_empty() {
                self.curves.push(TestCurves {
                    figure: TestFigure::Development,
                    title: title(run, task, task),
                    across: "epoch".into(),
                    labels: Vec::new(),
                    measure: measure.clone(),
                    lines,
                });
            }
        }
        Ok(())
    }
}

/// The mean over runs at each epoch.
fn points<'a>(run: &RunFolder, rows: impl Iterator<Item = &'a SnapshotRow>) -> Vec<TestPoint> {
    let mut at: std::collections::BTreeMap<u32, RunSums> = std::collections::BTreeMap::new();
    for row in rows {
        let Some(value) = row.value else { continue };
        at.entry(row.epoch).or_default().insert(row.run, (value, 1.0));
    }
    let point = |(epoch, runs): (u32, RunSums)| {
        let values: Vec<f64> = runs.values().map(|(value, _)| *value).collect();
        let seed = random::derive(run.manifest.seed, 0, &format!("interval of snapshots {epoch}"));
        let interval = ends(&values, run.interval, seed);
        TestPoint { x: f64::from(epoch), mean: stats::mean(&values), interval, runs: values.len() }
    };
    at.into_iter().map(point).collect()
}
