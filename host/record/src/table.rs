//! Functions shared by the CSV files of a run folder.

use std::fmt::Display;
use std::path::Path;

use pallium_core::{Error, Kind, Result};

/// A CSV file in memory.
pub type CsvTable = csv::Writer<Vec<u8>>;

/// A CSV file with a header and no rows.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn with_header<'a>(columns: impl IntoIterator<Item = &'a str>) -> Result<CsvTable> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(columns).map_err(|e| unwritable(&e))?;
    Ok(table)
}

/// The bytes of a table.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn finish(table: CsvTable) -> Result<Vec<u8>> {
    table.into_inner().map_err(|e| unwritable(&e))
}

/// The shortest text that reads back as the same number; empty for a number
/// that is not finite.
pub fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { String::new() }
}

/// Parses a number of a table; `None` for an empty field.
///
/// # Errors
/// If the text is neither empty nor a number.
pub fn parse_number(path: &Path, text: &str) -> Result<Option<f64>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|e| damaged(path, &format!("`{text}`: {e}"))),
    }
}

/// Writing into memory failed, which is a bug.
pub fn unwritable(error: &dyn Display) -> Error {
    Error::bug(format!("a table cannot be written: {error}"))
}

/// The error for a file whose contents are not as written.
pub fn damaged(path: &Path, what: &dyn Display) -> Error {
    Error::new(Kind::Input, format!("{} is damaged: {what}", path.display()))
        .help("move its folder away and start the run again: the training is repeated")
}
