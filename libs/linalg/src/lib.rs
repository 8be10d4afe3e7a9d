//! Matrix products, decompositions and spectral radii. It does not know networks,
//! fields or any other meaning of a matrix.
//!
//! faer's algorithms are generic, so every crate that calls them compiles them
//! again. This crate wraps them in functions of `f32` and `f64`, which are
//! compiled once and linked by every plugin that needs them. A product costs one
//! additional function call.
//!
//! faer is built without rayon: everything runs in the calling thread, except
//! [`product_on_threads`].

mod components;
mod decomposition;
mod product;
mod spectral_radius;

pub use components::strong_components;
pub use decomposition::{
    Qr, Symmetric, eigenvalues, inverse, log_determinant, pseudo_inverse, qr, solve, symmetric,
};
pub use product::{Real, View, Write, product, product_on_threads};
pub use spectral_radius::{Squaring, perron_root, spectral_radius};
