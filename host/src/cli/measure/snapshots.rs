//! `pallium measure RUN --metric ID --snapshots`: how measures develop over a training.

use pallium_core::{Error, Result};
use pallium_record::identity::Cell;
use pallium_record::outcome::{Status, Value};
use pallium_record::spec::Use;
use pallium_record::table;
use serde_json::json;

use super::{Measure, chosen};
use crate::cli::finished::FinishedRun;
use crate::cli::{output, support};
use crate::run::each::Given;
use crate::run::protocol::{Event, Work};

const COLUMNS: [&str; 8] = ["variant", "task", "run", "epoch", "measure", "value", "status", "folder"];

/// Computes the metrics of every network that a snapshot kept.
///
/// # Errors
/// If no training of the folder has snapshots, or a metric is missing or wrongly set.
pub fn measure(args: &Measure) -> Result<()> {
    if let Some(out) = &args.out {
        output::check(out, args.force)?;
    }
    let run = FinishedRun::open(&args.file, &[])?;
    let mut metrics = Vec::new();
    for (id, params) in chosen(args, &run.catalogue)? {
        let mut metric = Use::new(id);
        metric.params.extend(params);
        metrics.push(metric);
    }
    let mut cells = Vec::new();
    for cell in &run.cells {
        if !run.store.snapshots(cell)?.is_empty() {
            let mut cell = cell.clone();
            cell.spec.metrics.clear();
            run.experiment.add_metrics(std::slice::from_mut(&mut cell.spec), &metrics, &run.catalogue)?;
            cells.push(cell);
        }
    }
    if cells.is_empty() {
        return Err(Error::input(format!("no training in {} has snapshots", args.file.display()))
            .help("train with training.snapshots = \"log\", or a number of epochs"));
    }
    let cells: Vec<&Cell> = cells.iter().collect();
    let workers = crate::run::workers::Workers::new(support::cache_folder())?;
    let jobs = support::jobs(None, cells.iter().map(|cell| &cell.spec));
    let given = |at: usize| {
        let (cell, store) = (Box::new(cells[at].clone()), run.store.root().to_owned());
        Ok(Given { work: Work::MeasureSnapshots { cell, store }, tasks: Vec::new() })
    };
    let mut found: Vec<(&Cell, u32, Value)> = Vec::new();
    for (cell, event) in cells.iter().zip(workers.each(jobs, &cells, &run.catalogue, &given)?) {
        let Event::SnapshotsMeasured { rows } = event else {
            return Err(Error::bug("a worker sent something else than measures"));
        };
        found.extend(rows.into_iter().map(|(epoch, value)| (*cell, epoch, value)));
    }
    if args.json {
        let rows: Vec<_> = found
            .iter()
            .map(|(cell, epoch, value)| {
                json!({
                    "variant": cell.spec.variant, "task": cell.spec.task, "run": cell.spec.run, "epoch": epoch,
                    "measure": value.measure, "value": value.value, "failed": value.failed, "folder": cell.folder,
                })
            })
            .collect();
        return support::print_json(&json!({ "folder": args.file.display().to_string(), "rows": rows }));
    }
    let mut file = table::with_header(COLUMNS)?;
    for (cell, epoch, value) in &found {
        let status = value.failed.clone().map_or(Status::Ok, Status::Failed);
        file.write_record([
            &cell.spec.variant,
            &cell.spec.task,
            &cell.spec.run.to_string(),
            &epoch.to_string(),
            &value.measure,
            &value.value.map_or_else(String::new, table::number),
            &status.to_string(),
            &cell.folder,
        ])
        .map_err(|e| table::unwritable(&e))?;
    }
    let bytes = table::finish(file)?;
    match &args.out {
        Some(out) => output::write(out, &bytes, args.force),
        None => support::print(&String::from_utf8_lossy(&bytes)),
    }
}
