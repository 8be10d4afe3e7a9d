//! `nwb.field`: reads one imaged field of a two-photon recording.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pallium_core::{
    ndarray::Array2,
    prelude::*,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    tracing,
};

use crate::hdf5::{self, Node};
use crate::rois::{self, Incomplete, Rois};
use crate::scan::{Plane, session_and_scan};
use crate::traces::{Clock, Traces};
use crate::{events, masks};

pallium_core::choice! {
    /// Source of positions.
    pub enum Place {
        /// The columns `pt_x_position`, `pt_y_position` and `pt_z_position`:
        /// the soma in the electron microscopy volume.
        Structure = "structure",
        /// The centres of the ROIs' masks in the imaged plane.
        Imaging = "imaging",
        /// No positions.
        None = "none",
    }
}

pallium_core::choice! {
    /// Source of event times.
    pub enum Events {
        /// No event times.
        None = "none",
        /// A column `spike_times` or `event_times` of the table of ROIs, or of
        /// the table of units if that has the same number of rows.
        Recorded = "recorded",
        /// Steep rises of the traces.
        Detected = "detected",
    }
}

/// A field by number or by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "pallium_core::serde", untagged)]
#[schemars(crate = "pallium_core::schemars")]
pub enum FieldName {
    /// Its number.
    Number(u32),
    /// Its number as text, or the name of its table.
    Text(String),
}

pallium_core::params! {
    /// The field, and what to read.
    pub struct Params {
        /// The file, such as `data/sub-17797_ses-4-scan-10_behavior+image+ophys.nwb`.
        path: String = String::new(),
        /// The field of the scan: its number, or the name of its table, such as
        /// `PlaneSegmentation2`. Empty if there is only one.
        field: FieldName = FieldName::Text(String::new()),
        /// ROIs that become neurons.
        rois: Rois = Rois::Matched,
        /// Source of positions.
        positions: Place = Place::Structure,
        /// What happens to ROIs that lack data in use: they have no trace, gaps in it,
        /// or an empty mask.
        incomplete: Incomplete = Incomplete::LeaveOut,
        /// Voxel size of the electron microscopy volume along each axis (µm).
        voxel_um: [f64; 3] = [0.004, 0.004, 0.040],
        /// Width and height of a pixel (µm) for `positions = "imaging"`; 0 means
        /// those of the imaging plane in the file.
        pixel_um: [f64; 2] = [0.0, 0.0],
        /// Traces: the name of the series or of its container, such as
        /// `Fluorescence`. Empty if there is only one series.
        series: String = String::new(),
        /// Whether to compute the Pearson correlation of the traces, frame by
        /// frame.
        correlation: bool = true,
        /// Source of event times.
        events: Events = Events::None,
        /// For `events = "detected"`: minimum rise from one frame to the next,
        /// in standard deviations of the noise.
        threshold: f64 = 3.0,
        /// Start and end of the recording (s), if the file has no traces to take them from.
        recording_s: Option<[f64; 2]> = None,
    }
}

/// One imaged field of a two-photon recording in the layout of DANDI 000402
/// (NWB 2): positions of its neurons, the correlation of their traces, and
/// event times.
///
/// Numbers of the ROIs become the ids `roi`. Segmentation ids become the ids
/// `root` if `pt_root_id` is stored as integers; the released files store rounded
/// floats, which are not used.
pub struct Field {
    params: Params,
    threads: usize,
}

impl Component for Field {
    const ID: &'static str = "nwb.field";
    const ABOUT: &'static str = "a field of a two-photon recording in an NWB file: positions and activity";
    const CITE: &'static str = "Rübel et al. 2022 (NWB); MICrONS Consortium 2025, DANDI 000402";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("threshold", params.threshold, 0.0, 1e6)?;
        for side in params.voxel_um {
            one_of_range("voxel_um", side, 1e-9, 1e6)?;
        }
        for side in params.pixel_um {
            one_of_range("pixel_um", side, 0.0, 1e6)?;
        }
        if let Some([begin, end]) = params.recording_s
            && !(begin.is_finite() && end.is_finite() && begin < end)
        {
            return Err(Error::input(format!("parameter `recording_s` is [{begin}, {end}]"))
                .help("it must be the start and end of the recording in seconds"));
        }
        Ok(Field { params, threads: setting.threads.max(1) })
    }
}

impl SubstrateSource for Field {
    fn substrate(&mut self, _seed: u64) -> Result<Substrate> {
        let params = &self.params;
        if params.path.is_empty() {
            return Err(Error::input("`nwb.field`: parameter `path` is not set")
                .help("set substrate.path to an .nwb file; `synthetic.field` needs no data"));
        }
        let root = hdf5::open(&PathBuf::from(&params.path))?;
        let wanted = match &params.field {
            FieldName::Number(number) => number.to_string(),
            FieldName::Text(text) => text.trim().to_owned(),
        };
        let plane = Plane::choose(&root, &wanted)?;
        let voxels = rois::structure(&plane)?;
        let mut rows = rois::chosen(&plane, params.rois, voxels.as_ref())?;

        // Only what is needed can be incomplete.
        let mut left_out: Vec<(usize, String)> = Vec::new();
        let mut centres = BTreeMap::new();
        if params.positions == Place::Imaging {
            for (&row, centre) in rows.iter().zip(masks::centres(&plane, &rows, params.pixel_um)?) {
                match centre {
                    Some(centre) => drop(centres.insert(row, centre)),
                    None => left_out.push((row, "an empty mask".into())),
                }
            }
            rows.retain(|row| centres.contains_key(row));
        }
        let detect = params.events == Events::Detected;
        let series = match params.correlation || detect {
            true => plane.series(&root, params.series.trim())?,
            // Wanted for its times only, so there may be none or several.
            false => plane.series(&root, params.series.trim()).ok().flatten(),
        };
        let mut traces = None;
        if let Some(series) = series.as_ref().filter(|_| (params.correlation || detect) && !rows.is_empty()) {
            let mut read = Traces::read(series, &plane, &rows)?;
            rows.clone_from(&read.rows);
            left_out.append(&mut read.incomplete);
            traces = Some((series.name(), read));
        }
        let without = self.left_out(&plane, &left_out)?;
        if rows.is_empty() {
            return Err(plane
                .table
                .bad(format!("has no usable ROI: {}", without.unwrap_or_default()))
                .help("set positions = \"none\", or select other ROIs with the parameter `rois`"));
        }

        let mut field = Substrate { name: name(&root, &plane), neurons: rows.len(), ..Substrate::default() };
        let file = root.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let which = match params.rois {
            Rois::Matched => ", those with a position in the electron microscopy volume",
            Rois::Soma => ", those classified as somata",
            Rois::All => "",
        };
        field.notes.push(format!(
            "source: {file}, field {}, {} of {} ROIs{which}",
            plane.label,
            rows.len(),
            plane.rows()
        ));
        field.notes.extend(without.inspect(|note| tracing::warn!("{note}")));
        field.positions = match params.positions {
            Place::None => None,
            Place::Structure => Some(rois::in_volume(&plane, voxels.as_ref(), &rows, params.voxel_um)?),
            Place::Imaging => {
                field.notes.push("positions: centres of the ROIs' masks in the imaged plane".into());
                let values = Array2::from_shape_fn((rows.len(), 3), |(i, k)| centres[&rows[i]][k]);
                Some(Positions::new(values, [1.0; 3]))
            }
        };
        rois::roi_ids(&plane, &rows, &mut field);
        rois::root_ids(&plane, &rows, &mut field)?;

        if let (Some((name, traces)), Some(series)) = (&traces, &series) {
            let frames = traces.clock.times.len();
            if frames < 2 {
                return Err(series
                    .data
                    .bad(format!("has {frames} frames"))
                    .help("set correlation = false and events = \"none\" to read the field without traces"));
            }
            field.frame_hz = traces.clock.frame_hz();
            field.recording = traces.clock.recording();
            let hz = field.frame_hz.unwrap_or_default();
            if let Some(((from, to), gaps)) = traces.clock.gap() {
                let note = format!(
                    "times: no frame was recorded in {gaps} interval(s), the longest from {from} to {to} s; events are \
                     counted as if nothing had happened then: derive matrices from the parts apart (from_s, to_s)"
                );
                tracing::warn!("{note}");
                field.notes.push(note);
            }
            if params.correlation {
                let correlation = traces.correlation(self.threads);
                field.matrices.insert(Substrate::CORRELATION.into(), correlation.into());
                field.notes.push(format!("correlation: of the traces {name}, {frames} frames at {hz:.4} Hz"));
            }
            if detect {
                field.events = Some(events::detected(traces, params.threshold));
                field.notes.push(format!(
                    "events: rises of the traces {name} by more than {} standard deviations \
                     of their noise from one frame to the next, at {hz:.4} Hz",
                    params.threshold
                ));
            }
        } else if detect {
            return Err(plane
                .table
                .bad("has no traces to detect events in")
                .help("set events = \"none\", or \"recorded\" if the file has event times"));
        } else if params.correlation {
            field.notes.push("correlation: none, because the file has no traces of this field".into());
        }
        if params.events == Events::Recorded {
            let events = events::recorded(&root, &plane, &rows)?;
            if let (None, Some(series)) = (field.recording, &series) {
                let frames = series.data.shape()?.first().copied().unwrap_or(0);
                field.recording = Clock::read(series, frames)?.recording();
            }
            self.spanned(&plane, &events, &mut field)?;
            field.events = Some(events);
        } else if let Some([begin, end]) = params.recording_s {
            field.recording = Some((begin, end));
        }
        if field.positions.is_none() && field.matrices.is_empty() && field.events.is_none() {
            return Err(plane
                .table
                .bad("yields neither positions nor activity with these parameters")
                .help("request positions, the correlation of traces, or event times"));
        }
        Ok(field)
    }
}
pallium_core::register!(SubstrateSource, Field);

impl Field {
    /// A note on the ROIs that are left out; an error if that is not allowed.
    fn left_out(&self, plane: &Plane, left_out: &[(usize, String)]) -> Result<Option<String>> {
        const SHOWN: usize = 10;
        if left_out.is_empty() {
            return Ok(None);
        }
        let named: Vec<String> = left_out
            .iter()
            .take(SHOWN)
            .map(|(row, what)| format!("ROI {} (row {row}) has {what}", plane.ids[*row]))
            .collect();
        let more = if left_out.len() > SHOWN { ", …" } else { "" };
        let named = format!("{}{more}", named.join(", "));
        match self.params.incomplete {
            Incomplete::LeaveOut => {
                Ok(Some(format!("ROIs: {} left out as incomplete: {named}", left_out.len())))
            }
            Incomplete::Refuse => Err(plane
                .table
                .bad(format!("has {} incomplete ROIs: {named}", left_out.len()))
                .help("set incomplete = \"leave-out\" to read the field without them")),
        }
    }

    /// Sets the recording of recorded events: that of the parameter, or of the
    /// traces with all events.
    fn spanned(&self, plane: &Plane, events: &[Vec<f64>], field: &mut Substrate) -> Result<()> {
        let times = || events.iter().flatten().copied();
        let (first, last) =
            (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
        if let Some([begin, end]) = self.params.recording_s {
            field.recording = Some((begin, end));
        } else if let Some((begin, end)) = field.recording {
            if first < begin || last > end {
                let outside = first > end || last < begin;
                let note = match outside {
                    true => format!(
                        "events: all are from {first} s to {last} s, outside the traces, {begin} s to {end} s: is the \
                         starting_time of the traces right? Otherwise set recording_s = [begin, end]"
                    ),
                    false => format!(
                        "events: some are before or after the traces, {begin} s to {end} s; they count as recorded"
                    ),
                };
                if outside {
                    tracing::warn!("{note}");
                }
                field.notes.push(note);
                field.recording = Some((begin.min(first), end.max(last)));
            }
        } else if first < 0.0 {
            return Err(plane
                .table
                .bad(format!("has an event at {first} s, and without traces the start is unknown"))
                .help("set the parameter recording_s = [begin, end], in seconds"));
        }
        Ok(())
    }
}

/// `<session>_<scan>_<field>` for MICrONS, otherwise file and field.
fn name(root: &Node, plane: &Plane) -> String {
    match session_and_scan(root) {
        Some((session, scan)) => format!("{session}_{scan}_{}", plane.label),
        None => {
            let stem = root.path().file_stem().unwrap_or_default().to_string_lossy();
            format!("{stem}_{}", plane.label)
        }
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::Kind;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Scan, committed, fresh, indices, numbers};

    fn field(scan: &Scan, mut params: Value) -> Result<Substrate> {
        params["path"] = scan.path.to_str().unwrap().into();
        let params = pallium_core::parse_parameters(Field::ID, &params.to_string())?;
        let setting = Setting { threads: 2, ..Setting::default() };
        let found = Field::build(params, &setting)?.substrate(0)?;
        found.check()?;
        Ok(found)
    }

    /// Selected rows and columns of a matrix with `width` columns.
    fn part(values: &[f64], rows: &[usize], columns: &[usize], width: usize) -> Vec<f64> {
        rows.iter().flat_map(|&i| columns.iter().map(move |&j| values[i * width + j])).collect()
    }

    fn near(found: impl IntoIterator<Item = f64>, expected: &[f64], allowed: f64, what: &str) {
        let found: Vec<f64> = found.into_iter().collect();
        assert_eq!(found.len(), expected.len(), "{what}");
        for (at, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() <= allowed, "{what}, {at}: {f} {e}");
        }
    }

    fn agrees(scan: &Scan) {
        let rois = scan.about["rois"].as_u64().unwrap() as usize;
        let all: Vec<usize> = (0..rois).collect();

        // As released: positions in the volume, float32 traces, timestamps.
        let about = &scan.about["2"];
        let rows = indices(&about["matched"]);
        assert!(rows.len() < rois, "some ROIs are not matched");
        let found = field(scan, json!({ "field": 2 })).unwrap();
        assert_eq!((found.name.as_str(), found.neurons), ("4_10_2", rows.len()));
        let positions = found.positions.as_ref().unwrap();
        assert_eq!(positions.unit_um, [0.004, 0.004, 0.040]);
        near(
            positions.values.view().iter().copied(),
            &part(&numbers(&about["voxels"]), &rows, &[0, 1, 2], 3),
            0.0,
            "voxels",
        );
        let correlation = found.matrix(Substrate::CORRELATION).unwrap();
        let expected = part(&numbers(&about["correlation"]), &rows, &rows, rois);
        near(correlation.iter().copied(), &expected, 1e-12, "correlation");
        assert_eq!(correlation, correlation.t());
        // Floats are not ids.
        assert_eq!(found.ids.keys().collect::<Vec<_>>(), ["roi"]);
        assert_eq!(*found.ids["roi"], rows.iter().map(|&row| row as i64 + 1).collect::<Vec<_>>());
        assert!(found.notes.iter().any(|note| note.contains("stores it as floats")), "{:?}", found.notes);
        assert!(found.events.is_none());
        assert!((found.frame_hz.unwrap() - 6.3009).abs() < 0.01, "{:?}", found.frame_hz);

        // As other software writes: integers, a rate, another order, event times.
        let about = &scan.about["3"];
        let rows = indices(&about["matched"]);
        let found = field(
            scan,
            json!({ "field": "PlaneSegmentation3", "series": "Fluorescence", "events": "recorded" }),
        )
        .unwrap();
        let expected: Vec<i64> =
            rows.iter().map(|&row| about["root"][row].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(*found.ids["root"], expected);
        let expected = part(&numbers(&about["correlation"]), &rows, &rows, rois);
        near(
            found.matrix(Substrate::CORRELATION).unwrap().iter().copied(),
            &expected,
            1e-12,
            "correlation of traces in another order",
        );
        let events: Vec<Vec<f64>> = rows.iter().map(|&row| numbers(&about["events"][row])).collect();
        assert_eq!(found.events.unwrap(), events);
        let found =
            field(scan, json!({ "field": 3, "series": "DfOverF", "rois": "all", "positions": "none" }));
        near(
            found.unwrap().matrix(Substrate::CORRELATION).unwrap().iter().copied(),
            &numbers(&about["relative"]),
            1e-12,
            "correlation of integers",
        );

        // Unmatched: somata at their positions in the plane.
        let about = &scan.about["1"];
        let rows = indices(&about["somata"]);
        let found = field(
            scan,
            json!({ "field": "1", "rois": "soma", "positions": "imaging", "events": "detected", "threshold": 6 }),
        )
        .unwrap();
        let positions = found.positions.as_ref().unwrap();
        assert_eq!(positions.unit_um, [1.0; 3]);
        near(
            positions.values.view().iter().copied(),
            &part(&numbers(&about["centres"]), &rows, &[0, 1, 2], 3),
            1e-9,
            "centres",
        );
        let times = numbers(&scan.about["times"]);
        let lit = times[times.len() / 3];
        let events = found.events.unwrap();
        assert!(events.iter().all(|events| events.contains(&lit)), "{lit} s is not in {events:?}");
        let found = field(scan, json!({ "field": "1", "rois": "all", "positions": "imaging" })).unwrap();
        assert_eq!(found.neurons, all.len());
    }

    #[test]
    fn the_committed_scan_is_read() {
        agrees(&committed());
    }

    #[test]
    fn newly_written_scans_are_read() {
        // Large enough for several chunks along both axes.
        for (seed, rois, frames) in [(2, 7, 40), (3, 40, 8_000)] {
            let Some(scan) = fresh(seed, rois, frames) else { return };
            agrees(&scan);
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let scan = committed();
        let correlation = |threads| {
            let params: Params = pallium_core::parse_parameters(
                Field::ID,
                &json!({ "path": scan.path, "field": 2 }).to_string(),
            )
            .unwrap();
            let setting = Setting { threads, ..Setting::default() };
            Field::build(params, &setting).unwrap().substrate(0).unwrap().matrices
        };
        assert_eq!(correlation(1), correlation(2));
        assert_eq!(correlation(1), correlation(5));
    }

    #[test]
    fn missing_tables_are_reported_with_a_remedy() {
        let scan = committed();
        let refused = |params: Value, part: &str, remedy: &str| {
            let error = field(&scan, params.clone()).unwrap_err();
            assert_eq!(error.kind, Kind::Input, "{params}: {error}");
            assert!(error.message.contains("three_fields.nwb"), "{params}: {error}");
            assert!(error.message.contains(part), "{params}: {error}");
            assert!(error.help.as_ref().is_some_and(|help| help.contains(remedy)), "{params}: {error}");
        };
        refused(json!({}), "has 3 fields; `field` is not set", "1, 2, 3");
        refused(json!({ "field": 9 }), "has no field `9`", "1, 2, 3");
        refused(json!({ "field": 1 }), "has no `pt_x_position`", "positions = \"imaging\"");
        refused(json!({ "field": 2, "rois": "all" }), "has no position for ROI 2", "rois = \"matched\"");
        refused(
            json!({ "field": 2, "series": "DfOverF" }),
            "has no traces `DfOverF`",
            "Fluorescence/RoiResponseSeries2",
        );
        refused(json!({ "field": 3 }), "has 2 series of traces", "DfOverF/Relative");
        refused(json!({ "field": 2, "events": "recorded" }), "has no event times", "detected");
        refused(
            json!({ "field": 2, "positions": "none", "correlation": false }),
            "neither positions nor activity",
            "request",
        );
    }

    #[test]
    fn files_that_are_not_scans_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &std::path::Path, part: &str| {
            let params = Params { path: path.to_str().unwrap().into(), ..Params::default() };
            let error = Field::build(params, &Setting::default()).unwrap().substrate(0).unwrap_err();
            assert!(error.message.contains(part) && error.help.is_some(), "{error}");
            assert_eq!(error.kind, Kind::Input, "{error}");
        };
        refused(std::path::Path::new(""), "`path` is not set");
        refused(&folder.path().join("absent.nwb"), "does not exist");
        refused(folder.path(), "not an ordinary file");
        let other = folder.path().join("other.nwb");
        std::fs::write(&other, "neither HDF5 nor anything").unwrap();
        refused(&other, "invalid HDF5 magic");
        assert!(
            Field::build(Params { threshold: f64::NAN, ..Params::default() }, &Setting::default()).is_err()
        );
        assert!(
            Field::build(Params { voxel_um: [0.0; 3], ..Params::default() }, &Setting::default()).is_err()
        );
    }

    /// Reads the file in several ways; returns how many succeed.
    fn successful_reads(path: &std::path::Path) -> usize {
        let mut read = 0;
        for (field, rois, positions, events) in [
            ("2", Rois::Matched, Place::Structure, Events::Detected),
            ("3", Rois::All, Place::None, Events::Recorded),
            ("1", Rois::Soma, Place::Imaging, Events::None),
        ] {
            let params = Params {
                path: path.to_str().unwrap().into(),
                field: FieldName::Text(field.into()),
                series: "Fluorescence".into(),
                rois,
                positions,
                events,
                ..Params::default()
            };
            let found = Field::build(params, &Setting::default()).unwrap().substrate(0);
            if let Ok(found) = found {
                found.check().unwrap();
                read += 1;
            }
        }
        read
    }

    #[test]
    fn files_found_by_fuzzing_are_refused() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/found/nwb");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            successful_reads(&path);
            for field in ["1", "2", "3"] {
                let params = Params {
                    path: path.to_str().unwrap().into(),
                    field: FieldName::Text(field.into()),
                    series: "Fluorescence".into(),
                    rois: Rois::All,
                    positions: Place::None,
                    events: Events::Detected,
                    ..Params::default()
                };
                if let Ok(found) = Field::build(params, &Setting::default()).unwrap().substrate(0) {
                    found.check().unwrap();
                }
            }
            tried += 1;
        }
        assert!(tried > 0);
    }

    #[test]
    fn a_small_file_cannot_claim_large_data() {
        let whole = std::fs::read(committed().path).unwrap();
        let shape = |frames: u64| [frames.to_le_bytes(), 6_u64.to_le_bytes()].concat();
        let places: Vec<usize> =
            (0..whole.len() - 16).filter(|&at| whole[at..at + 16] == shape(60)).collect();
        assert!(!places.is_empty(), "the shape of the traces is not in the file");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.nwb");
        for frames in [1 << 26, 1 << 40, u64::MAX] {
            let mut bytes = whole.clone();
            places.iter().for_each(|&at| bytes[at..at + 16].copy_from_slice(&shape(frames)));
            std::fs::write(&path, bytes).unwrap();
            let params = Params {
                path: path.to_str().unwrap().into(),
                field: FieldName::Number(2),
                ..Params::default()
            };
            let error = Field::build(params, &Setting::default()).unwrap().substrate(0).unwrap_err();
            assert!(error.message.contains("RoiResponseSeries2/data claims to be"), "{error}");
            assert!(error.help.is_some());
        }
    }

    #[test]
    fn a_truncated_file_is_refused_wherever_it_ends() {
        let whole = std::fs::read(committed().path).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.nwb");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let params = Params {
                path: path.to_str().unwrap().into(),
                field: FieldName::Number(2),
                ..Params::default()
            };
            Field::build(params, &Setting::default()).unwrap().substrate(0)
        };
        // The last bytes are of no data set that is read; h5py refuses these files too.
        for length in [whole.len() - 1, whole.len() - 100, whole.len() / 2, 4096] {
            let error = read(&whole[..length]).unwrap_err();
            let sizes = format!("is truncated: it has {length} of {} bytes", whole.len());
            assert!(error.message.contains(&sizes) && error.help.is_some(), "{error}");
        }
        assert!(read(&[&whole[..], b"more"].concat()).is_ok());
    }

    #[test]
    fn positions_that_are_all_nan_are_those_of_an_unmatched_field() {
        let scan = committed();
        let mut bytes = std::fs::read(&scan.path).unwrap();
        for value in numbers(&scan.about["2"]["voxels"]).into_iter().filter(|v| v.is_finite()) {
            let places: Vec<usize> =
                (0..bytes.len() - 8).filter(|&at| bytes[at..at + 8] == value.to_le_bytes()).collect();
            assert!(!places.is_empty(), "{value} is not in the file");
            places.iter().for_each(|&at| bytes[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes()));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut scan = scan;
        scan.path = folder.path().join("nan.nwb");
        std::fs::write(&scan.path, bytes).unwrap();
        for rois in ["matched", "all"] {
            let error = field(&scan, json!({ "field": 2, "rois": rois })).unwrap_err();
            assert!(error.message.contains("has only NaN in `pt_x_position`"), "{error}");
            assert!(error.help.unwrap().contains("positions = \"imaging\""), "{}", error.message);
        }
        assert!(field(&scan, json!({ "field": 2, "rois": "all", "positions": "none" })).is_ok());
    }

    #[test]
    fn damaged_files_give_errors_rather_than_panics() {
        use pallium_core::random::stream;
        use rand::Rng;

        let whole = std::fs::read(committed().path).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.nwb");
        let try_one = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            successful_reads(&path)
        };
        assert_eq!(try_one(&whole), 3);
        for part in 0..40 {
            assert!(try_one(&whole[..whole.len() * part / 40]) < 3, "a file truncated at {part}/40 is read");
        }
        let mut draw = stream(1, "damage");
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..draw.random_range(1..20) {
                let at = draw.random_range(0..bytes.len());
                bytes[at] = match draw.random_range(0..3) {
                    0 => 0xff,
                    1 => 0,
                    _ => draw.random(),
                };
            }
            try_one(&bytes);
        }
    }
}
