//! `results.parquet`: the rows of `results.csv` with types. `run` is a 32-bit
//! integer, `value` a double or null, the others are text; `split` and `folder`
//! may be null.

use std::sync::Arc;

use ::parquet::basic::{LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::Type;
use pallium_core::{Error, Result};

use crate::VERSION;
use crate::results::Row;
use crate::table::unwritable;

/// The columns and their types, in the order of [`write`].
fn schema() -> Result<Type> {
    const REQUIRED: Repetition = Repetition::REQUIRED;
    const OPTIONAL: Repetition = Repetition::OPTIONAL;
    let text = Some(LogicalType::String);
    let columns = [
        ("variant", Physical::BYTE_ARRAY, text.clone(), REQUIRED),
        ("task", Physical::BYTE_ARRAY, text.clone(), REQUIRED),
        ("run", Physical::INT32, None, REQUIRED),
        ("split", Physical::BYTE_ARRAY, text.clone(), OPTIONAL),
        ("measure", Physical::BYTE_ARRAY, text.clone(), REQUIRED),
        ("value", Physical::DOUBLE, None, OPTIONAL),
        ("status", Physical::BYTE_ARRAY, text.clone(), REQUIRED),
        ("folder", Physical::BYTE_ARRAY, text, OPTIONAL),
    ];
    let fields = columns.into_iter().map(|(name, physical, logical, repetition)| {
        Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<Result<_, _>>().map_err(|e| unwritable(&e))?;
    Type::group_type_builder("results").with_fields(fields).build().map_err(|e| unwritable(&e))
}

/// The rows as a Parquet file.
///
/// # Errors
/// If a run has a number above 2^31 − 1.
pub fn write(rows: &[Row]) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_created_by(format!("pallium {VERSION}")).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema()?), Arc::new(properties))
        .map_err(|e| unwritable(&e))?;
    let mut group = file.next_row_group().map_err(|e| unwritable(&e))?;
    let runs = rows.iter().map(|row| i32::try_from(row.run));
    let runs: Vec<i32> = runs.collect::<Result<_, _>>().map_err(|e| unwritable(&e))?;
    let value = |row: &Row| row.value.value;
    text(&mut group, rows.iter().map(|row| row.variant.as_str()))?;
    text(&mut group, rows.iter().map(|row| row.task.as_str()))?;
    put::<Int32Type>(&mut group, &runs, None)?;
    optional_text(
        &mut group,
        rows.iter().map(|row| Some(row.value.split.as_str()).filter(|s| !s.is_empty())),
    )?;
    text(&mut group, rows.iter().map(|row| row.value.measure.as_str()))?;
    let numbers: Vec<f64> = rows.iter().filter_map(value).collect();
    let present: Vec<i16> = rows.iter().map(|row| i16::from(value(row).is_some())).collect();
    put::<DoubleType>(&mut group, &numbers, Some(&present))?;
    let status: Vec<String> = rows.iter().map(|row| row.status.to_string()).collect();
    text(&mut group, status.iter().map(String::as_str))?;
    optional_text(&mut group, rows.iter().map(|row| row.folder.as_deref()))?;
    group.close().map_err(|e| unwritable(&e))?;
    file.into_inner().map_err(|e| unwritable(&e))
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn text<'t>(group: &mut Group<'_>, cells: impl Iterator<Item = &'t str>) -> Result<()> {
    let texts: Vec<ByteArray> = cells.map(Into::into).collect();
    put::<ByteArrayType>(group, &texts, None)
}

/// As [`text`], with a level for each row: 1 if it has a text.
fn optional_text<'t>(group: &mut Group<'_>, cells: impl Iterator<Item = Option<&'t str>>) -> Result<()> {
    let cells: Vec<Option<&str>> = cells.collect();
    let present: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let texts: Vec<ByteArray> = cells.into_iter().flatten().map(Into::into).collect();
    put::<ByteArrayType>(group, &texts, Some(&present))
}

fn put<T: DataType>(group: &mut Group<'_>, values: &[T::T], present: Option<&[i16]>) -> Result<()> {
    let column = group.next_column().map_err(|e| unwritable(&e))?;
    let mut column = column.ok_or_else(|| Error::bug("a Parquet file has fewer columns than its schema"))?;
    column.typed::<T>().write_batch(values, present, None).map_err(|e| unwritable(&e))?;
    column.close().map_err(|e| unwritable(&e))
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::{Field, RowAccessor};

    use super::*;
    use crate::outcome::{Status, Value};

    fn row(variant: &str, run: u32, value: Value, status: Status, folder: Option<&str>) -> Row {
        let (variant, task) = (variant.into(), "go-no-go".into());
        Row { variant, task, run, value, status, folder: folder.map(String::from) }
    }

    #[test]
    fn rows_keep_their_order_and_have_types() {
        let failed = Status::Failed("one, two".into());
        let bytes = write(&[
            row("W*D", 0, Value::new("test", "accuracy", Some(0.1)), Status::Ok, Some("a")),
            row("W*D", 0, Value::new("", "entropy", None), Status::Diverged, Some("a")),
            row("a, b", 7, Value::new("train", "penalty", Some(1e-300)), failed, None),
        ]);
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes.unwrap())).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 3);
        let rows: Vec<_> = file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows[0].get_string(0).unwrap(), "W*D");
        assert_eq!((rows[0].get_int(2).unwrap(), rows[2].get_int(2).unwrap()), (0, 7));
        assert_eq!(rows[0].get_double(5).unwrap(), 0.1);
        assert_eq!(rows[2].get_double(5).unwrap(), 1e-300);
        let nulls = |at: usize| rows[at].get_column_iter().filter(|(_, f)| **f == Field::Null).count();
        assert_eq!([nulls(0), nulls(1), nulls(2)], [0, 2, 1]);
        assert_eq!(rows[2].get_string(0).unwrap(), "a, b");
        assert_eq!(rows[2].get_string(6).unwrap(), "failed: one, two");
        assert_eq!(rows[0].get_string(7).unwrap(), "a");
    }

    #[test]
    fn an_empty_table_can_be_written() {
        let file = SerializedFileReader::new(bytes::Bytes::from(write(&[]).unwrap())).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
    }
}
