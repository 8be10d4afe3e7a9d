//! The host: finds and loads plugins, reads experiment files, expands them
//! into cells, runs the cells in worker processes, and keeps the results.

pub mod cell;
pub mod cli;
pub mod experiment;
pub mod fetch;
pub mod field;
pub mod files;
pub mod geometry;
pub mod hash;
pub mod plugins;
pub mod report;
pub mod run;
pub mod scaffold;
pub mod stats;
pub mod submit;
