//! Running cells, and keeping what comes out.
//!
//! A cell's way: [`identity`] names it by everything its result depends on;
//! [`pool`] hands it to a [`worker`] process; there [`train`] trains it and
//! [`store`] writes its folder, which the parent then moves into place in one
//! step; [`progress`] tells a person how it goes, and [`table`] what came out.

pub mod identity;
pub mod machine;
#[cfg(test)]
mod mock;
pub mod outcome;
pub mod pool;
pub mod progress;
pub mod store;
pub mod table;
pub mod train;
pub mod worker;
