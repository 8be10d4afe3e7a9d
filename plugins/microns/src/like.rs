//! `synthetic.like`: a made-up field with the statistics of a given one, with
//! or without event times.

use std::collections::BTreeSet;
use std::path::PathBuf;

use faer::Mat;
use pallium_core::{
    ndarray::{Array1, Array2, s},
    prelude::*,
    random::Stream,
};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_distr::{Distribution, LogNormal, Normal, StandardNormal};

use crate::activity;
use crate::counts::Counts;
use crate::derived::{self, Method};
use crate::field::FRAME_HZ;
use crate::folder::{self, ConnectomeOrder, Reading, Sttc};
use crate::parallel;
use crate::spectrum::inverse;

/// Width of the kernel that smooths positions, relative to Scott's rule for
/// three dimensions; narrow, so that the edges of a slab stay edges.
const NARROW: f64 = 0.5;
/// Hidden signals that neurons follow or oppose at random.
const SIGNALS: usize = 16;
/// Least share of a neuron's variance that is its own.
const PRIVATE: f64 = 0.3;
/// Bins of distance in which correlation is averaged before the curve is
/// fitted.
const BINS: usize = 200;
/// Frames that are drawn from one random stream.
const BLOCK: usize = 1024;
/// Modes of activity that persist from frame to frame.
const LASTING: usize = 8;
/// Rounds in which Gaussians' correlations are brought in line with what
/// persistence adds to those of counts.
const ROUNDS: usize = 4;
/// Terms of the expansion of a bivariate normal probability.
const TERMS: usize = 48;
/// Variance of event counts where the field does not tell: median, and
/// standard deviation of the logarithm.
const COUNT_VARIANCE: (f64, f64) = (0.08, 0.3);

pallium_core::params! {
    /// Which field to learn from, and what to make.
    pub struct Params {
        /// Folder of the field to learn from.
        path: String = String::new(),
        /// Order of its connectome's rows and columns.
        connectome_order: ConnectomeOrder = ConnectomeOrder::Restored,
        /// Number of neurons (1 to 5000); 0 means as many as the field has.
        neurons: u32 = 0,
        /// Whether to draw event times, too; the field must have some.
        spikes: bool = false,
        /// Length of the made-up recording (s), for `spikes`; 0 means that of
        /// the field.
        length_s: f64 = 0.0,
        /// Frames a second of both recordings (Hz); 0 means what the field
        /// says, and 6.3009 where it says nothing.
        frame_hz: f64 = 0.0,
    }
}

/// A synthetic field calibrated on a real one.
///
/// *Positions*: a smoothed bootstrap of the field's somata (a Gaussian kernel
/// of half the width of Scott's rule around each in turn, shrunk so that the
/// covariance stays; nobody outside the field's box, nor nearer to another than
/// in the field), so that depth profile and tilt are those of the field. *Wiring*: a directed
/// connection with probability p·exp(−d/λ), p and λ fitted by maximum
/// likelihood (Poisson), which makes number and mean length of connections
/// those of the field on average; synapse counts drawn from the field's.
/// *Correlation*: c + a·exp(−d/ℓ), fitted by least squares, times gains of the
/// neurons, plus signals that neurons follow or oppose at random; the spread
/// of both is that which the field's correlations leave. *STTC* is linear in
/// correlation, with scatter, as in the field. *Precision* is the exact inverse
/// of the covariance of counts.
///
/// With `spikes`, *rates* are drawn from the field's, interpolated, and events
/// by thresholding correlated Gaussians frame by frame (Macke, Berens, Ecker,
/// Tolias and Bethge 2009), whose strongest modes persist from frame to frame
/// as far as the field says, so that counts correlate as said above; correlation
/// and STTC (half a frame) are then computed from these events, and precision
/// is the inverse covariance of their counts.
///
/// *Not* matched: dependence of wiring on function beyond distance, an excess
/// of reciprocal connections, cell types, correlation of a neuron with itself
/// in time, skew of the correlations.
///
/// Everything is determined by the field, the parameters and the seed.
pub struct Like {
    params: Params,
    threads: usize,
}

impl Component for Like {
    const ID: &'static str = "synthetic.like";
    const ABOUT: &'static str = "a made-up field with the statistics of a given one, with or without events";
    const CITE: &'static str = "this work; Macke et al. 2009 (correlated events)";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("neurons", params.neurons.into(), 0.0, 5000.0)?;
        one_of_range("frame_hz", params.frame_hz, 0.0, 1e6)?;
        one_of_range("length_s", params.length_s, 0.0, 1e6)?;
        Ok(Like { params, threads: setting.threads.max(1) })
    }
}

impl SubstrateSource for Like {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        let params = &self.params;
        if params.path.is_empty() {
            return Err(Error::input("`synthetic.like` is not told which field to learn from")
                .help("set path to the folder of a field; `synthetic.field` needs none"));
        }
        let reading = Reading {
            order: params.connectome_order,
            sttc: Sttc::HalfFrame,
            frame_hz: Some(params.frame_hz).filter(|hz| *hz > 0.0),
            events: true,
        };
        let field = folder::read(&PathBuf::from(&params.path), &reading)?;
        if params.spikes && field.events.is_none() {
            return Err(Error::input(format!("{} holds no event times", params.path))
                .help("rates are learnt from event times; leave spikes away, or learn from another field"));
        }
        let params = &Params { frame_hz: field.frame_hz.unwrap_or(FRAME_HZ), ..params.clone() };
        let fit = Fit::of(&field, params.frame_hz)?;
        let n = if params.neurons == 0 { field.neurons } else { params.neurons as usize };
        draw(&field, &fit, n, params, seed, self.threads)
    }
}
pallium_core::register!(SubstrateSource, Like);

fn between(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn distances(somata: &[[f64; 3]]) -> Array2<f64> {
    Array2::from_shape_fn((somata.len(), somata.len()), |(i, j)| between(&somata[i], &somata[j]))
}

/// What is learnt from a field.
struct Fit {
    somata: Vec<[f64; 3]>,
    wiring: Option<Wiring>,
    correlation: Option<Correlation>,
    sttc: Option<Line>,
    /// Logarithm of the variance of counts: mean and standard deviation.
    variance: (f64, f64),
    activity: Option<Rates>,
}

/// Connections: probability p·exp(−κ·d), and the synapse counts that occur.
struct Wiring {
    near: f64,
    fall: f64,
    counts: Vec<f64>,
}

/// Correlation: shared by all, shared by neighbours and over what length, and
/// the standard deviation of gains' logarithm and of what signals add.
struct Correlation {
    all: f64,
    near: f64,
    length: f64,
    gain_sd: f64,
    signal_sd: f64,
}

/// A line, and the standard deviation around it.
struct Line {
    slope: f64,
    offset: f64,
    scatter: f64,
}

/// Rates in events a second, ascending, the recording's length (s), and how
/// much of what neurons share in a frame they share with the next.
struct Rates {
    sorted: Vec<f64>,
    length: f64,
    persistence: f64,
}

impl Fit {
    fn of(field: &Substrate, frame_hz: f64) -> Result<Self> {
        let um = field.positions()?.micrometres();
        let somata: Vec<[f64; 3]> = um.rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect();
        let distance = distances(&somata);
        let activity = field.events.as_ref().map(|events| Rates::of(events, frame_hz));
        let matrix = |name: &str| field.matrices.get(name);
        let samples = activity.as_ref().map(|rates| rates.length / activity::BIN_S);
        let correlation = matrix(Substrate::CORRELATION).and_then(|r| Correlation::of(r, &distance, samples));
        let sttc = match (matrix(Substrate::CORRELATION), matrix(Substrate::STTC)) {
            (Some(r), Some(s)) => Line::of(r, s),
            _ => None,
        };
        Ok(Fit {
            wiring: matrix(Substrate::CONNECTOME).and_then(|wiring| Wiring::of(wiring, &distance)),
            correlation,
            sttc,
            variance: count_variance(field)?,
            activity,
            somata,
        })
    }
}

impl Wiring {
    /// The likelihood of a Poisson number of connections at rate p·exp(−κd) is
    /// largest where number and mean length are those observed.
    fn of(wiring: &Array2<f64>, distance: &Array2<f64>) -> Option<Self> {
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
        // Without fall the mean is that of all pairs; it can only be shorter.
        let (mut low, mut high) = (0.0, 0.2);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if mean_length(middle) > target { low = middle } else { high = middle }
        }
        let fall = if mean_length(0.0) <= target { 0.0 } else { 0.5 * (low + high) };
        Some(Wiring { near: number / sums(fall).0, fall, counts })
    }

    /// Synapse counts, row presynaptic, no autapses.
    fn draw(&self, distance: &Array2<f64>, seed: u64) -> Array2<f64> {
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
    /// `samples` is the number of bins that correlations were measured in: the
    /// error of that many is not part of the signals.
    fn of(correlation: &Array2<f64>, distance: &Array2<f64>, samples: Option<f64>) -> Option<Self> {
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
        // For each length, the rest is a straight-line fit; of 64 lengths from
        // 10 µm to the field's size the best.
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
        // How much more a neuron correlates than the curve says.
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

    /// Correlation matrix, positive definite by construction.
    fn draw(&self, distance: &Array2<f64>, seed: u64) -> Array2<f64> {
        let n = distance.nrows();
        let mut stream = random::stream(seed, "synthetic like: correlation");
        let normal = |stream: &mut Stream| -> f64 { StandardNormal.sample(stream) };
        // Mean 1.
        let gain: Array1<f64> =
            (0..n).map(|_| (self.gain_sd * normal(&mut stream) - 0.5 * self.gain_sd.powi(2)).exp()).collect();
        let follow = (self.signal_sd / (SIGNALS as f64).sqrt()).sqrt();
        let loadings = Array2::from_shape_simple_fn((n, SIGNALS), || follow * normal(&mut stream));
        let mut covariance = loadings.dot(&loadings.t());
        for ((i, j), entry) in covariance.indexed_iter_mut() {
            *entry += gain[i] * gain[j] * (self.all + self.near * (-distance[[i, j]] / self.length).exp());
        }
        for entry in covariance.diag_mut() {
            *entry += (1.0 - *entry).max(PRIVATE);
        }
        let sd: Vec<f64> = covariance.diag().iter().map(|v| v.sqrt()).collect();
        Array2::from_shape_fn((n, n), |(i, j)| {
            let (i, j) = (i.min(j), i.max(j));
            if i == j { 1.0 } else { covariance[[i, j]] / (sd[i] * sd[j]) }
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
    fn of(x: &Array2<f64>, y: &Array2<f64>) -> Option<Self> {
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

    fn draw(&self, x: &Array2<f64>, seed: u64) -> Result<Array2<f64>> {
        let mut stream = random::stream(seed, "synthetic like: sttc");
        let scatter =
            Normal::new(0.0, self.scatter).map_err(|e| Error::bug(format!("normal distribution: {e}")))?;
        let n = x.nrows();
        let mut y = Array2::eye(n);
        for i in 0..n {
            for j in i + 1..n {
                let value = self.slope * x[[i, j]] + self.offset + scatter.sample(&mut stream);
                y[[i, j]] = value.clamp(-1.0, 1.0);
                y[[j, i]] = y[[i, j]];
            }
        }
        Ok(y)
    }
}

/// Mean and standard deviation of the logarithm of the variance of counts.
fn count_variance(field: &Substrate) -> Result<(f64, f64)> {
    let variances: Vec<f64> = if let Some(events) = &field.events {
        let counts = Counts::of(events, activity::BIN_S, activity::recorded_until(events))?;
        let moments = counts.moments(0..counts.bins(), 1);
        moments.covariance(&moments.varying()).diag().to_vec()
    } else if let Some(precision) = field.matrices.get(Substrate::PRECISION) {
        // What the others do not explain, which is nearly all of it.
        precision.diag().iter().filter(|v| **v > 0.0).map(|v| 1.0 / v).collect()
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

impl Rates {
    fn of(events: &[Vec<f64>], frame_hz: f64) -> Self {
        let length = activity::recorded_until(events);
        let mut sorted: Vec<f64> = events.iter().map(|times| times.len() as f64 / length).collect();
        sorted.sort_by(f64::total_cmp);
        Rates { sorted, length, persistence: persistence(events, length, frame_hz) }
    }

    /// A rate between those of the field.
    fn draw(&self, stream: &mut Stream) -> f64 {
        let place = stream.random::<f64>() * (self.sorted.len() - 1) as f64;
        let (k, part) = (place as usize, place.fract());
        let above = self.sorted[(k + 1).min(self.sorted.len() - 1)];
        self.sorted[k] + part * (above - self.sorted[k])
    }
}

/// Mean covariance of a neuron with another's next frame, relative to that
/// within a frame, 0 to 0.95. Sums over pairs follow from all neurons' sum.
fn persistence(events: &[Vec<f64>], length: f64, frame_hz: f64) -> f64 {
    let frames = (length * frame_hz).ceil() as usize + 1;
    let frame_of = |time: f64| ((time * frame_hz).round() as usize).min(frames - 1);
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

/// Soma positions like `real` ones (µm).
fn positions(real: &[[f64; 3]], n: usize, seed: u64) -> Result<Vec<[f64; 3]>> {
    let count = real.len() as f64;
    let mean: [f64; 3] = std::array::from_fn(|k| real.iter().map(|p| p[k]).sum::<f64>() / count);
    let covariance =
        |a: usize, b: usize| real.iter().map(|p| (p[a] - mean[a]) * (p[b] - mean[b])).sum::<f64>() / count;
    // Cholesky factor of the covariance, zero where nothing varies.
    let mut factor = [[0.0_f64; 3]; 3];
    for a in 0..3 {
        for b in 0..=a {
            let rest = covariance(a, b) - (0..b).map(|k| factor[a][k] * factor[b][k]).sum::<f64>();
            factor[a][b] = match (a == b, factor[b][b] > 0.0) {
                (true, _) => rest.max(0.0).sqrt(),
                (false, true) => rest / factor[b][b],
                (false, false) => 0.0,
            };
        }
    }
    let low: [f64; 3] = std::array::from_fn(|k| real.iter().map(|p| p[k]).fold(f64::INFINITY, f64::min));
    let high: [f64; 3] = std::array::from_fn(|k| real.iter().map(|p| p[k]).fold(f64::NEG_INFINITY, f64::max));
    let mut apart = f64::INFINITY;
    for (i, a) in real.iter().enumerate() {
        apart = real[..i].iter().map(|b| between(a, b)).fold(apart, f64::min);
    }
    let apart = if apart.is_finite() { apart } else { 0.0 };
    let width = NARROW * count.powf(-1.0 / 7.0);
    let shrink = 1.0 / (1.0 + width * width).sqrt();
    let mut stream = random::stream(seed, "synthetic like: positions");
    let mut somata: Vec<[f64; 3]> = Vec::with_capacity(n);
    let mut centres: Vec<&[f64; 3]> = Vec::new();
    for _ in 0..n.saturating_mul(200) {
        // Every neuron serves as often as every other, as far as n allows.
        if centres.is_empty() {
            centres.extend(real);
            centres.shuffle(&mut stream);
        }
        let Some(centre) = centres.pop() else { break };
        // A draw beyond the box is repeated around the same neuron, so that
        // those at the edges do not become rarer.
        let inside = |soma: &[f64; 3]| (0..3).all(|k| (low[k]..=high[k]).contains(&soma[k]));
        let near = std::iter::repeat_with(|| {
            let z: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut stream));
            std::array::from_fn::<f64, 3, _>(|k| {
                let jitter: f64 = (0..=k).map(|l| factor[k][l] * z[l]).sum();
                mean[k] + shrink * (centre[k] - mean[k] + width * jitter)
            })
        });
        let Some(soma) = near.take(32).find(|soma| inside(soma)) else { continue };
        if somata.iter().all(|other| between(&soma, other) >= apart) {
            somata.push(soma);
            if somata.len() == n {
                return Ok(somata);
            }
        }
    }
    Err(Error::input(format!("{n} neurons do not fit into the field's volume, {apart:.1} µm apart"))
        .help("ask for fewer neurons"))
}

fn draw(
    field: &Substrate,
    fit: &Fit,
    n: usize,
    params: &Params,
    seed: u64,
    threads: usize,
) -> Result<Substrate> {
    let somata = positions(&fit.somata, n, seed)?;
    let distance = distances(&somata);
    let mut made = Substrate {
        name: format!("like-{}-{n}", field.name),
        neurons: n,
        positions: Some(Positions {
            values: Array2::from_shape_fn((n, 3), |(i, k)| somata[i][k]),
            unit_um: [1.0; 3],
        }),
        // As large as real segmentation ids.
        ids: [("root", 1_i64 << 60), ("unit", 1), ("target", 1_000_000)]
            .map(|(name, base)| (name.to_owned(), (base..base + n as i64).collect()))
            .into(),
        notes: vec![format!("synthetic: drawn from statistics of field {}, not measured", field.name)],
        ..Substrate::default()
    };
    let mut put = |name: &str, matrix| made.matrices.insert(name.to_owned(), matrix);
    if let Some(wiring) = &fit.wiring {
        put(Substrate::CONNECTOME, wiring.draw(&distance, seed));
    }
    let Some(correlation) = fit.correlation.as_ref().map(|fit| fit.draw(&distance, seed)) else {
        if params.spikes {
            return Err(Error::input("the field has no correlations for events to follow")
                .help("derive them: `pallium field derive`"));
        }
        return Ok(made);
    };
    if let (true, Some(rates)) = (params.spikes, &fit.activity) {
        let length = if params.length_s > 0.0 { params.length_s } else { rates.length };
        let events = events(rates, &correlation, length, (params.frame_hz, activity::BIN_S), seed, threads)?;
        let how = derived::Params {
            frame_hz: params.frame_hz,
            precision: Method::Inverse,
            partial_correlation: false,
            ..derived::Params::default()
        };
        let derived = derived::derive(&events, &how, threads)?;
        for (name, matrix) in derived.matrices {
            put(name, matrix);
        }
        made.notes.extend(derived.notes);
        made.events = Some(events);
        made.frame_hz = Some(params.frame_hz);
        made.derived = functional(&made);
        return Ok(made);
    }
    if let Some(line) = &fit.sttc {
        put(Substrate::STTC, line.draw(&correlation, seed)?);
    }
    let mut stream = random::stream(seed, "synthetic like: counts");
    let (mean, sd) = fit.variance;
    let variance =
        LogNormal::new(mean, sd).map_err(|e| Error::bug(format!("lognormal distribution: {e}")))?;
    let sd: Vec<f64> = (0..n).map(|_| variance.sample(&mut stream).sqrt()).collect();
    let mut precision = inverse(&correlation)?;
    for ((i, j), entry) in precision.indexed_iter_mut() {
        *entry /= sd[i] * sd[j];
    }
    put(Substrate::PRECISION, precision);
    put(Substrate::CORRELATION, correlation);
    made.derived = functional(&made);
    Ok(made)
}

/// Names of the matrices of activity.
fn functional(field: &Substrate) -> BTreeSet<String> {
    field.matrices.keys().filter(|name| *name != Substrate::CONNECTOME).cloned().collect()
}

/// Event times on frames: neuron i has one in a frame when its Gaussian passes
/// the threshold that its rate says; Gaussians correlate so that counts in bins
/// of `bin` seconds do as `correlation` says.
fn events(
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
        return Err(
            Error::input(format!("a recording of {length} s has no two frames")).help("make length_s longer")
        );
    }
    let mut stream = random::stream(seed, "synthetic like: rates");
    let probability: Vec<f64> =
        (0..n).map(|_| (rates.draw(&mut stream) / frame_hz).clamp(0.0, 0.5)).collect();
    let threshold: Vec<f64> = probability.iter().map(|&p| upper_quantile(p)).collect();
    let terms: Vec<Vec<f64>> = threshold.iter().map(|&t| terms(t)).collect();
    // Frames a bin: mean and variance; and pairs of neighbouring frames in it,
    // each counted in both directions.
    let per_bin = bin * frame_hz;
    let (fewest, part) = (per_bin.floor(), per_bin.fract());
    let uneven = part * (1.0 - part);
    let neighbours = 2.0 * ((1.0 - part) * (fewest - 1.0).max(0.0) + part * fewest);
    let mut latent = Latent::of(&Array2::eye(n), 0.0)?;
    for _ in 0..ROUNDS {
        // Covariance of counts beyond what one frame alone causes: that of
        // neighbouring frames, and that of the number of frames in a bin,
        // which all neurons share.
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
        latent = Latent::of(&wanted, rates.persistence)?;
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
        // Of the lasting modes each frame keeps a part of the one before;
        // variances stay 1.
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

/// Gaussians that correlate within frames, and in their strongest modes over
/// frames.
struct Latent {
    /// F with FFᵀ their correlation; a column a mode, the strongest last.
    factor: Array2<f64>,
    /// What the lasting modes, the last columns, contribute to FFᵀ.
    lasting: Array2<f64>,
    /// Correlation of a lasting mode with its own next frame.
    persistence: f64,
}

impl Latent {
    /// The nearest correlation matrix to `wanted`: negative eigenvalues are
    /// taken away, the diagonal is brought back to 1. On average over pairs,
    /// `persistence` of the correlation is left in the next frame.
    fn of(wanted: &Array2<f64>, persistence: f64) -> Result<Self> {
        let n = wanted.nrows();
        let eigen = Mat::from_fn(n, n, |i, j| wanted[[i, j]])
            .self_adjoint_eigen(faer::Side::Lower)
            .map_err(|e| Error::bug(format!("eigenvalues of a correlation matrix: {e:?}")))?;
        // In ascending order.
        let (vectors, values) = (eigen.U(), eigen.S().column_vector());
        let mut factor = Array2::from_shape_fn((n, n), |(i, k)| vectors[(i, k)] * values[k].max(0.0).sqrt());
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

/// The threshold that a standard normal number passes with probability `p`.
fn upper_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0_f64, 9.0_f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let above = 0.5 * libm::erfc(middle * std::f64::consts::FRAC_1_SQRT_2);
        if above > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The neuron's factors in the tetrachoric series (Pearson 1900): that of λᵏ⁺¹
/// is Heₖ(t)·φ(t)/√((k+1)!), Hermite polynomials times the normal density.
fn terms(threshold: f64) -> Vec<f64> {
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

/// The covariance of two normal numbers' passing their thresholds, if they
/// correlate by `lambda`.
fn series(a: &[f64], b: &[f64], lambda: f64) -> f64 {
    a.iter().zip(b).rev().fold(0.0, |sum, (a, b)| (sum + a * b) * lambda)
}

/// The correlation of two normal numbers for which [`series`] is `covariance`;
/// at most 0.95 in size.
fn latent_correlation(a: &[f64], b: &[f64], covariance: f64) -> f64 {
    // The series grows with λ: it is the integral of a density.
    let (mut low, mut high) = (-0.95, 0.95);
    for _ in 0..48 {
        let middle = 0.5 * (low + high);
        if series(a, b, middle) < covariance { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::real_field;

    fn like(path: &std::path::Path, json: &str, seed: u64) -> Result<Substrate> {
        let mut params: Params = pallium_core::parse_parameters(Like::ID, json).unwrap();
        params.path = path.to_str().unwrap().into();
        let setting = Setting { threads: 2, ..Setting::default() };
        Like::build(params, &setting).unwrap().substrate(seed)
    }

    fn off_diagonal(matrix: &Array2<f64>) -> Vec<f64> {
        matrix.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, &v)| v).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn sd(values: &[f64]) -> f64 {
        let middle = mean(values);
        (values.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    /// Distance, its spread, that of connected pairs, connections a pair, mean
    /// and spread of correlation, correlation of neighbours, mean STTC.
    fn summary(field: &Substrate) -> Vec<f64> {
        let um = field.positions().unwrap().micrometres();
        let somata: Vec<[f64; 3]> = um.rows().into_iter().map(|r| [r[0], r[1], r[2]]).collect();
        let d = off_diagonal(&distances(&somata));
        let wiring = off_diagonal(&field.matrices["connectome"]);
        let r = off_diagonal(&field.matrices["correlation"]);
        let connected: Vec<f64> = d.iter().zip(&wiring).filter(|(_, w)| **w > 0.0).map(|(d, _)| *d).collect();
        let near: Vec<f64> = r.iter().zip(&d).filter(|(_, d)| **d < 100.0).map(|(r, _)| *r).collect();
        let density = connected.len() as f64 / d.len() as f64;
        let sttc = mean(&off_diagonal(&field.matrices["sttc"]));
        vec![mean(&d), sd(&d), mean(&connected), density, mean(&r), sd(&r), mean(&near), sttc]
    }

    const NAMES: [&str; 8] = [
        "distance",
        "its spread",
        "distance of connected pairs",
        "density",
        "correlation",
        "its spread",
        "correlation of neighbours",
        "sttc",
    ];

    #[test]
    fn a_sample_has_the_statistics_of_its_field() {
        // Means over seeds; the few connections of a small field vary most.
        for (name, spikes, seeds) in
            [("6_6_2", false, 6), ("9_3_2", false, 3), ("5_6_8", false, 12), ("5_6_8", true, 3)]
        {
            let Some(folder) = real_field(name) else { return };
            let reading = Reading {
                order: ConnectomeOrder::Restored,
                sttc: Sttc::HalfFrame,
                frame_hz: None,
                events: false,
            };
            let real = summary(&folder::read(&folder, &reading).unwrap());
            let json = format!(r#"{{"spikes": {spikes}}}"#);
            let made: Vec<Vec<f64>> =
                (0..seeds).map(|seed| summary(&like(&folder, &json, seed).unwrap())).collect();
            for (k, what) in NAMES.iter().enumerate() {
                let found = mean(&made.iter().map(|one| one[k]).collect::<Vec<_>>());
                let relative = found / real[k] - 1.0;
                println!("{name} {what}: {found:.4}, real {:.4} ({:+.1} %)", real[k], 100.0 * relative);
                let allowed = if k < 2 { 0.06 } else { 0.25 };
                assert!(relative.abs() < allowed, "{name} spikes {spikes} {what}: {found} {}", real[k]);
            }
        }
    }

    #[test]
    fn events_have_the_rates_and_the_correlations_asked_for() {
        let rates = Rates { sorted: vec![0.1, 0.2, 0.3, 1.0], length: 100.0, persistence: 0.5 };
        let target = ndarray::array![[1.0, 0.2, 0.05], [0.2, 1.0, -0.02], [0.05, -0.02, 1.0]];
        let length = 400_000.0;
        let mut events = Vec::new();
        for bin in [1.0 / FRAME_HZ, 0.2] {
            events = super::events(&rates, &target, length, (FRAME_HZ, bin), 3, 2).unwrap();
            let found = activity::count_correlation(&events, bin, length, 1).unwrap();
            for (found, target) in found.iter().zip(&target) {
                assert!((found - target).abs() < 4e-3, "{bin}: {found} {target}");
            }
        }
        let mut stream = random::stream(3, "synthetic like: rates");
        for times in &events {
            let rate = rates.draw(&mut stream);
            assert!((times.len() as f64 / length / rate - 1.0).abs() < 0.02, "{rate}");
        }
        assert_eq!(events, super::events(&rates, &target, length, (FRAME_HZ, 0.2), 3, 1).unwrap());
    }

    #[test]
    fn a_bivariate_probability_agrees_with_scipy() {
        // multivariate_normal.cdf of the negated thresholds less the product of both.
        for (s, t, lambda, expected) in [
            (1.8, 1.5, 0.3, 0.004444496032959424),
            (2.0, 0.5, -0.4, -0.005683228008755773),
            (1.2, 2.2, 0.7, 0.009284138969723082),
        ] {
            let found = latent_correlation(&terms(s), &terms(t), expected);
            assert!((found - lambda).abs() < 1e-5, "{found} {lambda}");
        }
        assert!((upper_quantile(0.025) - 1.959963984540054).abs() < 1e-12);
    }

    #[test]
    fn wiring_is_fitted_exactly() {
        let Some(folder) = real_field("6_6_2") else { return };
        let reading =
            Reading { order: ConnectomeOrder::Restored, sttc: Sttc::Released, frame_hz: None, events: false };
        let fit = Fit::of(&folder::read(&folder, &reading).unwrap(), FRAME_HZ).unwrap();
        let wiring = fit.wiring.unwrap();
        let d = distances(&fit.somata);
        let p: Vec<f64> = off_diagonal(&d.mapv(|d| wiring.near * (-wiring.fall * d).exp()));
        let expected: f64 = p.iter().sum();
        let length = p.iter().zip(off_diagonal(&d)).map(|(p, d)| p * d).sum::<f64>() / expected;
        assert!((expected - 316.0).abs() < 1e-6, "{expected}");
        assert!((length - 91.1212228903609).abs() < 1e-6, "{length}");
    }

    #[test]
    fn sizes_and_spikes_are_the_users_choice() {
        let Some(folder) = real_field("5_3_8") else { return };
        let made = like(&folder, r#"{"neurons": 30}"#, 1).unwrap();
        assert_eq!((made.neurons, made.name.as_str()), (30, "like-5_3_8-30"));
        made.check().unwrap();
        assert_eq!(made, like(&folder, r#"{"neurons": 30}"#, 1).unwrap());
        assert_ne!(made, like(&folder, r#"{"neurons": 30}"#, 2).unwrap());
        let with = like(&folder, r#"{"spikes": true, "length_s": 500}"#, 1).unwrap();
        with.check().unwrap();
        assert!(with.events.is_some_and(|events| events.iter().any(|times| !times.is_empty())));
        let Some(without) = real_field("6_6_2") else { return };
        let error = like(&without, r#"{"spikes": true}"#, 1).unwrap_err();
        assert!(error.help.unwrap().contains("another field"));
    }
}
