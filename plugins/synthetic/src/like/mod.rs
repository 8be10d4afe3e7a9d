//! `synthetic.like`: a synthetic field with the statistics of a given one, with
//! or without event times.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pallium_core::{ndarray::Array2, prelude::*};
use pallium_fields::activity;
use pallium_fields::derive::{self, Method};
use pallium_fields::folder::{self, ConnectomeOrder, FRAME_HZ, Reading, Sttc};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

use crate::field::precision;

use self::events::events;
use self::fit::{Fit, between, distances};

mod events;
mod fit;
#[cfg(test)]
mod tests;

/// Width of the kernel that smooths positions, relative to Scott's rule for
/// three dimensions; narrow, so that the edges of a slab stay edges.
const NARROW: f64 = 0.5;
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
        /// Length of the synthetic recording (s), for `spikes`; 0 means that of
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
    const ABOUT: &'static str =
        "a synthetic field with the statistics of a given one, with or without events";
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
        let how = derive::Params {
            frame_hz: params.frame_hz,
            precision: Method::Inverse,
            partial_correlation: false,
            ..derive::Params::default()
        };
        let derived = derive::derive(&events, &how, threads)?;
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
    put(Substrate::PRECISION, precision(&correlation, fit.variance, &mut stream)?);
    put(Substrate::CORRELATION, correlation);
    made.derived = functional(&made);
    Ok(made)
}

/// Names of the matrices of activity.
fn functional(field: &Substrate) -> BTreeSet<String> {
    field.matrices.keys().filter(|name| *name != Substrate::CONNECTOME).cloned().collect()
}
