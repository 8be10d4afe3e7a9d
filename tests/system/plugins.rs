//! Loaded plugins: their components, descriptions and failures. `refusals.rs` tests
//! refused files.

use crate::harness::{Scratch, fixture, pallium, pallium_with, results, text};

#[test]
fn the_shipped_plugins_load_side_by_side() {
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
        assert!(component["about"].as_str().is_some_and(|text| !text.is_empty()), "{id} has no `about`");
    }
    // One component of each role, as text and as JSON.
    for id in [
        "synthetic.field",
        "init.orthogonal",
        "spatial.distance",
        "cognition.go-no-go",
        "rnn.vanilla",
        "organization.entropy",
    ] {
        let shown = pallium(&["plugins", "show", id]).ok();
        assert!(shown.stdout.contains(id), "{}", shown.stdout);
        assert!(!shown.stdout.contains("null"), "a key of the description is missing:\n{}", shown.stdout);
        let json = pallium(&["plugins", "show", id, "--json"]).ok().json();
        for key in ["about", "cite"] {
            assert!(json[key].as_str().is_some_and(|text| !text.is_empty()), "{id} has no `{key}`");
        }
    }
    pallium(&["plugins", "show", "spatial.distanse"])
        .refused(&["spatial.distanse", "did you mean `spatial.distance`?"]);
}

#[test]
fn a_plugin_on_the_path_is_offered_without_a_change_to_the_host() {
    let own = fixture("outside");
    let shown = pallium_with(&[&own], &["plugins", "show", "outside.long-connections"]).ok();
    for part in ["limit_um", "300", "Length up to which a connection costs nothing, in micrometres"] {
        assert!(shown.stdout.contains(part), "no «{part}» in:\n{}", shown.stdout);
    }
}

#[test]
fn a_constraint_of_another_plugin_trains_beside_the_shipped_ones() {
    let own = fixture("outside");
    let scratch = Scratch::new();
    let file = scratch.path().join("own.toml");
    std::fs::write(
        &file,
        "seed = 3\nruns = 1\ntasks = [\"cognition.one-choice\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 30\n\
         [training]\nepochs = 2\ntrials = 256\nbatch = 64\n\
         [[variant]]\nname = \"own\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
         constraints = [{ use = \"outside.long-connections\", limit_um = 150.0 }, \"spatial.communicability\"]\n",
    )
    .unwrap();
    let out = scratch.path().join("out");
    pallium_with(&[&own], &["run", text(&file), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    let penalty = rows.iter().find(|row| row["measure"] == "penalty" && row["split"] == "test").unwrap();
    assert!(penalty["value"].parse::<f64>().unwrap() > 0.0);
}

#[test]
fn components_of_another_plugin_have_the_values_that_they_declare_under_a_profile() {
    let own = fixture("declares");
    let scratch = Scratch::new();
    let file = scratch.path().join("own.toml");
    std::fs::write(
        &file,
        "runs = 1\ntasks = [\"cognition.one-choice\"]\nmetrics.use = [\"declares.parameters\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
         [training]\nepochs = 1\ntrials = 64\n[[variant]]\nname = \"W\"\n",
    )
    .unwrap();
    let run = |number: usize, sets: &[&str]| {
        let out = scratch.path().join(format!("out-{number}"));
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        pallium_with(&[&own], &arguments).ok();
        let rows = results(&out);
        ["declared_limit", "declared_includes"].map(|name| {
            rows.iter().find(|row| row["measure"] == name).unwrap()["value"].parse::<f64>().unwrap()
        })
    };
    let (published, include): (_, &str) = ("profile=published", "switches.ties=include");
    assert_eq!(run(1, &[published]), [0.25, 0.0]);
    assert_eq!(run(2, &["profile=corrected"]), [0.5, 1.0]);
    // A switch, and what the file sets, take precedence.
    assert_eq!(run(3, &[published, include]), [0.25, 1.0]);
    let set = "defaults.\"declares.parameters\".limit=3";
    assert_eq!(run(4, &[published, set]), [3.0, 0.0]);
    // The same in a single command.
    let matrix = scratch.path().join("w.npy");
    ndarray_npy::write_npy(&matrix, &ndarray::Array2::<f32>::eye(8)).unwrap();
    let measure = |more: &[&str]| {
        let given = ["measure", text(&matrix), "--metric", "declares.parameters", "--json"];
        let found = pallium_with(&[&own], &[&given, more].concat()).ok().json();
        [&found["declared_limit"], &found["declared_includes"]].map(|value| value.as_f64().unwrap())
    };
    assert_eq!(measure(&["--profile", "published"]), [0.25, 0.0]);
    assert_eq!(measure(&["--profile", "published", "--switch", "ties=include"]), [0.25, 1.0]);
    assert_eq!(measure(&["--profile", "corrected"]), [0.5, 1.0]);
    let shown = pallium_with(&[&own], &["plugins", "show", "declares.parameters"]).ok().stdout;
    for line in ["under the profile published: 0.25", "under the profile published with spatial.l1: 7.0"] {
        assert!(shown.contains(line), "no «{line}» in:\n{shown}");
    }
}

#[test]
fn a_panic_in_a_single_command_is_reported_and_does_not_end_the_program() {
    let rogue = fixture("rogue");
    let scratch = Scratch::new();
    let weights = scratch.path().join("w.npy");
    pallium(&["weights", "init.orthogonal", "--neurons", "9", "--seed", "1", "--out", text(&weights)]).ok();
    for (mode, place) in [
        ("panic-in-constructor", "its constructor: the constructor had enough at tests/fixtures/rogue.rs:"),
        ("panic-in-penalty", "penalty: the penalty had enough of 81 weights at tests/fixtures/rogue.rs:"),
        ("panic-in-index", ", called by <fixture_rogue::Rogue as "),
        ("panic-in-drop", "drop: the drop had enough at tests/fixtures/rogue.rs:"),
    ] {
        let mode = format!("mode={mode}");
        pallium_with(
            &[&rogue],
            &["penalty", "rogue.constraint", "--weights", text(&weights), "--param", &mode],
        )
        .refused(&["`rogue.constraint` panicked in", place, "a bug in the plugin"]);
    }
}

#[test]
fn events_of_a_plugin_are_in_the_log_of_its_training() {
    let rogue = fixture("rogue");
    let scratch = Scratch::new();
    let file = scratch.path().join("talk.toml");
    std::fs::write(
        &file,
        "seed = 3\nruns = 1\ntasks = [\"cognition.go-no-go\"]\n\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 20\n\
         [training]\nepochs = 1\ntrials = 64\nbatch = 32\n\
         [metrics]\nuse = []\n\
         [[variant]]\nname = \"talk\"\nconstraints = [{ use = \"rogue.constraint\", mode = \"talk\" }]\n",
    )
    .unwrap();
    let out = scratch.path().join("out");
    pallium_with(&[&rogue], &["run", text(&file), "--out", text(&out)]).ok();
    let cell = std::fs::read_dir(out.join("cells")).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(cell.join("log.txt")).unwrap();
    assert!(log.contains("the rogue says warn") && log.contains("weights=400"), "{log}");
}
