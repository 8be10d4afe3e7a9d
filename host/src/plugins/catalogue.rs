//! The loaded components by id, and the plugin file of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pallium_core::abi::Library;
use pallium_core::{
    Builder, Constraint, Error, Metric, Model, Optimizer, Registration, Result, Role, Setting,
    SubstrateSource, Task, WeightSource, nearest,
};
use pallium_files::hash;
use pallium_record::spec::Use;
use serde::{Deserialize, Serialize};

use super::{discovery, gate};

/// A plugin file that passed the gate.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// Its path.
    pub path: PathBuf,
    /// Name of the crate.
    pub name: String,
    /// Version of the crate.
    pub version: String,
    /// Version of pallium-core that it was built against.
    pub core_version: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its stamp when the hash was computed.
    pub stamp: Option<Stamp>,
}

impl PluginFile {
    /// The description by which another process loads the same file.
    pub fn known(&self) -> KnownFile {
        KnownFile { path: self.path.clone(), sha256: self.sha256.clone(), stamp: self.stamp }
    }
}

/// Length and modification time of a file: a cheap test of whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    length: u64,
    /// Nanoseconds since 1970.
    changed: u64,
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if the system provides none.
    pub fn from_file(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        let changed = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
        Some(Stamp { length: about.len(), changed: u64::try_from(changed).ok()? })
    }
}

/// A plugin file that another process has loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Its path.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its stamp when the hash was computed.
    pub stamp: Option<Stamp>,
}

/// A file that the gate refused.
#[derive(Debug)]
pub struct Refused {
    /// Its path.
    pub path: PathBuf,
    /// Whether the user named the file itself, and not the folder it is in.
    pub named: bool,
    /// The reason.
    pub error: Error,
}

/// A component that can be built.
pub struct Entry {
    /// Its role.
    pub role: Role,
    /// Its id.
    pub id: String,
    /// What it does, in one line.
    pub about: String,
    /// Its source.
    pub cite: String,
    /// JSON schema of its parameters.
    pub schema: serde_json::Value,
    /// Its plugin file; `None` if it is registered in this process.
    pub plugin: Option<Arc<PluginFile>>,
    source: Source,
}

enum Source {
    InProcess(Builder),
    Loaded(Library),
}

/// SHA-256 of each file, all at once: hashing is most of the time that loading
/// takes. `None` for what is not a regular file or cannot be read; the gate says
/// why.
fn hashes<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<Option<String>> {
    std::thread::scope(|scope| {
        let hashing: Vec<_> = paths
            .map(|path| scope.spawn(move || path.is_file().then(|| hash::file(path).ok()).flatten()))
            .collect();
        hashing.into_iter().map(|one| one.join().unwrap_or_default()).collect()
    })
}

/// All components, by id.
#[derive(Default)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    plugins: Vec<Arc<PluginFile>>,
}

macro_rules! build {
    ($function:ident, $role:ident, $trait:ident, $what:literal) => {
        #[doc = concat!("Builds a ", $what, ".")]
        ///
        /// # Errors
        /// If there is no such component, a parameter is wrong, or the setting
        /// lacks something that it needs.
        pub fn $function(&self, component: &Use, setting: &Setting<'_>) -> Result<Box<dyn $trait>> {
            let entry = self.find(&component.id, Role::$role)?;
            match &entry.source {
                Source::InProcess(Builder::$role(build)) => build(&component.json(), setting),
                Source::Loaded(library) => library.$function(&entry.id, &component.json(), setting),
                Source::InProcess(_) => {
                    Err(Error::bug(format!("`{}` is registered under two roles", entry.id)))
                }
            }
        }
    };
}

impl Catalogue {
    /// Finds the SHA-256 of a component's plugin file, for identities.
    pub fn files(&self) -> impl Fn(&str) -> Result<Option<String>> + '_ {
        |id| Ok(self.get(id)?.plugin.as_ref().map(|file| file.sha256.clone()))
    }

    /// A catalogue of components compiled into this process, for tests.
    pub fn in_process<'a>(registrations: impl IntoIterator<Item = &'a Registration>) -> Self {
        let entries = registrations
            .into_iter()
            .map(|r| {
                let entry = Entry {
                    role: r.role,
                    id: r.id.into(),
                    about: r.about.into(),
                    cite: r.cite.into(),
                    schema: (r.schema)(),
                    plugin: None,
                    source: Source::InProcess(r.builder),
                };
                (entry.id.clone(), entry)
            })
            .collect();
        Catalogue { entries, plugins: Vec::new() }
    }

    /// Loads every plugin beside the executable, in `$PALLIUM_PLUGIN_PATH`
    /// and in `extra` (the experiment file's `plugin_path`).
    ///
    /// # Errors
    /// If a plugin is refused by the gate, or two offer the same id.
    pub fn discover(extra: &[PathBuf]) -> Result<Self> {
        Self::load(&discovery::plugin_files(extra)?)
    }

    /// As [`Catalogue::discover`], but refused files are left out and returned
    /// with the reason.
    ///
    /// # Errors
    /// If a named folder does not exist or cannot be read.
    pub fn survey() -> Result<(Self, Vec<Refused>)> {
        let mut catalogue = Catalogue::default();
        let mut refused = Vec::new();
        let files = discovery::found_files(&[])?;
        let sums = hashes(files.iter().map(|file| file.path.as_path()));
        for (file, sum) in files.into_iter().zip(sums) {
            if let Err(error) = catalogue.add(&file.path, sum.as_deref()) {
                refused.push(Refused { path: file.path, named: file.named, error });
            }
        }
        Ok((catalogue, refused))
    }

    /// Loads the plugins at `paths`, in this order.
    ///
    /// # Errors
    /// As [`Catalogue::discover`].
    pub fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        let sums = hashes(paths.iter().map(PathBuf::as_path));
        for (path, sum) in paths.iter().zip(sums) {
            catalogue.add(path, sum.as_deref())?;
        }
        Ok(catalogue)
    }

    /// Loads the plugins of `files`, in this order, and checks that they have not
    /// changed: by the stamp, and if that has changed, by the hash.
    ///
    /// # Errors
    /// As [`Catalogue::discover`], or if a file was replaced.
    pub fn load_known(files: &[KnownFile]) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        for file in files {
            let same = file.stamp.is_some() && Stamp::from_file(&file.path) == file.stamp;
            catalogue.add(&file.path, same.then_some(file.sha256.as_str()))?;
            if catalogue.plugins.last().is_some_and(|loaded| loaded.sha256 != file.sha256) {
                return Err(Error::input(format!("{} was replaced during the run", file.path.display()))
                    .help("start the run again: trainings that used the old file keep their results"));
            }
        }
        Ok(catalogue)
    }

    fn add(&mut self, path: &Path, known: Option<&str>) -> Result<()> {
        let stamp = Stamp::from_file(path);
        let admitted = gate::admit_known(path, known)?;
        let manifest = admitted.manifest;
        let plugin = Arc::new(PluginFile {
            path: path.to_owned(),
            name: manifest.name,
            version: manifest.version,
            core_version: manifest.core_version,
            sha256: admitted.sha256,
            stamp,
        });
        let mut entries: Vec<Entry> = Vec::new();
        for component in manifest.components {
            let Some(role) = component.role() else {
                tracing::warn!(
                    "{}: `{}` has the role `{}`, which this version does not know; the component is left out",
                    path.display(),
                    component.id,
                    component.role
                );
                continue;
            };
            let twice = entries.iter().find(|entry| entry.id == component.id);
            if let Some(known) = self.entries.get(&component.id).or(twice) {
                let other = known
                    .plugin
                    .as_ref()
                    .map_or_else(|| "this program".into(), |p| p.path.display().to_string());
                let other_sum = known.plugin.as_ref().map(|p| p.sha256.as_str());
                let error = Error::input(format!(
                    "two plugins offer `{}`: {other} and {}",
                    component.id,
                    path.display()
                ));
                return Err(if other_sum == Some(plugin.sha256.as_str()) {
                    error.help("both files are identical: remove one of them, or one of the folders from the plugin path")
                } else {
                    error.help("remove one of them, or rename the component in one")
                });
            }
            let entry = Entry {
                role,
                id: component.id,
                about: component.about,
                cite: component.cite,
                schema: component.schema,
                plugin: Some(plugin.clone()),
                source: Source::Loaded(admitted.library),
            };
            entries.push(entry);
        }
        // Either all components of a file are added or none.
        self.entries.extend(entries.into_iter().map(|entry| (entry.id.clone(), entry)));
        self.plugins.push(plugin);
        Ok(())
    }

    /// The plugin files, in the order in which they were loaded.
    pub fn plugins(&self) -> &[Arc<PluginFile>] {
        &self.plugins
    }

    /// All components, sorted by id.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The component with this id, of any role.
    ///
    /// # Errors
    /// If there is none; the help suggests the nearest id.
    pub fn get(&self, id: &str) -> Result<&Entry> {
        self.entries.get(id).ok_or_else(|| {
            let error = Error::input(format!("there is no component `{id}`"));
            match nearest(id, self.entries.keys().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`? `pallium plugins list` shows all")),
                None => error.help("`pallium plugins list` shows all; a plugin is found beside the executable, in $PALLIUM_PLUGIN_PATH and in `plugin_path` of the experiment file"),
            }
        })
    }

    /// The component with this id and role.
    ///
    /// # Errors
    /// As [`Catalogue::get`], or if it has another role.
    pub fn find(&self, id: &str, role: Role) -> Result<&Entry> {
        let entry = self.get(id)?;
        if entry.role != role {
            return Err(Error::input(format!(
                "`{id}` is a {} component and cannot serve as {role}",
                entry.role
            )));
        }
        Ok(entry)
    }

    build!(substrate, Substrate, SubstrateSource, "substrate source");
    build!(weights, Weights, WeightSource, "weight source");
    build!(constraint, Constraint, Constraint, "constraint");
    build!(task, Task, Task, "task");
    build!(model, Model, Model, "model");
    build!(optimizer, Optimizer, Optimizer, "optimizer");
    build!(metric, Metric, Metric, "metric");
}
