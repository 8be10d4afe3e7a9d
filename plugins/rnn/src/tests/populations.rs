//! `rnn.populations`: its blocks, and the network that they make up.

use pallium_core::ndarray::{Array3, s};
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use rand::Rng;

use super::{
    Adam, SMALL, bits, build_any, distance, evaluate, gradients, learn, pass, put, quiet, ragged_batch,
    recurrent, tensor, train, weights,
};
use crate::populations::Populations;
use crate::vanilla::{Params, Vanilla};

fn build(params: Value) -> Populations {
    build_any(&params, &SMALL.setting(1))
}

fn neurons(model: &Populations) -> Vec<Option<u32>> {
    model.info().populations.into_iter().flat_map(|p| p.neurons.unwrap()).collect()
}

/// `rnn.vanilla` with the weights of a network without free units, neuron by neuron.
fn as_vanilla(model: &Populations, params: Params) -> Vanilla {
    let mut vanilla = super::build(SMALL, 1, params);
    let order: Vec<usize> = neurons(model).into_iter().map(|n| n.unwrap() as usize).collect();
    let whole = |name: &str| {
        let [e, i] = ["e", "i"].map(|end| tensor(model, &format!("{name}_{end}")));
        (e, i)
    };
    let (c, k, n) = (SMALL.channels, SMALL.outputs, SMALL.neurons);
    let (input_e, input_i) = whole("input");
    let excitatory = input_e.len() / c;
    let mut input = Matrix::zeros((c, n));
    let (readout_e, readout_i) = whole("readout");
    let readout_blocks = [readout_e, readout_i].concat();
    let mut readout = Matrix::zeros((n, k));
    for (unit, &neuron) in order.iter().enumerate() {
        for channel in 0..c {
            input[[channel, neuron]] = match unit.checked_sub(excitatory) {
                None => input_e[channel * excitatory + unit],
                Some(unit) => input_i[channel * (n - excitatory) + unit],
            };
        }
        (0..k).for_each(|output| readout[[neuron, output]] = readout_blocks[unit * k + output]);
    }
    put(&mut vanilla, "input", input.as_slice().unwrap());
    put(&mut vanilla, "readout", readout.as_slice().unwrap());
    vanilla
}

/// A matrix of all neurons from the four blocks, in the order of neurons.
fn whole(model: &Populations, blocks: &[Vec<f32>]) -> Matrix {
    let info = model.info();
    let order = neurons(model);
    let starts = [0, info.populations[0].units];
    let mut whole = Matrix::zeros((SMALL.neurons, SMALL.neurons));
    for (index, block) in blocks.iter().enumerate() {
        let [_, columns] = info.parameters[index].shape[..] else { unreachable!() };
        for (at, &value) in block.iter().enumerate() {
            let (row, column) = (starts[index / 2] + at / columns, starts[index % 2] + at % columns);
            if let (Some(i), Some(j)) = (order[row], order[column]) {
                whole[[i as usize, j as usize]] = value;
            }
        }
    }
    whole
}

fn blocks(model: &Populations) -> Vec<Vec<f32>> {
    ["recurrent_ee", "recurrent_ei", "recurrent_ie", "recurrent_ii"].map(|name| tensor(model, name)).to_vec()
}

#[test]
fn blocks_start_from_the_given_matrix_between_neurons() {
    for params in [
        json!({}),
        json!({"assignment": "last", "excitatory": 0.5}),
        json!({"free_excitatory": 6, "free_inhibitory": 3, "free_scale": 2.0}),
    ] {
        let model = build(params.clone());
        assert_eq!(whole(&model, &blocks(&model)), recurrent(SMALL.neurons), "{params}");
    }
    // Weights of free units are drawn: 900 units, of which 100 are no neurons.
    let size = super::Size { neurons: 800, ..SMALL };
    let params = json!({"free_excitatory": 100, "free_scale": 1.5});
    let mut model: Populations = build_any(&params, &size.setting(1));
    model.initialise(Matrix::zeros((800, 800)).view(), 4).unwrap();
    let drawn: Vec<f32> = blocks(&model).concat().into_iter().filter(|&w| w != 0.0).collect();
    assert_eq!(drawn.len(), 900 * 900 - 800 * 800);
    let moment = |power: i32| {
        drawn.iter().map(|&w| (f64::from(w) / (1.5 / 30.0)).powi(power)).sum::<f64>() / drawn.len() as f64
    };
    // Four standard errors of each moment of a normal variable.
    for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0)] {
        let bound = 4.0 * f64::sqrt(variance / drawn.len() as f64);
        assert!((moment(power) - expected).abs() < bound, "moment {power} is {}", moment(power));
    }
}

#[test]
fn populations_map_units_to_neurons() {
    let model = build(json!({"inhibitory": [2, 0, 7], "free_excitatory": 2, "free_inhibitory": 1}));
    let info = model.info();
    let names: Vec<&str> = info.populations.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["excitatory", "inhibitory"]);
    assert_eq!(info.units, SMALL.neurons + 3);
    assert_eq!(info.populations.iter().map(|p| p.units).collect::<Vec<_>>(), [22, 4]);
    assert_eq!(info.populations[1].neurons.as_ref().unwrap(), &[Some(0), Some(2), Some(7), None]);
    let excitatory = info.populations[0].neurons.as_ref().unwrap();
    assert_eq!(excitatory[..3], [Some(1), Some(3), Some(4)]);
    assert_eq!(excitatory[20..], [None, None]);
    let of = |name: &str| info.parameters.iter().find(|p| p.name == name).unwrap();
    let ei = of("recurrent_ei");
    assert_eq!((&ei.rows[..], &ei.columns[..], &ei.shape[..]), ("excitatory", "inhibitory", &[22, 4][..]));
    assert_eq!(ei.kind, ParameterKind::Recurrent);
    assert_eq!(of("recurrent_ie").shape, [4, 22]);
    assert_eq!((&of("input_i").columns[..], &of("input_i").shape[..]), ("inhibitory", &[3, 4][..]));
    assert_eq!((&of("readout_i").rows[..], &of("readout_i").shape[..]), ("inhibitory", &[4, 4][..]));
    let drawn = |seed: u64| {
        let setting = Setting { seed, ..SMALL.setting(1) };
        let model: Populations = build_any(&json!({}), &setting);
        neurons(&model)
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert_eq!(neurons(&build(json!({"assignment": "last"}))), (0..23).map(Some).collect::<Vec<_>>());
}

/// Without free units, the network is `rnn.vanilla` with its units in another order:
/// outputs, activity and gradients are equal up to rounding, also after learning.
#[test]
fn without_free_units_it_equals_vanilla() {
    for leak in [1.0, 0.4] {
        let mut model = build(json!({"noise": 0.0, "leak": leak}));
        let mut vanilla = as_vanilla(&model, Params { leak, ..quiet() });
        let order: Vec<usize> = neurons(&model).into_iter().map(|n| n.unwrap() as usize).collect();
        let (mut adam, mut other_adam) = (Adam::new(1e-3), Adam::new(1e-3));
        let mut stream = random::stream(3, "activity gradient");
        let terms = Array3::from_shape_simple_fn((SMALL.steps, SMALL.trials, SMALL.neurons), || {
            stream.random_range(-0.1..0.1_f32)
        });
        let own_terms = terms.select(pallium_core::ndarray::Axis(2), &order);
        for seed in 0..5 {
            let batch = ragged_batch(SMALL, seed);
            let (own, expected) = (train(&mut model, &batch, seed), train(&mut vanilla, &batch, seed));
            let wide = |values: &Matrix| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            assert!(distance(&own.outputs, wide(&expected.outputs)) < 1e-5, "update {seed}");
            let activity = vanilla.activity().unwrap().select(pallium_core::ndarray::Axis(2), &order);
            let off = distance(model.activity().unwrap(), activity.iter().map(|&h| f64::from(h)));
            assert!(off < 1e-5, "update {seed}");
            let own = gradients(&mut model, &own, Some(&own_terms));
            let expected = gradients(&mut vanilla, &expected, Some(&terms));
            let of_blocks: Vec<Vec<f32>> = own[..4].iter().map(|(_, gradient)| gradient.clone()).collect();
            let found = whole(&model, &of_blocks);
            let off = distance(&found, expected[0].1.iter().map(|&g| f64::from(g)));
            assert!(off < 1e-5, "update {seed}: off by {off:.1e}");
            let norm = |gradients: &[(String, Vec<f32>)]| {
                gradients.iter().flat_map(|(_, g)| g).map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
            };
            assert!((norm(&own) / norm(&expected) - 1.0).abs() < 1e-5);
            adam.update(&mut model);
            other_adam.update(&mut vanilla);
        }
        let found = whole(&model, &blocks(&model));
        let off = distance(&found, weights(&vanilla).iter().map(|&w| f64::from(w)));
        assert!(off < 1e-5, "after learning: off by {off:.1e}");
    }
}

#[test]
fn free_units_take_part_and_learn() {
    let mut model = build(json!({"free_excitatory": 5, "free_inhibitory": 5, "noise": 0.0}));
    let batch = ragged_batch(SMALL, 1);
    let first = evaluate(&mut model, &batch).sums.mean();
    let before = bits(&model);
    let mut adam = Adam::new(3e-3);
    (0..60).for_each(|seed| drop(learn(&mut model, &mut adam, &batch, seed)));
    let last = evaluate(&mut model, &batch).sums.mean();
    assert!(last < 0.7 * first, "{last} after {first}");
    for ((name, before), (_, after)) in before.iter().zip(bits(&model)) {
        assert_ne!(*before, after, "{name}");
    }
    let activity = {
        pass(&mut model, &batch.view(), Mode::Record).unwrap();
        model.activity().unwrap()
    };
    let excitatory = model.info().populations[0].units;
    assert!(activity.slice(s![.., .., excitatory - 5..excitatory]).iter().any(|&h| h > 0.0));
}

/// Values that were lent are those of the next pass and step.
#[test]
fn lent_blocks_reach_passes_and_steps() {
    let mut model = build(json!({"free_inhibitory": 2}));
    let batch = ragged_batch(SMALL, 1);
    let trained = train(&mut model, &batch, 1);
    for parameter in model.parameters_mut().unwrap() {
        parameter.fill(0.0);
    }
    put(&mut model, "bias", &[0.5; 25]);
    assert!(model.backward(trained.gradient.view(), None).is_err(), "the weights have changed");
    let states = Matrix::zeros((1, 25)).mapv(f64::from);
    let next = model.step(states.view(), Matrix::zeros((1, 3)).mapv(f64::from).view()).unwrap();
    assert!(next.iter().all(|&h| h == 0.5));
    pass(&mut model, &batch.view(), Mode::Record).unwrap();
    assert!(model.activity().unwrap().slice(s![0, .., ..]).iter().all(|&h| h == 0.5));
}

#[test]
fn a_population_can_be_left_out_of_inputs_and_outputs() {
    let mut model = build(json!({"input_to": "inhibitory", "readout_from": "excitatory"}));
    let mut adam = Adam::new(1e-2);
    for seed in 0..5 {
        learn(&mut model, &mut adam, &ragged_batch(SMALL, seed), seed);
    }
    for (name, connected) in
        [("input_e", false), ("input_i", true), ("readout_e", true), ("readout_i", false)]
    {
        assert_eq!(tensor(&model, name).iter().all(|&w| w != 0.0), connected, "{name}");
        assert_eq!(tensor(&model, name).iter().any(|&w| w != 0.0), connected, "{name}");
    }
}

/// With one population, the network is `rnn.vanilla` itself.
#[test]
fn a_population_without_units_is_left_out() {
    let mut model = build(json!({"excitatory": 0.0, "noise": 0.0}));
    let info = model.info();
    let names: Vec<&str> = info.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["recurrent_ii", "input_i", "bias", "readout_i", "readout_bias"]);
    assert_eq!(info.populations.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["inhibitory"]);
    let mut vanilla = super::build(SMALL, 1, quiet());
    for (one, other) in bits(&model).iter().zip(bits(&vanilla)) {
        assert_eq!(one.1, other.1, "{}", one.0);
    }
    let batch = ragged_batch(SMALL, 1);
    assert_eq!(evaluate(&mut model, &batch).outputs, evaluate(&mut vanilla, &batch).outputs);
}

#[test]
fn populations_without_units_and_wrong_neurons_are_refused() {
    for (params, words) in [
        (json!({"excitatory": 1.0, "input_to": "inhibitory"}), "no inhibitory units"),
        (json!({"excitatory": 0.0, "readout_from": "excitatory"}), "`readout_from`"),
        (json!({"free_inhibitory": 10_001}), "`free_inhibitory` is 10001"),
        (json!({"excitatory": 1.2}), "`excitatory` is 1.2"),
        (json!({"inhibitory": [23]}), "neuron 23"),
        (json!({"inhibitory": [3, 3]}), "neuron 3 twice"),
        (json!({"free_scale": -1.0}), "`free_scale`"),
        (json!({"leak": 0.0}), "`leak`"),
    ] {
        let parsed = pallium_core::parse_parameters("rnn.populations", &params.to_string()).unwrap();
        let error = Populations::build(parsed, &SMALL.setting(1)).err().unwrap();
        assert!(error.message.contains(words) && error.help.is_some(), "{error}");
    }
    build(json!({"excitatory": 1.0, "free_inhibitory": 4, "input_to": "inhibitory"}));
}
