//! `results.csv`, `times.csv` and `measures/*.csv`: one row per value, all with
//! the same columns.

use std::path::Path;

use pallium_core::Result;

use crate::outcome::{Status, Value};
use crate::spec::CellSpec;
use crate::table::{self, damaged, parse_number, unwritable};

/// The columns. Tables of format 1 lack the last one.
pub const COLUMNS: [&str; 8] = ["variant", "task", "run", "split", "measure", "value", "status", "folder"];

/// One value of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the variant.
    pub variant: String,
    /// Label of the task; `both/go-no-go` for one of several tasks of a network.
    pub task: String,
    /// Number of the run, from 0.
    pub run: u32,
    /// The value, its split and its measure.
    pub value: Value,
    /// How the training ended, or why the measure failed.
    pub status: Status,
    /// The training's folder in `cells/`; `None` if it failed, or in tables of
    /// format 1.
    pub folder: Option<String>,
}

/// The label of one of several tasks of a network: `both/go-no-go`. Labels of tasks
/// have no `/`.
pub fn task_label(task: &str, member: &str) -> String {
    if member.is_empty() { task.into() } else { format!("{task}/{member}") }
}

/// Rows for the values of one training.
pub fn rows(
    spec: &CellSpec,
    values: &[Value],
    status: &Status,
    folder: Option<&str>,
) -> impl Iterator<Item = Row> {
    values.iter().map(move |value| Row {
        variant: spec.variant.clone(),
        task: task_label(&spec.task, &value.task),
        run: spec.run,
        value: value.clone(),
        status: value.failed.as_ref().map_or_else(|| status.clone(), |why| Status::Failed(why.clone())),
        folder: folder.map(str::to_owned),
    })
}

/// The rows as CSV.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn write<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<Vec<u8>> {
    let mut file = table::with_header(COLUMNS)?;
    for row in rows {
        let fields = [
            &row.variant,
            &row.task,
            &row.run.to_string(),
            &row.value.split,
            &row.value.measure,
            &row.value.value.map_or_else(String::new, table::number),
            &row.status.to_string(),
            row.folder.as_deref().unwrap_or_default(),
        ];
        file.write_record(fields).map_err(|e| unwritable(&e))?;
    }
    table::finish(file)
}

/// Reads a table that [`write()`] wrote, in this format or in format 1.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let mut file = csv::Reader::from_path(path).map_err(|e| damaged(path, &e))?;
    let header = file.headers().map_err(|e| damaged(path, &e))?.clone();
    let (known, last) = COLUMNS.split_at(COLUMNS.len() - 1);
    if !header.iter().take(known.len()).eq(known.iter().copied())
        || !header.iter().skip(known.len()).all(|column| last.contains(&column))
    {
        return Err(damaged(path, &"it does not have the columns of a table of results"));
    }
    let mut rows = Vec::new();
    for record in file.records() {
        let record = record.map_err(|e| damaged(path, &e))?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let status = Status::parse(field(6))
            .ok_or_else(|| damaged(path, &format!("`{}` is not a status", field(6))))?;
        rows.push(Row {
            variant: field(0).into(),
            task: field(1).into(),
            run: field(2).parse().map_err(|e| damaged(path, &format!("run `{}`: {e}", field(2))))?,
            value: Value {
                failed: match &status {
                    Status::Failed(why) => Some(why.clone()),
                    _ => None,
                },
                task: field(1).split_once('/').map_or_else(String::new, |(_, member)| member.into()),
                ..Value::new(field(3), field(4), parse_number(path, field(5))?)
            },
            status,
            folder: Some(field(7)).filter(|name| !name.is_empty()).map(str::to_owned),
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn rows_are_read_back_as_written() {
        let values = [
            Value::new("test", "accuracy", Some(0.1 + 0.2)),
            Value::new("", "entropy", None),
            Value { failed: Some("one, two".into()), ..Value::new("", "modularity", None) },
            Value { task: "go".into(), ..Value::new("test", "accuracy", Some(0.5)) },
        ];
        let written: Vec<Row> = rows(&testing::spec(), &values, &Status::Ok, Some("a.b.000.12")).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        std::fs::write(&path, write(&written).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), written);
        assert_eq!(written[2].status, Status::Failed("one, two".into()));
        assert_eq!(written[3].task, format!("{}/go", testing::spec().task));
    }

    #[test]
    fn a_table_without_folders_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.csv");
        std::fs::write(&path, "variant,task,run,split,measure,value,status\nW,t,3,test,accuracy,1,ok\n")
            .unwrap();
        let rows = read(&path).unwrap();
        assert_eq!((rows[0].run, rows[0].value.value, &rows[0].folder), (3, Some(1.0), &None));
        for (text, what) in [
            ("a,b\n1,2\n", "columns"),
            ("variant,task,run,split,measure,value,status\nW,t,3,test,accuracy,x,ok\n", "`x`"),
            ("variant,task,run,split,measure,value,status\nW,t,3,test,accuracy,1,fine\n", "`fine`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.message.contains(what) && error.help.is_some(), "{error}");
        }
    }
}
