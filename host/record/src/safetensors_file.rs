//! Functions shared by the safetensors files of a run folder.

use std::collections::BTreeMap;

use pallium_core::{Error, Result};

use crate::table::unwritable;

/// Numbers as little-endian bytes.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Numbers from little-endian bytes, bit for bit; an incomplete last number is
/// dropped.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Adds `about` to the header of a safetensors file. The safetensors crate
/// writes metadata in the order of a hash map, which varies between processes;
/// the same training must give the same bytes.
///
/// # Errors
/// If `file` is not a safetensors file, or has metadata already.
pub fn with_metadata(file: &[u8], about: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let malformed = || Error::bug("a safetensors file has no header");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(malformed)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| malformed())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let tensors = std::str::from_utf8(header).ok().and_then(|h| h.trim_end().strip_prefix('{'));
    let tensors = tensors.ok_or_else(malformed)?;
    let about = serde_json::to_string(about).map_err(|e| unwritable(&e))?;
    // The comma separates metadata from tensors, if there are any.
    let comma = if tensors.starts_with('}') { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{about}{comma}{tensors}").into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + data.len());
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}
