//! Planned contrasts: the effect of one step in one factor.

use pallium_core::{Error, Result};

use super::adjust::holm;
use super::factors::Design;
use super::mean::mean;
use super::ranks::Ranks;
use super::rounding::Rounded;
use super::tail::t_sf;

/// One level of a factor against another, with all other factors equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// The factor.
    pub factor: String,
    /// The level of interest.
    pub upper: String,
    /// The level that it is compared with.
    pub lower: String,
    /// Positions of the compared variants, the upper one first.
    pub pairs: Vec<(usize, usize)>,
    /// Mean difference of mean values over pairs.
    pub difference: f64,
    /// Mean difference of mean ranks over pairs.
    pub rank_difference: f64,
    /// The difference of ranks over its standard error.
    pub t: f64,
    /// Degrees of freedom of `t`.
    pub df: usize,
    /// Two-sided probability of a t at least as large without a difference.
    pub p: f64,
    /// p adjusted by Holm over all contrasts of the call.
    pub holm: f64,
}

impl Contrast {
    /// Such as `W* - W`.
    pub fn name(&self) -> String {
        format!("{} - {}", self.upper, self.lower)
    }
}

/// All contrasts of two levels of a factor in `design`, within the one-way
/// layout of ranks over all variants with values.
///
/// A contrast compares only variants that differ in that factor alone, each
/// pair with the same weight; the error is the spread of ranks within all
/// variants. Unlike a factorial analysis it needs no full layout, and
/// interactions do not confound it. t and p are NaN if ranks neither spread nor
/// differ.
///
/// # Errors
/// If no variant has two values, so that the spread within variants is unknown.
pub fn contrasts(design: &Design, samples: &[&[f64]]) -> Result<Vec<Contrast>> {
    let ranks = Ranks::new(&samples.concat()).ranks;
    let (mut rest, mut within, mut groups) = (ranks.as_slice(), 0.0, 0);
    let mut centres = Vec::with_capacity(samples.len());
    for sample in samples {
        let (own, others) = rest.split_at(sample.len());
        rest = others;
        let centre = mean(own);
        within += own.iter().map(|r| (r - centre).powi(2)).sum::<f64>();
        groups += usize::from(!own.is_empty());
        centres.push(centre);
    }
    let df = ranks.len() - groups;
    if df == 0 {
        return Err(Error::unsupported(
            "no variant has two values, so the spread within variants is unknown",
        )
        .help("more runs are needed"));
    }
    let error = within / df as f64;
    let rounded = |sample: &[f64]| sample.iter().copied().map(Rounded::new).collect::<Vec<_>>();
    let means: Vec<Rounded> = samples.iter().map(|sample| Rounded::mean(&rounded(sample))).collect();
    let mut found = Vec::new();
    for (place, factor) in design.factors.iter().enumerate() {
        for lower in 0..factor.levels.len() {
            for upper in lower + 1..factor.levels.len() {
                let mut pairs = design.matched(place, lower, upper);
                pairs.retain(|&(low, high)| !samples[low].is_empty() && !samples[high].is_empty());
                if pairs.is_empty() {
                    continue;
                }
                let over_pairs = |of: &dyn Fn(usize) -> Rounded| {
                    let each: Vec<Rounded> =
                        pairs.iter().map(|&(low, high)| of(high).minus(of(low))).collect();
                    Rounded::mean(&each).on_paper()
                };
                let difference = over_pairs(&|v| means[v]);
                let rank_difference = over_pairs(&|v| Rounded::new(centres[v]));
                let mut weights = vec![0.0; samples.len()];
                for &(low, high) in &pairs {
                    weights[low] -= 1.0 / pairs.len() as f64;
                    weights[high] += 1.0 / pairs.len() as f64;
                }
                let uses = weights.iter().zip(samples).filter(|(w, _)| **w != 0.0);
                let variance: f64 = uses.map(|(w, s)| w * w / s.len() as f64).sum::<f64>() * error;
                let t = rank_difference / variance.sqrt();
                found.push(Contrast {
                    factor: factor.name.clone(),
                    upper: factor.levels[upper].clone(),
                    lower: factor.levels[lower].clone(),
                    pairs: pairs.into_iter().map(|(low, high)| (high, low)).collect(),
                    difference,
                    rank_difference,
                    t,
                    df,
                    p: 2.0 * t_sf(t.abs(), df as f64),
                    holm: f64::NAN,
                });
            }
        }
    }
    let p: Vec<f64> = found.iter().map(|c| c.p).collect();
    found.iter_mut().zip(holm(&p)).for_each(|(contrast, adjusted)| contrast.holm = adjusted);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_of_the_eleven_variants() {
        let names = ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W", "W*D*C*", "WD*C*", "W*DC*", "W!D*C", "W!D*C*"];
        let samples: Vec<Vec<f64>> = (0..11_usize)
            .map(|i| (0..4 + i % 3).map(|j| ((i * i * 7 + j * j * 5 + i * j) % 23) as f64).collect())
            .collect();
        let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
        let found = contrasts(&Design::from_names(&names), &samples).unwrap();
        let of = |name: &str| found.iter().find(|c| c.name() == name).unwrap();
        let pairs: Vec<usize> = found.iter().map(|c| c.pairs.len()).collect();
        assert_eq!(pairs, [2, 2, 2, 3, 2, 1, 3]);
        assert_eq!(of("W* - W").pairs, [(0, 1), (6, 7)]);
        assert_eq!(of("C* - none").pairs, [(7, 3)]);
        // statsmodels: OLS of the ranks on the variants, t_test of the contrast.
        for (name, t, p) in EXPECTED {
            let c = of(name);
            assert!((c.t - t).abs() < 1e-10 && (c.p / p - 1.0).abs() < 1e-9, "{c:?}");
        }
        assert!(found.iter().all(|c| c.holm >= c.p && c.df == 43));
    }

    #[test]
    fn edges() {
        let design = Design::from_names(&["WD", "WD*"]);
        assert!(
            contrasts(&design, &[&[1.0], &[2.0]]).unwrap_err().message.contains("no variant has two values")
        );
        let apart = &contrasts(&design, &[&[1.0, 1.0], &[2.0, 2.0]]).unwrap()[0];
        assert_eq!((apart.difference, apart.t, apart.p), (1.0, f64::INFINITY, 0.0));
        assert!(contrasts(&design, &[&[1.0, 1.0], &[1.0, 1.0]]).unwrap()[0].p.is_nan());
        assert!(contrasts(&design, &[&[1.0, 1.0], &[]]).unwrap().is_empty());
    }

    #[test]
    fn differences_that_cancel_on_paper_are_not_significant() {
        // Three pairs with differences of ranks 2, −4 and 2, and no spread.
        let design = Design::from_names(&["WD", "WD*", "WDC", "WD*C", "WDC*", "WD*C*"]);
        let values = [[0.1; 2], [0.2; 2], [0.5; 2], [0.3; 2], [0.4; 2], [0.6; 2]];
        let samples: Vec<&[f64]> = values.iter().map(|v| v.as_slice()).collect();
        let found = &contrasts(&design, &samples).unwrap()[0];
        assert_eq!((found.name().as_str(), found.rank_difference), ("D* - D", 2.0 / 3.0));
        let equal = [[0.1; 2], [0.3; 2], [0.5; 2], [0.1; 2], [0.3; 2], [0.5; 2]];
        let samples: Vec<&[f64]> = equal.iter().map(|v| v.as_slice()).collect();
        let found = &contrasts(&design, &samples).unwrap()[0];
        assert!(found.rank_difference == 0.0 && found.p.is_nan(), "{found:?}");
        // Differences of means of 0, −1/30 and 1/30.
        let cancel = [
            [0.1, 0.7, 0.5],
            [0.8, 0.2, 0.3],
            [0.3, 0.6, 0.2],
            [0.1, 0.5, 0.5],
            [0.9, 0.4, 0.1],
            [0.7, 0.3, 0.4],
        ];
        let samples: Vec<&[f64]> = cancel.iter().map(|v| v.as_slice()).collect();
        let found = &contrasts(&design, &samples).unwrap()[0];
        assert_eq!(found.difference, 0.0);
    }

    const EXPECTED: [(&str, f64, f64); 3] = [
        ("W* - W", -0.15326893535555877, 0.8789032113010031),
        ("D* - D", 1.8483245415907539, 0.07143997654700672),
        ("C* - none", 0.9500325841805377, 0.3474051057662762),
    ];
}
