//! Compact files: finished trainings without weights, states and logs, to keep beside an
//! experiment file. A later run restores them instead of training again.
//!
//! A compact file is JSON lines, compressed with gzip: one [`CompactTraining`] a line. A
//! training that is restored from it has everything in its folder but weights, state,
//! arrays of metrics and log. It is restored if the spec, the data and the version of
//! Pallium are those of the experiment. The files of its plugins may be another build;
//! then the training has a warning that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use pallium_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::curves;
use crate::finished::values_in;
use crate::identity::{Cell, content_as_json, content_of, data_of, without_path};
use crate::outcome::{Epoch, Status, Value};
use crate::spec::Use;
use crate::store::{MEASURES, Store};
use crate::table::unwritable;
use crate::training::TrainingFile;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A finished training without its weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompactTraining {
    /// Its `cell.json`.
    pub training: TrainingFile,
    /// SHA-256 of its `weights.safetensors`.
    pub weights_sha256: String,
    /// Its values after training, without measures.
    pub values: Vec<Value>,
    /// Its durations.
    pub times: Vec<Value>,
    /// Its learning curve.
    pub curve: Vec<Epoch>,
    /// Its metrics and their measures.
    pub measures: Vec<(Use, Vec<Value>)>,
}

/// What a training was restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The identity that it was trained under.
    pub identity: String,
    /// SHA-256 of the weights that it ended with.
    pub weights_sha256: String,
    /// Components whose plugin files were others then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_builds: Vec<String>,
}

/// Names of the keys in which two JSON objects differ: those of `training` as `training.epochs`.
fn differing(one: &serde_json::Value, other: &serde_json::Value, within: &str, names: &mut Vec<String>) {
    let empty = serde_json::Map::new();
    let [one, other] = [one, other].map(|value| value.as_object().unwrap_or(&empty));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for key in keys.into_iter().filter(|key| one.get(*key) != other.get(*key)) {
        match (one.get(key), other.get(key)) {
            (Some(one), Some(other)) if key == "training" => differing(one, other, "training.", names),
            _ => names.push(format!("{within}{key}")),
        }
    }
}

/// The contents of a compact file.
///
/// # Errors
/// None in practice; writing into memory does not fail.
pub fn write<'a>(trainings: impl IntoIterator<Item = &'a CompactTraining>) -> Result<Vec<u8>> {
    let mut file = GzEncoder::new(Vec::new(), Compression::best());
    for training in trainings {
        serde_json::to_writer(&mut file, training).map_err(|e| unwritable(&e))?;
        file.write_all(b"\n").map_err(|e| unwritable(&e))?;
    }
    file.finish().map_err(|e| unwritable(&e))
}

/// The trainings of a compact file, by what they depend on.
pub struct CompactFile(BTreeMap<String, CompactTraining>);

impl CompactFile {
    /// Reads a compact file.
    ///
    /// # Errors
    /// If it cannot be read, or a line is not a training; the error names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let help = "name a file that `pallium export RUN --layout compact` wrote; if it is damaged, copy or export it \
                    again";
        let (file, _) = pallium_files::open(path).map_err(|e| e.context("--finished"))?;
        let mut file = BufReader::new(file);
        let head = file.fill_buf().map_err(|e| Error::io(path, &e))?;
        if !head.starts_with(&GZIP) {
            return Err(Error::input(format!("--finished: {} is not a gzip file", path.display())).help(help));
        }
        let mut known = BTreeMap::new();
        for (at, line) in BufReader::new(MultiGzDecoder::new(file)).lines().enumerate() {
            let wrong = |what: String| {
                Error::input(format!("--finished: {}, line {}: {what}", path.display(), at + 1)).help(help)
            };
            let line = line.map_err(|e| wrong(e.to_string()))?;
            let one: CompactTraining = serde_json::from_str(&line).map_err(|e| wrong(e.to_string()))?;
            known.insert(content_of(&one.training.spec, &one.training.inputs)?, one);
        }
        Ok(CompactFile(known))
    }

    /// Number of trainings.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The training of `cell`, if it is there: the same spec, data and version, and with
    /// all metrics of `cell`, which cannot be computed without weights.
    ///
    /// # Errors
    /// None in practice; a spec always serialises.
    pub fn find(&self, cell: &Cell) -> Result<Option<&CompactTraining>> {
        let inputs: BTreeMap<String, String> = cell.inputs.iter().cloned().collect();
        let found = self.0.get(&content_of(&cell.spec, &inputs)?);
        let present = |one: &&CompactTraining| {
            one.training.pallium == crate::VERSION && one.training.format == crate::FORMAT
        };
        let complete = |one: &&CompactTraining| {
            one.training.status == Status::Diverged
                || cell.spec.metrics.iter().all(|metric| {
                    one.measures_of(metric)
                        .is_some_and(|values| values.iter().all(|value| value.failed.is_none()))
                })
        };
        Ok(found.filter(present).filter(complete))
    }

    /// What keeps [`find`](Self::find) from taking a training of the same variant, task and
    /// run as `cell`, as a list; `None` without such a training.
    pub fn differences(&self, cell: &Cell) -> Option<String> {
        let spec = &cell.spec;
        let alike = |one: &&CompactTraining| {
            let other = &one.training.spec;
            (spec.run, &spec.task, &spec.variant) == (other.run, &other.task, &other.variant)
        };
        let all = self.0.values().filter(alike).map(|one| one.differences(cell));
        all.min_by_key(Vec::len).map(|names| names.join(", "))
    }
}

impl CompactTraining {
    /// In what it differs from `cell`: keys of the spec, data, version or metrics.
    fn differences(&self, cell: &Cell) -> Vec<String> {
        let mut names = Vec::new();
        let [known, wanted] = [&self.training.spec, &cell.spec].map(content_as_json);
        differing(&known, &wanted, "", &mut names);
        let data = data_of(&cell.spec, &cell.inputs.iter().cloned().collect());
        let data = data.iter().filter(|(name, sum)| self.training.inputs.get(name) != Some(sum));
        names.extend(data.map(|(name, _)| name.replacen("data ", "the data of ", 1)));
        if self.training.pallium != crate::VERSION || self.training.format != crate::FORMAT {
            names.push("the version of Pallium".into());
        }
        if names.is_empty() || cell.spec.metrics.iter().any(|metric| self.measures_of(metric).is_none()) {
            names.push("metrics".into());
        }
        names
    }

    /// The training of `cell` in `store`, which is finished there. Of paths of data it
    /// has the last part alone: data are identified by their contents.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub fn new(store: &Store, cell: &Cell) -> Result<Self> {
        let folder = store.folder(cell);
        let mut training = TrainingFile::read(&folder)?;
        training.spec.without_folders();
        let weights_sha256 = match &training.restored {
            Some(restored) => restored.weights_sha256.clone(),
            None => pallium_files::hash::file(&folder.join(crate::weights::FILE))?,
        };
        let mut measures = Vec::new();
        for (metric, name) in cell.spec.metrics.iter().zip(&cell.measures) {
            let path = folder.join(MEASURES).join(name);
            if path.exists() {
                measures.push((without_path(metric), values_in(&path)?));
            }
        }
        Ok(CompactTraining {
            training,
            weights_sha256,
            values: values_in(&folder.join("results.csv"))?,
            times: values_in(&folder.join("times.csv"))?,
            curve: curves::read(&folder.join("curves.csv"))?,
            measures,
        })
    }

    /// The measures of a metric with these parameters.
    pub(crate) fn measures_of(&self, metric: &Use) -> Option<&[Value]> {
        let metric = without_path(metric);
        self.measures.iter().find(|(known, _)| without_path(known) == metric).map(|(_, values)| &values[..])
    }

    /// The components of `cell` whose plugin files are not those of this training,
    /// sorted.
    pub fn other_builds(&self, cell: &Cell) -> Vec<String> {
        let changed = cell.inputs.iter().filter(|(name, sum)| self.training.inputs.get(name) != Some(sum));
        changed.filter_map(|(name, _)| name.strip_prefix("component ").map(str::to_owned)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finished::{Finished, Record};
    use crate::testing;

    fn finished(store: &Store, cell: &Cell) -> Finished {
        match store.record(cell).unwrap() {
            Some(Record::Finished(finished)) => finished,
            other => panic!("{other:?}"),
        }
    }

    fn store(folder: &Path) -> Store {
        Store::open(folder, &testing::manifest(), "").unwrap()
    }

    fn trained(folder: &Path, cell: &Cell) -> (Store, CompactTraining) {
        let store = store(folder);
        let place = store.write(cell, &testing::trained(), "corrected").unwrap();
        store.commit(cell, &place, "").unwrap();
        let compact = CompactTraining::new(&store, cell).unwrap();
        (store, compact)
    }

    #[test]
    fn a_restored_training_has_the_values_of_the_original_and_no_weights() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cell = testing::cell(0);
        let (original, compact) = trained(here.path(), &cell);
        let path = there.path().join("a.jsonl.gz");
        std::fs::write(&path, write([&compact]).unwrap()).unwrap();
        let file = CompactFile::read(&path).unwrap();
        assert_eq!(file.count(), 1);
        assert!(file.find(&testing::cell(1)).unwrap().is_none());

        let run = store(&there.path().join("run"));
        run.restore(&cell, file.find(&cell).unwrap().unwrap()).unwrap();
        assert!(run.is_complete(&cell).unwrap());
        assert_eq!(finished(&run, &cell), finished(&original, &cell));
        let error = run.weights(&cell).unwrap_err();
        assert!(error.message.contains("no weights") && error.help.unwrap().contains("--finished"));
        // Once more, from the restored folder.
        let again = CompactTraining::new(&run, &cell).unwrap();
        assert_eq!(again.weights_sha256, compact.weights_sha256);
    }

    #[test]
    fn a_training_of_other_plugin_files_is_restored_with_a_warning() {
        let here = tempfile::tempdir().unwrap();
        let of = |build: &str| {
            crate::identity::identify(testing::spec(), &|id| Ok(Some(format!("{build} {id}")))).unwrap()
        };
        let (old, new) = (of("old"), of("new"));
        let (_, compact) = trained(&here.path().join("old"), &old);
        let run = store(&here.path().join("new"));
        run.restore(&new, &compact).unwrap();
        assert!(run.is_complete(&new).unwrap());
        let warnings = finished(&run, &new).warnings;
        assert!(warnings.iter().any(|w| w.contains("other builds")), "{warnings:?}");
        let restored = TrainingFile::read(&run.folder(&new)).unwrap().restored.unwrap();
        assert!(restored.other_builds.iter().any(|id| id == "mock.ridge"), "{restored:?}");
        assert_eq!(compact.other_builds(&old), Vec::<String>::new());
    }

    #[test]
    fn a_file_in_another_format_is_refused_with_its_line() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a.gz");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            CompactFile::read(&path).err().unwrap()
        };
        assert!(refused(b"{}").message.contains("not a gzip file"));
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(b"{\"training\": 1}\n").unwrap();
        let bytes = file.finish().unwrap();
        assert!(refused(&bytes).message.contains("line 1"));
        let (_, compact) = trained(&here.path().join("run"), &testing::cell(0));
        let whole = write([&compact]).unwrap();
        assert!(refused(&whole[..whole.len() / 2]).message.contains("line 1"));
    }
}
