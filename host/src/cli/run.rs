//! `pallium run`: runs every cell of an experiment that its folder does not
//! hold yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use comfy_table::Cell as Field;
use pallium_core::{Error, Kind, Result};
use serde_json::json;

use super::support;
use crate::experiment::{Experiment, filter};
use crate::plugins::Catalogue;
use crate::run::identity::{self, Cell, HOST};
use crate::run::machine::Machine;
use crate::run::outcome::Status;
use crate::run::pool::{Pool, Report, Stop};
use crate::run::progress::{Progress, duration};
use crate::run::store::{FORMAT, Manifest, Plugin, Record, Records, Store};
use crate::run::table::{self, Summary};

/// How often `results.csv` is brought up to date during a run.
const REFRESH: Duration = Duration::from_secs(5);

/// Exit code of a run in which cells failed.
const SOME_FAILED: u8 = 3;
/// Exit code of a run that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs every cell of an experiment that the run folder does not hold yet, and
/// shows what came out.
///
/// Each cell runs in a process of its own: one that crashes is recorded as
/// failed and costs the others nothing. Started again, a run continues; failed
/// cells are tried again.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium run experiments/quickstart.toml --out runs/quickstart --jobs 2

The exit code is 0 if all is done, 2 if something has to be mended first, 3 if
cells failed, 130 if the run was interrupted.")]
pub struct Run {
    /// The experiment.
    #[arg(value_name = "EXPERIMENT.toml")]
    experiment: PathBuf,
    /// The run folder [default: runs/NAME, after the experiment]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cells that run at once [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Overrides a key of the file, such as training.epochs=2; may be given
    /// several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Runs the cells that match variant/task/run or a part of it; may be
    /// given several times.
    #[arg(long = "only", value_name = "GLOB")]
    only: Vec<String>,
    /// Stops at the first cell that fails.
    #[arg(long)]
    fail_fast: bool,
    /// Shows what would run, and runs nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the experiment, a plugin, the data or the run folder is not as it should
/// be; nothing has been run then. That cells fail is told by the exit code.
pub fn run(args: &Run) -> Result<ExitCode> {
    let experiment = Experiment::load(&args.experiment, &args.set)?;
    let catalogue = Catalogue::discover(&experiment.plugin_path)?;
    let name = |spec| identity::identify(spec, &catalogue);
    let specs = experiment.expand(&catalogue)?;
    let wanted: Vec<Cell> =
        filter(specs.clone(), &args.only)?.into_iter().map(name).collect::<Result<_>>()?;
    // All cells, whatever --only says: results.csv is of the experiment.
    let plan: Vec<Cell> = specs.into_iter().map(name).collect::<Result<_>>()?;
    let out =
        args.out.clone().unwrap_or_else(|| Path::new("runs").join(crate::cell::file_name(&experiment.name)));

    if args.dry_run {
        return dry_run(args, &wanted, &plan, &out);
    }
    // Nothing is written before it is clear that the run can begin.
    let store = Store::existing(&out)?.unwrap_or_else(|| Store::at(&out));
    let mut held = 0;
    let mut pending = Vec::new();
    for cell in &wanted {
        if store.holds(cell)? {
            held += 1;
        } else {
            pending.push(cell);
        }
    }
    let strangers = store.strangers(&plan)?;
    announce(&out, pending.len(), held, &strangers);

    let stop = Stop::new();
    let interrupted = Stop::new();
    let (on_signal, by_signal) = (stop.clone(), interrupted.clone());
    let handler = ctrlc::set_handler(move || {
        by_signal.set();
        on_signal.set();
    });
    if let Err(e) = handler {
        tracing::warn!("Ctrl-C will end this process at once: {e}");
    }
    let executable = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))?;
    let pool = Pool {
        worker: vec![executable.into(), "worker".into()],
        jobs: args.jobs.map_or_else(cores, |jobs| usize::try_from(jobs).unwrap_or(usize::MAX)),
        threads: 1,
        cache: support::cache_folder(),
        fail_fast: args.fail_fast,
        store: &store,
        profile: &experiment.profile,
        stop,
    };
    let begun = Instant::now();
    let mut records = Records::new();
    if !pending.is_empty() {
        check(&pool, &pending, &catalogue)?;
    }
    Store::open(&out, &manifest(&experiment, &catalogue, &plan)?, &experiment.resolved_text)?;
    if !pending.is_empty() {
        train(&pool, &pending, &catalogue, &experiment, &plan, &mut records)?;
    }
    store.records(&plan, &mut records)?;
    store.write_results(&plan, &records)?;

    let summary =
        table::summarise(&plan, &records, experiment.accuracy, experiment.interval, experiment.seed);
    let tally = Tally::of(&wanted, &plan, &records);
    if args.json {
        support::print_json(&document(&out, &tally, held, &strangers, &summary))?;
    } else {
        support::print(&format!("{}\nresults in {}\n", summary.render(), out.display()))?;
    }
    tally.tell(&store, begun.elapsed());
    if interrupted.is_set() {
        eprintln!("interrupted; what is finished is kept. The same command continues:\n  {}", command());
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if tally.failed + tally.failed_measures > 0 { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One cell of each variant and task: what is wrong with one run of them is
/// wrong with all.
fn check(pool: &Pool<'_>, pending: &[&Cell], catalogue: &Catalogue) -> Result<()> {
    let mut first = BTreeMap::new();
    for (at, cell) in pending.iter().enumerate() {
        first.entry((&cell.spec.variant, &cell.spec.task)).or_insert(at);
    }
    let mut order: Vec<usize> = first.into_values().collect();
    order.sort_unstable();
    let specs: Vec<_> = order.into_iter().filter_map(|at| pending.get(at)).map(|c| &c.spec).collect();
    pool.check(&specs, catalogue)
}

fn train(
    pool: &Pool<'_>,
    pending: &[&Cell],
    catalogue: &Catalogue,
    experiment: &Experiment,
    plan: &[Cell],
    records: &mut Records,
) -> Result<()> {
    let mut progress = Progress::new(pending, experiment.accuracy);
    let mut refreshed = Instant::now();
    let mut news = false;
    let outcome = pool.run(pending, catalogue, &mut |report| {
        news |= matches!(report, Report::Done { .. } | Report::Failed(..));
        progress.hear(&report);
        if news && refreshed.elapsed() > REFRESH {
            pool.store.records(plan, records)?;
            pool.store.write_results(plan, records)?;
            (refreshed, news) = (Instant::now(), false);
        }
        Ok(())
    });
    progress.close();
    outcome
}

fn announce(out: &Path, pending: usize, held: usize, strangers: &[String]) {
    let place = out.display();
    match (pending, held) {
        (_, 0) => eprintln!("{pending} cells to run, into {place}"),
        (0, _) => eprintln!("all {held} cells are in {place} already"),
        _ => eprintln!("{pending} cells to run; {held} are in {place} already"),
    }
    if !strangers.is_empty() {
        let few: Vec<_> = strangers.iter().take(3).map(String::as_str).collect();
        let dots = if strangers.len() > few.len() { ", …" } else { "" };
        eprintln!(
            "{} cells in {place} belong to an earlier state of the experiment, of its plugins or of its data; \
             they are left alone and not counted: {}{dots}",
            strangers.len(),
            few.join(", ")
        );
    }
}

fn dry_run(args: &Run, wanted: &[Cell], plan: &[Cell], out: &Path) -> Result<ExitCode> {
    let store = Store::existing(out)?;
    let mut rows = Vec::new();
    for cell in wanted {
        let state = match &store {
            None => "to run",
            Some(store) if store.holds(cell)? => "done",
            Some(store) => match store.record(cell)? {
                Some(Record::Failed(_)) => "failed, to run again",
                _ => "to run",
            },
        };
        rows.push((cell, state));
    }
    let to_run = rows.iter().filter(|(_, state)| *state != "done").count();
    let strangers = match &store {
        Some(store) => store.strangers(plan)?,
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
        support::print_json(&json!({ "folder": out, "to_run": to_run, "cells": cells }))?;
    } else {
        let mut table = support::table(["variant", "task", "run", "state"]);
        for (cell, state) in &rows {
            let run = cell.spec.run.to_string();
            table.add_row([&cell.spec.variant, &cell.spec.task, &run, *state].map(Field::new));
        }
        support::print_table(&table)?;
    }
    announce(out, to_run, rows.len() - to_run, &strangers);
    Ok(ExitCode::SUCCESS)
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
        pallium: HOST.into(),
        core: pallium_core::VERSION.into(),
        experiment: experiment.name.clone(),
        file: experiment.path.clone(),
        overrides: experiment.overrides.clone(),
        profile: experiment.profile.clone(),
        switches: experiment.switches.clone(),
        seed: experiment.seed,
        runs: experiment.runs,
        cells: plan.len(),
        plugins,
        data,
        machine: Machine::this(),
        started: since.map_or(0, |time| time.as_secs()),
    })
}

/// How the wanted cells stand.
struct Tally {
    cells: usize,
    ok: usize,
    diverged: usize,
    failed: usize,
    missing: usize,
    failed_measures: usize,
    /// The first few reasons, with their cells.
    reasons: Vec<String>,
}

impl Tally {
    fn of(wanted: &[Cell], plan: &[Cell], records: &Records) -> Self {
        let mut tally = Tally {
            cells: wanted.len(),
            ok: 0,
            diverged: 0,
            failed: 0,
            missing: 0,
            failed_measures: 0,
            reasons: Vec::new(),
        };
        let known: BTreeMap<&str, &Option<Record>> =
            plan.iter().map(|cell| cell.folder.as_str()).zip(records).collect();
        for cell in wanted {
            match known.get(cell.folder.as_str()).copied().and_then(Option::as_ref) {
                Some(Record::Finished(finished)) => {
                    match finished.status {
                        Status::Diverged => tally.diverged += 1,
                        _ => tally.ok += 1,
                    }
                    for value in finished.values.iter().filter(|v| v.failed.is_some()) {
                        tally.failed_measures += 1;
                        let why = value.failed.as_deref().unwrap_or_default();
                        tally.reasons.push(format!("{}: {}: {why}", cell.spec.label(), value.measure));
                    }
                }
                Some(Record::Failed(why)) => {
                    tally.failed += 1;
                    tally.reasons.push(format!("{}: {why}", cell.spec.label()));
                }
                None => tally.missing += 1,
            }
        }
        tally
    }

    fn tell(&self, store: &Store, elapsed: Duration) {
        let Tally { cells, ok, diverged, failed, missing, failed_measures, reasons } = self;
        let mut parts = vec![format!("{ok} of {cells} cells done")];
        for (count, what) in [
            (diverged, "diverged"),
            (failed, "failed"),
            (missing, "still to run"),
            (failed_measures, "measures failed"),
        ] {
            if *count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        eprintln!("{} in {}", parts.join(", "), duration(elapsed.as_secs_f64()));
        const SHOWN: usize = 5;
        for reason in reasons.iter().take(SHOWN) {
            eprintln!("  {reason}");
        }
        if reasons.len() > SHOWN {
            eprintln!("  … and {} more", reasons.len() - SHOWN);
        }
        if *failed > 0 {
            eprintln!(
                "  logs are in {}; failed cells are tried again by the same command",
                store.root().join("failed").display()
            );
        }
    }
}

fn document(
    out: &Path,
    tally: &Tally,
    held: usize,
    strangers: &[String],
    summary: &Summary,
) -> serde_json::Value {
    json!({
        "folder": out,
        "cells": {
            "wanted": tally.cells,
            "held_before": held,
            "ok": tally.ok,
            "diverged": tally.diverged,
            "failed": tally.failed,
            "missing": tally.missing,
        },
        "failed_measures": tally.failed_measures,
        "strangers": strangers,
        "table": summary,
    })
}

/// The command line, quoted for a shell where need be.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,".contains(c);
    let quote = |word: String| match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    std::env::args_os().map(|word| quote(word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}
