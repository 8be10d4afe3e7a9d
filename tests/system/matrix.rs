//! Every constraint with every model on every task: one epoch, or a refusal
//! that says why; and what constraints promise holds of the weights that come
//! out, whatever the model.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{field, pallium, results, text};

/// Ids of all components of a role.
fn ids(role: &str) -> Vec<String> {
    let listed = pallium(&["plugins", "list", "--json"]).ok().json();
    let all = listed.as_array().unwrap().iter();
    all.filter(|c| c["role"] == role).map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

/// Tasks that run programs of their own are tested where they are at home.
fn tasks() -> Vec<String> {
    ids("task").into_iter().filter(|id| !id.starts_with("python")).collect()
}

/// What a constraint needs besides its defaults to have something to do here.
fn constraint(id: &str) -> String {
    match id {
        // A fifth of what trained weights of these neurons have.
        "spatial.wiring-budget" => format!("{{ use = \"{id}\", budget = 0.2 }}"),
        _ => format!("\"{id}\""),
    }
}

/// An experiment on the field of 42 neurons, or on a made-up one of as many.
fn experiment(model: &str, constraints: &[&str]) -> String {
    let substrate = match field("5_3_8") {
        Some(folder) => format!("path = {:?}", text(&folder)),
        None => "use = \"synthetic.field\"\nneurons = 42".into(),
    };
    let tasks: Vec<String> = tasks().iter().map(|id| format!("{id:?}")).collect();
    let mut file = format!(
        "seed = 3\nruns = 1\nmodel = {model:?}\ntasks = [{}]\n[substrate]\n{substrate}\n\
         [training]\nepochs = 1\ntrials = 24\nvalidation = 4\ntest = 4\nbatch = 8\n\
         [metrics]\nuse = [\"organization.spectral-radius\"]\n",
        tasks.join(", ")
    );
    for id in constraints {
        let list = if *id == "none" { String::new() } else { constraint(id) };
        file += &format!("[[variant]]\nname = {id:?}\ngeometry = \"soma\"\nconstraints = [{list}]\n");
    }
    file
}

/// The N×N tensors of a cell's weights that are recurrent blocks.
fn blocks(cell: &Path) -> Vec<(String, Vec<f32>)> {
    let bytes = std::fs::read(cell.join("weights.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let block = |(name, tensor): (&String, &Value)| {
        let square = tensor["shape"] == serde_json::json!([42, 42]);
        if !name.starts_with("recurrent") || !square || tensor["dtype"] != "F32" {
            return None;
        }
        let [from, to] = [0, 1].map(|k| tensor["data_offsets"][k].as_u64().unwrap() as usize + 8 + length);
        let values = bytes[from..to].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Some((name.clone(), values))
    };
    header.iter().filter_map(block).collect()
}

/// Fails unless `weights` (42×42) are as constraint `id` leaves them.
fn obeys(id: &str, weights: &[f32], place: &str) {
    let rows = || weights.chunks_exact(42);
    match id {
        "spatial.non-negative" => assert!(weights.iter().all(|&w| w >= 0.0), "{place}"),
        "circuit.no-autapses" => assert!(rows().enumerate().all(|(i, row)| row[i] == 0.0), "{place}"),
        "circuit.dale" => {
            let inhibits = |row: &[f32]| row.iter().any(|&w| w < 0.0);
            assert!(rows().all(|row| !inhibits(row) || row.iter().all(|&w| w <= 0.0)), "{place}");
            assert_eq!(rows().filter(|row| inhibits(row)).count(), 8, "{place}: a fifth of 42");
        }
        "circuit.mask" => {
            let kept = weights.iter().filter(|&&w| w != 0.0).count();
            // The field has few synapses between its neurons; a made-up one
            // has its own.
            assert!(kept > 0 && kept < 42 * 42 / 4, "{place}: {kept} connections");
        }
        _ => {}
    }
}

#[test]
fn every_constraint_with_every_model_on_every_task() {
    let (models, constraints, tasks) = (ids("model"), ids("constraint"), tasks());
    assert!(models.len() >= 5 && constraints.len() >= 12 && tasks.len() >= 3);
    let scratch = tempfile::tempdir().unwrap();
    let run = |name: &str, model: &str, constraints: &[&str]| {
        let (file, out) = (scratch.path().join(format!("{name}.toml")), scratch.path().join(name));
        std::fs::write(&file, experiment(model, constraints)).unwrap();
        (pallium(&["run", text(&file), "--out", text(&out)]), out)
    };
    let mut all: Vec<&str> = vec!["none"];
    all.extend(constraints.iter().map(String::as_str));
    let (mut ran, mut refused) = (0, Vec::new());
    for model in &models {
        // A file with a combination that cannot be is refused as a whole, so
        // that what is left is found one by one.
        let (ended, mut out) = run(model, model, &all);
        let mut left = all.clone();
        if ended.code == Some(2) {
            left.retain(|id| {
                let file = scratch.path().join("alone.toml");
                std::fs::write(&file, experiment(model, &[id])).unwrap();
                let place = scratch.path().join("alone");
                let one_task = format!("*/{}/*", tasks[0]);
                let alone = pallium(&["run", text(&file), "--out", text(&place), "--only", &one_task]);
                let _ = std::fs::remove_dir_all(&place);
                if alone.code == Some(0) {
                    return true;
                }
                let alone = alone.refused(&[id, model, "because: ", "help: "]);
                let reason = alone.stderr.lines().find_map(|line| line.trim().strip_prefix("because: "));
                refused.push(format!("{model} with {id}: {}", reason.unwrap_or_default()));
                false
            });
            assert!(left.contains(&"none"), "{model} runs on its own:\n{}", ended.stderr);
            let (ended, rest) = run(&format!("{model} rest"), model, &left);
            ended.ok();
            out = rest;
        } else {
            ended.ok();
        }
        let rows = results(&out);
        for id in &left {
            for task in &tasks {
                let of = |split: &str, measure: &str| {
                    let mut found = rows.iter().filter(|r| {
                        r["variant"] == *id
                            && r["task"] == *task
                            && r["split"] == split
                            && r["measure"] == measure
                    });
                    let row = found.next().unwrap_or_else(|| panic!("{model}, {id}, {task}: no {measure}"));
                    assert_eq!(row["status"], "ok", "{model}, {id}, {task}");
                    row["value"].parse::<f64>().unwrap_or_else(|_| panic!("{model}, {id}, {task}: {row:?}"))
                };
                assert!((0.0..=1.0).contains(&of("test", "accuracy")));
                assert!(of("test", "task_loss").is_finite() && of("test", "penalty") >= 0.0);
                if *id == "circuit.spectral-radius" {
                    let radius = of("", "spectral_radius");
                    assert!((radius / 0.95 - 1.0).abs() < 1e-6, "{model}, {task}: spectral radius {radius}");
                }
                ran += 1;
            }
        }
        for cell in std::fs::read_dir(out.join("cells")).unwrap() {
            let cell = cell.unwrap().path();
            let spec = crate::harness::read_json(&cell.join("cell.json"));
            let id = spec["variant"].as_str().unwrap().to_owned();
            let blocks = blocks(&cell);
            assert!(!blocks.is_empty(), "{}", cell.display());
            for (name, weights) in &blocks {
                obeys(&id, weights, &format!("{model}, {id}, {name}"));
            }
        }
    }
    println!("{ran} combinations ran, {} were refused:\n{}", refused.len(), refused.join("\n"));
    // Of what the project itself brings, only penalties on a reservoir have
    // nothing to act on.
    assert!(refused.iter().all(|text| text.starts_with("rnn.reservoir with ")), "{refused:#?}");
}
