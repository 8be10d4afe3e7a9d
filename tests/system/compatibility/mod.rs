//! Plugins and hosts of different ages, compilers and dependencies.
//!
//! `core/src/abi/wire.rs` lists how the contract may grow. A copy of the core that has
//! grown in all of these ways (`growth`) serves as a newer core, the present core as the
//! older one. Each is tried as host and as plugin, and plugins of both ages are opened in
//! one process in both orders, since the layout checker remembers what it has seen.
//!
//! One call of cargo builds all crates, without optimization, on which layouts do not
//! depend.

mod growth;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::{
    Built, Ended, Scratch, cargo, cargo_outside, execute, fixture, outside, pallium, pallium_with, plugin,
    results, root, skipped, text, write_changed,
};

use growth::Sources;

/// A copy of the core as another version. Its manifest inherits nothing: cargo would look
/// for the values in the workspace around the target folder.
fn core_copy(name: &str, version: &str, edit: fn(&mut Sources)) -> PathBuf {
    let to = outside("compatibility").join(name);
    let table = |file: PathBuf| -> toml::Table { std::fs::read_to_string(file).unwrap().parse().unwrap() };
    let workspace = table(root().join("Cargo.toml")).remove("workspace").unwrap();
    let core = root().join("core");
    let mut manifest = table(core.join("Cargo.toml"));
    for section in ["package", "dependencies", "lints"] {
        inherit(manifest.get_mut(section).unwrap(), &workspace[section]);
    }
    manifest["package"]["version"] = version.into();
    manifest.insert("workspace".into(), toml::Table::new().into());
    write_changed(&to.join("Cargo.toml"), manifest.to_string().as_bytes());
    let mut sources = Sources::new();
    read_sources(&core.join("src"), "", &mut sources);
    edit(&mut sources);
    for (file, source) in sources {
        write_changed(&to.join("src").join(file), source.as_bytes());
    }
    to
}

/// Puts the workspace's values in the place of `workspace = true`.
fn inherit(section: &mut toml::Value, workspace: &toml::Value) {
    let inherits = |value: &toml::Value| value.get("workspace") == Some(&toml::Value::Boolean(true));
    if inherits(section) {
        *section = workspace.clone();
        return;
    }
    for (key, value) in section.as_table_mut().unwrap() {
        if inherits(value) {
            *value = workspace[key].clone();
        }
    }
}

fn read_sources(folder: &Path, prefix: &str, sources: &mut Sources) {
    for entry in std::fs::read_dir(folder.join(prefix)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            read_sources(folder, &format!("{name}/"), sources);
        } else {
            sources.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// The series of the present core, such as `0.2`.
fn series() -> &'static str {
    let present = env!("CARGO_PKG_VERSION");
    present.rsplit_once('.').expect("a version has three parts").0
}

/// The version of the newer core.
fn newer() -> String {
    format!("{}.99", series())
}

/// The newer plugin and host, a plugin of a changed contract, and one with other build
/// settings.
static CRATES: LazyLock<Built> = LazyLock::new(|| {
    let newer = core_copy("newer", &newer(), growth::grow);
    let little = core_copy("little", &format!("{}.97", series()), growth::grow_little);
    let changed = core_copy("changed", &format!("{}.98", series()), growth::change);
    let present = root().join("core");
    let folder = outside("compatibility").join("crates");
    let fixtures = root().join("tests/fixtures");
    let member = |name: &str, core: &Path, kind: &str, source: &str, more: &str| {
        let core = text(core);
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.3.0\"\nedition = \"2024\"\n{kind}\n\
             [dependencies]\npallium-core = {{ path = {core:?} }}\n{more}"
        );
        write_changed(&folder.join(name).join("Cargo.toml"), manifest.as_bytes());
        let main = if kind == PROGRAM { "src/main.rs" } else { "src/lib.rs" };
        write_changed(&folder.join(name).join(main), &std::fs::read(fixtures.join(source)).unwrap());
    };
    member("newer", &newer, PLUGIN, "grown/newer.rs", "");
    member("changed", &changed, PLUGIN, "outside.rs", "");
    member("unlike", &present, PLUGIN, "outside.rs", "");
    member("linked-first", &present, LIBRARY, "linked/first.rs", "");
    member("linked-second", &present, LIBRARY, "linked/second.rs", "");
    let both = ["first", "second"].map(|name| format!("linked-{name} = {{ path = \"../linked-{name}\" }}\n"));
    member("linked", &present, PLUGIN, "linked/together.rs", &both.concat());
    member("little", &little, PLUGIN, "outside.rs", "");
    // The present gate, which must accept the extensions.
    let gate = std::fs::read_to_string(root().join("host/src/plugins/gate.rs")).unwrap();
    let gate = gate.split("#[cfg(test)]").next().unwrap();
    let stubs = std::fs::read(fixtures.join("grown/stubs.rs")).unwrap();
    let wire = "abi_stable = { version = \"=0.11.3\", default-features = false }\nlibloading = \"0.9\"\ntracing = \"0.1\"\n";
    for (name, core, source) in
        [("newer-host", &newer, "grown/host.rs"), ("little-host", &little, "grown/loader.rs")]
    {
        member(name, core, PROGRAM, source, wire);
        write_changed(&folder.join(name).join("src/stubs.rs"), &stubs);
        write_changed(&folder.join(name).join("src/plugins/gate.rs"), gate.as_bytes());
    }
    let mut workspace = String::from("[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n");
    for name in ["pallium-core", "unlike"] {
        let checks = "debug-assertions = true\noverflow-checks = true\n";
        workspace += &format!("[profile.release.package.{name}]\n{checks}");
    }
    write_changed(&folder.join("Cargo.toml"), workspace.as_bytes());
    other_versions(&folder);
    Built::by(cargo_outside(&folder).args(["build", "--release", "--workspace", "--keep-going"]))
});

/// Kinds of crates: what their manifests say of them.
const PLUGIN: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";
const LIBRARY: &str = "[lib]\n";
const PROGRAM: &str = "";

/// Locks other versions of two dependencies than the workspace has.
fn other_versions(folder: &Path) {
    const OTHER: [(&str, &str); 2] = [("ndarray", "0.17.1"), ("serde_json", "1.0.140")];
    let lock = folder.join("Cargo.lock");
    let has = |(name, version): &(&str, &str)| {
        std::fs::read_to_string(&lock)
            .is_ok_and(|lock| lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")))
    };
    if OTHER.iter().all(has) {
        return;
    }
    std::fs::copy(root().join("Cargo.lock"), &lock).unwrap();
    for (name, version) in OTHER {
        let update = ["update", "--package", name, "--precise", version];
        if execute(cargo_outside(folder).args(update)).code != Some(0) {
            skipped(&format!(
                "{name} {version} cannot be had here, so its version is the same on both sides"
            ));
        }
    }
}

/// A component of each role from plugins of the present core, with what the newer host
/// finds in it.
fn older() -> Vec<(PathBuf, &'static str, Value)> {
    vec![
        (plugin("pallium_synthetic"), "synthetic.field", json!(100)),
        (plugin("pallium_init"), "init.orthogonal", json!(4)),
        // 600 µm at a limit of 300: an excess of 1, so λ·(1 + 2), and slopes of λ.
        (fixture("outside"), "outside.long-connections", json!([0.9, 0.6])),
        (plugin("pallium_cognition"), "cognition.go-no-go", json!([4, "classes", null])),
        (plugin("pallium_rnn"), "rnn.vanilla", Value::Null),
        (plugin("pallium_optimizer"), "optimizer.sgd", json!(true)),
        (plugin("pallium_organization"), "organization.spectral-radius", Value::Null),
    ]
}

/// A component of each role of the newer plugin, with what the newer host finds in it.
fn grown() -> Vec<(&'static str, Value)> {
    vec![
        ("newer.substrate", json!(6)),
        ("newer.weights", json!(4)),
        ("newer.constraint", json!([5.0, 6.0])),
        ("newer.task", json!([4, "classes", "fair"])),
        ("newer.ranks", json!([4, "ranks", "fair"])),
        ("newer.model", json!([2, [["recurrent", "fair"], ["gate", "fair"]], "fair", "fair"])),
        ("newer.optimizer", json!(true)),
        ("newer.metric", json!([2.0, "sideways"])),
        ("newer.analysis", json!(42.0)),
    ]
}

#[test]
fn plugins_of_both_ages_run_in_a_newer_host_in_both_orders() {
    let library = CRATES.library("newer");
    let (older, grown) = (older(), grown());
    let old: Vec<&str> = older.iter().flat_map(|(file, id, _)| [text(file), id]).collect();
    let new: Vec<&str> = std::iter::once(text(&library)).chain(grown.iter().map(|(id, _)| *id)).collect();
    for arguments in [[&old[..], &new].concat(), [&new[..], &old].concat()] {
        let printed = execute(Command::new(CRATES.executable("newer-host")).args(arguments)).ok().json();
        let printed = printed.as_array().unwrap();
        assert_eq!(printed.len(), older.len() + grown.len());
        for found in printed {
            let id = found["id"].as_str().unwrap();
            if let Some((_, expected)) = grown.iter().find(|(known, _)| *known == id) {
                assert_eq!((&found["core"], &found["greeting"]), (&json!(newer()), &json!("hello")), "{id}");
                assert_eq!((&found["weather"], &found["lacking"]), (&json!(["fair", "fair"]), &Value::Null));
                assert_eq!(&found["found"], expected, "{id}");
                let motto = match id {
                    "newer.ranks" => "has none",
                    "newer.analysis" => "",
                    _ => "ever onward",
                };
                assert_eq!(found["motto"], motto, "{id}");
                continue;
            }
            // The newer host uses defaults for what the older plugin lacks.
            let (_, _, expected) = older.iter().find(|(_, known, _)| *known == id).unwrap();
            assert_eq!(found["core"], env!("CARGO_PKG_VERSION"), "{id}");
            assert_eq!((&found["weather"], &found["greeting"]), (&json!([null, null]), &Value::Null), "{id}");
            assert_eq!(found["motto"], "none yet", "{id}");
            if id == "outside.long-connections" {
                let numbers = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
                let off =
                    numbers(&found["found"]).into_iter().zip(numbers(expected)).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f64::max) < 1e-6, "{found}");
            } else if !expected.is_null() {
                assert_eq!(&found["found"], expected, "{id}");
            }
        }
    }
}

/// The layout checker keeps what it has seen for the rest of the process. Where a single
/// trait has grown, it would refuse every plugin of the present core after an older one,
/// if the gate did not show it the present layout first.
#[test]
fn an_older_plugin_may_be_opened_first() {
    let (old, new) = (plugin("pallium_synthetic"), CRATES.library("little"));
    for files in [[&old, &new], [&new, &old]] {
        let printed = execute(Command::new(CRATES.executable("little-host")).args(files)).ok().stdout;
        assert_eq!(printed, "");
    }
}

/// Runs an experiment in the present host; `substrate` and so on name components.
fn train(
    files: &[&Path],
    [substrate, weights, constraint, task, model, optimizer, metric]: [&str; 7],
) -> Ended {
    let scratch = Scratch::new();
    let experiment = scratch.path().join("e.toml");
    let size = if substrate == "synthetic.field" { "neurons = 6\n" } else { "" };
    std::fs::write(
        &experiment,
        format!(
            "runs = 1\ntasks = [\"{task}\"]\nmodel = \"{model}\"\n\
             [substrate]\nuse = \"{substrate}\"\n{size}[optimizer]\nuse = \"{optimizer}\"\n\
             [training]\nepochs = 2\ntrials = 64\nbatch = 32\n[metrics]\nuse = [\"{metric}\"]\n\
             [[variant]]\nname = \"a\"\nweights = \"{weights}\"\ngeometry = \"soma\"\nconstraints = [\"{constraint}\"]\n"
        ),
    )
    .unwrap();
    let out = scratch.path().join("out");
    let ended = pallium_with(files, &["run", text(&experiment), "--out", text(&out)]);
    if ended.code == Some(0) {
        let rows = results(&out);
        assert!(rows.iter().all(|row| row["status"] == "ok"), "{rows:?}");
        // The newer metric asks the host for what only a newer one knows, and gets the default.
        let tempo = rows.iter().find(|row| row["measure"] == "tempo").map(|row| row["value"].as_str());
        let offers = model.starts_with("rnn.");
        assert_eq!(
            tempo,
            metric.starts_with("newer.").then_some(if offers { "-1.0" } else { "" }),
            "{rows:?}"
        );
    }
    ended
}

#[test]
fn plugins_of_both_ages_train_together_in_an_older_host() {
    let outside = fixture("outside");
    let library = CRATES.library("newer");
    let (mut one, mut two) = (["newer"; 7], [""; 7]);
    let new = ["substrate", "weights", "constraint", "task", "model", "optimizer", "metric"];
    let names: Vec<String> = new.iter().map(|role| format!("newer.{role}")).collect();
    let old = [
        "synthetic.field",
        "init.orthogonal",
        "outside.long-connections",
        "cognition.go-no-go",
        "rnn.vanilla",
        "optimizer.sgd",
        "organization.density",
    ];
    // The first component of a training is the substrate, so each age comes first once.
    for role in 0..7 {
        (one[role], two[role]) = (names[role].as_str(), old[role]);
        if role % 2 == 1 {
            (one[role], two[role]) = (two[role], one[role]);
        }
    }
    train(&[&library, &outside], one).ok();
    train(&[&outside, &library], two).ok();
    // The newer metric with a model that offers dynamics.
    two[6] = "newer.metric";
    two[4] = "rnn.vanilla";
    train(&[&outside, &library], two).ok();
}

#[test]
fn an_error_of_an_unknown_kind_keeps_its_message() {
    let file = CRATES.library("newer");
    let weights = Scratch::new();
    let weights = weights.path().join("w.npy");
    pallium(&["weights", "init.orthogonal", "--neurons", "5", "--seed", "1", "--out", text(&weights)]).ok();
    let penalty = ["penalty", "newer.constraint", "--weights", text(&weights)];
    let good = pallium_with(&[&file], &[&penalty[..], &["--json"]].concat()).ok().json();
    // Orthogonal: Σ w² is the number of neurons.
    assert!((good["value"].as_f64().unwrap() - 5.0).abs() < 1e-5, "{good}");
    let ended = pallium_with(&[&file], &[&penalty[..], &["--param", "fail=true"]].concat());
    assert!(ended.code != Some(0) && ended.stderr.contains("the weather is not fit for penalties"));
}

#[test]
fn what_an_older_host_lacks_is_refused_by_name() {
    let file = CRATES.library("newer");
    let list = pallium_with(&[&file], &["plugins", "list", "--json"]).ok();
    let listed = list.json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|c| c["id"].as_str()).collect();
    assert!(ids.contains(&"newer.task") && !ids.contains(&"newer.ranks") && !ids.contains(&"newer.analysis"));
    let role = "`newer.analysis` has the role `analysis`, which this version does not know";
    let capability = "`newer.ranks` requires `ranks`, which this version does not have";
    for part in [role, capability] {
        assert!(list.stderr.contains(part), "no «{part}» in:\n{}", list.stderr);
    }
    // Named by an experiment, they are errors with a remedy.
    let usual =
        ["synthetic.field", "init.orthogonal", "spatial.l1", "newer.ranks", "rnn.vanilla", "optimizer.sgd"];
    let [a, b, c, d, e, f] = usual;
    train(&[&file], [a, b, c, d, e, f, "organization.density"]).refused(&[
        "e.toml:2",
        capability,
        text(&file),
        "a newer Pallium",
    ]);
    train(&[&file], [a, b, c, "cognition.go-no-go", e, f, "newer.analysis"])
        .refused(&[role, "a newer Pallium"]);
}

#[test]
fn a_contract_that_changed_in_the_middle_is_refused() {
    let refusal = pallium_with(&[&CRATES.library("changed")], &["plugins", "list"]).refused(&[
        "another version of the plugin contract",
        &format!("build the plugin again against pallium-core {}", env!("CARGO_PKG_VERSION")),
    ]);
    assert!(refusal.stderr.lines().count() < 15, "{}", refusal.stderr);
}

#[test]
fn another_profile_and_other_versions_of_dependencies_do_not_matter() {
    works(&CRATES.library("unlike"));
}

/// The libraries have no unsafe code; the file that links them has only what `plugin!`
/// makes.
#[test]
fn components_of_two_libraries_are_one_plugin() {
    let file = CRATES.library("linked");
    let report = pallium(&["plugins", "check", text(&file), "--json"]).ok().json();
    let ids: Vec<&Value> =
        report["parts"].as_array().unwrap().iter().skip(1).map(|part| &part["id"]).collect();
    assert_eq!(ids, ["linked.ridge", "linked.sum"]);
    let usual = ["synthetic.field", "init.orthogonal", "cognition.go-no-go", "rnn.vanilla", "optimizer.adam"];
    let [substrate, weights, task, model, optimizer] = usual;
    train(&[&file], [substrate, weights, "linked.ridge", task, model, optimizer, "linked.sum"]).ok();
}

/// Rebuilds everything, which takes a minute and a half, so it runs only with
/// `PALLIUM_TOOLCHAIN=nightly` (or another toolchain of rustup).
#[test]
fn another_compiler_does_not_matter() {
    let Ok(toolchain) = std::env::var("PALLIUM_TOOLCHAIN") else {
        return skipped("set PALLIUM_TOOLCHAIN to a toolchain of rustup, such as nightly");
    };
    let library = CRATES.library("unlike");
    let folder = outside("compatibility").join("crates");
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
