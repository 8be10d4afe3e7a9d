//! Results for other programs: the table as Parquet, all learning curves in
//! one table.
//!
//! ```text
//! results.parquet   results.csv with types: `run` a 32-bit integer, `value` a
//!                   double or null, the rest text, `split` null where a value
//!                   belongs to none
//! curves.csv        the cells' learning curves, one row an epoch of a cell
//! ```

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pallium_core::{Error, Kind, Result};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::durable::replace;
use super::identity::Cell;
use super::outcome::Status;
use super::store::{Record, Records, Store};

/// What a cell's own `curves.csv` and the run folder's have in common.
const CURVES: [&str; 6] =
    ["epoch", "running_loss", "running_accuracy", "penalty", "validation_loss", "validation_accuracy"];

/// Brings `records` up to date and writes `results.csv` and what follows from
/// it anew, each file in one step.
///
/// Several processes may do so at once, and the slowest one's files stay: so
/// whoever has written looks again whether there is more by now.
///
/// # Errors
/// If something cannot be read or written.
pub fn write(store: &Store, plan: &[Cell], records: &mut Records) -> Result<()> {
    loop {
        store.records(plan, records)?;
        let path = store.write_results(plan, records)?;
        let table = fs::read(&path).map_err(|e| Error::io(&path, &e))?;
        let table = parquet(&table).map_err(|e| e.context(format!("{} as Parquet", path.display())))?;
        replace(&store.root().join("results.parquet"), &table)?;
        replace(&store.root().join("curves.csv"), &curves(store, plan, records)?)?;
        let before = records.clone();
        store.records(plan, records)?;
        if *records == before {
            return Ok(());
        }
    }
}

/// An epoch's number, and its values by their columns' names.
pub(super) type Point = (u32, Vec<(&'static str, Option<f64>)>);

/// The folder of a finished cell.
pub(super) fn folder(store: &Store, cell: &Cell) -> PathBuf {
    store.root().join("cells").join(&cell.folder)
}

/// A cell's learning curve: each epoch's number and what belongs to it, under
/// the columns' names.
pub(super) fn curve(path: &Path) -> Result<Vec<Point>> {
    let mut epochs = Vec::new();
    for row in rows(path)? {
        let number = |at: usize| match row.get(at).unwrap_or_default() {
            "" => Ok(None),
            text => text.parse::<f64>().map(Some).map_err(|e| unreadable(path, &format!("`{text}`: {e}"))),
        };
        let epoch = row.get(0).unwrap_or_default();
        let epoch = epoch.parse().map_err(|e| unreadable(path, &format!("`{epoch}`: {e}")))?;
        let values = CURVES.iter().enumerate().skip(1).map(|(at, name)| Ok((*name, number(at)?)));
        epochs.push((epoch, values.collect::<Result<_>>()?));
    }
    Ok(epochs)
}

fn rows(path: &Path) -> Result<Vec<csv::StringRecord>> {
    let mut table = csv::Reader::from_path(path).map_err(|e| unreadable(path, &e))?;
    if table.headers().map_err(|e| unreadable(path, &e))? != CURVES[..] {
        return Err(unreadable(path, &"its columns are not those of a learning curve"));
    }
    table.records().map(|row| row.map_err(|e| unreadable(path, &e))).collect()
}

fn curves(store: &Store, plan: &[Cell], records: &Records) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let add = |table: &mut csv::Writer<_>, key: [&str; 3], rest: &csv::StringRecord, status: &str| {
        table.write_record(key.into_iter().chain(rest).chain([status])).map_err(|e| unwritable(&e))
    };
    add(&mut table, ["variant", "task", "run"], &CURVES[..].iter().collect(), "status")?;
    for (cell, record) in plan.iter().zip(records) {
        let Some(Record::Finished(finished)) = record else { continue };
        let status = match finished.status {
            Status::Diverged => Status::Diverged,
            _ => Status::Ok,
        };
        let spec = &cell.spec;
        let run = spec.run.to_string();
        for row in rows(&folder(store, cell).join("curves.csv"))? {
            add(&mut table, [&spec.variant, &spec.task, &run], &row, &status.to_string())?;
        }
    }
    table.into_inner().map_err(|e| unwritable(&e))
}

/// A column of a table, as text.
struct Column {
    name: String,
    cells: Vec<String>,
}

/// `results.csv` as a Parquet file, its rows in their order.
///
/// # Errors
/// If it is no such table.
pub fn parquet(table: &[u8]) -> Result<Vec<u8>> {
    let mut table = csv::Reader::from_reader(table);
    let names = table.headers().map_err(|e| malformed(&e))?.clone();
    let mut columns: Vec<_> =
        names.iter().map(|name| Column { name: name.to_owned(), cells: Vec::new() }).collect();
    for row in table.records() {
        let row = row.map_err(|e| malformed(&e))?;
        for (column, cell) in columns.iter_mut().zip(&row) {
            column.cells.push(cell.to_owned());
        }
    }
    let fields = columns.iter().map(field).collect::<Result<_>>()?;
    let schema =
        Type::group_type_builder("results").with_fields(fields).build().map_err(|e| unwritable(&e))?;
    let properties = WriterProperties::builder().set_created_by(format!("pallium {}", super::identity::HOST));
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties.build()))
        .map_err(|e| unwritable(&e))?;
    let mut group = file.next_row_group().map_err(|e| unwritable(&e))?;
    for column in &columns {
        add(&mut group, column)?;
    }
    group.close().map_err(|e| unwritable(&e))?;
    file.into_inner().map_err(|e| unwritable(&e))
}

fn field(column: &Column) -> Result<Arc<Type>> {
    let (physical, logical, repetition) = match column.name.as_str() {
        "run" => (Physical::INT32, None, Repetition::REQUIRED),
        "value" => (Physical::DOUBLE, None, Repetition::OPTIONAL),
        "split" => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::OPTIONAL),
        _ => (Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED),
    };
    Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_repetition(repetition)
        .build()
        .map(Arc::new)
        .map_err(|e| unwritable(&e))
}

fn add(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, column: &Column) -> Result<()> {
    let cells = &column.cells;
    let wrong = |text: &str, e: &dyn Display| malformed(&format!("`{text}` in column {}: {e}", column.name));
    // An optional column has a level for each row: 1 where it has a value.
    let present: Vec<i16> = cells.iter().map(|text| i16::from(!text.is_empty())).collect();
    match column.name.as_str() {
        "run" => {
            let numbers: Vec<i32> =
                cells.iter().map(|text| text.parse().map_err(|e| wrong(text, &e))).collect::<Result<_>>()?;
            put::<Int32Type>(group, &numbers, None)
        }
        "value" => {
            let numbers: Vec<f64> = cells
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.parse().map_err(|e| wrong(text, &e)))
                .collect::<Result<_>>()?;
            put::<DoubleType>(group, &numbers, Some(&present))
        }
        "split" => {
            let texts: Vec<ByteArray> =
                cells.iter().filter(|text| !text.is_empty()).map(|text| text.as_str().into()).collect();
            put::<ByteArrayType>(group, &texts, Some(&present))
        }
        _ => {
            let texts: Vec<ByteArray> = cells.iter().map(|text| text.as_str().into()).collect();
            put::<ByteArrayType>(group, &texts, None)
        }
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<()> {
    let column = group.next_column().map_err(|e| unwritable(&e))?;
    let mut column = column.ok_or_else(|| Error::bug("a Parquet file has fewer columns than its schema"))?;
    column.typed::<T>().write_batch(values, present, None).map_err(|e| unwritable(&e))?;
    column.close().map_err(|e| unwritable(&e))
}

fn unwritable(error: &dyn Display) -> Error {
    Error::bug(format!("a table cannot be written: {error}"))
}

fn malformed(error: &dyn Display) -> Error {
    Error::input(format!("the table is damaged: {error}")).help("remove it and start the run again")
}

fn unreadable(path: &Path, error: &dyn Display) -> Error {
    Error::new(Kind::Input, format!("{} is damaged: {error}", path.display()))
        .help("move its folder away to have the cell run again")
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};

    use super::*;

    #[test]
    fn parquet_has_the_rows_of_the_table_with_types() {
        let table = "variant,task,run,split,measure,value,status\n\
            W*D,go-no-go,0,test,accuracy,0.1,ok\n\
            W*D,go-no-go,0,,entropy,,diverged\n\
            \"a, b\",go-no-go,7,train,penalty,1e-300,\"failed: one, two\"\n";
        let bytes = parquet(table.as_bytes()).unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 3);
        let rows: Vec<_> = file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows[0].get_string(0).unwrap(), "W*D");
        assert_eq!((rows[0].get_int(2).unwrap(), rows[2].get_int(2).unwrap()), (0, 7));
        assert_eq!(rows[0].get_double(5).unwrap(), 0.1);
        assert_eq!(rows[2].get_double(5).unwrap(), 1e-300);
        let nulls = |at: usize| rows[at].get_column_iter().filter(|(_, f)| **f == Field::Null).count();
        assert_eq!([nulls(0), nulls(1), nulls(2)], [0, 2, 0]);
        assert_eq!(rows[2].get_string(0).unwrap(), "a, b");
        assert_eq!(rows[2].get_string(6).unwrap(), "failed: one, two");
    }

    #[test]
    fn an_empty_table_is_a_table() {
        let bytes = parquet(b"variant,task,run,split,measure,value,status\n").unwrap();
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert!(parquet(b"variant,run\nW,one\n").is_err());
    }
}
