//! Tables of likeness: every pair, means for the terminal, and the spread over runs.

use itertools::Itertools;
use pallium_core::Result;
use pallium_record::table;
use pallium_report::table::TextTable;
use serde_json::json;

use super::{LikenessMeasure, Row};

/// What stands for a network where it is the recording.
const RECORDING: &str = "recording";

const COLUMNS: [&str; 9] =
    ["task", "variant_a", "run_a", "variant_b", "run_b", "measure", "value", "folder_a", "folder_b"];

impl Row<'_> {
    fn second(&self) -> (&str, String, &str) {
        match self.second {
            Some(cell) => (&cell.spec.variant, cell.spec.run.to_string(), &cell.folder),
            None => (RECORDING, String::new(), ""),
        }
    }
}

/// All rows as CSV.
///
/// # Errors
/// If they cannot be written.
pub fn as_csv(rows: &[Row<'_>]) -> Result<Vec<u8>> {
    let mut file = table::with_header(COLUMNS)?;
    for row in rows {
        let (a, (variant, run, folder)) = (&row.first.spec, row.second());
        file.write_record([
            &a.task,
            &a.variant,
            &a.run.to_string(),
            variant,
            &run,
            row.measure.name(),
            &row.value.map_or_else(String::new, table::number),
            &row.first.folder,
            folder,
        ])
        .map_err(|e| table::unwritable(&e))?;
    }
    table::finish(file)
}

/// A row as JSON.
pub fn as_json(row: &Row<'_>) -> serde_json::Value {
    let (a, (variant, _, folder)) = (&row.first.spec, row.second());
    json!({
        "task": a.task, "variant_a": a.variant, "run_a": a.run, "variant_b": variant,
        "run_b": row.second.map(|cell| cell.spec.run), "measure": row.measure.name(), "value": row.value,
        "folder_a": row.first.folder, "folder_b": folder,
    })
}

/// A table for the terminal: means over the runs of two variants, and within one.
pub fn summary(rows: &[Row<'_>], measures: &[LikenessMeasure]) -> String {
    let key = |row: &Row<'_>| {
        let (variant, ..) = row.second();
        let own = row.first.spec.variant.clone();
        let mut both = [own, variant.to_owned()];
        // The recording comes second.
        if row.second.is_some() {
            both.sort_unstable();
        }
        (row.first.spec.task.clone(), both)
    };
    let head = ["task", "variant", "and"].into_iter().chain(measures.iter().map(|measure| measure.name()));
    let mut table = TextTable::new(head.chain(["pairs"]));
    for group in rows.iter().map(key).unique() {
        let own: Vec<&Row<'_>> = rows.iter().filter(|row| key(row) == group).collect();
        let mean = |&measure: &LikenessMeasure| {
            let known: Vec<f64> =
                own.iter().filter(|row| row.measure == measure).filter_map(|row| row.value).collect();
            match known.len() {
                0 => "–".to_owned(),
                n => format!("{:.3}", known.iter().sum::<f64>() / n as f64),
            }
        };
        let pairs = own.iter().map(|row| (&row.first.folder, row.second().2)).unique().count();
        let (task, [a, b]) = &group;
        let names = [task.clone(), a.clone(), b.clone()];
        table.add_row(names.into_iter().chain(measures.iter().map(mean)).chain([pairs.to_string()]));
    }
    table.to_string()
}

const SPREAD: [&str; 10] =
    ["task", "variant", "level", "measure", "runs", "pairs", "distance", "sd", "smallest", "largest"];

/// How much the runs of each variant differ at the levels of behaviour, activity, dynamics
/// and weights, as CSV: 1 − likeness over all pairs of runs.
///
/// # Errors
/// If it cannot be written.
pub fn degeneracy(rows: &[Row<'_>]) -> Result<Vec<u8>> {
    let own = |row: &&Row<'_>| row.second.is_some_and(|cell| cell.spec.variant == row.first.spec.variant);
    let key = |row: &Row<'_>| (row.first.spec.task.clone(), row.first.spec.variant.clone(), row.measure);
    let mut file = table::with_header(SPREAD)?;
    for group in rows.iter().filter(own).map(key).unique() {
        let pairs: Vec<&Row<'_>> = rows.iter().filter(own).filter(|row| key(row) == group).collect();
        let runs = pairs.iter().flat_map(|row| [Some(row.first), row.second]).flatten();
        let runs = runs.map(|cell| cell.spec.run).unique().count();
        let known: Vec<f64> = pairs.iter().filter_map(|row| row.value).map(|value| 1.0 - value).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let squares = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let ends = known.iter().copied().minmax().into_option();
        let numbers = [
            mean,
            (squares / (known.len() as f64 - 1.0)).sqrt(),
            ends.map_or(f64::NAN, |(smallest, _)| smallest),
            ends.map_or(f64::NAN, |(_, largest)| largest),
        ];
        let (task, variant, measure) = group;
        let names = [task, variant, measure.level().to_owned(), measure.name().to_owned()];
        let counts = [runs.to_string(), known.len().to_string()];
        let number = |value: f64| if value.is_finite() { table::number(value) } else { String::new() };
        file.write_record(names.into_iter().chain(counts).chain(numbers.map(number)))
            .map_err(|e| table::unwritable(&e))?;
    }
    table::finish(file)
}
