//! Scales weights to a spectral radius.

use pallium_core::{ndarray::Array2, prelude::*, tracing::warn};
use pallium_linalg::perron_root;

/// The largest absolute eigenvalue: from [`perron_root`] for a matrix without
/// negative entries, otherwise from all eigenvalues.
///
/// # Errors
/// If the eigenvalues cannot be found.
pub fn spectral_radius(matrix: &Array2<f64>) -> Result<f64> {
    perron_root(matrix.view())
        .or_else(|| pallium_linalg::spectral_radius(matrix.view()))
        .ok_or_else(|| Error::input("the eigenvalues of the weights cannot be found"))
}

/// Scales weights by one factor so that their spectral radius is `target`. If it
/// is 0, they stay as they are, with a warning that names the component `id`.
///
/// # Errors
/// If the eigenvalues cannot be found.
pub fn scale_to_radius(weights: &mut Array2<f64>, target: f64, id: &str) -> Result<()> {
    let unit = unit(weights.iter());
    let radius = if unit == 1.0 { spectral_radius(weights)? } else { spectral_radius(&(&*weights / unit))? };
    if radius > 0.0 {
        weights.mapv_inplace(|w| w / unit * (target / radius));
    } else {
        warn_of_radius_zero(id, target, weights.iter().all(|w| *w == 0.0));
    }
    Ok(())
}

/// 1, or for weights so large or small that their products leave the range of
/// numbers, a power of two near the largest: dividing by it is exact.
pub(crate) fn unit<'a>(weights: impl Iterator<Item = &'a f64>) -> f64 {
    let largest = weights.fold(0.0_f64, |most, w| most.max(w.abs()));
    let usual = 1e-60..1e60;
    if largest == 0.0 || usual.contains(&largest) { 1.0 } else { largest.log2().floor().exp2() }
}

/// Warns that weights have no spectral radius that could be scaled: `all_zero`,
/// or without a cycle of connections.
pub fn warn_of_radius_zero(id: &str, target: f64, all_zero: bool) {
    let why = if all_zero { "all weights are 0" } else { "no connections form a cycle" };
    warn!("`{id}`: the spectral radius is 0 instead of {target}, because {why}; the weights are not scaled");
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn radii_of_known_matrices() {
        assert_eq!(spectral_radius(&array![[0.0, 2.0], [2.0, 0.0]]).unwrap(), 2.0);
        // A rotation by 90° and a shear: complex, and defective.
        assert!((spectral_radius(&array![[0.0, -3.0], [3.0, 0.0]]).unwrap() - 3.0).abs() < 1e-12);
        assert!((spectral_radius(&array![[1.0, 5.0], [0.0, 1.0]]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(spectral_radius(&array![[0.0, 1.0], [0.0, 0.0]]).unwrap(), 0.0);
        assert_eq!(spectral_radius(&array![[0.5, 0.0], [0.0, -4.0]]).unwrap(), 4.0);
        assert_eq!(spectral_radius(&array![[-7.0]]).unwrap(), 7.0);
    }

    #[test]
    fn the_unit_of_the_weights_does_not_matter() {
        let weights = array![[0.1, -3.0, 0.2], [3.0, 0.5, -0.3], [0.7, 0.1, -0.2]];
        let mut expected = weights.clone();
        scale_to_radius(&mut expected, 0.9, "a.b").unwrap();
        for power in [-1000, -300, 300, 1000] {
            let mut scaled = &weights * f64::from(power).exp2();
            scale_to_radius(&mut scaled, 0.9, "a.b").unwrap();
            let off = (&scaled - &expected).iter().fold(0.0_f64, |most, v| most.max(v.abs()));
            assert!(off < 1e-14, "2^{power}: {off}");
        }
    }

    #[test]
    fn weights_are_scaled_unless_their_radius_is_zero() {
        let mut weights = array![[0.0, 8.0], [2.0, 0.0]];
        scale_to_radius(&mut weights, 0.5, "a.b").unwrap();
        assert!((weights - array![[0.0, 1.0], [0.25, 0.0]]).iter().all(|v: &f64| v.abs() < 1e-12));
        for unchanged in [array![[0.0, 3.0], [0.0, 0.0]], Array2::zeros((2, 2))] {
            let mut weights = unchanged.clone();
            let warnings = pallium_testing::warnings(|| scale_to_radius(&mut weights, 0.5, "a.b").unwrap());
            assert_eq!(weights, unchanged);
            let why =
                if weights[[0, 1]] == 0.0 { "all weights are 0" } else { "no connections form a cycle" };
            assert!(warnings.contains("`a.b`: the spectral radius is 0 instead of 0.5"), "{warnings}");
            assert!(warnings.contains(why), "{warnings}");
        }
    }
}
