//! What a cell's result depends on, and the name that follows from it.
//!
//! A cell is named by its spec and by the hashes of what the spec points to:
//! the plugin files its components come from, and the data they read. The
//! place where data lie is no part of it, so that machines which keep them in
//! different folders agree on which cells are done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pallium_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::store::FORMAT;
use crate::cell::{CellSpec, Use};
use crate::hash;
use crate::plugins::Catalogue;

/// Version of the host, a part of every cell's identity.
pub const HOST: &str = env!("CARGO_PKG_VERSION");

/// The parameter of a component that names data to read.
const PATH: &str = "path";

/// A cell and its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The cell.
    pub spec: CellSpec,
    /// What its result depends on beside the spec, by name; see [`inputs`].
    pub inputs: Vec<(String, String)>,
    /// Hash of spec and inputs, in hexadecimal.
    pub identity: String,
    /// Name of its folder.
    pub folder: String,
}

/// Names a cell.
///
/// # Errors
/// As [`inputs`].
pub fn identify(spec: CellSpec, catalogue: &Catalogue) -> Result<Cell> {
    let inputs = inputs(&spec, catalogue)?;
    let mut placeless = spec.clone();
    for component in components_mut(&mut placeless) {
        if let Some(path) = component.params.get_mut(PATH)
            && path.is_string()
        {
            *path = Value::String("given by content".into());
        }
    }
    let identity = placeless.identity(&inputs)?;
    let folder = spec.folder_name(&identity);
    Ok(Cell { spec, inputs, identity, folder })
}

/// What a cell's result depends on beside its spec, sorted by name: the host's
/// version (`host`), the version of the stored format (`format`), SHA-256 of
/// each plugin file in use (`plugin NAME`), and of the data that a component's
/// parameter `path` names (`data ID`; see [`data`]). Each path is read once in
/// a process.
///
/// # Errors
/// If a component is not there, or data cannot be read.
pub fn inputs(spec: &CellSpec, catalogue: &Catalogue) -> Result<Vec<(String, String)>> {
    let mut inputs = BTreeMap::new();
    inputs.insert("format".to_owned(), FORMAT.to_string());
    inputs.insert("host".to_owned(), HOST.to_owned());
    for component in spec.components() {
        if let Some(plugin) = &catalogue.get(&component.id)?.plugin {
            inputs.insert(format!("plugin {}", plugin.name), plugin.sha256.clone());
        }
        if let Some(path) = component.params.get(PATH).and_then(Value::as_str) {
            let sum =
                once(Path::new(path)).map_err(|e| e.context(format!("the data of `{}`", component.id)))?;
            // One component twice with different data is still told apart.
            let mut name = format!("data {}", component.id);
            while inputs.get(&name).is_some_and(|known| *known != sum) {
                name.push('+');
            }
            inputs.insert(name, sum);
        }
    }
    Ok(inputs.into_iter().collect())
}

fn components_mut(spec: &mut CellSpec) -> impl Iterator<Item = &mut Use> {
    [&mut spec.substrate, &mut spec.weights, &mut spec.task_component, &mut spec.model]
        .into_iter()
        .chain(&mut spec.constraints)
        .chain(&mut spec.metrics)
}

fn once(path: &Path) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sum) = known.get(path) {
        return Ok(sum.clone());
    }
    let sum = data(path)?;
    known.insert(path.to_owned(), sum.clone());
    Ok(sum)
}

/// SHA-256 of a file, or of a folder: of its files' names and sums in the
/// order of the names, subfolders included. Names that begin with a dot do not
/// count.
///
/// # Errors
/// If there is nothing, or something cannot be read.
pub fn data(path: &Path) -> Result<String> {
    if !path.exists() {
        return Err(Error::input(format!("{}: there is no such file or folder", path.display()))
            .help("correct `path`; that of a field for one run with --set substrate.path=DIR"));
    }
    if path.is_file() {
        return hash::file(path);
    }
    let mut sum = Sha256::new();
    for (name, file) in files(path, "", 0)? {
        sum.update(format!("{} {name}\n", hash::file(&file)?).as_bytes());
    }
    Ok(hash::hex(&sum.finalize()))
}

/// Deepest level of subfolders; deeper than any data set, and the end of a
/// chain of links that leads in a circle.
const DEPTH: usize = 16;

fn files(folder: &Path, prefix: &str, depth: usize) -> Result<BTreeMap<String, PathBuf>> {
    if depth > DEPTH {
        return Err(Error::input(format!("{}: folders within folders, {DEPTH} deep", folder.display()))
            .help("`path` must name the folder of the data alone"));
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, &e))? {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(
                Error::input(format!("{}: the name is not Unicode", path.display())).help("rename it")
            );
        };
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            found.append(&mut files(&path, &format!("{name}/"), depth + 1)?);
        } else {
            found.insert(name, path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::mock;
    use super::*;

    #[test]
    fn the_identity_follows_the_data_and_not_their_place() {
        let here = tempfile::tempdir().unwrap();
        let catalogue = mock::catalogue();
        let make = |name: &str, text: &str| {
            let folder = here.path().join(name);
            fs::create_dir_all(folder.join("part")).unwrap();
            fs::write(folder.join("a.csv"), "1,2").unwrap();
            fs::write(folder.join("part/b.csv"), text).unwrap();
            fs::write(folder.join(".hidden"), name).unwrap();
            let mut spec = mock::spec();
            spec.substrate.params.insert("path".into(), Value::String(folder.to_str().unwrap().into()));
            identify(spec, &catalogue).unwrap()
        };
        let one = make("one", "3");
        assert_eq!(one.identity, make("two", "3").identity);
        assert_ne!(one.identity, make("three", "4").identity);
        let names: Vec<_> = one.inputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["data mock.substrate", "format", "host"]);
        assert_eq!(one.identity.len(), 64);
        assert!(one.folder.ends_with(&one.identity[..12]));
    }

    #[test]
    fn every_part_of_the_spec_counts() {
        let catalogue = mock::catalogue();
        let identity = |change: &dyn Fn(&mut CellSpec)| {
            let mut spec = mock::spec();
            change(&mut spec);
            identify(spec, &catalogue).unwrap().identity
        };
        let base = identity(&|_| ());
        assert_eq!(base, identity(&|_| ()));
        assert_ne!(base, identity(&|s| s.run = 1));
        assert_ne!(base, identity(&|s| s.training.epochs += 1));
        assert_ne!(base, identity(&|s| s.training.threads = 2));
        assert_ne!(base, identity(&|s| s.geometry.shuffled = true));
        assert_ne!(base, identity(&|s| drop(s.weights.params.insert("scale".into(), 0.3.into()))));
    }

    #[test]
    fn missing_data_and_components_are_the_users_to_mend() {
        let catalogue = mock::catalogue();
        let mut spec = mock::spec();
        spec.substrate.params.insert("path".into(), Value::String("/no/such/field".into()));
        let error = identify(spec, &catalogue).unwrap_err();
        assert_eq!(error.kind, pallium_core::Kind::Input);
        assert!(error.report().contains("/no/such/field"));
        let mut spec = mock::spec();
        spec.model.id = "mock.modle".into();
        assert!(identify(spec, &catalogue).unwrap_err().report().contains("mock.model"));
    }

    #[test]
    fn a_sum_of_a_file_is_the_usual_one() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("abc");
        fs::write(&file, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(data(&file).unwrap(), known);
    }
}
