//! Your own field: ordinary files beside a `field.toml` that describes them.
//!
//! | table of `field.toml` | describes |
//! |---|---|
//! | `[positions]` | soma positions (npy, npz, csv), their unit and the voxel size |
//! | `[ids]` | identifiers of the neurons by kind (npy, npz, csv) |
//! | `[matrices]` | matrices of activity by name (npy, npz, csv) |
//! | `[connectome]` | a matrix (npy, npz, csv) or a list of connections (csv, parquet) |
//! | `[events]` | event times (npy, npz, csv) |
//! | `[traces]` | fluorescence traces (npy, npz) and how events are detected in them |
//!
//! All files list neurons in the same order, that of positions and ids, or name
//! them by id. Ids are 64-bit integers throughout. `pallium field new` writes a
//! description to start from.

mod arrays;
mod connectome;
mod events;
mod matrix_file;
mod traces;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use pallium_core::{
    ndarray::{Array2, Axis},
    prelude::*,
    tracing,
};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::field_toml::{FIELD_TOML, check_recording};
use crate::listing::folder_name;
use crate::released::{self, NeuronCount, ReadOptions, Sttc};
use crate::rows::shown;

use traces::Incomplete;

pub use matrix_file::read_matrix;

/// Maximum number of neurons of a field.
const MOST_NEURONS: usize = 20_000;
/// Version of the [`Description`]: 2 has `recording`.
const VERSION: u32 = 2;
/// A `field.toml` with one of these tables describes other files.
const TABLES: [&str; 6] = ["positions", "ids", "matrices", "connectome", "events", "traces"];

/// A description of a field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// Version of this format; the newest if absent.
    version: Option<u32>,
    /// The field's name; the folder's name if absent.
    name: Option<String>,
    /// Frames per second of the recording.
    frame_hz: Option<f64>,
    /// Begin and end of the recording in seconds, on the clock of the events.
    recording: Option<(f64, f64)>,
    /// Notes for readers of results.
    #[serde(default)]
    notes: Vec<String>,
    positions: Option<arrays::PositionsSpec>,
    #[serde(default)]
    ids: BTreeMap<String, FileRef>,
    #[serde(default)]
    matrices: BTreeMap<String, FileRef>,
    connectome: Option<connectome::ConnectomeSpec>,
    events: Option<events::EventsSpec>,
    traces: Option<traces::TracesSpec>,
}

/// A file or part of a file: `"a.npy"`, `{ file = "a.npz", array = "x" }` or
/// `{ file = "a.csv", column = "x" }`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct FileRef {
    /// Path relative to the description's folder.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// Name of the column in a csv.
    column: Option<String>,
}

impl<'de> Deserialize<'de> for FileRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FileRef;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a file name, or { file = …, array = … } or { file = …, column = … }")
            }
            fn visit_str<E: serde::de::Error>(self, file: &str) -> Result<FileRef, E> {
                Ok(FileRef { file: file.into(), ..FileRef::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileRef, A::Error> {
                FileRef::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// File formats, by extension.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Npy,
    Npz,
    Csv,
    Parquet,
}

impl FileRef {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.file)
    }

    /// The file's format, which must be one of `allowed`.
    fn format(&self, folder: &Path, allowed: &[Format]) -> Result<Format> {
        let name = self.file.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let format = match () {
            () if ends(&[".npy"]) => Some(Format::Npy),
            () if ends(&[".npz"]) => Some(Format::Npz),
            () if ends(&[".csv", ".csv.gz"]) => Some(Format::Csv),
            () if ends(&[".parquet", ".pq"]) => Some(Format::Parquet),
            () => None,
        };
        let path = self.path(folder);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        // Without a folder, the file is that of a parameter.
        if !folder.as_os_str().is_empty() && !Path::new(&self.file).components().all(inside) {
            return Err(Error::input(format!(
                "{}: the file `{}` is outside the folder",
                folder.join(FIELD_TOML).display(),
                self.file
            ))
            .help("copy it into the folder or create a link to it there: a field consists of the files in its folder"));
        }
        let Some(format) = format.filter(|format| allowed.contains(format)) else {
            let extension = |format: &Format| match format {
                Format::Npy => ".npy",
                Format::Npz => ".npz",
                Format::Csv => ".csv or .csv.gz",
                Format::Parquet => ".parquet",
            };
            let extensions: Vec<_> = allowed.iter().map(extension).collect();
            return Err(Error::input(format!("{} has an unsupported format", path.display()))
                .help(format!("the file name must end in {}", extensions.join(", "))));
        };
        for (given, name, owner) in
            [(self.array.is_some(), "array", Format::Npz), (self.column.is_some(), "column", Format::Csv)]
        {
            if given && format != owner {
                return Err(Error::input(format!(
                    "{}: `{name}` does not apply to this format",
                    path.display()
                ))
                .help("`array` names an array in an npz, `column` a column in a csv"));
            }
        }
        Ok(format)
    }
}

/// Whether a `field.toml` describes other files. One that Pallium wrote beside
/// a field's files does not.
pub fn describes(text: &str) -> bool {
    // A file that cannot be parsed is reported when it is read.
    let names_a_table = |line: &str| {
        let name = line.trim_start().trim_start_matches('[').trim_start();
        TABLES.iter().any(|table| {
            name.strip_prefix(table).is_some_and(|rest| rest.trim_start().starts_with([']', '.', '=']))
        })
    };
    match text.parse::<toml::Table>() {
        Ok(table) => TABLES.iter().any(|name| table.contains_key(*name)),
        Err(_) => text.lines().any(names_a_table),
    }
}

/// Help for an empty cell in a matrix of activity.
const NO_COEFFICIENT: &str = "write the pair's coefficient; 0 if the two neurons are unrelated";

/// Reads the field that `text` in `folder` describes.
///
/// # Errors
/// If the description is invalid, or a file does not match it.
pub fn read(folder: &Path, text: &str, reading: &ReadOptions) -> Result<Substrate> {
    let description = parse(folder, text)?;
    let Description { name, frame_hz, notes, positions, .. } = &description;
    let at = folder.join(FIELD_TOML);
    if let Some(hz) = frame_hz.filter(|hz| !(hz.is_finite() && *hz > 0.0)) {
        return Err(Error::input(format!("{}: frame_hz is {hz}", at.display()))
            .help("it must be a positive number of frames per second"));
    }
    check_recording(&at, description.recording)?;
    let mut substrate = Substrate {
        name: name.clone().unwrap_or_else(|| folder_name(folder)),
        frame_hz: reading.frame_hz.or(*frame_hz),
        recording: description.recording,
        notes: notes.clone(),
        ..Substrate::default()
    };
    let mut count = NeuronCount::default();
    if let Some(spec) = positions {
        let positions = spec.read(folder)?;
        agree(&mut count, &spec.source().path(folder), positions.values.dim().0)?;
        substrate.positions = Some(positions);
    }
    for (kind, file) in &description.ids {
        let ids = arrays::ids(folder, file, &count)?;
        agree(&mut count, &file.path(folder), ids.len())?;
        released::refuse_repeats(&file.path(folder), &ids)?;
        substrate.ids.insert(kind.clone(), ids.into());
    }
    for (name, file) in &description.matrices {
        if name == Substrate::CONNECTOME {
            return Err(Error::input(format!("{}: `{name}` is listed under [matrices]", at.display()))
                .help("describe it in its own table, [connectome]"));
        }
        let (matrix, labels) = arrays::matrix(folder, file, &count, NO_COEFFICIENT)?;
        agree(&mut count, &file.path(folder), matrix.nrows())?;
        let matrix = arrays::in_order(matrix, &labels, &substrate.ids, &file.path(folder))?;
        symmetric(&file.path(folder), &matrix)?;
        if [Substrate::CORRELATION, Substrate::STTC].contains(&name.as_str()) {
            coefficients(&file.path(folder), &matrix)?;
        }
        substrate.matrices.insert(name.clone(), matrix.into());
        substrate.derived.insert(name.clone());
    }
    if let Some(spec) = &description.connectome {
        let (wiring, note) = spec.read(folder, &mut count, &substrate.ids)?;
        substrate.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
        substrate.notes.extend(note);
    }
    let complete = activity(folder, &description, reading, &mut count, &mut substrate)?;
    substrate.neurons = count.neurons();
    if let Some(complete) = complete {
        substrate = only(substrate, &complete);
    }
    if substrate.positions.is_none() && substrate.matrices.is_empty() && substrate.neurons == 0 {
        return Err(Error::input(format!("{} describes no neurons", at.display()))
            .help("add [positions], [ids] or at least one matrix"));
    }
    if !substrate.matrices.contains_key(Substrate::CORRELATION)
        && (description.events.is_some() || description.traces.is_some())
    {
        substrate.notes.push("correlation: none; `pallium field derive` computes it from the events".into());
    }
    Ok(substrate)
}

fn parse(folder: &Path, text: &str) -> Result<Description> {
    let path = folder.join(FIELD_TOML);
    let description: Description = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Error::input(format!(
            "{}, line {line}: {}",
            path.display(),
            e.message().replace("unknown variant", "unknown value")
        ))
        .help("`pallium field new DIR` writes a description that explains every key")
    })?;
    if let Some(version) = description.version.filter(|version| *version > VERSION) {
        return Err(Error::input(format!("{} has version {version}", path.display())).help(format!(
            "this Pallium reads descriptions up to version {VERSION}; install a newer version"
        )));
    }
    if description.events.is_some() && description.traces.is_some() {
        return Err(Error::input(format!("{} has both [events] and [traces]", path.display()))
            .help("remove one of them: events are read from a single source"));
    }
    for name in description.matrices.keys().chain(description.ids.keys()) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(Error::input(format!(
                "{}: invalid name `{}`",
                path.display(),
                shown(name.as_bytes())
            ))
            .help("names may contain letters, digits, - and _"));
        }
    }
    Ok(description)
}

/// The field without all but these neurons.
fn only(mut substrate: Substrate, kept: &[usize]) -> Substrate {
    substrate.neurons = kept.len();
    substrate.positions = substrate
        .positions
        .map(|positions| Positions::new(positions.values.view().select(Axis(0), kept), positions.unit_um));
    for matrix in substrate.matrices.values_mut() {
        *matrix = matrix.view().select(Axis(0), kept).select(Axis(1), kept).into();
    }
    for ids in substrate.ids.values_mut() {
        *ids = kept.iter().map(|&neuron| ids[neuron]).collect();
    }
    if let Some(events) = &mut substrate.events {
        *events = kept.iter().map(|&neuron| std::mem::take(&mut events[neuron])).collect();
    }
    substrate
}

/// Reads event times from a file, or detects them in traces; returns the neurons of the
/// field if others are left out.
fn activity(
    folder: &Path,
    description: &Description,
    reading: &ReadOptions,
    count: &mut NeuronCount,
    substrate: &mut Substrate,
) -> Result<Option<Vec<usize>>> {
    let mut complete = None;
    let frame_hz = substrate.frame_hz;
    let sttc_of = frame_hz
        .filter(|_| reading.sttc == Sttc::HalfFrame && !substrate.matrices.contains_key(Substrate::STTC));
    // Only the events tell how many neurons there are if nothing else does.
    // Traces also tell which neurons are left out.
    let may_lack = description.traces.as_ref().is_some_and(|spec| spec.incomplete == Incomplete::LeaveOut);
    if !reading.events && sttc_of.is_none() && count.neurons() > 0 && !may_lack {
        return Ok(None);
    }
    let events = match (&description.events, &description.traces) {
        (Some(spec), _) => spec.read(folder, count, &substrate.ids, frame_hz, substrate.recording)?,
        (None, Some(spec)) => {
            let detected = spec.read(folder, count, frame_hz, substrate.recording)?;
            substrate.notes.push(detected.note);
            substrate.recording = Some(detected.recording);
            complete = detected.complete.map(|(kept, note)| {
                tracing::warn!("{note}");
                substrate.notes.push(note);
                kept
            });
            detected.events
        }
        (None, None) => return Ok(None),
    };
    if let Some(frame_hz) = sttc_of {
        released::half_frame_sttc(substrate, &events, frame_hz)?;
    }
    if reading.events {
        substrate.events = Some(events);
    }
    Ok(complete)
}

/// Records that `file` has `neurons` neurons.
fn agree(count: &mut NeuronCount, file: &Path, neurons: usize) -> Result<()> {
    check(count, file, neurons)?;
    count.agree(file, neurons)
}

/// Refuses a number of neurons that is too large or differs from earlier files.
fn check(count: &NeuronCount, file: &Path, neurons: usize) -> Result<()> {
    if neurons > MOST_NEURONS {
        return Err(Error::input(format!("{} is for {neurons} neurons", file.display())).help(format!(
            "the maximum is {MOST_NEURONS}: every matrix has one row and one column per neuron"
        )));
    }
    count.check(file, neurons)
}

/// Refuses a matrix of activity that is not symmetric.
fn symmetric(file: &Path, matrix: &Array2<f64>) -> Result<()> {
    let scale = matrix.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    for ((i, j), &a) in matrix.indexed_iter().filter(|((i, j), _)| j > i) {
        let b = matrix[[j, i]];
        if (a - b).abs() > 1e-6 * scale {
            return Err(Error::input(format!(
                "{}: {a} at row {i}, column {j}, but {b} at row {j}, column {i}",
                file.display()
            ))
            .help("matrices of activity are symmetric; if only one triangle is filled, mirror it"));
        }
    }
    Ok(())
}

/// Refuses coefficients outside −1 to 1, allowing for rounding.
fn coefficients(file: &Path, matrix: &Array2<f64>) -> Result<()> {
    match matrix.indexed_iter().find(|(_, v)| v.abs() > 1.0 + 1e-6) {
        None => Ok(()),
        Some(((i, j), v)) => Err(Error::input(format!("{}: {v} at row {i}, column {j}", file.display()))
            .help("coefficients lie between -1 and 1; rename the matrix if it holds something else")),
    }
}

#[cfg(test)]
mod recording_tests;
#[cfg(test)]
mod tests;
