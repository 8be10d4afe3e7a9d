//! `microns.functional`: W\*, weights from functional similarity.

use pallium_core::{
    ndarray::{Array2, ArrayView2},
    prelude::*,
};
use pallium_fields::derive::partial_correlation;
use pallium_weights::{checked_draw, scale_to_radius};
use rand_distr::{Distribution, LogNormal};

use crate::controls::{self, Diagonal, Shuffle};

pallium_core::choice! {
    /// The functional matrix combined with the spike time tiling coefficient.
    pub enum Functional {
        /// Pearson correlation of event counts.
        Correlation = "correlation",
        /// Precision (inverse covariance) of event counts.
        Precision = "precision",
        /// None: use the spike time tiling coefficient alone.
        None = "none",
    }
}

pallium_core::choice! {
    /// Transformation of a precision matrix P.
    pub enum Precision {
        /// P itself; its diagonal dominates, and direct coupling is negative.
        Raw = "raw",
        /// Partial correlation, −Pᵢⱼ/√(Pᵢᵢ·Pⱼⱼ), 1 on the diagonal.
        PartialCorrelation = "partial-correlation",
    }
}

pallium_core::params! {
    /// How weights are computed from functional similarity, and the controls.
    pub struct Params {
        /// The functional matrix that multiplies the tiling coefficient.
        matrix: Functional = Functional::Correlation,
        /// Transformation of the precision matrix, for `matrix = "precision"`.
        precision: Precision = Precision::PartialCorrelation,
        /// Control: treatment of the functional product's diagonal, which holds
        /// the largest entry of every row.
        diagonal: Diagonal = Diagonal::Keep,
        /// Control: which entries of the functional product are shuffled, after
        /// `diagonal` and differently in every run.
        shuffle: Shuffle = Shuffle::None,
        /// Number of bins of soma distance, each with equally many pairs, for
        /// `shuffle = "distance-binned"`.
        bins: u32 = 10,
        /// Mean of all weights before `floor` is applied.
        mean: f64 = 0.1,
        /// Minimum of non-zero weights; smaller ones are raised to it.
        floor: f64 = 0.01,
        /// Spectral radius of the resulting weights.
        spectral_radius: f64 = 0.95,
        /// Mean µ of the lognormal factor's logarithm.
        lognormal_mu: f64 = -0.5,
        /// Standard deviation σ of the lognormal factor's logarithm.
        lognormal_sigma: f64 = 0.5,
    }
}

impl Params {
    /// Refuses values out of range.
    pub fn check(&self) -> Result<()> {
        one_of_range("bins", self.bins.into(), 1.0, f64::INFINITY)?;
        one_of_range("mean", self.mean, 1e-12, 1e12)?;
        at_least_zero("floor", self.floor)?;
        one_of_range("spectral_radius", self.spectral_radius, 1e-12, 1e12)?;
        one_of_range("lognormal_mu", self.lognormal_mu, -100.0, 100.0)?;
        one_of_range("lognormal_sigma", self.lognormal_sigma, 0.0, 10.0)
    }
}

/// W\*: every weight is a lognormal draw times functional similarity.
///
/// L is the lognormal draw (from the run's seed), A the functional matrix and S
/// the symmetric spike time tiling coefficient; A and S are min-max scaled to
/// 0..1 over all their entries:
///
/// 1. the functional product F = A ∘ S (or S alone);
/// 2. controls: `diagonal`, then `shuffle`;
/// 3. W = L ∘ F, scaled to `mean`;
/// 4. non-zero entries below `floor` raised to it;
/// 5. scaled to `spectral_radius`, unless theirs is 0 (with a warning).
///
/// The controls precede the scaling, so they change the pattern of the weights
/// but neither their mean before the floor nor the initial spectral radius. L does
/// not depend on the controls, so runs with the same seed are paired: they differ
/// in the pattern alone. L and the shuffle differ between runs.
///
/// Row i, column j is the weight from neuron i to neuron j, N×N.
///
/// On a set of connections, the same at these pairs alone: minimum, maximum and mean
/// are those over the connections, and `shuffle` is refused. Without connections to
/// choose from, the pairs of the substrate's connectome are taken. Where activity is
/// not known, A and S are 0 before they are scaled.
///
/// Source: Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975),
/// bio-instantiated weights; the controls are this work's.
pub struct FunctionalWeights {
    params: Params,
}

impl Component for FunctionalWeights {
    const ID: &'static str = "microns.functional";
    const ABOUT: &'static str =
        "W*: lognormal weights times correlation (or precision) and spike time tiling, with controls";
    const CITE: &'static str = "Shakiba et al. 2026, arXiv 2606.14975";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = PROFILES;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        params.check()?;
        Ok(FunctionalWeights { params })
    }
}

impl WeightSource for FunctionalWeights {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        Ok(functional_weights(&self.params, request)?.mapv(|w| w as f32))
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        on_connections(&self.params, request)
    }
}
pallium_core::register!(WeightSource, FunctionalWeights);

/// What is used as the precision matrix, under each profile.
pub const PROFILES: &[ProfileValue] = &[
    ProfileValue::new("published", "precision", r#""raw""#),
    ProfileValue::new("corrected", "precision", r#""partial-correlation""#),
];

/// The weights at the connections.
fn on_connections(params: &Params, request: &WeightRequest<'_>) -> Result<SparseWeights> {
    let substrate = request.substrate()?;
    if params.shuffle != Shuffle::None {
        return Err(Error::unsupported("`shuffle` moves weights between all pairs, and only some are connected")
            .help("leave it out; controls of connections are those of `init.synapses`, such as pairs = \"degree-preserving\""));
    }
    if params.diagonal == Diagonal::Only {
        return Err(Error::unsupported("`diagonal = \"only\"` leaves no weight between neurons, and these connections join neurons")
            .help("leave out `connections`; or, for neurons connected only to themselves, use weights = \"init.identity\""));
    }
    let connections = match request.connections {
        Some(given) => given.to_owned(),
        None => substrate.pairs(Substrate::CONNECTOME)?.connections().to_owned(),
    };
    let pairs = connections.view();
    let scaled = |name: &str| -> Result<Vec<f64>> {
        let values = substrate.at(name, pairs)?;
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
        if !(high - low).is_finite() || high <= low {
            return Err(Error::input(format!("`{name}` is {low} at all connections"))
                .help("it cannot be scaled to 0..1; use another field or another functional matrix"));
        }
        Ok(values.into_iter().map(|v| (v - low) / (high - low)).collect())
    };
    let mut weights = scaled(Substrate::STTC)?;
    match params.matrix {
        Functional::None => {}
        Functional::Correlation => {
            weights.iter_mut().zip(scaled(Substrate::CORRELATION)?).for_each(|(w, a)| *w *= a);
        }
        Functional::Precision => {
            return Err(Error::unsupported("the precision of activity is not known at single connections")
                .help("use matrix = \"correlation\" or \"none\""));
        }
    }
    if params.diagonal == Diagonal::Zero {
        for unit in 0..pairs.dim().0 {
            pairs.find(unit, unit).into_iter().for_each(|place| weights[place] = 0.0);
        }
    }
    let lognormal = LogNormal::new(params.lognormal_mu, params.lognormal_sigma)
        .map_err(|e| Error::input(format!("parameter `lognormal_sigma`: {e}")))?;
    let mut stream = random::stream(request.seed, "functional weights: lognormal");
    weights.iter_mut().for_each(|w| *w *= lognormal.sample(&mut stream));
    let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
    if !(mean.is_finite() && mean > 0.0) {
        return Err(Error::input("the functional product leaves no weights to scale: all are zero")
            .help("use another field, another functional matrix or other connections"));
    }
    for w in &mut weights {
        *w *= params.mean / mean;
        *w = if *w != 0.0 && *w < params.floor { params.floor } else { *w };
    }
    let finish = pallium_weights::Finish {
        id: FunctionalWeights::ID,
        signs: pallium_weights::Signs::Keep,
        diagonal: pallium_weights::Diagonal::Keep,
        spectral_radius: params.spectral_radius,
    };
    finish.apply_on(connections, weights)
}

/// The weights in double precision.
///
/// # Errors
/// If there is no substrate, it lacks a matrix, or its values leave nothing to
/// scale.
pub fn functional_weights(params: &Params, request: &WeightRequest<'_>) -> Result<Array2<f64>> {
    let n = request.neurons;
    let substrate = request.substrate()?;
    let mut product = unit_scaled(substrate.matrix(Substrate::STTC)?, Substrate::STTC)?;
    match params.matrix {
        Functional::None => {}
        Functional::Correlation => {
            let name = Substrate::CORRELATION;
            product *= &unit_scaled(substrate.matrix(name)?, name)?;
        }
        Functional::Precision => {
            let name = Substrate::PRECISION;
            let precision = substrate.matrix(name)?;
            product *= &match params.precision {
                Precision::Raw => unit_scaled(precision, name)?,
                Precision::PartialCorrelation => unit_scaled(partial(precision)?.view(), name)?,
            };
        }
    }
    controls::diagonal(&mut product, params.diagonal);
    let mut shuffling = random::stream(request.seed, "functional weights: shuffle");
    controls::shuffle(&mut product, params.shuffle, params.bins, substrate, &mut shuffling)?;

    let mut weights = match request.draw {
        Some(draw) => {
            let draw = checked_draw(draw, n)?;
            if let Some(((i, j), value)) = draw.indexed_iter().find(|(_, v)| **v < 0.0) {
                return Err(Error::input(format!("the draw has {value} at row {i}, column {j}"))
                    .help("a lognormal draw is never below 0"));
            }
            draw.to_owned()
        }
        None => {
            let lognormal = LogNormal::new(params.lognormal_mu, params.lognormal_sigma)
                .map_err(|e| Error::input(format!("parameter `lognormal_sigma`: {e}")))?;
            let mut stream = random::stream(request.seed, "functional weights: lognormal");
            Array2::from_shape_simple_fn((n, n), || lognormal.sample(&mut stream))
        }
    };
    weights *= &product;
    let mean = weights.mean().unwrap_or(0.0);
    if !(mean.is_finite() && mean > 0.0) {
        return Err(Error::input("the functional product leaves no weights to scale: all are zero")
            .help("use another field, another functional matrix or another control"));
    }
    weights *= params.mean / mean;
    weights.mapv_inplace(|w| if w != 0.0 && w < params.floor { params.floor } else { w });
    scale_to_radius(&mut weights, params.spectral_radius, FunctionalWeights::ID)?;
    Ok(weights)
}

/// Scales a matrix to 0..1 over all its entries.
fn unit_scaled(matrix: ArrayView2<'_, f64>, name: &str) -> Result<Array2<f64>> {
    let (low, high) =
        matrix.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    if !(high - low).is_finite() || high <= low {
        return Err(Error::input(format!("all entries of the {name} matrix are {low}"))
            .help("it cannot be scaled to 0..1; use another field or another functional matrix"));
    }
    Ok(matrix.mapv(|v| (v - low) / (high - low)))
}

/// Partial correlations from a precision matrix.
fn partial(precision: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    if let Some((i, value)) = precision.diag().indexed_iter().find(|(_, v)| **v <= 0.0) {
        return Err(Error::input(format!("the precision matrix has {value} on its diagonal at neuron {i}"))
            .help("a precision matrix has a positive diagonal; set precision = \"raw\" to use it as it is"));
    }
    Ok(partial_correlation(&precision.to_owned()))
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;
    use crate::testing::real_substrate;
    use pallium_testing::golden_matrix;
    use pallium_weights::spectral_radius;

    fn request(substrate: &Substrate, seed: u64) -> WeightRequest<'_> {
        WeightRequest {
            neurons: substrate.neurons,
            substrate: Some(substrate),
            seed,
            draw: None,
            connections: None,
        }
    }

    fn small() -> Substrate {
        let mut field = Substrate { name: "small".into(), neurons: 3, ..Substrate::default() };
        let correlation = array![[1.0, 0.1, 0.3], [0.1, 1.0, -0.1], [0.3, -0.1, 1.0]];
        field.matrices.insert("correlation".into(), correlation.into());
        field
            .matrices
            .insert("sttc".into(), array![[1.0, 0.2, 0.0], [0.2, 1.0, 0.5], [0.0, 0.5, 1.0]].into());
        let precision = array![[4.0, -1.0, 0.0], [-1.0, 1.0, 0.5], [0.0, 0.5, 1.0]];
        field.matrices.insert("precision".into(), precision.into());
        field
    }

    #[test]
    fn agrees_with_the_published_computation() {
        for field in ["5_3_8", "5_3_4", "6_6_2"] {
            let (Some(substrate), Some(draw)) = (real_substrate(field), golden_matrix(field, "lognormal"))
            else {
                return;
            };
            let given = WeightRequest { draw: Some(draw.view()), ..request(&substrate, 0) };
            let published = Params { precision: Precision::Raw, ..Params::default() };
            let by_precision = Params { matrix: Functional::Precision, ..published.clone() };
            for (params, name) in [(published, "bio"), (by_precision, "bio_precision")] {
                let expected = golden_matrix(field, name).unwrap();
                let weights = functional_weights(&params, &given).unwrap();
                let off = weights.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                println!("{field} {name}: largest difference {off:.1e}");
                assert!(off < 1e-5, "{field} {name}: off by {off}");
                // References of large fields are in single precision.
                if draw.iter().any(|&v| v != f64::from(v as f32)) {
                    assert!(off < 1e-12, "{field} {name}: off by {off}");
                }
            }
        }
    }

    #[test]
    fn a_small_example_by_hand() {
        let field = small();
        let ones = Array2::ones((3, 3));
        let given = WeightRequest { draw: Some(ones.view()), ..request(&field, 0) };
        // (c + 0.1)/1.1 times s; the mean becomes 0.1, then the floor acts.
        let a = (array![[1.1, 0.2, 0.4], [0.2, 1.1, 0.0], [0.4, 0.0, 1.1]]) / 1.1;
        let product = a * field.matrices["sttc"].view();
        let mut expected = &product * (0.1 / product.mean().unwrap());
        assert!(expected[[0, 1]] < 0.02);
        let params = Params { floor: 0.02, ..Params::default() };
        expected[[0, 1]] = 0.02;
        expected[[1, 0]] = 0.02;
        // Symmetric, so scaled by the largest root of the upper 2×2 block.
        let radius = expected[[0, 0]] + 0.02;
        expected *= 0.95 / radius;
        let weights = functional_weights(&params, &given).unwrap();
        assert!((&weights - &expected).iter().all(|v| v.abs() < 1e-12), "{weights} {expected}");
        // Partial correlation: 0.5, 0 and −0.5 off the diagonal.
        let partial = partial(field.matrix("precision").unwrap()).unwrap();
        assert_eq!(partial, array![[1.0, 0.5, -0.0], [0.5, 1.0, -0.5], [-0.0, -0.5, 1.0]]);
    }

    #[test]
    fn controls_change_only_the_pattern() {
        let Some(field) = real_substrate("5_3_4") else { return };
        let weights_with = |json: &str, seed: u64| {
            let params = pallium_core::parse_parameters(FunctionalWeights::ID, json).unwrap();
            let mut source = FunctionalWeights::build(params, &Setting::default()).unwrap();
            source.weights(&request(&field, seed)).unwrap()
        };
        let unchanged = weights_with("{}", 1);
        for json in [
            r#"{"diagonal": "zero"}"#,
            r#"{"diagonal": "only"}"#,
            r#"{"shuffle": "off-diagonal"}"#,
            r#"{"shuffle": "all"}"#,
            r#"{"shuffle": "distance-binned"}"#,
            r#"{"matrix": "none"}"#,
            r#"{"matrix": "precision"}"#,
            r#"{"matrix": "precision", "precision": "raw"}"#,
            r#"{"diagonal": "only", "shuffle": "all"}"#,
        ] {
            let weights = weights_with(json, 1);
            let radius = spectral_radius(&weights.mapv(f64::from)).unwrap();
            assert!((radius - 0.95).abs() < 1e-6, "{json}: {radius}");
            assert!(weights.iter().all(|w| w.is_finite() && *w >= 0.0), "{json}");
            assert_ne!(weights, unchanged, "{json}");
            assert_eq!(weights, weights_with(json, 1), "{json}");
            assert_ne!(weights, weights_with(json, 2), "{json}");
        }
        assert!(weights_with(r#"{"diagonal": "zero"}"#, 1).diag().iter().all(|&w| w == 0.0));
        let only = weights_with(r#"{"diagonal": "only"}"#, 1);
        assert_eq!(only.iter().filter(|&&w| w != 0.0).count(), 70);
        // The draw is the same, so entries that a control keeps stay proportional.
        let ratio = only[[0, 0]] / unchanged[[0, 0]];
        assert!((0..70).all(|i| (only[[i, i]] / unchanged[[i, i]] / ratio - 1.0).abs() < 1e-5));
    }

    #[test]
    fn missing_matrices_are_reported() {
        let mut field = small();
        let params = Params::default();
        assert!(functional_weights(&params, &request(&field, 0)).is_ok());
        let none = WeightRequest { substrate: None, ..request(&field, 0) };
        assert!(functional_weights(&params, &none).unwrap_err().help.unwrap().contains("[substrate]"));
        let other = WeightRequest { neurons: 4, ..request(&field, 0) };
        assert!(functional_weights(&params, &other).is_err());
        let draw = Array2::from_elem((2, 3), 1.0);
        let given = WeightRequest { draw: Some(draw.view()), ..request(&field, 0) };
        assert!(functional_weights(&params, &given).unwrap_err().message.contains("2×3"));
        let flat = field.matrices.insert("sttc".into(), Array2::ones((3, 3)).into());
        let error = functional_weights(&params, &request(&field, 0)).unwrap_err();
        assert!(error.message.contains("all entries of the sttc matrix are 1"), "{error}");
        field.matrices.remove("sttc");
        assert!(functional_weights(&params, &request(&field, 0)).is_err());
        drop(flat);
        for json in [r#"{"mean": 0}"#, r#"{"bins": 0}"#, r#"{"lognormal_sigma": -1}"#, r#"{"floor": -1}"#] {
            let params = pallium_core::parse_parameters("microns.functional", json).unwrap();
            assert!(FunctionalWeights::build(params, &Setting::default()).is_err(), "{json}");
        }
    }
}
