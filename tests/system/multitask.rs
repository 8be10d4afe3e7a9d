//! Several tasks in one network, curricula, and tasks that react to answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::{Scratch, fixture, pallium, results, text, trainings};
use crate::survival::{Scene, result_files, same};

const MANY: &str = "[substrate]\nuse = \"synthetic.field\"\nneurons = 24\n[metrics]\nuse = []\n";

fn run(folder: &Scratch, experiment: &str) -> PathBuf {
    let file = folder.path().join("x.toml");
    std::fs::write(&file, experiment).unwrap();
    let out = folder.path().join("out");
    pallium(&["run", text(&file), "--out", text(&out), "--jobs", "2"]).ok();
    assert!(results(&out).iter().all(|row| row["status"] == "ok"));
    out
}

/// Test accuracies by variant and task.
fn accuracies(out: &Path) -> BTreeMap<(String, String), f64> {
    let rows = results(out);
    let test = rows.iter().filter(|row| row["split"] == "test" && row["measure"] == "accuracy");
    test.map(|row| ((row["variant"].clone(), row["task"].clone()), row["value"].parse().unwrap())).collect()
}

/// A column of a run folder's `curves.csv`, for rows of a variant and task.
fn curve(out: &Path, variant: &str, task: &str, column: &str) -> Vec<Option<f64>> {
    let mut reader = csv::Reader::from_path(out.join("curves.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (variant_at, task_at, column_at) = (at("variant"), at("task"), at(column));
    let rows = reader.records().map(Result::unwrap);
    rows.filter(|row| &row[variant_at] == variant && &row[task_at] == task)
        .map(|row| row[column_at].parse().ok())
        .collect()
}

/// The accuracies of all trials that `pallium evaluate` finds, by task and change.
fn evaluated(out: &Path, more: &[&str]) -> BTreeMap<(String, String), Vec<f64>> {
    let ended = pallium(&[&["evaluate", text(out), "--json"], more].concat()).ok();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    let mut found: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for row in ended.json()["rows"].as_array().unwrap() {
        if row["condition"] == "" && row["measure"] == "accuracy" {
            let of = |key: &str| row[key].as_str().unwrap().to_owned();
            let change = format!("{}{}", of("lesion"), of("perturbation"));
            found.entry((of("task"), change)).or_default().push(row["value"].as_f64().unwrap());
        }
    }
    found
}

const BOTH: &str = "tasks = [{ name = \"both\", members = [\n  { use = \"cognition.go-no-go\", name = \"go\", delay = 2, stimulus = 3 },\n  \
     { use = \"cognition.one-choice\", name = \"choice\", goal = 3, delay = 2, choices = 3, share = 2 }] }]\n";

#[test]
fn one_network_learns_two_tasks_by_their_rules() {
    let folder = Scratch::new();
    let out = run(
        &folder,
        &format!(
            "seed = 3\nruns = 1\noptimizer = {{ learning_rate = 0.01 }}\n{BOTH}{MANY}\
             [training]\nepochs = 20\ntrials = 384\nvalidation = 64\ntest = 200\nbatch = 32\n\
             [[variant]]\nname = \"W\"\n"
        ),
    );
    let found = accuracies(&out);
    let of = |task: &str| found[&("W".into(), task.into())];
    assert!(of("both/go") > 0.95 && of("both/choice") > 0.9, "{found:?}");
    assert!((of("both") - (of("both/go") + of("both/choice")) / 2.0).abs() < 1e-12);
    for task in ["both", "both/go", "both/choice"] {
        assert_eq!(curve(&out, "W", task, "validation_accuracy").iter().flatten().count(), 20, "{task}");
    }
    // Both are trained in every epoch.
    assert!(curve(&out, "W", "both/go", "running_loss").iter().all(Option::is_some));
    let tensors = crate::harness::tensors(&trainings(&out)["W"].join("weights.safetensors"));
    // Eight channels, those of the larger task, and two rules.
    assert_eq!(tensors["input"].0[0], 10);
    let report = pallium(&["report", text(&out), "--json"]).ok().stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["cells"]["ok"], 1, "a training counts once");
    let chance: BTreeMap<&str, f64> = report["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["task"].as_str().unwrap(), task["chance"].as_f64().unwrap()))
        .collect();
    assert_eq!(chance, BTreeMap::from([("both", 0.375), ("both/go", 0.5), ("both/choice", 0.25)]));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("both/choice"));

    // Tested afterwards, each task has its recorded accuracy, and loses it with the memory.
    let changes = ["--lesion", "nothing", "--lesion", "recurrence", "--draws", "1"];
    let noise = ["--perturb", "states:noise:0", "--perturb", "inputs:noise:3"];
    let tested = evaluated(&out, &[&changes[..], &noise].concat());
    for task in ["both/go", "both/choice"] {
        let accuracy = |change: &str| &tested[&(task.to_owned(), change.to_owned())];
        assert_eq!(accuracy(""), &[of(task)], "{task}");
        assert_eq!(accuracy("nothing"), &[of(task); 2], "{task}");
        assert!((accuracy("states:noise:0")[0] - of(task)).abs() < 0.006, "{task}");
        assert!(accuracy("recurrence")[0] < 0.8 && accuracy("inputs:noise:3")[0] < of(task), "{tested:?}");
    }
    let longer = evaluated(&out, &["--task", "go", "--set", "task.delay=9", "--trials", "50"]);
    assert_eq!(longer.keys().map(|(task, _)| task.as_str()).collect::<Vec<_>>(), ["both/go"]);
    pallium(&["evaluate", text(&out), "--task", "cognition.go-no-go"]).refused(&[
        "several tasks",
        "`cognition.go-no-go` is not one of them",
        "both/go, both/choice",
    ]);
    let single = folder.path().join("single.toml");
    let choice = BOTH.replace("tasks = [", "tasks = [\"cognition.one-choice\", ");
    std::fs::write(
        &single,
        format!("runs = 1\n{choice}{MANY}[training]\nepochs = 1\ntrials = 8\n[[variant]]\nname = \"W\"\n"),
    )
    .unwrap();
    let two = folder.path().join("two");
    pallium(&["run", text(&single), "--out", text(&two)]).ok();
    pallium(&["evaluate", text(&two), "--task", "both/go"]).refused(&[
        "`both/go` is a task of the networks of `both`",
        "W/cognition.one-choice/0",
        "--only '*/both/*'",
    ]);
    pallium(&["evaluate", text(&two), "--task", "both/go", "--only", "*/both/*"]).ok();
    let file = folder.path().join("choice.npz");
    pallium(&["export", text(&out), "--what", "trials,activity", "--task", "choice", "--out", text(&file)])
        .ok();
    let mut arrays = pallium_npy::npz::Npz::open(&file).unwrap();
    let inputs = arrays.numbers("inputs").unwrap();
    assert_eq!(inputs.shape()[2], 10);
    // Its own rule is shown throughout, and its conditions are its own.
    assert!(inputs.slice(ndarray::s![.., .., 8]).iter().all(|rule| *rule == 0.0));
    assert!(inputs.slice(ndarray::s![.., 0, 9]).iter().all(|rule| *rule == 1.0));
    assert!(arrays.numbers("condition").unwrap().iter().any(|condition| *condition == 0.0));
}

/// Each member counts its own validation trials, in every order; what is not trained in
/// an epoch has no running loss.
#[test]
fn tasks_follow_one_another_and_consolidated_weights_forget_less() {
    let folder = Scratch::new();
    let tasks = BOTH.replace("] }]", "],\n order = \"sequential\" }]");
    let out = run(
        &folder,
        &format!(
            "seed = 3\nruns = 1\noptimizer = {{ learning_rate = 0.01 }}\n{tasks}{MANY}\
             [training]\nepochs = 30\ntrials = 256\nvalidation = 100\ntest = 200\nbatch = 32\n\
             [[variant]]\nname = \"free\"\n\
             [[variant]]\nname = \"kept\"\n\
             constraints = [{{ use = \"continual.elastic-weight-consolidation\", strength = 3000.0, \
             on = [\"recurrent\", \"input\", \"bias\", \"readout\", \"readout_bias\"] }}]\n"
        ),
    );
    let trained: Vec<bool> =
        curve(&out, "free", "both/go", "running_loss").iter().map(Option::is_some).collect();
    assert_eq!(trained, (1..=30).map(|epoch| epoch <= 10).collect::<Vec<_>>());
    let first = |variant: &str| -> Vec<f64> {
        curve(&out, variant, "both/go", "validation_accuracy").into_iter().flatten().collect()
    };
    let (free, kept) = (first("free"), first("kept"));
    assert_eq!(free[..10], kept[..10], "there is no penalty during the first task");
    assert!(free[9] > 0.95, "{free:?}");
    let mean = |curve: &[f64]| curve[10..].iter().sum::<f64>() / 20.0;
    assert!(mean(&kept) > mean(&free) + 0.05, "{} {}", mean(&kept), mean(&free));
    let penalties = curve(&out, "kept", "both", "penalty");
    assert!(penalties[9] == Some(0.0) && penalties[29].unwrap() > 0.0, "{penalties:?}");
}

/// Kills need time: many short epochs.
#[test]
fn a_curriculum_and_several_tasks_survive_a_kill() {
    for order in ["interleaved", "mixed", "sequential"] {
        let scene = Scene::new(&format!(
            "seed = 11\nruns = 1\n\
             tasks = [{{ name = \"both\", order = \"{order}\", members = [\"cognition.go-no-go\",\n\
             {{ use = \"cognition.one-choice\", curriculum = [\n\
             {{ delay = 0, until = {{ validation_accuracy = 0.3, for_epochs = 3, at_most = 30 }} }},\n\
             {{ delay = 5, until = 20 }}] }}] }}]\n\
             [substrate]\nuse = \"synthetic.field\"\nneurons = 8\n\
             [training]\nepochs = 200\ntrials = 32\nbatch = 8\n[metrics]\nuse = []\n\
             [[variant]]\nname = \"a\"\nconstraints = [\"continual.elastic-weight-consolidation\"]\n"
        ));
        let undisturbed = scene.out("undisturbed");
        scene.run(&undisturbed, &["--jobs", "1"]).ok();
        let out = scene.out("continued");
        scene.killed(&out, &["--jobs", "1"]);
        scene.run(&out, &["--jobs", "1"]).ok();
        same(&out, &result_files(&undisturbed));
        let stages: Vec<f64> =
            curve(&out, "a", "both/cognition.one-choice", "stage").into_iter().flatten().collect();
        assert!(stages.is_sorted() && stages[0] == 1.0 && *stages.last().unwrap() == 3.0, "{stages:?}");
    }
}

#[test]
fn a_stage_changes_the_trials_and_the_test_is_that_of_the_task_itself() {
    let folder = Scratch::new();
    let task = |more: &str| format!("{{ use = \"cognition.one-choice\", delay = 8{more} }}");
    let staged = task(", name = \"staged\", curriculum = [{ delay = 1, until = 3 }]");
    let out = run(
        &folder,
        &format!(
            "seed = 3\nruns = 1\ntasks = [{}, {staged}, {}]\n{MANY}\
             [training]\nepochs = 3\ntrials = 64\nbatch = 32\n[[variant]]\nname = \"W\"\n",
            task(", name = \"plain\""),
            "{ use = \"cognition.one-choice\", name = \"short\", delay = 1 }",
        ),
    );
    let losses = |task: &str| curve(&out, "W", task, "running_loss");
    assert_eq!(losses("staged"), losses("short"));
    assert_ne!(losses("staged"), losses("plain"));
    assert_eq!(curve(&out, "W", "staged", "stage"), [Some(1.0); 3]);
    assert_eq!(curve(&out, "W", "plain", "stage"), [None; 3]);
    // Three epochs on the same trials give the same weights, which are tested on
    // others.
    let loss = |task: &str| {
        let rows = results(&out);
        let row =
            rows.iter().find(|r| r["task"] == task && r["split"] == "test" && r["measure"] == "task_loss");
        row.unwrap()["value"].parse::<f64>().unwrap()
    };
    assert_ne!(loss("staged"), loss("short"));
    let cells = std::fs::read_dir(out.join("cells")).unwrap().map(|cell| cell.unwrap().path());
    let about = cells.map(|cell| std::fs::read_to_string(cell.join("cell.json")).unwrap());
    let warned = about.filter(|about| about.contains("ended in stage 1 of 2")).count();
    assert_eq!(warned, 1, "the task itself was never trained");
}

#[test]
fn a_network_learns_from_the_consequences_of_its_answers() {
    let folder = Scratch::new();
    let out = run(
        &folder,
        &format!(
            "seed = 3\nruns = 1\ntasks = [{{ use = \"cognition.bandit\", rounds = 3 }}]\n\
             optimizer = {{ learning_rate = 0.005 }}\n{MANY}\
             [training]\nepochs = 30\ntrials = 512\nbatch = 32\ntest = 1000\nfresh = true\n\
             [[variant]]\nname = \"W\"\n"
        ),
    );
    // Chance and memoryless 1/3, ideal (1/3 + 2/3 + 1)/3.
    let found = accuracies(&out)[&("W".into(), "cognition.bandit".into())];
    assert!((0.55..0.69).contains(&found), "{found}");

    // Tested afterwards, its stimuli follow from its answers: intact, silent, and perturbed.
    let lesions = ["--lesion", "nothing", "--lesion", "units:all", "--draws", "1"];
    let noise = ["--perturb", "states:noise:0,3", "--perturb", "inputs:noise:0"];
    let tested = evaluated(&out, &[&lesions[..], &noise].concat());
    let accuracy = |change: &str| tested[&("cognition.bandit".to_owned(), change.to_owned())][0];
    assert_eq!([accuracy(""), accuracy("nothing"), accuracy("inputs:noise:0")], [found; 3]);
    assert!((accuracy("states:noise:0") - found).abs() < 0.002);
    // One arm throughout pays in a third of the trials; three standard errors.
    assert!((accuracy("units:all") - 1.0 / 3.0).abs() < 3.0 * (2.0_f64 / 9.0 / 1000.0).sqrt());
    assert!(accuracy("states:noise:3") < found - 0.05, "{tested:?}");
    let file = folder.path().join("bandit.npz");
    let what = ["--what", "trials,logits", "--trials", "20"];
    pallium(&[&["export", text(&out), "--out", text(&file)], &what[..]].concat()).ok();
    let mut arrays = pallium_npy::npz::Npz::open(&file).unwrap();
    // After its first answer the network sees which arm it took.
    let (inputs, logits) = (arrays.numbers("inputs").unwrap(), arrays.numbers("logits").unwrap());
    let weights = arrays.numbers("accuracy_weight").unwrap();
    for trial in 0..20 {
        let step = (0..).find(|&step| weights[[trial, step]] > 0.0).unwrap();
        let answer = (0..3).max_by(|&a, &b| logits[[trial, step, a]].total_cmp(&logits[[trial, step, b]]));
        assert_eq!(inputs[[trial, step + 1, 1 + answer.unwrap()]], 1.0, "trial {trial}");
    }
}

/// Components of others, of values.
#[test]
fn tasks_of_values_of_any_plugin_share_a_network() {
    let folder = Scratch::new();
    let out = run(
        &folder,
        &format!(
            "seed = 3\nruns = 1\nplugin_path = [{:?}]\n\
             tasks = [{{ name = \"values\", members = [\"signal.sine-wave\", {{ use = \"signal.integration\", step_ms = 10 }}] }},\n\
             {{ name = \"foreign\", order = \"mixed\", members = [{{ use = \"values.sums\", name = \"a\" }}, \
             {{ use = \"values.sums\", name = \"b\" }}] }}]\n{MANY}\
             [training]\nepochs = 2\ntrials = 64\nbatch = 16\n\
             [[variant]]\nname = \"W\"\n[[variant]]\nname = \"G\"\nmodel = \"rnn.gru\"\n",
            text(&fixture("values"))
        ),
    );
    let rows = results(&out);
    for task in ["values", "values/signal.sine-wave", "values/signal.integration", "foreign", "foreign/b"] {
        let r2 = rows.iter().filter(|r| r["task"] == task && r["split"] == "test" && r["measure"] == "r2");
        assert_eq!(r2.count(), 2, "{task}");
    }
}

#[test]
fn what_cannot_be_one_network_is_refused() {
    let folder = Scratch::new();
    let refused = |tasks: &str, training: &str, parts: &[&str]| {
        let file = folder.path().join("x.toml");
        let experiment = format!(
            "runs = 1\ntasks = [{tasks}]\n{MANY}[training]\nepochs = 2\ntrials = 32\n{training}\n[[variant]]\nname = \"W\"\n"
        );
        std::fs::write(&file, experiment).unwrap();
        pallium(&["run", text(&file), "--out", text(&folder.path().join("out"))]).refused(parts);
    };
    let both = |more: &str| format!("{{ name = \"both\", members = [\"cognition.go-no-go\", {more} }}");
    refused(
        &both("\"signal.integration\"]"),
        "",
        &["cross-entropy", "mean-squared-error", "tasks of the same loss"],
    );
    refused(
        &both("\"cognition.one-choice\"], order = \"sequential\""),
        "early_stopping = { patience = 2 }",
        &["before its last task", "another order"],
    );
    refused(
        &both("{ use = \"cognition.one-choice\", share = 9 }], order = \"sequential\""),
        "",
        &["leave none for `cognition.go-no-go`", "`share`"],
    );
    refused(&both("\"cognition.bandit\"], order = \"mixed\""), "", &["depend on the network's answers"]);
    refused(
        "{ use = \"cognition.bandit\", curriculum = [{ arms = 2, until = 3 }] }",
        "",
        &["stage 1", "4 input channels", "the task itself has 5"],
    );
    refused(
        "{ use = \"signal.sine-wave\", curriculum = [{ toleranse = 0.5, until = 3 }] }",
        "",
        &["toleranse", "tolerance"],
    );
    refused(
        "{ use = \"signal.sine-wave\", curriculum = [{ tolerance = 0.5, until = { validation_accurracy = 0.5 } }] }",
        "",
        &["validation_accurracy", "validation_accuracy"],
    );
}
