//! Every model on every task and with every constraint: one epoch, or an error with
//! a reason. Trained weights satisfy the constraints.

use std::path::Path;

use crate::harness::{Scratch, Shaped, field, pallium, read_json, results, tensors, text};

/// Ids of all components of a role.
fn ids(role: &str) -> Vec<String> {
    let listed = pallium(&["plugins", "list", "--json"]).ok().json();
    let all = listed.as_array().unwrap().iter();
    all.filter(|c| c["role"] == role).map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

/// The components of a role except those that start programs, which other tests cover.
fn built_in(role: &str) -> Vec<String> {
    ids(role).into_iter().filter(|id| !id.starts_with("python.")).collect()
}

fn tasks() -> Vec<String> {
    // Recorded activity exists in real fields alone.
    let runs = |id: &String| id != "signal.recorded-activity" || field("5_3_8").is_some();
    let mut tasks: Vec<String> = built_in("task").into_iter().filter(runs).collect();
    // Last, where it leaves the combinations of the others as they are: some diverge, as a
    // sine wave in a network of mostly excitatory neurons does.
    tasks.sort_by_key(|id| id == "modcog.task");
    tasks
}

/// Parameters with which a constraint has an effect here.
fn constraint(id: &str) -> String {
    match id {
        // A fifth of the value of unconstrained trained weights.
        "spatial.wiring-budget" => format!("{{ use = \"{id}\", budget = 0.2 }}"),
        _ => format!("\"{id}\""),
    }
}

/// An experiment on the field of 42 neurons, or on a synthetic one.
fn experiment(model: &str, constraints: &[&str]) -> String {
    let substrate = match field("5_3_8") {
        Some(folder) => format!("path = {:?}\nevents = true", text(&folder)),
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

/// The recurrent blocks of a training's weights.
fn blocks(cell: &Path) -> Vec<(String, Vec<f32>)> {
    let square = |(name, (shape, values)): (String, Shaped)| {
        (name.starts_with("recurrent") && shape == [42, 42]).then_some((name, values))
    };
    tensors(&cell.join("weights.safetensors")).into_iter().filter_map(square).collect()
}

/// Fails unless `weights` (42×42) satisfy the constraint `id`.
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
            // The field has few synapses between its neurons.
            assert!(kept > 0 && kept < 42 * 42 / 4, "{place}: {kept} connections");
        }
        _ => {}
    }
}

/// The tasks for a model with a constraint: all if `$PALLIUM_MATRIX` is `full`.
/// Otherwise every model without a constraint is trained on every task, and every
/// constraint on every fourth task, with its `models` in turn. This covers all pairs
/// of model and task and of model and constraint in a fraction of the time.
fn assigned_tasks<'a>(
    tasks: &'a [String],
    models: &[&str],
    model: &str,
    constraint: (usize, &str),
) -> Vec<&'a str> {
    const EVERY: usize = 4;
    let all = constraint.1 == "none" || std::env::var_os("PALLIUM_MATRIX").is_some_and(|v| v == "full");
    let Some(place) = models.iter().position(|m| *m == model) else { return Vec::new() };
    assert!(tasks.len() / EVERY >= models.len(), "too few tasks for all pairs");
    let turn = |task: usize| {
        let step = task + constraint.0;
        step.is_multiple_of(EVERY) && step / EVERY % models.len() == place
    };
    (0..tasks.len()).filter(|&task| all || turn(task)).map(|task| tasks[task].as_str()).collect()
}

#[test]
fn every_model_trains_on_every_task_and_with_every_constraint() {
    let (models, constraints, tasks) = (built_in("model"), built_in("constraint"), tasks());
    assert!(models.len() >= 5 && constraints.len() >= 12 && tasks.len() >= 3);
    let scratch = Scratch::new();
    let written = |name: &str, model: &str, constraints: &[&str]| {
        let file = scratch.path().join(format!("{name}.toml"));
        std::fs::write(&file, experiment(model, constraints)).unwrap();
        file
    };
    let mut all: Vec<&str> = vec!["none"];
    all.extend(constraints.iter().map(String::as_str));

    // One invalid combination makes a file invalid, so combinations are tried one by
    // one.
    let (mut fitting, mut refused) = (Vec::new(), Vec::new());
    for model in &models {
        let mut fits = all.clone();
        let out = scratch.path().join("tried");
        let one_task = format!("*/{}/*", tasks[0]);
        let tried = |constraints: &[&str]| {
            let file = written("tried", model, constraints);
            let ended = pallium(&["run", text(&file), "--out", text(&out), "--only", &one_task]);
            let _ = std::fs::remove_dir_all(&out);
            ended
        };
        if tried(&all).code == Some(2) {
            fits.retain(|id| {
                let ended = tried(&[id]);
                if ended.code == Some(0) {
                    return true;
                }
                let ended = ended.refused(&[id, "because: ", "help: "]);
                let reason = ended.stderr.lines().find_map(|line| line.trim().strip_prefix("because: "));
                refused.push(format!("{model} with {id}: {}", reason.unwrap_or_default()));
                false
            });
        }
        fitting.push((model.as_str(), fits));
    }
    // Only penalties on a reservoir are refused, and what is defined within one
    // population alone.
    let understood =
        |text: &String| text.starts_with("rnn.reservoir with ") || text.starts_with("rnn.populations with ");
    assert!(refused.iter().all(understood), "{refused:#?}");

    let mut ran = 0;
    for (model, fits) in &fitting {
        let mut planned: Vec<(&str, &str)> = Vec::new();
        for (index, id) in all.iter().enumerate().filter(|(_, id)| fits.contains(id)) {
            let of: Vec<&str> =
                fitting.iter().filter(|(_, fits)| fits.contains(id)).map(|(m, _)| *m).collect();
            planned
                .extend(assigned_tasks(&tasks, &of, model, (index, id)).into_iter().map(|task| (*id, task)));
        }
        let (file, out) = (written(model, model, fits), scratch.path().join(model));
        let cells: Vec<String> = planned.iter().map(|(id, task)| format!("{id}/{task}/*")).collect();
        let mut arguments = vec!["run", text(&file), "--out", text(&out)];
        arguments.extend(cells.iter().flat_map(|cell| ["--only", cell]));
        pallium(&arguments).ok();

        let rows = results(&out);
        for (id, task) in &planned {
            let place = format!("{model}, {id}, {task}");
            let known = |split: &str, measure: &str| {
                let row = rows.iter().find(|r| {
                    r["variant"] == *id
                        && r["task"] == *task
                        && r["split"] == split
                        && r["measure"] == measure
                })?;
                assert_eq!(row["status"], "ok", "{place}");
                Some(row["value"].parse::<f64>().unwrap_or_else(|_| panic!("{place}: {row:?}")))
            };
            let of = |split: &str, measure: &str| {
                known(split, measure).unwrap_or_else(|| panic!("{place}: no {measure}"))
            };
            // A task of values without a judgement explains a share of the variance.
            match known("test", "accuracy") {
                Some(accuracy) => assert!((0.0..=1.0).contains(&accuracy), "{place}"),
                None => assert!(of("test", "r2") <= 1.0, "{place}"),
            }
            assert!(of("test", "task_loss").is_finite() && of("test", "penalty") >= 0.0, "{place}");
            if *id == "circuit.spectral-radius" {
                let radius = of("", "spectral_radius");
                assert!((radius / 0.95 - 1.0).abs() < 1e-6, "{place}: spectral radius {radius}");
            }
            ran += 1;
        }
        for cell in std::fs::read_dir(out.join("cells")).unwrap() {
            let cell = cell.unwrap().path();
            let id = read_json(&cell.join("cell.json"))["variant"].as_str().unwrap().to_owned();
            let blocks = blocks(&cell);
            // Each population has blocks of its own size.
            assert!(!blocks.is_empty() || *model == "rnn.populations", "{}", cell.display());
            for (name, weights) in &blocks {
                obeys(&id, weights, &format!("{model}, {id}, {name}"));
            }
        }
    }
    println!("{ran} combinations ran, {} were refused:\n{}", refused.len(), refused.join("\n"));
}
