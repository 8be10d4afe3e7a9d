//! The data that a run read. They are not part of the crate, which names their files with
//! size and SHA-256, so that everyone can check their own copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result, Role};
use pallium_record::identity::{self, DataFile};
use pallium_record::manifest::Manifest;
use pallium_record::spec::{PATH, Use};
use serde_json::{Value, json};

use super::{Deposited, id};
use crate::plugins::Catalogue;

/// Data of one component.
pub(super) struct Data {
    /// Its entity.
    pub whole: Value,
    /// The entities of its files, if there are several.
    pub parts: Vec<Value>,
}

impl Data {
    pub(super) fn id(&self) -> String {
        self.whole["@id"].as_str().unwrap_or_default().to_owned()
    }
}

/// The data that the manifest names, with their files if they are still where the
/// experiment reads them and have not changed.
///
/// # Errors
/// If they exist and cannot be read.
pub(super) fn read(
    manifest: &Manifest,
    components: &[Use],
    trainings: &[Deposited],
    catalogue: &Catalogue,
) -> Result<Vec<Data>> {
    if manifest.data.is_empty() {
        return Ok(Vec::new());
    }
    let paths = paths(components, trainings);
    let mut found: BTreeMap<String, (&Path, Vec<DataFile>)> = BTreeMap::new();
    for path in paths.values().flatten().collect::<BTreeSet<_>>() {
        if path.exists() {
            let (sum, files) = identity::data_files(path)?;
            found.insert(sum, (path, files));
        }
    }
    let mut all = Vec::new();
    for (component, sums) in &manifest.data {
        let component = component.trim_end_matches('+');
        for sum in sums {
            let id = format!("#data-{}-{}", component.replace(' ', "-"), all.len());
            let mut whole = json!({
                "@id": id,
                "@type": "CreativeWork",
                "name": format!("Data read by {component}"),
                "identifier": format!("sha256:{sum}"),
            });
            let mut parts = Vec::new();
            if let Some((path, files)) = found.get(sum) {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                let is_field = catalogue.get(component).is_ok_and(|entry| entry.role == Role::Substrate);
                whole["name"] = if is_field { format!("Field {name}") } else { name.into_owned() }.into();
                let how = match files.as_slice() {
                    [file] if file.sha256 == *sum => {
                        describe(&mut whole, file)?;
                        format!("the identifier is the SHA-256 of {}", file.name)
                    }
                    files => {
                        for file in files {
                            let mut part = json!({ "@id": part_id(&id, &file.name), "@type": "CreativeWork", "name": file.name });
                            describe(&mut part, file)?;
                            parts.push(part);
                        }
                        combined(path, files)
                    }
                };
                whole["description"] =
                    format!("Data read by {component}, not part of the crate; {how}").into();
            } else {
                let last = paths.get(component).and_then(|paths| paths.first());
                let place = last.map_or_else(String::new, |path| format!(" at {}", path.display()));
                tracing::warn!(
                    "the data of `{component}` are no longer{place} or have changed, so the crate lists one hash of all \
                     of them instead of each file"
                );
                whole["description"] = format!(
                    "Data read by {component}, not part of the crate. They were no longer{place} when the crate was \
                     written, or had changed, so their files are not listed; the identifier is a hash of them together"
                )
                .into();
            }
            all.push(Data { whole, parts });
        }
    }
    Ok(all)
}

/// Where data may be, by the name that a manifest gives them.
fn paths(components: &[Use], trainings: &[Deposited]) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut all: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let trained = trainings.iter().flat_map(|training| training.file.spec.components());
    for component in components.iter().chain(trained) {
        for (parameter, path) in component.paths() {
            let name = match parameter {
                PATH => component.id.clone(),
                _ => format!("{} {parameter}", component.id),
            };
            all.entry(name).or_default().insert(path.into());
        }
    }
    for origin in trainings.iter().filter_map(|training| training.file.spec.training.from.as_ref()) {
        all.entry("training.from".into()).or_default().insert(origin.path.clone().into());
    }
    all
}

fn describe(entity: &mut Value, file: &DataFile) -> Result<()> {
    let size = fs::metadata(&file.path).map_err(|e| Error::io(&file.path, &e))?.len();
    entity["contentSize"] = size.to_string().into();
    entity["sha256"] = file.sha256.clone().into();
    Ok(())
}

/// How the hash of several files is made.
fn combined(path: &Path, files: &[DataFile]) -> String {
    match files {
        [first, ..] if path.is_file() => format!(
            "the identifier is the SHA-256 of the SHA-256 of {} and, for each file that it links to, a line with the file's \
             SHA-256, a space and its name",
            first.name
        ),
        _ => "the identifier is the SHA-256 of a text with a line for each file, in the order of their names: its SHA-256, a \
              space and its name"
            .to_owned(),
    }
}

fn part_id(whole: &str, name: &str) -> String {
    format!("{whole}/{}", id(name))
}
