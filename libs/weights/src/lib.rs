//! Helpers for sources of recurrent weights: checks of given draws, signs,
//! diagonal and spectral radius. It does not know where weights come from.

mod arnoldi;
mod draw;
mod finish;
mod radius;

pub use arnoldi::Arnoldi;
pub use draw::checked_draw;
pub use finish::{Diagonal, Finish, Signs};
pub use radius::{scale_to_radius, spectral_radius, warn_of_radius_zero};
