//! All statistics of one table.

use pallium_core::{Result, random};

use super::table::{TableEntry, WideTable};
use super::{
    Anova, Contrast, Design, MannWhitney, Order, PairedPermutation, Test, Wilcoxon, benjamini_hochberg,
    bootstrap_bca, cliffs_delta, contrasts, holm, kruskal, mann_whitney, mean, paired_permutation,
    rank_anova, spearman, t_interval, wilcoxon,
};

/// Options of an analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Pairs of variants whose p-values are adjusted together; `None` for all
    /// pairs.
    pub family: Option<Vec<(usize, usize)>>,
    /// Whether pairs are compared; if not, there are none.
    pub pairs: bool,
    /// Whether variants have intervals; if not, they are NaN.
    pub intervals: bool,
    /// Coverage of intervals.
    pub confidence: f64,
    /// Number of resamples for a bootstrap interval and for a permutation test
    /// that is not exact; `None` for [`resamples_of`].
    pub resamples: Option<usize>,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { family: None, pairs: true, intervals: true, confidence: 0.95, resamples: None, seed: 0 }
    }
}

/// Default number of resamples for `n` values: 99,999 up to 200 values, where
/// they are fast and stabilise the extreme percentiles of skewed samples; 9,999
/// above.
pub fn resamples_of(n: usize) -> usize {
    if n <= 200 { 99_999 } else { 9_999 }
}

/// The statistics of one variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Number of runs with a value.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Student's interval.
    pub t: (f64, f64),
    /// The bootstrap interval.
    pub bootstrap: (f64, f64),
    /// Names of the runs without a value, and the text in its place.
    pub missing: Vec<(String, String)>,
}

/// The comparison of two variants.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Position of the first.
    pub a: usize,
    /// Position of the second.
    pub b: usize,
    /// Independent samples.
    pub mann_whitney: MannWhitney,
    /// Size of the effect.
    pub cliffs_delta: f64,
    /// Number of runs with a value in both.
    pub paired: usize,
    /// Wilcoxon's test over these runs.
    pub wilcoxon: Wilcoxon,
    /// The permutation test over these runs.
    pub permutation: PairedPermutation,
    /// Spearman's correlation over these runs.
    pub spearman: Test,
}

/// A pair of a family with its adjusted p-values.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    /// Position of the first.
    pub a: usize,
    /// Position of the second.
    pub b: usize,
    /// p of the pair's Mann–Whitney test.
    pub p: f64,
    /// Adjusted by Holm.
    pub holm: f64,
    /// Adjusted by Benjamini and Hochberg.
    pub benjamini_hochberg: f64,
}

/// The effects of the factors of a design.
#[derive(Clone, Debug)]
pub struct Factors {
    /// Comparison of each factor's levels, with the runs of all variants of a
    /// level pooled.
    pub kruskal: Vec<(String, Test)>,
    /// Analysis with factors alone.
    pub additive: Result<Anova>,
    /// Analysis with factors and interactions.
    pub interactions: Result<Anova>,
    /// Comparison of pairs of levels, with all other factors equal.
    pub contrasts: Result<Vec<Contrast>>,
    /// Variants without a level of any factor.
    pub unknown: Vec<String>,
}

/// All statistics of a table.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// Comparison of all variants that have values.
    pub kruskal: Test,
    /// The variants, in the table's order.
    pub variants: Vec<Variant>,
    /// All pairs of them.
    pub pairs: Vec<Pair>,
    /// The family.
    pub family: Vec<Adjusted>,
    /// The factors, or why they are not analysed.
    pub factors: std::result::Result<Factors, String>,
}

/// Computes all statistics of `table`. Runs without a value are listed and left
/// out.
///
/// Paired tests and correlations use the runs with a value in both variants.
/// They are meaningful only if the same run of two variants shares its data.
pub fn analyse(table: &WideTable, design: &Design, options: &Options) -> Analysis {
    let samples: Vec<Vec<f64>> = (0..table.names.len()).map(|v| table.values(v)).collect();
    let slices: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
    let count = samples.len();
    let pairs: Vec<(usize, usize)> = match options.pairs {
        true => (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect(),
        false => Vec::new(),
    };
    let all = || pairs.clone();
    let family = options.family.clone().unwrap_or_else(all);
    let p: Vec<f64> = family.iter().map(|&(a, b)| mann_whitney(slices[a], slices[b]).p).collect();
    let adjusted = family.iter().zip(&p).zip(holm(&p)).zip(benjamini_hochberg(&p));
    Analysis {
        kruskal: kruskal(&slices),
        variants: in_parallel(count, |v| variant(table, v, &samples[v], options)),
        pairs: in_parallel(pairs.len(), |i| pair(table, pairs[i], &slices, options)),
        family: adjusted
            .map(|(((&(a, b), &p), holm), bh)| Adjusted { a, b, p, holm, benjamini_hochberg: bh })
            .collect(),
        factors: factors(table, design, &slices),
    }
}

/// An interval that is not computed.
const UNDEFINED: (f64, f64) = (f64::NAN, f64::NAN);

fn variant(table: &WideTable, place: usize, values: &[f64], options: &Options) -> Variant {
    let name = table.names[place].clone();
    // A variant's interval does not depend on the other columns.
    let seed = random::derive(options.seed, 0, &format!("interval {name}"));
    let resamples = options.resamples.unwrap_or_else(|| resamples_of(values.len()));
    let missing = table.runs.iter().zip(&table.columns[place]).filter_map(|(run, entry)| match entry {
        TableEntry::Missing(text) => Some((run.clone(), text.clone())),
        TableEntry::Value(_) => None,
    });
    Variant {
        n: values.len(),
        mean: mean(values),
        t: if options.intervals { t_interval(values, options.confidence) } else { UNDEFINED },
        bootstrap: match options.intervals {
            true => bootstrap_bca(values, options.confidence, resamples, seed),
            false => UNDEFINED,
        },
        missing: missing.collect(),
        name,
    }
}

fn pair(table: &WideTable, (a, b): (usize, usize), samples: &[&[f64]], options: &Options) -> Pair {
    let (left, right) = table.paired(a, b);
    let seed = random::derive(options.seed, 0, &format!("pair {} vs {}", table.names[a], table.names[b]));
    let resamples = options.resamples.unwrap_or_else(|| resamples_of(left.len()));
    Pair {
        a,
        b,
        mann_whitney: mann_whitney(samples[a], samples[b]),
        cliffs_delta: cliffs_delta(samples[a], samples[b]),
        paired: left.len(),
        wilcoxon: wilcoxon(&left, &right),
        permutation: paired_permutation(&left, &right, resamples, seed),
        spearman: spearman(&left, &right),
    }
}

fn factors(table: &WideTable, design: &Design, samples: &[&[f64]]) -> std::result::Result<Factors, String> {
    let (known, unknown): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(|&v| design.knows(v));
    if known.len() < 2 {
        return Err("fewer than two columns have known factors: use names such as W*D*C, or a file \
                    given with --factors"
            .into());
    }
    // Columns without factors are left out, also of the ranking.
    let design = Design {
        factors: design.factors.clone(),
        variants: known.iter().map(|&v| design.variants[v].clone()).collect(),
    };
    let slices: Vec<&[f64]> = known.iter().map(|&v| samples[v]).collect();
    let in_table = |place: usize| known[place];
    let anova = |order| {
        rank_anova(&design, &slices, order).map(|mut anova| {
            anova.left_out.iter_mut().for_each(|v| *v = in_table(*v));
            anova
        })
    };
    let contrasts = contrasts(&design, &slices).map(|mut all| {
        for (a, b) in all.iter_mut().flat_map(|c| c.pairs.iter_mut()) {
            (*a, *b) = (in_table(*a), in_table(*b));
        }
        all
    });
    let kruskal = (0..design.factors.len()).map(|factor| {
        let pooled = design.pooled(factor, &slices);
        let pooled: Vec<&[f64]> = pooled.iter().map(Vec::as_slice).collect();
        (design.factors[factor].name.clone(), kruskal(&pooled))
    });
    Ok(Factors {
        kruskal: kruskal.collect(),
        additive: anova(Order::Additive),
        interactions: anova(Order::Interactions),
        contrasts,
        unknown: unknown.into_iter().map(|v| table.names[v].clone()).collect(),
    })
}

/// `task` of 0 … `count` − 1, in order, on all cores. A result depends on its
/// number alone.
fn in_parallel<T: Send>(count: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let (task, step) = (&task, count.div_ceil(threads).max(1));
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..count)
            .step_by(step)
            .map(|first| scope.spawn(move || (first..count.min(first + step)).map(task).collect::<Vec<T>>()))
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &[f64])]) -> WideTable {
        let rows = columns.iter().map(|(_, c)| c.len()).max().unwrap_or(0);
        let entries = |column: &[f64]| {
            (0..rows)
                .map(|i| column.get(i).map_or(TableEntry::Missing(String::new()), |&v| TableEntry::Value(v)))
                .collect()
        };
        WideTable {
            names: columns.iter().map(|(name, _)| (*name).into()).collect(),
            runs: (1..=rows).map(|i| i.to_string()).collect(),
            columns: columns.iter().map(|(_, c)| entries(c)).collect(),
            groups: Vec::new(),
        }
    }

    #[test]
    fn missing_runs_are_listed_and_left_out() {
        let table = table(&[("WD", &[1.0, 2.0, 3.0]), ("WD*", &[4.0, 6.0]), ("none", &[])]);
        let found = analyse(&table, &Design::from_names(&table.names), &Options::default());
        assert_eq!(found.variants[1].mean, 5.0);
        assert_eq!(found.variants[1].missing, [("3".to_string(), String::new())]);
        assert_eq!((found.variants[2].n, found.variants[2].missing.len()), (0, 3));
        assert!(found.variants[2].mean.is_nan());
        assert_eq!(found.pairs[0].paired, 2);
        assert!(found.pairs[1].mann_whitney.p.is_nan());
        // One pair has a p-value, so the family has one test.
        assert_eq!(found.family[0].holm, found.pairs[0].mann_whitney.p);
        assert!(found.family[1].holm.is_nan());
        let factors = found.factors.unwrap();
        assert_eq!(factors.unknown, ["none"]);
        assert_eq!(factors.contrasts.unwrap()[0].pairs, [(1, 0)]);
        assert_eq!(factors.additive.unwrap().constant, ["W", "C"]);
    }

    #[test]
    fn tables_without_factors_give_the_reason() {
        let table = table(&[("a", &[1.0, 2.0, 3.0]), ("b", &[4.0, 6.0])]);
        let found = analyse(&table, &Design::from_names(&table.names), &Options::default());
        assert!(found.factors.unwrap_err().contains("--factors"));
    }

    #[test]
    fn an_interval_does_not_depend_on_other_columns() {
        let values: &[f64] = &[0.1, 0.5, 0.2, 0.9, 0.4];
        let options = Options { resamples: Some(99), ..Options::default() };
        let of = |t: WideTable| analyse(&t, &Design::from_names(&t.names), &options).variants.pop().unwrap();
        assert_eq!(
            of(table(&[("x", values)])),
            of(table(&[("y", &[1.0, 2.0, 3.0, 4.0, 5.0]), ("x", values)]))
        );
    }

    #[test]
    fn parallel_keeps_the_order() {
        assert_eq!(in_parallel(7, |i| i * i), [0, 1, 4, 9, 16, 25, 36]);
        assert!(in_parallel(0, |i| i).is_empty());
    }
}
