//! Trials against closed forms, and the conformance checks.

use pallium_core::abi::Library;
use pallium_core::ndarray::{Array2, s};
use pallium_core::prelude::*;
use serde_json::{Value, json};

fn task(id: &str, parameters: &Value, substrate: Option<&Substrate>) -> Result<Box<dyn Task>> {
    let setting = Setting { substrate, ..Setting::default() };
    Library::from_this_crate().task(id, &parameters.to_string(), &setting)
}

fn values(batch: &Batch) -> pallium_core::ndarray::ArrayView3<'_, f32> {
    batch.targets.view().values().unwrap()
}

#[test]
fn a_sine_has_the_frequency_that_the_input_states() {
    let mut sine = task("signal.sine-wave", &json!({}), None).unwrap();
    let info = sine.info();
    assert_eq!((info.inputs, info.outputs, info.steps), (1, 1, 50));
    let batch = sine.trials(20, 3).unwrap();
    batch.check(&info).unwrap();
    for trial in 0..20 {
        let level = f64::from(batch.inputs[[trial, 7, 0]]);
        let index = ((level - 0.25) * 51.0).round();
        let hertz = 1.0 + 5.0 * index / 50.0;
        for step in 0..50 {
            let time = (step + 1) as f64 * 0.01;
            let expected = (std::f64::consts::TAU * hertz * time).sin();
            assert!((f64::from(values(&batch)[[trial, step, 0]]) - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn an_integral_is_the_sum_of_its_inputs_and_is_held() {
    let mut task = task("signal.integration", &json!({}), None).unwrap();
    let batch = task.trials(5, 1).unwrap();
    for trial in 0..5 {
        let mut sum = 0.0;
        for step in 0..50 {
            sum += f64::from(batch.inputs[[trial, step, 0]]) * 0.02;
            assert!((f64::from(values(&batch)[[trial, step, 0]]) - sum).abs() < 1e-5);
        }
        assert!(batch.inputs.slice(s![trial, 40.., 0]).iter().all(|&input| input == 0.0));
    }
    // Answers within the tolerance are correct.
    let view = batch.view();
    let rows = view.scored().count();
    let answers = Array2::from_shape_fn((rows, 1), |(row, _)| {
        let at = view.scored().nth(row).unwrap();
        values(&batch)[[at.trial, at.step, 0]] + if at.trial == 2 { 0.3 } else { 0.1 }
    });
    let judged = task.judge(&view, answers.view()).unwrap();
    assert!(view.scored().zip(judged).all(|(at, correct)| correct == (at.trial != 2)));
}

/// 6 neurons; neuron i has i + 1 events in bin b if (b + i) is a multiple of 3.
fn recording() -> Substrate {
    let of = |neuron: usize| -> Vec<f64> {
        (0..300)
            .filter(|bin| (bin + neuron).is_multiple_of(3))
            .flat_map(|bin| (0..=neuron).map(move |k| 10.0 + bin as f64 * 0.2 + 0.01 * (k + 1) as f64))
            .collect()
    };
    Substrate {
        name: "made".into(),
        neurons: 6,
        events: Some((0..6).map(of).collect()),
        recording: Some((10.0, 70.0)),
        ..Substrate::default()
    }
}

#[test]
fn windows_of_a_recording_hold_its_counts_and_splits_do_not_overlap() {
    let substrate = recording();
    let given = json!({"neurons": [4, 1], "duration": 2000.0, "poisson": true});
    let mut task = task("signal.recorded-activity", &given, Some(&substrate)).unwrap();
    let info = task.info();
    assert_eq!((info.inputs, info.outputs, info.loss), (4, 2, Loss::Poisson));
    let batch = task.trials_of(Split::Test, 8, 5).unwrap();
    batch.check(&info).unwrap();
    for trial in 0..8 {
        for step in 0..10 {
            // Neurons 1 and 4 have 2 and 5 events in the same bins.
            let [one, four] = [0, 1].map(|output| values(&batch)[[trial, step, output]]);
            assert!((one, four) == (0.0, 0.0) || (one, four) == (2.0, 5.0), "{one} {four}");
            // Neurons 0 and 3 are active one bin later than 1 and 4.
            let active = batch.inputs[[trial, step, 0]] > 0.0;
            assert_eq!(active, step > 0 && values(&batch)[[trial, step - 1, 0]] > 0.0 || active && step == 0);
        }
        assert!(batch.mask.slice(s![trial, ..2]).iter().all(|&m| m == 0.0));
    }
    assert_eq!(super::recorded_activity::parts(300, 0.2), [0..240, 240..270, 270..300]);
}

#[test]
fn wrong_parameters_are_refused_with_a_remedy() {
    let substrate = recording();
    let refused = |given: Value, text: &str| {
        let error = task("signal.recorded-activity", &given, Some(&substrate)).err().unwrap();
        assert!(error.report().contains(text), "{}", error.report());
    };
    refused(json!({"predicted": 6}), "below the number of neurons, 6");
    refused(json!({"neurons": [7]}), "neurons 0 to 5");
    refused(json!({"neurons": [1, 1]}), "twice");
    refused(json!({"predicted": 1, "duration": 40000.0}), "shorten `duration`");
    let silent =
        task("signal.recorded-activity", &json!({}), Some(&Substrate { neurons: 3, ..Substrate::default() }));
    assert!(silent.err().unwrap().report().contains("no event times"));
    let fast = task("signal.sine-wave", &json!({"highest": 80.0}), None).err().unwrap();
    assert!(fast.report().contains("at most 50 Hz"), "{}", fast.report());
}

#[test]
fn components_conform() {
    for id in ["signal.sine-wave", "signal.integration", "signal.prediction"] {
        pallium_testkit::assert_conforms(id, &json!({}));
    }
}
