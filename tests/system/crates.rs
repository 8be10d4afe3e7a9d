//! Crates made by tests: built outside the workspace, in its target folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use crate::harness::{from_a_shell, own_cargo, plugin, root, text};

/// A folder of this test process, for crates that are built.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("pallium-crates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// A new name for a folder for crates.
pub fn place(name: &str) -> PathBuf {
    FOLDER.join(name)
}

/// How cargo ended.
pub struct Built {
    pub success: bool,
    /// What it made, in the order in which it was made.
    pub artifacts: Vec<PathBuf>,
    pub stdout: String,
    pub stderr: String,
}

impl Built {
    /// The last artifact whose file name has `part` in it and ends in `ending`.
    #[track_caller]
    pub fn artifact(&self, part: &str, ending: &str) -> PathBuf {
        assert!(self.success, "{}", self.stderr);
        let named = |p: &&PathBuf| {
            let name = p.file_name().unwrap().to_string_lossy();
            name.contains(part) && name.ends_with(ending)
        };
        self.artifacts
            .iter()
            .rev()
            .find(named)
            .unwrap_or_else(|| panic!("no {part} in {:?}", self.artifacts))
            .clone()
    }
}

/// Runs cargo (or a command that runs it) in `folder`, with the workspace's
/// versions and target folder so that little is built anew.
pub fn cargo(folder: &Path, program: &[&str], arguments: &[&str]) -> Built {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    // Everything else is built first.
    plugin("pallium_spatial");
    if !folder.join("Cargo.lock").exists() {
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    }
    let own = own_cargo();
    let program = if program.is_empty() { vec![own.as_str()] } else { program.to_vec() };
    let mut command = from_a_shell(program[0]);
    command.args(&program[1..]).args(arguments).current_dir(folder).stdin(Stdio::null());
    if arguments.first() != Some(&"update") {
        let target = root().join("target");
        let (before, after): (Vec<&str>, Vec<&str>) = (vec!["--target-dir", text(&target)], vec![]);
        command.args(before).args(after);
        if arguments[0] == "build" {
            command.arg("--message-format=json-render-diagnostics");
        }
    }
    let output = command.output().expect("cargo starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let artifacts = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|m| {
            [m["filenames"].as_array().cloned().unwrap_or_default(), vec![m["executable"].clone()]].concat()
        })
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .collect();
    Built {
        success: output.status.success(),
        artifacts,
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Builds a plugin crate; its library, copied to where the crate's own target
/// folder would have it.
#[track_caller]
pub fn library(folder: &Path) -> PathBuf {
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
    let name = manifest["package"]["name"].as_str().unwrap().replace('-', "_");
    let built = cargo(folder, &[], &["build", "--release"]);
    let file = built.artifact(&name, std::env::consts::DLL_SUFFIX);
    let kept = folder.join("target/release").join(file.file_name().unwrap());
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::copy(file, &kept).unwrap();
    kept
}

/// A fixture as a crate called `name` that depends on the core in `core`.
pub fn fixture_of(fixture: &str, name: &str, core: &Path) -> PathBuf {
    let from = root().join("tests/fixtures").join(fixture);
    let to = place(name);
    copy(&from, &to);
    let manifest = std::fs::read_to_string(from.join("Cargo.toml")).unwrap();
    let manifest = manifest
        .replace("CORE", text(core))
        .replace(&format!("fixture-{fixture}"), &format!("fixture-{name}"));
    std::fs::write(to.join("Cargo.toml"), manifest).unwrap();
    to
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            std::fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}

/// A copy of the core as version `version`, with `edits` (file, text, its
/// replacement) made; every text must be found exactly once.
pub fn core_copy(name: &str, version: &str, edits: &[(&str, &str, &str)]) -> PathBuf {
    let to = place(name);
    copy(&root().join("core"), &to.join("core"));
    let mut manifest: toml::Table =
        std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let workspace = manifest["workspace"].as_table_mut().unwrap();
    workspace.insert("members".into(), toml::Value::try_from(["core"]).unwrap());
    workspace.remove("default-members");
    workspace["package"].as_table_mut().unwrap().insert("version".into(), version.into());
    std::fs::write(to.join("Cargo.toml"), manifest.to_string()).unwrap();
    for (file, old, new) in edits {
        let path = to.join("core/src").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{file}: {old}");
        std::fs::write(path, text.replace(old, new)).unwrap();
    }
    to.join("core")
}
