//! `init.orthogonal`: W, a random orthogonal matrix.

use pallium_core::{ndarray::Array2, prelude::*};
use pallium_linalg::{Qr, qr};
use pallium_weights::{checked_draw, scale_to_radius};
use rand_distr::{Distribution, StandardNormal};

/// Spectral radius of rescaled non-negative weights, equal to that of W\*.
const RADIUS: f64 = 0.95;
/// The constraint that clips negative weights.
const NON_NEGATIVE: &str = "spatial.non-negative";

pallium_core::choice! {
    /// Whether to make the weights non-negative.
    pub enum Positive {
        /// Keep both signs.
        None = "none",
        /// Absolute values, scaled to spectral radius 0.95. (Clipping an
        /// orthogonal matrix at zero instead gives a spectral radius of about
        /// 0.4·√N, which diverges.)
        Rescaled = "rescaled",
    }
}

pallium_core::params! {
    /// Size and sign of the weights.
    pub struct Params {
        /// Whether to make the weights non-negative.
        positive: Positive = Positive::None,
        /// Factor of the orthogonal matrix, equal to every singular value.
        /// Ignored if the weights are rescaled.
        gain: f64 = 1.0,
    }
}

/// Orthogonal weights: Q of the QR decomposition of a Gaussian matrix, with
/// columns signed so that R has a positive diagonal, which makes Q uniform
/// over all orthogonal matrices (Mezzadri 2007). N×N; needs no substrate.
///
/// Source: Saxe, McClelland and Ganguli 2014 (arXiv 1312.6120).
pub struct Orthogonal {
    params: Params,
}

impl Component for Orthogonal {
    const ID: &'static str = "init.orthogonal";
    const ABOUT: &'static str = "W: a random orthogonal matrix";
    const CITE: &'static str = "Saxe, McClelland and Ganguli 2014, arXiv 1312.6120; Mezzadri 2007";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = &[
        ProfileValue::new("published", "positive", r#""none""#).with_constraint(NON_NEGATIVE),
        ProfileValue::new("corrected", "positive", r#""rescaled""#).with_constraint(NON_NEGATIVE),
    ];

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("gain", params.gain, 1e-12, 1e12)?;
        Ok(Orthogonal { params })
    }
}

impl WeightSource for Orthogonal {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let n = request.neurons;
        let gaussian = match request.draw {
            Some(draw) => checked_draw(draw, n)?.to_owned(),
            None => {
                let mut stream = random::stream(request.seed, "orthogonal weights: gaussian");
                // Drawn column by column.
                Array2::from_shape_simple_fn((n, n), || StandardNormal.sample(&mut stream)).reversed_axes()
            }
        };
        let Qr { q, diagonal } = qr(gaussian.view());
        let signed = |i, j| if diagonal[j] < 0.0 { -q[[i, j]] } else { q[[i, j]] };
        let mut weights = Array2::from_shape_fn((n, n), |(i, j)| self.params.gain * signed(i, j));
        if self.params.positive == Positive::Rescaled {
            weights.mapv_inplace(f64::abs);
            scale_to_radius(&mut weights, RADIUS, Self::ID)?;
        }
        Ok(weights.mapv(|w| w as f32))
    }
}
pallium_core::register!(WeightSource, Orthogonal);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;
    use pallium_weights::spectral_radius;

    use super::*;

    fn weights(params: Params, neurons: usize, seed: u64) -> Matrix {
        let request = WeightRequest { neurons, substrate: None, seed, draw: None, connections: None };
        Orthogonal::build(params, &Setting::default()).unwrap().weights(&request).unwrap()
    }

    #[test]
    fn rows_are_orthonormal() {
        for n in [1, 2, 70, 312] {
            let w = weights(Params { gain: 2.0, ..Params::default() }, n, 1).mapv(f64::from);
            let off =
                (w.dot(&w.t()) - 4.0 * Array2::<f64>::eye(n)).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            assert!(off < 1e-6, "{off}");
        }
        assert_eq!(weights(Params::default(), 9, 1), weights(Params::default(), 9, 1));
        assert_ne!(weights(Params::default(), 9, 1), weights(Params::default(), 9, 2));
    }

    #[test]
    fn signs_follow_the_diagonal_of_r() {
        // By hand: columns (3, 4) and (1, 2) orthonormalised with positive R.
        let draw = array![[3.0, 1.0], [4.0, 2.0]];
        let request = WeightRequest {
            neurons: 2,
            substrate: None,
            seed: 0,
            draw: Some(draw.view()),
            connections: None,
        };
        let w = Orthogonal::build(Params::default(), &Setting::default()).unwrap().weights(&request).unwrap();
        assert!((w - array![[0.6, -0.8], [0.8, 0.6]]).iter().all(|v: &f32| v.abs() < 1e-6));
        // Entries of a uniform orthogonal matrix have mean 0 and variance 1/N.
        let entries: Vec<f64> =
            (0..400).map(|seed| f64::from(weights(Params::default(), 8, seed)[[0, 0]])).collect();
        let mean = entries.iter().sum::<f64>() / 400.0;
        let variance = entries.iter().map(|v| v * v).sum::<f64>() / 400.0;
        assert!(mean.abs() < 0.06 && (variance - 0.125).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn positive_weights_have_the_radius_of_functional_ones() {
        let w = weights(Params { positive: Positive::Rescaled, gain: 3.0 }, 70, 4);
        assert!(w.iter().all(|&v| v >= 0.0));
        let radius = spectral_radius(&w.mapv(f64::from)).unwrap();
        assert!((radius - 0.95).abs() < 1e-6, "{radius}");
        assert!(Orthogonal::build(Params { gain: 0.0, ..Params::default() }, &Setting::default()).is_err());
    }
}
