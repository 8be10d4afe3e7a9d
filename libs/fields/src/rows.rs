//! Rows of comma-separated text, one at a time, in memory that does not grow
//! with the file, whatever is in it. Text packed by gzip is unpacked on the way.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use pallium_core::prelude::*;

use pallium_npy as npy;

/// Longest row (bytes), and most cells in one.
const LONGEST_ROW: usize = 4 << 20;
const MOST_CELLS: usize = 1 << 18;
const BUFFER: usize = 1 << 18;

/// A file of rows, the first of which names the columns or not.
pub struct Rows {
    path: PathBuf,
    source: Box<dyn BufRead>,
    parser: csv_core::Reader,
    /// Text of the present row, its cells one after another.
    text: Vec<u8>,
    /// Where each cell ends in it.
    ends: Vec<usize>,
    cells: usize,
    /// Line of the present row's begin, and of what comes next; from 1.
    line: u64,
    next_line: u64,
}

impl Rows {
    /// Opens a file, packed or not, which its first bytes tell.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(path, &e);
        let (file, _) = npy::open(path)?;
        let mut plain = BufReader::with_capacity(BUFFER, file);
        let packed = plain.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn BufRead> = if packed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Self::of(path, source)
    }

    fn of(path: &Path, mut source: Box<dyn BufRead>) -> Result<Self> {
        let mark = source.fill_buf().map_err(|e| unreadable(path, 1, &e))?.starts_with(b"\xef\xbb\xbf");
        source.consume(if mark { 3 } else { 0 });
        Ok(Rows {
            path: path.into(),
            source,
            parser: csv_core::Reader::new(),
            text: vec![0; 1 << 12],
            ends: vec![0; 1 << 6],
            cells: 0,
            line: 0,
            next_line: 1,
        })
    }

    /// Goes to the next row that is not empty; `false` after the last one.
    ///
    /// # Errors
    /// If the file cannot be read on, or a row is longer than any should be.
    pub fn advance(&mut self) -> Result<bool> {
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
                        "is this comma-separated text? A quotation mark that is never closed makes one row of the rest",
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

    /// Number of cells of the present row.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// A cell of the present row, without the blanks around it.
    pub fn cell(&self, column: usize) -> &[u8] {
        let begin = if column == 0 { 0 } else { self.ends[column - 1] };
        self.text[begin..self.ends[column]].trim_ascii()
    }

    /// All cells of the present row.
    pub fn cells(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.cells).map(|column| self.cell(column))
    }

    /// The first row, as names of columns.
    ///
    /// # Errors
    /// If there is none.
    pub fn header(&mut self) -> Result<Header> {
        if !self.advance()? {
            return Err(Error::input(format!("{} is empty", self.path.display()))
                .help("its first line must name the columns"));
        }
        let names = self.cells().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        Ok(Header { path: self.path.clone(), names })
    }

    /// Goes to the next row, which must have as many cells as the header.
    ///
    /// # Errors
    /// As [`Rows::advance`]; also if it has more or fewer.
    pub fn advance_under(&mut self, header: &Header) -> Result<bool> {
        if !self.advance()? {
            return Ok(false);
        }
        if self.cells != header.names.len() {
            let (found, expected) = (self.cells, header.names.len());
            return Err(self
                .wrong(&format!("{found} cells, but the first line names {expected} columns"))
                .help("is the file complete? A cell with a comma in it must stand in quotation marks"));
        }
        Ok(true)
    }

    /// A cell that must be an integer of 64 bits.
    ///
    /// # Errors
    /// If it is none; a float is refused, since it would have lost digits.
    pub fn id(&self, column: usize, name: &str) -> Result<i64> {
        let text = self.cell(column);
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let error = self.wrong(&format!("`{}` in column `{name}` is no integer of 64 bits", shown(text)));
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
    /// If it is none.
    pub fn number(&self, column: usize, name: &str) -> Result<f64> {
        let text = self.cell(column);
        number(text).ok_or_else(|| {
            self.wrong(&format!("`{}` in column `{name}` is no finite number", shown(text)))
                .help("leave the row out, or repair it")
        })
    }

    /// An error at the present row.
    pub fn wrong(&self, what: &str) -> Error {
        Error::input(format!("{}, line {}: {what}", self.path.display(), self.line))
    }
}

/// Names of columns.
pub struct Header {
    path: PathBuf,
    names: Vec<String>,
}

impl Header {
    /// The column of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The column of that name, which must be there.
    ///
    /// # Errors
    /// If it is not; the message tells the columns that are.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.find(name).ok_or_else(|| {
            let known: Vec<&str> = self.names.iter().take(40).map(String::as_str).collect();
            Error::input(format!("{} has no column `{name}`", self.path.display()))
                .help(format!("its columns: {}", shown(known.join(", ").as_bytes())))
        })
    }
}

/// A finite number.
pub fn number(text: &[u8]) -> Option<f64> {
    match text {
        [digit @ b'0'..=b'9'] => Some(f64::from(digit - b'0')),
        text => std::str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// What a cell says, cut to a length for messages.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let cut: String = text.chars().take(200).map(|c| if c.is_control() { '·' } else { c }).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

fn unreadable(path: &Path, line: u64, error: &std::io::Error) -> Error {
    Error::input(format!("{}, line {line}: {error}", path.display()))
        .help("the file is damaged or cut short: copy it again from where it came from")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use pallium_testing::Folder;

    fn rows(text: &[u8]) -> Rows {
        Rows::of(Path::new("a.csv"), Box::new(std::io::Cursor::new(text.to_vec()))).unwrap()
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
    fn rows_are_read_with_their_lines() {
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
    fn mistakes_are_reported_with_their_line() {
        let mut table = rows(b"id,x\n864691135927097730,1.5\n\n864691135927097730.0,inf\n1\n");
        let header = table.header().unwrap();
        assert!(table.advance_under(&header).unwrap());
        assert_eq!((table.id(0, "id").unwrap(), table.number(1, "x").unwrap()), (864691135927097730, 1.5));
        assert!(table.advance_under(&header).unwrap());
        let error = table.id(0, "id").unwrap_err();
        assert_eq!(
            error.message,
            "a.csv, line 4: `864691135927097730.0` in column `id` is no integer of 64 bits"
        );
        assert!(error.help.unwrap().contains("float"));
        assert!(table.number(1, "x").unwrap_err().message.contains("`inf` in column `x`"));
        let error = table.advance_under(&header).unwrap_err();
        assert!(error.message.contains("line 5: 1 cells, but the first line names 2"), "{error}");
        assert!(header.column("y").unwrap_err().help.unwrap().contains("id, x"));
    }

    #[test]
    fn a_row_without_end_does_not_fill_memory() {
        /// Letters for ever.
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        let mut rows = Rows::of(Path::new("a.csv"), Box::new(BufReader::new(Endless))).unwrap();
        assert!(rows.advance().unwrap_err().message.contains("line 1: the row is longer"));
        struct Commas;
        impl Read for Commas {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                buffer.fill(b',');
                Ok(buffer.len())
            }
        }
        let mut rows = Rows::of(Path::new("a.csv"), Box::new(BufReader::new(Commas))).unwrap();
        assert!(rows.advance().unwrap_err().message.contains("262,144 cells"));
    }

    #[test]
    fn packed_text_is_unpacked_and_damage_is_reported() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(b"a,b\n1,2\n").unwrap();
        let mut bytes = packed.finish().unwrap();
        // Files packed in pieces are one file.
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
            // Between two pieces nobody can tell that there was more.
            let whole = lines.len() == 3 && outcome.is_ok();
            assert!(outcome.is_err() || whole, "{cut}");
        }
        assert!(Rows::open(folder.path()).is_err());
        assert!(Rows::open(&folder.path().join("none")).err().unwrap().message.contains("does not exist"));
    }
}
