//! Arrays of numbers and of lists; every file is read by every reader.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pallium_npy as npy;

fuzz_target!(|bytes: &[u8]| {
    let (path, length) = (Path::new("fuzzed.npy"), bytes.len() as u64);
    if let Ok(matrix) = npy::matrix(path, bytes, length, &npy::any) {
        assert!(matrix.iter().all(|v| v.is_finite()) && matrix.is_standard_layout());
        assert!(matrix.len() <= bytes.len());
    }
    let _ = npy::array(path, bytes, length, &npy::any);
    let _ = npy::ids(path, bytes, length, &npy::any);
    let _ = npy::list(path, bytes, length, &npy::any);
    if let Ok(lists) = npy::lists(path, bytes, length, &npy::any) {
        assert!(lists.iter().map(Vec::len).sum::<usize>() <= bytes.len());
    }
    // A file that grows or shrinks while it is read.
    let _ = npy::matrix(path, bytes, length + 1, &npy::any);
    let _ = npy::lists(path, bytes, length / 2, &npy::any);
});
