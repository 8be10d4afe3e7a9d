//! `continual.near-start`: weights stay near those before training.

use pallium_core::ndarray::Zip;
use pallium_core::prelude::*;

use crate::check_shape;

pallium_core::params! {
    /// Parameters of `continual.near-start`.
    pub struct Params {
        /// Factor λ of the penalty (dimensionless, at least 0).
        strength: f64 = 0.01,
    }
}

/// λ Σ (w − w₀)², where w₀ are the weights before training: weight decay towards
/// the start instead of 0.
pub struct NearStart {
    shape: Option<(usize, usize)>,
    strength: f64,
}

impl Component for NearStart {
    const ID: &'static str = "continual.near-start";
    const ABOUT: &'static str = "sum of squared changes of the weights since the start of the training";
    const CITE: &'static str = "Li, Grandvalet, Davoine 2018, ICML, PMLR 80:2825";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        Ok(NearStart { shape: setting.shape().ok(), strength: params.strength })
    }
}

impl Constraint for NearStart {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        check_shape("weights", self.shape.unwrap_or(weights.dim()), weights.dim())?;
        check_shape("gradient", weights.dim(), gradient.dim())?;
        let initial = at.initial.ok_or_else(|| {
            Error::unsupported("the weights before training are unknown")
                .help("this penalty has a value only in a training; leave it out here")
        })?;
        check_shape("initial weights", weights.dim(), initial.dim())?;
        let mut sum = 0.0;
        Zip::from(&mut gradient).and(&weights).and(&initial).for_each(|g, &w, &start| {
            let change = f64::from(w) - f64::from(start);
            *g += (2.0 * self.strength * change) as f32;
            sum += change * change;
        });
        Ok(self.strength * sum)
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, NearStart);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn the_penalty_is_the_squared_distance_from_the_start() {
        let mut near =
            NearStart::build(Params { strength: 0.5 }, &Setting::default()).expect("valid parameters");
        let (start, weights) = (array![[1.0_f32, -2.0, 0.0]], array![[1.5_f32, -2.0, -4.0]]);
        let mut at = Point::new("recurrent");
        let mut gradient = Matrix::ones((1, 3));
        let unknown = near.penalty(weights.view(), gradient.view_mut(), &at).unwrap_err();
        assert!(unknown.message.contains("before training"));
        at.initial = Some(start.view());
        assert_eq!(near.penalty(weights.view(), gradient.view_mut(), &at).unwrap(), 0.5 * 16.25);
        assert_eq!(gradient, array![[1.5, 1.0, -3.0]]);
        assert_eq!(near.penalty(start.view(), gradient.view_mut(), &at).unwrap(), 0.0);
        let other = Matrix::zeros((2, 2));
        at.initial = Some(other.view());
        assert!(near.penalty(weights.view(), gradient.view_mut(), &at).is_err());
    }
}
