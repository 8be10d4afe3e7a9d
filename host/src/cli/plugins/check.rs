//! `pallium plugins check`: runs the conformance checks on a plugin file.
//!
//! Each component is checked in a process of its own. If the plugin crashes or
//! hangs, that check fails and a new process runs the remaining ones.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result, nearest};
use pallium_files as files;
use pallium_profile as profile;
use pallium_testkit::{self as testkit, Finding, Subject, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::support;
use crate::child::inside::{self, emit};
use crate::child::{self, Terms, supervise};
use crate::plugins::{self, code};

/// Checks whether the components of a plugin file meet the requirements of
/// their roles.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plugins check target/release/libmy_penalty.so

Every component is built on a small synthetic substrate and called as in a run. It has its own
process, so that a crash or a hang fails only that check.

The exit code is 0 if no check failed, 2 if one did.")]
pub struct Check {
    /// The plugin file; or a Python file, or one class of it as FILE.py:CLASS.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check only this component; may be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Set a parameter of a component, such as `my.penalty.strength=0.1`.
    #[arg(long = "param", value_name = "ID.NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// Time limit of a single check, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = support::at_least_one::<u64>, allow_negative_numbers = true)]
    timeout: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// The check of values under profiles.
const PROFILES: &str = "profiles";

/// Arguments of a worker process.
#[derive(Args, Debug)]
pub struct Worker {
    file: PathBuf,
    #[arg(long)]
    component: Option<String>,
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    skip: usize,
    #[arg(long, default_value = "{}")]
    params: String,
}

/// A message of a worker.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CheckMessage {
    /// A check begins.
    Begin(String),
    /// A check ended.
    Found(Finding),
    /// The plugin and its components.
    Offers { name: String, version: String, core_version: String, components: Vec<Offered> },
    /// All checks ended.
    Done,
}

/// A component that a file offers.
#[derive(Serialize, Deserialize)]
struct Offered {
    id: String,
    role: String,
    /// Names of its parameters.
    parameters: Vec<String>,
}

/// Runs checks on one component, or on the file itself.
///
/// # Errors
/// If there is no such component.
pub fn worker(args: &Worker) -> Result<()> {
    inside::end_with_parent(inside::take_input()?);
    let Some(id) = &args.component else { return check_file(&args.file) };
    let admitted = plugins::admit(&args.file)?;
    let entry = admitted.manifest.components.iter().find(|c| c.id == *id);
    let entry = entry.ok_or_else(|| Error::bug(format!("{} has no `{id}`", args.file.display())))?;
    let given: Map<String, Value> =
        serde_json::from_str(&args.params).map_err(|e| Error::bug(e.to_string()))?;
    if let Some(error) = plugins::beyond(entry) {
        emit(&CheckMessage::Found(Finding {
            check: "supported".into(),
            verdict: Verdict::Failed,
            detail: error.message,
            help: error.help,
            seconds: 0.0,
        }))?;
        return emit(&CheckMessage::Done);
    }
    // A class in a file of code is checked as what it says of itself.
    let mut entry = entry.clone();
    if let Ok(Some(described)) = admitted.library.describe(id, &args.params) {
        (entry.about, entry.cite, entry.schema) = (described.about, described.cite, described.schema);
    }
    let entry = &entry;
    let checks = entry.role().map(testkit::checks).unwrap_or_default();
    let subject = Subject::new(admitted.library, entry, given);
    let unknown_profile = entry.profiles.iter().find_map(|value| profile::check_name(&value.profile).err());
    for check in checks.iter().skip(args.skip) {
        emit(&CheckMessage::Begin(check.name.into()))?;
        let mut found = subject.run(check);
        // The testkit does not know the profiles.
        if let (PROFILES, Verdict::Passed, Some(error)) = (check.name, found.verdict, &unknown_profile) {
            found.verdict = Verdict::Failed;
            found.detail = format!("it has a value under a profile, and {}", error.message);
            found.help.clone_from(&error.help);
        }
        emit(&CheckMessage::Found(found))?;
    }
    emit(&CheckMessage::Done)
}

fn check_file(file: &Path) -> Result<()> {
    emit(&CheckMessage::Begin("loads".into()))?;
    let start = std::time::Instant::now();
    let admitted = plugins::admit(file);
    let finding = |verdict, detail: String, help| Finding {
        check: "loads".into(),
        verdict,
        detail,
        help,
        seconds: start.elapsed().as_secs_f64(),
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            let text = std::iter::once(error.message).chain(error.causes).join(": ");
            emit(&CheckMessage::Found(finding(Verdict::Failed, text, error.help)))?;
            return emit(&CheckMessage::Done);
        }
    };
    emit(&CheckMessage::Found(finding(
        Verdict::Passed,
        format!("sha256 {}…", &admitted.sha256[..12]),
        None,
    )))?;
    emit(&CheckMessage::Begin("manifest".into()))?;
    let manifest = &admitted.manifest;
    emit(&CheckMessage::Found(testkit::check_manifest(manifest)))?;
    emit(&CheckMessage::Offers {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        core_version: manifest.core_version.clone(),
        components: manifest
            .components
            .iter()
            .map(|c| Offered {
                id: c.id.clone(),
                role: c.role.clone(),
                parameters: super::parameters::parameters(&c.schema).into_iter().map(|p| p.name).collect(),
            })
            .collect(),
    })?;
    emit(&CheckMessage::Done)
}

/// The findings on a component, or on the file itself.
struct Part {
    /// Id of the component, or name of the file.
    id: String,
    role: String,
    findings: Vec<Finding>,
}

/// Runs the command.
///
/// # Errors
/// If the file cannot be read or does not have a named component, or a process
/// cannot be started.
pub fn check(args: &Check) -> Result<u8> {
    if let Some((file, name)) = args.file.to_str().and_then(code::parse) {
        return check_code(args, file, name);
    }
    let remedy = format!(
        "build the plugin with `cargo build --release` and name its library: target/release/{}….{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_EXTENSION
    );
    files::open(&args.file).map_err(|e| e.help(remedy))?;
    let limit = Duration::from_secs(args.timeout);
    let mut offers = None;
    let mut parts = vec![Part {
        id: args.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        role: "file".into(),
        findings: run_checks(&args.file, None, &Map::new(), limit, &mut offers)?,
    }];
    let (about, name, components) = match offers {
        Some(CheckMessage::Offers { name, version, core_version, components }) => {
            let about = json!({"plugin": name, "version": version, "core_version": core_version});
            (about, name, components)
        }
        _ => (json!({}), String::new(), Vec::new()),
    };
    let known = |id: &String| components.iter().any(|known| known.id == *id);
    if let Some(id) = args.only.iter().find(|id| !components.is_empty() && !known(id)) {
        return Err(Error::input(format!("{} has no component `{id}`", args.file.display()))
            .help(format!("it has: {}", components.iter().map(|c| c.id.as_str()).join(", "))));
    }
    let mut params = parameters(&args.params, &components)?;
    let installed = plugins::Catalogue::discover(&[], support::cache_folder().as_deref())
        .inspect_err(|e| tracing::warn!("ids are not compared with those of installed plugins: {e}"))
        .unwrap_or_default();
    for Offered { id, role, .. } in &components {
        if !args.only.is_empty() && !args.only.contains(id) {
            continue;
        }
        let given = params.remove(id).unwrap_or_default();
        let mut findings = run_checks(&args.file, Some(id), &given, limit, &mut None)?;
        findings.extend(installed.offered_by_another(id, &name).map(|other| taken(id, &other.path)));
        parts.push(Part { id: id.clone(), role: role.clone(), findings });
    }
    report(args, about, &parts)
}

/// Prints the findings; returns the exit code.
fn report(args: &Check, about: Value, parts: &[Part]) -> Result<u8> {
    let count = |verdict| parts.iter().flat_map(|p| &p.findings).filter(|f| f.verdict == verdict).count();
    let counts = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
    if args.json {
        print_json(&args.file, about, parts, counts)?;
    } else {
        print_table(parts, counts)?;
    }
    Ok(if counts[1] == 0 { 0 } else { 2 })
}

/// As [`check`], of the components in a file of code, or of the one called `name`.
/// Parameters are set as `--param NAME.PARAMETER=VALUE`.
fn check_code(args: &Check, file: &Path, name: Option<&str>) -> Result<u8> {
    let catalogue = plugins::Catalogue::discover(&[], support::cache_folder().as_deref())?;
    let offered = plugins::code::offers(&catalogue, file, name)?;
    let components: Vec<_> = offered
        .iter()
        .map(|one| Offered {
            id: one.name.clone(),
            role: one.entry.role.name().into(),
            parameters: super::parameters::parameters(&one.entry.schema)
                .into_iter()
                .map(|p| p.name)
                .collect(),
        })
        .collect();
    let mut params = parameters(&args.params, &components)?;
    let mut parts = Vec::new();
    for (one, Offered { role, .. }) in offered.iter().zip(&components) {
        if !args.only.is_empty() && !args.only.contains(&one.name) {
            continue;
        }
        let Some(plugin) = &one.entry.plugin else { continue };
        let mut given = one.params.clone();
        given.extend(params.remove(&one.name).unwrap_or_default());
        let limit = Duration::from_secs(args.timeout);
        let mut findings = run_checks(&plugin.path, Some(&one.entry.id), &given, limit, &mut None)?;
        for finding in &mut findings {
            finding.detail = in_python(&finding.detail);
            finding.help = finding.help.as_deref().map(in_python);
        }
        parts.push(Part { id: one.name.clone(), role: role.clone(), findings });
    }
    report(args, json!({}), &parts)
}

/// What the checks say of Rust, and what that is in Python.
const IN_PYTHON: [(&str, &str); 23] = [
    ("what `describe` returns is malformed: ", ""),
    ("`describe` fails: ", ""),
    (
        "write a /// comment above it, with its unit",
        "put a text below it with its unit, as \"Factor (dimensionless).\", or write Annotated[float, \"…\"]",
    ),
    ("has no default: declare parameters with params!", "has no default: give it one"),
    (
        "ABOUT must be one line that says what it does",
        "its docstring must begin with a line that says what it does",
    ),
    ("CITE is empty: name a paper, or say", "`cite` is empty: name a paper, or write"),
    ("`Activity::lengths`", "`lengths`"),
    ("`Activity::steps`", "the sum of `lengths`"),
    ("`setting.shape()` is the shape of the parameter", "`setting.shape` is the shape of the parameter"),
    (
        "return an error from `build` if it must be square",
        "set `square = True` in the class if it must be square",
    ),
    ("pallium_core::random::stream(setting.seed, …)", "`setting.rng`"),
    ("pallium_core::random::stream(request.seed, …)", "`request.rng`"),
    (
        "pallium_core::random::stream(seed, …), created in each call",
        "a generator that `reset(seed=…)` or `seed(…)` seeds",
    ),
    ("pallium_core::random::stream(seed, …)", "the argument `rng`"),
    ("return true from `wants_activity`", "set `wants_activity = True` in the class"),
    ("return false from `permutation_invariant`", "set `permutation_invariant = False` in the class"),
    ("return an Error if", "raise a ValueError if"),
    ("return an Error instead", "raise a ValueError instead"),
    ("made it panic", "made it fail"),
    ("from `state`", "from `state()`"),
    ("in `project` alone", "in `project()` alone"),
    ("what `state` returned", "what `state()` returned"),
    ("after `restore`", "after `restore()`"),
];

/// A text of a check for authors of Python files.
fn in_python(text: &str) -> String {
    IN_PYTHON.iter().fold(text.to_owned(), |text, (rust, python)| text.replace(rust, python))
}

/// The parameters by component. `ID.NAME` is unambiguous, since an id has one dot
/// and a parameter's name none.
fn parameters(
    given: &[(String, Value)],
    components: &[Offered],
) -> Result<std::collections::BTreeMap<String, Map<String, Value>>> {
    let mut all = std::collections::BTreeMap::<String, Map<String, Value>>::new();
    for (key, value) in given {
        if components.is_empty() {
            continue;
        }
        let found = key
            .rsplit_once('.')
            .and_then(|(id, name)| components.iter().find(|known| known.id == id).map(|known| (known, name)));
        let Some((component, name)) = found else {
            let all =
                components.iter().flat_map(|c| c.parameters.iter().map(move |p| format!("{}.{p}", c.id)));
            let all: Vec<String> = all.collect();
            let near = nearest(key, all.iter().map(String::as_str)).or(all.first().map(String::as_str));
            let such = near.map(|near| format!(", such as --param {near}=…")).unwrap_or_default();
            return Err(Error::input(format!("--param {key}: the file has no such component"))
                .help(format!("write --param ID.NAME=VALUE{such}")));
        };
        let id = component.id.as_str();
        if !component.parameters.iter().any(|known| known == name) {
            let error = Error::input(format!("--param {key}: `{id}` has no parameter `{name}`"));
            return Err(match nearest(name, component.parameters.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean --param {id}.{near}=…?")),
                None if component.parameters.is_empty() => error.help("it has no parameters"),
                None => error.help(format!("it has: {}", component.parameters.join(", "))),
            });
        }
        if all.entry(id.into()).or_default().insert(name.into(), value.clone()).is_some() {
            return Err(Error::input(format!("duplicate --param {key}")).help("set it once"));
        }
    }
    Ok(all)
}

/// Runs the checks of a component, in as many worker processes as needed.
fn run_checks(
    file: &Path,
    component: Option<&str>,
    params: &Map<String, Value>,
    limit: Duration,
    offers: &mut Option<CheckMessage>,
) -> Result<Vec<Finding>> {
    let own = child::executable()?;
    let mut findings: Vec<Finding> = Vec::new();
    // Number of findings after the last check that hung.
    let mut hung = None;
    loop {
        let mut command = Command::new(&own);
        command.args(["--log", "off", "plugins", "check-worker"]).arg(file);
        command.args(["--skip", &findings.len().to_string()]);
        command.args(["--params", &Value::Object(params.clone()).to_string()]);
        if let Some(component) = component {
            command.args(["--component", component]);
        }
        let mut begun = None;
        let terms = Terms { limit: Some(limit), renewed: true, ..Terms::default() };
        let end = supervise(&mut command, &terms, &mut |message| {
            match message {
                CheckMessage::Begin(name) => begun = Some(name),
                CheckMessage::Found(finding) => {
                    begun = None;
                    findings.push(finding);
                }
                CheckMessage::Offers { .. } => *offers = Some(message),
                CheckMessage::Done => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        });
        if end.finished {
            return Ok(findings);
        }
        let late = end.late.is_some();
        let broken = match (late, &end.last_call) {
            (true, Some(call)) => {
                format!("it did not end within {} s; last plugin code: {call}", limit.as_secs())
            }
            (true, None) => format!("it did not end within {} s", limit.as_secs()),
            (false, _) => end.reason(None, ""),
        };
        let Some(check) = begun else {
            // It ended between two checks or before the first, so a new process
            // would end in the same way.
            findings.push(failure("process".into(), broken, 0.0));
            return Ok(findings);
        };
        findings.push(failure(check, broken, if late { limit.as_secs_f64() } else { 0.0 }));
        // If two checks in a row hang, all will: most likely the constructor hangs.
        if late && hung.replace(findings.len()) == Some(findings.len() - 1) {
            let text = "two checks in a row did not end; the others were not run";
            findings.push(failure("process".into(), text.into(), 0.0));
            return Ok(findings);
        }
        if component.is_none() {
            return Ok(findings);
        }
    }
}

/// The finding that another installed plugin has the id: a run would leave out one of them.
fn taken(id: &str, other: &Path) -> Finding {
    let detail = format!("{} offers `{id}` too, so a run leaves one of the two plugins out", other.display());
    let help = "choose another ID, best of a family of your own, or remove the other plugin";
    Finding { help: Some(help.into()), ..failure("unique id".into(), detail, 0.0) }
}

fn failure(check: String, detail: String, seconds: f64) -> Finding {
    Finding { check, verdict: Verdict::Failed, detail, help: None, seconds }
}

fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    }
}

fn print_table(parts: &[Part], [passed, failed, skipped]: [usize; 3]) -> Result<()> {
    let mut table = support::table(["component", "check", "result", "details"]);
    for part in parts {
        let mut name = format!("{} ({})", part.id, part.role);
        for finding in &part.findings {
            table.add_row([
                std::mem::take(&mut name),
                finding.check.clone(),
                verdict_text(finding.verdict).into(),
                finding.detail.clone(),
            ]);
        }
    }
    support::print_table(&table)?;
    let mut text = String::from("\n");
    for part in parts {
        for finding in part.findings.iter().filter(|f| f.verdict == Verdict::Failed) {
            text.push_str(&format!("{}: {}: {}\n", part.id, finding.check, finding.detail));
            if let Some(help) = &finding.help {
                text.push_str(&format!("  help: {help}\n"));
            }
        }
    }
    text.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
    support::print(&text)
}

fn print_json(
    file: &Path,
    about: Value,
    parts: &[Part],
    [passed, failed, skipped]: [usize; 3],
) -> Result<()> {
    let parts: Vec<Value> =
        parts.iter().map(|p| json!({"id": p.id, "role": p.role, "checks": p.findings})).collect();
    let mut all = support::parameters([("file", file.display().to_string().into())]);
    if let Value::Object(about) = about {
        all.extend(about);
    }
    all.extend(support::parameters([
        ("parts", parts.into()),
        ("passed", passed.into()),
        ("failed", failed.into()),
        ("skipped", skipped.into()),
    ]));
    support::print_json(&Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_for_python_name_what_python_has() {
        let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/testkit/src");
        let mut sources = String::new();
        let mut folders = vec![checks];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    sources.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        for (rust, _) in IN_PYTHON {
            // The ends are added by a context.
            let words = rust.trim_end_matches(": ");
            assert!(sources.contains(words), "no check says «{words}»");
        }
        let help = "draw only from pallium_core::random::stream(setting.seed, …), and sum in a fixed order";
        assert_eq!(in_python(help), "draw only from `setting.rng`, and sum in a fixed order");
    }

    #[test]
    fn parameters_are_assigned_to_their_component() {
        let offered = Offered {
            id: "my.penalty".into(),
            role: "constraint".into(),
            parameters: vec!["strength".into(), "a".into()],
        };
        let components = [offered];
        let given = |text: &str| support::value_pair(text).unwrap();
        let all = parameters(&[given("my.penalty.strength=0.5")], &components).unwrap();
        assert_eq!(all["my.penalty"]["strength"], 0.5);
        for wrong in ["strength=1", "my.other.strength=1", "my.penalty=1"] {
            assert!(parameters(&[given(wrong)], &components).is_err(), "{wrong}");
        }
        let error = parameters(&[given("my.penalty.strenght=1")], &components).unwrap_err();
        assert!(error.message.contains("no parameter `strenght`"), "{error}");
        assert!(error.help.unwrap().contains("--param my.penalty.strength=…"));
        let error = parameters(&[given("my.penlty.strength=1")], &components).unwrap_err();
        assert!(error.help.unwrap().contains("--param my.penalty.strength=…"));
        assert!(parameters(&[given("my.penalty.a=1"), given("my.penalty.a=1")], &components).is_err());
    }
}
