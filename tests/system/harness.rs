//! Shared by the tests: the programs under test, commands and their results,
//! working folders, and recorded data.
//!
//! Tests start commands through [`execute`] or [`start`], which print command line,
//! folder and output. The test runner shows them if the test fails. The folder of a
//! failed test ([`Scratch`]) is kept, and its path is printed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Text of a path, for an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The folder of one test. It is removed if the test passes. If the test fails, it
/// is kept and its path is printed.
pub struct Scratch(Option<tempfile::TempDir>);

impl Scratch {
    pub fn new() -> Self {
        Scratch(Some(tempfile::Builder::new().prefix("pallium-test-").tempdir().unwrap()))
    }

    pub fn path(&self) -> &Path {
        self.0.as_ref().expect("it is taken only on drop").path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let (true, Some(folder)) = (std::thread::panicking(), self.0.take()) {
            println!("the folder of this test is kept: {}", folder.keep().display());
        }
    }
}

/// A folder that several tests share, such as a finished run, below cargo's folder
/// for tests. The next run of the tests removes it.
pub fn shared(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let runs_still = |process: &str| Path::new("/proc").join(process).exists();
        for folder in std::fs::read_dir(all).into_iter().flatten().flatten() {
            if !folder.file_name().to_str().is_some_and(runs_still) {
                let _ = std::fs::remove_dir_all(folder.path());
            }
        }
        all.join(std::process::id().to_string())
    });
    let folder = FOLDER.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// How a command ended.
pub struct Ended {
    /// Exit code, if no signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Fails unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "the command should succeed (see above)");
        self
    }

    /// Fails unless the exit code is 2 and the message contains all of `parts`.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "the command should refuse its input (see above)");
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

/// Runs a command to its end, without standard input.
pub fn execute(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    noted(command, output.status, &output.stdout, &output.stderr)
}

/// Starts a command without waiting for it.
pub fn start(mut command: Command) -> Running {
    // Into files, because a full pipe would block the command.
    let [stdout, stderr] = [(), ()].map(|()| tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    Running { command, child, stdout, stderr }
}

/// A running command; killed if the test ends first.
pub struct Running {
    command: Command,
    child: Child,
    stdout: File,
    stderr: File,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = [&mut self.stdout, &mut self.stderr].map(|file| {
            let mut bytes = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        });
        noted(&self.command, status, &stdout, &stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` returns a value; `what` describes it. Fails after a time that
/// is much longer than a busy machine takes.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const PATIENCE: Duration = Duration::from_secs(300);

/// Prints a command and its output.
fn noted(command: &Command, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Ended {
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    // In shell syntax, with folder and environment.
    println!("$ {command:?}\n{status}");
    for (name, text) in [("stdout", &stdout), ("stderr", &stderr)] {
        // Of a long output, the end.
        let from = text.ceil_char_boundary(text.len().saturating_sub(8_000));
        if !text.is_empty() {
            println!("{name}:\n{}", &text[from..]);
        }
    }
    Ended { code: status.code(), stdout, stderr }
}

/// Cargo as from a shell: without the variables that it sets for tests. Build scripts
/// that read them would run again and rebuild the program, now and in the next build.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|p| text.starts_with(p))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Cargo for a crate outside the workspace. Such crates share a target folder, and so
/// their dependencies, apart from the workspace's: its users load what is there. They are
/// built without optimization, to save time.
pub fn cargo_outside(folder: &Path) -> Command {
    let mut command = cargo();
    command.current_dir(folder).env("CARGO_TARGET_DIR", outside("target"));
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "false").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    command
}

/// A folder for crates outside the workspace that is kept, so that cargo builds only what
/// has changed since the last run of the tests.
pub fn outside(name: &str) -> PathBuf {
    let folder = target().join("outside").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file unless it has this content already, which would make cargo build it
/// again.
pub fn write_changed(path: &Path, content: &[u8]) {
    if std::fs::read(path).is_ok_and(|known| known == content) {
        return;
    }
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Cargo's target folder, which contains this test as `PROFILE/deps/system-…`.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).expect("a test lies three folders below the target folder").to_owned()
}

/// The result of a build.
pub struct Built {
    success: bool,
    /// Libraries and executables.
    files: Vec<PathBuf>,
    /// Cargo's output, with compiler warnings.
    pub stderr: String,
}

impl Built {
    /// Runs a build command of cargo.
    pub fn by(command: &mut Command) -> Built {
        command.arg("--message-format=json-render-diagnostics");
        let output = command.stdin(Stdio::null()).output().expect("cargo starts");
        let stdout = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
        let messages = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let files = messages
            .filter(|message| message["reason"] == "compiler-artifact")
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .filter_map(|name| name.as_str().map(PathBuf::from))
            .collect();
        let stderr = format!("$ {command:?}\n{}", String::from_utf8_lossy(&output.stderr));
        Built { success: output.status.success(), files, stderr }
    }

    /// Fails unless everything was built.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.success, "{}", self.stderr);
        self
    }

    /// The library of the crate `name`, such as `pallium_spatial`.
    #[track_caller]
    pub fn library(&self, name: &str) -> PathBuf {
        let file = format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        self.file(|found| found == file, name)
    }

    /// The executable `name`.
    #[track_caller]
    pub fn executable(&self, name: &str) -> PathBuf {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.file(|found| found == file, name)
    }

    #[track_caller]
    fn file(&self, is: impl Fn(&str) -> bool, name: &str) -> PathBuf {
        let found = self.files.iter().find(|path| path.file_name().and_then(|f| f.to_str()).is_some_and(&is));
        found.unwrap_or_else(|| panic!("{name} is not built:\n{}", self.stderr)).clone()
    }
}

/// The executable, the plugins and the fixtures, built like the README's command.
/// After `cargo test --release --workspace` only plugins are left to build.
static PRODUCTS: LazyLock<Built> = LazyLock::new(|| {
    let all = ["--workspace", "--exclude", "pallium-benches", "--lib", "--bins", "--examples"];
    Built::by(cargo().current_dir(root()).args(["build", "--release"]).args(all)).ok()
});

/// The executable.
pub fn executable() -> PathBuf {
    PRODUCTS.executable("pallium")
}

/// The plugin library of a crate of this workspace, such as `pallium_spatial`.
pub fn plugin(name: &str) -> PathBuf {
    PRODUCTS.library(name)
}

/// The libraries of the workspace that crates can link, by name.
pub fn libraries() -> Vec<(String, PathBuf)> {
    let folder = executable().parent().expect("it lies in a folder").to_owned();
    let own = PRODUCTS.files.iter().filter(|path| path.parent() == Some(&folder));
    let name = |path: &PathBuf| {
        let stem = path.file_stem()?.to_str()?.strip_prefix("lib")?;
        (path.extension()? == "rlib").then(|| (stem.to_owned(), path.clone()))
    };
    own.filter_map(name).collect()
}

/// The library of another crate that the workspace is built with, such as
/// `candle_core`.
pub fn dependency(name: &str) -> PathBuf {
    let (first, last) = (format!("lib{name}-"), ".rlib");
    PRODUCTS.file(|found| found.starts_with(&first) && found.ends_with(last), name)
}

/// The library of `fixtures/{name}.rs`.
pub fn fixture(name: &str) -> PathBuf {
    plugin(&format!("fixture_{name}"))
}

/// A command that runs the executable at the root with only its own plugins.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command.current_dir(root()).args(arguments).env("PALLIUM_PLUGIN_PATH", "");
    command
}

/// Runs the executable at the root.
pub fn pallium(arguments: &[&str]) -> Ended {
    execute(&mut program(arguments))
}

/// Runs the executable at the root, with `plugins` on the plugin path.
pub fn pallium_with(plugins: &[&Path], arguments: &[&str]) -> Ended {
    pallium_in(&root(), plugins, arguments)
}

/// Runs the executable in `folder`, with `plugins` on the plugin path.
pub fn pallium_in(folder: &Path, plugins: &[&Path], arguments: &[&str]) -> Ended {
    let path = std::env::join_paths(plugins).unwrap();
    execute(program(arguments).current_dir(folder).env("PALLIUM_PLUGIN_PATH", path))
}

/// Reports that a test, or a part of it, is skipped, and why. It writes past the test
/// runner, which hides the output of tests that pass.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", thread.name().unwrap_or("a test"));
}

/// A recorded field, or `None` with a message.
pub fn field(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("PALLIUM_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared/data"),
    };
    found(folder.join(name), "recorded fields are looked for in ../shared/data or $PALLIUM_DATA")
}

/// A file of reference values, or `None` with a message.
pub fn golden(name: &str) -> Option<PathBuf> {
    found(root().join("../shared/golden").join(name), "reference values of recorded fields go with them")
}

fn found(path: PathBuf, why: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} does not exist; {why}", path.display()));
    None
}

/// JSON of a file.
pub fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Rows of a `results.csv` as maps from column to text.
pub fn results(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join("results.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>(),
        ["variant", "task", "run", "split", "measure", "value", "status", "folder"],
        "the columns of results.csv must not change"
    );
    reader
        .records()
        .map(|row| header.iter().map(str::to_owned).zip(row.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

/// Shape and values of a tensor.
pub type Shaped = (Vec<usize>, Vec<f32>);

/// The tensors of single precision in a safetensors file, by name.
pub fn tensors(path: &Path) -> BTreeMap<String, Shaped> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let read = |(name, tensor): (String, Value)| {
        if tensor["dtype"] != "F32" {
            return None;
        }
        let [from, to] = [0, 1].map(|k| tensor["data_offsets"][k].as_u64().unwrap() as usize + 8 + length);
        let values = bytes[from..to].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Some((name, (serde_json::from_value(tensor["shape"].clone()).unwrap(), values)))
    };
    header.into_iter().filter_map(read).collect()
}

/// The folders of a run's trainings, by variant.
pub fn trainings(out: &Path) -> BTreeMap<String, PathBuf> {
    let folders =
        results(out).into_iter().map(|row| (row["variant"].clone(), out.join("cells").join(&row["folder"])));
    folders.collect()
}
