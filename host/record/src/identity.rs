//! What a result depends on, and the identity that follows from it.
//!
//! A *training* depends on its spec (data, initial weights, geometry,
//! constraints, task, model, training settings and seeds), on the plugin files
//! of its components, and on the contents of the data that they read. It does
//! not depend on names of variants and tasks (but on those of several tasks in one
//! network), descriptions, paths of data, or metrics. So a variant can be renamed and a metric added without training
//! again.
//!
//! A *measurement* depends on the metric, its parameters and its plugin file.
//! It is stored with its training.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pallium_core::{Error, Result};
use pallium_files::hash::{self, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::linked;
use crate::spec::{CellSpec, DataSeed, Geometry, Members, PATH, Stage, Training, Use};
use crate::{FORMAT, VERSION};

/// A cell of an experiment (variant × task × run) and the training that it
/// needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The specification of the cell.
    pub spec: CellSpec,
    /// What the training depends on besides the spec, sorted by name: SHA-256
    /// of the plugin file of each component (`component ID`) and of the data
    /// that it reads (`data ID`), the version of Pallium (`pallium`) and of the
    /// format (`format`).
    pub inputs: Vec<(String, String)>,
    /// Identity of the training: a hash of spec and inputs, in hexadecimal.
    pub identity: String,
    /// Name of the training's folder.
    pub folder: String,
    /// Name of the file with each metric's measures, in the order of the spec.
    pub measures: Vec<String>,
}

/// Returns the SHA-256 of the plugin file of a component by its id; `None` for
/// a component of the executable itself.
pub type Files<'a> = dyn Fn(&str) -> Result<Option<String>> + 'a;

/// The part of a spec that a training depends on.
#[derive(Serialize)]
struct Essence<'a> {
    run: u32,
    seed: u64,
    data_seed: DataSeed,
    substrate: Use,
    weights: Use,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Use>,
    #[serde(skip_serializing_if = "Option::is_none")]
    null: Option<Use>,
    geometry: &'a Geometry,
    constraints: Vec<Use>,
    task: Use,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    curriculum: Vec<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Members>,
    model: Use,
    optimizer: Use,
    training: Training,
    inputs: &'a [(String, String)],
}

/// Identifies a cell's training and its measurements.
///
/// # Errors
/// If a component does not exist, or data cannot be read.
pub fn identify(spec: CellSpec, files: &Files<'_>) -> Result<Cell> {
    let mut inputs = BTreeMap::from([
        ("format".to_owned(), FORMAT.to_string()),
        ("pallium".to_owned(), VERSION.to_owned()),
    ]);
    for component in spec.trained_components() {
        add_inputs(&mut inputs, component, files)?;
    }
    if let Some(origin) = &spec.training.from {
        let sum = data_once(Path::new(&origin.path)).map_err(|e| e.context("training.from"))?;
        inputs.insert("data training.from".into(), sum);
    }
    let inputs: Vec<_> = inputs.into_iter().collect();
    let identity = essence(&spec, &inputs)?;
    let folder = spec.folder_name(&identity);
    let measures = spec.metrics.iter().map(|metric| measurement(metric, files)).collect::<Result<_>>()?;
    Ok(Cell { spec, inputs, identity, folder, measures })
}

/// Hash of what a training of `spec` depends on, given its inputs.
///
/// # Errors
/// None in practice; a spec always serialises.
pub(crate) fn essence(spec: &CellSpec, inputs: &[(String, String)]) -> Result<String> {
    hash_of(&essence_of(spec, inputs))
}

fn essence_of<'a>(spec: &'a CellSpec, inputs: &'a [(String, String)]) -> Essence<'a> {
    Essence {
        run: spec.run,
        seed: spec.seed,
        data_seed: spec.data_seed,
        substrate: without_path(&spec.substrate),
        weights: without_path(&spec.weights),
        connections: spec.connections.as_ref().map(without_path),
        null: spec.null.as_ref().map(without_path),
        geometry: &spec.geometry,
        constraints: spec.constraints.iter().map(without_path).collect(),
        task: without_path(&spec.task_component),
        curriculum: stages_without_path(&spec.curriculum),
        members: spec.members.as_ref().map(members_without_path),
        model: without_path(&spec.model),
        optimizer: without_path(&spec.optimizer),
        training: without_origin(&spec.training),
        inputs,
    }
}

/// Hash of the spec and the data of a training: what it depends on besides the build of
/// Pallium and of the plugins.
///
/// # Errors
/// None in practice; a spec always serialises.
pub(crate) fn content_of(spec: &CellSpec, inputs: &BTreeMap<String, String>) -> Result<String> {
    essence(spec, &data_of(spec, inputs))
}

/// The spec of a training as [`content_of`] hashes it, a JSON object.
pub(crate) fn content_as_json(spec: &CellSpec) -> serde_json::Value {
    serde_json::to_value(essence_of(spec, &[])).unwrap_or_default()
}

/// The data of a training, of all its inputs. Data of metrics do not affect it.
pub(crate) fn data_of(spec: &CellSpec, inputs: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let metrics: Vec<String> = spec.metrics.iter().map(|metric| format!("data {}", metric.id)).collect();
    let data = inputs.iter().filter(|(name, _)| name.starts_with("data ") && !metrics.contains(name));
    data.map(|(name, sum)| (name.clone(), sum.clone())).collect()
}

/// Name of the file with a metric's measures: its id, and the beginning of a
/// hash of what they depend on.
fn measurement(metric: &Use, files: &Files<'_>) -> Result<String> {
    let mut inputs = BTreeMap::new();
    add_inputs(&mut inputs, metric, files)?;
    let identity = hash_of(&(without_path(metric), inputs))?;
    let head: String = identity.chars().take(12).collect();
    Ok(format!("{}.{head}.csv", crate::spec::file_name(&metric.id)))
}

fn hash_of(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::bug(format!("an identity cannot be serialised: {e}")))?;
    Ok(hex(&Sha256::digest(text.as_bytes())))
}

/// A component without the path of its data, which are identified by their
/// contents.
pub fn without_path(component: &Use) -> Use {
    let mut component = component.clone();
    component.change_paths(|_| "given by content".into());
    component
}

/// A training without the path of the one that it begins with, which is identified
/// by its weights.
fn without_origin(training: &Training) -> Training {
    let mut training = training.clone();
    if let Some(origin) = &mut training.from {
        origin.path = "given by content".into();
    }
    training
}

fn stages_without_path(stages: &[Stage]) -> Vec<Stage> {
    let without = |stage: &Stage| Stage { component: without_path(&stage.component), ..stage.clone() };
    stages.iter().map(without).collect()
}

/// The names of several tasks stay: results are kept by these names.
fn members_without_path(members: &Members) -> Members {
    let mut members = members.clone();
    for task in &mut members.tasks {
        task.component = without_path(&task.component);
        task.curriculum = stages_without_path(&task.curriculum);
    }
    members
}

/// Adds the plugin file and the data of a component. Each path is read once per
/// process.
fn add_inputs(inputs: &mut BTreeMap<String, String>, component: &Use, files: &Files<'_>) -> Result<()> {
    if let Some(sha256) = files(&component.id)? {
        inputs.insert(format!("component {}", component.id), sha256);
    }
    for (parameter, path) in component.paths() {
        let of = match parameter {
            PATH => format!("data {}", component.id),
            _ => format!("data {} {parameter}", component.id),
        };
        let sum = data_once(Path::new(path))
            .map_err(|e| e.context(format!("`{parameter}` of `{}`", component.id)))?;
        // The same component with different data needs another name.
        let mut name = of;
        while inputs.get(&name).is_some_and(|known| *known != sum) {
            name.push('+');
        }
        inputs.insert(name, sum);
    }
    Ok(())
}

fn data_once(path: &Path) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sum) = known.get(path) {
        return Ok(sum.clone());
    }
    let sum = data(path)?;
    known.insert(path.to_owned(), sum.clone());
    Ok(sum)
}

/// SHA-256 of a file, with those that an HDF5 file links to, or of a folder: of the names and hashes of its files in
/// the order of their names, including subfolders. Hidden files do not count. Of
/// the folder of a finished training only the weights count: measures are added
/// to it later.
///
/// # Errors
/// If the path does not exist or cannot be read.
pub fn data(path: &Path) -> Result<String> {
    Ok(data_files(path)?.0)
}

/// A file of data.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its path within the data, or its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its contents.
    pub sha256: String,
}

/// SHA-256 of data, as [`data`], and of each of their files.
///
/// # Errors
/// If the path does not exist or cannot be read.
pub fn data_files(path: &Path) -> Result<(String, Vec<DataFile>)> {
    if !path.exists() {
        return Err(Error::input(format!("{} does not exist", path.display()))
            .help(
            "correct the path: it is relative to the file that it is written in, and in --set to the current folder, as in \
             --set substrate.path=DIR",
        ));
    }
    let hashed = |name: String, path: PathBuf| {
        let sha256 = hash::file(&path)?;
        Ok(DataFile { name, path, sha256 })
    };
    let name_of = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let line = |file: &DataFile| format!("{} {}\n", file.sha256, file.name);
    if path.is_file() {
        let own = hashed(name_of(path), path.to_owned())?;
        let linked = linked::files(path)?.into_iter().map(|file| {
            let name = path.parent().and_then(|folder| file.strip_prefix(folder).ok()).unwrap_or(&file);
            hashed(name.display().to_string(), file.clone())
        });
        let linked = linked.collect::<Result<Vec<_>>>()?;
        if linked.is_empty() {
            return Ok((own.sha256.clone(), vec![own]));
        }
        let mut sum = Sha256::new_with_prefix(own.sha256.as_bytes());
        linked.iter().for_each(|file| sum.update(line(file).as_bytes()));
        return Ok((hash::hex(&sum.finalize()), std::iter::once(own).chain(linked).collect()));
    }
    let weights = path.join(crate::weights::FILE);
    if weights.is_file() && path.join(crate::training::FILE).is_file() {
        let weights = hashed(name_of(&weights), weights)?;
        return Ok((weights.sha256.clone(), vec![weights]));
    }
    let files = listed(path, "", 0)?.into_iter().map(|(name, file)| hashed(name, file));
    let files = files.collect::<Result<Vec<_>>>()?;
    let mut sum = Sha256::new();
    files.iter().for_each(|file| sum.update(line(file).as_bytes()));
    Ok((hash::hex(&sum.finalize()), files))
}

/// Maximum depth of subfolders, which also ends a cycle of links.
const DEPTH: usize = 16;

fn listed(folder: &Path, prefix: &str, depth: usize) -> Result<BTreeMap<String, PathBuf>> {
    if depth > DEPTH {
        return Err(Error::input(format!(
            "{} has subfolders more than {DEPTH} levels deep",
            folder.display()
        ))
        .help("set `path` to the folder that contains only the data"));
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, &e))? {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(Error::input(format!("the name of {} is not valid Unicode", path.display()))
                .help("rename it"));
        };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            found.append(&mut listed(&path, &format!("{name}/"), depth + 1)?);
        } else {
            found.insert(name, path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn identify(spec: CellSpec) -> Cell {
        super::identify(spec, &|id| Ok(Some(format!("file of {id}")))).unwrap()
    }

    #[test]
    fn the_identity_depends_on_the_data_and_not_on_their_path() {
        let here = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| {
            let folder = here.path().join(name);
            fs::create_dir_all(folder.join("part")).unwrap();
            fs::write(folder.join("a.csv"), "1,2").unwrap();
            fs::write(folder.join("part/b.csv"), text).unwrap();
            fs::write(folder.join(".hidden"), name).unwrap();
            let mut spec = testing::spec();
            spec.substrate
                .params
                .insert("path".into(), serde_json::Value::String(folder.to_str().unwrap().into()));
            identify(spec)
        };
        let one = make("one", "3");
        assert_eq!(one.identity, make("two", "3").identity);
        assert_ne!(one.identity, make("three", "4").identity);
        assert!(one.inputs.iter().any(|(name, _)| name == "data mock.substrate"), "{:?}", one.inputs);
        assert_eq!(one.identity.len(), 64);
        assert!(one.folder.ends_with(&one.identity[..12]));
    }

    #[test]
    fn files_that_parameters_name_count_by_their_contents() {
        let here = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| {
            let file = here.path().join(name);
            fs::write(&file, text).unwrap();
            let mut spec = testing::spec();
            spec.substrate
                .params
                .insert("table".into(), serde_json::Value::String(file.to_str().unwrap().into()));
            spec.substrate.files = vec!["table".into()];
            identify(spec)
        };
        let one = make("one.csv", "3");
        assert_eq!(one.identity, make("two.csv", "3").identity);
        assert_ne!(one.identity, make("three.csv", "4").identity);
        assert!(one.inputs.iter().any(|(name, _)| name == "data mock.substrate table"), "{:?}", one.inputs);
    }

    #[test]
    fn the_identity_depends_on_spec_and_inputs() {
        let identity = |change: &dyn Fn(&mut CellSpec)| {
            let mut spec = testing::spec();
            change(&mut spec);
            identify(spec).identity
        };
        let base = identity(&|_| ());
        assert_eq!(base, identity(&|_| ()));
        assert_ne!(base, identity(&|s| s.run = 1));
        assert_ne!(base, identity(&|s| s.seed += 1));
        assert_ne!(base, identity(&|s| s.training.epochs += 1));
        assert_ne!(base, identity(&|s| s.training.threads = 2));
        assert_ne!(base, identity(&|s| s.training.frozen = vec!["input".into()]));
        assert_ne!(base, identity(&|s| s.geometry.shuffled = true));
        assert_ne!(base, identity(&|s| s.constraints.clear()));
        assert_ne!(base, identity(&|s| drop(s.weights.params.insert("scale".into(), 0.3.into()))));
    }

    #[test]
    fn the_identity_does_not_depend_on_names_and_metrics() {
        let base = identify(testing::spec());
        let mut renamed = testing::spec();
        renamed.variant = "another name".into();
        renamed.task = "another label".into();
        renamed.metrics.push(Use::new("mock.other"));
        let renamed = identify(renamed);
        assert_eq!(base.identity, renamed.identity);
        assert_ne!(base.folder, renamed.folder);
        assert_eq!(base.measures[0], renamed.measures[0]);
        assert_eq!(renamed.measures.len(), base.measures.len() + 1);
    }

    #[test]
    fn a_rebuilt_plugin_affects_its_own_components_alone() {
        let with = |changed: &'static str| {
            let file = move |id: &str| Ok(Some(if id == changed { "new" } else { "old" }.to_owned()));
            super::identify(testing::spec(), &file).unwrap()
        };
        let base = with("none");
        assert_ne!(base.identity, with("mock.ridge").identity);
        let metric = with("mock.metric");
        assert_eq!(base.identity, metric.identity);
        assert_ne!(base.measures, metric.measures);
    }

    #[test]
    fn the_hash_of_a_file_is_its_sha256() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("abc");
        fs::write(&file, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(data(&file).unwrap(), known);
    }

    #[test]
    fn a_finished_training_is_identified_by_its_weights() {
        let here = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(here.path().join(name), text).unwrap();
        write("weights.safetensors", "w");
        let folder = data(here.path()).unwrap();
        write(crate::training::FILE, "{}");
        let training = data(here.path()).unwrap();
        assert_ne!(training, folder);
        write("a measure.csv", "1");
        assert_eq!(data(here.path()).unwrap(), training);
        assert_eq!(data(&here.path().join("weights.safetensors")).unwrap(), training);
        write("weights.safetensors", "v");
        assert_ne!(data(here.path()).unwrap(), training);
    }

    #[test]
    fn missing_data_are_reported_with_path_and_component() {
        let mut spec = testing::spec();
        spec.substrate.params.insert("path".into(), serde_json::Value::String("/no/such/field".into()));
        let error = super::identify(spec, &|_| Ok(None)).unwrap_err();
        assert_eq!(error.kind, pallium_core::Kind::Input);
        assert!(error.report().contains("/no/such/field"));
    }
}
