//! Trainings that were killed and continue: what optimizers, constraints and trials
//! remember is kept, so the result is that of an uninterrupted training, bit for bit.

use std::path::Path;

use crate::harness::{field, fixture, pallium, results, text, trainings};
use crate::survival::{Scene, result_files, same};

/// An experiment of one training that lasts long enough to be killed.
fn experiment(top: &str, training: &str, variant: &str) -> String {
    format!(
        "seed = 11\nruns = 1\ntasks = [\"cognition.one-choice\"]\n{top}\
         [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
         [training]\nepochs = 300\ntrials = 32\nbatch = 8\n{training}\
         [metrics]\nuse = []\n\
         [[variant]]\nname = \"a\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n{variant}"
    )
}

/// As [`continues`], with options of the killed run.
fn continues_with(experiment: &str, options: &[&str]) -> Scene {
    let scene = Scene::new(experiment);
    let undisturbed = scene.out("undisturbed");
    scene.run(&undisturbed, &["--jobs", "1"]).ok();
    let out = scene.out("continued");
    scene.killed(&out, options);
    scene.run(&out, options).ok();
    same(&out, &result_files(&undisturbed));
    let log = std::fs::read_to_string(trainings(&out)["a"].join("log.txt")).unwrap();
    assert!(log.contains("continued from a checkpoint"), "{log}");
    scene
}

/// Fails unless a training that is killed after a checkpoint, and continues, has the
/// files of an undisturbed one.
fn continues(experiment: &str) -> Scene {
    continues_with(experiment, &["--jobs", "1"])
}

#[test]
fn optimizers_keep_what_they_remember() {
    for optimizer in [
        "{ use = \"optimizer.adam\" }",
        "{ use = \"optimizer.adamw\" }",
        "{ use = \"optimizer.sgd\", momentum = 0.9 }",
        "{ use = \"optimizer.sgd\", momentum = 0.9, nesterov = true }",
        "{ use = \"optimizer.rmsprop\" }",
    ] {
        continues(&experiment(&format!("optimizer = {optimizer}\n"), "", ""));
    }
}

#[test]
fn fresh_trials_schedules_and_early_stopping_go_on_where_they_were() {
    continues(&experiment(
        "",
        "fresh = true\nclip_norm = 0.5\nweight_decay = 1e-4\n\
         schedule = { use = \"plateau\", patience = 3, factor = 0.7, warm_up = 20 }\n",
        "",
    ));
    let scene = continues(&experiment(
        "",
        "fresh = true\nsnapshots = 20\nschedule = \"cosine\"\nearly_stopping = { measure = \"running_loss\", patience = 60 }\n",
        "constraints = [{ use = \"spatial.l1\", on = [\"input\", \"recurrent\"] }]\n",
    ));
    let names = result_files(&scene.out("continued")).into_keys();
    assert!(
        names.into_iter().any(|name| name.ends_with("/snapshots.safetensors")),
        "snapshots were compared"
    );
}

/// The only checkpoint is that after the last epoch, and the evaluation takes long enough
/// to be killed. It uses the trials of the last epoch.
#[test]
fn a_training_that_is_killed_after_its_last_epoch_is_evaluated_alike() {
    let training = "fresh = true\ntest = 100000\n";
    let experiment = experiment("", training, "").replace("epochs = 300", "epochs = 4");
    continues_with(&experiment, &["--jobs", "1", "--checkpoint-every", "4"]);
}

/// Without the constraint's memory, λ would begin again at 0 when the training
/// continues.
#[test]
fn a_constraint_keeps_what_it_remembers() {
    let stateful = fixture("stateful");
    let top = format!("plugin_path = [{:?}]\n", text(&stateful));
    // λ grows to the end of the training.
    let constraint = "constraints = [{ use = \"stateful.anneal\", updates = 1200 }]\n";
    continues(&experiment(&top, "", constraint));
}

/// On a recorded field, with a penalty that is known from another implementation of the
/// same constraint.
#[test]
fn an_interrupted_constraint_with_memory_has_the_known_penalty() {
    let Some(field) = field("4_7_2") else { return };
    let scene = continues(&format!(
        "seed = 1\nruns = 1\nplugin_path = [{:?}]\ntasks = [\"cognition.one-choice\"]\n\
         [substrate]\nuse = \"microns.field\"\npath = {:?}\n\
         [training]\nepochs = 30\ntrials = 2048\nbatch = 16\n[metrics]\nuse = []\n\
         [[variant]]\nname = \"a\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
         constraints = [{{ use = \"stateful.anneal\", updates = 3840, strength = 0.01 }}]\n",
        text(&fixture("stateful")),
        text(&field)
    ));
    let rows = results(&scene.out("continued"));
    let penalty = rows.iter().find(|r| (&*r["split"], &*r["measure"]) == ("test", "penalty")).unwrap();
    let penalty: f64 = penalty["value"].parse().unwrap();
    assert!((penalty - 0.0642).abs() < 5e-5, "{penalty}");
}

/// A compact file replaces trainings that another run folder has, and only those.
#[test]
fn finished_trainings_are_restored_from_a_compact_file() {
    let scene = Scene::new(&experiment("", "", "").replace("runs = 1", "runs = 2").replace("use = []", ""));
    let first = scene.out("first");
    scene.run(&first, &["--only", "a/*/0"]).ok();
    let file = scene.out("finished.jsonl.gz");
    let export = ["export", text(&first), "--layout", "compact", "--out", text(&file)];
    pallium(&export).ok();
    pallium(&export).refused(&["finished.jsonl.gz` exists already", "--force"]);

    let second = scene.out("second");
    let options = ["--finished", text(&file)];
    let dry = scene.run(&second, &["--finished", text(&file), "--dry-run"]).ok();
    assert!(dry.stderr.contains("1 training to run; 1 is already"), "{}", dry.stderr);
    let ended = scene.run(&second, &options).ok();
    assert!(ended.stderr.contains("1 of these is taken from --finished"), "{}", ended.stderr);
    let of_run = |out: &Path, run: &str| -> Vec<_> {
        let rows = results(out).into_iter().filter(|row| row["run"] == run);
        rows.filter(|row| !row["measure"].starts_with("seconds")).collect()
    };
    assert_eq!(of_run(&second, "0"), of_run(&first, "0"));
    assert!(of_run(&second, "1").len() == of_run(&second, "0").len() && !of_run(&second, "1").is_empty());
    for (run, kept) in [("0", false), ("1", true)] {
        let folder = second.join("cells").join(&of_run(&second, run)[0]["folder"]);
        assert_eq!(folder.join("weights.safetensors").exists(), kept, "{}", folder.display());
    }

    let other = scene.out("other");
    let more = ["--finished", text(&file), "--set", "seed=77", "--set", "training.epochs=9", "--dry-run"];
    let ended = scene.run(&other, &more).ok();
    assert!(ended.stderr.contains("what differs in a/"), "{}", ended.stderr);
    assert!(ended.stderr.contains(": seed, training.epochs"), "{}", ended.stderr);

    // Without weights there is nothing to measure anew.
    let again = pallium(&["measure", text(&second), "--metric", "connectivity.efficiency"]);
    assert!(again.code == Some(3) && again.stderr.contains("1 failed"), "{}", again.stderr);
    assert!(again.stderr.contains("has no weights: the training was restored"), "{}", again.stderr);
    let wrong = scene.run(&second, &["--finished", text(&scene.out("second").join("results.csv"))]);
    wrong.refused(&["results.csv is not a gzip file", "--layout compact"]);
}
