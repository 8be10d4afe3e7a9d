//! `null.schur-form`: the same linear map in a random orthogonal basis.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

use crate::orthogonal::turned;
use crate::wiring::same_size;

pallium_core::params! {
    /// It has no parameters.
    pub struct Params {}
}

/// Q·T·Qᵀ with the original's real Schur form T and a random orthogonal Q, uniform over
/// all of them. It keeps eigenvalues, singular values, norms and the departure from
/// normality; only the basis, which neuron takes which part, is random. Weights are in
/// single precision, whose rounding moves eigenvalues of almost defective matrices, such
/// as those of connections without cycles, by more than itself. N×N.
pub struct SchurForm {
    original: Array2<f64>,
}

impl Component for SchurForm {
    const ID: &'static str = "null.schur-form";
    const ABOUT: &'static str = "null: keeps eigen- and singular values and non-normality, in a random basis";
    const CITE: &'static str = "Goldman 2009, Neuron 61:621; Mezzadri 2007, Notices of the AMS 54:592";
    type Params = Params;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(SchurForm { original: square(setting)? })
    }
}

/// The original weights of a setting as a matrix in double precision.
///
/// # Errors
/// If there are none, or they are not square.
pub fn square(setting: &Setting<'_>) -> Result<Array2<f64>> {
    let original = setting.original()?;
    let (rows, columns) = original.dim();
    if rows != columns {
        return Err(Error::input(format!("the original weights are {rows}×{columns}, but must be N×N"))
            .help("null models that keep eigenvalues connect all pairs: leave out `connections`"));
    }
    Ok(original.mapv(f64::from))
}

impl WeightSource for SchurForm {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        same_size(self.original.nrows(), request)?;
        let mut stream = random::stream(request.seed, Self::ID);
        // W = Z·T·Zᵀ with an orthogonal Z. If Q is uniform, Q·Z is, too, so a change of
        // W's own basis has the same distribution, and no decomposition rounds it.
        Ok(turned(&self.original, &mut stream).mapv(|w| w as f32))
    }
}
pallium_core::register!(WeightSource, SchurForm);
