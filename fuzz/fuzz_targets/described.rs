//! Your own fields (a `field.toml` and the files that it names), and tables of the
//! MICrONS volume.
#![no_main]
#![allow(dead_code)]

#[path = "../../plugins/microns/src/tables/mod.rs"]
mod tables;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pallium_core::{Component, Setting, SubstrateSource};
use pallium_fields::folder::{self, ReadOptions};
use pallium_fuzz::unpack;

const FILES: [&str; 5] = ["field.toml", "a.csv", "b.csv", "c.npz", "d.parquet"];

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // The parquet reader panics on some damaged files. The caller catches that and
    // reports damage. Any other panic ends the process, as in the other targets.
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let own = panic.location().is_none_or(|place| !place.file().contains("/parquet-"));
        if own {
            abort(panic);
        }
    }));
    pallium_fuzz::folder("described")
});

fuzz_target!(|bytes: &[u8]| {
    unpack(bytes, &FOLDER, &FILES);
    let reading =
        ReadOptions { events: true, ..ReadOptions::default() };
    if let Ok(field) = folder::read(&FOLDER, &reading) {
        field.check().expect("a valid field");
    }
    let path = |name: &str| FOLDER.join(name).to_str().expect("a path").to_owned();
    let params =
        tables::Params { coregistration: path("a.csv"), synapses: path("b.csv"), ..tables::Params::default() };
    let mut tables = tables::Tables::build(params, &Setting::default()).expect("valid parameters");
    if let Ok(field) = tables.substrate(0) {
        field.check().expect("a valid field");
    }
});
