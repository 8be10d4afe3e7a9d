//! `pallium plugins check`: whether the components of a plugin file keep the
//! promises of their roles.
//!
//! Each component is tried in a process of its own, so that a plugin that
//! crashes or hangs costs one check: the process is started again behind it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result, nearest};
use pallium_testkit::{self as testkit, Finding, Subject, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::support;
use crate::{files, plugins};

/// Tries out whether the components of a plugin file keep the promises of
/// their roles.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plugins check target/release/libmy_penalty.so

Every component is built in a small made-up world and called as a run would call it. Each component
is tried in a process of its own; one that crashes or hangs costs a check and nothing else.

The exit code is 0 if no check failed, 2 if one did.")]
pub struct Check {
    /// The plugin file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this component; may be given several times.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Sets a parameter of a component, such as `my.penalty.strength=0.1`.
    #[arg(long = "param", value_name = "ID.NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// How long a single check may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    timeout: u64,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a worker is asked.
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

/// A worker's lines begin with this; all others are the plugin's own talk.
const MARK: &str = "@pallium-check ";

/// What a worker says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    /// A check begins.
    Begin(String),
    /// It ended.
    Found(Finding),
    /// What the file offers.
    Offers { name: String, version: String, core_version: String, components: Vec<Offered> },
    /// The worker is through.
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

fn say(said: &Said) -> Result<()> {
    let text = serde_json::to_string(said).map_err(|e| Error::bug(e.to_string()))?;
    // The plugin may have left a line unfinished.
    support::print(&format!("\n{MARK}{text}\n"))
}

/// Runs checks on one component, or on the file as a whole.
///
/// # Errors
/// If there is no such component.
pub fn worker(args: &Worker) -> Result<()> {
    let Some(id) = &args.component else { return whole(&args.file) };
    let admitted = plugins::admit(&args.file)?;
    let entry = admitted.manifest.components.iter().find(|c| c.id == *id);
    let entry = entry.ok_or_else(|| Error::bug(format!("{} has no `{id}`", args.file.display())))?;
    let given: Map<String, Value> =
        serde_json::from_str(&args.params).map_err(|e| Error::bug(e.to_string()))?;
    let checks = entry.role().map(testkit::checks).unwrap_or_default();
    let subject = Subject::new(admitted.library, entry, given);
    for check in checks.iter().skip(args.skip) {
        say(&Said::Begin(check.name.into()))?;
        say(&Said::Found(subject.run(check)))?;
    }
    say(&Said::Done)
}

fn whole(file: &Path) -> Result<()> {
    say(&Said::Begin("loads".into()))?;
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
            say(&Said::Found(finding(Verdict::Failed, text, error.help)))?;
            return say(&Said::Done);
        }
    };
    say(&Said::Found(finding(Verdict::Passed, format!("sha256 {}…", &admitted.sha256[..12]), None)))?;
    say(&Said::Begin("manifest".into()))?;
    let manifest = &admitted.manifest;
    say(&Said::Found(testkit::check_manifest(manifest)))?;
    say(&Said::Offers {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        core_version: manifest.core_version.clone(),
        components: manifest
            .components
            .iter()
            .map(|c| Offered {
                id: c.id.clone(),
                role: c.role.clone(),
                parameters: super::parameters(&c.schema).into_iter().map(|p| p.name).collect(),
            })
            .collect(),
    })?;
    say(&Said::Done)
}

/// The findings on one component, or on the file as a whole.
struct Part {
    /// Its id; the file's name for the file.
    id: String,
    role: String,
    findings: Vec<Finding>,
}

/// Runs the command.
///
/// # Errors
/// If the file cannot be read, a component that was named is not in it, or no
/// process can be started.
pub fn check(args: &Check) -> Result<ExitCode> {
    let remedy = format!(
        "build the plugin with `cargo build --release` and name the library it makes: target/release/{}….{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_EXTENSION
    );
    files::open(&args.file).map_err(|e| e.help(remedy))?;
    let limit = Duration::from_secs(args.timeout);
    let mut offers = None;
    let mut parts = vec![Part {
        id: args.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        role: "file".into(),
        findings: supervise(&args.file, None, &Map::new(), limit, &mut offers)?,
    }];
    let (about, components) = match offers {
        Some(Said::Offers { name, version, core_version, components }) => {
            (json!({"plugin": name, "version": version, "core_version": core_version}), components)
        }
        _ => (json!({}), Vec::new()),
    };
    let known = |id: &String| components.iter().any(|known| known.id == *id);
    if let Some(id) = args.only.iter().find(|id| !components.is_empty() && !known(id)) {
        return Err(Error::input(format!("{} offers no component `{id}`", args.file.display()))
            .help(format!("it offers: {}", components.iter().map(|c| c.id.as_str()).join(", "))));
    }
    let mut params = parameters(&args.params, &components)?;
    for Offered { id, role, .. } in &components {
        if !args.only.is_empty() && !args.only.contains(id) {
            continue;
        }
        let given = params.remove(id).unwrap_or_default();
        let findings = supervise(&args.file, Some(id), &given, limit, &mut None)?;
        parts.push(Part { id: id.clone(), role: role.clone(), findings });
    }
    let count = |verdict| parts.iter().flat_map(|p| &p.findings).filter(|f| f.verdict == verdict).count();
    let counts = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(count);
    if args.json {
        print_json(&args.file, about, &parts, counts)?;
    } else {
        print_table(&parts, counts)?;
    }
    Ok(ExitCode::from(if counts[1] == 0 { 0 } else { 2 }))
}

/// Parameters by component. Both ids and names of parameters are free of what
/// would make `ID.NAME` ambiguous: an id has one dot, a name none.
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
            return Err(Error::input(format!("--param {key}: this names no component of the file"))
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
            return Err(Error::input(format!("--param {key} is given twice")).help("give it once"));
        }
    }
    Ok(all)
}

/// Runs the checks of a component in worker processes, as many as it takes.
fn supervise(
    file: &Path,
    component: Option<&str>,
    params: &Map<String, Value>,
    limit: Duration,
    offers: &mut Option<Said>,
) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = Vec::new();
    // How many checks there were after the last that did not end.
    let mut hung = None;
    loop {
        let skip = findings.len();
        let mut worker = Running::start(file, component, skip, params)?;
        let mut begun = None;
        let broken = loop {
            match worker.lines.recv_timeout(limit) {
                Ok(Said::Begin(name)) => begun = Some(name),
                Ok(Said::Found(finding)) => {
                    begun = None;
                    findings.push(finding);
                }
                Ok(said @ Said::Offers { .. }) => *offers = Some(said),
                Ok(Said::Done) => {
                    worker.end();
                    return Ok(findings);
                }
                Err(RecvTimeoutError::Timeout) => {
                    worker.end();
                    break format!("it did not end within {} s", limit.as_secs());
                }
                Err(RecvTimeoutError::Disconnected) => break worker.obituary()?,
            }
        };
        let Some(check) = begun else {
            // Between two checks, or before the first: starting again would
            // end in the same way.
            findings.push(failure("process".into(), broken, 0.0));
            return Ok(findings);
        };
        let late = broken.starts_with("it did not end");
        findings.push(failure(check, broken, if late { limit.as_secs_f64() } else { 0.0 }));
        // What hangs in two checks in turn hangs in all: most likely it is
        // never built.
        if late && hung.replace(findings.len()) == Some(findings.len() - 1) {
            let text = "two checks in turn did not end; the others were not tried";
            findings.push(failure("process".into(), text.into(), 0.0));
            return Ok(findings);
        }
        if component.is_none() {
            return Ok(findings);
        }
    }
}

fn failure(check: String, detail: String, seconds: f64) -> Finding {
    Finding { check, verdict: Verdict::Failed, detail, help: None, seconds }
}

/// A worker process.
struct Running {
    child: Child,
    lines: mpsc::Receiver<Said>,
    errors: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    fn start(file: &Path, component: Option<&str>, skip: usize, params: &Map<String, Value>) -> Result<Self> {
        let own = std::env::current_exe().map_err(|e| Error::io(Path::new("this executable"), &e))?;
        let mut command = Command::new(own);
        command.args(["--log", "off", "plugins", "check-worker"]).arg(file);
        command.args(["--skip", &skip.to_string(), "--params", &Value::Object(params.clone()).to_string()]);
        if let Some(component) = component {
            command.args(["--component", component]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(Path::new("a process for the checks"), &e))?;
        let (send, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut out = BufReader::new(out);
                let mut line = Vec::new();
                // A plugin may write what is no text.
                while out.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let said = std::str::from_utf8(&line).ok().and_then(|l| l.strip_prefix(MARK));
                    if let Some(said) = said.and_then(|text| serde_json::from_str(text).ok())
                        && send.send(said).is_err()
                    {
                        break;
                    }
                    line.clear();
                }
            });
        }
        let errors = child.stderr.take().map(|mut err| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What cannot be read is not there to be told.
                let _ = err.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        Ok(Running { child, lines, errors })
    }

    /// Ends the process if it has not ended by itself.
    fn end(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How the process ended, said as what is wrong.
    fn obituary(&mut self) -> Result<String> {
        let status = self.child.wait().map_err(|e| Error::io(Path::new("a process for the checks"), &e))?;
        let mut text = ended(status);
        let said = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let last = crate::run::workers::last_words(&said);
        if !last.is_empty() {
            text.push_str(&format!(": {last}"));
        }
        Ok(text)
    }
}

fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(number) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match number {
            4 => " (illegal instruction)",
            6 => " (abort)",
            8 => " (arithmetic fault)",
            9 => " (killed, perhaps for lack of memory)",
            11 => " (segmentation fault)",
            _ => "",
        };
        return format!("the process was ended by signal {number}{name}");
    }
    match status.code() {
        Some(code) => format!("the component ended the process with exit code {code}"),
        None => "the process ended".into(),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    }
}

fn print_table(parts: &[Part], [passed, failed, skipped]: [usize; 3]) -> Result<()> {
    let mut table = support::table(["component", "check", "result", "found"]);
    for part in parts {
        let mut name = format!("{} ({})", part.id, part.role);
        for finding in &part.findings {
            table.add_row([
                std::mem::take(&mut name),
                finding.check.clone(),
                word(finding.verdict).into(),
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
    fn parameters_go_to_their_component() {
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
