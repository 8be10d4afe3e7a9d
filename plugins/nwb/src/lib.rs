//! Fields from two-photon recordings in Neurodata Without Borders files.
//!
//! | component | role | what |
//! |---|---|---|
//! | `nwb.field` | substrate | one imaged field of a scan: positions, and correlation and event times from its traces |
//!
//! A crate of its own, so that nothing else depends on a reader of HDF5. That
//! reader, `hdf5-reader`, is written in Rust: no C library has to be there or
//! to be built. It only reads, and refuses before it allocates what a file
//! claims beyond the limits set in `hdf5.rs`.

mod events;
mod field;
mod hdf5;
mod masks;
mod scan;
#[cfg(test)]
mod testing;
mod traces;

pallium_core::plugin!();
