//! `synthetic.field`: a synthetic field with the statistics of imaged ones, for use
//! without data.

use pallium_core::{ndarray::Array2, prelude::*};
use rand::Rng;
use rand_distr::{Beta, Distribution};

use crate::draw::{COUNT_VARIANCE, Correlation, Line, between, distances, ids, positions, precision};

/// Probability of a connection at distance 0.
const CONTACT: f64 = 0.075;
/// Probability that a connected pair has another synapse, and again another.
const FURTHER: f64 = 0.08;
/// Minimum distance between somata (µm), about that of the closest recorded pairs.
const APART_UM: f64 = 7.0;

/// Covariance shared by neighbours, and its decay length (µm).
const SHARED_NEAR: (f64, f64) = (0.078, 150.0);
/// Covariance shared by all neurons.
const SHARED_BY_ALL: f64 = 0.0045;
/// Standard deviation of the covariance that hidden signals cause.
const SIGNAL_SD: f64 = 0.0165;
/// Standard deviation of the logarithm of a neuron's gain.
const GAIN_SD: f64 = 0.22;
/// Regression of STTC (half a frame) on correlation: slope, offset and standard
/// deviation of the residuals.
const STTC: (f64, f64, f64) = (0.69, -0.006, 0.0037);

pallium_core::params! {
    /// Number of neurons, and their volume.
    pub struct Params {
        /// Number of neurons (1 to 5000).
        neurons: u32 = 100,
        /// Width of the imaged slab of cortex (µm).
        width_um: f64 = 1000.0,
        /// Depth of the slab, its other long side (µm).
        depth_um: f64 = 480.0,
        /// Thickness of the slab (µm).
        thickness_um: f64 = 120.0,
        /// Distance at which the probability of a connection falls to 1/e (µm).
        decay_um: f64 = 52.0,
    }
}

/// A synthetic field.
///
/// - *Positions* (µm; width, thickness, depth, as in the volume's axes) are denser
///   in the middle, like those of imaged neurons; no two somata are closer than
///   7 µm.
/// - *Wiring*: a directed connection with probability 0.075·exp(−d/decay), mostly
///   with one synapse.
/// - *Correlation* is that of signals shared by all, signals shared by neighbours
///   (falling exponentially with distance), signals followed or opposed at random,
///   and private variation, with unequal gains. It is positive definite by
///   construction.
/// - *STTC* is linear in correlation, with scatter.
/// - *Precision* is the exact inverse of the covariance of counts (a released one
///   is a graphical lasso, hence sparser).
///
/// Matched statistics:
///
/// | statistic | range over six recorded fields of 42 to 632 neurons | mean over twelve synthetic fields of 150 |
/// |---|---|---|
/// | distance of all pairs (µm) | 245 to 349 | 311 |
/// | distance of connected pairs (µm) | 78 to 137 | 101 |
/// | density of connections | 0.0022 to 0.0049 | 0.0028 |
/// | correlation off the diagonal, mean | 0.016 to 0.033 | 0.020 |
/// | …, standard deviation | 0.022 to 0.033 | 0.022 |
/// | …, skew | 0.2 to 0.7 | 0.54 |
/// | …, correlation with distance | −0.58 to −0.44 | −0.51 |
/// | STTC at half a frame (four fields), mean | 0.006 to 0.019 | 0.008 |
/// | …, standard deviation | 0.016 to 0.023 | 0.016 |
/// | …, correlation with correlation | 0.967 to 0.989 | 0.972 |
/// | mean of the precision's diagonal | 9.9 to 25.6 | 13.6 |
///
/// The diagonal's share of the weight in W\* is 0.40 at 312 neurons (recorded:
/// 0.40) and 0.22 at 632 (recorded: 0.19).
///
/// *Not* matched: dependence of wiring on function beyond distance, an excess of
/// reciprocal connections, layers, cell types, and the zeros of a released
/// precision matrix.
///
/// The field is determined by the parameters and the seed.
pub struct Synthetic {
    params: Params,
}

impl Component for Synthetic {
    const ID: &'static str = "synthetic.field";
    const ABOUT: &'static str = "a synthetic field with the statistics of imaged ones; needs no data";
    const CITE: &'static str = "this work; statistics of the MICrONS fields released with arXiv 2606.14975";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("neurons", params.neurons.into(), 1.0, 5000.0)?;
        for (name, value) in [
            ("width_um", params.width_um),
            ("depth_um", params.depth_um),
            ("thickness_um", params.thickness_um),
            ("decay_um", params.decay_um),
        ] {
            one_of_range(name, value, 1e-3, 1e6)?;
        }
        Ok(Synthetic { params })
    }
}

impl SubstrateSource for Synthetic {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        let n = self.params.neurons as usize;
        let somata = self.somata(seed)?;
        let distance = distances(&somata);
        let (near, length) = SHARED_NEAR;
        let shared = Correlation { all: SHARED_BY_ALL, near, length, gain_sd: GAIN_SD, signal_sd: SIGNAL_SD };
        let mut stream = random::stream(seed, "synthetic field: correlation");
        // Gains have mean square 1.
        let correlation = shared.draw(&distance, -GAIN_SD * GAIN_SD, &mut stream);
        let (slope, offset, scatter) = STTC;
        let mut stream = random::stream(seed, "synthetic field: sttc");
        let sttc = Line { slope, offset, scatter }.draw(&correlation, &mut stream)?;
        let (median, spread) = COUNT_VARIANCE;
        let count_variance = (f64::ln(median), spread);
        let mut variances = random::stream(seed, "synthetic field: variances");
        Ok(Substrate {
            name: format!("synthetic-{n}"),
            neurons: n,
            positions: Some(positions(&somata)),
            matrices: [
                (Substrate::CONNECTOME, self.connectome(&distance, seed)),
                (Substrate::STTC, sttc),
                (Substrate::PRECISION, precision(&correlation, count_variance, &mut variances)?),
                (Substrate::CORRELATION, correlation),
            ]
            .map(|(name, matrix)| (name.to_owned(), matrix.into()))
            .into(),
            ids: ids(n),
            derived: [Substrate::CORRELATION, Substrate::STTC, Substrate::PRECISION]
                .map(str::to_owned)
                .into(),
            notes: vec!["synthetic: drawn from statistics of real fields, not measured".into()],
            ..Substrate::default()
        })
    }
}
pallium_core::register!(SubstrateSource, Synthetic);

impl Synthetic {
    /// Soma positions in µm: width, thickness, depth.
    fn somata(&self, seed: u64) -> Result<Vec<[f64; 3]>> {
        let n = self.params.neurons as usize;
        let sides = [self.params.width_um, self.params.thickness_um, self.params.depth_um];
        let mut stream = random::stream(seed, "synthetic field: positions");
        let beta = Beta::new(2.0, 2.0).map_err(|e| Error::bug(format!("beta distribution: {e}")))?;
        let mut somata: Vec<[f64; 3]> = Vec::with_capacity(n);
        for _ in 0..n.saturating_mul(50) {
            let soma = sides.map(|side| side * beta.sample(&mut stream));
            if somata.iter().all(|other| between(&soma, other) >= APART_UM) {
                somata.push(soma);
                if somata.len() == n {
                    return Ok(somata);
                }
            }
        }
        let [width, thickness, depth] = sides;
        Err(Error::input(format!("{n} neurons do not fit into {width}×{depth}×{thickness} µm"))
            .help("use fewer neurons or a larger slab; somata are at least 7 µm apart"))
    }

    /// Synapse counts, row presynaptic, no autapses.
    fn connectome(&self, distance: &Array2<f64>, seed: u64) -> Array2<f64> {
        let mut stream = random::stream(seed, "synthetic field: connectome");
        Array2::from_shape_fn(distance.dim(), |(i, j)| {
            // Exactly one draw per pair, so that changing a parameter changes as
            // few pairs as possible.
            let draw: f64 = stream.random();
            let contact = CONTACT * (-distance[[i, j]] / self.params.decay_um).exp();
            if i == j || draw >= contact {
                return 0.0;
            }
            // draw/contact is uniform, so P(more than k synapses) = FURTHERᵏ.
            let (mut count, mut further) = (1.0, FURTHER);
            while draw < contact * further && count < 20.0 {
                count += 1.0;
                further *= FURTHER;
            }
            count
        })
    }
}

/// The field with default parameters.
#[cfg(test)]
pub(crate) fn example() -> Substrate {
    Synthetic { params: Params::default() }.substrate(1).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pallium_core::ndarray::ArrayView2;
    use pallium_fields::{folder, store};
    use pallium_testing::Folder;

    fn field(neurons: u32, seed: u64) -> Substrate {
        let params = Params { neurons, ..Params::default() };
        Synthetic::build(params, &Setting::default()).unwrap().substrate(seed).unwrap()
    }

    /// Functional weights W* before the last scaling, with 1 in place of the
    /// lognormal draw.
    fn functional_weights(field: &Substrate) -> Array2<f64> {
        let unit_scaled = |name: &str| {
            let matrix = field.matrices[name].view();
            let low = matrix.iter().copied().fold(f64::INFINITY, f64::min);
            let high = matrix.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (&matrix - low) / (high - low)
        };
        let mut weights = unit_scaled("correlation") * unit_scaled("sttc");
        weights *= 0.1 / weights.mean().unwrap();
        weights.mapv_inplace(|w| if w != 0.0 { w.max(0.01) } else { w });
        weights
    }

    fn off_diagonal(matrix: ArrayView2<'_, f64>) -> Vec<f64> {
        matrix.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, &v)| v).collect()
    }

    /// Mean, standard deviation, skew.
    fn moments(values: &[f64]) -> (f64, f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let moment = |k| values.iter().map(|v| (v - mean).powi(k)).sum::<f64>() / count;
        let sd = moment(2).sqrt();
        (mean, sd, moment(3) / sd.powi(3))
    }

    fn pearson(a: &[f64], b: &[f64]) -> f64 {
        let ((ma, sa, _), (mb, sb, _)) = (moments(a), moments(b));
        a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum::<f64>() / (a.len() as f64 * sa * sb)
    }

    #[test]
    fn statistics_equal_those_of_recorded_fields() {
        // Means over seeds, within the ranges of recorded fields.
        const SEEDS: u64 = 12;
        let mut all: Vec<Vec<f64>> = Vec::new();
        for seed in 0..SEEDS {
            let field = field(150, seed);
            field.check().unwrap();
            let um = field.positions.as_ref().unwrap().micrometres();
            let n = field.neurons;
            let distance = Array2::from_shape_fn((n, n), |(i, j)| {
                between(&[um[[i, 0]], um[[i, 1]], um[[i, 2]]], &[um[[j, 0]], um[[j, 1]], um[[j, 2]]])
            });
            let (d, wiring) =
                (off_diagonal(distance.view()), off_diagonal(field.matrices["connectome"].view()));
            let (c, s) = (
                off_diagonal(field.matrices["correlation"].view()),
                off_diagonal(field.matrices["sttc"].view()),
            );
            let connected: Vec<f64> =
                d.iter().zip(&wiring).filter(|(_, w)| **w > 0.0).map(|(d, _)| *d).collect();
            let weights = functional_weights(&field);
            let (mc, ms) = (moments(&c), moments(&s));
            all.push(vec![
                moments(&d).0,
                moments(&connected).0,
                connected.len() as f64 / d.len() as f64,
                mc.0,
                mc.1,
                mc.2,
                pearson(&d, &c),
                ms.0,
                ms.1,
                pearson(&s, &c),
                weights.diag().sum() / weights.sum(),
                field.matrices["precision"].view().diag().mean().unwrap(),
            ]);
        }
        let ranges = [
            ("distance", 300.0, 340.0),
            ("distance of connected pairs", 85.0, 115.0),
            ("density", 0.0022, 0.0049),
            ("mean of correlation", 0.016, 0.033),
            ("sd of correlation", 0.0219, 0.033),
            ("skew of correlation", 0.2, 0.7),
            ("fall with distance", -0.58, -0.44),
            ("mean of sttc", 0.006, 0.019),
            ("sd of sttc", 0.0155, 0.023),
            ("sttc with correlation", 0.965, 0.99),
            ("diagonal's share of W*", 0.5, 0.7),
            ("mean of precision's diagonal", 9.9, 25.7),
        ];
        for (k, (what, low, high)) in ranges.into_iter().enumerate() {
            let mean = all.iter().map(|one| one[k]).sum::<f64>() / SEEDS as f64;
            println!("{what}: {mean:.4}");
            assert!((low..=high).contains(&mean), "{what}: {mean} outside {low}..{high}");
        }
    }

    #[test]
    fn the_diagonal_weighs_as_much_as_in_recorded_fields() {
        for (neurons, real) in [(312, 0.40), (632, 0.19)] {
            let shares = (0..4).map(|seed| {
                let field = field(neurons, seed);
                let weights = functional_weights(&field);
                weights.diag().sum() / weights.sum()
            });
            let share = shares.sum::<f64>() / 4.0;
            println!("{neurons} neurons: the diagonal has {share:.3} of the weight, recorded {real}");
            assert!((share / real - 1.0).abs() < 0.25, "{neurons}: {share}");
        }
    }

    #[test]
    fn the_field_is_complete_and_repeatable() {
        let field = example();
        assert_eq!(field.name, "synthetic-100");
        assert_eq!(field, example());
        assert_ne!(field, self::field(100, 2));
        let correlation = field.matrices["correlation"].view();
        assert_eq!(correlation, correlation.t());
        assert!(correlation.diag().iter().all(|&v| v == 1.0));
        // Positive definite, and the precision has its partial correlations.
        let inverse = pallium_linalg::inverse(correlation.view()).unwrap();
        let precision = field.matrices["precision"].view();
        assert_eq!(precision, precision.t());
        let partial = |m: ArrayView2<'_, f64>, i: usize, j: usize| m[[i, j]] / (m[[i, i]] * m[[j, j]]).sqrt();
        for (i, j) in [(0, 1), (3, 50), (99, 7)] {
            assert!((partial(precision, i, j) - partial(inverse.view(), i, j)).abs() < 1e-14);
        }
        assert_eq!(field.matrices["sttc"].view(), field.matrices["sttc"].view().t());
        let wiring = field.matrices["connectome"].view();
        assert!(wiring.iter().all(|&c| c.fract() == 0.0 && c >= 0.0) && wiring.diag().sum() == 0.0);
        for ids in field.ids.values() {
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert!(field.ids["root"][0] > 1 << 53);
        // Most connections are of one synapse, some of more.
        let counts: Vec<f64> =
            self::field(1000, 1).matrices["connectome"].view().iter().copied().filter(|c| *c > 0.0).collect();
        let further = counts.iter().filter(|&&c| c > 1.0).count() as f64 / counts.len() as f64;
        assert!((0.05..0.12).contains(&further), "{further}");
    }

    #[test]
    fn it_can_be_stored_as_a_field() {
        let place = Folder::new();
        let folder = place.path().join("field");
        store::write(&example(), &folder).unwrap();
        assert_eq!(folder::read(&folder, &folder::ReadOptions::default()).unwrap(), example());
    }

    #[test]
    fn sizes_have_limits() {
        assert_eq!(field(1, 0).neurons, 1);
        field(2, 0).check().unwrap();
        for json in [r#"{"neurons": 0}"#, r#"{"neurons": 5001}"#, r#"{"width_um": 0}"#, r#"{"decay_um": -1}"#]
        {
            let params = pallium_core::parse_parameters(Synthetic::ID, json).unwrap();
            assert!(Synthetic::build(params, &Setting::default()).is_err(), "{json}");
        }
        let crowded = Params { width_um: 20.0, depth_um: 20.0, thickness_um: 20.0, ..Params::default() };
        let error = Synthetic::build(crowded, &Setting::default()).unwrap().substrate(0).unwrap_err();
        assert!(error.message.contains("do not fit into 20×20×20"), "{error}");
    }
}
