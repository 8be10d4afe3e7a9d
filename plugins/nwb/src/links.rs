//! Links to other HDF5 files, which are followed only within the folder of the
//! file that holds them: a file from elsewhere must not read others.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use hdf5_reader::error::Error;
use hdf5_reader::{ExternalLinkResolver, FileStorage, Hdf5File};

use crate::hdf5::{options, truncated};

/// Follows links from the files of a folder.
#[derive(Debug)]
pub struct Links {
    folder: PathBuf,
    /// Itself, for the files that links lead to.
    own: Weak<Links>,
    /// Length of the files that links led to, each time.
    bytes: AtomicU64,
    /// Why links could not be followed. A link that nothing needs may be broken,
    /// so this is no error by itself.
    broken: Mutex<Vec<String>>,
}

impl Links {
    /// Links of the file `path`.
    pub fn beside(path: &Path) -> Arc<Self> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Arc::new_cyclic(|own| Links {
            folder: folder.into(),
            own: own.clone(),
            bytes: AtomicU64::new(0),
            broken: Mutex::default(),
        })
    }

    /// Number of links that could not be followed.
    pub fn broken(&self) -> usize {
        self.broken.lock().map_or(0, |broken| broken.len())
    }

    /// Why the last link could not be followed, if more than `before` could not.
    pub fn last_broken(&self, before: usize) -> Option<String> {
        self.broken.lock().ok()?.get(before..)?.last().cloned()
    }

    /// Bytes of the files that links led to.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn follow(&self, name: &str) -> Result<Hdf5File, String> {
        let below =
            Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let outside = || format!("`{name}` is outside the folder of the file");
        if !below {
            return Err(outside());
        }
        let path = self.folder.join(name);
        let real = |path: &Path| path.canonicalize().map_err(|_| format!("`{name}` does not exist"));
        // A symbolic link might lead out of the folder.
        if !real(&path)?.starts_with(real(&self.folder)?) {
            return Err(outside());
        }
        let (file, length) = pallium_files::open(&path).map_err(|e| e.message)?;
        let opened = FileStorage::from_file(file)
            .and_then(|storage| {
                Hdf5File::from_storage_with_options(Arc::new(storage), options(self.own.upgrade()))
            })
            .map_err(|e| format!("`{name}`: {e}"))?;
        if let Some(why) = truncated(&opened, length) {
            return Err(format!("`{name}` is truncated: {why}"));
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(opened)
    }
}

impl ExternalLinkResolver for Links {
    fn resolve_external_link(&self, name: &str) -> Result<Option<Hdf5File>, Error> {
        Ok(self.follow(name).map_err(|why| self.broken.lock().map(|mut broken| broken.push(why))).ok())
    }
}
