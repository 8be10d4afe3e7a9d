//! Reads a connectome: a matrix of synapse counts, or a list of connections.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*};
use parquet::basic::{LogicalType, Type};
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use serde::Deserialize;

use super::{FileRef, Format, agree, arrays};
use crate::released::NeuronCount;
use crate::rows::Rows;

/// Rows of a parquet file read at once.
const BATCH: usize = 1 << 14;

/// How a file lists connections.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConnectomeLayout {
    /// One row and one column per neuron.
    Matrix,
    /// One row per synapse or per connection.
    Edges,
}

/// How connections to neurons outside the field are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownCells {
    /// Skip and count them.
    #[default]
    Skip,
    /// Report an error.
    Refuse,
}

/// `[connectome]`: the connectome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectomeSpec {
    /// The file: npy, npz or csv for a matrix; csv or parquet for edges.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// What the file holds.
    layout: ConnectomeLayout,
    /// Column of the presynaptic neuron's id.
    pre: Option<String>,
    /// Column of the postsynaptic neuron's id.
    post: Option<String>,
    /// Column of the number of synapses; without it, each row is one synapse.
    count: Option<String>,
    /// Kind of the ids, as under `[ids]`, or `index` for indices from 0. By
    /// default the only kind, or indices if there are no ids.
    ids: Option<String>,
    /// How connections to neurons outside the field are handled.
    #[serde(default)]
    #[serde(rename = "strangers")]
    unknown_cells: UnknownCells,
}

impl ConnectomeSpec {
    /// Reads the connectome, and a note on skipped rows.
    ///
    /// # Errors
    /// If the file does not match the description.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut NeuronCount,
        ids: &BTreeMap<String, Cow<'_, [i64]>>,
    ) -> Result<(Array2<f64>, Option<String>)> {
        let source = FileRef { file: self.file.clone(), array: self.array.clone(), column: None };
        let path = source.path(folder);
        if self.layout == ConnectomeLayout::Matrix {
            if let Some(name) = [("pre", &self.pre), ("post", &self.post), ("count", &self.count)]
                .iter()
                .find_map(|(name, given)| given.is_some().then_some(*name))
            {
                return Err(Error::input(format!("{}: `{name}` does not apply to a matrix", path.display()))
                    .help("set layout = \"edges\" for a list of connections"));
            }
            let (matrix, labels) =
                arrays::matrix(folder, &source, count, "write 0 where there is no connection")?;
            agree(count, &path, matrix.nrows())?;
            if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| **v < 0.0) {
                return Err(Error::input(format!("{}: {v} synapses at row {i}, column {j}", path.display()))
                    .help("synapse counts and connection sizes must be at least 0"));
            }
            return Ok((arrays::in_order(matrix, &labels, ids, &path)?, None));
        }
        let format = source.format(folder, &[Format::Csv, Format::Parquet])?;
        if count.neurons() == 0 {
            return Err(Error::input(format!("{}: the field's neurons are unknown", path.display()))
                .help("a list of connections does not name every neuron: add [positions] or [ids]"));
        }
        let mut edges = Edges {
            neurons: NeuronIndex::new(self.ids.as_deref(), ids, count.neurons(), &path)?,
            wiring: Array2::zeros((count.neurons(), count.neurons())),
            left_out: 0,
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
                "{}: none of its {} rows connects neurons of the field: {}",
                edges.path.display(),
                edges.left_out,
                edges.neurons.unknown(named)
            ))
            .help("set `ids` to the kind of ids in `pre` and `post`, or to \"index\" for indices from 0"));
        }
        let note = (edges.left_out > 0).then(|| {
            format!(
                "connectome: {} rows of {} skipped, because they involve neurons outside the field",
                edges.left_out, self.file
            )
        });
        Ok((edges.wiring, note))
    }
}

/// Looks up the neurons that rows name.
pub enum NeuronIndex {
    /// By index, below this number.
    Numbers(usize),
    /// By id.
    Ids {
        /// Kind of the ids.
        kind: String,
        /// Neuron of each id.
        index: BTreeMap<i64, usize>,
    },
}

impl NeuronIndex {
    /// Uses ids of `kind`, or the only kind.
    ///
    /// # Errors
    /// If the kind does not exist, or there are several and `kind` is `None`.
    pub fn new(
        kind: Option<&str>,
        ids: &BTreeMap<String, Cow<'_, [i64]>>,
        neurons: usize,
        path: &Path,
    ) -> Result<Self> {
        let known = ids.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let kind = match (kind, ids.len()) {
            (None, 0) => return Ok(NeuronIndex::Numbers(neurons)),
            (Some("index"), _) if !ids.contains_key("index") => return Ok(NeuronIndex::Numbers(neurons)),
            (None, 1) => known.as_str(),
            (None, _) => {
                return Err(Error::input(format!("{}: the kind of ids is ambiguous", path.display()))
                    .help(format!("set `ids` to one of: {known}, index")));
            }
            (Some(kind), _) => kind,
        };
        let Some(list) = ids.get(kind) else {
            return Err(Error::input(format!("{}: there are no `{kind}` ids", path.display())).help(
                if known.is_empty() {
                    "add them under [ids], or remove `ids` if neurons are given as indices from 0".into()
                } else {
                    format!("kinds under [ids]: {known}")
                },
            ));
        };
        Ok(NeuronIndex::Ids { kind: kind.to_owned(), index: list.iter().copied().zip(0..).collect() })
    }

    /// The neuron called `named`, if it belongs to the field.
    pub fn get(&self, named: i64) -> Option<usize> {
        match self {
            NeuronIndex::Numbers(neurons) => usize::try_from(named).ok().filter(|i| i < neurons),
            NeuronIndex::Ids { index, .. } => index.get(&named).copied(),
        }
    }

    /// Explains why `named` is not a neuron of the field.
    pub fn unknown(&self, named: i64) -> String {
        match self {
            NeuronIndex::Numbers(neurons) => {
                format!("index {named} is out of range for {neurons} neurons")
            }
            NeuronIndex::Ids { kind, .. } => format!("{named} is not a `{kind}` id of the field"),
        }
    }
}

/// Connections counted so far.
struct Edges<'a> {
    spec: &'a ConnectomeSpec,
    path: PathBuf,
    neurons: NeuronIndex,
    wiring: Array2<f64>,
    /// Skipped rows, and the first unknown id.
    left_out: u64,
    first: Option<i64>,
    /// Counted rows.
    kept: u64,
}

impl Edges<'_> {
    fn names(&self) -> Result<(&str, &str)> {
        match (&self.spec.pre, &self.spec.post) {
            (Some(pre), Some(post)) => Ok((pre, post)),
            _ => Err(Error::input(format!("{}: `pre` or `post` is missing", self.path.display()))
                .help("set `pre` and `post` to the columns of the presynaptic and postsynaptic neurons")),
        }
    }

    /// Counts a row; the error says why it is refused.
    fn add(&mut self, pre: i64, post: i64, synapses: f64) -> Result<(), String> {
        if !(synapses.is_finite() && synapses >= 0.0) {
            return Err(format!("{synapses} synapses"));
        }
        match (self.neurons.get(pre), self.neurons.get(post)) {
            (Some(i), Some(j)) => {
                self.wiring[[i, j]] += synapses;
                self.kept += 1;
            }
            // An index outside the field is always an error.
            (i, _)
                if self.spec.unknown_cells == UnknownCells::Refuse
                    || matches!(self.neurons, NeuronIndex::Numbers(_)) =>
            {
                return Err(self.neurons.unknown(if i.is_none() { pre } else { post }));
            }
            (i, _) => {
                self.first.get_or_insert(if i.is_none() { pre } else { post });
                self.left_out += 1;
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
            self.add(from, to, synapses).map_err(|why| rows.wrong(&why).help(UNKNOWN_CELL))?;
        }
        Ok(())
    }

    fn read_parquet(&mut self) -> Result<()> {
        let path = self.path.clone();
        let unreadable = |why: String| {
            Error::input(format!("{} cannot be read: {why}", path.display()))
                .help("write it again with int64 ids, uncompressed or compressed with snappy, gzip or zstd")
        };
        let (pre, post) = self.names()?;
        let names: Vec<String> = [Some(pre), Some(post), self.spec.count.as_deref()]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect();
        // The parquet reader panics on some damaged files.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read_row_groups(&names)));
        match read {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failure::Reported(error))) => Err(error),
            Ok(Err(Failure::Damaged(why))) => Err(unreadable(why)),
            Err(_) => Err(Error::input(format!("{} is damaged", path.display()))
                .help("copy the file again from its source")),
        }
    }

    fn read_row_groups(&mut self, names: &[String]) -> Result<(), Failure> {
        let (file, _) = pallium_files::open(&self.path)?;
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
                            .help(format!("existing columns: {}", known.join(", ")))
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
                    "of unsigned integers instead of int64".to_owned()
                } else {
                    format!("{:?}, not integers", about.physical_type())
                };
                let help = if self.spec.count.as_deref() == Some(name) || unsigned {
                    "write the column as int64"
                } else {
                    "ids exceed 2^53, so they must never pass through a float: write the column as int64 (in pandas, \
                     a missing value makes a column of floats)"
                };
                return Err(Failure::Reported(
                    Error::input(format!("{}: column `{name}` is {kind}", self.path.display())).help(help),
                ));
            }
        }
        let mut before = 0;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let mut readers = columns
                .iter()
                .map(|&column| IntegerColumn::new(group.as_ref(), column))
                .collect::<Result<Vec<_>, Failure>>()?;
            loop {
                let mut batches = Vec::with_capacity(readers.len());
                for (reader, name) in readers.iter_mut().zip(names) {
                    let read = reader.batch()?.ok_or_else(|| {
                        let place = self.path.display();
                        Error::input(format!(
                            "{place}: column `{name}` has missing values after row {before}"
                        ))
                        .help("remove the rows with missing values")
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
                        .help(UNKNOWN_CELL)
                    })?;
                }
                before += rows as u64;
            }
        }
        Ok(())
    }
}

const UNKNOWN_CELL: &str =
    "every row must connect neurons of the field, unless ids are given and strangers = \"skip\"";

/// Why a parquet file could not be read.
enum Failure {
    Reported(Error),
    Damaged(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Reported(error)
    }
}

impl From<parquet::errors::ParquetError> for Failure {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Failure::Damaged(error.to_string())
    }
}

/// A column of integers in a row group.
struct IntegerColumn {
    reader: ColumnReader,
}

impl IntegerColumn {
    fn new(group: &dyn RowGroupReader, column: usize) -> Result<Self, Failure> {
        Ok(IntegerColumn { reader: group.get_column_reader(column)? })
    }

    /// The next values, empty after the last one; `None` if a value is missing.
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
            _ => return Err(Failure::Damaged("a column of integers has another type".into())),
        };
        long.extend(short.into_iter().map(i64::from));
        Ok((records == values && values == long.len()).then_some(long))
    }
}
