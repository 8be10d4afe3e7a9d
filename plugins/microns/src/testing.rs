//! Helpers for the tests of this crate.

use pallium_core::prelude::*;
use pallium_core::{ndarray::Array2, rand::Rng};
use pallium_fields::folder::{self, ReadOptions, Sttc};
use pallium_testing::real_field;

/// A recorded field as released, with the connectome in restored order.
pub fn real_substrate(name: &str) -> Option<Substrate> {
    let reading = ReadOptions { sttc: Sttc::Released, ..ReadOptions::default() };
    Some(folder::read(&real_field(name)?, &reading).unwrap())
}

/// A field with random correlations and tiling coefficients.
pub fn random_field(neurons: usize) -> Substrate {
    let mut stream = random::stream(1, "test field");
    let mut field = Substrate { name: "random".into(), neurons, ..Substrate::default() };
    for name in [Substrate::CORRELATION, Substrate::STTC] {
        let mut matrix = Array2::eye(neurons);
        for i in 0..neurons {
            for j in 0..i {
                matrix[[i, j]] = stream.random_range(-0.1..0.3);
                matrix[[j, i]] = matrix[[i, j]];
            }
        }
        field.matrices.insert(name.to_owned(), matrix.into());
    }
    field
}
