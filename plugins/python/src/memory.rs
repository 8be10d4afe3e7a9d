//! The file in shared memory through which arrays cross to a Python process and back.
//!
//! It is written and read by `pwrite` and `pread`, which on such a file are copies of
//! memory; the process maps it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{Tensor, Values};
use tempfile::{NamedTempFile, TempPath};

/// Arrays begin at multiples of this number of bytes.
const ALIGNMENT: u64 = 64;
/// The file grows in steps of this size.
const STEP: u64 = 1 << 20;
/// Maximum number of bytes of an answer's arrays (16 GiB).
const MAX_BYTES: u64 = 1 << 34;

/// An array to be sent.
pub struct Sent<'a> {
    name: String,
    kind: &'static str,
    shape: Vec<usize>,
    bytes: std::borrow::Cow<'a, [u8]>,
}

/// Makes [`Sent`] from arrays of each type.
macro_rules! sent {
    ($($function:ident, $type:ty, $kind:literal, $about:literal;)*) => {
        impl<'a> Sent<'a> {
            $(#[doc = concat!("An array of ", $about, ".")]
            pub fn $function<D: pallium_core::ndarray::Dimension>(
                name: impl Into<String>,
                view: pallium_core::ndarray::ArrayView<'a, $type, D>,
            ) -> Self {
                let shape = view.shape().to_vec();
                let bytes = match view.to_slice() {
                    Some(values) => std::borrow::Cow::Borrowed(bytemuck::cast_slice(values)),
                    None => {
                        let values: Vec<$type> = view.iter().copied().collect();
                        std::borrow::Cow::Owned(bytemuck::cast_slice(&values).to_vec())
                    }
                };
                Sent { name: name.into(), kind: $kind, shape, bytes }
            })*
        }
    };
}
sent! {
    f32, f32, "f32", "single precision";
    f64, f64, "f64", "double precision";
    i64, i64, "i64", "whole numbers";
    u32, u32, "u32", "counts";
}

impl<'a> Sent<'a> {
    /// A tensor.
    pub fn tensor(tensor: &'a Tensor) -> Result<Self> {
        let bytes: &[u8] = match &tensor.values {
            Values::F32(v) => bytemuck::cast_slice(v),
            Values::F64(v) => bytemuck::cast_slice(v),
            Values::I64(v) => bytemuck::cast_slice(v),
            Values::U64(v) => bytemuck::cast_slice(v),
            Values::U32(v) => bytemuck::cast_slice(v),
            Values::U8(v) => v,
            _ => return Err(Error::bug(format!("tensor `{}` has an unknown type", tensor.name))),
        };
        Ok(Sent {
            name: tensor.name.clone(),
            kind: tensor.values.type_name(),
            shape: tensor.shape.clone(),
            bytes: bytes.into(),
        })
    }
}

/// The file.
pub struct Memory {
    file: File,
    /// Its path, until the process has opened it.
    path: Option<TempPath>,
    size: u64,
    /// Vectors of earlier answers, to be used again: the pages of a new vector of a
    /// large matrix take as long as its copy.
    spare: Vec<Vec<f32>>,
}

impl Memory {
    /// A new file, in memory if the system has a place for that.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new() -> Result<Self> {
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let (file, path) = NamedTempFile::with_prefix_in("pallium-", &folder)
            .map_err(|e| Error::io(&folder, &e))?
            .into_parts();
        Ok(Memory { file, path: Some(path), size: 0, spare: Vec::new() })
    }

    /// Its path.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.to_path_buf())
    }

    /// Removes its name, so that nothing is left if both processes are killed.
    pub fn unlink(&mut self) {
        self.path = None;
    }

    /// Writes arrays from the beginning; returns their places, and the end.
    ///
    /// # Errors
    /// If there is no space.
    pub fn put(&mut self, arrays: &[Sent<'_>]) -> Result<(Value, u64)> {
        let mut places = Vec::with_capacity(arrays.len());
        let mut at = 0;
        for array in arrays {
            places.push(json!({"name": array.name, "type": array.kind, "shape": array.shape, "at": at}));
            at = (at + array.bytes.len() as u64).next_multiple_of(ALIGNMENT);
        }
        if at > self.size {
            self.size = at.next_multiple_of(STEP);
            self.file.set_len(self.size).map_err(|e| self.failed(&e))?;
        }
        let mut at = 0;
        for array in arrays {
            self.file.write_all_at(&array.bytes, at).map_err(|e| self.failed(&e))?;
            at = (at + array.bytes.len() as u64).next_multiple_of(ALIGNMENT);
        }
        Ok((places.into(), at))
    }

    /// Reads an array that an answer describes.
    ///
    /// # Errors
    /// If the description does not fit the file.
    pub fn get(&mut self, about: &Value) -> Result<Tensor> {
        let name = about["name"].as_str().unwrap_or_default();
        let malformed = || Error::bug(format!("the array `{name}` of an answer is malformed: {about}"));
        let shape: Option<Vec<usize>> = about["shape"]
            .as_array()
            .map(|axes| axes.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect())
            .ok_or_else(malformed)?;
        let shape = shape.ok_or_else(malformed)?;
        let at = about["at"].as_u64().ok_or_else(malformed)?;
        let count = shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n)).ok_or_else(malformed)?;
        if count as u64 > MAX_BYTES / 8 {
            return Err(
                Error::plugin(format!("the array `{name}` has {count} values")).help("return smaller arrays")
            );
        }
        macro_rules! read {
            ($values:expr) => {{
                let mut values = $values;
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
                self.file.read_exact_at(bytes, at).map_err(|e| self.failed(&e))?;
                Values::from(values)
            }};
        }
        let values = match about["type"].as_str() {
            Some("f32") => read!({
                let mut spare = self.spare.pop().unwrap_or_default();
                spare.resize(count, 0.0_f32);
                spare
            }),
            Some("f64") => read!(vec![0.0_f64; count]),
            Some("i64") => read!(vec![0_i64; count]),
            Some("u64") => read!(vec![0_u64; count]),
            Some("u32") => read!(vec![0_u32; count]),
            Some("u8") => read!(vec![0_u8; count]),
            _ => return Err(malformed()),
        };
        // The process may have made it larger.
        self.size = self.size.max(self.file.metadata().map_or(0, |about| about.len()));
        Ok(Tensor { name: name.into(), shape, values })
    }

    /// Takes back an answer that is no longer needed.
    pub fn recycle(&mut self, answer: Vec<Tensor>) {
        self.spare = answer
            .into_iter()
            .filter_map(|tensor| match tensor.values {
                Values::F32(values) => Some(values),
                _ => None,
            })
            .collect();
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        let place = self.path().unwrap_or_else(|| PathBuf::from("/dev/shm"));
        Error::io(&place, error)
            .help("Pallium and Python exchange arrays in shared memory, which may be full: make room there")
    }
}

/// The single-precision matrix in a tensor.
///
/// # Errors
/// If it is not one of this shape.
pub fn matrix(tensor: &Tensor, rows: usize, columns: usize) -> Result<Matrix> {
    let values = Tensor::find::<f32>(std::slice::from_ref(tensor), &tensor.name, &[rows, columns])?;
    Matrix::from_shape_vec((rows, columns), values.to_vec()).map_err(|e| Error::bug(e.to_string()))
}
