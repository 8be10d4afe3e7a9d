//! Functions shared by the safetensors files of a run folder.

use std::collections::BTreeMap;

use pallium_core::{Error, Result, Tensor, Values};
use safetensors::tensor::{Dtype, TensorView};

use crate::table::unwritable;

macro_rules! types {
    ($(($variant:ident, $type:ty, $dtype:ident, $size:literal)),* $(,)?) => {
        /// Values as little-endian bytes, and their type.
        ///
        /// # Errors
        /// If this version cannot store the type.
        pub fn to_bytes(values: &Values) -> Result<(Dtype, Vec<u8>)> {
            match values {
                $(Values::$variant(values) => {
                    Ok((Dtype::$dtype, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
                })*
                other => Err(Error::unsupported(format!("values of type {} cannot be stored", other.type_name()))),
            }
        }

        /// Values from little-endian bytes, bit for bit; an incomplete last one is
        /// dropped. `None` for a type that Pallium does not store.
        pub fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Option<Values> {
            match dtype {
                $(Dtype::$dtype => {
                    let (values, _) = bytes.as_chunks::<$size>();
                    Some(values.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect::<Vec<_>>().into())
                })*
                _ => None,
            }
        }
    };
}
types! {
    (F32, f32, F32, 4),
    (F64, f64, F64, 8),
    (I64, i64, I64, 8),
    (U64, u64, U64, 8),
    (U32, u32, U32, 4),
    (U8, u8, U8, 1),
}

/// A file with these tensors.
///
/// # Errors
/// If two tensors have one name, or one does not have the shape it states.
pub fn of_tensors(what: &str, tensors: &[Tensor]) -> Result<Vec<u8>> {
    let wrong = |why: String| Error::plugin(format!("{what}: {why}"));
    let bytes = tensors.iter().map(|tensor| to_bytes(&tensor.values)).collect::<Result<Vec<_>>>()?;
    let mut views = BTreeMap::new();
    for (tensor, (dtype, bytes)) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(*dtype, tensor.shape.clone(), bytes)
            .map_err(|e| wrong(format!("tensor `{}`: {e}", tensor.name)))?;
        if views.insert(tensor.name.as_str(), view).is_some() {
            return Err(wrong(format!("two tensors are named `{}`", tensor.name)));
        }
    }
    safetensors::serialize(views, None).map_err(|e| wrong(e.to_string()))
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
