//! Reports of synthetic run folders, which these tests write file by file.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::published::Verdict;
use super::*;

mod agreement;
mod comparisons;
mod presentation;

const VARIANTS: [&str; 11] =
    ["W*D*C", "WD*C", "WDC", "WD*", "WD", "W", "W*D*C*", "WD*C*", "W*DC*", "W!D*C", "W!D*C*"];
const TASKS: [(&str, f64); 3] =
    [("cognition.one-choice", 0.625), ("cognition.go-no-go", 0.5), ("cognition.perceptual-decision", 0.5)];

type Content = (&'static str, Value, Value);

/// What the study's variant of this name is; other names have no constraints.
fn as_named(name: &str) -> Content {
    let (weights, rest) = match name.strip_prefix('W') {
        Some(rest) if rest.starts_with('*') => ("microns.functional", &rest[1..]),
        Some(rest) if rest.starts_with('!') => ("microns.relabelled", &rest[1..]),
        Some(rest) => ("init.orthogonal", rest),
        None => return ("init.orthogonal", json!("none"), json!([])),
    };
    let (space, rest) = match rest.strip_prefix("D*") {
        Some(rest) => (json!("soma"), rest),
        None => (json!({ "grid": null }), rest.strip_prefix('D').unwrap_or("-")),
    };
    match rest {
        "-" => (weights, json!("none"), json!([{ "use": "spatial.l1" }])),
        "" => (weights, space, json!([{ "use": "spatial.distance" }])),
        "C" => (weights, space, json!([{ "use": "spatial.communicability" }])),
        _ => (weights, space, json!([{ "use": "spatial.communicability-emd" }])),
    }
}

/// A synthetic run folder.
struct SyntheticRun<'a> {
    variants: &'a [&'a str],
    runs: u32,
    neurons: usize,
    field: &'a str,
    switches: Value,
    /// Weights, space and constraints of a variant.
    content: &'a dyn Fn(&str) -> Content,
    /// Accuracy of a variant, task and run; `None` of a run that diverges.
    accuracy: &'a dyn Fn(&str, usize, u32) -> Option<f64>,
}

impl SyntheticRun<'_> {
    fn write(&self, root: &Path) {
        let SyntheticRun { variants, runs, neurons, .. } = *self;
        let manifest = json!({
            "format": 1, "pallium": "0.1.0", "core": "0.1.0", "experiment": "synthetic <run>", "file": "synthetic.toml",
            "about": "<script>", "overrides": [], "profile": "published", "switches": self.switches, "seed": 1, "runs": runs,
            "cells": variants.len() * 3 * runs as usize, "plugins": [], "data": {}, "started": 0,
            "machine": {"name": null, "cpu": null, "system": "linux", "architecture": "x86_64", "cores": 2},
        });
        put(root, "manifest.json", manifest.to_string().as_bytes());
        let mut text = format!("runs = {runs}\nabout = \"<script>\"\ntasks = [");
        text += &TASKS.map(|t| format!("\"{}\"", t.0)).join(", ");
        text += "]\n[substrate]\nuse = \"no.such\"\n";
        for variant in variants {
            text += &format!("[[variant]]\nname = \"{variant}\"\n");
        }
        put(root, "experiment.toml", text.as_bytes());
        let mut table = String::from(HEADER);
        for run in 0..runs {
            for (task, (label, memoryless)) in TASKS.iter().enumerate() {
                for variant in variants {
                    let name = format!("cells/{}.{task}.{run}", pallium_record::spec::file_name(variant));
                    let accuracy = (self.accuracy)(variant, task, run);
                    let rows = rows(variant, label, run, accuracy);
                    table += &rows;
                    put(root, &format!("{name}/results.csv"), format!("{HEADER}{rows}").as_bytes());
                    let about = self.about(variant, label, run, *memoryless, accuracy.is_some());
                    put(root, &format!("{name}/cell.json"), about.to_string().as_bytes());
                    let mut curve = String::from(
                        "epoch,running_loss,running_accuracy,penalty,validation_loss,validation_accuracy\n",
                    );
                    for epoch in 1..=10 {
                        curve += &format!("{epoch},1.5,0.5,0.1,0.{epoch},{}\n", accuracy.unwrap_or(0.5));
                    }
                    put(root, &format!("{name}/curves.csv"), curve.as_bytes());
                    let weights = weights(neurons, u64::from(run) + task as u64 * 77);
                    put(root, &format!("{name}/weights.safetensors"), &weights);
                }
            }
        }
        put(root, "results.csv", table.as_bytes());
    }

    fn about(&self, variant: &str, task: &str, run: u32, memoryless: f64, ok: bool) -> Value {
        let (weights, space, constraints) = (self.content)(variant);
        let divergence = json!({ "epoch": 2, "batch": 3, "what": "the loss" });
        json!({
            "format": 1, "cell": "", "variant": variant, "task": task, "run": run, "identity": "", "profile": "published",
            "status": if ok { "ok" } else { "diverged" },
            "divergence": if ok { Value::Null } else { divergence },
            "pallium": "0.1.0", "core": "0.1.0", "inputs": {}, "notes": ["a note"],
            "task_info": {
                "inputs": 3, "classes": 2, "steps": 4, "step_ms": null, "conditions": [],
                "levels": {"chance": 0.25, "memoryless": memoryless, "ideal": 1.0},
            },
            "model_info": {"neurons": self.neurons, "blocks": 1, "block_names": ["recurrent"], "parameters": 9},
            "spec": {
                "variant": variant, "task": task, "run": run, "seed": 1, "data_seed": "shared",
                "substrate": {"use": "microns.field", "params": {"path": format!("somewhere/{}", self.field)}},
                "weights": {"use": weights},
                "geometry": {"space": space, "coordinate_layout": "interleaved", "coordinate_scale": "minmax",
                             "distance_scale": "none", "shuffled": false},
                "constraints": constraints, "task_component": {"use": task}, "model": {"use": "rnn.vanilla"}, "metrics": [],
                "training": {"epochs": 10, "trials": 5120, "validation": 2560, "test": 2560, "batch": 128},
            },
        })
    }
}

const HEADER: &str = "variant,task,run,split,measure,value,status\n";

fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn rows(variant: &str, task: &str, run: u32, accuracy: Option<f64>) -> String {
    let status = if accuracy.is_some() { "ok" } else { "diverged" };
    let value = |v: f64| if accuracy.is_some() { format!("{v:?}") } else { String::new() };
    let a = accuracy.unwrap_or(0.0);
    [
        ("test", "accuracy", a - 0.01),
        ("train", "running_accuracy", a),
        ("", "entropy", 1.0 + a),
        ("", "modularity", 0.4 + 0.1 * a),
        ("", "small_worldness", 2.0 - a),
        ("", "assortativity", 0.1 * a),
    ]
    .map(|(split, measure, v)| format!("{variant},{task},{run},{split},{measure},{},{status}\n", value(v)))
    .concat()
}

/// Random numbers, which make images as large as possible.
fn weights(neurons: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut matrix = || -> Vec<u8> {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0 - 1.0).to_le_bytes()
        };
        (0..neurons * neurons).flat_map(next).collect()
    };
    let (initial, recurrent) = (matrix(), matrix());
    let view = |bytes| TensorView::new(Dtype::F32, vec![neurons, neurons], bytes).unwrap();
    safetensors::serialize([("initial", view(&initial)), ("recurrent", view(&recurrent))], None).unwrap()
}

fn switches() -> Value {
    json!({ "accuracy": "running", "interval": "t", "null": "published", "coordinate_layout": "interleaved" })
}

fn html(report: &Report) -> String {
    let material = Material::read(&report.run, &|_, _| Err(pallium_core::Error::input("no plugins here")));
    let figures = figures(report, &material);
    page::page(report, &material, &figures).unwrap()
}

/// Two groups of runs, as the study's.
fn two_groups(variant: &str, task: usize, run: u32) -> Option<f64> {
    let jitter = f64::from((run * 7 + task as u32 * 3) % 20) / 2000.0;
    Some(if variant.contains("W*") && !run.is_multiple_of(4) { 0.98 } else { 0.6 } + jitter)
}

#[test]
fn six_hundred_and_sixty_trainings_make_a_small_page_quickly() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &VARIANTS,
        runs: 20,
        neurons: 64,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &two_groups,
    }
    .write(scratch.path());
    // The networks that are shown are as large as the study's.
    for variant in VARIANTS {
        for task in 0..3 {
            for run in 0..20 {
                let name = pallium_record::spec::file_name(variant);
                let path = scratch.path().join(format!("cells/{name}.{task}.{run}/cell.json"));
                let text = fs::read_to_string(&path).unwrap().replace("\"neurons\":64", "\"neurons\":312");
                fs::write(&path, text).unwrap();
            }
        }
    }
    let large = weights(312, 5);
    let report = Report::read(scratch.path()).unwrap();
    let chosen = |v: usize, t: usize| {
        let mut all: Vec<(f64, u32)> =
            report.run.group(v, t).map(|c| (c.value("train", "running_accuracy").unwrap(), c.run)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all[(all.len() - 1) / 2].1
    };
    for (v, variant) in VARIANTS.iter().enumerate() {
        for task in 0..3 {
            let name =
                format!("cells/{}.{task}.{}", pallium_record::spec::file_name(variant), chosen(v, task));
            put(scratch.path(), &format!("{name}/weights.safetensors"), &large);
        }
    }
    let page = html(&report);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    assert_eq!(report.run.trainings.len(), 660);
    assert_eq!(page.matches("data:image/png").count(), 66, "before and after of 33 networks");
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Text from users is escaped.
    assert!(page.contains("synthetic &lt;run&gt;") && !page.contains("synthetic <run>"));
    assert!(page.contains("&lt;script&gt;"));
}

fn terminal_of(report: &Report) -> String {
    [report.overview(), report.steps_table()].iter().map(table::terminal).collect()
}

#[test]
fn intervals_that_are_not_symmetric_show_their_ends() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD"],
        runs: 8,
        neurons: 8,
        field: "6_6_2",
        switches: json!({ "accuracy": "evaluated", "interval": "bootstrap" }),
        content: &as_named,
        accuracy: &|_, _, run| Some(if run == 0 { 0.5 } else { 0.9 + 0.01 * f64::from(run) }),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    let (low, high) = report.accuracy[0][0].interval.unwrap();
    assert!(high - 0.875 < 0.8 * (0.875 - low), "{low} {high}");
    let text = terminal_of(&report);
    assert!(text.contains(&format!("0.875 [{low:.3}, {high:.3}]")) && !text.contains('±'), "{text}");
}

#[test]
fn runs_that_never_learn_count_in_survival_curves_and_tests() {
    let scratch = tempfile::tempdir().unwrap();
    // Of `W` every run learns, of `WD` one in eight, and one diverges. The others stop after
    // two of ten epochs, because they do not improve.
    let accuracy = |variant: &str, _, run| match (variant, run) {
        ("WD", 7) => None,
        ("WD", 1..) => Some(0.6),
        _ => Some(0.9 + 0.01 * f64::from(run)),
    };
    SyntheticRun {
        variants: &["W", "WD"],
        runs: 8,
        neurons: 8,
        field: "6_6_2",
        switches: json!({ "accuracy": "evaluated", "interval": "t" }),
        content: &as_named,
        accuracy: &accuracy,
    }
    .write(scratch.path());
    for run in 1..7 {
        let file = scratch.path().join(format!("cells/WD.0.{run}/curves.csv"));
        let curve = fs::read_to_string(&file).unwrap();
        fs::write(&file, curve.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
    let report = Report::read(scratch.path()).unwrap();
    let learning = &report.learning[0];
    assert_eq!(learning.criterion, Some(0.5 * (0.625 + 1.0)));
    let [fast, slow] = learning.groups.as_slice() else { panic!("two variants") };
    assert_eq!((fast.reached(), fast.durations.len(), fast.median()), (8, 8, 5120.0));
    assert_eq!((slow.reached(), slow.durations.len(), slow.areas.len()), (1, 8, 7));
    assert!(slow.median().is_nan());
    let planned = slow.durations.iter().filter(|duration| !duration.observed);
    assert!(planned.map(|duration| duration.time).all(|time| time == 51_200.0), "{:?}", slow.durations);
    assert!(!report.learning_table(0).caption.contains("so the criterion is the ideal"));
    // scipy.stats.logrank: 8 events after 1 epoch, against 1 and 7 censored after 10.
    assert!((learning.all.statistic - 11.666_666_666_666_666).abs() < 1e-9, "{:?}", learning.all);
    let table = report.learning_table(0);
    let texts: Vec<&str> = table.rows[1].iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(texts[..3], ["WD", "12 %", "–"]);
    let effects = report.learning_effects_table(0);
    assert_eq!((effects.rows.len(), effects.rows[0][2].text.as_str()), (1, "−0.875"));
    let document = report.document();
    let found = &document["learning"]["cognition.one-choice"];
    assert_eq!(found["groups"][1]["reached"], json!([true, false, false, false, false, false, false, false]));
    assert!(html(&report).contains("Trials to criterion"));
}

#[test]
fn a_criterion_that_needs_no_memory_is_explained() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W"],
        runs: 2,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, _| Some(0.99),
    }
    .write(scratch.path());
    for run in 0..2 {
        let file = scratch.path().join(format!("cells/W.0.{run}/cell.json"));
        let about = fs::read_to_string(&file).unwrap();
        fs::write(&file, about.replace("\"memoryless\":0.625", "\"memoryless\":1.0")).unwrap();
    }
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!(report.learning[0].criterion, Some(1.0));
    assert_eq!(report.learning[0].groups[0].reached(), 0);
    let caption = report.learning_table(0).caption;
    assert!(caption.contains("so the criterion is the ideal"), "{caption}");
}

#[test]
fn outdated_trainings_are_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let made = SyntheticRun {
        variants: &["W"],
        runs: 2,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, task, run| Some(0.5 + 0.1 * task as f64 + 0.01 * f64::from(run)),
    };
    made.write(scratch.path());
    // An older result of the same training, and a training that results.csv does
    // not list yet.
    let old = scratch.path().join("cells/old");
    fs::create_dir(&old).unwrap();
    fs::copy(scratch.path().join("cells/W.0.0/cell.json"), old.join("cell.json")).unwrap();
    put(&old, "results.csv", format!("{HEADER}{}", rows("W", TASKS[0].0, 0, Some(0.99))).as_bytes());
    let table = fs::read_to_string(scratch.path().join("results.csv")).unwrap();
    let kept: Vec<&str> = table.lines().filter(|l| !l.contains("perceptual-decision,1")).collect();
    fs::write(scratch.path().join("results.csv"), kept.join("\n")).unwrap();
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!((report.run.trainings.len(), report.run.missing, report.run.stale), (5, 1, 2));
    assert!((report.accuracy[0][0].mean.unwrap() - 0.505).abs() < 1e-12);
    assert_eq!(report.accuracy[2][0].missing, 1);
    let folders = |r: &Report| {
        r.run.trainings.iter().filter_map(|c| c.about.as_ref()).all(|a| !a.folder.ends_with("old"))
    };
    assert!(folders(&report));
}

#[test]
fn errors_name_the_file_that_cannot_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let error = |root: &Path| Report::read(root).err().unwrap();
    assert!(error(scratch.path()).message.contains("holds no run"));
    let made = SyntheticRun {
        variants: &["W"],
        runs: 1,
        neurons: 4,
        field: "x",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, _| Some(0.5),
    };
    made.write(scratch.path());
    // Damaged weights cost one picture, not the report.
    put(scratch.path(), "cells/W.0.0/weights.safetensors", b"nothing");
    let report = Report::read(scratch.path()).unwrap();
    let material = Material::read(&report.run, &|_, _| Err(pallium_core::Error::input("no plugins here")));
    assert_eq!(material.networks.len(), 2);
    assert!(material.places.iter().all(|place| place.is_err()));
    assert!(html(&report).contains("The positions of the neurons are unknown"));
    put(scratch.path(), "cells/W.0.0/cell.json", b"{");
    assert!(error(scratch.path()).message.contains("W.0.0"));
    put(scratch.path(), "results.csv", HEADER.as_bytes());
    assert!(error(scratch.path()).message.contains("no results yet"));
}

#[test]
fn folders_are_compared_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, variants: &[&str], shift: f64, switches: Value| {
        let folder = scratch.path().join(name);
        SyntheticRun {
            variants,
            runs: 8,
            neurons: 8,
            field: "6_6_2",
            switches,
            content: &as_named,
            accuracy: &|_, _, run| Some(0.6 + shift + 0.01 * f64::from(run)),
        }
        .write(&folder);
        folder
    };
    let corrected = json!({ "accuracy": "evaluated", "interval": "t", "null": "matched" });
    let folders = [
        write("published", &["W", "WD"], 0.0, switches()),
        write("corrected", &["WD", "WD*"], 0.2, corrected),
    ];
    let compared = compare::Comparison::read(&folders).unwrap();
    assert_eq!(compared.names, ["published", "corrected"]);
    assert_eq!(compared.variants, ["W", "WD", "WD*"]);
    // Their tables show different accuracies, so one that both have is compared.
    assert_eq!(compared.key, ("test".to_owned(), "accuracy".to_owned()));
    let against = compared.tasks[0].tests[1][0].unwrap();
    assert!((against.difference - 0.2).abs() < 1e-12 && against.delta == 1.0, "{against:?}");
    // scipy: mannwhitneyu(x + 0.2, x, method="exact") of eight each, all apart.
    assert!((against.p - 2.0 / 12870.0).abs() < 1e-12, "{against:?}");
    assert!(compared.tasks[0].tests[0][0].is_none() && compared.tasks[0].tests[2][0].is_none());
    let runs = compared.runs_table();
    let row = |what: &str| {
        runs.rows.iter().find(|r| r[0].text == what).map(|r| [r[1].text.clone(), r[2].text.clone()])
    };
    assert_eq!(row("null"), Some(["published".into(), "matched".into()]));
    assert_eq!(row("interval"), None, "rows without a difference are left out");
    let page = page::comparison::page(&compared);
    assert!(page.contains("figure-comparison") && page.len() < 1_000_000);
    let document = compared.document();
    assert_eq!(document["accuracy"][0]["runs"][1], Value::Null);
    assert_eq!(document["runs"][1]["name"], "corrected");
}
