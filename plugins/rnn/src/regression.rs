//! Ridge regression on sums that grow batch by batch.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

/// Sums over all rows so far, in f64. A row has `features` values, the last of
/// which is 1.
#[derive(Clone, Default)]
pub(crate) struct Regression {
    features: usize,
    outputs: usize,
    /// Σ w·φφᵀ, φ being a row: features × features.
    gram: Vec<f64>,
    /// Σ w·φtᵀ, t being its targets: features × outputs.
    cross: Vec<f64>,
    /// Σ w.
    weight: f64,
}

const GRAM: &str = "regression.gram";
const CROSS: &str = "regression.cross";
const WEIGHT: &str = "regression.weight";

impl Regression {
    pub fn new(features: usize, outputs: usize) -> Self {
        let (gram, cross) = (vec![0.0; features * features], vec![0.0; features * outputs]);
        Regression { features, outputs, gram, cross, weight: 0.0 }
    }

    /// Adds rows (rows × features) with their targets (rows × outputs) and weights.
    pub fn add(&mut self, rows: &[f32], targets: &[f64], weights: &[f32]) {
        let (f, k) = (self.features, self.outputs);
        let wide: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        let weighted: Vec<f64> = wide
            .chunks_exact(f)
            .zip(weights)
            .flat_map(|(row, &w)| row.iter().map(move |v| v * f64::from(w)))
            .collect();
        let weighted = View::new(&weighted, f).transposed();
        for (sum, right, columns) in [(&mut self.gram, &wide[..], f), (&mut self.cross, targets, k)] {
            product(sum, Write::Add, weighted, View::new(right, columns), 1.0);
        }
        self.weight += weights.iter().map(|&w| f64::from(w)).sum::<f64>();
    }

    /// The weights (features × outputs) that minimise ⟨|y − t|²⟩ + ridge·|weights|²;
    /// the last row, the bias, is not penalised. `None` before any row.
    pub fn solve(&self, ridge: f64) -> Result<Option<Vec<f32>>> {
        if self.weight == 0.0 {
            return Ok(None);
        }
        let (f, k) = (self.features, self.outputs);
        let ridge = |i: usize, j: usize| if i == j && i + 1 < f { ridge } else { 0.0 };
        let gram = Array2::from_shape_fn((f, f), |(i, j)| self.gram[i * f + j] / self.weight + ridge(i, j));
        let cross = Array2::from_shape_fn((f, k), |(i, j)| self.cross[i * k + j] / self.weight);
        let solution = pallium_linalg::solve(gram.view(), cross.view()).ok_or_else(|| {
            Error::input(
                "the read-out's regression has no solution: activity is not finite, or `ridge` is too small",
            )
            .help("raise `ridge`, or scale the recurrent weights down")
        })?;
        Ok(Some(solution.iter().map(|&w| w as f32).collect()))
    }

    pub fn state(&self) -> Vec<Tensor> {
        let (f, k) = (self.features, self.outputs);
        vec![
            Tensor::new(GRAM, [f, f], self.gram.clone()),
            Tensor::new(CROSS, [f, k], self.cross.clone()),
            Tensor::new(WEIGHT, [1], vec![self.weight]),
        ]
    }

    pub fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let (f, k) = (self.features, self.outputs);
        let gram = Tensor::find::<f64>(state, GRAM, &[f, f])?.to_vec();
        let cross = Tensor::find::<f64>(state, CROSS, &[f, k])?.to_vec();
        let weight = Tensor::find::<f64>(state, WEIGHT, &[1])?.iter().sum();
        *self = Regression { features: f, outputs: k, gram, cross, weight };
        Ok(())
    }
}
