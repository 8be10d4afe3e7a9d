//! Analysis of variance of ranks: which factors have an effect?

use std::collections::BTreeSet;

use pallium_core::{Error, Result};

use super::factors::Design;
use super::mean::mean;
use super::ranks::Ranks;
use super::tail::f_sf;

/// A share of the sum of squares that is only rounding. Ranks are multiples of a
/// half, so effects are far larger.
const ROUNDING: f64 = 1e-20;

/// The terms of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Factors alone.
    Additive,
    /// Factors and all of their interactions.
    Interactions,
}

/// One term of the analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The factor, or the factors that interact.
    pub factors: Vec<String>,
    /// Sum of squares that the term explains beyond all terms without it.
    pub sum_of_squares: f64,
    /// Its degrees of freedom.
    pub df: usize,
    /// Its mean square over the residual one.
    pub f: f64,
    /// Probability of an F at least as large if the term has no effect.
    pub p: f64,
}

impl Term {
    /// Its name for display: the factors joined by ` × `.
    pub fn name(&self) -> String {
        self.factors.join(" × ")
    }
}

/// An analysis of variance.
#[derive(Clone, Debug, PartialEq)]
pub struct Anova {
    /// The terms, factors first.
    pub terms: Vec<Term>,
    /// Residual sum of squares.
    pub residual: f64,
    /// Its degrees of freedom.
    pub residual_df: usize,
    /// Positions of the variants that are left out, since they lack a level of
    /// a factor or have no values.
    pub left_out: Vec<usize>,
    /// Factors that are left out, since all variants have the same level.
    pub constant: Vec<String>,
}

/// Analysis of variance of the ranks of all values (Conover and Iman 1981),
/// with sums of squares of type II: the sum of a term is what it explains
/// beyond all terms that do not contain it.
///
/// `samples` holds the values of each variant of `design`. Variants that lack a
/// level of a factor are left out, and the others ranked without them: among
/// the study's eleven that is `W`, which has no distances. Numbers of runs may
/// differ.
///
/// If all values are equal, F and p are NaN. Without any residual (variants of
/// equal runs whose ranks add up), F is infinite and p 0 for a term that has an
/// effect, and both are NaN for one that has none.
///
/// # Errors
/// If the design has too few combinations of levels to separate the factors
/// (the message names the effect that is a sum of others), if no factor varies,
/// or if there are as many parameters as values.
pub fn rank_anova(design: &Design, samples: &[&[f64]], order: Order) -> Result<Anova> {
    let complete = |i: &usize| design.variants[*i].iter().all(Option::is_some) && !samples[*i].is_empty();
    let (used, left_out): (Vec<usize>, Vec<usize>) = (0..samples.len()).partition(complete);
    let level = |variant: usize, factor: usize| design.variants[variant][factor].unwrap_or_default();
    let present = |factor: usize| used.iter().map(|&v| level(v, factor)).collect::<BTreeSet<usize>>();
    let (varying, constant): (Vec<usize>, Vec<usize>) =
        (0..design.factors.len()).partition(|&f| present(f).len() > 1);
    if varying.is_empty() {
        return Err(Error::unsupported(
            "no factor has two levels among the variants that have a level of each factor",
        )
        .help("name variants as the paper does (W*D*C), or give their levels with --factors FILE.csv"));
    }

    // The model describes variants, not runs: their mean ranks, weighted by
    // their number of runs, with the spread within variants as the error.
    let pool: Vec<f64> = used.iter().flat_map(|&v| samples[v].iter().copied()).collect();
    let ranks = Ranks::new(&pool).ranks;
    let middle = (ranks.len() as f64 + 1.0) / 2.0;
    let (mut rest, mut within) = (ranks.as_slice(), 0.0);
    let mut weighted = Vec::with_capacity(used.len());
    let roots: Vec<f64> = used.iter().map(|&v| (samples[v].len() as f64).sqrt()).collect();
    for (&v, root) in used.iter().zip(&roots) {
        let (own, others) = rest.split_at(samples[v].len());
        rest = others;
        let centre = mean(own);
        within += own.iter().map(|r| (r - centre).powi(2)).sum::<f64>();
        weighted.push((centre - middle) * root);
    }

    let total = within + dot(&weighted, &weighted);

    // The columns of a term: one indicator for each combination of levels,
    // without the first level of each factor.
    let columns = |term: &[usize]| -> Vec<(String, Vec<f64>)> {
        let mut columns = vec![(String::new(), roots.clone())];
        for &factor in term {
            let levels: Vec<usize> = present(factor).into_iter().skip(1).collect();
            columns = columns
                .iter()
                .flat_map(|(name, column)| {
                    let used = &used;
                    levels.iter().map(move |&l| {
                        let own = column
                            .iter()
                            .zip(used)
                            .map(|(x, &v)| if level(v, factor) == l { *x } else { 0.0 });
                        let title =
                            format!("{}={}", design.factors[factor].name, design.factors[factor].levels[l]);
                        let join = if name.is_empty() { "" } else { " and " };
                        (format!("{name}{join}{title}"), own.collect())
                    })
                })
                .collect();
        }
        columns
    };
    let terms: Vec<Vec<usize>> = match order {
        Order::Additive => varying.iter().map(|&f| vec![f]).collect(),
        Order::Interactions => {
            let mut sets: Vec<Vec<usize>> = (1_u32..1 << varying.len())
                .map(|set| {
                    varying.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, &f)| f).collect()
                })
                .collect();
            sets.sort_by_key(Vec::len);
            sets
        }
    };
    let fit = |of: &dyn Fn(&[usize]) -> bool| -> Result<Fit> {
        let mut basis = Basis::default();
        basis.add(&roots);
        for term in terms.iter().filter(|t| of(t)) {
            for (name, column) in columns(term) {
                if !basis.add(&column) {
                    return Err(deficient(design, &varying, &used, &name));
                }
            }
        }
        // What is left of nothing but rounding is zero.
        let left = Some(basis.left(&weighted)).filter(|left| *left > ROUNDING * total);
        Ok(Fit { left: left.unwrap_or(0.0), rank: basis.vectors.len() })
    };
    let full = fit(&|_| true)?;
    let residual = within + full.left;
    let residual_df = ranks.len() - full.rank;
    if residual_df == 0 {
        return Err(Error::unsupported(format!(
            "{} values cannot determine {} parameters",
            ranks.len(),
            full.rank
        ))
        .help("more runs are needed"));
    }
    let mut table = Vec::with_capacity(terms.len());
    for term in &terms {
        let contains = |other: &[usize]| term.iter().all(|f| other.contains(f));
        let (without, with) = (fit(&|t| !contains(t))?, fit(&|t| !contains(t) || t == term)?);
        let df = with.rank - without.rank;
        let explained = without.left - with.left;
        let sum_of_squares = if explained > ROUNDING * total { explained } else { 0.0 };
        let f = sum_of_squares / df as f64 / (residual / residual_df as f64);
        let factors = term.iter().map(|&f| design.factors[f].name.clone()).collect();
        let p = f_sf(f, df as f64, residual_df as f64);
        table.push(Term { factors, sum_of_squares, df, f, p });
    }
    let constant = constant.into_iter().map(|f| design.factors[f].name.clone()).collect();
    Ok(Anova { terms: table, residual, residual_df, left_out, constant })
}

/// The spread between variants that a model leaves, and its number of
/// parameters.
struct Fit {
    left: f64,
    rank: usize,
}

fn deficient(design: &Design, varying: &[usize], used: &[usize], effect: &str) -> Error {
    let filled: BTreeSet<Vec<Option<usize>>> =
        used.iter().map(|&v| varying.iter().map(|&f| design.variants[v][f]).collect()).collect();
    let all: usize = varying
        .iter()
        .map(|&f| used.iter().map(|&v| design.variants[v][f]).collect::<BTreeSet<_>>().len())
        .product();
    let names: Vec<&str> = varying.iter().map(|&f| design.factors[f].name.as_str()).collect();
    Error::unsupported(format!(
        "the design is rank-deficient: the effect of {effect} is a sum of other effects, since only {} of the {all} \
         combinations of {} have runs",
        filled.len(),
        names.join(", ")
    ))
    .help("rely on the planned contrasts, which compare only variants that differ in one factor")
}

/// An orthonormal basis of the span of columns.
#[derive(Default)]
struct Basis {
    vectors: Vec<Vec<f64>>,
}

impl Basis {
    /// Adds a column; false if it is in the span already.
    fn add(&mut self, column: &[f64]) -> bool {
        let before = dot(column, column);
        let left = self.orthogonal(column);
        let after = dot(&left, &left);
        // Columns hold zeros and roots of numbers of runs, so a column outside the
        // span is clearly outside.
        if after <= 1e-16 * before {
            return false;
        }
        self.vectors.push(left.into_iter().map(|x| x / after.sqrt()).collect());
        true
    }

    /// Squared length of the part outside the span.
    fn left(&self, column: &[f64]) -> f64 {
        let left = self.orthogonal(column);
        dot(&left, &left)
    }

    fn orthogonal(&self, column: &[f64]) -> Vec<f64> {
        let mut left = column.to_vec();
        // The second pass removes rounding errors of the first.
        for _ in 0..2 {
            for vector in &self.vectors {
                let along = dot(&left, vector);
                left.iter_mut().zip(vector).for_each(|(x, v)| *x -= along * v);
            }
        }
        left
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 11] =
        ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W", "W*D*C*", "WD*C*", "W*DC*", "W!D*C", "W!D*C*"];

    fn slices(samples: &[Vec<f64>]) -> Vec<&[f64]> {
        samples.iter().map(Vec::as_slice).collect()
    }

    /// Different numbers of runs, ties, no pattern.
    fn samples(names: usize) -> Vec<Vec<f64>> {
        (0..names)
            .map(|i| (0..4 + i % 3).map(|j| ((i * i * 7 + j * j * 5 + i * j) % 23) as f64).collect())
            .collect()
    }

    #[track_caller]
    fn near(found: &Term, statsmodels: (f64, usize, f64, f64)) {
        let (sum, df, f, p) = statsmodels;
        assert!((found.sum_of_squares / sum - 1.0).abs() < 1e-10, "{found:?}");
        assert!((found.f / f - 1.0).abs() < 1e-10, "{found:?}");
        assert!((found.p / p - 1.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.df, df);
    }

    #[test]
    fn the_additive_analysis_agrees_with_statsmodels() {
        let samples = samples(11);
        let found = rank_anova(&Design::from_names(&NAMES), &slices(&samples), Order::Additive).unwrap();
        assert_eq!(found.left_out, [5]);
        ADDITIVE.iter().zip(&found.terms).for_each(|(expected, term)| near(term, *expected));
    }

    #[test]
    fn interactions_of_a_full_layout_agree_with_statsmodels() {
        let names = ["WDC", "WD*C", "W*DC", "W*D*C", "WDC*", "WD*C*", "W*DC*", "W*D*C*"];
        let samples = samples(8);
        let found = rank_anova(&Design::from_names(&names), &slices(&samples), Order::Interactions).unwrap();
        let terms: Vec<String> = found.terms.iter().map(Term::name).collect();
        assert_eq!(terms, ["W", "D", "C", "W × D", "W × C", "D × C", "W × D × C"]);
        INTERACTIONS.iter().zip(&found.terms).for_each(|(expected, term)| near(term, *expected));
    }

    #[test]
    fn inseparable_effects_are_refused() {
        let design = Design::from_names(&NAMES);
        let all = samples(11);
        let error = rank_anova(&design, &slices(&all), Order::Interactions).unwrap_err();
        assert!(error.message.contains("only 10 of the 18 combinations of W, D, C have runs"), "{error}");
        // W* and C always come together.
        let together = Design::from_names(&["W*D*C", "WD*", "WD", "W*DC"]);
        let error = rank_anova(&together, &slices(&all[..4]), Order::Additive).unwrap_err();
        assert!(error.message.contains("the effect of C=C is a sum of other effects"), "{error}");
        let one = Design::from_names(&["W", "Wide"]);
        assert!(
            rank_anova(&one, &slices(&all[..2]), Order::Additive).unwrap_err().message.contains("no factor")
        );
        let single = [vec![1.0], vec![2.0]];
        let error =
            rank_anova(&Design::from_names(&["WD", "WD*"]), &slices(&single), Order::Additive).unwrap_err();
        assert!(error.message.contains("2 values cannot determine 2 parameters"), "{error}");
    }

    #[test]
    fn constant_factors_are_left_out_and_equal_values_give_nan() {
        let same = vec![vec![1.0; 4]; 2];
        let found = rank_anova(&Design::from_names(&["WD", "WD*"]), &slices(&same), Order::Additive).unwrap();
        assert_eq!(found.constant, ["W", "C"]);
        assert_eq!(found.terms.len(), 1);
        assert!(found.terms[0].p.is_nan());
    }

    #[test]
    fn effects_without_residual_are_infinite_and_no_effect_is_nothing() {
        // Ranks 2, 6, 2, 6: D explains everything and C nothing.
        let samples: Vec<Vec<f64>> = [0.1, 0.3, 0.1, 0.3].map(|v| vec![v; 3]).to_vec();
        let design = Design::from_names(&["WD", "WD*", "WDC", "WD*C"]);
        let found = rank_anova(&design, &slices(&samples), Order::Additive).unwrap();
        let of = |name: &str| found.terms.iter().find(|t| t.name() == name).unwrap();
        assert_eq!((found.residual, of("D").f, of("D").p), (0.0, f64::INFINITY, 0.0));
        assert!(of("C").sum_of_squares == 0.0 && of("C").p.is_nan(), "{found:?}");
    }

    /// `anova_lm(ols("rank ~ C(w) + C(d) + C(c)"), typ=2)`: sum, df, F, p.
    const ADDITIVE: [(f64, usize, f64, f64); 3] = [
        (123.0225217628454, 2, 0.3278044115712221, 0.7223306661441666),
        (1029.0308635833383, 1, 5.483887858774791, 0.02400998195875579),
        (144.01505310006115, 2, 0.38374087169071175, 0.6836720832381802),
    ];

    /// `anova_lm(ols("rank ~ C(w) * C(d) * C(c)"), typ=2)`.
    const INTERACTIONS: [(f64, usize, f64, f64); 7] = [
        (32.243249719652084, 1, 0.24343887324728367, 0.6252107720111001),
        (111.47207021672996, 1, 0.8416222126507055, 0.3660158516653449),
        (93.28134916066544, 1, 0.7042809497213383, 0.4077742516900869),
        (3.9974789163572244, 1, 0.03018125566402355, 0.8632090971114029),
        (483.191356467378, 1, 3.6481297761233953, 0.06542229869299677),
        (0.5446580764826673, 1, 0.00411220796901126, 0.9492812344768047),
        (42.501031353135225, 1, 0.3208858683418824, 0.5751543524718418),
    ];
}
