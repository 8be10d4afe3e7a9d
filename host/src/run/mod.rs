//! Running cells, and keeping what comes out.
//!
//! A cell's way: [`identity`] names it by everything its result depends on;
//! [`shard`] leaves it to another machine perhaps; [`pool`] sees with
//! [`claim`] that nobody is at it and hands it to a [`worker`] process within
//! its [`limits`] ([`workers`] starts and follows it); there [`train`] builds it, `course` trains it, from its
//! [`checkpoint`] if there is one, and [`store`] writes its folder, which the
//! parent then moves into place in one step; [`progress`] tells a person how it
//! goes, and [`table`] what came out.

pub mod checkpoint;
pub mod claim;
mod contents;
mod course;
pub(crate) mod durable;
pub mod export;
pub mod identity;
pub mod limits;
pub mod log;
pub mod machine;
#[cfg(test)]
mod mock;
pub mod outcome;
pub mod pool;
pub mod progress;
pub mod shard;
pub mod store;
pub mod table;
pub mod tensorboard;
pub mod train;
pub mod worker;
pub mod workers;
