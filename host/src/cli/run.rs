//! `pallium run`: runs the trainings of an experiment that its folder does not
//! contain yet.

mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_record::compact::{CompactFile, CompactTraining};
use pallium_record::continuation::Continuation;
use pallium_record::finished::{Record, Records};
use pallium_record::identity::{self, Cell};
use pallium_record::machine::Machine;
use pallium_record::manifest::{Manifest, Plugin};
use pallium_record::spec::{CellSpec, Use};
use pallium_record::store::Store;
use pallium_record::tensorboard::TensorBoardWriter;
use pallium_record::{FORMAT, VERSION};
use pallium_report::run_table::{self, Summary};
use pallium_report::text::count;
use serde_json::json;

use self::tally::{Tally, command};
use super::support;
use crate::experiment::{Experiment, filter};
use crate::limits::{LEAST_MEMORY_MB, Limits};
use crate::plugins::Catalogue;
use crate::run::log;
use crate::run::pool::Pool;
use crate::run::progress::Progress;
use crate::run::progress_event::ProgressEvent;
use crate::run::shard::Shard;
use crate::run::workers::{Stop, Workers};

/// Interval between updates of `results.csv` during a run.
const REFRESH: Duration = Duration::from_secs(5);

/// Exit code of a run in which trainings failed.
pub(super) const SOME_FAILED: u8 = 3;
/// How often a report that is being made is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Exit code of an interrupted run, as in shells.
const INTERRUPTED: u8 = 130;

/// Runs the trainings of an experiment that the run folder does not contain yet,
/// and prints the results.
///
/// Each training (one variant, task and run) has a process of its own. If it
/// crashes, takes too long or needs too much memory, it is recorded as failed and
/// the others continue. The same command continues an interrupted run: unfinished
/// trainings from their last checkpoint, failed ones from the start. Several
/// processes and machines can work on one folder at the same time.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium run experiments/quickstart.toml --out runs/quickstart --jobs 2

The exit code is 0 if all trainings finished, 2 if the input is wrong, 3 if
trainings failed, 130 if the run was interrupted.")]
pub struct Run {
    /// The experiment file.
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// The run folder [default: runs/NAME, NAME being that of the experiment]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of trainings that run at the same time [default: the number of cores
    /// divided by the threads of a training]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Override a key of the file, such as training.epochs=2; may be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Run only the trainings that match variant/task/run or a part of it; may be
    /// repeated.
    #[arg(long = "only", value_name = "GLOB", allow_hyphen_values = true)]
    only: Vec<String>,
    /// Take finished trainings from a file that `pallium export --layout compact` wrote,
    /// instead of training again; they have no weights. May be repeated.
    #[arg(long = "finished", value_name = "FILE")]
    finished: Vec<PathBuf>,
    /// Run shard I of N, such as 2/3. All machines compute the same shards, which are
    /// balanced by estimated work.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Time limit of a training in seconds [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    cell_timeout: Option<f64>,
    /// Memory limit of a training in MB [default: no limit]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(LEAST_MEMORY_MB..), allow_negative_numbers = true)]
    cell_memory: Option<u64>,
    /// Write a checkpoint of each training after every N epochs; 0 writes none.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    checkpoint_every: u32,
    /// Write event files for TensorBoard to the run folder's tensorboard/.
    #[arg(long)]
    tensorboard: bool,
    /// Stop at the first training that fails.
    #[arg(long)]
    fail_fast: bool,
    /// Show what would run without running it.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// Part of a tuning, whose folder has trainings of other rounds.
    #[arg(long, hide = true)]
    of_tuning: bool,
}

/// Runs the command.
///
/// # Errors
/// If the experiment, a plugin, the data or the run folder is wrong; then nothing
/// has run. Failed trainings are reported by the exit code.
pub fn run(args: &Run) -> Result<u8> {
    let experiment = Experiment::load(&args.experiment, &args.set)?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let name = |spec| identity::identify(spec, &catalogue.files());
    let mut expansion = experiment.expansion(&catalogue)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(pallium_record::spec::file_name(&experiment.name)));
    // Workers get it as text.
    support::unicode(&out)?;
    let existing = Store::existing(&out)?;
    let added_metrics = match &existing {
        Some(store) => store.manifest()?.added_metrics,
        None => Vec::new(),
    };
    experiment
        .add_metrics(&mut expansion.cells, &added_metrics, &catalogue)
        .map_err(|e| e.context("a metric that `pallium measure` added to the run folder"))?;
    let specs = expansion.cells.clone();
    check_outside_data(&specs, &out)?;
    let wanted: BTreeSet<String> = filter(specs.clone(), &args.only)?.iter().map(CellSpec::label).collect();
    // All trainings, even with --only: results.csv belongs to the experiment.
    let mut plan: Vec<Cell> = specs.into_iter().map(name).collect::<Result<_>>()?;
    let stop = Stop::new();
    // Nothing is written before the run can begin.
    let store = existing.unwrap_or_else(|| Store::new(&out));
    store.locate(&mut plan)?;
    let mut wanted: Vec<Cell> =
        plan.iter().filter(|cell| wanted.contains(&cell.spec.label())).cloned().collect();
    let pool = Pool {
        workers: Workers {
            limits: Limits {
                timeout: args.cell_timeout.map(Duration::from_secs_f64).or(experiment.limits.timeout),
                memory_mb: args.cell_memory.or(experiment.limits.memory_mb),
            },
            stop: stop.clone(),
            ..Workers::new(support::cache_folder())?
        },
        jobs: support::jobs(args.jobs, plan.iter().map(|cell| &cell.spec)),
        fail_fast: args.fail_fast,
        checkpoint_every: args.checkpoint_every,
        keep_state: experiment.keep_state,
        store: &store,
        profiles: &expansion.profiles,
    };
    if let Some(shard) = args.shard {
        let specs: Vec<_> = wanted.iter().map(|cell| &cell.spec).collect();
        let weights = pool.workers.weigh(&specs, &catalogue).map_err(|e| experiment.placed(e))?;
        let mut own = shard.select(&wanted, &weights).into_iter();
        wanted.retain(|_| own.next().unwrap_or(false));
    }
    let files = args.finished.iter().map(|path| CompactFile::read(path)).collect::<Result<Vec<_>>>()?;
    let restorable = restorable(args, &files, &store, &plan)?;
    if args.dry_run {
        check(&pool, &wanted.iter().collect::<Vec<_>>(), &catalogue).map_err(|e| experiment.placed(e))?;
        return dry_run(args, &wanted, &plan, &restorable, &out);
    }
    let (mut held, mut to_measure) = (0, 0);
    let mut pending: Vec<&Cell> = Vec::new();
    let mut seen = BTreeSet::new();
    for cell in &wanted {
        if store.is_complete(cell)? || restorable.contains_key(&cell.folder) {
            held += 1;
        } else if seen.insert(&cell.folder) {
            // Cells with the same training share a folder, so it is run once.
            to_measure += usize::from(store.holds(cell)?);
            pending.push(cell);
        }
    }
    let stale = store.stale(&plan)?;
    announce(&out, pending.len() - to_measure, held, to_measure, if args.of_tuning { &[] } else { &stale });
    announce_restored(&restorable, &wanted);
    if held + to_measure + stale.len() > 0 {
        announce_continued(&store, &pending)?;
    }

    let interrupted = Stop::new();
    let (on_signal, by_signal) = (stop.clone(), interrupted.clone());
    let handler = ctrlc::set_handler(move || {
        by_signal.set();
        on_signal.set();
    });
    if let Err(e) = handler {
        tracing::warn!("Ctrl-C will end this process immediately: {e}");
    }
    let begun = Instant::now();
    let mut records = Records::new();
    if !pending.is_empty() {
        check(&pool, &pending, &catalogue).map_err(|e| experiment.placed(e))?;
    }
    let manifest = Manifest { added_metrics, ..manifest(&experiment, &catalogue, &plan)? };
    Store::open(&out, &manifest, &experiment.resolved_text(&catalogue)?)?;
    store.write_axes(&expansion.axes_table())?;
    for (cell, compact) in restorable.values() {
        store.restore(cell, compact)?;
    }
    let _log = log::open(&out);
    tracing::info!(cells = wanted.len(), held, "run begins: {}", command());
    let mut board = args.tensorboard.then(|| TensorBoardWriter::new(&store));
    if !pending.is_empty() {
        train(&pool, &pending, &catalogue, &experiment, &plan, &mut records, board.as_mut())?;
    }
    store.export(&plan, &mut records)?;
    if let Some(board) = &board {
        board.complete(&plan, &records)?;
    }
    store.tidy();

    let summary =
        run_table::summarise(&plan, &records, experiment.accuracy, experiment.interval, experiment.seed);
    let tally = Tally::new(&wanted, &plan, &records);
    let page = page(&out, &tally, &interrupted);
    if args.json {
        support::print_json(&document(&out, &tally, held, &stale, &summary, &store, page.as_deref()))?;
    } else {
        let report = match &page {
            Some(page) => format!("report in {}\n", page.display()),
            None => String::new(),
        };
        support::print(&format!("{}\nresults in {}\n{report}", summary.render(), out.display()))?;
    }
    let selected = [("--only", !args.only.is_empty()), ("--shard", args.shard.is_some())];
    tally.print(&selected, &store, begun.elapsed())?;
    tracing::info!(
        ok = tally.ok,
        diverged = tally.diverged,
        failed = tally.failed.len(),
        missing = tally.missing,
        "run ends"
    );
    if interrupted.is_set() {
        status!("interrupted; finished trainings are kept. To continue, repeat:\n  {}", command());
        return Ok(INTERRUPTED);
    }
    Ok(if tally.failed.len() + tally.failed_measures > 0 { SOME_FAILED } else { 0 })
}

/// Writes the report, unless the run is interrupted, before or meanwhile. A failure
/// of the report does not affect the results.
fn page(out: &Path, tally: &Tally<'_>, interrupted: &Stop) -> Option<PathBuf> {
    if tally.ok + tally.diverged + tally.failed.len() == 0 {
        return None;
    }
    let folder = out.to_owned();
    let made = std::thread::spawn(move || page_of_run(&folder));
    while !made.is_finished() {
        // The thread ends with the process.
        if interrupted.is_set() {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Writes the report of a run folder; a failure is only shown.
pub(super) fn page_of_run(out: &Path) -> Option<PathBuf> {
    super::report::page_of(out).inspect_err(|e| status!("the report could not be made: {e}")).ok()
}

/// Checks one run of each variant and task: a mistake affects all runs.
pub(super) fn check(pool: &Pool<'_>, pending: &[&Cell], catalogue: &Catalogue) -> Result<()> {
    let mut first = BTreeMap::new();
    for (at, cell) in pending.iter().enumerate() {
        first.entry((&cell.spec.variant, &cell.spec.task)).or_insert(at);
    }
    let mut order: Vec<usize> = first.into_values().collect();
    order.sort_unstable();
    let specs: Vec<_> = order.into_iter().filter_map(|at| pending.get(at)).map(|c| &c.spec).collect();
    pool.workers.check(&specs, catalogue)
}

/// Trains or measures the pending trainings, and shows and logs the progress.
///
/// # Errors
/// If the run folder cannot be written.
pub(super) fn train(
    pool: &Pool<'_>,
    pending: &[&Cell],
    catalogue: &Catalogue,
    experiment: &Experiment,
    plan: &[Cell],
    records: &mut Records,
    mut board: Option<&mut TensorBoardWriter<'_>>,
) -> Result<()> {
    let mut progress = Progress::new(pending, experiment.accuracy);
    let mut refreshed = Instant::now();
    let mut news = false;
    let outcome = pool.run(pending, catalogue, &mut |event| {
        news |= matches!(
            event,
            ProgressEvent::Done { .. } | ProgressEvent::Failed(..) | ProgressEvent::Elsewhere(_)
        );
        progress.on_event(&event);
        log::on_event(&event, |at| pending.get(at).map(|cell| cell.folder.clone()).unwrap_or_default());
        if let Some(board) = &mut board {
            show_on(board, &event, pending)?;
        }
        if news && refreshed.elapsed() > REFRESH {
            pool.store.refresh(plan, records)?;
            (refreshed, news) = (Instant::now(), false);
        }
        Ok(())
    });
    progress.close();
    outcome
}

/// Refuses a run folder within a folder of data: its files would count as data, so every
/// repetition would train again.
fn check_outside_data(cells: &[CellSpec], out: &Path) -> Result<()> {
    let out = std::path::absolute(out).map_err(|e| Error::io(out, &e))?;
    let folder = out.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or_else(|| out.clone());
    let named = cells.iter().flat_map(CellSpec::trained_components).flat_map(Use::paths);
    let is_data = |path: &&Path| path.is_dir() && !path.join(pallium_record::training::FILE).is_file();
    let paths = named.map(|(_, path)| Path::new(path)).filter(is_data);
    match paths.filter_map(|path| path.canonicalize().ok()).find(|path| folder.starts_with(path)) {
        None => Ok(()),
        Some(data) => Err(Error::input(format!(
            "the run folder {} is in the folder of data {}",
            out.display(),
            data.display()
        ))
        .help("choose a place outside it with --out: results there would change the data")),
    }
}

/// A training of the experiment, and what is known of it from a compact file.
type Restorable<'a> = BTreeMap<String, (&'a Cell, &'a CompactTraining)>;

/// The trainings of `plan` that are not finished in `store` but in one of `files`, by
/// folder.
fn restorable<'a>(
    args: &Run,
    files: &'a [CompactFile],
    store: &Store,
    plan: &'a [Cell],
) -> Result<Restorable<'a>> {
    let mut restorable = BTreeMap::new();
    for (file, path) in files.iter().zip(&args.finished) {
        let mut known = 0;
        for cell in plan {
            let Some(compact) = file.find(cell)? else { continue };
            known += 1;
            if !restorable.contains_key(&cell.folder) && !store.holds(cell)? {
                restorable.insert(cell.folder.clone(), (cell, compact));
            }
        }
        if known == 0 {
            match file.count() {
                0 => tracing::warn!("--finished {}: it holds no trainings", path.display()),
                count => tracing::warn!(
                    "--finished {}: none of its {count} trainings is one of this experiment; {}",
                    path.display(),
                    match plan.iter().find_map(|cell| Some((cell, file.differences(cell)?))) {
                        Some((cell, what)) => format!("what differs in {}: {what}", cell.spec.label()),
                        None => "the experiment has no training with the same variant, task and run".into(),
                    }
                ),
            }
        }
    }
    Ok(restorable)
}

/// Says how many trainings come from compact files, and how many of them were trained
/// with other plugin files.
fn announce_restored(restorable: &Restorable<'_>, wanted: &[Cell]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|cell| &cell.folder).collect();
    let taken: Vec<_> = restorable.iter().filter(|(folder, _)| wanted.contains(folder)).collect();
    if taken.is_empty() {
        return;
    }
    let others = taken.iter().filter(|(_, (cell, compact))| !compact.other_builds(cell).is_empty()).count();
    let builds = match others {
        0 => String::new(),
        others => format!("; {others} of them were trained with other builds of the plugins"),
    };
    let are = if taken.len() == 1 { "is" } else { "are" };
    status!("{} of these {are} taken from --finished, without weights{builds}", taken.len());
}

fn announce(out: &Path, pending: usize, held: usize, to_measure: usize, stale: &[String]) {
    let place = out.display();
    let noun = if pending == 1 { "training" } else { "trainings" };
    match (pending, held) {
        (_, 0) => status!("{pending} {noun} to run, in {place}"),
        (0, 1) => status!("the training is already in {place}"),
        (0, _) => status!("all {held} trainings are already in {place}"),
        (_, 1) => status!("{pending} {noun} to run; 1 is already in {place}"),
        _ => status!("{pending} {noun} to run; {held} are already in {place}"),
    }
    if to_measure > 0 {
        status!(
            "{to_measure} finished trainings lack a metric, or it failed; it is computed without training again"
        );
    }
    if !stale.is_empty() {
        let few: Vec<_> = stale.iter().take(3).map(String::as_str).collect();
        let dots = if stale.len() > few.len() { ", …" } else { "" };
        let are = if stale.len() == 1 { "is" } else { "are" };
        status!(
            "{} in {place} {are} not part of this experiment as it is now (its file, plugins or data have changed); \
             kept, but not counted: {}{dots}",
            count(stale.len(), "training"),
            few.join(", ")
        );
    }
}

/// Says how many trainings continue from ones with fewer epochs, and why others do
/// not.
fn announce_continued(store: &Store, pending: &[&Cell]) -> Result<()> {
    let mut continued = 0;
    let mut again: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in pending {
        if store.holds(cell)? {
            continue;
        }
        match store.continuation(cell)? {
            Some(Continuation::From { .. }) => continued += 1,
            Some(Continuation::Impossible { why, .. }) => *again.entry(why).or_default() += 1,
            None => {}
        }
    }
    if continued > 0 {
        status!("{continued} of them continue from a finished training with fewer epochs");
    }
    for (why, count) in again {
        status!("{count} of them have a finished training with fewer epochs, but start again: {why}");
    }
    Ok(())
}

/// Appends an event to the event files.
fn show_on(board: &mut TensorBoardWriter<'_>, event: &ProgressEvent, cells: &[&Cell]) -> Result<()> {
    let cell = |at: &usize| cells.get(*at).copied();
    match event {
        ProgressEvent::Started(at) => cell(at).map_or(Ok(()), |cell| board.start(cell)),
        ProgressEvent::Epoch { cell: at, epoch, loss, accuracy, .. } => {
            cell(at).map_or(Ok(()), |cell| board.epoch(cell, *epoch, *loss, *accuracy))
        }
        ProgressEvent::Done { cell: at, .. } => cell(at).map_or(Ok(()), |cell| board.finish(cell)),
        ProgressEvent::Failed(at, _) | ProgressEvent::Stopped(at) | ProgressEvent::Elsewhere(at) => {
            if let Some(cell) = cell(at) {
                board.abandon(cell);
            }
            Ok(())
        }
        ProgressEvent::Waiting(..) | ProgressEvent::Tick => Ok(()),
    }
}

fn dry_run(
    args: &Run,
    wanted: &[Cell],
    plan: &[Cell],
    restorable: &Restorable<'_>,
    out: &Path,
) -> Result<u8> {
    let store = Store::existing(out)?;
    let mut rows = Vec::new();
    for cell in wanted {
        let state = match &store {
            _ if restorable.contains_key(&cell.folder) => "done",
            None => "to run",
            Some(store) if store.is_complete(cell)? => "done",
            Some(store) if store.holds(cell)? => "to measure",
            Some(store) => match store.record(cell)? {
                Some(Record::Failed(_)) => "failed, to run again",
                _ => "to run",
            },
        };
        rows.push((cell, state));
    }
    let count = |of: &str| rows.iter().filter(|(_, state)| *state == of).count();
    let to_measure = count("to measure");
    let to_run = rows.len() - count("done") - to_measure;
    let stale = match &store {
        Some(store) => store.stale(plan)?,
        None => Vec::new(),
    };
    if args.json {
        let cells: Vec<_> = rows
            .iter()
            .map(|(cell, state)| {
                let spec = &cell.spec;
                json!({
                    "cell": cell.folder, "variant": spec.variant, "task": spec.task, "run": spec.run,
                    "state": state,
                })
            })
            .collect();
        support::print_json(
            &json!({ "folder": out.display().to_string(), "to_run": to_run, "to_measure": to_measure, "cells": cells }),
        )?;
    } else {
        let mut table = support::table(["variant", "task", "run", "state"]);
        for (cell, state) in &rows {
            let run = cell.spec.run.to_string();
            table.add_row([cell.spec.variant.as_str(), &cell.spec.task, &run, *state]);
        }
        support::print_table(&table)?;
    }
    announce(out, to_run, rows.len() - to_run - to_measure, to_measure, &stale);
    announce_restored(restorable, wanted);
    Ok(0)
}

fn manifest(experiment: &Experiment, catalogue: &Catalogue, plan: &[Cell]) -> Result<Manifest> {
    let mut plugins = Vec::new();
    let mut data: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cell in plan {
        for component in cell.spec.components() {
            if let Some(file) = &catalogue.get(&component.id)?.plugin {
                plugins.push(Plugin {
                    name: file.name.clone(),
                    version: file.version.clone(),
                    core_version: file.core_version.clone(),
                    sha256: file.sha256.clone(),
                    path: file.path.clone(),
                });
            }
        }
        for (name, sum) in &cell.inputs {
            if let Some(component) = name.strip_prefix("data ") {
                let sums = data.entry(component.into()).or_default();
                if !sums.contains(sum) {
                    sums.push(sum.clone());
                }
            }
        }
    }
    plugins.sort();
    plugins.dedup();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Ok(Manifest {
        format: FORMAT,
        pallium: VERSION.into(),
        core: pallium_core::VERSION.into(),
        experiment: experiment.name.clone(),
        about: experiment.about.clone(),
        variants: plan.iter().map(|cell| cell.spec.variant.clone()).unique().collect(),
        tasks: plan.iter().map(|cell| cell.spec.task.clone()).unique().collect(),
        analysis: experiment.analysis.clone(),
        added_metrics: Vec::new(),
        // A path that is not Unicode is recorded as it is shown.
        file: experiment.path.to_string_lossy().into_owned().into(),
        overrides: experiment.overrides.clone(),
        profile: experiment.profile.clone(),
        switches: experiment.switches.clone(),
        seed: experiment.seed,
        runs: experiment.runs,
        cells: plan.len(),
        plugins,
        data,
        machine: Machine::current(),
        started: since.map_or(0, |time| time.as_secs()),
    })
}

fn document(
    out: &Path,
    tally: &Tally,
    held: usize,
    stale: &[String],
    summary: &Summary,
    store: &Store,
    page: Option<&Path>,
) -> serde_json::Value {
    let failed: Vec<_> = tally
        .failed
        .iter()
        .map(|(cell, why)| {
            json!({
                "cell": cell.folder, "variant": cell.spec.variant, "task": cell.spec.task,
                "run": cell.spec.run, "reason": why, "file": store.failure_file(cell).display().to_string(),
            })
        })
        .collect();
    json!({
        "folder": out.display().to_string(),
        "cells": {
            "wanted": tally.cells,
            "held_before": held,
            "ok": tally.ok,
            "diverged": tally.diverged,
            "failed": failed.len(),
            "missing": tally.missing,
        },
        "failed": failed,
        "failed_measures": tally.failed_measures,
        "measure_failures": tally.measures,
        "stale": stale,
        "table": summary,
        "report": page.map(|page| page.display().to_string()),
    })
}

/// Parses a duration.
fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s| *s > 0.0 && Duration::try_from_secs_f64(*s).is_ok())
        .ok_or_else(|| "expected a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_above_zero() {
        assert_eq!(seconds("2.5"), Ok(2.5));
        for wrong in ["0", "-1", "nan", "inf", "1e300", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
