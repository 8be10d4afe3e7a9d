//! A small synthetic world to build components in: neurons with data of every
//! kind that a substrate can hold.

use ndarray::{Array2, Array3};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use pallium_core::{Batch, Matrix, Positions, Setting, Substrate, random};

/// Number of neurons in the world that most checks use: enough for graph measures to be
/// defined, few enough for finite differences.
pub(crate) const NEURONS: usize = 16;
/// Input channels of the world's task.
pub(crate) const INPUTS: usize = 3;
/// Classes of the world's task.
pub(crate) const CLASSES: usize = 2;

/// A substrate with positions, correlation, precision, spike time tiling,
/// connectome, events and identifiers, and distances in micrometres. The same size
/// and seed give the same world.
pub struct World {
    substrate: Substrate,
    distance: Matrix,
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
        let positions = Positions { values, unit_um };
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
                let mut times: Vec<f64> = (0..20).map(|_| stream.random_range(0.0..20.0)).collect();
                times.sort_by(f64::total_cmp);
                times
            })
            .collect();
        let base = 864_691_130_000_000_000_i64;
        let ids = [("root", base), ("unit", 0), ("target", 200_000)]
            .map(|(name, base)| (name.to_owned(), (0..n as i64).map(|i| base + 7 * i + 1).collect()));
        let matrices = [
            (Substrate::CORRELATION, correlation),
            (Substrate::PRECISION, precision),
            (Substrate::STTC, sttc),
            (Substrate::CONNECTOME, connectome),
        ]
        .map(|(name, matrix)| (name.to_owned(), matrix));
        let substrate = Substrate {
            name: format!("synthetic {n}"),
            neurons: n,
            positions: Some(positions),
            matrices: matrices.into(),
            ids: ids.into(),
            events: Some(events),
            ..Substrate::default()
        };
        World { substrate, distance }
    }

    /// A setting with every field set except `cache`.
    pub fn setting(&self) -> Setting<'_> {
        Setting {
            seed: 1,
            threads: 1,
            cache: None,
            neurons: Some(self.substrate.neurons),
            inputs: Some(INPUTS),
            classes: Some(CLASSES),
            step_ms: Some(50.0),
            substrate: Some(&self.substrate),
            distance: Some(self.distance.view()),
            distance_unit_um: Some(1.0),
        }
    }

    /// The substrate.
    pub fn substrate(&self) -> &Substrate {
        &self.substrate
    }

    /// Recurrent weights similar to those of a trained network, N×N: normally
    /// distributed, with a spectral radius near 1 and a fifth of them zero.
    pub fn weights(&self, seed: u64) -> Matrix {
        let n = self.substrate.neurons;
        let scale = 1.0 / (n as f64).sqrt();
        let mut stream = random::stream(seed, "testkit weights");
        Matrix::from_shape_fn((n, n), |_| {
            let weight: f64 = StandardNormal.sample(&mut stream);
            if stream.random_bool(0.2) { 0.0 } else { (weight * scale) as f32 }
        })
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

    /// Trials of a task that every network with some memory can learn: one of two
    /// channels is on for three steps, and its number is the label three steps
    /// later.
    pub(crate) fn trials(&self, count: usize, seed: u64) -> Batch {
        let mut stream = random::stream(seed, "testkit trials");
        let mut batch = Batch::zeros(count, 6, INPUTS);
        for trial in 0..count {
            let class: u32 = stream.random_range(0..CLASSES as u32);
            for step in 0..3 {
                batch.inputs[[trial, step, 1 + class as usize]] = stream.random_range(0.8..1.2);
            }
            batch.inputs.slice_mut(ndarray::s![trial, 3.., 0]).fill(1.0);
            batch.conditions[trial] = class;
            batch.label_at_end(trial, class);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_consistent() {
        for n in [1, 2, NEURONS] {
            let world = World::new(n, 1);
            world.substrate.check().unwrap();
            let c = &world.substrate.matrices[Substrate::CORRELATION];
            let product = c.dot(&world.substrate.matrices[Substrate::PRECISION]);
            for ((i, j), v) in product.indexed_iter() {
                assert!((v - if i == j { 1.0 } else { 0.0 }).abs() < 1e-10, "{i} {j} {v}");
            }
        }
        let far = World::new(NEURONS, 1).distance;
        assert!(far.iter().any(|&d| d > 300.0) && far.iter().any(|&d| d > 0.0 && d < 300.0));
    }
}
