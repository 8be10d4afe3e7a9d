//! Descriptions of classes, read from their files.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use pallium_core::prelude::*;
use pallium_core::serde_json::{Value, json};
use pallium_core::{Description, Offer, schema_of};

use crate::params::Params;
use crate::process::{Failure, Process};

/// The ids of the components of a role.
fn id(role: &str) -> String {
    format!("python.{role}")
}

/// The description of the class that parameters name; `None` if they name none.
///
/// # Errors
/// If Python cannot be started, or the file or the class cannot be read.
pub fn describe(role: &str, params: &Params) -> Result<Option<Description>> {
    described(role, params, schema_of::<Params>())
}

/// As [`describe`], of a task, whose own parameters are in `schema`. The arguments of
/// an environment that is not in a file are known only to itself.
///
/// # Errors
/// As [`describe`].
pub fn task(params: &Params, schema: Value) -> Result<Option<Description>> {
    if params.path.as_ref().is_some_and(|path| path.ends_with(".py")) {
        return described("task", params, schema);
    }
    let named = !params.name.is_empty();
    Ok(named.then(|| Description::new(crate::task::ABOUT, crate::task::CITE, schema)))
}

fn described(role: &str, params: &Params, mut schema: Value) -> Result<Option<Description>> {
    if params.path.is_none() && params.name.is_empty() {
        return Ok(None);
    }
    params.check()?;
    let about = asked(role, params)?;
    let path = params.path.clone().unwrap_or_default();
    let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
    let properties = about["properties"].as_object().cloned().unwrap_or_default();
    for (name, property) in &properties {
        if schema["properties"].get(name).is_some() {
            return Err(Error::input(format!("`{}` has a parameter `{name}`, which is taken", params.name))
                .help("rename it: `path`, `name`, `python`, `patience_s` and `contents` have a meaning of their own"));
        }
        schema["properties"][name] = property.clone();
    }
    schema["additionalProperties"] = about["open"].as_bool().unwrap_or(false).into();
    let mut described = Description::new(text("about"), text("cite"), schema);
    described.resolved.insert("contents".into(), about["contents"].clone());
    for offer in about["offers"].as_array().into_iter().flatten() {
        let word = |key: &str| offer[key].as_str().unwrap_or_default();
        let name = if word("role") == "task" { "environment" } else { "name" };
        let params = json!({"path": path, name: word("name")});
        described
            .offers
            .push(Offer { id: id(word("role")), params: params.as_object().cloned().unwrap_or_default() });
    }
    Ok(Some(described))
}

/// The answer of Python, once for each class.
fn asked(role: &str, params: &Params) -> Result<Value> {
    static KNOWN: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let request = json!({"do": "describe", "role": role, "path": params.path, "name": params.name});
    let key = format!("{} {request}", params.interpreter());
    let known = |answer: Option<Value>| -> Option<Value> {
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match answer {
            Some(answer) => known.insert(key.clone(), answer),
            None => known.get(&key).cloned(),
        }
    };
    if let Some(answer) = known(None) {
        return Ok(answer);
    }
    let patience = Duration::from_secs_f64(params.patience_s);
    let mut process = Process::start(&params.interpreter(), 1, patience)?;
    let (answer, _) = process.request(&request).map_err(Failure::error)?;
    known(Some(answer.clone()));
    Ok(answer)
}
