//! README and docs: every block runs, every link resolves.
//!
//! Blocks run page by page in one scratch folder with the layout of a clone with
//! data, so a block can use files of earlier ones. A comment before a block changes
//! that:
//!
//! - `<!-- file: PATH -->`: the block is the content of that file;
//! - `<!-- test: dry -->`: `pallium run` and `pallium submit` get `--dry-run`;
//! - `<!-- test: REASON -->`: the block is not run, for this reason. The test still
//!   checks the options of its `pallium` commands and the packages and programs of
//!   its `cargo` commands. `needs python3` runs if Python is installed.
//!
//! `sh` blocks run with small trainings. `python` blocks run if their modules are
//! installed and are otherwise only compiled. A `toml` block is an experiment; missing
//! tasks and variants are added. `page.rs` builds `rust` blocks. A `text` block is
//! output, not a command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{executable, pallium, root, skipped, text};

/// How a block is tested.
enum Treatment {
    Run,
    Dry,
    File(String),
    Not(String),
}

/// A fenced block.
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    language: String,
    body: String,
    treatment: Treatment,
}

/// README, CONTRIBUTING and the pages of the book, as paths from the root. The tutorial
/// comes first, because others use its files.
fn pages() -> Vec<String> {
    let mut docs: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    docs.sort_by_key(|name| (name != "docs/tutorial.md", name.clone()));
    ["README.md".to_owned(), "CONTRIBUTING.md".to_owned()].into_iter().chain(docs).collect()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"))
}

/// The blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut open, mut before) = (false, String::new());
    for (number, line) in read(page).lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (true, Some(_)) => (open, before) = (false, String::new()),
            (true, None) => found.last_mut().unwrap().body.push_str(&format!("{line}\n")),
            (false, Some(language)) => {
                let comment = before.strip_prefix("<!-- ").and_then(|c| c.strip_suffix(" -->"));
                let treatment = match comment.and_then(|c| c.split_once(": ")) {
                    None => Treatment::Run,
                    Some(("file", path)) => Treatment::File(path.to_owned()),
                    Some(("test", "dry")) => Treatment::Dry,
                    Some(("test", reason)) => Treatment::Not(reason.to_owned()),
                    Some(other) => panic!("{page}:{number}: unknown comment {other:?}"),
                };
                let (language, body) = (language.to_owned(), String::new());
                found.push(Block { line: number + 1, language, body, treatment });
                open = true;
            }
            (false, None) => before = line.to_owned(),
        }
    }
    assert!(!open, "{page}: a block is not closed");
    found
}

/// A folder like a clone with data, with wrappers of `pallium` and `cargo`, and a home.
struct Scratch {
    folder: tempfile::TempDir,
    python: Option<PathBuf>,
}

/// The reason that does not apply if Python is installed.
const NEEDS_PYTHON: &str = "needs python3";

/// `pallium` with small trainings, as `DOCS` says: `run`, `dry` or `options`.
const PALLIUM: &str = r#"#!/bin/sh
command=$1
if [ "$DOCS" = options ]; then
    for word do
        shift
        [ "$word" = -- ] && past=1
        [ -n "$past" ] || set -- "$@" "$word"
    done
    exec EXECUTABLE "$@" --help
fi
case $command in
run | plan | submit)
    shift
    if [ "$DOCS" = dry ] && [ "$command" != plan ]; then set -- --dry-run "$@"; fi
    exec EXECUTABLE "$command" --set runs=1 --set training.epochs=1 --set training.trials=48 --set training.batch=16 "$@"
    ;;
*) exec EXECUTABLE "$@" ;;
esac
"#;

/// `cargo run --release -- …` is what cargo has built.
const CARGO: &str = r#"#!/bin/sh
[ "$1 $2 $3" = "run --release --" ] || { echo "cargo $*: not run by this test" >&2; exit 1; }
shift 3
exec pallium "$@"
"#;

impl Scratch {
    fn new() -> Self {
        let scratch = Scratch { folder: tempfile::tempdir().unwrap(), python: python() };
        let at = |path: &str| scratch.folder.path().join(path);
        for folder in ["bin", "home", "data", "docs", "target", "experiments"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for entry in fs::read_dir(root().join("experiments")).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                fs::copy(&from, at("experiments").join(from.file_name().unwrap())).unwrap();
            }
        }
        // Examples that build on another file lie beside it.
        fs::copy(at("experiments/cortical-blueprint.toml"), at("cortical-blueprint.toml")).unwrap();
        let built = executable();
        std::os::unix::fs::symlink(built.parent().unwrap(), at("target/release")).unwrap();
        std::os::unix::fs::symlink("data", at("fields")).unwrap();
        for (name, program) in [("pallium", PALLIUM), ("cargo", CARGO)] {
            use std::os::unix::fs::PermissionsExt;
            fs::write(at("bin").join(name), program.replace("EXECUTABLE", text(&built))).unwrap();
            fs::set_permissions(at("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (seed, name) in ["6_6_2", "5_3_4", "5_3_8"].iter().enumerate() {
            let command = format!("pallium field synth --neurons 24 --seed {seed} --out data/{name}");
            scratch.shell("run", &command).unwrap();
        }
        scratch
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script in the mode `docs`; returns its output if it fails.
    fn shell(&self, docs: &str, script: &str) -> Result<(), String> {
        let bin = self.path().join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(bin).chain(std::env::split_paths(&path));
        let output = Command::new("sh")
            .args(["-euc", script])
            .current_dir(self.path())
            .env("PATH", std::env::join_paths(all).unwrap())
            .env("DOCS", docs)
            .env("HOME", self.path().join("home"))
            .env("XDG_CACHE_HOME", self.path().join("home/.cache"))
            .env_remove("PALLIUM_PLUGIN_PATH")
            .stdin(Stdio::null())
            .output()
            .expect("sh starts");
        if output.status.success() {
            return Ok(());
        }
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("{}\n{script}\n--- stdout\n{out}--- stderr\n{err}", output.status))
    }

    /// Dry-runs an experiment after adding missing tasks or variants.
    fn experiment(&self, block: &str) -> Result<(), String> {
        let has = |key: &str| block.lines().any(|line| line.starts_with(key));
        let mut file = String::new();
        if !has("base") && !has("tasks") {
            file.push_str("tasks = [\"cognition.one-choice\"]\n");
        }
        file.push_str(block);
        if !has("base") && !has("[[variant]]") {
            file.push_str("\n[[variant]]\nname = \"W\"\n");
        }
        fs::write(self.path().join("block.toml"), file).unwrap();
        let data = if has("base") { " --set substrate.path=data/6_6_2" } else { "" };
        self.shell("dry", &format!("pallium run block.toml --out runs/block{data}"))
    }

    /// Replaces the recording of the tutorial if numpy is missing.
    fn record(&self) {
        let folder = self.path().join("data/lab");
        if folder.join("traces.npy").exists() {
            return;
        }
        println!("docs/tutorial.md: the test makes the recording, because numpy is missing");
        fs::create_dir_all(&folder).unwrap();
        let number = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1009) as f64 / 1009.0;
        let positions = ndarray::Array2::from_shape_fn((60, 3), |(i, j)| 400.0 * number(i, j));
        // Some neurons are active together.
        let traces = ndarray::Array2::from_shape_fn((60, 3000), |(i, j)| {
            let rise = if number(i, j / 20) + number(i % 6, j / 20) > 1.7 { 5.0 } else { 0.0 };
            (rise + 0.1 * number(i, j)) as f32
        });
        ndarray_npy::write_npy(folder.join("positions.npy"), &positions).unwrap();
        ndarray_npy::write_npy(folder.join("traces.npy"), &traces).unwrap();
    }

    /// Runs pieces of Python in one process. Pieces whose modules are missing are only
    /// compiled, with a message.
    fn python(&self, page: &str, pieces: &[(usize, &str)]) -> Result<(), String> {
        let Some(python) = &self.python else {
            println!("{page}: Python blocks are skipped, because python3 is missing");
            return Ok(());
        };
        let code = "
import json, sys
for line, code in json.load(open('pieces.json')):
    compiled = compile(code, f'{sys.argv[1]}:{line}', 'exec')
    try:
        exec(compiled, {})
    except ImportError as error:
        print(f'{sys.argv[1]}:{line}: compiled only: {error}')
";
        fs::write(self.path().join("pieces.json"), json!(pieces).to_string()).unwrap();
        let output = Command::new(python).current_dir(self.path()).args(["-c", code, page]).output().unwrap();
        print!("{}", String::from_utf8_lossy(&output.stdout));
        let failed = !output.status.success();
        if failed { Err(String::from_utf8_lossy(&output.stderr).into_owned()) } else { Ok(()) }
    }

    /// Writes a file of a page.
    fn file(&self, page: &str, block: &Block, path: &str) -> Result<(), String> {
        let to = self.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, &block.body).unwrap();
        match block.language.as_str() {
            "python" => self.compile(page, block),
            "toml" => block.body.parse::<toml::Table>().map(drop).map_err(|e| e.to_string()),
            _ => Ok(()),
        }
    }

    fn compile(&self, page: &str, block: &Block) -> Result<(), String> {
        let guarded = format!("if False:\n    pass\n{}", block.body);
        let piece = format!("compile({}, {}, 'exec')", json!(guarded), json!(page));
        self.python(page, &[(block.line, &piece)])
    }
}

/// The Python for the documentation, if installed.
fn python() -> Option<PathBuf> {
    let python = PathBuf::from(std::env::var_os("PALLIUM_PYTHON").unwrap_or_else(|| "python3".into()));
    let asked = Command::new(&python).arg("--version").output();
    asked.is_ok_and(|o| o.status.success()).then_some(python)
}

/// The commands of a script, with continued lines joined.
fn commands(script: &str) -> Vec<String> {
    script.replace("\\\n", " ").lines().map(|line| line.trim().to_owned()).collect()
}

/// Cargo's metadata of the workspace.
fn metadata() -> Value {
    let metadata = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .output()
        .expect("cargo starts");
    serde_json::from_slice(&metadata.stdout).expect("cargo writes JSON")
}

/// The package, program or bench of a `cargo` command that does not exist.
fn unknown_to_cargo(command: &str) -> Option<String> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "--").collect();
    words.windows(2).find_map(|pair| {
        let known = match pair[0] {
            "-p" | "--package" => packages.iter().any(|p| p["name"] == pair[1]),
            "--bin" | "--test" | "--bench" => {
                let mut targets = packages.iter().flat_map(|p| p["targets"].as_array().unwrap());
                targets.any(|target| target["name"] == pair[1])
            }
            _ => true,
        };
        (!known).then(|| format!("{} {} does not exist", pair[0], pair[1]))
    })
}

/// Parses a block of Python.
fn parsed(body: &str) -> Result<(), String> {
    let parse = "import ast, sys; ast.parse(sys.argv[1])";
    let Ok(output) = Command::new("python3").args(["-c", parse, body]).output() else {
        skipped("there is no python3 here, so blocks of Python are not parsed");
        return Ok(());
    };
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Checks a block without running it.
fn unrun(scratch: &Scratch, block: &Block) -> Result<(), String> {
    match block.language.as_str() {
        "sh" => {
            // Commands in a loop are checked with its first word.
            let loops =
                block.body.lines().filter_map(|line| line.trim().strip_prefix("for ")?.split_once(" in "));
            let variables: String = loops
                .filter_map(|(name, words)| Some(format!("{name}={}\n", words.split([' ', ';']).next()?)))
                .collect();
            for command in commands(&block.body) {
                if command.starts_with("pallium ") {
                    scratch.shell("options", &format!("{variables}{command}"))?;
                }
                if let Some(wrong) =
                    command.starts_with("cargo ").then(|| unknown_to_cargo(&command)).flatten()
                {
                    return Err(wrong);
                }
            }
            Ok(())
        }
        "toml" => block.body.parse::<toml::Table>().map(drop).map_err(|e| e.to_string()),
        "python" => parsed(&block.body),
        other => Err(format!("blocks of {other} cannot be skipped")),
    }
}

#[test]
fn every_block_of_the_documentation_runs() {
    let scratch = Scratch::new();
    let mut wrong = String::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for page in pages() {
        let blocks = blocks(&page);
        let mut python = Vec::new();
        for block in &blocks {
            *seen.entry(block.language.clone()).or_default() += 1;
            if block.language == "sh" && !python.is_empty() {
                wrong
                    .push_str(&scratch.python(&page, &std::mem::take(&mut python)).err().unwrap_or_default());
                scratch.record();
            }
            let result = match (&block.treatment, block.language.as_str()) {
                (Treatment::Not(reason), "sh") if reason == NEEDS_PYTHON && scratch.python.is_some() => {
                    scratch.shell("run", &block.body)
                }
                (Treatment::Not(reason), _) => {
                    println!("{page}:{}: not run: {reason}", block.line);
                    unrun(&scratch, block)
                }
                (Treatment::File(path), _) => scratch.file(&page, block, path),
                (Treatment::Run, "sh") => scratch.shell("run", &block.body),
                (Treatment::Dry, "sh") => scratch.shell("dry", &block.body),
                (Treatment::Run, "toml") => scratch.experiment(&block.body),
                (Treatment::Run, "python") => {
                    python.push((block.line, block.body.as_str()));
                    Ok(())
                }
                (Treatment::Run, "rust")
                    if ["README.md", "docs/writing-a-plugin.md"].contains(&page.as_str()) =>
                {
                    Ok(())
                }
                (Treatment::Run, "text") => {
                    let command =
                        block.body.lines().find(|l| l.starts_with("pallium ") || l.starts_with("cargo "));
                    command.map_or(Ok(()), |l| Err(format!("`{l}` belongs in an sh block")))
                }
                (_, language) => Err(format!("unknown language of a block: «{language}»")),
            };
            if let Err(message) = result {
                let _ = writeln!(wrong, "{page}:{}: {message}\n", block.line);
            }
        }
        if !python.is_empty() {
            wrong.push_str(&scratch.python(&page, &python).err().unwrap_or_default());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    println!("{seen:?}");
    for (language, least) in [("sh", 40), ("toml", 15), ("python", 10), ("rust", 8)] {
        assert!(seen[language] >= least, "{} blocks of {language}", seen[language]);
    }
}

/// Text outside of blocks and inline code.
fn prose(page: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in read(page).lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.extend(line.split('`').step_by(2));
            prose.push('\n');
        }
    }
    prose
}

/// The anchors of a page, as GitHub and mdBook make them from headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut inside = false;
    let headings = read(page);
    let headings = headings.lines().filter(|line| {
        inside ^= line.starts_with("```");
        !inside && line.starts_with('#')
    });
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_the_documentation_resolves() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = prose(&page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ if page.starts_with("docs/") => format!("docs/{file}"),
                _ => file.to_owned(),
            };
            // The book contains only docs/.
            let within = !page.starts_with("docs/") || !file.starts_with("..");
            let there = root().join(&target).exists();
            if !within || !there || !(anchor.is_empty() || anchors(&target).contains(anchor)) {
                wrong.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_book_contains_every_page() {
    let summary = read("docs/SUMMARY.md");
    for page in pages() {
        if let Some(name) = page.strip_prefix("docs/").filter(|name| *name != "SUMMARY.md") {
            assert_eq!(summary.matches(&format!("]({name})")).count(), 1, "{name}");
        }
    }
}

#[test]
fn the_reference_names_every_ready_experiment() {
    let page = read("docs/experiment-file.md");
    let list = page.split("\n## Ready experiments\n").nth(1).unwrap();
    for entry in fs::read_dir(root().join("experiments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(list.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn the_code_map_names_every_crate() {
    let map = read("docs/architecture.md");
    for package in metadata()["packages"].as_array().unwrap() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(root()).unwrap();
        assert!(map.contains(&format!("`{}/`", folder.display())), "{}", folder.display());
    }
    // Every path in the map exists.
    for path in
        map.split('`').skip(1).step_by(2).filter(|code| code.contains('/') && !code.contains(['…', ' ', '*']))
    {
        assert!(root().join(path).exists() || path.starts_with("plugins/*"), "{path}");
    }
}

#[test]
fn the_reference_names_every_command() {
    let page = read("docs/command-line.md");
    let commands = |arguments: &[&str]| -> Vec<String> {
        let help = pallium(arguments).ok().stdout;
        let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
    };
    for command in commands(&["--help"]) {
        assert!(page.contains(&format!("pallium {command}")), "{command}");
    }
    for group in ["field", "plugins"] {
        for command in commands(&[group, "--help"]) {
            assert!(page.contains(&format!("`{group} {command}")), "{group} {command}");
        }
    }
}
