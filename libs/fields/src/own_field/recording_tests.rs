//! Begin and end of a recording, and fields that only events describe.

use pallium_core::ndarray::{Array2, array};

use super::tests::{DESCRIPTION, READING, csv_files, field, refused, write};
use super::*;
use crate::folder;
use pallium_testing::Folder;

const TRACES: &str = "frame_hz = 10\nids.roi = \"ids.npy\"\n[traces]\nfile = \"f.npy\"\n\
                      layout = \"neurons-by-frames\"\ndetector = \"level\"\nthreshold = 0.5\n";

/// Two neurons of 20 frames, active in frames 3 and 7.
fn traces() -> Folder {
    let folder = Folder::new();
    let active = Array2::from_shape_fn((2, 20), |(i, k)| f64::from((k == 3 && i == 0) || (k == 7 && i == 1)));
    write(&folder, "f.npy", active);
    write(&folder, "ids.npy", array![1_i64, 2]);
    folder
}

#[test]
fn a_recording_begins_and_ends_where_its_description_says() {
    let folder = csv_files();
    assert_eq!(field(&folder, DESCRIPTION).unwrap().recording, None);
    let with = |key: &str| format!("version = 2\nrecording = {key}\n{DESCRIPTION}");
    let read = field(&folder, &with("[-2, 600.5]")).unwrap();
    assert_eq!(read.recording, Some((-2.0, 600.5)));
    let place = Folder::new();
    crate::store::write(&read, &place.path().join("stored")).unwrap();
    assert_eq!(folder::read(&place.path().join("stored"), &READING).unwrap(), read);
    for wrong in ["[1, 1]", "[2, 1]", "[0, nan]"] {
        refused(&folder, &with(wrong), &["field.toml: recording is [", "start and end in seconds"]);
    }
    refused(
        &folder,
        &with("[0.2, 9]"),
        &["event 0 of neuron 0 is at 0.1 s, outside the recording, 0.2 s to 9 s"],
    );
    refused(&folder, &with("[0, 1]"), &["event 1 of neuron 0 is at 1.5 s, outside"]);
    refused(&folder, &format!("version = 3\n{DESCRIPTION}"), &["version 3"]);
    // Times before 0 need a begin.
    let before = "ms,cell\n-1500,864691135927097003\n";
    folder.file("events.csv", before.as_bytes());
    refused(&folder, DESCRIPTION, &["events.csv, line 2: an event at -1500", "recording = [begin, end]"]);
    let read = field(&folder, &with("[-2, 3]")).unwrap();
    assert_eq!(read.events.unwrap()[0], [-1.5]);
}

#[test]
fn frames_count_from_the_begin_of_the_recording() {
    let folder = csv_files();
    folder.file("events.csv", b"ms,cell\n3,864691135927097003\n");
    let by_frame = DESCRIPTION.replace("unit = \"ms\"", "unit = \"frame\"");
    assert_eq!(field(&folder, &by_frame).unwrap().events.unwrap()[0], [0.1]);
    let read = field(&folder, &format!("recording = [-1, 9]\n{by_frame}")).unwrap();
    assert!((read.events.unwrap()[0][0] + 0.9).abs() < 1e-15);
    folder.file("events.csv", b"ms,cell\n-3,864691135927097003\n");
    refused(&folder, &format!("recording = [-1, 9]\n{by_frame}"), &["an event at -3", "frames count from 0"]);
}

#[test]
fn traces_tell_how_long_their_recording_is() {
    let folder = traces();
    let read = field(&folder, TRACES).unwrap();
    assert_eq!((read.recording, read.events), (Some((0.0, 2.0)), Some(vec![vec![0.3], vec![0.7]])));
    let read = field(&folder, &format!("recording = [100, 102]\n{TRACES}")).unwrap();
    assert_eq!((read.recording, read.events), (Some((100.0, 102.0)), Some(vec![vec![100.3], vec![100.7]])));
    refused(
        &folder,
        &format!("recording = [0, 3]\n{TRACES}"),
        &["f.npy has 20 frames, 2 s at 10 Hz", "0 s to 3 s"],
    );
}

#[test]
fn a_field_that_only_traces_describe_has_neurons_however_it_is_read() {
    let folder = traces();
    folder.file(FIELD_TOML, TRACES.replace("ids.roi = \"ids.npy\"\n", "").as_bytes());
    for events in [false, true] {
        for sttc in [Sttc::Released, Sttc::HalfFrame] {
            let read = folder::read(folder.path(), &ReadOptions { events, sttc, ..READING }).unwrap();
            assert_eq!((read.neurons, read.events.is_some()), (2, events));
        }
    }
}

/// Three neurons, of which the second has a gap, in all files.
fn with_gap(gap: &[f64]) -> Folder {
    let folder = Folder::new();
    let mut traces = Array2::from_shape_fn((3, 20), |(i, k)| f64::from(k == 3 + 4 * i));
    gap.iter().enumerate().for_each(|(k, value)| traces[[1, 5 + k]] = *value);
    write(&folder, "f.npy", traces);
    write(&folder, "ids.npy", array![7_i64, 8, 9]);
    write(&folder, "p.npy", array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
    write(&folder, "c.npy", array![[1.0, 0.2, 0.3], [0.2, 1.0, 0.4], [0.3, 0.4, 1.0]]);
    folder.file("edges.csv", b"pre,post\n0,1\n1,2\n2,0\n");
    folder
}

#[test]
fn neurons_with_incomplete_traces_are_left_out_of_all_files_or_refused_by_name() {
    let description = "frame_hz = 10\nids.roi = \"ids.npy\"\nmatrices.correlation = \"c.npy\"\n\
                       positions = { file = \"p.npy\", unit = \"um\" }\n\
                       [connectome]\nfile = \"edges.csv\"\nlayout = \"edges\"\npre = \"pre\"\npost = \"post\"\n\
                       ids = \"index\"\n[traces]\nfile = \"f.npy\"\nlayout = \"neurons-by-frames\"\n\
                       detector = \"level\"\nthreshold = 0.5\n";
    let leave_out = format!("{description}incomplete = \"leave-out\"\n");
    for (gap, text) in [
        (vec![f64::NAN], "neuron 1 has NaN in 1 of 20 frames, from frame 5"),
        (vec![f64::NAN; 15], "neuron 1 has NaN in 15 of 20 frames, from frame 5"),
        (vec![f64::INFINITY], "neuron 1 has inf in 1 of 20 frames, from frame 5"),
    ] {
        let folder = with_gap(&gap);
        refused(&folder, description, &["f.npy: ", text, "incomplete = \"leave-out\" under [traces]"]);
        let read = field(&folder, &leave_out).unwrap();
        assert_eq!((read.neurons, &*read.ids["roi"]), (2, &[7, 9][..]));
        assert_eq!(read.positions.as_ref().unwrap().values.view(), array![[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]]);
        assert_eq!(read.matrices["correlation"].view(), array![[1.0, 0.3], [0.3, 1.0]]);
        assert_eq!(read.matrices["connectome"].view(), array![[0.0, 0.0], [1.0, 0.0]]);
        assert_eq!(read.events.as_deref(), Some(&[vec![0.3], vec![1.1]][..]));
        assert!(read.matrices["sttc"].view().dim() == (2, 2), "half a frame");
        assert!(read.notes.iter().any(|note| note.contains(text)), "{:?}", read.notes);
        // The same neurons if events are not requested.
        for sttc in [Sttc::Released, Sttc::HalfFrame] {
            let read = folder::read(folder.path(), &ReadOptions { events: false, sttc, ..READING }).unwrap();
            assert_eq!((read.neurons, read.events), (2, None));
        }
    }
    let folder = with_gap(&[]);
    assert_eq!(field(&folder, &leave_out).unwrap().neurons, 3);
    write(&folder, "f.npy", Array2::from_elem((3, 20), f64::NAN));
    refused(&folder, &leave_out, &["f.npy has no complete trace: neuron 0 has NaN in 20", "fill the gaps"]);
}
