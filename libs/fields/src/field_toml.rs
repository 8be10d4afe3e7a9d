//! The `field.toml` that Pallium writes beside the files of a field: metadata
//! that the files lack. A `field.toml` that describes other files is read by
//! [`own_field`](crate::own_field).

use std::collections::BTreeSet;
use std::path::Path;

use pallium_core::prelude::*;
use serde::{Deserialize, Serialize};

use crate::listing::Listing;

/// Content of `field.toml`; every key is optional.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldToml {
    /// Version of this format.
    pub version: Option<u32>,
    /// The field's name.
    pub name: Option<String>,
    /// Micrometres per unit of the positions along each axis.
    pub position_unit_um: Option<[f64; 3]>,
    /// Order of the connectome's rows and columns.
    pub connectome_order: Option<StoredOrder>,
    /// Version 1: keep the STTC as it is. Version 2 lists it in `derived`.
    #[serde(skip_serializing)]
    pub sttc: Option<StoredSttc>,
    /// Frames per second of the recording.
    pub frame_hz: Option<f64>,
    /// Begin and end of the recording (s); since version 3.
    pub recording: Option<(f64, f64)>,
    /// Matrices to keep as they are.
    pub derived: BTreeSet<String>,
    /// Notes for readers of results.
    pub notes: Vec<String>,
}

/// Order of a stored connectome.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredOrder {
    /// The order of the neurons.
    Neurons,
    /// The iteration order of a Python set of the root ids.
    PythonSet,
}

/// State of a stored STTC.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredSttc {
    /// Both triangles are valid; do not recompute.
    Final,
}

/// Name of the file that holds the [`FieldToml`].
pub const FIELD_TOML: &str = "field.toml";
/// Version of the [`FieldToml`] that is written.
pub const VERSION: u32 = 3;
/// Longest [`FIELD_TOML`] that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The text of the folder's `field.toml`, if there is one.
pub(crate) fn read(listing: &Listing) -> Result<Option<String>> {
    let path = listing.folder.join(FIELD_TOML);
    if !listing.names.iter().any(|name| name == FIELD_TOML) {
        return Ok(None);
    }
    let (file, length) = pallium_files::open(&path)?;
    if length > LONGEST {
        return Err(Error::input(format!("{} is {length} bytes long", path.display()))
            .help("it should be a short description of the files beside it"));
    }
    std::io::read_to_string(file).map(Some).map_err(|e| Error::io(&path, &e))
}

impl FieldToml {
    /// Parses and checks `text`; without text, everything is left out.
    pub(crate) fn parse(listing: &Listing, text: Option<&str>) -> Result<Self> {
        let path = listing.folder.join(FIELD_TOML);
        let Some(text) = text else { return Ok(FieldToml::default()) };
        let metadata: FieldToml = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            Error::input(format!("{}, line {line}: {}", path.display(), e.message())).help(
                "known keys: version, name, position_unit_um, connectome_order, frame_hz, recording, derived, notes",
            )
        })?;
        if metadata.version.is_some_and(|version| version > VERSION) {
            let version = metadata.version.unwrap_or_default();
            return Err(Error::input(format!("{} has version {version}", path.display()))
                .help(format!("this Pallium reads versions up to {VERSION}; install a newer version")));
        }
        if let Some(hz) = metadata.frame_hz.filter(|hz| !(hz.is_finite() && *hz > 0.0)) {
            return Err(Error::input(format!("{}: frame_hz is {hz}", path.display()))
                .help("it must be a positive number of frames per second"));
        }
        check_recording(&path, metadata.recording)?;
        if let Some(unit) = metadata.position_unit_um
            && unit.iter().any(|&u| !(u.is_finite() && u > 0.0))
        {
            return Err(Error::input(format!("{}: position_unit_um is {unit:?}", path.display()))
                .help("it must be three positive numbers: micrometres per unit along each axis"));
        }
        Ok(metadata)
    }
}

/// Refuses a recording that does not end after it begins.
///
/// # Errors
/// Then; the message names the file.
pub(crate) fn check_recording(path: &Path, recording: Option<(f64, f64)>) -> Result<()> {
    match recording {
        Some((begin, end)) if !(begin.is_finite() && end.is_finite() && begin < end) => {
            Err(Error::input(format!("{}: recording is [{begin}, {end}]", path.display()))
                .help("it must be two numbers, start and end in seconds on the clock of the events, and end after it begins"))
        }
        _ => Ok(()),
    }
}
