//! Ranks, with mean ranks for ties. Numbers that are equal on paper are tied.

use super::rounding::Rounded;

/// Ranks of values, from 1, and the sizes of ties.
pub(super) struct Ranks {
    /// The rank of each value, in the order of the values.
    pub ranks: Vec<f64>,
    /// Size of each group of equal values, including groups of one.
    pub groups: Vec<usize>,
}

impl Ranks {
    /// Ranks `values`, none of which may be NaN.
    pub fn new(values: &[f64]) -> Self {
        Self::of_rounded(&values.iter().copied().map(Rounded::new).collect::<Vec<_>>())
    }

    /// Ranks numbers with known errors, none of which may be NaN.
    pub fn of_rounded(values: &[Rounded]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].value.total_cmp(&values[b].value));
        let mut ranks = vec![0.0; values.len()];
        let mut groups = Vec::new();
        let mut first = 0;
        while first < order.len() {
            let mut end = first + 1;
            while end < order.len() && values[order[end]].equals(values[order[first]]) {
                end += 1;
            }
            for &place in &order[first..end] {
                // Twice a mean rank is an integer, so this is exact.
                ranks[place] = (first + end + 1) as f64 / 2.0;
            }
            groups.push(end - first);
            first = end;
        }
        Ranks { ranks, groups }
    }

    /// Whether any values are equal.
    pub fn tied(&self) -> bool {
        self.groups.iter().any(|&size| size > 1)
    }

    /// Σ (t³ − t) over groups of t equal values.
    pub fn tie_term(&self) -> f64 {
        self.groups.iter().map(|&t| t as f64).map(|t| t * t * t - t).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_have_their_mean_rank() {
        let r = Ranks::new(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]);
        assert_eq!(r.ranks, [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
        assert_eq!(r.groups, [2, 1, 3]);
        assert!(r.tied());
        assert_eq!(r.tie_term(), 6.0 + 24.0);
        assert!(!Ranks::new(&[2.0, 1.0]).tied());
        assert!(Ranks::new(&[]).ranks.is_empty());
        assert_eq!(Ranks::new(&[0.1 + 0.2, 0.5, 0.3]).ranks, [1.5, 3.0, 1.5]);
    }
}
