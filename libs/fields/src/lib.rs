//! Fields of neurons: reads and writes their folders and computes functional
//! matrices from event times. It does not know components, experiments or
//! networks, nor how weights are made from a field.
//!
//! | module | what |
//! |---|---|
//! | [`folder`] | reads a field's folder of either kind |
//! | [`released`] | reads a folder as released, or as written by Pallium |
//! | [`own_field`] | reads your own field: ordinary files described by a `field.toml` |
//! | [`store`] | writes a field's folder |
//! | [`field_toml`] | the `field.toml` that `store` writes and `folder` reads |
//! | [`connectome`] | reads a table of synapse counts |
//! | [`connectome_order`] | puts a released connectome into the order of the neurons |
//! | [`rows`] | reads large tables, CSV or parquet, in little memory |
//! | [`events`] | checks event times |
//! | [`timeline`] | begin, end and frames of a recording; on which side of an edge a time is |
//! | [`bins`] | frames and bins; event counts and their correlation |
//! | [`sttc`] | spike time tiling coefficient |
//! | [`lasso`] | precision by the graphical lasso |
//! | [`derive`](mod@derive) | all functional matrices from event times |
//! | [`steep_rises`] | events in fluorescence traces |
//! | [`parallel`] | divides work among threads |

pub mod bins;
pub mod connectome;
pub mod connectome_order;
pub mod derive;
pub mod events;
pub mod field_toml;
pub mod folder;
pub mod lasso;
mod listing;
pub mod own_field;
pub mod parallel;
mod parquet_rows;
pub mod released;
pub mod rows;
pub mod steep_rises;
pub mod store;
pub mod sttc;
pub mod timeline;
