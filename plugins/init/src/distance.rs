//! `init.distance`: W, a random graph whose connections become rarer with distance.

use pallium_core::prelude::*;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::distance_boxes;

pallium_weights::weight_params! {
    /// How connections depend on distance, and size and sign of the weights.
    pub struct Params (spectral_radius = 0.95) {
        /// Mean number of outgoing connections per neuron (above 0).
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
/// direction by itself and no neuron to itself; c gives the mean number of connections.
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
        let substrate = request.substrate.ok_or_else(|| {
            Error::input("connections by distance need a substrate with positions, but there is none")
                .help("add [substrate] to the experiment file")
        })?;
        let points = substrate.positions()?.micrometres();
        if points.nrows() != n {
            return Err(Error::input(format!(
                "the substrate has {} positions for {n} neurons",
                points.nrows()
            )));
        }
        let points: Vec<[f64; 3]> = points.outer_iter().map(|p| [p[0], p[1], p[2]]).collect();
        if n > EVERY_PAIR_UP_TO {
            let pairs =
                distance_boxes::draw(&points, self.params.connections, self.params.length_um, request.seed);
            return Connections::from_pairs(n, n, pairs);
        }
        let near = |i: usize, j: usize| {
            let square: f64 = (0..3).map(|k| (points[i][k] - points[j][k]).powi(2)).sum();
            (-square.sqrt() / self.params.length_um).exp()
        };
        let sum: f64 = (0..n).map(|i| (0..i).map(|j| near(i, j)).sum::<f64>()).sum::<f64>() * 2.0;
        let factor = self.params.connections * n as f64 / sum.max(f64::MIN_POSITIVE);
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
}
