//! Plugin crates outside the workspace, from `pallium plugins new`.
//!
//! `page.rs` builds one of them with cargo, as an author does. There cargo builds the
//! core and its dependencies again, because their features differ from the
//! workspace's. To save that, tests compile the other crates by rustc directly, with
//! the workspace's core.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Ended, dependency, execute, libraries, pallium, root, shared, text};

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Creates a plugin for a role by `pallium plugins new` in a folder that several tests
/// share, and returns its folder.
pub fn begin(parent: &str, name: &str, role: &str) -> PathBuf {
    begin_with(parent, name, &["--role", role])
}

/// As [`begin`], with these options.
pub fn begin_with(parent: &str, name: &str, options: &[&str]) -> PathBuf {
    let parent = shared(parent);
    let words = ["plugins", "new", name, "--dir", text(&parent)];
    let ended = pallium(&[&words, options].concat()).ok();
    let folder = parent.join(name);
    for part in [format!("own.{name}"), "cargo test".into()] {
        assert!(ended.stdout.contains(&part), "no «{part}» in:\n{}", ended.stdout);
    }
    // Use the workspace's versions, which are already built.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

/// Compiles the library of a crate to cargo's usual place.
pub fn library(folder: &Path) -> PathBuf {
    let name = crate_name(folder);
    let file = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    compiled(folder, "--crate-type=cdylib", &file)
}

/// Compiles the tests of a crate and runs them as cargo does.
pub fn test(folder: &Path) -> Ended {
    let file = format!("{}-tests{}", crate_name(folder), std::env::consts::EXE_SUFFIX);
    execute(Command::new(compiled(folder, "--test", &file)).current_dir(folder))
}

fn crate_name(folder: &Path) -> String {
    folder.file_name().and_then(|name| name.to_str()).expect("a crate has a name").replace('-', "_")
}

/// Compiles a crate; warnings are failures.
fn compiled(folder: &Path, kind: &str, file: &str) -> PathBuf {
    let out = folder.join("target/release").join(file);
    std::fs::create_dir_all(out.parent().unwrap()).unwrap();
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler.current_dir(folder).args(["--edition=2024", "-Copt-level=1", kind, "src/lib.rs"]);
    compiler.args(["--crate-name", &crate_name(folder), "-o", text(&out)]);
    for (name, library) in libraries() {
        compiler.arg("--extern").arg(format!("{name}={}", library.display()));
        compiler.arg(format!("-Ldependency={}", library.with_file_name("deps").display()));
    }
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, library) in [("candle-core", "candle_core"), ("rayon", "rayon")] {
        if manifest.contains(&format!("\n{name} = ")) {
            compiler.arg("--extern").arg(format!("{library}={}", dependency(library).display()));
        }
    }
    // Variables that cargo sets for a package.
    compiler.env("CARGO_PKG_NAME", folder.file_name().unwrap()).env("CARGO_PKG_VERSION", "0.1.0");
    let ended = execute(&mut compiler).ok();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    out
}
