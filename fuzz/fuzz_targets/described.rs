//! Fields of one's own: a description and the files that it names; and tables
//! of the MICrONS volume.
//!
//! The input is the files one after the other, each with its length (two
//! bytes, the most significant last) before it.
#![no_main]
#![allow(dead_code)]

#[path = "../../plugins/microns/src/activity.rs"]
mod activity;
#[path = "../../plugins/microns/src/connectome.rs"]
mod connectome;
#[path = "../../plugins/microns/src/counts.rs"]
mod counts;
#[path = "../../plugins/microns/src/described/mod.rs"]
mod described;
#[path = "../../plugins/microns/src/field.rs"]
mod field;
#[path = "../../plugins/microns/src/folder.rs"]
mod folder;
#[path = "../../plugins/microns/src/npy.rs"]
mod npy;
#[path = "../../plugins/microns/src/parallel.rs"]
mod parallel;
#[path = "../../plugins/microns/src/pickle.rs"]
mod pickle;
#[path = "../../plugins/microns/src/rows.rs"]
mod rows;
#[path = "../../plugins/microns/src/set_order.rs"]
mod set_order;
#[path = "../../plugins/microns/src/store.rs"]
mod store;
#[path = "../../plugins/microns/src/tables.rs"]
mod tables;

use std::path::PathBuf;
use std::sync::LazyLock;

use folder::{ConnectomeOrder, Reading, Sttc};
use libfuzzer_sys::fuzz_target;
use pallium_core::{Component, Setting, SubstrateSource};

const FILES: [&str; 5] = ["field.toml", "a.csv", "b.csv", "c.npz", "d.parquet"];

/// In memory, where there is such a place.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // The parquet reader gives up on some damaged files by a panic, which is
    // caught where it is called and told as damage. Every panic elsewhere ends
    // the process, as it does in the other targets.
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let own = panic.location().is_none_or(|place| !place.file().contains("/parquet-"));
        if own {
            abort(panic);
        }
    }));
    let shared = PathBuf::from("/dev/shm");
    let base = if shared.is_dir() { shared } else { std::env::temp_dir() };
    let folder = base.join(format!("pallium-fuzz-described-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the field");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    for name in FILES {
        let path = FOLDER.join(name);
        let _ = std::fs::remove_file(&path);
        if let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (file, after) = after.split_at(after.len().min(u16::from_le_bytes(*length).into()));
            rest = after;
            // An empty file is one that is not there.
            if !file.is_empty() {
                std::fs::write(&path, file).expect("a file of the field");
            }
        }
    }
    let reading =
        Reading { order: ConnectomeOrder::Restored, sttc: Sttc::HalfFrame, frame_hz: None, events: true };
    if let Ok(field) = folder::read(&FOLDER, &reading) {
        field.check().expect("what is read is a field");
    }
    let path = |name: &str| FOLDER.join(name).to_str().expect("a path").to_owned();
    let params =
        tables::Params { coregistration: path("a.csv"), synapses: path("b.csv"), ..tables::Params::default() };
    let mut tables = tables::Tables::build(params, &Setting::default()).expect("paths are enough");
    if let Ok(field) = tables.substrate(0) {
        field.check().expect("what is read is a field");
    }
});
