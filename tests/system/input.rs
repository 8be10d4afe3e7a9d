//! Wrong input that `refusals.rs` does not cover: missing files, matrices, fields and
//! command lines. Every message names file, place and remedy; the exit code is 2.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use ndarray_npy::WriteNpyExt;

use crate::harness::{Scratch, field, pallium, text};

#[test]
fn missing_files_are_refused() {
    pallium(&["run", "nowhere.toml"]).refused(&["nowhere.toml"]);
    pallium(&["measure", "nowhere.npy"]).refused(&["nowhere.npy"]);
    pallium(&["field", "info", "/nowhere/field"]).refused(&["/nowhere/field"]);
    let scratch = Scratch::new();
    let file = scratch.path().join("experiment.toml");
    let experiment = "runs = 1\ntasks = [\"cognition.go-no-go\"]\n\
        [substrate]\nuse = \"synthetic.field\"\nneurons = 16\n[training]\nepochs = 1\ntrials = 32\n\
        [[variant]]\nname = \"a\"\n";
    std::fs::write(&file, experiment).unwrap();
    pallium(&[
        "run",
        text(&file),
        "--set",
        "substrate.use=microns.field",
        "--set",
        "substrate.path=/nowhere/field",
    ])
    .refused(&["/nowhere/field"]);
    pallium(&["run", text(&file), "--set", "substrat.path=/x"]).refused(&["substrat"]);
    // A file in place of a folder; an experiment that is too large.
    pallium(&["run", text(&file), "--out", text(&file)]).refused(&["is not a folder", "--out"]);
    pallium(&["run", text(&file), "--set", "runs=1000000000"]).refused(&["1000000000 runs", "the maximum"]);
}

#[test]
fn faulty_matrices_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path().join("w.npy");
    let write = |matrix: Array2<f64>| matrix.write_npy(File::create(&path).unwrap()).unwrap();
    write(Array2::zeros((3, 4)));
    pallium(&["measure", text(&path)]).refused(&["w.npy", "3", "4", "square"]);
    let mut nan = Array2::ones((5, 5));
    nan[[2, 3]] = f64::NAN;
    write(nan);
    pallium(&["measure", text(&path)]).refused(&["w.npy", "2", "3"]);
    write(Array2::ones((30, 30)));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    pallium(&["measure", text(&path)]).refused(&["w.npy"]);
    std::fs::write(&path, "not an array").unwrap();
    pallium(&["measure", text(&path)]).refused(&["w.npy", "npy"]);
}

/// A real field with one file changed by `change`.
fn damaged(source: &Path, file: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let folder = scratch.path().join(source.file_name().unwrap());
    std::fs::create_dir(&folder).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let mut bytes = std::fs::read(entry.path()).unwrap();
        if entry.file_name() == file {
            bytes = change(bytes);
        }
        std::fs::write(folder.join(entry.file_name()), bytes).unwrap();
    }
    (scratch, folder)
}

#[test]
fn faulty_fields_are_refused() {
    let Some(source) = field("5_3_8") else { return };
    let refused = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, parts: &[&str]| {
        let (_scratch, folder) = damaged(&source, file, change);
        pallium(&["field", "info", text(&folder)]).refused(parts);
    };
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    refused("corr_matrix.npy", &half, &["corr_matrix.npy"]);
    refused("positions_5_3_8.npy", &half, &["positions_5_3_8.npy"]);
    refused("connectome_5_3_8.csv", &half, &["connectome_5_3_8.csv"]);
    let other_callable = |bytes: Vec<u8>| {
        let at = bytes.windows(12).position(|w| w == b"_reconstruct").expect("the pickle names it");
        [&bytes[..at], b"_reconstruqt", &bytes[at + 12..]].concat()
    };
    refused("positions_5_3_8.npy", &other_callable, &["positions_5_3_8.npy", "_reconstruqt"]);
    let with_nan = |mut bytes: Vec<u8>| {
        let end = bytes.len();
        bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
        bytes
    };
    refused("corr_matrix.npy", &with_nan, &["corr_matrix.npy", "41"]);
    let repeated = |mut bytes: Vec<u8>| {
        let end = bytes.len();
        let last = bytes[end - 8..].to_vec();
        bytes[end - 16..end - 8].copy_from_slice(&last);
        bytes
    };
    refused("root_ids_5_3_8.npy", &repeated, &["root_ids_5_3_8.npy", "41"]);
    // A matrix of another field.
    if let Some(other) = field("5_3_4") {
        let foreign = std::fs::read(other.join("sttc_matrix.npy")).unwrap();
        refused("sttc_matrix.npy", &move |_| foreign.clone(), &["sttc_matrix.npy", "70", "42"]);
    }
}

#[test]
fn faulty_command_lines_are_refused() {
    pallium(&["weights", "init.orthogonl", "--seed", "1", "--neurons", "5", "--out", "/tmp/never.npy"])
        .refused(&["init.orthogonl", "init.orthogonal"]);
    pallium(&["weights", "init.orthogonal", "--seed", "1", "--neurons", "-5", "--out", "/tmp/never.npy"])
        .refused(&["-5", "1..=20000"]);
    pallium(&["frobnicate"]).refused(&["frobnicate"]);
    // Every listed command exists and has an example.
    let help = pallium(&["--help"]).ok().stdout;
    let offered: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    for known in
        ["run", "plan", "measure", "penalty", "weights", "plugins", "field", "stats", "export", "submit"]
    {
        assert!(offered.contains(&known), "{known} is not offered:\n{help}");
    }
    for command in offered {
        let help = pallium(&[command, "--help"]).ok();
        assert!(help.stdout.contains("xample"), "{command} --help shows no example:\n{}", help.stdout);
    }
}
