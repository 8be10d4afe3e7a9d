//! What can be said about a field from its substrate: distances, wiring,
//! activity, and how they go together. Nothing here knows a file format.

mod figure;
mod page;
mod relations;

pub use figure::{svg, write_svg};
pub use page::{Page, PerOrder, Warnings, Weights, page};
pub use relations::{Bin, Order, Wiring, distances, mean_off_diagonal, order, profile, wiring};
