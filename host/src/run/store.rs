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
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime};

use itertools::Itertools;
use pallium_core::{Error, Kind, Levels, Result, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checkpoint;
use super::claim::{Claim, Owner, Sight};
use super::identity::{Cell, HOST};
use super::machine::Machine;
use super::outcome::{Status, Value};
use super::train::Trained;
use crate::cell::CellSpec;

/// Version of what is written to disk, a part of every cell's identity.
pub const FORMAT: u32 = 1;

/// How recurrent matrices in `weights.safetensors` are to be read.
pub const ORIENTATION: &str = "row = from, column = to";

const COLUMNS: [&str; 7] = ["variant", "task", "run", "split", "measure", "value", "status"];
/// The files of a finished cell, beside `cell.json`.
const CELL_FILES: [&str; 4] = ["results.csv", "times.csv", "curves.csv", "weights.safetensors"];
/// Begins the name of what is being written and does not count yet.
const UNFINISHED: &str = ".unfinished-";
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
        fs::create_dir_all(root).map_err(|e| unwritten(root, &e))?;
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

type Table = csv::Writer<Vec<u8>>;

fn header() -> Result<Table> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS).map_err(|e| unwritable(&e))?;
    Ok(table)
}

fn add_rows(table: &mut Table, spec: &CellSpec, values: &[Value], status: &Status) -> Result<()> {
    let run = spec.run.to_string();
    let of_cell = status.to_string();
    for value in values {
        let of_value = value.failed.as_ref().map(|why| Status::Failed(why.clone()).to_string());
        let row = [
            &spec.variant,
            &spec.task,
            &run,
            &value.split,
            &value.measure,
            &number(value.value),
            of_value.as_ref().unwrap_or(&of_cell),
        ];
        table.write_record(row).map_err(|e| unwritable(&e))?;
    }
    Ok(())
}

/// The shortest text that reads back as the same number.
fn number(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or_else(String::new, |v| format!("{v:?}"))
}

fn finish(table: Table) -> Result<Vec<u8>> {
    table.into_inner().map_err(|e| unwritable(&e))
}

fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("a table cannot be written: {error}"))
}

fn read_rows(path: &Path) -> Result<Vec<Value>> {
    let mut table = csv::Reader::from_path(path).map_err(|e| damaged(path, &e))?;
    let mut values = Vec::new();
    for row in table.records() {
        let row = row.map_err(|e| damaged(path, &e))?;
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let value = match cell(5) {
            "" => None,
            text => Some(text.parse::<f64>().map_err(|e| damaged(path, &format!("`{text}`: {e}")))?),
        };
        let failed = match Status::parse(cell(6)) {
            Some(Status::Failed(why)) => Some(why),
            Some(_) => None,
            None => return Err(damaged(path, &format!("`{}` is no status", cell(6)))),
        };
        values.push(Value { failed, ..Value::new(cell(3), cell(4), value) });
    }
    Ok(values)
}

fn curves(trained: &Trained) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let columns =
        ["epoch", "running_loss", "running_accuracy", "penalty", "validation_loss", "validation_accuracy"];
    table.write_record(columns).map_err(|e| unwritable(&e))?;
    for at in &trained.curves {
        let row = [
            at.epoch.to_string(),
            number(Some(at.running_loss)),
            number(Some(at.running_accuracy)),
            number(Some(at.penalty)),
            number(at.validation_loss),
            number(at.validation_accuracy),
        ];
        table.write_record(row).map_err(|e| unwritable(&e))?;
    }
    finish(table)
}

/// `initial`, then the trained parameters under the model's names, in f32, and
/// what identifies the neurons (`ids.root`), in i64, in the order of rows and
/// columns.
fn weights(cell: &Cell, trained: &Trained, profile: &str) -> Result<Vec<u8>> {
    let initial = Tensor {
        name: "initial".into(),
        shape: trained.initial.shape().into(),
        values: trained.initial.iter().copied().collect(),
    };
    let wrong = |what: String| Error::plugin(format!("the state of `{}`: {what}", cell.spec.model.id));
    let mut tensors: BTreeMap<&str, (&[usize], Vec<u8>)> = BTreeMap::new();
    for tensor in std::iter::once(&initial).chain(&trained.parameters) {
        let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        if tensors.insert(&tensor.name, (&tensor.shape, bytes)).is_some() {
            return Err(wrong(format!("two tensors are named `{}`", tensor.name)));
        }
    }
    let mut views = Vec::new();
    let ids: Vec<(String, Vec<u8>)> = trained
        .ids
        .iter()
        .map(|(name, ids)| (format!("ids.{name}"), ids.iter().flat_map(|id| id.to_le_bytes()).collect()))
        .collect();
    for (name, bytes) in &ids {
        if tensors.contains_key(name.as_str()) {
            return Err(wrong(format!("the tensor `{name}` has the name of the neurons' identifiers")));
        }
        let view = TensorView::new(Dtype::I64, vec![bytes.len() / 8], bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((name.as_str(), view));
    }
    for (name, (shape, bytes)) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((*name, view));
    }
    let file = safetensors::serialize(views, None).map_err(|e| wrong(e.to_string()))?;
    let spec = &cell.spec;
    let run = spec.run.to_string();
    let label = spec.label();
    let ids = ids.iter().map(|(name, _)| name.as_str()).join(" ");
    let about = BTreeMap::from([
        ("cell", label.as_str()),
        ("format", "pallium 1"),
        ("ids", &ids),
        ("identity", &cell.identity),
        ("orientation", ORIENTATION),
        ("profile", profile),
        ("run", &run),
        ("task", &spec.task),
        ("variant", &spec.variant),
    ]);
    with_metadata(&file, &about)
}

/// Puts `about` into the header of a safetensors file. The crate itself would
/// write it in the order of a hash map, which is another one every time.
fn with_metadata(file: &[u8], about: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let malformed = || Error::bug("a safetensors file has no header");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(malformed)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| malformed())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let tensors = std::str::from_utf8(header).ok().and_then(|h| h.trim_end().strip_prefix('{'));
    let tensors = tensors.ok_or_else(malformed)?;
    let about = serde_json::to_string(about).map_err(|e| unwritable(&e))?;
    let mut header = format!("{{\"__metadata__\":{about},{tensors}").into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut whole = Vec::with_capacity(8 + header.len() + data.len());
    whole.extend((header.len() as u64).to_le_bytes());
    whole.extend(header);
    whole.extend(data);
    Ok(whole)
}

fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| unwritable(&e))?;
    text.push(b'\n');
    Ok(text)
}

fn damaged(path: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Input, format!("{} is damaged: {what}", path.display()))
        .help("move its folder away to have the cell run again")
}

/// An error of writing into a run folder: where there is no room, say how to
/// go on.
fn unwritten(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let told = Error::io(path, error);
    match error.kind() {
        StorageFull | QuotaExceeded => told.context("there is no room left for results").help(
            "free some space and give the same command again: what is finished is kept, and the run continues",
        ),
        ReadOnlyFilesystem | PermissionDenied => told
            .help("make the folder writable, or choose another with --out, and give the same command again"),
        _ => told,
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| unwritten(path, &e))
}

/// Replaces a file in one step: a reader sees the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = temporary(0o666).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|e| unwritten(path, &e))
}

/// The process that what is written is for; this one, if nothing is said.
static WRITER: OnceLock<u32> = OnceLock::new();

/// Says that this process writes for the one that started it, which takes over
/// what is written when this one has ended already. Until then nobody may clear
/// it away.
pub(super) fn write_for_parent() {
    #[cfg(unix)]
    // Fails only if it was said before.
    let _ = WRITER.set(std::os::unix::process::parent_id());
}

/// Makes files and folders that do not count yet. Temporary files are for the
/// owner's eyes alone by default; results are for whom the user's own setting
/// lets see them. Their names say whose they are; see [`Store::clear`].
#[cfg_attr(not(unix), expect(unused_variables, reason = "modes are a Unix matter"))]
pub(super) fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    static MARK: LazyLock<String> = LazyLock::new(|| {
        let writer = WRITER.get().map_or_else(Owner::this, |&process| Owner::of(process));
        format!("@{}", writer.mark())
    });
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(MARK.as_str());
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

/// Forces the files of a folder and its list of names to disk, all at once:
/// the system writes them together, where one after the other each would wait
/// for the disk.
fn sync_all(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| unwritten(folder, &e))?;
    let mut paths = vec![folder.to_owned()];
    for entry in entries {
        paths.push(entry.map_err(|e| unwritten(folder, &e))?.path());
    }
    std::thread::scope(|scope| {
        let syncing: Vec<_> = paths.iter().map(|path| scope.spawn(|| sync(path))).collect();
        syncing.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(Error::bug("forcing a file to disk panicked")))
        })
    })
}

/// Forces a file, or a folder's list of names where the system can do that, to
/// disk.
fn sync(path: &Path) -> Result<()> {
    if cfg!(unix) || path.is_file() {
        File::open(path).and_then(|file| file.sync_all()).map_err(|e| unwritten(path, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::identity::identify;
    use super::super::mock;
    use super::super::train::{Options, train};
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            pallium: HOST.into(),
            core: pallium_core::VERSION.into(),
            experiment: "quick".into(),
            file: "quick.toml".into(),
            overrides: vec![],
            profile: "corrected".into(),
            switches: BTreeMap::new(),
            seed: 7,
            runs: 2,
            cells: 2,
            plugins: vec![],
            data: BTreeMap::new(),
            machine: Machine::this(),
            started: 0,
        }
    }

    fn cell(run: u32) -> Cell {
        let mut spec = mock::spec();
        spec.run = run;
        identify(spec, &mock::catalogue()).unwrap()
    }

    fn trained(cell: &Cell) -> Trained {
        train(&cell.spec, &mock::catalogue(), &Options::default(), &mut |_| ()).unwrap()
    }

    fn opened() -> (tempfile::TempDir, Store) {
        let here = tempfile::tempdir().unwrap();
        let store = Store::open(&here.path().join("run"), &manifest(), "seed = 7\n").unwrap();
        (here, store)
    }

    fn keep(store: &Store, cell: &Cell) {
        let folder = store.write(cell, &trained(cell), "corrected").unwrap();
        store.commit(cell, &folder, "said nothing").unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_cell_appears_whole_or_not_at_all() {
        let (_here, store) = opened();
        let cell = cell(0);
        let folder = store.write(&cell, &trained(&cell), "corrected").unwrap();
        assert!(store.is_unfinished(&folder));
        assert!(!store.holds(&cell).unwrap());
        assert_eq!(store.record(&cell).unwrap(), None);
        assert_eq!(store.strangers(&[]).unwrap(), Vec::<String>::new());
        store.commit(&cell, &folder, "said nothing").unwrap();
        assert!(store.holds(&cell).unwrap());
        assert_eq!(names(&store.cells()), [".unfinished", cell.folder.as_str()]);
        store.tidy();
        assert_eq!(names(&store.cells()), [cell.folder.as_str()]);
        let files = ["cell.json", "curves.csv", "log.txt", "results.csv", "times.csv", "weights.safetensors"];
        assert_eq!(names(&store.folder(&cell)), files);
    }

    #[test]
    fn the_same_cell_gives_the_same_bytes() {
        let (_here, store) = opened();
        let cell = cell(0);
        let folders = [(), ()].map(|()| store.write(&cell, &trained(&cell), "corrected").unwrap());
        for name in ["cell.json", "curves.csv", "results.csv", "weights.safetensors"] {
            let [one, two] = folders.each_ref().map(|f| fs::read(f.join(name)).unwrap());
            assert_eq!(one, two, "{name}");
        }
        // Whoever comes second finds the first one's in place.
        store.commit(&cell, &folders[0], "first").unwrap();
        store.commit(&cell, &folders[1], "second").unwrap();
        assert_eq!(fs::read_to_string(store.folder(&cell).join("log.txt")).unwrap(), "first");
        store.tidy();
        assert_eq!(names(&store.cells()).len(), 1);
    }

    #[test]
    fn what_is_left_by_those_who_are_gone_is_cleared_away() {
        let (_here, store) = opened();
        let cells = [cell(0), cell(1)];
        let own = store.write(&cells[1], &trained(&cells[1]), "corrected").unwrap();
        let gone = Owner { started: 1, ..Owner::this() }.mark();
        let places = [store.root.clone(), store.failures(), store.checkpoints(), store.claims()];
        for place in &places {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join(format!("{UNFINISHED}abc123@{gone}")), "").unwrap();
        }
        fs::create_dir_all(store.unfinished().join(format!("{UNFINISHED}abc123@{gone}/sub"))).unwrap();
        for cell in &cells {
            fs::write(store.checkpoint(cell, 1).path, "").unwrap();
            fs::write(store.claim_of(cell), "").unwrap();
        }
        keep(&store, &cells[0]);
        store.clear();
        // What is under way stays.
        assert!(own.exists());
        assert_eq!(names(&store.checkpoints()), [cells[1].folder.as_str()]);
        assert_eq!(names(&store.claims()), [cells[1].folder.as_str()]);
        assert_eq!(names(&store.unfinished()).len(), 1);
        for place in &places[..2] {
            assert!(!names(place).iter().any(|name| name.starts_with(UNFINISHED)));
        }
        store.commit(&cells[1], &own, "").unwrap();
        store.tidy();
        let mut folders = cells.map(|cell| cell.folder);
        folders.sort();
        assert_eq!(names(&store.cells()), folders);
    }

    #[test]
    fn a_failure_does_not_outlive_success() {
        let (_here, store) = opened();
        let cell = cell(0);
        keep(&store, &cell);
        let failure = Failure { reason: "late".into(), error: None, log: String::new() };
        store.fail(&cell, &failure).unwrap();
        assert_eq!(names(&store.failures()), Vec::<String>::new());
    }

    #[test]
    fn a_folder_that_was_begun_is_continued() {
        // Killed after the first thing that is ever written into it.
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("manifest.json"), json_text(&manifest()).unwrap()).unwrap();
        assert!(Store::existing(here.path()).unwrap().is_some());
        assert!(Store::open(here.path(), &manifest(), "").is_ok());
    }

    #[test]
    fn where_there_is_no_room_it_is_said_how_to_go_on() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let report = unwritten(Path::new("runs/x/cells/a"), &full).report();
        for words in ["no room left", "runs/x/cells/a", "the same command again"] {
            assert!(report.contains(words), "{report}");
        }
    }

    #[test]
    fn axes_are_written_where_there_are_some() {
        let (_here, store) = opened();
        let rows = [["variant", "task", "strength"], ["W[strength=0.1]", "a", "0.1"]];
        store.write_axes(&rows.map(|r| r.map(String::from).to_vec())).unwrap();
        let path = store.root().join("axes.csv");
        assert_eq!(fs::read_to_string(&path).unwrap(), "variant,task,strength\nW[strength=0.1],a,0.1\n");
        store.write_axes(&[]).unwrap();
        store.write_axes(&[]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn results_are_tidy_and_in_the_order_of_the_plan() {
        let (_here, store) = opened();
        let plan = [cell(0), cell(1), cell(2)];
        keep(&store, &plan[2]);
        let failure = Failure { reason: "killed, by\nsignal 9".into(), error: None, log: "…".into() };
        store.fail(&plan[0], &failure).unwrap();
        let mut records = Records::new();
        store.records(&plan, &mut records).unwrap();
        let path = store.write_results(&plan, &records).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "variant,task,run,split,measure,value,status");
        assert_eq!(lines[1], "W*D,alternating,0,test,accuracy,,\"failed: killed, by signal 9\"");
        assert_eq!(lines[2], "W*D,alternating,2,train,accuracy,0.6,ok");
        assert!(lines.iter().any(|l| l.starts_with("W*D,alternating,2,,sum,")));
        assert!(lines.iter().any(|l| l.starts_with("W*D,alternating,2,,seconds_total,")));
        assert!(!text.contains("NaN"));
        // What is read back is what was found.
        let Some(Record::Finished(finished)) = &records[2] else { panic!("{records:?}") };
        let found = trained(&plan[2]);
        assert_eq!((&finished.status, &finished.values), (&found.status, &found.values));
        // Once it succeeds, the failure is forgotten.
        keep(&store, &plan[0]);
        store.records(&plan, &mut records).unwrap();
        assert!(matches!(records[0], Some(Record::Finished(_))));
        assert_eq!(names(&store.failures()), Vec::<String>::new());
    }

    #[test]
    fn a_diverged_cell_has_empty_values() {
        let (_here, store) = opened();
        let mut spec = mock::spec();
        spec.model = mock::with("mock.model", "rate", 10.0);
        spec.training.epochs = 200;
        let cell = identify(spec, &mock::catalogue()).unwrap();
        keep(&store, &cell);
        let mut records = Records::new();
        store.records(std::slice::from_ref(&cell), &mut records).unwrap();
        let path = store.write_results(std::slice::from_ref(&cell), &records).unwrap();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("W*D,alternating,0,test,accuracy,,diverged\n"), "{text}");
        for file in ["results.csv", "curves.csv", "cell.json"] {
            let text = fs::read_to_string(store.folder(&cell).join(file)).unwrap().to_lowercase();
            assert!(!text.contains("nan,") && !text.contains(",inf"), "{text}");
        }
    }

    #[test]
    fn a_measure_that_failed_keeps_its_reason() {
        let (_here, store) = opened();
        let mut spec = mock::spec();
        spec.metrics =
            vec![mock::with("mock.metric", "kind", "fails"), mock::with("mock.metric", "kind", "undefined")];
        let cell = identify(spec, &mock::catalogue()).unwrap();
        keep(&store, &cell);
        let text = fs::read_to_string(store.folder(&cell).join("results.csv")).unwrap();
        assert!(text.contains(",,mock.metric,,failed: the network is too small\n"), "{text}");
        assert!(text.contains(",,undefined,,ok\n"), "{text}");
        let Some(Record::Finished(finished)) = store.record(&cell).unwrap() else { panic!() };
        assert_eq!(finished.values, trained(&cell).values);
    }

    #[test]
    fn weights_are_read_by_the_format_and_say_what_they_are() {
        let (_here, store) = opened();
        let cell = cell(0);
        keep(&store, &cell);
        let bytes = fs::read(store.folder(&cell).join("weights.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<_> = tensors.names();
        names.sort_unstable();
        assert_eq!(names, ["bias", "initial", "recurrent"]);
        let initial = tensors.tensor("initial").unwrap();
        assert_eq!(initial.shape(), [3, 3]);
        assert_eq!(initial.data(), [1.0f32; 9].map(f32::to_le_bytes).concat());
        let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let about = about.metadata().as_ref().unwrap();
        assert_eq!(about["orientation"], ORIENTATION);
        assert_eq!((about["variant"].as_str(), about["run"].as_str()), ("W*D", "0"));
        assert_eq!(about["identity"], cell.identity);
    }

    #[test]
    fn cells_of_another_state_are_reported_and_left_alone() {
        let (_here, store) = opened();
        let (old, new) = (cell(0), {
            let mut spec = mock::spec();
            spec.training.epochs = 3;
            identify(spec, &mock::catalogue()).unwrap()
        });
        keep(&store, &old);
        assert!(!store.holds(&new).unwrap());
        assert_eq!(store.strangers(std::slice::from_ref(&new)).unwrap(), std::slice::from_ref(&old.folder));
        keep(&store, &new);
        let mut records = Records::new();
        store.records(std::slice::from_ref(&new), &mut records).unwrap();
        let path = store.write_results(std::slice::from_ref(&new), &records).unwrap();
        let rows = fs::read_to_string(path).unwrap().matches(",test,accuracy,").count();
        assert_eq!(rows, 1);
        assert!(store.holds(&old).unwrap());
    }

    #[test]
    fn a_damaged_cell_is_named_and_not_overwritten() {
        let (_here, store) = opened();
        let (cell, other) = (cell(0), cell(1));
        keep(&store, &cell);
        fs::rename(store.folder(&cell), store.folder(&other)).unwrap();
        let error = store.holds(&other).unwrap_err();
        assert_eq!(error.kind, Kind::Input);
        assert!(error.report().contains("another cell"), "{}", error.report());
        fs::rename(store.folder(&other), store.folder(&cell)).unwrap();
        for (name, said) in [("results.csv", "is empty"), ("weights.safetensors", "No such file")] {
            let path = store.folder(&cell).join(name);
            let before = fs::read(&path).unwrap();
            if said == "is empty" {
                fs::write(&path, "").unwrap()
            } else {
                fs::remove_file(&path).unwrap()
            }
            let told = store.holds(&cell).unwrap_err().report();
            assert!(told.contains(name) && told.contains(said), "{told}");
            fs::write(&path, before).unwrap();
        }
        assert!(store.holds(&cell).unwrap());
        fs::rename(store.folder(&cell), store.folder(&other)).unwrap();
        fs::write(store.folder(&other).join("cell.json"), "{").unwrap();
        assert!(store.holds(&other).unwrap_err().report().contains("is damaged"));
        let folder = store.write(&other, &trained(&other), "corrected").unwrap();
        assert!(store.commit(&other, &folder, "").is_err());
        assert_eq!(fs::read_to_string(store.folder(&other).join("cell.json")).unwrap(), "{");
    }

    #[test]
    fn a_folder_is_continued_only_if_it_is_a_run_of_this_format() {
        let (here, store) = opened();
        assert!(Store::existing(store.root()).unwrap().is_some());
        assert_eq!(store.manifest().unwrap(), manifest());
        assert_eq!(fs::read_to_string(store.root().join("experiment.toml")).unwrap(), "seed = 7\n");
        let empty = here.path().join("empty");
        assert!(Store::existing(&empty).unwrap().is_none());
        fs::create_dir_all(empty.join("cells")).unwrap();
        assert!(Store::existing(&empty).unwrap_err().report().contains("--out"));
        let other = Manifest { format: FORMAT + 1, ..manifest() };
        fs::write(store.root().join("manifest.json"), json_text(&other).unwrap()).unwrap();
        let error = Store::open(store.root(), &manifest(), "").unwrap_err();
        assert!(error.report().contains("format 2"), "{}", error.report());
    }

    #[cfg(unix)]
    #[test]
    fn results_can_be_read_by_whom_the_user_lets() {
        use std::os::unix::fs::PermissionsExt;
        let (here, store) = opened();
        let cell = cell(0);
        keep(&store, &cell);
        let plain = here.path().join("plain");
        fs::write(&plain, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.root().join("manifest.json")), mode(&plain));
        assert_eq!(mode(&store.folder(&cell)), mode(&store.cells()));
    }
}
