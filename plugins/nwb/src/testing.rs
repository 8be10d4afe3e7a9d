//! Helpers for tests: scans written by pynwb, and their expected content.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// A scan, and values computed with numpy.
pub struct Scan {
    pub path: PathBuf,
    pub about: Value,
    /// Keeps the temporary folder of a scan written for the test.
    _folder: Option<tempfile::TempDir>,
}

pub fn about(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The committed scan.
pub fn committed() -> Scan {
    let path = Path::new(FIXTURES).join("three_fields.nwb");
    Scan { about: about(&path.with_extension("json")), path, _folder: None }
}

/// A scan newly written by pynwb, if `$PALLIUM_PYTHON` or `python3` has it.
pub fn fresh(seed: u32, rois: u32, frames: u32) -> Option<Scan> {
    let python = std::env::var_os("PALLIUM_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import pynwb"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped: {} has no pynwb; set PALLIUM_PYTHON to a Python with it (pip install pynwb)",
            Path::new(&python).display()
        );
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, json) = (folder.path().join("scan.nwb"), folder.path().join("scan.json"));
    let output = Command::new(&python)
        .arg(Path::new(FIXTURES).join("make.py"))
        .args([&path, &json])
        .args([seed, rois, frames].map(|n| n.to_string()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(Scan { about: about(&json), path, _folder: Some(folder) })
}

/// Numbers of a JSON list; `null` stands for NaN.
pub fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

/// Indices of a JSON list.
pub fn indices(list: &Value) -> Vec<usize> {
    list.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}
