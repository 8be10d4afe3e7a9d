//! A connectome: a matrix of synapse counts, or a list of connections.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*};
use parquet::basic::{LogicalType, Type};
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use serde::Deserialize;

use super::{FileRef, Format, agree, arrays};
use crate::folder::Count;
use crate::rows::Rows;
use pallium_npy as npy;

/// Rows of a parquet that are read at a time.
const BATCH: usize = 1 << 14;

/// How connections are written down.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Layout {
    /// A row and a column a neuron.
    Matrix,
    /// A row a synapse, or a connection.
    Edges,
}

/// What becomes of connections with cells that are not of the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Strangers {
    /// They are left out, and counted.
    #[default]
    Skip,
    /// They are an error.
    Refuse,
}

/// Where the connectome is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The file: npy, npz or csv of a matrix; csv or parquet of edges.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// What the file holds.
    layout: Layout,
    /// Column of the presynaptic cell's id.
    pre: Option<String>,
    /// Column of the postsynaptic cell's id.
    post: Option<String>,
    /// Column of the number of synapses; without one each row is a synapse.
    count: Option<String>,
    /// Kind of the ids, as under `[ids]`, or `index` for the neurons' numbers
    /// from 0; without one, the only kind there is, or the numbers.
    ids: Option<String>,
    /// What becomes of connections with cells that are not of the field.
    #[serde(default)]
    strangers: Strangers,
}

impl Spec {
    /// Reads it; also a note on what was left out.
    ///
    /// # Errors
    /// If the file is not what the description says.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut Count,
        ids: &BTreeMap<String, Vec<i64>>,
    ) -> Result<(Array2<f64>, Option<String>)> {
        let source = FileRef { file: self.file.clone(), array: self.array.clone(), column: None };
        let path = source.path(folder);
        if self.layout == Layout::Matrix {
            if let Some(name) = [("pre", &self.pre), ("post", &self.post), ("count", &self.count)]
                .iter()
                .find_map(|(name, given)| given.is_some().then_some(*name))
            {
                return Err(Error::input(format!("{}: a matrix has no `{name}`", path.display()))
                    .help("say layout = \"edges\" for a list of connections"));
            }
            let (matrix, labels) = arrays::matrix(folder, &source, count)?;
            agree(count, &path, matrix.nrows())?;
            if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| **v < 0.0) {
                return Err(Error::input(format!("{}: {v} synapses at row {i}, column {j}", path.display()))
                    .help("numbers of synapses, or sizes of connections, are at least 0"));
            }
            return Ok((arrays::in_order(matrix, &labels, ids, &path)?, None));
        }
        let format = source.format(folder, &[Format::Csv, Format::Parquet])?;
        if count.neurons() == 0 {
            return Err(Error::input(format!("{}: whose connections are they?", path.display()))
                .help("a list of connections does not tell all neurons: add [positions] or [ids]"));
        }
        let mut edges = Edges {
            neurons: Neurons::of(self.ids.as_deref(), ids, count.neurons(), &path)?,
            wiring: Array2::zeros((count.neurons(), count.neurons())),
            strangers: 0,
            kept: 0,
            first: None,
            spec: self,
            path,
        };
        match format {
            Format::Csv => edges.read_rows()?,
            _ => edges.read_parquet()?,
        }
        if let (0, Some(named)) = (edges.kept, edges.first) {
            return Err(Error::input(format!(
                "{}: not one of its {} rows is of neurons of the field: {}",
                edges.path.display(),
                edges.strangers,
                edges.neurons.stranger(named)
            ))
            .help("say ids = …, the kind of ids that `pre` and `post` are, or \"index\" for the neurons' numbers from 0"));
        }
        let note = (edges.strangers > 0).then(|| {
            format!("connectome: {} rows of {} are of other cells and left out", edges.strangers, self.file)
        });
        Ok((edges.wiring, note))
    }
}

/// How rows name neurons.
pub enum Neurons {
    /// By number, of so many.
    Numbers(usize),
    /// By id.
    Ids {
        /// Kind of the ids.
        kind: String,
        /// Which neuron each is.
        index: BTreeMap<i64, usize>,
    },
}

impl Neurons {
    /// The kind that is asked for, or the only one there is.
    ///
    /// # Errors
    /// If there is no such kind, or several and none is asked for.
    pub fn of(
        kind: Option<&str>,
        ids: &BTreeMap<String, Vec<i64>>,
        neurons: usize,
        path: &Path,
    ) -> Result<Self> {
        let known = ids.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let kind = match (kind, ids.len()) {
            (None, 0) => return Ok(Neurons::Numbers(neurons)),
            (Some("index"), _) if !ids.contains_key("index") => return Ok(Neurons::Numbers(neurons)),
            (None, 1) => known.as_str(),
            (None, _) => {
                return Err(Error::input(format!("{}: which ids does it name neurons by?", path.display()))
                    .help(format!("say ids = …, one of {known}, or index")));
            }
            (Some(kind), _) => kind,
        };
        let Some(list) = ids.get(kind) else {
            return Err(Error::input(format!("{}: there are no `{kind}` ids", path.display())).help(
                if known.is_empty() {
                    "name them under [ids], or take `ids` out if neurons are numbered from 0".into()
                } else {
                    format!("under [ids] there are: {known}")
                },
            ));
        };
        Ok(Neurons::Ids { kind: kind.to_owned(), index: list.iter().copied().zip(0..).collect() })
    }

    /// The neuron that is named, if it is of the field.
    pub fn get(&self, named: i64) -> Option<usize> {
        match self {
            Neurons::Numbers(neurons) => usize::try_from(named).ok().filter(|i| i < neurons),
            Neurons::Ids { index, .. } => index.get(&named).copied(),
        }
    }

    /// Why a name means nobody.
    pub fn stranger(&self, named: i64) -> String {
        match self {
            Neurons::Numbers(neurons) => format!("there is no neuron {named} of {neurons}, numbered from 0"),
            Neurons::Ids { kind, .. } => format!("{named} is no `{kind}` id of the field"),
        }
    }
}

/// Connections that are being counted.
struct Edges<'a> {
    spec: &'a Spec,
    path: PathBuf,
    neurons: Neurons,
    wiring: Array2<f64>,
    /// Rows with a cell that is not of the field, and the first such cell.
    strangers: u64,
    first: Option<i64>,
    /// Rows of neurons of the field.
    kept: u64,
}

impl Edges<'_> {
    fn names(&self) -> Result<(&str, &str)> {
        match (&self.spec.pre, &self.spec.post) {
            (Some(pre), Some(post)) => Ok((pre, post)),
            _ => Err(Error::input(format!("{}: which columns are the cells in?", self.path.display()))
                .help("say pre = … and post = …, the columns of the presynaptic and the postsynaptic cell")),
        }
    }

    /// Counts a row; why it cannot be, if it cannot.
    fn add(&mut self, pre: i64, post: i64, synapses: f64) -> Result<(), String> {
        if !(synapses.is_finite() && synapses >= 0.0) {
            return Err(format!("{synapses} synapses"));
        }
        match (self.neurons.get(pre), self.neurons.get(post)) {
            (Some(i), Some(j)) => {
                self.wiring[[i, j]] += synapses;
                self.kept += 1;
            }
            // Without ids nobody but the neurons can be meant.
            (i, _)
                if self.spec.strangers == Strangers::Refuse
                    || matches!(self.neurons, Neurons::Numbers(_)) =>
            {
                return Err(self.neurons.stranger(if i.is_none() { pre } else { post }));
            }
            (i, _) => {
                self.first.get_or_insert(if i.is_none() { pre } else { post });
                self.strangers += 1;
            }
        }
        Ok(())
    }

    fn read_rows(&mut self) -> Result<()> {
        let (pre, post) = self.names()?;
        let (pre, post) = (pre.to_owned(), post.to_owned());
        let mut rows = Rows::open(&self.path)?;
        let header = rows.header()?;
        let (pre_at, post_at) = (header.column(&pre)?, header.column(&post)?);
        let count = self.spec.count.clone();
        let count_at = count.as_deref().map(|name| header.column(name)).transpose()?;
        while rows.advance_under(&header)? {
            let synapses = match (count_at, &count) {
                (Some(at), Some(name)) => rows.number(at, name)?,
                _ => 1.0,
            };
            let (from, to) = (rows.id(pre_at, &pre)?, rows.id(post_at, &post)?);
            self.add(from, to, synapses).map_err(|why| rows.wrong(&why).help(STRANGER))?;
        }
        Ok(())
    }

    fn read_parquet(&mut self) -> Result<()> {
        let path = self.path.clone();
        let damaged = |why: String| {
            Error::input(format!("{} cannot be read: {why}", path.display())).help(
                "write it again, its columns of ids as int64, packed by snappy, gzip or zstd, or not at all",
            )
        };
        let (pre, post) = self.names()?;
        let names: Vec<String> = [Some(pre), Some(post), self.spec.count.as_deref()]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect();
        // The reader may give up on a damaged file by a panic.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read_row_groups(&names)));
        match read {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failure::Told(error))) => Err(error),
            Ok(Err(Failure::Damaged(why))) => Err(damaged(why)),
            Err(_) => Err(Error::input(format!("{} is damaged", path.display()))
                .help("copy the file again from where it came from")),
        }
    }

    fn read_row_groups(&mut self, names: &[String]) -> Result<(), Failure> {
        let (file, _) = npy::open(&self.path)?;
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let columns = names
            .iter()
            .map(|name| {
                (0..schema.num_columns()).find(|k| schema.column(*k).path().string() == *name).ok_or_else(
                    || {
                        let known: Vec<String> = (0..schema.num_columns())
                            .take(40)
                            .map(|k| schema.column(k).path().string())
                            .collect();
                        Error::input(format!("{} has no column `{name}`", self.path.display()))
                            .help(format!("its columns: {}", known.join(", ")))
                    },
                )
            })
            .collect::<Result<Vec<usize>>>()?;
        for (&column, name) in columns.iter().zip(names) {
            let about = schema.column(column);
            let unsigned =
                matches!(about.logical_type_ref(), Some(LogicalType::Integer(kind)) if !kind.is_signed);
            if !matches!(about.physical_type(), Type::INT32 | Type::INT64)
                || about.max_rep_level() > 0
                || unsigned
            {
                let kind = if unsigned {
                    "of unsigned integers, not of int64".to_owned()
                } else {
                    format!("{:?}, not integers", about.physical_type())
                };
                let help = if self.spec.count.as_deref() == Some(name) || unsigned {
                    "write the column as int64"
                } else {
                    "ids exceed 2^53, so they must never pass through a float: write the column as int64 (in pandas, \
                     a missing value makes a column of floats)"
                };
                return Err(Failure::Told(
                    Error::input(format!("{}: column `{name}` is {kind}", self.path.display())).help(help),
                ));
            }
        }
        let mut before = 0;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let mut readers = columns
                .iter()
                .map(|&column| Column::of(group.as_ref(), column))
                .collect::<Result<Vec<_>, Failure>>()?;
            loop {
                let mut batches = Vec::with_capacity(readers.len());
                for (reader, name) in readers.iter_mut().zip(names) {
                    let read = reader.batch()?.ok_or_else(|| {
                        let place = self.path.display();
                        Error::input(format!("{place}: column `{name}` lacks values after row {before}"))
                            .help("leave out the rows with a missing value")
                    })?;
                    batches.push(read);
                }
                let rows = batches.iter().map(Vec::len).min().unwrap_or(0);
                if rows == 0 {
                    break;
                }
                for row in 0..rows {
                    let synapses = batches.get(2).map_or(1.0, |counts| counts[row] as f64);
                    self.add(batches[0][row], batches[1][row], synapses).map_err(|why| {
                        Error::input(format!(
                            "{}, row {}: {why}",
                            self.path.display(),
                            before + row as u64 + 1
                        ))
                        .help(STRANGER)
                    })?;
                }
                before += rows as u64;
            }
        }
        Ok(())
    }
}

const STRANGER: &str =
    "every row must be of neurons of the field, unless ids are given and strangers = \"skip\"";

/// Why a parquet could not be read.
enum Failure {
    Told(Error),
    Damaged(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Told(error)
    }
}

impl From<parquet::errors::ParquetError> for Failure {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Failure::Damaged(error.to_string())
    }
}

/// A column of integers in a row group.
struct Column {
    reader: ColumnReader,
}

impl Column {
    fn of(group: &dyn RowGroupReader, column: usize) -> Result<Self, Failure> {
        Ok(Column { reader: group.get_column_reader(column)? })
    }

    /// The next values; none after the last one, and `None` if one is missing.
    fn batch(&mut self) -> Result<Option<Vec<i64>>, Failure> {
        let mut levels = Vec::new();
        let (mut long, mut short) = (Vec::new(), Vec::new());
        let (records, values, _) = match &mut self.reader {
            ColumnReader::Int64ColumnReader(reader) => {
                reader.read_records(BATCH, Some(&mut levels), None, &mut long)?
            }
            ColumnReader::Int32ColumnReader(reader) => {
                reader.read_records(BATCH, Some(&mut levels), None, &mut short)?
            }
            _ => return Err(Failure::Damaged("a column of integers is none".into())),
        };
        long.extend(short.into_iter().map(i64::from));
        Ok((records == values && values == long.len()).then_some(long))
    }
}
