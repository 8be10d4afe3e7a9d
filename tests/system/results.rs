//! Files of a run folder, opened with pandas, TensorBoard, safetensors and PyTorch.
//!
//! They run in `$PALLIUM_PYTHON` or `python3`. Tests whose modules are missing are
//! skipped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::{
    Scratch, fixture, pallium, pallium_in, pallium_with, read_json, root, shared, skipped, text,
};

/// A folder with the run of docs/results.md, shortened.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = shared("results");
    let out = folder.join("runs/quickstart");
    let file = root().join("experiments/quickstart.toml");
    let arguments = [
        "run",
        text(&file),
        "--out",
        text(&out),
        "--set",
        "runs=1",
        "--set",
        "training.epochs=3",
        "--set",
        "training.trials=256",
    ];
    pallium(&[&arguments[..], &["--tensorboard", "--keep-log", "debug"]].concat()).ok();
    folder
});

fn out() -> PathBuf {
    FOLDER.join("runs/quickstart")
}

/// Runs `code` in `folder`. `Err` is the missing module.
fn python(folder: &Path, code: &str) -> Result<(), String> {
    let python = std::env::var_os("PALLIUM_PYTHON").unwrap_or_else(|| "python3".into());
    let Ok(output) = Command::new(python).current_dir(folder).args(["-c", code]).output() else {
        return Err("python3".into());
    };
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let missing = complaint.lines().rev().find_map(|line| {
        let optional = line.contains("Unable to find a usable engine").then(|| "pyarrow".to_owned());
        line.strip_prefix("ModuleNotFoundError: No module named ").map(str::to_owned).or(optional)
    });
    Err(missing.unwrap_or_else(|| panic!("{code}\n{complaint}")))
}

#[test]
fn the_lines_of_python_in_the_documentation_work() {
    let page = fs::read_to_string(root().join("docs/results.md")).unwrap();
    let blocks: Vec<_> =
        page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 9, "{}", blocks.len());
    for block in blocks {
        if let Err(missing) = python(&FOLDER, block) {
            skipped(&format!(
                "no Python module {missing}, for: {}",
                block.lines().last().unwrap_or_default()
            ));
        }
    }
}

#[test]
fn tables_are_the_same_in_both_forms() {
    let code = "
import pandas
csv = pandas.read_csv('runs/quickstart/results.csv')
parquet = pandas.read_parquet('runs/quickstart/results.parquet')
assert parquet['run'].dtype == 'int32' and parquet['value'].dtype == 'float64', parquet.dtypes
assert len(csv) > 200
pandas.testing.assert_frame_equal(csv.astype({'run': 'int32'}), parquet, check_exact=True)
curves = pandas.read_csv('runs/quickstart/curves.csv')
assert len(curves) == 12 * 3, len(curves)
last = curves[curves.epoch == 3].set_index(['variant', 'task', 'run'])['running_accuracy']
same = csv[csv.measure == 'running_accuracy'].set_index(['variant', 'task', 'run'])['value']
assert (last.sort_index() == same.sort_index()).all()
";
    if let Err(missing) = python(&FOLDER, code) {
        skipped(&format!("there is no Python module {missing}"));
    }
}

#[test]
fn tensorboard_reads_every_curve() {
    let code = "
import csv, glob, math, os
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
cells = glob.glob('runs/quickstart/cells/*')
assert len(cells) == 12
for cell in cells:
    events = EventAccumulator('runs/quickstart/tensorboard/' + os.path.basename(cell)).Reload()
    rows = list(csv.DictReader(open(cell + '/curves.csv')))
    for column in rows[0]:
        if column == 'epoch':
            continue
        heard = {event.step: event.value for event in events.Scalars(column)}
        assert len(heard) == len(events.Scalars(column)) == 3, (cell, column, heard)
        for row in rows:
            assert math.isclose(heard[int(row['epoch'])], float(row[column]), rel_tol=1e-6), (cell, column)
    values = [row for row in csv.DictReader(open(cell + '/results.csv')) if row['value']]
    for row in values:
        tag = '/'.join(filter(None, ['final', row['split'], row['measure']]))
        [event] = events.Scalars(tag)
        assert event.step == 3 and math.isclose(event.value, float(row['value']), rel_tol=1e-6, abs_tol=1e-30), tag
    assert len(events.Tags()['scalars']) == 5 + len(values)
";
    if let Err(missing) = python(&FOLDER, code) {
        skipped(&format!("there is no Python module {missing}"));
    }
}

#[test]
fn damaged_tensorboard_files_are_rewritten_and_complete_ones_kept() {
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    let file = root().join("experiments/quickstart.toml");
    let run = |extra: &[&str]| {
        let all = ["run", text(&file), "--out", text(&out), "--set", "runs=1", "--only", "W/*/0"];
        pallium(&[&all[..], &["--set", "training.epochs=2", "--set", "training.trials=64"], extra].concat())
            .ok();
    };
    run(&[]);
    assert!(!out.join("tensorboard").exists());
    run(&["--tensorboard"]);
    let files = || {
        let mut files: Vec<_> = fs::read_dir(out.join("tensorboard"))
            .unwrap()
            .flat_map(|cell| fs::read_dir(cell.unwrap().path()).unwrap())
            .map(|file| file.unwrap())
            .map(|file| (file.path(), file.metadata().unwrap().len()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    assert_eq!(before.len(), 3);
    // One is damaged, as after a kill; the others are complete.
    fs::OpenOptions::new().write(true).open(&before[1].0).unwrap().set_len(100).unwrap();
    run(&["--tensorboard"]);
    let after = files();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_eq!(after[1].1, before[1].1);
}

#[test]
fn weights_open_in_numpy_and_torch_with_metadata() {
    let code = "
import glob, json, os, numpy, safetensors, safetensors.numpy
for cell in glob.glob('runs/quickstart/cells/*'):
    path = cell + '/weights.safetensors'
    weights = safetensors.numpy.load_file(path)
    about = safetensors.safe_open(path, 'numpy').metadata()
    known = json.load(open(cell + '/cell.json'))
    neurons = len(weights['initial'])
    assert weights['initial'].shape == weights['recurrent'].shape == (neurons, neurons)
    assert weights['recurrent'].dtype == numpy.float32 and not (weights['initial'] == weights['recurrent']).all()
    assert about['orientation'] == 'row = from, column = to'
    for key in ['cell', 'variant', 'task', 'identity', 'profile']:
        assert about[key] == known[key], key
    for name in about['ids'].split():
        assert weights[name].dtype == numpy.int64 and len(set(weights[name])) == neurons, name
    assert 'ids.root' in about['ids'].split() and weights['ids.root'].min() > 2**53
";
    let torch = "
import glob, numpy, safetensors.numpy, safetensors.torch
path = glob.glob('runs/quickstart/cells/*/weights.safetensors')[0]
ours, theirs = safetensors.numpy.load_file(path), safetensors.torch.load_file(path)
assert ours.keys() == theirs.keys()
for name in ours:
    assert (ours[name] == theirs[name].numpy()).all(), name
";
    for code in [code, torch] {
        if let Err(missing) = python(&FOLDER, code) {
            skipped(&format!("there is no Python module {missing}"));
        }
    }
}

/// The documented code makes a network with the trained network's answers.
#[test]
fn a_network_runs_in_pytorch_as_it_did_here() {
    let page = fs::read_to_string(root().join("docs/results.md")).unwrap();
    let blocks = page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.into_iter().find(|block| block.contains("torch.nn.RNN")).unwrap();
    assert_eq!(lines.trim().lines().count(), 5);
    let lines = lines.replace('\n', "\n    ");
    // Go/no-go has two kinds of trial, so their answers and losses give accuracy and
    // loss up to the share of each kind. If one kind is answered wrongly, the accuracy
    // gives the share.
    let code = format!(
        "
import glob as g, json, csv
checked = 0
for folder in g.glob('runs/quickstart/cells/*'):
    if json.load(open(folder + '/cell.json'))['task'] != 'cognition.go-no-go':
        continue
    {lines}
    x = torch.zeros(2, 40, 3)
    x[:, :5, 0] = x[:, 25:35, 0] = 1
    x[0, 5:25, 1] = x[1, 5:25, 2] = 1
    logits = readout(rnn(x)[0][:, -1])
    right = logits.argmax(1) == torch.arange(2)
    losses = torch.nn.functional.cross_entropy(logits, torch.arange(2), reduction='none')
    found = {{(r['split'], r['measure']): r['value'] for r in csv.DictReader(open(folder + '/results.csv'))}}
    accuracy, loss = (float(found['test', m]) for m in ['accuracy', 'task_loss'])
    if right.all():
        assert accuracy == 1 and losses.min() - 1e-5 <= loss <= losses.max() + 1e-5, (folder, accuracy, loss, losses)
    else:
        share = accuracy if right[1] else 1 - accuracy
        expected = share * losses[1] + (1 - share) * losses[0]
        assert right.any() and abs(expected - loss) < 1e-4, (folder, accuracy, loss, losses)
    checked += 1
assert checked >= 4
"
    )
    .replace("runs/quickstart/cells/*/weights.safetensors\")[0]", "\" + folder + \"/weights.safetensors\")[0]");
    if let Err(missing) = python(&FOLDER, &code) {
        skipped(&format!("there is no Python module {missing}"));
    }
}

#[test]
fn one_log_has_the_run_its_workers_and_the_plugins() {
    let log = fs::read_to_string(out().join("log.jsonl")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}")))
        .collect();
    let of = |key: &str, value: &str| lines.iter().filter(|line| line[key] == value).collect::<Vec<_>>();
    assert_eq!(of("message", "started").len(), 12);
    let done = of("message", "done");
    assert_eq!(done.len(), 12);
    for line in done {
        assert!(out().join(line["log"].as_str().unwrap()).exists(), "{line}");
        assert_eq!(line["status"], "ok");
    }
    assert_eq!(of("message", "set up").len(), 12, "the workers' own");
    assert_eq!(of("message", "run ends").len(), 1);
    // The process, and in a worker the training.
    assert!(lines.iter().all(|line| within(line, "process")), "{log}");
    assert!(of("message", "set up").iter().all(|line| within(line, "cell")));
    let processes: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["spans"][0]["number"].to_string()).collect();
    assert_eq!(processes.len(), 13, "{processes:?}");
}

fn within(line: &Value, name: &str) -> bool {
    line["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["name"] == name))
}

#[test]
fn log_events_of_a_plugin_keep_their_spans() {
    let own = fixture("outside");
    let scratch = Scratch::new();
    let (file, out) = (scratch.path().join("own.toml"), scratch.path().join("out"));
    let experiment = "seed = 3\ntasks = [\"cognition.go-no-go\"]\n\
        [substrate]\nuse = \"synthetic.field\"\nneurons = 20\n[training]\nepochs = 1\ntrials = 64\n\
        [[variant]]\nname = \"W*L\"\nweights = \"microns.functional\"\ngeometry = \"soma\"\n\
        constraints = [{ use = \"outside.long-connections\", limit_um = 150.0 }]\n";
    fs::write(&file, experiment).unwrap();
    pallium_with(&[&own], &["run", text(&file), "--out", text(&out)]).ok();
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_plugin = |line: &&Value| line["target"] == "plugin" && within(line, "cell");
    let event = lines.iter().find(of_plugin).unwrap_or_else(|| panic!("nothing of the plugin's in\n{log}"));
    assert!(event["message"].as_str().unwrap().starts_with("connections that cost long="), "{event}");
    assert!(event["origin"].as_str().unwrap().ends_with(" > limit{um=150.0}"), "{event}");
    assert_eq!((&event["level"], &event["spans"][1]["variant"]), (&"INFO".into(), &"W*L".into()));
    // Also in the log of the training.
    let cell = fs::read_dir(out.join("cells")).unwrap().map(|e| e.unwrap().path()).next().unwrap();
    assert!(fs::read_to_string(cell.join("log.txt")).unwrap().contains("connections that cost"));
}

#[test]
fn keep_log_sets_the_level_of_the_log() {
    let scratch = Scratch::new();
    let file = root().join("experiments/quickstart.toml");
    let lines = |name: &str, level: &[&str]| {
        let out = scratch.path().join(name);
        let all =
            ["run", text(&file), "--out", text(&out), "--set", "runs=1", "--only", "W/cognition.go-no-go/0"];
        let short = ["--set", "training.epochs=1", "--set", "training.trials=64"];
        pallium(&[&all[..], &short, level].concat()).ok();
        fs::read_to_string(out.join("log.jsonl")).ok().map(|log| log.lines().count())
    };
    assert_eq!(lines("off", &["--keep-log", "off"]), None);
    let [few, usual, many] = [
        lines("warn", &["--keep-log", "warn"]).unwrap(),
        lines("info", &[]).unwrap(),
        lines("trace", &["--keep-log", "trace"]).unwrap(),
    ];
    assert!(few < usual && usual < many, "{few} {usual} {many}");
}

/// The rules of RO-Crate 1.1 that roc-validator 0.13 checks as required: terms that its
/// context defines, entities that exist, files with their size.
#[test]
fn a_run_is_exported_as_an_ro_crate() {
    const TERMS: [&str; 23] = [
        "about",
        "agent",
        "author",
        "citation",
        "conformsTo",
        "contentSize",
        "datePublished",
        "description",
        "encodingFormat",
        "endTime",
        "hasPart",
        "identifier",
        "instrument",
        "license",
        "mentions",
        "name",
        "object",
        "result",
        "softwareRequirements",
        "softwareVersion",
        "startTime",
        "url",
        "version",
    ];
    let scratch = Scratch::new();
    let (run, out) = (scratch.path().join("run"), scratch.path().join("crate"));
    let small = ["--set", "runs=1", "--set", "training.epochs=1", "--set", "training.trials=32"];
    let begin = ["run", "experiments/quickstart.toml", "--only", "W/*one-choice/0", "--out", text(&run)];
    pallium_in(&root(), &[], &[&begin[..], &small].concat()).ok();
    let license = "https://spdx.org/licenses/CC-BY-4.0";
    let author = ["--author", "Josiah Carberry https://orcid.org/0000-0002-1825-0097"];
    let export =
        ["export", text(&run), "--layout", "ro-crate", "--license", "CC-BY-4.0", "--out", text(&out)];
    let export = [&export[..], &author].concat();
    let made = pallium(&export).ok();
    assert!(!made.stderr.contains("licence"), "{}", made.stderr);
    pallium(&export).refused(&["exists already", "choose another name"]);

    let document = read_json(&out.join("ro-crate-metadata.json"));
    let defined = document["@context"][1].as_object().unwrap();
    let entities = document["@graph"].as_array().unwrap();
    let ids: BTreeSet<&str> = entities.iter().map(|entity| entity["@id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entities.len(), "every entity has an id of its own");
    for entity in entities {
        for (key, value) in entity.as_object().unwrap().iter().filter(|(key, _)| !key.starts_with('@')) {
            assert!(TERMS.contains(&&**key) || defined.contains_key(key), "`{key}` is not a term");
            for part in value.as_array().unwrap_or(&vec![value.clone()]) {
                if let Some(id) = part["@id"].as_str().filter(|id| !id.starts_with("http")) {
                    assert!(ids.contains(id), "{id}");
                }
            }
        }
        if entity["@type"] == "File" {
            let path = out.join(entity["@id"].as_str().unwrap().replace("%2A", "*"));
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(entity["contentSize"], bytes.len().to_string());
        }
    }
    let crates = entities.iter().find(|entity| entity["@id"] == "./").unwrap();
    assert_eq!(crates["license"]["@id"], license);
    assert_eq!(crates["author"]["@id"], "https://orcid.org/0000-0002-1825-0097");
    let action = entities.iter().find(|entity| entity["@id"] == "#run").unwrap();
    let [start, end] = ["startTime", "endTime"].map(|key| action[key].as_str().unwrap());
    assert!(start <= end && start.len() == 25 && start.ends_with("+00:00"), "{action}");
    assert!(action["name"].as_str().unwrap().ends_with(", 1 run"), "{action}");
    let results: Vec<&str> =
        action["result"].as_array().unwrap().iter().filter_map(|r| r["@id"].as_str()).collect();
    for name in ["results.csv", "results.parquet", "curves.csv", "report.html"] {
        assert!(results.contains(&name), "{results:?}");
    }
    let unlicensed = scratch.path().join("unlicensed");
    let made = pallium(&["export", text(&run), "--layout", "ro-crate", "--out", text(&unlicensed)]).ok();
    assert!(made.stderr.contains("--license"), "{}", made.stderr);
    pallium(&["export", text(&run), "--layout", "ro-crate", "--license", "CC-BY", "--out", text(&out)])
        .refused(&["CC-BY-4.0", "URL"]);
    let empty = scratch.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    pallium(&["export", text(&empty), "--layout", "ro-crate", "--out", text(&scratch.path().join("x"))])
        .refused(&["does not contain a run with results", "pallium run"]);
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Data that are not in a crate can be checked file by file, and the experiment states
/// that their path must be changed.
#[test]
fn an_ro_crate_names_the_files_of_the_data() {
    let scratch = Scratch::new();
    let (field, run) = (scratch.path().join("small"), scratch.path().join("run"));
    pallium(&["field", "synth", "--neurons", "12", "--seed", "1", "--out", text(&field)]).ok();
    let small = ["--set", "runs=1", "--set", "training.epochs=1", "--set", "training.trials=32"];
    let path = format!("substrate.path={}", text(&field));
    let begin = ["run", "experiments/quickstart.toml", "--only", "W/*one-choice/0", "--out", text(&run)];
    pallium_in(&root(), &[], &[&begin[..], &small, &["--set", &path]].concat()).ok();
    let export = |name: &str| {
        let out = scratch.path().join(name);
        let made = pallium(&[
            "export",
            text(&run),
            "--layout",
            "ro-crate",
            "--license",
            "CC0-1.0",
            "--out",
            text(&out),
        ])
        .ok();
        (read_json(&out.join("ro-crate-metadata.json")), made.stderr)
    };
    let entity = |document: &Value, name: &str| {
        let entities = document["@graph"].as_array().unwrap();
        let found = entities.iter().find(|entity| entity["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {document}")).clone()
    };
    let (document, _) = export("with");
    assert!(
        entity(&document, "experiment.toml")["description"]
            .as_str()
            .unwrap()
            .contains("change the absolute paths")
    );
    let whole = entity(&document, "Field small");
    let mut lines = String::new();
    let mut names: Vec<_> = std::fs::read_dir(&field).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(whole["hasPart"].as_array().unwrap().len(), names.len());
    for name in names {
        let name = name.to_str().unwrap();
        let bytes = std::fs::read(field.join(name)).unwrap();
        let part = entity(&document, name);
        assert_eq!(part["contentSize"], bytes.len().to_string());
        assert_eq!(part["sha256"], sha256(&field.join(name)));
        lines += &format!("{} {name}\n", part["sha256"].as_str().unwrap());
    }
    let combined = scratch.path().join("lines");
    std::fs::write(&combined, lines).unwrap();
    let sum = sha256(&combined);
    assert_eq!(whole["identifier"], format!("sha256:{sum}"));

    std::fs::rename(&field, scratch.path().join("moved")).unwrap();
    let (document, warned) = export("without");
    assert!(warned.contains("no longer at"), "{warned}");
    let whole = entity(&document, "Data read by microns.field");
    assert_eq!(whole["identifier"], format!("sha256:{sum}"));
    assert!(whole["description"].as_str().unwrap().contains("no longer at"));
}

#[test]
fn works_are_cited_without_the_data_and_as_bibtex_that_pybtex_formats() {
    let cited = pallium_in(&root(), &[], &["cite", "experiments/controls.toml"]).ok();
    assert!(cited.stdout.contains("title = {Harnessing cortical geometry"), "{}", cited.stdout);
    let entries = cited.stdout.matches("\n@").count();
    assert_eq!(cited.stdout.matches("\n  title = {").count(), entries, "{}", cited.stdout);
    let scratch = Scratch::new();
    let [cited_file, all] = ["cited.bib", "all.bib"].map(|name| scratch.path().join(name));
    std::fs::write(&cited_file, &cited.stdout).unwrap();
    std::fs::copy(root().join("host/src/references.bib"), &all).unwrap();
    // Services that read CITATION.cff see the same works.
    let [works, listed] = ["host/src/references.bib", "CITATION.cff"]
        .map(|name| std::fs::read_to_string(root().join(name)).unwrap());
    assert_eq!(works.matches("\n@").count(), listed.matches("\n  - type: ").count());
    let dois = works.lines().filter_map(|line| line.trim().strip_prefix("doi = {")?.strip_suffix("},"));
    for doi in dois {
        assert!(listed.contains(&format!("doi: {doi}\n")), "CITATION.cff lacks {doi}");
    }
    let code = "
import pybtex
from pybtex import errors
errors.set_strict_mode(True)
for name in ('cited', 'all'):
    text = pybtex.PybtexEngine().format_from_file(name + '.bib', style='plain', output_backend='plaintext')
    count = open(name + '.bib', encoding='utf-8').read().count('\\n@')
    assert text.count('\\n[') + 1 >= count, text
";
    if let Err(missing) = python(scratch.path(), code) {
        skipped(&format!("there is no Python module {missing}"));
    }
}
