//! A run folder as an RO-Crate 1.1 (Soiland-Reyes et al. 2022), with the provenance of a
//! Process Run Crate, so that it can be deposited.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_files::hash;
use pallium_record::manifest::Manifest;
use pallium_record::results;
use pallium_record::training::TrainingFile;
use pallium_report::text::date;
use serde_json::{Value, json};

use super::Export;
use crate::cli::cite;
use crate::cli::output::folder_of;
use crate::cli::support;

/// The file that describes the others.
const METADATA: &str = "ro-crate-metadata.json";
/// Files of a run folder, with their media type and what they are. Those that exist are
/// exported.
const FILES: [(&str, &str, &str); 7] = [
    ("experiment.toml", "application/toml", "The experiment in one file: running it repeats the trainings"),
    ("manifest.json", "application/json", "Versions, plugins, data, seed and machine"),
    ("results.csv", "text/csv", "Every value of every training"),
    ("results.parquet", "application/vnd.apache.parquet", "The same values with types"),
    ("curves.csv", "text/csv", "Learning curves"),
    ("axes.csv", "text/csv", "The points of a sweep"),
    ("report.html", "text/html", "Tables, statistics and figures"),
];
/// Files of a training that are left out: its log, and the state from which it continues,
/// which repeats the weights.
const LEFT_OUT: [&str; 2] = ["log.txt", "state.safetensors"];
/// The works that the experiment builds on.
const REFERENCES: &str = "references.bib";
const PROCESS: &str = "https://w3id.org/ro/wfrun/process/0.5";

/// Writes the crate to a new folder.
///
/// # Errors
/// If the folder does not contain a run with results, the new one exists, or a file
/// cannot be copied.
pub(super) fn export(args: &Export) -> Result<()> {
    args.on.refuse("--layout")?;
    let root = &args.folder;
    if !root.join("manifest.json").is_file() || !root.join("results.csv").is_file() {
        return Err(Error::input(format!("{} does not contain a run with results", root.display()))
            .help("name a folder that `pallium run` wrote"));
    }
    if args.out.symlink_metadata().is_ok() {
        return Err(Error::input(format!("`{}` exists already", args.out.display()))
            .help("choose another name: a crate is a new folder"));
    }
    let parent = folder_of(&args.out);
    if !parent.is_dir() {
        return Err(Error::input(format!("the folder {} does not exist", parent.display()))
            .help(format!("create it first, for {}", args.out.display())));
    }
    let unfinished =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    let mut contents = Crate { root, out: unfinished.path(), files: Vec::new() };
    for (name, media, about) in FILES {
        if root.join(name).is_file() {
            contents.copy(name, media, about)?;
        }
    }
    let references = cite::works(root)?;
    contents.write(
        REFERENCES,
        "application/x-bibtex",
        "The works that the experiment builds on",
        &references,
    )?;
    let trainings = contents.trainings()?;
    let metadata = contents.metadata(&trainings, args.license.as_deref())?;
    let text = serde_json::to_string_pretty(&metadata).map_err(|e| Error::bug(e.to_string()))?;
    let file = unfinished.path().join(METADATA);
    fs::write(&file, text).map_err(|e| Error::io(&file, &e))?;
    let made = unfinished.keep();
    // Temporary folders are closed to others.
    #[cfg(unix)]
    fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .map_err(|e| Error::io(&made, &e))?;
    fs::rename(&made, &args.out).map_err(|e| {
        let _ = fs::remove_dir_all(&made);
        Error::io(&args.out, &e)
    })?;
    support::print(&format!("{}\n", args.out.display()))
}

/// A crate while it is written.
struct Crate<'a> {
    root: &'a Path,
    out: &'a Path,
    /// The descriptions of its files.
    files: Vec<Value>,
}

/// A training in the crate: its folder, its description, and its files.
struct Deposited {
    folder: String,
    file: TrainingFile,
    files: Vec<String>,
}

impl Crate<'_> {
    fn copy(&mut self, name: &str, media: &str, about: &str) -> Result<()> {
        let (from, to) = (self.root.join(name), self.out.join(name));
        let folder = folder_of(&to);
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        fs::copy(&from, &to).map_err(|e| Error::io(&from, &e))?;
        self.describe(name, &to, media, about)
    }

    fn write(&mut self, name: &str, media: &str, about: &str, text: &str) -> Result<()> {
        let to = self.out.join(name);
        fs::write(&to, text).map_err(|e| Error::io(&to, &e))?;
        self.describe(name, &to, media, about)
    }

    fn describe(&mut self, name: &str, file: &Path, media: &str, about: &str) -> Result<()> {
        let size = fs::metadata(file).map_err(|e| Error::io(file, &e))?.len();
        self.files.push(json!({
            "@id": id(name),
            "@type": "File",
            "name": name,
            "description": about,
            "encodingFormat": media,
            "contentSize": size.to_string(),
            "sha256": hash::file(file)?,
        }));
        Ok(())
    }

    /// Copies the trainings that the results name.
    fn trainings(&mut self) -> Result<Vec<Deposited>> {
        let rows = results::read(&self.root.join("results.csv"))?;
        let folders = rows.into_iter().filter_map(|row| row.folder).unique();
        let mut found = Vec::new();
        for name in folders {
            let folder = format!("cells/{name}");
            let file = TrainingFile::read(&self.root.join(&folder))?;
            let label = format!("{} {} {}", file.variant, file.task, file.run);
            let mut files = Vec::new();
            for path in listed(&self.root.join(&folder))? {
                let Some(inside) = path.strip_prefix(self.root).ok().and_then(Path::to_str) else { continue };
                let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if LEFT_OUT.contains(&last) {
                    continue;
                }
                let media = match path.extension().and_then(|e| e.to_str()) {
                    Some("csv") => "text/csv",
                    Some("json") => "application/json",
                    _ => "application/octet-stream",
                };
                self.copy(inside, media, &format!("Training {label}"))?;
                files.push(inside.to_owned());
            }
            found.push(Deposited { folder: format!("{folder}/"), file, files });
        }
        Ok(found)
    }

    fn metadata(&self, trainings: &[Deposited], license: Option<&str>) -> Result<Value> {
        let path = self.root.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|e| Error::input(format!("{}: {e}", path.display())).help("run the experiment again"))?;
        // One entity is written as itself, as version 1.1 recommends.
        let all = |ids: Vec<String>| -> Value {
            let mut all: Vec<Value> = ids.into_iter().map(|id| json!({ "@id": id })).collect();
            if all.len() == 1 { all.remove(0) } else { Value::Array(all) }
        };
        let started = date(manifest.started).replacen(' ', "T", 1).replace(" UTC", ":00Z");
        let about = match manifest.about.as_str() {
            "" => format!("Trainings of recurrent networks by Pallium {}", manifest.pallium),
            about => about.to_owned(),
        };
        let mut entities = vec![json!({
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": { "@id": "https://w3id.org/ro/crate/1.1" },
            "about": { "@id": "./" },
        })];
        let top =
            self.files.iter().filter_map(|file| file["@id"].as_str()).filter(|id| !id.starts_with("cells/"));
        let parts = top.map(str::to_owned).chain(trainings.iter().map(|t| id(&t.folder))).collect();
        let mut dataset = json!({
            "@id": "./",
            "@type": "Dataset",
            "name": manifest.experiment,
            "description": about,
            "datePublished": started[..10],
            "conformsTo": { "@id": PROCESS },
            "hasPart": all(parts),
            "mentions": { "@id": "#run" },
        });
        if let Some(license) = license {
            dataset["license"] = json!({ "@id": license });
            entities.push(json!({ "@id": license, "@type": "CreativeWork", "name": license }));
        }
        entities.push(dataset);
        entities.push(json!({
            "@id": PROCESS,
            "@type": "CreativeWork",
            "name": "Process Run Crate",
            "version": "0.5",
        }));
        entities.push(json!({
            "@id": "#pallium",
            "@type": "SoftwareApplication",
            "name": "Pallium",
            "softwareVersion": manifest.pallium,
            "url": "https://arxiv.org/abs/2606.14975",
            "softwareRequirements": all(manifest.plugins.iter().map(|plugin| format!("#plugin-{}", plugin.name)).collect()),
        }));
        for plugin in &manifest.plugins {
            entities.push(json!({
                "@id": format!("#plugin-{}", plugin.name),
                "@type": "SoftwareApplication",
                "name": plugin.name,
                "softwareVersion": plugin.version,
                "identifier": format!("sha256:{}", plugin.sha256),
            }));
        }
        let mut data = Vec::new();
        for (component, sums) in &manifest.data {
            for (number, sum) in sums.iter().enumerate() {
                let id = format!("#data-{}-{number}", component.replace(' ', "-"));
                entities.push(json!({
                    "@id": id,
                    "@type": "CreativeWork",
                    "name": format!("Data read by {component}, not part of the crate"),
                    "identifier": format!("sha256:{sum}"),
                }));
                data.push(id);
            }
        }
        let machine = &manifest.machine;
        let cpu = machine.cpu.clone().unwrap_or_default();
        entities.push(json!({
            "@id": "#run",
            "@type": "CreateAction",
            "name": format!("pallium run, seed {}, {} runs", manifest.seed, manifest.runs),
            "description": format!("{} on {} ({}), {} cores", machine.system, machine.architecture, cpu, machine.cores),
            "startTime": started,
            "instrument": { "@id": "#pallium" },
            "object": all(std::iter::once(id("experiment.toml")).chain(data).collect()),
            "result": all(std::iter::once(id("results.csv")).chain(trainings.iter().map(|t| id(&t.folder))).collect()),
        }));
        for Deposited { folder, file, files } in trainings {
            let inputs: BTreeMap<&String, &String> = file.inputs.iter().collect();
            entities.push(json!({
                "@id": id(folder),
                "@type": "Dataset",
                "name": format!("{} / {} / run {}", file.variant, file.task, file.run),
                "description": format!("A training, {}; its cell.json has the specification and {} hashes of what it depends on", file.status, inputs.len()),
                "identifier": file.identity,
                "hasPart": all(files.iter().map(|name| id(name)).collect()),
            }));
        }
        entities.extend(self.files.iter().cloned());
        // `sha256` is a term of workflow runs, not of version 1.1.
        let context = json!([
            "https://w3id.org/ro/crate/1.1/context",
            { "sha256": "https://w3id.org/ro/terms/workflow-run#sha256" },
        ]);
        Ok(json!({ "@context": context, "@graph": entities }))
    }
}

/// A relative path as an identifier: characters that a URI cannot have are encoded.
fn id(path: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/+".contains(byte);
    path.bytes()
        .map(|byte| if keep(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The files in a folder and its subfolders, in the order of their names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?;
    for path in
        entries.map(|entry| entry.map(|entry| entry.path())).sorted_by_key(|path| path.as_ref().ok().cloned())
    {
        let path = path.map_err(|e| Error::io(folder, &e))?;
        if path.is_dir() {
            found.extend(listed(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
