//! Reports of synthetic run folders, which these tests write file by file.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::published::Verdict;
use super::*;

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

#[test]
fn values_are_counted_and_compared_with_the_published_ones() {
    let scratch = tempfile::tempdir().unwrap();
    // As published on the first task; too good on the second; diverged on the
    // third.
    let accuracy = |variant: &str, task: usize, run: u32| {
        let jitter = 0.002 * f64::from(run);
        match task {
            0 => {
                let paper = Paper::Unconstrained.value("accuracy", variant, TASKS[0].0).unwrap();
                Some(paper.mean.unwrap() + jitter - 0.004)
            }
            1 => Some(0.99 + 0.001 * f64::from(run)),
            _ => None,
        }
    };
    let made = SyntheticRun {
        variants: &["W*D*C", "WD*C", "W", "mine"],
        runs: 5,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, t, r| if v == "mine" { Some(0.7) } else { accuracy(v, t, r) },
    };
    made.write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!(report.papers(), [Paper::Unconstrained]);
    let tally = report.accuracy_tally();
    assert_eq!((tally.same, tally.differs, tally.cannot_be_compared), (3 + 2, 1 + 3, 0), "{tally:?}");
    let group = &report.accuracy[0][0];
    assert!((group.mean.unwrap() - 0.917).abs() < 1e-12);
    assert_eq!((group.values.len(), group.above_memoryless), (5, Some(5)));
    // 0.628 − 0.004 … 0.628 + 0.004 is not clearly above 0.625.
    assert_eq!(report.accuracy[0][1].above_memoryless, Some(0));
    let gone = &report.accuracy[2][0];
    assert_eq!((gone.values.len(), gone.mean, gone.diverged), (0, None, 5));
    assert!(matches!(&gone.verdict, Some(Verdict::Differs(why)) if why.contains("diverged")));
    assert!(report.accuracy[0][3].published.is_none());
    // Every column of numbers can be sorted.
    let table = report.accuracy_table(0);
    let place = table.columns.iter().position(|c| c.title == "published interval").unwrap();
    let widths: Vec<Option<f64>> = table.rows[..4].iter().map(|row| row[place].sort).collect();
    assert!(widths[..3].iter().all(|w| w.is_some_and(|w| w > 0.0)) && widths[3].is_none(), "{widths:?}");
    let uncounted = report.uncounted_table();
    assert_eq!(uncounted.rows.len(), 15);
    assert_eq!(uncounted.rows[0][4].text, "the loss in epoch 2, batch 3");
    // Variants that differ in one aspect alone are compared.
    assert_eq!(report.statistics[0].comparisons, effects::Comparisons::Alone);
    let names: Vec<&str> = report.statistics[0].effects.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["WD*C vs W*D*C", "mine vs W"]);
    let effect = &report.statistics[0].effects[1];
    assert_eq!(effect.meaning, "constraints: none instead of spatial.l1");
    let text = report.in_short().join("\n");
    assert!(
        text.contains("45 of 60 trainings done, 15 diverged") && text.contains("of 9 accuracies 5 agree"),
        "{text}"
    );
    let page = html(&report);
    assert!(page.contains("15 diverged") && page.contains("the loss in epoch 2"));
}

#[test]
fn other_neurons_and_other_measures_cannot_be_compared() {
    let scratch = tempfile::tempdir().unwrap();
    let mut made = SyntheticRun {
        variants: &["W*D*C", "WD*C"],
        runs: 3,
        neurons: 8,
        field: "5_3_4",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, run| Some(0.9 + 0.01 * f64::from(run)),
    };
    made.write(&scratch.path().join("field"));
    let report = Report::read(&scratch.path().join("field")).unwrap();
    assert_eq!(report.accuracy_tally().cannot_be_compared, 6);
    let text = report.in_short().join(" ");
    assert!(text.contains("cannot be compared") && text.contains("other neurons: 5_3_4"), "{text}");
    // Without anything to compare there are no published columns.
    let titles = |table: table::Table| table.columns.into_iter().map(|c| c.title).collect::<Vec<_>>();
    for table in [report.overview(), report.accuracy_table(0), report.organization_table(0)] {
        assert!(!table.caption.contains("ublished mean"), "{}", table.caption);
        let titles = titles(table);
        assert!(titles.iter().all(|t| !t.contains("published") && t != "verdict"), "{titles:?}");
    }

    made.field = "6_6_2";
    made.switches = json!({ "accuracy": "evaluated", "interval": "bootstrap", "null": "matched" });
    made.write(&scratch.path().join("corrected"));
    let report = Report::read(&scratch.path().join("corrected")).unwrap();
    assert_eq!(report.run.headline(), ("test".into(), "accuracy".into()));
    assert!((report.accuracy[0][0].mean.unwrap() - 0.9).abs() < 1e-12);
    // The published accuracy is the running one, which the folder also has.
    assert_eq!(report.accuracy_tally().cannot_be_compared, 0);
    let place = |measure: &str| report.measures.iter().position(|m| m == measure).unwrap();
    let verdict = |measure| report.organization[0][place(measure)][0].verdict.clone().unwrap();
    assert!(
        matches!(verdict("small_worldness"), Verdict::CannotBeCompared(why) if why.ends_with("small-worldness = matched"))
    );
    assert!(!matches!(verdict("modularity"), Verdict::CannotBeCompared(_)));
    // The sign stands beside the accuracy that is compared.
    let cell = report.overview().rows[0][1].text.clone();
    assert!(cell.contains("(running 0.910 = 0.917)"), "{cell}");
    let found = &report.statistics[0].effects;
    assert_eq!(
        (found.len(), found[0].name.as_str(), report.statistics[0].comparisons),
        (1, "W* - W", effects::Comparisons::Factors)
    );
}

#[test]
fn agreement_goes_by_content_and_not_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let accuracy = |variant: &str, task: usize, run: u32| {
        let paper = Paper::Unconstrained.value("accuracy", variant, TASKS[task].0);
        Some(paper.map_or(0.6, |p| p.mean.unwrap()) + 0.001 * f64::from(run))
    };
    // `W` has weights from activity and no constraint; `plain` is the study's W.
    let content = |name: &str| match name {
        "W" => ("microns.functional", json!("none"), json!([])),
        "plain" => as_named("W"),
        "weak" => {
            ("init.orthogonal", json!("none"), json!([{ "use": "spatial.l1", "params": {"strength": 0.1} }]))
        }
        name => as_named(name),
    };
    SyntheticRun {
        variants: &["W", "plain", "weak"],
        runs: 3,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, t, r| accuracy(if v == "plain" { "W" } else { v }, t, r),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    let verdict = |variant: usize| report.running[0][variant].verdict.clone();
    assert_eq!(verdict(0), None);
    assert!(matches!(verdict(1), Some(Verdict::Same(_))), "{:?}", verdict(1));
    assert_eq!(verdict(2), Some(Verdict::CannotBeCompared("strength of spatial.l1 = 0.1".into())));
    assert_eq!(report.departures(), ["strength of spatial.l1 = 0.1"]);
    assert!(report.in_short().join(" ").contains("not compared with it: strength of spatial.l1 = 0.1."));
    let table = report.overview();
    let texts: Vec<&str> = table.rows[..3].iter().map(|row| row[1].text.as_str()).collect();
    assert!(
        !texts[0].contains('=') && texts[1].contains("(= 0.625)") && !texts[2].contains('='),
        "{texts:?}"
    );
}

/// A run of variants `free`, `masked`, `dale` and `both`, with this analysis.
fn factorial(root: &Path, analysis: &Value) -> Report {
    let (mask, dale) = (json!({ "use": "circuit.mask" }), json!({ "use": "circuit.dale" }));
    let content = |name: &str| -> Content {
        let constraints = match name {
            "free" => json!([]),
            "masked" => json!([mask]),
            "dale" => json!([dale]),
            _ => json!([mask, dale]),
        };
        ("init.orthogonal", json!("none"), constraints)
    };
    SyntheticRun {
        variants: &["free", "masked", "dale", "both"],
        runs: 6,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, _, run| Some(0.5 + 0.03 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(root);
    let path = root.join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["analysis"] = analysis.clone();
    fs::write(path, manifest.to_string()).unwrap();
    Report::read(root).unwrap()
}

#[test]
fn comparisons_follow_from_content_or_from_the_experiment_file() {
    let scratch = tempfile::tempdir().unwrap();
    let of = |analysis: Value| {
        let report = factorial(scratch.path(), &analysis);
        let statistics = &report.statistics[0];
        let names: Vec<String> = statistics.effects.iter().map(|e| e.name.clone()).collect();
        (names, statistics.comparisons, report.effects_table(0).caption)
    };
    // Four levels of one aspect: each against the first.
    let (names, why, _) = of(json!({}));
    assert_eq!(names, ["masked vs free", "dale vs free", "both vs free"]);
    assert_eq!(why, effects::Comparisons::Alone);
    let (names, why, caption) = of(json!({ "reference": "dale" }));
    assert_eq!(
        (names, why),
        (["free", "masked", "both"].map(String::from).to_vec(), effects::Comparisons::Reference)
    );
    assert!(caption.starts_with("Each variant against dale"), "{caption}");
    let factors = json!([
        {"name": "mask", "levels": [["no", ["free", "dale"]], ["yes", ["masked", "both"]]]},
        {"name": "Dale", "levels": [["no", ["free", "masked"]], ["yes", ["dale", "both"]]]},
    ]);
    let (names, why, _) = of(json!({ "factors": factors }));
    assert_eq!(names, ["mask: yes - no", "Dale: yes - no"]);
    assert_eq!(why, effects::Comparisons::Factors);
    let (names, why, caption) = of(json!({ "factors": factors, "contrasts": [["both", "dale"]] }));
    assert_eq!((names, why), (vec!["both vs dale".to_owned()], effects::Comparisons::Stated));
    assert!(caption.contains("experiment file"), "{caption}");
    let report = factorial(scratch.path(), &json!({ "factors": factors }));
    // The same as `pallium stats --factors`.
    let table = summary::wide(&report.run, 0, ("train", "running_accuracy"));
    let samples: Vec<Vec<f64>> = (0..4).map(|v| table.values(v)).collect();
    let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
    let level = |levels: [usize; 4]| levels.map(Some);
    let [mask, dale] = [level([0, 1, 0, 1]), level([0, 0, 1, 1])];
    let factor =
        |name: &str| pallium_stats::Factor { name: name.into(), levels: vec!["no".into(), "yes".into()] };
    let design = pallium_stats::Design {
        factors: vec![factor("mask"), factor("Dale")],
        variants: (0..4).map(|v| vec![mask[v], dale[v]]).collect(),
    };
    for (own, expected) in
        report.statistics[0].effects.iter().zip(pallium_stats::contrasts(&design, &samples).unwrap())
    {
        assert_eq!((own.p, own.holm, own.pairs.len()), (expected.p, expected.holm, 2));
    }
    let omnibus = report.omnibus_table(0);
    assert!(
        omnibus.rows.iter().any(|row| row[1].text == "mask")
            && omnibus.rows.iter().any(|row| row[1].text == "Dale")
    );
}

/// Every text of a drawing: left, right, upper and lower end, and the text.
fn texts(elements: &[figure::drawing::Element], shift: (f64, f64), found: &mut Vec<([f64; 4], String)>) {
    use figure::canvas::Anchor;
    use figure::drawing::Element;
    for element in elements {
        match element {
            Element::Group { shift: (x, y), elements, .. } => {
                texts(elements, (shift.0 + x, shift.1 + y), found);
            }
            Element::Text(text) => {
                let (x, y) = (text.at.0 + shift.0, text.at.1 + shift.1);
                let (length, half) = (text.size * figure::font::width(&text.text), 0.35 * text.size);
                let begin = match text.anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => -0.5 * length,
                    Anchor::End => -length,
                };
                let place = match text.upwards {
                    true => [x - half, x + half, y + begin, y + begin + length],
                    false => [x + begin, x + begin + length, y - half, y + half],
                };
                found.push((place, text.text.clone()));
            }
            _ => {}
        }
    }
}

#[test]
fn every_label_is_inside_of_its_picture() {
    let scratch = tempfile::tempdir().unwrap();
    let long = "a variant with quite a long name that says everything about itself and more of that until nobody reads on";
    let mut names: Vec<String> =
        (0..45).map(|i| format!("S[strength={}]", 10f64.powf(f64::from(i) / 9.0 - 3.0))).collect();
    names.push(long.into());
    let variants: Vec<&str> = names.iter().map(String::as_str).collect();
    SyntheticRun {
        variants: &variants,
        runs: 3,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, _, run| Some(0.5 + 0.004 * (v.len() % 40) as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    let rows = names[..45].iter().map(|n| format!("{n},t,{}\n", n[11..].trim_end_matches(']')));
    let axes = format!("variant,task,strength\n{}", rows.collect::<String>());
    put(scratch.path(), "axes.csv", axes.as_bytes());
    // Losses of trainings that nearly diverged.
    for entry in fs::read_dir(scratch.path().join("cells")).unwrap() {
        let path = entry.unwrap().path().join("curves.csv");
        let curve =
            fs::read_to_string(&path).unwrap().replace(",1.5,", ",2.5e31,").replace(",0.1,0.", ",0.1,7e12");
        fs::write(path, curve).unwrap();
    }
    let mut report = Report::read(scratch.path()).unwrap();
    report.run.tasks[0].label = format!("{long} <task>");
    report.run.tasks[0].component = Some("cognition.one-choice".into());
    let positions = ndarray::Array2::from_shape_fn((8, 3), |(i, k)| (i * (k + 3) % 7) as f64);
    let material = Material::read(&report.run, &|_, _| Ok(positions.clone()));
    let figures = figures(&report, &material);
    assert!(figures.iter().any(|f| f.id == "sweep") && figures.iter().any(|f| f.id == "learning"));
    let mut count = 0;
    for figure in &figures {
        for width in [85.0, 176.0, 56.0] {
            let drawing = figure.drawing(width);
            let mut found = Vec::new();
            texts(&drawing.elements, (0.0, 0.0), &mut found);
            count += found.len();
            for ([left, right, top, bottom], text) in found {
                let inside =
                    left > -0.1 && right < width + 0.1 && top > -0.1 && bottom < drawing.height + 0.1;
                assert!(
                    inside,
                    "{}, {width} mm: `{text}` at {left:.1} … {right:.1}, {top:.1} … {bottom:.1}",
                    figure.id
                );
            }
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn large_networks_and_many_measures_are_sampled() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD"],
        runs: 2,
        neurons: 1200,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, run| Some(0.5 + 0.1 * f64::from(run)),
    }
    .write(scratch.path());
    let table = scratch.path().join("results.csv");
    let mut text = fs::read_to_string(&table).unwrap();
    for measure in 0..2000 {
        text += &format!("W,{},0,,m{measure},0.5,ok\n", TASKS[0].0);
    }
    // Rows of one training follow each other in the file of the training, too.
    fs::write(&table, text).unwrap();
    let path = scratch.path().join("cells/W.0.0/results.csv");
    let mut text = fs::read_to_string(&path).unwrap();
    for measure in 0..2000 {
        text += &format!("W,{},0,,m{measure},0.5,ok\n", TASKS[0].0);
    }
    fs::write(&path, text).unwrap();
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!((report.measures.len(), report.other_measures), (MAX_MEASURES, 2004 - MAX_MEASURES));
    assert_eq!(report.measures[0], "modularity");
    let positions = ndarray::Array2::from_shape_fn((1200, 3), |(i, k)| (i * (k + 1)) as f64);
    let material = Material::read(&report.run, &|_, _| Ok(positions.clone()));
    let first = &material.networks[0];
    assert_eq!((first.neurons(), first.size), (network::MAX_NEURONS, 1200));
    assert!(first.shown.is_sorted() && *first.shown.last().unwrap() < 1200);
    // The weights between the neurons that are shown, and their positions.
    let folder = &report.run.group(first.variant, first.task).find(|c| c.run == first.run).unwrap().about;
    let folder = &folder.as_ref().unwrap().folder;
    let complete = pallium_record::weights::read(&folder.join("weights.safetensors")).unwrap();
    let (i, j) = (first.shown[3], first.shown[700]);
    assert_eq!(first.initial[[3, 700]], complete.initial[[i, j]]);
    assert_eq!(material.places[0].as_ref().unwrap()[[700, 0]], j as f64);
    let figures = figures(&report, &material);
    for id in ["matrices-one-choice", "weights", "space-one-choice"] {
        let figure = figures.iter().find(|f| f.id == id).unwrap();
        assert!(figure.caption.contains("1000 are shown, drawn at random"), "{}", figure.caption);
    }
    assert!(report.organization_table(0).caption.contains("1964 others are in results.csv"));
}

#[test]
fn columns_of_numbers_have_numbers_for_csv() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD", "WD*"],
        runs: 8,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, t, run| (t < 2).then(|| 0.5 + 0.03 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    let tables =
        [report.for_paper(), vec![report.steps_table(), report.omnibus_table(0), report.pairs_table(0)]]
            .concat();
    for table in &tables {
        for row in &table.rows {
            for (cell, column) in row.iter().zip(&table.columns).filter(|(_, column)| column.numeric) {
                let empty = cell.text == "–" || cell.text.ends_with("diverged") || cell.text == "?";
                let number = cell.sort.is_some() || !cell.parts.is_empty();
                assert_ne!(empty, number, "{}, {}: {cell:?}", table.id, column.title);
            }
        }
    }
    let overview = &tables[0].rows[0][1];
    let names: Vec<&str> = overview.parts.iter().map(|p| p.0).collect();
    assert_eq!(names, ["", "low", "high", "published"]);
    let page = html(&report);
    assert!(page.contains("data-n=\"=0.5") && page.contains(";low="), "no numbers for CSV");
}

#[test]
fn points_of_a_sweep_are_known_by_its_axes() {
    let scratch = tempfile::tempdir().unwrap();
    let content = |name: &str| -> Content {
        let strength: f64 = name.split(['=', ']']).nth(1).and_then(|s| s.parse().ok()).unwrap_or(0.3);
        let constraint = if name.starts_with("WD") { "spatial.distance" } else { "spatial.l1" };
        let space = if name.starts_with("WD") { json!({ "grid": null }) } else { json!("none") };
        ("init.orthogonal", space, json!([{ "use": constraint, "params": {"strength": strength} }]))
    };
    SyntheticRun {
        variants: &["W[λ=1]", "WD[λ=1]", "W[λ=2]", "WD[λ=2]", "mine[x]"],
        runs: 4,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, _, run| Some(0.5 + 0.01 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    // Without axes, brackets are a part of a name.
    let report = Report::read(scratch.path()).unwrap();
    assert!(!report.run.swept() && report.statistics[0].points.is_empty());
    let axes = "variant,task,λ\nW[λ=1],t,1\nWD[λ=1],t,1\nW[λ=2],t,2\nWD[λ=2],t,2\nmine[x],t,\n";
    put(scratch.path(), "axes.csv", axes.as_bytes());
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!(report.run.bases, ["W", "WD", "W", "WD", "mine[x]"]);
    assert_eq!(report.run.points, ["λ=1", "λ=1", "λ=2", "λ=2", ""]);
    let pairs = |effects: &[effects::Effect]| effects.iter().map(|e| e.pairs[0].clone()).collect::<Vec<_>>();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let points = [pair("W[λ=2]", "W[λ=1]"), pair("WD[λ=2]", "WD[λ=1]")];
    assert_eq!(pairs(&report.statistics[0].points), points);
    // W and WD differ in two aspects: each point is compared with the first of its variant.
    assert_eq!(pairs(&report.statistics[0].effects), points);
}

#[test]
fn one_run_has_neither_p_nor_effects() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD", "WD*"],
        runs: 1,
        neurons: 8,
        field: "6_6_2",
        switches: json!({ "accuracy": "evaluated", "interval": "bootstrap" }),
        content: &as_named,
        accuracy: &|v, _, _| Some(0.5 + 0.1 * v.len() as f64),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    for statistics in &report.statistics {
        assert!(
            statistics.effects.iter().all(|e| e.p.is_nan() && e.delta.is_nan()),
            "{:?}",
            statistics.effects
        );
        assert!(statistics.analysis.kruskal.p.is_nan());
    }
    let material = Material::read(&report.run, &|_, _| Err(pallium_core::Error::input("no plugins here")));
    assert!(figures(&report, &material).iter().all(|f| f.id != "effects"));
    assert!(!terminal_of(&report).contains("(p"), "{}", terminal_of(&report));
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
