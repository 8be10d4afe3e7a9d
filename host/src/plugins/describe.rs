//! What a plugin file offers, found out in a child process, since a library may
//! crash, hang or print while it is loaded.
//!
//! Descriptions are kept in the user's cache folder under the file's hash, so a
//! file is opened once after each build.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use pallium_core::abi::Manifest;
use pallium_core::{Description, Error, Kind, Result};
use pallium_files::hash;
use pallium_record::VERSION;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use super::file::{PluginFile, Stamp};
use super::{elf, gate, manifest};
use crate::child::{End, Terms, inside, supervise};

/// Time limit of loading a file. Even large ones take a fraction of a second.
const LIMIT: Duration = Duration::from_secs(15);
/// Time limit of describing a component whose code is in a file, which may import
/// large packages. The plugin may have a shorter one of its own.
const COMPONENT_LIMIT: Duration = Duration::from_secs(300);
/// Age at which a description in the cache is removed.
const OLD: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The event of a process that describes a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Described {
    Manifest(Manifest),
    Component(Option<Description>),
    Refused(Error),
}

/// Descriptions of the plugin files at `paths`, in order, several at a time.
pub fn describe_all(paths: &[&Path], cache: Option<&Path>) -> Vec<Result<(PluginFile, Manifest)>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { return done };
            done.push((at, describe(path, cache)));
        }
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores.min(paths.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, one)| one).collect()
}

/// The description of the plugin file at `path`.
///
/// # Errors
/// If the gate refuses the file, or the process that loads it crashes, exits or
/// takes too long.
fn describe(path: &Path, cache: Option<&Path>) -> Result<(PluginFile, Manifest)> {
    elf::check(path)?;
    let stamp = Stamp::from_file(path);
    let sha256 = hash::file(path)?;
    let kept = cache.map(|folder| entry(folder, &sha256));
    let file = |manifest: &Manifest, sha256| PluginFile::new(path, sha256, stamp, manifest);
    if let Some(manifest) = kept.as_deref().and_then(read) {
        return Ok((file(&manifest, sha256), manifest));
    }
    let manifest = describe_in_child(path, &sha256)?;
    // A file that changed meanwhile does not belong to the hash.
    if let Some(kept) = kept
        && Stamp::from_file(path) == stamp
        && let Err(e) = keep(&kept, &manifest)
    {
        tracing::info!("the description of {} is not kept: {e}", path.display());
    }
    Ok((file(&manifest, sha256), manifest))
}

fn describe_in_child(path: &Path, sha256: &str) -> Result<Manifest> {
    let (described, end) = asked(path, sha256, &[], LIMIT)?;
    match described {
        Some(Described::Manifest(manifest)) => {
            let printed = end.log.last_line();
            if !printed.is_empty() {
                tracing::warn!(
                    "{} printed while it was loaded, which a plugin should not do: {printed}",
                    path.display()
                );
            }
            // Again, since it comes from a process in which a plugin runs.
            manifest::check(&manifest).map_err(|e| e.context(format!("{} was refused", path.display())))?;
            Ok(manifest)
        }
        Some(Described::Refused(error)) => Err(error),
        _ => Err(Error::plugin(format!("{} cannot be loaded", path.display()))
            .because(end.reason(None, ""))
            .help("the library fails by itself, before any component is built; remove it from the plugin path, or correct and rebuild it")),
    }
}

/// The description of a component of the file at `path` with these parameters (a JSON
/// object), if it depends on them.
///
/// # Errors
/// If a parameter is wrong, or the process crashes, exits or takes too long.
pub(super) fn component_in_child(
    path: &Path,
    sha256: &str,
    id: &str,
    params: &str,
) -> Result<Option<Description>> {
    match asked(path, sha256, &[id, params], COMPONENT_LIMIT)? {
        (Some(Described::Component(described)), _) => Ok(described),
        (Some(Described::Refused(error)), _) => Err(error),
        (_, end) => Err(Error::plugin(format!("`{id}` of {} cannot be described", path.display()))
            .because(end.reason(None, ""))),
    }
}

/// What a child process says of the file at `path`, or of a component of it, and how
/// the process ended.
fn asked(path: &Path, sha256: &str, component: &[&str], limit: Duration) -> Result<(Option<Described>, End)> {
    let executable = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))?;
    let mut command = Command::new(executable);
    command.args(["--log", &LevelFilter::current().to_string(), "plugins", "describe"]);
    command.arg(path).arg(sha256).args(component);
    let mut described = None;
    let terms = Terms { limit: Some(limit), ..Terms::default() };
    let end = supervise(&mut command, &terms, &mut |event: Described| {
        described = Some(event);
        ControlFlow::Break(())
    });
    let output = end.log.text();
    if !output.trim().is_empty() {
        tracing::debug!("output while {} was loaded: {output}", path.display());
    }
    Ok((described, end))
}

/// The child's side: loads the file at `path`, whose hash is known, and sends its
/// description, or that of a component (id and parameters), to the parent.
///
/// # Errors
/// If the parent has ended.
pub fn describe_for_parent(path: &Path, sha256: &str, component: Option<(&str, &str)>) -> Result<()> {
    inside::end_with_parent(inside::take_input()?);
    let described = gate::admit_known(path, Some(sha256)).and_then(|admitted| match component {
        Some((id, params)) => admitted.library.describe(id, params).map(Described::Component),
        None => Ok(Described::Manifest(admitted.manifest)),
    });
    inside::emit(&described.unwrap_or_else(Described::Refused))
}

/// The cache's file for the description of a file with this hash.
fn entry(cache: &Path, sha256: &str) -> PathBuf {
    cache.join("plugins").join(format!("{sha256}-{VERSION}-{}.json", pallium_core::VERSION))
}

/// A description in the cache; `None` if there is none or it is broken.
fn read(entry: &Path) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(entry).ok()?).ok()?;
    manifest::check(&manifest).is_ok().then_some(manifest)
}

fn keep(entry: &Path, manifest: &Manifest) -> std::io::Result<()> {
    let folder = entry.parent().unwrap_or(entry);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".unfinished-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec(manifest)?)?;
    file.persist(entry).map_err(|e| e.error)?;
    remove_old(folder)
}

fn remove_old(folder: &Path) -> std::io::Result<()> {
    for kept in std::fs::read_dir(folder)?.flatten() {
        let changed = kept.metadata().and_then(|about| about.modified());
        let age = changed.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age > OLD) {
            std::fs::remove_file(kept.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn descriptions_are_kept_and_broken_ones_ignored() {
        let cache = tempfile::tempdir().unwrap();
        let place = entry(cache.path(), "00ff");
        assert!(read(&place).is_none());
        let manifest = Manifest {
            name: "a".into(),
            version: "1.0.0".into(),
            core_version: "0.1.0".into(),
            unwinds: true,
            ..Manifest::default()
        };
        keep(&place, &manifest).unwrap();
        assert_eq!(read(&place).unwrap().name, "a");
        let whole = std::fs::read(&place).unwrap();
        for broken in [&whole[..whole.len() / 2], b"", b"{}", b"\xff", br#"{"name":"\u001b"}"#] {
            std::fs::write(&place, broken).unwrap();
            assert!(read(&place).is_none());
            keep(&place, &manifest).unwrap();
            assert!(read(&place).is_some());
        }
        assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn descriptions_of_files_long_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("old", OLD + Duration::from_secs(60)), ("new", Duration::ZERO)] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        remove_old(folder.path()).unwrap();
        assert!(folder.path().join("new").exists() && !folder.path().join("old").exists());
    }
}
