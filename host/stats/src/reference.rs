//! Tests against scipy and exact arithmetic on `reference/tables.json`, which
//! `reference/make.py` wrote; and the paired samples of `reference/paired.json`, which
//! `reference/paired.py` wrote.

use serde::Deserialize;

use super::*;

/// A pair of samples of accuracies k/n, and what is right for them.
#[derive(Deserialize)]
struct Reference {
    n: u32,
    a: Vec<u32>,
    b: Vec<u32>,
    mannwhitney: [f64; 2],
    wilcoxon: [f64; 2],
    permutation: f64,
    spearman: [f64; 2],
    kruskal: [f64; 2],
    /// The ends as sums of k.
    bootstrap: Option<[u32; 2]>,
}

fn tables() -> Vec<Reference> {
    let tables: Vec<Reference> = serde_json::from_str(include_str!("reference/tables.json")).unwrap();
    assert_eq!(tables.len(), 240);
    tables
}

/// The same table in several units: as whole numbers, as shares, as what these
/// give when they are multiplied, and as decimals that are written and read.
fn units(table: &Reference) -> Vec<(f64, [Vec<f64>; 2])> {
    let n = f64::from(table.n);
    let with = |unit: f64, of: &dyn Fn(f64) -> f64| {
        let sample = |k: &[u32]| k.iter().map(|k| of(f64::from(*k))).collect();
        (unit, [sample(&table.a), sample(&table.b)])
    };
    let decimal = |k: f64, exponent: i32| format!("{k}e{exponent}").parse::<f64>().unwrap();
    vec![
        with(1.0, &|k| k),
        with(1.0 / n, &|k| k / n),
        with(10.0 / n, &|k| k / n * 10.0),
        with(10.0 / n, &|k| k * 10.0 / n),
        with(100.0 / n, &|k| k / n * 100.0),
        with(0.1, &|k| decimal(k, -1)),
        with(0.01, &|k| decimal(k, -2)),
        with(1e-200, &|k| decimal(k, -200)),
        with(1e200, &|k| decimal(k, 200)),
    ]
}

#[track_caller]
fn near(what: &str, table: usize, found: f64, expected: f64) {
    let apart = (found - expected).abs();
    assert!(apart <= 1e-9 * expected.abs(), "{what} of table {table}: {found:e}, expected {expected:e}");
}

#[test]
fn tests_of_random_tables_are_scipys_in_any_unit() {
    for (number, table) in tables().iter().enumerate() {
        for (unit, [a, b]) in units(table) {
            let near = |what: &str, found: f64, expected: f64| {
                near(&format!("{what} (unit {unit})"), number, found, expected);
            };
            let found = mann_whitney(&a, &b);
            near("U", found.u, table.mannwhitney[0]);
            near("p of U", found.p, table.mannwhitney[1]);
            let found = wilcoxon(&a, &b);
            near("W", found.w, table.wilcoxon[0]);
            near("p of W", found.p, table.wilcoxon[1]);
            let found = kruskal(&[&a, &b]);
            near("H", found.statistic, table.kruskal[0]);
            near("p of H", found.p, table.kruskal[1]);
            let found = spearman(&a, &b);
            near("ρ", found.statistic, table.spearman[0]);
            // Rounding of a perfect correlation gives scipy a p.
            if found.statistic.abs() < 1.0 {
                near("p of ρ", found.p, table.spearman[1]);
            }
            let found = paired_permutation(&a, &b, 0, 0);
            assert_eq!(
                (found.p, found.method),
                (table.permutation, Method::Exact),
                "table {number}, unit {unit}"
            );
            let sum = |sample: &[u32]| f64::from(sample.iter().sum::<u32>());
            let difference = (sum(&table.a) - sum(&table.b)) / a.len() as f64 * unit;
            assert!(
                (found.difference - difference).abs() < 1e-12 * unit * f64::from(table.n),
                "table {number}"
            );
        }
    }
}

#[test]
fn bootstrap_intervals_of_random_tables_are_exact_in_any_unit() {
    let mut checked = 0;
    for (number, table) in tables().iter().enumerate() {
        let Some(ends) = table.bootstrap else { continue };
        checked += 1;
        for (unit, [a, _]) in units(table) {
            let (low, high) = bootstrap_bca(&a, 0.95, 99_999, 1);
            for (found, sum) in [low, high].into_iter().zip(ends) {
                let expected = f64::from(sum) / a.len() as f64 * unit;
                assert!(
                    (found - expected).abs() <= 1e-12 * unit * f64::from(table.n),
                    "table {number}, unit {unit}: {low} … {high}, expected the sums {ends:?}"
                );
            }
        }
    }
    assert_eq!(checked, 30);
}

/// Paired samples, and what statsmodels, scipy and pingouin say of them.
#[derive(Deserialize)]
pub(super) struct Paired {
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub margin: f64,
    /// t and p of the lower and of the upper test, and the larger p.
    pub tost: [f64; 5],
    pub d_z: f64,
    pub g_z: f64,
    pub interval: [f64; 2],
    pub rank_biserial: f64,
}

pub(super) fn paired() -> Vec<Paired> {
    serde_json::from_str(include_str!("reference/paired.json")).unwrap()
}
