//! Plugins and hosts of different ages, compilers and dependencies.
//!
//! `core/src/abi/wire.rs` lists how the contract may grow. A copy of the core with
//! all of these extensions serves as a newer core, the present core as the older one.
//!
//! One call of cargo builds all crates, without optimization, on which layouts do not
//! depend.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::crates::copy;
use crate::harness::{
    Built, Scratch, cargo, cargo_outside, execute, fixture, pallium, pallium_with, program, root, shared,
    skipped, text,
};

/// Where to insert a line into a source file of the core: found by the first line of
/// an item, so only renamed items need a change here.
enum Place {
    /// After the line with this beginning.
    After(&'static str),
    /// Before the end of the item whose first line has this beginning.
    AtEndOf(&'static str),
    /// At the end of the file.
    Last,
}

use Place::{After, AtEndOf, Last};

/// A core of the same series with a new last field of the module, new methods
/// at the ends of two traits, a new kind of error, new keys in the manifest and
/// in settings, and a new array in settings.
const GROWTH: &[(&str, Place, &str)] = &[
    (
        "abi/wire.rs",
        AtEndOf("pub struct PluginModule {"),
        "/// New.\n#[sabi(missing_field(option))]\npub greeting: extern \"C\" fn() -> RString,",
    ),
    (
        "abi/wire.rs",
        AtEndOf("pub trait WireConstraint:"),
        "fn motto(&self) -> WireResult<RString> { RResult::ROk(RString::from(\"none yet\")) }",
    ),
    (
        "abi/wire.rs",
        AtEndOf("pub trait WireTask:"),
        "fn hint(&self, at: WireTensor<'_>) -> WireResult<f64> { RResult::ROk(at.f32s.len() as f64) }",
    ),
    ("abi/guard.rs", After("PluginModule {"), "greeting,"),
    ("abi/guard.rs", Last, "extern \"C\" fn greeting() -> RString { RString::from(\"hello\") }"),
    (
        "abi/guard.rs",
        AtEndOf("impl WireConstraint for Guard"),
        "fn motto(&self) -> WireResult<RString> { self.look(\"motto\", |c| Ok(RString::from(c.motto()))) }",
    ),
    ("abi/guard.rs", After("Ok(Manifest {"), "homepage: Some(\"https://example.org\".into()),"),
    (
        "abi/manifest.rs",
        After("pub struct Manifest {"),
        "/// New.\n#[serde(default)]\npub homepage: Option<String>,",
    ),
    (
        "abi/loaded.rs",
        AtEndOf("impl Library {"),
        "/// New.\npub fn greeting(&self) -> Option<String> { self.module.greeting().map(|greet| greet().into_string()) }",
    ),
    (
        "abi/loaded.rs",
        AtEndOf("impl Constraint for Loaded<"),
        "fn motto(&self) -> String { self.or(self.object.motto().map(|m| m.into_string()), String::new()) }",
    ),
    ("abi/convert.rs", AtEndOf("struct SettingHeader {"), "#[serde(default)]\nlaboratory: Option<String>,"),
    ("abi/convert.rs", After("let header = json(&SettingHeader {"), "laboratory: Some(\"here\".into()),"),
    (
        "abi/convert.rs",
        After("parts.extend(extra);"),
        "parts.push(Part::f32(\"orientation\", ndarray::aview1(&[1.0_f32, 0.0, 0.0])));",
    ),
    (
        "role.rs",
        AtEndOf("pub trait Constraint:"),
        "/// New.\nfn motto(&self) -> String { \"has none\".into() }",
    ),
    ("error.rs", After("pub enum Kind {"), "/// New.\nWeather,"),
];

/// A core of the same series in which a method in the middle has another
/// parameter, which the contract does not allow.
const CHANGE: &[(&str, &str, &str)] = &[
    (
        "abi/wire.rs",
        "fn project(&mut self, weights: WireTensorMut<'_>)",
        "fn project(&mut self, weights: WireTensorMut<'_>, strength: f64)",
    ),
    (
        "abi/guard.rs",
        "fn project(&mut self, weights: WireTensorMut<'_>)",
        "fn project(&mut self, weights: WireTensorMut<'_>, _strength: f64)",
    ),
    ("abi/loaded.rs", "self.object.project(weights)", "self.object.project(weights, 1.0)"),
];

/// `source` with `text` at a place.
fn with_inserted(source: &str, place: &Place, text: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let first = |start: &str| {
        let mut found = (0..lines.len()).filter(|&at| lines[at].trim_start().starts_with(start));
        let at = found.next().unwrap_or_else(|| panic!("no line begins with «{start}»"));
        assert!(found.next().is_none(), "several lines begin with «{start}»");
        at
    };
    let at = match place {
        After(start) => first(start) + 1,
        AtEndOf(start) => {
            let at = first(start);
            // As rustfmt writes it: the end is as far in as the beginning.
            let margin = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
            let end = format!("{margin}}}");
            at + lines[at..].iter().position(|line| line.starts_with(&end)).expect("an item has an end")
        }
        Last => lines.len(),
    };
    [&lines[..at], &[text], &lines[at..]].concat().join("\n") + "\n"
}

#[test]
fn growth_goes_to_the_end_of_an_item() {
    let source = "trait A: B {\n    fn a() {\n    }\n}\n\ntrait C {\n}\n";
    assert_eq!(
        with_inserted(source, &AtEndOf("trait A:"), "x"),
        "trait A: B {\n    fn a() {\n    }\nx\n}\n\ntrait C {\n}\n"
    );
    assert_eq!(
        with_inserted(source, &After("trait C"), "x"),
        "trait A: B {\n    fn a() {\n    }\n}\n\ntrait C {\nx\n}\n"
    );
}

/// A copy of the core as another version, in a workspace of its own.
fn core_copy(name: &str, version: &str, edit: impl Fn(&str, String) -> String) -> PathBuf {
    let to = shared("compatibility").join(name);
    copy(&root().join("core"), &to.join("core"));
    let mut manifest: toml::Table =
        std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let workspace = manifest["workspace"].as_table_mut().unwrap();
    workspace.insert("members".into(), toml::Value::try_from(["core"]).unwrap());
    workspace.remove("default-members");
    workspace["package"].as_table_mut().unwrap().insert("version".into(), version.into());
    std::fs::write(to.join("Cargo.toml"), manifest.to_string()).unwrap();
    let source = to.join("core/src");
    for file in [
        "abi/wire.rs",
        "abi/guard.rs",
        "abi/manifest.rs",
        "abi/loaded.rs",
        "abi/convert.rs",
        "role.rs",
        "error.rs",
    ] {
        let path = source.join(file);
        std::fs::write(&path, edit(file, std::fs::read_to_string(&path).unwrap())).unwrap();
    }
    to.join("core")
}

/// The newer plugin and host, an older plugin, one of a changed contract, and one
/// with other build settings.
static CRATES: LazyLock<Built> = LazyLock::new(|| {
    let newer = core_copy("newer", "0.1.9", |file, source| {
        let edits = GROWTH.iter().filter(|(of, ..)| *of == file);
        edits.fold(source, |source, (_, place, text)| with_inserted(&source, place, text))
    });
    let changed = core_copy("changed", "0.1.1", |file, source| {
        let edits = CHANGE.iter().filter(|(of, ..)| *of == file);
        edits.fold(source, |source, (_, from, to)| {
            assert_eq!(source.matches(from).count(), 1, "{file}: {from}");
            source.replace(from, to)
        })
    });
    let present = root().join("core");
    let folder = shared("compatibility").join("crates");
    let member = |name: &str, core: &Path, library: &str, source: &str, more: &str| {
        let place = folder.join(name).join("src");
        std::fs::create_dir_all(&place).unwrap();
        let core = text(core);
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.3.0\"\nedition = \"2024\"\n{library}\n\
             [dependencies]\npallium-core = {{ path = {core:?} }}\n{more}"
        );
        std::fs::write(folder.join(name).join("Cargo.toml"), manifest).unwrap();
        let from = root().join("tests/fixtures").join(source);
        let main = if library.is_empty() { "main.rs" } else { "lib.rs" };
        std::fs::copy(from, place.join(main)).unwrap();
        place
    };
    let library = "[lib]\ncrate-type = [\"cdylib\"]\n";
    member("newer", &newer, library, "grown/newer.rs", "");
    member("changed", &changed, library, "outside.rs", "");
    member("unlike", &present, library, "outside.rs", "");
    // The present gate, which must accept the extensions.
    let host = member(
        "newer-host",
        &newer,
        "",
        "grown/host.rs",
        "abi_stable = { version = \"=0.11.3\", default-features = false }\nlibloading = \"0.9\"\ntracing = \"0.1\"\n",
    );
    let gate = std::fs::read_to_string(root().join("host/src/plugins/gate.rs")).unwrap();
    std::fs::create_dir_all(host.join("plugins")).unwrap();
    std::fs::write(host.join("plugins/gate.rs"), gate.split("#[cfg(test)]").next().unwrap()).unwrap();
    let mut workspace = String::from("[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n");
    for name in ["pallium-core", "unlike"] {
        let checks = "debug-assertions = true\noverflow-checks = true\n";
        workspace += &format!("[profile.release.package.{name}]\n{checks}");
    }
    std::fs::write(folder.join("Cargo.toml"), workspace).unwrap();
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for (name, version) in [("ndarray", "0.17.1"), ("serde_json", "1.0.140")] {
        let update = ["update", "--package", name, "--precise", version];
        if execute(cargo_outside(&folder).args(update)).code != Some(0) {
            skipped(&format!(
                "{name} {version} cannot be had here, so its version is the same on both sides"
            ));
        }
    }
    Built::by(cargo_outside(&folder).args(["build", "--release", "--workspace", "--keep-going"]))
});

#[test]
fn a_plugin_of_a_newer_core_loads() {
    let file = CRATES.library("newer");
    let checked =
        pallium(&["plugins", "check", text(&file), "--only", "newer.constraint", "--json"]).ok().json();
    assert_eq!(
        (&checked["failed"], &checked["core_version"]),
        (&Value::from(0), &Value::from("0.1.9")),
        "{checked:#}"
    );
    // An error of an unknown kind keeps its message.
    let fail = ["--only", "newer.constraint", "--param", "newer.constraint.fail=true"];
    let ended = pallium(&[&["plugins", "check", text(&file)], &fail[..]].concat());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stdout.contains("the weather is not fit for penalties"), "{}", ended.stdout);
}

#[test]
fn components_of_unknown_roles_are_left_out() {
    let known = pallium_with(&[&fixture("claims")], &["plugins", "list", "--json"]).ok().json();
    assert!(known.as_array().unwrap().iter().any(|component| component["id"] == "claims.metric"));
    let component = "{ \"role\": \"analysis\", \"id\": \"claims.analysis\", \"about\": \"new\", \"cite\": \"new\", \"schema\": {} }";
    let mut command = program(&["plugins", "list"]);
    command.env("PALLIUM_PLUGIN_PATH", fixture("claims"));
    command.env("PALLIUM_FIXTURE_MANIFEST", format!("{{ \"components\": [{component}] }}"));
    // Descriptions are kept by the file's hash, which this manifest leaves alone.
    let cache = Scratch::new();
    command.env("XDG_CACHE_HOME", cache.path());
    let listed = execute(&mut command).ok();
    assert!(!listed.stdout.contains("claims.analysis"), "{}", listed.stdout);
    assert!(
        listed.stderr.contains("`claims.analysis` has the role `analysis`, which this version does not know"),
        "{}",
        listed.stderr
    );
}

#[test]
fn a_plugin_of_an_older_core_runs_in_a_newer_host() {
    let mut host = Command::new(CRATES.executable("newer-host"));
    let printed = execute(host.args([fixture("outside"), CRATES.library("newer")])).ok().json();
    let (old, new) = (&printed[0], &printed[1]);
    assert_eq!((&old["id"], &old["core"]), (&Value::from("outside.long-connections"), &Value::from("0.1.0")));
    // The newer host uses defaults for what the older plugin lacks.
    assert_eq!(
        (&old["homepage"], &old["greeting"], &old["motto"]),
        (&Value::Null, &Value::Null, &Value::from("none yet"))
    );
    // 600 µm at a limit of 300: an excess of 1, so λ·(1 + 2).
    assert!((old["penalty"].as_f64().unwrap() - 0.9).abs() < 1e-6, "{old}");
    assert_eq!((&new["motto"], &new["greeting"]), (&Value::from("ever onward"), &Value::from("hello")));
    assert_eq!((&new["penalty"], &new["homepage"]), (&Value::from(5.0), &Value::from("https://example.org")));
}

#[test]
fn a_contract_that_changed_in_the_middle_is_refused() {
    let refusal = pallium_with(&[&CRATES.library("changed")], &["plugins", "list"]).refused(&[
        "another version of the plugin contract",
        "build the plugin again against pallium-core 0.1.0",
    ]);
    assert!(refusal.stderr.lines().count() < 15, "{}", refusal.stderr);
}

#[test]
fn another_profile_and_other_versions_of_dependencies_do_not_matter() {
    works(&CRATES.library("unlike"));
}

/// Rebuilds everything, which takes a minute and a half, so it runs only with
/// `PALLIUM_TOOLCHAIN=nightly` (or another toolchain of rustup).
#[test]
fn another_compiler_does_not_matter() {
    let Ok(toolchain) = std::env::var("PALLIUM_TOOLCHAIN") else {
        return skipped("set PALLIUM_TOOLCHAIN to a toolchain of rustup, such as nightly");
    };
    let folder = shared("compatibility").join("crates");
    let library = CRATES.library("unlike");
    let scratch = Scratch::new();
    let mut command = cargo();
    command.current_dir(&folder).env("CARGO_TARGET_DIR", scratch.path());
    // Cargo uses the compiler of rustup.
    command.env_remove("RUSTC").env_remove("RUSTDOC").env("RUSTUP_TOOLCHAIN", toolchain);
    execute(command.args(["build", "--package", "unlike"])).ok();
    works(&scratch.path().join("debug").join(library.file_name().unwrap()));
}

/// Fails unless a plugin passes the checks and trains.
fn works(file: &Path) {
    pallium(&["plugins", "check", text(file)]).ok();
    let scratch = Scratch::new();
    let experiment = scratch.path().join("e.toml");
    std::fs::write(
        &experiment,
        "runs = 1\ntasks = [\"cognition.go-no-go\"]\n[substrate]\nuse = \"synthetic.field\"\nneurons = 20\n\
         [training]\nepochs = 1\ntrials = 64\nbatch = 32\n\
         [[variant]]\nname = \"a\"\ngeometry = \"soma\"\nconstraints = [\"outside.long-connections\", \"spatial.l1\"]\n",
    )
    .unwrap();
    pallium_with(&[file], &["run", text(&experiment), "--out", text(&scratch.path().join("out"))]).ok();
}
