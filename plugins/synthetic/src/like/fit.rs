//! Fits a field's wiring, correlation, STTC and rates, and draws from the fits.

use pallium_core::{
    ndarray::{Array2, ArrayView2},
    prelude::*,
    random::Stream,
};
use rand::Rng;
use rand::seq::IndexedRandom;

use pallium_fields::bins::{BIN_S, Counts};
use pallium_fields::timeline::{Timeline, recorded};

use crate::draw::{COUNT_VARIANCE, Correlation, Line, distances};

/// Number of distance bins in which correlation is averaged before the fit.
const BINS: usize = 200;

/// All fits to a field.
pub(super) struct Fit {
    pub(super) somata: Vec<[f64; 3]>,
    pub(super) wiring: Option<Wiring>,
    pub(super) correlation: Option<Correlation>,
    pub(super) sttc: Option<Line>,
    /// Logarithm of the variance of counts: mean and standard deviation.
    pub(super) variance: (f64, f64),
    pub(super) activity: Option<Rates>,
}

impl Fit {
    pub(super) fn new(field: &Substrate, frame_hz: f64) -> Result<Self> {
        let um = field.positions()?.micrometres();
        let somata: Vec<[f64; 3]> = um.rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect();
        let distance = distances(&somata);
        let activity = field
            .events
            .as_ref()
            .map(|events| Rates::new(events, recorded(events, field.recording).0, frame_hz));
        let matrix = |name: &str| field.matrices.get(name).map(|matrix| matrix.view());
        let samples = activity.as_ref().map(|rates| rates.length / BIN_S);
        let correlation =
            matrix(Substrate::CORRELATION).and_then(|r| Correlation::new(r, &distance, samples));
        let sttc = match (matrix(Substrate::CORRELATION), matrix(Substrate::STTC)) {
            (Some(r), Some(s)) => Line::new(r, s),
            _ => None,
        };
        Ok(Fit {
            wiring: matrix(Substrate::CONNECTOME).and_then(|wiring| Wiring::new(wiring, &distance)),
            correlation,
            sttc,
            variance: count_variance(field)?,
            activity,
            somata,
        })
    }
}

/// Connections: probability p·exp(−κ·d), and the observed synapse counts.
pub(super) struct Wiring {
    pub(super) near: f64,
    pub(super) fall: f64,
    pub(super) counts: Vec<f64>,
}

impl Wiring {
    /// The likelihood of a Poisson number of connections at rate p·exp(−κd) is
    /// largest where number and mean length are those observed.
    pub(super) fn new(wiring: ArrayView2<'_, f64>, distance: &Array2<f64>) -> Option<Self> {
        let connected = || wiring.indexed_iter().filter(|((i, j), count)| i != j && **count > 0.0);
        let mut counts: Vec<f64> = connected().map(|(_, &count)| count).collect();
        counts.sort_by(f64::total_cmp);
        let number = counts.len() as f64;
        let target = connected().map(|(place, _)| distance[place]).sum::<f64>() / number;
        if counts.is_empty() {
            return None;
        }
        let pairs: Vec<f64> = distance.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, &d)| d).collect();
        let sums = |fall: f64| {
            pairs.iter().fold((0.0, 0.0), |(sum, length), d| {
                let weight = (-fall * d).exp();
                (sum + weight, length + weight * d)
            })
        };
        let mean_length = |fall: f64| {
            let (sum, length) = sums(fall);
            length / sum
        };
        // Without decay the mean length is that of all pairs, the maximum.
        let (mut low, mut high) = (0.0, 0.2);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if mean_length(middle) > target { low = middle } else { high = middle }
        }
        let fall = if mean_length(0.0) <= target { 0.0 } else { 0.5 * (low + high) };
        Some(Wiring { near: number / sums(fall).0, fall, counts })
    }

    /// Synapse counts, row presynaptic, no autapses.
    pub(super) fn draw(&self, distance: &Array2<f64>, seed: u64) -> Array2<f64> {
        let mut stream = random::stream(seed, "synthetic like: connectome");
        Array2::from_shape_fn(distance.dim(), |(i, j)| {
            let draw: f64 = stream.random();
            let contact = (self.near * (-self.fall * distance[[i, j]]).exp()).min(1.0);
            if i == j || draw >= contact {
                return 0.0;
            }
            self.counts.choose(&mut stream).copied().unwrap_or(1.0)
        })
    }
}

impl Correlation {
    /// `samples` is the number of bins in which correlations were measured; their
    /// sampling error is not attributed to the signals.
    pub(super) fn new(
        correlation: ArrayView2<'_, f64>,
        distance: &Array2<f64>,
        samples: Option<f64>,
    ) -> Option<Self> {
        let n = correlation.nrows();
        let pairs = || (0..n).flat_map(move |i| (0..i).map(move |j| [i, j]));
        let farthest = distance.iter().copied().fold(0.0, f64::max);
        if n < 4 || farthest == 0.0 {
            return None;
        }
        // Count, mean distance, mean correlation of each bin.
        let mut bins = vec![(0.0, 0.0, 0.0); BINS];
        for place in pairs() {
            let k = ((distance[place] / farthest * BINS as f64) as usize).min(BINS - 1);
            bins[k].0 += 1.0;
            bins[k].1 += distance[place];
            bins[k].2 += correlation[place];
        }
        bins.retain(|bin| bin.0 > 0.0);
        for bin in &mut bins {
            bin.1 /= bin.0;
            bin.2 /= bin.0;
        }
        // Given the length, the fit is linear. Take the best of 64 lengths from
        // 10 µm to the field's size.
        let lengths = (0..64).map(|k| 10.0 * (farthest.max(20.0) / 10.0).powf(f64::from(k) / 63.0));
        let (_, all, near, length) = lengths
            .map(|length| {
                let (all, near) = nonnegative_line(&bins, length);
                let error: f64 = bins
                    .iter()
                    .map(|&(count, d, r)| count * (r - all - near * (-d / length).exp()).powi(2))
                    .sum();
                (error, all, near, length)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;

        let curve = |place: [usize; 2]| all + near * (-distance[place] / length).exp();
        let number = (n * (n - 1) / 2) as f64;
        let spread = pairs().map(|p| (correlation[p] - curve(p)).powi(2)).sum::<f64>() / number;
        let squared = pairs().map(|p| curve(p).powi(2)).sum::<f64>() / number;
        // Each neuron's total correlation, and that of the curve.
        let (mut found, mut expected) = (vec![0.0; n], vec![0.0; n]);
        for [i, j] in pairs() {
            for k in [i, j] {
                found[k] += correlation[[i, j]];
                expected[k] += curve([i, j]);
            }
        }
        let mean = expected.iter().sum::<f64>() / n as f64;
        if mean <= 0.0 {
            return Some(Correlation { all, near, length, gain_sd: 0.0, signal_sd: spread.sqrt() });
        }
        let ratios: Vec<f64> = found.iter().zip(&expected).map(|(f, e)| f / e.max(0.1 * mean)).collect();
        let middle = ratios.iter().sum::<f64>() / n as f64;
        let variance = ratios.iter().map(|r| (r - middle).powi(2)).sum::<f64>() / (n - 1) as f64;
        let by_chance = spread * (n - 1) as f64 / mean.powi(2);
        // Gains cannot explain more spread than there is.
        let most = (1.0 + spread / squared.max(f64::MIN_POSITIVE)).sqrt() - 1.0;
        let gains = (variance - by_chance).clamp(0.0, most);
        let rest =
            spread - squared * ((1.0 + gains).powi(2) - 1.0) - samples.map_or(0.0, |samples| 1.0 / samples);
        Some(Correlation {
            all,
            near,
            length,
            gain_sd: gains.ln_1p().sqrt(),
            signal_sd: rest.max(0.0).sqrt(),
        })
    }
}

/// The best `(all, near)` of all + near·exp(−d/length), neither negative.
fn nonnegative_line(bins: &[(f64, f64, f64)], length: f64) -> (f64, f64) {
    let (mut w, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(count, d, r) in bins {
        let e = (-d / length).exp();
        w += count;
        x += count * e;
        y += count * r;
        xx += count * e * e;
        xy += count * e * r;
    }
    let determinant = w * xx - x * x;
    let near = if determinant > 1e-12 * w * xx { (w * xy - x * y) / determinant } else { 0.0 };
    let all = (y - near * x) / w;
    match (all >= 0.0, near >= 0.0) {
        (true, true) => (all, near),
        (false, _) if xx > 0.0 => (0.0, (xy / xx).max(0.0)),
        _ => ((y / w).max(0.0), 0.0),
    }
}

impl Line {
    pub(super) fn new(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> Option<Self> {
        let n = x.nrows();
        let pairs = || (0..n).flat_map(move |i| (0..i).map(move |j| [i, j]));
        let number = pairs().count() as f64;
        let (mx, my) =
            (pairs().map(|p| x[p]).sum::<f64>() / number, pairs().map(|p| y[p]).sum::<f64>() / number);
        let xx: f64 = pairs().map(|p| (x[p] - mx).powi(2)).sum();
        let xy: f64 = pairs().map(|p| (x[p] - mx) * (y[p] - my)).sum();
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let offset = my - slope * mx;
        let rest: f64 = pairs().map(|p| (y[p] - offset - slope * x[p]).powi(2)).sum();
        Some(Line { slope, offset, scatter: (rest / number).sqrt() })
    }
}

/// Mean and standard deviation of the logarithm of the variance of counts.
fn count_variance(field: &Substrate) -> Result<(f64, f64)> {
    let variances: Vec<f64> = if let Some(events) = &field.events {
        let timeline = Timeline::new(events, recorded(events, field.recording).0, field.frame_hz)?;
        let counts = Counts::new(events, BIN_S, &timeline)?;
        let moments = counts.moments(0..counts.bins(), 1);
        moments.covariance(&moments.varying()).diag().to_vec()
    } else if let Some(precision) = field.matrices.get(Substrate::PRECISION) {
        // The variance that other neurons do not explain, nearly all of it.
        precision.view().diag().iter().filter(|v| **v > 0.0).map(|v| 1.0 / v).collect()
    } else {
        Vec::new()
    };
    if variances.len() < 2 {
        return Ok((COUNT_VARIANCE.0.ln(), COUNT_VARIANCE.1));
    }
    let logs: Vec<f64> = variances.iter().map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let sd = (logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (logs.len() - 1) as f64).sqrt();
    Ok((mean, sd))
}

/// Rates in events per second, ascending; the recording's length (s); and the
/// fraction of shared activity that persists to the next frame.
pub(super) struct Rates {
    pub(super) sorted: Vec<f64>,
    pub(super) length: f64,
    pub(super) persistence: f64,
}

impl Rates {
    pub(super) fn new(events: &[Vec<f64>], (begin, end): (f64, f64), frame_hz: f64) -> Self {
        let length = end - begin;
        let mut sorted: Vec<f64> = events.iter().map(|times| times.len() as f64 / length).collect();
        sorted.sort_by(f64::total_cmp);
        Rates { sorted, length, persistence: persistence(events, (begin, length), frame_hz) }
    }

    /// Draws a rate by interpolating between those of the field.
    pub(super) fn draw(&self, stream: &mut Stream) -> f64 {
        let place = stream.random::<f64>() * (self.sorted.len() - 1) as f64;
        let (k, part) = (place as usize, place.fract());
        let above = self.sorted[(k + 1).min(self.sorted.len() - 1)];
        self.sorted[k] + part * (above - self.sorted[k])
    }
}

/// Mean covariance of two neurons in successive frames, relative to that within a
/// frame, 0 to 0.95. Sums over pairs follow from the sum over all neurons.
fn persistence(events: &[Vec<f64>], (begin, length): (f64, f64), frame_hz: f64) -> f64 {
    let frames = (length * frame_hz).ceil() as usize + 1;
    let frame_of = |time: f64| (((time - begin) * frame_hz).round() as usize).min(frames - 1);
    let covariances = |frame: &dyn Fn(usize) -> f64, sum: f64| {
        let mean = sum / frames as f64;
        let product = |lag: usize| (lag..frames).map(|k| frame(k) * frame(k - lag)).sum::<f64>();
        [0, 1].map(|lag| product(lag) / (frames - lag) as f64 - mean * mean)
    };
    let mut together = vec![0.0; frames];
    let mut own = [0.0; 2];
    let mut single = vec![0.0; frames];
    for times in events {
        single.fill(0.0);
        for &time in times {
            single[frame_of(time)] += 1.0;
            together[frame_of(time)] += 1.0;
        }
        let found = covariances(&|k| single[k], times.len() as f64);
        own = [own[0] + found[0], own[1] + found[1]];
    }
    let all = covariances(&|k| together[k], together.iter().sum());
    let (within, across) = (all[0] - own[0], all[1] - own[1]);
    if within > 0.0 { (across / within).clamp(0.0, 0.95) } else { 0.0 }
}
