//! Experiments from file to results.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Scratch, field, pallium, pallium_in, pallium_with, results, root, text};

/// All result files of a run folder, without times and places.
fn result_files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for cell in std::fs::read_dir(out.join("cells")).unwrap() {
        let cell = cell.unwrap().path();
        for name in ["results.csv", "curves.csv", "weights.safetensors"] {
            let key = format!("{}/{name}", cell.file_name().unwrap().to_str().unwrap());
            files.insert(key, std::fs::read(cell.join(name)).unwrap());
        }
    }
    let rows: Vec<String> = results(out)
        .into_iter()
        .filter(|row| !row["measure"].starts_with("seconds_"))
        .map(|row| format!("{row:?}\n"))
        .collect();
    files.insert("results.csv".into(), rows.concat().into_bytes());
    files
}

const SMALL: &str = "seed = 11\nruns = 2\n\
    tasks = [\"cognition.one-choice\", \"cognition.go-no-go\", \"cognition.perceptual-decision\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 24\n\
    [training]\nepochs = 2\ntrials = 128\nbatch = 32\n\
    [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\ngeometry = \"none\"\nconstraints = [\"spatial.l1\"]\n\
    [[variant]]\nname = \"W!D*C*\"\nweights = \"microns.relabelled\"\ngeometry = \"soma\"\n\
    constraints = [\"spatial.communicability-emd\"]\n";

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_number_of_jobs() {
    let scratch = Scratch::new();
    let file = scratch.path().join("small.toml");
    std::fs::write(&file, SMALL).unwrap();
    let run = |name: &str, jobs: &str, seed: &str| {
        let out = scratch.path().join(name);
        let all = ["run", text(&file), "--out", text(&out), "--jobs", jobs, "--set", "runs=1", "--set", seed];
        pallium(&all).ok();
        result_files(&out)
    };
    let one = run("one", "1", "seed=11");
    assert_eq!(one.len(), 2 * 3 * 3 + 1);
    assert!(one == run("three", "3", "seed=11"), "three jobs gave different results than one");
    assert!(one != run("other", "3", "seed=12"), "the seed changes nothing");
}

#[test]
fn results_are_tidy_and_complete() {
    let scratch = Scratch::new();
    let file = scratch.path().join("small.toml");
    std::fs::write(&file, SMALL).unwrap();
    let out = scratch.path().join("out");
    let ended = pallium(&["run", text(&file), "--out", text(&out), "--set", "runs=1"]).ok();
    assert!(ended.stdout.contains("W!D*C*"), "the table names the variants:\n{}", ended.stdout);
    let rows = results(&out);
    for (split, measure) in [
        ("train", "accuracy"),
        ("validation", "accuracy"),
        ("test", "accuracy"),
        ("test", "task_loss"),
        ("test", "penalty"),
        ("train", "running_accuracy"),
        ("train", "running_loss"),
        ("", "entropy"),
        ("", "modularity"),
        ("", "assortativity"),
        ("", "clustering"),
        ("", "efficiency"),
        ("", "small_worldness"),
        ("", "spectral_radius"),
    ] {
        let found = rows.iter().filter(|r| r["split"] == split && r["measure"] == measure).count();
        assert_eq!(found, 6, "rows of {measure} ({split})");
    }
    let manifest = crate::harness::read_json(&out.join("manifest.json")).to_string();
    for part in ["pallium", "sha256", "seed", "switches", "profile"] {
        assert!(manifest.contains(part), "no {part} in {manifest}");
    }
    // The plan lists the trainings that were run.
    let plan = pallium(&["plan", text(&file), "--set", "runs=1", "--json"]).ok().json();
    for cell in plan.as_array().unwrap() {
        assert!(out.join("cells").join(cell["cell"].as_str().unwrap()).is_dir(), "{cell}");
    }
}

#[test]
fn the_run_folder_may_be_relative_or_have_spaces() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("small.toml"), SMALL).unwrap();
    let few = ["--set", "runs=1", "--only", "W/cognition.go-no-go/0"];
    for out in [vec![], vec!["--out", "near"], vec!["--out", "./a/../near2/"], vec!["--out", "with space"]] {
        let arguments: Vec<&str> =
            ["run", "small.toml"].into_iter().chain(few).chain(out.iter().copied()).collect();
        pallium_in(scratch.path(), &[], &arguments).ok();
    }
    for folder in ["runs/small", "near", "near2", "with space"] {
        assert!(!results(&scratch.path().join(folder)).is_empty(), "{folder}");
    }
}

#[test]
fn trainings_of_an_earlier_experiment_are_reported_and_kept() {
    let scratch = Scratch::new();
    let file = scratch.path().join("small.toml");
    std::fs::write(&file, SMALL).unwrap();
    let out = scratch.path().join("out");
    let few = ["--set", "runs=1", "--only", "W/cognition.go-no-go/0"];
    let run = |extra: &[&str]| {
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        arguments.extend(few);
        arguments.extend(extra);
        pallium(&arguments)
    };
    run(&[]).ok();
    let before: Vec<_> =
        std::fs::read_dir(out.join("cells")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let ended = run(&["--set", "training.epochs=1"]).ok();
    assert!(ended.stderr.contains("not part of this experiment as it is now"), "{}", ended.stderr);
    for name in before {
        assert!(out.join("cells").join(name).is_dir(), "an older training was changed");
    }
    let runs: Vec<_> =
        results(&out).into_iter().filter(|r| r["measure"] == "accuracy" && r["split"] == "test").collect();
    assert_eq!(runs.len(), 1, "an older training is in the results");
}

#[test]
fn a_real_field_trains() {
    let Some(folder) = field("5_3_8") else { return };
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    let experiment = root().join("experiments/cortical-blueprint.toml");
    let path = format!("substrate.path={}", text(&folder));
    pallium_with(
        &[],
        &[
            "run",
            text(&experiment),
            "--out",
            text(&out),
            "--set",
            &path,
            "--set",
            "runs=1",
            "--set",
            "training.epochs=1",
            "--set",
            "training.trials=256",
        ],
    )
    .ok();
    let rows = results(&out);
    let cells = rows.iter().filter(|r| r["measure"] == "accuracy" && r["split"] == "test").count();
    assert_eq!(cells, 33, "eleven variants on three tasks");
    assert!(rows.iter().all(|r| r["status"] == "ok"));
}

#[test]
fn every_experiment_file_runs_dry_on_synthetic_neurons() {
    let cells = BTreeMap::from([
        ("controls.toml", 600),
        ("corrected.toml", 660),
        ("cortical-blueprint.toml", 660),
        ("cross-field.toml", 660),
        ("ladder.toml", 1800),
        ("lambda.toml", 750),
        ("matched-communicability.toml", 180),
        ("matched-l1.toml", 240),
        ("positive-only.toml", 660),
        ("precision.toml", 660),
        ("quickstart.toml", 60),
        ("sttc-only.toml", 660),
    ]);
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    let mut known = 0;
    for entry in std::fs::read_dir(root().join("experiments")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let all = ["run", text(&path), "--dry-run", "--json", "--out", text(&out)];
        let synthetic = ["--set", "substrate.use=synthetic.field", "--set", "substrate.neurons=60"];
        let dry = pallium(&[&all[..], &synthetic].concat()).ok().json();
        let found = dry["cells"].as_array().unwrap().len();
        match cells.get(path.file_name().unwrap().to_str().unwrap()) {
            Some(expected) => {
                assert_eq!(found, *expected, "{}", path.display());
                known += 1;
            }
            None => assert!(found > 0, "{}", path.display()),
        }
        assert!(!out.exists(), "a dry run writes nothing");
    }
    assert_eq!(known, cells.len());
}

#[test]
fn plan_and_dry_run_refuse_what_a_run_refuses() {
    let folder = Scratch::new();
    let file = folder.path().join("x.toml");
    let out = folder.path().join("out");
    // The second penalty is 0 at the initial weights.
    for penalty in ["spatial.l1", "continual.near-start"] {
        let experiment = format!(
            "runs = 1\nmodel = \"rnn.reservoir\"\ntasks = [\"cognition.go-no-go\"]\n\
             substrate = {{ use = \"synthetic.field\", neurons = 12 }}\n\
             training = {{ epochs = 1, trials = 8 }}\n\
             [[variant]]\nname = \"W\"\nconstraints = [\"{penalty}\"]\n"
        );
        std::fs::write(&file, experiment).unwrap();
        for command in [&["plan"][..], &["run", "--dry-run"], &["run"]] {
            let mut arguments = command.to_vec();
            arguments.push(text(&file));
            if command.first() == Some(&"run") {
                arguments.extend(["--out", text(&out)]);
            }
            pallium(&arguments).refused(&["training W/cognition.go-no-go/0 cannot run", "rnn.reservoir"]);
        }
    }
    assert!(!out.exists(), "an error writes nothing");
}

/// What only building a component shows is reported at the line of its parameter.
#[test]
fn a_component_that_cannot_be_built_is_named_with_its_line() {
    let folder = Scratch::new();
    let file = folder.path().join("x.toml");
    let refused = |tasks: &str, more: &str, place: &str| {
        let experiment = format!(
            "tasks = [\n{tasks}\n]\n[substrate]\nuse = \"synthetic.field\"\nneurons = 12\n\
             [[variant]]\nname = \"A\"\n[[variant]]\nname = \"B\"\n{more}"
        );
        std::fs::write(&file, experiment).unwrap();
        pallium(&["plan", text(&file)]).refused(&[&format!("{place}: training "), "`coherences[1]` is -4"]);
    };
    let decision = "{ use = \"cognition.perceptual-decision\", coherences = [0.1, -4] }";
    refused(&format!("\"cognition.go-no-go\",\n{decision}"), "", "x.toml:3");
    let members = format!("{{ name = \"both\", members = [\"cognition.go-no-go\",\n{decision}] }}");
    refused(&members, "", "x.toml:3");
    let defaults = "[defaults.\"cognition.perceptual-decision\"]\ncoherences = [0.1, -4]\n";
    refused("\"cognition.perceptual-decision\"", defaults, "x.toml:12");
}
