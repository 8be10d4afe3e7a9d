//! Files and folders that a command writes where the user says.
//!
//! A regular file appears completely or not at all, and an existing one is
//! replaced only with `--force`. A link keeps pointing at its target, which is
//! replaced. A pipe or a device is written to, since renaming a file onto
//! `/dev/null` would break every other program of the machine. `-` is standard
//! output.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use pallium_core::{Error, Result};
use tempfile::NamedTempFile;

use crate::child::inside;

/// Whether a path stands for standard output, also by one of the names that
/// systems give it: a child process has another descriptor for it.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path.as_os_str() == *name)
}

/// Whether a path names an open file descriptor, which is written to whatever
/// it leads to.
fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/dev/stderr", "/proc/self/fd"].iter().any(|place| path.starts_with(place))
}

/// How bytes reach a path.
enum Way {
    /// Through standard output.
    Stdout,
    /// Into what exists: a pipe, a device, or a file that is already open.
    Into,
    /// As a file with this name, which may replace an existing one.
    File(std::path::PathBuf, Option<Metadata>),
}

fn way(path: &Path, replace: bool) -> Result<Way> {
    if is_stdout(path) {
        return Ok(Way::Stdout);
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::input(format!("{} is a folder", path.display())).help("name a file"))
        }
        Ok(found) if !found.is_file() || is_descriptor(path) => Ok(Way::Into),
        Ok(_) if !replace => Err(exists(path)),
        Ok(found) => Ok(Way::File(fs::canonicalize(path).map_err(|e| Error::io(path, &e))?, Some(found))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let target = pallium_files::link_target(path);
            let folder = folder_of(&target);
            if !folder.is_dir() {
                return Err(Error::input(format!("the folder {} does not exist", folder.display()))
                    .help(format!("create it first, for {}", path.display())));
            }
            Ok(Way::File(target, None))
        }
        Err(e) => Err(Error::io(path, &e)),
    }
}

/// Refuses a path that [`write`] could not write to. Called before long work
/// whose result is written there.
///
/// # Errors
/// If it is a folder, its folder does not exist or cannot be written to, or it
/// is a file that may not be replaced.
pub fn check(path: &Path, replace: bool) -> Result<()> {
    if let Way::File(target, _) = way(path, replace)? {
        temporary(folder_of(&target)).map_err(|e| unwritable(path, &e))?;
    }
    Ok(())
}

/// Writes bytes to a path that a user named. Everything that a command writes
/// outside of its own folders goes through here.
///
/// # Errors
/// As [`check`], or if it cannot be written. A reader that closes its pipe
/// early is not an error.
pub fn write(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let written = match way(path, replace)? {
        Way::Stdout => inside::write(bytes),
        Way::Into => OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(bytes)),
        Way::File(target, replaced) => file(&target, bytes, replaced.as_ref()),
    };
    written.or_else(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        // Another process created it in the meantime.
        io::ErrorKind::AlreadyExists => Err(exists(path)),
        _ => Err(unwritable(path, &e)),
    })
}

/// The error for a file that cannot be written.
fn unwritable(path: &Path, e: &io::Error) -> Error {
    Error::io(path, e).help("choose another place, or change the permissions of its folder")
}

/// Writes a file under a temporary name and renames it, so that none is ever
/// visible half-written.
fn file(path: &Path, bytes: &[u8], replaced: Option<&Metadata>) -> io::Result<()> {
    let mut file = temporary(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match replaced {
        Some(found) => {
            file.as_file().set_permissions(found.permissions())?;
            file.persist(path)
        }
        None => file.persist_noclobber(path),
    }
    .map(drop)
    .map_err(|e| e.error)
}

/// Refuses a path that cannot be a folder to write to. Called before long work
/// whose results are written there.
///
/// # Errors
/// If it is something else.
pub fn check_folder(path: &Path) -> Result<()> {
    let what = match path {
        _ if is_stdout(path) => format!("standard output (`{}`) cannot be a folder", path.display()),
        _ if path.symlink_metadata().is_ok() && !path.is_dir() => {
            format!("{} is not a folder", path.display())
        }
        _ => return Ok(()),
    };
    Err(Error::input(what).help("name a folder; it is created if necessary"))
}

/// The error for a file that may not be replaced.
fn exists(path: &Path) -> Error {
    Error::input(format!("`{}` exists already", path.display()))
        .help("choose another name, or replace it with --force")
}

/// The folder of a file.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file with the permissions of the umask.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pallium-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Without the temporary name, which says nothing to a user.
    builder.tempfile_in(folder).map_err(|e| e.kind().into())
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_only_on_request_and_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"1", false).unwrap();
        let error = write(&path, b"2", false).unwrap_err();
        assert!(error.message.contains("exists already") && error.help.unwrap().contains("--force"));
        assert_eq!(fs::read(&path).unwrap(), b"1");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, b"2", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_cannot_be_written_to_is_refused_at_once() {
        let error = check(Path::new("/proc/w.npy"), false).unwrap_err();
        assert!(error.message.contains("/proc/w.npy") && !error.message.contains(".pallium-"), "{error}");
        assert!(error.help.unwrap().contains("choose another place"));
    }

    #[test]
    fn the_target_of_a_link_is_written_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (there, link) = (folder.path().join("there"), folder.path().join("link"));
        fs::create_dir(&there).unwrap();
        symlink("there/target", &link).unwrap();
        for (text, replace) in [("new", false), ("replaced", true)] {
            write(&link, text.as_bytes(), replace).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(there.join("target")).unwrap(), text);
        }
        assert!(check(&link, false).unwrap_err().message.contains("exists already"));
    }

    #[test]
    fn a_pipe_and_a_device_are_written_to_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut text = String::new();
                fs::File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        write(&pipe, b"through the pipe", false).unwrap();
        assert_eq!(reader.join().unwrap(), "through the pipe");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        #[cfg(target_os = "linux")]
        {
            // Through a link, so that a fault would replace the link only.
            let full = folder.path().join("full");
            symlink("/dev/full", &full).unwrap();
            let error = write(&full, b"x", true).unwrap_err();
            assert!(error.message.contains("No space left"), "{error}");
            assert!(fs::metadata(&full).unwrap().file_type().is_char_device());
        }
    }

    #[test]
    fn paths_that_cannot_be_files_are_refused_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path(), true).unwrap_err().message.ends_with("is a folder"));
        let error = check(&folder.path().join("no/such/file"), false).unwrap_err();
        assert!(error.message.contains("no/such does not exist"), "{error}");
        assert!(check(Path::new("-"), false).is_ok());
    }
}
