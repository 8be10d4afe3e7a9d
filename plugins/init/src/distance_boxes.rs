//! Draws connections by distance without visiting every pair.
//!
//! Points lie in boxes. From a point to all points of a box, the probability is at most
//! that of the boxes' smallest distance; candidates are drawn with this probability and
//! accepted with the ratio of their own to it, which is the same as drawing each pair by
//! itself. The number of points until the next candidate follows from one exponential
//! number, which is used up over the boxes, so a box without a candidate costs almost
//! nothing.

use pallium_core::prelude::*;
use pallium_core::rand::Rng;

use crate::distance::{below, factor};

/// Boxes along the longest axis.
const BOXES: usize = 16;
/// Points whose distances to all others give the mean number of connections.
const SAMPLED: usize = 2048;

/// Pairs of different points: those at a distance d with probability
/// min(1, c·e^(−d/length)), where c gives the mean number `connections` of a point.
pub(crate) fn draw(points: &[[f64; 3]], connections: f64, length: f64, seed: u64) -> Vec<(u32, u32)> {
    let near = |a: [f64; 3], b: [f64; 3]| {
        let square: f64 = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum();
        (-square.sqrt() / length).exp()
    };
    let mut stream = random::stream(seed, "connections by distance");
    let n = points.len();
    let sampled = SAMPLED.min(n);
    let sample: Vec<usize> = (0..sampled).map(|_| stream.random_range(0..n as u32) as usize).collect();
    let factor = factor(connections * sampled as f64, |limit| {
        let sums = sample.iter().map(|&i| {
            let others = points.iter().enumerate().filter(|(j, _)| *j != i);
            below(others.map(|(_, &b)| near(points[i], b)), limit)
        });
        sums.fold((0, 0.0), |(c, s), (certain, sum)| (c + certain, s + sum))
    });
    let boxes = Boxes::new(points);
    // The largest probability and its hazard −ln(1 − p), by the boxes' offset.
    let bounds = boxes.bounds(|distance| (factor * (-distance / length).exp()).min(1.0));
    let mut pairs = Vec::new();
    let mut left: f64 = exponential(&mut stream);
    for (i, &from) in points.iter().enumerate() {
        let own = boxes.of(from);
        for (at, members) in boxes.members.iter().filter(|(_, members)| !members.is_empty()) {
            let (bound, hazard) = bounds[boxes.offset(own, *at)];
            let all = hazard * members.len() as f64;
            if left >= all {
                left -= all;
                continue;
            }
            let mut next = 0;
            loop {
                let skipped = (left / hazard) as usize;
                if next + skipped >= members.len() {
                    left -= hazard * (members.len() - next) as f64;
                    left = left.max(0.0);
                    break;
                }
                next += skipped;
                let j = members[next] as usize;
                next += 1;
                left = exponential(&mut stream);
                let p = (factor * near(from, points[j])).min(1.0);
                if i != j && stream.random::<f64>() * bound < p {
                    pairs.push((i as u32, j as u32));
                }
                if next == members.len() {
                    break;
                }
            }
        }
    }
    pairs
}

/// A number with density e^−x.
fn exponential(stream: &mut impl Rng) -> f64 {
    -(1.0 - stream.random::<f64>()).ln()
}

/// Boxes of equal edges that hold all points.
struct Boxes {
    low: [f64; 3],
    edge: f64,
    /// Number of boxes along each axis.
    count: [usize; 3],
    /// The points of each box that has any.
    members: Vec<([usize; 3], Vec<u32>)>,
}

impl Boxes {
    fn new(points: &[[f64; 3]]) -> Self {
        let fold =
            |start: f64, k: usize, f: fn(f64, f64) -> f64| points.iter().map(|point| point[k]).fold(start, f);
        let low = [0, 1, 2].map(|k| fold(f64::INFINITY, k, f64::min));
        let extent = [0, 1, 2].map(|k| fold(f64::NEG_INFINITY, k, f64::max) - low[k]);
        let longest = extent.into_iter().fold(0.0, f64::max);
        let edge = if longest > 0.0 { longest / BOXES as f64 } else { 1.0 };
        let count = extent.map(|extent| ((extent / edge) as usize + 1).min(BOXES + 1));
        let mut boxes = Boxes { low, edge, count, members: Vec::new() };
        for x in 0..count[0] {
            for y in 0..count[1] {
                for z in 0..count[2] {
                    boxes.members.push(([x, y, z], Vec::new()));
                }
            }
        }
        for (i, &point) in points.iter().enumerate() {
            let [x, y, z] = boxes.of(point);
            boxes.members[(x * count[1] + y) * count[2] + z].1.push(i as u32);
        }
        boxes.members.retain(|(_, members)| !members.is_empty());
        boxes
    }

    fn of(&self, point: [f64; 3]) -> [usize; 3] {
        [0, 1, 2].map(|k| (((point[k] - self.low[k]) / self.edge) as usize).min(self.count[k] - 1))
    }

    /// The place in [`Boxes::bounds`] of two boxes.
    fn offset(&self, a: [usize; 3], b: [usize; 3]) -> usize {
        let [x, y, z] = [0, 1, 2].map(|k| a[k].abs_diff(b[k]));
        (x * self.count[1] + y) * self.count[2] + z
    }

    /// For each offset of two boxes the probability at their smallest distance, and its
    /// hazard.
    fn bounds(&self, probability: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut bounds = Vec::new();
        for x in 0..self.count[0] {
            for y in 0..self.count[1] {
                for z in 0..self.count[2] {
                    let gaps = [x, y, z].map(|k| k.saturating_sub(1) as f64 * self.edge);
                    let p = probability(gaps.iter().map(|gap| gap * gap).sum::<f64>().sqrt());
                    bounds.push((p, -(-p).ln_1p()));
                }
            }
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of connected pairs by distance are the probabilities, near and far.
    #[test]
    fn every_distance_has_its_probability() {
        let n = 1500;
        let mut stream = random::stream(1, "points");
        let points: Vec<[f64; 3]> =
            (0..n).map(|_| [400.0, 300.0, 100.0].map(|edge: f64| stream.random_range(0.0..edge))).collect();
        for (connections, length) in [(20.0, 40.0), (60.0, 1e6), (5.0, 10.0)] {
            let pairs = draw(&points, connections, length, 7);
            let near = |i: usize, j: usize| {
                let d = (0..3).map(|k| (points[i][k] - points[j][k]).powi(2)).sum::<f64>().sqrt();
                ((-d / length).exp(), d)
            };
            let sum: f64 =
                (0..n).map(|i| (0..n).filter(|&j| j != i).map(|j| near(i, j).0).sum::<f64>()).sum();
            let factor = connections * n as f64 / sum;
            // Expected and drawn pairs in four shells of distance.
            let shell = |d: f64| ((d / length * 2.0) as usize).min(3);
            let (mut expected, mut drawn) = ([0.0; 4], [0.0; 4]);
            for i in 0..n {
                for j in (0..n).filter(|&j| j != i) {
                    let (p, d) = near(i, j);
                    expected[shell(d)] += (factor * p).min(1.0);
                }
            }
            for &(i, j) in &pairs {
                assert_ne!(i, j);
                drawn[shell(near(i as usize, j as usize).1)] += 1.0;
            }
            for (expected, drawn) in expected.into_iter().zip(drawn) {
                // Five standard deviations, and that of the estimated factor.
                let limit = 5.0 * f64::sqrt(expected) + 0.02 * expected;
                assert!((drawn - expected).abs() <= limit, "{connections}, {length}: {expected} {drawn}");
            }
            let mut unique = pairs.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), pairs.len());
        }
    }
}
