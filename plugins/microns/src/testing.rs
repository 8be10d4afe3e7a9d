//! What the tests of this crate share.

use std::path::{Path, PathBuf};

use pallium_core::{Substrate, ndarray};

use crate::folder::{self, ConnectomeOrder, Reading, Sttc};

const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");

/// The folder of a real field, if the data are at hand.
pub fn real_field(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("PALLIUM_DATA").map_or_else(|| Path::new(BESIDE).join("data"), PathBuf::from);
    let folder = data.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: there is no field {name} in {}; set PALLIUM_DATA to where the fields are",
        data.display()
    );
    None
}

/// A real field as released, but for the connectome, which is put in order.
pub fn real_substrate(name: &str) -> Option<Substrate> {
    let reading =
        Reading { order: ConnectomeOrder::Restored, sttc: Sttc::Released, frame_hz: None, events: false };
    Some(folder::read(&real_field(name)?, &reading).unwrap())
}

/// A file of reference values, if they are at hand.
pub fn golden(name: &str) -> Option<PathBuf> {
    let path = Path::new(BESIDE).join("golden").join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there are no reference values at {}", path.display());
    None
}

/// The reference values of the fields.
pub fn golden_json() -> Option<serde_json::Value> {
    Some(serde_json::from_slice(&std::fs::read(golden("fields.json")?).unwrap()).unwrap())
}

/// A matrix of reference values, whichever float it was written as.
pub fn golden_matrix(field: &str, name: &str) -> Option<ndarray::Array2<f64>> {
    let file = std::fs::File::open(golden(&format!("field_{field}.npz"))?).unwrap();
    let mut archive = ndarray_npy::NpzReader::new(file).unwrap();
    if let Ok(matrix) = archive.by_name::<ndarray::OwnedRepr<f64>, ndarray::Ix2>(name) {
        return Some(matrix);
    }
    let matrix = archive.by_name::<ndarray::OwnedRepr<f32>, ndarray::Ix2>(name).unwrap();
    Some(matrix.mapv(f64::from))
}

/// A folder that is gone after the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file into it.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Event times of `neurons` neurons that share some of their events, on frames
/// of 158.7 ms over `length` seconds.
pub fn sparse_events(neurons: usize, length: f64, seed: u64) -> Vec<Vec<f64>> {
    use rand::Rng;
    let mut stream = pallium_core::random::stream(seed, "test events");
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
