//! Crates that tests make: plugins as their authors begin them, outside the
//! workspace.
//!
//! `page.rs` has cargo build one of them as an author does. Cargo then builds the
//! core and what it depends on once more, since features differ from those of
//! the whole workspace. So the others are given to the compiler as cargo gives
//! them, but with the core of the workspace, each by the test that uses it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Ended, execute, libraries, pallium, root, shared, text};

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

/// Begins a plugin for a role by `pallium plugins new` in a folder that several
/// tests share; its folder.
pub fn begin(parent: &str, name: &str, role: &str) -> PathBuf {
    let parent = shared(parent);
    let ended = pallium(&["plugins", "new", name, "--role", role, "--dir", text(&parent)]).ok();
    let folder = parent.join(name);
    for part in [format!("own.{name}"), "cargo test".into()] {
        assert!(ended.stdout.contains(&part), "no «{part}» in:\n{}", ended.stdout);
    }
    // The versions of the workspace, which are built already.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

/// Compiles the library of a crate, to where cargo puts it for a crate that
/// stands alone.
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

/// Fails if the compiler warns of anything.
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
    // What cargo tells the compiler about a package.
    compiler.env("CARGO_PKG_NAME", folder.file_name().unwrap()).env("CARGO_PKG_VERSION", "0.1.0");
    let ended = execute(&mut compiler).ok();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    out
}
