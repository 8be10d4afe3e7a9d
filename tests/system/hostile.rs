//! Malicious files: a clear error within little time and memory.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::{Array2, array};
use ndarray_npy::WriteNpyExt;

use crate::harness::{Ended, Scratch, executable, root, start, text, wait_for};

/// Limit of a command's address space, in kB: enough for libraries and threads, too
/// little for a file of three gigabytes.
const MEMORY: &str = "2500000";

/// Runs the executable with little memory and a time limit.
#[track_caller]
fn confined(arguments: &[&str]) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""), text(&executable())]);
    command.args(arguments).current_dir(root());
    let mut running = start(command);
    wait_for("the end of a command on a bad file", || running.has_ended().then_some(()));
    running.wait()
}

fn write(path: &Path, matrix: &Array2<f64>) {
    matrix.write_npy(File::create(path).unwrap()).unwrap();
}

/// A valid field of three neurons.
fn field(scratch: &Path) -> PathBuf {
    let folder = scratch.join("field");
    std::fs::create_dir(&folder).unwrap();
    write(&folder.join("positions_a.npy"), &array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
    write(&folder.join("corr_matrix.npy"), &Array2::eye(3));
    array![3_i64, 8, 1].write_npy(File::create(folder.join("root_ids_a.npy")).unwrap()).unwrap();
    write(&folder.join("spikes_a.npy"), &array![[1.0, 2.0], [1.5, 2.5], [1.0, 3.0]]);
    std::fs::write(folder.join("connectome_a.csv"), ",0,1,2\n0,0,1,2\n1,3,0,4\n2,5,6,0\n").unwrap();
    std::fs::write(folder.join("field.toml"), "name = \"a\"\n").unwrap();
    folder
}

/// Commands that read `path`, one for each reader; a field's files are in the folder
/// of [`field`].
fn readers(path: &Path, folder: &Path) -> Vec<Vec<String>> {
    let (path, folder) = (text(path), text(folder));
    let all: [&[&str]; 8] = [
        &["measure", path],
        &["penalty", "spatial.l1", "--weights", path, "--field", folder],
        &[
            "weights",
            "microns.functional",
            "--field",
            folder,
            "--lognormal",
            path,
            "--seed",
            "1",
            "--out",
            "x.npy",
        ],
        &["stats", path],
        &["plan", path],
        &["plugins", "check", path],
        &["field", "import", path, "--out", "never"],
        &["stats", path, "--json"],
    ];
    all.iter().map(|words| words.iter().map(|&word| word.to_owned()).collect()).collect()
}

const FILES: [&str; 6] = [
    "positions_a.npy",
    "corr_matrix.npy",
    "root_ids_a.npy",
    "spikes_a.npy",
    "connectome_a.csv",
    "field.toml",
];

/// Fails unless every reader refuses a file after `change` and names it.
fn refused_everywhere(change: impl Fn(&Path)) {
    let scratch = Scratch::new();
    let folder = field(scratch.path());
    confined(&["field", "derive", text(&folder), "--out", text(&scratch.path().join("good"))]).ok();
    let odd = scratch.path().join("odd.file");
    change(&odd);
    for words in readers(&odd, &folder) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = confined(&words);
        // `plugins check` reports on standard output.
        let printed = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(2), "{words:?}: {printed}");
        assert!(printed.contains("odd.file"), "{words:?}: {printed}");
    }
    for name in FILES {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        change(&path);
        let out = scratch.path().join("never");
        confined(&["field", "derive", text(&folder), "--out", text(&out)]).refused(&[name]);
        assert!(!out.exists(), "{name}: an error must not leave files");
        match path.is_dir() {
            true => std::fs::remove_dir(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
        std::fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_pipe_is_refused() {
    refused_everywhere(|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()));
}

#[test]
fn a_folder_in_the_place_of_a_file_is_refused() {
    refused_everywhere(|path| std::fs::create_dir(path).unwrap());
}

#[test]
fn a_file_of_three_gigabytes_of_zeros_is_refused() {
    // A sparse file takes no space on the disk.
    refused_everywhere(|path| File::create(path).unwrap().set_len(3 << 30).unwrap());
}

#[test]
fn an_empty_file_is_refused() {
    let scratch = Scratch::new();
    let folder = field(scratch.path());
    for name in FILES.iter().filter(|name| **name != "field.toml") {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        confined(&["field", "info", text(&folder)]).refused(&[name]);
        std::fs::write(&path, good).unwrap();
    }
}

#[test]
fn deeply_nested_text_is_refused() {
    let scratch = Scratch::new();
    let folder = field(scratch.path());
    let deep = scratch.path().join("deep");
    let nested = "[".repeat(200_000);
    std::fs::write(&deep, format!("tasks = {nested}")).unwrap();
    confined(&["plan", text(&deep)]).refused(&["deep:1"]);
    std::fs::write(&deep, format!("{}\n", nested.replace('[', "a."))).unwrap();
    confined(&["plan", text(&deep)]).refused(&["deep:1"]);
    std::fs::write(folder.join("field.toml"), format!("notes = {nested}")).unwrap();
    confined(&["field", "info", text(&folder)]).refused(&["field.toml, line 1"]);
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {}", "(".repeat(60_000));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    std::fs::write(&deep, &bytes).unwrap();
    confined(&["measure", text(&deep)]).refused(&["deep", "cannot be understood"]);
    std::fs::write(folder.join("field.toml"), "").unwrap();
    std::fs::write(folder.join("corr_matrix.npy"), &bytes).unwrap();
    confined(&["field", "info", text(&folder)]).refused(&["corr_matrix.npy", "cannot be understood"]);
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    let scratch = Scratch::new();
    let folder = field(scratch.path());
    let npy = |descr: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    };
    let attempts: Vec<(&str, Vec<u8>)> = vec![
        // Rows without columns take no bytes.
        ("positions_a.npy", npy("<f8", "(1000000000, 0)", &[])),
        ("spikes_a.npy", npy("<f8", "(1000000000, 0)", &[])),
        ("corr_matrix.npy", npy("<f8", "(1000000000000, 0)", &[])),
        ("corr_matrix.npy", npy("<f8", "(100000, 100000)", &[0; 64])),
        ("root_ids_a.npy", npy("<i8", "(9223372036854775807,)", &[0; 8])),
        // A hundred megabytes of instructions, each of which makes a value.
        ("spikes_a.npy", npy("|O", "(3,)", &[&b"\x80\x04"[..], &vec![b'N'; 100 << 20]].concat())),
        ("spikes_a.npy", npy("|O", "(1000000000,)", b"\x80\x04N.")),
        // An event after three thousand years.
        ("spikes_a.npy", npy("<f8", "(3, 1)", &[1.0, 2.0, 1e11_f64].map(f64::to_le_bytes).concat())),
        // A header as wide as the file.
        ("connectome_a.csv", vec![b','; 10 << 20]),
        ("connectome_a.csv", [vec![b','; 10 << 20], vec![b'\n']].concat()),
    ];
    for (name, bytes) in attempts {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let out = scratch.path().join("never");
        let ended = confined(&["field", "derive", text(&folder), "--out", text(&out)]);
        // Event times have no file in the message of what is computed of them.
        ended.refused(&[if name == "spikes_a.npy" { "" } else { name }]);
        std::fs::write(&path, good).unwrap();
    }
}
