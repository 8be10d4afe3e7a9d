//! `pallium plugins`: lists and documents components, creates plugin crates and
//! checks plugin files.

mod check;
mod markdown;
mod new;
mod parameters;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pallium_core::{Network, Result, Role, Setting};
use pallium_record::spec::Use;
use pallium_testkit::World;
use serde_json::{Map, Value, json};

use self::parameters::{Parameter, parameters};
use super::support;
use crate::plugins::{Catalogue, Entry, Refused, code, describe_for_parent};

/// Lists and documents components; creates and checks plugins.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plugins show spatial.communicability")]
pub struct Plugins {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(List),
    Show(Show),
    New(new::New),
    Vendor(new::Vendor),
    Check(check::Check),
    /// Runs checks for a parent process.
    #[command(hide = true)]
    CheckWorker(check::Worker),
    /// Loads a plugin file for a parent process.
    #[command(hide = true)]
    Describe(Describe),
}

/// Arguments of a process that describes a plugin file.
#[derive(Args, Debug)]
struct Describe {
    file: PathBuf,
    sha256: String,
    /// Of a component: its id and its parameters.
    #[arg(num_args = 2)]
    component: Vec<String>,
}

impl Plugins {
    /// Whether the command builds components.
    pub fn builds_components(&self) -> bool {
        matches!(self.command, Command::Show(_))
    }
}

/// Lists every component and its plugin file.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plugins list --json

Plugins are found beside the executable (files named libpallium_*) and in $PALLIUM_PLUGIN_PATH. A
file in a folder that is not a plugin, or is refused, is left out with a warning. If the variable
names a file instead of a folder, and that file is refused, the exit code is 2.")]
struct List {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Print a Markdown page that documents each component: what it does, its
    /// source and its parameters.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Documents a component: what it does, its source and its parameters.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium plugins show spatial.communicability
  pallium plugins show target/release/libmy_penalty.so
  pallium plugins show lab.py:LongWires")]
struct Show {
    /// A component, or a plugin file to document all of its components; or a Python
    /// file, or one class of it as FILE.py:CLASS.
    #[arg(value_name = "ID|FILE")]
    id: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If a plugin is refused, or there is no such component.
pub fn plugins(args: &Plugins) -> Result<u8> {
    match &args.command {
        Command::List(args) => {
            let catalogue = Catalogue::discover(&[], support::cache_folder().as_deref())?;
            if args.markdown {
                support::print(&markdown::page(&catalogue))?;
            } else {
                list(&catalogue, args.json)?;
            }
            report_refused(catalogue.refused())?;
        }
        Command::Show(args) => {
            if let Some((file, name)) = code::parse(&args.id) {
                let catalogue = Catalogue::discover(&[], support::cache_folder().as_deref())?;
                let offered = code::offers(&catalogue, file, name)?;
                let entries: Vec<_> = offered.iter().map(|one| &one.entry).collect();
                show(&catalogue, &entries, args.json, name.is_none())?;
            } else if let Some(file) = file(&args.id) {
                let catalogue = Catalogue::describe(&file, support::cache_folder().as_deref())?;
                show(&catalogue, &catalogue.entries().collect::<Vec<_>>(), args.json, true)?;
            } else {
                let catalogue = Catalogue::discover(&[], support::cache_folder().as_deref())?;
                show(&catalogue, &[catalogue.get(&args.id)?], args.json, false)?;
            }
        }
        Command::New(args) => new::new(args)?,
        Command::Vendor(args) => new::vendor(args)?,
        Command::Check(args) => return check::check(args),
        Command::CheckWorker(args) => check::worker(args)?,
        Command::Describe(args) => {
            let component = match args.component.as_slice() {
                [id, params] => Some((id.as_str(), params.as_str())),
                _ => None,
            };
            describe_for_parent(&args.file, &args.sha256, component)?;
        }
    }
    Ok(0)
}

/// Reports the refused files: an error for a file that the user named, a warning
/// for one in a folder.
fn report_refused(refused: &[Refused]) -> Result<()> {
    let (named, found): (Vec<_>, Vec<_>) = refused.iter().partition(|file| file.named);
    found.into_iter().for_each(support::warn_of);
    let Some((first, others)) = named.split_first() else { return Ok(()) };
    for file in others {
        tracing::error!("{}", file.error.report());
    }
    Err(first.error.clone())
}

/// The plugin file that `text` names, unless it is an id.
fn file(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_path = text.contains(std::path::MAIN_SEPARATOR) || text.ends_with(std::env::consts::DLL_SUFFIX);
    (is_path || path.is_file()).then(|| path.to_owned())
}

/// Columns of the list where the width of the terminal is unknown.
const WIDTH: usize = 80;

fn list(catalogue: &Catalogue, json: bool) -> Result<()> {
    if json {
        let all: Vec<Value> = catalogue.entries().map(|e| Value::Object(summary(e))).collect();
        return support::print_json(&Value::Array(all));
    }
    if catalogue.entries().next().is_none() {
        return support::print(
            "found no plugin beside the executable or in $PALLIUM_PLUGIN_PATH; \
             `cargo build --release` at the root of the project builds Pallium's own\n",
        );
    }
    // Plugins are in the second list: their names would leave a line of 80
    // columns no room for what a component does.
    let mut table = support::table(["component", "role", "what it does"]).within(WIDTH);
    for role in Role::ALL {
        for entry in catalogue.entries().filter(|e| e.role == role) {
            table.add_row([entry.id.as_str(), role.name(), &entry.about]);
        }
    }
    support::print_table(&table)?;
    let mut files: Vec<String> = catalogue
        .entries()
        .filter_map(|e| e.plugin.as_ref())
        .map(|p| format!("{} {}: {}\n", p.name, p.version, p.path.display()))
        .collect();
    files.sort();
    files.dedup();
    support::print(&format!("\n{}", files.concat()))
}

/// Documents components; in JSON, `several` prints a list even of one.
fn show(catalogue: &Catalogue, entries: &[&Entry], json: bool, several: bool) -> Result<()> {
    let mut documents = Vec::new();
    let mut pages = Vec::new();
    for entry in entries {
        let parameters = parameters(&entry.schema);
        let details = details(catalogue, entry);
        if json {
            let mut object = summary(entry);
            object.insert("cite".into(), entry.cite.clone().into());
            object.insert("parameters".into(), parameters.iter().map(Parameter::to_json).collect());
            object.insert("profiles".into(), json!(entry.profiles));
            object.insert("example".into(), example(entry, &parameters).into());
            object.extend(details);
            documents.push(Value::Object(object));
        } else {
            pages.push(page(entry, &parameters, &details));
        }
    }
    if json {
        let one = if several { None } else { documents.pop() };
        return support::print_json(&one.unwrap_or(Value::Array(documents)));
    }
    support::print(&pages.join("\n"))
}

/// Details that require building a component with its defaults: the description
/// of a task, and the names of a metric's measures.
fn details(catalogue: &Catalogue, entry: &Entry) -> Map<String, Value> {
    let component = Use::new(&entry.id);
    let found = match entry.role {
        Role::Task => catalogue.task(&component, &Setting::default()).ok().map(|task| {
            support::parameters([("trials", serde_json::to_value(task.info()).unwrap_or_default())])
        }),
        Role::Metric => {
            let world = World::new(16, 1);
            let (weights, initial) = (world.weights(1), world.weights(2));
            let network = Network {
                initial: Some(initial.view()),
                substrate: Some(world.substrate()),
                ..Network::new(weights.view())
            };
            let metric = catalogue.metric(&component, &world.setting()).ok();
            metric
                .filter(|metric| !metric.wants_activity())
                .and_then(|mut metric| metric.measure(&network).ok())
                .map(|measures| {
                    let names: Vec<Value> =
                        measures.values.iter().map(|m| json!({"name": m.name, "unit": m.unit})).collect();
                    support::parameters([("measures", names.into())])
                })
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// Conditions of a task that are listed.
const MOST_CONDITIONS: usize = 20;

/// [`details`] as text.
fn details_text(details: &Map<String, Value>) -> String {
    let mut text = String::new();
    if let Some(measures) = details.get("measures").and_then(Value::as_array) {
        text.push_str("\nMeasures:\n");
        for measure in measures {
            let word = |key: &str| measure[key].as_str().unwrap_or_default();
            let unit = if word("unit").is_empty() { String::new() } else { format!(" ({})", word("unit")) };
            text.push_str(&format!("  {}{unit}\n", word("name")));
        }
    }
    if let Some(task) = details.get("trials") {
        let level =
            |name: &str| task["levels"][name].as_f64().map_or_else(|| "not stated".into(), support::human);
        let conditions: Vec<&str> =
            task["conditions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        text.push_str(&format!(
            "\nTrials with the default parameters: input channels {}, outputs {}, steps at most {}\n  loss: {}\n  \
             levels: chance {}, memoryless {}, ideal {}\n",
            task["inputs"],
            task["outputs"],
            task["steps"],
            task["loss"].as_str().unwrap_or_default(),
            level("chance"),
            level("memoryless"),
            level("ideal")
        ));
        if !conditions.is_empty() {
            text.push_str("  conditions:\n");
        }
        for condition in conditions.iter().take(MOST_CONDITIONS) {
            text.push_str(&format!("    {condition}\n"));
        }
        if conditions.len() > MOST_CONDITIONS {
            text.push_str(&format!("    and {} more\n", conditions.len() - MOST_CONDITIONS));
        }
    }
    text
}

fn summary(entry: &Entry) -> Map<String, Value> {
    let plugin = entry.plugin.as_deref();
    support::parameters([
        ("id", entry.id.clone().into()),
        ("role", entry.role.name().into()),
        ("about", entry.about.clone().into()),
        ("plugin", json!(plugin.map(|p| &p.name))),
        ("version", json!(plugin.map(|p| &p.version))),
        ("file", json!(plugin.map(|p| p.path.display().to_string()))),
    ])
}

/// The documentation of a component as text.
fn page(entry: &Entry, parameters: &[Parameter], details: &Map<String, Value>) -> String {
    let mut page = format!("{} ({})\n  {}\n  {}\n", entry.id, entry.role, entry.about, entry.cite);
    match &entry.plugin {
        Some(p) => page.push_str(&format!("  from {} {}, {}\n", p.name, p.version, p.path.display())),
        None => page.push_str("  built in\n"),
    }
    if entry.connections {
        page.push_str("  takes weights on connections\n");
    }
    page.push_str(if parameters.is_empty() { "\nIt has no parameters.\n" } else { "\nParameters:\n" });
    for p in parameters {
        let default = match &p.default {
            Value::Null => "none".to_string(),
            value => value.to_string(),
        };
        page.push_str(&format!("  {} — {}; default {default}\n", p.name, p.kind));
        if !p.about.is_empty() {
            page.push_str(&format!("      {}\n", p.about));
        }
        for (value, about) in &p.allowed {
            let about = if about.is_empty() { String::new() } else { format!(" — {about}") };
            page.push_str(&format!("      {value}{about}\n"));
        }
        for declared in entry.profiles.iter().filter(|declared| declared.parameter == p.name) {
            let with = declared.constraint.as_ref().map_or_else(String::new, |id| format!(" with {id}"));
            page.push_str(&format!(
                "      under the profile {}{with}: {}\n",
                declared.profile, declared.value
            ));
        }
    }
    page.push_str(&details_text(details));
    page.push_str("\nIn an experiment file:\n");
    for line in example(entry, parameters).lines() {
        page.push_str(&format!("  {line}\n"));
    }
    page
}

/// An example of the component in an experiment file, as TOML.
fn example(entry: &Entry, parameters: &[Parameter]) -> String {
    let id = toml::Value::from(entry.id.as_str()).to_string();
    let settings: Vec<String> = parameters.iter().filter_map(setting).collect();
    // More than two settings make the line too long.
    let inline = match settings.as_slice() {
        [] => id.clone(),
        some => format!("{{ use = {id}, {} }}", some[..some.len().min(2)].join(", ")),
    };
    let section = |name: &str| {
        let lines = settings.iter().map(|s| format!("{s}\n")).collect::<String>();
        format!("[{name}]\nuse = {id}\n{lines}")
    };
    match entry.role {
        Role::Substrate => section("substrate"),
        Role::Model => section("model"),
        Role::Optimizer => section("optimizer"),
        Role::Weights => format!("[[variant]]\nname = \"mine\"\nweights = {}\n", inline),
        Role::Constraint => {
            format!("[[variant]]\nname = \"mine\"\ngeometry = \"soma\"\nconstraints = [{}]\n", inline)
        }
        Role::Task => format!("tasks = [{}]\n", inline),
        Role::Metric => format!("[metrics]\nuse = [{}]\n", inline),
        _ => String::new(),
    }
}

/// A parameter at its default, as TOML; a path without a default gets the name
/// of a released field.
fn setting(parameter: &Parameter) -> Option<String> {
    let missing = parameter.default.is_null() || parameter.default == "";
    let value = match &parameter.default {
        _ if missing && parameter.name == "path" => toml::Value::from("data/6_6_2"),
        Value::Null => return None,
        value => toml::Value::try_from(value).ok()?,
    };
    Some(format!("{} = {value}", parameter.name))
}

#[cfg(test)]
mod tests {
    use pallium_core::{Component, Measures, Metric, Network, Registration, Setting};

    use super::parameters::tests::{Params, described};
    use super::*;

    struct Sample;
    impl Component for Sample {
        const ID: &'static str = "sample.metric";
        const ABOUT: &'static str = "measures nothing";
        const CITE: &'static str = "this work";
        type Params = Params;
        fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
            Ok(Sample)
        }
    }
    impl Metric for Sample {
        fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
            Ok(Measures::default())
        }
    }
    static SAMPLE: Registration = Registration::metric::<Sample>();

    #[test]
    fn a_page_is_complete_and_its_example_is_valid_toml() {
        let catalogue = Catalogue::in_process([&SAMPLE]).unwrap();
        let entry = catalogue.get("sample.metric").unwrap();
        let parameters = parameters(&entry.schema);
        let page = page(entry, &parameters, &details(&catalogue, entry));
        for part in [
            "sample.metric (metric)",
            "measures nothing",
            "this work",
            "strength — number; default 0.3",
            "\"zero\" — Set to zero.",
            "path — text, or none; default none",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        let example: toml::Table = toml::from_str(&example(entry, &parameters)).unwrap();
        assert_eq!(example["metrics"]["use"][0]["use"].as_str(), Some("sample.metric"));
        assert_eq!(example["metrics"]["use"][0]["strength"].as_float(), Some(0.3));
    }

    #[test]
    fn a_null_default_is_omitted_and_a_path_gets_an_example() {
        assert_eq!(setting(&described("path")).unwrap(), "path = \"data/6_6_2\"");
        assert_eq!(setting(&described("perhaps")), None);
        assert_eq!(setting(&described("triple")).unwrap(), "triple = [4.0, 4.0, 40.0]");
        assert_eq!(setting(&described("flag")).unwrap(), "flag = false");
    }
}
