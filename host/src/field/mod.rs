//! Summaries of a field from its substrate: distances, wiring, activity, and
//! the relations between them. This module knows no file format.

mod figure;
mod page;
mod relations;

pub use figure::svg;
pub use page::{AsStored, Page, PerOrder, Warnings, Weights, page};
pub use relations::{Bin, Distances, Order, Wiring, mean_between, order, profile, wiring};
