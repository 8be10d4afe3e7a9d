//! Tests of components, which need a Python with numpy.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use pallium_core::prelude::*;
use pallium_core::serde_json::{Map, Value, json};
use pallium_core::{Kind, Units, parse_parameters};
use pallium_testkit as testkit;

use crate::constraint::PythonConstraint;
use crate::describe::describe;
use crate::params::Params;

static PYTHON: LazyLock<Option<String>> = LazyLock::new(|| {
    let code = "import numpy, sys; print(sys.executable)";
    let output = Command::new("python3").args(["-c", code]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
});

/// Whether Python is available with numpy; prints a note if not.
fn numpy() -> bool {
    if PYTHON.is_none() {
        println!("skipped: there is no python3 with numpy");
    }
    PYTHON.is_some()
}

fn wires(name: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/wires.py");
    json!({"path": file, "name": name, "python": *PYTHON})
}

fn params(value: &Value) -> Params {
    parse_parameters("python.constraint", &value.to_string()).unwrap()
}

fn constraint(value: &Value) -> Result<PythonConstraint> {
    PythonConstraint::build(params(value), &Setting { neurons: Some(3), ..Setting::default() })
}

/// The penalty of a constraint at a small matrix.
fn penalty(constraint: &mut PythonConstraint) -> Result<f64> {
    let (weights, mut gradient) = (Matrix::ones((3, 3)), Matrix::zeros((3, 3)));
    constraint.penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent"))
}

#[test]
fn components_conform() {
    if numpy() {
        for (role, name) in [
            ("constraint", "Wires"),
            ("constraint", "Silence"),
            ("constraint", "Reciprocity"),
            ("metric", "Strength"),
            ("weights", "Normal"),
            ("substrate", "Sheet"),
        ] {
            testkit::assert_conforms(&format!("python.{role}"), &wires(name));
        }
    }
}

#[test]
fn a_class_describes_its_parameters() {
    if !numpy() {
        return;
    }
    let described = describe("constraint", &params(&wires("Wires"))).unwrap().unwrap();
    assert_eq!(described.about, "Penalises connections by their lengths.");
    let strength = &described.schema["properties"]["strength"];
    assert_eq!((&strength["type"], &strength["default"]), (&json!("number"), &json!(0.3)));
    assert_eq!(described.schema["additionalProperties"], false);
    assert_eq!(described.resolved["contents"].as_str().unwrap().len(), 64);
    let mut file = wires("");
    file.as_object_mut().unwrap().remove("name");
    let offers = describe("constraint", &params(&file)).unwrap().unwrap().offers;
    let ids: Vec<_> = offers.iter().map(|offer| offer.id.as_str()).collect();
    assert!(ids.contains(&"python.metric") && ids.contains(&"python.substrate"), "{ids:?}");
    assert_eq!(describe("constraint", &Params::default()).unwrap(), None);
}

#[test]
fn a_class_for_square_matrices_is_refused_elsewhere() {
    if !numpy() {
        return;
    }
    let rows: Vec<i64> = (0..2).collect();
    let between = Setting { rows: Some(Units { neurons: &rows }), neurons: Some(3), ..Setting::default() };
    let built = |name: &str| PythonConstraint::build(params(&wires(name)), &between);
    let error = built("Reciprocity").err().unwrap();
    assert!(error.to_string().contains("has 2 rows and 3 columns"), "{error}");
    assert!(error.help.unwrap().contains("recurrent_ee"));
    let error = built("Even").err().unwrap();
    assert!(error.to_string().contains("rows and columns differ: 2 and 3"), "{error}");
    let (weights, mut gradient) = (Matrix::ones((2, 3)), Matrix::zeros((2, 3)));
    let error = built("Unsaid")
        .unwrap()
        .penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent_ei"))
        .unwrap_err();
    assert!(error.help.unwrap().contains("set `square = True` in `Unsaid`"));
    // A mistake that the shape does not cause has no such remedy.
    let error = built("Typo")
        .unwrap()
        .penalty(weights.view(), gradient.view_mut(), &Point::new("recurrent_ei"))
        .unwrap_err();
    assert!(error.to_string().contains("AttributeError") && error.help.is_none(), "{error}");
}

#[test]
fn a_program_that_is_not_python_is_refused() {
    let params = json!({"path": "lab.py", "name": "Long", "python": "/bin/true"});
    let error = describe("constraint", &self::params(&params)).unwrap_err();
    assert!(error.to_string().contains("`/bin/true`: it is not a Python interpreter"), "{error}");
    assert!(error.help.unwrap().contains("set its path"));
}

#[test]
fn objects_share_a_process_also_one_after_the_other() {
    if !numpy() {
        return;
    }
    let at = || penalty(&mut constraint(&wires("Where")).unwrap()).unwrap();
    assert_eq!(at(), at());
}

#[test]
fn a_wrong_parameter_and_changed_code_are_refused() {
    if !numpy() {
        return;
    }
    let with = |name: &str, value: Value| {
        let mut all: Map<String, Value> = wires("Wires").as_object().unwrap().clone();
        all.insert(name.into(), value);
        constraint(&all.into()).err().unwrap()
    };
    let error = with("strenght", json!(1));
    assert!(error.to_string().contains("no parameter `strenght`"), "{error}");
    assert!(error.to_string().contains("did you mean `strength`"), "{error}");
    assert!(with("strength", json!("x")).to_string().contains("it must be a number"));
    // Declared types, also where the default has another one.
    let typed = |name: &str, value: Value| {
        let mut all: Map<String, Value> = wires("Typed").as_object().unwrap().clone();
        all.insert(name.into(), value);
        constraint(&all.into()).err().map(|error| error.to_string())
    };
    for (name, wrong, must) in [
        ("kind", json!("zzz"), "it must be \"a\" or \"b\""),
        ("count", json!(2.5), "it must be a whole number"),
        ("limit", json!("x"), "it must be a number or left out"),
        ("names", json!(["x", 1]), "it must be a list whose items are text"),
    ] {
        let error = typed(name, wrong).unwrap();
        assert!(error.contains(must) && error.contains(&format!("`{name}`")), "{error}");
    }
    for (name, right) in [
        ("kind", json!("b")),
        ("count", json!(2)),
        ("limit", Value::Null),
        ("limit", json!(1)),
        ("names", json!(["x"])),
    ] {
        assert_eq!(typed(name, right), None, "{name}");
    }
    let error = with("contents", json!("00"));
    assert!(error.to_string().contains("was changed during the run"), "{error}");
    assert_eq!(error.kind, Kind::Input);
}

#[test]
fn failures_name_the_class_and_the_line() {
    if !numpy() {
        return;
    }
    let error = penalty(&mut constraint(&wires("Raises")).unwrap()).unwrap_err();
    for part in ["`Raises`", "penalty()", "no such luck", "wires.py, line", "in penalty"] {
        assert!(error.to_string().contains(part), "no «{part}» in {error}");
    }
    let error = penalty(&mut constraint(&wires("Unseeded")).unwrap()).unwrap_err();
    assert!(error.to_string().contains("different results"), "{error}");
    // Also if the drawing begins later.
    let mut late = constraint(&wires("UnseededLater")).unwrap();
    let error = (0..200).find_map(|_| penalty(&mut late).err()).unwrap();
    assert!(error.to_string().contains("different results"), "{error}");
    for name in ["ComplexGradient", "ComplexValue"] {
        let error = penalty(&mut constraint(&wires(name)).unwrap()).unwrap_err();
        assert!(error.to_string().contains("is complex"), "{error}");
        assert!(error.help.unwrap().contains("real"));
    }
    let error = penalty(&mut constraint(&wires("Verbose")).unwrap()).unwrap_err().to_string();
    assert!(error.len() < 4000 && error.contains("998000 characters left out"), "{}", error.len());
    assert!(error.contains("the first") && error.contains("the last"), "{error}");
    // After an error the process goes on; after a time-out it does not.
    assert_eq!(penalty(&mut constraint(&wires("Silence")).unwrap()).unwrap(), 0.0);
    // Another spelling of the interpreter has a process of its own, which other tests do not use.
    let apart = |name: &str, patience_s: f64| {
        let mut params = wires(name);
        params["python"] = json!(PYTHON.as_deref().unwrap().replace("/bin/", "/bin/../bin/"));
        params["patience_s"] = json!(patience_s);
        constraint(&params).unwrap()
    };
    let _begun = apart("Silence", 120.0);
    let mut hangs = apart("Hangs", 2.0);
    let error = penalty(&mut hangs).unwrap_err();
    assert!(error.to_string().contains("did not answer within 2 s"), "{error}");
    let error = penalty(&mut hangs).unwrap_err();
    assert!(error.to_string().contains("was ended by penalty() of `Hangs`"), "{error}");
    // A new process is started.
    apart("Silence", 120.0);
}
