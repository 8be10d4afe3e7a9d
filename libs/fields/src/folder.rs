//! Reads the folder of a field, which is in the released layout
//! ([`released`]) or described by its owner ([`own_field`]).

use std::path::Path;

use pallium_core::{Result, Substrate};

use crate::listing::Listing;
pub use crate::released::{ConnectomeOrder, ReadOptions, Sttc};
use crate::{field_toml, own_field, released};

/// Reads the folder of a field.
///
/// # Errors
/// If a file is malformed, or two files contradict each other; the message
/// names the file and the place.
pub fn read(path: &Path, reading: &ReadOptions) -> Result<Substrate> {
    let listing = Listing::new(path)?;
    let text = field_toml::read(&listing)?;
    match text.as_deref().filter(|text| own_field::describes(text)) {
        Some(text) => own_field::read(path, text, reading),
        None => released::read_released(path, &listing, text.as_deref(), reading),
    }
}
