//! Tables of synapse counts.
#![no_main]
#![allow(dead_code)]

#[path = "../../plugins/microns/src/connectome.rs"]
mod connectome;
#[path = "../../plugins/microns/src/npy.rs"]
mod npy;
#[path = "../../plugins/microns/src/pickle.rs"]
mod pickle;

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = connectome::table(Path::new("fuzzed.csv"), bytes, bytes.len() as u64) {
        assert_eq!(table.nrows(), table.ncols());
        assert!(2 * table.len() <= bytes.len());
        assert!(table.iter().all(|count| count.is_finite() && *count >= 0.0));
    }
});
