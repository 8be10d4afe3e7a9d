//! The sources of `pallium-core` and `pallium-testkit` that this executable was
//! built from. They travel inside it, so that a plugin can be begun, built and
//! passed on without a checkout of Pallium.

use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};
use pallium_core::{Error, Result};
use toml::{Table, Value};

/// Where a plugin keeps the sources, from its own folder.
pub const FOLDER: &str = "vendor/pallium";
/// The versions of all dependencies with which Pallium is tested.
pub const LOCK: &str = include_str!("../../../Cargo.lock");

static CORE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../core/src");
static TESTKIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../core/testkit/src");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
/// Manifests and licences.
const OTHERS: [(&str, &str); 4] = [
    ("core/Cargo.toml", include_str!("../../../core/Cargo.toml")),
    ("core/testkit/Cargo.toml", include_str!("../../../core/testkit/Cargo.toml")),
    ("LICENSE-MIT", include_str!("../../../LICENSE-MIT")),
    ("LICENSE-APACHE", include_str!("../../../LICENSE-APACHE")),
];

/// The files of [`FOLDER`]: their paths in it and their contents. It is a
/// workspace of two crates, whose manifests inherit from it as from Pallium's.
///
/// # Errors
/// If Pallium's manifests are not as expected.
pub fn files() -> Result<Vec<(String, String)>> {
    let mut files = vec![("Cargo.toml".to_owned(), workspace()?)];
    files.extend(OTHERS.map(|(path, text)| (path.to_owned(), text.to_owned())));
    sources(&CORE, "core/src", &mut files)?;
    sources(&TESTKIT, "core/testkit/src", &mut files)?;
    Ok(files)
}

/// The dependency on another library, as Pallium has it, as a line of a manifest.
///
/// # Errors
/// If Pallium does not depend on it.
pub fn dependency(name: &str) -> Result<String> {
    let manifest = WORKSPACE.parse::<Table>().map_err(|e| Error::bug(e.to_string()))?;
    let all = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let value = all.and_then(|all| all.get(name));
    let value = value.ok_or_else(|| Error::bug(format!("Pallium does not depend on `{name}`")))?;
    Ok(format!("{name} = {value}"))
}

fn sources(folder: &Dir<'_>, place: &str, files: &mut Vec<(String, String)>) -> Result<()> {
    for file in folder.files() {
        let path = format!("{place}/{}", file.path().display());
        let text = file.contents_utf8().ok_or_else(|| Error::bug(format!("{path} is not text")))?;
        files.push((path, text.to_owned()));
    }
    folder.dirs().try_for_each(|folder| sources(folder, place, files))
}

/// The manifest of the two crates' workspace: the parts of Pallium's that they
/// inherit.
fn workspace() -> Result<String> {
    let odd = |what: &str| Error::bug(format!("the manifest of {what} is not as expected"));
    let parse = |text: &str| text.parse::<Table>().map_err(|e| Error::bug(e.to_string()));
    let mut needed = Vec::new();
    for (path, text) in OTHERS.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let manifest = parse(text)?;
        let names = manifest.get("dependencies").and_then(Value::as_table).ok_or_else(|| odd(path))?;
        needed.extend(names.keys().cloned());
    }
    let mut all = parse(WORKSPACE)?;
    let mut take = |key: &str| {
        let workspace = all.get_mut("workspace").and_then(Value::as_table_mut);
        workspace.and_then(|table| table.remove(key)).ok_or_else(|| odd("the workspace"))
    };
    let mut dependencies = take("dependencies")?;
    if let Some(table) = dependencies.as_table_mut() {
        table.retain(|name, _| needed.iter().any(|needed| needed == name));
    }
    let workspace = Table::from_iter([
        ("resolver".to_owned(), take("resolver")?),
        ("members".to_owned(), vec!["core", "core/testkit"].into()),
        ("package".to_owned(), take("package")?),
        ("dependencies".to_owned(), dependencies),
        ("lints".to_owned(), take("lints")?),
    ]);
    let text = Table::from_iter([("workspace".to_owned(), workspace.into())]);
    Ok(format!(
        "# Sources of pallium-core {} and its conformance checks, as they came with pallium.\n\
         # `pallium plugins vendor` replaces this folder by that of a newer version.\n{text}",
        pallium_core::VERSION
    ))
}

/// Writes the sources to [`FOLDER`] in a plugin's folder, in place of older ones.
///
/// # Errors
/// If the folder cannot be written; older sources are then kept.
pub fn write(plugin: &Path) -> Result<()> {
    let target = plugin.join(FOLDER);
    let parent = target.parent().unwrap_or(plugin);
    let failed = |e: io::Error| Error::io(&target, &e);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(failed)?;
    // In subfolders, since the temporary folder itself is private.
    let (new, old) = (beside.path().join("new"), beside.path().join("old"));
    for (path, text) in files()? {
        let path = new.join(path);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)?;
    }
    if target.exists() {
        std::fs::rename(&target, old).map_err(failed)?;
    }
    std::fs::rename(&new, &target).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_those_of_the_checkout() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = files().unwrap();
        let mut count = 0;
        for (path, text) in files.iter().filter(|(path, _)| path != "Cargo.toml") {
            assert_eq!(*text, std::fs::read_to_string(root.join(path)).unwrap(), "{path}");
            count += usize::from(path.ends_with(".rs"));
        }
        let mut expected = 0;
        let mut folders = vec![root.join("core/src"), root.join("core/testkit/src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => expected += 1,
                }
            }
        }
        assert_eq!(count, expected);
    }

    #[test]
    fn their_workspace_has_what_the_two_crates_inherit() {
        let files = files().unwrap();
        let workspace: Table = files[0].1.parse().unwrap();
        let workspace = workspace["workspace"].as_table().unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml")) {
            let manifest: Table = text.parse().unwrap();
            for part in ["package", "dependencies"] {
                for (name, value) in manifest[part].as_table().unwrap() {
                    if value.get("workspace").is_some() {
                        assert!(workspace[part].get(name).is_some(), "{path}: {part}.{name}");
                    }
                }
            }
        }
        // Of Pallium's crates, only these two.
        let own = workspace["dependencies"].as_table().unwrap();
        let own: Vec<&String> = own.keys().filter(|name| name.starts_with("pallium")).collect();
        assert_eq!(own, ["pallium-core"]);
    }

    #[test]
    fn older_sources_are_replaced() {
        let plugin = tempfile::tempdir().unwrap();
        let stray = plugin.path().join(FOLDER).join("stray.rs");
        write(plugin.path()).unwrap();
        std::fs::write(&stray, "").unwrap();
        write(plugin.path()).unwrap();
        assert!(!stray.exists() && plugin.path().join(FOLDER).join("core/testkit/src/lib.rs").exists());
        assert_eq!(std::fs::read_dir(plugin.path().join("vendor")).unwrap().count(), 1);
    }
}
