//! Where each file of a run folder is, and how it gets there.
//!
//! What is under way is in folders of `cells/` whose names begin with a dot;
//! they are gone when nothing is under way:
//!
//! ```text
//! cells/.unfinished/  folders of trainings that are being written, marked with their writer
//! cells/.checkpoints/ trainings after their last epoch, see [`checkpoint`]
//! cells/.claims/      which process works on which training, see [`claim`](crate::claim)
//! ```
//!
//! A training's folder is written in `.unfinished/`, forced to disk, and
//! renamed: it appears whole or not at all. So a run folder can be shared by
//! many processes and machines without locks, killed at any moment, and
//! continued.
//!
//! A folder's name ends in the head of the training's identity, by which it is
//! found again under whatever name its variant has now. Trainings that the
//! current experiment does not ask for (because the experiment, a plugin or the
//! data have changed since) are left alone: they are neither overwritten nor
//! mixed in. `results.csv` holds exactly the cells of the experiment that was
//! run last, whether or not that run was limited to some of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pallium_core::{Error, Levels, Result};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, CheckpointFile};
use crate::claim::{Claim, ClaimSnapshot};
use crate::curves::{self, Curves};
use crate::durable::{UNFINISHED, replace, sync, sync_all, temporary, unwritten, write};
use crate::earlier;
use crate::identity::Cell;
use crate::manifest::Manifest;
use crate::outcome::{Epoch, Status, Value};
use crate::owner::Owner;
use crate::results::{self, Row};
use crate::table::{self, damaged, unwritable};
use crate::training::{FILE, Failure, FailureFile, Trained, TrainingFile};
use crate::weights::{self, Weights};
use crate::{FORMAT, OLDEST_FORMAT, parquet};

/// The files of a finished training, beside `cell.json`.
const FILES: [&str; 4] = ["results.csv", "times.csv", "curves.csv", "weights.safetensors"];
/// The folder of a training's measures.
const MEASURES: &str = "measures";
/// The state of a finished training, from which it can be continued.
const STATE: &str = "state.safetensors";
/// A file or folder is unfinished for as long as it takes to write a few files.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A cell that is done, as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// [`Status::Ok`] or [`Status::Diverged`].
    pub status: Status,
    /// Its values.
    pub values: Vec<Value>,
    /// Its `seconds_…`.
    pub times: Vec<Value>,
    /// How well one can do at its task.
    pub levels: Levels,
    /// Its learning curve.
    pub curve: Vec<Epoch>,
    /// Number of metrics that have not been taken yet.
    pub unmeasured: usize,
}

impl Finished {
    /// A value by split and measure.
    pub fn value(&self, split: &str, measure: &str) -> Option<f64> {
        self.values.iter().find(|v| v.split == split && v.measure == measure)?.value
    }
}

/// What a run folder knows of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// It is done.
    Finished(Finished),
    /// It failed the last time it was run.
    Failed(String),
}

/// The part of `manifest.json` that every version of it has.
#[derive(Deserialize)]
struct ManifestHead {
    format: u32,
}

/// A run folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The run folder at `root`, which is not looked at.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // Whole, so that what workers report can be compared with it.
        Store { root: std::path::absolute(&root).unwrap_or(root) }
    }

    /// The run folder at `root` if there is one already.
    ///
    /// # Errors
    /// If another version of Pallium wrote it, or something else did.
    pub fn existing(root: &Path) -> Result<Option<Self>> {
        let store = Store::at(root);
        // Looked at first: another process that begins a run here writes the
        // manifest before all else.
        let occupied = ["cells", "results.csv", "experiment.toml"].iter().any(|n| root.join(n).exists());
        if root.exists() && !root.is_dir() {
            return Err(Error::input(format!("{} is not a folder", root.display()))
                .help("choose a folder for the run with --out; it is made if it is not there"));
        }
        let path = root.join("manifest.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && occupied => {
                return Err(Error::input(format!(
                    "{} holds something, but no run of Pallium's",
                    root.display()
                ))
                .help("choose another folder with --out"));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, &e)),
        };
        let head: ManifestHead = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        if !(OLDEST_FORMAT..=FORMAT).contains(&head.format) {
            return Err(Error::input(format!(
                "{} was written in format {}, and this version reads formats {OLDEST_FORMAT} to {FORMAT}",
                root.display(),
                head.format
            ))
            .help("choose another folder with --out, or use the version of Pallium that wrote it"));
        }
        Ok(Some(store))
    }

    /// Makes the run folder at `root`, or continues it, and records what is
    /// about to run in it. `experiment` becomes `experiment.toml`.
    ///
    /// # Errors
    /// As [`Store::existing`], or if the folder cannot be written.
    pub fn open(root: &Path, manifest: &Manifest, experiment: &str) -> Result<Self> {
        let store = match Self::existing(root)? {
            Some(store) => store,
            None => Store::at(root),
        };
        fs::create_dir_all(root).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Error::io(root, &e).help("no folder can be made there; choose another with --out")
            }
            _ => unwritten(root, &e),
        })?;
        // First of all: it is what makes the folder a run's, also if this
        // process is killed at the next line.
        replace(&root.join("manifest.json"), &json_text(manifest)?)?;
        replace(&root.join("experiment.toml"), experiment.as_bytes())?;
        for folder in [store.cells(), store.failures()] {
            fs::create_dir_all(&folder).map_err(|e| unwritten(&folder, &e))?;
        }
        store.clear();
        Ok(store)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// If it is not there or not understood.
    pub fn manifest(&self) -> Result<Manifest> {
        let path = self.root.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        serde_json::from_str(&text).map_err(|e| damaged(&path, &e))
    }

    fn cells(&self) -> PathBuf {
        self.root.join("cells")
    }

    fn failures(&self) -> PathBuf {
        self.root.join("failed")
    }

    fn unfinished(&self) -> PathBuf {
        self.cells().join(".unfinished")
    }

    fn checkpoints(&self) -> PathBuf {
        self.cells().join(".checkpoints")
    }

    fn claims(&self) -> PathBuf {
        self.cells().join(".claims")
    }

    /// Where a cell's checkpoint is kept while it trains.
    pub fn checkpoint(&self, cell: &Cell, every: u32) -> CheckpointFile {
        CheckpointFile { path: self.checkpoints().join(&cell.folder), identity: cell.identity.clone(), every }
    }

    /// The file that says who is at a cell.
    pub fn claim_of(&self, cell: &Cell) -> PathBuf {
        self.claims().join(&cell.folder)
    }

    /// Claims a cell for this process, or says who has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn claim(&self, cell: &Cell, owner: &Owner) -> Result<Result<Claim, ClaimSnapshot>> {
        let path = self.claim_of(cell);
        Claim::take(&path, owner).map_err(|e| unwritten(&path, &e))
    }

    fn folder(&self, cell: &Cell) -> PathBuf {
        self.cells().join(&cell.folder)
    }

    fn failure(&self, cell: &Cell) -> PathBuf {
        self.failures().join(format!("{}.json", cell.folder))
    }

    /// Whether the folder holds this cell's training, finished.
    ///
    /// # Errors
    /// If there is a folder of its name with something else in it.
    pub fn holds(&self, cell: &Cell) -> Result<bool> {
        self.training(cell).map(|found| found.is_some())
    }

    /// Whether the folder holds this cell's training and the measures of all of
    /// its metrics.
    ///
    /// # Errors
    /// As [`Store::holds`].
    pub fn is_complete(&self, cell: &Cell) -> Result<bool> {
        Ok(match self.training(cell)? {
            Some(file) => self.unmeasured(cell, &file).is_empty(),
            None => false,
        })
    }

    /// The metrics that have not been taken of a finished training, by their
    /// places in the spec.
    ///
    /// # Errors
    /// As [`Store::holds`], or if the training is not finished.
    pub fn to_measure(&self, cell: &Cell) -> Result<Vec<usize>> {
        let file =
            self.training(cell)?.ok_or_else(|| Error::bug("a training to be measured is not there"))?;
        Ok(self.unmeasured(cell, &file))
    }

    fn unmeasured(&self, cell: &Cell, file: &TrainingFile) -> Vec<usize> {
        if file.status == Status::Diverged {
            return Vec::new();
        }
        let folder = self.folder(cell).join(MEASURES);
        // Format 1 kept all measures in one table.
        if file.format == earlier::FORMAT && !folder.exists() && earlier::has_same_metrics(file, cell) {
            return Vec::new();
        }
        let missing = cell.measures.iter().enumerate().filter(|(_, name)| !folder.join(name).exists());
        missing.map(|(at, _)| at).collect()
    }

    /// Reads `cell.json` of a finished training, if it is there.
    fn training(&self, cell: &Cell) -> Result<Option<TrainingFile>> {
        let folder = self.folder(cell);
        let path = folder.join(FILE);
        // The folder may appear between the two looks.
        if !path.exists() && (!folder.exists() || !path.exists() && !folder.exists()) {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, &e))?;
        let file: TrainingFile = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        if file.identity != cell.identity && !earlier::is_same(&file, cell)? {
            return Err(damaged(&path, &"it belongs to another training than its folder's name says"));
        }
        for name in FILES {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Ok(about) if about.len() > 0 => {}
                Ok(_) => return Err(damaged(&path, &"it is empty")),
                Err(e) => return Err(damaged(&path, &e)),
            }
        }
        Ok(Some(TrainingFile { folder, ..file }))
    }

    /// Finds trainings that are finished under another name: gives each cell of
    /// `plan` the folder that holds its training, if there is one. Cells with
    /// the same training share a folder.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn locate(&self, plan: &mut [Cell]) -> Result<()> {
        let names = self.trainings()?;
        let mut folders: BTreeMap<String, String> = BTreeMap::new();
        let wanted: BTreeSet<&str> = plan.iter().filter_map(|cell| cell.identity.get(..12)).collect();
        let mut others = Vec::new();
        for name in &names {
            match name.rsplit_once('.') {
                Some((_, head)) if wanted.contains(head) => {
                    folders.entry(head.into()).or_insert_with(|| name.clone());
                }
                _ => others.push(name),
            }
        }
        let earlier: Vec<TrainingFile> = others
            .into_iter()
            .filter_map(|name| TrainingFile::read(&self.cells().join(name)).ok())
            .filter(|file| file.format == earlier::FORMAT)
            .collect();
        for cell in plan {
            let head = cell.identity.get(..12).unwrap_or_default();
            let known = match folders.get(head) {
                Some(name) => Some(name.clone()),
                None => {
                    let mut same = None;
                    for file in &earlier {
                        if earlier::is_same(file, cell)? {
                            same = file.folder.file_name().map(|name| name.to_string_lossy().into_owned());
                            break;
                        }
                    }
                    same
                }
            };
            if let Some(name) = known {
                cell.folder = name;
            }
            folders.insert(head.into(), cell.folder.clone());
        }
        Ok(())
    }

    /// Names of the folders of finished trainings, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn trainings(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.cells()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(&self.cells(), &e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io(&self.cells(), &e))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    /// Names of the folders of finished trainings that no cell of `plan` stands
    /// for, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn stale(&self, plan: &[Cell]) -> Result<Vec<String>> {
        let known: BTreeSet<&str> = plan.iter().map(|cell| cell.folder.as_str()).collect();
        let mut names = self.trainings()?;
        names.retain(|name| !known.contains(name.as_str()));
        Ok(names)
    }

    /// Writes a trained cell into a new folder that does not count yet; pass
    /// it to [`Store::commit`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, cell: &Cell, trained: &Trained, profile: &str) -> Result<PathBuf> {
        let place = self.unfinished();
        let make = || {
            fs::create_dir_all(&place)?;
            temporary(0o777).tempdir_in(&place)
        };
        // Whoever finishes a run at the same time removes folders that are
        // empty. The folder removes itself if anything goes wrong below.
        let folder = make().or_else(|_| make()).map_err(|e| unwritten(&place, &e))?;
        let spec = &cell.spec;
        let place = folder.path();
        let about = TrainingFile::new(cell, trained, profile);
        write(&place.join(FILE), &json_text(&about)?)?;
        let table = |values: &[Value]| {
            let rows: Vec<Row> = results::rows(spec, values, &trained.status, Some(&cell.folder)).collect();
            results::write(&rows)
        };
        write(&place.join("results.csv"), &table(&trained.values)?)?;
        write(&place.join("times.csv"), &table(&trained.times)?)?;
        write(&place.join("curves.csv"), &curves::write(&trained.curves)?)?;
        write(&place.join("weights.safetensors"), &weights::write(cell, trained, profile)?)?;
        let measures = place.join(MEASURES);
        fs::create_dir(&measures).map_err(|e| unwritten(&measures, &e))?;
        for (name, values) in cell.measures.iter().zip(&trained.measures) {
            write(&measures.join(name), &table(values)?)?;
        }
        if let Some(state) = &trained.state {
            write(&place.join(STATE), &checkpoint::encode(state, &cell.identity)?)?;
        }
        Ok(folder.keep())
    }

    /// The weights of a finished training.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn weights(&self, cell: &Cell) -> Result<Weights> {
        weights::read(&self.folder(cell).join("weights.safetensors"))
    }

    /// Adds the measures of one metric, by its place in the spec, to a finished
    /// training.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn add_measures(&self, cell: &Cell, metric: usize, values: &[Value]) -> Result<()> {
        let Some(name) = cell.measures.get(metric) else {
            return Err(Error::bug(format!("a training has no metric {metric}")));
        };
        let folder = self.folder(cell).join(MEASURES);
        fs::create_dir_all(&folder).map_err(|e| unwritten(&folder, &e))?;
        let rows: Vec<Row> = results::rows(&cell.spec, values, &Status::Ok, Some(&cell.folder)).collect();
        replace(&folder.join(name), &results::write(&rows)?)
    }

    /// Moves a folder from [`Store::write`] to its place, with `log`, all of it
    /// forced to disk before.
    ///
    /// If someone else has finished the same cell meanwhile, theirs stays.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn commit(&self, cell: &Cell, unfinished: &Path, log: &str) -> Result<()> {
        let kept = write(&unfinished.join("log.txt"), log.as_bytes()).and_then(|()| sync_all(unfinished));
        if let Err(error) = kept {
            self.discard(unfinished);
            return Err(error);
        }
        let place = self.folder(cell);
        if let Err(e) = fs::rename(unfinished, &place) {
            let held = self.holds(cell);
            self.discard(unfinished);
            if !held? {
                return Err(unwritten(&place, &e));
            }
        }
        sync(&self.cells())?;
        for past in [self.failure(cell), self.checkpoints().join(&cell.folder)] {
            match fs::remove_file(&past) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unwritten(&past, &e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a folder from [`Store::write`] that is not wanted after all.
    pub fn discard(&self, unfinished: &Path) {
        let removed =
            if unfinished.is_dir() { fs::remove_dir_all(unfinished) } else { fs::remove_file(unfinished) };
        // Others clear away too.
        if let Err(e) = removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        {
            tracing::warn!("{}: cannot remove it: {e}", unfinished.display());
        }
    }

    /// Whether `folder` is one that [`Store::write`] may have made.
    pub fn is_unfinished(&self, folder: &Path) -> bool {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        folder.parent() == Some(&self.unfinished()) && name.starts_with(UNFINISHED)
    }

    /// Records that a cell failed, unless someone else has finished it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn fail(&self, cell: &Cell, failure: &Failure) -> Result<()> {
        if self.holds(cell)? {
            return Ok(());
        }
        replace(&self.failure(cell), &json_text(&FailureFile::new(cell, failure))?)
    }

    /// The file of a failed cell.
    pub fn failure_of(&self, cell: &Cell) -> PathBuf {
        self.failure(cell)
    }

    /// When a cell failed for the last time, if it did.
    pub fn failed_at(&self, cell: &Cell) -> Option<SystemTime> {
        fs::metadata(self.failure(cell)).and_then(|about| about.modified()).ok()
    }

    /// What the folder knows of a cell, if anything.
    ///
    /// # Errors
    /// If what it knows cannot be read.
    pub fn record(&self, cell: &Cell) -> Result<Option<Record>> {
        if let Some(file) = self.training(cell)? {
            return self.finished(cell, &file).map(|f| Some(Record::Finished(f)));
        }
        let path = self.failure(cell);
        if !path.exists() {
            return Ok(None);
        }
        FailureFile::read(&path).map(|file| Some(Record::Failed(file.failure.reason)))
    }

    fn finished(&self, cell: &Cell, file: &TrainingFile) -> Result<Finished> {
        let read = |name: &str| -> Result<Vec<Value>> {
            Ok(results::read(&file.folder.join(name))?.into_iter().map(|row| row.value).collect())
        };
        let mut values = read("results.csv")?;
        let measures = file.folder.join(MEASURES);
        if file.format != earlier::FORMAT || measures.exists() {
            // Format 1 kept measures in the same table.
            values.retain(|value| !value.split.is_empty());
            for name in cell.measures.iter().filter(|name| measures.join(name).exists()) {
                add_measures(&mut values, read(&format!("{MEASURES}/{name}"))?);
            }
        }
        Ok(Finished {
            status: file.status.clone(),
            values,
            times: read("times.csv")?,
            levels: file.task_info.levels,
            curve: curves::read(&file.folder.join("curves.csv"))?,
            unmeasured: self.unmeasured(cell, file).len(),
        })
    }

    /// What the folder knows of each cell of `plan`; `known` holds what has
    /// been read before, so that a finished cell is read once.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub fn records(&self, plan: &[Cell], known: &mut Records) -> Result<()> {
        known.resize(plan.len(), None);
        for (cell, record) in plan.iter().zip(known.iter_mut()) {
            if !matches!(record, Some(Record::Finished(finished)) if finished.unmeasured == 0) {
                *record = self.record(cell)?;
            }
        }
        Ok(())
    }

    /// Brings `records` and `results.csv` up to date.
    ///
    /// Several processes may do so at once, and the slowest one's file stays:
    /// so whoever has written looks again whether there is more by now.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn refresh(&self, plan: &[Cell], records: &mut Records) -> Result<()> {
        self.until_settled(plan, records, &|rows, _| {
            replace(&self.root.join("results.csv"), &results::write(rows)?)
        })
    }

    /// As [`Store::refresh`], and writes `results.parquet` and `curves.csv` too.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn export(&self, plan: &[Cell], records: &mut Records) -> Result<()> {
        self.until_settled(plan, records, &|rows, records| {
            replace(&self.root.join("results.csv"), &results::write(rows)?)?;
            replace(&self.root.join("results.parquet"), &parquet::write(rows)?)?;
            let mut curves = Curves::new()?;
            for (cell, record) in plan.iter().zip(records) {
                if let Some(Record::Finished(finished)) = record {
                    curves.add(&cell.spec, &finished.curve, &finished.status, &cell.folder)?;
                }
            }
            replace(&self.root.join("curves.csv"), &curves.finish()?)
        })
    }

    fn until_settled(
        &self,
        plan: &[Cell],
        records: &mut Records,
        write: &dyn Fn(&[Row], &Records) -> Result<()>,
    ) -> Result<()> {
        self.records(plan, records)?;
        loop {
            write(&rows(plan, records), records)?;
            let before = records.clone();
            self.records(plan, records)?;
            if *records == before {
                return Ok(());
            }
        }
    }

    /// Writes `axes.csv`, or removes it if there are no axes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_axes(&self, rows: &[Vec<String>]) -> Result<()> {
        let path = self.root.join("axes.csv");
        if rows.is_empty() {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(unwritten(&path, &e)),
                _ => Ok(()),
            };
        }
        let mut file = csv::Writer::from_writer(Vec::new());
        for row in rows {
            file.write_record(row).map_err(|e| unwritable(&e))?;
        }
        replace(&path, &table::finish(file)?)
    }

    /// Removes what processes have left that are gone: files half written, and
    /// what belongs to cells that are finished. Of other machines it is not
    /// known whether they are gone, so they are given an hour.
    pub fn clear(&self) {
        let under_way = [self.unfinished(), self.checkpoints(), self.claims()];
        for place in under_way.iter().chain(&[self.root.clone(), self.failures()]) {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let past = if name.starts_with(UNFINISHED) {
                    let mark = name.rsplit_once('@').map(|(_, mark)| mark).unwrap_or_default();
                    Owner::is_gone_by_mark(mark) || is_old(&entry)
                } else {
                    under_way.contains(place) && self.cells().join(&*name).is_dir()
                };
                if past {
                    self.discard(&entry.path());
                }
            }
        }
    }

    /// As [`Store::clear`], and removes the folders of what is under way where
    /// nothing is.
    pub fn tidy(&self) {
        self.clear();
        for place in [self.unfinished(), self.checkpoints(), self.claims()] {
            // It fails where there is something in it, and is meant to.
            let _ = fs::remove_dir(place);
        }
    }
}

/// The rows of `results.csv`, in the order of `plan`. A failed cell has one row,
/// of its test accuracy, without a value.
fn rows(plan: &[Cell], records: &Records) -> Vec<Row> {
    let mut rows = Vec::new();
    for (cell, record) in plan.iter().zip(records) {
        match record {
            Some(Record::Finished(finished)) => {
                let folder = Some(cell.folder.as_str());
                rows.extend(results::rows(&cell.spec, &finished.values, &finished.status, folder));
                rows.extend(results::rows(&cell.spec, &finished.times, &finished.status, folder));
            }
            Some(Record::Failed(reason)) => {
                let nothing = [Value::new("test", "accuracy", None)];
                rows.extend(results::rows(&cell.spec, &nothing, &Status::Failed(reason.clone()), None));
            }
            None => {}
        }
    }
    rows
}

/// Adds measures to values. Where two metrics have measures of one name, or one
/// metric is taken twice with different parameters, both are kept and numbered
/// in the order of the metrics.
fn add_measures(values: &mut Vec<Value>, measures: Vec<Value>) {
    for measure in measures {
        let taken = |name: &str| values.iter().any(|v| v.split.is_empty() && v.measure == name);
        let numbered = (2..).map(|number| format!("{}_{number}", measure.measure));
        let name = std::iter::once(measure.measure.clone()).chain(numbered).find(|name| !taken(name));
        values.push(Value { measure: name.unwrap_or_default(), ..measure });
    }
}

/// Indented, so that people can read it.
fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| unwritable(&e))?;
    text.push(b'\n');
    Ok(text)
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|about| about.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED))
}

/// What is known of each cell of a plan, in its order.
pub type Records = Vec<Option<Record>>;

#[cfg(test)]
mod tests;
