//! Matrix products and decompositions.
//!
//! faer's algorithms are generic, so a crate that calls them compiles them.
//! Here they stand behind functions of `f32` and `f64` that are compiled once
//! and linked by every plugin that needs them. A product costs one function
//! call more than a call of faer.
//!
//! Everything runs in the calling thread, except for
//! [`product_on_threads`]: faer is built without rayon.

mod decomposition;
mod product;
mod spectral_radius;

pub use decomposition::{Qr, Symmetric, inverse, log_determinant, pseudo_inverse, qr, solve, symmetric};
pub use product::{Real, View, Write, product, product_on_threads};
pub use spectral_radius::{Squaring, perron_root, spectral_radius};
