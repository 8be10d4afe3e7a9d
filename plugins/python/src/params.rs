//! The parameters that all components in Python share.

use pallium_core::prelude::*;
use pallium_core::schemars::JsonSchema;
use pallium_core::serde::{Deserialize, Serialize};
use pallium_core::serde_json::{Map, Value, json};

/// Environment variable with the default Python.
const PYTHON: &str = "PALLIUM_PYTHON";

/// Where the class is, and how it is run. All other parameters are those of the
/// class.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "pallium_core::serde", default)]
#[schemars(crate = "pallium_core::schemars")]
pub struct Params {
    /// The Python file with the class. Its content, and that of the local modules
    /// that it imports, are part of a training's identity.
    pub path: Option<String>,
    /// Name of the class in `path`; or `module:Class` of a module that Python can
    /// import.
    pub name: String,
    /// The Python interpreter: a name or a path, for example in a virtual
    /// environment. Default: $PALLIUM_PYTHON, which the Python package `pallium` sets
    /// to its own Python if it is not set; otherwise python3.
    pub python: Option<String>,
    /// Maximum time of one call, in seconds.
    pub patience_s: f64,
    /// SHA-256 of the code. Pallium sets it when it reads an experiment, and refuses
    /// code that changes during a run. Do not set it yourself.
    pub contents: String,
    /// The parameters of the class.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            path: None,
            name: String::new(),
            python: None,
            patience_s: 120.0,
            contents: String::new(),
            own: Map::new(),
        }
    }
}

impl Params {
    /// The interpreter.
    pub fn interpreter(&self) -> String {
        interpreter(self.python.as_deref())
    }

    /// The request that names the class.
    pub fn request(&self, what: &str) -> Value {
        json!({
            "do": what,
            "path": self.path,
            "name": self.name,
            "contents": self.contents,
            "params": self.own,
        })
    }

    /// Checks what needs no Python.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn check(&self) -> Result<()> {
        one_of_range("patience_s", self.patience_s, 0.001, 1e6)
    }
}

/// The interpreter: the parameter, else the variable, else `python3`.
pub fn interpreter(given: Option<&str>) -> String {
    match given {
        Some(python) => python.to_owned(),
        None => std::env::var(PYTHON).ok().filter(|p| !p.is_empty()).unwrap_or_else(|| "python3".into()),
    }
}
