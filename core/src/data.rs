//! The data that pass between the host and a component: matrices, batches of
//! trials, measures, and the substrate that a network is grown from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A matrix in row-major order. In a recurrent matrix, row i, column j is the
/// weight of the connection *from* neuron i *to* neuron j (the h·W convention).
pub type Matrix = Array2<f32>;
/// A borrowed [`Matrix`].
pub type MatrixView<'a> = ArrayView2<'a, f32>;
/// A mutably borrowed [`Matrix`].
pub type MatrixViewMut<'a> = ArrayViewMut2<'a, f32>;

/// Soma positions, as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions {
    /// N×3, in the unit of the recording (voxels for MICrONS).
    pub values: Array2<f64>,
    /// Micrometres per unit, for each of the three axes.
    pub unit_um: [f64; 3],
}

impl Positions {
    /// The positions in micrometres, N×3.
    pub fn micrometres(&self) -> Array2<f64> {
        let unit = ndarray::aview1(&self.unit_um);
        &self.values * &unit
    }
}

/// The neurons that a network is grown from, and the data recorded from them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Substrate {
    /// Short name for tables and messages, such as `6_6_2`.
    pub name: String,
    /// Number of neurons N.
    pub neurons: usize,
    /// Soma positions, if known.
    pub positions: Option<Positions>,
    /// N×N matrices by name; [`Substrate::CORRELATION`] and the other constants
    /// are the names that Pallium's own plugins use.
    pub matrices: BTreeMap<String, Array2<f64>>,
    /// Identifiers of the neurons by name (`root`, `unit`, `target`), N each.
    /// Segmentation ids exceed 2^53: never pass them through a float.
    pub ids: BTreeMap<String, Vec<i64>>,
    /// Times of each neuron's events (spikes) in seconds, ascending: N lists, if
    /// events were recorded and requested.
    pub events: Option<Vec<Vec<f64>>>,
    /// Frame rate of the recording that the events come from, in Hz, if it had
    /// frames.
    pub frame_hz: Option<f64>,
    /// Begin and end of the recording in seconds, on the clock of the events, if
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

impl Substrate {
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
            let known: Vec<_> = self.matrices.keys().map(String::as_str).collect();
            Error::input(format!("substrate `{}` has no `{name}` matrix", self.name))
                .help(format!("it has: {}", if known.is_empty() { "none".into() } else { known.join(", ") }))
        })
    }

    /// The soma positions.
    ///
    /// # Errors
    /// If the substrate has none.
    pub fn positions(&self) -> Result<&Positions> {
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
            if positions.values.iter().any(|v| !v.is_finite()) {
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
            if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return wrong(format!("matrix `{name}` has {v} at row {i}, column {j}"));
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

/// Trials of a task. Trials may differ in length: steps after the end of a trial
/// have zero inputs and a zero mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Inputs, trials × steps × channels.
    pub inputs: Array3<f32>,
    /// The correct class at each step, trials × steps; ignored where the mask is
    /// zero.
    pub targets: Array2<u32>,
    /// Weight of each step in the loss and in the accuracy, trials × steps. A
    /// trial with one label at its end has the mask 1 at its last step and 0
    /// elsewhere.
    pub mask: Array2<f32>,
    /// Weight of each step in the accuracy, trials × steps, if it differs from
    /// the weight in the loss: a task may train fixation at every step and count
    /// only the decisions. Models never see it.
    pub scored: Option<Array2<f32>>,
    /// Number of steps of each trial, one value a trial.
    pub lengths: Vec<u32>,
    /// Condition of each trial, an index into [`TaskInfo::conditions`](crate::TaskInfo::conditions),
    /// for analyses that group trials.
    pub conditions: Vec<u32>,
}

impl Batch {
    /// An all-zero batch: no step is scored, every trial has `steps` steps.
    pub fn zeros(trials: usize, steps: usize, channels: usize) -> Self {
        Batch {
            inputs: Array3::zeros((trials, steps, channels)),
            targets: Array2::zeros((trials, steps)),
            mask: Array2::zeros((trials, steps)),
            scored: None,
            lengths: vec![u32::try_from(steps).unwrap_or(u32::MAX); trials],
            conditions: vec![0; trials],
        }
    }

    /// Number of trials.
    pub fn trials(&self) -> usize {
        self.inputs.dim().0
    }

    /// Sets the label of a trial: `class` at its last step, with mask 1.
    ///
    /// # Panics
    /// If there is no such trial.
    pub fn label_at_end(&mut self, trial: usize, class: u32) {
        if let Some(last) = (self.lengths[trial] as usize).checked_sub(1) {
            self.targets[[trial, last]] = class;
            self.mask[[trial, last]] = 1.0;
        }
    }

    /// Weight of each step in the accuracy, trials × steps: `scored`, or else
    /// `mask`.
    pub fn accuracy_mask(&self) -> ArrayView2<'_, f32> {
        self.scored.as_ref().unwrap_or(&self.mask).view()
    }

    /// The trials in `range`, borrowed, with [`accuracy_mask`](Batch::accuracy_mask)
    /// as their mask.
    pub fn slice_scored(&self, range: Range<usize>) -> BatchView<'_> {
        let mask = self.scored.as_ref().unwrap_or(&self.mask).slice(s![range.clone(), ..]);
        BatchView { mask, ..self.slice(range) }
    }

    /// The trials in `range`, borrowed.
    pub fn slice(&self, range: Range<usize>) -> BatchView<'_> {
        BatchView {
            inputs: self.inputs.slice(s![range.clone(), .., ..]),
            targets: self.targets.slice(s![range.clone(), ..]),
            mask: self.mask.slice(s![range.clone(), ..]),
            lengths: &self.lengths[range.clone()],
            conditions: &self.conditions[range],
        }
    }

    /// All trials, borrowed.
    pub fn view(&self) -> BatchView<'_> {
        self.slice(0..self.trials())
    }

    /// Checks shapes and values against the number of channels and classes that
    /// the task states.
    ///
    /// # Errors
    /// Naming the first trial and step that is wrong.
    pub fn check(&self, channels: usize, classes: usize) -> Result<()> {
        let (trials, steps, found) = self.inputs.dim();
        let wrong = |what: String| Err(Error::plugin(format!("a batch of trials is malformed: {what}")));
        if found != channels {
            return wrong(format!("{found} input channels, but the task states {channels}"));
        }
        if self.targets.dim() != (trials, steps) || self.mask.dim() != (trials, steps) {
            return wrong("targets and mask must have the shape trials × steps".into());
        }
        if self.scored.as_ref().is_some_and(|scored| scored.dim() != (trials, steps)) {
            return wrong("`scored` must have the shape trials × steps".into());
        }
        if self.lengths.len() != trials || self.conditions.len() != trials {
            return wrong("lengths and conditions must have one value a trial".into());
        }
        if let Some(length) = self.lengths.iter().find(|&&l| l as usize > steps) {
            return wrong(format!("a trial has {length} steps, but the batch has {steps}"));
        }
        if self.inputs.iter().any(|v| !v.is_finite()) {
            return wrong("an input is not finite".into());
        }
        let masks = || std::iter::once(&self.mask).chain(&self.scored);
        if masks().flatten().any(|v| !v.is_finite() || *v < 0.0) {
            return wrong("a mask value is negative or not finite".into());
        }
        for (trial, row) in masks().flat_map(|mask| mask.axis_iter(Axis(0)).enumerate()) {
            for (step, &weight) in row.iter().enumerate() {
                if weight > 0.0 && step >= self.lengths[trial] as usize {
                    return wrong(format!("trial {trial} is scored at step {step}, after its end"));
                }
                if weight > 0.0 && self.targets[[trial, step]] as usize >= classes {
                    return wrong(format!(
                        "trial {trial}, step {step} has class {}, but the task states {classes} classes",
                        self.targets[[trial, step]]
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Consecutive trials of a [`Batch`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Inputs, trials × steps × channels.
    pub inputs: ArrayView3<'a, f32>,
    /// The correct class at each step, trials × steps.
    pub targets: ArrayView2<'a, u32>,
    /// Weight of each step, trials × steps.
    pub mask: ArrayView2<'a, f32>,
    /// Number of steps of each trial.
    pub lengths: &'a [u32],
    /// Condition of each trial.
    pub conditions: &'a [u32],
}

impl BatchView<'_> {
    /// (trials, steps, channels).
    pub fn dim(&self) -> (usize, usize, usize) {
        self.inputs.dim()
    }
}

/// A named array of any rank, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name, unique within a model, such as `recurrent` or `adam.m.recurrent`.
    pub name: String,
    /// Length of each axis; their product is the number of values.
    pub shape: Vec<usize>,
    /// The values, with the last axis varying fastest.
    pub values: Vec<f32>,
}

/// Which direction of a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// Higher is better.
    Higher,
    /// Lower is better.
    Lower,
    /// Neither, or a direction that this version does not know.
    #[serde(other)]
    None,
}

/// One number that describes a network, with its name, unit and direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name in tables, such as `small_worldness`.
    pub name: String,
    /// The value; NaN if the measure is not defined for this network.
    #[serde(with = "null_is_nan")]
    pub value: f64,
    /// Unit; empty if the value is dimensionless.
    pub unit: String,
    /// Which direction is better.
    pub direction: Direction,
}

/// JSON has no NaN, so it is written as `null`.
mod null_is_nan {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

impl Measure {
    /// A dimensionless measure without a better direction.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Measure { name: name.into(), value, unit: String::new(), direction: Direction::None }
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }
}
