//! Wide tables, as `pallium stats` reads them.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pallium_stats::table;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = table::WideTable::parse(Path::new("fuzzed.csv"), bytes.to_vec()) {
        assert_eq!(table.names.len(), table.columns.len());
        assert!(table.columns.iter().all(|column| column.len() == table.runs.len()));
    }
});
