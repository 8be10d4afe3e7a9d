//! Reads tables row by row, so that memory does not grow with the file, even if the
//! file is malformed: CSV files, which are decompressed on the fly if they are
//! gzip-compressed, and parquet files. The first bytes of a file tell its format, and the
//! first line of a CSV file its separator.

use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use pallium_core::prelude::*;

use crate::parquet_rows::{self, ParquetRows};

/// Maximum length of a row in bytes, and maximum number of cells in a row.
const LONGEST_ROW: usize = 4 << 20;
const MOST_CELLS: usize = 1 << 18;
const BUFFER: usize = 1 << 18;

/// A table: a CSV file with or without a header row, or a parquet file.
pub struct Rows {
    path: PathBuf,
    source: Box<dyn BufRead>,
    parser: csv_core::Reader,
    /// The rows, if it is a parquet file.
    parquet: Option<ParquetRows>,
    /// Text of the current row: its cells, concatenated.
    text: Vec<u8>,
    /// End of each cell in `text`.
    ends: Vec<usize>,
    cells: usize,
    /// First line of the current row, and of the next one; from 1. Rows of a parquet
    /// file.
    line: u64,
    next_line: u64,
}

impl Rows {
    /// Opens a file; its first bytes decide whether it is decompressed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(path, &e);
        let (mut file, _) = pallium_files::open(path)?;
        let mut plain = BufReader::with_capacity(BUFFER, file.try_clone().map_err(failed)?);
        let start = plain.fill_buf().map_err(failed)?;
        if start.starts_with(parquet_rows::MAGIC) {
            file.rewind().map_err(failed)?;
            let parquet = ParquetRows::open(file).map_err(|why| unpacked(path, &why))?;
            let mut rows = Self::new(path, Box::new(std::io::empty()))?;
            rows.parquet = Some(parquet);
            return Ok(rows);
        }
        let compressed = start.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn BufRead> = if compressed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Self::new(path, source)
    }

    fn new(path: &Path, mut source: Box<dyn BufRead>) -> Result<Self> {
        let has_bom = source.fill_buf().map_err(|e| unreadable(path, 1, &e))?.starts_with(b"\xef\xbb\xbf");
        source.consume(if has_bom { 3 } else { 0 });
        let separator = separator(source.fill_buf().map_err(|e| unreadable(path, 1, &e))?);
        Ok(Rows {
            path: path.into(),
            source,
            parser: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            parquet: None,
            text: vec![0; 1 << 12],
            ends: vec![0; 1 << 6],
            cells: 0,
            line: 0,
            next_line: 1,
        })
    }

    /// Advances to the next row that is not empty; `false` after the last one.
    ///
    /// # Errors
    /// If reading fails, or a row exceeds the maximum length.
    pub fn advance(&mut self) -> Result<bool> {
        if let Some(parquet) = &mut self.parquet {
            self.line += 1;
            let cells = parquet.read(&mut self.text, &mut self.ends);
            let cells = cells.map_err(|why| unpacked(&self.path, &why))?;
            self.cells = cells.unwrap_or(0);
            return Ok(cells.is_some());
        }
        self.skip_empty_lines()?;
        self.line = self.next_line;
        let (mut length, mut cells) = (0, 0);
        loop {
            let input = self.source.fill_buf().map_err(|e| unreadable(&self.path, self.next_line, &e))?;
            let (result, read, written, ended) =
                self.parser.read_record(input, &mut self.text[length..], &mut self.ends[cells..]);
            self.next_line += input[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.source.consume(read);
            length += written;
            cells += ended;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull if self.text.len() < LONGEST_ROW => {
                    self.text.resize(self.text.len() * 2, 0);
                }
                csv_core::ReadRecordResult::OutputEndsFull if self.ends.len() < MOST_CELLS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                csv_core::ReadRecordResult::OutputFull | csv_core::ReadRecordResult::OutputEndsFull => {
                    return Err(self.wrong("the row is longer than 4 MB or has more than 262,144 cells").help(
                        "check that cells are separated by commas; an unclosed quotation mark turns the rest of the file into one row",
                    ));
                }
                csv_core::ReadRecordResult::Record => {
                    self.cells = cells;
                    return Ok(true);
                }
                csv_core::ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn skip_empty_lines(&mut self) -> Result<()> {
        loop {
            let input = self.source.fill_buf().map_err(|e| unreadable(&self.path, self.next_line, &e))?;
            let empty = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            if empty == 0 {
                return Ok(());
            }
            self.next_line += input[..empty].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.source.consume(empty);
        }
    }

    /// Number of cells in the current row.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Whether the current row has no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A cell of the current row, without surrounding whitespace.
    pub fn cell(&self, column: usize) -> &[u8] {
        let begin = if column == 0 { 0 } else { self.ends[column - 1] };
        self.text[begin..self.ends[column]].trim_ascii()
    }

    /// All cells of the current row.
    pub fn cells(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.cells).map(|column| self.cell(column))
    }

    /// The column names: those of a parquet file, or the first row.
    ///
    /// # Errors
    /// If the file is empty.
    pub fn header(&mut self) -> Result<Header> {
        if let Some(parquet) = &self.parquet {
            return Ok(Header { path: self.path.clone(), names: parquet.names.clone() });
        }
        if !self.advance()? {
            return Err(Error::input(format!("{} is empty", self.path.display()))
                .help("its first line must name the columns"));
        }
        let names = self.cells().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        Ok(Header { path: self.path.clone(), names })
    }

    /// Advances to the next row, which must have as many cells as the header.
    ///
    /// # Errors
    /// As [`Rows::advance`], or if the number of cells differs.
    pub fn advance_under(&mut self, header: &Header) -> Result<bool> {
        if !self.advance()? {
            return Ok(false);
        }
        if self.cells != header.names.len() {
            let (found, expected) = (self.cells, header.names.len());
            return Err(self
                .wrong(&format!("{found} cells, but the first line names {expected} columns"))
                .help("is the file complete? A cell that contains the separator must be quoted"));
        }
        Ok(true)
    }

    /// A cell that must be a 64-bit integer.
    ///
    /// # Errors
    /// If it is not one. A float is refused, because it may have lost digits.
    pub fn id(&self, column: usize, name: &str) -> Result<i64> {
        let text = self.cell(column);
        if text.is_empty() {
            return Err(self.empty(name));
        }
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let error = self.wrong(&format!("`{}` in column `{name}` is not a 64-bit integer", shown(text)));
            if text.contains(&b'.') || text.contains(&b'e') {
                error.help(
                    "ids exceed 2^53, so they must never pass through a float: write the column as integers (in \
                     pandas, dtype int64; a missing value makes a column of floats)",
                )
            } else {
                error.help("an integer is expected here")
            }
        })
    }

    /// A cell that must be a finite number.
    ///
    /// # Errors
    /// If it is not one.
    pub fn number(&self, column: usize, name: &str) -> Result<f64> {
        let text = self.cell(column);
        if text.is_empty() {
            return Err(self.empty(name));
        }
        number(text).ok_or_else(|| {
            self.wrong(&format!("`{}` in column `{name}` is not a finite number", shown(text)))
                .help("remove or correct the row")
        })
    }

    /// A cell that must be a number of things: a whole number, at least 0, also as `3.0`.
    ///
    /// # Errors
    /// If it is not one.
    pub fn count(&self, column: usize, name: &str) -> Result<u64> {
        let text = self.cell(column);
        if text.is_empty() {
            return Err(self.empty(name));
        }
        // Every whole number up to this one is a float.
        const MOST: f64 = (1_u64 << 53) as f64;
        let whole = |value: &f64| value.fract() == 0.0 && (0.0..=MOST).contains(value);
        number(text).filter(whole).map(|value| value as u64).ok_or_else(|| {
            self.wrong(&format!("`{}` in column `{name}` is not a whole number of at least 0", shown(text)))
                .help("the column must hold numbers of synapses: correct or remove the row, or name another column")
        })
    }

    fn empty(&self, name: &str) -> Error {
        self.wrong(&format!("column `{name}` is empty")).help("write its value, or remove the row")
    }

    /// An error at the current row.
    pub fn wrong(&self, what: &str) -> Error {
        let place = if self.parquet.is_some() { "row" } else { "line" };
        Error::input(format!("{}, {place} {}: {what}", self.path.display(), self.line))
    }
}

/// Column names.
pub struct Header {
    path: PathBuf,
    names: Vec<String>,
}

impl Header {
    /// Index of the column called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// Index of the column called `name`.
    ///
    /// # Errors
    /// If there is none, where the help lists the existing columns, or if there are two.
    pub fn column(&self, name: &str) -> Result<usize> {
        if self.names.iter().filter(|known| *known == name).count() > 1 {
            return Err(Error::input(format!("{} has two columns `{name}`", self.path.display()))
                .help("rename or remove one of them"));
        }
        self.find(name).ok_or_else(|| {
            let known: Vec<&str> = self.names.iter().take(40).map(String::as_str).collect();
            Error::input(format!("{} has no column `{name}`", self.path.display()))
                .help(format!("existing columns: {}", shown(known.join(", ").as_bytes())))
        })
    }
}

/// The separator of a CSV file that begins with `text`: a semicolon or a tab if its first
/// line has no comma, as spreadsheets write in countries with a decimal comma.
fn separator(text: &[u8]) -> u8 {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let line = text.split(ends).find(|line| !line.is_empty()).unwrap_or_default();
    let has = |separator: &u8| line.contains(separator);
    if has(&b',') { b',' } else { [b';', b'\t'].into_iter().find(has).unwrap_or(b',') }
}

/// Parses a finite number.
pub fn number(text: &[u8]) -> Option<f64> {
    match text {
        [digit @ b'0'..=b'9'] => Some(f64::from(digit - b'0')),
        text => std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// A cell as text for messages, truncated.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let cut: String = text.chars().take(200).map(|c| if c.is_control() { '·' } else { c }).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

fn unpacked(path: &Path, why: &str) -> Error {
    Error::input(format!("{} cannot be read: {why}", path.display()))
        .help("is the file complete? If it is, write it again uncompressed or compressed with snappy, gzip or zstd; or as a csv")
}

fn unreadable(path: &Path, line: u64, error: &std::io::Error) -> Error {
    Error::input(format!("{}, line {line}: {error}", path.display()))
        .help("the file is damaged or truncated: copy it again from its source")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use pallium_testing::Folder;

    fn rows(text: &[u8]) -> Rows {
        Rows::new(Path::new("a.csv"), Box::new(std::io::Cursor::new(text.to_vec()))).unwrap()
    }

    fn all(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let mut rows = rows(text);
        let mut found = Vec::new();
        while rows.advance().unwrap() {
            found.push((rows.line, rows.cells().map(shown).collect()));
        }
        found
    }

    #[test]
    fn rows_are_read_with_their_line_numbers() {
        let expected = |lines: [u64; 3]| {
            lines.into_iter().zip([["a", "b c"], ["1", "x,·y"], ["", "2"]]).collect::<Vec<_>>()
        };
        for (text, lines) in [
            ("a,b c\n1,\"x,\ny\"\n,2\n", [1, 2, 4]),
            ("a,b c\r\n\r\n1,\"x,\ny\"\r\n, 2", [1, 3, 5]),
            ("\u{feff}a,b c\n\n\n1,\"x,\ny\"\n , 2 \n\n", [1, 4, 6]),
        ] {
            let expected = expected(lines).into_iter().map(|(l, c)| (l, c.map(str::to_owned).to_vec()));
            assert_eq!(all(text.as_bytes()), expected.collect::<Vec<_>>(), "{text:?}");
        }
        assert!(all(b"").is_empty() && all(b"\n\r\n").is_empty());
        assert!(rows(b"").header().err().unwrap().message.contains("is empty"));
    }

    #[test]
    fn cells_may_be_separated_by_semicolons_or_tabs() {
        let expected = [(1, vec!["a".to_owned(), "b c".into()]), (2, vec!["1".into(), "2,5".into()])];
        for text in ["a;b c\n1;2,5\n", "\u{feff}a\tb c\n1\t2,5\n"] {
            assert_eq!(all(text.as_bytes()), expected, "{text:?}");
        }
        // A comma in the first line separates.
        assert_eq!(all(b"a,b;c\n1,2;3\n")[1].1, ["1", "2;3"]);
        assert_eq!(all(b"a\n1;2\n")[1].1, ["1;2"]);
        // An empty first cell of a line of labels.
        assert_eq!(all(b"\t7\t8\n7\t1\t0\n")[0].1, ["", "7", "8"]);
    }

    #[test]
    fn counts_are_whole_numbers_also_as_floats() {
        let mut table = rows(b"n\n3\n3.0\n0\n3.5\n-1\n1e300\nnan\nmany\n");
        table.header().unwrap();
        let mut counts = Vec::new();
        while table.advance().unwrap() {
            counts.push(table.count(0, "n").map_err(|error| error.message));
        }
        assert_eq!(counts[..3], [Ok(3), Ok(3), Ok(0)]);
        for (count, text) in counts[3..].iter().zip(["3.5", "-1", "1e300", "nan", "many"]) {
            let wrong = format!("`{text}` in column `n` is not a whole number of at least 0");
            assert!(count.as_ref().unwrap_err().ends_with(&wrong), "{count:?}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let mut table = rows(b"id,x\n864691135927097730,1.5\n\n864691135927097730.0,inf\n1\n");
        let header = table.header().unwrap();
        assert!(table.advance_under(&header).unwrap());
        assert_eq!((table.id(0, "id").unwrap(), table.number(1, "x").unwrap()), (864691135927097730, 1.5));
        assert!(table.advance_under(&header).unwrap());
        let error = table.id(0, "id").unwrap_err();
        assert_eq!(
            error.message,
            "a.csv, line 4: `864691135927097730.0` in column `id` is not a 64-bit integer"
        );
        assert!(error.help.unwrap().contains("float"));
        assert!(table.number(1, "x").unwrap_err().message.contains("`inf` in column `x`"));
        let error = table.advance_under(&header).unwrap_err();
        assert!(error.message.contains("line 5: 1 cells, but the first line names 2"), "{error}");
        assert!(header.column("y").unwrap_err().help.unwrap().contains("id, x"));
    }

    #[test]
    fn an_endless_row_does_not_fill_memory() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        let mut rows = Rows::new(Path::new("a.csv"), Box::new(BufReader::new(Endless))).unwrap();
        assert!(rows.advance().unwrap_err().message.contains("line 1: the row is longer"));
        struct Commas;
        impl Read for Commas {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b',');
                Ok(buffer.len())
            }
        }
        let mut rows = Rows::new(Path::new("a.csv"), Box::new(BufReader::new(Commas))).unwrap();
        assert!(rows.advance().unwrap_err().message.contains("262,144 cells"));
    }

    #[test]
    fn gzip_files_are_decompressed_and_damage_is_reported() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"a,b\n1,2\n").unwrap();
        let mut bytes = packed.finish().unwrap();
        // A file may consist of several gzip members.
        let mut second = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        second.write_all(b"3,4\n").unwrap();
        bytes.extend(second.finish().unwrap());
        let folder = Folder::new();
        let mut rows = Rows::open(&folder.file("a.csv.gz", &bytes)).unwrap();
        let mut lines = Vec::new();
        while rows.advance().unwrap() {
            lines.push(rows.cells().map(shown).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(lines, ["a b", "1 2", "3 4"]);
        for cut in 3..bytes.len() {
            let Ok(mut rows) = Rows::open(&folder.file("cut.csv.gz", &bytes[..cut])) else { continue };
            let mut outcome = Ok(true);
            while matches!(outcome, Ok(true)) {
                outcome = rows.advance();
            }
            // A cut between two members cannot be detected.
            let whole = lines.len() == 3 && outcome.is_ok();
            assert!(outcome.is_err() || whole, "{cut}");
        }
        assert!(Rows::open(folder.path()).is_err());
        assert!(Rows::open(&folder.path().join("none")).err().unwrap().message.contains("does not exist"));
    }
}
