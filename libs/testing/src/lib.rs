//! Helpers for tests of several crates: recorded fields and reference values (if
//! available), temporary folders, synthetic events, warnings. It does not know the
//! host or a plugin.
//!
//! Functions panic on failure, because they run in tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pallium_core::{ndarray::Array2, random, serde_json, tracing};
use pallium_npy::npz::Npz;

/// Folder beside the repository that may hold data and reference values.
const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");

/// The folder of a recorded field, if available.
pub fn real_field(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PALLIUM_DATA").map_or_else(|| Path::new(BESIDE).join("data"), PathBuf::from);
    let folder = data.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no field {name} in {}; set PALLIUM_DATA to the folder of the fields", data.display());
    None
}

/// A file of reference values, if available.
pub fn golden(name: &str) -> Option<PathBuf> {
    let path = Path::new(BESIDE).join("golden").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no reference values at {}", path.display());
    None
}

/// The reference values of the fields.
pub fn golden_json() -> Option<serde_json::Value> {
    let text = std::fs::read(golden("fields.json")?).expect("a file that can be read");
    Some(serde_json::from_slice(&text).expect("JSON"))
}

/// A matrix of a field's reference values.
pub fn golden_matrix(field: &str, name: &str) -> Option<Array2<f64>> {
    let mut archive = Npz::open(&golden(&format!("field_{field}.npz"))?).expect("an archive");
    Some(archive.matrix(name).expect("a matrix of that name"))
}

/// Names of the matrices of a field's reference values.
pub fn golden_names(field: &str) -> Option<Vec<String>> {
    let archive = Npz::open(&golden(&format!("field_{field}.npz"))?).expect("an archive");
    Some(archive.names().into_iter().map(str::to_owned).collect())
}

/// A folder that is removed after the test.
pub struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a file that can be written");
        path
    }
}

/// Event times of `neurons` neurons over `length` seconds, on frames of 158.7 ms;
/// neurons share some of their events.
pub fn sparse_events(neurons: usize, length: f64, seed: u64) -> Vec<Vec<f64>> {
    use pallium_core::rand::Rng;
    let mut stream = random::stream(seed, "test events");
    let mut events = vec![Vec::new(); neurons];
    for frame in 1..(length * 6.3009) as u32 {
        let shared = stream.random::<f64>() < 0.05;
        for times in &mut events {
            if stream.random::<f64>() < if shared { 0.5 } else { 0.05 } {
                times.push(f64::from(frame) / 6.3009);
            }
        }
    }
    events
}

/// The warnings that `run` logs, one a line.
pub fn warnings(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = lines.0.lock().expect("no panic while writing").clone();
    String::from_utf8(bytes).expect("text")
}
