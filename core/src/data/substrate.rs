//! The neurons that a network is built from, and the data recorded from them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView2};

use super::{PairTable, Table};

use crate::{ConnectionsView, Error, Result};

/// Soma positions, as recorded; a [`Substrate`] owns them, a [`SubstrateView`]
/// borrows them.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionsBase<'a> {
    /// N×3, in the unit of the recording (voxels for MICrONS).
    pub values: Table<'a>,
    /// Micrometres per unit, for each of the three axes.
    pub unit_um: [f64; 3],
}

/// Positions with their own values.
pub type Positions = PositionsBase<'static>;

impl PositionsBase<'_> {
    /// Positions with their own values (N×3) and the micrometres in one unit of
    /// each axis.
    pub fn new(values: Array2<f64>, unit_um: [f64; 3]) -> Positions {
        PositionsBase { values: values.into(), unit_um }
    }

    /// The positions in micrometres, N×3.
    pub fn micrometres(&self) -> Array2<f64> {
        let unit = ndarray::aview1(&self.unit_um);
        &self.values.view() * &unit
    }
}

/// The neurons that a network is built from, and the data recorded from them.
///
/// A component receives a [`SubstrateView`], whose matrices, positions and ids
/// are borrowed from the host; a source returns a [`Substrate`], which owns them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SubstrateBase<'a> {
    /// Short name for tables and messages, such as `6_6_2`.
    pub name: String,
    /// Number of neurons N.
    pub neurons: usize,
    /// Soma positions, if known.
    pub positions: Option<PositionsBase<'a>>,
    /// N×N matrices by name; [`Substrate::CORRELATION`] and the other constants
    /// are the names that Pallium's own plugins use.
    pub matrices: BTreeMap<String, Table<'a>>,
    /// Numbers of some pairs of neurons by name, where a matrix of all would be too
    /// large or most are unknown; pairs that are not listed are 0. A name is either
    /// here or among the matrices.
    pub pairs: BTreeMap<String, PairTable<'a>>,
    /// Identifiers of the neurons by name (`root`, `unit`, `target`), N each.
    /// Segmentation ids exceed 2^53: never pass them through a float.
    pub ids: BTreeMap<String, Cow<'a, [i64]>>,
    /// Times of each neuron's events (spikes) in seconds, ascending: N lists, if
    /// events were recorded and requested.
    pub events: Option<Vec<Vec<f64>>>,
    /// Frame rate of the recording that the events come from, in Hz, if it had
    /// frames.
    pub frame_hz: Option<f64>,
    /// Start and end of the recording in seconds, on the clock of the events, if
    /// they are known. Without them the time before the first event and after
    /// the last is not counted as recorded.
    pub recording: Option<(f64, f64)>,
    /// Names of the matrices that must be kept as they are: the user chose how
    /// to compute them, or they are synthetic. A source may replace any other
    /// matrix by a better estimate, such as an STTC with another window.
    pub derived: BTreeSet<String>,
    /// Remarks on these data for readers of the results, a sentence each.
    pub notes: Vec<String>,
}

/// A substrate with its own data.
pub type Substrate = SubstrateBase<'static>;
/// A substrate whose matrices, positions and ids are borrowed.
pub type SubstrateView<'a> = SubstrateBase<'a>;

impl SubstrateBase<'_> {
    /// A copy with its own data.
    pub fn into_owned(self) -> Substrate {
        SubstrateBase {
            name: self.name,
            neurons: self.neurons,
            positions: self
                .positions
                .map(|p| PositionsBase { values: p.values.into_owned(), unit_um: p.unit_um }),
            matrices: self.matrices.into_iter().map(|(name, m)| (name, m.into_owned())).collect(),
            pairs: self.pairs.into_iter().map(|(name, p)| (name, p.into_owned())).collect(),
            ids: self.ids.into_iter().map(|(name, ids)| (name, Cow::Owned(ids.into_owned()))).collect(),
            events: self.events,
            frame_hz: self.frame_hz,
            recording: self.recording,
            derived: self.derived,
            notes: self.notes,
        }
    }

    /// Name of the Pearson correlation of activity.
    pub const CORRELATION: &'static str = "correlation";
    /// Name of the precision matrix of activity, or of the partial correlation
    /// if the source's parameters say so.
    pub const PRECISION: &'static str = "precision";
    /// Name of the spike time tiling coefficient (symmetric).
    pub const STTC: &'static str = "sttc";
    /// Name of the connectome: synapse counts, presynaptic neurons in rows, in
    /// the order of the neurons.
    pub const CONNECTOME: &'static str = "connectome";

    /// The matrix `name`, N×N.
    ///
    /// # Errors
    /// If the substrate has no such matrix; the help lists those it has.
    pub fn matrix(&self, name: &str) -> Result<ArrayView2<'_, f64>> {
        self.matrices.get(name).map(|m| m.view()).ok_or_else(|| {
            if self.pairs.contains_key(name) {
                return Error::input(format!(
                    "substrate `{}` has `{name}` only for some pairs of neurons, not as a matrix",
                    self.name
                ))
                .help(
                    "use components that take connections: `pallium plugins show ID` says whether one does",
                );
            }
            let known: Vec<_> = self.matrices.keys().map(String::as_str).collect();
            let has = if known.is_empty() { "none".into() } else { known.join(", ") };
            let computed = [Self::CORRELATION, Self::STTC, Self::PRECISION].contains(&name);
            // A source that could not compute it says why.
            let note = self.notes.iter().find(|note| note.starts_with(&format!("{name}: ")));
            let derive = match (note, self.events.is_some() && computed) {
                (Some(note), _) => format!("; {note}"),
                (None, true) => "; `pallium field derive` computes it from the event times".into(),
                (None, false) => String::new(),
            };
            Error::input(format!("substrate `{}` has no `{name}` matrix", self.name))
                .help(format!("it has: {has}{derive}"))
        })
    }

    /// The numbers `name` of some pairs; of a matrix, the entries that are not 0.
    ///
    /// # Errors
    /// If the substrate has neither.
    pub fn pairs(&self, name: &str) -> Result<PairTable<'_>> {
        if let Some(pairs) = self.pairs.get(name) {
            return Ok(pairs.lend());
        }
        if self.matrices.contains_key(name) || self.pairs.is_empty() {
            return Ok(PairTable::where_not_zero(self.matrix(name)?));
        }
        let known: Vec<_> = self.pairs.keys().chain(self.matrices.keys()).map(String::as_str).collect();
        Err(Error::input(format!("substrate `{}` has no `{name}`", self.name))
            .help(format!("it has: {}", known.join(", "))))
    }

    /// The numbers `name` at the given pairs, from a matrix or from some pairs; 0
    /// where they are not known.
    ///
    /// # Errors
    /// As [`SubstrateBase::pairs`].
    pub fn at(&self, name: &str, connections: ConnectionsView<'_>) -> Result<Vec<f64>> {
        if let Some(matrix) = self.matrices.get(name) {
            return Ok(connections.pairs().map(|at| matrix.view()[at]).collect());
        }
        let pairs = self.pairs(name)?;
        let of = pairs.connections();
        Ok(connections
            .pairs()
            .map(|(i, j)| of.find(i, j).map_or(0.0, |place| pairs.values()[place]))
            .collect())
    }

    /// The soma positions.
    ///
    /// # Errors
    /// If the substrate has none.
    pub fn positions(&self) -> Result<&PositionsBase<'_>> {
        self.positions.as_ref().ok_or_else(|| {
            Error::input(format!("substrate `{}` has no positions", self.name))
                .help("use a substrate with positions, or a grid geometry")
        })
    }

    /// Checks that every part has the same number of neurons, and that all
    /// positions and matrices are finite.
    ///
    /// # Errors
    /// Naming the first part that is wrong, with its row and column.
    pub fn check(&self) -> Result<()> {
        let n = self.neurons;
        let wrong = |what: String| Err(Error::input(format!("substrate `{}`: {what}", self.name)));
        if n == 0 {
            return wrong("it has no neurons".into());
        }
        if let Some(positions) = &self.positions {
            if positions.values.dim() != (n, 3) {
                let (rows, columns) = positions.values.dim();
                return wrong(format!("expected {n}×3 positions, found {rows}×{columns}"));
            }
            if positions.values.view().iter().any(|v| !v.is_finite()) {
                return wrong("a position is not finite".into());
            }
            if positions.unit_um.iter().any(|v| !v.is_finite() || *v <= 0.0) {
                return wrong("the unit of the positions must be a positive number of micrometres".into());
            }
        }
        for (name, matrix) in &self.matrices {
            if matrix.dim() != (n, n) {
                let (rows, columns) = matrix.dim();
                return wrong(format!("expected an {n}×{n} matrix `{name}`, found {rows}×{columns}"));
            }
            if let Some(((i, j), v)) = matrix.view().indexed_iter().find(|(_, v)| !v.is_finite()) {
                return wrong(format!("matrix `{name}` has {v} at row {i}, column {j}"));
            }
        }
        for (name, pairs) in &self.pairs {
            let of = pairs.connections();
            if of.dim() != (n, n) {
                return wrong(format!("`{name}` has pairs of {:?} neurons, expected {n}", of.dim()));
            }
            of.check().map_err(|e| e.context(format!("substrate `{}`: the pairs `{name}`", self.name)))?;
            if let Some(((i, j), v)) = of.pairs().zip(pairs.values()).find(|(_, v)| !v.is_finite()) {
                return wrong(format!("`{name}` of the pair {i}, {j} is {v}"));
            }
            if self.matrices.contains_key(name) {
                return wrong(format!("`{name}` is a matrix and a table of pairs"));
            }
        }
        if let Some(events) = &self.events
            && events.len() != n
        {
            return wrong(format!("expected event times of {n} neurons, found {}", events.len()));
        }
        if self.frame_hz.is_some_and(|hz| !(hz.is_finite() && hz > 0.0)) {
            return wrong("the frame rate must be positive".into());
        }
        if let Some((begin, end)) = self.recording
            && !(begin.is_finite() && end.is_finite() && begin < end)
        {
            return wrong(format!("the recording must end after it begins; it is {begin} to {end} s"));
        }
        for (name, ids) in &self.ids {
            if ids.len() != n {
                return wrong(format!("expected {n} `{name}` ids, found {}", ids.len()));
            }
        }
        Ok(())
    }
}
