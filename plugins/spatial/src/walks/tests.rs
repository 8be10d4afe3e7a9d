//! Communicability along connections, compared with SciPy (`fixtures/connections.py`).

use pallium_core::ndarray::Array2;
use pallium_core::parse_parameters;
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};

use super::Walks;
use crate::communicability::Communicability;
use crate::on_connections::factorials;

/// A network on connections.
struct Network {
    connections: Connections,
    weights: Vec<f32>,
    distance: Vec<f32>,
}

/// The network of the fixture.
fn network(n: usize, degree: usize) -> Network {
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as f64 / 2.0_f64.powi(32)
    };
    let at: Vec<[f64; 3]> = (0..n).map(|_| [draw(), draw(), draw()]).collect();
    let mut weights = Array2::<f32>::zeros((n, n));
    for i in 0..n {
        for k in 0..if i == 0 { n / 3 } else { degree } {
            let j = if i == 0 { 3 * k } else { (draw() * n as f64) as usize };
            let weight = ((draw() - 0.5) * 4.0_f64.powi(k as i32 % 3)) as f32;
            if i % 10 != 7 {
                weights[[i, j]] = weight;
            }
        }
    }
    let connections = Connections::where_not_zero(weights.view());
    let between = |(i, j): (usize, usize)| {
        at[i].iter().zip(at[j]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() as f32
    };
    let distance = connections.view().pairs().map(between).collect();
    let weights = connections.view().gather(weights.view());
    Network { connections, weights, distance }
}

fn expected() -> Value {
    serde_json::from_str(include_str!("../../fixtures/connections.json")).unwrap()
}

/// Largest errors of the value, of the gradient's entries (in its norm).
fn errors(expected: &Value, value: f64, gradient: &[f32]) -> [f64; 2] {
    let of = |name: &str| expected[name].as_f64().unwrap();
    let slopes = expected["gradient"].as_object().unwrap();
    let off = slopes.iter().map(|(place, slope)| {
        (f64::from(gradient[place.parse::<usize>().unwrap()]) - slope.as_f64().unwrap()).abs() / of("norm")
    });
    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    [(value / of("value") - 1.0).abs(), off.fold((norm / of("norm") - 1.0).abs(), f64::max)]
}

#[test]
fn sums_over_walks_and_their_gradients_agree_with_scipy() {
    let (network, expected) = (network(300, 10), expected());
    let pairs = network.connections.view();
    assert_eq!(pairs.len() as u64, expected["connections"].as_u64().unwrap());
    let sum = |values: &[f32]| values.iter().map(|&v| f64::from(v.abs())).sum::<f64>();
    assert!((sum(&network.weights) / expected["weights"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    assert!((sum(&network.distance) / expected["distances"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    for order in 1..=6_u32 {
        let mut walks = Walks::new(pairs, 1, factorials(order));
        let mut gradient = vec![0.0; pairs.len()];
        let value = walks.penalty(&network.weights, &mut gradient, &network.distance, 0.3);
        let found = errors(&expected[order.to_string()], value, &gradient);
        println!("walks of {order}: off by {found:.8?}");
        assert!(found.iter().all(|error| *error < 1e-6), "{order}: {found:?}");
        // Again, with what the first call left behind.
        let mut again = vec![0.0; pairs.len()];
        assert_eq!(value, walks.penalty(&network.weights, &mut again, &network.distance, 0.3));
        assert_eq!(gradient, again);
    }
}

fn component(network: &Network, threads: usize, walks: u32) -> Communicability {
    let distance = Array2::from_shape_vec((1, network.distance.len()), network.distance.clone()).unwrap();
    let pairs = network.connections.view();
    let setting = Setting {
        neurons: Some(pairs.dim().0),
        connections: Some(pairs),
        distance: Some(distance.view()),
        threads,
        ..Setting::default()
    };
    let params = json!({ "walks": walks }).to_string();
    Communicability::build(parse_parameters(Communicability::ID, &params).unwrap(), &setting).unwrap()
}

fn evaluate(constraint: &mut Communicability, network: &Network) -> (f64, Vec<f32>) {
    let count = network.weights.len();
    let weights = Array2::from_shape_vec((1, count), network.weights.clone()).unwrap();
    let mut gradient = Array2::zeros((1, count));
    let value = constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap();
    (value, gradient.into_raw_vec_and_offset().0)
}

#[test]
fn walks_of_four_connections_nearly_are_the_exponential() {
    let (network, expected) = (network(300, 10), expected());
    let (value, gradient) = evaluate(&mut component(&network, 1, 0), &network);
    let exact = errors(&expected["all"], value, &gradient);
    assert!(exact.iter().all(|error| *error < 1e-6), "{exact:?}");
    for (walks, limit) in [(4, 1e-3), (6, 1e-5), (9, 1e-6)] {
        let (value, gradient) = evaluate(&mut component(&network, 1, walks), &network);
        let found = errors(&expected["all"], value, &gradient);
        println!("walks of {walks}: off by {found:.8?}");
        assert!(found.iter().all(|error| *error < limit), "{walks}: {found:?}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let network = network(200, 12);
    let one = evaluate(&mut component(&network, 1, 4), &network);
    for threads in [2, 3, 8] {
        assert!(one == evaluate(&mut component(&network, threads, 4), &network), "{threads}");
    }
}

#[test]
fn changed_connections_are_followed() {
    let (before, after) = (network(60, 5), network(60, 6));
    let mut constraint = component(&before, 1, 4);
    evaluate(&mut constraint, &before);
    let origin: Vec<i64> = vec![-1; after.weights.len()];
    let distance = Array2::from_shape_vec((1, origin.len()), after.distance.clone()).unwrap();
    let mut change = RewiringView::new(after.connections.view(), &origin, before.weights.len());
    change.distance = Some(distance.view());
    constraint.rewired(&change).unwrap();
    let expected = evaluate(&mut component(&after, 1, 4), &after);
    assert!(evaluate(&mut constraint, &after) == expected);
}

#[test]
fn silent_and_non_finite_weights_are_noticed() {
    let mut network = network(60, 5);
    let silent = Network { weights: vec![0.0; network.weights.len()], ..network };
    let (value, gradient) = evaluate(&mut component(&silent, 1, 4), &silent);
    assert!(value == 0.0 && gradient.iter().all(|g| *g == 0.0));
    network = silent;
    network.weights.fill(1.0);
    network.weights[3] = f32::NAN;
    let (value, gradient) = evaluate(&mut component(&network, 1, 4), &network);
    assert!(value.is_nan() && gradient[3].is_nan());
}

/// `cargo test --release -- --ignored --nocapture speed_on_connections`
#[test]
#[ignore = "measures time"]
fn speed_on_connections() {
    let large = network(15_448, 20);
    println!("{} connections", large.weights.len());
    for (threads, walks) in [(1, 3), (1, 4), (2, 4), (1, 5)] {
        let mut constraint = component(&large, threads, walks);
        evaluate(&mut constraint, &large);
        let clock = std::time::Instant::now();
        evaluate(&mut constraint, &large);
        println!("{threads} threads, walks of {walks}: {:.3} s", clock.elapsed().as_secs_f64());
    }
}
