//! Reads connectomes: N×N tables of synapse counts as CSV, with a header row and
//! an index column.
//!
//! The table is read line by line. No more neurons are allocated than fit into
//! the file's length, and lines have a maximum length, so a file that is not a
//! table is refused before it fills memory.

use std::io::Read;
use std::path::Path;

use pallium_core::{ndarray::Array2, prelude::*};

use crate::rows::number;

/// Maximum length of a line in bytes: eight times that of a million
/// single-digit counts.
const LONGEST_LINE: usize = 1 << 24;

/// Reads the synapse counts, without header row and index column.
///
/// # Errors
/// If the file is not such a table; the message names file, line and cell.
pub fn read(path: &Path) -> Result<Array2<f64>> {
    let (file, length) = pallium_files::open(path)?;
    table(path, file, length)
}

/// Reads the synapse counts from a `source` of `length` bytes; messages call it
/// `path`.
///
/// # Errors
/// As [`read`].
pub fn table(path: &Path, source: impl Read, length: u64) -> Result<Array2<f64>> {
    let wrong =
        |place: String, help: &str| Err(Error::input(format!("{}: {place}", path.display())).help(help));
    let lines = Lines { source, left: LONGEST_LINE };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(lines);
    let mut record = csv::ByteRecord::new();
    let mut width = None;
    let mut names = csv::ByteRecord::new();
    let mut values = Vec::new();
    let mut rows = 0;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => reader.get_mut().left = LONGEST_LINE,
            Ok(false) => break,
            Err(e) => return wrong(e.to_string(), "write it again as comma-separated values"),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let Some(width) = width else {
            if record.len() < 2 {
                return wrong(
                    "the first line is not a header".into(),
                    "it must have an empty cell, then one per neuron",
                );
            }
            let neurons = record.len() - 1;
            // A count takes at least a digit and a comma.
            let shortest = (neurons as u64).saturating_mul(neurons as u64).saturating_mul(2);
            if shortest > length {
                return wrong(
                    format!("the header names {neurons} columns, but the file is too short for such a table"),
                    "one row and one column per neuron are expected; is the file complete?",
                );
            }
            width = Some(record.len());
            names = record.clone();
            continue;
        };
        if record.len() != width {
            return wrong(
                format!("line {line} has {} cells, the header {width}", record.len()),
                "every line must have an index and one count per neuron; is the file complete?",
            );
        }
        if rows == width - 1 {
            return wrong(
                format!("line {line} is one too many: the header names {rows} columns"),
                "one row and one column per neuron are expected",
            );
        }
        // Rows in another order than columns would be assigned to wrong neurons.
        if names.get(rows + 1) != record.get(0) {
            let (row, column) = (shown(record.get(0)), shown(names.get(rows + 1)));
            return wrong(
                format!("line {line} is for `{row}`, but column {} is for `{column}`", rows + 2),
                "rows and columns must list the same neurons in the same order",
            );
        }
        rows += 1;
        for (cell, text) in record.iter().enumerate().skip(1) {
            match count(text) {
                Some(count) => values.push(count),
                None if text.trim_ascii().is_empty() => {
                    return wrong(
                        format!("line {line}, cell {} is empty", cell + 1),
                        "write 0 where there is no connection",
                    );
                }
                None => {
                    return wrong(
                        format!(
                            "line {line}, cell {}: `{}` is not a synapse count",
                            cell + 1,
                            shown(Some(text))
                        ),
                        "a number of at least 0 is expected",
                    );
                }
            }
        }
    }
    match width {
        None => wrong("it is empty".into(), "copy the file again from its source"),
        Some(width) if rows != width - 1 => wrong(
            format!("{rows} rows, but the header names {} columns", width - 1),
            "one row and one column per neuron are expected; is the file complete?",
        ),
        Some(_) => {
            Array2::from_shape_vec((rows, rows), values).map_err(|e| Error::bug(format!("connectome: {e}")))
        }
    }
}

/// The beginning of a cell.
fn shown(cell: Option<&[u8]>) -> String {
    String::from_utf8_lossy(cell.unwrap_or_default()).chars().take(40).collect()
}

fn count(text: &[u8]) -> Option<f64> {
    number(text.trim_ascii()).filter(|count| *count >= 0.0)
}

/// A source that fails where a line is too long. The caller resets `left` after
/// each line.
struct Lines<R> {
    source: R,
    left: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(format!("a line of more than {LONGEST_LINE} bytes")));
        }
        let most = buffer.len().min(self.left);
        let read = self.source.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> Error {
        let error = table(Path::new("c.csv"), bytes, bytes.len() as u64).unwrap_err();
        assert!(error.message.starts_with("c.csv: ") && error.help.is_some(), "{error}");
        error
    }

    #[test]
    fn an_endless_line_is_refused_in_bounded_memory() {
        // A line of three gigabytes, which is never allocated.
        for byte in [b',', b'0', b'"', 0, b' '] {
            let endless = std::io::repeat(byte).take(3 << 30);
            let error = table(Path::new("c.csv"), endless, 3 << 30).unwrap_err();
            assert!(error.message.contains("a line of more than 16777216 bytes"), "{error}");
        }
    }

    #[test]
    fn a_header_too_wide_for_the_file_is_refused() {
        let mut wide = vec![b','; 10_000];
        wide.push(b'\n');
        assert!(refused(&wide).message.contains("the header names 10000 columns"));
        assert!(refused(b",0\n0,1\n0,1\n").message.contains("line 3 is one too many"));
    }

    #[test]
    fn tables_of_other_writers_are_read() {
        for text in [
            &b",0,1\n0,0,1\n1,3,0\n"[..],
            b",0,1\r\n0,0,1\r\n1,3,0",
            b"\"\",\"0\",\"1\"\n\"0\",\"0\",\"1\"\n\"1\",\"3\",\"0\"\n",
            b"id,a,b\na, 0.0,1\nb,3e0,0\n\n",
        ] {
            let found = table(Path::new("c.csv"), text, text.len() as u64).unwrap();
            assert_eq!(found, pallium_core::ndarray::array![[0.0, 1.0], [3.0, 0.0]]);
        }
        assert!(refused(b",0\n0,\xff\n").message.contains("cell 2"));
    }
}
