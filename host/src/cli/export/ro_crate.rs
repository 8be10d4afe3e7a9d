//! A run folder as an RO-Crate 1.1 (Soiland-Reyes et al. 2022), with the provenance of a
//! Process Run Crate, so that it can be deposited.

mod data;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_files::hash;
use pallium_record::manifest::Manifest;
use pallium_record::results;
use pallium_record::training::{FILE as TRAINING, TrainingFile};
use pallium_report::text::{count, timestamp};
use serde_json::{Value, json};

use self::data::Data;
use super::Export;
use crate::cli::cite;
use crate::cli::output::folder_of;
use crate::cli::support;

/// The file that describes the others.
const METADATA: &str = "ro-crate-metadata.json";
/// Files of a run folder, with their media type and what they are. Those that exist are
/// exported.
const FILES: [(&str, &str, &str); 7] = [
    (EXPERIMENT, "application/toml", "The experiment in one file: running it repeats the trainings"),
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
const EXPERIMENT: &str = "experiment.toml";
/// If the experiment reads data.
const WITH_DATA: &str = "The experiment in one file. To repeat the trainings, get the data that the crate names, change the \
    absolute paths in this file to where you put them, and run it";
/// The works that the experiment builds on.
const REFERENCES: &str = "references.bib";
const PROCESS: &str = "https://w3id.org/ro/wfrun/process/0.5";
/// The paper whose system Pallium implements.
const PAPER: &str = "https://arxiv.org/abs/2606.14975";
const SPDX: &str = "https://spdx.org/licenses/";
/// Identifiers of the licences that data and results usually have.
const LICENSES: [&str; 24] = [
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "MIT",
    "MPL-2.0",
    "ODC-By-1.0",
    "ODbL-1.0",
    "PDDL-1.0",
];

/// Parses the licence of a crate: a URL, or an identifier, which becomes its URL.
///
/// # Errors
/// If it is neither.
pub(super) fn license(text: &str) -> Result<String, String> {
    if let Some(id) = LICENSES.iter().find(|id| id.eq_ignore_ascii_case(text)) {
        return Ok(format!("{SPDX}{id}"));
    }
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if address.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a URL, or one of these SPDX identifiers: {}; for another, use its URL, {SPDX}IDENTIFIER",
        LICENSES.join(", ")
    ))
}

/// What an author's ORCID begins with.
const ORCID: &str = "https://orcid.org/";

/// An author's name, and what follows [`ORCID`].
fn name_and_orcid(text: &str) -> (&str, Option<&str>) {
    let (name, orcid) =
        text.split_once(ORCID).map_or((text, None), |(name, orcid)| (name, Some(orcid.trim())));
    (name.trim(), orcid)
}

/// Checks an author: a name, which an ORCID may follow. The last character of an ORCID
/// is a checksum of the others (ISO 7064, MOD 11-2).
pub(super) fn named(text: &str) -> Result<String, String> {
    let (name, orcid) = name_and_orcid(text);
    if name.is_empty() {
        return Err("expected a name, such as 'Josiah Carberry https://orcid.org/0000-0002-1825-0097'".into());
    }
    let Some(orcid) = orcid else { return Ok(text.to_owned()) };
    let digits: Vec<u32> =
        orcid.chars().filter_map(|c| if c == 'X' { Some(10) } else { c.to_digit(10) }).collect();
    let valid = digits.split_last().is_some_and(|(check, first)| {
        let sum = first.iter().fold(0, |sum, digit| (sum + digit) * 2 % 11);
        first.len() == 15 && first.iter().all(|digit| *digit < 10) && (12 - sum) % 11 == *check
    });
    match valid && orcid.len() == 19 {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("{orcid} is not an ORCID: its checksum is wrong, or it has not four groups of four"))
        }
    }
}

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
    let (catalogue, components) = cite::components(root)?;
    let references = cite::works(&catalogue, &components)?;
    contents.write(
        REFERENCES,
        "application/x-bibtex",
        "The works that the experiment builds on",
        &references,
    )?;
    let trainings = contents.trainings()?;
    let manifest = contents.manifest()?;
    let data = data::read(&manifest, &components, &trainings, &catalogue)?;
    if !data.is_empty() {
        contents.set_about(EXPERIMENT, WITH_DATA);
    }
    let metadata = contents.metadata(&manifest, &trainings, &data, args);
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
    if args.license.is_none() {
        tracing::warn!(
            "the crate has no licence, which RO-Crate requires: add one such as --license CC-BY-4.0, and export again"
        );
    }
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

    fn manifest(&self) -> Result<Manifest> {
        let path = self.root.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::input(format!("{}: {e}", path.display())).help("run the experiment again"))
    }

    fn set_about(&mut self, name: &str, about: &str) {
        for file in self.files.iter_mut().filter(|file| file["name"] == name) {
            file["description"] = about.into();
        }
    }

    /// When the run that began at `started` ended: as its log states, or else when its
    /// last training was written.
    fn ended(&self, started: &str, trainings: &[Deposited]) -> Option<String> {
        let log = fs::read_to_string(self.root.join("log.jsonl")).unwrap_or_default();
        let events = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let logged = events
            .filter(|event| event["message"] == "run ends")
            .find_map(|event| Some(format!("{}+00:00", event["timestamp"].as_str()?.get(..19)?)));
        let written = trainings.iter().filter_map(|training| {
            let file = fs::metadata(self.root.join(&training.folder).join(TRAINING)).ok()?;
            Some(timestamp(file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs()))
        });
        logged.or_else(|| written.max()).filter(|ended| ended.as_str() >= started)
    }

    fn metadata(&self, manifest: &Manifest, trainings: &[Deposited], data: &[Data], args: &Export) -> Value {
        // One entity is written as itself, as version 1.1 recommends.
        let all = |ids: Vec<String>| -> Value {
            let mut all: Vec<Value> = ids.into_iter().map(|id| json!({ "@id": id })).collect();
            if all.len() == 1 { all.remove(0) } else { Value::Array(all) }
        };
        let started = timestamp(manifest.started);
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
        if let Some(license) = &args.license {
            dataset["license"] = json!({ "@id": license });
            let name = license.strip_prefix(SPDX).unwrap_or(license);
            entities.push(json!({ "@id": license, "@type": "CreativeWork", "name": name }));
        }
        let authors: Vec<Value> =
            args.authors.iter().enumerate().map(|(at, text)| author(at, text)).collect();
        let author_ids = || authors.iter().filter_map(|a| a["@id"].as_str()).map(str::to_owned).collect();
        if !authors.is_empty() {
            dataset["author"] = all(author_ids());
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
            "citation": { "@id": PAPER },
            "softwareRequirements": all(manifest.plugins.iter().map(|plugin| format!("#plugin-{}", plugin.name)).collect()),
        }));
        entities.push(json!({
            "@id": PAPER,
            "@type": "ScholarlyArticle",
            "name": "Harnessing cortical geometry, wiring, and function as inductive biases for recurrent neural networks",
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
        for one in data {
            let parts: Vec<Value> = one.parts.iter().map(|part| json!({ "@id": part["@id"] })).collect();
            let mut whole = one.whole.clone();
            if !parts.is_empty() {
                whole["hasPart"] = parts.into();
            }
            entities.push(whole);
            entities.extend(one.parts.iter().cloned());
        }
        let machine = &manifest.machine;
        let cpu = machine.cpu.clone().unwrap_or_default();
        let results = self.files.iter().filter(|file| {
            let name = file["name"].as_str().unwrap_or_default();
            name.starts_with("results.") || ["curves.csv", "axes.csv", "report.html"].contains(&name)
        });
        let results = results.filter_map(|file| file["@id"].as_str()).map(str::to_owned);
        let mut run = json!({
            "@id": "#run",
            "@type": "CreateAction",
            "name": format!("pallium run, seed {}, {}", manifest.seed, count(manifest.runs as usize, "run")),
            "description": format!("{} on {} ({}), {}", machine.system, machine.architecture, cpu, count(machine.cores, "core")),
            "startTime": started,
            "instrument": { "@id": "#pallium" },
            "object": all(std::iter::once(id(EXPERIMENT)).chain(data.iter().map(Data::id)).collect()),
            "result": all(results.chain(trainings.iter().map(|t| id(&t.folder))).collect()),
        });
        if let Some(ended) = self.ended(&started, trainings) {
            run["endTime"] = ended.into();
        }
        if !authors.is_empty() {
            run["agent"] = all(author_ids());
        }
        entities.push(run);
        entities.extend(authors);
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
        json!({ "@context": context, "@graph": entities })
    }
}

/// A person: a name that an ORCID may follow.
fn author(number: usize, text: &str) -> Value {
    let (name, orcid) = name_and_orcid(text);
    let id = orcid.map_or_else(|| format!("#author-{}", number + 1), |orcid| format!("{ORCID}{orcid}"));
    json!({ "@id": id, "@type": "Person", "name": name })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_license_is_an_identifier_or_a_url() {
        assert_eq!(license("CC-BY-4.0").unwrap(), "https://spdx.org/licenses/CC-BY-4.0");
        assert_eq!(license("cc0-1.0").unwrap(), "https://spdx.org/licenses/CC0-1.0");
        assert_eq!(license("https://example.org/terms").unwrap(), "https://example.org/terms");
        for wrong in ["CC-BY", "", "https://", "ask me", "ftp://example.org"] {
            assert!(license(wrong).unwrap_err().contains("CC-BY-4.0"), "{wrong}");
        }
    }

    #[test]
    fn an_author_has_a_name_and_a_valid_orcid() {
        for text in ["Ada Lovelace", "J. C. https://orcid.org/0000-0002-1825-0097"] {
            assert_eq!(named(text).as_deref(), Ok(text));
        }
        assert_eq!(named("N. N. https://orcid.org/0000-0002-1694-233X").map(drop), Ok(()));
        for text in
            ["", "  ", "https://orcid.org/0000-0002-1825-0097", "J. C. https://orcid.org/0000-0002-1825-0098"]
        {
            assert!(named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_author_may_have_an_orcid() {
        let id = "https://orcid.org/0000-0002-1825-0097";
        let known = author(0, &format!("Josiah Carberry {id}"));
        assert_eq!((known["@id"].as_str(), known["name"].as_str()), (Some(id), Some("Josiah Carberry")));
        let other = author(1, "Ada Lovelace");
        assert_eq!(
            (other["@id"].as_str(), other["name"].as_str()),
            (Some("#author-2"), Some("Ada Lovelace"))
        );
    }
}
