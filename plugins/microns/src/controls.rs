//! Controls: they alter the diagonal of a functional matrix or the positions of
//! its values, to test which of these the resulting weights depend on.

use pallium_core::{ndarray::Array2, prelude::*, random::Stream};
use rand::seq::SliceRandom;

pallium_core::choice! {
    /// Treatment of the diagonal.
    pub enum Diagonal {
        /// Keep it.
        Keep = "keep",
        /// Set it to zero, so that only pairs of neurons remain.
        Zero = "zero",
        /// Set everything else to zero, so that no pairs of neurons remain.
        Only = "only",
    }
}

pallium_core::choice! {
    /// Entries that are shuffled.
    pub enum Shuffle {
        /// None.
        None = "none",
        /// Entries off the diagonal; each moves together with its mirror image.
        OffDiagonal = "off-diagonal",
        /// All entries independently, including the diagonal.
        All = "all",
        /// As off-diagonal, but only among pairs at similar distances, which
        /// keeps the decay with distance.
        DistanceBinned = "distance-binned",
    }
}

/// Applies a treatment of the diagonal.
pub fn diagonal(matrix: &mut Array2<f64>, choice: Diagonal) {
    match choice {
        Diagonal::Keep => {}
        Diagonal::Zero => matrix.diag_mut().fill(0.0),
        Diagonal::Only => {
            let kept = matrix.diag().to_owned();
            matrix.fill(0.0);
            matrix.diag_mut().assign(&kept);
        }
    }
}

/// Shuffles entries. `bins` is the number of distance bins, each with equally
/// many pairs.
///
/// # Errors
/// If distances are needed and the substrate has no positions.
pub fn shuffle(
    matrix: &mut Array2<f64>,
    choice: Shuffle,
    bins: u32,
    substrate: &SubstrateView<'_>,
    stream: &mut Stream,
) -> Result<()> {
    let n = matrix.nrows();
    let pairs = || (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    match choice {
        Shuffle::None => {}
        Shuffle::All => {
            let mut entries: Vec<f64> = matrix.iter().copied().collect();
            entries.shuffle(stream);
            matrix.iter_mut().zip(entries).for_each(|(to, from)| *to = from);
        }
        Shuffle::OffDiagonal => permute(matrix, &pairs().collect::<Vec<_>>(), stream),
        Shuffle::DistanceBinned => {
            let um = substrate
                .positions()
                .map_err(|e| e.context("shuffle = \"distance-binned\" needs distances"))?
                .micrometres();
            let squared = |i: usize, j: usize| (0..3).map(|k| (um[[i, k]] - um[[j, k]]).powi(2)).sum::<f64>();
            let mut ranked: Vec<(f64, (usize, usize))> =
                pairs().map(|(i, j)| (squared(i, j), (i, j))).collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
            let ranked: Vec<(usize, usize)> = ranked.into_iter().map(|(_, pair)| pair).collect();
            let bins = bins as usize;
            for bin in 0..bins {
                let edge = |k: usize| ranked.len() * k / bins;
                permute(matrix, &ranked[edge(bin)..edge(bin + 1)], stream);
            }
        }
    }
    Ok(())
}

/// Permutes the entries at `pairs` together with their mirror images.
fn permute(matrix: &mut Array2<f64>, pairs: &[(usize, usize)], stream: &mut Stream) {
    let mut values: Vec<(f64, f64)> = pairs.iter().map(|&(i, j)| (matrix[[i, j]], matrix[[j, i]])).collect();
    values.shuffle(stream);
    for (&(i, j), (upper, lower)) in pairs.iter().zip(values) {
        matrix[[i, j]] = upper;
        matrix[[j, i]] = lower;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 12;

    /// Symmetric with a distinct value for every pair; neurons on a line.
    fn example() -> (Array2<f64>, Substrate) {
        let matrix = Array2::from_shape_fn((N, N), |(i, j)| (i.min(j) * N + i.max(j)) as f64 + 1.0);
        let values = Array2::from_shape_fn((N, 3), |(i, k)| if k == 0 { (i * i) as f64 } else { 0.0 });
        let positions = Some(Positions::new(values, [1.0; 3]));
        (matrix, Substrate { neurons: N, positions, ..Substrate::default() })
    }

    fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn shuffled(choice: Shuffle, seed: u64) -> Array2<f64> {
        let (mut matrix, substrate) = example();
        shuffle(&mut matrix, choice, 4, &substrate, &mut random::stream(seed, "test")).unwrap();
        matrix
    }

    #[test]
    fn diagonals() {
        let (original, _) = example();
        let apply = |choice| {
            let mut matrix = original.clone();
            diagonal(&mut matrix, choice);
            matrix
        };
        assert_eq!(apply(Diagonal::Keep), original);
        assert_eq!(&apply(Diagonal::Zero) + &apply(Diagonal::Only), original);
        assert!(apply(Diagonal::Zero).diag().iter().all(|&v| v == 0.0));
        assert_eq!(apply(Diagonal::Only).iter().filter(|&&v| v != 0.0).count(), N);
    }

    #[test]
    fn shuffles_keep_the_values() {
        let (original, _) = example();
        let values = sorted(original.iter().copied());
        for choice in [Shuffle::OffDiagonal, Shuffle::All, Shuffle::DistanceBinned] {
            let once = shuffled(choice, 1);
            assert_eq!(sorted(once.iter().copied()), values);
            assert_ne!(once, original);
            assert_eq!(once, shuffled(choice, 1));
            assert_ne!(once, shuffled(choice, 2));
            assert_eq!(once.diag() == original.diag(), choice != Shuffle::All);
            assert_eq!(once == once.t(), choice != Shuffle::All);
        }
        assert_eq!(shuffled(Shuffle::None, 1), original);
    }

    #[test]
    fn bins_keep_their_values() {
        let (original, substrate) = example();
        let once = shuffled(Shuffle::DistanceBinned, 5);
        let um = substrate.positions.unwrap().values.to_array();
        let mut ranked: Vec<(f64, usize, usize)> = Vec::new();
        for i in 0..N {
            for j in i + 1..N {
                ranked.push(((um[[i, 0]] - um[[j, 0]]).abs(), i, j));
            }
        }
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut moved = 0;
        for k in 0..4 {
            let bin = &ranked[ranked.len() * k / 4..ranked.len() * (k + 1) / 4];
            let at = |m: &Array2<f64>| sorted(bin.iter().map(|&(_, i, j)| m[[i, j]]));
            assert_eq!(at(&once), at(&original));
            moved += bin.iter().filter(|&&(_, i, j)| once[[i, j]] != original[[i, j]]).count();
        }
        assert!(moved > 50, "{moved} of 66");
    }

    #[test]
    fn binned_shuffles_need_positions() {
        let (mut matrix, mut substrate) = example();
        substrate.positions = None;
        let error = shuffle(&mut matrix, Shuffle::DistanceBinned, 4, &substrate, &mut random::stream(0, "t"));
        assert!(error.unwrap_err().to_string().contains("no positions"));
    }
}
