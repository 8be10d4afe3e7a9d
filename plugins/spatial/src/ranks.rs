//! Sorts the entries of a matrix together with their indices.

/// Number of bits sorted in a pass: three passes cover an f32.
const DIGIT: u32 = 11;
const BUCKETS: usize = 1 << DIGIT;

/// Sorts non-negative f32 values, ascending; equal values keep their order.
///
/// The bits of non-negative floats have the same order as the floats, so this
/// is a radix sort, linear in the number of values. NaN comes last.
pub(crate) struct Ranks {
    /// Bits of the value above, index below.
    entries: Vec<u64>,
    spare: Vec<u64>,
    counts: Vec<[usize; BUCKETS]>,
}

impl Ranks {
    /// For `count` values (fewer than 2^32).
    pub(crate) fn new(count: usize) -> Self {
        Ranks { entries: vec![0; count], spare: vec![0; count], counts: vec![[0; BUCKETS]; 3] }
    }

    /// The values in ascending order, each with its index.
    pub(crate) fn sort(&mut self, values: &[f32]) -> impl Iterator<Item = (f32, usize)> {
        let digit = |entry: u64, pass: usize| (entry >> (32 + DIGIT * pass as u32)) as usize & (BUCKETS - 1);
        for counts in &mut self.counts {
            counts.fill(0);
        }
        for ((entry, value), index) in self.entries.iter_mut().zip(values).zip(0_u64..) {
            *entry = u64::from(value.to_bits()) << 32 | index;
            for (pass, counts) in self.counts.iter_mut().enumerate() {
                counts[digit(*entry, pass)] += 1;
            }
        }
        for (pass, counts) in self.counts.iter_mut().enumerate() {
            let mut next = 0;
            for count in counts.iter_mut() {
                next += std::mem::replace(count, next);
            }
            for &entry in &self.entries {
                let place = &mut counts[digit(entry, pass)];
                self.spare[*place] = entry;
                *place += 1;
            }
            std::mem::swap(&mut self.entries, &mut self.spare);
        }
        self.entries.iter().map(|&entry| (f32::from_bits((entry >> 32) as u32), entry as u32 as usize))
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::rand::Rng;

    use super::*;

    #[test]
    fn agrees_with_a_stable_comparison_sort() {
        let mut stream = pallium_core::random::stream(5, "ranks");
        // Coarse values, so that there are many ties, over many magnitudes.
        let values: Vec<f32> = (0..5000)
            .map(|_| (stream.random_range(0..40) as f32) * 10_f32.powi(stream.random_range(-30..30)))
            .collect();
        let mut expected: Vec<(f32, usize)> = values.iter().copied().zip(0..).collect();
        expected.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ranks = Ranks::new(values.len());
        for _ in 0..2 {
            assert!(ranks.sort(&values).eq(expected.iter().copied()));
        }
    }

    #[test]
    fn nan_comes_last() {
        let mut ranks = Ranks::new(4);
        let sorted: Vec<_> = ranks.sort(&[f32::NAN, 2.0, f32::INFINITY, 0.0]).map(|(_, k)| k).collect();
        assert_eq!(sorted, [3, 1, 2, 0]);
    }
}
