//! Tail probabilities and quantiles, to about 1e-10 relative far into the
//! tails.
//!
//! The incomplete beta and gamma functions are statrs's. The complementary
//! error function is libm's, since statrs's has an error of 1e-10. The quantile
//! of Student's t is computed here, since statrs's has an error of 1e-7 at many
//! degrees of freedom and more in the tails.

use std::f64::consts::SQRT_2;

use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, Normal, StudentsT};
use statrs::function::beta::checked_beta_reg;

/// P(Z ≥ z) of a standard normal Z.
pub fn normal_sf(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// P(Z ≤ z) of a standard normal Z.
pub fn normal_cdf(z: f64) -> f64 {
    normal_sf(-z)
}

/// The z with P(Z ≤ z) = p; infinite at 0 and 1, NaN beyond.
pub fn normal_quantile(p: f64) -> f64 {
    match p {
        0.0 => f64::NEG_INFINITY,
        1.0 => f64::INFINITY,
        p if p > 0.0 && p < 1.0 => Normal::standard().inverse_cdf(p),
        _ => f64::NAN,
    }
}

/// P(X ≥ x) of χ² with `df` degrees of freedom.
pub fn chi_squared_sf(x: f64, df: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    ChiSquared::new(df).map_or(f64::NAN, |d| d.sf(x))
}

/// P(X ≥ x) of Fisher's F with `df1` and `df2` degrees of freedom.
pub fn f_sf(x: f64, df1: f64, df2: f64) -> f64 {
    if x.is_nan() || !(df1 > 0.0 && df2 > 0.0) {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    beta_reg(df2 / 2.0, df1 / 2.0, df2 / (df2 + df1 * x))
}

/// P(T ≥ t) of Student's T with `df` degrees of freedom.
pub fn t_sf(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let half = 0.5 * beta_reg(df / 2.0, 0.5, df / (df + t * t));
    if t < 0.0 { 1.0 - half } else { half }
}

/// The t with P(T ≤ t) = p of Student's T with `df` degrees of freedom;
/// infinite at 0 and 1, NaN beyond.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    let tail = p.min(1.0 - p);
    let sign = if p < 0.5 { -1.0 } else { 1.0 };
    if tail == 0.0 {
        return sign * f64::INFINITY;
    }
    let Ok(density) = StudentsT::new(0.0, 1.0, df) else { return f64::NAN };
    let (mut low, mut high) = (0.0, 1.0);
    while t_sf(high, df) > tail && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    // Newton's method on the logarithm of the tail, which is nearly linear; a
    // step outside the bracket is replaced by a bisection.
    let mut t = 0.5 * (low + high);
    for _ in 0..200 {
        let at = t_sf(t, df);
        if at > tail {
            low = t;
        } else {
            high = t;
        }
        let step = (at / tail).ln() * at / density.pdf(t);
        let next = t + step;
        let next = if next > low && next < high { next } else { 0.5 * (low + high) };
        if (next - t).abs() <= 1e-15 * t || next == low || next == high {
            t = next;
            break;
        }
        t = next;
    }
    sign * t
}

/// The regularised incomplete beta function.
fn beta_reg(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x.clamp(0.0, 1.0)).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, scipy: f64, relative: f64) {
        assert!((found - scipy).abs() <= relative * scipy.abs(), "{found:e} against {scipy:e}");
    }

    #[test]
    fn tails_are_scipys() {
        near(normal_sf(2.0), 0.022750131948179195, 1e-14);
        near(normal_sf(37.0), 5.7255712225239266e-300, 1e-11);
        near(chi_squared_sf(140.96476578122142, 10.0), 2.672970686964538e-25, 1e-11);
        near(chi_squared_sf(1300.0, 100.0), 6.18324640912833e-208, 1e-11);
        near(f_sf(66.77289886429699, 2.0, 194.0), 8.617488250479671e-23, 1e-11);
        near(t_sf(2.0, 1.0), 0.14758361765043326, 1e-13);
    }

    #[test]
    fn quantiles_are_scipys() {
        near(normal_quantile(1e-300), -37.0470962993612, 1e-14);
        near(t_quantile(0.975, 19.0), 2.093024054408263, 1e-13);
        near(t_quantile(0.025, 50000.0), -1.9600114310936803, 1e-10);
        near(t_quantile(0.995, 50000.0), 2.575927638034875, 1e-10);
        near(t_quantile(1e-12, 1.0), -318309886183.7907, 1e-12);
        near(t_quantile(0.975, 1.0), 12.706204736174694, 1e-12);
        assert!(t_quantile(0.5, 7.0).abs() < 1e-15);
        for df in [1.0, 2.0, 5.0, 19.0, 400.0] {
            for p in [0.6, 0.9, 0.99, 1.0 - 1e-9] {
                near(t_sf(t_quantile(p, df), df), 1.0 - p, 1e-11);
            }
        }
    }

    #[test]
    fn the_ends_are_defined() {
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(t_quantile(1.0, 3.0), f64::INFINITY);
        assert_eq!(chi_squared_sf(0.0, 3.0), 1.0);
        assert_eq!(f_sf(0.0, 3.0, 4.0), 1.0);
        assert_eq!(f_sf(f64::INFINITY, 3.0, 4.0), 0.0);
        assert_eq!(t_sf(f64::INFINITY, 3.0), 0.0);
        assert_eq!(t_sf(0.0, 3.0), 0.5);
        assert_eq!(t_sf(f64::NEG_INFINITY, 3.0), 1.0);
        for undefined in
            [normal_quantile(1.5), t_quantile(f64::NAN, 2.0), f_sf(1.0, 0.0, 3.0), t_sf(1.0, 0.0)]
        {
            assert!(undefined.is_nan());
        }
    }
}
