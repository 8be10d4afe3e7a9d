//! Tests against scipy and exact arithmetic on `reference/tables.json`, which
//! `reference/make.py` wrote; and the paired samples of `reference/paired.json`, which
//! `reference/paired.py` wrote; and what `reference/units.py` wrote of the former in
//! `reference/units.json`.

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
    in_units(table.n, &table.a, &table.b)
}

fn in_units(n: u32, a: &[u32], b: &[u32]) -> Vec<(f64, [Vec<f64>; 2])> {
    let n = f64::from(n);
    let with = |unit: f64, of: &dyn Fn(f64) -> f64| {
        let sample = |k: &[u32]| k.iter().map(|k| of(f64::from(*k))).collect();
        (unit, [sample(a), sample(b)])
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
        with(1e-300, &|k| decimal(k, -300)),
        with(1e297, &|k| decimal(k, 297)),
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

/// What is right for the tables in any unit, and for nested differences.
#[derive(Deserialize)]
struct Units {
    paired: Vec<InUnits>,
    nested: Vec<NestedInUnits>,
}

/// Of the pair of samples k.
#[derive(Deserialize)]
struct InUnits {
    margin: f64,
    rank_biserial: Option<f64>,
    /// The difference, if all are equal.
    constant: Option<f64>,
    d_z: Option<f64>,
    /// t of the lower and of the upper test, and the larger p.
    tost: Option<[f64; 3]>,
}

#[derive(Deserialize)]
struct NestedInUnits {
    /// Group and both values k.
    rows: Vec<(u32, u32, u32)>,
    mean: f64,
    /// Over all resamples.
    p: f64,
}

fn in_any_unit() -> Units {
    serde_json::from_str(include_str!("reference/units.json")).unwrap()
}

#[test]
fn effects_and_equivalence_of_random_tables_are_scipys_in_any_unit() {
    let right = in_any_unit().paired;
    assert_eq!(right.len(), 240);
    for (number, (table, right)) in tables().iter().zip(&right).enumerate() {
        for (unit, [a, b]) in units(table) {
            let near = |what: &str, found: f64, expected: f64| {
                near(&format!("{what} (unit {unit})"), number, found, expected);
            };
            let effect = paired_effect(&a, &b, 0.95);
            let test = equivalence(&a, &b, right.margin * unit, 0.05);
            match right.rank_biserial {
                Some(expected) => near("rank-biserial", effect.rank_biserial, expected),
                None => assert!(effect.rank_biserial.is_nan(), "table {number}, unit {unit}"),
            }
            if let (Some(d_z), Some([lower, upper, p])) = (right.d_z, right.tost) {
                near("d_z", effect.d_z, d_z);
                near("lower t", test.lower.statistic, lower);
                near("upper t", test.upper.statistic, upper);
                near("p of equivalence", test.p, p);
            }
            if let Some(difference) = right.constant {
                assert!(!effect.d_z.is_finite() && !effect.g_z.is_finite(), "table {number}, unit {unit}");
                near("difference", test.difference, difference * unit);
                let p = if difference.abs() < right.margin { 0.0 } else { 1.0 };
                assert!(difference.abs() != right.margin && test.p == p, "table {number}, unit {unit}");
            }
        }
    }
}

#[test]
fn nested_differences_have_one_p_in_any_unit() {
    let cases = in_any_unit().nested;
    assert_eq!(cases.len(), 24);
    for (number, case) in cases.iter().enumerate() {
        let groups: Vec<String> = case.rows.iter().map(|row| row.0.to_string()).collect();
        let (a, b): (Vec<u32>, Vec<u32>) = case.rows.iter().map(|row| (row.1, row.2)).unzip();
        let labels: Vec<Vec<&str>> = groups.iter().map(|group| vec![group.as_str()]).collect();
        let mut first = None;
        for (unit, [a, b]) in in_units(60, &a, &b) {
            let found = hierarchical_bootstrap(&Nested::new(&labels, &a, &b), 0.95, 20_000, 1);
            near(&format!("mean (unit {unit})"), number, found.mean, case.mean * unit);
            // Six standard errors.
            assert!((found.p - case.p).abs() < 0.045, "case {number}: {} and {}", found.p, case.p);
            assert_eq!(found.p, *first.get_or_insert(found.p), "case {number}, unit {unit}");
        }
    }
}
