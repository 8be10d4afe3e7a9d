//! Networks of which only some units receive input or are read out.

use pallium_core::prelude::*;
use pallium_core::serde_json::json;

use super::{Adam, SMALL, bits, build_any, evaluate, gradients, learn, ragged_batch, tensor, train};
use crate::gru::Gru;
use crate::layout::Layout;
use crate::leaky::Leaky;
use crate::lstm::Lstm;
use crate::reservoir::Reservoir;
use crate::trained::Trained;
use crate::vanilla::Vanilla;

/// Units 1 and 4 receive input, five drawn ones are read out.
fn params() -> pallium_core::serde_json::Value {
    json!({"input_units": [4, 1], "readout_units": 5, "noise": 0.0})
}

/// The units that a parameter's rows (`of_rows`) or columns other than 0 belong to.
fn connected(values: &[f32], of_rows: bool) -> Vec<usize> {
    let n = SMALL.neurons;
    let unit = |at: usize| if of_rows { at / SMALL.outputs } else { at % n };
    let mut units: Vec<usize> =
        values.iter().enumerate().filter(|(_, w)| **w != 0.0).map(|(at, _)| unit(at)).collect();
    units.sort_unstable();
    units.dedup();
    units
}

fn inputs_of(model: &dyn Model) -> Vec<String> {
    let names = model.info().parameters.into_iter();
    names.filter(|p| p.kind == ParameterKind::Input).map(|p| p.name).collect()
}

fn check(name: &str, model: &mut dyn Model) {
    for input in inputs_of(model) {
        assert_eq!(connected(&tensor(model, &input), false), [1, 4], "{name}, {input}");
    }
    let read = connected(&tensor(model, "readout"), true);
    assert_eq!(read.len(), 5, "{name}");
    // The gradient is that of the network without the absent weights: the others are
    // not changed by it.
    let batch = ragged_batch(SMALL, 3);
    let pass = train(model, &batch, 1);
    for (parameter, gradient) in gradients(model, &pass, None) {
        if parameter.starts_with("input") {
            let found = connected(&gradient, false);
            assert!(
                !found.is_empty() && found.iter().all(|unit| [1, 4].contains(unit)),
                "{name}, {parameter}"
            );
        } else if parameter == "readout" {
            // A unit that was silent has none.
            let found = connected(&gradient, true);
            assert!(!found.is_empty() && found.iter().all(|unit| read.contains(unit)), "{name}");
        } else if parameter.starts_with("bias") {
            assert!(gradient.iter().filter(|&&g| g != 0.0).count() > 5, "{name}, {parameter}");
        }
    }
    let mut adam = Adam::new(1e-2);
    let first = evaluate(model, &batch).sums.mean();
    for seed in 0..20 {
        learn(model, &mut adam, &batch, seed);
    }
    assert!(evaluate(model, &batch).sums.mean() < first, "{name}");
    for input in inputs_of(model) {
        assert_eq!(connected(&tensor(model, &input), false), [1, 4], "{name}, {input}");
    }
    assert_eq!(connected(&tensor(model, "readout"), true), read, "{name}");
}

#[test]
fn weights_of_other_units_are_0_and_stay_0() {
    for threads in [1, 2] {
        let setting = SMALL.setting(threads);
        check("vanilla", &mut build_any::<Vanilla>(&params(), &setting));
        check("leaky", &mut build_any::<Layout<Leaky>>(&params(), &setting));
        check("gru", &mut build_any::<Trained<Gru>>(&params(), &setting));
        check("lstm", &mut build_any::<Trained<Lstm>>(&params(), &setting));
    }
}

#[test]
fn a_reservoir_reads_out_only_the_chosen_units() {
    let mut model: Reservoir = build_any(&params(), &SMALL.setting(1));
    assert_eq!(connected(&tensor(&model, "input"), false), [1, 4]);
    let pass = train(&mut model, &ragged_batch(SMALL, 3), 1);
    model.backward(pass.gradient.view(), None).unwrap();
    model.update_itself().unwrap();
    assert_eq!(connected(&tensor(&model, "readout"), true).len(), 5);
    // Weights that the regression does not know cannot have helped it.
    let after = evaluate(&mut model, &ragged_batch(SMALL, 3)).sums.mean();
    assert!(after < pass.sums.mean(), "{after}");
}

#[test]
fn all_units_listed_are_the_default() {
    let all: Vec<usize> = (0..SMALL.neurons).collect();
    let listed = json!({"input_units": all, "readout_units": SMALL.neurons});
    let of = |params: &pallium_core::serde_json::Value| {
        let mut model: Trained<Gru> = build_any(params, &SMALL.setting(1));
        learn(&mut model, &mut Adam::new(1e-3), &ragged_batch(SMALL, 3), 1);
        bits(&model)
    };
    assert_eq!(of(&listed), of(&json!({})));
}

#[test]
fn wrong_units_are_refused() {
    for wrong in
        [json!({"input_units": 0}), json!({"readout_units": [0, 23]}), json!({"input_units": [1, 1]})]
    {
        let params = pallium_core::parse_parameters("rnn.vanilla", &wrong.to_string()).unwrap();
        let error = Vanilla::build(params, &SMALL.setting(1)).err().unwrap();
        assert!(error.message.contains("_units`"), "{error}");
    }
    let text = json!({"input_units": "many"}).to_string();
    let error = pallium_core::parse_parameters::<crate::vanilla::Params>("rnn.vanilla", &text).unwrap_err();
    assert!(error.message.contains("a number, or a list of indices"), "{error}");
}
