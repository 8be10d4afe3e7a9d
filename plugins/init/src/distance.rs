//! `init.distance`: W, a random graph whose connections become rarer with distance.

use pallium_core::prelude::*;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::distance_boxes;

pallium_weights::weight_params! {
    /// How connections depend on distance, and size and sign of the weights.
    pub struct Params (spectral_radius = 0.95) {
        /// Mean number of outgoing connections per neuron (above 0). If it exceeds the
        /// number of other neurons, all pairs are connected.
        connections: f64 = 20.0,
        /// Length over which the probability falls by a factor of e, in
        /// micrometres (above 0).
        length_um: f64 = 100.0,
        /// Standard deviation of the weights, before signs and scaling.
        gain: f64 = 1.0,
    }
}

/// Largest number of neurons up to which every pair is drawn by itself, 10^9 at most.
const EVERY_PAIR_UP_TO: usize = 32_000;

/// Neurons at a distance d are connected with probability min(1, c·e^(−d/λ)), each
/// direction by itself and no neuron to itself; c gives the mean number of connections, also
/// where probabilities reach 1.
/// Weights are normal. Needs the substrate's positions. N×N, or on the connections. In
/// networks of more than 32,000 neurons, c follows from the distances of 2,048 neurons
/// to all others.
pub struct Distance {
    params: Params,
}

impl Component for Distance {
    const ID: &'static str = "init.distance";
    const ABOUT: &'static str =
        "W: normal numbers on a random graph whose connections become rarer with distance";
    const CITE: &'static str = "Ercsey-Ravasz et al. 2013, Neuron 80:184";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        for (name, value) in [("connections", params.connections), ("length_um", params.length_um)] {
            if !(1e-6..=1e9).contains(&value) {
                return Err(Error::input(format!("parameter `{name}` is {value}")).help("it must be above 0"));
            }
        }
        one_of_range("gain", params.gain, 0.0, 1e6)?;
        params.finish(Self::ID).check()?;
        Ok(Distance { params })
    }
}

impl Distance {
    fn drawn(&self, request: &WeightRequest<'_>) -> Result<Connections> {
        let n = request.neurons;
        let points = request.substrate()?.positions()?.micrometres();
        if points.nrows() != n {
            return Err(Error::input(format!(
                "the substrate has {} positions for {n} neurons",
                points.nrows()
            )));
        }
        let points: Vec<[f64; 3]> = points.outer_iter().map(|p| [p[0], p[1], p[2]]).collect();
        let wanted = self.params.connections;
        let others = n.saturating_sub(1) as f64;
        if wanted > others {
            pallium_core::tracing::warn!(
                "`init.distance`: `connections` is {wanted}, but there are only {n} neurons, so all pairs are connected"
            );
        }
        let wanted = wanted.min(others);
        if n > EVERY_PAIR_UP_TO {
            let pairs = distance_boxes::draw(&points, wanted, self.params.length_um, request.seed);
            return Connections::from_pairs(n, n, pairs);
        }
        let near = |i: usize, j: usize| {
            let square: f64 = (0..3).map(|k| (points[i][k] - points[j][k]).powi(2)).sum();
            (-square.sqrt() / self.params.length_um).exp()
        };
        let factor = factor(wanted * n as f64, |limit| {
            let sums = (0..n).map(|i| below((0..i).map(|j| near(i, j)), limit));
            let (certain, sum) = sums.fold((0, 0.0), |(c, s), (certain, sum)| (c + certain, s + sum));
            (2 * certain, 2.0 * sum)
        });
        let mut stream = random::stream(request.seed, "connections by distance");
        let mut pairs = Vec::new();
        for i in 0..n {
            for j in (0..n).filter(|&j| j != i) {
                if stream.random::<f64>() < factor * near(i, j) {
                    pairs.push((i as u32, j as u32));
                }
            }
        }
        Connections::from_pairs(n, n, pairs)
    }
}

/// The c at which probabilities min(1, c·p) add up to `wanted`. For a limit, `sums` gives
/// the number of p that reach it and the sum of the others.
pub(crate) fn factor(wanted: f64, sums: impl Fn(f64) -> (usize, f64)) -> f64 {
    let mut factor = wanted / sums(f64::INFINITY).1.max(f64::MIN_POSITIVE);
    // Newton's method on a concave function, from below: each step only adds to those that
    // are certain.
    loop {
        let (certain, sum) = sums(1.0 / factor);
        let next = (wanted - certain as f64) / sum;
        if certain == 0 || !next.is_finite() || next <= factor * (1.0 + 1e-9) {
            return factor;
        }
        factor = next;
    }
}

/// The number of values that reach the limit, and the sum of the others.
pub(crate) fn below(values: impl Iterator<Item = f64>, limit: f64) -> (usize, f64) {
    values.fold(
        (0, 0.0),
        |(certain, sum), value| if value < limit { (certain, sum + value) } else { (certain + 1, sum) },
    )
}

impl WeightSource for Distance {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let SparseWeights { connections, values } = self.sparse(request)?;
        Ok(connections.view().scatter(&values))
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        let connections = match request.connections {
            Some(given) => given.to_owned(),
            None => self.drawn(request)?,
        };
        let mut stream = random::stream(request.seed, "weights by distance");
        let mut draw = || -> f64 { StandardNormal.sample(&mut stream) };
        let values = (0..connections.view().len()).map(|_| self.params.gain * draw()).collect();
        self.params.finish(Self::ID).apply_on(connections, values)
    }
}
pallium_core::register!(WeightSource, Distance);

#[cfg(test)]
mod tests {
    use pallium_core::Positions;

    use super::*;

    #[test]
    fn connections_become_rarer_with_distance() {
        let n = 900;
        let mut stream = random::stream(1, "points");
        let points =
            pallium_core::ndarray::Array2::from_shape_simple_fn((n, 3), || stream.random_range(0.0..500.0));
        let substrate = Substrate {
            name: "cube".into(),
            neurons: n,
            positions: Some(Positions::new(points.clone(), [1.0; 3])),
            ..Substrate::default()
        };
        let request =
            WeightRequest { neurons: n, substrate: Some(&substrate), seed: 3, draw: None, connections: None };
        let params = Params { connections: 15.0, length_um: 60.0, ..Params::default() };
        let mut source = Distance::build(params, &Setting::default()).unwrap();
        let found = source.sparse(&request).unwrap();
        let count = found.values.len() as f64 / n as f64;
        assert!((count - 15.0).abs() < 0.6, "{count} connections from a neuron");
        // The share of connected pairs in two shells differs by e^(−100/60).
        let shell = |low: f64, high: f64| {
            let far = |i: usize, j: usize| {
                let d: f64 = (0..3).map(|k| (points[[i, k]] - points[[j, k]]).powi(2)).sum::<f64>().sqrt();
                i != j && (low..high).contains(&d)
            };
            let all = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|&(i, j)| far(i, j)).count();
            let connected = found.connections.view().pairs().filter(|&(i, j)| far(i, j)).count();
            connected as f64 / all as f64
        };
        let ratio = shell(195.0, 205.0) / shell(95.0, 105.0);
        let expected = (-100.0_f64 / 60.0).exp();
        assert!((ratio / expected - 1.0).abs() < 0.25, "{ratio} and not {expected}");
        assert_eq!(source.weights(&request).unwrap(), found.connections.view().scatter(&found.values));
    }

    #[test]
    fn connections_that_are_certain_are_made_up_for() {
        let n = 60;
        let line =
            pallium_core::ndarray::Array2::from_shape_fn(
                (n, 3),
                |(i, k)| if k == 0 { 10.0 * i as f64 } else { 0.0 },
            );
        let substrate = Substrate {
            name: "line".into(),
            neurons: n,
            positions: Some(Positions::new(line, [1.0; 3])),
            ..Substrate::default()
        };
        let found = |connections: f64| {
            let params = Params { connections, length_um: 60.0, ..Params::default() };
            let mut source = Distance::build(params, &Setting::default()).unwrap();
            let means = (0..20).map(|seed| {
                let request = WeightRequest {
                    neurons: n,
                    substrate: Some(&substrate),
                    seed,
                    draw: None,
                    connections: None,
                };
                Ok(source.sparse(&request)?.values.len() as f64 / (20 * n) as f64)
            });
            means.sum::<Result<f64>>()
        };
        for wanted in [20.0, 40.0, 59.0] {
            let mean = found(wanted).unwrap();
            assert!((mean - wanted).abs() < 0.3, "{mean} instead of {wanted}");
        }
        assert!((found(100.0).unwrap() - 59.0).abs() < 1e-9);
    }
}
