//! Wide tables: one column per variant, one row per run.

use std::collections::BTreeSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use pallium_core::{Error, Result};
use pallium_files as files;

use super::Nested;

/// Maximum length of a table in bytes: many millions of runs.
const LONGEST_FILE: u64 = 1 << 28;

/// A table of runs, including missing values.
#[derive(Clone, Debug, PartialEq)]
pub struct WideTable {
    /// Names of the variants.
    pub names: Vec<String>,
    /// Names of the runs: the table's index, or numbers from 1.
    pub runs: Vec<String>,
    /// For each variant the value of each run.
    pub columns: Vec<Vec<TableEntry>>,
    /// For each run its labels in the columns that group runs, such as a field; none
    /// without such columns.
    pub groups: Vec<Vec<String>>,
}

/// One cell of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum TableEntry {
    /// A finite number.
    Value(f64),
    /// No number, and the text in its place: empty, `NaN`, `diverged` …
    Missing(String),
}

impl TableEntry {
    /// The number, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            TableEntry::Value(value) => Some(*value),
            TableEntry::Missing(_) => None,
        }
    }
}

/// Titles of a first column that names runs and is not a variant.
const INDEX: [&str; 5] = ["", "simulation", "run", "index", "unnamed: 0"];

/// Texts for a missing number.
const NOTHING: [&str; 9] = ["", "na", "n/a", "<na>", "null", "none", "-", "missing", "diverged"];

impl WideTable {
    /// Reads a CSV file with a header, separated by commas, semicolons or tabs:
    /// whichever gives most lines as many cells as the header, so names may
    /// contain the others.
    ///
    /// A first column that is titled `simulation`, `run` or `index`, or has no
    /// title, names the runs. An empty cell, a word such as `NaN`, `NA`,
    /// `diverged` or `failed: why`, and `inf` mean that
    /// the run has no value.
    ///
    /// # Errors
    /// If the file cannot be read, has no header, two columns or two runs with one
    /// name, or an invalid cell; the message names file, line and column.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_grouped(path, &[])
    }

    /// As [`WideTable::read`]; the columns `groups` name groups of runs and are not
    /// variants.
    ///
    /// # Errors
    /// As [`WideTable::read`], and if there is no such column, or a label is empty. Names of
    /// runs may be repeated in other groups.
    pub fn read_grouped(path: &Path, groups: &[String]) -> Result<Self> {
        let Text { header, rows } = read_text(path)?;
        let mut places = Vec::new();
        for group in groups {
            let Some(place) = header.iter().position(|title| title == group) else {
                return Err(Error::input(format!("{} has no column `{group}`", path.display()))
                    .help(format!("its columns are {}", header.join(", "))));
            };
            places.push(place);
        }
        let labels = rows.iter().map(|(line, cells)| {
            let of = |&place: &usize| match cells[place].as_str() {
                "" => Err(Error::input(format!(
                    "{}, line {line}, column `{}`: the label is empty",
                    path.display(),
                    header[place]
                ))
                .help("every run belongs to a group")),
                label => Ok(label.to_owned()),
            };
            places.iter().map(of).collect::<Result<Vec<_>>>()
        });
        let labels: Vec<Vec<String>> = labels.collect::<Result<_>>()?;
        let rest = |cells: Vec<String>| -> Vec<String> {
            let kept = cells.into_iter().enumerate().filter(|(place, _)| !places.contains(place));
            kept.map(|(_, cell)| cell).collect()
        };
        let text = Text {
            header: rest(header),
            rows: rows.into_iter().map(|(line, cells)| (line, rest(cells))).collect(),
        };
        Self::from_text(path, text, labels)
    }

    /// As [`WideTable::read`], from `bytes`.
    ///
    /// # Errors
    /// As [`WideTable::read`].
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::from_text(path, cells(path, bytes)?, Vec::new())
    }

    /// `groups` are the labels of each row.
    fn from_text(path: &Path, Text { header, rows }: Text, groups: Vec<Vec<String>>) -> Result<Self> {
        if header.starts_with(&["variant".into(), "task".into(), "run".into()]) {
            return Err(Error::input(format!("{} has one row per value; expected one column per variant", path.display()))
                .help(
                    "`pallium report DIR` compares the variants of a run; `pallium export DIR --layout authors --out DIR2` \
                     writes wide tables of the variants of arXiv 2606.14975",
                ));
        }
        let indexed = header.first().is_some_and(|title| INDEX.contains(&title.to_lowercase().as_str()));
        let names = header[usize::from(indexed)..].to_vec();
        if names.is_empty() {
            return Err(Error::input(format!("{} has no column of values", path.display()))
                .help("write one column per variant and one row per run"));
        }
        for (place, name) in names.iter().enumerate() {
            let number = place + 1 + usize::from(indexed);
            if name.is_empty() {
                return Err(Error::input(format!("{}, line 1, column {number} has no name", path.display()))
                    .help("name every column after its variant"));
            }
            if names[..place].contains(name) {
                return Err(Error::input(format!(
                    "{}, line 1, column {number}: duplicate column `{name}`",
                    path.display()
                ))
                .help("name every column after its variant"));
            }
        }
        let mut table = WideTable { columns: vec![Vec::new(); names.len()], names, runs: Vec::new(), groups };
        let mut known = BTreeSet::new();
        for (row, (line, cells)) in rows.iter().enumerate() {
            let (index, cells) = cells.split_at(usize::from(indexed));
            let own = index.first().filter(|i| !i.is_empty());
            if let Some(run) = own.filter(|run| !known.insert((table.groups.get(row), *run))) {
                return Err(Error::input(format!(
                    "{}, line {line}: run `{run}` occurs twice",
                    path.display()
                ))
                .help(
                    "every row is one run with a name of its own; runs of different groups may share names \
                         if the columns of these groups are named with --levels",
                ));
            }
            table.runs.push(own.map_or_else(|| (row + 1).to_string(), Clone::clone));
            let columns = cells.iter().zip(&table.names).zip(&mut table.columns).enumerate();
            for (at, ((text, name), column)) in columns {
                let place = || format!("{}, line {line}, column `{name}`", path.display());
                if is_extreme(text) {
                    return Err(Error::input(format!("{}: {text} is not between 1e-300 and 1e300", place()))
                        .help(
                            "multiply the table by a power of ten, because tests do not depend on the unit; \
                             leave the cell empty if the run diverged",
                        ));
                }
                column.push(entry(text).ok_or_else(|| {
                    let numbers = "write numbers with a decimal point, and leave cells of missing runs empty";
                    let help = match names_groups(&rows, usize::from(indexed) + at) {
                        true => {
                            format!(
                                "if `{name}` names groups of runs, name it in --levels; otherwise {numbers}"
                            )
                        }
                        false => numbers.to_owned(),
                    };
                    Error::input(format!("{}: `{text}` is not a number", place())).help(help)
                })?);
            }
        }
        Ok(table)
    }

    /// The values of a variant, without missing runs.
    pub fn values(&self, variant: usize) -> Vec<f64> {
        self.columns[variant].iter().filter_map(TableEntry::value).collect()
    }

    /// The differences of two variants in the runs with a value in both, by the groups of
    /// these runs.
    pub fn differences(&self, a: usize, b: usize) -> Nested {
        let rows = self.columns[a].iter().zip(&self.columns[b]).enumerate();
        let known = rows.filter_map(|(row, (a, b))| {
            let labels = self.groups.get(row).map(Vec::as_slice).unwrap_or_default();
            Some((labels.iter().map(String::as_str).collect(), (a.value()?, b.value()?)))
        });
        let (labels, pairs): (Vec<Vec<&str>>, Vec<(f64, f64)>) = known.unzip();
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        Nested::new(&labels, &a, &b)
    }

    /// The values of the runs with a value in both variants.
    pub fn paired(&self, a: usize, b: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = self.columns[a].iter().zip(&self.columns[b]);
        rows.filter_map(|(a, b)| Some((a.value()?, b.value()?))).unzip()
    }
}

/// Whether a number is so large that a sum overflows, or so small that its last
/// digits are lost. Words such as `inf` are not.
fn is_extreme(text: &str) -> bool {
    let Ok(size) = text.parse::<f64>().map(f64::abs) else { return false };
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    digits.contains(|c: char| ('1'..='9').contains(&c)) && !(1e-300..=1e300).contains(&size)
}

/// Whether a column has words such as `5_3_8` and no number, although other columns have
/// numbers: it may name groups. A number with a decimal comma is not a word.
fn names_groups(rows: &[(u64, Vec<String>)], column: usize) -> bool {
    let number = |text: &String| entry(text).is_some_and(|entry| entry.value().is_some());
    let numeric = |text: &String| number(text) || text.replace(',', ".").parse::<f64>().is_ok();
    let other = |cells: &Vec<String>| cells.iter().enumerate().any(|(at, cell)| at != column && number(cell));
    rows.iter().all(|(_, cells)| !numeric(&cells[column])) && rows.iter().any(|(_, cells)| other(cells))
}

fn entry(text: &str) -> Option<TableEntry> {
    if let Ok(value) = text.parse::<f64>() {
        return Some(match value.is_finite() {
            true => TableEntry::Value(value),
            false => TableEntry::Missing(text.into()),
        });
    }
    let word = text.to_lowercase();
    let nothing = NOTHING.contains(&word.as_str()) || word == "failed" || word.starts_with("failed:");
    nothing.then(|| TableEntry::Missing(text.into()))
}

/// The cells of a CSV file.
pub(super) struct Text {
    /// Titles of the columns.
    pub header: Vec<String>,
    /// Rows, as long as the header, with the lines they are on.
    pub rows: Vec<(u64, Vec<String>)>,
}

/// Reads a CSV file with a header, separated as its first line is.
pub(super) fn read_text(path: &Path) -> Result<Text> {
    let bytes = files::bytes(path, LONGEST_FILE).map_err(|e| files::unread(path, &e))?;
    cells(path, bytes)
}

/// As [`read_text`], from `bytes`.
fn cells(path: &Path, bytes: Vec<u8>) -> Result<Text> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        Error::input(format!("{}, line {line} is not UTF-8", path.display()))
            .help("save the table as CSV in UTF-8")
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ReaderBuilder::new();
    reader.trim(Trim::All).delimiter(separator(text));
    let mut reader = reader.from_reader(text.as_bytes());
    let owned = |record: &StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let header = owned(reader.headers().map_err(|e| malformed(path, &e))?);
    if header.is_empty() {
        return Err(
            Error::input(format!("{} is empty", path.display())).help("the first line names the columns")
        );
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| malformed(path, &e))?;
        rows.push((record.position().map_or(0, csv::Position::line), owned(&record)));
    }
    Ok(Text { header, rows })
}

/// The separator that gives the most lines as many cells as the header; of
/// several, the first. A comma if the header has one cell anyway.
fn separator(text: &str) -> u8 {
    let fitting = |separator: u8| {
        let mut reader = ReaderBuilder::new();
        let mut reader = reader.delimiter(separator).flexible(true).from_reader(text.as_bytes());
        let cells = reader.headers().map_or(0, StringRecord::len);
        let rows = reader.records().filter(|row| row.as_ref().is_ok_and(|row| row.len() == cells)).count();
        (cells > 1).then_some(rows)
    };
    let known = [b',', b';', b'\t'].map(|separator| (separator, fitting(separator)));
    let most = known.iter().filter_map(|k| k.1).max();
    known.iter().find(|k| k.1.is_some() && k.1 == most).map_or(b',', |k| k.0)
}

fn malformed(path: &Path, error: &csv::Error) -> Error {
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "{}, line {}: found {len} cells, expected {expected_len}",
            path.display(),
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        _ => format!("{}: {error}", path.display()),
    };
    Error::input(message)
        .help("every line needs as many cells as the first; leave cells of missing runs empty")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<WideTable> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        WideTable::read(file.path())
    }

    #[test]
    fn the_index_is_recognised() {
        for title in ["simulation", "", "Unnamed: 0", "run", "Simulation"] {
            let table = read(&format!("{title},a,b\n7,1,2\n8,3,4\n")).unwrap();
            assert_eq!(
                (table.names, table.runs),
                (vec!["a".into(), "b".into()], vec!["7".into(), "8".into()]),
                "{title}"
            );
        }
        let table = read("\u{feff}W*D*C,b\r\n1,2\r\n").unwrap();
        assert_eq!((table.names[0].as_str(), table.runs), ("W*D*C", vec!["1".to_string()]));
    }

    #[test]
    fn missing_values_are_recognized() {
        let table =
            read("a,b\n1,\nNaN,-inf\nInfinity,0e400\nnan,diverged\nNA,failed: out of memory\n 2e-1 ,0.5\n")
                .unwrap();
        assert_eq!(table.values(0), [1.0, 0.2]);
        assert_eq!(table.values(1), [0.0, 0.5]);
        assert_eq!(table.paired(0, 1), (vec![0.2], vec![0.5]));
        assert_eq!(table.columns[1][4], TableEntry::Missing("failed: out of memory".into()));
        assert_eq!(table.columns[1][0], TableEntry::Missing(String::new()));
    }

    #[test]
    fn semicolons_and_tabs_are_recognized() {
        for text in ["a;b\n1;2\n", "a\tb\n1\t2\n", "\"a\",b\n1,2"] {
            assert_eq!(read(text).unwrap().values(1), [2.0], "{text}");
        }
        for text in ["W;W[lr=0.1,ep=2]\n1;2\n", "W\tW[lr=0.1;ep=2,x]\n1\t2\n", "\"a;b\",c\n1,2\n"] {
            assert_eq!(read(text).unwrap().values(1), [2.0], "{text}");
        }
        assert_eq!(read("a\n1\n2\n").unwrap().values(0), [1.0, 2.0]);
        assert_eq!(read("a,b\n").unwrap().values(0), [0.0; 0]);
    }

    #[test]
    fn a_column_of_words_may_name_groups() {
        let help = |text: &str| read(text).unwrap_err().help.unwrap();
        for text in ["field,a\n5_3_8,1\n5_3_2,2\n", "a,field,b\n1,x,\n2,,\n"] {
            let help = help(text);
            assert!(help.contains("`field`") && help.contains("--levels"), "{help}");
        }
        for text in ["a,b\n1,2\n2,x7\n", "a;b\n1;0,5\n", "a,b\nx,y\n"] {
            assert!(!help(text).contains("--levels"), "{text}");
        }
    }

    #[test]
    fn names_of_runs_may_be_repeated_in_other_groups() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let rows = "scan,field,run,a\n6,x,1,0.5\n6,x,2,0.5\n5,y,1,0.5\n5,z,1,0.5\n";
        file.write_all(rows.as_bytes()).unwrap();
        let read = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            WideTable::read_grouped(file.path(), &groups)
        };
        let table = read(&["scan", "field"]).unwrap();
        assert_eq!((table.runs[2].as_str(), table.groups[3].join("/")), ("1", "5/z".to_owned()));
        std::fs::write(file.path(), format!("{rows}5,z,1,0.7\n")).unwrap();
        let error = read(&["scan", "field"]).unwrap_err();
        assert!(error.message.contains("line 6: run `1` occurs twice"), "{error}");
        assert!(error.help.unwrap().contains("--levels"));
    }

    #[test]
    fn mistakes_are_reported_with_their_place() {
        for (text, part) in [
            ("a,b\n1,2\n1,x7\n", "line 3, column `b`: `x7` is not a number"),
            ("a,b\n1,2\n1\n", "line 3: found 1 cells, expected 2"),
            ("a;b\n1;0,5\n", "line 2, column `b`: `0,5` is not a number"),
            ("a,b\n1,2e301\n", "line 2, column `b`: 2e301 is not between 1e-300 and 1e300"),
            ("a,b\n1,1e400\n", "line 2, column `b`: 1e400 is not between 1e-300 and 1e300"),
            ("a,b\n1,-0.5E+999\n", "line 2, column `b`: -0.5E+999 is not between"),
            ("a,b\n1,-3e-320\n", "line 2, column `b`: -3e-320 is not between"),
            ("a,b\n1,2e-400\n", "line 2, column `b`: 2e-400 is not between"),
            ("a,a\n1,2\n", "line 1, column 2: duplicate column `a`"),
            ("a,\n1,2\n", "line 1, column 2 has no name"),
            ("simulation\n1\n", "has no column of values"),
            ("variant,task,run,split,measure,value,status\nW,t,0,test,accuracy,1,ok\n", "one row per value"),
            ("", "is empty"),
            ("run,a,b\n1,1,2\n2,1,2\n1,3,4\n", "line 4: run `1` occurs twice"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
            assert!(error.help.is_some());
        }
        assert!(WideTable::read(Path::new("/nowhere.csv")).unwrap_err().message.contains("/nowhere.csv"));
    }
}
