//! Reads an [`Experiment`] from the tree of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pallium_core::{Error, Result};
use pallium_files as files;
use pallium_profile as profile;
use pallium_record::defaults;
use pallium_record::spec::{
    EarlyStopping, Geometry, Origin, Schedule, ScheduleKind, Snapshots, Space, Training, Use, Watched,
};
use serde_json::Map;

use super::sweep::{self, Sweep};
use super::tree::{Node, Place, Table, Value, check_keys, check_keys_and};
use super::{Component, Experiment, Variant, nulls, schema, task};
use crate::geometry::parse_space;
use crate::limits::{LEAST_MEMORY_MB, Limits};
use crate::plugins::Catalogue;

/// Maximum length of an experiment file, in bytes.
const LONGEST_FILE: u64 = 1 << 24;

const KEYS: &[&str] = &[
    "base",
    "name",
    "about",
    "seed",
    "runs",
    "profile",
    "switches",
    "plugin_path",
    "substrate",
    "model",
    "optimizer",
    "metrics",
    "training",
    "tasks",
    "constraints",
    "variant",
    "nulls",
    "defaults",
    "limits",
    "analysis",
];
const TRAINING: &[&str] = &[
    "epochs",
    "trials",
    "validation",
    "test",
    "batch",
    "threads",
    "keep_state",
    "fresh",
    "clip_norm",
    "clip_value",
    "weight_decay",
    "schedule",
    "early_stopping",
    "from",
    "frozen",
    "snapshots",
];
const SCHEDULE: &[&str] = &["use", "warm_up", "every", "factor", "to", "patience"];
const EARLY_STOPPING: &[&str] = &["measure", "patience", "least"];
const VARIANT: &[&str] =
    &["name", "weights", "connections", "null", "geometry", "constraints", "model", "optimizer", "training"];
const ORIGIN: &[&str] = &["path", "variant", "task"];
const LIMITS: &[&str] = &["cell_timeout", "cell_memory"];
const GEOMETRY: &[&str] = &["space", "shuffled", "coordinate_layout", "coordinate_scale", "distance_scale"];

// Defaults: the settings of the published study.
const RUNS: u64 = 20;
const EPOCHS: u64 = 10;
const TRIALS: u64 = 5120;
const BATCH: u64 = 128;
/// More threads than any machine has; this catches a typing error.
const MOST_THREADS: u64 = 1024;
const PROFILE: &str = "corrected";

impl Experiment {
    /// Reads the experiment file at `path`, merged over its base if it names
    /// one, with each `path=value` of `sets` merged over that, in order.
    ///
    /// # Errors
    /// If a file cannot be read, a key is unknown or a value is wrong; messages
    /// name file and line, or the override.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        let mut sources = Vec::new();
        let mut tree = load_layers(path, None, &mut sources)?;
        // Overrides are merged with each other first: if one of them changes a
        // component, the parameters in the others must not depend on their order.
        let over = sets.iter().map(|text| Node::parse_set(text)).reduce(|all, one| all?.overlay(one?));
        if let Some(over) = over {
            tree = tree.overlay(over?)?;
        }
        let top = tree.table("an experiment file")?;
        let named = with_name(top, &name_of(path, top)?, &Place::file(path));
        let complete = Arc::new(Node { value: Value::Table(named), ..tree.clone() });
        nulls::write_out(&mut tree)?;
        let names = sweep::write_out(&mut tree)?;
        let (axes, points) = sweep::spread(&tree)?;
        let read = |tree| read(path, tree, &sources, sets, &complete, &names);
        if points.is_empty() {
            return read(tree);
        }
        let points: Vec<_> =
            points.into_iter().map(|(at, tree)| Ok((at, read(tree)?))).collect::<Result<_>>()?;
        let Some((_, first)) = points.first() else { return Err(Error::bug("a sweep has no points")) };
        Ok(Experiment { sweep: Sweep { axes, points: points.clone() }, ..first.clone() })
    }

    /// The experiment as one file without base and overrides, with sweeps as written and
    /// absolute paths: loading it gives the same trainings from any folder.
    ///
    /// # Errors
    /// If a path is not Unicode.
    pub fn resolved_text(&self, catalogue: &Catalogue) -> Result<String> {
        let is_file = |component: &str, name: &str, parameters: &Table| {
            let Ok(entry) = catalogue.get(component) else { return false };
            // As the component is read: a file of code has its absolute path.
            let value = |name: &str, node: &Node| match node.text("a path") {
                Ok(path) if name == "path" => node.at.absolute(&path).map_or(node.json(), Into::into),
                _ => node.json(),
            };
            let given = parameters.iter().map(|(name, node)| (name.clone(), value(name, node))).collect();
            let described = catalogue.describe_with(entry, &given).ok().flatten();
            schema::is_path(described.as_ref().map_or(&entry.schema, |described| &described.schema), name)
        };
        toml::to_string(&self.complete.toml(&is_file)?)
            .map_err(|e| Error::bug(format!("an experiment cannot be written as TOML: {e}")))
    }
}

/// The tree of the file at `path` merged over that of its base, recursively.
fn load_layers(path: &Path, from: Option<&Place>, sources: &mut Vec<(PathBuf, String)>) -> Result<Node> {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if let Some(at) = from
        && sources.iter().any(|(known, _)| canonical(known) == canonical(path))
    {
        return Err(at
            .error(format!("`{}` is its own base, directly or indirectly", path.display()))
            .help("remove or change `base` in one of the files"));
    }
    let text = files::text(path, LONGEST_FILE).map_err(|e| match from {
        Some(at) => at.error(format!("cannot read the base `{}`: {e}", path.display())),
        None => {
            let error = Error::input(format!("{}: cannot read the experiment file: {e}", path.display()));
            match path.exists() {
                true => error,
                false => error.help("name an experiment file; its path is relative to the current folder"),
            }
        }
    })?;
    let mut tree = Node::parse(path, &text)?;
    sources.push((path.to_path_buf(), text));
    let Value::Table(table) = &mut tree.value else {
        return Err(Error::bug("an experiment file is not a table"));
    };
    check_keys_and(table, KEYS, "an experiment file", &in_section)?;
    let Some(base) = table.remove("base") else { return Ok(tree) };
    let beside = path.parent().unwrap_or(Path::new("")).join(base.text("base")?);
    let mut below = load_layers(&beside, Some(&base.at), sources)?;
    if let Value::Table(table) = &mut below.value {
        // A file does not inherit the name and description of its base.
        table.remove("name");
        table.remove("about");
    }
    below.overlay(tree)
}

fn name_of(path: &Path, top: &Table) -> Result<String> {
    match top.get("name") {
        Some(name) => name.text("`name`"),
        None => Ok(path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()),
    }
}

fn read(
    path: &Path,
    tree: Node,
    sources: &[(PathBuf, String)],
    sets: &[String],
    complete: &Arc<Node>,
    names: &(sweep::SweptNames, sweep::SweptNames),
) -> Result<Experiment> {
    let file = Place::file(path);
    let top = tree.table("an experiment file")?;
    check_keys_and(top, &KEYS[1..], "an experiment file", &in_section)?;
    let text = |key: &str| top.get(key).map(|node| node.text(&format!("`{key}`"))).transpose();
    let integer = |key: &str, low: u64, high: u64| {
        top.get(key).map(|node| node.integer(&format!("`{key}`"), low, high)).transpose()
    };

    let name = name_of(path, top)?;
    let profile = text("profile")?.unwrap_or_else(|| PROFILE.into());
    profile::check_name(&profile)
        .map_err(|e| at_place(e, top.get("profile").map_or(&file, |node| &node.at)))?;
    let mut set_switches = BTreeMap::new();
    if let Some(node) = top.get("switches") {
        for (name, node) in node.table("`switches`")? {
            let value = node.text(&format!("switch `{name}`"))?;
            profile::check_switch(name, &value).map_err(|e| at_place(e, &node.at))?;
            set_switches.insert(name.clone(), value);
        }
    }
    let switches = profile::resolve(&profile, &set_switches)?;
    let (data_seed, accuracy, interval) = profile::settings(&switches)?;

    let mut plugin_path = Vec::new();
    for node in top.get("plugin_path").map(Node::list).unwrap_or_default() {
        plugin_path.push(node.at.resolve(&node.text("an entry of `plugin_path`")?)?);
    }

    let substrate = match top.get("substrate") {
        Some(node) => {
            let has_path = matches!(&node.value, Value::Table(table) if table.contains_key("path"));
            let implied = if has_path { defaults::FIELD } else { defaults::SYNTHETIC };
            component(node, "`substrate`", Some(implied), &[])?
        }
        None => plain(defaults::SYNTHETIC, &file),
    };
    let model = match top.get("model") {
        Some(node) => component(node, "`model`", Some(defaults::MODEL), &[])?,
        None => plain(defaults::MODEL, &file),
    };
    let optimizer = match top.get("optimizer") {
        Some(node) => component(node, "`optimizer`", Some(defaults::OPTIMIZER), &[])?,
        None => plain(defaults::OPTIMIZER, &file),
    };
    let base = training(top.get("training"), None)?;
    let metrics = match top.get("metrics") {
        Some(node) => {
            let table = node.table("`metrics`")?;
            check_keys(table, &["use"], "[metrics]")?;
            table
                .get("use")
                .map(|node| components(node, "a metric"))
                .unwrap_or_else(|| Ok(defaults::METRICS.iter().map(|id| plain(id, &file)).collect()))?
        }
        None => defaults::METRICS.iter().map(|id| plain(id, &file)).collect(),
    };
    // A metric names its measures itself, so using it twice would write the
    // same rows twice. One that runs a user's code is another metric for other code.
    let metric_names: Vec<_> = metrics.iter().map(|metric| metric_name(&metric.component)).collect();
    unique(metric_names.iter().zip(&metrics).map(|(name, m)| (name.as_str(), &m.at)), "metric").map_err(
        |e| e.help("remove one of them; `pallium measure` measures saved weights with other parameters"),
    )?;

    let tasks = match top.get("tasks") {
        Some(node) => node.list().into_iter().map(task::read).collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    if tasks.is_empty() {
        let at = top.get("tasks").map_or(&file, |node| &node.at);
        return Err(at
            .error("there are no tasks")
            .help("add them, such as tasks = [\"cognition.one-choice\"]"));
    }
    unique(tasks.iter().map(|t| (t.name.as_str(), &t.component.at)), "task")
        .map_err(|e| e.help("a task that is used twice needs two names: { use = \"…\", name = \"…\" }"))?;

    let everywhere = match top.get("constraints") {
        Some(node) => constraints_of(node)?,
        None => Vec::new(),
    };
    let mut variants = Vec::new();
    for node in top.get("variant").map(Node::list).unwrap_or_default() {
        variants.push(variant(node, &everywhere, &switches, [&model, &optimizer], &base)?);
    }
    if variants.is_empty() {
        let at = top.get("variant").map_or(&file, |node| &node.at);
        return Err(at.error("there are no variants").help("add a [[variant]] with a name"));
    }
    unique(variants.iter().map(|v| (v.name.as_str(), &v.at)), "variant")?;

    let mut defaults = BTreeMap::new();
    if let Some(node) = top.get("defaults") {
        for (id, node) in node.table("`defaults`")? {
            let table = node.table(&format!("defaults of `{id}`")).map_err(|e| {
                e.help(format!("write [defaults.\"{id}\"], with the id in quotes, and its parameters below"))
            })?;
            defaults.insert(id.clone(), parameters(id, node, table, &[])?);
        }
    }

    let analysis = super::analysis::read(top.get("analysis"), &variants, &names.0)?;

    Ok(Experiment {
        name,
        about: text("about")?.unwrap_or_default(),
        path: path.to_path_buf(),
        source_text: sources.first().map(|(_, text)| text.clone()).unwrap_or_default(),
        sources: sources.to_vec(),
        overrides: sets.to_vec(),
        complete: complete.clone(),
        seed: integer("seed", 0, i64::MAX as u64)?.unwrap_or(0),
        runs: narrow(integer("runs", 1, u64::from(u32::MAX))?.unwrap_or(RUNS))?,
        profile,
        switches,
        set_switches,
        accuracy,
        interval,
        data_seed,
        plugin_path,
        substrate,
        model,
        optimizer,
        metrics,
        training: base,
        keep_state: keep_state(top.get("training"))?,
        tasks,
        variants,
        defaults,
        analysis,
        limits: limits(top.get("limits"))?,
        names: names.clone(),
        sweep: Sweep::default(),
    })
}

/// What distinguishes a metric from others: its id, and the code that it runs.
fn metric_name(metric: &Use) -> String {
    let code = ["path", "name"].iter().filter_map(|key| metric.params.get(*key)?.as_str());
    std::iter::once(metric.id.as_str()).chain(code).collect::<Vec<_>>().join(" ")
}

/// The path of a key that belongs into a section.
fn in_section(key: &str) -> Option<String> {
    let sections = [("training", TRAINING), ("limits", LIMITS)];
    let (section, _) = sections.into_iter().find(|(_, keys)| keys.contains(&key))?;
    Some(format!("{section}.{key}"))
}

fn limits(node: Option<&Node>) -> Result<Limits> {
    let Some(node) = node else { return Ok(Limits::default()) };
    let table = node.table("`limits`")?;
    check_keys(table, LIMITS, "[limits]")?;
    let timeout = match table.get("cell_timeout") {
        None => None,
        Some(node) => {
            let seconds = match &node.value {
                Value::Leaf(leaf) => leaf.as_f64(),
                _ => None,
            };
            let limit = seconds.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
            Some(limit.ok_or_else(|| node.wrong("`limits.cell_timeout`", "a number of seconds above 0"))?)
        }
    };
    let memory = table
        .get("cell_memory")
        .map(|node| node.integer("`limits.cell_memory`", LEAST_MEMORY_MB, u64::MAX >> 22));
    Ok(Limits { timeout, memory_mb: memory.transpose()? })
}

fn with_name(top: &Table, name: &str, file: &Place) -> Table {
    let mut table = top.clone();
    table.entry("name".into()).or_insert_with(|| Node {
        at: file.clone(),
        value: Value::Leaf(name.into()),
        raw: None,
    });
    table
}

/// A training, merged over `base` if there is one.
fn training(node: Option<&Node>, base: Option<&Training>) -> Result<Training> {
    let empty = Table::new();
    let table = match node {
        Some(node) => node.table("`training`")?,
        None => &empty,
    };
    if let Some(node) = table.get("learning_rate") {
        let help = "it is a parameter of the optimizer: optimizer = { learning_rate = 0.01 }";
        return Err(node.at.error("unknown key `learning_rate` in [training]").help(help));
    }
    check_keys(table, TRAINING, "[training]")?;
    let integer = |key: &str, default: u64| match table.get(key) {
        Some(node) => node.integer(&format!("`training.{key}`"), 1, u64::from(u32::MAX)),
        None => Ok(default),
    };
    let number = |key: &str, allowed: fn(f64) -> bool, must: &str| {
        table.get(key).map(|node| within(node, &format!("`training.{key}`"), allowed, must)).transpose()
    };
    let trials = integer("trials", base.map_or(TRIALS, |base| base.trials as u64))?;
    let half = |of: fn(&Training) -> usize| match (base, table.contains_key("trials")) {
        (Some(base), false) => of(base) as u64,
        _ => (trials / 2).max(1),
    };
    let mut out = Training::new(
        narrow(integer("epochs", base.map_or(EPOCHS, |base| u64::from(base.epochs)))?)?,
        narrow(trials)?,
        narrow(integer("validation", half(|base| base.validation))?)?,
        narrow(integer("test", half(|base| base.test))?)?,
        narrow(integer("batch", base.map_or(BATCH, |base| base.batch as u64))?)?,
    );
    out.threads = match table.get("threads") {
        Some(node) => narrow(node.integer("`training.threads`", 1, MOST_THREADS)?)?,
        None => base.map_or(1, |base| base.threads),
    };
    out.fresh = match table.get("fresh") {
        Some(node) => node.boolean("`training.fresh`")?,
        None => base.is_some_and(|base| base.fresh),
    };
    let limit = |key: &str| number(key, |limit| limit > 0.0, "above 0; leave it out for no clipping");
    out.clip_norm = limit("clip_norm")?.or(base.and_then(|base| base.clip_norm));
    out.clip_value = limit("clip_value")?.or(base.and_then(|base| base.clip_value));
    let decay = number("weight_decay", |decay| decay >= 0.0, "at least 0")?;
    out.weight_decay = decay.unwrap_or(base.map_or(0.0, |base| base.weight_decay));
    out.schedule = match table.get("schedule") {
        Some(node) => schedule(node)?,
        None => base.map(|base| base.schedule.clone()).unwrap_or_default(),
    };
    out.early_stopping = match table.get("early_stopping") {
        Some(node) => Some(early_stopping(node)?),
        None => base.and_then(|base| base.early_stopping.clone()),
    };
    out.from = match table.get("from") {
        Some(node) => Some(origin(node)?),
        None => base.and_then(|base| base.from.clone()),
    };
    out.frozen = match table.get("frozen") {
        Some(node) => node
            .list()
            .into_iter()
            .map(|node| node.text("an entry of `training.frozen`"))
            .collect::<Result<_>>()?,
        None => base.map(|base| base.frozen.clone()).unwrap_or_default(),
    };
    out.snapshots = match table.get("snapshots") {
        Some(node) => Some(snapshots(node)?),
        None => base.and_then(|base| base.snapshots),
    };
    let warm_up = out.schedule.warm_up;
    if warm_up > out.epochs
        && let Some(node) = table.get("schedule").or(node)
    {
        let error =
            format!("the learning rate warms up for {warm_up} epochs, but a training has {}", out.epochs);
        return Err(node
            .at
            .error(error)
            .help("shorten `warm_up` of `training.schedule`, or set more epochs"));
    }
    Ok(out)
}

/// Reads `"runs/a"` or `{ path = "runs/a", variant = "W", task = "…" }`.
fn origin(node: &Node) -> Result<Origin> {
    const WHAT: &str = "`training.from`";
    let (path, table) = match &node.value {
        Value::Table(table) => {
            check_keys(table, ORIGIN, WHAT)?;
            let Some(path) = table.get("path") else {
                return Err(node
                    .at
                    .error(format!("{WHAT} has no path"))
                    .help("add path = \"RUN\", a run folder"));
            };
            (path, Some(table))
        }
        _ => (node, None),
    };
    let written = path.text(WHAT)?;
    let absolute = path.at.resolve(&written)?;
    if !absolute.is_dir() {
        return Err(path.at.error(format!("{WHAT}: `{written}` is not a folder")).help(
            "name a run folder; in a file it is relative to that file, in --set to the current folder",
        ));
    }
    let text = absolute
        .to_str()
        .ok_or_else(|| path.at.error(format!("the absolute path of `{written}` is not valid Unicode")))?;
    let of = |key: &str| {
        table
            .and_then(|table| table.get(key))
            .map(|node| node.text(&format!("`{key}` of {WHAT}")))
            .transpose()
    };
    Ok(Origin { path: text.to_owned(), variant: of("variant")?, task: of("task")? })
}

/// Reads a number of epochs or `"log"`.
fn snapshots(node: &Node) -> Result<Snapshots> {
    const WHAT: &str = "`training.snapshots`";
    match &node.value {
        Value::Leaf(serde_json::Value::String(text)) if text == "log" => Ok(Snapshots::Log),
        Value::Leaf(serde_json::Value::Number(_)) => {
            Ok(Snapshots::Every(narrow(node.integer(WHAT, 1, u64::from(u32::MAX))?)?))
        }
        _ => Err(node.wrong(WHAT, "a number of epochs, or \"log\" for epochs 1, 2, 4, 8, …")),
    }
}

/// A number that is `allowed`; `must` says which ones are.
pub(super) fn within(node: &Node, what: &str, allowed: fn(f64) -> bool, must: &str) -> Result<f64> {
    let number = node.number(what)?;
    if allowed(number) {
        return Ok(number);
    }
    Err(node.at.error(format!("{what} is {number}")).help(format!("it must be {must}")))
}

/// Reads `"cosine"` or `{ use = "step", every = 3, factor = 0.5, warm_up = 1 }`.
fn schedule(node: &Node) -> Result<Schedule> {
    const WHAT: &str = "`training.schedule`";
    let empty = Table::new();
    let (kind, table) = match &node.value {
        Value::Table(table) => {
            check_keys(table, SCHEDULE, WHAT)?;
            let kind = table.get("use").map(|node| node.text("`use`")).transpose()?;
            (kind.unwrap_or_else(|| "constant".into()), table)
        }
        _ => (node.text(WHAT)?, &empty),
    };
    let integer = |key: &str, least: u64, default: u64| match table.get(key) {
        Some(node) => node.integer(&format!("`{key}` of {WHAT}"), least, u64::from(u32::MAX)),
        None => Ok(default),
    };
    let share = |key: &str, default: f64| match table.get(key) {
        Some(node) => {
            within(node, &format!("`{key}` of {WHAT}"), |v| (0.0..=1.0).contains(&v), "between 0 and 1")
        }
        None => Ok(default),
    };
    let (kind, own): (ScheduleKind, &[&str]) = match kind.as_str() {
        "constant" => (ScheduleKind::Constant, &[]),
        "step" => (
            ScheduleKind::Step { every: narrow(integer("every", 1, 1)?)?, factor: share("factor", 0.1)? },
            &["every", "factor"],
        ),
        "cosine" => (ScheduleKind::Cosine { to: share("to", 0.0)? }, &["to"]),
        "plateau" => (
            ScheduleKind::Plateau {
                factor: share("factor", 0.1)?,
                patience: narrow(integer("patience", 0, 2)?)?,
            },
            &["factor", "patience"],
        ),
        other => {
            return Err(node
                .at
                .error(format!("there is no schedule `{other}`"))
                .help("the schedules: constant, step, cosine, plateau; each takes `warm_up`"));
        }
    };
    let shared = ["use", "warm_up"];
    if let Some((key, node)) =
        table.iter().find(|(key, _)| !shared.contains(&key.as_str()) && !own.contains(&key.as_str()))
    {
        return Err(node.at.error(format!("this schedule has no `{key}`")).help(if own.is_empty() {
            "it takes only `warm_up`".to_owned()
        } else {
            format!("it takes {} and warm_up", own.join(", "))
        }));
    }
    Ok(Schedule { kind, warm_up: narrow(integer("warm_up", 0, 0)?)? })
}

fn early_stopping(node: &Node) -> Result<EarlyStopping> {
    let table = node.table("`training.early_stopping`")?;
    check_keys(table, EARLY_STOPPING, "`training.early_stopping`")?;
    let measure = match table.get("measure") {
        None => Watched::ValidationLoss,
        Some(node) => match node.text("`measure`")?.as_str() {
            "validation_loss" => Watched::ValidationLoss,
            "validation_accuracy" => Watched::ValidationAccuracy,
            "running_loss" => Watched::RunningLoss,
            "running_accuracy" => Watched::RunningAccuracy,
            other => {
                return Err(node.at.error(format!("`{other}` cannot be watched")).help(
                    "it must be validation_loss, validation_accuracy, running_loss or running_accuracy",
                ));
            }
        },
    };
    let patience = match table.get("patience") {
        Some(node) => node.integer("`patience` of `training.early_stopping`", 1, u64::from(u32::MAX))?,
        None => {
            return Err(node
                .at
                .error("`training.early_stopping` has no `patience`")
                .help("set it to the number of epochs without an improvement after which a training ends"));
        }
    };
    let least = match table.get("least") {
        Some(node) => within(node, "`least` of `training.early_stopping`", |v| v >= 0.0, "at least 0")?,
        None => 0.0,
    };
    Ok(EarlyStopping { measure, patience: narrow(patience)?, least })
}

fn keep_state(training: Option<&Node>) -> Result<bool> {
    let table = training.and_then(|node| node.table("`training`").ok());
    match table.and_then(|table| table.get("keep_state")) {
        None => Ok(true),
        Some(node) => match &node.value {
            Value::Leaf(leaf) => leaf.as_bool(),
            _ => None,
        }
        .ok_or_else(|| node.wrong("`training.keep_state`", "true or false")),
    }
}

pub(super) fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T> {
    T::try_from(number).map_err(|_| Error::bug(format!("{number} does not fit")))
}

fn variant(
    node: &Node,
    everywhere: &[Component],
    switches: &BTreeMap<String, String>,
    [model, optimizer]: [&Component; 2],
    base: &Training,
) -> Result<Variant> {
    let table = node.table("a variant")?;
    let Some(named) = table.get("name") else {
        return Err(node.at.error("a variant has no name").help("add name = \"…\""));
    };
    check_keys(table, VARIANT, "a [[variant]]")?;
    let name = label(named, "the variant's name")?;
    let weights = match table.get("weights") {
        Some(node) => component(node, "`weights`", Some(defaults::WEIGHTS), &[])?,
        None => plain(defaults::WEIGHTS, &node.at),
    };
    let connections = match table.get("connections") {
        None => None,
        Some(node) => connections(node, &weights)?,
    };
    let null = table.get("null").map(|node| component(node, "`null`", None, &[])).transpose()?;
    let mut constraints = match table.get("constraints") {
        Some(node) => constraints_of(node)?,
        None => Vec::new(),
    };
    constraints.extend(everywhere.iter().cloned());
    let geometry = geometry(table.get("geometry"), switches)?;
    let own = |key: &str, of_all: &Component| -> Result<Option<Component>> {
        let Some(node) = table.get(key) else { return Ok(None) };
        let mut own = component(node, &format!("`{key}`"), Some(&of_all.component.id), &[])?;
        if own.component.id == of_all.component.id {
            // The same component inherits the experiment's parameters.
            for (name, value) in &of_all.component.params {
                if !own.component.params.contains_key(name) {
                    own.component.params.insert(name.clone(), value.clone());
                    if let Some(at) = of_all.parameters_at.get(name) {
                        own.parameters_at.insert(name.clone(), at.clone());
                    }
                }
            }
        }
        Ok(Some(own))
    };
    let (model, optimizer) = (own("model", model)?, own("optimizer", optimizer)?);
    let training = match table.get("training") {
        Some(node) => training(Some(node), Some(base))?,
        None => base.clone(),
    };
    let at = named.at.clone();
    Ok(Variant { name, at, weights, connections, null, geometry, constraints, model, optimizer, training })
}

/// The weight source that says which pairs are connected: `true` for the one of the
/// weights themselves, `false` for a matrix of all pairs.
fn connections(node: &Node, weights: &Component) -> Result<Option<Component>> {
    match node.boolean("`connections`") {
        Ok(true) => Ok(Some(weights.clone())),
        Ok(false) => Ok(None),
        Err(_) => component(node, "`connections`", None, &[]).map(Some).map_err(|e| {
            e.help(
                "write connections = true to connect the pairs whose initial weight is not 0, or name a \
                 weight source, whose nonzero weights define which pairs are connected",
            )
        }),
    }
}

/// Constraints, each with the names of the parameters that it acts on.
fn constraints_of(node: &Node) -> Result<Vec<Component>> {
    let mut all = Vec::new();
    for node in node.list() {
        let mut constraint = component(node, "a constraint", None, &["on"])?;
        if let Value::Table(table) = &node.value
            && let Some(on) = table.get("on")
        {
            if on.list().is_empty() {
                return Err(on
                    .at
                    .error("`on` names no parameter")
                    .help("list at least one parameter, or remove `on`: by default the constraint acts on all recurrent weights"));
            }
            for name in on.list() {
                constraint.component.on.push(name.text("an entry of `on`")?);
            }
        }
        all.push(constraint);
    }
    Ok(all)
}

fn geometry(node: Option<&Node>, switches: &BTreeMap<String, String>) -> Result<Geometry> {
    let Some(node) = node else { return profile::geometry_of(switches, Space::None) };
    let placed = |node: &Node| parse_space(&node.text("`geometry`")?).map_err(|e| at_place(e, &node.at));
    let Value::Table(table) = &node.value else {
        return profile::geometry_of(switches, placed(node)?);
    };
    check_keys(table, GEOMETRY, "a geometry")?;
    let Some(space) = table.get("space") else {
        return Err(node.at.error("a geometry has no space").help("add space = \"soma\" or \"grid\""));
    };
    // A geometry may set switches for itself alone.
    let mut own = switches.clone();
    for (key, node) in table.iter().filter(|(key, _)| switches.contains_key(*key)) {
        let value = node.text(&format!("`{key}`"))?;
        profile::check_switch(key, &value).map_err(|e| at_place(e, &node.at))?;
        own.insert(key.clone(), value);
    }
    let mut geometry = profile::geometry_of(&own, placed(space)?)?;
    if let Some(node) = table.get("shuffled") {
        geometry.shuffled = node.boolean("`shuffled`")?;
        if geometry.shuffled && geometry.space == Space::None {
            return Err(node
                .at
                .error("the space `none` has no positions to shuffle")
                .help("set space = \"soma\" or \"grid\", or remove `shuffled`"));
        }
    }
    Ok(geometry)
}

/// A name for use in `variant/task/run` and in tables.
pub(super) fn label(node: &Node, what: &str) -> Result<String> {
    let name = node.text(what)?;
    if name.trim().is_empty() || name.trim() != name {
        return Err(node
            .at
            .error(format!("{what} cannot be `{name}`"))
            .help("it must not be empty, or begin or end with a space"));
    }
    if name.contains('/') || name.chars().any(char::is_control) {
        return Err(node
            .at
            .error(format!("{what} cannot be `{name}`"))
            .help("it must not contain `/`, tabs, line breaks or other control characters"));
    }
    Ok(name)
}

pub(super) fn unique<'a>(names: impl Iterator<Item = (&'a str, &'a Place)>, what: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (name, at) in names {
        if !seen.insert(name) {
            return Err(at.error(format!("duplicate {what} `{name}`")).help("rename or remove one of them"));
        }
    }
    Ok(())
}

pub(super) fn plain(id: &str, at: &Place) -> Component {
    Component { component: Use::new(id), at: at.clone(), parameters_at: BTreeMap::new() }
}

fn components(node: &Node, what: &str) -> Result<Vec<Component>> {
    node.list().into_iter().map(|node| component(node, what, None, &[])).collect()
}

/// Reads `"id"` or `{ use = "id", parameter = … }`; `implied` is the id if
/// `use` is missing, `reserved` are keys that are not parameters.
pub(super) fn component(
    node: &Node,
    what: &str,
    implied: Option<&str>,
    reserved: &[&str],
) -> Result<Component> {
    match &node.value {
        Value::Leaf(_) => Ok(plain(&node.text(what)?, &node.at)),
        Value::List(_) => Err(node.wrong(what, "one component")),
        Value::Table(table) => {
            let (id, at) = match (table.get("use"), implied) {
                (Some(id), _) => (id.text("`use`")?, &id.at),
                (None, Some(implied)) => (implied.to_string(), &node.at),
                (None, None) => {
                    return Err(node
                        .at
                        .error(format!("{what} does not name its component"))
                        .help("add use = \"…\"; `pallium plugins list` lists the components"));
                }
            };
            let mut reserved = reserved.to_vec();
            reserved.push("use");
            let component = parameters(&id, node, table, &reserved)?;
            Ok(Component { at: at.clone(), ..component })
        }
    }
}

/// The component `id` without parameters, named by an option of the command line.
pub(super) fn plain_component(id: &str, option: &str) -> Component {
    plain(id, &Place::option(option))
}

/// The parameters of the component `id` in a table.
pub(super) fn parameters_of(id: &str, node: &Node) -> Result<Component> {
    parameters(id, node, node.table("the task")?, &[])
}

pub(super) fn parameters(id: &str, node: &Node, table: &Table, reserved: &[&str]) -> Result<Component> {
    let mut out = plain(id, &node.at);
    let mut params = Map::new();
    for (name, value) in table.iter().filter(|(name, _)| !reserved.contains(&name.as_str())) {
        let json = match (name.as_str(), &value.value) {
            ("path", Value::Leaf(_)) => value.at.absolute(&value.text("a path")?)?.into(),
            _ => value.json(),
        };
        out.parameters_at.insert(name.clone(), value.at.clone());
        params.insert(name.clone(), json);
    }
    out.component.params = params;
    Ok(out)
}

/// Prefixes an error's message with a place.
fn at_place(mut error: Error, at: &Place) -> Error {
    error.message = format!("{at}: {}", error.message);
    error
}
