//! Two-photon recordings in HDF5.
#![no_main]
#![allow(dead_code)]

#[path = "../../plugins/nwb/src/events.rs"]
mod events;
#[path = "../../plugins/nwb/src/field.rs"]
mod field;
#[path = "../../plugins/nwb/src/hdf5.rs"]
mod hdf5;
#[path = "../../plugins/nwb/src/links.rs"]
mod links;
#[path = "../../plugins/nwb/src/masks.rs"]
mod masks;
#[path = "../../plugins/nwb/src/refusals.rs"]
mod refusals;
#[path = "../../plugins/nwb/src/rois.rs"]
mod rois;
#[path = "../../plugins/nwb/src/scan.rs"]
mod scan;
#[path = "../../plugins/nwb/src/traces.rs"]
mod traces;

use std::path::Path;
use std::sync::Arc;

use hdf5_reader::BytesStorage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let storage = Arc::new(BytesStorage::new(bytes.to_vec()));
    let Ok(root) = hdf5::root(Path::new("fuzzed.nwb"), storage, None) else { return };
    for wanted in ["1", "2", "3"] {
        let Ok(plane) = scan::Plane::choose(&root, wanted) else { continue };
        let rows: Vec<usize> = (0..plane.rows()).collect();
        let _ = plane.numbers("pt_x_position");
        let _ = plane.texts("mask_type");
        let _ = masks::centres(&plane, &rows, [0.0; 2]);
        let _ = events::recorded(&root, &plane, &rows);
        if let Ok(Some(series)) = plane.series(&root, "Fluorescence")
            && let Ok(traces) = traces::Traces::read(&series, &plane, &rows)
            && !traces.clock.times.is_empty()
        {
            let correlation = traces.correlation(1);
            assert!(correlation.iter().all(|r| r.is_finite()), "finite traces, finite correlation");
            let _ = events::detected(&traces, 3.0);
        }
    }
});
