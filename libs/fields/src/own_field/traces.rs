//! Reads fluorescence traces and detects events in them.

use std::path::Path;

use pallium_core::prelude::*;
use serde::Deserialize;

use super::{FileRef, agree, arrays};
use crate::released::NeuronCount;
use crate::steep_rises::steep_rises;

/// Size of traces in bytes that an npz may always decompress to.
const EXPECTED: u64 = 1 << 32;

/// Orientation of the array.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TracesLayout {
    /// One row per neuron.
    NeuronsByFrames,
    /// One column per neuron.
    FramesByNeurons,
}

/// How events are detected.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Detector {
    /// Steep rises relative to the trace's own noise.
    Rises,
    /// Every frame above a fixed level, for deconvolved traces.
    Level,
}

/// `[traces]`: fluorescence traces, and how events are detected in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesSpec {
    /// The file: npy or npz.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// Orientation of the array.
    layout: TracesLayout,
    /// How events are detected.
    detector: Detector,
    /// For `rises` in standard deviations of the noise, for `level` in the
    /// unit of the traces.
    threshold: Option<f64>,
}

/// Events of traces.
pub struct Detected {
    /// Times in seconds, one list per neuron.
    pub events: Vec<Vec<f64>>,
    /// Begin and end of the recording (s).
    pub recording: (f64, f64),
    /// How they were detected.
    pub note: String,
}

impl TracesSpec {
    /// Detects events. The first frame is at the begin of `recording`, or at 0.
    ///
    /// # Errors
    /// If the file does not match the description, the frame rate is unknown, or
    /// the recording is not as long as its frames.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut NeuronCount,
        frame_hz: Option<f64>,
        recording: Option<(f64, f64)>,
    ) -> Result<Detected> {
        let source = FileRef { file: self.file.clone(), array: self.array.clone(), column: None };
        let wrong = |what: &str, help: &str| {
            Error::input(format!("{}: {what}", source.path(folder).display())).help(help)
        };
        let Some(hz) = frame_hz else {
            return Err(wrong(
                "the frame rate is missing",
                "set frame_hz (frames per second) above all tables",
            ));
        };
        let (threshold, unit) = match (self.detector, self.threshold) {
            (Detector::Rises, threshold) => (threshold.unwrap_or(3.0), "standard deviations of the noise"),
            (Detector::Level, Some(threshold)) => (threshold, "in the unit of the traces"),
            (Detector::Level, None) => {
                return Err(wrong(
                    "`threshold` is missing",
                    "set threshold to the level of an event, in the unit of the traces",
                ));
            }
        };
        if !(threshold.is_finite() && threshold >= 0.0) {
            return Err(wrong(&format!("the threshold is {threshold}"), "it must be at least 0"));
        }
        let (called, traces) = arrays::numbers(folder, &source, EXPECTED)?;
        let traces = match self.layout {
            TracesLayout::NeuronsByFrames => traces.view(),
            TracesLayout::FramesByNeurons => traces.t(),
        };
        let (neurons, frames) = traces.dim();
        if count.neurons() > 0 && neurons != count.neurons() && frames == count.neurons() {
            return Err(Error::input(format!(
                "{} has {neurons} traces of {frames} frames, but the field has {frames} neurons",
                called.display()
            ))
            .help("the array is transposed: change `layout`"));
        }
        agree(count, &called, neurons)?;
        let begin = recording.map_or(0.0, |(begin, _)| begin);
        let seconds = frames as f64 / hz;
        if let Some((_, end)) = recording.filter(|(begin, end)| (end - begin - seconds).abs() * hz > 1.0) {
            return Err(Error::input(format!(
                "{} has {frames} frames, {seconds} s at {hz} Hz, but the recording is from {begin} s to {end} s",
                called.display()
            ))
            .help("correct `recording` or `frame_hz`, or remove `recording`: the frames give its length"));
        }
        let events = traces
            .rows()
            .into_iter()
            .map(|trace| match self.detector {
                Detector::Rises => steep_rises(trace.iter().copied(), threshold),
                Detector::Level => (0..frames).filter(|k| trace[*k] > threshold).collect(),
            })
            .map(|frames: Vec<usize>| frames.into_iter().map(|k| begin + k as f64 / hz).collect())
            .collect();
        let how = match self.detector {
            Detector::Rises => "steep rises of",
            Detector::Level => "frames above a level in",
        };
        let note = format!("events: {how} {}, threshold {threshold} {unit}", self.file);
        Ok(Detected { events, recording: (begin, begin + seconds), note })
    }
}
