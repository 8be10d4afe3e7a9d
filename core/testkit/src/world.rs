//! A small synthetic world to build components in: neurons with data of every
//! kind that a substrate can hold.

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::toy::{INPUTS, Toy};
use pallium_core::{
    Dynamics, Element, Error, Matrix, ModelInfo, ParameterInfo, ParameterKind, Positions, Result, Setting,
    StatePart, Substrate, Tensor, TensorView, random,
};

/// Number of neurons in the world that most checks use: enough for graph measures to be
/// defined, few enough for finite differences.
pub(crate) const NEURONS: usize = 16;

/// Duration of the recording: long enough to be split.
const SECONDS: f64 = 120.0;

/// A substrate with positions, correlation, precision, spike time tiling,
/// connectome, events and identifiers, and distances in micrometres. The same size
/// and seed give the same world.
pub struct World {
    substrate: Substrate,
    distance: Matrix,
    /// What a null model changes.
    original: Matrix,
}

impl World {
    /// A world with that many neurons.
    pub fn new(neurons: usize, seed: u64) -> Self {
        let n = neurons;
        let mut stream = random::stream(seed, "testkit world");
        // A box in which connections of more than 300 µm exist.
        let extent = [600.0, 600.0, 200.0];
        let unit_um = [4.0, 4.0, 40.0];
        let values =
            Array2::from_shape_fn((n, 3), |(_, axis)| stream.random::<f64>() * extent[axis] / unit_um[axis]);
        let positions = Positions::new(values, unit_um);
        let um = positions.micrometres();
        let distance = Matrix::from_shape_fn((n, n), |(i, j)| {
            (&um.row(i) - &um.row(j)).mapv(|v| v * v).sum().sqrt() as f32
        });

        // One common factor with loading v: C = r·v·vᵀ + diag(1 − r·v²), whose
        // inverse is known in closed form (Sherman and Morrison 1950).
        let r = 0.6;
        let v: Vec<f64> = (0..n).map(|_| stream.random_range(-1.0..1.0)).collect();
        let own: Vec<f64> = v.iter().map(|v| 1.0 - r * v * v).collect();
        let scale = 1.0 + r * v.iter().zip(&own).map(|(v, d)| v * v / d).sum::<f64>();
        let same = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let correlation = Array2::from_shape_fn((n, n), |(i, j)| r * v[i] * v[j] + same(i, j) * own[i]);
        let precision = Array2::from_shape_fn((n, n), |(i, j)| {
            same(i, j) / own[i] - r * (v[i] / own[i]) * (v[j] / own[j]) / scale
        });
        let sttc = correlation.mapv(|c| 0.8 * c + 0.2 * c * c * c);
        let connectome = Array2::from_shape_fn((n, n), |(i, j)| {
            if i != j && stream.random_bool(0.3) { f64::from(stream.random_range(1..5_u8)) } else { 0.0 }
        });
        let events = (0..n)
            .map(|_| {
                let mut times: Vec<f64> = (0..120).map(|_| stream.random_range(0.0..SECONDS)).collect();
                times.sort_by(f64::total_cmp);
                times
            })
            .collect();
        let base = 864_691_130_000_000_000_i64;
        let ids = [("root", base), ("unit", 0), ("target", 200_000)].map(|(name, base)| {
            (name.to_owned(), (0..n as i64).map(|i| base + 7 * i + 1).collect::<Vec<_>>().into())
        });
        let matrices = [
            (Substrate::CORRELATION, correlation),
            (Substrate::PRECISION, precision),
            (Substrate::STTC, sttc),
            (Substrate::CONNECTOME, connectome),
        ]
        .map(|(name, matrix)| (name.to_owned(), matrix.into()));
        let substrate = Substrate {
            name: format!("synthetic {n}"),
            neurons: n,
            positions: Some(positions),
            matrices: matrices.into(),
            ids: ids.into(),
            events: Some(events),
            recording: Some((0.0, SECONDS)),
            ..Substrate::default()
        };
        let original = weights(n, 2);
        World { substrate, distance, original }
    }

    /// A setting with every field set except `cache`, and except `rows` and
    /// `columns`, which a constraint on all neurons does not have. The task asks for
    /// one of two classes.
    pub fn setting(&self) -> Setting<'_> {
        self.setting_of(Toy::Classes)
    }

    /// A setting with another task.
    pub(crate) fn setting_of(&self, toy: Toy) -> Setting<'_> {
        Setting {
            seed: 1,
            threads: 1,
            cache: None,
            neurons: Some(self.substrate.neurons),
            inputs: Some(INPUTS),
            outputs: Some(toy.outputs()),
            loss: Some(toy.loss()),
            step_ms: Some(50.0),
            substrate: Some(&self.substrate),
            distance: Some(self.distance.view()),
            distance_unit_um: Some(1.0),
            rows: None,
            columns: None,
            connections: None,
            original: Some(self.original.view()),
        }
    }

    /// Distances in micrometres from the neurons `rows` to the neurons `columns`.
    pub(crate) fn distance_between(&self, rows: &[i64], columns: &[i64]) -> Matrix {
        Matrix::from_shape_fn((rows.len(), columns.len()), |(i, j)| {
            self.distance[[rows[i] as usize, columns[j] as usize]]
        })
    }

    /// A network with known dynamics, with the given recurrent weights (N×N).
    pub fn rate_network(&self, recurrent: &Matrix, seed: u64) -> RateNetwork {
        RateNetwork::new(recurrent, seed)
    }

    /// The substrate.
    pub fn substrate(&self) -> &Substrate {
        &self.substrate
    }

    /// Recurrent weights similar to those of a trained network, N×N: normally
    /// distributed, with a spectral radius near 1 and a fifth of them zero.
    pub fn weights(&self, seed: u64) -> Matrix {
        weights(self.substrate.neurons, seed)
    }

    /// Hidden activity, steps × trials × neurons, positive and smooth in time.
    pub(crate) fn activity(&self, steps: usize, trials: usize) -> Array3<f32> {
        let mut stream = random::stream(3, "testkit activity");
        let n = self.substrate.neurons;
        let phase = Array2::from_shape_fn((trials, n), |_| stream.random_range(0.0..6.0_f32));
        Array3::from_shape_fn((steps, trials, n), |(t, b, i)| {
            1.1 + (0.4 * t as f32 + phase[[b, i]]).sin() * (0.3 + 0.7 * i as f32 / n as f32)
        })
    }
}

fn weights(n: usize, seed: u64) -> Matrix {
    let scale = 1.0 / (n as f64).sqrt();
    let mut stream = random::stream(seed, "testkit weights");
    Matrix::from_shape_fn((n, n), |_| {
        let weight: f64 = StandardNormal.sample(&mut stream);
        if stream.random_bool(0.2) { 0.0 } else { (weight * scale) as f32 }
    })
}

/// A leaky rate network with inputs, as a metric receives it: its parameters, its
/// description, and its step in double precision,
///
/// > h' = h/2 + tanh(h·W + x·Wx + b)/2.
#[derive(Clone, Debug)]
pub struct RateNetwork {
    info: ModelInfo,
    /// `recurrent`, `input`, `bias`, `readout`, in the order of the description.
    parameters: Vec<Tensor>,
    weights: Array2<f64>,
    input: Array2<f64>,
    bias: Array1<f64>,
}

impl RateNetwork {
    fn new(recurrent: &Matrix, seed: u64) -> Self {
        let n = recurrent.nrows();
        let mut stream = random::stream(seed, "testkit rate network");
        let mut draw = |rows| Matrix::from_shape_fn((rows, n), |_| stream.random_range(-0.5..0.5));
        let (input, bias, readout) = (draw(INPUTS), draw(1), draw(Toy::Classes.outputs()));
        RateNetwork::of_parameters(recurrent, &input, &bias.row(0).to_owned(), &readout.t().to_owned())
    }

    fn of_parameters(recurrent: &Matrix, input: &Matrix, bias: &Array1<f32>, readout: &Matrix) -> Self {
        use ParameterKind::{Input, Other, Readout, Recurrent};
        let parameters = vec![
            Tensor::from_view("recurrent", recurrent.view()),
            Tensor::from_view("input", input.view()),
            Tensor::from_view("bias", bias.view()),
            Tensor::from_view("readout", readout.view()),
        ];
        let kinds = [Recurrent, Input, Other, Readout];
        let infos =
            parameters.iter().zip(kinds).map(|(p, kind)| ParameterInfo::new(&p.name, &*p.shape, kind));
        let n = recurrent.nrows();
        let mut info = ModelInfo::new(n, infos.collect());
        info.states = vec![StatePart { name: "hidden".into(), length: n }];
        RateNetwork {
            info,
            parameters,
            weights: recurrent.mapv(f64::from),
            input: input.mapv(f64::from),
            bias: bias.mapv(f64::from),
        }
    }

    /// The description of the network.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Its parameters, in the order of the description.
    pub fn parameters(&self) -> Vec<TensorView<'_>> {
        let all = self.parameters.iter().flat_map(|Tensor { name, shape, values }| {
            f32::slice(values).map(|values| TensorView { name, shape, values })
        });
        all.collect()
    }

    /// The same network, neuron k being what was neuron `order[k]`.
    pub(crate) fn relabelled(&self, order: &[usize]) -> Self {
        let single = |m: &Array2<f64>| m.mapv(|v| v as f32);
        let views = self.parameters();
        let readout = views.iter().find_map(|p| (p.name == "readout").then(|| p.matrix().ok())?);
        let readout = readout.map_or_else(|| Matrix::zeros((0, 0)), |m| m.select(Axis(0), order));
        RateNetwork::of_parameters(
            &single(&self.weights).select(Axis(0), order).select(Axis(1), order),
            &single(&self.input).select(Axis(1), order),
            &self.bias.mapv(|v| v as f32).select(Axis(0), order),
            &readout,
        )
    }

    /// tanh(h·W + x·Wx + b), or an error if the shapes do not fit.
    fn rates(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let expected = (self.weights.nrows(), self.input.nrows());
        if states.nrows() != inputs.nrows() || (states.ncols(), inputs.ncols()) != expected {
            return Err(Error::input(format!(
                "the states are {:?} and the inputs {:?}, but must be rows × {} and rows × {}",
                states.dim(),
                inputs.dim(),
                expected.0,
                expected.1
            )));
        }
        Ok((states.dot(&self.weights) + inputs.dot(&self.input) + &self.bias).mapv(f64::tanh))
    }
}

impl Dynamics for RateNetwork {
    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        Ok((&states + &self.rates(states, inputs)?) * 0.5)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let rates = self.rates(states, inputs)?;
        if cotangents.dim() != states.dim() {
            return Err(Error::input(format!(
                "the cotangents are {:?}, but must be {:?}",
                cotangents.dim(),
                states.dim()
            )));
        }
        let sums = &cotangents * &rates.mapv(|rate| 0.5 * (1.0 - rate * rate));
        Ok((&cotangents * 0.5 + sums.dot(&self.weights.t()), sums.dot(&self.input.t())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_of_the_rate_network_is_the_slope_of_its_step() {
        let world = World::new(5, 1);
        let network = world.rate_network(&world.weights(1), 1);
        let mut stream = random::stream(1, "test states");
        let mut draw =
            |columns| Array2::from_shape_simple_fn((2, columns), || stream.random_range(-1.0..1.0));
        let (states, inputs, cotangents, direction) = (draw(5), draw(INPUTS), draw(5), draw(5));
        let (in_states, in_inputs) =
            network.step_gradient(states.view(), inputs.view(), cotangents.view()).unwrap();
        let along = |states: &Array2<f64>, inputs: &Array2<f64>| {
            (network.step(states.view(), inputs.view()).unwrap() * &cotangents).sum()
        };
        let h = 1e-5;
        let moved = |by: f64| along(&(&states + &(&direction * by)), &inputs);
        assert!(((moved(h) - moved(-h)) / (2.0 * h) - (&in_states * &direction).sum()).abs() < 1e-9);
        let moved = |by: f64| along(&states, &(&inputs + by));
        assert!(((moved(h) - moved(-h)) / (2.0 * h) - in_inputs.sum()).abs() < 1e-9);
    }

    #[test]
    fn the_world_is_consistent() {
        for n in [1, 2, NEURONS] {
            let world = World::new(n, 1);
            world.substrate.check().unwrap();
            let c = &world.substrate.matrices[Substrate::CORRELATION];
            let product = c.view().dot(&world.substrate.matrices[Substrate::PRECISION].view());
            for ((i, j), v) in product.indexed_iter() {
                assert!((v - if i == j { 1.0 } else { 0.0 }).abs() < 1e-10, "{i} {j} {v}");
            }
        }
        let far = World::new(NEURONS, 1).distance;
        assert!(far.iter().any(|&d| d > 300.0) && far.iter().any(|&d| d > 0.0 && d < 300.0));
    }
}
