//! Conformance checks: they test whether a component keeps the promises of its
//! role.
//!
//! `pallium plugins check FILE` runs them on a plugin file. In a plugin's own
//! tests one line runs the same checks on all components of the crate:
//!
//! ```toml
//! [dev-dependencies]
//! pallium-testkit = { path = "…/pallium/core/testkit" }
//! ```
//!
//! ```text
//! #[test]
//! fn conforms() {
//!     pallium_testkit::assert_all_conform();
//! }
//! ```
//!
//! Components are called through the same wire as those of a loaded file, so a
//! panic, a malformed result and a wrong shape are reported as a host would report
//! them.

mod adam;
mod clock;
mod common;
mod connections;
mod constraint;
mod gradient;
mod levels;
mod manifest;
mod metric;
mod model;
mod optimizer;
#[cfg(test)]
mod samples;
mod sources;
mod state;
mod task;
mod toy;
mod world;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use pallium_core::abi::{ComponentEntry, Library, Manifest};
use pallium_core::{
    Constraint, Error, Kind, Metric, Model, Optimizer, Result, Role, Setting, SubstrateSource, Task,
    WeightSource,
};

pub use gradient::gradient_error;
pub use world::{RateNetwork, World};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The component keeps the promise.
    Passed,
    /// It does not.
    Failed,
    /// The check does not apply, or could not be run.
    Skipped,
}

/// The outcome of a check, with its details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the check.
    pub check: String,
    /// The result.
    pub verdict: Verdict,
    /// Numbers found, or what is wrong.
    pub detail: String,
    /// How to fix it, if that is known.
    pub help: Option<String>,
    /// Duration of the check in seconds.
    pub seconds: f64,
}

/// The result of a check that did not fail.
pub(crate) enum Note {
    /// It passed, with these numbers.
    Passed(String),
    /// It does not apply, for this reason.
    Skipped(String),
}

fn passed(detail: impl Into<String>) -> Result<Note> {
    Ok(Note::Passed(detail.into()))
}

fn skipped(detail: impl Into<String>) -> Result<Note> {
    Ok(Note::Skipped(detail.into()))
}

/// A broken promise.
fn broken<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::plugin(what))
}

/// A promise that components of a role make, and the function that checks it.
#[derive(Clone, Copy)]
pub struct Check {
    /// Name of the check.
    pub name: &'static str,
    /// The promise.
    pub about: &'static str,
    run: fn(&Subject<'_>) -> Result<Note>,
}

/// The checks of components of `role`, in the order in which they are run.
pub fn checks(role: Role) -> Vec<Check> {
    let own = match role {
        Role::Substrate => sources::SUBSTRATE,
        Role::Weights => sources::WEIGHTS,
        Role::Constraint => constraint::CHECKS,
        Role::Task => task::CHECKS,
        Role::Model => model::CHECKS,
        Role::Optimizer => optimizer::CHECKS,
        Role::Metric => metric::CHECKS,
        // `Role` may grow; a test below fails if a role has no checks here.
        _ => &[],
    };
    [common::CHECKS, own].concat()
}

/// A component under test.
pub struct Subject<'a> {
    library: Library,
    entry: &'a ComponentEntry,
    given: Map<String, Value>,
}

impl<'a> Subject<'a> {
    /// A component of a library, with the parameters that it requires or that
    /// it is to be tested with.
    pub fn new(library: Library, entry: &'a ComponentEntry, given: Map<String, Value>) -> Self {
        Subject { library, entry, given }
    }

    /// Runs one check.
    pub fn run(&self, check: &Check) -> Finding {
        let start = Instant::now();
        let outcome = match self.lacking() {
            Some(reason) if check.name != "description" && check.name != "parameters" => skipped(reason),
            _ => (check.run)(self),
        };
        // A panic in `drop` is reported only after the object is dropped.
        let closing = pallium_core::abi::take_close_failures().into_iter().next();
        let outcome = match closing {
            Some(error) if outcome.is_ok() => Err(error),
            _ => outcome,
        };
        let (verdict, detail, help) = match outcome {
            Ok(Note::Passed(detail)) => (Verdict::Passed, detail, None),
            Ok(Note::Skipped(detail)) => (Verdict::Skipped, detail, None),
            Err(error) => {
                let text = std::iter::once(error.message).chain(error.causes).collect::<Vec<_>>().join(": ");
                (Verdict::Failed, text, error.help)
            }
        };
        Finding { check: check.name.into(), verdict, detail, help, seconds: start.elapsed().as_secs_f64() }
    }

    /// Runs every check of the component's role.
    pub fn run_all(&self) -> Vec<Finding> {
        self.entry.role().map(checks).unwrap_or_default().iter().map(|check| self.run(check)).collect()
    }

    /// Names the parameter without which the component cannot be built, if there is
    /// one, as the reason for a skipped check.
    fn lacking(&self) -> Option<String> {
        let world = World::new(world::NEURONS, 1);
        let mut outcome = self.try_build(&self.params(), &world.setting());
        // A source that reads files may report a missing path only when it reads.
        if outcome.is_ok() && self.entry.role() == Some(Role::Substrate) {
            outcome = self.substrate(&world.setting()).and_then(|mut source| source.substrate(1)).map(drop);
        }
        let error = outcome.err()?;
        if error.kind != Kind::Input {
            return None;
        }
        let text = error.to_string();
        let (name, _) = self.properties().into_iter().find(|(name, property)| {
            let default = property.get("default").unwrap_or(&Value::Null);
            let empty = default.is_null() || default.as_str() == Some("");
            let words = || text.split(|c: char| !c.is_alphanumeric() && c != '_');
            empty && !self.given.contains_key(name) && words().any(|word| word == name)
        })?;
        Some(format!("it needs the parameter `{name}`: set --param {}.{name}=…", self.entry.id))
    }

    fn properties(&self) -> Vec<(String, Value)> {
        let properties = self.entry.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The parameters that were given, as JSON.
    fn params(&self) -> String {
        Value::Object(self.given.clone()).to_string()
    }

    /// The given parameters and one more.
    fn params_with(&self, name: &str, value: Value) -> String {
        let mut all = self.given.clone();
        all.insert(name.into(), value);
        Value::Object(all).to_string()
    }

    /// Builds and drops the component.
    fn try_build(&self, params: &str, setting: &Setting<'_>) -> Result<()> {
        let id = &self.entry.id;
        match self.entry.role() {
            Some(Role::Substrate) => self.library.substrate(id, params, setting).map(drop),
            Some(Role::Weights) => self.library.weights(id, params, setting).map(drop),
            Some(Role::Constraint) => self.library.constraint(id, params, setting).map(drop),
            Some(Role::Task) => self.library.task(id, params, setting).map(drop),
            Some(Role::Model) => self.library.model(id, params, setting).map(drop),
            Some(Role::Optimizer) => self.library.optimizer(id, params, setting).map(drop),
            Some(Role::Metric) => self.library.metric(id, params, setting).map(drop),
            _ => Err(Error::unsupported(format!("this version has no role `{}`", self.entry.role))),
        }
    }

    fn substrate(&self, setting: &Setting<'_>) -> Result<Box<dyn SubstrateSource>> {
        self.library.substrate(&self.entry.id, &self.params(), setting)
    }

    fn weights(&self, setting: &Setting<'_>) -> Result<Box<dyn WeightSource>> {
        self.library.weights(&self.entry.id, &self.params(), setting)
    }

    fn constraint(&self, setting: &Setting<'_>) -> Result<Box<dyn Constraint>> {
        self.library.constraint(&self.entry.id, &self.params(), setting)
    }

    fn task(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>> {
        self.library.task(&self.entry.id, &self.params(), setting)
    }

    fn model(&self, setting: &Setting<'_>) -> Result<Box<dyn Model>> {
        self.library.model(&self.entry.id, &self.params(), setting)
    }

    fn optimizer(&self, setting: &Setting<'_>) -> Result<Box<dyn Optimizer>> {
        self.library.optimizer(&self.entry.id, &self.params(), setting)
    }

    fn metric(&self, setting: &Setting<'_>) -> Result<Box<dyn Metric>> {
        self.library.metric(&self.entry.id, &self.params(), setting)
    }
}

/// Checks a plugin's manifest.
pub fn check_manifest(manifest: &Manifest) -> Finding {
    let start = Instant::now();
    let outcome = manifest::manifest(manifest);
    let (verdict, detail) = match outcome {
        Ok(Note::Passed(detail)) => (Verdict::Passed, detail),
        Ok(Note::Skipped(detail)) => (Verdict::Skipped, detail),
        Err(error) => (Verdict::Failed, error.message),
    };
    Finding { check: "manifest".into(), verdict, detail, help: None, seconds: start.elapsed().as_secs_f64() }
}

/// Runs every check on component `id` of this crate, with the parameters `given`
/// (a JSON object), and returns their outcomes.
///
/// # Panics
/// If this crate registers no such component.
pub fn check_component(id: &str, given: &Value) -> Vec<Finding> {
    let library = Library::from_this_crate();
    let manifest = library.manifest().unwrap_or_else(|error| panic!("{error}"));
    let entry = manifest.components.iter().find(|c| c.id == id);
    let entry = entry.unwrap_or_else(|| panic!("this crate registers no component `{id}`"));
    let given = given.as_object().cloned().unwrap_or_default();
    Subject::new(library, entry, given).run_all()
}

/// Asserts that component `id` of this crate passes every check of its role, with
/// the parameters `given` (a JSON object).
///
/// # Panics
/// If a check fails; the message lists the failed checks, one a line.
#[track_caller]
pub fn assert_conforms(id: &str, given: &Value) {
    let broken = complaints(id, check_component(id, given));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Asserts that every component of this crate passes every check of its role, and
/// that the manifest of the crate is valid.
///
/// # Panics
/// If a check fails; the message lists the failed checks, one a line.
#[track_caller]
pub fn assert_all_conform() {
    let manifest = Library::from_this_crate().manifest().unwrap_or_else(|error| panic!("{error}"));
    let mut broken = complaints("the crate", vec![check_manifest(&manifest)]);
    for entry in &manifest.components {
        broken.extend(complaints(&entry.id, check_component(&entry.id, &Value::Null)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn complaints(id: &str, findings: Vec<Finding>) -> Vec<String> {
    let failed = findings.into_iter().filter(|f| f.verdict == Verdict::Failed);
    failed
        .map(|f| {
            let help = f.help.map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{id}: {}: {}{help}", f.check, f.detail)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_checks_of_its_own() {
        for role in Role::ALL {
            assert!(checks(role).len() > common::CHECKS.len(), "{role}");
        }
    }

    #[test]
    fn no_two_checks_of_a_role_have_the_same_name() {
        for role in Role::ALL {
            let names: Vec<_> = checks(role).iter().map(|check| check.name).collect();
            let unique: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{role}: {names:?}");
        }
    }
}
