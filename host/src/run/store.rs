//! The run folder: where results are kept.
//!
//! ```text
//! experiment.toml   the experiment, resolved: one file without base or overrides
//! manifest.json     versions, plugins, data, profile, switches, seed, machine
//! results.csv       one row a value, of every finished or failed cell of the experiment
//! cells/NAME/       one folder a finished cell
//!   cell.json         the cell, its identity, how it ended, what task and model say
//!   results.csv       its values, the same bytes for the same cell
//!   times.csv         its seconds, different each time
//!   curves.csv        one row an epoch
//!   weights.safetensors   recurrent weights before training, trained parameters
//!   log.txt           what its process said
//! failed/NAME.json  one file a failed cell: the reason and the end of its log
//! ```
//!
//! What is under way is in folders of `cells/` whose names begin with a dot;
//! they are gone when nothing is under way:
//!
//! ```text
//! cells/.unfinished/  folders of cells that are being written, with their writer's mark
//! cells/.checkpoints/ trainings after their last epoch, see `checkpoint`
//! cells/.claims/      who is at which cell, see `claim`
//! ```
//!
//! A cell's folder is written in `.unfinished/`, forced to disk, and renamed:
//! it appears whole or not at all. So a run folder can be shared by many
//! processes and machines without locks, killed at any moment, and continued.
//!
//! A name ends in the head of the cell's identity. Cells that no cell of the
//! current experiment has the identity of (because the experiment, a plugin or
//! the data have changed since) are left alone: they are neither overwritten
//! nor mixed in. `results.csv` holds exactly the cells of the experiment that
//! was run last, whether or not that run was limited to some of them; times
//! are merged in as rows `seconds_…`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pallium_core::{Error, Levels, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checkpoint;
use super::claim::{Claim, Owner, Sight};
use super::contents::{add_rows, curves, damaged, finish, header, json_text, read_rows, unwritable, weights};
use super::durable::{UNFINISHED, replace, sync, sync_all, temporary, unwritten, write};
use super::identity::{Cell, HOST};
use super::machine::Machine;
use super::outcome::{Status, Value};
use super::train::Trained;
use crate::cell::CellSpec;

/// Version of what is written to disk, a part of every cell's identity.
pub const FORMAT: u32 = 1;

/// The files of a finished cell, beside `cell.json`.
const CELL_FILES: [&str; 4] = ["results.csv", "times.csv", "curves.csv", "weights.safetensors"];
/// A file or folder is unfinished for as long as it takes to write a few files.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What a run folder says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the folder's format.
    pub format: u32,
    /// Version of Pallium.
    pub pallium: String,
    /// Version of pallium-core.
    pub core: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The experiment's file.
    pub file: PathBuf,
    /// `path=value` overrides that it was run with.
    pub overrides: Vec<String>,
    /// Name of the profile.
    pub profile: String,
    /// Value of every switch.
    pub switches: BTreeMap<String, String>,
    /// The experiment's seed.
    pub seed: u64,
    /// Number of runs.
    pub runs: u32,
    /// Number of cells.
    pub cells: usize,
    /// Plugins in use.
    pub plugins: Vec<Plugin>,
    /// SHA-256 of the data in use, by the component that reads them.
    pub data: BTreeMap<String, Vec<String>>,
    /// The machine that last ran in this folder.
    pub machine: Machine,
    /// When that was, in seconds since 1970.
    pub started: u64,
}

/// A plugin file, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plugin {
    /// Name of the crate.
    pub name: String,
    /// Version of the crate.
    pub version: String,
    /// Version of pallium-core that it was built against.
    pub core_version: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Where it was.
    pub path: PathBuf,
}

/// Why a cell failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// In one line.
    pub reason: String,
    /// The error, if the cell's process came to report one.
    pub error: Option<Error>,
    /// The end of what the process said.
    pub log: String,
}

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

/// `cell.json`.
#[derive(Debug, Serialize, Deserialize)]
struct CellFile {
    format: u32,
    cell: String,
    variant: String,
    task: String,
    run: u32,
    identity: String,
    profile: String,
    status: Status,
    divergence: Option<super::outcome::Divergence>,
    pallium: String,
    core: String,
    inputs: BTreeMap<String, String>,
    notes: Vec<String>,
    task_info: pallium_core::TaskInfo,
    model_info: pallium_core::ModelInfo,
    spec: CellSpec,
}

/// The part of `manifest.json` that every version of it has.
#[derive(Deserialize)]
struct ManifestHead {
    format: u32,
}

/// The part of `cell.json` that every version of it has.
#[derive(Deserialize)]
struct CellHead {
    format: u32,
    identity: String,
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
        if head.format != FORMAT {
            return Err(Error::input(format!(
                "{} was written in format {}, and this version reads and writes format {FORMAT}",
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
    pub fn checkpoint(&self, cell: &Cell, every: u32) -> checkpoint::Place {
        checkpoint::Place {
            path: self.checkpoints().join(&cell.folder),
            identity: cell.identity.clone(),
            every,
        }
    }

    /// The file that says who is at a cell.
    pub fn claim_of(&self, cell: &Cell) -> PathBuf {
        self.claims().join(&cell.folder)
    }

    /// Claims a cell for this process, or says who has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn claim(&self, cell: &Cell, owner: &Owner) -> Result<Result<Claim, Sight>> {
        let path = self.claim_of(cell);
        Claim::take(&path, owner).map_err(|e| unwritten(&path, &e))
    }

    fn folder(&self, cell: &Cell) -> PathBuf {
        self.cells().join(&cell.folder)
    }

    fn failure(&self, cell: &Cell) -> PathBuf {
        self.failures().join(format!("{}.json", cell.folder))
    }

    /// Whether the folder holds this cell, finished.
    ///
    /// # Errors
    /// If there is a folder of its name with something else in it.
    pub fn holds(&self, cell: &Cell) -> Result<bool> {
        let path = self.folder(cell).join("cell.json");
        let read = || fs::read_to_string(&path);
        let text = match read() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.folder(cell).exists() {
                false => return Ok(false),
                // It may have appeared between the two looks.
                true => read(),
            },
            text => text,
        };
        let text = text.map_err(|e| damaged(&path, &e))?;
        let head: CellHead = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        if head.format != FORMAT || head.identity != cell.identity {
            return Err(damaged(&path, &"it is of another cell than its folder's name says"));
        }
        for name in CELL_FILES {
            let path = self.folder(cell).join(name);
            match fs::metadata(&path) {
                Ok(about) if about.len() > 0 => {}
                Ok(_) => return Err(damaged(&path, &"it is empty")),
                Err(e) => return Err(damaged(&path, &e)),
            }
        }
        Ok(true)
    }

    /// Folders of finished cells that are none of `plan`'s, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn strangers(&self, plan: &[Cell]) -> Result<Vec<String>> {
        let known: BTreeSet<&str> = plan.iter().map(|cell| cell.folder.as_str()).collect();
        let entries = match fs::read_dir(self.cells()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(&self.cells(), &e)),
        };
        let mut strangers = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io(&self.cells(), &e))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with('.') && !known.contains(name.as_str()) {
                strangers.push(name);
            }
        }
        strangers.sort();
        Ok(strangers)
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
        let file = CellFile {
            format: FORMAT,
            cell: spec.label(),
            variant: spec.variant.clone(),
            task: spec.task.clone(),
            run: spec.run,
            identity: cell.identity.clone(),
            profile: profile.into(),
            status: trained.status.clone(),
            divergence: trained.divergence.clone(),
            pallium: HOST.into(),
            core: pallium_core::VERSION.into(),
            inputs: cell.inputs.iter().cloned().collect(),
            notes: trained.notes.clone(),
            task_info: trained.task.clone(),
            model_info: trained.model.clone(),
            spec: spec.clone(),
        };
        let place = folder.path();
        write(&place.join("cell.json"), &json_text(&file)?)?;
        for (name, values) in [("results.csv", &trained.values), ("times.csv", &trained.times)] {
            let mut table = header()?;
            add_rows(&mut table, spec, values, &trained.status)?;
            write(&place.join(name), &finish(table)?)?;
        }
        write(&place.join("curves.csv"), &curves(trained)?)?;
        write(&place.join("weights.safetensors"), &weights(cell, trained, profile)?)?;
        Ok(folder.keep())
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
        let spec = &cell.spec;
        let file = json!({
            "format": FORMAT,
            "cell": spec.label(),
            "variant": spec.variant,
            "task": spec.task,
            "run": spec.run,
            "identity": cell.identity,
            "reason": failure.reason,
            "error": failure.error,
            "log": failure.log,
        });
        replace(&self.failure(cell), &json_text(&file)?)
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
        if self.holds(cell)? {
            return self.finished(cell).map(|f| Some(Record::Finished(f)));
        }
        let path = self.failure(cell);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let failure: Failure = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
                Ok(Some(Record::Failed(failure.reason)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, &e)),
        }
    }

    fn finished(&self, cell: &Cell) -> Result<Finished> {
        let folder = self.folder(cell);
        let path = folder.join("cell.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let file: CellFile = serde_json::from_str(&text).map_err(|e| damaged(&path, &e))?;
        Ok(Finished {
            status: file.status,
            values: read_rows(&folder.join("results.csv"))?,
            times: read_rows(&folder.join("times.csv"))?,
            levels: file.task_info.levels,
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
            if !matches!(record, Some(Record::Finished(_))) {
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
    /// As [`Store::records`] and [`Store::write_results`].
    pub fn refresh(&self, plan: &[Cell], records: &mut Records) -> Result<()> {
        self.records(plan, records)?;
        loop {
            self.write_results(plan, records)?;
            let before = records.clone();
            self.records(plan, records)?;
            if *records == before {
                return Ok(());
            }
        }
    }

    /// Writes `results.csv` anew, in the order of `plan`, in one step. A
    /// failed cell has one row, of its test accuracy, without a value.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_results(&self, plan: &[Cell], records: &Records) -> Result<PathBuf> {
        let mut table = header()?;
        for (cell, record) in plan.iter().zip(records) {
            match record {
                Some(Record::Finished(finished)) => {
                    add_rows(&mut table, &cell.spec, &finished.values, &finished.status)?;
                    add_rows(&mut table, &cell.spec, &finished.times, &finished.status)?;
                }
                Some(Record::Failed(reason)) => {
                    let nothing = [Value::new("test", "accuracy", None)];
                    add_rows(&mut table, &cell.spec, &nothing, &Status::Failed(reason.clone()))?;
                }
                None => {}
            }
        }
        let path = self.root.join("results.csv");
        replace(&path, &finish(table)?)?;
        Ok(path)
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
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in rows {
            table.write_record(row).map_err(|e| unwritable(&e))?;
        }
        replace(&path, &finish(table)?)
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

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|about| about.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED))
}

/// What is known of each cell of a plan, in its order.
pub type Records = Vec<Option<Record>>;

#[cfg(test)]
mod tests;
