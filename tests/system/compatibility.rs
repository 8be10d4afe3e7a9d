//! Plugins and hosts of different ages, compilers and dependencies.
//!
//! The contract grows in the ways that `core/src/abi/wire.rs` allows. A copy of
//! the core, grown in all of these ways at once, stands for a newer one; the
//! present core is then the older.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::crates::{cargo, core_copy, fixture_of, library, place};
use crate::harness::{pallium, pallium_with, plugin, root, text};

/// A core of the same series with a new last field of the module, new methods
/// at the ends of two traits, a new role, a new kind of error, new keys in the
/// manifest and in settings, and a new array in settings.
const GROWTH: &[(&str, &str, &str)] = &[
    (
        "abi/wire.rs",
        "    pub metric: extern \"C\" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<MetricBox, WireError>,\n",
        "    pub metric: extern \"C\" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<MetricBox, WireError>,\n    \
         /// New.\n    #[sabi(missing_field(option))]\n    pub greeting: extern \"C\" fn() -> RString,\n",
    ),
    (
        "abi/wire.rs",
        "    fn activity_penalty(&mut self, activity: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;\n    \
         #[sabi(last_prefix_field)]\n    fn close(&mut self) -> WireResult<()>;\n",
        "    fn activity_penalty(&mut self, activity: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;\n    \
         #[sabi(last_prefix_field)]\n    fn close(&mut self) -> WireResult<()>;\n    \
         fn motto(&self) -> WireResult<RString> {\n        RResult::ROk(RString::from(\"none yet\"))\n    }\n",
    ),
    (
        "abi/wire.rs",
        "    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel>;\n    \
         #[sabi(last_prefix_field)]\n    fn close(&mut self) -> WireResult<()>;\n",
        "    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel>;\n    \
         #[sabi(last_prefix_field)]\n    fn close(&mut self) -> WireResult<()>;\n    \
         fn hint(&self, at: WireTensor<'_>) -> WireResult<f64> {\n        RResult::ROk(at.f32s.len() as f64)\n    }\n",
    ),
    (
        "abi/guard.rs",
        "        metric,\n    }\n    .leak_into_prefix()\n}\n",
        "        metric,\n        greeting,\n    }\n    .leak_into_prefix()\n}\n\nextern \"C\" fn greeting() -> RString {\n    RString::from(\"hello\")\n}\n",
    ),
    (
        "abi/guard.rs",
        "        self.look(\"wants_activity\", |constraint| Ok(constraint.wants_activity()))\n    }\n",
        "        self.look(\"wants_activity\", |constraint| Ok(constraint.wants_activity()))\n    }\n\n    \
         fn motto(&self) -> WireResult<RString> {\n        self.look(\"motto\", |constraint| Ok(RString::from(constraint.motto())))\n    }\n",
    ),
    (
        "abi/guard.rs",
        "            unwinds,\n",
        "            unwinds,\n            homepage: Some(\"https://example.org\".into()),\n",
    ),
    (
        "abi/manifest.rs",
        "    /// The components, sorted by id.\n",
        "    /// New.\n    #[serde(default)]\n    pub homepage: Option<String>,\n    /// The components, sorted by id.\n",
    ),
    (
        "abi/loaded.rs",
        "    build!(substrate, SubstrateSource);\n",
        "    /// New.\n    pub fn greeting(&self) -> Option<String> {\n        self.module.greeting().map(|greet| greet().into_string())\n    }\n\n    \
         build!(substrate, SubstrateSource);\n",
    ),
    (
        "abi/loaded.rs",
        "impl Constraint for Loaded<ConstraintBox> {\n",
        "impl Constraint for Loaded<ConstraintBox> {\n    fn motto(&self) -> String {\n        \
         self.or(self.object.motto().map(|m| m.into_string()), String::new())\n    }\n\n",
    ),
    (
        "abi/convert.rs",
        "struct SettingHeader {\n",
        "struct SettingHeader {\n    #[serde(default)]\n    laboratory: Option<String>,\n",
    ),
    (
        "abi/convert.rs",
        "    let header = json(&SettingHeader {\n",
        "    let header = json(&SettingHeader {\n        laboratory: Some(\"here\".into()),\n",
    ),
    (
        "abi/convert.rs",
        "    parts.extend(extra);\n",
        "    parts.push(Part::f32(\"orientation\", ndarray::aview1(&[1.0_f32, 0.0, 0.0])));\n    parts.extend(extra);\n",
    ),
    (
        "role.rs",
        "    /// Whether [`Constraint::activity_penalty`] does anything; asked once.\n",
        "    /// New.\n    fn motto(&self) -> String {\n        \"has none\".into()\n    }\n\n    \
         /// Whether [`Constraint::activity_penalty`] does anything; asked once.\n",
    ),
    (
        "component.rs",
        "    /// Measures a network.\n    Metric,\n",
        "    /// Measures a network.\n    Metric,\n    /// New.\n    Analysis,\n",
    ),
    ("component.rs", "    pub const ALL: [Role; 6] =\n", "    pub const ALL: [Role; 7] =\n"),
    ("component.rs", "Role::Model, Role::Metric];", "Role::Model, Role::Metric, Role::Analysis];"),
    (
        "component.rs",
        "            Role::Metric => \"metric\",\n",
        "            Role::Metric => \"metric\",\n            Role::Analysis => \"analysis\",\n",
    ),
    (
        "error.rs",
        "    /// A bug in Pallium itself.\n    Bug,\n",
        "    /// A bug in Pallium itself.\n    Bug,\n    /// New.\n    Weather,\n",
    ),
];

static NEWER_CORE: LazyLock<PathBuf> = LazyLock::new(|| core_copy("newer-core", "0.1.9", GROWTH));
static NEWER_PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| library(&fixture_of("newer", "newer", &NEWER_CORE)));

#[test]
fn a_plugin_of_a_newer_core_loads_and_its_new_role_is_left_out() {
    let listed = pallium_with(&[&NEWER_PLUGIN], &["plugins", "list"]).ok();
    assert!(
        listed.stdout.contains("newer.constraint") && !listed.stdout.contains("newer.analysis"),
        "{}",
        listed.stdout
    );
    assert!(
        listed.stderr.contains("`newer.analysis` has the role `analysis`, which this version does not know"),
        "{}",
        listed.stderr
    );
    let checked = pallium(&["plugins", "check", text(&NEWER_PLUGIN), "--only", "newer.constraint", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&checked["failed"], &checked["core_version"]),
        (&Value::from(0), &Value::from("0.1.9")),
        "{checked:#}"
    );
}

#[test]
fn an_error_of_a_kind_that_is_not_known_keeps_its_message() {
    let ended = pallium(&[
        "plugins",
        "check",
        text(&NEWER_PLUGIN),
        "--only",
        "newer.constraint",
        "--param",
        "newer.constraint.fail=true",
    ]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stdout.contains("the weather is not fit for penalties"), "{}", ended.stdout);
}

#[test]
fn a_plugin_of_an_older_core_runs_in_a_newer_host() {
    let older = library(&fixture_of("outside", "older", &root().join("core")));
    // The gate is the present one; it must not stand in the way of growth.
    let folder = fixture_of("newer-host", "newer-host", &NEWER_CORE);
    std::fs::create_dir_all(folder.join("src/plugins")).unwrap();
    for file in ["hash.rs", "plugins/elf.rs", "plugins/gate.rs"] {
        std::fs::copy(root().join("host/src").join(file), folder.join("src").join(file)).unwrap();
    }
    let host = cargo(&folder, &[], &["build", "--release"]).artifact("fixture-newer-host", "");
    let output = Command::new(host).args([&older, &*NEWER_PLUGIN]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (old, new) = (&told[0], &told[1]);
    assert_eq!((&old["id"], &old["core"]), (&Value::from("outside.long-connections"), &Value::from("0.1.0")));
    // What the older plugin does not have is the newer host's default.
    assert_eq!(
        (&old["homepage"], &old["greeting"], &old["motto"]),
        (&Value::Null, &Value::Null, &Value::from("none yet"))
    );
    // 600 µm at a limit of 300: an excess of 1, so λ·(1 + 2).
    assert!((old["penalty"].as_f64().unwrap() - 0.9).abs() < 1e-6, "{old}");
    assert_eq!((&new["motto"], &new["greeting"]), (&Value::from("ever onward"), &Value::from("hello")));
    assert_eq!((&new["penalty"], &new["homepage"]), (&Value::from(5.0), &Value::from("https://example.org")));
}

/// A plugin that was built against core 0.2.
pub fn of_another_series() -> PathBuf {
    static PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| {
        let other = core_copy("other-core", "0.2.0", &[]);
        library(&fixture_of("outside", "other-series", &other))
    });
    PLUGIN.clone()
}

#[test]
fn a_core_of_another_series_is_refused_with_what_to_do() {
    pallium_with(&[&of_another_series()], &["plugins", "list"]).refused(&[
        "was built against pallium-core 0.2.0, but this is 0.1.0",
        "build the plugin again against pallium-core 0.1.0",
    ]);
}

#[test]
fn a_contract_that_changed_in_the_middle_is_refused_with_what_to_do() {
    let changed = core_copy(
        "changed-core",
        "0.1.1",
        &[
            (
                "abi/wire.rs",
                "    fn project(&mut self, weights: WireTensorMut<'_>) -> WireResult<()>;\n",
                "    fn project(&mut self, weights: WireTensorMut<'_>, strength: f64) -> WireResult<()>;\n",
            ),
            (
                "abi/guard.rs",
                "    fn project(&mut self, weights: WireTensorMut<'_>) -> WireResult<()> {\n",
                "    fn project(&mut self, weights: WireTensorMut<'_>, _strength: f64) -> WireResult<()> {\n",
            ),
            ("abi/loaded.rs", "self.object.project(weights)", "self.object.project(weights, 1.0)"),
        ],
    );
    let plugin = library(&fixture_of("outside", "changed", &changed));
    let refusal = pallium_with(&[&plugin], &["plugins", "list"]).refused(&[
        "another version of the plugin contract",
        "build the plugin again against pallium-core 0.1.0",
    ]);
    assert!(refusal.stderr.lines().count() < 15, "{}", refusal.stderr);
}

fn has_nightly() -> bool {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output();
    listed
        .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).lines().any(|line| line.starts_with("nightly")))
}

#[test]
fn another_compiler_profile_and_other_versions_of_dependencies_do_not_matter() {
    let folder = fixture_of("outside", "unlike", &root().join("core"));
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let older = [("ndarray", "0.17.1"), ("serde_json", "1.0.140")];
    for (name, version) in older {
        let updated = cargo(&folder, &[], &["update", "--package", name, "--precise", version]);
        if !updated.success {
            println!(
                "skipped: {name} {version} cannot be had here: {}",
                updated.stderr.lines().last().unwrap_or_default()
            );
        }
    }
    let nightly = has_nightly();
    if !nightly {
        println!("skipped: no nightly toolchain is installed, so the compiler is the same on both sides");
    }
    let program: &[&str] = if nightly { &["rustup", "run", "nightly", "cargo"] } else { &[] };
    // The debug profile: no --release.
    let built = cargo(&folder, program, &["build", "--config", "profile.dev.debug=false"]);
    let file = built.artifact("fixture_unlike", std::env::consts::DLL_SUFFIX);
    trains(&file);
}

fn trains(file: &Path) {
    pallium(&["plugins", "check", text(file)]).ok();
    let folder = place("unlike-run");
    std::fs::create_dir_all(&folder).unwrap();
    let experiment = folder.join("e.toml");
    std::fs::write(
        &experiment,
        "runs = 1\ntasks = [\"cognition.go-no-go\"]\n[substrate]\nuse = \"synthetic.field\"\nneurons = 20\n\
         [training]\nepochs = 1\ntrials = 64\nbatch = 32\n\
         [[variant]]\nname = \"a\"\ngeometry = \"soma\"\nconstraints = [\"outside.long-connections\", \"spatial.l1\"]\n",
    )
    .unwrap();
    pallium_with(&[file], &["run", text(&experiment), "--out", text(&folder.join("out"))]).ok();
    assert!(plugin("pallium_spatial").exists());
}
