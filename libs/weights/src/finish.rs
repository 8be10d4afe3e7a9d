//! What every general source of weights does last: signs, diagonal, spectral
//! radius.

use pallium_core::{ndarray::Array2, prelude::*};

use crate::arnoldi::Arnoldi;
use crate::radius::{scale_to_radius, unit, warn_of_radius_zero};

pallium_core::choice! {
    /// The signs of weights.
    pub enum Signs {
        /// As they are.
        Keep = "keep",
        /// Absolute values.
        Positive = "positive",
    }
}

pallium_core::choice! {
    /// The weights from neurons to themselves.
    pub enum Diagonal {
        /// As they are.
        Keep = "keep",
        /// 0.
        Zero = "zero",
    }
}

/// What is done with weights before they are used; see `weight_params!`.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// The component's id, for warnings.
    pub id: &'static str,
    /// The signs.
    pub signs: Signs,
    /// The diagonal.
    pub diagonal: Diagonal,
    /// The spectral radius; 0 leaves the weights unscaled.
    pub spectral_radius: f64,
}

impl Finish {
    /// Refuses a spectral radius out of range.
    ///
    /// # Errors
    /// If it is; the message names the parameter.
    pub fn check(&self) -> Result<()> {
        one_of_range("spectral_radius", self.spectral_radius, 0.0, 1e6)
    }

    /// Treats signs, then the diagonal, then scales; in single precision.
    ///
    /// # Errors
    /// If the eigenvalues cannot be found, or a weight exceeds single precision.
    pub fn apply(&self, mut weights: Array2<f64>) -> Result<Matrix> {
        if self.signs == Signs::Positive {
            weights.mapv_inplace(f64::abs);
        }
        if self.diagonal == Diagonal::Zero {
            weights.diag_mut().fill(0.0);
        }
        if self.spectral_radius > 0.0 {
            scale_to_radius(&mut weights, self.spectral_radius, self.id)?;
        }
        if let Some(((i, j), w)) = weights.indexed_iter().find(|(_, w)| !(**w as f32).is_finite()) {
            return Err(self.not_finite(*w, &format!("at row {i}, column {j}")));
        }
        self.not_too_small(weights.iter())?;
        Ok(weights.mapv(|w| w as f32))
    }

    /// A weight that is not finite in single precision.
    fn not_finite(&self, weight: f64, place: &str) -> Error {
        if weight.is_nan() {
            return Error::input(format!("`{}`: the weight {place} is NaN", self.id))
                .help("correct the data that the weights come from");
        }
        self.out_of_range(format!("{weight:e} {place} exceeds single precision"))
    }

    fn out_of_range(&self, what: impl std::fmt::Display) -> Error {
        Error::input(format!("`{}`: {what}", self.id)).help("set spectral_radius to scale the weights")
    }

    /// Refuses weights that single precision cannot tell from 0.
    fn not_too_small<'a>(&self, weights: impl Iterator<Item = &'a f64>) -> Result<()> {
        let largest = weights.fold(0.0_f64, |most, w| most.max(w.abs()));
        if largest > 0.0 && largest < f64::from(f32::MIN_POSITIVE) {
            return Err(
                self.out_of_range(format!("the largest weight is {largest:e}, below single precision"))
            );
        }
        Ok(())
    }

    /// As [`Finish::apply`], on a set of connections, which all stay; the spectral
    /// radius is found by [`Arnoldi`].
    ///
    /// # Errors
    /// As [`Finish::apply`].
    pub fn apply_on(&self, connections: Connections, mut values: Vec<f64>) -> Result<SparseWeights> {
        let pairs = connections.view();
        if self.signs == Signs::Positive {
            values.iter_mut().for_each(|w| *w = w.abs());
        }
        if self.diagonal == Diagonal::Zero {
            for unit in 0..pairs.dim().0 {
                pairs.find(unit, unit).into_iter().for_each(|place| values[place] = 0.0);
            }
        }
        if self.spectral_radius > 0.0 {
            let unit = unit(values.iter());
            let scaled: Vec<f64> = values.iter().map(|w| w / unit).collect();
            let radius = Arnoldi::default().spectral_radius(pairs, &scaled)?;
            if radius > 0.0 {
                values = scaled.into_iter().map(|w| w * (self.spectral_radius / radius)).collect();
            } else {
                let none = values.iter().all(|w| *w == 0.0);
                warn_of_radius_zero(self.id, self.spectral_radius, none);
            }
        }
        if let Some(((i, j), w)) = pairs.pairs().zip(&values).find(|(_, w)| !(**w as f32).is_finite()) {
            return Err(self.not_finite(*w, &format!("from {i} to {j}")));
        }
        self.not_too_small(values.iter())?;
        let values = values.into_iter().map(|w| w as f32).collect();
        Ok(SparseWeights { connections, values })
    }
}

/// Declares the parameters of a weight source like
/// [`params!`](pallium_core::params), with `signs`, `diagonal` and
/// `spectral_radius` (whose default is given) added, and a method `finish` that
/// returns the [`Finish`] of a component.
///
/// ```
/// pallium_weights::weight_params! {
///     /// Parameters of the example.
///     pub struct Params (spectral_radius = 0.95) {
///         /// Factor of all weights.
///         gain: f64 = 1.0,
///     }
/// }
/// assert_eq!(Params::default().finish("example.weights").spectral_radius, 0.95);
/// ```
#[macro_export]
macro_rules! weight_params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident (spectral_radius = $radius:literal) { $($fields:tt)* }) => {
        ::pallium_core::params! {
            $(#[$meta])*
            $vis struct $name {
                $($fields)*
                /// The signs of the weights.
                signs: $crate::Signs = $crate::Signs::Keep,
                /// The weights from neurons to themselves.
                diagonal: $crate::Diagonal = $crate::Diagonal::Keep,
                /// Spectral radius to which the weights are scaled, after signs
                /// and diagonal; 0 leaves them unscaled.
                spectral_radius: f64 = $radius,
            }
        }

        impl $name {
            /// What is done with the weights before they are used.
            $vis fn finish(&self, id: &'static str) -> $crate::Finish {
                $crate::Finish {
                    id,
                    signs: self.signs,
                    diagonal: self.diagonal,
                    spectral_radius: self.spectral_radius,
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    crate::weight_params! {
        /// Example.
        struct Params (spectral_radius = 0.0) {}
    }

    #[test]
    fn connections_are_finished_as_the_matrix_is() {
        let weights = array![[5.0, -8.0, 0.0], [2.0, 3.0, 1.0], [0.0, -1.0, 0.5]];
        let pairs = Connections::where_not_zero(weights.view());
        for signs in [Signs::Keep, Signs::Positive] {
            for diagonal in [Diagonal::Keep, Diagonal::Zero] {
                let finish = Params { signs, diagonal, spectral_radius: 0.7 }.finish("a.b");
                let expected = finish.apply(weights.clone()).unwrap();
                let values = pairs.view().gather(weights.view());
                let found = finish.apply_on(pairs.clone(), values).unwrap();
                let expected = pairs.view().gather(expected.view());
                for (found, expected) in found.values.iter().zip(expected) {
                    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} and not {expected}");
                }
            }
        }
    }

    #[test]
    fn signs_diagonal_and_radius_are_set_in_this_order() {
        let weights = array![[5.0, -8.0], [2.0, 3.0]];
        let finish = |params: Params| params.finish("a.b").apply(weights.clone()).unwrap();
        assert_eq!(finish(Params::default()), weights.mapv(|w| w as f32));
        let all = Params { signs: Signs::Positive, diagonal: Diagonal::Zero, spectral_radius: 0.5 };
        assert_eq!(finish(all.clone()), array![[0.0, 1.0], [0.25, 0.0]]);
        // Without autapses, −8 and 2 make a rotation of radius 4.
        let signed = finish(Params { signs: Signs::Keep, ..all.clone() });
        assert!((signed - array![[0.0, -1.0], [0.25, 0.0]]).iter().all(|v: &f32| v.abs() < 1e-7));
        let huge = all.finish("a.b").apply(array![[0.0, 1e300], [0.0, 0.0]]).unwrap_err();
        assert!(huge.message.contains("1e300 at row 0, column 1"), "{huge}");
        assert!(Params { spectral_radius: -1.0, ..all }.finish("a.b").check().is_err());
    }
}
