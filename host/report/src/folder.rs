//! A run folder, read for a report: trainings by variant, task and run, with their
//! values. `pallium-record` knows the formats of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use itertools::Itertools;
use pallium_core::{Error, Result, TaskInfo};
use pallium_profile::{Accuracy, Interval};
use pallium_record::curves;
use pallium_record::manifest::Manifest;
use pallium_record::outcome::{Epoch, Status};
use pallium_record::results::{self, Row};
use pallium_record::spec::Use;
use pallium_record::store::Store;
use pallium_record::training::{FailureFile, TrainingFile};

/// Split and measure.
pub type Key = (String, String);

/// A run folder, read.
#[derive(Debug)]
pub struct RunFolder {
    /// Where it is.
    pub root: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// The question of the experiment (its key `about`).
    pub about: String,
    /// The experiment, resolved.
    pub experiment: String,
    /// The accuracy that its tables show.
    pub accuracy: Accuracy,
    /// The interval that its tables show.
    pub interval: Interval,
    /// Variants, in the order of the experiment.
    pub variants: Vec<String>,
    /// The variants without their points in a sweep, in the same order.
    pub bases: Vec<String>,
    /// Their points, such as `λ=0.1`; empty for variants that are not swept.
    pub points: Vec<String>,
    /// Tasks, in the order of the experiment.
    pub tasks: Vec<RunTask>,
    /// Every training with a row in `results.csv`.
    pub trainings: Vec<TrainingResult>,
    /// Number of trainings that are not done yet.
    pub missing: usize,
    /// Number of finished trainings that `results.csv` does not list.
    pub stale: usize,
}

/// A task of a run folder.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTask {
    /// Its label; `both/go-no-go` for one of several tasks of a network.
    pub label: String,
    /// Its name among several tasks of a network, if it is one of these: its trainings
    /// are those of the whole, listed again with its own values.
    pub member: Option<String>,
    /// Its component, once a training is finished.
    pub component: Option<String>,
    /// Its description, once a training is finished.
    pub info: Option<TaskInfo>,
}

impl RunTask {
    /// Whether it is what a network was trained on, and not one of several tasks.
    pub fn is_whole(&self) -> bool {
        self.member.is_none()
    }

    /// Notes its component and description from a finished training.
    fn describe(&mut self, about: &TrainingFile) {
        let (mut component, mut info) = (Some(&about.spec.task_component), Some(&about.task_info));
        if let Some(name) = &self.member {
            let members = about.spec.members.iter().flat_map(|members| &members.tasks);
            let own = members.zip(&about.member_infos).find(|(member, _)| member.name == *name);
            (component, info) = own.map(|(member, info)| (&member.component, info)).unzip();
        }
        self.component = self.component.take().or_else(|| component.map(|component| component.id.clone()));
        self.info = self.info.take().or_else(|| info.cloned());
    }

    /// The label without the name of the plugin before it: `go-no-go`.
    pub fn short(&self) -> &str {
        match &self.component {
            Some(id) if *id != self.label => &self.label,
            _ => self.label.split_once('.').map_or(self.label.as_str(), |(_, name)| name),
        }
    }
}

/// The last of the labels with the characters that file names and anchors may have,
/// and a number if an earlier one becomes the same.
fn slug<'a>(labels: impl Iterator<Item = &'a str>) -> String {
    let mut taken: Vec<String> = Vec::new();
    for label in labels {
        let own: String = label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let numbered = (2..).map(|number| format!("{own}-{number}"));
        // Some file systems do not tell cases apart.
        let free = |name: &String| !taken.iter().any(|taken| taken.to_lowercase() == name.to_lowercase());
        taken.extend(std::iter::once(own.clone()).chain(numbered).find(free));
    }
    taken.pop().unwrap_or_default()
}

/// A training and its results.
#[derive(Debug)]
pub struct TrainingResult {
    /// Index of its variant.
    pub variant: usize,
    /// Index of its task.
    pub task: usize,
    /// Its run.
    pub run: u32,
    /// How it ended.
    pub status: Status,
    /// Its values; undefined ones are left out.
    pub values: BTreeMap<Key, f64>,
    /// Measures that failed, and why.
    pub failed_measures: Vec<(String, String)>,
    /// Its `cell.json`, if it finished.
    pub about: Option<TrainingFile>,
}

/// Variant, task and run.
pub type Label = (String, String, u32);

/// The variants without their points in a sweep, and their points (`λ=0.1` of
/// `W[λ=0.1]`; empty for others), by `axes.csv` of the run folder `root`.
fn sweeps(root: &Path, variants: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let path = root.join("axes.csv");
    let unreadable = |e: csv::Error| Error::input(format!("{}: {e}", path.display()));
    let mut swept: BTreeSet<String> = BTreeSet::new();
    if path.exists() {
        let mut table = csv::Reader::from_path(&path).map_err(unreadable)?;
        let axes = table.headers().map_err(unreadable)?.clone();
        for row in table.records() {
            let row = row.map_err(unreadable)?;
            let Some(variant) = row.get(0) else { continue };
            // Axes of tasks are not in the variant's name.
            let point = variant.split_once('[').map_or("", |parts| parts.1);
            let values = axes.iter().zip(&row).skip(2).filter(|(_, value)| !value.is_empty());
            if values.into_iter().any(|(axis, value)| point.contains(&format!("{axis}={value}"))) {
                swept.insert(variant.to_owned());
            }
        }
    }
    let parts = variants.iter().map(|variant| {
        let inner = variant.strip_suffix(']').filter(|_| swept.contains(variant));
        inner.and_then(|rest| rest.split_once('[')).unwrap_or((variant, ""))
    });
    Ok(parts.map(|(base, point)| (base.to_owned(), point.to_owned())).unzip())
}

impl RunFolder {
    /// The short label of a task for file names and anchors. It is the task's own: a
    /// label that differs in other characters alone gets a number.
    pub fn slug(&self, task: usize) -> String {
        slug(self.tasks[..=task].iter().map(RunTask::short))
    }

    /// Reads the run folder at `root`.
    ///
    /// # Errors
    /// If it does not exist, has no results yet, or a file in it is damaged.
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
        let new = |label: String| RunTask {
            member: label.split_once('/').map(|(_, member)| member.to_owned()),
            label,
            component: None,
            info: None,
        };
        let mut tasks: Vec<RunTask> = labels.into_iter().map(new).collect();
        let mut trainings = Vec::with_capacity(grouped.len());
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
                tasks[task].describe(about);
            }
            trainings.push(training(variant, task, run, rows, about));
        }
        // In the order of the experiment: by run, then task, then variant.
        trainings.sort_by_key(|c| (c.run, c.task, c.variant));
        let (bases, points) = sweeps(root, &variants)?;
        let switch = |name: &str| manifest.switches.get(name).map(String::as_str).unwrap_or_default();
        Ok(RunFolder {
            root: root.to_owned(),
            about: manifest.about.clone(),
            experiment,
            accuracy: if switch("accuracy") == "running" { Accuracy::Running } else { Accuracy::Evaluated },
            interval: if switch("interval") == "t" { Interval::T } else { Interval::Bootstrap },
            missing: manifest
                .cells
                .saturating_sub(trainings.iter().filter(|c| tasks[c.task].is_whole()).count()),
            stale,
            manifest,
            variants,
            bases,
            points,
            tasks,
            trainings,
        })
    }

    /// Whether any variant is a point of a sweep.
    pub fn swept(&self) -> bool {
        self.points.iter().any(|point| !point.is_empty())
    }

    /// Split and measure that tables show of a task: its accuracy, or the explained
    /// variance of a task of values that has none.
    pub fn headline_on(&self, task: usize) -> Key {
        match &self.tasks[task].info {
            Some(info) if !info.has_accuracy() => ("test".into(), "r2".into()),
            _ => self.headline(),
        }
    }

    /// Split and measure of the accuracy that tables show.
    pub fn headline(&self) -> Key {
        let (split, measure) = match self.accuracy {
            Accuracy::Running => ("train", "running_accuracy"),
            Accuracy::Evaluated => ("test", "accuracy"),
        };
        (split.into(), measure.into())
    }

    /// Any finished training, for what does not depend on variant and task.
    pub fn example(&self) -> Option<&TrainingFile> {
        self.trainings.iter().find_map(|c| c.about.as_ref())
    }

    /// A finished training of a variant on a task.
    pub fn example_on(&self, variant: usize, task: usize) -> Option<&TrainingFile> {
        self.group(variant, task).find_map(|c| c.about.as_ref())
    }

    /// A finished training of a variant.
    pub fn example_of(&self, variant: usize) -> Option<&TrainingFile> {
        self.trainings.iter().filter(|c| c.variant == variant).find_map(|c| c.about.as_ref())
    }

    /// Trainings of a variant on a task, by run.
    pub fn group(&self, variant: usize, task: usize) -> impl Iterator<Item = &TrainingResult> {
        self.trainings.iter().filter(move |c| c.variant == variant && c.task == task)
    }

    /// Measures of the trained network, in the order of the trainings.
    pub fn network_measures(&self) -> Vec<String> {
        let known = ["modularity", "small_worldness", "assortativity", "entropy"];
        let keys = self.trainings.iter().flat_map(|c| c.values.keys());
        let all: Vec<&str> = keys
            .filter(|(split, measure)| split.is_empty() && !measure.starts_with("seconds_"))
            .map(|(_, measure)| measure.as_str())
            .unique()
            .collect();
        let first = known.into_iter().filter(|k| all.contains(k));
        first.chain(all.iter().copied()).unique().map(str::to_owned).collect()
    }

    /// The name of the neurons' source: the field's folder, or the component; all
    /// names if there are several.
    pub fn field(&self) -> String {
        let mut found: Vec<String> = Vec::new();
        for field in (0..self.variants.len()).filter_map(|v| self.field_of(v)) {
            if !found.contains(&field) {
                found.push(field);
            }
        }
        if found.is_empty() { "unknown".into() } else { found.join(" and ") }
    }

    /// The name of a variant's source of neurons, once a training is finished.
    pub fn field_of(&self, variant: usize) -> Option<String> {
        Some(field_name(&self.example_of(variant)?.spec.substrate))
    }

    /// Computing time of all trainings together, in seconds.
    pub fn seconds(&self) -> f64 {
        let key = (String::new(), "seconds_total".to_owned());
        self.trainings.iter().filter_map(|c| c.values.get(&key)).sum()
    }

    /// Number of trainings with such a status.
    pub fn count(&self, of: impl Fn(&Status) -> bool) -> usize {
        self.whole_trainings().filter(|c| of(&c.status)).count()
    }

    /// Every training once, and not again for each of several tasks.
    pub fn whole_trainings(&self) -> impl Iterator<Item = &TrainingResult> {
        self.trainings.iter().filter(|training| self.tasks[training.task].is_whole())
    }

    /// The tasks that networks were trained on, without those that are a part of one.
    pub fn whole_tasks(&self) -> impl Iterator<Item = usize> {
        (0..self.tasks.len()).filter(|&task| self.tasks[task].is_whole())
    }
}

impl TrainingResult {
    /// A value by split and measure.
    pub fn value(&self, split: &str, measure: &str) -> Option<f64> {
        self.values.get(&(split.to_owned(), measure.to_owned())).copied()
    }
}

fn training(
    variant: usize,
    task: usize,
    run: u32,
    rows: Vec<Row>,
    about: Option<TrainingFile>,
) -> TrainingResult {
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
    TrainingResult { variant, task, run, status, values, failed_measures, about }
}

/// Variants and tasks: those in the manifest, then others that have results.
fn names(manifest: &Manifest, rows: &[Row]) -> (Vec<String>, Vec<String>) {
    let (mut variants, mut tasks) = (manifest.variants.clone(), manifest.tasks.clone());
    for row in rows {
        if !variants.contains(&row.variant) {
            variants.push(row.variant.clone());
        }
        if !tasks.contains(&row.task) {
            // One of several tasks of a network follows the whole.
            let whole = row.task.split_once('/').map(|(whole, _)| whole);
            let is_beside = |task: &String| {
                whole.is_some_and(|whole| {
                    task.split_once('/').map_or(task.as_str(), |(task, _)| task) == whole
                })
            };
            let place = tasks.iter().rposition(is_beside).map_or(tasks.len(), |at| at + 1);
            tasks.insert(place, row.task.clone());
        }
    }
    (variants, tasks)
}

/// The finished trainings that the table lists.
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
    // Tables of format 1 do not name folders: find the folder with the same values.
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

/// The name of a source of neurons: the field's folder, or the component.
pub fn field_name(substrate: &Use) -> String {
    let path = substrate.params.get("path").and_then(serde_json::Value::as_str).map(Path::new);
    let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| substrate.id.clone())
}

/// The end of the log of each failed training, by variant, task and run.
pub fn log_tails(root: &Path) -> BTreeMap<Label, String> {
    let entries = fs::read_dir(root.join("failed")).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| FailureFile::read(&entry.path()).ok());
    files.map(|file| ((file.variant, file.task, file.run), file.failure.log)).collect()
}

/// The learning curve of a training, or of one of its several tasks; empty if it
/// cannot be read.
pub fn curve(about: &TrainingFile, member: Option<&str>) -> Vec<Epoch> {
    let curve = curves::read(&about.folder.join("curves.csv")).unwrap_or_default();
    let Some(name) = member else { return curve };
    let of = |epoch: Epoch| {
        let task = epoch.tasks.into_iter().find(|task| task.name == name)?;
        Some(Epoch {
            epoch: epoch.epoch,
            running_loss: task.running_loss.unwrap_or(f64::NAN),
            running_accuracy: task.running_accuracy,
            validation_loss: task.validation_loss,
            validation_accuracy: task.validation_accuracy,
            stage: task.stage,
            ..Epoch::default()
        })
    };
    curve.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn names_of_files_and_anchors_differ_where_labels_do() {
        let labels = ["go-no-go", "a b", "a-b", "A B", "é", "ü", "a-b-2"];
        let slugs: Vec<String> =
            (1..=labels.len()).map(|count| slug(labels[..count].iter().copied())).collect();
        assert_eq!(slugs, ["go-no-go", "a-b", "a-b-2", "A-B-3", "-", "--2", "a-b-2-2"]);
    }
}
