//! Where each file of a run folder is, and how it gets there.
//!
//! Hidden folders of `cells/` hold work in progress. They are removed when
//! there is none:
//!
//! ```text
//! cells/.unfinished/  folders that are being written, marked with their writer
//! cells/.checkpoints/ states of trainings after an epoch, see `checkpoint`
//! cells/.claims/      which process works on which training, see `claim`
//! ```
//!
//! A training's folder is written in `.unfinished/`, forced to disk and
//! renamed, so it appears completely or not at all. A run folder can therefore
//! be shared by many processes and machines without locks, killed at any
//! moment, and continued.
//!
//! A folder's name ends in the beginning of the training's identity, by which
//! it is found even if its variant was renamed. Trainings that the current
//! experiment does not contain (because the experiment, a plugin or the data
//! have changed) are neither changed nor counted. `results.csv` holds exactly
//! the trainings of the last experiment, even if that run was limited to some
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pallium_core::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, CheckpointFile};
use crate::claim::{Claim, ClaimSnapshot};
use crate::compact::{CompactTraining, Restored};
use crate::curves;
use crate::durable::{UNFINISHED, replace, sync, sync_all, temporary, unwritten, write};
use crate::earlier;
use crate::identity::Cell;
use crate::manifest::Manifest;
use crate::outcome::{Epoch, Status, Value};
use crate::owner::Owner;
use crate::results::{self, Row};
use crate::safetensors_file::of_tensors;
use crate::snapshots;
use crate::table::{damaged, unwritable};
use crate::training::{FILE, Failure, FailureFile, Snapshot, Trained, TrainingFile};
use crate::weights::{self, Weights};
use crate::{FORMAT, OLDEST_FORMAT};

/// The folder with a training's measures.
pub(crate) const MEASURES: &str = "measures";
/// The state of a finished training, to continue from.
pub(crate) const STATE: &str = "state.safetensors";
/// Age at which an unfinished file of another machine is abandoned; writing
/// takes seconds.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The part of `manifest.json` that all its versions share.
#[derive(Deserialize)]
struct ManifestHead {
    format: u32,
}

/// A run folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Name of the file with a metric's arrays, beside the table with its measures.
fn arrays_file(measures: &str) -> String {
    format!("{}.safetensors", measures.strip_suffix(".csv").unwrap_or(measures))
}

impl Store {
    /// The run folder at `root`, without reading it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // Absolute, so that paths reported by workers can be compared with it.
        Store { root: std::path::absolute(&root).unwrap_or(root) }
    }

    /// The run folder at `root`, if it exists.
    ///
    /// # Errors
    /// If another version of Pallium or another program wrote it.
    pub fn existing(root: &Path) -> Result<Option<Self>> {
        let store = Store::new(root);
        // Checked before the manifest is read: another process that creates a run
        // here writes the manifest first.
        let occupied = ["cells", "results.csv", "experiment.toml"].iter().any(|n| root.join(n).exists());
        if root.exists() && !root.is_dir() {
            return Err(Error::input(format!("{} is not a folder", root.display()))
                .help("name a run folder; `pallium run` creates the one that --out names"));
        }
        let path = root.join("manifest.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && occupied => {
                return Err(Error::input(format!(
                    "{} is not empty and not a run folder of Pallium",
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
                "{} has format {}, but this version reads formats {OLDEST_FORMAT} to {FORMAT}",
                root.display(),
                head.format
            ))
            .help("choose another folder with --out, or use the version of Pallium that wrote it"));
        }
        Ok(Some(store))
    }

    /// Creates or continues the run folder at `root` and writes its manifest.
    /// `experiment` becomes `experiment.toml`.
    ///
    /// # Errors
    /// As [`Store::existing`], or if the folder cannot be written.
    pub fn open(root: &Path, manifest: &Manifest, experiment: &str) -> Result<Self> {
        let store = match Self::existing(root)? {
            Some(store) => store,
            None => Store::new(root),
        };
        fs::create_dir_all(root).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Error::io(root, &e).help("the folder cannot be created there; choose another with --out")
            }
            _ => unwritten(root, &e),
        })?;
        // The manifest first: it marks the folder as a run even if this process is
        // killed at the next line.
        replace(&root.join("manifest.json"), &json_text(manifest)?)?;
        replace(&root.join("experiment.toml"), experiment.as_bytes())?;
        for folder in [store.cells(), store.failures()] {
            fs::create_dir_all(&folder).map_err(|e| unwritten(&folder, &e))?;
        }
        store.clear();
        Ok(store)
    }

    /// The path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// If it is missing or cannot be parsed.
    pub fn manifest(&self) -> Result<Manifest> {
        let path = self.root.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        serde_json::from_str(&text).map_err(|e| damaged(&path, &e))
    }

    /// The folder with a folder for each finished training.
    pub fn cells(&self) -> PathBuf {
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

    /// The checkpoint file of a training.
    pub fn checkpoint(&self, cell: &Cell, every: u32) -> CheckpointFile {
        CheckpointFile { path: self.checkpoints().join(&cell.folder), identity: cell.identity.clone(), every }
    }

    /// The claim file of a training.
    pub fn claim_file(&self, cell: &Cell) -> PathBuf {
        self.claims().join(&cell.folder)
    }

    /// Claims a training for this process, or returns the claim of another.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn claim(&self, cell: &Cell, owner: &Owner) -> Result<Result<Claim, ClaimSnapshot>> {
        let path = self.claim_file(cell);
        Claim::take(&path, owner).map_err(|e| unwritten(&path, &e))
    }

    pub(crate) fn folder(&self, cell: &Cell) -> PathBuf {
        self.cells().join(&cell.folder)
    }

    /// The file that records the failure of a training.
    pub fn failure_file(&self, cell: &Cell) -> PathBuf {
        self.failures().join(format!("{}.json", cell.folder))
    }

    /// Sets the folder of each cell of `plan` to the one that holds its
    /// training, even if it was trained under another name. Cells with the same
    /// training share a folder.
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
        let earlier = earlier::Index::new(
            others.into_iter().filter_map(|name| TrainingFile::read(&self.cells().join(name)).ok()),
        )?;
        for cell in plan {
            let head = cell.identity.get(..12).unwrap_or_default();
            if let Some(name) = folders.get(head) {
                cell.folder.clone_from(name);
            } else if let Some(name) = earlier.find(cell)?.and_then(|file| file.folder.file_name()) {
                cell.folder = name.to_string_lossy().into_owned();
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

    /// Names of the folders of finished trainings that are not in `plan`,
    /// sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn stale(&self, plan: &[Cell]) -> Result<Vec<String>> {
        let known: BTreeSet<&str> = plan.iter().map(|cell| cell.folder.as_str()).collect();
        let mut names = self.trainings()?;
        names.retain(|name| !known.contains(name.as_str()));
        Ok(names)
    }

    /// Writes a training to a new unfinished folder; see [`Store::commit`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, cell: &Cell, trained: &Trained, profile: &str) -> Result<PathBuf> {
        let folder = self.unfinished_folder()?;
        let place = folder.path();
        let measures = cell.measures.iter().zip(trained.measures.iter().map(Vec::as_slice));
        write_tables(
            place,
            cell,
            &TrainingFile::new(cell, trained, profile),
            [&trained.values, &trained.times],
            &trained.curves,
            measures,
        )?;
        write(&place.join(weights::FILE), &weights::write(cell, trained, profile)?)?;
        let measures = place.join(MEASURES);
        for (name, arrays) in cell.measures.iter().zip(&trained.arrays).filter(|(_, a)| !a.is_empty()) {
            write(&measures.join(arrays_file(name)), &of_tensors(name, arrays)?)?;
        }
        if !trained.snapshots.is_empty() {
            write(&place.join(snapshots::FILE), &snapshots::write(&trained.snapshots)?)?;
        }
        if let Some(state) = &trained.state {
            write(&place.join(STATE), &checkpoint::encode(state, &cell.identity)?)?;
        }
        Ok(folder.keep())
    }

    /// Adds a training from a compact file as that of `cell`, without weights.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn restore(&self, cell: &Cell, compact: &CompactTraining) -> Result<()> {
        let folder = self.unfinished_folder()?;
        let mut file = compact.training.clone();
        // The same apart from paths, names and metrics.
        file.spec = cell.spec.clone();
        let first = file.restored.take().map_or(file.identity, |restored| restored.identity);
        // One warning for a whole run: which components differ depends on the training.
        let warning = "restored from a training with other builds of";
        file.warnings.retain(|known| !known.starts_with(warning));
        let other_builds = compact.other_builds(cell);
        if !other_builds.is_empty() {
            file.warnings
                .push(format!("{warning} its plugins (`restored` in `cell.json` lists the components)"));
        }
        let weights_sha256 = compact.weights_sha256.clone();
        file.restored = Some(Restored { identity: first, weights_sha256, other_builds });
        file.identity = cell.identity.clone();
        let known = cell.spec.metrics.iter().zip(&cell.measures);
        let measures = known.filter_map(|(metric, name)| Some((name, compact.measures_of(metric)?)));
        let values = [&compact.values, &compact.times];
        write_tables(folder.path(), cell, &file, values, &compact.curve, measures)?;
        self.commit(cell, &folder.keep(), "restored from a compact file\n")
    }

    /// A new folder for a training. It removes itself unless it is kept.
    fn unfinished_folder(&self) -> Result<tempfile::TempDir> {
        let place = self.unfinished();
        let make = || {
            fs::create_dir_all(&place)?;
            temporary(0o777).tempdir_in(&place)
        };
        // A process that finishes a run at the same time removes empty folders.
        make().or_else(|_| make()).map_err(|e| unwritten(&place, &e))
    }

    /// The weights of a finished training.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn weights(&self, cell: &Cell) -> Result<Weights> {
        weights::read(&self.folder(cell).join(weights::FILE))
    }

    /// The snapshots of a finished training; none if it kept none.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn snapshots(&self, cell: &Cell) -> Result<Vec<Snapshot>> {
        snapshots::read(&self.folder(cell).join(snapshots::FILE))
    }

    /// Adds the measures of one metric, given by its position in the spec, to a
    /// finished training.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn add_measures(
        &self,
        cell: &Cell,
        metric: usize,
        values: &[Value],
        arrays: &[Tensor],
    ) -> Result<()> {
        let Some(name) = cell.measures.get(metric) else {
            return Err(Error::bug(format!("a training has no metric {metric}")));
        };
        let folder = self.folder(cell).join(MEASURES);
        fs::create_dir_all(&folder).map_err(|e| unwritten(&folder, &e))?;
        if !arrays.is_empty() {
            replace(&folder.join(arrays_file(name)), &of_tensors(name, arrays)?)?;
        }
        // The table last: it says that the metric is done.
        let rows: Vec<Row> = results::rows(&cell.spec, values, &Status::Ok, Some(&cell.folder)).collect();
        replace(&folder.join(name), &results::write(&rows)?)
    }

    /// Moves a folder from [`Store::write`] into place, with `log`, after all
    /// of it is on disk.
    ///
    /// If another process has finished the same training meanwhile, that result
    /// stays.
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
        for past in [self.failure_file(cell), self.checkpoints().join(&cell.folder)] {
            match fs::remove_file(&past) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unwritten(&past, &e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes an unfinished file or folder.
    pub fn discard(&self, unfinished: &Path) {
        let removed =
            if unfinished.is_dir() { fs::remove_dir_all(unfinished) } else { fs::remove_file(unfinished) };
        // Another process may have removed it.
        if let Err(e) = removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        {
            tracing::warn!("{}: cannot remove it: {e}", unfinished.display());
        }
    }

    /// Whether [`Store::write`] may have created `folder`.
    pub fn is_unfinished(&self, folder: &Path) -> bool {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        folder.parent() == Some(&self.unfinished()) && name.starts_with(UNFINISHED)
    }

    /// Records the failure of a training, unless another process has finished
    /// it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn fail(&self, cell: &Cell, failure: &Failure) -> Result<()> {
        if self.holds(cell)? {
            return Ok(());
        }
        replace(&self.failure_file(cell), &json_text(&FailureFile::new(cell, failure))?)
    }

    /// When a training last failed, if it did.
    pub fn failed_at(&self, cell: &Cell) -> Option<SystemTime> {
        fs::metadata(self.failure_file(cell)).and_then(|about| about.modified()).ok()
    }

    /// Removes what ended processes have left: unfinished files, and
    /// checkpoints and claims of finished trainings. Whether processes of other
    /// machines have ended is unknown, so their files are removed after an
    /// hour.
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

    /// As [`Store::clear`]; also removes the folders of work in progress if
    /// they are empty.
    pub fn tidy(&self) {
        self.clear();
        for place in [self.unfinished(), self.checkpoints(), self.claims()] {
            // This fails if the folder is not empty, as intended.
            let _ = fs::remove_dir(place);
        }
    }
}

/// Writes `cell.json` and the tables of a training of `cell`.
fn write_tables<'a>(
    place: &Path,
    cell: &Cell,
    about: &TrainingFile,
    [values, times]: [&Vec<Value>; 2],
    curve: &[Epoch],
    measures: impl Iterator<Item = (&'a String, &'a [Value])>,
) -> Result<()> {
    write(&place.join(FILE), &json_text(about)?)?;
    let table = |values: &[Value]| {
        let rows: Vec<Row> = results::rows(&cell.spec, values, &about.status, Some(&cell.folder)).collect();
        results::write(&rows)
    };
    write(&place.join("results.csv"), &table(values)?)?;
    write(&place.join("times.csv"), &table(times)?)?;
    write(&place.join("curves.csv"), &curves::write(curve)?)?;
    let folder = place.join(MEASURES);
    fs::create_dir(&folder).map_err(|e| unwritten(&folder, &e))?;
    for (name, values) in measures {
        write(&folder.join(name), &table(values)?)?;
    }
    Ok(())
}

/// Indented JSON, for people.
fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| unwritable(&e))?;
    text.push(b'\n');
    Ok(text)
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|about| about.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED))
}

#[cfg(test)]
mod tests;
