//! Event times, neuron by neuron or in one list.

use std::collections::BTreeMap;
use std::path::Path;

use pallium_core::prelude::*;
use serde::Deserialize;

use super::connectome::Neurons;
use super::{FileRef, Format, agree, check};
use crate::activity;
use crate::folder::Count;
use crate::rows::Rows;
use pallium_npy as npy;
use pallium_npy::npz::{Member, Npz};

/// Most events that are read from text: some lines of it, packed, can be any
/// number.
const MOST_EVENTS: u32 = 100_000_000;

/// The unit that times are in.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Second,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millisecond,
    /// Frames of the recording, from 0.
    #[serde(rename = "frame")]
    Frame,
}

/// Where event times are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The file: npy (an object array of N arrays), npz or csv.
    file: String,
    /// Their unit.
    unit: Unit,
    /// Array or column of the times.
    times: Option<String>,
    /// Array or column that says whose each is.
    neurons: Option<String>,
    /// Array of where each neuron's times begin in an npz (N + 1).
    offsets: Option<String>,
    /// Kind of the ids by which `neurons` says it; as for a connectome.
    ids: Option<String>,
}

impl Spec {
    /// Reads them, in seconds, each neuron's in ascending order.
    ///
    /// # Errors
    /// If the file is not what the description says.
    pub fn read(
        &self,
        folder: &Path,
        count: &mut Count,
        ids: &BTreeMap<String, Vec<i64>>,
        frame_hz: Option<f64>,
    ) -> Result<Vec<Vec<f64>>> {
        let source = FileRef { file: self.file.clone(), ..FileRef::default() };
        let path = source.path(folder);
        let format = source.format(folder, &[Format::Npy, Format::Npz, Format::Csv])?;
        // Divided by, so that 250 ms are 0.25 s to the last bit.
        let per_second = match (self.unit, frame_hz) {
            (Unit::Second, _) => 1.0,
            (Unit::Millisecond, _) => 1e3,
            (Unit::Frame, Some(hz)) => hz,
            (Unit::Frame, None) => {
                return Err(Error::input(format!("{}: how long is a frame?", path.display()))
                    .help("say frame_hz = …, frames a second, above all tables"));
            }
        };
        if format == Format::Npy {
            if self.times.is_some() || self.neurons.is_some() || self.offsets.is_some() {
                return Err(Error::input(format!("{}: an npy has no named parts", path.display())).help(
                    "it must be an object array of one array a neuron; take times, neurons and offsets out",
                ));
            }
            let one_each = |shape: &[usize]| check(count, &path, shape.first().copied().unwrap_or(0));
            let mut events = npy::read_lists(&path, &one_each)?;
            agree(count, &path, events.len())?;
            events.iter_mut().flatten().for_each(|time| *time /= per_second);
            return checked(&path, events);
        }
        let mut gathered = match (format, &self.offsets) {
            (Format::Npz, Some(offsets)) => self.by_offsets(&path, offsets, count)?,
            (_, Some(_)) => {
                return Err(Error::input(format!("{}: `offsets` are for an npz", path.display()))
                    .help("say neurons = …, the column that tells whose each time is"));
            }
            _ => {
                if count.neurons() == 0 {
                    return Err(Error::input(format!("{}: whose events are they?", path.display()))
                        .help("a list of events does not tell all neurons: add [positions] or [ids]"));
                }
                let neurons = Neurons::of(self.ids.as_deref(), ids, count.neurons(), &path)?;
                let mut events = vec![Vec::new(); count.neurons()];
                match format {
                    Format::Npz => self.by_neurons(&path, &neurons, &mut events)?,
                    _ => self.read_rows(&path, &neurons, &mut events)?,
                }
                events
            }
        };
        for times in &mut gathered {
            times.iter_mut().for_each(|time| *time /= per_second);
        }
        checked(&path, gathered)
    }

    fn times(&self) -> &str {
        self.times.as_deref().unwrap_or("times")
    }

    fn by_offsets(&self, path: &Path, offsets: &str, count: &mut Count) -> Result<Vec<Vec<f64>>> {
        let mut archive = Npz::open(path)?;
        let Member { called, npy, length } = archive.array(Some(self.times()), 0)?;
        let times = npy::list(&called, npy, length, &npy::any)?;
        let Member { called, npy, length } = archive.array(Some(offsets), 0)?;
        let ends: Option<Vec<usize>> = npy::ids(&called, npy, length, &npy::any)?
            .into_iter()
            .map(|end| usize::try_from(end).ok())
            .collect();
        let split = ends
            .filter(|ends| ends.first() == Some(&0) && ends.last() == Some(&times.len()))
            .and_then(|ends| {
                ends.windows(2)
                    .map(|pair| Some(times.get(pair[0]..pair[1])?.to_vec()))
                    .collect::<Option<Vec<_>>>()
            });
        let events = split.ok_or_else(|| {
            Error::input(format!("{}: the offsets do not fit {} times", called.display(), times.len()))
                .help("offsets must ascend from 0 to the number of times, one more than there are neurons")
        })?;
        agree(count, path, events.len())?;
        Ok(events)
    }

    fn by_neurons(&self, path: &Path, neurons: &Neurons, events: &mut [Vec<f64>]) -> Result<()> {
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
            .help("it must say of each time whose it is"));
        }
        for (k, (&time, &named)) in times.iter().zip(&whose).enumerate() {
            let Some(neuron) = neurons.get(named) else {
                return Err(Error::input(format!(
                    "{}: element {k}: {}",
                    called.display(),
                    neurons.stranger(named)
                ))
                .help(STRANGER));
            };
            events[neuron].push(time);
        }
        events.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        Ok(())
    }

    fn read_rows(&self, path: &Path, neurons: &Neurons, events: &mut [Vec<f64>]) -> Result<()> {
        let mut rows = Rows::open(path)?;
        let header = rows.header()?;
        let whose = self.neurons.as_deref().unwrap_or("neurons");
        let (time_at, neuron_at) = (header.column(self.times())?, header.column(whose)?);
        let mut read = 0_u32;
        while rows.advance_under(&header)? {
            let named = rows.id(neuron_at, whose)?;
            let Some(neuron) = neurons.get(named) else {
                return Err(rows.wrong(&neurons.stranger(named)).help(STRANGER));
            };
            let time = rows.number(time_at, self.times())?;
            if time < 0.0 {
                return Err(rows
                    .wrong(&format!("an event at {time}"))
                    .help("times are counted from the recording's begin: shift them, or leave the row out"));
            }
            events[neuron].push(time);
            read += 1;
            if read > MOST_EVENTS {
                return Err(rows.wrong("more events than can be read").help(
                    "at most 100,000,000 are read from text: write them as an npz, or leave out what is no recording",
                ));
            }
        }
        events.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        Ok(())
    }
}

const STRANGER: &str =
    "leave out the events of other cells; say ids = \"index\" if neurons are meant by their numbers from 0";

fn checked(path: &Path, events: Vec<Vec<f64>>) -> Result<Vec<Vec<f64>>> {
    activity::check_events(&events).map_err(|e| e.context(format!("reading {}", path.display())))?;
    Ok(events)
}
