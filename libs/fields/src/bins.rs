//! Frames and bins of time, event counts in bins, and their correlation.
//!
//! Counts are kept sparsely: memory grows with the number of events, not with
//! neurons times bins.

use std::ops::Range;

use pallium_core::{ndarray::Array2, prelude::*};

use crate::parallel;
use crate::timeline::{Timeline, shown};

/// Frames per second of MICrONS recordings (a frame lasts 158.7 ms).
pub const FRAME_HZ: f64 = 6.3009;
/// Width in seconds of the bins of event counts in the released matrices.
pub const BIN_S: f64 = 0.2;
/// Maximum number of bins: 77 days of 200 ms, half a gigabyte.
const MAX_BINS: f64 = (1 << 25) as f64;

/// Event counts of N neurons in bins from the begin of a recording.
///
/// Sums and products of counts are integers and therefore exact, so results do
/// not depend on the order of neurons or on the number of threads.
pub struct Counts {
    bins: usize,
    /// For each neuron: the bins with events, ascending, and their counts.
    by_neuron: Vec<Vec<(u32, f64)>>,
    /// Start of each bin's entries in `by_bin`, and the end of the last.
    begins: Vec<usize>,
    /// For each bin: the neurons with events, ascending, and their counts.
    by_bin: Vec<(u32, f64)>,
}

impl Counts {
    /// Counts event times (s) of the time `timeline` in bins of `bin` seconds. An
    /// incomplete bin at its end is dropped; an event at the very end of the last
    /// bin belongs to it.
    ///
    /// # Errors
    /// If there are fewer than two bins, or too many.
    pub fn new(events: &[Vec<f64>], bin: f64, timeline: &Timeline) -> Result<Self> {
        let (bins, length) = (timeline.bins(bin), shown(timeline.length()));
        if !(bin > 0.0 && bins >= 2.0) {
            return Err(Error::input(format!(
                "a recording of {length} s has fewer than two bins of {bin} s"
            ))
            .help("use narrower bins"));
        }
        if bins > MAX_BINS {
            return Err(Error::input(format!(
                "a recording of {length} s has {} bins of {bin} s; the maximum is {MAX_BINS:.0}",
                shown(bins)
            ))
            .help("are event times in seconds? Use wider bins or part of the recording"));
        }
        let bins = bins as usize;
        let mut by_neuron: Vec<Vec<(u32, f64)>> = Vec::with_capacity(events.len());
        let mut begins = vec![0_usize; bins + 1];
        for times in events {
            let mut counts: Vec<(u32, f64)> = Vec::new();
            for &time in times {
                let Some(k) = timeline.bin_of(time, bin, bins) else { continue };
                match counts.last_mut() {
                    Some((last, count)) if *last as usize == k => *count += 1.0,
                    _ => {
                        counts.push((k as u32, 1.0));
                        begins[k + 1] += 1;
                    }
                }
            }
            by_neuron.push(counts);
        }
        for k in 0..bins {
            begins[k + 1] += begins[k];
        }
        let mut next = begins.clone();
        let mut by_bin = vec![(0_u32, 0.0_f64); begins[bins]];
        for (neuron, counts) in (0_u32..).zip(&by_neuron) {
            for &(k, count) in counts {
                by_bin[next[k as usize]] = (neuron, count);
                next[k as usize] += 1;
            }
        }
        Ok(Counts { bins, by_neuron, begins, by_bin })
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Number of neurons.
    pub fn neurons(&self) -> usize {
        self.by_neuron.len()
    }

    /// Number of counted events of each neuron.
    pub fn totals(&self) -> Vec<f64> {
        self.sums(&(0..self.bins))
    }

    /// Sums of counts over the bins in `range`, N.
    fn sums(&self, range: &Range<usize>) -> Vec<f64> {
        let sum = |counts: &Vec<(u32, f64)>| within(counts, range).iter().map(|(_, count)| count).sum();
        self.by_neuron.iter().map(sum).collect()
    }

    /// Sums of products of counts over the bins in `range`, N×N, symmetric.
    fn products(&self, range: &Range<usize>, threads: usize) -> Array2<f64> {
        let n = self.neurons();
        let mut products = Array2::<f64>::zeros((n, n));
        let rows = products.outer_iter_mut().zip(&self.by_neuron).enumerate();
        parallel::for_each(rows, threads, |(a, (mut row, counts))| {
            for &(k, x) in within(counts, range) {
                let active = &self.by_bin[self.begins[k as usize]..self.begins[k as usize + 1]];
                for &(b, y) in active.iter().rev().take_while(|(b, _)| *b as usize >= a) {
                    row[b as usize] += x * y;
                }
            }
        });
        for a in 0..n {
            for b in 0..a {
                products[[a, b]] = products[[b, a]];
            }
        }
        products
    }

    /// Moments of the counts in the bins of `range`.
    pub fn moments(&self, range: Range<usize>, threads: usize) -> Moments {
        Moments {
            samples: range.len() as f64,
            sums: self.sums(&range),
            products: self.products(&range, threads),
        }
    }
}

/// The entries whose bin is in `range`.
fn within<'a>(counts: &'a [(u32, f64)], range: &Range<usize>) -> &'a [(u32, f64)] {
    let place = |k: usize| counts.partition_point(|(bin, _)| (*bin as usize) < k);
    &counts[place(range.start)..place(range.end)]
}

/// Sums over a range of bins, from which covariances follow.
pub struct Moments {
    /// Number of bins.
    pub samples: f64,
    /// Sums of counts, N.
    pub sums: Vec<f64>,
    /// Sums of products of counts, N×N.
    pub products: Array2<f64>,
}

impl Moments {
    /// The moments of the remaining bins when `part` is removed.
    pub fn without(&self, part: &Moments) -> Moments {
        Moments {
            samples: self.samples - part.samples,
            sums: self.sums.iter().zip(&part.sums).map(|(all, part)| all - part).collect(),
            products: &self.products - &part.products,
        }
    }

    /// Sum of products of deviations from the mean.
    fn scatter(&self, a: usize, b: usize) -> f64 {
        self.products[[a, b]] - self.sums[a] * self.sums[b] / self.samples
    }

    /// Covariance of the neurons in `which` (divided by the number of bins).
    pub fn covariance(&self, which: &[usize]) -> Array2<f64> {
        Array2::from_shape_fn((which.len(), which.len()), |(i, j)| {
            self.scatter(which[i.min(j)], which[i.max(j)]) / self.samples
        })
    }

    /// Pearson correlation, N×N, symmetric, 1 on the diagonal. Neurons with
    /// constant counts have correlation 0 with all others.
    pub fn correlation(&self) -> Array2<f64> {
        let n = self.sums.len();
        let spread: Vec<f64> = (0..n).map(|a| self.scatter(a, a).max(0.0).sqrt()).collect();
        Array2::from_shape_fn((n, n), |(a, b)| {
            let (a, b) = (a.min(b), a.max(b));
            let scale = spread[a] * spread[b];
            match (a == b, scale > 0.0) {
                (true, _) => 1.0,
                // Rounding can exceed 1 for two neurons with the same events.
                (false, true) => (self.scatter(a, b) / scale).clamp(-1.0, 1.0),
                (false, false) => 0.0,
            }
        })
    }

    /// Neurons whose count is not constant.
    pub fn varying(&self) -> Vec<usize> {
        (0..self.sums.len()).filter(|&a| self.scatter(a, a) > 0.0).collect()
    }
}

/// Pearson correlation of event counts in bins of `bin` seconds, N×N,
/// symmetric, 1 on the diagonal.
///
/// An incomplete bin at the end is dropped. Neurons with constant counts have
/// correlation 0 with all others. The result does not depend on `threads`.
///
/// # Errors
/// As [`Counts::new`].
pub fn count_correlation(
    events: &[Vec<f64>],
    bin: f64,
    timeline: &Timeline,
    threads: usize,
) -> Result<Array2<f64>> {
    let counts = Counts::new(events, bin, timeline)?;
    Ok(counts.moments(0..counts.bins(), threads).correlation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_ranges_add_up() {
        let events = vec![vec![0.05, 0.1, 0.35, 0.9], vec![0.1, 0.5], vec![], vec![0.35, 0.36, 0.95, 1.15]];
        let timeline = Timeline::new(&events, (0.0, 1.21), None).unwrap();
        let counts = Counts::new(&events, 0.2, &timeline).unwrap();
        assert_eq!((counts.bins(), counts.neurons()), (6, 4));
        let whole = counts.moments(0..6, 1);
        assert_eq!(whole.sums, [4.0, 2.0, 0.0, 4.0]);
        assert_eq!(whole.products[[0, 3]], 1.0 * 2.0 + 1.0 * 1.0);
        assert_eq!(whole.products[[0, 0]], 4.0 + 1.0 + 1.0);
        assert_eq!(whole.varying(), [0, 1, 3]);
        let part = counts.moments(1..3, 2);
        let rest = whole.without(&part);
        let (before, after) = (counts.moments(0..1, 3), counts.moments(3..6, 1));
        assert_eq!(rest.products, &before.products + &after.products);
        assert_eq!(rest.samples, 4.0);
        assert!((whole.covariance(&[0])[[0, 0]] - (6.0 / 6.0 - (4.0 / 6.0_f64).powi(2))).abs() < 1e-15);
    }

    #[test]
    fn identical_events_have_correlation_1() {
        let times: Vec<f64> = (0..40).map(|k| f64::from(k * k) * 0.013).collect();
        let events = vec![times.clone(), times.clone(), times];
        let timeline = Timeline::new(&events, (0.0, 21.0), None).unwrap();
        let all = Counts::new(&events, 0.2, &timeline).unwrap().moments(0..104, 1).correlation();
        assert!(all.iter().all(|v| (1.0 - v).abs() < 1e-14 && *v <= 1.0));
    }
}
