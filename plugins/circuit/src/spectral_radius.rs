//! `circuit.spectral-radius`: how strongly activity can feed back on itself.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pallium_core::prelude::*;

use crate::shapes::{check_shape, no_penalty};

pallium_core::choice! {
    /// When weights are scaled.
    pub enum Rule {
        /// Always: the spectral radius is the target.
        Exactly = "exactly",
        /// If the spectral radius exceeds the target.
        AtMost = "at-most",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.spectral-radius`.
    pub struct Params {
        /// The spectral radius, the largest |eigenvalue| of W (above 0).
        target: f64 = 0.95,
        /// Whether the spectral radius is exactly the target, or at most.
        rule: Rule = Rule::Exactly,
    }
}

/// Relative distance from the target at which weights are left alone: a further
/// scaling would only move the last bits of f32.
const NEAR: f64 = 2e-7;
/// Most squarings. What is unknown after k of them is of order 2^−k.
const SQUARINGS: u32 = 24;

/// After each update all weights are scaled by one factor, such that the
/// spectral radius is `target`. Weights all of whose eigenvalues are 0, or that
/// are not finite, stay as they are; there is no penalty.
///
/// The spectral radius is found from ρ = lim ‖Wᵏ‖^(1/k) (Gelfand 1941) by
/// repeated squaring in f64. Unlike a power iteration this needs no gap between
/// the largest eigenvalues, which orthogonal weights do not have, and unlike a
/// decomposition it is nothing but a few products.
pub struct SpectralRadius {
    neurons: Option<usize>,
    target: f64,
    rule: Rule,
    power: Vec<f64>,
    square: Vec<f64>,
}

impl Component for SpectralRadius {
    const ID: &'static str = "circuit.spectral-radius";
    const ABOUT: &'static str = "hard: weights are scaled to a given spectral radius";
    const CITE: &'static str = "Jaeger 2001, GMD Report 148; Gelfand 1941, Mat. Sb. 9:3";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("target", params.target, 0.0, 1e6)?;
        if params.target < 1e-6 {
            return Err(Error::input(format!("parameter `target` is {}", params.target))
                .help("it must be at least 0.000001; weights without any feedback cannot be scaled to"));
        }
        Ok(SpectralRadius {
            neurons: setting.neurons,
            target: params.target,
            rule: params.rule,
            power: Vec::new(),
            square: Vec::new(),
        })
    }
}

impl SpectralRadius {
    /// The spectral radius of a square matrix; not a number if an entry is not.
    fn radius(&mut self, weights: MatrixView<'_>) -> f64 {
        let n = weights.nrows();
        self.power.clear();
        self.power.extend(weights.iter().map(|&w| f64::from(w)));
        self.square.resize(n * n, 0.0);
        // ln ‖Wᵏ‖ / k for k = 2^squarings, W scaled to norm 1 after each.
        let mut mean = scale_to_one(&mut self.power);
        if !mean.is_finite() {
            return mean.exp();
        }
        let (mut radius, mut settled) = (f64::INFINITY, 0);
        for squarings in 1..=SQUARINGS {
            let power = MatRef::from_row_major_slice(&self.power, n, n);
            let square = MatMut::from_row_major_slice_mut(&mut self.square, n, n);
            matmul(square, Accum::Replace, power, power, 1.0, Par::Seq);
            std::mem::swap(&mut self.power, &mut self.square);
            let norm = scale_to_one(&mut self.power);
            if !norm.is_finite() {
                return norm.exp();
            }
            let next = mean + norm / f64::from(1 << squarings);
            // What the norms have in common cancels between k and 2k.
            let estimate = 2.0 * next - mean;
            settled = if (estimate - radius).abs() < 1e-9 { settled + 1 } else { 0 };
            (mean, radius) = (next, estimate);
            if settled == 2 {
                break;
            }
        }
        radius.exp()
    }
}

/// Divides `values` by their Euclidean norm and returns its logarithm: −∞ for
/// zeros, +∞ or not a number where they cannot be divided.
fn scale_to_one(values: &mut [f64]) -> f64 {
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let ln = norm.ln();
    if ln.is_finite() {
        let factor = 1.0 / norm;
        values.iter_mut().for_each(|v| *v *= factor);
    }
    ln
}

impl Constraint for SpectralRadius {
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64> {
        no_penalty(self.neurons, &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>) -> Result<()> {
        check_shape("weights", self.neurons, weights.dim())?;
        let radius = self.radius(weights.view());
        let factor = self.target / radius;
        let excessive = self.rule == Rule::Exactly || factor < 1.0;
        if factor.is_finite() && factor > 0.0 && excessive && (factor - 1.0).abs() > NEAR {
            weights.mapv_inplace(|w| (f64::from(w) * factor) as f32);
        }
        Ok(())
    }
}
pallium_core::register!(Constraint, SpectralRadius);

#[cfg(test)]
mod tests {
    use faer::Mat;
    use pallium_core::ndarray::array;
    use pallium_core::rand::Rng;
    use pallium_core::rand_distr::StandardNormal;
    use pallium_testkit::World;

    use super::*;

    fn build(target: f64, rule: Rule) -> SpectralRadius {
        SpectralRadius::build(Params { target, rule }, &Setting::default()).unwrap()
    }

    fn radius(weights: &Matrix) -> f64 {
        build(1.0, Rule::Exactly).radius(weights.view())
    }

    /// From faer's real Schur decomposition.
    fn decomposed(w: &Matrix) -> f64 {
        let values = Mat::from_fn(w.nrows(), w.ncols(), |i, j| f64::from(w[[i, j]])).eigenvalues().unwrap();
        values.iter().map(|z| z.re.hypot(z.im)).fold(0.0, f64::max)
    }

    #[test]
    fn the_radius_is_that_of_a_decomposition() {
        let mut stream = random::stream(3, "test");
        let mut worst = 0.0_f64;
        for n in [1, 2, 3, 8, 42, 120] {
            for kind in 0..4 {
                let gaussian =
                    Matrix::from_shape_simple_fn((n, n), || stream.sample::<f32, _>(StandardNormal));
                let w = match kind {
                    0 => gaussian,
                    1 => gaussian.mapv(f32::abs),
                    2 => &gaussian - &gaussian.t(),
                    _ => &gaussian * 0.01 + Matrix::eye(n),
                };
                if n == 1 && kind == 2 {
                    continue;
                }
                worst = worst.max((radius(&w) / decomposed(&w) - 1.0).abs());
            }
        }
        assert!(worst < 1e-6, "off by {worst:.1e}");
        println!("off by {worst:.1e}");
    }

    #[test]
    fn of_matrices_without_a_gap() {
        let cyclic = Matrix::from_shape_fn((30, 30), |(i, j)| f32::from(j == (i + 1) % 30));
        assert!((radius(&cyclic) - 1.0).abs() < 1e-9);
        let rotation = array![[0.6_f32, -0.8], [0.8, 0.6]];
        assert!((radius(&rotation) - 1.0).abs() < 1e-7);
        let nilpotent = Matrix::from_shape_fn((8, 8), |(i, j)| f32::from(j == i + 1));
        assert_eq!(radius(&nilpotent), 0.0);
        assert_eq!(radius(&Matrix::zeros((4, 4))), 0.0);
        // Two opposite eigenvalues, and one defective.
        assert!((radius(&array![[0.0_f32, 4.0], [1.0, 0.0]]) - 2.0).abs() < 1e-7);
        assert!((radius(&array![[2.0_f32, 1.0], [0.0, 2.0]]) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn weights_are_scaled_to_it_and_no_further() {
        for seed in 1..6 {
            let mut w = World::new(40, seed).weights(seed);
            let before = w.clone();
            build(0.8, Rule::Exactly).project(w.view_mut()).unwrap();
            assert!((decomposed(&w) / 0.8 - 1.0).abs() < 1e-6);
            let ratio = w[[3, 4]] / before[[3, 4]];
            assert!(w.iter().zip(&before).all(|(a, b)| (a - ratio * b).abs() <= 1e-6 * b.abs()));
            let scaled = w.clone();
            build(0.8, Rule::Exactly).project(w.view_mut()).unwrap();
            build(0.9, Rule::AtMost).project(w.view_mut()).unwrap();
            assert_eq!(w, scaled);
            build(0.7, Rule::AtMost).project(w.view_mut()).unwrap();
            assert!((decomposed(&w) / 0.7 - 1.0).abs() < 1e-6);
        }
        for untouched in [Matrix::zeros((3, 3)), array![[f32::NAN, 1.0], [1.0, 1.0]]] {
            let mut w = untouched.clone();
            build(0.8, Rule::Exactly).project(w.view_mut()).unwrap();
            assert!(w.iter().zip(&untouched).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
