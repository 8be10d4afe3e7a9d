//! Connections from one population to another.

use pallium_core::ndarray::s;
use pallium_core::prelude::*;
use pallium_core::{Units, parse_parameters};

use crate::communicability::Communicability;
use crate::distance::Distance;
use crate::l1::L1;
use crate::non_negative::NonNegative;
use crate::wiring_budget::WiringBudget;

fn build<C: Component>(params: &str, setting: &Setting<'_>) -> Result<C> {
    C::build(parse_parameters(C::ID, params)?, setting)
}

fn evaluate<C: Component + Constraint>(setting: &Setting<'_>, weights: MatrixView<'_>) -> (f64, Matrix) {
    let mut gradient = Matrix::zeros(weights.dim());
    let mut constraint = build::<C>("", setting).unwrap();
    let value = constraint.penalty(weights, gradient.view_mut(), &Point::new("block")).unwrap();
    (value, gradient)
}

/// Penalties on single connections are sums over any block of them; those on walks
/// need connections within one population.
#[test]
fn connections_between_populations_cost_what_they_cost_among_all_neurons() {
    let n = 6;
    let distance = Matrix::from_shape_fn((n, n), |(i, j)| if i == j { 0.0 } else { (i + 2 * j) as f32 });
    let weights = Matrix::from_shape_fn((n, n), |(i, j)| (i as f32 - 2.5) * (j as f32 + 0.5));
    let (from, to): ([i64; 2], [i64; 4]) = ([0, 1], [2, 3, 4, 5]);
    let block = s![..2, 2..];
    let setting = Setting {
        neurons: Some(n),
        rows: Some(Units { neurons: &from }),
        columns: Some(Units { neurons: &to }),
        distance: Some(distance.slice(block)),
        ..Setting::default()
    };
    let among_all = Setting { rows: None, columns: None, distance: Some(distance.view()), ..setting };
    let alone = Matrix::from_shape_fn((n, n), |(i, j)| if i < 2 && j >= 2 { weights[[i, j]] } else { 0.0 });
    let pairs = [
        (evaluate::<L1>(&setting, weights.slice(block)), evaluate::<L1>(&among_all, alone.view())),
        (
            evaluate::<Distance>(&setting, weights.slice(block)),
            evaluate::<Distance>(&among_all, alone.view()),
        ),
    ];
    for ((value, gradient), (expected, all)) in pairs {
        assert!((value / expected - 1.0).abs() < 1e-12, "{value} {expected}");
        assert_eq!(gradient, all.slice(block));
    }
    let mut clipped = weights.slice(block).to_owned();
    let mut rule = build::<NonNegative>("", &setting).unwrap();
    rule.project(clipped.view_mut(), &Point::new("block")).unwrap();
    assert_eq!(clipped, weights.slice(block).mapv(|w| w.max(0.0)));
    let mut limited = weights.slice(block).to_owned();
    let mut budget = build::<WiringBudget>(r#"{"budget": 0.5}"#, &setting).unwrap();
    budget.project(limited.view_mut(), &Point::new("block")).unwrap();
    let wire: f32 = limited.iter().zip(distance.slice(block)).map(|(w, d)| w.abs() * d).sum();
    assert!((wire / (0.5 * 2.0) - 1.0).abs() < 1e-5, "{wire}");
    let error = build::<Communicability>("", &setting).err().unwrap();
    assert!(error.message.contains("2 units to 4 others"), "{error}");
}
