//! The noncentral t-distribution, and the noncentrality at which a value of t has a
//! given probability.

use statrs::function::beta::checked_beta_reg;

use super::tail::normal_cdf;

/// Values of t beyond this have no interval: it would take longer than anything else.
const LARGEST: f64 = 1e3;

/// P(T ≤ t) of the noncentral t with `df` degrees of freedom and noncentrality `delta`
/// (Lenth 1989, AS 243). The Poisson weights are added from their mode outwards, so
/// they do not underflow.
pub fn noncentral_t_cdf(t: f64, df: f64, delta: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - noncentral_t_cdf(-t, df, -delta);
    }
    let lambda = delta * delta / 2.0;
    let x = t * t / (df + t * t);
    let beta = |a: f64| if x == 0.0 { 0.0 } else { checked_beta_reg(a, df / 2.0, x).unwrap_or(f64::NAN) };
    let term = |j: f64| {
        let log = -lambda + j * lambda.max(f64::MIN_POSITIVE).ln();
        let p = (log - libm::lgamma(j + 1.0)).exp();
        let q = delta / std::f64::consts::SQRT_2 * (log - libm::lgamma(j + 1.5)).exp();
        (p * beta(j + 0.5) + q * beta(j + 1.0), p + q.abs())
    };
    let mode = lambda.floor();
    let mut sum = 0.0;
    let mut add = |steps: &mut dyn Iterator<Item = f64>| {
        for j in steps {
            let (value, weight) = term(j);
            sum += value;
            if weight < 1e-18 {
                break;
            }
        }
    };
    add(&mut (0..).map(|step| mode + f64::from(step)));
    add(&mut (1..=mode as u32).map(|step| mode - f64::from(step)));
    (normal_cdf(-delta) + sum / 2.0).clamp(0.0, 1.0)
}

/// The noncentrality for which P(T ≤ t) = p; NaN where t is not finite or too large.
pub fn noncentrality(t: f64, df: f64, p: f64) -> f64 {
    if !(t.abs() <= LARGEST && df > 0.0) {
        return f64::NAN;
    }
    // The probability falls with the noncentrality.
    let (mut low, mut high, mut width) = (t - 1.0, t + 1.0, 1.0);
    while noncentral_t_cdf(t, df, low) < p && width < 1e9 {
        width *= 2.0;
        low = t - width;
    }
    width = 1.0;
    while noncentral_t_cdf(t, df, high) > p && width < 1e9 {
        width *= 2.0;
        high = t + width;
    }
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if noncentral_t_cdf(t, df, middle) > p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_scipy() {
        // scipy.stats.nct.cdf(t, df, delta)
        for (t, df, delta, expected) in CASES {
            let found = noncentral_t_cdf(t, df, delta);
            assert!((found - expected).abs() < 1e-10, "{t} {df} {delta}: {found} and {expected}");
        }
    }

    const CASES: [(f64, f64, f64, f64); 6] = [
        (0.0, 5.0, 0.0, 0.5),
        (1.5, 4.0, 0.7, 0.7350601233028798),
        (-2.0, 9.0, 1.0, 0.003563495088947093),
        (12.0, 19.0, 10.0, 0.7995193244340533),
        (45.0, 9.0, 40.0, 0.6251427725555407),
        (3.0, 2.0, -1.0, 0.992371247766417),
    ];

    #[test]
    fn the_noncentrality_gives_the_probability() {
        for (t, df) in [(0.0, 4.0), (2.5, 9.0), (-3.0, 19.0), (40.0, 9.0), (200.0, 5.0)] {
            for p in [0.025, 0.5, 0.975] {
                let delta = noncentrality(t, df, p);
                assert!((noncentral_t_cdf(t, df, delta) - p).abs() < 1e-9, "{t} {df} {p}");
            }
        }
        assert!(noncentrality(f64::INFINITY, 4.0, 0.5).is_nan());
    }
}
