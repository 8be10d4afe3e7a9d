//! Reads and writes numpy's `.npy` and `.npz` files. It does not know what the
//! arrays mean: fields, weights and reference values are all numbers here.
//!
//! A file may be truncated, damaged or malicious: nothing is allocated before
//! header and length agree, and no pickle is executed ([`pickle`]).

mod dtype;
mod npy;
pub mod npz;
pub mod pickle;
mod write;

pub use dtype::{Dtype, Numeric};
pub use npy::{
    Fits, any, array, ids, list, lists, matrix, read_array, read_ids, read_list, read_lists, read_matrix,
};
pub use write::{Element, text_bytes, write, write_texts};
