//! Finished networks: tested, lesioned, perturbed, exported, and trained further.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::{Scratch, pallium, shared, text};

const EXPERIMENT: &str = "seed = 3\nruns = 2\ntasks = [\"cognition.one-choice\", \"cognition.perceptual-decision\"]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 24\n\
    [training]\nepochs = 4\ntrials = 256\nbatch = 32\ntest = 200\nsnapshots = \"log\"\n\
    [metrics]\nuse = []\n\
    [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\n\
    [[variant]]\nname = \"F\"\nweights = \"microns.functional\"\n";

/// A run folder that these tests share.
static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = shared("evaluation");
    let file = folder.join("evaluation.toml");
    fs::write(&file, EXPERIMENT).unwrap();
    let out = folder.join("run");
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    out
});

fn evaluate(more: &[&str]) -> Vec<Value> {
    let all = [&["evaluate", text(&RUN), "--json"], more].concat();
    let ended = pallium(&all).ok();
    assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    ended.json()["rows"].as_array().unwrap().clone()
}

/// The rows about all trials with these values.
fn of<'a>(rows: &'a [Value], wanted: &[(&str, &str)]) -> impl Iterator<Item = &'a Value> + use<'a> {
    let fits = |row: &&Value| row["condition"] == "" && wanted.iter().all(|(key, value)| row[*key] == *value);
    rows.iter().filter(fits).collect::<Vec<_>>().into_iter()
}

/// The test accuracies in `results.csv`, by folder.
fn recorded(measure: &str) -> BTreeMap<String, f64> {
    let mut table = csv::Reader::from_path(RUN.join("results.csv")).unwrap();
    let rows = table.records().map(Result::unwrap).filter(|row| &row[3] == "test" && &row[4] == measure);
    rows.map(|row| (row[7].to_owned(), row[5].parse().unwrap())).collect()
}

#[test]
fn an_intact_network_and_a_lesion_of_nothing_have_the_recorded_scores() {
    let rows = evaluate(&["--lesion", "nothing", "--draws", "1"]);
    for measure in ["accuracy", "task_loss"] {
        let recorded = recorded(measure);
        assert_eq!(recorded.len(), 8);
        for kind in ["intact", "lesion", "control"] {
            let found: BTreeMap<String, f64> = of(&rows, &[("measure", measure), ("kind", kind)])
                .map(|row| (row["folder"].as_str().unwrap().to_owned(), row["value"].as_f64().unwrap()))
                .collect();
            assert_eq!(found, recorded, "{kind} {measure}");
        }
    }
}

#[test]
fn conditions_add_up_to_all_trials() {
    let rows = evaluate(&["--only", "F/cognition.perceptual-decision/0", "--answers"]);
    let all = of(&rows, &[("measure", "accuracy")]).next().unwrap();
    let parts: Vec<&Value> =
        rows.iter().filter(|row| row["condition"] != "" && row["measure"] == "accuracy").collect();
    assert_eq!(parts.len(), 10);
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    assert_eq!(parts.iter().map(|row| number(row, "trials")).sum::<f64>(), 200.0);
    let mean = parts.iter().map(|row| number(row, "trials") * number(row, "value")).sum::<f64>() / 200.0;
    assert!((mean - number(all, "value")).abs() < 1e-12);
    // Two directions, each with one correct answer: accuracy is a share of answers.
    for row in parts {
        let class = if row["condition"].as_str().unwrap().starts_with("direction 0°") { 0 } else { 1 };
        let measure = format!("answer_{class}");
        let same = |other: &&Value| other["condition"] == row["condition"] && other["measure"] == *measure;
        assert_eq!(rows.iter().find(same).map_or(0.0, |other| number(other, "value")), number(row, "value"));
    }
}

#[test]
fn silence_leaves_one_constant_answer_and_no_recurrence_no_memory() {
    let only = ["--only", "cognition.one-choice", "--draws", "0"];
    let lesions = ["--lesion", "units:all", "--lesion", "recurrence", "--answers"];
    let rows = evaluate(&[&only[..], &lesions].concat());
    let silent: Vec<&Value> = of(&rows, &[("lesion", "units:all")])
        .filter(|row| row["measure"].as_str().unwrap().starts_with("answer_"))
        .filter(|row| row["value"] != 0.0)
        .collect();
    assert_eq!(silent.len(), 4, "one network has more than one answer");
    assert!(silent.iter().all(|row| row["value"] == 1.0 && row["removed"] == 24));
    // The share of the most frequent answer of eight types in 200 trials.
    let accuracy = |lesion| {
        let found = of(&rows, &[("lesion", lesion), ("measure", "accuracy")]);
        found.map(|row| row["value"].as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!(accuracy("units:all") < 0.5);
    // The best without memory is 0.625; five standard errors of 200 trials.
    let memoryless = 0.625 + 5.0 * (0.625_f64 * 0.375 / 200.0).sqrt();
    assert!(accuracy("recurrence") <= memoryless, "{}", accuracy("recurrence"));
}

#[test]
fn lesions_remove_what_they_say_and_random_ones_as_much() {
    let lesions =
        ["units:strongest:25%", "connections:longest:10", "connections:like-to-like:5%", "units:list:3,4"];
    let mut arguments = vec!["--only", "F/cognition.one-choice/0", "--draws", "2", "--match", "strength"];
    lesions.iter().for_each(|lesion| arguments.extend(["--lesion", lesion]));
    let rows = evaluate(&arguments);
    let removed = |lesion: &str, kind: &str| -> Vec<u64> {
        let found = of(&rows, &[("lesion", lesion), ("kind", kind), ("measure", "accuracy")]);
        found.map(|row| row["removed"].as_u64().unwrap()).collect()
    };
    // 24 · 23 connections, none of them 0.
    for (lesion, count) in lesions.into_iter().zip([6, 10, 28, 2]) {
        assert_eq!(removed(lesion, "lesion"), [count], "{lesion}");
        assert_eq!(removed(lesion, "control"), [count, count], "{lesion}");
    }
    assert_eq!(rows, evaluate(&arguments), "another time, another result");
    let refused = |more: &[&str]| pallium(&[&["evaluate", text(&RUN)], more].concat());
    // Half of the units is five complete deciles of strength.
    refused(&["--lesion", "units:strongest:50%", "--match", "strength"]).refused(&[
        "units:strongest:50%",
        "every matched random lesion equals it",
        "smaller share",
    ]);
    refused(&["--lesion", "units:strongest:25%", "--match", "distance"])
        .refused(&["units:strongest:25%: units have no length", "--match strength"]);
    refused(&["--lesion", "nothing:3"]).refused(&["`nothing` has no parts"]);
}

#[test]
fn perturbations_grow_with_their_size_and_repeat() {
    let forms =
        ["weights:noise:0,0.5", "states:noise:0,2", "inputs:noise:0,2", "weights:scale:1", "weights:shuffle"];
    let mut arguments = vec!["--only", "F/cognition.one-choice", "--draws", "2"];
    forms.iter().for_each(|form| arguments.extend(["--perturb", form]));
    let rows = evaluate(&arguments);
    let loss = |perturbation: &str| -> Vec<f64> {
        let found = of(&rows, &[("perturbation", perturbation), ("measure", "task_loss")]);
        found.map(|row| row["value"].as_f64().unwrap()).collect()
    };
    let intact = loss("");
    assert_eq!(loss("weights:scale:1"), intact);
    for (zero, large) in [
        ("weights:noise:0", "weights:noise:0.5"),
        ("inputs:noise:0", "inputs:noise:2"),
        ("states:noise:0", "states:noise:2"),
    ] {
        for (draws, intact) in loss(zero).chunks(2).zip(&intact) {
            assert!(draws.iter().all(|loss| (loss - intact).abs() < 1e-4 * intact), "{zero}");
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(loss(large)) > mean(loss(zero)), "{large}");
    }
    assert_eq!(loss("weights:shuffle").len(), 4);
    assert_eq!(rows, evaluate(&arguments));
}

#[test]
fn other_conditions_and_tasks_are_tested() {
    let sweep = "task.delay={ sweep = [2, 10] }";
    let rows = evaluate(&["--only", "F/cognition.one-choice/0", "--set", sweep, "--trials", "80"]);
    let found: Vec<(&str, u64)> = of(&rows, &[("measure", "accuracy")])
        .map(|row| (row["settings"].as_str().unwrap(), row["trials"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [("delay=2", 80), ("delay=10", 80)]);
    let other = |more: &[&str]| pallium(&[&["evaluate", text(&RUN)], more].concat());
    other(&["--only", "F/cognition.one-choice/0", "--task", "cognition.go-no-go"]).refused(&[
        "3 input channels",
        "has 8",
        "inputs and outputs",
    ]);
    other(&["--set", "task.dely=2"]).refused(&["no parameter `dely`", "did you mean `delay`"]);
    other(&["--set", "training.epochs=2"]).refused(&["`training` is not a parameter of the task"]);
    other(&["--lesion", "units:strongst:3"]).refused(&["no class `strongst`", "did you mean `strongest`"]);
    other(&["--lesion", "units:list:24"]).refused(&["there is no unit 24", "0 to 23"]);
    other(&["--lesion", "units:strongest:101%"]).refused(&["between 0% and 100%"]);
    other(&["--perturb", "weights:kick:3"]).refused(&["not a perturbation", "weights:noise:0.1"]);
    other(&["--perturb", "weights:shuffle", "--draws", "0"]).refused(&["--draws 0"]);
    let file = Scratch::new();
    let out = file.path().join("table.csv");
    other(&["--only", "F", "--out", text(&out)]).ok();
    let lines = fs::read_to_string(&out).unwrap();
    assert!(lines.starts_with(
        "variant,trained_on,run,task,settings,lesion,perturbation,kind,draw,removed,condition,"
    ));
    other(&["--only", "F", "--out", text(&out)]).refused(&["exists already", "--force"]);
}

/// `name` of a task of Mod-Cog is what tables call it, and what it is.
#[test]
fn a_task_of_the_experiment_is_tested_with_its_name() {
    let folder = Scratch::new();
    let file = folder.path().join("x.toml");
    let task = "tasks = [{ use = \"modcog.task\", name = \"dlygointr\" }]\n";
    let rest = EXPERIMENT.split_once("]\n").unwrap().1;
    fs::write(&file, format!("seed = 3\n{task}{rest}")).unwrap();
    let out = folder.path().join("run");
    pallium(&["run", text(&file), "--set", "runs=1", "--out", text(&out)]).ok();
    let loss = |more: &[&str]| {
        let json = pallium(&[&["evaluate", text(&out), "--json"], more].concat()).ok().json();
        of(json["rows"].as_array().unwrap(), &[("measure", "task_loss")])
            .map(|row| row["value"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(loss(&["--task", "dlygointr"]), loss(&[]));
    assert_ne!(loss(&["--task", "dlygointr", "--set", "task.name=dlygo"]), loss(&[]));
}

/// The arrays of an export of one network.
fn export(out: &Path, more: &[&str]) {
    let only = ["export", text(&RUN), "--only", "F/cognition.one-choice/0", "--out", text(out)];
    pallium(&[&only[..], more].concat()).ok();
}

#[test]
fn an_export_has_the_activity_of_every_step() {
    let scratch = Scratch::new();
    let out = scratch.path().join("one.npz");
    export(&out, &["--what", "states,activity,logits,trials", "--trials", "40"]);
    let mut file = pallium_npy::npz::Npz::open(&out).unwrap();
    let activity = file.numbers("activity").unwrap();
    let states = file.numbers("states").unwrap();
    assert_eq!(activity.shape(), [40, 50, 24]);
    assert_eq!(states.shape(), [40, 50, 24]);
    assert!(activity.iter().zip(&states).all(|(a, b)| (a - b).abs() < 1e-4));
    let logits = file.numbers("logits").unwrap();
    assert_eq!(
        (logits.shape(), file.numbers("period").unwrap().iter().filter(|p| **p == 1.0).count()),
        (&[40, 50, 4][..], 400)
    );
    // The same accuracy as the evaluation.
    let correct = file.numbers("correct").unwrap();
    let rows = evaluate(&["--only", "F/cognition.one-choice/0", "--trials", "40"]);
    let accuracy = of(&rows, &[("measure", "accuracy")]).next().unwrap()["value"].as_f64().unwrap();
    assert!((correct.sum() / 40.0 - accuracy).abs() < 1e-12);
    let recorded = scratch.path().join("recorded.npz");
    export(&recorded, &["--what", "recorded", "--trials", "1"]);
    let recorded = pallium_npy::npz::Npz::open(&recorded).unwrap().numbers("recorded").unwrap();
    assert_eq!(recorded.shape(), [24, 24]);
    let known = |unit: usize| (recorded[[unit, unit]] - 1.0).abs() < 1e-6;
    assert!((0..24).all(|unit| known(unit) && recorded[[unit, 0]] == recorded[[0, unit]]));
    for name in ["condition", "neuron", "length", "time_ms", "inputs", "target", "accuracy_weight"] {
        assert!(file.names().contains(&name) || name == "time_ms", "{name}");
    }
    let all = scratch.path().join("all");
    pallium(&[
        "export",
        text(&RUN),
        "--what",
        "activity",
        "--trials",
        "3",
        "--format",
        "zarr",
        "--out",
        text(&all),
    ])
    .ok();
    assert_eq!(fs::read_dir(&all).unwrap().count(), 8);
    let refused = |more: &[&str]| pallium(&[&["export", text(&RUN)], more].concat());
    refused(&["--what", "activity", "--out", text(&out)]).refused(&["8 networks", "--only"]);
    refused(&["--what", "activity", "--out", text(&all), "--format", "zarr"]).refused(&["exists already"]);
    let netcdf = scratch.path().join("x.nc");
    refused(&["--what", "activity", "--only", "F/*one*/0", "--out", text(&netcdf)]).refused(&[
        "x.nc: networks are not recorded as .nc",
        ".zarr",
        "xarray",
    ]);
    assert!(!netcdf.exists());
    refused(&["--layout", "authors", "--only", "F", "--out", text(&all)]).refused(&["--layout", "--only"]);
    assert_eq!(refused(&["--out", text(&all)]).code, Some(2));
}

#[test]
fn a_training_begins_with_another_and_frozen_parameters_stay() {
    let scratch = Scratch::new();
    let file = scratch.path().join("fine.toml");
    let from = format!("from = {:?}\nfrozen = [\"input\", \"bias\"]\n", text(&RUN));
    let own = EXPERIMENT.replace("snapshots = \"log\"\n", &from).replace("epochs = 4", "epochs = 2");
    fs::write(&file, own.replace(", \"cognition.perceptual-decision\"", "")).unwrap();
    let out = scratch.path().join("run");
    pallium(&["run", text(&file), "--out", text(&out)]).ok();
    let tensors = |folder: &Path| -> BTreeMap<String, Vec<u8>> {
        let bytes = fs::read(folder.join("weights.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
    };
    let cell = |run: &Path| {
        let names = fs::read_dir(run.join("cells")).unwrap().map(|entry| entry.unwrap().path());
        names
            .into_iter()
            .find(|path| {
                path.file_name().unwrap().to_str().unwrap().starts_with("F.cognition.one-choice.001")
            })
            .unwrap()
    };
    let (before, after) = (tensors(&cell(&RUN)), tensors(&cell(&out)));
    assert_eq!(before["recurrent"], after["initial"]);
    assert_eq!((&before["input"], &before["bias"]), (&after["input"], &after["bias"]));
    assert_ne!(before["recurrent"], after["recurrent"]);
    assert_ne!(before["readout"], after["readout"]);
    // Nothing is trained again, wherever the run folder lies.
    let again = pallium(&["run", text(&file), "--out", text(&out)]).ok();
    assert!(again.stderr.contains("all 4 trainings are already"), "{}", again.stderr);
    let set = |what: &str| {
        pallium(&["run", text(&file), "--out", text(&scratch.path().join("x")), "--dry-run", "--set", what])
    };
    set("training.frozen=[\"inputs\"]").refused(&["no parameter `inputs`", "readout"]);
    set("training.from=nowhere").refused(&["`nowhere` is not a folder"]);
    set("runs=3").refused(&["no finished training", "F/cognition.one-choice"]);
    set("training.snapshots=0").refused(&["training.snapshots"]);
    set("substrate.neurons=20").refused(&["no parameter `recurrent` of the shape [20, 20]"]);
}

#[test]
fn snapshots_show_how_a_network_develops() {
    let scratch = Scratch::new();
    let out = scratch.path().join("curves.csv");
    let command = ["measure", text(&RUN), "--metric", "organization.spectral-radius", "--snapshots"];
    pallium(&[&command[..], &["--out", text(&out)]].concat()).ok();
    let mut table = csv::Reader::from_path(&out).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    // Epochs 0, 1, 2 and 4 of eight trainings.
    assert_eq!(rows.len(), 32);
    let epochs: Vec<&str> = rows.iter().take(4).map(|row| &row[3]).collect();
    assert_eq!(epochs, ["0", "1", "2", "4"]);
    // Orthogonal before training.
    let radius: f64 = rows.iter().find(|row| &row[0] == "W" && &row[3] == "0").unwrap()[5].parse().unwrap();
    assert!((radius - 1.0).abs() < 1e-5, "{radius}");
    // The last one is the trained network.
    let cell = RUN.join("cells").join(&rows[0][7]);
    let read = |name: &str| fs::read(cell.join(name)).unwrap();
    let (trained, kept) = (read("weights.safetensors"), read("snapshots.safetensors"));
    let find = |bytes: &[u8], name: &str| {
        safetensors::SafeTensors::deserialize(bytes).unwrap().tensor(name).unwrap().data().to_vec()
    };
    assert_eq!(find(&trained, "recurrent"), find(&kept, "4/recurrent"));
    assert_eq!(find(&trained, "initial"), find(&kept, "0/recurrent"));
}

#[test]
fn the_dynamics_of_a_trained_network_are_measured() {
    let metrics = "dynamics.fixed-points,dynamics.spectrum,dynamics.lyapunov,dynamics.timescales,\
                   dynamics.dimension,representation.pca";
    let command = ["measure", text(&RUN), "--metric", metrics, "--param", "starts=8", "--param", "steps=100"];
    pallium(&command).ok();
    let mut table = csv::Reader::from_path(RUN.join("results.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let of = |measure: &str| -> Vec<f64> {
        rows.iter().filter(|row| &row[4] == measure).filter_map(|row| row[5].parse().ok()).collect()
    };
    for measure in ["fixed_points", "jacobian_radius", "lyapunov_max", "dimension_mean"] {
        assert_eq!(of(measure).len(), 8, "{measure}");
    }
    assert!(of("fixed_points").iter().all(|count| *count >= 1.0));
    // The report draws the paths of the conditions with the points.
    let scratch = Scratch::new();
    pallium(&["report", text(&RUN), "--figures", text(scratch.path())]).ok();
    let file = scratch.path().join("trajectories-one-choice.csv");
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_path(file).unwrap().into_records().map(Result::unwrap).collect();
    let count = |kind: &str| rows.iter().filter(|row| &row[2] == kind).count();
    // 50 steps of eight conditions, of each variant's median run.
    assert!(count("path") == 2 * 8 * 50 && count("fixed point") >= 2, "{} paths", count("path"));
    assert!(scratch.path().join("trajectories-one-choice-two-column.pdf").is_file());
}

#[test]
fn what_activity_represents_is_measured() {
    let metrics = "representation.pca,representation.decoding,representation.correlations,\
                   representation.like-to-like,representation.demixed,representation.selectivity,representation.axes";
    pallium(&["measure", text(&RUN), "--metric", metrics]).ok();
    let cited = pallium(&["cite", text(&RUN)]).ok().stdout;
    assert!(metrics.split(',').all(|id| cited.contains(id)), "{cited}");
    let mut table = csv::Reader::from_path(RUN.join("results.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let of = |measure: &str, variant: &str| -> Vec<f64> {
        let own = rows.iter().filter(|row| &row[4] == measure && &row[0] == variant);
        own.filter_map(|row| row[5].parse().ok()).collect()
    };
    for measure in ["pca_variance_1", "decoding_target_last", "signal_recorded", "like_to_like_initial_near"]
    {
        assert_eq!([of(measure, "W").len(), of(measure, "F").len()], [4, 4], "{measure}");
    }
    // What the stimuli tell is in the activity.
    let chance = of("decoding_condition_chance", "F");
    assert!(of("decoding_condition_mean", "F").iter().zip(chance).all(|(mean, chance)| *mean > chance));
    // Weights from activity join like neurons before training, orthogonal ones do not.
    let like = |variant| of("like_to_like_recorded_initial", variant);
    assert!(like("F").iter().all(|r| *r > 0.3) && like("W").iter().all(|r| r.abs() < 0.2));
    // Direction and coherence are parts of the conditions' names.
    let motion = |measure: &str| -> Vec<f64> {
        let own = rows.iter().filter(|row| &row[4] == measure && row[1].ends_with("perceptual-decision"));
        own.filter_map(|row| row[5].parse().ok()).collect()
    };
    let parts = ["time", "first", "second", "interaction"].map(|part| motion(&format!("demixed_{part}")));
    for network in 0..4 {
        let sum: f64 = parts.iter().map(|shares| shares[network]).sum();
        assert!((sum - 1.0).abs() < 1e-9 && parts[1][network] > 1e-3, "{parts:?}");
    }
    assert!(motion("selective_first").iter().any(|share| *share > 0.0));
    assert_eq!(motion("selectivity_nonlinear").len(), 4);
    assert!(motion("axes").iter().all(|count| [1.0, 2.0].contains(count)), "{:?}", motion("axes"));
}

#[test]
fn a_report_shows_tests_of_finished_networks() {
    let scratch = Scratch::new();
    let file = |name: &str| scratch.path().join(name);
    let (conditions, lesions) = (file("conditions.csv"), file("lesions.csv"));
    pallium(&["evaluate", text(&RUN), "--answers", "--out", text(&conditions)]).ok();
    let lesion = ["--lesion", "units:strongest:10%,50%", "--lesion", "units:all", "--draws", "2"];
    pallium(&[&["evaluate", text(&RUN), "--out", text(&lesions)], &lesion[..]].concat()).ok();
    let (delays, noise) = (file("delays.csv"), file("noise.csv"));
    for (out, set) in
        [(&delays, "delay={ sweep = [2, 6, 10] }"), (&noise, "sigma={ sweep = [0.5, 1, 2, 4] }")]
    {
        let set = format!("task.{set}");
        let own = ["--only", "F/cognition.perceptual-decision/*", "--set", &set, "--out", text(out)];
        pallium(&[&["evaluate", text(&RUN)], &own[..]].concat()).ok();
    }
    let (alike, developed) = (file("likeness.csv"), file("development.csv"));
    let few = ["--measure", "cka,weights", "--trials", "8"];
    pallium(&[&["likeness", text(&RUN), "--out", text(&alike)], &few[..]].concat()).ok();
    let snapshots = ["--metric", "organization.spectral-radius", "--snapshots", "--out", text(&developed)];
    pallium(&[&["measure", text(&RUN)], &snapshots[..]].concat()).ok();
    let (page, figures) = (file("page.html"), file("figures"));
    let report = ["report", text(&RUN), "--html", text(&page), "--figures", text(&figures)];
    let tables = [&conditions, &lesions, &delays, &noise].map(|table| ["--tested", text(table)]).concat();
    let more = ["--likeness", text(&alike), "--development", text(&developed)];
    pallium(&[&report[..], &tables, &more].concat()).ok();
    let page = fs::read_to_string(page).unwrap();
    for part in [
        "Tests of finished networks",
        "coherence %",
        "matched random lesions",
        "direction 180°, coherence 6.4 %",
        "signed coherence %, + direction 180°",
        "Over training",
        "Likeness of networks, one-choice",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Each figure has the numbers that it shows, and each parameter an axis.
    let numbers = |figure: &str| -> Vec<csv::StringRecord> {
        assert!(figures.join(format!("{figure}-one-column.svg")).is_file(), "{figure}");
        let table = csv::Reader::from_path(figures.join(format!("{figure}.csv"))).unwrap();
        table.into_records().map(Result::unwrap).collect()
    };
    for figure in ["tested-conditions", "tested-changes", "tested-answers"] {
        assert!(!numbers(figure).is_empty(), "{figure}");
    }
    let axes = numbers("tested-settings").into_iter().map(|row| (row[4].to_owned(), row[5].to_owned()));
    let axes: Vec<(String, String)> = axes.collect();
    assert_eq!(axes.len(), 3 + 4, "{axes:?}");
    // Five coherences of two directions, zero once, of two variants.
    let curve = numbers("tested-evidence");
    assert_eq!(curve.len(), 2 * 9);
    let tested = fs::read_to_string(&conditions).unwrap();
    let own = |line: &&str| line.contains("direction 180°, coherence 51.2 %") && line.contains(",answer_1,");
    let of_variant = tested.lines().filter(own).filter(|line| line.starts_with("F,"));
    let shares: Vec<f64> = of_variant.map(|line| line.split(',').nth(14).unwrap().parse().unwrap()).collect();
    let point = curve.iter().find(|row| &row[2] == "F" && &row[5] == "51.2").unwrap();
    assert!((point[7].parse::<f64>().unwrap() - (shares[0] + shares[1]) / 2.0).abs() < 1e-12, "{shares:?}");
    // Epochs 0, 1, 2 and 4 of two variants on two tasks.
    assert_eq!(numbers("development").len(), 2 * 2 * 4);
    // Four networks with each other, two measures, two tasks.
    assert_eq!(numbers("likeness").len(), 4 * 4 * 2 * 2);
    // 24 eigenvalues before and after of two variants.
    assert_eq!(numbers("spectra-one-choice").len(), 2 * 2 * 24);
    let foreign = fs::read_to_string(&lesions).unwrap().replace("\nF,", "\nG,");
    fs::write(&lesions, foreign).unwrap();
    let wrong = |path: &Path| pallium(&["report", text(&RUN), "--html", "-", "--tested", text(path)]);
    wrong(&lesions).refused(&["variant `G` is not one of", "pallium evaluate"]);
    wrong(&RUN.join("results.csv")).refused(&["results.csv: ", "it lacks the column `", "pallium evaluate"]);
    wrong(&RUN.join("cells")).refused(&["cells: it is a folder", "pallium evaluate"]);
    wrong(&file("none.csv")).refused(&["none.csv: ", "pallium evaluate"]);
    let option =
        |option: &str, path: &Path| pallium(&["report", text(&RUN), "--html", "-", option, text(path)]);
    option("--likeness", &conditions).refused(&[
        "conditions.csv: ",
        "it lacks the column `",
        "pallium likeness",
    ]);
    option("--development", &conditions).refused(&[
        "conditions.csv: ",
        "it lacks the column `",
        "pallium measure",
    ]);
}

#[test]
fn networks_are_compared_with_each_other() {
    let likeness = |more: &[&str]| pallium(&[&["likeness", text(&RUN)], more].concat());
    let found = likeness(&["--json", "--trials", "16"]).ok().json();
    let rows = found["rows"].as_array().unwrap();
    // Of four networks of each of two tasks six pairs, and seven measures.
    assert_eq!(rows.len(), 2 * 6 * 7);
    for row in rows {
        let value = row["value"].as_f64().unwrap();
        let least = if ["answers", "cka", "procrustes"].contains(&row["measure"].as_str().unwrap()) {
            0.0
        } else {
            -1.0
        };
        assert!((least..=1.0).contains(&value), "{row}");
    }
    // The same states whatever their number of workers.
    assert_eq!(found, likeness(&["--json", "--trials", "16", "--jobs", "1"]).ok().json());
    // Each network with the recording.
    let recorded = likeness(&["--measure", "recorded", "--trials", "16", "--json"]).ok().json();
    let recorded = recorded["rows"].as_array().unwrap();
    assert_eq!(recorded.len(), 8);
    let mean = |variant: &str| {
        let own =
            recorded.iter().filter(|row| row["variant_a"] == variant && row["variant_b"] == "recording");
        own.map(|row| row["value"].as_f64().unwrap()).sum::<f64>() / 4.0
    };
    assert!(mean("F") > mean("W"), "{recorded:?}");
    let scratch = Scratch::new();
    let spread = scratch.path().join("spread.csv");
    likeness(&["--measure", "answers,dsa,weights", "--trials", "16", "--degeneracy", text(&spread)]).ok();
    let mut table = csv::Reader::from_path(&spread).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let levels: Vec<&str> = rows.iter().take(3).map(|row| &row[2]).collect();
    assert_eq!((rows.len(), levels), (12, vec!["behaviour", "dynamics", "weights"]));
    for row in &rows {
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        // Two runs are one pair, whose spread is unknown.
        assert_eq!((&row[4], &row[5], &row[7]), ("2", "1", ""));
        assert!(
            (0.0..=2.0).contains(&number(6)) && number(6) == number(8) && number(6) == number(9),
            "{row:?}"
        );
    }
    likeness(&["--degeneracy", text(&spread)]).refused(&["exists already", "--force"]);
    let none = scratch.path().join("none.csv");
    likeness(&["--measure", "recorded", "--degeneracy", text(&none)])
        .refused(&["compares no pairs", "--measure recorded,cka"]);
    assert!(!none.exists());
    likeness(&["--only", "W/cognition.one-choice/0"]).refused(&["no two of the selected networks", "--only"]);
    likeness(&["--set", "task.delay={ sweep = [2, 10] }", "--only", "*/cognition.one-choice/*"])
        .refused(&["the trials of one task", "one value"]);
}
