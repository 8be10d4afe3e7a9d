//! The folder of a field.
//!
//! | file | content |
//! |---|---|
//! | `positions_<f>.npy` | soma positions: an object array of N arrays of 3, or N×3 |
//! | `corr_matrix.npy`, `sttc_matrix.npy`, `precision_matrix.npy` | N×N; of the STTC the lower triangle counts |
//! | `matrix_<name>.npy` | N×N, any further matrix |
//! | `connectome_<f>.csv` | N×N synapse counts with a header row and an index column, row presynaptic |
//! | `spikes_<f>.npy` | event times in s: an object array of N arrays |
//! | `event_times_<f>.npy`, `event_offsets_<f>.npy` | the same without a pickle: all times in one list, and where each neuron's begin (N+1) |
//! | `<name>_ids_<f>.npy` | N integers: `root`, `unit`, `target` |
//! | `field.toml` | what a folder written by Pallium says of itself; if it describes other files, they are read as [`described`](crate::described) says |
//!
//! `<f>` is the field's name, the same in all files. Positions or at least one
//! matrix must be there; whatever else is absent is absent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pallium_core::{
    ndarray::{Array2, s},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::{activity, connectome, described, set_order::set_order};
use pallium_npy as npy;

/// Frames a second of MICrONS recordings (a frame lasts 158.7 ms).
pub const FRAME_HZ: f64 = 6.3009;
/// Micrometres per voxel of MICrONS positions.
const VOXEL_UM: [f64; 3] = [0.004, 0.004, 0.040];

pallium_core::choice! {
    /// Order of the connectome's rows and columns.
    pub enum ConnectomeOrder {
        /// As released: the iteration order of a Python set of the root ids.
        Released = "released",
        /// The order of the neurons, as everything else.
        Restored = "restored",
    }
}

pallium_core::choice! {
    /// Coincidence window of the spike time tiling coefficient.
    pub enum Sttc {
        /// 100 ms, as released.
        Released = "released",
        /// Half a frame, where event times are there to recompute it.
        HalfFrame = "half-frame",
    }
}

/// How a folder is read.
pub struct Reading {
    /// Order of the connectome.
    pub order: ConnectomeOrder,
    /// Window of the STTC.
    pub sttc: Sttc,
    /// Frames a second; `None` for what the folder says.
    pub frame_hz: Option<f64>,
    /// Whether event times are wanted, where the folder has them.
    pub events: bool,
}

/// What a folder says of itself in `field.toml`; all of it may be left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// Version of this format.
    pub version: Option<u32>,
    /// The field's name.
    pub name: Option<String>,
    /// Micrometres per unit of the positions along each axis.
    pub position_unit_um: Option<[f64; 3]>,
    /// Order of the connectome's rows and columns.
    pub connectome_order: Option<StoredOrder>,
    /// Whether the STTC is to be taken as it is; of version 1, now one of
    /// `derived`.
    #[serde(skip_serializing)]
    pub sttc: Option<StoredSttc>,
    /// Frames a second of the recording.
    pub frame_hz: Option<f64>,
    /// Matrices that are to be taken as they are.
    pub derived: BTreeSet<String>,
    /// What a reader of results should know.
    pub notes: Vec<String>,
}

/// Order of a stored connectome.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredOrder {
    /// That of the neurons.
    Neurons,
    /// The iteration order of a Python set of the root ids.
    PythonSet,
}

/// State of a stored STTC.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredSttc {
    /// Both triangles, not to be recomputed.
    Final,
}

/// Name of the file that holds the [`Card`].
pub const CARD: &str = "field.toml";
/// Version of the [`Card`] that is written.
pub const VERSION: u32 = 2;
/// Longest [`CARD`] that is read, in bytes.
const LONGEST_CARD: u64 = 1 << 20;
/// Files of the matrices that have names of their own.
pub const MATRICES: [(&str, &str); 3] = [
    ("corr_matrix.npy", Substrate::CORRELATION),
    ("sttc_matrix.npy", Substrate::STTC),
    ("precision_matrix.npy", Substrate::PRECISION),
];

/// Reads the folder of a field.
///
/// # Errors
/// If a file is malformed, or two files contradict each other; the message
/// names the file and the place.
pub fn read(path: &Path, reading: &Reading) -> Result<Substrate> {
    let listing = Listing::of(path)?;
    let text = card_text(&listing)?;
    if let Some(text) = text.as_deref().filter(|text| described::describes(text)) {
        return described::read(path, text, reading);
    }
    let card = card(&listing, text.as_deref())?;
    let mut count = Count::default();
    let mut substrate = Substrate {
        notes: card.notes,
        // A released folder says nothing of frames; one written since does.
        frame_hz: reading
            .frame_hz
            .or(card.frame_hz)
            .or_else(|| (card.version.unwrap_or(0) < 2).then_some(FRAME_HZ)),
        derived: card.derived,
        ..Substrate::default()
    };
    if card.sttc.is_some() {
        substrate.derived.insert(Substrate::STTC.into());
    }

    if let Some(file) = listing.one("positions", "npy")? {
        let rows = npy::read_lists(&file, &|shape| match *shape {
            // Wider rows are not coordinates.
            [n, k] if k > 3 => {
                Err(Error::input(format!("{}: expected N×3 positions, found {n}×{k}", file.display()))
                    .help("a row a neuron is expected, with three coordinates"))
            }
            _ => Ok(()),
        })?;
        count.agree(&file, rows.len())?;
        let unit_um = card.position_unit_um.unwrap_or(VOXEL_UM);
        substrate.positions = Some(Positions { values: positions(&file, &rows)?, unit_um });
    }
    let mut ids = Vec::new();
    for (name, file) in listing.ids() {
        let values = npy::read_ids(&file, &|shape| count.check(&file, shape[0]))?;
        count.agree(&file, values.len())?;
        ids.push((name, file, values));
    }
    for (name, file) in listing.matrices() {
        let matrix = npy::read_matrix(&file, &|shape| {
            let (rows, columns) = (shape[0], shape[1]);
            if rows != columns {
                return Err(Error::input(format!("{}: {rows}×{columns} is not square", file.display()))
                    .help("a row and a column a neuron are expected"));
            }
            count.check(&file, rows)
        })?;
        count.agree(&file, matrix.nrows())?;
        let matrix = if name == Substrate::STTC && !substrate.derived.contains(&name) {
            from_lower_triangle(&file, matrix)?
        } else {
            if name == Substrate::CORRELATION {
                symmetric(&file, &matrix)?;
            }
            matrix
        };
        substrate.matrices.insert(name, matrix);
    }
    if substrate.positions.is_none() && substrate.matrices.is_empty() {
        return Err(Error::input(format!("{} has neither positions nor matrices", path.display())).help(
            "a field's folder holds positions_<field>.npy, or corr_matrix.npy, sttc_matrix.npy or \
             precision_matrix.npy; is this the folder above it?",
        ));
    }
    substrate.neurons = count.neurons();

    if let Some(file) = listing.one("connectome", "csv")? {
        let wiring = connectome::read(&file)?;
        count.agree(&file, wiring.nrows())?;
        let in_order = card.connectome_order == Some(StoredOrder::Neurons);
        let wiring = match reading.order {
            _ if in_order => wiring,
            ConnectomeOrder::Released => {
                substrate
                    .notes
                    .push("connectome: in the released order, which is not the order of the neurons".into());
                wiring
            }
            ConnectomeOrder::Restored => {
                let root = ids.iter().find(|(name, ..)| name == "root").ok_or_else(|| {
                    Error::input(format!("{} can only be put in order by root ids", file.display())).help(
                        "add root_ids_<field>.npy; or set connectome_order = \"released\"; or, if the file \
                         is in the order of the neurons, say connectome_order = \"neurons\" in field.toml",
                    )
                })?;
                restored(&wiring, root)?
            }
        };
        substrate.matrices.insert(Substrate::CONNECTOME.into(), wiring);
    }

    activity_of(&listing, reading, &mut count, &mut substrate)?;
    substrate.derived.retain(|name| substrate.matrices.contains_key(name));
    for (name, file, values) in ids {
        refuse_repeats(&file, &values)?;
        substrate.ids.insert(name, values);
    }
    substrate.name = match (card.name, listing.field()?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => folder_name(path),
    };
    Ok(substrate)
}

/// Event times, and the STTC that goes with them.
fn activity_of(
    listing: &Listing,
    reading: &Reading,
    count: &mut Count,
    substrate: &mut Substrate,
) -> Result<()> {
    let released =
        substrate.matrices.contains_key(Substrate::STTC) && !substrate.derived.contains(Substrate::STTC);
    let recompute = reading.sttc == Sttc::HalfFrame && !substrate.derived.contains(Substrate::STTC);
    let events = if recompute || reading.events { events(listing, count)? } else { None };
    match (&events, substrate.frame_hz) {
        (Some(events), Some(frame_hz)) if recompute => half_frame_sttc(substrate, events, frame_hz)?,
        _ if released => {
            let why = match (recompute, &events) {
                (true, None) => ", since the folder has no event times to recompute it from",
                (true, Some(_)) => ", since the folder does not say how many frames a second there are",
                (false, _) => "",
            };
            let frame = substrate.frame_hz.map_or_else(String::new, |hz| format!(" of {:.1} ms", 1e3 / hz));
            note_on_sttc(
                substrate,
                format!(
                    "the released matrix{why}; its tiles of ±100 ms are longer than a frame{frame}, which \
                     biases it negative"
                ),
            );
        }
        _ => {}
    }
    if reading.events {
        substrate.events = events;
    }
    Ok(())
}

/// Gives the field the STTC of a window of half a frame.
///
/// # Errors
/// If the times do not ascend.
pub fn half_frame_sttc(substrate: &mut Substrate, events: &[Vec<f64>], frame_hz: f64) -> Result<()> {
    let window = 0.5 / frame_hz;
    let sttc = activity::sttc(events, window, activity::recorded_until(events), 1)?;
    substrate.matrices.insert(Substrate::STTC.into(), sttc);
    substrate.derived.insert(Substrate::STTC.into());
    let window = window * 1e3;
    let note = format!("recomputed from event times with a window of half a frame, {window:.1} ms");
    note_on_sttc(substrate, note);
    Ok(())
}

/// Says how the STTC was made, and no longer what was said of another.
fn note_on_sttc(substrate: &mut Substrate, note: String) {
    substrate.notes.retain(|note| !note.starts_with("sttc: "));
    substrate.notes.push(format!("sttc: {note}"));
}

fn events(listing: &Listing, count: &mut Count) -> Result<Option<Vec<Vec<f64>>>> {
    let (file, events) = if let Some(file) = listing.one("spikes", "npy")? {
        let one_each = |shape: &[usize]| count.check(&file, shape.first().copied().unwrap_or(0));
        let events = npy::read_lists(&file, &one_each)?;
        (file, events)
    } else if let (Some(times), Some(offsets)) =
        (listing.one("event_times", "npy")?, listing.one("event_offsets", "npy")?)
    {
        let unfit = || {
            Error::input(format!("{} does not fit {}", offsets.display(), times.display()))
                .help("offsets must ascend from 0 to the number of times, one more than there are neurons")
        };
        let ends = npy::read_ids(&offsets, &|shape| match count.neurons() {
            known if known > 0 && shape[0] != known + 1 => Err(unfit()),
            _ => Ok(()),
        })?;
        let wanted = ends.last().and_then(|end| usize::try_from(*end).ok());
        let all = npy::read_list(&times, &|shape| {
            if shape.first() == wanted.as_ref() { Ok(()) } else { Err(unfit()) }
        })?;
        let events = split(&all, &ends).ok_or_else(unfit)?;
        (times, events)
    } else {
        return Ok(None);
    };
    count.agree(&file, events.len())?;
    activity::check_events(&events).map_err(|e| e.context(format!("reading {}", file.display())))?;
    Ok(Some(events))
}

fn split(times: &[f64], offsets: &[i64]) -> Option<Vec<Vec<f64>>> {
    let offsets: Vec<usize> = offsets.iter().map(|&o| usize::try_from(o).ok()).collect::<Option<_>>()?;
    if offsets.first() != Some(&0) || offsets.last() != Some(&times.len()) {
        return None;
    }
    offsets.windows(2).map(|pair| Some(times.get(pair[0]..pair[1])?.to_vec())).collect()
}

/// The files of a folder, sorted by name.
struct Listing {
    folder: PathBuf,
    names: Vec<String>,
}

impl Listing {
    fn of(folder: &Path) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::input(format!("{} {what}", folder.display())).help(
                "set substrate.path to the folder of a field; a relative path is taken from the working folder",
            ))
        };
        if !folder.exists() {
            return wrong("does not exist");
        }
        if !folder.is_dir() {
            return wrong("is not a folder");
        }
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io(folder, &e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(Listing { folder: folder.into(), names })
    }

    /// The file `<prefix>_<field>.<extension>`, or `<prefix>.<extension>`.
    fn one(&self, prefix: &str, extension: &str) -> Result<Option<PathBuf>> {
        let found: Vec<&String> =
            self.names.iter().filter(|name| suffix(name, prefix, extension).is_some()).collect();
        match found.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(self.folder.join(name))),
            several => {
                let several: Vec<_> = several.iter().map(|name| name.as_str()).collect();
                let folder = self.folder.display();
                Err(Error::input(format!("{folder} has several candidates: {}", several.join(", ")))
                    .help("keep one field in a folder"))
            }
        }
    }

    fn ids(&self) -> Vec<(String, PathBuf)> {
        let id = |name: &String| {
            let (kind, _) = name.strip_suffix(".npy")?.split_once("_ids")?;
            Some((kind.to_owned(), self.folder.join(name)))
        };
        self.names.iter().filter_map(id).collect()
    }

    fn matrices(&self) -> Vec<(String, PathBuf)> {
        let matrix = |name: &String| {
            let known = MATRICES.iter().find(|(file, _)| file == name).map(|(_, name)| *name);
            let name_of = known.or_else(|| name.strip_prefix("matrix_")?.strip_suffix(".npy"))?;
            Some((name_of.to_owned(), self.folder.join(name)))
        };
        self.names.iter().filter_map(matrix).collect()
    }

    /// The field's name in the names of its files.
    fn field(&self) -> Result<Option<String>> {
        let kinds = [("positions", "npy"), ("connectome", "csv"), ("spikes", "npy"), ("event_times", "npy")];
        let mut fields: BTreeMap<String, &str> = BTreeMap::new();
        for name in &self.names {
            let named = kinds
                .iter()
                .find_map(|(prefix, extension)| suffix(name, prefix, extension))
                .or_else(|| name.strip_suffix(".npy")?.split_once("_ids").map(|(_, field)| field));
            if let Some(field) = named.map(|field| field.trim_start_matches('_')).filter(|f| !f.is_empty()) {
                fields.entry(field.to_owned()).or_insert(name);
            }
        }
        let mut files = fields.values();
        if let (Some(first), Some(second)) = (files.next(), files.next()) {
            let folder = self.folder.display();
            return Err(Error::input(format!("{folder} mixes fields: {first} and {second}"))
                .help("keep one field in a folder"));
        }
        Ok(fields.into_keys().next())
    }
}

/// What stands between prefix and extension, with its underscore.
fn suffix<'a>(name: &'a str, prefix: &str, extension: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?.strip_suffix(extension)?.strip_suffix('.')?;
    (rest.is_empty() || rest.starts_with('_')).then_some(rest)
}

/// The folder's own name.
pub fn folder_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    whole.file_name().map_or_else(|| "field".into(), |name| name.to_string_lossy().into_owned())
}

/// Number of neurons, and the file that it was first learnt from.
#[derive(Default)]
pub struct Count(Option<(usize, PathBuf)>);

impl Count {
    /// Takes the number of neurons that `file` is for.
    ///
    /// # Errors
    /// As [`Count::check`].
    pub fn agree(&mut self, file: &Path, neurons: usize) -> Result<()> {
        self.check(file, neurons)?;
        self.0.get_or_insert_with(|| (neurons, file.into()));
        Ok(())
    }

    /// Whether `file` may be for so many neurons.
    ///
    /// # Errors
    /// If it is none, or another number than that of a file before.
    pub fn check(&self, file: &Path, neurons: usize) -> Result<()> {
        match &self.0 {
            _ if neurons == 0 => {
                Err(Error::input(format!("{} has no neurons", file.display())).help("is the file complete?"))
            }
            Some((known, first)) if *known != neurons => Err(Error::input(format!(
                "{} is for {neurons} neurons, but {} for {known}",
                file.display(),
                first.display()
            ))
            .help("all files of a folder must be of one field")),
            _ => Ok(()),
        }
    }

    /// The number of neurons; 0 as long as it is not known.
    pub fn neurons(&self) -> usize {
        self.0.as_ref().map_or(0, |(neurons, _)| *neurons)
    }
}

fn card_text(listing: &Listing) -> Result<Option<String>> {
    let path = listing.folder.join(CARD);
    if !listing.names.iter().any(|name| name == CARD) {
        return Ok(None);
    }
    let (file, length) = npy::open(&path)?;
    if length > LONGEST_CARD {
        return Err(Error::input(format!("{} is {length} bytes long", path.display()))
            .help("it is a page of text that says what the files beside it hold"));
    }
    std::io::read_to_string(file).map(Some).map_err(|e| Error::io(&path, &e))
}

fn card(listing: &Listing, text: Option<&str>) -> Result<Card> {
    let path = listing.folder.join(CARD);
    let Some(text) = text else { return Ok(Card::default()) };
    let card: Card = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        Error::input(format!("{}, line {line}: {}", path.display(), e.message())).help(
            "the names in use: version, name, position_unit_um, connectome_order, frame_hz, derived, notes",
        )
    })?;
    if card.version.is_some_and(|version| version > VERSION) {
        let version = card.version.unwrap_or_default();
        return Err(Error::input(format!("{} is of version {version}", path.display()))
            .help(format!("this Pallium reads versions up to {VERSION}; use a newer one")));
    }
    if let Some(hz) = card.frame_hz.filter(|hz| !(hz.is_finite() && *hz > 0.0)) {
        return Err(Error::input(format!("{}: frame_hz is {hz}", path.display()))
            .help("it must be a positive number: frames a second"));
    }
    if let Some(unit) = card.position_unit_um
        && unit.iter().any(|&u| !(u.is_finite() && u > 0.0))
    {
        return Err(Error::input(format!("{}: position_unit_um is {unit:?}", path.display()))
            .help("it must be three positive numbers: micrometres per unit along each axis"));
    }
    Ok(card)
}

fn positions(file: &Path, rows: &[Vec<f64>]) -> Result<Array2<f64>> {
    let mut values = Array2::zeros((rows.len(), 3));
    for (i, row) in rows.iter().enumerate() {
        let &[x, y, z] = row.as_slice() else {
            let found = row.len();
            return Err(Error::input(format!("{}: neuron {i} has {found} coordinates", file.display()))
                .help("three are expected"));
        };
        if let Some(value) = row.iter().find(|v| !v.is_finite()) {
            return Err(Error::input(format!("{}: neuron {i} has coordinate {value}", file.display()))
                .help("leave the neuron out of all files of the field"));
        }
        values.slice_mut(s![i, ..]).assign(&pallium_core::ndarray::arr1(&[x, y, z]));
    }
    Ok(values)
}

/// Refuses a matrix that is not its own transpose.
fn symmetric(file: &Path, matrix: &Array2<f64>) -> Result<()> {
    for ((i, j), &value) in matrix.indexed_iter() {
        let other = matrix[[j, i]];
        if (value - other).abs() > 1e-6 {
            return Err(Error::input(format!(
                "{}: {value} at row {i}, column {j}, but {other} at row {j}, column {i}",
                file.display()
            ))
            .help("a correlation of two neurons has no direction: the matrix must be symmetric"));
        }
    }
    Ok(())
}

fn from_lower_triangle(file: &Path, mut matrix: Array2<f64>) -> Result<Array2<f64>> {
    for i in 0..matrix.nrows() {
        for j in i + 1..matrix.ncols() {
            let (upper, lower) = (matrix[[i, j]], matrix[[j, i]]);
            if upper != 0.0 && (upper - lower).abs() > 1e-6 {
                return Err(Error::input(format!(
                    "{}: {upper} at row {i}, column {j}, but {lower} at row {j}, column {i}",
                    file.display()
                ))
                .help("the matrix must be symmetric, or zero above the diagonal"));
            }
            matrix[[i, j]] = lower;
        }
    }
    Ok(matrix)
}

/// Puts rows and columns into the order of the neurons.
fn restored(wiring: &Array2<f64>, (_, file, root): &(String, PathBuf, Vec<i64>)) -> Result<Array2<f64>> {
    let order = set_order(root).map_err(|e| repeated(file, e))?;
    let mut restored = Array2::zeros(wiring.dim());
    for (k, &i) in order.iter().enumerate() {
        for (l, &j) in order.iter().enumerate() {
            restored[[i, j]] = wiring[[k, l]];
        }
    }
    Ok(restored)
}

/// Refuses ids that are not each neuron's own.
///
/// # Errors
/// As said; the message names the id.
pub fn refuse_repeats(file: &Path, ids: &[i64]) -> Result<()> {
    set_order(ids).map(|_| ()).map_err(|e| repeated(file, e))
}

fn repeated(file: &Path, error: Error) -> Error {
    Error::input(format!("{}: {}", file.display(), error.message))
        .help("every neuron needs an id of its own: leave one of the two out of all files of the field")
}

#[cfg(test)]
mod tests {
    use ndarray_npy::WriteNpyExt;
    use pallium_core::{Kind, ndarray::array};

    use super::*;
    use pallium_testing::Folder;

    const READING: Reading =
        Reading { order: ConnectomeOrder::Released, sttc: Sttc::HalfFrame, frame_hz: None, events: false };

    fn write<T: WriteNpyExt>(folder: &Folder, name: &str, array: T) {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        folder.file(name, &bytes);
    }

    /// A field of three neurons.
    fn small() -> Folder {
        let folder = Folder::new();
        write(&folder, "positions_a.npy", array![[1_i64, 2, 3], [4, 5, 6], [7, 8, 9]]);
        write(&folder, "corr_matrix.npy", array![[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1.0]]);
        write(&folder, "sttc_matrix.npy", array![[1.0, 0.0, 0.0], [0.4, 1.0, 0.0], [0.5, 0.6, 1.0]]);
        write(&folder, "root_ids_a.npy", array![3_i64, 8, 1]);
        folder.file("connectome_a.csv", b",0,1,2\n0,0,1,2\n1,3,0,4\n2,5,6,0\n");
        folder
    }

    fn refused(folder: &Folder, reading: &Reading, said: &[&str]) {
        let error = read(folder.path(), reading).unwrap_err();
        assert_eq!(error.kind, Kind::Input, "{error}");
        assert!(error.help.is_some(), "{error}");
        for said in said {
            assert!(error.message.contains(said), "`{error}` does not say `{said}`");
        }
    }

    #[test]
    fn reads_a_small_field() {
        let field = read(small().path(), &Reading { order: ConnectomeOrder::Restored, ..READING }).unwrap();
        assert_eq!((field.name.as_str(), field.neurons), ("a", 3));
        let positions = field.positions.unwrap();
        assert_eq!(positions.unit_um, [0.004, 0.004, 0.040]);
        assert_eq!(positions.values, array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
        assert_eq!(field.matrices["sttc"], array![[1.0, 0.4, 0.5], [0.4, 1.0, 0.6], [0.5, 0.6, 1.0]]);
        // list({3, 8, 1}) is [8, 1, 3] in CPython: the rows of the file are of
        // neurons 1, 2 and 0.
        let wiring = &field.matrices["connectome"];
        assert_eq!(wiring, array![[0.0, 5.0, 6.0], [2.0, 0.0, 1.0], [4.0, 3.0, 0.0]]);
        assert_eq!(field.ids["root"], [3, 8, 1]);
        assert!(!field.matrices.contains_key("precision"));
    }

    #[test]
    fn little_is_enough() {
        let folder = Folder::new();
        write(&folder, "corr_matrix.npy", array![[1.0]]);
        let field = read(folder.path(), &READING).unwrap();
        assert_eq!(field.neurons, 1);
        assert_eq!(field.name, folder.path().file_name().unwrap().to_str().unwrap());
        refused(&Folder::new(), &READING, &["neither positions nor matrices"]);
    }

    #[test]
    fn contradictions_are_named() {
        let folder = small();
        write(&folder, "corr_matrix.npy", array![[1.0, 0.1], [0.1, 1.0]]);
        refused(&folder, &READING, &["corr_matrix.npy is for 2 neurons", "positions_a.npy for 3"]);
        let folder = small();
        write(&folder, "corr_matrix.npy", array![[1.0, 0.1, 0.2], [0.1, 1.0, 0.2]]);
        refused(&folder, &READING, &["corr_matrix.npy: 2×3 is not square"]);
        write(&folder, "corr_matrix.npy", array![[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.4, 1.0]]);
        refused(&folder, &READING, &["corr_matrix.npy: 0.3 at row 1, column 2, but 0.4"]);
        let folder = small();
        write(&folder, "root_ids_a.npy", array![1_i64, 2, 1]);
        for order in [ConnectomeOrder::Restored, ConnectomeOrder::Released] {
            let reading = Reading { order, ..READING };
            refused(&folder, &reading, &["root_ids_a.npy", "id 1 occurs twice, for neurons 0 and 2"]);
        }
        let folder = small();
        write(&folder, "unit_ids_a.npy", array![1_i64, 2]);
        refused(&folder, &READING, &["unit_ids_a.npy is for 2 neurons"]);
        let folder = small();
        write(&folder, "unit_ids_b.npy", array![1_i64, 2, 3]);
        refused(&folder, &READING, &["mixes fields", "connectome_a.csv", "unit_ids_b.npy"]);
        let folder = small();
        write(&folder, "positions_b.npy", array![[1.0, 2.0, 3.0]]);
        refused(&folder, &READING, &["several candidates: positions_a.npy, positions_b.npy"]);
        let folder = small();
        write(&folder, "sttc_matrix.npy", array![[1.0, 0.1, 0.0], [0.4, 1.0, 0.0], [0.5, 0.6, 1.0]]);
        refused(&folder, &READING, &["sttc_matrix.npy: 0.1 at row 0, column 1, but 0.4"]);
        let folder = small();
        std::fs::remove_file(folder.path().join("root_ids_a.npy")).unwrap();
        let reading = Reading { order: ConnectomeOrder::Restored, ..READING };
        refused(&folder, &reading, &["connectome_a.csv can only be put in order by root ids"]);
        assert!(read(folder.path(), &READING).is_ok());
    }

    #[test]
    fn bad_positions_and_events_are_named() {
        let folder = small();
        write(&folder, "positions_a.npy", array![[1.0, 2.0], [4.0, 5.0], [7.0, 8.0]]);
        refused(&folder, &READING, &["positions_a.npy: neuron 0 has 2 coordinates"]);
        write(&folder, "positions_a.npy", array![[1.0, 2.0, 3.0], [4.0, f64::NAN, 6.0], [7.0, 8.0, 9.0]]);
        refused(&folder, &READING, &["positions_a.npy: neuron 1 has coordinate NaN"]);
        write(&folder, "positions_a.npy", array![1.0, 2.0]);
        refused(&folder, &READING, &["positions_a.npy has the shape (2,)"]);
        let folder = small();
        write(&folder, "spikes_a.npy", array![[1.0, 2.0], [2.0, 1.0], [0.0, 0.0]]);
        let error = read(folder.path(), &READING).unwrap_err();
        assert!(error.to_string().contains("event 1 of neuron 1"), "{error}");
        let folder = small();
        write(&folder, "event_times_a.npy", array![1.0, 2.0, 3.0]);
        write(&folder, "event_offsets_a.npy", array![0_i64, 2, 1, 3]);
        refused(&folder, &READING, &["event_offsets_a.npy does not fit"]);
        write(&folder, "event_offsets_a.npy", array![0_i64, 2, 2, 3]);
        let field = read(folder.path(), &Reading { events: true, ..READING }).unwrap();
        assert_eq!(field.events.unwrap(), [vec![1.0, 2.0], vec![], vec![3.0]]);
        // A pickle that would run a program.
        let folder = small();
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes
            .extend(format!("{:<117}\n", "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }").bytes());
        bytes.extend(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.");
        folder.file("positions_a.npy", &bytes);
        refused(&folder, &READING, &["positions_a.npy: the pickle names `posix.system`"]);
    }

    #[test]
    fn bad_connectomes_are_named() {
        let folder = small();
        for (text, said) in [
            ("", "it is empty"),
            ("x\n", "no header"),
            (",0,1,2\n0,0,1,2\n1,3,0\n2,5,6,0\n", "line 3 has 3 cells, the header 4"),
            (",0,1,2\n0,0,1,2\n1,3,0,4\n", "2 rows, but the header names 3 columns"),
            (",0,1,2\n0,0,1,2\n1,3,zero,4\n2,5,6,0\n", "line 3, cell 3: `zero` is not a synapse count"),
            (",0,1,2\n0,0,1,2\n1,3,nan,4\n2,5,6,0\n", "`nan`"),
            (",0,1,2\n0,0,1,2\n1,3,-1,4\n2,5,6,0\n", "`-1`"),
            (",0,1,2\n0,0,1,2\n2,3,0,4\n1,5,6,0\n", "line 3 is of `2`, but column 3 is of `1`"),
            (",0,1\n0,0,1\n1,3,0\n", "connectome_a.csv is for 2 neurons, but"),
        ] {
            folder.file("connectome_a.csv", text.as_bytes());
            refused(&folder, &READING, &["connectome_a.csv", said]);
        }
        folder.file("connectome_a.csv", b",0,1,2\r\n0,0, 1.0,2\r\n1,3,0,11\r\n2,5,6,0\r\n");
        assert_eq!(read(folder.path(), &READING).unwrap().matrices["connectome"][[1, 2]], 11.0);
    }

    #[test]
    fn a_released_sttc_is_recomputed_from_events_and_a_derived_one_kept() {
        let folder = small();
        write(&folder, "spikes_a.npy", array![[1.0, 2.0], [1.0, 3.0], [2.0, 3.0]]);
        let with_events = Reading { events: true, ..READING };
        let released = Reading { sttc: Sttc::Released, ..with_events };
        let field = read(folder.path(), &released).unwrap();
        assert!(field.derived.is_empty() && field.matrices["sttc"][[0, 1]] == 0.4);
        // A field that is stored again is still a released one.
        let place = Folder::new();
        let again = place.path().join("again");
        crate::store::write(&field, &again).unwrap();
        let stored = read(&again, &released).unwrap();
        assert_eq!((&stored.matrices, &stored.derived), (&field.matrices, &field.derived));
        let half = read(&again, &with_events).unwrap();
        assert_eq!(half.matrices["sttc"], read(folder.path(), &with_events).unwrap().matrices["sttc"]);
        assert_ne!(half.matrices["sttc"], field.matrices["sttc"]);
        assert!(half.derived.contains("sttc"));
        let notes: Vec<_> = half.notes.iter().filter(|note| note.starts_with("sttc: ")).collect();
        assert!(notes.len() == 1 && notes[0].contains("recomputed"), "{notes:?}");
        // What was computed stays, whatever is asked for.
        let kept = place.path().join("kept");
        crate::store::write(&half, &kept).unwrap();
        for reading in [&released, &with_events, &Reading { frame_hz: Some(1.0), ..with_events }] {
            assert_eq!(read(&kept, reading).unwrap().matrices["sttc"], half.matrices["sttc"]);
        }
    }

    #[test]
    fn a_card_is_heeded() {
        let folder = small();
        folder.file(
            "field.toml",
            b"name = \"A b\"\nposition_unit_um = [1, 1, 2.5]\nconnectome_order = \"neurons\"\n",
        );
        let field = read(folder.path(), &Reading { order: ConnectomeOrder::Restored, ..READING }).unwrap();
        assert_eq!(field.name, "A b");
        assert_eq!(field.positions.unwrap().unit_um, [1.0, 1.0, 2.5]);
        assert_eq!(field.matrices["connectome"][[0, 1]], 1.0);
        folder.file("field.toml", b"name = \"A\"\nunit = 3\n");
        refused(&folder, &READING, &["field.toml, line 2", "unit"]);
        folder.file("field.toml", b"position_unit_um = [1, 1, 0]\n");
        refused(&folder, &READING, &["position_unit_um"]);
        folder.file("field.toml", b"frame_hz = 0\n");
        refused(&folder, &READING, &["frame_hz is 0"]);
        folder.file("field.toml", b"version = 1\nsttc = \"final\"\n");
        assert!(read(folder.path(), &READING).unwrap().derived.contains("sttc"));
        folder.file("field.toml", b"version = 99\n");
        refused(&folder, &READING, &["version 99"]);
    }
}
