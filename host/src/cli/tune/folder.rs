//! The folder of a tuning: it states which tuning it holds, so that the same command
//! continues it and another one is refused.

use std::fs;
use std::io;
use std::path::Path;

use pallium_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::cli::output;

/// The file that states which tuning a folder holds.
const RECORD: &str = "tuning.json";

/// Everything that the result of a tuning depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The experiment with its bases and overrides.
    pub experiment: String,
    /// `--factor`.
    pub factor: u32,
    /// `--runs`.
    pub runs: u32,
    /// The seed of the trainings.
    pub seed: u64,
}

impl Record {
    /// Names of what differs.
    fn differing(&self, other: &Self) -> Vec<&'static str> {
        let all = [
            ("the experiment", self.experiment != other.experiment),
            ("--factor", self.factor != other.factor),
            ("--runs", self.runs != other.runs),
            ("--seed", self.seed != other.seed),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}

/// Creates the folder of a tuning, or continues it.
///
/// # Errors
/// If it cannot be written, or, without `force`, holds another tuning or anything else.
pub(super) fn open(folder: &Path, record: &Record, force: bool) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let path = folder.join(RECORD);
    let known = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Record>(&bytes).ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io(&path, &e)),
    };
    match known {
        Some(known) if known == *record => return Ok(()),
        _ if force => {}
        Some(known) => {
            return Err(Error::input(format!(
                "{} holds another tuning; what differs: {}",
                folder.display(),
                known.differing(record).join(", ")
            ))
            .help("name another folder with --out, or replace its tuned.toml and tuning.csv with --force"));
        }
        None if is_empty(folder)? => {}
        None => {
            return Err(Error::input(format!("{} is not empty and holds no tuning", folder.display()))
                .help("name another folder with --out, or write into this one with --force"));
        }
    }
    let text = serde_json::to_string_pretty(record)
        .map_err(|e| Error::bug(format!("a tuning cannot be written as JSON: {e}")))?;
    output::write(&path, format!("{text}\n").as_bytes(), true)
}

/// Whether a folder has no entry, apart from hidden ones.
fn is_empty(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, &e))? {
        let name = entry.map_err(|e| Error::io(folder, &e))?.file_name();
        if !name.to_string_lossy().starts_with('.') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a result of the tuning.
///
/// # Errors
/// If it cannot be written or, without `force`, exists with other content.
pub(super) fn put(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(()),
        Ok(_) if !force => Err(Error::input(format!(
            "{} exists already with other content than this tuning gives",
            path.display()
        ))
        .help("rename it, or replace it with --force; finished trainings are kept")),
        _ => output::write(path, bytes, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record { experiment: "runs = 5\n".into(), factor: 3, runs: 2, seed: 4 }
    }

    #[test]
    fn only_the_same_tuning_is_continued() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("tuning");
        open(&folder, &record(), false).unwrap();
        fs::create_dir(folder.join("trainings")).unwrap();
        open(&folder, &record(), false).unwrap();
        let other = Record { seed: 5, runs: 3, ..record() };
        let error = open(&folder, &other, false).unwrap_err();
        assert!(error.message.ends_with("what differs: --runs, --seed"), "{error}");
        assert!(error.help.unwrap().contains("--force"));
        open(&folder, &record(), false).unwrap();
        open(&folder, &other, true).unwrap();
        open(&folder, &other, false).unwrap();
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(".hidden"), "").unwrap();
        fs::write(scratch.path().join("manifest.json"), "{}").unwrap();
        let error = open(scratch.path(), &record(), false).unwrap_err();
        assert!(error.message.contains("holds no tuning") && error.help.unwrap().contains("--force"));
        fs::remove_file(scratch.path().join("manifest.json")).unwrap();
        open(scratch.path(), &record(), false).unwrap();
        fs::write(scratch.path().join(RECORD), "?").unwrap();
        assert!(open(scratch.path(), &record(), false).is_err());
        open(scratch.path(), &record(), true).unwrap();
    }

    #[test]
    fn a_result_with_other_content_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("tuned.toml");
        put(&path, b"runs = 5\n", false).unwrap();
        put(&path, b"runs = 5\n", false).unwrap();
        fs::write(&path, "runs = 20\n").unwrap();
        let error = put(&path, b"runs = 5\n", false).unwrap_err();
        assert!(error.message.contains("other content"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"runs = 20\n");
        put(&path, b"runs = 5\n", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"runs = 5\n");
    }
}
