//! One step of a layer in double precision, without noise, and its gradient: what
//! analyses of the dynamics iterate ([`Model::step`]).

use pallium_core::ndarray::{Array2, ArrayView2, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::dynamics::{Dynamics, Layer};

/// A unit's step, given its sums: everything but the products with the weights.
/// `drive` and `product` have one value for each block: x·Wx + b, and h·W.
pub(crate) trait UnitStep {
    /// Names of the unit's state, the hidden activity first.
    const STATES: &'static [&'static str] = &["hidden"];

    /// Computes the next state of a unit with the further parameters `vectors`.
    fn next(&self, drive: &[f64], product: &[f64], state: &[f64], vectors: &[f64], next: &mut [f64]);

    /// Given the gradient in the next state, sets `in_drive`, `in_product` and
    /// `in_state` (not through the products) to those in the arguments.
    #[expect(clippy::too_many_arguments, reason = "the arguments of `next` and a gradient in each")]
    fn gradient(
        &self,
        drive: &[f64],
        product: &[f64],
        state: &[f64],
        vectors: &[f64],
        in_next: &[f64],
        in_drive: &mut [f64],
        in_product: &mut [f64],
        in_state: &mut [f64],
    );
}

/// The products of some states and inputs, and the weights in double precision.
struct Products {
    /// For each block its weights (N×N), and Wx with b below it.
    recurrent: Vec<Vec<f64>>,
    input: Vec<Vec<f64>>,
    vectors: Vec<f64>,
    /// For each block: rows × N.
    drive: Vec<Vec<f64>>,
    product: Vec<Vec<f64>>,
}

/// The layout of the states.
pub(crate) fn states<D: Dynamics>(neurons: usize) -> Vec<StatePart> {
    D::STATES.iter().map(|&name| StatePart { name: name.into(), length: neurons }).collect()
}

fn products<D: Dynamics>(
    layer: &Layer<D>,
    states: ArrayView2<'_, f64>,
    inputs: ArrayView2<'_, f64>,
) -> Result<Products> {
    let (n, c, rows) = (layer.neurons, layer.channels, states.nrows());
    if states.ncols() != n * D::STATES.len() || inputs.dim() != (rows, c) {
        return Err(Error::input(format!(
            "states are {:?} and inputs {:?}, but must be rows × {} and rows × {c}",
            states.dim(),
            inputs.dim(),
            n * D::STATES.len()
        )));
    }
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| f64::from(v)).collect() };
    let hidden: Vec<f64> = states.slice(s![.., ..n]).iter().copied().collect();
    let input: Vec<f64> = inputs.outer_iter().flat_map(|row| row.to_vec().into_iter().chain([1.0])).collect();
    let mut all = Products {
        recurrent: Vec::new(),
        input: Vec::new(),
        vectors: wide(&layer.weights[layer.vectors()]),
        drive: Vec::new(),
        product: Vec::new(),
    };
    for block in 0..Layer::<D>::COUNT {
        let (recurrent, weights) =
            (wide(&layer.weights[layer.block(block)]), wide(&layer.weights[layer.drive(block)]));
        let times = |left: &[f64], width: usize, right: &[f64]| {
            let mut sum = vec![0.0; rows * n];
            product(&mut sum, Write::Replace, View::new(left, width), View::new(right, n), 1.0);
            sum
        };
        all.drive.push(times(&input, c + 1, &weights));
        all.product.push(times(&hidden, n, &recurrent));
        all.recurrent.push(recurrent);
        all.input.push(weights);
    }
    Ok(all)
}

impl Products {
    /// A unit's drives, products, state and further parameters.
    fn of_unit(&self, states: ArrayView2<'_, f64>, row: usize, unit: usize, n: usize) -> [Vec<f64>; 4] {
        let at = row * n + unit;
        let of = |blocks: &[Vec<f64>]| blocks.iter().map(|block| block[at]).collect();
        let state = states.row(row).iter().skip(unit).step_by(n).copied().collect();
        let vectors = self.vectors.iter().skip(unit).step_by(n).copied().collect();
        [of(&self.drive), of(&self.product), state, vectors]
    }
}

/// [`Model::step`] of a layer.
pub(crate) fn step<D: Dynamics>(
    layer: &Layer<D>,
    states: ArrayView2<'_, f64>,
    inputs: ArrayView2<'_, f64>,
) -> Result<Array2<f64>> {
    let n = layer.neurons;
    let products = products(layer, states, inputs)?;
    let mut next = Array2::zeros(states.dim());
    let mut of_unit = vec![0.0; D::STATES.len()];
    for row in 0..states.nrows() {
        for unit in 0..n {
            let [drive, product, state, vectors] = products.of_unit(states, row, unit, n);
            layer.unit.next(&drive, &product, &state, &vectors, &mut of_unit);
            of_unit.iter().enumerate().for_each(|(part, value)| next[[row, part * n + unit]] = *value);
        }
    }
    Ok(next)
}

/// [`Model::step_gradient`] of a layer.
pub(crate) fn step_gradient<D: Dynamics>(
    layer: &Layer<D>,
    states: ArrayView2<'_, f64>,
    inputs: ArrayView2<'_, f64>,
    cotangents: ArrayView2<'_, f64>,
) -> Result<(Array2<f64>, Array2<f64>)> {
    let (n, c, rows, blocks) = (layer.neurons, layer.channels, states.nrows(), Layer::<D>::COUNT);
    if cotangents.dim() != states.dim() {
        return Err(Error::input(format!(
            "states are {:?}, but the gradients in the next ones {:?}",
            states.dim(),
            cotangents.dim()
        )));
    }
    let products = products(layer, states, inputs)?;
    let mut in_states = Array2::zeros(states.dim());
    let (mut in_drive, mut in_product) =
        (vec![vec![0.0; rows * n]; blocks], vec![vec![0.0; rows * n]; blocks]);
    let (mut drives, mut sums) = (vec![0.0; blocks], vec![0.0; blocks]);
    let mut parts = vec![0.0; D::STATES.len()];
    for row in 0..rows {
        for unit in 0..n {
            let [drive, product, state, vectors] = products.of_unit(states, row, unit, n);
            let in_next: Vec<f64> = cotangents.row(row).iter().skip(unit).step_by(n).copied().collect();
            layer.unit.gradient(
                &drive,
                &product,
                &state,
                &vectors,
                &in_next,
                &mut drives,
                &mut sums,
                &mut parts,
            );
            for block in 0..blocks {
                in_drive[block][row * n + unit] = drives[block];
                in_product[block][row * n + unit] = sums[block];
            }
            parts.iter().enumerate().for_each(|(part, value)| in_states[[row, part * n + unit]] = *value);
        }
    }
    let (mut in_hidden, mut in_inputs) = (vec![0.0; rows * n], vec![0.0; rows * (c + 1)]);
    for block in 0..blocks {
        let slopes = View::new(&in_product[block], n);
        product(
            &mut in_hidden,
            Write::Add,
            slopes,
            View::new(&products.recurrent[block], n).transposed(),
            1.0,
        );
        let slopes = View::new(&in_drive[block], n);
        product(&mut in_inputs, Write::Add, slopes, View::new(&products.input[block], n).transposed(), 1.0);
    }
    for (at, value) in in_hidden.into_iter().enumerate() {
        in_states[[at / n, at % n]] += value;
    }
    let in_inputs = Array2::from_shape_fn((rows, c), |(row, channel)| in_inputs[row * (c + 1) + channel]);
    Ok((in_states, in_inputs))
}

/// 1/(1 + e⁻ˣ).
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
