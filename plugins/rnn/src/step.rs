//! One step of a layer in double precision, without noise, and its gradient: what
//! analyses of the dynamics iterate ([`Model::step`]).

use pallium_core::ndarray::{Array2, ArrayView2, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::common::{check_cotangents, check_states};
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
    /// For each block: rows × N, or 1 × N if all rows are alike.
    drive: Vec<Vec<f64>>,
    product: Vec<Vec<f64>>,
    /// Whether all states and inputs are alike, as where a Jacobian is computed from
    /// its products with many vectors. Then their sums are computed once.
    alike: bool,
}

/// The arguments of one unit's step.
struct Arguments {
    drive: Vec<f64>,
    product: Vec<f64>,
    state: Vec<f64>,
    vectors: Vec<f64>,
}

impl Arguments {
    fn new<D: Dynamics>() -> Self {
        let blocks = vec![0.0; Layer::<D>::COUNT];
        Arguments {
            drive: blocks.clone(),
            product: blocks,
            state: vec![0.0; D::STATES.len()],
            vectors: vec![0.0; D::VECTORS.len()],
        }
    }
}

/// Whether every row equals the first one.
fn alike(rows: ArrayView2<'_, f64>) -> bool {
    let mut all = rows.outer_iter();
    let first = all.next();
    all.all(|row| Some(row) == first)
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
    check_states(states, inputs, n * D::STATES.len(), c)?;
    let alike = alike(states) && alike(inputs);
    let rows = if alike { rows.min(1) } else { rows };
    let (states, inputs) = (states.slice(s![..rows, ..]), inputs.slice(s![..rows, ..]));
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| f64::from(v)).collect() };
    let hidden: Vec<f64> = states.slice(s![.., ..n]).iter().copied().collect();
    let input: Vec<f64> = inputs.outer_iter().flat_map(|row| row.to_vec().into_iter().chain([1.0])).collect();
    let mut all = Products {
        recurrent: Vec::new(),
        input: Vec::new(),
        vectors: wide(&layer.weights[layer.vectors()]),
        drive: Vec::new(),
        product: Vec::new(),
        alike,
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
    /// Sets the arguments of a unit's step.
    fn of_unit(
        &self,
        states: ArrayView2<'_, f64>,
        row: usize,
        unit: usize,
        n: usize,
        arguments: &mut Arguments,
    ) {
        let at = if self.alike { unit } else { row * n + unit };
        let set = |to: &mut [f64], from: &[Vec<f64>]| {
            to.iter_mut().zip(from).for_each(|(to, block)| *to = block[at]);
        };
        set(&mut arguments.drive, &self.drive);
        set(&mut arguments.product, &self.product);
        for (part, value) in arguments.state.iter_mut().enumerate() {
            *value = states[[row, part * n + unit]];
        }
        for (vector, value) in arguments.vectors.iter_mut().enumerate() {
            *value = self.vectors[vector * n + unit];
        }
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
    let mut unit_at = Arguments::new::<D>();
    let mut of_unit = vec![0.0; D::STATES.len()];
    for row in 0..states.nrows() {
        for unit in 0..n {
            products.of_unit(states, row, unit, n, &mut unit_at);
            let Arguments { drive, product, state, vectors } = &unit_at;
            layer.unit.next(drive, product, state, vectors, &mut of_unit);
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
    check_cotangents(states, cotangents)?;
    let products = products(layer, states, inputs)?;
    let mut in_states = Array2::zeros(states.dim());
    let (mut in_drive, mut in_product) =
        (vec![vec![0.0; rows * n]; blocks], vec![vec![0.0; rows * n]; blocks]);
    let (mut drives, mut sums) = (vec![0.0; blocks], vec![0.0; blocks]);
    let (mut in_next, mut parts) = (vec![0.0; D::STATES.len()], vec![0.0; D::STATES.len()]);
    let mut unit_at = Arguments::new::<D>();
    for row in 0..rows {
        for unit in 0..n {
            products.of_unit(states, row, unit, n, &mut unit_at);
            let Arguments { drive, product, state, vectors } = &unit_at;
            in_next.iter_mut().enumerate().for_each(|(part, value)| {
                *value = cotangents[[row, part * n + unit]];
            });
            layer.unit.gradient(drive, product, state, vectors, &in_next, &mut drives, &mut sums, &mut parts);
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
