//! Reading and writing of numpy's `.npy` and `.npz` files.
//!
//! Readers take files that may have been cut short, damaged or written to do
//! harm: nothing is allocated before header and length agree, and no pickle is
//! run ([`pickle`]).

mod npy;
pub mod npz;
pub mod pickle;
mod write;

pub use npy::{
    Dtype, Fits, Numeric, any, array, ids, list, lists, matrix, open, read_array, read_ids, read_list,
    read_lists, read_matrix,
};
pub use write::{Element, write};
