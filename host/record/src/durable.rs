//! Writing so that nothing is ever half there: files and folders are written
//! under names that do not count yet, forced to disk, and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{LazyLock, OnceLock};

use pallium_core::{Error, Result};

use crate::owner::Owner;

/// Begins the name of what is being written and does not count yet.
pub const UNFINISHED: &str = ".unfinished-";

/// An error of writing into a run folder: where there is no room, say how to
/// go on.
pub fn unwritten(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let told = Error::io(path, error);
    match error.kind() {
        StorageFull | QuotaExceeded => told.context("there is no room left for results").help(
            "free some space and give the same command again: what is finished is kept, and the run continues",
        ),
        ReadOnlyFilesystem | PermissionDenied => told
            .help("make the folder writable, or choose another with --out, and give the same command again"),
        _ => told,
    }
}

/// Writes a file that lies where nobody looks yet.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| unwritten(path, &e))
}

/// Replaces a file in one step: a reader sees the old one or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = temporary(0o666).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    };
    write().map(drop).map_err(|e| unwritten(path, &e))
}

/// The process that what is written is for; this one, if nothing is said.
static WRITER: OnceLock<u32> = OnceLock::new();

/// Says that this process writes for the one that started it, which takes over
/// what is written when this one has ended already. Until then nobody may clear
/// it away.
pub fn write_for_parent() {
    #[cfg(unix)]
    // Fails only if it was said before.
    let _ = WRITER.set(std::os::unix::process::parent_id());
}

/// Makes files and folders that do not count yet. Temporary files are for the
/// owner's eyes alone by default; results are for whom the user's own setting
/// lets see them. Their names say whose they are; see [`Store::clear`](crate::store::Store::clear).
#[cfg_attr(not(unix), expect(unused_variables, reason = "modes are a Unix matter"))]
pub fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    static MARK: LazyLock<String> = LazyLock::new(|| {
        let writer = WRITER.get().map_or_else(Owner::this, |&process| Owner::process(process));
        format!("@{}", writer.mark())
    });
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(MARK.as_str());
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    builder
}

/// Forces the files of a folder and its list of names to disk, all at once:
/// the system writes them together, where one after the other each would wait
/// for the disk.
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

/// Forces a file, or a folder's list of names where the system can do that, to
/// disk.
pub fn sync(path: &Path) -> Result<()> {
    if cfg!(unix) || path.is_file() {
        File::open(path).and_then(|file| file.sync_all()).map_err(|e| unwritten(path, &e))?;
    }
    Ok(())
}
