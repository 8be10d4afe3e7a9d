//! Allowed dependencies between crates: arrows point inward, to the core. Crates are
//! found by folder, so the rules cover new plugins and libraries.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::{cargo, execute, pallium, root};

/// Each layer, and the layers that its crates may depend on. Tests may also use the
/// testkit.
const RULES: [(&str, &[&str]); 10] = [
    ("core", &[]),
    ("testkit", &["core"]),
    ("libs", &["libs", "core"]),
    ("plugins", &["libs", "core"]),
    ("record", &["libs", "core"]),
    ("stats", &["libs", "core"]),
    ("likeness", &["stats", "libs", "core"]),
    ("profile", &["record", "libs", "core"]),
    ("report", &["profile", "record", "stats", "libs", "core"]),
    ("host", &["report", "likeness", "profile", "record", "stats", "testkit", "libs", "core"]),
];

/// The layer of a crate by its folder; `None` for tests and benchmarks, which may
/// depend on all.
fn layer(folder: &str) -> Option<&str> {
    match folder.split('/').collect::<Vec<_>>()[..] {
        ["core"] | ["host"] => Some(folder),
        ["core" | "host", inner] => Some(inner),
        ["libs" | "plugins", _] => folder.split('/').next(),
        ["tests" | "benches"] => None,
        _ => panic!("{folder} has no layer: give it one in tests/system/layers.rs"),
    }
}

/// A crate of the workspace.
struct Member {
    folder: String,
    /// Its dependencies: name, folder if in the workspace, whether only tests use it.
    dependencies: Vec<(String, Option<String>, bool)>,
    /// The crate types of its library.
    kinds: Vec<String>,
}

static MEMBERS: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let below_root = |path: &Value| {
        let path = Path::new(path.as_str()?).strip_prefix(root()).ok()?;
        path.to_str().map(|text| text.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned())
    };
    let metadata = ["metadata", "--no-deps", "--format-version=1"];
    let metadata = execute(cargo().current_dir(root()).args(metadata)).ok().json();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of = |package: &Value| Member {
        folder: below_root(&package["manifest_path"]).expect("a member lies below the root"),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|d| (d["name"].as_str().unwrap().to_owned(), below_root(&d["path"]), d["kind"] == "dev"))
            .collect(),
        kinds: list(&package["targets"])
            .iter()
            .filter(|target| target["kind"] != serde_json::json!(["example"]))
            .flat_map(|target| list(&target["crate_types"]))
            .filter_map(|kind| kind.as_str().map(str::to_owned))
            .collect(),
    };
    list(&metadata["packages"]).iter().map(of).collect()
});

fn plugins() -> impl Iterator<Item = &'static Member> {
    MEMBERS.iter().filter(|member| layer(&member.folder) == Some("plugins"))
}

#[test]
fn dependencies_point_inward() {
    for member in MEMBERS.iter() {
        let Some(layer_of_member) = layer(&member.folder) else { continue };
        let rule = RULES.iter().find(|(name, _)| *name == layer_of_member);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("no rule for {}", member.folder));
        for (name, folder, in_tests) in &member.dependencies {
            let Some(folder) = folder else {
                assert!(!name.starts_with("pallium"), "{} depends on {name} from elsewhere", member.folder);
                continue;
            };
            let layer = layer(folder).unwrap_or_else(|| panic!("{} depends on {folder}", member.folder));
            let fits = allowed.contains(&layer) || (*in_tests && layer == "testkit");
            assert!(fits, "{} may depend on {allowed:?}, and depends on {folder}", member.folder);
        }
    }
    assert!(plugins().count() >= 5);
}

#[test]
fn plugins_are_libraries_that_no_crate_can_link() {
    for plugin in plugins() {
        assert_eq!(plugin.kinds, ["cdylib"], "{}", plugin.folder);
    }
}

#[test]
fn cargo_build_makes_every_plugin() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let made = manifest["workspace"]["default-members"].as_array().unwrap();
    let made: BTreeSet<&str> = made.iter().filter_map(|member| member.as_str()).collect();
    for plugin in plugins() {
        assert!(made.contains(plugin.folder.as_str()), "{} is not in `default-members`", plugin.folder);
    }
}

/// A crate that tests alone need must not switch on features of a crate that the
/// program needs: it and all above it would be compiled twice.
#[test]
fn tests_are_built_with_the_features_of_the_program() {
    let crates = |args: &[&str]| -> BTreeSet<String> {
        let tree = ["tree", "--offline", "--prefix", "none", "--format", "{p} {f}"];
        let listed = execute(cargo().current_dir(root()).args(tree).args(args)).ok();
        listed.stdout.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let program = crates(&["--edges", "normal,build"]);
    assert!(program.len() > 200, "{program:?}");
    let all = ["--edges", "normal,build,dev", "--workspace"];
    for tests in [&all[..], &[&all[..], &["--exclude", "pallium-benches"]].concat()] {
        let tests = crates(tests);
        let other: Vec<&String> = program.difference(&tests).collect();
        assert!(other.is_empty(), "built otherwise for tests: {other:#?}");
    }
}

#[test]
fn only_the_rnn_plugin_links_candle() {
    for member in MEMBERS.iter() {
        let candle = member.dependencies.iter().any(|(name, ..)| name.starts_with("candle"));
        assert_eq!(candle, member.folder == "plugins/rnn", "{}", member.folder);
    }
}

/// faer is generic: every crate that names it compiles it again.
#[test]
fn only_one_library_names_faer() {
    for member in MEMBERS.iter() {
        let faer = member.dependencies.iter().any(|(name, ..)| name == "faer");
        assert_eq!(faer, member.folder == "libs/linalg", "{}", member.folder);
    }
}

/// The files with one of these extensions in a folder of the root: path, text.
fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    fn visit(folder: &Path, extensions: &[&str], found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, extensions, found);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    visit(&root().join(folder), extensions, &mut found);
    found
}

#[test]
fn only_the_wire_and_the_loader_name_abi_stable() {
    let all = ["core", "host", "libs", "plugins"].into_iter().flat_map(|folder| files(folder, &["rs"]));
    let naming = all.filter(|(_, text)| text.contains("abi_stable::")).map(|(path, _)| path);
    let found: Vec<String> = naming
        .filter(|path| !path.starts_with("core/src/abi/") && path != "host/src/plugins/gate.rs")
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The host finds components through plugins and experiment files. Ids stand in its
/// tests, in examples of its help, and in these files.
#[test]
fn the_host_names_no_component() {
    const ALLOWED: [&str; 3] = [
        // What is used where a file or a command names nothing.
        "host/record/src/defaults.rs",
        // What changed after a version that has been released.
        "host/record/src/earlier.rs",
        // A file that is written for the user, with an example.
        "host/src/cli/field/field.toml",
    ];
    let listed = pallium(&["plugins", "list", "--json"]).ok().json();
    let ids: Vec<String> =
        listed.as_array().unwrap().iter().map(|c| format!("\"{}\"", c["id"].as_str().unwrap())).collect();
    assert!(ids.len() > 50);
    let mut naming = BTreeSet::new();
    for (path, text) in files("host", &["rs", "toml"]) {
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        naming.extend(ids.iter().filter(|id| code.contains(*id)).map(|id| (path.clone(), id.clone())));
    }
    assert!(naming.iter().any(|(path, _)| path == ALLOWED[0]), "the ids are found");
    naming.retain(|(path, _)| !ALLOWED.contains(&path.as_str()));
    assert!(naming.is_empty(), "{naming:?}");
}
