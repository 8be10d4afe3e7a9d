//! Plugins that crash, exit, hang or print wherever their code runs: they are named,
//! and everything else works.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{
    Ended, Scratch, execute, fixture, pallium, pallium_with, plugin, program, results, text,
};

/// A folder with a plugin that fails while it is loaded, an experiment without it, and
/// a cache folder.
struct Scene {
    folder: Scratch,
    library: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = Scratch::new();
        let library = folder.path().join("plugins/librogue.so");
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        std::fs::copy(fixture("rogue"), &library).unwrap();
        Scene { folder, library }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn experiment(&self, constraint: &str) -> PathBuf {
        let file = self.path("x.toml");
        std::fs::write(
            &file,
            format!(
                "seed = 1\nruns = 1\ntasks = [\"cognition.go-no-go\"]\nplugin_path = [\"plugins\"]\n\
                 [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
                 [training]\nepochs = 1\ntrials = 32\nbatch = 16\n[metrics]\nuse = []\n\
                 [[variant]]\nname = \"a\"\nconstraints = [{constraint}]\n"
            ),
        )
        .unwrap();
        file
    }

    /// Runs a command while the plugin fails in this way.
    fn run(&self, load: &str, arguments: &[&str]) -> Ended {
        execute(&mut self.command(load, arguments))
    }

    fn command(&self, load: &str, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("PALLIUM_PLUGIN_PATH", self.path("plugins"));
        command.env("PALLIUM_FIXTURE_LOAD", load).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }
}

fn ids(list: &Ended) -> Vec<String> {
    let list = list.json();
    list.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_that_fails_while_it_is_loaded_is_named_and_the_others_work() {
    let scene = Scene::new();
    let library = text(&scene.library);
    let shipped = ids(&pallium(&["plugins", "list", "--json"]).ok());
    let weights = scene.path("w.npy");
    let experiment = scene.experiment("\"spatial.l1\"");
    for (load, cause) in [
        ("segfault", "was ended by signal 11 (segmentation fault)"),
        ("exit", "ended with exit code 0 without a result"),
        ("hang", "took longer than its limit of 15 s"),
    ] {
        let named = ["plugin left out", library, cause, "last plugin code: loading of"];
        let list = scene.run(load, &["plugins", "list", "--json"]).ok();
        assert_eq!(ids(&list), shipped, "{load}");
        for part in named {
            assert!(list.stderr.contains(part), "{load}: no «{part}» in:\n{}", list.stderr);
        }
        if load == "hang" {
            continue;
        }
        let out = scene.path(load);
        let saved = text(&weights);
        for arguments in [
            &["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", saved, "--force"][..],
            &["measure", saved, "--json"],
            &["penalty", "spatial.l1", "--weights", saved, "--json"],
            &["plan", text(&experiment), "--json"],
            &["run", text(&experiment), "--out", text(&out), "--json"],
        ] {
            let ended = scene.run(load, arguments).ok();
            if arguments.contains(&"--json") {
                ended.json();
            }
            assert!(ended.stderr.contains(cause), "{load}: {arguments:?}: {}", ended.stderr);
        }
        // An experiment that needs it fails with the cause.
        let needs = scene.experiment("\"rogue.constraint\"");
        scene.run(load, &["run", text(&needs), "--out", text(&scene.path("never"))]).refused(&[
            "there is no component `rogue.constraint`",
            library,
            cause,
        ]);
        assert!(!scene.path("never").exists());
        scene.experiment("\"spatial.l1\"");
        // Named itself, the file is the user's mistake.
        let mut command = scene.command(load, &["plugins", "list"]);
        execute(command.env("PALLIUM_PLUGIN_PATH", library)).refused(&[library, cause]);
        let checked = scene.run(load, &["plugins", "check", library, "--json"]);
        assert_eq!(checked.code, Some(2));
        assert!(checked.stdout.contains(cause), "{}", checked.stdout);
    }
}

#[test]
fn descriptions_are_kept_so_no_plugin_is_opened_twice() {
    let scene = Scene::new();
    let all = ids(&scene.run("", &["plugins", "list", "--json"]).ok());
    assert!(all.contains(&"rogue.constraint".to_owned()), "{all:?}");
    // The library would end the process that opens it.
    let experiment = scene.experiment("\"spatial.l1\"");
    for arguments in [&["plugins", "list", "--json"][..], &["plan", text(&experiment), "--json"]] {
        let ended = scene.run("segfault", arguments).ok();
        assert_eq!(ended.stderr.matches("left out").count(), 0, "{}", ended.stderr);
    }
    // Broken entries are replaced.
    let kept: Vec<PathBuf> =
        std::fs::read_dir(scene.path("cache/pallium/plugins")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(kept.len() > 10, "{kept:?}");
    for (at, entry) in kept.iter().enumerate() {
        let whole = std::fs::read(entry).unwrap();
        std::fs::write(entry, &whole[..whole.len() * (at % 3) / 3]).unwrap();
    }
    assert_eq!(ids(&scene.run("", &["plugins", "list", "--json"]).ok()), all);
    assert_eq!(ids(&scene.run("segfault", &["plugins", "list", "--json"]).ok()), all);
}

#[test]
fn a_component_that_ends_the_process_of_a_command_is_named() {
    let rogue = fixture("rogue");
    let scratch = Scratch::new();
    let weights = scratch.path().join("w.npy");
    pallium(&["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", text(&weights)]).ok();
    for (mode, end, method) in [
        ("segfault", "was ended by signal 11 (segmentation fault)", "penalty"),
        ("abort", "was ended by signal 6 (abort)", "penalty"),
        ("exit-zero", "ended with exit code 0", "penalty"),
        ("segfault-in-constructor", "was ended by signal 11 (segmentation fault)", "build"),
        ("exit-in-constructor", "ended with exit code 0", "build"),
        ("segfault-in-drop", "was ended by signal 11 (segmentation fault)", "drop"),
        ("exit-in-drop", "ended with exit code 0", "drop"),
    ] {
        let mode = format!("mode={mode}");
        let call = format!("last plugin code: `{method}` of `rogue.constraint` ({})", rogue.display());
        pallium_with(
            &[&rogue],
            &["penalty", "rogue.constraint", "--weights", text(&weights), "--param", &mode],
        )
        .refused(&["the process that computes with plugins", end, &call]);
    }
}

#[test]
fn a_plugin_that_prints_does_not_change_what_a_command_prints() {
    let scene = Scene::new();
    let weights = scene.path("w.npy");
    pallium(&["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", text(&weights)]).ok();
    let penalty =
        ["penalty", "rogue.constraint", "--weights", text(&weights), "--param", "mode=print", "--json"];
    let ended = scene.run("print", &penalty).ok();
    assert_eq!(ended.json()["value"], 0.0);
    // Once when it was loaded, with a warning that names the file.
    let printed = ended.stderr.lines().filter(|line| !line.contains("printed while it was loaded"));
    assert_eq!(printed.filter(|line| line.contains("printed by the rogue")).count(), 2, "{}", ended.stderr);
    let warning = ended.stderr.lines().find(|line| line.contains("printed while it was loaded"));
    assert!(warning.is_some_and(|line| line.contains(text(&scene.library))), "{}", ended.stderr);
    for arguments in [
        &["plugins", "show", "rogue.constraint", "--json"][..],
        &["plugins", "list", "--json"],
        &["plugins", "check", text(&scene.library), "--only", "rogue.weights", "--json"],
    ] {
        scene.run("print", arguments).json();
    }
    // In a training, it is in the log.
    let experiment = scene.experiment("{ use = \"rogue.constraint\", mode = \"print\" }");
    let out = scene.path("out");
    assert_eq!(
        scene.run("print", &["run", text(&experiment), "--out", text(&out), "--json"]).ok().json()["cells"]["ok"],
        1
    );
    let cell = std::fs::read_dir(out.join("cells")).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(cell.join("log.txt")).unwrap();
    assert!(log.matches("printed by the rogue").count() > 2, "{log}");
}

/// A copy of the library `outside` with another component id.
fn renamed(to: &Path, id: &str) -> PathBuf {
    let (old, new) = (b"outside.long-connections", id.as_bytes());
    assert_eq!(old.len(), new.len());
    let mut bytes = std::fs::read(fixture("outside")).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    std::fs::write(to, bytes).unwrap();
    to.to_owned()
}

#[test]
fn plugins_of_one_name_are_told_apart_by_their_content() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&two).unwrap();
    let first = renamed(&one.join("libsame.so"), "outside.long-connections");
    let second = renamed(&two.join("libsame.so"), "outsidf.long-connections");
    let path: [&Path; 2] = [&one, &two];
    let list = pallium_with(&path, &["plugins", "list", "--json"]).ok().json();
    let of = |id: &str| -> Value { list.as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone() };
    let (a, b) = (of("outside.long-connections"), of("outsidf.long-connections"));
    assert_eq!(a["plugin"], b["plugin"]);
    assert_eq!((a["file"].as_str(), b["file"].as_str()), (first.to_str(), second.to_str()));

    let file = scratch.path().join("x.toml");
    std::fs::write(
        &file,
        "seed = 1\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
         [training]\nepochs = 1\ntrials = 32\nbatch = 16\n[metrics]\nuse = []\n\
         [[variant]]\nname = \"a\"\nconstraints = [\"outside.long-connections\"]\n\
         [[variant]]\nname = \"b\"\nconstraints = [\"outsidf.long-connections\"]\n",
    )
    .unwrap();
    let out = scratch.path().join("out");
    let run = || pallium_with(&path, &["run", text(&file), "--out", text(&out)]).ok();
    assert!(run().stderr.contains("2 trainings to run"));
    assert!(run().stderr.contains("all 2 trainings are already in"));
    // Another build of the first: the same name, version and id.
    let mut bytes = std::fs::read(&first).unwrap();
    bytes.extend(b"another build");
    std::fs::write(&first, bytes).unwrap();
    let ended = run();
    assert!(ended.stderr.contains("1 training to run; 1 is already in"), "{}", ended.stderr);
    assert!(results(&out).iter().all(|row| row["status"] == "ok"));

    // Two different files with one id: an experiment that names it is refused,
    // others run.
    renamed(&two.join("libother.so"), "outside.long-connections");
    let contested = ["two plugins offer `outside.long-connections`", text(&first), "remove one of them"];
    pallium_with(&path, &["run", text(&file), "--out", text(&out)]).refused(&contested);
    pallium_with(&path, &["run", text(&file), "--out", text(&out), "--only", "b"]).refused(&contested);
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("outside.", "outsidf.")).unwrap();
    let ended = pallium_with(&path, &["run", text(&file), "--out", text(&out)]).ok();
    assert!(ended.stderr.contains(contested[0]), "{}", ended.stderr);
}

#[test]
fn a_refused_file_in_a_folder_costs_a_warning() {
    let scratch = Scratch::new();
    let plugins = scratch.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    for name in ["series", "library", "stale"] {
        std::fs::copy(fixture(name), plugins.join(format!("lib{name}.so"))).unwrap();
    }
    std::fs::write(plugins.join("libnotes.so"), "notes").unwrap();
    std::fs::copy(plugin("pallium_init"), plugins.join("libsame.so")).unwrap();
    let weights = scratch.path().join("w.npy");
    let new = ["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", text(&weights)];
    let ended = pallium_with(&[&plugins], &new).ok();
    for name in ["series", "library", "stale", "notes", "same"] {
        assert!(ended.stderr.contains(&format!("lib{name}.so")), "{name}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("plugin left out").count(), 5, "{}", ended.stderr);
}
