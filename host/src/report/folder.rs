//! A run folder as a report reads it: what its files say, and no plugin.
//!
//! The cells of the experiment are those that `results.csv` has rows of. Where
//! `cells/` holds several states of one cell (the experiment has changed
//! since), the one whose own table agrees with `results.csv` is meant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pallium_core::{Error, ModelInfo, Result, TaskInfo};
use serde::Deserialize;

use crate::cell::CellSpec;
use crate::experiment::{Accuracy, Experiment, Interval};
use crate::run::outcome::{Divergence, Status};
use crate::run::store::{Failure, Manifest, Store};

/// Split and measure.
pub type Key = (String, String);

/// A run folder, read.
#[derive(Debug)]
pub struct RunFolder {
    /// Where it is.
    pub root: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What the experiment asks, in its author's words.
    pub about: String,
    /// The experiment, resolved.
    pub experiment: String,
    /// The accuracy that its tables show.
    pub accuracy: Accuracy,
    /// The interval that its tables show.
    pub interval: Interval,
    /// Variants, in the order of the experiment.
    pub variants: Vec<String>,
    /// Tasks, in the order of the experiment.
    pub tasks: Vec<Task>,
    /// Every cell with a row in `results.csv`.
    pub cells: Vec<CellResult>,
    /// Cells that are still to run, if the experiment is known to that degree.
    pub missing: usize,
    /// Folders of cells that are no part of the experiment as it was run last.
    pub strangers: usize,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its label.
    pub label: String,
    /// Its component, once a cell is done.
    pub component: Option<String>,
    /// What it says of itself, once a cell is done.
    pub info: Option<TaskInfo>,
}

impl Task {
    /// The label without the name of the plugin before it: `go-no-go`.
    pub fn short(&self) -> &str {
        match &self.component {
            Some(id) if *id != self.label => &self.label,
            _ => self.label.split_once('.').map_or(self.label.as_str(), |(_, name)| name),
        }
    }
}

impl Task {
    /// The short label as it may stand in an address.
    pub fn slug(&self) -> String {
        self.short().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
    }
}

/// A cell, and what came out.
#[derive(Debug)]
pub struct CellResult {
    /// Place of its variant.
    pub variant: usize,
    /// Place of its task.
    pub task: usize,
    /// Its run.
    pub run: u32,
    /// How it ended.
    pub status: Status,
    /// Its values; those that do not exist are not there.
    pub values: BTreeMap<Key, f64>,
    /// Measures that could not be taken, and why.
    pub failed_measures: Vec<(String, String)>,
    /// What `cell.json` says, of a cell that finished.
    pub about: Option<CellAbout>,
}

/// The part of `cell.json` that reports read.
#[derive(Clone, Debug, Deserialize)]
pub struct CellAbout {
    variant: String,
    task: String,
    run: u32,
    /// How and when it diverged.
    pub divergence: Option<Divergence>,
    /// What the data's source wants readers to know.
    pub notes: Vec<String>,
    /// What the task says of itself.
    pub task_info: TaskInfo,
    /// What the model says of itself.
    pub model_info: ModelInfo,
    /// The cell.
    pub spec: CellSpec,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A row of `results.csv`, numbers as they are spelt.
#[derive(Debug, Deserialize)]
struct Row {
    variant: String,
    task: String,
    run: u32,
    split: String,
    measure: String,
    value: String,
    status: String,
}

type Label = (String, String, u32);

/// `W` and `λ=0.1` of `W[λ=0.1]`; other names as they are, and nothing.
fn split(variant: &str) -> (&str, &str) {
    variant.strip_suffix(']').and_then(|rest| rest.split_once('[')).unwrap_or((variant, ""))
}

/// The variant that a point of a sweep is of; other names as they are.
pub fn base(variant: &str) -> &str {
    split(variant).0
}

/// Where in a sweep a variant is; nothing of others.
pub fn point(variant: &str) -> &str {
    split(variant).1
}

impl RunFolder {
    /// Reads the run folder at `root`.
    ///
    /// # Errors
    /// If there is none, it has no results yet, or a file in it is damaged.
    pub fn read(root: &Path) -> Result<Self> {
        let none = |what: &str| {
            Error::input(format!("{} {what}", root.display()))
                .help("name a folder that `pallium run` has written")
        };
        if !root.exists() {
            return Err(none("does not exist"));
        }
        if !root.is_dir() {
            return Err(none("is not a folder"));
        }
        if !root.join("manifest.json").exists() {
            return Err(none("holds no run"));
        }
        let store = Store::existing(root)?.ok_or_else(|| none("holds no run"))?;
        let manifest = store.manifest()?;
        let rows = rows(&root.join("results.csv"))?;
        if rows.is_empty() {
            return Err(Error::input(format!("{} has no results yet", root.display()))
                .help("wait until the first cells are done, or start the run again"));
        }
        let path = root.join("experiment.toml");
        let experiment = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let loaded = Experiment::load(&path, &[]).inspect_err(|e| tracing::info!("{e}")).ok();
        let (variants, labels) = names(&manifest, loaded.as_ref(), &rows);

        let mut grouped: BTreeMap<Label, Vec<Row>> = BTreeMap::new();
        for row in rows {
            grouped.entry((row.variant.clone(), row.task.clone(), row.run)).or_default().push(row);
        }
        let (mut finished, found) = finished(root, &grouped)?;
        let mut tasks: Vec<Task> =
            labels.into_iter().map(|label| Task { label, component: None, info: None }).collect();
        let mut cells = Vec::with_capacity(grouped.len());
        let place = |names: &[String], name: &str| names.iter().position(|n| n == name);
        for ((variant, task, run), rows) in grouped {
            let label = (variant, task, run);
            let (Some(variant), Some(task)) =
                (place(&variants, &label.0), tasks.iter().position(|t| t.label == label.1))
            else {
                continue;
            };
            let about = finished.remove(&label);
            if let Some(about) = &about {
                tasks[task].component.get_or_insert_with(|| about.spec.task_component.id.clone());
                tasks[task].info.get_or_insert_with(|| about.task_info.clone());
            }
            cells.push(cell(variant, task, run, &rows, about));
        }
        // In the order of the experiment: by run, then task, then variant.
        cells.sort_by_key(|c| (c.run, c.task, c.variant));
        let matched = cells.iter().filter(|c| c.about.is_some()).count();
        let switch = |name: &str| manifest.switches.get(name).map(String::as_str).unwrap_or_default();
        Ok(RunFolder {
            root: root.to_owned(),
            about: loaded.map(|e| e.about).unwrap_or_default(),
            experiment,
            accuracy: if switch("accuracy") == "running" { Accuracy::Running } else { Accuracy::Evaluated },
            interval: if switch("interval") == "t" { Interval::T } else { Interval::Bootstrap },
            missing: manifest.cells.saturating_sub(cells.len()),
            strangers: found - matched,
            manifest,
            variants,
            tasks,
            cells,
        })
    }

    /// Split and measure of the accuracy that tables show.
    pub fn headline(&self) -> Key {
        let (split, measure) = match self.accuracy {
            Accuracy::Running => ("train", "running_accuracy"),
            Accuracy::Evaluated => ("test", "accuracy"),
        };
        (split.into(), measure.into())
    }

    /// Any finished cell: what it says of the study holds for all, as far as
    /// variant and task do not matter.
    pub fn example(&self) -> Option<&CellAbout> {
        self.cells.iter().find_map(|c| c.about.as_ref())
    }

    /// A finished cell of a variant.
    pub fn example_of(&self, variant: usize) -> Option<&CellAbout> {
        self.cells.iter().filter(|c| c.variant == variant).find_map(|c| c.about.as_ref())
    }

    /// Cells of a variant and task, by run.
    pub fn group(&self, variant: usize, task: usize) -> impl Iterator<Item = &CellResult> {
        self.cells.iter().filter(move |c| c.variant == variant && c.task == task)
    }

    /// Measures of the trained network, in the order in which cells have them.
    pub fn network_measures(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let known = ["modularity", "small_worldness", "assortativity", "entropy"];
        let cells = self.cells.iter().flat_map(|c| c.values.keys());
        let all: Vec<&str> = cells
            .filter(|(split, measure)| split.is_empty() && !measure.starts_with("seconds_"))
            .map(|(_, measure)| measure.as_str())
            .collect();
        for measure in known.into_iter().filter(|k| all.contains(k)).chain(all.iter().copied()) {
            if !found.iter().any(|f| f == measure) {
                found.push(measure.into());
            }
        }
        found
    }

    /// What to call the neurons' source: the field's folder, or the component;
    /// of several, all.
    pub fn field(&self) -> String {
        let mut found: Vec<String> = Vec::new();
        for field in (0..self.variants.len()).filter_map(|v| self.field_of(v)) {
            if !found.contains(&field) {
                found.push(field);
            }
        }
        if found.is_empty() { "unknown".into() } else { found.join(" and ") }
    }

    /// The same of a variant, once a cell of it is done.
    pub fn field_of(&self, variant: usize) -> Option<String> {
        let substrate = &self.example_of(variant)?.spec.substrate;
        let path = substrate.params.get("path").and_then(serde_json::Value::as_str).map(Path::new);
        let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Some(name.unwrap_or_else(|| substrate.id.clone()))
    }

    /// Seconds of computing, of all cells together.
    pub fn seconds(&self) -> f64 {
        let key = (String::new(), "seconds_total".to_owned());
        self.cells.iter().filter_map(|c| c.values.get(&key)).sum()
    }

    /// Number of cells that ended so.
    pub fn count(&self, of: impl Fn(&Status) -> bool) -> usize {
        self.cells.iter().filter(|c| of(&c.status)).count()
    }
}

impl CellResult {
    /// A value by split and measure.
    pub fn value(&self, split: &str, measure: &str) -> Option<f64> {
        self.values.get(&(split.to_owned(), measure.to_owned())).copied()
    }
}

fn cell(variant: usize, task: usize, run: u32, rows: &[Row], about: Option<CellAbout>) -> CellResult {
    let mut values = BTreeMap::new();
    let mut failed_measures = Vec::new();
    let mut status = Status::Ok;
    for row in rows {
        let key = (row.split.clone(), row.measure.clone());
        match Status::parse(&row.status) {
            Some(Status::Failed(why)) if about.is_some() => failed_measures.push((row.measure.clone(), why)),
            Some(Status::Ok) | None => {}
            Some(other) => status = other,
        }
        if let Some(value) = row.value.parse::<f64>().ok().filter(|v| v.is_finite()) {
            values.insert(key, value);
        }
    }
    CellResult { variant, task, run, status, values, failed_measures, about }
}

/// Variants and tasks. Those of the experiment file if it has no axes that
/// only the plugins could spell out, else those with results.
fn names(manifest: &Manifest, experiment: Option<&Experiment>, rows: &[Row]) -> (Vec<String>, Vec<String>) {
    let runs = manifest.runs.max(1) as usize;
    if let Some(e) = experiment
        && e.variants.len() * e.tasks.len() * runs == manifest.cells
    {
        let variants: Vec<String> = e.variants.iter().map(|v| v.name.clone()).collect();
        let tasks: Vec<String> = e.tasks.iter().map(|t| t.name.clone()).collect();
        if rows.iter().all(|r| variants.contains(&r.variant) && tasks.contains(&r.task)) {
            return (variants, tasks);
        }
    }
    let mut found: (Vec<String>, Vec<String>) = Default::default();
    for row in rows {
        if !found.0.contains(&row.variant) {
            found.0.push(row.variant.clone());
        }
        if !found.1.contains(&row.task) {
            found.1.push(row.task.clone());
        }
    }
    found
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let damaged = |e: &csv::Error| {
        Error::input(format!("{}: {e}", path.display()))
            .help("run the experiment again: finished cells are kept")
    };
    let mut reader = csv::Reader::from_path(path).map_err(|e| damaged(&e))?;
    reader.deserialize().map(|row| row.map_err(|e| damaged(&e))).collect()
}

/// Finished cells that the table is of, and the number of all.
fn finished(root: &Path, table: &BTreeMap<Label, Vec<Row>>) -> Result<(BTreeMap<Label, CellAbout>, usize)> {
    let folder = root.join("cells");
    let mut folders: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|e| Error::io(&folder, &e))?
        .flatten()
        .filter(|e| !e.file_name().to_string_lossy().starts_with('.'))
        .map(|e| e.path())
        .collect();
    folders.sort();
    let mut known = BTreeMap::new();
    for folder in &folders {
        let path = folder.join("cell.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let mut about: CellAbout = serde_json::from_str(&text).map_err(|e| {
            Error::input(format!("{} is damaged: {e}", path.display()))
                .help("move its folder away and start the run again")
        })?;
        about.folder.clone_from(folder);
        let label = (about.variant.clone(), about.task.clone(), about.run);
        let Some(expected) = table.get(&label) else { continue };
        let own = rows(&folder.join("results.csv"))?;
        let agrees = own.iter().all(|row| {
            let same = |e: &&Row| e.split == row.split && e.measure == row.measure;
            expected.iter().find(same).is_some_and(|e| e.value == row.value && e.status == row.status)
        });
        if agrees {
            known.insert(label, about);
        }
    }
    Ok((known, folders.len()))
}

/// The end of what a failed cell said, by variant, task and run.
pub fn last_words(root: &Path) -> BTreeMap<(String, String, u32), String> {
    #[derive(Deserialize)]
    struct Head {
        variant: String,
        task: String,
        run: u32,
        #[serde(flatten)]
        failure: Failure,
    }
    let entries = fs::read_dir(root.join("failed")).into_iter().flatten().flatten();
    let texts = entries.filter_map(|e| fs::read_to_string(e.path()).ok());
    let heads = texts.filter_map(|text| serde_json::from_str::<Head>(&text).ok());
    heads.map(|h| ((h.variant, h.task, h.run), h.failure.log)).collect()
}

/// A learning curve's point.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// Mean loss of the epoch's batches, penalty included.
    pub running_loss: Option<f64>,
    /// Accuracy in the same passes.
    pub running_accuracy: Option<f64>,
    /// Cross-entropy on the validation trials.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation trials.
    pub validation_accuracy: Option<f64>,
}

/// Reads a cell's learning curve; empty if there is none.
pub fn curve(about: &CellAbout) -> Vec<Epoch> {
    let Ok(mut reader) = csv::Reader::from_path(about.folder.join("curves.csv")) else {
        return Vec::new();
    };
    reader.deserialize().filter_map(std::result::Result::ok).collect()
}
