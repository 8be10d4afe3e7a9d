//! `pallium submit`: submits an experiment to a batch system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use pallium_core::{Error, Result};
use pallium_record::identity::{self, Cell};
use pallium_record::store::Store;
use serde_json::json;

use super::{plan, support};
use crate::child;
use crate::experiment::{Experiment, filter};
use crate::run::protocol::most_threads;
use crate::run::shard;
use crate::run::workers::Workers;
use crate::submit::{self, Engine, Resources, Submission, quote};

/// Minimum work of a task in seconds, unless --array-size is set: shorter tasks cost
/// more in scheduling than they do.
const LEAST_WORK: f64 = 600.0;
/// Maximum number of tasks, unless --array-size is set: Slurm's default limit. A
/// cluster may have a lower one.
const MOST_TASKS: usize = 1000;
/// Seconds and MB of a training without an estimate.
const UNKNOWN: (f64, f64) = (3600.0, 2000.0);

/// Submits an experiment to a batch system as an array of shards, and returns.
///
/// Each array task runs one shard of the trainings; all write to the same run folder.
/// A second submission runs only what is missing.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium submit experiments/quickstart.toml --engine slurm --array-size 4 --dry-run -- --partition=short

Each array task requests the time and memory that `pallium plan` estimates on this machine, plus a margin.
Arguments after `--` are passed to `sbatch` or `hq submit` and take precedence.")]
pub struct Submit {
    /// The experiment file.
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// The batch system.
    #[arg(long, value_enum)]
    engine: Engine,
    /// The run folder, which all nodes must be able to access [default:
    /// runs/NAME, NAME being that of the experiment]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of array tasks [default: as many as have at least ten minutes of work
    /// each, but at most one per --jobs trainings, and 1000]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    array_size: Option<u32>,
    /// Number of trainings that an array task runs at the same time; it requests one
    /// processor for each of their threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    jobs: u32,
    /// Override a key of the file, such as training.epochs=2; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Submit only the trainings that match variant/task/run or a part of it; may
    /// be repeated.
    #[arg(long = "only", value_name = "GLOB", allow_hyphen_values = true)]
    only: Vec<String>,
    /// Write the script without submitting it.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Arguments for the batch system.
    #[arg(last = true, value_name = "ENGINE ARGS")]
    extra: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// If the experiment is wrong, the run folder is not one, or the batch
/// system refuses the job.
pub fn submit(args: &Submit) -> Result<()> {
    let experiment = Experiment::load(&args.experiment, &args.set)?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(pallium_record::spec::file_name(&experiment.name)));
    let out = std::path::absolute(&out).map_err(|e| Error::io(&out, &e))?;
    support::path_text(&out)?;
    let store = Store::existing(&out)?;
    let wanted = filter(experiment.expand(&catalogue)?, &args.only)?;
    let all = wanted.len();
    let workers = Workers::new(support::cache_folder())?;
    let weights = workers.weigh(&wanted.iter().collect::<Vec<_>>(), &catalogue);
    let weights = weights.map_err(|e| experiment.placed(e))?;
    let mut cells: Vec<Cell> =
        wanted.into_iter().map(|spec| identity::identify(spec, &catalogue.files())).collect::<Result<_>>()?;
    if let Some(store) = &store {
        store.locate(&mut cells)?;
    }
    let mut pending = Vec::new();
    let mut specs = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        if !store.as_ref().map_or(Ok(false), |store| store.is_complete(cell))? {
            pending.push(at);
            specs.push(cell.spec.clone());
        }
    }
    if pending.is_empty() {
        if args.json {
            support::print_json(
                &json!({ "folder": out.display().to_string(), "cells": 0, "tasks": 0, "job": null }),
            )?;
        }
        status!("all {all} trainings are finished in {}; nothing to submit", out.display());
        return Ok(());
    }

    let costs: Vec<(f64, f64)> = plan::estimate(&catalogue, &specs)?
        .into_iter()
        .map(|cost| cost.map_or(UNKNOWN, |cost| (cost.seconds, cost.memory_mb)))
        .collect();
    let most = args.engine.most_tasks();
    if let (Some(most), Some(size)) = (most, args.array_size)
        && usize::try_from(size).is_ok_and(|size| size.min(cells.len()) > most)
    {
        return Err(Error::input(format!(
            "--array-size {size}: an array of this cluster has at most {most} tasks"
        ))
        .help(format!("choose --array-size {most} or less; each task then runs more trainings")));
    }
    let parts = parts(args, &costs, cells.len(), most.unwrap_or(MOST_TASKS));
    // Sharded as the tasks themselves do; tasks without unfinished trainings
    // are left out.
    let dealt = shard::deal(&cells, &weights, parts);
    let mut loads: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for (at, cost) in pending.iter().zip(&costs) {
        if let Some(part) = dealt.get(*at) {
            loads.entry(*part).or_default().push(*cost);
        }
    }
    let (tasks, loads): (Vec<usize>, Vec<_>) = loads.into_iter().unzip();
    let threads = u32::try_from(most_threads(cells.iter().map(|cell| &cell.spec))).unwrap_or(u32::MAX);
    let resources = Resources::estimate(&loads, args.jobs, threads);
    let executable = child::executable()?;
    let mut environment = submit::environment(std::env::vars_os())?;
    for (_, paths) in environment.iter_mut().filter(|(name, _)| name == "PALLIUM_PLUGIN_PATH") {
        *paths = absolute(paths)?;
    }
    // In one word: a name may begin with a dash.
    let run: Vec<String> = args.only.iter().map(|glob| format!("--only={glob}")).collect();
    let prepared = Submission {
        engine: args.engine,
        name: &experiment.name,
        experiment: &experiment.resolved_text(&catalogue)?,
        out: &out,
        pallium: &executable,
        environment: &environment,
        run: &run,
        parts,
        tasks: &tasks,
        resources,
        extra: &args.extra,
    }
    .prepare()?;
    let id = if args.dry_run { None } else { Some(prepared.submit()?) };
    let [watch, cancel] = args.engine.watch(id.as_deref().unwrap_or("JOB"));
    if args.json {
        return support::print_json(&json!({
            "job": id,
            "folder": out.display().to_string(),
            "script": prepared.script.display().to_string(),
            "command": prepared.command_line(),
            "cells": pending.len(),
            "tasks": tasks.len(),
            "minutes": resources.minutes,
            "memory_mb": resources.memory_mb,
            "cpus": resources.cpus,
            "watch": watch,
            "cancel": cancel,
        }));
    }
    let place = out.display();
    let Resources { minutes, memory_mb, cpus, .. } = resources;
    let what = format!(
        "{} of {all} trainings as {} task{}, each {minutes} min, {memory_mb} MB, {cpus} cpu{}",
        pending.len(),
        tasks.len(),
        if tasks.len() == 1 { "" } else { "s" },
        if cpus == 1 { "" } else { "s" }
    );
    let command = prepared.command_line();
    support::print(&match &id {
        None => {
            format!("not submitted: {what}\nscript   {}\nsubmit   {command}\n", prepared.script.display())
        }
        Some(id) => format!(
            "submitted as job {id}: {what}\n\
             script   {}\n\
             watch    {watch}\n\
             logs     {}/task-*.log\n\
             cancel   {cancel}\n\
             results  {place}/results.csv; afterwards the same `pallium submit` runs what is missing\n",
            prepared.script.display(),
            quote(&prepared.folder.to_string_lossy()),
        ),
    })
}

/// The number of shards for `all` trainings; `costs` are those of the unfinished ones.
fn parts(args: &Submit, costs: &[(f64, f64)], all: usize, most: usize) -> usize {
    if let Some(size) = args.array_size {
        return usize::try_from(size).unwrap_or(usize::MAX).min(all);
    }
    let work: f64 = costs.iter().map(|cost| cost.0).sum();
    let tasks = (work / (LEAST_WORK * f64::from(args.jobs))).ceil() as usize;
    tasks.clamp(1, costs.len().div_ceil(args.jobs as usize).min(most.min(MOST_TASKS)))
}

/// A plugin path with absolute paths.
fn absolute(path: &str) -> Result<String> {
    let paths = std::env::split_paths(path)
        .map(|path| std::path::absolute(&path).map_err(|e| Error::io(&path, &e)))
        .collect::<Result<Vec<_>>>()?;
    let joined = std::env::join_paths(paths)
        .map_err(|e| Error::input(format!("PALLIUM_PLUGIN_PATH={path}: {e}")).help("rename the folder"))?;
    joined.into_string().map_err(|_| {
        Error::input(format!("PALLIUM_PLUGIN_PATH={path} is not Unicode")).help("rename the folder")
    })
}
