//! Events found in traces of fluorescence.

use std::path::Path;

use pallium_core::prelude::*;
use serde::Deserialize;

use super::{FileRef, agree, arrays};
use crate::folder::Count;
use crate::rises::steep_rises;

/// Longest traces that are read from an archive for certain (bytes).
const EXPECTED: u64 = 1 << 32;

/// Which way the array lies.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Layout {
    /// A row a neuron.
    NeuronsByFrames,
    /// A column a neuron.
    FramesByNeurons,
}

/// How events are found.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Detector {
    /// Steep rises, measured by the trace's own noise.
    Rises,
    /// Every frame above a level, for deconvolved traces.
    Level,
}

/// Where traces are, and how events are found in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The file: npy or npz.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// Which way it lies.
    layout: Layout,
    /// How events are found.
    detector: Detector,
    /// Of `rises`, in standard deviations of the noise; of `level`, in the
    /// trace's own unit.
    threshold: Option<f64>,
}

impl Spec {
    /// Events in seconds, and a note on how they were found.
    ///
    /// # Errors
    /// If the file is not what the description says, or frames have no length.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut Count,
        frame_hz: Option<f64>,
    ) -> Result<(Vec<Vec<f64>>, String)> {
        let source = FileRef { file: self.file.clone(), array: self.array.clone(), column: None };
        let wrong = |what: &str, help: &str| {
            Error::input(format!("{}: {what}", source.path(folder).display())).help(help)
        };
        let Some(hz) = frame_hz else {
            return Err(wrong("how long is a frame?", "say frame_hz = …, frames a second, above all tables"));
        };
        let (threshold, unit) = match (self.detector, self.threshold) {
            (Detector::Rises, threshold) => (threshold.unwrap_or(3.0), "standard deviations of the noise"),
            (Detector::Level, Some(threshold)) => (threshold, "in the unit of the traces"),
            (Detector::Level, None) => {
                return Err(wrong(
                    "above which level is an event?",
                    "say threshold = …, in the unit of the traces",
                ));
            }
        };
        if !(threshold.is_finite() && threshold >= 0.0) {
            return Err(wrong(&format!("the threshold is {threshold}"), "it must be at least 0"));
        }
        let (called, traces) = arrays::wide(folder, &source, EXPECTED)?;
        let traces = match self.layout {
            Layout::NeuronsByFrames => traces.view(),
            Layout::FramesByNeurons => traces.t(),
        };
        let (neurons, frames) = traces.dim();
        if count.neurons() > 0 && neurons != count.neurons() && frames == count.neurons() {
            return Err(Error::input(format!(
                "{} has {neurons} traces of {frames} frames, and there are {frames} neurons",
                called.display()
            ))
            .help("it lies the other way: change layout"));
        }
        agree(count, &called, neurons)?;
        let events = traces
            .rows()
            .into_iter()
            .map(|trace| match self.detector {
                Detector::Rises => steep_rises(trace.iter().copied(), threshold),
                Detector::Level => (0..frames).filter(|k| trace[*k] > threshold).collect(),
            })
            .map(|frames: Vec<usize>| frames.into_iter().map(|k| k as f64 / hz).collect())
            .collect();
        let how = match self.detector {
            Detector::Rises => "steep rises of",
            Detector::Level => "frames above a level in",
        };
        Ok((events, format!("events: {how} {}, threshold {threshold} {unit}", self.file)))
    }
}
