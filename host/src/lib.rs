//! The host: finds and loads plugins, reads experiment files, expands them into
//! trainings, runs these in worker processes, and stores the results.

pub mod child;
mod citation;
pub mod cli;
pub mod dataset;
pub mod experiment;
pub mod fetch;
pub mod field;
pub mod geometry;
pub mod limits;
pub mod plugins;
pub mod run;
pub mod scaffold;
pub mod submit;
