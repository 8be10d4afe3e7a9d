//! `null.eigenvalues`: the eigenvalues with random orthogonal eigenvectors.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

use crate::orthogonal::turned;
use crate::schur_form::square;
use crate::wiring::same_size;

pallium_core::params! {
    /// It has no parameters.
    pub struct Params {}
}

/// Q·D·Qᵀ with a random orthogonal Q, uniform over all of them. D has the original's
/// real eigenvalues and, for each complex pair a ± bi, a block of a and ±b on its
/// diagonal, so the eigenvectors are orthogonal: how far the original is from that
/// (its departure from normality) is not kept; `null.schur-form` keeps it. N×N.
pub struct Eigenvalues {
    original: Array2<f64>,
}

impl Component for Eigenvalues {
    const ID: &'static str = "null.eigenvalues";
    const ABOUT: &'static str = "null: keeps the eigenvalues, with random orthogonal eigenvectors";
    const CITE: &'static str = "Mezzadri 2007, Notices of the AMS 54:592";
    type Params = Params;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(Eigenvalues { original: square(setting)? })
    }
}

/// A block-diagonal matrix of these eigenvalues (real, imaginary), of which complex
/// ones are in conjugate pairs.
fn block_diagonal(eigenvalues: &[(f64, f64)]) -> Array2<f64> {
    let mut blocks = Array2::zeros((eigenvalues.len(), eigenvalues.len()));
    let mut at = 0;
    // Of a pair, the one with the positive imaginary part stands for both.
    for &(re, im) in eigenvalues.iter().filter(|(_, im)| *im >= 0.0) {
        blocks[[at, at]] = re;
        if im > 0.0 {
            (blocks[[at, at + 1]], blocks[[at + 1, at]], blocks[[at + 1, at + 1]]) = (im, -im, re);
            at += 1;
        }
        at += 1;
    }
    blocks
}

impl WeightSource for Eigenvalues {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        same_size(self.original.nrows(), request)?;
        let eigenvalues = pallium_linalg::eigenvalues(self.original.view())
            .ok_or_else(|| Error::input("the eigenvalues of the weights cannot be found"))?;
        if eigenvalues.iter().all(|value| *value == (0.0, 0.0)) {
            return Err(Error::input("all eigenvalues of the weights are 0, because no connections form a cycle: all weights of the null model would be 0")
                .help("choose another null model, such as `schur-form` or `strengths`"));
        }
        let mut stream = random::stream(request.seed, Self::ID);
        Ok(turned(&block_diagonal(&eigenvalues), &mut stream).mapv(|w| w as f32))
    }
}
pallium_core::register!(WeightSource, Eigenvalues);
