//! Tests of the constraints of this plugin.

use pallium_core::Units;
use pallium_core::ndarray::{Array2, Array3};
use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_testkit::{World, assert_all_conform};

use crate::dale::Dale;
use crate::mask::Mask;
use crate::no_autapses::NoAutapses;
use crate::rate::Rate;
use crate::spectral_radius::SpectralRadius;

#[test]
fn conform() {
    assert_all_conform();
}

fn build<C: Component>(params: Value, setting: &Setting<'_>) -> Result<C> {
    C::build(pallium_core::parse_parameters(C::ID, &params.to_string())?, setting)
}

fn projected<C: Component + Constraint>(params: Value, world: &World, seed: u64) -> Matrix {
    let mut weights = world.weights(seed);
    let setting = Setting { seed, ..world.setting() };
    build::<C>(params, &setting).unwrap().project(weights.view_mut(), &Point::new("recurrent")).unwrap();
    weights
}

#[test]
fn dale_gives_every_neuron_one_sign() {
    let world = World::new(50, 1);
    let before = world.weights(3);
    for (params, inhibitory) in [
        (json!({}), 10),
        (json!({"excitatory": 0.5}), 25),
        (json!({"excitatory": 1.0}), 0),
        (json!({"excitatory": 0.0}), 50),
        (json!({"assignment": "last"}), 10),
        (json!({"inhibitory": [0, 7, 49]}), 3),
    ] {
        let after = projected::<Dale>(params.clone(), &world, 3);
        let inhibits: Vec<bool> = after.rows().into_iter().map(|row| row.iter().any(|&w| w < 0.0)).collect();
        assert_eq!(inhibits.iter().filter(|&&i| i).count(), inhibitory, "{params}");
        for ((i, j), &w) in after.indexed_iter() {
            let kept = (before[[i, j]] < 0.0) == inhibits[i];
            assert_eq!(w, if kept { before[[i, j]] } else { 0.0 });
        }
        if params.get("inhibitory").is_some() {
            assert!(inhibits[0] && inhibits[7] && inhibits[49]);
        }
        if params.get("assignment").is_some() {
            assert!(inhibits[40..].iter().all(|&i| i));
        }
    }
    // Other runs draw other neurons.
    let signs = |seed| {
        let setting = Setting { seed, ..world.setting() };
        let mut w = Matrix::ones((50, 50));
        build::<Dale>(json!({}), &setting).unwrap().project(w.view_mut(), &Point::new("recurrent")).unwrap();
        w
    };
    assert_eq!(signs(3), signs(3));
    assert_ne!(signs(3), signs(4));
    let mut nan = Matrix::from_elem((50, 50), f32::NAN);
    build::<Dale>(json!({}), &world.setting())
        .unwrap()
        .project(nan.view_mut(), &Point::new("recurrent"))
        .unwrap();
    assert!(nan.iter().all(|w| w.is_nan()), "a diverged weight must not become a plausible 0");
    for wrong in [json!({"inhibitory": [50]}), json!({"inhibitory": [3, 3]}), json!({"excitatory": 1.1})] {
        assert!(build::<Dale>(wrong, &world.setting()).is_err());
    }
}

fn pairs(weights: &Matrix) -> Array2<bool> {
    weights.mapv(|w| w != 0.0)
}

#[test]
fn masks_have_the_pairs_of_the_connectome_or_as_many() {
    let world = World::new(60, 2);
    let counts = world.substrate().matrices[Substrate::CONNECTOME].to_array();
    let full = |params: Value, seed: u64| {
        let mut w = Matrix::ones((60, 60));
        let setting = Setting { seed, ..world.setting() };
        build::<Mask>(params, &setting).unwrap().project(w.view_mut(), &Point::new("recurrent")).unwrap();
        pairs(&w)
    };
    let measured = full(json!({}), 1);
    assert_eq!(measured, counts.mapv(|c| c >= 1.0));
    assert_eq!(full(json!({"least": 3}), 1), counts.mapv(|c| c >= 3.0));
    let either = full(json!({"direction": "either", "autapses": true}), 1);
    assert_eq!(
        either,
        Array2::from_shape_fn((60, 60), |(i, j)| i == j || counts[[i, j]] + counts[[j, i]] > 0.0)
    );

    let count = |m: &Array2<bool>| m.iter().filter(|&&m| m).count();
    let degrees = |m: &Array2<bool>, axis| m.mapv(usize::from).sum_axis(pallium_core::ndarray::Axis(axis));
    let matched = full(json!({"pairs": "density-matched"}), 1);
    let preserving = full(json!({"pairs": "degree-preserving"}), 1);
    for (control, preserves) in [(&matched, false), (&preserving, true)] {
        assert_eq!(count(control), count(&measured));
        assert!(control.diag().iter().all(|d| !d));
        for axis in 0..2 {
            assert_eq!(degrees(control, axis) == degrees(&measured, axis), preserves);
        }
        // Two random masks of this density share a fraction equal to the
        // density.
        let shared = control.iter().zip(&measured).filter(|(a, b)| **a && **b).count();
        let (shared, density) = (shared as f64 / count(&measured) as f64, count(&measured) as f64 / 3540.0);
        assert!((shared - density).abs() < 0.08, "{shared} {density}");
    }
    assert_ne!(matched, full(json!({"pairs": "density-matched"}), 2));
    assert_ne!(preserving, full(json!({"pairs": "degree-preserving"}), 2));
    assert_eq!(preserving, full(json!({"pairs": "degree-preserving"}), 1));

    let weights = projected::<Mask>(json!({}), &world, 4);
    let before = world.weights(4);
    for ((i, j), &w) in weights.indexed_iter() {
        assert_eq!(w, if measured[[i, j]] { before[[i, j]] } else { 0.0 });
    }
    let bare = Setting { substrate: None, ..world.setting() };
    assert!(build::<Mask>(json!({}), &bare).is_err());
    assert!(build::<Mask>(json!({"least": 0}), &world.setting()).is_err());
    // Sizes of synapses may be below 1.
    let mut sized = world.substrate().clone();
    sized.matrices.insert(Substrate::CONNECTOME.into(), (&counts / 16.0).into());
    let sized = Setting { substrate: Some(&sized), ..world.setting() };
    let mut w = Matrix::ones((60, 60));
    build::<Mask>(json!({"least": 0.1875}), &sized)
        .unwrap()
        .project(w.view_mut(), &Point::new("recurrent"))
        .unwrap();
    assert_eq!(pairs(&w), counts.mapv(|c| c >= 3.0));
    let error = build::<Mask>(json!({"least": 100}), &world.setting()).err().unwrap();
    assert!(error.message.contains("connects no pair with at least 100"), "{error}");
    assert!(error.help.unwrap().contains("at most"));
}

#[test]
fn no_autapses_clears_only_the_diagonal() {
    let world = World::new(12, 1);
    let mut expected = world.weights(1);
    expected.diag_mut().fill(0.0);
    assert_eq!(projected::<NoAutapses>(json!({}), &world, 1), expected);
}

#[test]
fn activity_penalties_match_their_formulas() {
    let activity = Array3::from_shape_fn((3, 2, 2), |(t, b, i)| (t + 2 * b) as f32 + 10.0 * i as f32);
    // Neuron 0: 0 1 2 2 3 4; neuron 1: ten more.
    let at = |params: Value| {
        let mut gradient = Array3::ones((3, 2, 2));
        let mut rate = build::<Rate>(params, &Setting::default()).unwrap();
        let value =
            rate.activity_penalty(&Activity::new(activity.view(), &[3, 3]), gradient.view_mut()).unwrap();
        (value, gradient)
    };
    let near = |(value, gradient): (f64, Array3<f32>), expected: f64, slope: &dyn Fn(f32, usize) -> f64| {
        assert!((value - expected).abs() < 1e-6 * expected, "{value}, not {expected}");
        for ((t, b, i), g) in gradient.indexed_iter() {
            assert!((f64::from(*g) - 1.0 - slope(activity[[t, b, i]], i)).abs() < 1e-6);
        }
    };
    let squares: f64 = activity.iter().map(|&h| f64::from(h).powi(2)).sum();
    near(at(json!({"strength": 0.6})), 0.6 * squares / 12.0, &|h, _| 0.1 * f64::from(h));
    let sizes: f64 = activity.iter().map(|&h| (f64::from(h) - 2.0).abs()).sum();
    near(at(json!({"strength": 0.6, "rule": "absolute", "target": 2.0})), 0.6 * sizes / 12.0, &|h, _| {
        0.05 * f64::from(h - 2.0).signum() * f64::from(u8::from(h != 2.0))
    });
    // Means 2 and 12 against 1.
    near(
        at(json!({"strength": 0.6, "rule": "homeostatic", "target": 1.0})),
        0.6 * (1.0 + 121.0) / 2.0,
        &|_, i| 0.6 * 2.0 * [1.0, 11.0][i] / 12.0,
    );
}

/// Twenty trials of 4 steps, the first one longer: whatever is past the end of a
/// trial, the penalty is that of the steps within trials alone.
#[test]
fn padding_is_not_activity() {
    for (longest, rule, target) in [4, 50].into_iter().flat_map(|longest| {
        [("square", 0.5), ("absolute", 0.5), ("homeostatic", 0.25)].map(|(rule, r)| (longest, rule, r))
    }) {
        let mut lengths = [4_u32; 20];
        lengths[0] = longest;
        // The mean of every trial is 0.5: 0.25 and 0.75 in turn.
        let level = |t: usize, b: usize| {
            if (t as u32) < lengths[b] { [0.25, 0.75][t % 2] } else { 7.0 }
        };
        let activity = Array3::from_shape_fn((longest as usize, 20, 3), |(t, b, _)| level(t, b));
        let mut gradient = Array3::zeros(activity.dim());
        let params = json!({"strength": 2.0, "rule": rule, "target": target});
        let mut rate = build::<Rate>(params, &Setting::default()).unwrap();
        let value =
            rate.activity_penalty(&Activity::new(activity.view(), &lengths), gradient.view_mut()).unwrap();
        let expected = if rule == "absolute" { 2.0 * 0.25 } else { 2.0 * 0.25 * 0.25 };
        assert!((value - expected).abs() < 1e-12, "{rule}, {longest}: {value}");
        let real = lengths.iter().sum::<u32>() as f32;
        for ((t, b, _), &g) in gradient.indexed_iter() {
            let apart = level(t, b) - 0.5;
            let slope = match rule {
                _ if t as u32 >= lengths[b] => 0.0,
                "square" => 2.0 * apart,
                "absolute" => apart.signum(),
                _ => 2.0 * 0.25,
            };
            let expected = 2.0 * slope / (3.0 * real);
            assert!((g - expected).abs() <= 1e-6 * expected.abs(), "{rule}, {longest}: {g} {expected}");
        }
    }
    let none = Array3::zeros((4, 2, 3));
    let mut rate = build::<Rate>(json!({}), &Setting::default()).unwrap();
    let mut gradient = none.clone();
    let value = rate.activity_penalty(&Activity::new(none.view(), &[0, 0]), gradient.view_mut()).unwrap();
    assert_eq!((value, &gradient), (0.0, &none));
    assert!(rate.activity_penalty(&Activity::new(none.view(), &[4]), gradient.view_mut()).is_err());
}

/// Connections from neurons 3, 4, a free unit and 8 to neurons 4 and 7 and a free
/// unit are constrained as the same pairs of the network of all neurons are.
#[test]
fn connections_between_populations_follow_their_neurons() {
    let world = World::new(12, 5);
    let (from, to) = ([3, 4, -1, 8], [4, 7, -1]);
    let setting = Setting {
        rows: Some(Units { neurons: &from }),
        columns: Some(Units { neurons: &to }),
        seed: 9,
        ..world.setting()
    };
    let whole = Setting { seed: 9, ..world.setting() };
    fn cleared<C: Component + Constraint>(params: Value, setting: &Setting<'_>, value: f32) -> Array2<bool> {
        let mut weights = Matrix::from_elem(setting.shape().unwrap(), value);
        build::<C>(params, setting).unwrap().project(weights.view_mut(), &Point::new("block")).unwrap();
        weights.mapv(|w| w == 0.0)
    }
    let all = cleared::<Dale>(json!({"excitatory": 0.5}), &whole, 1.0);
    let block = cleared::<Dale>(json!({"excitatory": 0.5}), &setting, 1.0);
    let mask = cleared::<Mask>(json!({}), &whole, 1.0);
    let masked = cleared::<Mask>(json!({}), &setting, 1.0);
    let alone = cleared::<NoAutapses>(json!({}), &setting, 1.0);
    for ((i, j), &zero) in block.indexed_iter() {
        if let Ok(neuron) = usize::try_from(from[i]) {
            assert_eq!(zero, all[[neuron, 0]]);
        }
        let known = usize::try_from(from[i]).ok().zip(usize::try_from(to[j]).ok());
        assert_eq!(masked[[i, j]], known.is_some_and(|pair| mask[pair]));
        assert_eq!(alone[[i, j]], (i, j) == (1, 0));
    }
    let listed = cleared::<Dale>(json!({"inhibitory": [4, 11]}), &setting, 1.0);
    assert_eq!(listed.column(0).to_vec(), [false, true, false, false]);
    let error = build::<SpectralRadius>(json!({}), &setting).err().unwrap();
    assert!(error.message.contains("4 units to 3 others"), "{error}");
    let beyond = [12];
    let setting = Setting { rows: Some(Units { neurons: &beyond }), ..setting };
    assert!(build::<Mask>(json!({}), &setting).is_err() && build::<Dale>(json!({}), &setting).is_err());
}

#[test]
fn measured_kinds_and_unknown_axons_are_read_from_the_substrate() {
    let world = World::new(50, 1);
    let mut substrate = world.setting().substrate().unwrap().clone();
    fn on<'a>(world: &'a World, substrate: &'a SubstrateView<'a>) -> Setting<'a> {
        Setting { substrate: Some(substrate), seed: 4, ..world.setting() }
    }
    let error = build::<Dale>(json!({"assignment": "measured"}), &on(&world, &substrate)).err().unwrap();
    assert!(error.message.contains("does not know which neurons are inhibitory"), "{error}");
    let error = build::<Mask>(json!({"unknown": "free"}), &on(&world, &substrate)).err().unwrap();
    assert!(error.message.contains("does not know which axons were proofread"), "{error}");

    // Ten of each kind in turn, then unknown.
    let kinds: Vec<i64> = (0..50).map(|k| if k < 20 { i64::from(k < 10) } else { -1 }).collect();
    substrate.ids.insert("inhibitory".into(), kinds.into());
    substrate.ids.insert("axon".into(), (0..50).map(|k| i64::from(k % 2)).collect::<Vec<i64>>().into());
    let mut ones = Matrix::ones((50, 50));
    let params = json!({"assignment": "measured", "excitatory": 0.5});
    let mut dale: Dale = build(params, &on(&world, &substrate)).unwrap();
    dale.project(ones.view_mut(), &Point::new("recurrent")).unwrap();
    let inhibits: Vec<bool> = ones.rows().into_iter().map(|row| row[0] == 0.0).collect();
    assert!(inhibits[..10].iter().all(|&i| i) && inhibits[10..20].iter().all(|&i| !i));
    assert_eq!(inhibits[20..].iter().filter(|&&i| i).count(), 15);

    let absent: Mask = build(json!({}), &on(&world, &substrate)).unwrap();
    let free: Mask = build(json!({"unknown": "free"}), &on(&world, &substrate)).unwrap();
    for ((i, j), &allowed) in free.allowed.indexed_iter() {
        let known = i == j || i % 2 == 1;
        assert_eq!(allowed, if known { absent.allowed[[i, j]] } else { true }, "{i}, {j}");
    }
}
