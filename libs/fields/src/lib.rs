//! Fields of neurons: their folders, read and written, and the matrices of their
//! activity.
//!
//! | module | what |
//! |---|---|
//! | [`folder`] | reads a field's folder, as released or as written by Pallium |
//! | [`described`] | reads a field of one's own: plain files and a `field.toml` |
//! | [`store`] | writes a field's folder |
//! | [`connectome`] | reads a table of synapse counts |
//! | [`set_order`] | puts a released connectome into the order of the neurons |
//! | [`rows`] | reads large tables in little memory |
//! | [`activity`], [`counts`] | correlation and spike time tiling from event times |
//! | [`derive`] | all functional matrices from event times |
//! | [`lasso`] | sparse inverse covariance |
//! | [`rises`] | events in traces of fluorescence |
//! | [`parallel`] | work shared among threads |

pub mod activity;
pub mod connectome;
pub mod counts;
pub mod derive;
pub mod described;
pub mod folder;
pub mod lasso;
pub mod parallel;
pub mod rises;
pub mod rows;
pub mod set_order;
pub mod store;
