//! Differences of paired values, as they are on paper.

use super::mean::mean;
use super::rounding::{Rounded, all_equal, scale_of};

/// First minus second of each pair.
pub(super) struct Differences {
    /// The differences, times `scale`. Those that are zero on paper are 0, without an
    /// error.
    pub all: Vec<Rounded>,
    /// A power of two that brings the largest near 1, so that squares neither overflow
    /// nor vanish.
    pub scale: f64,
}

impl Differences {
    /// `a` − `b`.
    ///
    /// # Panics
    /// If the samples differ in length.
    pub fn new(a: &[f64], b: &[f64]) -> Self {
        assert_eq!(a.len(), b.len(), "pairs have two sides");
        let exact = |d: Rounded| if d.is_zero() { Rounded { value: 0.0, error: 0.0 } } else { d };
        let mut all: Vec<Rounded> =
            a.iter().zip(b).map(|(a, b)| exact(Rounded::difference(*a, *b))).collect();
        let scale = scale_of(all.iter().map(|d| d.value));
        all.iter_mut().for_each(|d| *d = d.times(scale));
        Differences { all, scale }
    }

    /// Those that are not zero on paper.
    pub fn nonzero(&self) -> Vec<Rounded> {
        self.all.iter().copied().filter(|d| !d.is_zero()).collect()
    }

    /// Their mean, times `scale`; NaN without differences.
    pub fn mean(&self) -> Rounded {
        Rounded::mean(&self.all)
    }

    /// Their standard deviation with n − 1, times `scale`: 0 if all are equal on paper,
    /// NaN of fewer than two.
    pub fn deviation(&self) -> f64 {
        if self.all.len() < 2 {
            return f64::NAN;
        }
        if all_equal(&self.all) {
            return 0.0;
        }
        let values: Vec<f64> = self.all.iter().map(|d| d.value).collect();
        let centre = mean(&values);
        let squares: f64 = values.iter().map(|d| (d - centre).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_are_equal_on_paper_have_no_deviation() {
        let thirds = Differences::new(&[1.0 / 3.0, 0.0, 2.0 / 3.0], &[2.0 / 3.0, 1.0 / 3.0, 1.0]);
        assert_eq!(thirds.deviation(), 0.0);
        for n in [3_u32, 6, 7, 9, 10, 20, 30, 60, 100, 128, 2560] {
            for unit in [1.0, 0.1, 100.0, 1e-300, 1e300] {
                let shares = |off: u32| -> Vec<f64> {
                    (0..n.min(40) - 1).map(|k| f64::from(k + off) / f64::from(n) * unit).collect()
                };
                assert_eq!(Differences::new(&shares(1), &shares(0)).deviation(), 0.0, "{n} {unit}");
                assert_eq!(Differences::new(&shares(1), &shares(1)).mean().value, 0.0);
            }
        }
    }

    #[test]
    fn a_mean_that_is_zero_on_paper_is_zero() {
        let (a, b) = ([0.1, 0.2, 0.4], [0.2, 0.4, 0.1]);
        assert_ne!(mean(&[0.1 - 0.2, 0.2 - 0.4, 0.4 - 0.1]), 0.0);
        assert_eq!(Differences::new(&a, &b).mean().on_paper(), 0.0);
        // A real difference in the twelfth digit of one of many runs stays.
        let mut many = vec![0.5; 5000];
        many[7] += 1e-12;
        assert!(Differences::new(&many, &[0.5; 5000]).mean().on_paper() > 0.0);
        assert!(Differences::new(&[], &[]).mean().on_paper().is_nan());
    }

    #[test]
    fn the_deviation_follows_the_unit_over_all_magnitudes() {
        let (a, b) = ([1.0, 4.0, 9.0, 5.0, 3.0], [4.0, 7.0, 2.0, 6.0, 1.0]);
        let one = Differences::new(&a, &b);
        for unit in [1e-300, 1e-200, 1e200, 1e299] {
            let times = |v: [f64; 5]| v.map(|v| v * unit);
            let found = Differences::new(&times(a), &times(b));
            let ratio = found.deviation() / found.scale / unit / (one.deviation() / one.scale);
            assert!((ratio - 1.0).abs() < 1e-14, "{unit}");
        }
    }
}
