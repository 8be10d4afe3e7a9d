//! A run folder as a report sees it: cells by variant, task and run, with their
//! values. The formats of its files are the business of `pallium-record`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result, TaskInfo};
use pallium_profile::{Accuracy, Interval};
use pallium_record::curves;
use pallium_record::manifest::Manifest;
use pallium_record::outcome::{Epoch, Status};
use pallium_record::results::{self, Row};
use pallium_record::store::Store;
use pallium_record::training::{FailureFile, TrainingFile};

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
    /// Number of finished trainings that are not part of the experiment as it was
    /// run last.
    pub stale: usize,
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
    pub about: Option<TrainingFile>,
}

/// Variant, task and run.
pub type Label = (String, String, u32);

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
        let rows = results::read(&root.join("results.csv")).map_err(|e| {
            e.help("run the experiment again: the table is written anew from the finished trainings")
        })?;
        if rows.is_empty() {
            return Err(Error::input(format!("{} has no results yet", root.display()))
                .help("wait until the first trainings are done, or start the run again"));
        }
        let path = root.join("experiment.toml");
        let experiment = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let (variants, labels) = names(&manifest, &rows);

        let mut grouped: BTreeMap<Label, Vec<Row>> = BTreeMap::new();
        for row in rows {
            grouped.entry((row.variant.clone(), row.task.clone(), row.run)).or_default().push(row);
        }
        let mut finished = finished(&store, &grouped)?;
        let shown: BTreeSet<&Path> = finished.values().map(|file| file.folder.as_path()).collect();
        let stale = store.trainings()?.len() - shown.len();
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
            cells.push(cell(variant, task, run, rows, about));
        }
        // In the order of the experiment: by run, then task, then variant.
        cells.sort_by_key(|c| (c.run, c.task, c.variant));
        let switch = |name: &str| manifest.switches.get(name).map(String::as_str).unwrap_or_default();
        Ok(RunFolder {
            root: root.to_owned(),
            about: manifest.about.clone(),
            experiment,
            accuracy: if switch("accuracy") == "running" { Accuracy::Running } else { Accuracy::Evaluated },
            interval: if switch("interval") == "t" { Interval::T } else { Interval::Bootstrap },
            missing: manifest.cells.saturating_sub(cells.len()),
            stale,
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
    pub fn example(&self) -> Option<&TrainingFile> {
        self.cells.iter().find_map(|c| c.about.as_ref())
    }

    /// A finished cell of a variant.
    pub fn example_of(&self, variant: usize) -> Option<&TrainingFile> {
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

fn cell(variant: usize, task: usize, run: u32, rows: Vec<Row>, about: Option<TrainingFile>) -> CellResult {
    let mut values = BTreeMap::new();
    let mut failed_measures = Vec::new();
    let mut status = Status::Ok;
    for Row { value, status: of_row, .. } in rows {
        match of_row {
            Status::Failed(why) if about.is_some() => failed_measures.push((value.measure.clone(), why)),
            Status::Ok => {}
            other => status = other,
        }
        if let Some(number) = value.value {
            values.insert((value.split, value.measure), number);
        }
    }
    CellResult { variant, task, run, status, values, failed_measures, about }
}

/// Variants and tasks: those that the manifest names, and whatever else has
/// results.
fn names(manifest: &Manifest, rows: &[Row]) -> (Vec<String>, Vec<String>) {
    let (mut variants, mut tasks) = (manifest.variants.clone(), manifest.tasks.clone());
    for row in rows {
        if !variants.contains(&row.variant) {
            variants.push(row.variant.clone());
        }
        if !tasks.contains(&row.task) {
            tasks.push(row.task.clone());
        }
    }
    (variants, tasks)
}

/// The finished trainings that the table is of.
fn finished(store: &Store, table: &BTreeMap<Label, Vec<Row>>) -> Result<BTreeMap<Label, TrainingFile>> {
    let cells = store.root().join("cells");
    let mut known = BTreeMap::new();
    let mut unnamed = BTreeSet::new();
    for (label, rows) in table {
        match rows.first().and_then(|row| row.folder.as_ref()) {
            Some(name) => drop(known.insert(label.clone(), TrainingFile::read(&cells.join(name))?)),
            None => drop(unnamed.insert(label)),
        }
    }
    // Tables of format 1 do not name folders: what has the values is meant.
    for name in if unnamed.is_empty() { Vec::new() } else { store.trainings()? } {
        let file = TrainingFile::read(&cells.join(name))?;
        let label = (file.variant.clone(), file.task.clone(), file.run);
        let Some(expected) = table.get(&label).filter(|_| unnamed.contains(&label)) else { continue };
        let own = results::read(&file.folder.join("results.csv"))?;
        if own.iter().all(|row| expected.iter().any(|e| e.value == row.value && e.status == row.status)) {
            known.insert(label, file);
        }
    }
    Ok(known)
}

/// The end of the log of each failed training, by variant, task and run.
pub fn last_words(root: &Path) -> BTreeMap<Label, String> {
    let entries = fs::read_dir(root.join("failed")).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| FailureFile::read(&entry.path()).ok());
    files.map(|file| ((file.variant, file.task, file.run), file.failure.log)).collect()
}

/// The learning curve of a training; empty if it cannot be read.
pub fn curve(about: &TrainingFile) -> Vec<Epoch> {
    curves::read(&about.folder.join("curves.csv")).unwrap_or_default()
}
