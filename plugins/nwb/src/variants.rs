//! Tests of fields that differ from the layout of DANDI 000402 in one thing each
//! (`fixtures/variants.py`).

use std::path::{Path, PathBuf};

use pallium_core::{Kind, prelude::*};
use serde_json::{Value, json};

use crate::field::Field;
use crate::testing::{FIXTURES, about, numbers};

fn file() -> PathBuf {
    Path::new(FIXTURES).join("variants.nwb")
}

fn read_from(path: &Path, name: &str, mut params: Value) -> Result<Substrate> {
    params["path"] = path.to_str().unwrap().into();
    params["field"] = name.into();
    if params.get("rois").is_none() {
        params["rois"] = "all".into();
    }
    if params.get("positions").is_none() {
        params["positions"] = "none".into();
    }
    let params = pallium_core::parse_parameters(Field::ID, &params.to_string())?;
    let found = Field::build(params, &Setting::default())?.substrate(0)?;
    found.check()?;
    Ok(found)
}

fn read(name: &str, params: Value) -> Result<Substrate> {
    read_from(&file(), name, params)
}

#[track_caller]
fn refused(found: Result<Substrate>, part: &str, remedy: &str) {
    let error = found.unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    assert!(error.message.contains(part), "`{error}` does not contain `{part}`");
    assert!(error.help.as_ref().is_some_and(|help| help.contains(remedy)), "{:?}", error.help);
    assert!(!error.help.unwrap().contains("damaged"), "{}", error.message);
}

#[track_caller]
fn near(found: impl IntoIterator<Item = f64>, expected: &[f64], allowed: f64) {
    let found: Vec<f64> = found.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= allowed, "{at}: {f} {e}");
    }
}

/// The correlation that numpy finds for the complete ROIs of a field.
fn expected(name: &str) -> Vec<f64> {
    numbers(&about(&file().with_extension("json"))[name]["correlation"])
}

#[test]
fn masks_may_be_booleans() {
    let found = read("Bool", json!({ "positions": "imaging" })).unwrap();
    let centres = numbers(&about(&file().with_extension("json"))["Bool"]["centres"]);
    let um: Vec<f64> = centres.chunks(2).flat_map(|c| [2.0 * c[0], 3.0 * c[1], 0.0]).collect();
    near(found.positions.unwrap().values.to_array(), &um, 1e-9);
    near(found.matrices["correlation"].view().iter().copied(), &expected("Bool"), 1e-12);
}

#[test]
fn the_size_of_a_pixel_can_be_given_where_the_file_lacks_it() {
    refused(
        read("NoGrid", json!({ "positions": "imaging" })),
        "has no `grid_spacing`",
        "pixel_um = [width, height]",
    );
    let found = read("NoGrid", json!({ "positions": "imaging", "pixel_um": [2.0, 3.0] })).unwrap();
    let centres = numbers(&about(&file().with_extension("json"))["NoGrid"]["centres"]);
    let complete = centres.chunks(2).filter(|c| c[0].is_finite());
    let um: Vec<f64> = complete.flat_map(|c| [2.0 * c[0], 3.0 * c[1], 0.0]).collect();
    near(found.positions.unwrap().values.to_array(), &um, 1e-9);
    // ROI 3 has an empty mask.
    assert_eq!(*found.ids["roi"], [0, 1, 2, 4, 5]);
    assert!(found.notes.iter().any(|n| n.contains("ROI 3 (row 3) has an empty mask")), "{:?}", found.notes);
    assert_eq!(read("NoGrid", json!({})).unwrap().neurons, 6);
    refused(
        read("NoGrid", json!({ "rois": "matched", "positions": "structure" })),
        "has no `pt_x_position`",
        "rois = \"all\" and positions = \"none\"; for positions in the image, set positions = \"imaging\"",
    );
    refused(
        read("Bool", json!({ "rois": "matched", "positions": "structure" })),
        "has no `pt_x_position`",
        "rois = \"all\" and positions = \"imaging\"",
    );
}

#[test]
fn rois_without_a_complete_trace_are_left_out_by_name() {
    for (name, kept, notes) in [
        (
            "Nan",
            vec![0, 1, 3, 5],
            vec!["ROI 2 (row 2) has NaN in 3 frames from frame 10", "ROI 4 (row 4) has NaN in 120"],
        ),
        ("Partial", vec![0, 1, 4], vec!["ROI 2 (row 2) has no trace", "ROI 5 (row 5) has no trace"]),
    ] {
        let found = read(name, json!({ "events": "detected" })).unwrap();
        assert_eq!((found.neurons, &*found.ids["roi"]), (kept.len(), &kept[..]), "{name}");
        near(found.matrices["correlation"].view().iter().copied(), &expected(name), 1e-12);
        assert!(found.events.unwrap().iter().all(|events| events.contains(&4.0)), "{name}");
        for note in notes {
            assert!(found.notes.iter().any(|n| n.contains(note)), "{:?}", found.notes);
        }
        let strict = read(name, json!({ "incomplete": "refuse" }));
        refused(strict, "incomplete ROIs: ROI 2 (row 2) has", "incomplete = \"leave-out\"");
    }
}

#[test]
fn a_recording_may_begin_before_zero() {
    let found = read("Negative", json!({ "events": "detected" })).unwrap();
    assert_eq!((found.recording, found.frame_hz), (Some((-5.0, 7.0)), Some(10.0)));
    assert!(found.events.as_ref().unwrap().iter().all(|events| events.contains(&-1.0)));
    let folder = tempfile::tempdir().unwrap();
    pallium_fields::store::write(&found, &folder.path().join("stored")).unwrap();
    let reading = pallium_fields::folder::ReadOptions { events: true, ..Default::default() };
    let stored = pallium_fields::folder::read(&folder.path().join("stored"), &reading).unwrap();
    assert_eq!((stored.recording, stored.events), (found.recording, found.events));
}

#[test]
fn acquired_traces_are_found_and_tell_the_recording() {
    let found = read("Acquired", json!({ "series": "RoiResponseSeriesAcquired" })).unwrap();
    near(found.matrices["correlation"].view().iter().copied(), &expected("Acquired"), 1e-12);
    let (begin, end) = found.recording.unwrap();
    assert!(begin == 7.5 && (end - 19.5).abs() < 1e-9, "{begin} {end}");
}

#[test]
fn repeated_numbers_of_rois_are_not_ids() {
    let found = read("Repeated", json!({})).unwrap();
    assert_eq!(found.ids.keys().collect::<Vec<_>>(), ["row"]);
    assert_eq!(*found.ids["row"], [0, 1, 2, 3, 4, 5]);
    assert!(found.notes.iter().any(|n| n.contains("several ROIs have the number 2")), "{:?}", found.notes);
}

#[test]
fn a_filter_that_is_not_supported_is_named() {
    refused(read("Zstd", json!({})), "Zstandard (HDF5's filter id 32015)", "gzip");
}

#[test]
fn links_lead_to_files_beside_the_recording_and_nowhere_else() {
    near(
        read("Linked", json!({})).unwrap().matrices["correlation"].to_array().iter().copied(),
        &expected("Linked"),
        1e-12,
    );
    refused(
        read("Broken", json!({})),
        "a link to another file: `absent.h5` does not exist",
        "beside this one",
    );
    refused(read("Outside", json!({})), "`../linked.h5` is outside the folder", "beside this one");
    // The file exists where the second link points, and a symbolic link leads there.
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let (copy, linked) = (inner.join("variants.nwb"), Path::new(FIXTURES).join("linked.h5"));
    std::fs::copy(file(), &copy).unwrap();
    std::fs::copy(&linked, folder.path().join("linked.h5")).unwrap();
    refused(
        read_from(&copy, "Outside", json!({})),
        "`../linked.h5` is outside the folder",
        "beside this one",
    );
    refused(read_from(&copy, "Linked", json!({})), "`linked.h5` does not exist", "beside this one");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("linked.h5"), inner.join("linked.h5")).unwrap();
        refused(
            read_from(&copy, "Linked", json!({})),
            "`linked.h5` is outside the folder",
            "beside this one",
        );
        std::fs::remove_file(inner.join("linked.h5")).unwrap();
    }
    std::fs::write(inner.join("linked.h5"), "not HDF5").unwrap();
    refused(
        read_from(&copy, "Linked", json!({})),
        "`linked.h5`: invalid HDF5 magic bytes",
        "beside this one",
    );
    let whole = std::fs::read(&linked).unwrap();
    std::fs::write(inner.join("linked.h5"), &whole[..whole.len() - 1]).unwrap();
    refused(
        read_from(&copy, "Linked", json!({})),
        "`linked.h5` is truncated: it has 7807 of 7808 bytes",
        "beside this one",
    );
    std::fs::copy(&linked, inner.join("linked.h5")).unwrap();
    assert!(read_from(&copy, "Linked", json!({})).is_ok());
}
