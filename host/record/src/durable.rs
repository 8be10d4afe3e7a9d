//! Durable writes: files and folders are written under temporary names, forced
//! to disk and renamed, so none is ever visible half-written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use pallium_core::{Error, Result};

use crate::owner::Owner;

/// Prefix of the names of unfinished files and folders.
pub const UNFINISHED: &str = ".unfinished-";

/// An error of writing into a run folder, with a remedy.
pub fn unwritten(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let plain = Error::io(path, error);
    match error.kind() {
        StorageFull | QuotaExceeded => plain.context("no space left for results").help(
            "free some space and repeat the command: finished trainings are kept and the run continues",
        ),
        ReadOnlyFilesystem | PermissionDenied => {
            plain.help("make the folder writable or choose another with --out, and repeat the command")
        }
        _ => plain,
    }
}

/// Writes a file in a folder that is still unfinished.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| unwritten(path, &e))
}

/// Replaces a file in one step: a reader sees either the old or the new
/// contents. If it is a link, its target is replaced.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = &pallium_files::link_target(path);
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = temporary(0o666).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|e| unwritten(path, &e))
}

/// The process that files are written for; this one by default.
static WRITER: OnceLock<u32> = OnceLock::new();

/// Marks files of this process as its parent's, which takes them over after
/// this process has ended. Otherwise another process could remove them in
/// between.
pub fn write_for_parent() {
    #[cfg(unix)]
    // Fails only if it was set before.
    let _ = WRITER.set(std::os::unix::process::parent_id());
}

/// Creates temporary files and folders, with the permissions that the user's
/// umask leaves of `mode`. (Temporary files are private by default; results are
/// not.) Their names contain the process that they are written for; see
/// [`Store::clear`](crate::store::Store::clear).
#[cfg_attr(not(unix), expect(unused_variables, reason = "modes are a Unix matter"))]
pub fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    static MARK: LazyLock<String> = LazyLock::new(|| {
        let writer = WRITER.get().map_or_else(Owner::current, |&process| Owner::from_process(process));
        format!("@{}", writer.mark())
    });
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(MARK.as_str());
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

/// Forces the files of a folder and its directory entries to disk, in parallel:
/// the system can write them together, while one after the other each would
/// wait for the disk.
pub fn sync_all(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| unwritten(folder, &e))?;
    let mut paths = vec![folder.to_owned()];
    for entry in entries {
        paths.push(entry.map_err(|e| unwritten(folder, &e))?.path());
    }
    std::thread::scope(|scope| {
        let syncing: Vec<_> = paths.iter().map(|path| scope.spawn(|| sync(path))).collect();
        syncing.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(Error::bug("forcing a file to disk panicked")))
        })
    })
}

/// Forces a file to disk, or the entries of a folder where the system supports
/// it.
pub fn sync(path: &Path) -> Result<()> {
    if cfg!(unix) || path.is_file() {
        File::open(path).and_then(|file| file.sync_all()).map_err(|e| unwritten(path, &e))?;
    }
    Ok(())
}
