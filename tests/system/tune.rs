//! `pallium tune`: chosen parameters are the best on validation trials, and the written
//! experiment trains exactly the chosen points.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{pallium, results, text};
use crate::survival::Scene;

const EXPERIMENT: &str = r#"
seed = 3
runs = 5
tasks = ["cognition.one-choice", "cognition.go-no-go"]
constraints = ["spatial.l1"]
[substrate]
use = "synthetic.field"
neurons = 12
[optimizer]
learning_rate = { sweep = [1e-4, 1e-3, 1e-2] }
[training]
epochs = 6
trials = 64
validation = 64
test = 32
batch = 16
[metrics]
use = []
[[variant]]
name = "W*D"
weights = "microns.functional"
geometry = "soma"
constraints = [{ use = "spatial.distance", strength = { sweep = [0.01, 1.0] } }]
[[variant]]
name = "W"
geometry = { space = "soma", shuffled = true }
training = { clip_norm = 0.5 }
constraints = [{ use = "spatial.distance", strength = { sweep = [0.01, 1.0] } }]
[nulls]
of = "W*D"
keep = ["degrees"]
"#;

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn each_variant_gets_the_point_that_is_best_on_validation_trials() {
    let scene = Scene::new(EXPERIMENT);
    let out = scene.out("tuning");
    let file = scene.out("x.toml");
    let tune = ["tune", text(&file), "--out", text(&out), "--jobs", "2"];
    let ended = pallium(&tune).ok();
    assert!(ended.stdout.contains("learning_rate = "), "{}", ended.stdout);
    let log = rows(&out.join("tuning.csv"));
    let of = |variant: &str, round: &str| -> Vec<BTreeMap<String, String>> {
        log.iter().filter(|row| row["variant"] == variant && row["round"] == round).cloned().collect()
    };
    let swept = results(&out.join("trainings"));
    for variant in ["W*D", "W", "W*D, null degrees"] {
        let (first, last) = (of(variant, "1"), of(variant, "2"));
        assert_eq!((first.len(), last.len()), (6, 2), "{variant}");
        assert!(first.iter().all(|row| row["epochs"] == "2" && row["trainings"] == "4"));
        // Those that go on are the best, and so is the last one.
        for round in [&first, &last] {
            let accuracy =
                |row: &BTreeMap<String, String>| row["validation_accuracy"].parse::<f64>().unwrap();
            let worst = round.iter().filter(|row| row["kept"] == "true").map(accuracy).fold(1.0, f64::min);
            let others = round.iter().filter(|row| row["kept"] == "false").map(accuracy);
            assert!(others.into_iter().all(|other| other <= worst), "{round:?}");
        }
        // The table has the means of the trainings.
        let best = last.iter().find(|row| row["kept"] == "true").unwrap();
        let values = swept.iter().filter(|row| {
            row["variant"] == best["point"] && row["split"] == "validation" && row["measure"] == "accuracy"
        });
        let values: Vec<f64> = values.map(|row| row["value"].parse().unwrap()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert_eq!(values.len(), 4);
        assert!((best["validation_accuracy"].parse::<f64>().unwrap() - mean).abs() < 1e-12);
    }

    // The written experiment trains what was chosen, to the bit.
    let again = scene.out("again");
    let tuned = out.join("tuned.toml");
    let run = ["run", text(&tuned), "--set", "seed=4", "--set", "runs=2", "--out", text(&again)];
    pallium(&run).ok();
    let chosen: BTreeMap<String, String> = log
        .iter()
        .filter(|row| row["round"] == "2" && row["kept"] == "true")
        .map(|row| (row["variant"].clone(), row["point"].clone()))
        .collect();
    let mut compared = 0;
    for row in results(&again).into_iter().filter(|row| !row["measure"].starts_with("seconds")) {
        let same = |other: &&BTreeMap<String, String>| {
            other["variant"] == chosen[&row["variant"]]
                && ["task", "run", "split", "measure"].iter().all(|key| other[*key] == row[*key])
        };
        assert_eq!(swept.iter().find(same).unwrap()["value"], row["value"], "{row:?}");
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
    let written = std::fs::read_to_string(&tuned).unwrap();
    assert!(written.contains("runs = 5") && !written.contains("sweep"), "{written}");
}

/// A tuning of one variant that takes seconds.
const SHORT: &str = r#"
seed = 3
runs = 1
tasks = ["cognition.go-no-go"]
[substrate]
use = "synthetic.field"
neurons = 12
[optimizer]
learning_rate = { sweep = [1e-4, 1e-3] }
[training]
epochs = 2
trials = 32
validation = 32
test = 32
batch = 16
[metrics]
use = []
[[variant]]
name = "W"
"#;

#[test]
fn only_the_same_tuning_writes_into_its_folder() {
    let scene = Scene::new(SHORT);
    let (file, out) = (scene.out("x.toml"), scene.out("tuning"));
    let tune = |more: &[&str]| pallium(&[&["tune", text(&file), "--out", text(&out)][..], more].concat());
    let read = |name: &str| std::fs::read(out.join(name)).unwrap();
    let ended = tune(&["--runs", "1"]).ok();
    assert!(!ended.stderr.contains("is the experiment's seed"), "{}", ended.stderr);
    let written = ["tuned.toml", "tuning.csv", "tuning.json"].map(read);
    // As if it had been interrupted before its end.
    std::fs::remove_file(out.join("tuned.toml")).unwrap();
    tune(&["--runs", "1"]).ok();
    tune(&["--runs", "1"]).ok();
    assert_eq!(["tuned.toml", "tuning.csv", "tuning.json"].map(read), written);
    // Another tuning.
    tune(&[]).refused(&["holds another tuning", "--runs", "--force"]);
    tune(&["--runs", "1", "--set", "training.epochs=3"]).refused(&["holds another tuning", "the experiment"]);
    // A result that was edited by hand.
    std::fs::write(out.join("tuned.toml"), "runs = 20\n").unwrap();
    tune(&["--runs", "1"]).refused(&["tuned.toml exists already with other content", "--force"]);
    assert_eq!(read("tuned.toml"), b"runs = 20\n");
    tune(&["--runs", "1", "--force"]).ok();
    assert_eq!(["tuned.toml", "tuning.csv", "tuning.json"].map(read), written);
    // The same initial networks as in the comparison; and the folder of another tuning.
    let ended = tune(&["--runs", "1", "--seed", "3", "--force"]).ok();
    assert!(ended.stderr.contains("--seed 3 is the experiment's seed"), "{}", ended.stderr);
    // The folder of a run.
    let trainings = out.join("trainings");
    let into = ["tune", text(&file), "--out", text(&trainings)];
    pallium(&into).refused(&["trainings is not empty and holds no tuning", "--force"]);
    assert!(!trainings.join("tuning.json").exists());
}

#[test]
fn nothing_is_chosen_if_all_trainings_diverge() {
    let scene = Scene::new(SHORT);
    let (file, out) = (scene.out("x.toml"), scene.out("tuning"));
    let huge = "optimizer.learning_rate.sweep=[1e30,1e20]";
    pallium(&["tune", text(&file), "--out", text(&out), "--runs", "1", "--set", huge])
        .refused(&["all trainings of `W` diverged", "smaller learning rates"]);
    assert!(!out.join("tuned.toml").exists());
    assert_eq!(rows(&out.join("tuning.csv")).iter().filter(|row| row["kept"] == "true").count(), 1);
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let plain = Scene::new(
        &EXPERIMENT
            .replace("{ sweep = [1e-4, 1e-3, 1e-2] }", "1e-3")
            .replace("{ sweep = [0.01, 1.0] }", "0.1"),
    );
    let tune =
        |scene: &Scene| pallium(&["tune", text(&scene.out("x.toml")), "--out", text(&scene.out("tuning"))]);
    tune(&plain).refused(&["nothing is swept", "learning_rate"]);
    let field = Scene::new(&EXPERIMENT.replace("neurons = 12", "neurons = { sweep = [10, 12] }"));
    tune(&field).refused(&["neurons=10", "neurons=12", "differ in more than constraints", "--set"]);
    assert!(!field.out("tuning").exists());
    let help = |ended: &str, expected: &str| {
        assert!(ended.contains(expected) && !ended.contains("substrate.path"), "{ended}");
    };
    help(&tune(&field).stderr, "--set substrate.neurons=10");
    let epochs = Scene::new(&EXPERIMENT.replace("epochs = 6", "epochs = { sweep = [4, 6] }"));
    let ended = tune(&epochs).refused(&["epochs=4", "epochs=6", "differ in more than constraints"]);
    help(&ended.stderr, "give `epochs` a single value, such as --set training.epochs=4");
    let one = Scene::new(&SHORT.replace("[1e-4, 1e-3]", "[1e-4]"));
    tune(&one).refused(&["the sweep of `learning_rate` has one value", "several values"]);
}
