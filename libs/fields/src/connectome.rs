//! Reading of connectomes: tables of synapse counts as comma-separated values,
//! N×N, with a header row and an index column.
//!
//! The table is read line by line. Nothing is allocated for more neurons than
//! the length of the file leaves room for, and a line has a greatest length,
//! so that a file that is no table at all is refused before it is in memory.

use std::io::Read;
use std::path::Path;

use pallium_core::{ndarray::Array2, prelude::*};

use pallium_npy as npy;

/// Longest line in bytes: a million neurons with single digits take eight
/// times less.
const LONGEST_LINE: usize = 1 << 24;

/// Synapse counts as in the file, without header row and index column.
///
/// # Errors
/// If the file is no such table; the message names file, line and cell.
pub fn read(path: &Path) -> Result<Array2<f64>> {
    let (file, length) = npy::open(path)?;
    table(path, file, length)
}

/// As [`read`], from a `source` of `length` bytes.
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
            Err(e) => return wrong(e.to_string(), "write it again as plain comma-separated values"),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let Some(width) = width else {
            if record.len() < 2 {
                return wrong(
                    "the first line is no header".into(),
                    "it must have an empty cell, then one a neuron",
                );
            }
            let neurons = record.len() - 1;
            // A count takes a digit and a comma at least.
            let shortest = (neurons as u64).saturating_mul(neurons as u64).saturating_mul(2);
            if shortest > length {
                return wrong(
                    format!("the header names {neurons} columns, and a table of that width is longer"),
                    "a row and a column a neuron are expected; is the file complete?",
                );
            }
            width = Some(record.len());
            names = record.clone();
            continue;
        };
        if record.len() != width {
            return wrong(
                format!("line {line} has {} cells, the header {width}", record.len()),
                "every line must have an index and one count a neuron; is the file complete?",
            );
        }
        if rows == width - 1 {
            return wrong(
                format!("line {line} is one too many: the header names {rows} columns"),
                "a row and a column a neuron are expected",
            );
        }
        // Rows in another order than columns would be read as other neurons'.
        if names.get(rows + 1) != record.get(0) {
            let (row, column) = (shown(record.get(0)), shown(names.get(rows + 1)));
            return wrong(
                format!("line {line} is of `{row}`, but column {} is of `{column}`", rows + 2),
                "rows and columns must be the same neurons, in one order",
            );
        }
        rows += 1;
        for (cell, text) in record.iter().enumerate().skip(1) {
            match number(text) {
                Some(count) => values.push(count),
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
        None => wrong("it is empty".into(), "copy the file again from where it came from"),
        Some(width) if rows != width - 1 => wrong(
            format!("{rows} rows, but the header names {} columns", width - 1),
            "a row and a column a neuron are expected; is the file complete?",
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

fn number(text: &[u8]) -> Option<f64> {
    match text {
        [digit @ b'0'..=b'9'] => Some(f64::from(digit - b'0')),
        text => {
            let value: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
            (value.is_finite() && value >= 0.0).then_some(value)
        }
    }
}

/// A source that ends in an error where a line is too long. Whoever takes the
/// lines sets `left` anew after each.
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
    fn a_line_without_end_is_refused_in_bounded_memory() {
        // Three gigabytes of one line, which are never made.
        for byte in [b',', b'0', b'"', 0, b' '] {
            let endless = std::io::repeat(byte).take(3 << 30);
            let error = table(Path::new("c.csv"), endless, 3 << 30).unwrap_err();
            assert!(error.message.contains("a line of more than 16777216 bytes"), "{error}");
        }
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused() {
        let mut wide = vec![b','; 10_000];
        wide.push(b'\n');
        assert!(refused(&wide).message.contains("the header names 10000 columns"));
        assert!(refused(b",0\n0,1\n0,1\n").message.contains("line 3 is one too many"));
    }

    #[test]
    fn other_hands_write_tables_too() {
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
