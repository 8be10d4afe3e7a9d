//! Files and folders that a command writes where the user says.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use pallium_core::{Error, Result};
use tempfile::NamedTempFile;

/// Refuses a path that cannot be written as a file, before any work is done.
///
/// # Errors
/// If it is a folder, or its folder does not exist.
pub fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(format!("{} is a folder", path.display())).help("name a file"));
    }
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            Err(Error::input(format!("the folder {} does not exist", folder.display()))
                .help(format!("create it first, for {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Refuses a path that cannot be a folder.
///
/// # Errors
/// If it is something else.
pub fn check_folder(path: &Path) -> Result<()> {
    if path.exists() && !path.is_dir() {
        return Err(Error::input(format!("{} is not a folder", path.display()))
            .help("name a folder for the figures; it is created if necessary"));
    }
    Ok(())
}

/// Writes a file completely or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let folder = folder_of(path);
    let write = || {
        let mut file = temporary(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|e| match e.kind() {
        PermissionDenied | ReadOnlyFilesystem => {
            Error::io(path, &e).help("choose a place that you can write to with `--html FILE`")
        }
        _ => Error::io(path, &e),
    })
}

/// Refuses a path that exists, unless it is a file that may be replaced. Called
/// before long work whose result is written there.
///
/// # Errors
/// If the path cannot be written to.
pub fn check_free(path: &Path, replace: bool) -> Result<()> {
    match fs::metadata(path) {
        // A file never replaces a folder or a device.
        Ok(found) if !found.is_file() => Err(Error::input(format!("`{}` is not a file", path.display()))
            .help("give the name of a file to write")),
        Ok(_) if !replace => Err(exists(path)),
        _ => Ok(()),
    }
}

/// The error for a file that may not be replaced.
pub fn exists(path: &Path) -> Error {
    Error::input(format!("`{}` exists already", path.display()))
        .help("choose another name, or replace it with --force")
}

/// The folder of a file.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file with the permissions of the umask.
///
/// # Errors
/// If it cannot be created.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pallium-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
