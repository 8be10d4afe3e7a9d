//! Tables of `pallium likeness` in a report: a matrix of all networks for each task and
//! measure.

use std::path::Path;

use itertools::Itertools;
use ndarray::Array2;
use pallium_core::Result;
use serde::Deserialize;

use super::folder::RunFolder;
use super::table::{Table, TableCell};
use super::tested::read_rows;
use super::text::{measure_name, three};

/// A row of a table of `pallium likeness`.
#[derive(Clone, Debug, Deserialize)]
struct LikenessRow {
    task: String,
    variant_a: String,
    run_a: u32,
    variant_b: String,
    /// `None` for the recording.
    run_b: Option<u32>,
    measure: String,
    value: Option<f64>,
}

/// Likeness of networks, for figures and tables.
#[derive(Clone, Debug, Default)]
pub struct Likeness {
    /// Matrices, by task, then measure.
    pub matrices: Vec<LikenessMatrix>,
    /// Means over runs, a table for each task.
    pub tables: Vec<Table>,
}

/// The likeness of all pairs of networks.
#[derive(Clone, Debug)]
pub struct LikenessMatrix {
    /// The task.
    pub title: String,
    /// The measure.
    pub measure: String,
    /// The networks: index of the variant, and run; by variant, then run.
    pub networks: Vec<(usize, u32)>,
    /// Likeness, NaN where it is undefined; 1 on the diagonal.
    pub values: Array2<f64>,
}

impl Likeness {
    /// Reads tables that `pallium likeness` wrote for this run.
    ///
    /// # Errors
    /// If a file cannot be read, is not such a table, or is about other variants.
    pub fn read(run: &RunFolder, files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut rows = Vec::new();
        for file in files {
            rows.extend(read(run, file.as_ref())?);
        }
        let mut found = Likeness::default();
        for task in rows.iter().map(|row| row.task.clone()).unique() {
            let own: Vec<&LikenessRow> = rows.iter().filter(|row| row.task == task).collect();
            let title = run.tasks.iter().find(|known| known.label == task);
            let title = title.map_or(task.as_str(), |known| known.short()).to_owned();
            for measure in own.iter().map(|row| &row.measure).unique() {
                found.matrices.extend(matrix(&run.variants, &title, measure, &own));
            }
            found.tables.push(means(&run.variants, &title, &own));
        }
        Ok(found)
    }
}

fn read(run: &RunFolder, file: &Path) -> Result<Vec<LikenessRow>> {
    read_rows(run, file, "pallium likeness RUN --out FILE.csv", |row: &LikenessRow| {
        // The recording has no variant.
        std::iter::once(&row.variant_a).chain(row.run_b.map(|_| &row.variant_b)).collect()
    })
}

fn place(variants: &[String], variant: &str) -> usize {
    variants.iter().position(|known| known == variant).unwrap_or(0)
}

/// The matrix of a measure; `None` of one that compares with the recording alone.
fn matrix(variants: &[String], title: &str, measure: &str, rows: &[&LikenessRow]) -> Option<LikenessMatrix> {
    let pairs: Vec<[(usize, u32); 2]> = rows
        .iter()
        .filter(|row| row.measure == measure)
        .filter_map(|row| {
            let first = (place(variants, &row.variant_a), row.run_a);
            Some([first, (place(variants, &row.variant_b), row.run_b?)])
        })
        .collect();
    let networks: Vec<(usize, u32)> = pairs.iter().flatten().copied().sorted().dedup().collect();
    if networks.is_empty() {
        return None;
    }
    let mut values = Array2::from_elem((networks.len(), networks.len()), f64::NAN);
    values.diag_mut().fill(1.0);
    let own = rows.iter().filter(|row| row.measure == measure && row.run_b.is_some());
    for (row, pair) in own.zip(&pairs) {
        let [i, j] = pair.map(|network| networks.partition_point(|known| *known < network));
        let value = row.value.unwrap_or(f64::NAN);
        (values[[i, j]], values[[j, i]]) = (value, value);
    }
    Some(LikenessMatrix { title: title.to_owned(), measure: measure.to_owned(), networks, values })
}

/// Means over the runs of two variants, and within one.
fn means(variants: &[String], title: &str, rows: &[&LikenessRow]) -> Table {
    let measures: Vec<&str> = rows.iter().map(|row| row.measure.as_str()).unique().collect();
    let key = |row: &LikenessRow| {
        let (a, b) = (place(variants, &row.variant_a), row.run_b.map(|_| place(variants, &row.variant_b)));
        match b {
            Some(b) => (a.min(b), Some(a.max(b))),
            None => (a, None),
        }
    };
    let id = format!("likeness-{title}").replace(|c: char| !c.is_alphanumeric(), "-");
    let caption = "Means over pairs of networks; within one variant, over pairs of its runs.";
    let mut table = Table::new(id, format!("Likeness of networks, {title}"), caption)
        .columns(["variant", "and"])
        .columns(measures.iter().map(|measure| format!("#{}", measure_name(measure))));
    for (a, b) in rows.iter().map(|row| key(row)).sorted().dedup() {
        let cell = |measure: &&str| {
            let own = rows.iter().filter(|row| row.measure == **measure && key(row) == (a, b));
            let known: Vec<f64> = own.filter_map(|row| row.value).collect();
            let mean = (!known.is_empty()).then(|| pallium_stats::mean(&known));
            TableCell::number(mean, mean.map_or_else(|| "–".into(), three))
        };
        let other = b.map_or("recording", |b| variants[b].as_str());
        let names = [TableCell::text(&variants[a]), TableCell::text(other)];
        table.row(names.into_iter().chain(measures.iter().map(cell)).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_symmetric_and_ordered_by_variant() {
        let row = |a: (&str, u32), b: (&str, Option<u32>), measure: &str, value: f64| LikenessRow {
            task: "t".into(),
            variant_a: a.0.into(),
            run_a: a.1,
            variant_b: b.0.into(),
            run_b: b.1,
            measure: measure.into(),
            value: Some(value),
        };
        let variants = ["W".to_owned(), "F".to_owned()];
        let rows = [
            row(("F", 0), ("W", Some(1)), "cka", 0.25),
            row(("W", 0), ("W", Some(1)), "cka", 0.5),
            row(("F", 0), ("W", Some(0)), "cka", 0.75),
            row(("F", 0), ("recording", None), "recorded", 0.1),
        ];
        let rows: Vec<&LikenessRow> = rows.iter().collect();
        let found = matrix(&variants, "t", "cka", &rows).unwrap();
        assert_eq!(found.networks, [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(found.values, ndarray::array![[1.0, 0.5, 0.75], [0.5, 1.0, 0.25], [0.75, 0.25, 1.0]]);
        assert!(matrix(&variants, "t", "recorded", &rows).is_none());
        let table = means(&variants, "t", &rows);
        let text: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        assert_eq!(text[0], ["W", "W", "0.500", "–"]);
        assert_eq!(text[1], ["W", "F", "0.500", "–"]);
        assert_eq!(text[2], ["F", "recording", "–", "0.100"]);
    }
}
