//! Reads fluorescence traces and detects events in them.

use std::path::Path;

use pallium_core::{
    ndarray::{ArrayView1, ArrayView2},
    prelude::*,
};
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

/// What happens to neurons whose traces have values that are not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incomplete {
    /// The field is refused.
    #[default]
    Refuse,
    /// They are left out of the field; notes and log name them.
    LeaveOut,
}

/// Number of neurons that a message names.
const NAMED: usize = 10;

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
    /// What happens to neurons whose traces have gaps.
    #[serde(default)]
    pub incomplete: Incomplete,
}

/// Events of traces.
pub struct Detected {
    /// Times in seconds, one list per neuron.
    pub events: Vec<Vec<f64>>,
    /// Begin and end of the recording (s).
    pub recording: (f64, f64),
    /// How they were detected.
    pub note: String,
    /// Neurons with a complete trace, if there are others, and a note on those.
    pub complete: Option<(Vec<usize>, String)>,
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
        let complete = self.complete(&called, traces)?;
        let events = traces
            .rows()
            .into_iter()
            .map(|trace| match self.detector {
                // A neuron that is left out.
                _ if !finite(&trace) => Vec::new(),
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
        Ok(Detected { events, recording: (begin, begin + seconds), note, complete })
    }

    /// Neurons with a complete trace, and a note on the others.
    ///
    /// # Errors
    /// If there are others and they must not be left out, or if all are.
    fn complete(&self, called: &Path, traces: ArrayView2<'_, f64>) -> Result<Option<(Vec<usize>, String)>> {
        let (complete, gaps): (Vec<usize>, Vec<usize>) =
            (0..traces.nrows()).partition(|&neuron| finite(&traces.row(neuron)));
        if gaps.is_empty() {
            return Ok(None);
        }
        let described = |&neuron: &usize| {
            let trace = traces.row(neuron);
            let count = trace.iter().filter(|v| !v.is_finite()).count();
            let first = trace.iter().position(|v| !v.is_finite()).unwrap_or_default();
            format!(
                "neuron {neuron} has {} in {count} of {} frames, from frame {first}",
                trace[first],
                trace.len()
            )
        };
        let mut named: Vec<String> = gaps.iter().take(NAMED).map(described).collect();
        if gaps.len() > NAMED {
            named.push("…".into());
        }
        let named = named.join(", ");
        if complete.is_empty() {
            return Err(Error::input(format!("{} has no complete trace: {named}", called.display()))
                .help("fill the gaps, or remove the frames in which all traces have one"));
        }
        match self.incomplete {
            Incomplete::LeaveOut => {
                Ok(Some((complete, format!("traces: {} neurons left out as incomplete: {named}", gaps.len()))))
            }
            Incomplete::Refuse => Err(Error::input(format!("{}: {named}", called.display())).help(
                "set incomplete = \"leave-out\" under [traces] in field.toml to read the field without these neurons, \
                 or fill the gaps",
            )),
        }
    }
}

fn finite(trace: &ArrayView1<'_, f64>) -> bool {
    trace.iter().all(|v| v.is_finite())
}
