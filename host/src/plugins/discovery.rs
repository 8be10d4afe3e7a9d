//! Finds plugin files.

use std::path::{Path, PathBuf};

use pallium_core::{Error, Result};

use crate::child;

/// The environment variable that lists further folders and files, separated as in
/// `PATH`.
pub const PATH_VARIABLE: &str = "PALLIUM_PLUGIN_PATH";

/// A file that may be a plugin.
pub struct FoundFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether the user named the file itself, and not the folder it is in.
    pub named: bool,
}

/// Plugin files in the order in which they are loaded: beside the executable,
/// then the folders of `$PALLIUM_PLUGIN_PATH`, then `extra`; by name within a
/// folder. A path in the last two may also be a file.
///
/// The folder of the executable also contains other libraries that Cargo built, so
/// only files named like a plugin (`libpallium_….so`) are taken from it; from the
/// other folders, every shared library is.
///
/// # Errors
/// If a named folder does not exist or cannot be read.
pub fn found_files(extra: &[PathBuf]) -> Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    let executable = child::executable()?;
    if let Some(folder) = executable.parent() {
        let prefix = format!("{}pallium_", std::env::consts::DLL_PREFIX);
        add_folder(&mut files, folder, |name| name.starts_with(&prefix))?;
    }
    let listed = std::env::var_os(PATH_VARIABLE);
    let listed = listed.iter().flat_map(std::env::split_paths).filter(|p| !p.as_os_str().is_empty());
    let named = listed.map(|p| (p, PATH_VARIABLE)).chain(extra.iter().map(|p| (p.clone(), "plugin_path")));
    for (path, from) in named {
        if path.is_file() {
            push(&mut files, path, true);
        } else if path.is_dir() {
            add_folder(&mut files, &path, |_| true)?;
        } else {
            return Err(Error::input(format!("plugin folder {} does not exist", path.display()))
                .help(format!("correct or remove it in {from}")));
        }
    }
    // Child processes get the paths as text.
    if let Some(file) = files.iter().find(|file| file.path.to_str().is_none()) {
        return Err(Error::input(format!("the path of plugin {} is not Unicode", file.path.display()))
            .help("rename the folder or the file, or reach it by a link with a name in Unicode"));
    }
    Ok(files)
}

fn add_folder(files: &mut Vec<FoundFile>, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, &e))? {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let hidden = name.starts_with('.');
        if !hidden && name.ends_with(std::env::consts::DLL_SUFFIX) && wanted(name) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found.into_iter().for_each(|path| push(files, path, false));
    Ok(())
}

/// Adds a file unless it is there already under another path.
fn push(files: &mut Vec<FoundFile>, path: PathBuf, named: bool) {
    let real = |p: &Path| std::fs::canonicalize(p).unwrap_or_else(|_| p.to_owned());
    let path_real = real(&path);
    if !files.iter().any(|known| real(&known.path) == path_real) {
        files.push(FoundFile { path, named });
    }
}
