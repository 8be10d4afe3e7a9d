//! Statistics: comparisons of variants over runs, on plain slices.
//!
//! Samples are slices of finite numbers, one number a run. What cannot be
//! computed (of an empty sample, of values that are all equal) is NaN, never
//! an invented number; each function says when. Runs without a value do not
//! get here: [`table`] keeps them apart and counts them.
//!
//! Conventions (two-sided tests, tie corrections, when a test is exact) are
//! scipy's, since the paper's statistics were computed with it; where scipy's
//! answer is not a number though there is a plain one, the function says so.

pub mod adjust;
pub mod analysis;
pub mod anova;
pub mod bootstrap;
pub mod contrasts;
pub mod effect;
pub mod factors;
pub mod interval;
pub mod kruskal_wallis;
pub mod mann_whitney_u;
pub mod permutation;
mod ranks;
pub mod signed_rank;
pub mod spearman_rho;
pub mod table;
pub mod tail;

pub use adjust::{benjamini_hochberg, holm};
pub use analysis::{Analysis, Options, analyse};
pub use anova::{Anova, Order, Term, rank_anova};
pub use bootstrap::{bootstrap_bca, mean};
pub use contrasts::{Contrast, contrasts};
pub use effect::cliffs_delta;
pub use factors::{Design, Factor};
pub use interval::t_interval;
pub use kruskal_wallis::kruskal;
pub use mann_whitney_u::{MannWhitney, mann_whitney};
pub use permutation::{PairedPermutation, paired_permutation};
pub use signed_rank::{Wilcoxon, wilcoxon};
pub use spearman_rho::spearman;
pub use table::WideTable;

/// What a test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// Probability of a statistic at least as extreme if there is no effect.
    pub p: f64,
}

impl Test {
    /// There is nothing to test.
    pub const UNDEFINED: Test = Test { statistic: f64::NAN, p: f64::NAN };
}

/// Where a null distribution came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every arrangement was counted.
    Exact,
    /// A normal distribution stands in for it.
    Normal,
    /// Arrangements were drawn at random.
    MonteCarlo,
}

impl Method {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Method::Exact => "exact",
            Method::Normal => "normal",
            Method::MonteCarlo => "monte-carlo",
        }
    }
}
