//! Spectral radius of the recurrent matrix.

use pallium_core::prelude::*;

use pallium_graph::recurrent;

pallium_core::params! {
    /// The spectral radius has no parameters.
    pub struct Params {}
}

/// `spectral_radius`: the largest |eigenvalue| of the signed recurrent matrix,
/// from the real Schur form in double precision.
pub struct SpectralRadius;

impl Component for SpectralRadius {
    const ID: &'static str = "organization.spectral-radius";
    const ABOUT: &'static str = "largest absolute eigenvalue of the recurrent matrix";
    const CITE: &'static str = "Golub and Van Loan 2013, Matrix Computations, chapter 7";
    type Params = Params;
    fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(SpectralRadius)
    }
}

impl Metric for SpectralRadius {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        Ok(vec![Measure::new("spectral_radius", spectral_radius(recurrent(network)?))].into())
    }
}
pallium_core::register!(Metric, SpectralRadius);

/// Spectral radius of a square, finite matrix; NaN if it is empty or the
/// iteration does not converge.
pub fn spectral_radius(weights: MatrixView<'_>) -> f64 {
    let n = weights.nrows();
    pallium_linalg::spectral_radius(weights.mapv(f64::from).view()).unwrap_or_else(|| {
        pallium_core::tracing::warn!("the eigenvalues of a {n}×{n} matrix cannot be found");
        f64::NAN
    })
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn known_matrices_have_known_radii() {
        assert_eq!(spectral_radius(array![[-3.0_f32]].view()), 3.0);
        assert_eq!(spectral_radius(Matrix::zeros((4, 4)).view()), 0.0);
        assert!(spectral_radius(Matrix::zeros((0, 0)).view()).is_nan());
        // A rotation by any angle times 2: a complex pair of modulus 2.
        let (s, c) = 0.7_f64.sin_cos();
        let rotation = array![[2.0 * c, -2.0 * s], [2.0 * s, 2.0 * c]].mapv(|v| v as f32);
        assert!((spectral_radius(rotation.view()) - 2.0).abs() < 1e-6);
        // A nilpotent matrix has no eigenvalue but zero.
        let nilpotent = Matrix::from_shape_fn((8, 8), |(i, j)| f32::from(j == i + 1));
        assert_eq!(spectral_radius(nilpotent.view()), 0.0);
        // A cyclic shift: all eigenvalues on the unit circle.
        let cyclic = Matrix::from_shape_fn((30, 30), |(i, j)| f32::from(j == (i + 1) % 30));
        assert!((spectral_radius(cyclic.view()) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_random_matrix_agrees_with_numpy() {
        // numpy 2.4: i, j = np.mgrid[:50, :50]; w = np.sin(1 + 7*i + 13*j*j).astype(np.float32)
        // abs(np.linalg.eigvals(w.astype(float))).max()
        let w = Matrix::from_shape_fn((50, 50), |(i, j)| ((1 + 7 * i + 13 * j * j) as f64).sin() as f32);
        assert!((spectral_radius(w.view()) - 3.340375979912798).abs() < 1e-10);
    }
}
