//! `init.gaussian`: W, independent normal numbers.

use pallium_core::{ndarray::Array2, prelude::*};
use pallium_weights::checked_draw;
use rand_distr::{Distribution, StandardNormal};

pallium_weights::weight_params! {
    /// Size and sign of the weights.
    pub struct Params (spectral_radius = 0.0) {
        /// Standard deviation of the weights times √N; about the spectral radius
        /// of a large matrix.
        gain: f64 = 1.0,
        /// Mean of the weights times N. If it exceeds `gain`, the matrix has an
        /// outlying eigenvalue of about this value.
        mean: f64 = 0.0,
    }
}

/// Independent normal weights with standard deviation gain/√N and mean mean/N.
/// Their eigenvalues fill a disc of radius `gain` (Ginibre 1965; as the initial
/// weights of random networks in Sompolinsky, Crisanti and Sommers 1988). N×N;
/// needs no substrate.
pub struct Gaussian {
    params: Params,
}

impl Component for Gaussian {
    const ID: &'static str = "init.gaussian";
    const ABOUT: &'static str = "W: independent normal numbers";
    const CITE: &'static str = "Ginibre 1965, J. Math. Phys. 6:440; Sompolinsky, Crisanti and Sommers 1988, Phys. \
                                Rev. Lett. 61:259";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("gain", params.gain, 0.0, 1e6)?;
        one_of_range("mean", params.mean, -1e6, 1e6)?;
        params.finish(Self::ID).check()?;
        Ok(Gaussian { params })
    }
}

impl WeightSource for Gaussian {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let n = request.neurons;
        let mut weights = normal(request, "gaussian weights")?;
        let (deviation, mean) = (self.params.gain / (n as f64).sqrt(), self.params.mean / n as f64);
        weights.mapv_inplace(|z| mean + deviation * z);
        self.params.finish(Self::ID).apply(weights)
    }
}
pallium_core::register!(WeightSource, Gaussian);

/// N×N standard normal numbers: the draw that the request supplies, or one from
/// its seed for this `purpose`.
pub fn normal(request: &WeightRequest<'_>, purpose: &str) -> Result<Array2<f64>> {
    let n = request.neurons;
    Ok(match request.draw {
        Some(draw) => checked_draw(draw, n)?.to_owned(),
        None => {
            let mut stream = random::stream(request.seed, purpose);
            Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut stream))
        }
    })
}
