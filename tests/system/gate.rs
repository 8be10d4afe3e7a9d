//! What may come in, and how everything else is turned away.

use std::path::{Path, PathBuf};

use crate::harness::{fixture, pallium, pallium_with, plugin, root, text};

fn list_with(path: &Path) -> crate::harness::Ended {
    pallium_with(&[path], &["plugins", "list"])
}

#[test]
fn five_plugins_stand_side_by_side() {
    let list = pallium(&["plugins", "list", "--json"]).ok().json();
    let ids: Vec<&str> = list.as_array().unwrap().iter().filter_map(|c| c["id"].as_str()).collect();
    for id in [
        "microns.field",
        "microns.functional",
        "microns.relabelled",
        "init.orthogonal",
        "synthetic.field",
        "spatial.l1",
        "spatial.distance",
        "spatial.communicability",
        "spatial.communicability-emd",
        "spatial.non-negative",
        "cognition.one-choice",
        "cognition.go-no-go",
        "cognition.perceptual-decision",
        "rnn.vanilla",
        "organization.entropy",
        "organization.modularity",
        "organization.assortativity",
        "organization.clustering",
        "organization.efficiency",
        "organization.small-worldness",
    ] {
        assert!(ids.contains(&id), "{id} is missing from {ids:?}");
    }
}

#[test]
fn every_component_documents_itself() {
    let list = pallium(&["plugins", "list", "--json"]).ok().json();
    for component in list.as_array().unwrap() {
        let id = component["id"].as_str().unwrap();
        let shown = pallium(&["plugins", "show", id]).ok();
        assert!(shown.stdout.contains(id), "{}", shown.stdout);
        let json = pallium(&["plugins", "show", id, "--json"]).ok().json();
        assert!(json["about"].as_str().is_some_and(|s| !s.is_empty()), "{id} says nothing about itself");
        assert!(json["cite"].as_str().is_some_and(|s| !s.is_empty()), "{id} cites nothing");
    }
    pallium(&["plugins", "show", "spatial.distanse"])
        .refused(&["spatial.distanse", "did you mean `spatial.distance`?"]);
}

#[test]
fn a_plugin_of_ones_own_joins_without_touching_the_host() {
    let own = fixture("outside", &[]);
    let shown = pallium_with(&[&own], &["plugins", "show", "outside.long-connections"]).ok();
    for part in ["limit_um", "300", "Distance in micrometres up to which a connection is free"] {
        assert!(shown.stdout.contains(part), "no «{part}» in:\n{}", shown.stdout);
    }
}

#[test]
fn what_is_no_library_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("libnotes.so");
    std::fs::write(&notes, "these are just notes, long enough to hold a header of a library, and more")
        .unwrap();
    list_with(&notes).refused(&["libnotes.so", "is not a plugin", "not a shared library", "help"]);
    let empty = folder.path().join("libempty.so");
    std::fs::write(&empty, "").unwrap();
    list_with(&empty).refused(&["libempty.so", "not a shared library"]);
}

#[test]
fn a_truncated_library_is_turned_away_before_it_can_kill() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(plugin("pallium_cognition")).unwrap();
    for part in [1, 3, 9] {
        let cut = folder.path().join(format!("libcut{part}.so"));
        std::fs::write(&cut, &whole[..whole.len() * part / 10]).unwrap();
        list_with(&cut).refused(&["is cut short", "copy or build it again"]);
        std::fs::remove_file(cut).unwrap();
    }
}

#[test]
fn a_library_that_is_no_plugin_is_turned_away() {
    list_with(&fixture("library", &[])).refused(&["but not a Pallium plugin", "pallium_core::plugin!();"]);
}

#[test]
fn a_plugin_of_another_contract_is_turned_away_in_a_few_words() {
    let refusal = list_with(&fixture("stale", &[]))
        .refused(&["another version of the plugin contract", "build the plugin again"]);
    assert!(refusal.stderr.lines().count() < 15, "{}", refusal.stderr);
}

#[test]
fn a_plugin_whose_panics_abort_is_turned_away() {
    let aborting = fixture("rogue", &["--config", "profile.release.panic=\"abort\""]);
    list_with(&aborting).refused(&["panic = \"abort\"", "Cargo profile"]);
}

#[test]
fn an_id_that_two_files_offer_is_refused_with_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libcopy.so");
    std::fs::copy(plugin("pallium_cognition"), &copy).unwrap();
    list_with(&copy).refused(&[
        "two plugins offer `cognition.",
        "libcopy.so",
        "libpallium_cognition",
        "both files are identical",
    ]);
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let nowhere = PathBuf::from("/nowhere/at/all");
    list_with(&nowhere).refused(&["/nowhere/at/all does not exist", "PALLIUM_PLUGIN_PATH"]);
}

#[test]
fn a_panic_in_a_single_command_is_told_and_ends_nothing_else() {
    let rogue = fixture("rogue", &[]);
    let scratch = tempfile::tempdir().unwrap();
    let weights = scratch.path().join("w.npy");
    pallium(&["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", text(&weights)]).ok();
    for (mode, place) in [
        ("panic-in-constructor", "its constructor: the constructor had enough at src/lib.rs:"),
        ("panic-in-penalty", "penalty: the penalty had enough of 81 weights at src/lib.rs:"),
        ("panic-in-index", ", called by <fixture_rogue::Rogue as "),
        ("panic-in-drop", "drop: the drop had enough at src/lib.rs:"),
    ] {
        let mode = format!("mode={mode}");
        pallium_with(
            &[&rogue],
            &["penalty", "rogue.constraint", "--weights", text(&weights), "--param", &mode],
        )
        .refused(&["`rogue.constraint` panicked in", place, "fault of the plugin"]);
    }
}

/// An experiment on the synthetic field with one variant a rogue mode.
fn rogue_experiment(modes: &[&str]) -> String {
    let mut text = String::from(
        "seed = 3\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 20\n\
         [training]\nepochs = 1\ntrials = 64\nbatch = 32\n\
         [metrics]\nuse = [\"organization.entropy\"]\n",
    );
    for mode in modes {
        text.push_str(&format!(
            "[[variant]]\nname = \"{mode}\"\nweights = \"init.orthogonal\"\ngeometry = \"none\"\n\
             constraints = [{{ use = \"rogue.constraint\", mode = \"{mode}\" }}]\n"
        ));
    }
    text
}

#[test]
fn a_rogue_plugin_costs_its_cell_and_nothing_else() {
    let rogue = fixture("rogue", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rogue.toml");
    let modes = [
        "good",
        "panic-in-constructor",
        "panic-in-penalty",
        "panic-in-drop",
        "abort",
        "exit-zero",
        "segfault",
        "nan",
        "talk",
    ];
    std::fs::write(&file, rogue_experiment(&modes)).unwrap();
    let out = folder.path().join("out");
    let ended = pallium_with(&[&rogue], &["run", text(&file), "--out", text(&out)]);
    assert_eq!(ended.code, Some(3), "{}\n{}", ended.stdout, ended.stderr);

    let status = |mode: &str| {
        crate::harness::results(&out)
            .into_iter()
            .find(|row| row["variant"] == mode)
            .map(|row| row["status"].clone())
            .unwrap_or_else(|| panic!("no row of {mode}"))
    };
    assert_eq!(status("good"), "ok");
    assert_eq!(status("talk"), "ok");
    assert_eq!(status("nan"), "diverged");
    for (mode, reason) in [
        ("panic-in-constructor", "panicked in its constructor: the constructor had enough"),
        ("panic-in-penalty", "panicked in penalty: the penalty had enough of 400 weights"),
        ("panic-in-drop", "panicked in drop: the drop had enough"),
        ("abort", "signal 6"),
        ("exit-zero", "without"),
        ("segfault", "signal 11"),
    ] {
        let found = status(mode);
        assert!(found.starts_with("failed: ") && found.contains(reason), "{mode}: {found}");
    }
    let log = std::fs::read_to_string(
        std::fs::read_dir(out.join("cells"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| text(p).contains("talk"))
            .expect("the talking cell is there")
            .join("log.txt"),
    )
    .unwrap();
    assert!(log.contains("the rogue says warn") && log.contains("weights=400"), "{log}");
}

#[test]
fn a_constraint_of_ones_own_trains_beside_all_others() {
    let own = fixture("outside", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(
        &file,
        "seed = 3\nruns = 1\ntasks = [\"cognition.one-choice\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 30\n\
         [training]\nepochs = 2\ntrials = 256\nbatch = 64\n\
         [[variant]]\nname = \"own\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
         constraints = [{ use = \"outside.long-connections\", limit_um = 150.0 }, \"spatial.communicability\"]\n",
    )
    .unwrap();
    let out = folder.path().join("out");
    pallium_with(&[&own], &["run", text(&file), "--out", text(&out)]).ok();
    let rows = crate::harness::results(&out);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    let penalty = rows.iter().find(|row| row["measure"] == "penalty" && row["split"] == "test").unwrap();
    assert!(penalty["value"].parse::<f64>().unwrap() > 0.0);
    assert!(root().join("host").exists());
}
