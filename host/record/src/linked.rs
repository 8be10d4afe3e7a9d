//! Files that an HDF5 file links to: external links, external raw data and the sources
//! of virtual datasets. Data of such files are part of what a training depends on.
//!
//! All of these are stored as relative names that end with a zero byte, so names of
//! existing files are found without reading the format. A name that only looks like a
//! link adds a file that is not needed: trainings are only repeated if that file changes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use pallium_core::{Error, Result};

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Longest name of a link, in bytes.
const LONGEST: usize = 4096;

/// The files beside `path`, or in folders below, that it links to, directly or through
/// others; sorted, without itself. None if it is not an HDF5 file.
///
/// # Errors
/// If a file cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    // Also the links of linked files are relative to the folder of the first.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = BTreeSet::new();
    let mut pending = vec![path.to_owned()];
    while let Some(file) = pending.pop() {
        for name in names(&file, folder).map_err(|e| Error::io(&file, &e))? {
            if name != path && found.insert(name.clone()) {
                pending.push(name);
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn names(path: &Path, folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut reader = BufReader::with_capacity(1 << 20, fs::File::open(path)?);
    let mut found = BTreeSet::new();
    if !reader.fill_buf()?.starts_with(SIGNATURE) {
        return Ok(found);
    }
    let beside: BTreeSet<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    let mut token = Vec::new();
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(found);
        }
        let end = buffer.iter().position(|&byte| byte == 0);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        if token.len() + part.len() <= LONGEST {
            token.extend_from_slice(part);
        } else {
            // Data: no name is as long.
            token.resize(LONGEST + 1, 0);
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_none() {
            continue;
        }
        if let Ok(text) = std::str::from_utf8(&token)
            && let Some(file) = beside_file(folder, text, &beside)
        {
            found.insert(file);
        }
        token.clear();
    }
}

/// The file in `folder` that a link calls `text`.
fn beside_file(folder: &Path, text: &str, beside: &BTreeSet<std::ffi::OsString>) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = Path::new(text).components().collect();
    let parts = match parts.split_first()? {
        (Component::CurDir, rest) => rest,
        _ => &parts[..],
    };
    let below = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let is_known = matches!(parts.first()?, Component::Normal(first) if beside.contains(*first));
    let file = folder.join(parts.iter().collect::<PathBuf>());
    (below && is_known && file.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `python plugins/nwb/fixtures/variants.py` that links to another one.
    const LINKING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/nwb/fixtures/variants.nwb");

    #[test]
    fn linked_files_beside_an_hdf5_file_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nwb");
        fs::copy(LINKING, &path).unwrap();
        assert_eq!(files(&path).unwrap(), Vec::<PathBuf>::new(), "no such file exists");
        let linked = folder.path().join("linked.h5");
        fs::write(&linked, b"x").unwrap();
        fs::write(folder.path().join("other.h5"), b"y").unwrap();
        assert_eq!(files(&path).unwrap(), [linked]);
        assert_eq!(files(&folder.path().join("other.h5")).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn links_of_links_are_found_and_those_out_of_the_folder_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, links: &[&str]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = SIGNATURE.to_vec();
            bytes.push(0);
            for link in links {
                bytes.extend(link.as_bytes());
                bytes.push(0);
            }
            fs::write(&path, bytes).unwrap();
            path
        };
        let first = write("in/a.h5", &["./b.h5", "sub/d.h5", "../c.h5", "a.h5", "absent.h5"]);
        let (second, third) = (write("in/b.h5", &["e.h5"]), write("in/sub/d.h5", &["f.h5"]));
        let fourth = write("in/e.h5", &["b.h5", "a.h5"]);
        let fifth = write("in/f.h5", &[]);
        write("c.h5", &[]);
        assert_eq!(files(&first).unwrap(), [second, fourth, fifth, third]);
    }
}
