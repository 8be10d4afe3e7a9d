//! The components by id, and the plugin file of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pallium_core::abi::{ComponentEntry, Manifest, ProfileEntry, lacking};
use pallium_core::{
    Builder, Constraint, Description, Error, Measures, Metric, Model, Network, Optimizer, Registration,
    Result, Role, Setting, SubstrateSource, Task, WeightSource, accepts_further_names, nearest,
};
use pallium_files::hash;
use pallium_record::VERSION;
use pallium_record::spec::Use;

use super::file::{KnownFile, PluginFile, Stamp};
use super::{describe, discovery, gate};
use crate::child::last_call;

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
#[derive(Clone)]
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
    /// Values of its parameters under profiles.
    pub profiles: Vec<ProfileEntry>,
    /// Whether it takes sets of connections and not only matrices.
    pub connections: bool,
    /// Its plugin file; `None` if it is registered in this process.
    pub plugin: Option<Arc<PluginFile>>,
    source: Source,
}

impl Entry {
    /// The same component with the description that it has with certain parameters.
    #[must_use]
    pub(super) fn described(&self, description: Description) -> Entry {
        let Description { about, cite, schema, .. } = description;
        Entry { about, cite, schema, ..self.clone() }
    }
}

#[derive(Clone)]
enum Source {
    InProcess(Builder),
    Plugin(Arc<PluginFile>),
}

/// All components, by id.
#[derive(Default)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    plugins: Vec<Arc<PluginFile>>,
    refused: Vec<Refused>,
    /// Ids that cannot be used, with the error of naming one: several different files
    /// offer it, or it needs a newer version.
    unavailable: BTreeMap<String, Error>,
}

macro_rules! build {
    ($function:ident, $role:ident, $trait:ident, $what:literal) => {
        #[doc = concat!("Builds a ", $what, ".")]
        ///
        /// # Errors
        /// If there is no such component, a parameter is wrong, or the setting
        /// lacks something that it needs.
        pub fn $function(&self, component: &Use, setting: &Setting<'_>) -> Result<Box<dyn $trait>> {
            build!(self, $function, $role, component, setting)
        }
    };
    ($catalogue:ident, $function:ident, $role:ident, $component:ident, $setting:ident) => {{
        let entry = $catalogue.find(&$component.id, Role::$role)?;
        match &entry.source {
            Source::InProcess(Builder::$role(build)) => build(&$component.json(), $setting),
            Source::Plugin(file) => file.library()?.$function(&entry.id, &$component.json(), $setting),
            Source::InProcess(_) => Err(Error::bug(format!("`{}` is registered under two roles", entry.id))),
        }
    }};
}

/// A metric whose results are checked.
struct CheckedMetric {
    metric: Box<dyn Metric>,
    id: String,
}

impl Metric for CheckedMetric {
    fn wants_activity(&self) -> bool {
        self.metric.wants_activity()
    }

    fn permutation_invariant(&self) -> bool {
        self.metric.permutation_invariant()
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let measures = self.metric.measure(network)?;
        measures.check().map_err(|e| {
            e.context(format!("the metric `{}` returned results that are not allowed", self.id))
        })?;
        Ok(measures)
    }
}

/// Something that only a newer version can do.
fn newer(message: String) -> Error {
    Error::input(message).help(format!(
        "use a newer Pallium; this one is {VERSION}. Or build the plugin without what requires it"
    ))
}

/// The error of using a component that only a newer version can use.
pub fn beyond(component: &ComponentEntry) -> Option<Error> {
    let ComponentEntry { id, role, .. } = component;
    if let Some(name) = lacking(&component.requires) {
        return Some(newer(format!("`{id}` requires `{name}`, which this version does not have")));
    }
    let unknown = component.role().is_none();
    unknown.then(|| newer(format!("`{id}` has the role `{role}`, which this version does not know")))
}

impl Catalogue {
    /// Finds the SHA-256 of a component's plugin file, for identities.
    pub fn files(&self) -> impl Fn(&str) -> Result<Option<String>> + '_ {
        |id| Ok(self.get(id)?.plugin.as_ref().map(|file| file.sha256.clone()))
    }

    /// A catalogue of components compiled into this process, for tests.
    ///
    /// # Errors
    /// If a value under a profile is not valid JSON.
    pub fn in_process<'a>(registrations: impl IntoIterator<Item = &'a Registration>) -> Result<Self> {
        let entries = registrations.into_iter().map(|registration| {
            let ComponentEntry { id, about, cite, schema, profiles, connections, .. } =
                ComponentEntry::new(registration)?;
            let source = Source::InProcess(registration.builder);
            let role = registration.role;
            let entry = Entry { role, id, about, cite, schema, profiles, connections, plugin: None, source };
            Ok((entry.id.clone(), entry))
        });
        Ok(Catalogue { entries: entries.collect::<Result<_>>()?, ..Catalogue::default() })
    }

    /// Describes every plugin beside the executable, in `$PALLIUM_PLUGIN_PATH`
    /// and in `extra` (the experiment file's `plugin_path`), without opening one
    /// in this process. Descriptions are kept in the folder `cache`.
    ///
    /// Refused files are left out; see [`Catalogue::refused`]. In a child process
    /// a plugin is opened when its first component is built.
    ///
    /// # Errors
    /// If a named folder does not exist or cannot be read.
    pub fn discover(extra: &[PathBuf], cache: Option<&Path>) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        let files = discovery::found_files(extra)?;
        let paths: Vec<&Path> = files.iter().map(|file| file.path.as_path()).collect();
        let described = describe::describe_all(&paths, cache);
        for (file, described) in files.into_iter().zip(described) {
            let added = described.and_then(|(plugin, manifest)| catalogue.add(plugin, manifest));
            if let Err(error) = added {
                catalogue.refused.push(Refused { path: file.path, named: file.named, error });
            }
        }
        Ok(catalogue)
    }

    /// As [`Catalogue::discover`], of one file.
    ///
    /// # Errors
    /// If the file is refused.
    pub fn describe(path: &Path, cache: Option<&Path>) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        for described in describe::describe_all(&[path], cache) {
            let (plugin, manifest) = described?;
            catalogue.add(plugin, manifest)?;
        }
        Ok(catalogue)
    }

    /// Opens the plugins at `paths` in this process, in this order.
    ///
    /// # Errors
    /// If a plugin is refused by the gate, or two offer the same id.
    pub fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        for path in paths {
            let stamp = Stamp::from_file(path);
            let admitted = gate::admit(path)?;
            catalogue.add(PluginFile::open(path, stamp, &admitted), admitted.manifest)?;
        }
        Ok(catalogue)
    }

    /// Opens the plugins of `files` in this process, in this order, and checks
    /// that they have not changed: by the stamp, and if that has changed, by the
    /// hash.
    ///
    /// # Errors
    /// As [`Catalogue::load`], or if a file was replaced.
    pub fn load_known(files: &[KnownFile]) -> Result<Self> {
        let mut catalogue = Catalogue::default();
        for file in files {
            let stamp = Stamp::from_file(&file.path);
            let same = file.stamp.is_some() && stamp == file.stamp;
            if !same && hash::file(&file.path)? != file.sha256 {
                return Err(Error::input(format!("{} was replaced during the run", file.path.display()))
                    .help("start the run again: trainings that used the old file keep their results"));
            }
            let admitted = gate::admit_known(&file.path, Some(&file.sha256))?;
            catalogue.add(PluginFile::open(&file.path, stamp, &admitted), admitted.manifest)?;
        }
        Ok(catalogue)
    }

    /// Adds all components of a file, or none.
    fn add(&mut self, plugin: PluginFile, manifest: Manifest) -> Result<()> {
        let plugin = Arc::new(plugin);
        let path = plugin.path.display();
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        if let Some(name) = lacking(&manifest.requires) {
            return Err(newer(format!("{path} requires `{name}`, which this version does not have")));
        }
        let mut unavailable = BTreeMap::new();
        for component in manifest.components {
            if let Some(error) = beyond(&component) {
                tracing::warn!("{path}: {}; the component is left out", error.message);
                unavailable.insert(component.id, error.because(format!("it is in {path}")));
                continue;
            }
            let Some(role) = component.role() else { continue };
            let entry = Entry {
                role,
                id: component.id,
                about: component.about,
                cite: component.cite,
                schema: component.schema,
                profiles: component.profiles,
                connections: component.connections,
                plugin: Some(plugin.clone()),
                source: Source::Plugin(plugin.clone()),
            };
            if let Some(twice) = entries.insert(entry.id.clone(), entry) {
                return Err(Error::plugin(format!("{path} offers `{}` twice", twice.id))
                    .help("register each component once, and give each an id of its own"));
            }
        }
        let mut conflict = Ok(());
        for id in entries.keys() {
            let Some(known) = self.entries.get(id) else { continue };
            let other = known.plugin.as_ref();
            let name = other.map_or_else(|| "this program".into(), |p| p.path.display().to_string());
            let error = Error::input(format!("two plugins offer `{id}`: {name} and {path}"));
            let error = if other.is_some_and(|other| other.sha256 == plugin.sha256) {
                error.help("both files are identical: remove one of them, or one of the folders from the plugin path")
            } else {
                let error = error.help("remove one of them, or rename the component in one");
                self.unavailable.insert(id.clone(), error.clone());
                error
            };
            conflict = conflict.and(Err(error));
        }
        conflict?;
        for id in entries.keys() {
            last_call::offered(id, &plugin.path);
        }
        self.unavailable.append(&mut unavailable);
        self.entries.append(&mut entries);
        self.plugins.push(plugin);
        Ok(())
    }

    /// The description of a component with these parameters, if it depends on them
    /// and its plugin is a file. A child process asks the plugin.
    ///
    /// # Errors
    /// If the parameters name something that cannot be read, or the plugin fails.
    pub fn describe_with(
        &self,
        entry: &Entry,
        params: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Option<Description>> {
        let Source::Plugin(file) = &entry.source else { return Ok(None) };
        if !accepts_further_names(&entry.schema) {
            return Ok(None);
        }
        // Parameters that are not the plugin's own do not matter to it.
        let own = entry.schema.get("properties").and_then(serde_json::Value::as_object);
        let own = params.iter().filter(|(name, _)| own.is_some_and(|own| own.contains_key(*name)));
        let own: serde_json::Map<_, _> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        file.describe_component(&entry.id, &serde_json::Value::Object(own).to_string())
    }

    /// The refused files, in the order in which they were found.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
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
    /// If there is none, different files offer it, or it needs a newer version; the
    /// help suggests the nearest id, the causes are the refused files.
    pub fn get(&self, id: &str) -> Result<&Entry> {
        if let Some(error) = self.unavailable.get(id) {
            return Err(error.clone());
        }
        self.entries.get(id).ok_or_else(|| {
            let error = Error::input(format!("there is no component `{id}`"));
            let error = match nearest(id, self.entries.keys().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`? `pallium plugins list` shows all")),
                None => error.help("`pallium plugins list` shows all; a plugin is found beside the executable, in $PALLIUM_PLUGIN_PATH and in `plugin_path` of the experiment file"),
            };
            // The component may be in a refused plugin.
            self.refused.iter().take(3).fold(error, |error, refused| {
                error.because(format!("a plugin was left out: {}", refused.error))
            })
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
            ))
            .help("`pallium plugins list` lists the components of each role"));
        }
        Ok(entry)
    }

    build!(substrate, Substrate, SubstrateSource, "substrate source");
    build!(weights, Weights, WeightSource, "weight source");
    build!(constraint, Constraint, Constraint, "constraint");
    build!(model, Model, Model, "model");
    build!(optimizer, Optimizer, Optimizer, "optimizer");

    /// Builds a task, and checks its description.
    ///
    /// # Errors
    /// As [`Catalogue::model`], or if the task describes itself as no task can be.
    pub fn task(&self, component: &Use, setting: &Setting<'_>) -> Result<Box<dyn Task>> {
        let task = build!(self, task, Task, component, setting)?;
        let context =
            |e: Error| e.context(format!("the description of the task `{}` is not allowed", component.id));
        task.info().check().map_err(context)?;
        Ok(task)
    }

    /// Builds a metric; it fails if it returns measures that are not allowed.
    ///
    /// # Errors
    /// As [`Catalogue::model`].
    pub fn metric(&self, component: &Use, setting: &Setting<'_>) -> Result<Box<dyn Metric>> {
        let metric = build!(self, metric, Metric, component, setting)?;
        Ok(Box::new(CheckedMetric { metric, id: component.id.clone() }))
    }

    /// The other plugin that offers a component called `id`, besides the crate `plugin`
    /// in any version.
    pub fn offered_by_another(&self, id: &str, plugin: &str) -> Option<&PluginFile> {
        let file = self.entries.get(id)?.plugin.as_deref()?;
        (file.name != plugin).then_some(file)
    }
}
