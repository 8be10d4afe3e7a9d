//! Networks on connections against networks of matrices with zeros elsewhere.

use pallium_core::ndarray::Array3;
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use rand::Rng;

use super::ConnectedUnit;
use crate::layout::Layout;
use crate::leaky::Leaky;
use crate::recurrence::Rectified;
use crate::tests::{
    Adam, SMALL, Size, batch, bits, distance, evaluate, gradients, learn, lent, put, ragged_batch, tensor,
    train,
};

/// Three tiles, the last one not full.
const TILES: Size = Size { neurons: 41, channels: 3, outputs: 5, trials: 39, steps: 14 };

/// A quarter of all pairs with random weights; unit 3 is connected to none, unit 5
/// to itself.
fn weights(neurons: usize) -> SparseWeights {
    let mut stream = random::stream(9, "connected");
    let mut matrix = Matrix::from_shape_simple_fn((neurons, neurons), || {
        let weight = stream.random_range(-0.6..0.6);
        if stream.random_bool(0.25) { weight } else { 0.0 }
    });
    matrix.row_mut(3).fill(0.0);
    matrix.column_mut(3).fill(0.0);
    matrix[[5, 5]] = 0.3;
    SparseWeights::from_matrix(matrix.view(), None)
}

fn build<D: ConnectedUnit>(
    params: &Value,
    size: Size,
    threads: usize,
    on: Option<&SparseWeights>,
) -> Layout<D>
where
    Layout<D>: Component,
{
    let setting = Setting {
        connections: on.map(|on| on.connections.view()),
        step_ms: Some(25.0),
        ..size.setting(threads)
    };
    let params = pallium_core::parse_parameters(Layout::<D>::ID, &params.to_string()).unwrap();
    let mut model = Layout::<D>::build(params, &setting).unwrap();
    let all = weights(size.neurons);
    let recurrent = match on {
        Some(on) => Matrix::from_shape_vec((1, on.values.len()), on.values.clone()).unwrap(),
        None => all.connections.view().scatter(&all.values),
    };
    model.initialise(recurrent.view(), 11).unwrap();
    model
}

/// Moves every parameter, so that none is 0, in both networks alike.
fn disturb(model: &mut dyn Model) {
    for info in model.info().parameters.into_iter().filter(|info| info.name != "recurrent") {
        let mut stream = random::stream(3, &info.name);
        let moved: Vec<f32> =
            tensor(model, &info.name).iter().map(|v| v + stream.random_range(-0.2..0.2_f32)).collect();
        put(model, &info.name, &moved);
    }
}

/// The largest relative difference of outputs, activity and gradients.
fn difference<D: ConnectedUnit>(params: Value, segment: Option<usize>) -> f64
where
    Layout<D>: Component,
{
    let on = weights(TILES.neurons);
    let mut worst = 0.0_f64;
    for threads in [1, 2, 5] {
        let mut dense = build::<D>(&params, TILES, 1, None);
        let mut sparse = build::<D>(&params, TILES, threads, Some(&on));
        sparse.connected().segment = segment;
        disturb(&mut dense);
        disturb(&mut sparse);
        // A longer pass before: earlier passes must leave no trace.
        train(&mut sparse, &batch(Size { trials: 60, steps: 20, ..TILES }, 1), 1);
        for (seed, with_activity) in [(1, false), (2, true)] {
            let batch = ragged_batch(TILES, seed);
            let mut note = |found: &[f32], expected: &[f32]| {
                assert_eq!(found.len(), expected.len());
                worst = worst.max(distance(found, expected.iter().map(|&v| f64::from(v))));
            };
            let expected = evaluate(&mut dense, &batch).outputs;
            note(evaluate(&mut sparse, &batch).outputs.as_slice().unwrap(), expected.as_slice().unwrap());
            let (expected, found) = (train(&mut dense, &batch, seed), train(&mut sparse, &batch, seed));
            note(found.outputs.as_slice().unwrap(), expected.outputs.as_slice().unwrap());
            let activity = sparse.activity().unwrap();
            note(activity.as_slice().unwrap(), dense.activity().unwrap().as_slice().unwrap());
            let mut stream = random::stream(seed, "term");
            let term: Array3<f32> =
                Array3::from_shape_simple_fn(activity.dim(), || stream.random_range(-0.01..0.01));
            let term = with_activity.then_some(&term);
            let found = gradients(&mut sparse, &expected, term);
            let expected = gradients(&mut dense, &expected, term);
            assert_eq!(found.len(), expected.len());
            for ((name, found), (other, expected)) in found.iter().zip(&expected) {
                assert_eq!(name, other);
                if name == "recurrent" {
                    let n = TILES.neurons;
                    let all = pallium_core::ndarray::ArrayView2::from_shape((n, n), expected).unwrap();
                    note(found, &on.connections.view().gather(all));
                } else {
                    note(found, expected);
                }
            }
        }
    }
    worst
}

fn leaky(transfer: &str) -> Value {
    json!({"transfer": transfer, "tau": 60.0, "tau_spread": 0.6, "learn_tau": true})
}

#[test]
fn connections_are_a_matrix_with_zeros_elsewhere() {
    for segment in [None, Some(1), Some(4), Some(5)] {
        let mut found = vec![
            ("vanilla", difference::<Rectified>(json!({"noise": 0.1}), segment)),
            ("vanilla with a leak", difference::<Rectified>(json!({"leak": 0.4}), segment)),
            (
                "some units",
                difference::<Rectified>(json!({"input_units": 9, "readout_units": [1, 5, 7, 30]}), segment),
            ),
        ];
        for transfer in ["relu", "tanh", "softplus"] {
            found.push((transfer, difference::<Leaky>(leaky(transfer), segment)));
        }
        let short = json!({"tau": 10.0, "recurrent_noise": 0.0});
        found.push(("no leak", difference::<Leaky>(short, segment)));
        for (name, worst) in found {
            println!("{segment:?} {name}: {worst:.1e}");
            assert!(worst < 2e-6, "{name}, segments {segment:?}: off by {worst:.1e}");
        }
    }
}

/// Weights of connections and time constants against differences of the loss, which
/// is computed in single precision.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (name, params) in [("tanh", leaky("tanh")), ("softplus", leaky("softplus"))] {
        let on = weights(SMALL.neurons);
        let mut params = params;
        params["noise"] = json!(0.0);
        params["recurrent_noise"] = json!(0.0);
        let mut model = build::<Leaky>(&params, SMALL, 1, Some(&on));
        let batch = ragged_batch(SMALL, 4);
        let pass = train(&mut model, &batch, 1);
        model.backward(pass.gradient.view(), None).unwrap();
        for (of, gradient) in lent(&mut model) {
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let values = tensor(&model, &of);
            for at in (0..values.len()).step_by(values.len().div_ceil(9)) {
                let mut loss = |width: f32| {
                    let mut moved = values.clone();
                    moved[at] += width;
                    put(&mut model, &of, &moved);
                    evaluate(&mut model, &batch).sums.mean()
                };
                let slope = (loss(0.01) - loss(-0.01)) / 0.02;
                let off = (slope - f64::from(gradient[at])).abs() / f64::from(norm);
                assert!(off < 2e-3, "{name}, {of} at {at}: off by {off:.1e}");
            }
            put(&mut model, &of, &values);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let on = weights(TILES.neurons);
    let trained = |threads| {
        let params = json!({"learn_tau": true, "transfer": "tanh"});
        let mut model = build::<Leaky>(&params, TILES, threads, Some(&on));
        let mut adam = Adam::new(0.01);
        for seed in 0..4 {
            learn(&mut model, &mut adam, &ragged_batch(Size { trials: 150, ..TILES }, seed), seed);
        }
        bits(&model)
    };
    let one = trained(1);
    assert!([2, 3, 16].into_iter().all(|threads| trained(threads) == one));
}

#[test]
fn segments_change_no_bit() {
    let on = weights(TILES.neurons);
    let trained = |segment| {
        let mut model = build::<Leaky>(&json!({"learn_tau": true}), TILES, 2, Some(&on));
        model.connected().segment = segment;
        let mut adam = Adam::new(0.01);
        for seed in 0..3 {
            learn(&mut model, &mut adam, &ragged_batch(TILES, seed), seed);
        }
        bits(&model)
    };
    let whole = trained(None);
    assert!([1, 3, 7].into_iter().all(|segment| trained(Some(segment)) == whole));
}

#[test]
fn rewired_connections_keep_their_weights() {
    let on = weights(SMALL.neurons);
    let mut model = build::<Rectified>(&json!({}), SMALL, 1, Some(&on));
    // The first connection of every unit moves to the first unit without one.
    let pairs: Vec<(u32, u32)> = (0..SMALL.neurons)
        .flat_map(|i| {
            let row = on.connections.view().row(i);
            let free = (0..SMALL.neurons as u32).find(|j| !row.contains(j)).unwrap();
            let moved = row.iter().enumerate().map(move |(k, &j)| if k == 0 { free } else { j });
            moved.map(move |j| (i as u32, j)).collect::<Vec<_>>()
        })
        .collect();
    let after = Connections::from_pairs(SMALL.neurons, SMALL.neurons, pairs).unwrap();
    let change = Rewiring::between(on.connections.view(), &on.values, after.clone());
    assert!(change.origin.contains(&-1));
    model.rewired(&change.view(on.values.len(), None)).unwrap();
    assert_eq!(tensor(&model, "recurrent"), change.values);
    let moved = SparseWeights { connections: after, values: change.values };
    let mut other = build::<Rectified>(&json!({}), SMALL, 1, Some(&moved));
    let batch = batch(SMALL, 3);
    assert_eq!(evaluate(&mut model, &batch).outputs, evaluate(&mut other, &batch).outputs);
    let fewer = Connections::from_pairs(SMALL.neurons, SMALL.neurons, vec![(0, 1)]).unwrap();
    let change = RewiringView::new(fewer.view(), &[-1], on.values.len());
    assert!(model.rewired(&change).unwrap_err().message.contains("1 connections"));
}

#[test]
fn connections_of_other_units_are_refused() {
    let on = weights(SMALL.neurons);
    let setting = Setting {
        connections: Some(on.connections.view()),
        ..Size { neurons: SMALL.neurons + 1, ..SMALL }.setting(1)
    };
    let error = Layout::<Rectified>::build(Default::default(), &setting).err().unwrap();
    assert!(error.message.contains("there are 24 neurons"), "{error}");
    let mut model = build::<Rectified>(&json!({}), SMALL, 1, Some(&on));
    let square = Matrix::zeros((SMALL.neurons, SMALL.neurons));
    assert!(model.initialise(square.view(), 1).unwrap_err().message.contains("one for each connection"));
}

/// Time of a training step of 15,448 units and 300,000 connections; run with
/// `--ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn speed() {
    let size = Size { neurons: 15_448, channels: 3, outputs: 3, trials: 128, steps: 50 };
    let mut stream = random::stream(1, "pairs");
    let mut pairs = std::collections::BTreeSet::new();
    while pairs.len() < 300_000 {
        pairs.insert((stream.random_range(0..15_448), stream.random_range(0..15_448)));
    }
    let connections = Connections::from_pairs(15_448, 15_448, pairs.into_iter().collect()).unwrap();
    let values: Vec<f32> = (0..300_000).map(|_| stream.random_range(-0.3..0.3)).collect();
    let on = SparseWeights { connections, values };
    let batch = batch(size, 1);
    for threads in [1, 2] {
        for params in [json!({}), json!({"leak": 0.2})] {
            let mut model = build::<Rectified>(&params, size, threads, Some(&on));
            for turn in 0..3 {
                let clock = std::time::Instant::now();
                let pass = train(&mut model, &batch, 1);
                let forward = clock.elapsed().as_secs_f64();
                model.backward(pass.gradient.view(), None).unwrap();
                println!(
                    "{threads} {params} {turn}: {forward:.3} + {:.3} s",
                    clock.elapsed().as_secs_f64() - forward
                );
            }
        }
    }
}
