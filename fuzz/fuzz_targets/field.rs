//! Folders of fields: positions, ids, matrices, events, connectome and
//! `field.toml`.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pallium_fields::folder::{self, ConnectomeOrder, ReadOptions, Sttc};
use pallium_fuzz::unpack;

const FILES: [&str; 6] = [
    "positions_a.npy",
    "root_ids_a.npy",
    "corr_matrix.npy",
    "spikes_a.npy",
    "connectome_a.csv",
    "field.toml",
];

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| pallium_fuzz::folder("field"));

fuzz_target!(|bytes: &[u8]| {
    unpack(bytes, &FOLDER, &FILES);
    for (order, sttc) in
        [(ConnectomeOrder::Released, Sttc::Released), (ConnectomeOrder::Restored, Sttc::HalfFrame)]
    {
        let reading = ReadOptions { order, sttc, frame_hz: Some(6.3009), events: sttc == Sttc::HalfFrame };
        if let Ok(field) = folder::read(&FOLDER, &reading) {
            field.check().expect("a valid field");
        }
    }
});
