//! Rows of a parquet file as cells of text, so that tables are read alike whatever
//! their format. Integers keep all digits; a list of numbers becomes `[1, 2, 3]`.

use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;

/// First bytes of a parquet file.
pub(crate) const MAGIC: &[u8] = b"PAR1";

/// A parquet file, row by row.
pub(crate) struct ParquetRows {
    rows: RowIter<'static>,
    /// Names of its columns.
    pub(crate) names: Vec<String>,
}

/// The reader panics on some damaged files.
fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("the file is damaged".into()),
    }
}

impl ParquetRows {
    /// Opens a file.
    ///
    /// # Errors
    /// If it is damaged, or packed in a way that is not supported.
    pub(crate) fn open(file: File) -> Result<Self, String> {
        caught(|| {
            let reader = SerializedFileReader::new(file)?;
            let schema = reader.metadata().file_metadata().schema();
            let names = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
            Ok(ParquetRows { rows: RowIter::from_file_into(Box::new(reader)), names })
        })
    }

    /// Writes the cells of the next row into `text` and their ends into `ends`;
    /// `None` after the last row.
    ///
    /// # Errors
    /// As [`ParquetRows::open`].
    pub(crate) fn read(
        &mut self,
        text: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<Option<usize>, String> {
        caught(|| {
            text.clear();
            ends.clear();
            let Some(row) = self.rows.next().transpose()? else { return Ok(None) };
            for (_, field) in row.get_column_iter() {
                match field {
                    Field::Null => {}
                    Field::Str(value) => text.extend(value.as_bytes()),
                    other => write!(text, "{other}")?,
                }
                ends.push(text.len());
            }
            Ok(Some(ends.len()))
        })
    }
}
