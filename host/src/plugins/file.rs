//! A plugin file: what is known of it, and its library once that is open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use pallium_core::abi::{Library, Manifest};
use pallium_core::{Description, Error, Result};
use serde::{Deserialize, Serialize};

use super::{describe, gate};
use crate::child;

/// A plugin file that passed the gate.
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
    library: OnceLock<Library>,
    /// Descriptions of components by id and parameters, as far as they are known.
    described: Mutex<BTreeMap<(String, String), Option<Description>>>,
}

impl PluginFile {
    /// A file with this manifest.
    pub(super) fn new(path: &Path, sha256: String, stamp: Option<Stamp>, manifest: &Manifest) -> Self {
        PluginFile {
            path: path.to_owned(),
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            core_version: manifest.core_version.clone(),
            sha256,
            stamp,
            library: OnceLock::new(),
            described: Mutex::default(),
        }
    }

    /// As [`PluginFile::new`], with the library already open.
    pub(super) fn open(path: &Path, stamp: Option<Stamp>, admitted: &gate::Admitted) -> Self {
        let file = Self::new(path, admitted.sha256.clone(), stamp, &admitted.manifest);
        PluginFile { library: admitted.library.into(), ..file }
    }

    /// The description of a component with these parameters (a JSON object), if it
    /// depends on them. In a child process the library is asked, otherwise a child
    /// process.
    ///
    /// # Errors
    /// If the library or its child process fails, or a parameter is wrong.
    pub(super) fn describe_component(&self, id: &str, params: &str) -> Result<Option<Description>> {
        let key = (id.to_owned(), params.to_owned());
        let known = || self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(described) = known().get(&key) {
            return Ok(described.clone());
        }
        let described = if child::is_child() {
            self.library()?.describe(id, params)?
        } else {
            describe::component_in_child(&self.path, &self.sha256, id, params)?
        };
        known().insert(key, described.clone());
        Ok(described)
    }

    /// The description by which another process loads the same file.
    pub fn known(&self) -> KnownFile {
        KnownFile { path: self.path.clone(), sha256: self.sha256.clone(), stamp: self.stamp }
    }

    /// The library, opened at the first call.
    ///
    /// # Errors
    /// If the gate refuses it, or this process is not a child: code of plugins
    /// would run in the user's process.
    pub(super) fn library(&self) -> Result<Library> {
        if let Some(library) = self.library.get() {
            return Ok(*library);
        }
        if !child::is_child() {
            return Err(Error::bug(format!("{} would be opened in the user's process", self.path.display())));
        }
        let library = gate::admit_known(&self.path, Some(&self.sha256))?.library;
        Ok(*self.library.get_or_init(|| library))
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

/// A plugin file that another process has described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// Its path.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its stamp when the hash was computed.
    pub stamp: Option<Stamp>,
}
