use super::events::{latent_correlation, terms, upper_quantile};
use super::fit::Rates;
use super::*;
use pallium_core::ndarray::ArrayView2;
use pallium_fields::bins::count_correlation;
use pallium_fields::timeline::Timeline;
use pallium_testing::real_field;

fn like(path: &std::path::Path, json: &str, seed: u64) -> Result<Substrate> {
    let mut params: Params = pallium_core::parse_parameters(Like::ID, json).unwrap();
    params.path = path.to_str().unwrap().into();
    let setting = Setting { threads: 2, ..Setting::default() };
    Like::build(params, &setting).unwrap().substrate(seed)
}

fn off_diagonal(matrix: ArrayView2<'_, f64>) -> Vec<f64> {
    matrix.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, &v)| v).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sd(values: &[f64]) -> f64 {
    let middle = mean(values);
    (values.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// The statistics in [`NAMES`].
fn summary(field: &Substrate) -> Vec<f64> {
    let um = field.positions().unwrap().micrometres();
    let somata: Vec<[f64; 3]> = um.rows().into_iter().map(|r| [r[0], r[1], r[2]]).collect();
    let d = off_diagonal(distances(&somata).view());
    let wiring = off_diagonal(field.matrices["connectome"].view());
    let r = off_diagonal(field.matrices["correlation"].view());
    let connected: Vec<f64> = d.iter().zip(&wiring).filter(|(_, w)| **w > 0.0).map(|(d, _)| *d).collect();
    let near: Vec<f64> = r.iter().zip(&d).filter(|(_, d)| **d < 100.0).map(|(r, _)| *r).collect();
    let density = connected.len() as f64 / d.len() as f64;
    let sttc = mean(&off_diagonal(field.matrices["sttc"].view()));
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
fn synthetic_fields_have_the_statistics_of_their_field() {
    // Means over seeds; a small field has few connections and varies most.
    for (name, spikes, seeds) in
        [("6_6_2", false, 6), ("9_3_2", false, 3), ("5_6_8", false, 12), ("5_6_8", true, 3)]
    {
        let Some(folder) = real_field(name) else { return };
        let real = summary(&folder::read(&folder, &ReadOptions::default()).unwrap());
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
fn events_have_the_requested_rates_and_correlations() {
    let rates = Rates { sorted: vec![0.1, 0.2, 0.3, 1.0], length: 100.0, persistence: 0.5 };
    let target = ndarray::array![[1.0, 0.2, 0.05], [0.2, 1.0, -0.02], [0.05, -0.02, 1.0]];
    let length = 400_000.0;
    let mut drawn = Vec::new();
    for bin in [1.0 / FRAME_HZ, 0.2] {
        drawn = events(&rates, &target, length, (FRAME_HZ, bin), 3, 2).unwrap();
        let timeline = Timeline::new(&drawn, (0.0, length), Some(FRAME_HZ)).unwrap();
        let found = count_correlation(&drawn, bin, &timeline, 1).unwrap();
        for (found, target) in found.iter().zip(&target) {
            assert!((found - target).abs() < 4e-3, "{bin}: {found} {target}");
        }
    }
    let mut stream = random::stream(3, "synthetic like: rates");
    for times in &drawn {
        let rate = rates.draw(&mut stream);
        assert!((times.len() as f64 / length / rate - 1.0).abs() < 0.02, "{rate}");
    }
    assert_eq!(drawn, events(&rates, &target, length, (FRAME_HZ, 0.2), 3, 1).unwrap());
}

#[test]
fn bivariate_probabilities_equal_scipy() {
    // multivariate_normal.cdf of the negated thresholds minus the product of both.
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
    let reading = ReadOptions { sttc: Sttc::Released, ..ReadOptions::default() };
    let fit = Fit::new(&folder::read(&folder, &reading).unwrap(), FRAME_HZ).unwrap();
    let wiring = fit.wiring.unwrap();
    let d = distances(&fit.somata);
    let p: Vec<f64> = off_diagonal(d.mapv(|d| wiring.near * (-wiring.fall * d).exp()).view());
    let expected: f64 = p.iter().sum();
    let length = p.iter().zip(off_diagonal(d.view())).map(|(p, d)| p * d).sum::<f64>() / expected;
    assert!((expected - 316.0).abs() < 1e-6, "{expected}");
    assert!((length - 91.1212228903609).abs() < 1e-6, "{length}");
}

#[test]
fn size_and_spikes_can_be_set() {
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
