//! Tasks with an answer at every step and trials of different lengths, from the
//! experiment file to results.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Scratch, fixture, pallium, results, text};

/// Trains on `tasks` (in TOML) with a learning rate (0: no training); returns test
/// accuracy and loss of each.
fn trained(folder: &Path, tasks: &str, rate: f64) -> Vec<(String, f64, f64)> {
    let file = folder.join("tasks.toml");
    std::fs::write(
        &file,
        format!(
            "runs = 1\ntasks = [{tasks}]\n\
             [substrate]\nuse = \"synthetic.field\"\nneurons = 42\n\
             [training]\nepochs = 1\ntrials = 128\nvalidation = 64\ntest = 128\nbatch = 32\n\
             [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\nconstraints = [\"spatial.l1\"]\n\
             [model]\nuse = \"rnn.vanilla\"\nlearning_rate = {rate:?}\n\
             [metrics]\nuse = []\n"
        ),
    )
    .unwrap();
    let out = folder.join("out");
    let _ = std::fs::remove_dir_all(&out);
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(rows.iter().all(|r| r["status"] == "ok"), "{rows:?}");
    let of = |task: &str, measure: &str| -> f64 {
        let row = rows.iter().find(|r| r["task"] == task && r["split"] == "test" && r["measure"] == measure);
        row.unwrap()["value"].parse().unwrap()
    };
    let mut tasks: Vec<String> = rows.iter().map(|r| r["task"].clone()).collect();
    tasks.sort();
    tasks.dedup();
    tasks.into_iter().map(|t| (t.clone(), of(&t, "accuracy"), of(&t, "task_loss"))).collect()
}

#[test]
fn every_neurogym_task_trains() {
    let listed = pallium(&["plugins", "list", "--json"]).ok().json();
    let ids: Vec<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["plugin"] == "pallium-neurogym" && c["id"] != "modcog.task")
        .map(|c| format!("{}", c["id"]))
        .collect();
    assert_eq!(ids.len(), 28);
    let scratch = Scratch::new();
    let before = trained(scratch.path(), &ids.join(", "), 0.0);
    let after = trained(scratch.path(), &ids.join(", "), 0.003);
    assert_eq!((before.len(), after.len()), (28, 28));
    for ((task, _, before), (_, accuracy, after)) in before.iter().zip(&after) {
        assert!(after < before, "{task} learns nothing: {before}, then {after}");
        assert!((0.0..=1.0).contains(accuracy), "{task}: {accuracy}");
    }
}

#[test]
fn the_accuracy_does_not_depend_on_the_weights_of_the_loss() {
    let scratch = Scratch::new();
    let of = |weight: f64| {
        let task = format!(
            "{{ use = \"neurogym.context-decision-making\", fixation_weight = {weight} }}, \
             {{ use = \"neurogym.ready-set-go\", fixation_weight = {weight} }}"
        );
        trained(scratch.path(), &task, 0.0)
    };
    // Untrained networks are equal; only the weights in the loss differ.
    let (all, decision) = (of(1.0), of(0.0));
    for (all, decision) in all.iter().zip(&decision) {
        assert_eq!(all.1, decision.1, "{}: the accuracy depends on the weight in the loss", all.0);
        assert_ne!(all.2, decision.2, "{}: the loss does not", all.0);
    }
}

#[test]
fn wrong_durations_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.path().join("wrong.toml");
    let plan = |duration: &str| {
        let task = format!("{{ use = \"neurogym.delay-match-sample\", delay = {duration} }}");
        let variant = "[[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\n";
        std::fs::write(&file, format!("tasks = [{task}]\n{variant}")).unwrap();
        pallium(&["plan", text(&file)])
    };
    plan("{ unifrom = [1, 2] }")
        .refused(&["parameter `delay`", "a number or a table of `uniform` or a table of `choice`"]);
    plan("{ uniform = [500, 200] }").refused(&["`delay` is drawn between 500 and 200 ms"]);
    plan("{ choice = [500, 200] }").ok();
}

/// Values of a test split, by measure.
fn of_values(folder: &Path, task: &str, metric: &str, model: &str) -> BTreeMap<String, String> {
    let file = folder.join("values.toml");
    let plugin = fixture("values");
    std::fs::write(
        &file,
        format!(
            "seed = 2\nruns = 1\nplugin_path = [{:?}]\ntasks = [{task}]\nmodel = \"{model}\"\n\
             [substrate]\nuse = \"synthetic.field\"\nneurons = 24\n\
             [training]\nepochs = 12\ntrials = 512\nvalidation = 64\ntest = 200\nbatch = 32\n\
             [metrics]\nuse = [{metric}]\n[[variant]]\nname = \"W\"\n",
            text(&plugin)
        ),
    )
    .unwrap();
    let out = folder.join("values");
    let _ = std::fs::remove_dir_all(&out);
    let ended = pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let rows = results(&out);
    assert!(rows.iter().all(|row| row["status"] == "ok"), "{rows:?}");
    let explained = !task.contains("tolerance");
    assert_eq!(ended.stdout.contains("values.sums (R²)"), explained, "{}", ended.stdout);
    let has = |split: &str| rows.iter().any(|row| row["split"] == split && row["measure"] == "r2");
    assert!(["train", "validation", "test"].into_iter().all(has), "{rows:?}");
    let test = rows.into_iter().filter(|row| row["split"] == "test" || row["measure"] == "explained");
    test.map(|row| (row["measure"].clone(), row["value"].clone())).collect()
}

#[test]
fn tasks_of_values_have_an_explained_variance_and_no_accuracy() {
    let scratch = Scratch::new();
    for (task, metric, least) in [
        ("\"values.sums\"", "\"values.explained\"", 0.5),
        (
            "{ use = \"values.sums\", by = \"poisson\" }",
            "{ use = \"values.explained\", logarithms = true }",
            0.0,
        ),
    ] {
        for model in ["rnn.vanilla", "rnn.gru"] {
            let found = of_values(scratch.path(), task, metric, model);
            let number = |measure: &str| found[measure].parse::<f64>().unwrap();
            // All test trials are recorded, so the metric sees the same answers.
            let (r2, explained) = (number("r2"), number("explained"));
            assert!((r2 - explained).abs() < 1e-6, "{task} {model}: {r2} and {explained}");
            assert!((least..=1.0).contains(&r2), "{task} {model}: {r2}");
            assert!(!found.contains_key("accuracy"), "{found:?}");
        }
    }
    let judged = "{ use = \"values.sums\", tolerance = 0.3 }";
    let found = of_values(scratch.path(), judged, "\"values.explained\"", "rnn.vanilla");
    let accuracy: f64 = found["accuracy"].parse().unwrap();
    assert!(accuracy > 0.3 && accuracy <= 1.0, "{found:?}");
}

#[test]
fn a_measure_that_the_task_does_not_have_cannot_be_watched() {
    let scratch = Scratch::new();
    let file = scratch.path().join("x.toml");
    std::fs::write(
        &file,
        format!(
            "runs = 1\nplugin_path = [{:?}]\ntasks = [\"values.sums\"]\n[substrate]\nneurons = 8\n\
             [training]\nearly_stopping = {{ measure = \"validation_accuracy\", patience = 3 }}\n\
             [[variant]]\nname = \"W\"\n",
            text(&fixture("values"))
        ),
    )
    .unwrap();
    pallium(&["plan", text(&file)]).refused(&[
        "x.toml:9: training W/values.sums/0 cannot run",
        "early_stopping watches an accuracy, but `values.sums` has none",
        "validation_loss",
    ]);
}
