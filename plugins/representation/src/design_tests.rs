//! Comparison with statsmodels, dPCA and numpy (`fixtures/design.py`), and cases whose
//! answer is known.

use pallium_core::ndarray::{Array2, Array3, Array4, array};
use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value, json};
use pallium_core::{RecordedTrials, TargetsView};

use crate::axes::{Axes, Standardised, target};
use crate::demixed::{Demixed, demix};
use crate::design::Levels;
use crate::recording::Recording;
use crate::selectivity::{Anova, Selectivity};
use crate::tests::{array as values_of, numbers, value};

struct Design {
    expected: Value,
    names: Vec<String>,
    conditions: Vec<u32>,
    activity: Array3<f32>,
}

const STEPS: usize = 4;
const UNITS: usize = 5;

fn design() -> Design {
    let expected: Value = serde_json::from_str(include_str!("../fixtures/design.json")).unwrap();
    let conditions: Vec<u32> = numbers(&expected["conditions"]).into_iter().map(|v| v as u32).collect();
    let activity = numbers(&expected["activity"]).into_iter().map(|v| v as f32).collect();
    Design {
        names: serde_json::from_value(expected["names"].clone()).unwrap(),
        activity: Array3::from_shape_vec((STEPS, conditions.len(), UNITS), activity).unwrap(),
        conditions,
        expected,
    }
}

impl Design {
    fn network<'a>(&'a self, weights: &'a Array2<f32>) -> Network<'a> {
        Network {
            activity: Some(self.activity.view()),
            conditions: &self.conditions,
            condition_names: &self.names,
            ..Network::new(weights.view())
        }
    }

    fn measure<M: Component + Metric>(&self, params: Value) -> Measures {
        let params = pallium_core::parse_parameters(M::ID, &params.to_string()).unwrap();
        let weights = Array2::zeros((UNITS, UNITS));
        M::build(params, &Setting::default()).unwrap().measure(&self.network(&weights)).unwrap()
    }
}

#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < tolerance * b.abs().max(1.0), "{what}: {found:?} and not {expected:?}");
    }
}

#[test]
fn selectivity_is_the_analysis_of_variance_of_statsmodels() {
    let design = design();
    let found = design.measure::<Selectivity>(json!({}));
    let expected = &design.expected["selectivity"];
    close("F", &values_of(&found, "f"), &numbers(&expected["f"]), 1e-9);
    let p = numbers(&expected["p"]);
    close("p", &values_of(&found, "p"), &p, 1e-9);
    // Shares count what is significant.
    let effects: Vec<[bool; 3]> =
        p.chunks(3).map(|row| [row[0] < 0.05, row[1] < 0.05, row[2] < 0.05]).collect();
    let share = |of: fn(&[bool; 3]) -> bool| effects.iter().filter(|e| of(e)).count() as f64 / UNITS as f64;
    assert_eq!(value(&found, "selective_first"), share(|e| e[0]));
    assert_eq!(value(&found, "selective_second"), share(|e| e[1]));
    assert_eq!(value(&found, "selectivity_pure"), share(|e| !e[2] && e[0] != e[1]));
    assert_eq!(value(&found, "selectivity_linear"), share(|e| !e[2] && e[0] && e[1]));
    assert_eq!(value(&found, "selectivity_nonlinear"), share(|e| e[2]));
    assert!(share(|e| e[0]) > 0.0 && share(|e| e[0]) < 1.0, "the case shows both");
}

#[test]
fn units_of_known_selectivity_are_told_apart() {
    let of = |values: &[usize]| Levels { count: 2, of: values.to_vec() };
    let (first, second) = (of(&[0, 0, 0, 0, 1, 1, 1, 1]), of(&[0, 0, 1, 1, 0, 0, 1, 1]));
    let anova = Anova::new(&first, &second).unwrap();
    let unit = |of: &dyn Fn(f64, f64) -> f64, noise: f64| {
        let rows = (0..8).map(|trial| {
            let sign = if trial % 2 == 0 { noise } else { -noise };
            of(first.of[trial] as f64, second.of[trial] as f64) + sign
        });
        anova.tests(pallium_core::ndarray::Array1::from_iter(rows).view()).map(|(_, p)| p < 0.05)
    };
    for noise in [0.0, 0.01] {
        assert_eq!(unit(&|a, _| a, noise), [true, false, false]);
        assert_eq!(unit(&|_, b| 3.0 - b, noise), [false, true, false]);
        assert_eq!(unit(&|a, b| a + b, noise), [true, true, false]);
        assert_eq!(unit(&|a, b| (2.0 * a - 1.0) * (2.0 * b - 1.0), noise), [false, false, true]);
    }
    assert!(anova.tests(array![2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0].view())[0].1.is_nan());
    // A variable that follows from the other has no interaction with it.
    assert!(Anova::new(&first, &first).is_none());
}

#[test]
fn demixed_components_are_those_of_the_dpca_package() {
    let design = design();
    let ridge = design.expected["ridge"].as_f64().unwrap();
    let found = design.measure::<Demixed>(json!({"components": 2, "ridge": ridge}));
    let expected = &design.expected["demixed"];
    let shares = ["demixed_time", "demixed_first", "demixed_second", "demixed_interaction"];
    close("shares", &shares.map(|name| value(&found, name)), &numbers(&expected["share"]), 1e-10);
    close("explained", &values_of(&found, "explained"), &numbers(&expected["explained"]), 1e-8);
    let rows =
        |name: &str| -> Vec<f64> { expected[name].as_array().unwrap().iter().flat_map(numbers).collect() };
    close("encoders", &values_of(&found, "encoders"), &rows("encoders"), 1e-7);
    close("decoders", &values_of(&found, "decoders"), &rows("decoders"), 1e-7);
    close("together", &[value(&found, "demixed_explained")], &[expected["together"].as_f64().unwrap()], 1e-8);
    assert_eq!(values_of(&found, "paths").len(), 8 * 6 * STEPS);
}

#[test]
fn what_depends_on_one_variable_alone_is_demixed_into_its_part() {
    // Unit 0 follows time, unit 1 the first variable, unit 2 the product of both.
    let means = Array4::from_shape_fn((3, 2, 2, 3), |(unit, a, b, step)| match unit {
        0 => step as f64,
        1 => a as f64,
        _ => (2.0 * a as f64 - 1.0) * (2.0 * b as f64 - 1.0),
    });
    let found = demix(&means, 3, 1e-9).unwrap();
    let parts: Vec<usize> = found.axes.iter().map(|axis| axis.part).collect();
    assert_eq!(parts, [0, 1, 3], "the second variable alone does nothing");
    for (axis, unit) in found.axes.iter().zip([0, 1, 2]) {
        assert!((axis.encoder[unit] - 1.0).abs() < 1e-9, "{:?}", axis.encoder);
    }
    assert!((found.together - 1.0).abs() < 1e-6 && found.shares[2] < 1e-20);
    assert!(demix(&Array4::ones((3, 2, 2, 3)), 3, 1e-3).is_none());
}

#[test]
fn axes_are_those_of_numpy() {
    let design = design();
    let weights = Array2::zeros((UNITS, UNITS));
    let own = Standardised::new(&Recording::new(&design.network(&weights)).unwrap()).unwrap();
    let choice = numbers(&design.expected["choice"]).into_iter().map(|choice| 2.0 * choice - 1.0).collect();
    let signed = [-1.0, -5.0, -25.0, 1.0, 5.0, 25.0];
    let evidence = design.conditions.iter().map(|&at| signed[at as usize] / 25.0).collect();
    let found = target(&own, &[choice, evidence], 3).unwrap();
    let expected = &design.expected["axes"];
    let steps: Vec<f64> = found.steps.iter().map(|&step| step as f64).collect();
    assert_eq!(steps, numbers(&expected["steps"]));
    let flat = |rows: &Array2<f64>| rows.iter().copied().collect::<Vec<_>>();
    close("coefficients", &flat(&found.coefficients), &numbers(&expected["coefficients"]), 1e-9);
    close("orthogonal", &flat(&found.orthogonal), &numbers(&expected["orthogonal"]), 1e-9);
    close("variance", &found.variance, &numbers(&expected["variance"]), 1e-9);
    close("angle", &[found.angle()], &[expected["angle"].as_f64().unwrap()], 1e-9);
}

#[test]
fn the_axis_of_a_variable_is_where_it_is_encoded_and_choice_that_follows_is_left_out() {
    // Unit 0 encodes the sign of the motion, unit 1 nothing but noise of both signs.
    let names = ["left".to_owned(), "right".to_owned()];
    let conditions: Vec<u32> = (0..8).map(|trial| trial % 2).collect();
    let activity = Array3::from_shape_fn((2, 8, 2), |(_, trial, unit)| match unit {
        0 => (trial % 2) as f32,
        _ => (trial / 2 % 2) as f32,
    });
    // The network answers as the motion goes.
    let outputs = Array2::from_shape_fn((8, 2), |(trial, class)| if class == trial % 2 { 1.0 } else { 0.0 });
    let (inputs, mask) = (Array3::zeros((8, 2, 1)), array![[0.0_f32, 1.0]]);
    let mask = mask.broadcast((8, 2)).unwrap().to_owned();
    let targets = Array2::zeros((8, 2));
    let weights = Array2::zeros((2, 2));
    let network = Network {
        activity: Some(activity.view()),
        conditions: &conditions,
        condition_names: &names,
        trials: Some(RecordedTrials::new(
            inputs.view(),
            TargetsView::Classes(targets.view()),
            mask.view(),
            outputs.view(),
        )),
        ..Network::new(weights.view())
    };
    let params = pallium_core::parse_parameters(Axes::ID, "{}").unwrap();
    let found = Axes::build(params, &Setting::default()).unwrap().measure(&network).unwrap();
    assert_eq!(value(&found, "axes"), 1.0, "the choice and the motion are one");
    assert!(value(&found, "axes_angle").is_nan() && value(&found, "axis_2_step").is_nan());
    let axis = values_of(&found, "orthogonal");
    assert!((axis[0].abs() - 1.0).abs() < 1e-12 && axis[1].abs() < 1e-12, "{axis:?}");
    // Where the choice follows from the only factor, nothing is left to interact.
    let params = pallium_core::parse_parameters(Selectivity::ID, "{}").unwrap();
    let found = Selectivity::build(params, &Setting::default()).unwrap().measure(&network).unwrap();
    assert!(value(&found, "selective_first").is_nan());
}

#[test]
fn equal_variables_are_refused() {
    let same = pallium_core::parse_parameters(Selectivity::ID, r#"{"first": 2}"#).unwrap();
    let error = Selectivity::build(same, &Setting::default()).err().unwrap();
    assert!(error.message.contains("both 2") && error.help.is_some(), "{error}");
    let same = pallium_core::parse_parameters(Demixed::ID, r#"{"second": 1}"#).unwrap();
    assert!(Demixed::build(same, &Setting::default()).is_err());
}
