//! Reads files that users name: regular files of bounded length, and their
//! hashes; finds where links lead. It does not know formats or what a file is for.

pub mod hash;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pallium_core::{Error, Result};

/// Opens a regular file; also returns its length in bytes.
///
/// Pipes and devices are refused before they are opened: opening a pipe waits
/// for a writer, and reading a device might never end.
///
/// # Errors
/// If there is no such file, or it is not a regular file.
pub fn ordinary(path: &Path) -> io::Result<(File, u64)> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        let what = "not an ordinary file, but a folder, pipe or device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok((File::open(path)?, about.len()))
}

/// Where a path leads if it is a symbolic link, also to something that does not
/// exist yet; otherwise the path itself. A file that is renamed onto a link
/// would replace the link instead of its target.
pub fn link_target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    // As many as Linux follows; a circle of links fails when it is opened.
    for _ in 0..40 {
        let Ok(next) = std::fs::read_link(&target) else { break };
        // A relative link starts at its own folder.
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    target
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// If there is no such file, or it is longer.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, length) = ordinary(path)?;
    if length > most {
        let what = format!("{length} bytes long; the maximum is {most}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// If there is no such file, it is longer, or is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text in UTF-8"))
}

/// An error for the user who named the unreadable file.
pub fn unread(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::input(format!("{} does not exist", path.display()))
            .help("check the path; a relative path starts at the current folder");
    }
    let help = match error.kind() {
        io::ErrorKind::InvalidInput => "name a file; save what a pipe gives to a file first",
        io::ErrorKind::InvalidData => "is it the right file?",
        _ => return Error::io(path, error),
    };
    Error::input(format!("{}: {error}", path.display())).help(help)
}

/// As [`ordinary`], with an error for a user.
///
/// # Errors
/// As [`ordinary`].
pub fn open(path: &Path) -> Result<(File, u64)> {
    ordinary(path).map_err(|e| unread(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(text(&path, 5).unwrap(), "12345");
        let refused = |path: &Path, part: &str| {
            let error = unread(path, &text(path, 4).unwrap_err());
            assert!(error.message.contains(part) && error.help.is_some(), "{error}");
        };
        refused(&path, "a: 5 bytes long");
        refused(folder.path(), "not an ordinary file");
        refused(&folder.path().join("b"), "b does not exist");
        #[cfg(target_os = "linux")]
        refused(Path::new("/dev/zero"), "not an ordinary file");
        std::fs::write(&path, b"\xff").unwrap();
        refused(&path, "not text in UTF-8");
    }
}
