//! Draws events with given rates and count correlations, by thresholding
//! correlated Gaussians (Macke, Berens, Ecker, Tolias and Bethge 2009).

use pallium_core::{
    ndarray::{Array2, s},
    prelude::*,
};
use pallium_linalg::{Symmetric, symmetric};
use rand_distr::{Distribution, StandardNormal};

use super::fit::Rates;
use pallium_fields::parallel;

/// Frames drawn from one random stream.
const BLOCK: usize = 1024;

/// Number of modes of activity that persist from frame to frame.
const LASTING: usize = 8;

/// Rounds that correct the Gaussians' correlations for the effect of persistence
/// on the correlations of counts.
const ROUNDS: usize = 4;

/// Number of terms in the expansion of a bivariate normal probability.
const TERMS: usize = 48;

/// Draws event times on frames. A neuron has an event in a frame if its Gaussian
/// exceeds a threshold, which sets its rate. Gaussians correlate such that counts
/// in bins of `bin` seconds have the given `correlation`.
pub(super) fn events(
    rates: &Rates,
    correlation: &Array2<f64>,
    length: f64,
    (frame_hz, bin): (f64, f64),
    seed: u64,
    threads: usize,
) -> Result<Vec<Vec<f64>>> {
    let n = correlation.nrows();
    let frames = (length * frame_hz) as usize;
    if frames < 2 {
        return Err(Error::input(format!("a recording of {length} s has fewer than two frames"))
            .help("increase length_s"));
    }
    let mut stream = random::stream(seed, "synthetic like: rates");
    let probability: Vec<f64> =
        (0..n).map(|_| (rates.draw(&mut stream) / frame_hz).clamp(0.0, 0.5)).collect();
    let threshold: Vec<f64> = probability.iter().map(|&p| upper_quantile(p)).collect();
    let terms: Vec<Vec<f64>> = threshold.iter().map(|&t| terms(t)).collect();
    // Mean and variance of the number of frames per bin, and the number of pairs
    // of neighbouring frames in a bin, counted in both directions.
    let per_bin = bin * frame_hz;
    let (fewest, part) = (per_bin.floor(), per_bin.fract());
    let uneven = part * (1.0 - part);
    let neighbours = 2.0 * ((1.0 - part) * (fewest - 1.0).max(0.0) + part * fewest);
    let mut latent = Latent::new(&Array2::eye(n), 0.0)?;
    for _ in 0..ROUNDS {
        // Covariance of counts beyond that within a frame: from neighbouring
        // frames, and from the number of frames per bin, which all neurons share.
        let beyond = |i: usize, j: usize| {
            let across = latent.persistence * latent.lasting[[i, j]];
            neighbours * series(&terms[i], &terms[j], across) + uneven * probability[i] * probability[j]
        };
        let sd: Vec<f64> = probability
            .iter()
            .enumerate()
            .map(|(i, p)| (per_bin * p * (1.0 - p) + beyond(i, i)).max(0.0).sqrt())
            .collect();
        let mut wanted = Array2::<f64>::eye(n);
        parallel::for_each(wanted.outer_iter_mut().enumerate(), threads, |(i, mut row)| {
            for j in 0..i {
                let covariance = (correlation[[i, j]] * sd[i] * sd[j] - beyond(i, j)) / per_bin;
                row[j] = latent_correlation(&terms[i], &terms[j], covariance);
            }
        });
        for i in 0..n {
            for j in i + 1..n {
                wanted[[i, j]] = wanted[[j, i]];
            }
        }
        latent = Latent::new(&wanted, rates.persistence)?;
    }
    let blocks = frames.div_ceil(BLOCK);
    let mut drawn: Vec<Vec<(u32, u32)>> = vec![Vec::new(); blocks];
    parallel::for_each(drawn.iter_mut().enumerate(), threads, |(block, drawn)| {
        let seed = random::derive(seed, block as u64, "synthetic like: frames");
        let mut stream = random::stream(seed, "noise");
        let first = block * BLOCK;
        let mut noise = Array2::from_shape_simple_fn((BLOCK.min(frames - first), n), || -> f64 {
            StandardNormal.sample(&mut stream)
        });
        // Each lasting mode keeps a part of its previous frame; variances stay 1.
        let fresh = (1.0 - latent.persistence.powi(2)).sqrt();
        for frame in 1..noise.nrows() {
            for mode in n.saturating_sub(LASTING)..n {
                noise[[frame, mode]] =
                    fresh * noise[[frame, mode]] + latent.persistence * noise[[frame - 1, mode]];
            }
        }
        for ((frame, neuron), &value) in noise.dot(&latent.factor.t()).indexed_iter() {
            if value > threshold[neuron] {
                drawn.push((neuron as u32, (first + frame) as u32));
            }
        }
    });
    let mut events = vec![Vec::new(); n];
    for (neuron, frame) in drawn.into_iter().flatten() {
        // The first frame ends one frame after the start.
        events[neuron as usize].push(f64::from(frame + 1) / frame_hz);
    }
    Ok(events)
}

/// Gaussians that correlate within frames and, in their strongest modes, across
/// frames.
struct Latent {
    /// F, where FFᵀ is the correlation; one column per mode, the strongest last.
    factor: Array2<f64>,
    /// Contribution of the lasting modes, the last columns, to FFᵀ.
    lasting: Array2<f64>,
    /// Correlation of a lasting mode with its own next frame.
    persistence: f64,
}

impl Latent {
    /// Approximates `wanted` by a correlation matrix: negative eigenvalues are
    /// removed and the diagonal is rescaled to 1. On average over pairs, the
    /// fraction `persistence` of the correlation remains in the next frame.
    fn new(wanted: &Array2<f64>, persistence: f64) -> Result<Self> {
        let n = wanted.nrows();
        let Symmetric { values, vectors } = symmetric(wanted.view())
            .ok_or_else(|| Error::bug("the eigenvalues of a correlation matrix cannot be found"))?;
        let mut factor = Array2::from_shape_fn((n, n), |(i, k)| vectors[[i, k]] * values[k].max(0.0).sqrt());
        for mut row in factor.rows_mut() {
            let length = row.dot(&row).sqrt();
            row /= length;
        }
        let modes = factor.slice(s![.., n.saturating_sub(LASTING)..]);
        let lasting = modes.dot(&modes.t());
        let pairs = |matrix: &Array2<f64>| matrix.sum() - matrix.diag().sum();
        let share = pairs(&lasting) / pairs(&factor.dot(&factor.t()));
        let persistence = if share > 0.0 { (persistence / share).min(0.98) } else { 0.0 };
        Ok(Latent { factor, lasting, persistence })
    }
}

/// The threshold that a standard normal variable exceeds with probability `p`.
pub(super) fn upper_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0_f64, 9.0_f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let above = 0.5 * libm::erfc(middle * std::f64::consts::FRAC_1_SQRT_2);
        if above > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// A neuron's factors in the tetrachoric series (Pearson 1900). The factor of λᵏ⁺¹
/// is Heₖ(t)·φ(t)/√((k+1)!), a Hermite polynomial times the normal density.
pub(super) fn terms(threshold: f64) -> Vec<f64> {
    let density = (-0.5 * threshold * threshold).exp() / std::f64::consts::TAU.sqrt();
    let mut terms = Vec::with_capacity(TERMS);
    // Normalised: h_k = He_k/√k!, so that nothing overflows.
    let (mut before, mut now) = (0.0, 1.0);
    for k in 0..TERMS {
        let next = (threshold * now - (k as f64).sqrt() * before) / ((k + 1) as f64).sqrt();
        terms.push(density * now / ((k + 1) as f64).sqrt());
        (before, now) = (now, next);
    }
    terms
}

/// The covariance of two normal variables exceeding their thresholds, if their
/// correlation is `lambda`.
fn series(a: &[f64], b: &[f64], lambda: f64) -> f64 {
    a.iter().zip(b).rev().fold(0.0, |sum, (a, b)| (sum + a * b) * lambda)
}

/// The correlation of two normal variables for which [`series`] is `covariance`,
/// limited to ±0.95.
pub(super) fn latent_correlation(a: &[f64], b: &[f64], covariance: f64) -> f64 {
    // The series increases with λ, because it is the integral of a density.
    let (mut low, mut high) = (-0.95, 0.95);
    for _ in 0..48 {
        let middle = 0.5 * (low + high);
        if series(a, b, middle) < covariance { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
