//! Tables of synapse counts.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pallium_fields::connectome;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = connectome::table(Path::new("fuzzed.csv"), bytes, bytes.len() as u64) {
        assert_eq!(table.nrows(), table.ncols());
        assert!(2 * table.len() <= bytes.len());
        assert!(table.iter().all(|count| count.is_finite() && *count >= 0.0));
    }
});
