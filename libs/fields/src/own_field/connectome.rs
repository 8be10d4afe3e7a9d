//! Reads a connectome: a matrix of synapse counts, or a list of connections.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*};
use serde::Deserialize;

use super::{FileRef, Format, agree, arrays};
use crate::released::NeuronCount;
use crate::rows::Rows;

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
        source.format(folder, &[Format::Csv, Format::Parquet])?;
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
        edges.read_rows()?;
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
}

const UNKNOWN_CELL: &str =
    "every row must connect neurons of the field, unless ids are given and strangers = \"skip\"";
