//! Distributes weights over given connections such that the sums of each neuron's
//! inputs and outputs are nearly given ones, by simulated annealing.
//!
//! Two connections exchange their weights if that lowers the sum of squared errors, or
//! with the probability e^(−Δ/T) otherwise. T begins at the mean change of random
//! exchanges, falls by a constant factor from stage to stage, and is 0 in the last one.

use pallium_core::random::Stream;
use rand::Rng;

use crate::wiring::Connection;

/// Factor on the temperature from one stage to the next.
const COOLING: f64 = 0.8;
/// Exchanges from which the first temperature follows.
const TRIED: usize = 1000;

/// The errors of all sums.
struct Sums {
    out: Vec<f64>,
    into: Vec<f64>,
}

impl Sums {
    /// The sums of `now` minus those of `wanted`.
    fn new(n: usize, now: &[Connection], wanted: &[Connection]) -> Self {
        let mut sums = Sums { out: vec![0.0; n], into: vec![0.0; n] };
        now.iter().for_each(|&(i, j, w)| sums.add(i, j, w.into()));
        wanted.iter().for_each(|&(i, j, w)| sums.add(i, j, -f64::from(w)));
        sums
    }

    fn add(&mut self, i: u32, j: u32, weight: f64) {
        self.out[i as usize] += weight;
        self.into[j as usize] += weight;
    }

    /// The change of the sum of squares if `a` becomes heavier by `by` and `b` lighter.
    fn change(&self, a: Connection, b: Connection, by: f64) -> f64 {
        let end = |errors: &[f64], a: u32, b: u32| match a == b {
            true => 0.0,
            false => 2.0 * by * (errors[a as usize] - errors[b as usize] + by),
        };
        end(&self.out, a.0, b.0) + end(&self.into, a.1, b.1)
    }
}

/// Exchanges the weights of `connections` until the sums are near those of `wanted`, in
/// `stages` of `exchanges` attempts.
pub fn anneal(
    n: usize,
    connections: &mut [Connection],
    wanted: &[Connection],
    [stages, exchanges]: [usize; 2],
    stream: &mut Stream,
) {
    let count = connections.len() as u32;
    if count < 2 {
        return;
    }
    let mut sums = Sums::new(n, connections, wanted);
    let pick = |stream: &mut Stream| [0, 1].map(|_| stream.random_range(0..count) as usize);
    let by = |connections: &[Connection], [a, b]: [usize; 2]| {
        f64::from(connections[b].2) - f64::from(connections[a].2)
    };
    let mut temperature = (0..TRIED)
        .map(|_| {
            let at = pick(stream);
            sums.change(connections[at[0]], connections[at[1]], by(connections, at)).abs()
        })
        .sum::<f64>()
        / TRIED as f64;
    for stage in 0..stages {
        if stage + 1 == stages {
            temperature = 0.0;
        }
        for _ in 0..exchanges {
            let at = pick(stream);
            let [a, b] = at.map(|at| connections[at]);
            let by = by(connections, at);
            let change = sums.change(a, b, by);
            let accepted =
                change < 0.0 || temperature > 0.0 && stream.random::<f64>() < (-change / temperature).exp();
            if accepted && by != 0.0 {
                sums.add(a.0, a.1, by);
                sums.add(b.0, b.1, -by);
                (connections[at[0]].2, connections[at[1]].2) = (b.2, a.2);
            }
        }
        temperature *= COOLING;
    }
}
