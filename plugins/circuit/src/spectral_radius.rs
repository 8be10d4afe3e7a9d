//! `circuit.spectral-radius`: sets the spectral radius of the weights.

use pallium_core::prelude::*;
use pallium_linalg::Squaring;
use pallium_weights::{Arnoldi, warn_of_radius_zero};

use crate::shapes::{check_shape, no_penalty, shape_of, within_one_population};

pallium_core::choice! {
    /// When weights are scaled.
    pub enum Rule {
        /// Weights are always scaled to the target.
        Exactly = "exactly",
        /// Weights are scaled only if their spectral radius exceeds the target.
        AtMost = "at-most",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.spectral-radius`.
    pub struct Params {
        /// The spectral radius, the largest |eigenvalue| of W (above 0).
        target: f64 = 0.95,
        /// Whether the target is met exactly or is an upper limit.
        rule: Rule = Rule::Exactly,
    }
}

/// Relative distance from the target within which weights are not scaled:
/// scaling would only change the last bits of f32.
const NEAR: f64 = 2e-7;

/// After each update, all weights are scaled by one factor so that the spectral
/// radius is `target`. Weights that are not finite stay unchanged, and so do
/// weights with a spectral radius of 0 (all 0, or without a cycle of
/// connections), with a warning unless the rule is `at-most`. There is no
/// penalty.
///
/// The spectral radius is ρ = lim ‖Wᵏ‖^(1/k) (Gelfand 1941), computed by
/// repeated squaring in f64. A power iteration would need a gap between the
/// largest eigenvalues, which orthogonal weights lack; a decomposition would be
/// slower than a few products. On a set of connections it is found by Arnoldi's
/// iteration (Saad 1980), to a relative residual of 1e-6 where that converges.
pub struct SpectralRadius {
    shape: Option<(usize, usize)>,
    target: f64,
    rule: Rule,
    squaring: Squaring,
    arnoldi: Arnoldi,
    /// Whether a spectral radius of 0 was reported; it would be after each
    /// update.
    warned: bool,
}

impl Component for SpectralRadius {
    const ID: &'static str = "circuit.spectral-radius";
    const ABOUT: &'static str = "hard: weights are scaled to a given spectral radius";
    const CITE: &'static str = "Jaeger 2001, GMD Report 148; Gelfand 1941, Mat. Sb. 9:3";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("target", params.target, 0.0, 1e6)?;
        if params.target < 1e-6 {
            return Err(Error::input(format!("parameter `target` is {}", params.target))
                .help("it must be at least 0.000001; with a spectral radius of 0 all weights would vanish"));
        }
        let shape = shape_of(setting);
        if setting.connections.is_none() && !within_one_population(setting) {
            let (rows, columns) = setting.shape()?;
            return Err(Error::unsupported(format!(
                "connections from {rows} units to {columns} others have no spectral radius"
            ))
            .help("name the parameters within one population, such as `on = [\"recurrent_ee\"]`"));
        }
        Ok(SpectralRadius {
            shape,
            target: params.target,
            rule: params.rule,
            squaring: Squaring::default(),
            arnoldi: Arnoldi::default(),
            warned: false,
        })
    }
}

impl Constraint for SpectralRadius {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        no_penalty(self.shape, &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        check_shape("weights", self.shape.or(Some((weights.nrows(), weights.nrows()))), weights.dim())?;
        let radius = match at.connections {
            None => self.squaring.spectral_radius(weights.view()),
            Some(_) if weights.iter().any(|w| !w.is_finite()) => f64::NAN,
            Some(connections) => {
                let values: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
                self.arnoldi.spectral_radius(connections, &values)?
            }
        };
        if radius == 0.0 && self.rule == Rule::Exactly && !self.warned {
            self.warned = true;
            warn_of_radius_zero(Self::ID, self.target, weights.iter().all(|w| *w == 0.0));
        }
        let factor = self.target / radius;
        let excessive = self.rule == Rule::Exactly || factor < 1.0;
        if factor.is_finite() && factor > 0.0 && excessive && (factor - 1.0).abs() > NEAR {
            weights.mapv_inplace(|w| (f64::from(w) * factor) as f32);
        }
        Ok(())
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, SpectralRadius);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;
    use pallium_testkit::World;

    use super::*;

    fn build(target: f64, rule: Rule) -> SpectralRadius {
        SpectralRadius::build(Params { target, rule }, &Setting::default()).unwrap()
    }

    fn radius(weights: &Matrix) -> f64 {
        pallium_linalg::spectral_radius(weights.mapv(f64::from).view()).unwrap()
    }

    #[test]
    fn weights_are_scaled_to_the_target_once() {
        for seed in 1..6 {
            let mut w = World::new(40, seed).weights(seed);
            let before = w.clone();
            build(0.8, Rule::Exactly).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            assert!((radius(&w) / 0.8 - 1.0).abs() < 1e-6);
            let ratio = w[[3, 4]] / before[[3, 4]];
            assert!(w.iter().zip(&before).all(|(a, b)| (a - ratio * b).abs() <= 1e-6 * b.abs()));
            let scaled = w.clone();
            build(0.8, Rule::Exactly).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            build(0.9, Rule::AtMost).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            assert_eq!(w, scaled);
            build(0.7, Rule::AtMost).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            assert!((radius(&w) / 0.7 - 1.0).abs() < 1e-6);
        }
        for untouched in [Matrix::zeros((3, 3)), array![[f32::NAN, 1.0], [1.0, 1.0]]] {
            let mut w = untouched.clone();
            build(0.8, Rule::Exactly).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            assert!(w.iter().zip(&untouched).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
    #[test]
    fn a_radius_of_zero_is_reported_once() {
        let nilpotent = array![[0.0, 2.0], [0.0, 0.0]];
        for (rule, expected) in [(Rule::Exactly, 1), (Rule::AtMost, 0)] {
            let mut constraint = build(0.8, rule);
            let warnings = pallium_testing::warnings(|| {
                for _ in 0..3 {
                    let mut w = nilpotent.clone();
                    constraint.project(w.view_mut(), &Point::new("recurrent")).unwrap();
                    assert_eq!(w, nilpotent);
                }
            });
            assert_eq!(warnings.lines().count(), expected, "{warnings}");
        }
    }
}
