//! Entropy: how widely the weights are distributed.

use pallium_core::prelude::*;

use pallium_graph::recurrent;

pallium_core::params! {
    /// How the distribution is evaluated.
    pub struct Params {
        /// Number of points, from the smallest to the largest weight, at which
        /// the density is evaluated (2 to 100,000). The entropy is at most the
        /// binary logarithm of this number.
        points: u32 = 100,
    }
}

/// `entropy` in bits of the distribution of all N² signed weights: a Gaussian
/// kernel density estimate with Scott's bandwidth (Scott 1992), evaluated at
/// equally spaced points and normalised to sum 1 (Shakiba et al. 2026). NaN if
/// all weights are equal.
///
/// The entropy depends on the number of points and the range of the weights:
/// one outlier stretches the grid and lowers the entropy.
pub struct Entropy {
    points: usize,
}

impl Component for Entropy {
    const ID: &'static str = "organization.entropy";
    const ABOUT: &'static str = "entropy of the distribution of the weights";
    const CITE: &'static str = "Scott 1992; Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975)";
    type Params = Params;
    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("points", f64::from(params.points), 2.0, 100_000.0)?;
        Ok(Entropy { points: params.points as usize })
    }
}

impl Metric for Entropy {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let weights: Vec<f64> = recurrent(network)?.iter().map(|&w| f64::from(w)).collect();
        Ok(vec![Measure::new("entropy", entropy(&weights, self.points)).unit("bit")].into())
    }
}
pallium_core::register!(Metric, Entropy);

/// Entropy in bits of the density of `values` at `points` points.
pub fn entropy(values: &[f64], points: usize) -> f64 {
    let Some(density) = density(values, points) else { return f64::NAN };
    let total: f64 = density.iter().sum();
    // Avoids −0, which would be printed with its sign.
    0.0 - density.iter().map(|d| d / total).filter(|&p| p > 0.0).map(|p| p * p.log2()).sum::<f64>()
}

/// Number of bandwidths beyond which a kernel is ignored: there it is below 1e-31
/// of its peak, and the sum over the grid is at least 2, the peaks of the two
/// extreme values.
const REACH: f64 = 12.0;

/// Kernel density at `points` equally spaced points over the range of `values`,
/// up to a factor; `None` if the values do not vary.
fn density(values: &[f64], points: usize) -> Option<Vec<f64>> {
    let count = values.len() as f64;
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let bandwidth = variance.sqrt() * count.powf(-0.2);
    if bandwidth.is_nan() || bandwidth <= 0.0 || high <= low {
        return None;
    }
    let last = points - 1;
    let step = (high - low) / last as f64;
    // In units of the bandwidth from here on. Along the grid a kernel is e^(−(d
    // − ks)²/2): each value is the previous one times a ratio that shrinks by
    // the factor e^(−s²), so a weight takes two exponentials instead of one for
    // every point.
    let s = step / bandwidth;
    let (start, shrink) = ((-0.5 * s * s).exp(), (-s * s).exp());
    // Number of points on either side of the nearest that may lie within reach;
    // 0 for very short bandwidths, for which the exponentials would overflow or
    // underflow.
    let reach = (REACH / s + 0.5).min(points as f64) as usize;
    let mut density = vec![0.0; points];
    for &value in values {
        let nearest = ((value - low) / step).round().clamp(0.0, last as f64);
        let d = (value - low) / bandwidth - nearest * s;
        let nearest = nearest as usize;
        let peak = (-0.5 * d * d).exp();
        density[nearest] += peak;
        let tilt = (d * s).exp();
        let (mut kernel, mut ratio) = (peak, start * tilt);
        for point in &mut density[nearest + 1..(nearest + 1 + reach).min(points)] {
            kernel *= ratio;
            ratio *= shrink;
            *point += kernel;
        }
        let (mut kernel, mut ratio) = (peak, start / tilt);
        for point in density[nearest.saturating_sub(reach)..nearest].iter_mut().rev() {
            kernel *= ratio;
            ratio *= shrink;
            *point += kernel;
        }
    }
    Some(density)
}

#[cfg(test)]
mod tests {
    use rand_distr_normal::normal;

    use super::*;

    mod rand_distr_normal {
        use pallium_core::rand_distr::{Distribution, StandardNormal};

        pub fn normal(count: usize, seed: u64) -> Vec<f64> {
            let mut rng = pallium_core::random::stream(seed, "normal");
            (0..count).map(|_| StandardNormal.sample(&mut rng)).collect()
        }
    }

    /// The definition, term by term.
    fn direct(values: &[f64], points: usize) -> Vec<f64> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let h = sd * n.powf(-0.2);
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        let high = values.iter().copied().fold(f64::MIN, f64::max);
        (0..points)
            .map(|k| low + (high - low) * k as f64 / (points - 1) as f64)
            .map(|x| values.iter().map(|v| (-0.5 * ((x - v) / h).powi(2)).exp()).sum())
            .collect()
    }

    #[test]
    fn the_density_is_the_sum_of_kernels() {
        let mut sharp = normal(500, 2);
        sharp.push(400.0);
        // Points 40 bandwidths apart, with values in between.
        let mut coarse = normal(20_000, 6);
        coarse.extend([-22.0, 22.0]);
        for (values, points) in
            [(normal(2000, 1), 100), (sharp, 100), (normal(30, 3), 7), (normal(9, 4), 3000), (coarse, 3)]
        {
            let expected = direct(&values, points);
            for (k, (got, want)) in density(&values, points).unwrap().iter().zip(expected).enumerate() {
                assert!((got - want).abs() < 1e-10 * want.max(1e-3), "point {k} of {points}: {got} {want}");
            }
        }
    }

    #[test]
    fn known_distributions_have_known_entropies() {
        // scipy 1.17: p = gaussian_kde(x)(np.linspace(x.min(), x.max(), 100))
        // entropy(p / p.sum(), base=2), x = np.sin(np.arange(400.)**2) and x**5
        let x: Vec<f64> = (0..400).map(|k| f64::from(k * k).sin()).collect();
        assert!((entropy(&x, 100) - 6.624674971553628).abs() < 1e-10);
        let x: Vec<f64> = x.iter().map(|v| v.powi(5)).collect();
        assert!((entropy(&x, 100) - 6.343458397163237).abs() < 1e-10);
        // Only two values, far apart relative to the bandwidth of a large
        // sample: one bit.
        let two: Vec<f64> = (0..100_000).map(|k| f64::from(k % 2)).collect();
        assert!((entropy(&two, 2) - 1.0).abs() < 1e-12);
        // Almost all weights at 0, half-way between two points; compared with
        // scipy.
        let mut three = vec![0.0; 97_344];
        (three[1000], three[3000]) = (1.0, -1.0);
        assert!((entropy(&three, 100) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn equal_weights_have_no_entropy() {
        assert!(entropy(&[0.5; 9], 100).is_nan());
        assert!(entropy(&[0.5], 100).is_nan());
        assert!(entropy(&[], 100).is_nan());
    }

    #[test]
    fn scale_and_shift_change_nothing() {
        let x = normal(3000, 5);
        let y: Vec<f64> = x.iter().map(|v| 1e-20 * v).collect();
        assert!((entropy(&x, 100) - entropy(&y, 100)).abs() < 1e-10);
        let y: Vec<f64> = x.iter().map(|v| 3.0 - 70.0 * v).collect();
        assert!((entropy(&x, 100) - entropy(&y, 100)).abs() < 1e-10);
    }
}
