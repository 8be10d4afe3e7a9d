//! Reads event times, one list per neuron or a single list.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::prelude::*;
use serde::Deserialize;

use super::connectome::NeuronIndex;
use super::{FileRef, Format, agree, check};
use crate::events::{check_events, split_at_offsets};
use crate::released::NeuronCount;
use crate::rows::Rows;
use pallium_npy as npy;
use pallium_npy::npz::{Member, Npz};

/// Maximum number of events in a text file: a small compressed file can
/// decompress to any number of lines.
const MOST_EVENTS: u32 = 100_000_000;

/// Unit of event times.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Second,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millisecond,
    /// Frames of the recording; frame 0 is at its begin.
    #[serde(rename = "frame")]
    Frame,
}

/// `[events]`: event times.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSpec {
    /// The file: npy (an object array of N arrays), npz or csv.
    file: String,
    /// Their unit.
    unit: TimeUnit,
    /// Array or column of the times.
    times: Option<String>,
    /// Array or column of the neuron of each time.
    neurons: Option<String>,
    /// Array in an npz with the start of each neuron's times (N + 1).
    offsets: Option<String>,
    /// Kind of the ids in `neurons`; as for a connectome.
    ids: Option<String>,
}

impl EventsSpec {
    /// Reads the event times in seconds, ascending for each neuron.
    ///
    /// # Errors
    /// If the file does not match the description.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut NeuronCount,
        ids: &BTreeMap<String, Cow<'_, [i64]>>,
        frame_hz: Option<f64>,
        recording: Option<(f64, f64)>,
    ) -> Result<Vec<Vec<f64>>> {
        let source = FileRef { file: self.file.clone(), ..FileRef::default() };
        let path = source.path(folder);
        let format = source.format(folder, &[Format::Npy, Format::Npz, Format::Csv])?;
        // A divisor rather than a factor, so that 250 ms are exactly 0.25 s.
        let per_second = match (self.unit, frame_hz) {
            (TimeUnit::Second, _) => 1.0,
            (TimeUnit::Millisecond, _) => 1e3,
            (TimeUnit::Frame, Some(hz)) => hz,
            (TimeUnit::Frame, None) => {
                return Err(Error::input(format!("{}: the frame rate is missing", path.display()))
                    .help("set frame_hz (frames per second) above all tables"));
            }
        };
        let begin = match (self.unit, recording) {
            (TimeUnit::Frame, Some((begin, _))) => begin,
            _ => 0.0,
        };
        let in_seconds = |mut events: Vec<Vec<f64>>| {
            events.iter_mut().flatten().for_each(|time| *time = begin + *time / per_second);
            check_events(&events, recording).map_err(|e| e.context(format!("reading {}", path.display())))?;
            Ok(events)
        };
        if format == Format::Npy {
            if self.times.is_some() || self.neurons.is_some() || self.offsets.is_some() {
                return Err(Error::input(format!(
                    "{}: `times`, `neurons` and `offsets` do not apply to an npy",
                    path.display()
                ))
                .help(
                    "it must be an object array with one array per neuron; remove times, neurons and offsets",
                ));
            }
            let one_per_neuron = |shape: &[usize]| check(count, &path, shape.first().copied().unwrap_or(0));
            let events = npy::read_lists(&path, &one_per_neuron)?;
            agree(count, &path, events.len())?;
            return in_seconds(events);
        }
        let gathered = match (format, &self.offsets) {
            (Format::Npz, Some(offsets)) => self.by_offsets(&path, offsets, count)?,
            (_, Some(_)) => {
                return Err(Error::input(format!("{}: `offsets` applies to npz files only", path.display()))
                    .help("set `neurons` to the column of the neuron of each time"));
            }
            _ => {
                if count.neurons() == 0 {
                    return Err(Error::input(format!("{}: the field's neurons are unknown", path.display()))
                        .help("a list of events does not name every neuron: add [positions] or [ids]"));
                }
                let neurons = NeuronIndex::new(self.ids.as_deref(), ids, count.neurons(), &path)?;
                let mut events = vec![Vec::new(); count.neurons()];
                match format {
                    Format::Npz => self.by_neurons(&path, &neurons, &mut events)?,
                    _ => {
                        let negative = recording.is_some() && self.unit != TimeUnit::Frame;
                        self.read_rows(&path, &neurons, negative, &mut events)?;
                    }
                }
                events
            }
        };
        in_seconds(gathered)
    }

    fn times(&self) -> &str {
        self.times.as_deref().unwrap_or("times")
    }

    fn by_offsets(&self, path: &Path, offsets: &str, count: &mut NeuronCount) -> Result<Vec<Vec<f64>>> {
        let mut archive = Npz::open(path)?;
        let Member { called, npy, length } = archive.array(Some(self.times()), 0)?;
        let times = npy::list(&called, npy, length, &npy::any)?;
        let Member { called, npy, length } = archive.array(Some(offsets), 0)?;
        let ends = npy::ids(&called, npy, length, &npy::any)?;
        let events = split_at_offsets(&times, &ends).ok_or_else(|| {
            Error::input(format!("{}: the offsets do not fit {} times", called.display(), times.len()))
                .help("there must be one more offset than neurons, ascending from 0 to the number of times")
        })?;
        agree(count, path, events.len())?;
        Ok(events)
    }

    fn by_neurons(&self, path: &Path, neurons: &NeuronIndex, events: &mut [Vec<f64>]) -> Result<()> {
        let mut archive = Npz::open(path)?;
        let Member { called, npy, length } = archive.array(Some(self.times()), 0)?;
        let times = npy::list(&called, npy, length, &npy::any)?;
        let Member { called, npy, length } =
            archive.array(Some(self.neurons.as_deref().unwrap_or("neurons")), 0)?;
        let whose = npy::ids(&called, npy, length, &npy::any)?;
        if whose.len() != times.len() {
            return Err(Error::input(format!(
                "{}: {} for {} times",
                called.display(),
                whose.len(),
                times.len()
            ))
            .help("there must be one entry for each time"));
        }
        for (k, (&time, &named)) in times.iter().zip(&whose).enumerate() {
            let Some(neuron) = neurons.get(named) else {
                return Err(Error::input(format!(
                    "{}: element {k}: {}",
                    called.display(),
                    neurons.unknown(named)
                ))
                .help(UNKNOWN_NEURON));
            };
            events[neuron].push(time);
        }
        events.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        Ok(())
    }

    /// Reads the rows of a csv; negative times only if the begin of the recording is
    /// stated.
    fn read_rows(
        &self,
        path: &Path,
        neurons: &NeuronIndex,
        negative: bool,
        events: &mut [Vec<f64>],
    ) -> Result<()> {
        let mut rows = Rows::open(path)?;
        let header = rows.header()?;
        let whose = self.neurons.as_deref().unwrap_or("neurons");
        let (time_at, neuron_at) = (header.column(self.times())?, header.column(whose)?);
        let mut read = 0_u32;
        while rows.advance_under(&header)? {
            let named = rows.id(neuron_at, whose)?;
            let Some(neuron) = neurons.get(named) else {
                return Err(rows.wrong(&neurons.unknown(named)).help(UNKNOWN_NEURON));
            };
            let time = rows.number(time_at, self.times())?;
            if time < 0.0 && !negative {
                let help = match self.unit {
                    TimeUnit::Frame => "frames count from 0: remove the row",
                    _ => {
                        "state start and end of the recording, recording = [begin, end] (s) above all tables; or \
                         remove the row"
                    }
                };
                return Err(rows.wrong(&format!("an event at {time}")).help(help));
            }
            events[neuron].push(time);
            read += 1;
            if read > MOST_EVENTS {
                return Err(rows
                    .wrong("too many events")
                    .help("the maximum for a text file is 100,000,000; write the events as an npz"));
            }
        }
        events.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        Ok(())
    }
}

const UNKNOWN_NEURON: &str =
    "remove the events of other neurons; set ids = \"index\" if neurons are given as indices from 0";
