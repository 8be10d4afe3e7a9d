//! Square matrices, as `pallium measure` reads them.
#![no_main]
#![allow(dead_code)]

#[path = "../../host/src/files.rs"]
mod files;
#[path = "../../host/src/cli/npy.rs"]
mod npy;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(matrix) = npy::square(bytes, bytes.len() as u64) {
        assert_eq!(matrix.nrows(), matrix.ncols());
        assert!(matrix.len() <= bytes.len() && matrix.iter().all(|v| v.is_finite()));
    }
    let _ = npy::square(bytes, bytes.len() as u64 + 1);
});
