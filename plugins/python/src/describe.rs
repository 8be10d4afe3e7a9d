//! Descriptions of classes, read from their files.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
            return Err(Error::input(format!("`{}` has a parameter `{name}`, a reserved name", params.name))
                .help("rename it: `path`, `name`, `python`, `patience_s` and `contents` are reserved"));
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

/// A process that has described classes of a file, or of installed packages, and the
/// interpreter and the file.
type Describer = (String, Option<String>, Process);

/// The answer of Python, once for each class.
fn asked(role: &str, params: &Params) -> Result<Value> {
    static KNOWN: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    // Classes of one file, and those of all packages, are described by one process, since
    // importing large packages takes seconds. Files have processes of their own: their
    // modules may have the same names.
    static LAST: Mutex<Option<Describer>> = Mutex::new(None);
    let request = json!({"do": "describe", "role": role, "path": params.path, "name": params.name});
    let python = params.interpreter();
    let key = format!("{python} {request}");
    if let Some(answer) = locked(&KNOWN).get(&key) {
        return Ok(answer.clone());
    }
    let patience = Duration::from_secs_f64(params.patience_s);
    let mut last = locked(&LAST);
    let fits = |(interpreter, path, _): &Describer| *interpreter == python && *path == params.path;
    let mut process = match last.take().filter(fits) {
        Some((_, _, process)) => process,
        None => Process::start(&python, 1, patience)?,
    };
    process.set_patience(patience);
    let answer = match process.request(&request) {
        Err(Failure::Died(error)) => return Err(error),
        other => {
            *last = Some((python, params.path.clone(), process));
            other.map_err(Failure::error)?.0
        }
    };
    locked(&KNOWN).insert(key, answer.clone());
    Ok(answer)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
