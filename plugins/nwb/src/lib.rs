//! Fields from two-photon recordings in Neurodata Without Borders files.
//!
//! | component | role | what |
//! |---|---|---|
//! | `nwb.field` | substrate | one imaged field of a scan: positions, correlation of traces, and event times |
//!
//! A separate crate, so that nothing else depends on an HDF5 reader. That reader,
//! `hdf5-reader`, is written in Rust and needs no C library. It refuses sizes
//! beyond the limits in `hdf5.rs` before it allocates memory.

mod events;
mod field;
mod hdf5;
mod links;
mod masks;
mod refusals;
mod rois;
mod scan;
#[cfg(test)]
mod testing;
mod traces;
#[cfg(test)]
mod variants;

pallium_core::plugin!();
