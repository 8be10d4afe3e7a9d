//! Tools for plugin authors: a new crate, and the conformance checks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::crates::{begin, begin_with, library, test};
use crate::harness::{
    Scratch, field, fixture, pallium, pallium_in, pallium_with, plugin, results, root, text,
};

fn every_check_passes(report: &Value) {
    assert_eq!(report["failed"], 0, "{report:#}");
    let parts = report["parts"].as_array().unwrap();
    assert!(parts.len() >= 2 && report["passed"].as_u64().unwrap() >= 8, "{report:#}");
}

/// A new plugin for a role has the files that its README names, passes its tests and
/// the checks, and its experiment runs.
fn role(role: &str) {
    made(&format!("my-{role}"), &["--role", role]);
}

fn made(name: &str, options: &[&str]) {
    let folder = begin_with("authors", name, options);
    for file in ["README.md", "experiment.toml", ".gitignore", "src/lib.rs"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    assert!(std::fs::read_to_string(folder.join("README.md")).unwrap().contains(&format!("own.{name}")));
    let tested = test(&folder).ok();
    assert!(tested.stdout.contains("it_passes_the_conformance_checks ... ok"));
    let file = library(&folder);
    every_check_passes(&pallium(&["plugins", "check", text(&file), "--json"]).ok().json());
    let out = folder.join("runs/first");
    pallium(&["run", text(&folder.join("experiment.toml")), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["status"] == "ok"));
}

#[test]
fn a_new_substrate_source_works() {
    role("substrate");
}

#[test]
fn a_new_weight_source_works() {
    role("weights");
}

#[test]
fn a_new_constraint_works() {
    role("constraint");
}

#[test]
fn a_new_task_works() {
    role("task");
}

#[test]
fn a_new_model_works() {
    role("model");
}

/// Training follows the unit's step: candle differentiates it.
#[test]
fn a_new_unit_in_candle_works() {
    made("my-unit", &["--role", "model", "--with", "candle"]);
}

#[test]
fn a_new_metric_works() {
    role("metric");
}

#[test]
fn refusals_of_a_new_plugin_have_a_remedy() {
    let folder = Scratch::new();
    let dir = text(folder.path());
    let new = |arguments: &[&str]| pallium(&[&["plugins", "new", "--dir", dir], arguments].concat());
    new(&["My_Penalty", "--role", "constraint"]).refused(&["My_Penalty", "lower-case letters"]);
    new(&["my-task", "--role", "penalty"])
        .refused(&["penalty", "substrate, weights, constraint, task, model, optimizer, metric"]);
    new(&["my-task", "--role", "task", "--with", "candle"])
        .refused(&["no template of a task with candle", "--role model"]);
    new(&["my-unit", "--role", "model", "--with", "torch"]).refused(&["torch", "candle"]);
    new(&["my-task", "--role", "task", "--id", "a.b.c"]).refused(&["a.b.c", "family.name"]);
    new(&["my-task", "--role", "task", "--core", "/nowhere"])
        .refused(&["no pallium-core in /nowhere", "--core"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "an error writes nothing");
    new(&["my-task", "--role", "task", "--core", "0.1"]).ok();
    let manifest = std::fs::read_to_string(folder.path().join("my-task/Cargo.toml")).unwrap();
    assert!(manifest.contains("pallium-core = { version = \"0.1\" }"), "{manifest}");
    new(&["my-task", "--role", "task"]).refused(&["exists already"]);
    new(&["other-task", "--role", "task", "--core", text(&root())]).ok();
}

#[test]
fn the_core_travels_with_the_executable_or_comes_from_an_address() {
    let folder = Scratch::new();
    let new = |name: &str, core: &[&str]| {
        let words = ["plugins", "new", name, "--role", "metric", "--dir", text(folder.path())];
        pallium(&[&words, core].concat()).ok();
        std::fs::read_to_string(folder.path().join(name).join("Cargo.toml")).unwrap()
    };
    let manifest = new("vendored", &[]);
    assert!(manifest.contains("pallium-core = { path = \"vendor/pallium/core\" }"), "{manifest}");
    let core = folder.path().join("vendored/vendor/pallium/core/src/setting.rs");
    let own = std::fs::read(root().join("core/src/setting.rs")).unwrap();
    assert_eq!(std::fs::read(&core).unwrap(), own);
    let git = new("git", &["--core", "https://example.org/pallium.git#v0.1.0"]);
    let line = "pallium-core = { git = \"https://example.org/pallium.git\", rev = \"v0.1.0\" }";
    assert!(git.contains(line), "{git}");

    // Older sources are replaced; a crate without them learns how to use them.
    std::fs::write(&core, "old").unwrap();
    let vendor = |name: &str| pallium(&["plugins", "vendor", text(&folder.path().join(name))]);
    assert!(!vendor("vendored").ok().stdout.contains("does not depend on it"));
    assert_eq!(std::fs::read(&core).unwrap(), own);
    assert!(vendor("git").ok().stdout.contains("pallium-core = { path = \"vendor/pallium/core\" }"));
    vendor("nothing").refused(&["nothing/Cargo.toml", "the folder of a plugin's crate"]);
}

/// The names of the checks that failed, by component.
fn failed(report: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&report["parts"])
        .iter()
        .map(|part| {
            let failed = list(&part["checks"]).into_iter().filter(|c| c["verdict"] == "failed");
            (
                part["id"].as_str().unwrap().to_owned(),
                failed.map(|c| c["check"].as_str().unwrap().to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn runs_refuse_tasks_and_metrics_that_the_checks_refuse() {
    let hostile = fixture("hostile");
    let scratch = Scratch::new();
    let file = scratch.path().join("e.toml");
    let write = |task: &str, metrics: &str| {
        let rest = "[substrate]\nuse = \"synthetic.field\"\nneurons = 9\n[training]\nepochs = 1\ntrials = 16\n\
                    batch = 8\n[[variant]]\nname = \"a\"\n";
        let text = format!("runs = 1\ntasks = [{task}]\n[metrics]\nuse = [{metrics}]\n{rest}");
        std::fs::write(&file, text).unwrap();
    };
    let run = |out: &str| {
        let out = scratch.path().join(out);
        (pallium_with(&[&hostile], &["run", text(&file), "--out", text(&out)]), out)
    };
    for (absurd, part) in [
        ("inputs", "`inputs` is 18446744073709551615; a task has 1 to 1000000 input channels"),
        ("no-inputs", "`inputs` is 0"),
        ("outputs", "`outputs` is 1099511627776; a task has 2 to 1000000 classes"),
        ("no-outputs", "`outputs` is 0"),
        ("steps", "`steps` is 1099511627776"),
        ("chance", "`levels.chance` is NaN"),
        ("condition", "trial 0 has condition 99, but the task names 1 conditions"),
    ] {
        write(&format!("{{ use = \"hostile.task\", absurd = \"{absurd}\" }}"), "\"organization.entropy\"");
        let (ended, _) = run(absurd);
        // The task breaks its contract: its trainings fail, and others would go on.
        assert_eq!(ended.code, Some(3), "{absurd}: {}", ended.stderr);
        assert!(ended.stderr.contains("`hostile.task`") && ended.stderr.contains(part), "{}", ended.stderr);
    }
    for names in ["empty", "path", "quotes", "control", "accuracy", "twice"] {
        let metric = format!("{{ use = \"hostile.metric\", names = \"{names}\" }}, \"organization.entropy\"");
        write("\"cognition.go-no-go\"", &metric);
        let (ended, out) = run(names);
        assert_eq!(ended.code, Some(3), "{names}: {}", ended.stderr);
        let rows = results(&out);
        let own: Vec<_> = rows.iter().filter(|row| row["split"].is_empty()).collect();
        assert!(own.iter().any(|row| row["measure"] == "entropy" && row["status"] == "ok"), "{own:?}");
        let refused = own.iter().filter(|row| row["measure"].starts_with("hostile.metric"));
        assert_eq!(refused.count(), 1, "{names}: {own:?}");
        assert!(
            own.iter().all(|row| !["accuracy", "a", "a_2"].contains(&row["measure"].as_str())),
            "{own:?}"
        );
    }
    let given = ["--only", "hostile.metric", "--param", "hostile.metric.names=accuracy", "--json"];
    let checked = pallium(&[&["plugins", "check", text(&hostile)], &given[..]].concat());
    assert!(failed(&checked.json())["hostile.metric"].contains("measures"), "{}", checked.stdout);
}

#[test]
fn an_id_that_another_installed_plugin_has_is_reported() {
    let own = fixture("outside");
    let scratch = Scratch::new();
    // The same components of a crate with another name.
    let mut bytes = std::fs::read(&own).unwrap();
    let (old, new) = (b"pallium-tests", b"pallium-other");
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
    let other = scratch.path().join("libother.so");
    std::fs::write(&other, bytes).unwrap();
    let ended = pallium_with(&[&own], &["plugins", "check", text(&other), "--json"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let failed = failed(&ended.json());
    assert_eq!(failed["outside.long-connections"], ["unique id".to_owned()].into());
    assert!(ended.stdout.contains(text(&own)), "{}", ended.stdout);
    // Another build of the same crate takes its place.
    pallium_with(&[&own], &["plugins", "check", text(&own)]).ok();
}

#[test]
fn checks_find_exactly_the_broken_rules() {
    let faulty = fixture("faulty");
    let ended = pallium(&["plugins", "check", text(&faulty), "--json", "--timeout", "5"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let report = ended.json();
    let failed = failed(&report);
    for (id, check) in [
        ("faulty.gradient", "gradient"),
        ("faulty.overwrites", "gradient"),
        ("faulty.projection", "project"),
        ("faulty.beyond", "gradient"),
        ("faulty.normalises", "project"),
        ("faulty.single", "finite"),
        ("faulty.shrinks-large", "project"),
        ("faulty.forgotten", "activity"),
        ("faulty.steps", "trials"),
        ("faulty.conditions", "trials"),
        ("faulty.rarely", "deterministic"),
        ("faulty.logarithm", "finite"),
        ("faulty.panics", "survives"),
        ("faulty.crashes", "survives"),
        ("faulty.hangs", "survives"),
        ("faulty.unsteady", "deterministic"),
        ("faulty.chance", "chance"),
        ("faulty.memoryless", "memoryless"),
        ("faulty.order", "relabelling"),
        ("faulty.indexes", "survives"),
    ] {
        assert!(failed[id].contains(check), "{id}: {:?}", failed[id]);
        // The synthetic weights have zeros, where a logarithm is not finite; a wrong
        // gradient is wrong between populations, too.
        // And trials that change from call to call differ between splits.
        let alone = failed[id].len() == 1
            || ["faulty.logarithm", "faulty.unsteady"].contains(&id)
            || failed[id].contains("shape");
        assert!(alone, "{id}: {:?}", failed[id]);
    }
    assert_eq!(failed["faulty.counts"], ["deterministic", "relabelling"].map(String::from).into());
    assert_eq!(failed.len(), 22, "{:?}", failed.keys());

    let text = serde_json::to_string(&report).unwrap();
    for part in [
        "the gradient is off by",
        "largest deviation at row ",
        "and finite differences give",
        "does not add its gradient",
        "projecting weights of zero gives NaN at row 0, column 0",
        "for a single neuron the penalty is NaN",
        "`wants_activity` is false",
        "it states 5 steps, and every trial has 3",
        "condition 2, `never`, occurs in none of",
        "a second projection changes weights by up to",
        "panicked in penalty: not a number",
        "signal 6 (abort)",
        "it did not end within 5 s; last plugin code: `",
        "gives other trials for the same seed",
        "it states 0.25; guessing evenly reaches 0.5000",
        "it states 0.5, but an observer of only the last inputs reaches 1.000",
        "permuting the neurons changes the result: `value` is",
    ] {
        assert!(text.contains(part), "no «{part}» in\n{report:#}");
    }
}

#[test]
fn a_value_under_a_profile_that_does_not_exist_is_found() {
    let ended = pallium(&["plugins", "check", text(&fixture("declares")), "--json"]);
    assert_eq!(ended.code, Some(2));
    let failed = failed(&ended.json());
    assert!(failed["declares.parameters"].is_empty(), "{failed:?}");
    assert_eq!(failed["declares.misspelt"], BTreeSet::from(["profiles".to_owned()]));
    let table = pallium(&["plugins", "check", text(&fixture("declares"))]);
    for line in ["there is no profile `publishd`", "help: profiles: published, corrected"] {
        assert!(table.stdout.contains(line), "no «{line}» in:\n{}", table.stdout);
    }
}

#[test]
fn a_check_prints_a_table() {
    let faulty = fixture("faulty");
    let ended = pallium(&["plugins", "check", text(&faulty), "--only", "faulty.gradient"]);
    assert_eq!(ended.code, Some(2));
    for part in [
        "component",
        "faulty.gradient (constraint)",
        "FAILED",
        "passed",
        "  help: it must be the derivative of",
        "2 failed",
    ] {
        assert!(ended.stdout.contains(part), "no «{part}» in\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("faulty.order"), "{}", ended.stdout);
    pallium(&["plugins", "check", text(&faulty), "--only", "faulty.gradint"])
        .refused(&["faulty.gradint", "faulty.gradient"]);
    pallium(&["plugins", "check", text(&faulty), "--param", "faulty.gradint.a=1"])
        .refused(&["faulty.gradint", "ID.NAME=VALUE"]);
    pallium(&["plugins", "check", "/nowhere/libx.so"])
        .refused(&["/nowhere/libx.so", "cargo build --release"]);
    pallium(&["plugins", "check", "/tmp"]).refused(&["/tmp: not an ordinary file", "cargo build --release"]);
    let own = plugin("pallium_spatial");
    pallium(&["plugins", "check", text(&own), "--param", "spatial.l1.strenght=1"]).refused(&[
        "`spatial.l1` has no parameter `strenght`",
        "did you mean --param spatial.l1.strength=…?",
    ]);
}

/// Faults of a model: name, the check that finds it, the check's message, and the
/// change to the model from `pallium plugins new`.
const FAULTS: [(&str, &str, &str, &str, &str); 4] = [
    ("adds", "gradient", "", "        self.gradients.iter_mut().for_each(|g| g.fill(0.0));\n", ""),
    (
        "seedless",
        "deterministic",
        "`initialise` ignores its seed",
        "random::stream(seed, Self::ID)",
        "random::stream(seed.min(0), Self::ID)",
    ),
    (
        "halved",
        "gradient",
        "`input`",
        "self.inputs.index_axis(Axis(0), step).t().dot(&slope)",
        "self.inputs.index_axis(Axis(0), step).t().dot(&slope.mapv(|s| 0.5 * s))",
    ),
    ("loud", "passes", "evaluation", "        if mode != Mode::Evaluate {\n", "        {\n"),
];

#[test]
fn each_fault_of_a_model_is_found() {
    let folder = begin("authors", "faulty-model", "model");
    let path = folder.join("src/lib.rs");
    let model = std::fs::read_to_string(&path).unwrap();
    let model = model.split("#[cfg(test)]").next().unwrap().replace("//! ", "// ");
    let mut lib = String::from("//! Models with a fault.\n");
    for (name, _, _, from, to) in FAULTS {
        assert_eq!(model.matches(from).count(), 1, "{name}");
        let module = model.replace(from, to).replace("own.faulty-model", &format!("faulty.{name}"));
        lib.push_str(&format!("/// A fault.\npub mod {name} {{\n{module}}}\n"));
    }
    std::fs::write(&path, lib + "pallium_core::plugin!();\n").unwrap();
    let ended = pallium(&["plugins", "check", text(&library(&folder)), "--json"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let report = ended.json();
    let failed = failed(&report);
    for (name, check, message, _, _) in FAULTS {
        assert!(failed[&format!("faulty.{name}")].contains(check), "{name}: {failed:?}");
        assert!(report.to_string().contains(message), "no «{message}» in\n{report:#}");
    }
}

#[test]
fn a_bad_file_in_a_folder_does_not_hide_the_others() {
    let folder = Scratch::new();
    let own = fixture("outside");
    std::fs::copy(&own, folder.path().join("liboutside.so")).unwrap();
    std::fs::write(folder.path().join("libnotes.so"), "notes").unwrap();
    let listed = pallium_with(&[folder.path()], &["plugins", "list"]).ok();
    assert!(listed.stdout.contains("outside.long-connections"), "{}", listed.stdout);
    assert!(listed.stderr.contains("libnotes.so is not a plugin"), "{}", listed.stderr);
    pallium_with(&[folder.path()], &["plugins", "show", "outside.long-connections"]).ok();
    // A file can be shown before it is on the path, also by its bare name.
    let shown = pallium_in(folder.path(), &[], &["plugins", "show", "liboutside.so"]).ok();
    assert!(shown.stdout.contains("limit_um"), "{}", shown.stdout);
    pallium_in(folder.path(), &[], &["plugins", "check", "liboutside.so"]).ok();
}

#[test]
fn a_page_names_measures_and_levels() {
    let shown = pallium(&["plugins", "show", "organization.entropy"]).ok();
    assert!(shown.stdout.contains("\nMeasures:\n"), "{}", shown.stdout);
    let shown = pallium(&["plugins", "show", "cognition.one-choice"]).ok();
    assert!(shown.stdout.contains("levels: chance 0.25"), "{}", shown.stdout);
}

#[test]
fn a_file_that_does_not_load_fails_the_first_check() {
    let ended = pallium(&["plugins", "check", text(&fixture("library")), "--json"]);
    assert_eq!(ended.code, Some(2));
    let report = ended.json();
    assert_eq!(report["parts"][0]["checks"][0]["check"], "loads");
    assert!(
        report["parts"][0]["checks"][0]["detail"].as_str().unwrap().contains("not a Pallium plugin"),
        "{report:#}"
    );
}

/// Whether a source file of a crate has `part` in it.
fn mentions(folder: &std::path::Path, part: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => mentions(&path, part),
            false => std::fs::read_to_string(path).is_ok_and(|text| text.contains(part)),
        }
    })
}

/// A minimal field described by its user.
fn own_field() -> Scratch {
    let folder = Scratch::new();
    let description = "name = \"own\"\n[positions]\nfile = \"positions.csv\"\nunit = \"um\"\n";
    std::fs::write(folder.path().join("field.toml"), description).unwrap();
    std::fs::write(folder.path().join("positions.csv"), "x,y,z\n0,0,0\n20,0,5\n0,40,0\n").unwrap();
    folder
}

/// Checks of the plugins that do not run them in their own tests.
#[test]
fn shipped_plugins_pass_the_checks() {
    let mut checked = 0;
    for entry in std::fs::read_dir(root().join("plugins")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        // `nwb.rs` tests this one, which needs a file.
        if name == "nwb" || mentions(&folder.join("src"), "testkit::") {
            continue;
        }
        let file = plugin(&format!("pallium_{}", name.replace('-', "_")));
        let own = own_field();
        let param = format!("field.described.path={}", text(own.path()));
        let mut check = vec!["plugins", "check", text(&file), "--json"];
        if name == "field" {
            check.extend(["--param", &param]);
        }
        every_check_passes(&pallium(&check).ok().json());
        checked += 1;
    }
    assert!(checked > 0, "nothing is left to check here: remove this test");
}

#[test]
fn a_recorded_field_passes_the_checks_of_a_substrate() {
    let Some(folder) = field("6_6_2") else { return };
    let file = plugin("pallium_microns");
    let param = format!("microns.field.path={}", text(&folder));
    let report =
        pallium(&["plugins", "check", text(&file), "--only", "microns.field", "--param", &param, "--json"])
            .ok()
            .json();
    let checks = report["parts"][1]["checks"].as_array().unwrap();
    let verdict = |name: &str| checks.iter().find(|c| c["check"] == name).map(|c| c["verdict"].clone());
    assert_eq!(verdict("substrate"), Some("passed".into()), "{report:#}");
    assert_eq!(verdict("deterministic"), Some("passed".into()), "{report:#}");
}
