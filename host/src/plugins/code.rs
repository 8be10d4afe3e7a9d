//! Files of code that a plugin runs, such as Python files: which components they
//! offer.

use std::borrow::Cow;
use std::path::Path;

use pallium_core::{Error, Result, accepts_further_names};
use serde_json::{Map, Value};

use super::catalogue::{Catalogue, Entry};
use crate::submit::quote;

/// A component of a file of code.
pub struct OfferedCode {
    /// Its name in the file.
    pub name: String,
    /// The plugin's component that runs it, with the description that it has.
    pub entry: Entry,
    /// The parameters that choose it.
    pub params: Map<String, Value>,
}

/// Splits `FILE.py:NAME` into the file and the name; `None` if the text does not name
/// a file of code.
pub fn parse(text: &str) -> Option<(&Path, Option<&str>)> {
    let (file, name) = match text.rsplit_once(':') {
        Some((file, name)) if !name.contains(std::path::MAIN_SEPARATOR) => (file, Some(name)),
        _ => (text, None),
    };
    let path = Path::new(file);
    path.extension().is_some_and(|extension| extension == "py").then_some((path, name))
}

/// What `pallium plugins show` is given to document the component that `id` is with
/// these parameters: `lab.py:NAME` if they name one in a file of code, otherwise `id`.
pub fn shown<'a>(id: &'a str, param: impl Fn(&str) -> Option<&'a Value>) -> Cow<'a, str> {
    let text = |key| param(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("path"), text("environment").or_else(|| text("name"))) {
        (Some(path), Some(name)) if parse(path).is_some() => {
            let here = std::env::current_dir().unwrap_or_default();
            let path = Path::new(path).strip_prefix(here).unwrap_or(Path::new(path));
            quote(&format!("{}:{name}", path.display())).into()
        }
        _ => id.into(),
    }
}

/// The components that a file offers, or the one called `name`.
///
/// # Errors
/// If no plugin runs such files, the file cannot be read, or it offers nothing or
/// nothing of this name.
pub fn offers(catalogue: &Catalogue, file: &Path, name: Option<&str>) -> Result<Vec<OfferedCode>> {
    let path = std::path::absolute(file).map_err(|e| Error::io(file, &e))?;
    pallium_files::open(&path)?;
    let path = path.to_string_lossy().into_owned();
    let only_path = Map::from_iter([("path".to_owned(), Value::String(path))]);
    let mut offered = Vec::new();
    let describes = |entry: &&Entry| {
        accepts_further_names(&entry.schema) && entry.schema["properties"].get("path").is_some()
    };
    let Some(any) = catalogue.entries().find(describes) else {
        return Err(Error::input(format!("no plugin can run the code in {}", file.display()))
            .help("`pallium plugins list` shows the plugins that were found"));
    };
    let described = catalogue.describe_with(any, &only_path)?;
    for offer in described.map(|described| described.offers).unwrap_or_default() {
        let own = offer.params.iter().find(|(key, _)| *key != "path");
        let own = own.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned();
        if name.is_some_and(|name| name != own) {
            continue;
        }
        let entry = catalogue.get(&offer.id)?;
        let mut params = offer.params;
        if let Some(described) = catalogue.describe_with(entry, &params)? {
            let mut entry = entry.described(described);
            for (name, value) in &params {
                entry.schema["properties"][name]["default"] = value.clone();
            }
            params.sort_keys();
            offered.push(OfferedCode { name: own, entry, params });
        }
    }
    match (offered.is_empty(), name) {
        (false, _) => Ok(offered),
        (true, Some(name)) => Err(Error::input(format!("{} has no component `{name}`", file.display()))
            .help("`pallium plugins show FILE` lists the components of a file")),
        (true, None) => Err(Error::input(format!("{} offers no component", file.display())).help(
            "a component is a class with one of the methods penalty, project, activity_penalty, measure, weights, \
             substrate, new_trial, step or forward",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_code_may_be_followed_by_a_name() {
        assert_eq!(parse("lab.py"), Some((Path::new("lab.py"), None)));
        assert_eq!(parse("a/lab.py:Long"), Some((Path::new("a/lab.py"), Some("Long"))));
        assert_eq!(parse("spatial.l1"), None);
        assert_eq!(parse("libmine.so"), None);
    }

    #[test]
    fn a_component_of_a_file_is_shown_by_file_and_name() {
        let shown = |params: Value| {
            let param = |name: &str| params.get(name).cloned();
            let [path, name, environment] = ["path", "name", "environment"].map(param);
            let param = |key: &str| match key {
                "path" => path.as_ref(),
                "name" => name.as_ref(),
                _ => environment.as_ref(),
            };
            super::shown("python.task", param).into_owned()
        };
        let here = std::env::current_dir().unwrap().join("lab.py");
        assert_eq!(shown(serde_json::json!({"path": here, "name": "Long"})), "lab.py:Long");
        let task = serde_json::json!({"path": "/a b/lab.py", "name": "go", "environment": "Go"});
        assert_eq!(shown(task), "'/a b/lab.py:Go'");
        assert_eq!(shown(serde_json::json!({"name": "networkx:transitivity"})), "python.task");
        assert_eq!(shown(serde_json::json!({"path": "folder", "name": "a:B"})), "python.task");
    }
}
