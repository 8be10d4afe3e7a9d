//! Costs of complete runs: start-up, overhead, memory, and the study.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use pallium::plugins::Catalogue;
use pallium_benches::report::{Sample, digits, seconds, spread};
use pallium_benches::{scene, watch};
use pallium_core::{Error, Kind, Result};
use pallium_record::machine::Machine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rounds::others;
use crate::trainings::TASKS;

/// Time of `pallium run` to the first step, and memory of its processes.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartUp {
    /// Seconds from the command to the event `set up` in the run's log, which
    /// the worker writes just before the first step.
    pub(crate) seconds: Sample,
    /// Largest resident memory of a worker, MB.
    pub(crate) worker_mb: Sample,
    /// Largest resident memory of the parent, MB.
    pub(crate) parent_mb: Sample,
}

pub(crate) fn start_up(turns: usize) -> Result<StartUp> {
    let mut found =
        StartUp { seconds: Sample::default(), worker_mb: Sample::default(), parent_mb: Sample::default() };
    for _ in 0..turns.max(1) {
        let folder = tempfile::tempdir().map_err(|e| Error::new(Kind::Io, e.to_string()))?;
        let out = folder.path().join("run");
        let mut command = study_command(&out, 312);
        command.args(["--set", "training.epochs=1", "--only", "W*D*C/*one-choice/0"]);
        let begun = DateTime::<Utc>::from(SystemTime::now());
        let taken = watch::run(command.args(["--jobs", "1"]))?;
        found.seconds.0.push((logged(&out, "set up")? - begun).as_seconds_f64());
        found.worker_mb.0.push(taken.child_peak_mb);
        found.parent_mb.0.push(taken.peak_mb);
    }
    eprintln!(
        "startup: {}, a worker's memory {} MB",
        spread(&found.seconds),
        digits(found.worker_mb.median())
    );
    Ok(found)
}

/// The time of the first `event` in a run's log.
fn logged(out: &Path, event: &str) -> Result<DateTime<Utc>> {
    let path = out.join("log.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .find(|found| found["message"] == event)
        .and_then(|found| found["timestamp"].as_str()?.parse().ok())
        .ok_or_else(|| Error::input(format!("{}: no event `{event}`", path.display())))
}

/// The cost of a training apart from its work: its process and the storage of
/// its results.
#[derive(Serialize, Deserialize)]
pub(crate) struct Overhead {
    /// Trainings of a run.
    pub(crate) cells: usize,
    /// Seconds per training outside the training itself, one at a time.
    pub(crate) seconds: Sample,
}

/// Runs many very short trainings.
pub(crate) fn overhead(turns: usize) -> Result<Overhead> {
    let mut found = Overhead { cells: 0, seconds: Sample::default() };
    for _ in 0..turns.max(1) {
        let folder = tempfile::tempdir().map_err(|e| Error::new(Kind::Io, e.to_string()))?;
        let out = folder.path().join("run");
        let mut command = Command::new(scene::executable());
        command.current_dir(scene::root()).args(["run", "experiments/quickstart.toml", "--out"]).arg(&out);
        for set in ["epochs=1", "trials=32", "validation=32", "test=32"] {
            command.args(["--set", &format!("training.{set}")]);
        }
        command.args(["--jobs", "1"]).stdout(std::process::Stdio::null());
        let taken = watch::run(&mut command)?;
        let own: Vec<f64> =
            cell_times(&out)?.into_iter().filter(|(n, _)| n == "seconds_total").map(|(_, s)| s).collect();
        found.cells = own.len();
        found.seconds.0.push((taken.wall - own.iter().sum::<f64>()) / own.len().max(1) as f64);
    }
    eprintln!("overhead: {} per training", spread(&found.seconds));
    Ok(found)
}

/// Memory of a worker by number of neurons, MB.
pub(crate) type Memory = Vec<(usize, f64)>;

/// Trains networks of several sizes on one batch and measures the memory.
pub(crate) fn memory() -> Result<Memory> {
    let mut found = Memory::new();
    for neurons in [42, 88, 160, 312, 632, 1000, 2000] {
        let folder = tempfile::tempdir().map_err(|e| Error::new(Kind::Io, e.to_string()))?;
        let mut command = study_command(&folder.path().join("run"), neurons);
        for set in ["epochs=1", "trials=128", "validation=128", "test=128"] {
            command.args(["--set", &format!("training.{set}")]);
        }
        let taken = watch::run(command.args(["--only", "W*D*C/*one-choice/0", "--jobs", "1"]))?;
        eprintln!("memory: {neurons} neurons, {} MB", digits(taken.child_peak_mb));
        found.push((neurons, taken.child_peak_mb));
    }
    Ok(found)
}

/// The published study on a field of `neurons` neurons.
fn study_command(out: &Path, neurons: usize) -> Command {
    let mut command = Command::new(scene::executable());
    command.current_dir(scene::root()).args(["run", "experiments/cortical-blueprint.toml", "--out"]).arg(out);
    command.args(scene::substrate_sets(neurons).iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    command.args(["--set", "runs=1"]).stdout(std::process::Stdio::null());
    command
}

/// The `seconds_…` of a run folder's `results.csv`.
fn cell_times(out: &Path) -> Result<Vec<(String, f64)>> {
    let path = out.join("results.csv");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut fields = line.rsplit(',').skip(1);
            let (value, name) = (fields.next()?, fields.next()?);
            Some((name.starts_with("seconds_").then(|| name.to_owned())?, value.parse().ok()?))
        })
        .collect())
}

/// Time of complete trainings of the study, as `pallium run` runs them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Study {
    /// Number of trainings.
    pub(crate) cells: usize,
    /// Number of workers.
    pub(crate) jobs: usize,
    /// Wall time of all trainings, in seconds.
    pub(crate) wall: f64,
    /// Seconds of each training.
    pub(crate) each: Sample,
    /// Seconds of each part, summed over the trainings.
    pub(crate) parts: Vec<(String, f64)>,
    /// Largest resident memory of a worker, MB.
    pub(crate) worker_mb: f64,
    /// Cores that other programs kept busy just before.
    pub(crate) others: f64,
}

pub(crate) fn study(cells: usize, catalogue: &Catalogue) -> Result<Study> {
    let jobs = Machine::current().cores;
    let others = others();
    let folder = tempfile::tempdir().map_err(|e| Error::new(Kind::Io, e.to_string()))?;
    let out = folder.path().join("run");
    let mut command = study_command(&out, 312);
    command.args(["--jobs", &jobs.to_string()]);
    let mut sets = scene::substrate_sets(312);
    sets.push("runs=1".into());
    let path = scene::root().join("experiments/cortical-blueprint.toml");
    let all = pallium::experiment::Experiment::load(&path, &sets)?.expand(catalogue)?;
    // Trainings are ordered by task, then variant. Each variant is chosen once,
    // with the tasks in turn, before any is chosen again.
    let (variants, tasks) = (all.len() / TASKS.len(), TASKS.len());
    let chosen = cells.clamp(1, all.len());
    for at in 0..chosen {
        let variant = at % variants;
        let task = (variant + at / variants) % tasks;
        let cell = &all[task * variants + variant];
        command.args(["--only", &format!("{}/{}/0", cell.variant, cell.task)]);
    }
    let taken = watch::run(&mut command)?;
    let mut parts: Vec<(String, f64)> = Vec::new();
    let mut each = Sample::default();
    for (name, value) in cell_times(&out)? {
        if name == "seconds_total" {
            each.0.push(value);
        } else {
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => parts.push((name, value)),
            }
        }
    }
    if each.0.len() != chosen {
        return Err(Error::input(format!("{} of {chosen} trainings were timed", each.0.len())));
    }
    let found =
        Study { cells: chosen, jobs, wall: taken.wall, each, parts, worker_mb: taken.child_peak_mb, others };
    eprintln!("study: {chosen} trainings in {}, each {}", seconds(found.wall), spread(&found.each));
    Ok(found)
}
