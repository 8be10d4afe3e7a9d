//! Checks of components of every role.

use serde_json::{Value, json};

use crate::{Check, Note, Subject, World, broken, manifest, passed, world};
use pallium_core::{Kind, Result, Setting};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "description",
        about: "has a valid id, a one-line description, a source and documented parameters",
        run: manifest::description,
    },
    Check {
        name: "defaults",
        about: "can be built with its defaults, which are those of its schema",
        run: defaults,
    },
    Check {
        name: "profiles",
        about: "values of parameters under profiles name parameters, and it can be built with them",
        run: manifest::profiles,
    },
    Check {
        name: "parameters",
        about: "refuses unknown parameters and values of the wrong type",
        run: parameters,
    },
    Check {
        name: "settings",
        about: "extreme parameters and an empty setting cause at most an error",
        run: settings,
    },
];

/// Lets pass an error that a component returned; a panic or a bug fails the check.
pub(crate) fn orderly(doing: &str, result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(error.kind, Kind::Panic | Kind::Bug) => {
            Err(error.context(format!("{doing} made it panic")).help("return an Error instead"))
        }
        _ => Ok(()),
    }
}

fn defaults(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    subject.try_build(&subject.params(), &setting)?;
    let mut stated = subject.given.clone();
    for (name, property) in subject.properties() {
        if let Some(default) = property.get("default") {
            stated.entry(name).or_insert_with(|| default.clone());
        }
    }
    subject
        .try_build(&Value::Object(stated).to_string(), &setting)
        .map_err(|e| e.context("it refuses the defaults of its own schema"))?;
    passed("")
}

/// The JSON types that a property allows, if stated.
fn types(property: &Value) -> Vec<&str> {
    match property.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn parameters(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    let refused = |name: &str, value: Value| match subject
        .try_build(&subject.params_with(name, value.clone()), &setting)
    {
        Ok(()) => broken(format!("it accepts `{name}` = {value}")),
        Err(error) if error.kind != Kind::Input => {
            Err(error.context(format!("`{name}` = {value} must be refused")))
        }
        Err(error) if !error.to_string().contains(name) => {
            broken(format!("the error for `{name}` = {value} does not name the parameter: {error}"))
        }
        Err(_) => Ok(()),
    };
    refused("no_such_parameter", json!(1))?;
    let mut tried = 1;
    for (name, property) in subject.properties() {
        let types = types(&property);
        if !types.is_empty() && !types.contains(&"string") {
            refused(&name, json!("nonsense"))?;
            tried += 1;
        }
        if !types.is_empty() && !types.contains(&"object") {
            refused(&name, json!({"nonsense": 1}))?;
            tried += 1;
        }
    }
    passed(format!("{tried} refused"))
}

fn settings(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    let mut tried = 0;
    for (name, property) in subject.properties() {
        let types = types(&property);
        // Large integers are left out: they may rightly request much memory.
        let values = if types.contains(&"number") {
            vec![json!(0.0), json!(-1.0), json!(1e300), json!(-1e300), json!(1e-300)]
        } else if types.contains(&"integer") {
            vec![json!(0), json!(-1), json!(1)]
        } else if types.contains(&"string") {
            vec![json!(""), json!("/nowhere/\u{1F9E0}")]
        } else if types.contains(&"array") {
            vec![json!([]), json!([0]), json!([-1, -1, -1])]
        } else {
            vec![json!(null)]
        };
        for value in values {
            let doing = format!("parameter `{name}` = {value}");
            let params = subject.params_with(&name, value);
            orderly(&doing, subject.try_build(&params, &setting))?;
            orderly(&doing, subject.library.describe(&subject.entry.id, &params).map(drop))?;
            tried += 1;
        }
    }
    orderly("an empty setting", subject.try_build(&subject.params(), &Setting::default()))?;
    for n in [0, 1] {
        let small = if n == 0 { None } else { Some(World::new(n, 1)) };
        let setting =
            small.as_ref().map_or(Setting { neurons: Some(0), ..Setting::default() }, World::setting);
        orderly(&format!("a setting of {n} neurons"), subject.try_build(&subject.params(), &setting))?;
    }
    passed(format!("{} tried", tried + 3))
}
