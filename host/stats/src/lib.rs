//! Statistics: comparisons of variants over runs, on plain slices.
//!
//! Samples are slices of finite numbers, one per run. A result that is
//! undefined (of an empty sample, or of equal values) is NaN; each function
//! documents when. Runs without a value are kept apart and counted by
//! [`table`].
//!
//! Numbers are equal if they are equal on paper: results do not depend on the
//! unit of a table (accuracies as shares or in percent).
//!
//! Conventions (two-sided tests, tie corrections, when a test is exact) are
//! scipy's, since the paper's statistics were computed with it. Where scipy
//! returns NaN although the answer is known, the function documents the
//! difference.

pub mod adjust;
pub mod analysis;
pub mod anova;
pub mod bootstrap;
pub mod contrasts;
mod differences;
pub mod effect;
pub mod equivalence;
pub mod factors;
pub mod hierarchical;
pub mod interval;
pub mod kruskal_wallis;
pub mod mann_whitney_u;
pub mod mean;
mod noncentral_t;
pub mod paired_effect;
pub mod permutation;
pub mod quantile;
mod ranks;
#[cfg(test)]
mod reference;
mod rounding;
pub mod signed_rank;
pub mod spearman_rho;
pub mod survival;
pub mod table;
pub mod tail;

pub use adjust::{benjamini_hochberg, holm};
pub use analysis::{Analysis, Options, analyse};
pub use anova::{Anova, Order, Term, rank_anova};
pub use bootstrap::bootstrap_bca;
pub use contrasts::{Contrast, contrasts};
pub use effect::cliffs_delta;
pub use equivalence::{Equivalence, equivalence, grouped_equivalence};
pub use factors::{Design, Factor};
pub use hierarchical::{GroupT, Hierarchical, Nested, hierarchical_bootstrap};
pub use interval::t_interval;
pub use kruskal_wallis::kruskal;
pub use mann_whitney_u::{MannWhitney, mann_whitney};
pub use mean::mean;
pub use paired_effect::{PairedEffect, paired_effect};
pub use permutation::{PairedPermutation, paired_permutation};
pub use quantile::quantile;
pub use signed_rank::{Wilcoxon, wilcoxon};
pub use spearman_rho::spearman;
pub use table::WideTable;

/// The result of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// Probability of a statistic at least as extreme if there is no effect.
    pub p: f64,
}

impl Test {
    /// The result without data.
    pub const UNDEFINED: Test = Test { statistic: f64::NAN, p: f64::NAN };
}

/// How a null distribution was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// All arrangements were counted.
    Exact,
    /// Approximated by a normal distribution.
    Normal,
    /// Arrangements were drawn at random.
    MonteCarlo,
}

impl Method {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::Exact => "exact",
            Method::Normal => "normal",
            Method::MonteCarlo => "monte-carlo",
        }
    }
}
