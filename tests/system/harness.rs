//! What the tests share: the executable built once, fixtures built outside the
//! workspace, commands run and their output kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// A command as it would be started from a shell: without what cargo tells tests
/// about their package. A dependency whose build asks for that would be built
/// anew, and with it the program: when a test starts, and by whoever builds next.
pub fn from_a_shell(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|p| told.starts_with(p))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs these tests.
pub fn own_cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

fn cargo(folder: &Path, arguments: &[&str]) -> Vec<PathBuf> {
    let output = from_a_shell(&own_cargo())
        .current_dir(folder)
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo build {arguments:?} failed in {}", folder.display());
    String::from_utf8(output.stdout)
        .expect("cargo writes UTF-8")
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .collect()
}

/// Everything that `cargo build --release` makes at the root: the executable
/// and the plugins beside it. (`cargo test` alone does not build plugins.)
static PRODUCTS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let products = cargo(&root(), &[]);
    let executable = root().join("target/release/pallium");
    let mut products: Vec<_> =
        products.into_iter().filter(|p| p.extension().is_some_and(|e| e == "so" || e == "dylib")).collect();
    let folder = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    products.push(folder.map_or(executable, |f| f.join("release/pallium")));
    products
});

/// The executable.
pub fn executable() -> PathBuf {
    PRODUCTS.last().expect("the executable is built").clone()
}

/// The plugin library of a crate of this workspace, such as `pallium_spatial`.
pub fn plugin(name: &str) -> PathBuf {
    PRODUCTS
        .iter()
        .find(|p| p.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(name)))
        .unwrap_or_else(|| panic!("{name} was not built"))
        .clone()
}

/// A crate of `fixtures/`, copied out of the workspace and built there on its
/// own; the library it makes.
pub fn fixture(name: &str, arguments: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    LazyLock::force(&PRODUCTS);
    let from = root().join("tests/fixtures").join(name);
    let to = std::env::temp_dir().join(format!("pallium-fixtures-{}", std::process::id())).join(name);
    std::fs::create_dir_all(to.join("src")).unwrap();
    let manifest = std::fs::read_to_string(from.join("Cargo.toml")).unwrap();
    let core = root().join("core");
    std::fs::write(to.join("Cargo.toml"), manifest.replace("CORE", core.to_str().unwrap())).unwrap();
    std::fs::copy(from.join("src/lib.rs"), to.join("src/lib.rs")).unwrap();
    // The same versions as here, so that what is built already is used again.
    std::fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
    let target = root().join("target");
    let mut all = vec!["--target-dir", target.to_str().unwrap()];
    all.extend(arguments);
    let products = cargo(&to, &all);
    let library = products
        .iter()
        .rev()
        .find(|p| {
            p.extension().is_some_and(|e| e == "so" || e == "dylib")
                && p.to_string_lossy().contains("fixture")
        })
        .expect("the fixture makes a library");
    // A later build of the same name must not change this one.
    let kept = to.join(format!("lib{name}-{}.so", arguments.len()));
    std::fs::copy(library, &kept).unwrap();
    kept
}

/// How a command ended.
pub struct Ended {
    /// Exit code, if it was not ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless the command ended as a user's mistake does, and its
    /// message has all of `parts`.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no «{part}» in:\n{}", self.stderr);
        }
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in:\n{}", self.stdout))
    }
}

/// Runs the executable at the root, with `plugins` on the plugin path.
pub fn pallium_with(plugins: &[&Path], arguments: &[&str]) -> Ended {
    pallium_in(&root(), plugins, arguments)
}

/// Runs the executable in `folder`, with `plugins` on the plugin path.
pub fn pallium_in(folder: &Path, plugins: &[&Path], arguments: &[&str]) -> Ended {
    let output = Command::new(executable())
        .current_dir(folder)
        .args(arguments)
        .env("PALLIUM_PLUGIN_PATH", std::env::join_paths(plugins).unwrap())
        .stdin(Stdio::null())
        .output()
        .expect("the executable starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the executable at the root.
pub fn pallium(arguments: &[&str]) -> Ended {
    pallium_with(&[], arguments)
}

/// A real field, or `None` with a plain word about it.
pub fn field(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("PALLIUM_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared/data"),
    };
    found(folder.join(name))
}

/// A file of reference values, or `None` with a plain word about it.
pub fn golden(name: &str) -> Option<PathBuf> {
    found(root().join("../shared/golden").join(name))
}

fn found(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

/// JSON of a file.
pub fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Rows of a `results.csv` as maps from column to text.
pub fn results(folder: &Path) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join("results.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>(),
        ["variant", "task", "run", "split", "measure", "value", "status"],
        "the columns of results.csv are a promise"
    );
    reader
        .records()
        .map(|row| header.iter().map(str::to_owned).zip(row.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

/// Text of a path, for an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}
