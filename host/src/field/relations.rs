//! Distance, connection and correlation of pairs of neurons.

use ndarray::ArrayView2;
use pallium_core::rand::seq::SliceRandom;
use pallium_core::{Positions, random};
use serde::Serialize;

/// The largest number of permutations, and of table look-ups for all of them.
const PERMUTATIONS: (usize, usize) = (9999, 200_000_000);
/// The largest number of distance bins.
const BINS: usize = 24;

/// A number for each ordered pair of neurons.
pub trait Pairwise {
    /// Number of neurons.
    fn neurons(&self) -> usize;

    /// The number from neuron `i` to neuron `j`.
    fn at(&self, i: usize, j: usize) -> f64;
}

impl Pairwise for ArrayView2<'_, f64> {
    fn neurons(&self) -> usize {
        self.nrows()
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self[[i, j]]
    }
}

/// Distances between somata in µm, computed when they are needed: a table of all pairs of
/// 20,000 neurons takes 3.2 GB.
pub struct Distances(Vec<[f64; 3]>);

impl Distances {
    /// Of the neurons at these positions.
    pub fn new(positions: &Positions) -> Self {
        Distances(positions.micrometres().rows().into_iter().map(|at| [at[0], at[1], at[2]]).collect())
    }
}

impl Pairwise for Distances {
    fn neurons(&self) -> usize {
        self.0.len()
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        let (a, b) = (self.0[i], self.0[j]);
        (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
    }
}

/// The ordered pairs of different neurons, with their numbers.
pub fn between(of: &impl Pairwise) -> impl Iterator<Item = ((usize, usize), f64)> + Clone + '_ {
    let n = of.neurons();
    (0..n).flat_map(move |i| (0..n).filter(move |&j| i != j).map(move |j| ((i, j), of.at(i, j))))
}

/// The ordered pairs of different neurons that are connected.
fn connected(connectome: ArrayView2<'_, f64>) -> Vec<(usize, usize)> {
    let pairs = connectome.indexed_iter().filter(|((i, j), count)| i != j && **count > 0.0);
    pairs.map(|(place, _)| place).collect()
}

/// Connections between different neurons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wiring {
    /// Synapses.
    pub synapses: u64,
    /// Ordered pairs with at least one synapse.
    pub connected_pairs: u64,
    /// Unordered pairs that are connected in both directions.
    pub reciprocal_pairs: u64,
    /// The number of reciprocal pairs expected by chance, given the decrease of
    /// connection with distance; `None` without distances.
    pub reciprocal_expected: Option<f64>,
    /// Synapses of neurons with themselves.
    pub autapses: u64,
}

/// Counts connections. `connectome` is N×N, row presynaptic.
pub fn wiring(connectome: ArrayView2<'_, f64>, profile: Option<&[Bin]>) -> Wiring {
    let pairs = connected(connectome);
    let both = pairs.iter().filter(|(i, j)| i < j && connectome[[*j, *i]] > 0.0).count();
    Wiring {
        synapses: pairs.iter().map(|&place| connectome[place]).sum::<f64>().round() as u64,
        connected_pairs: pairs.len() as u64,
        reciprocal_pairs: both as u64,
        reciprocal_expected: profile.map(|bins| {
            bins.iter().map(|bin| 0.5 * bin.pairs as f64 * bin.probability.unwrap_or(0.0).powi(2)).sum()
        }),
        autapses: connectome.diag().sum().round() as u64,
    }
}

/// Mean over the ordered pairs that are connected.
pub fn mean_connected(connectome: ArrayView2<'_, f64>, of: &impl Pairwise) -> Option<f64> {
    mean(connected(connectome).into_iter().map(|(i, j)| of.at(i, j)))
}

/// Mean over all pairs of different neurons.
pub fn mean_between(of: &impl Pairwise) -> Option<f64> {
    mean(between(of).map(|(_, value)| value))
}

/// Mean of numbers, if there are any.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Pearson correlation of two lists of pairs' values; `None` if one of them
/// does not vary.
pub fn pearson(values: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let mx = mean(values.clone().map(|(x, _)| x))?;
    let my = mean(values.clone().map(|(_, y)| y))?;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in values {
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
        xy += (x - mx) * (y - my);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Whether connected neurons are closer to each other than in random orders of
/// the neurons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// Mean distance of connected pairs (µm).
    pub mean_connected_um: f64,
    /// Its mean over permutations of the neurons (µm).
    pub mean_permuted_um: f64,
    /// Share of orders, including the actual one, in which connected pairs are
    /// at least as close.
    pub p: f64,
    /// Number of permutations.
    pub permutations: usize,
    /// Whether p is at most 0.01.
    pub plausible: bool,
}

/// Compares the connectome's order with random orders of the neurons. The same
/// permutations are used every time. `None` without connections.
pub fn order(connectome: ArrayView2<'_, f64>, distance: &impl Pairwise) -> Option<Order> {
    let n = connectome.nrows();
    let connected = connected(connectome);
    let mean_connected_um = mean_connected(connectome, distance)?;
    let (most, look_ups) = PERMUTATIONS;
    let permutations = (look_ups / (connected.len() + n)).clamp(199, most);
    let mut stream = random::stream(0, "field: order of the connectome");
    let mut places: Vec<usize> = (0..n).collect();
    let (mut as_near, mut sum) = (1_usize, 0.0);
    for _ in 0..permutations {
        places.shuffle(&mut stream);
        let total: f64 = connected.iter().map(|&(i, j)| distance.at(places[i], places[j])).sum();
        let mean = total / connected.len() as f64;
        sum += mean;
        // Means that differ only by rounding count as equally close.
        if mean <= mean_connected_um * (1.0 + 1e-12) {
            as_near += 1;
        }
    }
    let p = as_near as f64 / (permutations + 1) as f64;
    Some(Order {
        mean_connected_um,
        mean_permuted_um: sum / permutations as f64,
        p,
        permutations,
        plausible: p <= 0.01,
    })
}

/// Ordered pairs of neurons at some distance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Lower limit of the distances (µm).
    pub from_um: f64,
    /// Upper limit of the distances (µm), exclusive.
    pub to_um: f64,
    /// Ordered pairs.
    pub pairs: u64,
    /// Share of them that is connected.
    pub probability: Option<f64>,
    /// Mean correlation.
    pub correlation: Option<f64>,
    /// Standard deviation of the correlation.
    pub correlation_sd: Option<f64>,
}

/// Connection and correlation by distance, in bins of equal and round width
/// that cover all pairs; empty bins are omitted.
pub fn profile(
    distance: &impl Pairwise,
    connectome: Option<ArrayView2<'_, f64>>,
    correlation: Option<ArrayView2<'_, f64>>,
) -> Vec<Bin> {
    let farthest = between(distance).map(|(_, d)| d).fold(0.0, f64::max);
    let width = round_width(farthest);
    let count = (farthest / width) as usize + 1;
    // Pairs, connected ones, sum and sum of squares of the correlation.
    let mut sums = vec![(0_u64, 0_u64, 0.0_f64, 0.0_f64); count];
    for (place, d) in between(distance) {
        let bin = &mut sums[((d / width) as usize).min(count - 1)];
        bin.0 += 1;
        bin.1 += u64::from(connectome.is_some_and(|c| c[place] > 0.0));
        let r = correlation.map_or(0.0, |r| r[place]);
        bin.2 += r;
        bin.3 += r * r;
    }
    let bins = sums.into_iter().enumerate().filter(|(_, sums)| sums.0 > 0);
    // Multiples of 0.2 are not exact.
    let edge = |k: usize| (k as f64 * width * 1e6).round() / 1e6;
    bins.map(|(k, (pairs, connected, sum, squares))| {
        let number = pairs as f64;
        let mean = sum / number;
        Bin {
            from_um: edge(k),
            to_um: edge(k + 1),
            pairs,
            probability: connectome.map(|_| connected as f64 / number),
            correlation: correlation.map(|_| mean),
            correlation_sd: correlation.map(|_| (squares / number - mean * mean).max(0.0).sqrt()),
        }
    })
    .collect()
}

/// 1, 2 or 5 times a power of ten, so that few bins reach `farthest`.
fn round_width(farthest: f64) -> f64 {
    let least = farthest / BINS as f64;
    if least <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * decade).find(|w| *w >= least).unwrap_or(10.0 * decade)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn on_a_line(n: usize) -> Array2<f64> {
        Array2::from_shape_fn((n, n), |(i, j)| 10.0 * (i as f64 - j as f64).abs())
    }

    #[test]
    fn a_neuron_is_not_connected_to_itself() {
        let connectome = array![[5.0, 2.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 3.0]];
        let distance = array![[0.0, 10.0, 20.0], [10.0, 0.0, 40.0], [20.0, 40.0, 0.0]];
        let wiring = wiring(connectome.view(), None);
        assert_eq!((wiring.synapses, wiring.connected_pairs, wiring.reciprocal_pairs), (4, 3, 1));
        assert_eq!(wiring.autapses, 8);
        assert_eq!(mean_connected(connectome.view(), &distance.view()), Some(20.0));
        assert_eq!(mean_between(&distance.view()), Some(140.0 / 6.0));
        assert_eq!(mean_connected(Array2::eye(3).view(), &distance.view()), None);
    }

    #[test]
    fn wiring_between_neighbours_is_recognized() {
        let n = 40;
        let distance = on_a_line(n);
        let near = Array2::from_shape_fn((n, n), |(i, j)| f64::from(j == i + 1));
        let found = order(near.view(), &distance.view()).unwrap();
        assert_eq!(found.mean_connected_um, 10.0);
        assert!(found.plausible && found.p == 1e-4, "{found:?}");
        assert!((found.mean_permuted_um - mean_between(&distance.view()).unwrap()).abs() < 2.0);
        // The same wiring with the neurons in another order: 7 is prime to 40.
        let mixed = Array2::from_shape_fn((n, n), |(i, j)| near[[(7 * i) % n, (7 * j) % n]]);
        let found = order(mixed.view(), &distance.view()).unwrap();
        assert!(!found.plausible && found.p > 0.05, "{found:?}");
        assert_eq!(order(Array2::zeros((4, 4)).view(), &on_a_line(4).view()), None);
    }

    #[test]
    fn p_agrees_with_all_permutations() {
        // Of 6 neurons on a line one pair is connected, 10 µm apart: of the 15
        // unordered pairs 5 are as near, so p is 1/3.
        let mut one = Array2::zeros((6, 6));
        one[[2, 3]] = 1.0;
        let found = order(one.view(), &on_a_line(6).view()).unwrap();
        assert!((found.p - 1.0 / 3.0).abs() < 0.02, "{}", found.p);
    }

    #[test]
    fn profiles_count_every_pair_once() {
        let n = 30;
        let distance = on_a_line(n);
        let connectome = Array2::from_shape_fn((n, n), |(i, j)| f64::from(j == i + 1));
        let correlation = distance.mapv(|d| 1.0 - d / 300.0);
        let bins = profile(&distance.view(), Some(connectome.view()), Some(correlation.view()));
        assert_eq!(bins.iter().map(|b| b.pairs).sum::<u64>(), 870);
        assert!(bins.len() <= BINS + 1);
        // 10 µm in the first bin of 20 µm (0..20): all pairs of neighbours.
        assert_eq!((bins[0].from_um, bins[0].to_um, bins[0].pairs), (0.0, 20.0, 58));
        assert_eq!(bins[0].probability, Some(0.5));
        assert!((bins[0].correlation.unwrap() - (1.0 - 10.0 / 300.0)).abs() < 1e-12);
        assert!(bins[1..].iter().all(|b| b.probability == Some(0.0)));
        let expected = wiring(connectome.view(), Some(&bins)).reciprocal_expected.unwrap();
        assert!((expected - 0.5 * 58.0 * 0.25).abs() < 1e-12);
        assert_eq!(profile(&Array2::zeros((1, 1)).view(), None, None), []);
    }

    #[test]
    fn widths_are_round() {
        for (farthest, width) in [(1000.0, 50.0), (1250.0, 100.0), (290.0, 20.0), (0.0, 1.0), (3.0, 0.2)] {
            assert!((round_width(farthest) - width).abs() < 1e-12, "{farthest}: {}", round_width(farthest));
        }
    }

    #[test]
    fn correlation_of_lists() {
        let values = [(1.0, 2.0), (2.0, 4.5), (3.0, 5.0)];
        assert!((pearson(values.into_iter()).unwrap() - 3.0 / f64::sqrt(31.0 / 3.0)).abs() < 1e-12);
        assert_eq!(pearson([(1.0, 2.0), (1.0, 3.0)].into_iter()), None);
    }
}
