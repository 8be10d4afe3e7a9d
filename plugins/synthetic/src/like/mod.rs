//! `synthetic.like`: a synthetic field with the statistics of a given field, with
//! or without event times.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_fields::bins::{BIN_S, FRAME_HZ};
use pallium_fields::derive::{self, Method};
use pallium_fields::folder::{self, ConnectomeOrder, ReadOptions, Sttc};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

use crate::draw::{self, Correlation, between, distances, ids, precision};

use self::events::events;
use self::fit::Fit;

mod events;
mod fit;
#[cfg(test)]
mod tests;

/// Width of the kernel that smooths positions, relative to Scott's rule for
/// three dimensions; narrow, so that the edges of a slab stay sharp.
const NARROW: f64 = 0.5;

pallium_core::params! {
    /// The field to learn from, and what to draw.
    pub struct Params {
        /// Folder of the field to learn from.
        path: String = String::new(),
        /// Order of its connectome's rows and columns.
        connectome_order: ConnectomeOrder = ConnectomeOrder::Restored,
        /// Number of neurons (1 to 5000); 0 means that of the field.
        neurons: u32 = 0,
        /// Whether to draw event times as well; the field must have some.
        spikes: bool = false,
        /// Length of the synthetic recording (s), for `spikes`; 0 means that of
        /// the field.
        length_s: f64 = 0.0,
        /// Frames per second of both recordings (Hz); 0 means the field's own
        /// value, or 6.3009 if it has none.
        frame_hz: f64 = 0.0,
    }
}

/// A synthetic field fitted to a recorded one.
///
/// - *Positions*: a smoothed bootstrap of the field's somata, which keeps depth
///   profile and tilt. A Gaussian kernel of half the width of Scott's rule is placed
///   around each soma in turn and shrunk to keep the covariance; somata stay within
///   the field's bounding box and are no closer to each other than in the field.
/// - *Wiring*: a directed connection with probability p·exp(−d/λ). p and λ are
///   fitted by maximum likelihood (Poisson), so that number and mean length of
///   connections equal those of the field on average. Synapse counts are drawn from
///   the field's.
/// - *Correlation*: c + a·exp(−d/ℓ), fitted by least squares, times gains of the
///   neurons, plus signals that neurons follow or oppose at random; the spread of
///   both accounts for the residual of the fit.
/// - *STTC* is linear in correlation, with the field's scatter.
/// - *Precision* is the exact inverse of the covariance of counts.
///
/// With `spikes`, *rates* are drawn by interpolation between the field's. Events are
/// drawn by thresholding correlated Gaussians frame by frame (Macke, Berens, Ecker,
/// Tolias and Bethge 2009), whose strongest modes persist from frame to frame as in
/// the field, so that counts correlate as above. Correlation and STTC (half a frame)
/// are then computed from these events, and precision is the inverse covariance of
/// their counts.
///
/// *Not* matched: dependence of wiring on function beyond distance, an excess of
/// reciprocal connections, cell types, a neuron's autocorrelation, skew of the
/// correlations.
///
/// The result is determined by the field, the parameters and the seed.
pub struct Like {
    params: Params,
    threads: usize,
}

impl Component for Like {
    const ID: &'static str = "synthetic.like";
    const ABOUT: &'static str =
        "a synthetic field with the statistics of a given field, with or without events";
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
            return Err(Error::input("`synthetic.like`: parameter `path` is not set")
                .help("set path to the folder of a field; `synthetic.field` needs none"));
        }
        let reading = ReadOptions {
            order: params.connectome_order,
            sttc: Sttc::HalfFrame,
            frame_hz: Some(params.frame_hz).filter(|hz| *hz > 0.0),
            events: true,
        };
        let field = folder::read(&PathBuf::from(&params.path), &reading)?;
        if params.spikes && field.events.is_none() {
            return Err(Error::input(format!("{} holds no event times", params.path))
                .help("rates are learnt from event times; set spikes = false, or learn from another field"));
        }
        let params = &Params { frame_hz: field.frame_hz.unwrap_or(FRAME_HZ), ..params.clone() };
        let fit = Fit::new(&field, params.frame_hz)?;
        let n = if params.neurons == 0 { field.neurons } else { params.neurons as usize };
        synthesize(&field, &fit, n, params, seed, self.threads)
    }
}
pallium_core::register!(SubstrateSource, Like);

/// Draws soma positions (µm) with the statistics of `real`.
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
        // Every neuron is used equally often, as far as n allows.
        if centres.is_empty() {
            centres.extend(real);
            centres.shuffle(&mut stream);
        }
        let Some(centre) = centres.pop() else { break };
        // A draw outside the box is repeated around the same neuron, so that
        // density does not fall towards the edges.
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
        .help("use fewer neurons"))
}

fn synthesize(
    field: &Substrate,
    fit: &Fit,
    n: usize,
    params: &Params,
    seed: u64,
    threads: usize,
) -> Result<Substrate> {
    let somata = positions(&fit.somata, n, seed)?;
    let distance = distances(&somata);
    let mut synthetic = Substrate {
        name: format!("like-{}-{n}", field.name),
        neurons: n,
        positions: Some(draw::positions(&somata)),
        ids: ids(n),
        notes: vec![format!("synthetic: drawn from statistics of field {}, not measured", field.name)],
        ..Substrate::default()
    };
    let mut put = |name: &str, matrix: Array2<f64>| {
        synthetic.matrices.insert(name.to_owned(), matrix.into());
    };
    if let Some(wiring) = &fit.wiring {
        put(Substrate::CONNECTOME, wiring.draw(&distance, seed));
    }
    let draw_correlation = |fit: &Correlation| {
        let mut stream = random::stream(seed, "synthetic like: correlation");
        // Gains have mean 1.
        fit.draw(&distance, -0.5 * fit.gain_sd.powi(2), &mut stream)
    };
    let Some(correlation) = fit.correlation.as_ref().map(draw_correlation) else {
        if params.spikes {
            return Err(Error::input("the field has no correlations for events to follow")
                .help("compute them with `pallium field derive`"));
        }
        return Ok(synthetic);
    };
    if let (true, Some(rates)) = (params.spikes, &fit.activity) {
        let length = if params.length_s > 0.0 { params.length_s } else { rates.length };
        let events = events(rates, &correlation, length, (params.frame_hz, BIN_S), seed, threads)?;
        let how = derive::Params {
            frame_hz: params.frame_hz,
            precision: Method::Inverse,
            partial_correlation: false,
            ..derive::Params::default()
        };
        let derived = derive::derive(&events, Some((0.0, length)), &how, threads)?;
        for (name, matrix) in derived.matrices {
            put(name, matrix);
        }
        synthetic.notes.extend(derived.notes);
        synthetic.events = Some(events);
        synthetic.frame_hz = Some(params.frame_hz);
        synthetic.recording = Some((0.0, length));
        synthetic.derived = functional(&synthetic);
        return Ok(synthetic);
    }
    if let Some(line) = &fit.sttc {
        let mut stream = random::stream(seed, "synthetic like: sttc");
        put(Substrate::STTC, line.draw(&correlation, &mut stream)?);
    }
    let mut stream = random::stream(seed, "synthetic like: counts");
    put(Substrate::PRECISION, precision(&correlation, fit.variance, &mut stream)?);
    put(Substrate::CORRELATION, correlation);
    synthetic.derived = functional(&synthetic);
    Ok(synthetic)
}

/// Names of the matrices of activity.
fn functional(field: &Substrate) -> BTreeSet<String> {
    field.matrices.keys().filter(|name| *name != Substrate::CONNECTOME).cloned().collect()
}
