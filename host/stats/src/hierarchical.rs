//! Bootstrap of nested data, such as runs of fields of scans (Saravanan, Berman and Sober
//! 2020).

use std::collections::BTreeMap;

use pallium_core::rand::Rng;
use pallium_core::random;

use super::differences::Differences;
use super::quantile::quantile;
use super::rounding::Rounded;

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

/// What a hierarchical bootstrap says of a mean difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hierarchical {
    /// Mean over the outermost groups of the mean over their groups, and so on.
    pub mean: f64,
    /// The percentile interval.
    pub interval: (f64, f64),
    /// Two-sided p of a mean of 0: twice the smaller share of resamples on one side
    /// of it, each plus one.
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

/// The mean of nested differences with an interval and a p-value from `resamples` resamples of
/// all levels. NaN without values; interval and p are NaN with fewer than two outermost
/// groups, which say nothing about others.
pub fn hierarchical_bootstrap(values: &Nested, confidence: f64, resamples: usize, seed: u64) -> Hierarchical {
    let Nested { level, scale } = values;
    let mean = level.mean().on_paper() / scale;
    let undefined = Hierarchical { mean, interval: (f64::NAN, f64::NAN), p: f64::NAN };
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

    #[test]
    fn edges() {
        let one = Nested::new(&[vec!["a"], vec!["a"]], &[1.0, 2.0], &[0.0; 2]);
        let found = hierarchical_bootstrap(&one, 0.95, 99, 1);
        assert!(found.mean == 1.5 && found.interval.0.is_nan() && found.p.is_nan());
        assert!(hierarchical_bootstrap(&Nested::new(&[], &[], &[]), 0.95, 99, 1).mean.is_nan());
    }
}
