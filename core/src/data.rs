//! What crosses between the host and a component: matrices, batches of trials,
//! measures, and the substrate that a network grows on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A matrix in row-major order. A recurrent matrix has the weight *from*
/// neuron i *to* neuron j in row i, column j (the h·W convention).
pub type Matrix = Array2<f32>;
/// A borrowed [`Matrix`].
pub type MatrixView<'a> = ArrayView2<'a, f32>;
/// A mutably borrowed [`Matrix`].
pub type MatrixViewMut<'a> = ArrayViewMut2<'a, f32>;

/// Where the neurons are, as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions {
    /// N×3, in the units of the recording (voxels for MICrONS).
    pub values: Array2<f64>,
    /// Micrometres per unit along each of the three axes.
    pub unit_um: [f64; 3],
}

impl Positions {
    /// N×3 positions in micrometres.
    pub fn micrometres(&self) -> Array2<f64> {
        let unit = ndarray::aview1(&self.unit_um);
        &self.values * &unit
    }
}

/// The neurons that a network is grown from, and what was measured of them.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Substrate {
    /// A short name for tables and messages, such as `6_6_2`.
    pub name: String,
    /// Number of neurons N.
    pub neurons: usize,
    /// Soma positions, if known.
    pub positions: Option<Positions>,
    /// N×N matrices by name; the names in use are this type's constants.
    pub matrices: BTreeMap<String, Array2<f64>>,
    /// Identifiers of the neurons by name (`root`, `unit`, `target`), N each.
    /// Segmentation ids exceed 2^53: never pass them through a float.
    pub ids: BTreeMap<String, Vec<i64>>,
    /// Times of each neuron's events in seconds, ascending, if they were asked
    /// for and recorded.
    pub events: Option<Vec<Vec<f64>>>,
    /// Frames a second of the recording that the events are from (Hz), where
    /// it had frames.
    pub frame_hz: Option<f64>,
    /// Names of the matrices that were computed by a recipe of one's choice, or
    /// made up, and are to be kept as they are. Of all others a source may
    /// take a better estimate, such as an STTC of another window.
    pub derived: BTreeSet<String>,
    /// What a reader of results should know about these data, in plain words.
    pub notes: Vec<String>,
}

impl Substrate {
    /// Pearson correlation of activity.
    pub const CORRELATION: &'static str = "correlation";
    /// Precision matrix of activity (or partial correlation, as the source's
    /// parameters say).
    pub const PRECISION: &'static str = "precision";
    /// Spike time tiling coefficient, symmetric.
    pub const STTC: &'static str = "sttc";
    /// Synapse counts, row presynaptic, in the order of the neurons.
    pub const CONNECTOME: &'static str = "connectome";

    /// A matrix by name, or an error that lists what there is.
    pub fn matrix(&self, name: &str) -> Result<ArrayView2<'_, f64>> {
        self.matrices.get(name).map(|m| m.view()).ok_or_else(|| {
            let known: Vec<_> = self.matrices.keys().map(String::as_str).collect();
            Error::input(format!("substrate `{}` has no `{name}` matrix", self.name))
                .help(format!("it has: {}", if known.is_empty() { "none".into() } else { known.join(", ") }))
        })
    }

    /// The positions, or an error.
    pub fn positions(&self) -> Result<&Positions> {
        self.positions.as_ref().ok_or_else(|| {
            Error::input(format!("substrate `{}` has no positions", self.name))
                .help("use a substrate with positions, or a grid geometry")
        })
    }

    /// Checks that every part speaks of the same number of neurons and is finite.
    pub fn check(&self) -> Result<()> {
        let n = self.neurons;
        let wrong = |what: String| Err(Error::input(format!("substrate `{}`: {what}", self.name)));
        if n == 0 {
            return wrong("it has no neurons".into());
        }
        if let Some(positions) = &self.positions {
            if positions.values.dim() != (n, 3) {
                let (rows, columns) = positions.values.dim();
                return wrong(format!("positions are {rows}×{columns}, but {n} neurons need {n}×3"));
            }
            if positions.values.iter().any(|v| !v.is_finite()) {
                return wrong("a position is not a finite number".into());
            }
            if positions.unit_um.iter().any(|v| !v.is_finite() || *v <= 0.0) {
                return wrong("the size of a position unit must be a positive number of micrometres".into());
            }
        }
        for (name, matrix) in &self.matrices {
            if matrix.dim() != (n, n) {
                let (rows, columns) = matrix.dim();
                return wrong(format!("matrix `{name}` is {rows}×{columns}, but there are {n} neurons"));
            }
            if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return wrong(format!("matrix `{name}` has {v} at row {i}, column {j}"));
            }
        }
        if let Some(events) = &self.events
            && events.len() != n
        {
            return wrong(format!("there are event times of {} neurons, not {n}", events.len()));
        }
        if self.frame_hz.is_some_and(|hz| !(hz.is_finite() && hz > 0.0)) {
            return wrong("the number of frames a second must be positive".into());
        }
        for (name, ids) in &self.ids {
            if ids.len() != n {
                return wrong(format!("there are {} `{name}` ids for {n} neurons", ids.len()));
            }
        }
        Ok(())
    }
}

/// Trials of a task. Trials may differ in length; steps past a trial's end are
/// zero and masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// trials × steps × channels.
    pub inputs: Array3<f32>,
    /// The right class at each step, trials × steps. Where the mask is zero the
    /// value is ignored.
    pub targets: Array2<u32>,
    /// Weight of each step in the loss and in the accuracy, trials × steps.
    /// "One label at the end" is a mask that is 1 at the last step alone.
    pub mask: Array2<f32>,
    /// Weight of each step in the accuracy, trials × steps, where it is another
    /// than in the loss: a network may learn to fixate at every step and be
    /// judged by its decisions. A model never sees it.
    pub scored: Option<Array2<f32>>,
    /// Number of steps of each trial.
    pub lengths: Vec<u32>,
    /// Kind of each trial (an index), for analyses that group trials.
    pub conditions: Vec<u32>,
}

impl Batch {
    /// An all-zero batch: nothing scored, every trial `steps` long.
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

    /// Scores trial `trial` by one label at its last step.
    pub fn label_at_end(&mut self, trial: usize, class: u32) {
        if let Some(last) = (self.lengths[trial] as usize).checked_sub(1) {
            self.targets[[trial, last]] = class;
            self.mask[[trial, last]] = 1.0;
        }
    }

    /// Weight of each step in the accuracy, trials × steps.
    pub fn accuracy_mask(&self) -> ArrayView2<'_, f32> {
        self.scored.as_ref().unwrap_or(&self.mask).view()
    }

    /// The trials `range`, borrowed, with the weights of the accuracy in place
    /// of those of the loss.
    pub fn slice_scored(&self, range: Range<usize>) -> BatchView<'_> {
        let mask = self.scored.as_ref().unwrap_or(&self.mask).slice(s![range.clone(), ..]);
        BatchView { mask, ..self.slice(range) }
    }

    /// The trials `range`, borrowed.
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

    /// Checks shapes and values against what the task says of itself.
    pub fn check(&self, channels: usize, classes: usize) -> Result<()> {
        let (trials, steps, found) = self.inputs.dim();
        let wrong = |what: String| Err(Error::plugin(format!("a batch of trials is malformed: {what}")));
        if found != channels {
            return wrong(format!("{found} input channels, but the task states {channels}"));
        }
        if self.targets.dim() != (trials, steps) || self.mask.dim() != (trials, steps) {
            return wrong("targets or mask are not trials × steps".into());
        }
        if self.scored.as_ref().is_some_and(|scored| scored.dim() != (trials, steps)) {
            return wrong("the weights in the accuracy are not trials × steps".into());
        }
        if self.lengths.len() != trials || self.conditions.len() != trials {
            return wrong("lengths or conditions are not one per trial".into());
        }
        if let Some(length) = self.lengths.iter().find(|&&l| l as usize > steps) {
            return wrong(format!("a trial of {length} steps in a batch of {steps}"));
        }
        if self.inputs.iter().any(|v| !v.is_finite()) {
            return wrong("an input is not a finite number".into());
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

/// A borrowed stretch of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// trials × steps × channels.
    pub inputs: ArrayView3<'a, f32>,
    /// trials × steps.
    pub targets: ArrayView2<'a, u32>,
    /// trials × steps.
    pub mask: ArrayView2<'a, f32>,
    /// Steps of each trial.
    pub lengths: &'a [u32],
    /// Kind of each trial.
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
    /// Extent along each axis; the product is the number of values.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Vec<f32>,
}

/// Which way a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither, or a way that this version does not know.
    #[serde(other)]
    None,
}

/// One number about a network, with what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name in tables, such as `small_worldness`.
    pub name: String,
    /// The value; not a number where the measure is not defined for this
    /// network.
    #[serde(with = "null_is_nan")]
    pub value: f64,
    /// Unit, empty if the number is dimensionless.
    pub unit: String,
    /// Which way is better.
    pub direction: Direction,
}

/// JSON has no NaN; `null` stands for it.
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

    /// States the unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }
}
