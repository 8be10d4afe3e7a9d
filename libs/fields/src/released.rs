//! Reads a folder in the layout of the released fields, which Pallium writes too.
//!
//! | file | content |
//! |---|---|
//! | `positions_<f>.npy` | soma positions: an object array of N arrays of 3, or N×3 |
//! | `corr_matrix.npy`, `sttc_matrix.npy`, `precision_matrix.npy` | N×N; only the lower triangle of the STTC is read |
//! | `matrix_<name>.npy` | N×N, any other matrix |
//! | `connectome_<f>.csv` | N×N synapse counts with a header row and an index column, row presynaptic |
//! | `spikes_<f>.npy` | event times in s: an object array of N arrays |
//! | `event_times_<f>.npy`, `event_offsets_<f>.npy` | the same without a pickle: all times in one list, and the start of each neuron's times (N+1) |
//! | `<name>_ids_<f>.npy` | N integers: `root`, `unit`, `target` |
//! | `field.toml` | metadata of a folder written by Pallium (see [`field_toml`](crate::field_toml)) |
//!
//! `<f>` is the field's name, the same in all files. Positions or at least one
//! matrix are required; everything else is optional.

use std::path::{Path, PathBuf};

use crate::bins::FRAME_HZ;
use crate::connectome_order::set_order;
use crate::events::{check_events, split_at_offsets};
use crate::field_toml::{FieldToml, StoredOrder};
use crate::listing::{Listing, folder_name};
use crate::timeline::{Timeline, recorded};
use crate::{connectome, sttc};
use pallium_core::{
    ndarray::{Array2, s},
    prelude::*,
    tracing,
};
use pallium_npy as npy;

/// Micrometres per voxel of MICrONS positions.
const VOXEL_UM: [f64; 3] = [0.004, 0.004, 0.040];

pallium_core::choice! {
    /// Order of the connectome's rows and columns.
    pub enum ConnectomeOrder {
        /// As released: the iteration order of a Python set of the root ids.
        Released = "released",
        /// The order of the neurons, like all other data.
        Restored = "restored",
    }
}

pallium_core::choice! {
    /// Coincidence window of the spike time tiling coefficient.
    pub enum Sttc {
        /// 100 ms, as released.
        Released = "released",
        /// Half a frame, recomputed if the folder has event times.
        HalfFrame = "half-frame",
    }
}

/// How a folder is read.
pub struct ReadOptions {
    /// Order of the connectome.
    pub order: ConnectomeOrder,
    /// Window of the STTC.
    pub sttc: Sttc,
    /// Frames per second; `None` to use the folder's value.
    pub frame_hz: Option<f64>,
    /// Whether to read event times if the folder has them.
    pub events: bool,
}

/// The order of the neurons, the STTC of half a frame, no event times.
impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { order: ConnectomeOrder::Restored, sttc: Sttc::HalfFrame, frame_hz: None, events: false }
    }
}

/// Reads a folder in the released layout; `text` is its `field.toml`, if it has
/// one.
///
/// # Errors
/// If a file is malformed, or two files contradict each other; the message
/// names the file and the place.
pub(crate) fn read_released(
    path: &Path,
    listing: &Listing,
    text: Option<&str>,
    reading: &ReadOptions,
) -> Result<Substrate> {
    let metadata = FieldToml::parse(listing, text)?;
    let mut count = NeuronCount::default();
    let mut substrate = Substrate {
        notes: metadata.notes,
        // Released folders do not state the frame rate; version 2 does.
        frame_hz: reading
            .frame_hz
            .or(metadata.frame_hz)
            .or_else(|| (metadata.version.unwrap_or(0) < 2).then_some(FRAME_HZ)),
        recording: metadata.recording,
        derived: metadata.derived,
        ..Substrate::default()
    };
    if metadata.sttc.is_some() {
        substrate.derived.insert(Substrate::STTC.into());
    }

    if let Some(file) = listing.one("positions", "npy")? {
        let rows = npy::read_lists(&file, &|shape| match *shape {
            [n, k] if k > 3 => {
                Err(Error::input(format!("{}: expected N×3 positions, found {n}×{k}", file.display()))
                    .help("one row per neuron is expected, with three coordinates"))
            }
            _ => Ok(()),
        })?;
        count.agree(&file, rows.len())?;
        let unit_um = metadata.position_unit_um.unwrap_or(VOXEL_UM);
        substrate.positions = Some(Positions::new(positions(&file, &rows)?, unit_um));
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
                    .help("one row and one column per neuron are expected"));
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
        substrate.matrices.insert(name, matrix.into());
    }
    if let Some(file) = listing.one("connectome", "csv")? {
        let wiring = connectome::read(&file)?;
        count.agree(&file, wiring.nrows())?;
        let in_order = metadata.connectome_order == Some(StoredOrder::Neurons);
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
                    Error::input(format!("{} can only be reordered with root ids", file.display())).help(
                        "add root_ids_<field>.npy; or set connectome_order = \"released\"; or, if the file \
                         is in the order of the neurons, set connectome_order = \"neurons\" in field.toml",
                    )
                })?;
                restored(&wiring, root)?
            }
        };
        substrate.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
    }

    activity_of(listing, reading, &mut count, &mut substrate)?;
    // Of event times alone, matrices can be derived.
    if substrate.positions.is_none()
        && substrate.matrices.is_empty()
        && substrate.events.is_none()
        && events(listing, &mut count, substrate.recording)?.is_none()
    {
        return Err(Error::input(format!("{} has neither positions nor matrices", path.display())).help(
            "a field's folder holds positions_<field>.npy, or corr_matrix.npy, sttc_matrix.npy or \
             precision_matrix.npy, or spikes_<field>.npy; is this its parent folder? Tables as CAVE exports them are read in an experiment, by \
             `microns.tables`, a list of connections by `field.edges`",
        ));
    }
    substrate.neurons = count.neurons();
    substrate.derived.retain(|name| substrate.matrices.contains_key(name));
    for (name, file, values) in ids {
        refuse_repeats(&file, &values)?;
        substrate.ids.insert(name, values.into());
    }
    substrate.name = match (metadata.name, listing.field()?) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => folder_name(path),
    };
    Ok(substrate)
}

/// Reads event times, and recomputes the STTC from them if requested.
fn activity_of(
    listing: &Listing,
    reading: &ReadOptions,
    count: &mut NeuronCount,
    substrate: &mut Substrate,
) -> Result<()> {
    let released =
        substrate.matrices.contains_key(Substrate::STTC) && !substrate.derived.contains(Substrate::STTC);
    let recompute = reading.sttc == Sttc::HalfFrame && !substrate.derived.contains(Substrate::STTC);
    let events =
        if recompute || reading.events { events(listing, count, substrate.recording)? } else { None };
    match (&events, substrate.frame_hz) {
        (Some(events), Some(frame_hz)) if recompute => half_frame_sttc(substrate, events, frame_hz)?,
        _ if released => {
            let why = match (recompute, &events) {
                (true, None) => ", because the folder has no event times to recompute it from",
                (true, Some(_)) => ", because the folder does not state the frame rate",
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

/// Replaces the field's STTC by one with a window of half a frame.
///
/// # Errors
/// If the times do not ascend, or an event is outside the recording.
pub fn half_frame_sttc(substrate: &mut Substrate, events: &[Vec<f64>], frame_hz: f64) -> Result<()> {
    let window = 0.5 / frame_hz;
    let (span, late) = recorded(events, substrate.recording);
    let sttc = sttc::sttc(events, window, &Timeline::new(events, span, Some(frame_hz))?, 1)?;
    substrate.matrices.insert(Substrate::STTC.into(), sttc.into());
    substrate.derived.insert(Substrate::STTC.into());
    let window = window * 1e3;
    let note = format!("recomputed from event times with a window of half a frame, {window:.1} ms");
    note_on_sttc(substrate, note);
    substrate.notes.extend(late.inspect(|late| tracing::warn!("{late}")));
    Ok(())
}

/// Replaces the note on how the STTC was made.
fn note_on_sttc(substrate: &mut Substrate, note: String) {
    substrate.notes.retain(|note| !note.starts_with("sttc: "));
    substrate.notes.push(format!("sttc: {note}"));
}

fn events(
    listing: &Listing,
    count: &mut NeuronCount,
    recording: Option<(f64, f64)>,
) -> Result<Option<Vec<Vec<f64>>>> {
    let (file, events) = if let Some(file) = listing.one("spikes", "npy")? {
        let one_per_neuron = |shape: &[usize]| count.check(&file, shape.first().copied().unwrap_or(0));
        let events = npy::read_lists(&file, &one_per_neuron)?;
        (file, events)
    } else if let (Some(times), Some(offsets)) =
        (listing.one("event_times", "npy")?, listing.one("event_offsets", "npy")?)
    {
        let unfit = || {
            Error::input(format!("{} does not fit {}", offsets.display(), times.display()))
                .help("there must be one more offset than neurons, ascending from 0 to the number of times")
        };
        let ends = npy::read_ids(&offsets, &|shape| match count.neurons() {
            known if known > 0 && shape[0] != known + 1 => Err(unfit()),
            _ => Ok(()),
        })?;
        let expected = ends.last().and_then(|end| usize::try_from(*end).ok());
        let all = npy::read_list(&times, &|shape| {
            if shape.first() == expected.as_ref() { Ok(()) } else { Err(unfit()) }
        })?;
        let events = split_at_offsets(&all, &ends).ok_or_else(unfit)?;
        (times, events)
    } else {
        return Ok(None);
    };
    count.agree(&file, events.len())?;
    check_events(&events, recording).map_err(|e| e.context(format!("reading {}", file.display())))?;
    Ok(Some(events))
}

/// Number of neurons, and the first file that determined it.
#[derive(Default)]
pub struct NeuronCount(Option<(usize, PathBuf)>);

impl NeuronCount {
    /// Records that `file` has `neurons` neurons.
    ///
    /// # Errors
    /// As [`NeuronCount::check`].
    pub fn agree(&mut self, file: &Path, neurons: usize) -> Result<()> {
        self.check(file, neurons)?;
        self.0.get_or_insert_with(|| (neurons, file.into()));
        Ok(())
    }

    /// Checks the number of neurons of `file`.
    ///
    /// # Errors
    /// If it is 0, or differs from that of earlier files.
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
            .help("all files in a folder must belong to the same field")),
            _ => Ok(()),
        }
    }

    /// The number of neurons; 0 while it is unknown.
    pub fn neurons(&self) -> usize {
        self.0.as_ref().map_or(0, |(neurons, _)| *neurons)
    }
}

fn positions(file: &Path, rows: &[Vec<f64>]) -> Result<Array2<f64>> {
    let mut values = Array2::zeros((rows.len(), 3));
    for (i, row) in rows.iter().enumerate() {
        let &[x, y, z] = row.as_slice() else {
            let found = row.len();
            return Err(Error::input(format!("{}: neuron {i} has {found} coordinates", file.display()))
                .help("every neuron needs three coordinates"));
        };
        if let Some(value) = row.iter().find(|v| !v.is_finite()) {
            return Err(Error::input(format!("{}: neuron {i} has coordinate {value}", file.display()))
                .help("remove the neuron from all files of the field"));
        }
        values.slice_mut(s![i, ..]).assign(&pallium_core::ndarray::arr1(&[x, y, z]));
    }
    Ok(values)
}

/// Refuses a matrix that is not symmetric.
fn symmetric(file: &Path, matrix: &Array2<f64>) -> Result<()> {
    for ((i, j), &value) in matrix.indexed_iter() {
        let other = matrix[[j, i]];
        if (value - other).abs() > 1e-6 {
            return Err(Error::input(format!(
                "{}: {value} at row {i}, column {j}, but {other} at row {j}, column {i}",
                file.display()
            ))
            .help("a correlation matrix must be symmetric"));
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

/// Reorders rows and columns to the order of the neurons.
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

/// Refuses ids that occur twice.
///
/// # Errors
/// If one does; the message names it.
pub fn refuse_repeats(file: &Path, ids: &[i64]) -> Result<()> {
    set_order(ids).map(|_| ()).map_err(|e| repeated(file, e))
}

fn repeated(file: &Path, error: Error) -> Error {
    Error::input(format!("{}: {}", file.display(), error.message))
        .help("every neuron needs a unique id: remove one of the two from all files of the field")
}

#[cfg(test)]
mod tests {
    use ndarray_npy::WriteNpyExt;
    use pallium_core::{Kind, ndarray::array};

    use super::*;
    use crate::folder::read;
    use pallium_testing::Folder;

    const READING: ReadOptions = ReadOptions {
        order: ConnectomeOrder::Released,
        sttc: Sttc::HalfFrame,
        frame_hz: None,
        events: false,
    };

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

    fn refused(folder: &Folder, reading: &ReadOptions, parts: &[&str]) {
        let error = read(folder.path(), reading).unwrap_err();
        assert_eq!(error.kind, Kind::Input, "{error}");
        assert!(error.help.is_some(), "{error}");
        for part in parts {
            assert!(error.message.contains(part), "`{error}` does not contain `{part}`");
        }
    }

    #[test]
    fn reads_a_small_field() {
        let field =
            read(small().path(), &ReadOptions { order: ConnectomeOrder::Restored, ..READING }).unwrap();
        assert_eq!((field.name.as_str(), field.neurons), ("a", 3));
        let positions = field.positions.unwrap();
        assert_eq!(positions.unit_um, [0.004, 0.004, 0.040]);
        assert_eq!(positions.values.view(), array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
        assert_eq!(field.matrices["sttc"].view(), array![[1.0, 0.4, 0.5], [0.4, 1.0, 0.6], [0.5, 0.6, 1.0]]);
        // list({3, 8, 1}) is [8, 1, 3] in CPython, so the rows of the file are
        // those of neurons 1, 2 and 0.
        let wiring = &field.matrices["connectome"].view();
        assert_eq!(wiring, array![[0.0, 5.0, 6.0], [2.0, 0.0, 1.0], [4.0, 3.0, 0.0]]);
        assert_eq!(*field.ids["root"], [3, 8, 1]);
        assert!(!field.matrices.contains_key("precision"));
    }

    #[test]
    fn one_matrix_is_enough() {
        let folder = Folder::new();
        write(&folder, "corr_matrix.npy", array![[1.0]]);
        let field = read(folder.path(), &READING).unwrap();
        assert_eq!(field.neurons, 1);
        assert_eq!(field.name, folder.path().file_name().unwrap().to_str().unwrap());
        refused(&Folder::new(), &READING, &["neither positions nor matrices"]);
    }

    #[test]
    fn event_times_are_enough_to_derive_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let events = Some(vec![vec![0.5, 1.0], vec![0.7]]);
        let field = Substrate { name: "e".into(), neurons: 2, events, ..Substrate::default() };
        crate::store::write(&field, &path).unwrap();
        let back = read(&path, &ReadOptions { events: true, ..READING }).unwrap();
        assert_eq!((back.neurons, back.events), (2, field.events));
        let back = read(&path, &ReadOptions { sttc: Sttc::Released, ..READING }).unwrap();
        assert_eq!((back.neurons, back.events), (2, None));
    }

    #[test]
    fn contradicting_files_are_named() {
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
            let reading = ReadOptions { order, ..READING };
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
        let reading = ReadOptions { order: ConnectomeOrder::Restored, ..READING };
        refused(&folder, &reading, &["connectome_a.csv can only be reordered with root ids"]);
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
        let field = read(folder.path(), &ReadOptions { events: true, ..READING }).unwrap();
        assert_eq!(field.events.unwrap(), [vec![1.0, 2.0], vec![], vec![3.0]]);
        // A pickle that would execute a command.
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
        for (text, part) in [
            ("", "it is empty"),
            ("x\n", "not a header"),
            (",0,1,2\n0,0,1,2\n1,3,0\n2,5,6,0\n", "line 3 has 3 cells, the header 4"),
            (",0,1,2\n0,0,1,2\n1,3,0,4\n", "2 rows, but the header names 3 columns"),
            (",0,1,2\n0,0,1,2\n1,3,zero,4\n2,5,6,0\n", "line 3, cell 3: `zero` is not a synapse count"),
            (",0,1,2\n0,0,1,2\n1,3,nan,4\n2,5,6,0\n", "`nan`"),
            (",0,1,2\n0,0,1,2\n1,3,-1,4\n2,5,6,0\n", "`-1`"),
            (",0,1,2\n0,0,1,2\n2,3,0,4\n1,5,6,0\n", "line 3 is for `2`, but column 3 is for `1`"),
            (",0,1\n0,0,1\n1,3,0\n", "connectome_a.csv is for 2 neurons, but"),
        ] {
            folder.file("connectome_a.csv", text.as_bytes());
            refused(&folder, &READING, &["connectome_a.csv", part]);
        }
        folder.file("connectome_a.csv", b",0,1,2\r\n0,0, 1.0,2\r\n1,3,0,11\r\n2,5,6,0\r\n");
        assert_eq!(read(folder.path(), &READING).unwrap().matrices["connectome"].view()[[1, 2]], 11.0);
    }

    #[test]
    fn a_released_sttc_is_recomputed_from_events_and_a_derived_one_kept() {
        let folder = small();
        write(&folder, "spikes_a.npy", array![[1.0, 2.0], [1.0, 3.0], [2.0, 3.0]]);
        let with_events = ReadOptions { events: true, ..READING };
        let released = ReadOptions { sttc: Sttc::Released, ..with_events };
        let field = read(folder.path(), &released).unwrap();
        assert!(field.derived.is_empty() && field.matrices["sttc"].view()[[0, 1]] == 0.4);
        // A released STTC that is stored again still counts as released.
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
        // A computed STTC is kept whatever the options.
        let kept = place.path().join("kept");
        crate::store::write(&half, &kept).unwrap();
        for reading in [&released, &with_events, &ReadOptions { frame_hz: Some(1.0), ..with_events }] {
            assert_eq!(read(&kept, reading).unwrap().matrices["sttc"], half.matrices["sttc"]);
        }
    }

    #[test]
    fn field_toml_is_applied() {
        let folder = small();
        folder.file(
            "field.toml",
            b"name = \"A b\"\nposition_unit_um = [1, 1, 2.5]\nconnectome_order = \"neurons\"\n",
        );
        let field =
            read(folder.path(), &ReadOptions { order: ConnectomeOrder::Restored, ..READING }).unwrap();
        assert_eq!(field.name, "A b");
        assert_eq!(field.positions.unwrap().unit_um, [1.0, 1.0, 2.5]);
        assert_eq!(field.matrices["connectome"].view()[[0, 1]], 1.0);
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
