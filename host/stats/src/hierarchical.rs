//! Mean differences of nested data, such as runs of fields of scans: the bootstrap of
//! Saravanan, Berman and Sober (2020), and Student's t over the outermost groups.
//!
//! The bootstrap is too certain if there are few groups: resamples of k groups vary less
//! than the groups themselves, by (k − 1)/k, and percentiles ignore that their spread is
//! estimated. The t interval, with one degree of freedom less than there are groups, keeps
//! its coverage.

use std::collections::BTreeMap;

use pallium_core::rand::Rng;
use pallium_core::random;

use super::differences::Differences;
use super::quantile::quantile;
use super::rounding::Rounded;
use super::tail::{t_quantile, t_sf};

/// Default number of resamples. A resample of nested groups takes longer than one of a
/// column.
pub const RESAMPLES: usize = 9_999;

/// Differences of pairs in nested groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Nested {
    level: Level,
    /// What the differences are multiplied with.
    scale: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Level {
    /// The innermost values.
    Values(Vec<Rounded>),
    /// Groups, each of the same depth.
    Groups(Vec<Level>),
}

/// A mean difference over nested groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hierarchical {
    /// Number of outermost groups.
    pub groups: usize,
    /// Mean over the outermost groups of the mean over their groups, and so on.
    pub mean: f64,
    /// The percentile interval of the bootstrap.
    pub interval: (f64, f64),
    /// The bootstrap's two-sided p of a mean of 0: twice the smaller share of resamples on
    /// one side of it, each plus one.
    pub p: f64,
    /// Student's t over the means of the outermost groups.
    pub t: GroupT,
}

/// Student's t over the means of the outermost groups, with one degree of freedom less than
/// there are groups. Its coverage is nominal if these means are normal and alike in spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupT {
    /// The interval of the mean.
    pub interval: (f64, f64),
    /// Two-sided p of a mean of 0.
    pub p: f64,
}

impl Nested {
    /// Groups the differences `a` − `b` by their labels, the outermost first.
    ///
    /// # Panics
    /// If the samples differ in length.
    pub fn new(labels: &[Vec<&str>], a: &[f64], b: &[f64]) -> Self {
        let Differences { all, scale } = Differences::new(a, b);
        let rows: Vec<(&[&str], Rounded)> = labels.iter().map(Vec::as_slice).zip(all).collect();
        Nested { level: Level::new(&rows), scale }
    }

    /// The mean difference of each outermost group.
    pub(super) fn outermost(&self) -> Differences {
        let all = match &self.level {
            Level::Values(values) => values.clone(),
            Level::Groups(groups) => groups.iter().map(Level::mean).collect(),
        };
        Differences { all, scale: self.scale }
    }
}

impl Level {
    fn new(rows: &[(&[&str], Rounded)]) -> Self {
        if rows.iter().all(|(labels, _)| labels.is_empty()) {
            return Level::Values(rows.iter().map(|row| row.1).collect());
        }
        let mut groups: BTreeMap<&str, Vec<(&[&str], Rounded)>> = BTreeMap::new();
        for (labels, value) in rows {
            if let Some((first, rest)) = labels.split_first() {
                groups.entry(first).or_default().push((rest, *value));
            }
        }
        Level::Groups(groups.values().map(|rows| Level::new(rows)).collect())
    }

    /// Number of groups, or of values.
    fn len(&self) -> usize {
        match self {
            Level::Values(values) => values.len(),
            Level::Groups(groups) => groups.len(),
        }
    }

    fn mean(&self) -> Rounded {
        match self {
            Level::Values(values) => Rounded::mean(values),
            Level::Groups(groups) => Rounded::mean(&groups.iter().map(Level::mean).collect::<Vec<_>>()),
        }
    }

    /// The mean of a resample: of as many groups drawn with replacement, and within each
    /// of as many of its own.
    fn resampled(&self, stream: &mut random::Stream) -> Rounded {
        let count = self.len() as u32;
        let (mut sum, mut error, mut size) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let at = stream.random_range(0..count) as usize;
            let drawn = match self {
                Level::Values(values) => values[at],
                Level::Groups(groups) => groups[at].resampled(stream),
            };
            sum += drawn.value;
            error += drawn.error;
            size += drawn.value.abs();
        }
        let n = f64::from(count);
        Rounded { value: sum / n, error: (error + n * f64::EPSILON * size) / n }
    }
}

/// The interval and p over the means of groups. NaN with fewer than two groups, or two equal
/// ones, which say nothing about the spread of others. More equal groups have no spread: p is
/// then 1 of a mean of 0, otherwise 0.
fn t_of(groups: &Differences, confidence: f64) -> GroupT {
    let (n, deviation) = (groups.all.len(), groups.deviation());
    if n < 2 || (n == 2 && deviation == 0.0) {
        return GroupT { interval: (f64::NAN, f64::NAN), p: f64::NAN };
    }
    let (mean, df) = (groups.mean().on_paper(), (n - 1) as f64);
    let error = deviation / (n as f64).sqrt();
    let half = t_quantile(0.5 + confidence / 2.0, df) * error;
    // 0/0 where no group differs.
    let statistic = if mean == 0.0 { 0.0 } else { mean / error };
    GroupT {
        interval: ((mean - half) / groups.scale, (mean + half) / groups.scale),
        p: (2.0 * t_sf(statistic.abs(), df)).min(1.0),
    }
}

/// The mean of nested differences, with an interval and a p-value from `resamples` resamples of
/// all levels, and with those of Student's t over the outermost groups. NaN without values;
/// intervals and p are NaN with fewer than two outermost groups, which say nothing about
/// others.
pub fn hierarchical_bootstrap(values: &Nested, confidence: f64, resamples: usize, seed: u64) -> Hierarchical {
    let Nested { level, scale } = values;
    let mean = level.mean().on_paper() / scale;
    let undefined = Hierarchical {
        groups: level.len(),
        mean,
        interval: (f64::NAN, f64::NAN),
        p: f64::NAN,
        t: t_of(&values.outermost(), confidence),
    };
    if level.len() < 2 || resamples == 0 || undefined.mean.is_nan() {
        return undefined;
    }
    let mut stream = random::stream(seed, "hierarchical bootstrap");
    let mut found: Vec<f64> = (0..resamples).map(|_| level.resampled(&mut stream).on_paper()).collect();
    found.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let below = found.partition_point(|m| *m <= 0.0);
    let above = found.len() - found.partition_point(|m| *m < 0.0);
    let p = 2.0 * (below.min(above) + 1) as f64 / (resamples + 1) as f64;
    Hierarchical {
        interval: (quantile(&found, tail) / scale, quantile(&found, 1.0 - tail) / scale),
        p: p.min(1.0),
        ..undefined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three fields of unequal size in two scans.
    const ROWS: [(&str, &str, f64); 10] = [
        ("a", "1", 0.10),
        ("a", "1", 0.14),
        ("a", "1", 0.06),
        ("a", "2", 0.02),
        ("a", "2", 0.05),
        ("b", "3", 0.08),
        ("b", "3", 0.01),
        ("b", "3", 0.03),
        ("b", "3", -0.02),
        ("c", "4", 0.12),
    ];

    fn nested(levels: usize) -> Nested {
        let labels: Vec<Vec<&str>> =
            ROWS.iter().map(|(scan, field, _)| [*scan, field][..levels].to_vec()).collect();
        Nested::new(&labels, &ROWS.map(|row| row.2), &[0.0; ROWS.len()])
    }

    #[test]
    fn means_are_those_of_groups_of_groups() {
        let mean = |levels| hierarchical_bootstrap(&nested(levels), 0.95, 0, 1).mean;
        assert!((mean(2) - (0.0675 + 0.025 + 0.12) / 3.0).abs() < 1e-12);
        assert!((mean(1) - (0.074 + 0.025 + 0.12) / 3.0).abs() < 1e-12);
        assert!((mean(0) - 0.059).abs() < 1e-12);
    }

    const EXPECTED: [(usize, f64, f64); 3] = [(0, 0.029, 0.089), (1, 0.025, 0.12), (2, 0.0225, 0.12)];

    #[test]
    fn the_interval_is_that_of_numpy() {
        // `reference/hierarchical.py`, 2,000,000 resamples.
        for (levels, low, high) in EXPECTED {
            let found = hierarchical_bootstrap(&nested(levels), 0.95, 200_000, 1);
            let (left, right) = found.interval;
            assert!((left - low).abs() < 1.5e-3 && (right - high).abs() < 1.5e-3, "{levels}: {found:?}");
        }
        let found = hierarchical_bootstrap(&nested(0), 0.95, 999, 1);
        assert_eq!(found, hierarchical_bootstrap(&nested(0), 0.95, 999, 1));
        assert!(found.p < 0.05);
    }

    /// The ends and p of Student's t over 0.0675, 0.025 and 0.12; with two degrees of freedom,
    /// P(T ≤ t) = 1/2 + t / (2·√(2 + t²)).
    const T: (f64, f64, f64) = (-0.04738091395568109, 0.18904758062234775, 0.12324530355153451);

    #[test]
    fn t_over_groups_is_students() {
        let found = hierarchical_bootstrap(&nested(2), 0.95, 0, 1);
        let GroupT { interval: (low, high), p } = found.t;
        assert_eq!(found.groups, 3);
        assert!((low - T.0).abs() < 1e-12 && (high - T.1).abs() < 1e-12, "{found:?}");
        assert!((p - T.2).abs() < 1e-12, "{found:?}");
        // Without groups, every run is one.
        let runs = ROWS.map(|row| row.2);
        let (found, expected) =
            (hierarchical_bootstrap(&nested(0), 0.95, 0, 1), crate::t_interval(&runs, 0.95));
        assert_eq!(found.groups, 10);
        let (low, high) = found.t.interval;
        assert!((low - expected.0).abs() < 1e-12 && (high - expected.1).abs() < 1e-12, "{found:?}");
    }

    /// How many of 2,000 experiments with so many alike groups have the true difference, 0,
    /// within the interval of the bootstrap, and within that of t.
    fn covered(groups: usize) -> (f64, f64) {
        let mut stream = random::stream(7, "coverage");
        // Nearly normal.
        let mut normal = || (0..12).map(|_| stream.random_range(-0.5..0.5)).sum::<f64>();
        let names: Vec<String> = (0..groups).map(|group| group.to_string()).collect();
        let labels: Vec<Vec<&str>> = names.iter().flat_map(|name| vec![vec![name.as_str()]; 5]).collect();
        let (mut bootstrap, mut t) = (0, 0);
        for experiment in 0..2000 {
            let mut values = Vec::new();
            for _ in 0..groups {
                let own = normal();
                values.extend((0..5).map(|_| own + 0.5 * normal()));
            }
            let nested = Nested::new(&labels, &values, &vec![0.0; values.len()]);
            let found = hierarchical_bootstrap(&nested, 0.95, 199, experiment);
            let within = |(low, high): (f64, f64)| usize::from(low <= 0.0 && 0.0 <= high);
            bootstrap += within(found.interval);
            t += within(found.t.interval);
            // The test and the interval agree.
            assert_eq!(found.t.p >= 0.05, within(found.t.interval) == 1, "{found:?}");
        }
        (bootstrap as f64 / 2000.0, t as f64 / 2000.0)
    }

    #[test]
    fn t_over_few_groups_covers_what_the_bootstrap_does_not() {
        for (groups, most) in [(2, 0.65), (3, 0.85), (6, 0.92)] {
            let (bootstrap, t) = covered(groups);
            assert!(bootstrap < most, "{groups} groups: {bootstrap}");
            // Three standard errors.
            assert!((t - 0.95).abs() < 0.015, "{groups} groups: {t}");
        }
    }

    #[test]
    fn equal_groups_have_no_spread() {
        let of = |groups: &[&str], difference: f64| {
            let labels: Vec<Vec<&str>> = groups.iter().map(|group| vec![*group]).collect();
            let a: Vec<f64> = (0..groups.len()).map(|run| 0.1 * run as f64 + difference).collect();
            let b: Vec<f64> = (0..groups.len()).map(|run| 0.1 * run as f64).collect();
            hierarchical_bootstrap(&Nested::new(&labels, &a, &b), 0.95, 99, 1)
        };
        assert_eq!(of(&["a", "b", "c"], 0.0).t, GroupT { interval: (0.0, 0.0), p: 1.0 });
        let apart = of(&["a", "b", "c"], 0.3).t;
        assert!((apart.interval.0 - 0.3).abs() < 1e-12 && apart.p == 0.0, "{apart:?}");
        let two = of(&["a", "a", "b"], 0.3);
        assert!(two.groups == 2 && two.t.p.is_nan() && two.t.interval.0.is_nan(), "{two:?}");
    }

    #[test]
    fn edges() {
        let one = Nested::new(&[vec!["a"], vec!["a"]], &[1.0, 2.0], &[0.0; 2]);
        let found = hierarchical_bootstrap(&one, 0.95, 99, 1);
        assert!(found.mean == 1.5 && found.interval.0.is_nan() && found.p.is_nan());
        assert!(found.groups == 1 && found.t.interval.0.is_nan() && found.t.p.is_nan());
        assert!(hierarchical_bootstrap(&Nested::new(&[], &[], &[]), 0.95, 99, 1).mean.is_nan());
    }
}
