use std::io::Write as _;

use ndarray_npy::WriteNpyExt;
use pallium_core::{
    Kind,
    ndarray::{Array1, Array2, array},
};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::folder::{self, ConnectomeOrder};
use pallium_testing::Folder;

pub(super) const READING: ReadOptions =
    ReadOptions { order: ConnectomeOrder::Released, sttc: Sttc::HalfFrame, frame_hz: None, events: true };
const ID: i64 = 864_691_135_927_097_001;

pub(super) fn write<T: WriteNpyExt>(folder: &Folder, name: &str, array: T) {
    folder.file(name, &npy(&array));
}

/// An array as npy bytes.
fn npy<T: WriteNpyExt>(array: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

/// An npz archive of npy files, as `numpy.savez` and `numpy.savez_compressed` write it.
fn npz(method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

pub(super) fn field(folder: &Folder, description: &str) -> Result<Substrate> {
    folder.file(FIELD_TOML, description.as_bytes());
    let field = folder::read(folder.path(), &READING)?;
    field.check()?;
    Ok(field)
}

#[track_caller]
pub(super) fn refused(folder: &Folder, description: &str, parts: &[&str]) {
    let error = field(folder, description).unwrap_err();
    assert_eq!(error.kind, Kind::Input, "{error}");
    assert!(error.help.is_some(), "{error}");
    let all = error.to_string();
    for part in parts {
        assert!(all.contains(part), "`{error}` does not contain `{part}`");
    }
}

/// The files of three neurons, as CSV.
pub(super) fn csv_files() -> Folder {
    let folder = Folder::new();
    let ids = [ID + 2, ID, ID + 1];
    folder.file(
        "cells.csv",
        format!("cell,x,y,z\n{},1,2,3\n{},4,5,6\n{},7,8,9.5\n", ids[0], ids[1], ids[2]).as_bytes(),
    );
    // Rows and columns in different orders, neither that of the neurons.
    folder.file(
        "correlation.csv",
        format!(",{1},{0},{2}\n{2},0.2,0.1,1\n{1},1,0.3,0.2\n{0},0.3,1,0.1\n", ids[0], ids[1], ids[2])
            .as_bytes(),
    );
    folder.file(
        "edges.csv",
        format!("n,from,to\n2,{0},{1}\n1,{0},{1}\n4,{2},{2}\n1,5,{0}\n", ids[0], ids[1], ids[2]).as_bytes(),
    );
    folder.file("events.csv", format!("ms,cell\n1500,{0}\n250,{1}\n100,{0}\n", ids[0], ids[2]).as_bytes());
    folder
}

pub(super) const DESCRIPTION: &str = r#"
frame_hz = 30
[positions]
file = "cells.csv"
unit = "voxel"
voxel_size_nm = [4, 4, 40]
[ids]
cell = { file = "cells.csv", column = "cell" }
[matrices]
correlation = "correlation.csv"
[connectome]
file = "edges.csv"
layout = "edges"
pre = "from"
post = "to"
count = "n"
[events]
file = "events.csv"
unit = "ms"
times = "ms"
neurons = "cell"
"#;

#[test]
fn csv_files_are_a_field() {
    let folder = csv_files();
    let read = field(&folder, DESCRIPTION).unwrap();
    assert_eq!(read.name, folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!((read.neurons, read.frame_hz), (3, Some(30.0)));
    let positions = read.positions.as_ref().unwrap();
    assert_eq!(positions.values.view(), array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.5]]);
    assert_eq!(positions.unit_um, [0.004, 0.004, 0.04]);
    assert_eq!(*read.ids["cell"], [ID + 2, ID, ID + 1]);
    assert_eq!(
        read.matrices["correlation"].view(),
        array![[1.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.0]]
    );
    assert_eq!(read.matrices["connectome"].view(), array![[0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]);
    assert_eq!(read.events.as_ref().unwrap(), &[vec![0.1, 1.5], vec![], vec![0.25]]);
    assert!(read.derived.contains("correlation"));
    assert!(read.notes.iter().any(|n| n.contains("1 rows of edges.csv skipped")), "{:?}", read.notes);
    let place = Folder::new();
    crate::store::write(&read, &place.path().join("stored")).unwrap();
    let again = folder::read(&place.path().join("stored"), &READING).unwrap();
    assert_eq!(again, read);
}

#[test]
fn npy_and_npz_files_are_a_field() {
    let folder = Folder::new();
    let positions = array![[1.0_f32, 2.0], [4.0, 5.0], [7.0, 8.0]];
    write(&folder, "soma.npy", positions);
    write(&folder, "ids.npy", array![7_i64, 9, 8]);
    write(&folder, "wiring.npy", array![[0_i32, 1, 2], [3, 0, 4], [5, 6, 0]]);
    let matrices = [("sttc", array![[1.0, 0.2, 0.1], [0.2, 1.0, 0.4], [0.1, 0.4, 1.0]])];
    let times = Array1::from(vec![1.0, 2.0, 0.5]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let arrays = [
            ("sttc", npy(&matrices[0].1)),
            ("times", npy(&times)),
            ("offsets", npy(&array![0_i64, 2, 2, 3])),
            ("whose", npy(&array![8_i64, 7, 8])),
        ];
        folder.file("all.npz", &npz(method, &arrays));
        let description = |events: &str| {
            format!(
                r#"name = "arrays"
                positions = {{ file = "soma.npy", unit = "um" }}
                ids.roi = "ids.npy"
                matrices.sttc = {{ file = "all.npz", array = "sttc" }}
                connectome = {{ file = "wiring.npy", layout = "matrix" }}
                [events]
                file = "all.npz"
                unit = "s"
                {events}"#
            )
        };
        let read = field(&folder, &description("offsets = \"offsets\"")).unwrap();
        assert_eq!(
            read.positions.as_ref().unwrap().values.view(),
            array![[1.0, 2.0, 0.0], [4.0, 5.0, 0.0], [7.0, 8.0, 0.0]]
        );
        assert_eq!(
            (read.matrices["sttc"].view(), read.matrices["connectome"].view()[[2, 0]]),
            (matrices[0].1.view(), 5.0)
        );
        assert_eq!(read.events.unwrap(), [vec![1.0, 2.0], vec![], vec![0.5]]);
        // A given STTC is kept even if there are events.
        assert!(read.derived.contains("sttc"));
        let read = field(&folder, &description("neurons = \"whose\"")).unwrap();
        assert_eq!(read.events.unwrap(), [vec![2.0], vec![], vec![0.5, 1.0]]);
        refused(
            &folder,
            &description("neurons = \"times\""),
            &["array times holds numbers that are not 64-bit integers"],
        );
        refused(&folder, &description("neurons = \"who\""), &["has no array `who`", "existing arrays: "]);
        refused(&folder, &description("offsets = \"whose\""), &["offsets do not fit 3 times"]);
    }
}

#[test]
fn events_in_traces_equal_those_found_with_scipy() {
    // scipy.stats.median_abs_deviation(numpy.diff(t), scale = "normal") 1.17.
    let traces = array![
        [
            2.041, -2.556, 0.418, -0.568, -0.453, -0.216, -2.02, -0.232, -0.865, 3.323, 0.226, -0.353,
            -0.281, -0.668, -1.055, -0.391, 0.482, -0.239, 0.958, -0.2, 12.024, 11.146, 8.225, 5.639, 4.732,
            4.473, 5.081, 2.247, 1.769, 2.613, 0.402, 0.739, 1.708, 1.24, 0.62, 1.092, -2.49, 1.291, -0.744,
            -1.496, 0.414, 9.812, 6.844, 4.755, 4.691, 3.678, 4.391, 3.135, 2.104, 2.641, 1.017, 0.052,
            1.367, 1.209, 0.286, -0.382, 0.55, -2.238, 0.895, 0.655
        ],
        [
            -0.492, 0.068, -0.189, 0.377, -0.41, -0.024, 0.513, 0.697, -0.247, 0.301, 0.598, 0.367, 1.077,
            0.293, 0.807, 0.436, 1.222, 0.843, 0.788, 0.435, 1.505, 1.276, 1.326, 1.491, 1.305, 1.058, 1.06,
            1.11, 1.811, 1.012, 1.321, 1.454, 1.668, 5.823, 5.325, 5.231, 5.799, 6.214, 6.127, 6.015, 5.905,
            6.138, 6.027, 6.395, 5.962, 6.29, 6.267, 6.513, 6.468, 7.215, 6.95, 6.999, 5.988, 6.548, 6.517,
            6.91, 6.116, 7.202, 7.22, 6.559
        ],
    ];
    let folder = Folder::new();
    write(&folder, "ids.npy", array![1_i64, 2]);
    let description = |layout: &str, more: &str| {
        format!(
            "frame_hz = 10\nids.roi = \"ids.npy\"\n[traces]\nfile = \"f.npy\"\nlayout = \"{layout}\"\n{more}"
        )
    };
    for (layout, array) in
        [("neurons-by-frames", traces.clone()), ("frames-by-neurons", traces.t().to_owned())]
    {
        write(&folder, "f.npy", array);
        let found = field(&folder, &description(layout, "detector = \"rises\"")).unwrap();
        assert_eq!(found.events.as_ref().unwrap(), &[vec![2.0, 4.1], vec![3.3]]);
        assert!(
            found.notes.iter().any(|n| n.contains("steep rises of f.npy, threshold 3")),
            "{:?}",
            found.notes
        );
        let found = field(&folder, &description(layout, "detector = \"rises\"\nthreshold = 2")).unwrap();
        assert_eq!(found.events.unwrap(), [vec![0.9, 2.0, 3.7, 4.1], vec![2.0, 3.3, 5.7]]);
        let found = field(&folder, &description(layout, "detector = \"level\"\nthreshold = 7.2")).unwrap();
        assert_eq!(found.events.unwrap(), [vec![2.0, 2.1, 2.2, 4.1], vec![4.9, 5.7, 5.8]]);
    }
    refused(&folder, &description("neurons-by-frames", "detector = \"rises\""), &["the array is transposed"]);
    refused(&folder, &description("frames-by-neurons", "detector = \"level\""), &["`threshold` is missing"]);
    refused(&folder, &description("frames-by-neurons", ""), &["missing field `detector`"]);
    let description = description("frames-by-neurons", "detector = \"rises\"").replace("frame_hz = 10", "");
    refused(&folder, &description, &["the frame rate is missing"]);
    // Traces are not read unless event times are requested.
    folder.file(FIELD_TOML, description.as_bytes());
    let reading = ReadOptions { events: false, ..READING };
    assert!(folder::read(folder.path(), &reading).unwrap().events.is_none());
}

#[test]
fn every_rise_of_a_resting_trace_is_an_event() {
    let folder = Folder::new();
    let mut trace = Array2::zeros((1, 20));
    trace[[0, 5]] = 0.1;
    trace[[0, 12]] = 0.2;
    write(&folder, "f.npy", trace);
    let description =
        "frame_hz = 1\n[traces]\nfile = \"f.npy\"\nlayout = \"neurons-by-frames\"\ndetector = \"rises\"";
    assert_eq!(field(&folder, description).unwrap().events.unwrap(), [[5.0, 12.0]]);
}

#[test]
fn inconsistent_descriptions_are_refused() {
    let folder = csv_files();
    let without = |part: &str| DESCRIPTION.replace(part, "");
    refused(&folder, &without("unit = \"voxel\"\n"), &["field.toml, line 3", "missing field `unit`"]);
    refused(&folder, &without("voxel_size_nm = [4, 4, 40]\n"), &["the voxel size is missing"]);
    refused(&folder, &DESCRIPTION.replace("\"voxel\"", "\"um\""), &["does not apply to a unit of length"]);
    refused(&folder, &DESCRIPTION.replace("[4, 4, 40]", "[4, 4, 0]"), &["not three positive numbers"]);
    refused(&folder, &DESCRIPTION.replace("\"voxel\"", "\"inch\""), &["line 5", "unknown value `inch`"]);
    let outside = DESCRIPTION.replace("\"edges.csv\"", "\"../edges.csv\"");
    refused(&folder, &outside, &["field.toml", "`../edges.csv` is outside the folder"]);
    refused(&folder, &DESCRIPTION.replace("count =", "counts ="), &["line 16", "unknown field `counts`"]);
    refused(
        &folder,
        &DESCRIPTION.replace("column = \"cell\"", "colum = \"cell\""),
        &["line 8", "unknown field `colum`"],
    );
    refused(&folder, &DESCRIPTION.replace("\"correlation.csv\"", "3"), &["line 10", "a file name"]);
    refused(&folder, &DESCRIPTION.replace("[ids]", "[ids"), &["field.toml, line 7"]);
    refused(&folder, &DESCRIPTION.replace("correlation.csv", "no.csv"), &["no.csv does not exist"]);
    refused(
        &folder,
        &DESCRIPTION.replace("correlation.csv", "a.mat"),
        &["a.mat has an unsupported format", ".npy, .npz, .csv"],
    );
    refused(
        &folder,
        &DESCRIPTION.replace("pre = \"from\"", "pre = \"fro\""),
        &["edges.csv has no column `fro`", "n, from, to"],
    );
    refused(&folder, &without("pre = \"from\"\n"), &["`pre` or `post` is missing"]);
    refused(
        &folder,
        &DESCRIPTION.replace("layout = \"edges\"", "layout = \"matrix\""),
        &["`pre` does not apply to a matrix"],
    );
    let strict = DESCRIPTION.replace("count = \"n\"", "count = \"n\"\nstrangers = \"refuse\"");
    refused(&folder, &strict, &["edges.csv, line 5: 5 is not a `cell` id"]);
    let other = DESCRIPTION.replace("count = \"n\"", "ids = \"root\"");
    refused(&folder, &other, &["there are no `root` ids", "kinds under [ids]: cell"]);
    refused(&folder, &DESCRIPTION.replace("frame_hz = 30", "frame_hz = -1"), &["frame_hz is -1"]);
    refused(
        &folder,
        &DESCRIPTION.replace("correlation =", "connectome ="),
        &["describe it in its own table"],
    );
    let both = DESCRIPTION.to_owned()
        + "[traces]\nfile = \"a.npy\"\nlayout = \"neurons-by-frames\"\ndetector = \"rises\"";
    refused(&folder, &both, &["both [events] and [traces]"]);
    refused(&folder, "[matrices]", &["describes no neurons"]);
    let alone = &DESCRIPTION[DESCRIPTION.find("[connectome]").unwrap()..];
    refused(&folder, alone, &["the field's neurons are unknown"]);
    refused(&folder, "[events]\nfile = \"events.csv\"\nunit = \"s\"", &["the field's neurons are unknown"]);
}

#[test]
fn files_that_do_not_match_the_description_are_refused() {
    let good = |name: &str| std::fs::read_to_string(csv_files().path().join(name)).unwrap();
    let (two, one, three) = ((ID + 2).to_string(), ID.to_string(), (ID + 1).to_string());
    let cases: Vec<(&str, String, &str)> = vec![
        ("cells.csv", good("cells.csv").replace("4,5,6", "4,5"), "cells.csv, line 3: 3 cells"),
        ("cells.csv", good("cells.csv").replace("4,5,6", "4,5,six"), "line 3: `six` in column `z`"),
        (
            "cells.csv",
            good("cells.csv").replace(&one, "8.646911359270970e17"),
            "line 3: `8.646911359270970e17` in column `cell`",
        ),
        ("cells.csv", good("cells.csv").replace(&one, &two), "occurs twice, for neurons 0 and 1"),
        ("cells.csv", good("cells.csv") + &format!("{},1,1,1\n", ID + 9), "correlation.csv is for 3 neurons"),
        ("correlation.csv", good("correlation.csv").replace(&three, "77"), "the label 77 is not a `cell` id"),
        ("correlation.csv", good("correlation.csv").replacen(&three, &one, 1), "occurs twice"),
        (
            "correlation.csv",
            good("correlation.csv").replace("0.2,0.1,1", "0.2,0.1"),
            "correlation.csv, line 2: 3 cells",
        ),
        (
            "correlation.csv",
            good("correlation.csv").replace("0.2,0.1,1", "0.25,0.1,1"),
            "0.2 at row 1, column 2, but 0.25",
        ),
        (
            "correlation.csv",
            good("correlation.csv").replace("0.2,0.1,1", "nan,0.1,1"),
            "line 2: cell 2: `nan`",
        ),
        ("correlation.csv", "1,2,3\n4,5,6\n".into(), "2×3 is not square"),
        (
            "correlation.csv",
            ",0,1\n0,1,\n1,0.2,1\n".into(),
            "line 2: cell 3 is empty (write the pair's coefficient",
        ),
        ("edges.csv", good("edges.csv").replace("4,", ","), "line 4: column `n` is empty"),
        ("correlation.csv", String::new(), "has no numbers"),
        ("correlation.csv", "1 0 0\n0 1 0\n0 0 1\n".into(), "every line has a single cell"),
        ("correlation.csv", "1,0,3\n0,1,0\n3,0,1\n".into(), "correlation.csv: 3 at row 0, column 2"),
        (
            "correlation.csv",
            "a,b,c\nx,1,0,0\ny,0,1,0\nz,0,0,1\n".into(),
            "line 2: 4 cells, but the first line has 3",
        ),
        ("edges.csv", good("edges.csv").replace("4,", "-4,"), "edges.csv, line 4: -4 synapses"),
        ("edges.csv", good("edges.csv").replace("4,", "many,"), "line 4: `many` in column `n`"),
        ("events.csv", good("events.csv").replace("250", "-250"), "events.csv, line 3: an event at -250"),
        ("events.csv", good("events.csv").replace(&two, "12"), "events.csv, line 2: 12 is not a `cell` id"),
    ];
    for (file, content, said) in cases {
        let folder = csv_files();
        folder.file(file, content.as_bytes());
        refused(&folder, DESCRIPTION, &[said]);
    }
}

#[test]
fn tables_may_be_separated_by_semicolons_or_tabs() {
    for separator in [";", "\t"] {
        let (folder, commas) = (csv_files(), csv_files());
        for name in ["cells.csv", "correlation.csv", "edges.csv", "events.csv"] {
            let text = std::fs::read_to_string(commas.path().join(name)).unwrap();
            folder.file(name, text.replace(',', separator).as_bytes());
        }
        let named = |read: Substrate| Substrate { name: "x".into(), ..read };
        assert_eq!(
            named(field(&folder, DESCRIPTION).unwrap()),
            named(field(&commas, DESCRIPTION).unwrap()),
            "{separator:?}"
        );
    }
}

#[test]
fn labels_name_neurons_or_are_refused() {
    let folder = csv_files();
    let expected = array![[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let without_ids = "matrices.correlation = \"correlation.csv\"";
    for plain in [
        "1,0.5,0\n0.5,1,0\n0,0,1\n",
        ",0,1,2\n0,1,0.5,0\n1,0.5,1,0\n2,0,0,1\n",
        // Indices in another order.
        ",2,0,1\n0,0,1,0.5\n2,1,0,0\n1,0,0.5,1\n",
    ] {
        folder.file("correlation.csv", plain.as_bytes());
        for description in [DESCRIPTION, without_ids] {
            assert_eq!(
                field(&folder, description).unwrap().matrices["correlation"].view(),
                expected,
                "{plain}"
            );
        }
    }
    // In a field with ids, a label that is not an id is refused, because it may
    // mean another order. Without ids, equal labels on both sides are ignored.
    let float = format!("{ID}.0");
    for (labelled, label) in [
        ("a,b,c\n1,0.5,0\n0.5,1,0\n0,0,1\n".to_owned(), "a"),
        (",a,b,c\na,1,0.5,0\nb,0.5,1,0\nc,0,0,1\n".to_owned(), "a"),
        (",7,8,9\n7,1,0.5,0\n8,0.5,1,0\n9,0,0,1\n".to_owned(), "7"),
        (format!("r,{float},8,9\n{float},1,0.5,0\n8,0.5,1,0\n9,0,0,1\n"), float.as_str()),
    ] {
        folder.file("correlation.csv", labelled.as_bytes());
        refused(&folder, DESCRIPTION, &[&format!("the label `{label}` is not the id"), "correlation.csv"]);
        assert_eq!(
            field(&folder, without_ids).unwrap().matrices["correlation"].view(),
            expected,
            "{labelled}"
        );
    }
    // A first line of ids that are numbers, and no labels of rows.
    let [a, b, c] = [ID, ID + 2, ID + 1];
    folder.file("correlation.csv", format!("{a},{b},{c}\n1,0.5,0\n0.5,1,0\n0,0,1\n").as_bytes());
    let read = field(&folder, DESCRIPTION).unwrap();
    assert_eq!(read.matrices["correlation"].view(), expected);
    refused(
        &folder,
        without_ids,
        &["correlation.csv: 4×3 is not square", "remove that line, or add the ids"],
    );
    folder.file("correlation.csv", b",a,b,c\na,1,0.5,0\nc,0.5,1,0\nb,0,0,1\n");
    refused(&folder, without_ids, &["row and column labels differ"]);
    folder.file("correlation.csv", b",0,1,1\n0,1,0.5,0\n1,0.5,1,0\n1,0,0,1\n");
    refused(&folder, without_ids, &["the label 1 occurs twice"]);
}

#[test]
fn connections_that_all_involve_unknown_neurons_are_refused() {
    let folder = csv_files();
    folder.file("edges.csv", b"n,from,to\n1,0,1\n2,2,0\n");
    refused(
        &folder,
        DESCRIPTION,
        &["edges.csv: none of its 2 rows connects neurons of the field: 0 is not a `cell` id"],
    );
    let by_number = DESCRIPTION.replace("count = \"n\"", "count = \"n\"\nids = \"index\"");
    let read = field(&folder, &by_number).unwrap();
    assert_eq!(read.matrices["connectome"].view(), array![[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]);
    folder.file("edges.csv", b"n,from,to\n1,0,3\n");
    refused(&folder, &by_number, &["index 3 is out of range for 3 neurons"]);
}

#[test]
fn arrays_that_do_not_fit_are_refused_before_they_are_read() {
    // Sparse files whose headers claim 8 GB.
    let folder = csv_files();
    let sparse = |name: &str, shape: &str, kind: &str| {
        let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        head.push_str(&" ".repeat((64 - (10 + head.len() + 1) % 64) % 64));
        head.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        let path = folder.file(name, &bytes);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(bytes.len() as u64 + 8_000_000_000).unwrap();
    };
    sparse("wide.npy", "3, 333333333", "<f8");
    folder.file("f.npy", b"");
    refused(&folder, "[positions]\nfile = \"wide.npy\"\nunit = \"um\"", &["expected N×3 positions"]);
    sparse("square.npy", "31622, 31622", "<f8");
    let with = |more: &str| format!("[ids]\ncell = {{ file = \"cells.csv\", column = \"cell\" }}\n{more}");
    refused(&folder, &with("[matrices]\nx = \"square.npy\""), &["square.npy is for 31622 neurons"]);
    refused(
        &folder,
        "[connectome]\nfile = \"square.npy\"\nlayout = \"matrix\"",
        &["31622 neurons", "the maximum is 20000"],
    );
    sparse("long.npy", "1000000000,", "<i8");
    refused(&folder, "[ids]\ncell = \"long.npy\"", &["long.npy is for 1000000000 neurons"]);
    sparse("events.npy", "1000000, 1000", "<f8");
    refused(&folder, &with("[events]\nfile = \"events.npy\"\nunit = \"s\""), &["events.npy"]);
}

#[test]
fn archives_that_decompress_to_too_much_are_refused() {
    let folder = Folder::new();
    write(&folder, "ids.npy", array![1_i64, 2]);
    // 320 MB of zeros, compressed to a third of a megabyte.
    let arrays =
        [("times", npy(&Array1::<f64>::zeros(40_000_000))), ("neurons", npy(&Array1::<i64>::zeros(3)))];
    let packed = npz(CompressionMethod::Deflated, &arrays);
    assert!(packed.len() < 1_000_000, "{}", packed.len());
    folder.file("bomb.npz", &packed);
    let description = "ids.roi = \"ids.npy\"\n[events]\nfile = \"bomb.npz\"\nunit = \"s\"";
    refused(&folder, description, &["bomb.npz, array times cannot be read: it decompresses to more than"]);
    // Truncate and corrupt the archive at every byte.
    let whole = npz(CompressionMethod::Deflated, &[("sttc", npy(&Array2::<f64>::eye(2)))]);
    let description = "matrices.sttc = \"cut.npz\"";
    for cut in 0..whole.len() {
        folder.file("cut.npz", &whole[..cut]);
        refused(&folder, description, &["cut.npz"]);
        let mut changed = whole.clone();
        changed[cut] ^= 0xff;
        folder.file("cut.npz", &changed);
        // A byte without meaning may change; values must not.
        if let Ok(read) = field(&folder, description) {
            assert_eq!(read.matrices["sttc"].view(), Array2::<f64>::eye(2), "{cut}");
        }
    }
}

#[test]
fn connections_in_a_parquet() {
    // Written by pyarrow 22: pre, post (int64), n (int32), weight (double), in
    // row groups of 2, with snappy, zstd, gzip and no compression.
    for (name, bytes) in parquets() {
        let folder = csv_files();
        folder.file("edges.parquet", &bytes);
        let description = DESCRIPTION.replace("edges.csv", "edges.parquet").replace("count = \"n\"", "");
        if name.starts_with("missing") {
            refused(&folder, &description, &["edges.parquet, row 2: column `to` is empty"]);
            continue;
        }
        let read = field(&folder, &description).unwrap();
        let expected = array![[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(read.matrices["connectome"].view(), expected, "{name}");
        assert!(read.notes.iter().any(|n| n.contains("1 rows of edges.parquet")), "{:?}", read.notes);
        let counted = description.replace("post = \"to\"", "post = \"to\"\ncount = \"n\"");
        let read = field(&folder, &counted).unwrap();
        assert_eq!(
            read.matrices["connectome"].view(),
            array![[0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]
        );
        let float = description.replace("\"from\"", "\"weight\"");
        refused(
            &folder,
            &float,
            &["`0.5` in column `weight` is not a 64-bit integer", "never pass through a float"],
        );
        refused(&folder, &description.replace("\"from\"", "\"pre\""), &["has no column `pre`", "from, to"]);
        refused(
            &folder,
            &description.replace("post = \"to\"", "post = \"to\"\nstrangers = \"refuse\""),
            &["row 4: 5 is not a `cell` id"],
        );
        for cut in (0..bytes.len()).step_by(7) {
            folder.file("edges.parquet", &bytes[..cut]);
            refused(&folder, &description, &["edges.parquet"]);
            let mut changed = bytes.clone();
            changed[cut] ^= 0x55;
            folder.file("edges.parquet", &changed);
            // It may be read or refused, but must not panic.
            let _ = field(&folder, &description);
        }
    }
}

fn parquets() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    ["snappy", "zstd", "gzip", "plain", "missing"]
        .into_iter()
        .map(move |name| (name, std::fs::read(folder.join(format!("edges-{name}.parquet"))).unwrap()))
}
