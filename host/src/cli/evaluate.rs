//! `pallium evaluate`: tests finished networks on other trials, with lesions, and
//! perturbed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};
use pallium_record::finished::Record;
use pallium_record::identity::Cell;
use pallium_record::table;
use serde_json::json;

use super::finished::{FinishedRun, OnTrials};
use super::{output, support};
use crate::run::each::Given;
use crate::run::evaluation::{Evaluated, Evaluation, Lesion, Matched, Perturbation};
use crate::run::protocol::{Event, Work};

/// Tests the networks of a run folder: on other conditions and tasks, with lesions,
/// and with perturbations. Nothing is trained.
///
/// The result is a table of the intact network and each changed one: it has a row for
/// each measure, over all trials and in each condition.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium evaluate runs/quickstart --set task.delay=20 --out delay.csv
  pallium evaluate runs/quickstart --only W --lesion recurrence --lesion units:strongest:5%,10%,20% --out lesions.csv
  pallium evaluate runs/quickstart --lesion connections:longest:10% --match strength --draws 20 --json
  pallium evaluate runs/quickstart --perturb weights:noise:0.1,0.2 --perturb states:noise:0.1 --out noise.csv

Lesions are nothing, recurrence, or ELEMENTS:CLASS:AMOUNT with an amount such as 25 or 10%:
  units:        strongest, weakest, most-active, least-active, random, all, community, population:NAME, list:0,5,9
  connections:  strongest, weakest, longest, shortest, like-to-like, unlike, excitatory, inhibitory,
                within, between (communities), diagonal, random, all, list:3>7,8>2
Perturbations are weights:noise:S (each recurrent weight times 1 + S times a normal number), weights:scale:F, \
weights:shuffle, states:noise:S (in units of the activity's root mean square) and inputs:noise:S.")]
pub struct Evaluate {
    /// The run folder.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    #[command(flatten)]
    on: OnTrials,
    /// Silence units or cut connections; may be repeated.
    #[arg(long = "lesion", value_name = "LESION")]
    lesions: Vec<String>,
    /// Perturb weights, states or inputs; may be repeated.
    #[arg(long = "perturb", value_name = "PERTURBATION")]
    perturbations: Vec<String>,
    /// Number of random lesions that each lesion is compared with, and number of draws
    /// of each perturbation.
    #[arg(long, value_name = "N", default_value_t = 5)]
    draws: u32,
    /// Property, besides the number of elements, that random lesions share with the
    /// lesion.
    #[arg(long = "match", value_enum, value_name = "WHAT", default_value_t = Matched::Number)]
    matched: Matched,
    /// Seed of random lesions and perturbations [default: from the experiment's]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Also list the fraction of each answer in each condition, for psychometric curves
    /// and confusion matrices.
    #[arg(long)]
    answers: bool,
    /// The table to write, as CSV; `-` is standard output.
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// The columns of the table.
const COLUMNS: [&str; 15] = [
    "variant",
    "trained_on",
    "run",
    "task",
    "settings",
    "lesion",
    "perturbation",
    "kind",
    "draw",
    "removed",
    "condition",
    "trials",
    "measure",
    "value",
    "folder",
];

/// Runs the command.
///
/// # Errors
/// If the folder does not hold finished trainings, a lesion or a perturbation is
/// malformed, a task does not fit a network, or the table cannot be written.
pub fn evaluate(args: &Evaluate) -> Result<()> {
    let lesions: Vec<Lesion> =
        args.lesions.iter().map(|text| Lesion::parse(text)).collect::<Result<Vec<_>>>()?.concat();
    let perturbations: Vec<Perturbation> =
        args.perturbations.iter().map(|text| Perturbation::parse(text)).collect::<Result<Vec<_>>>()?.concat();
    if args.draws == 0 && perturbations.iter().any(Perturbation::is_random) {
        return Err(Error::input("--draws 0 tests no perturbation").help("set it to 1 or more"));
    }
    if let Some(out) = &args.out {
        output::check(out, args.force)?;
    }
    let run = FinishedRun::open(&args.folder, &args.on.only)?;
    let (workers, jobs) = run.workers(&args.on)?;
    // Before any network is tested: the same mistake concerns all of them.
    run.cells.iter().try_for_each(|cell| run.tests(cell, &args.on).map(drop))?;
    status!("{} finished networks to test, in {}", run.cells.len(), args.folder.display());
    let cells: Vec<&Cell> = run.cells.iter().collect();
    let given = |at: usize| {
        let cell = cells[at];
        let evaluation = Evaluation {
            tests: run.tests(cell, &args.on)?,
            lesions: lesions.clone(),
            perturbations: perturbations.clone(),
            draws: args.draws,
            matched: args.matched,
            seed: args.seed,
            answers: args.answers,
        };
        let tasks = evaluation.tests.iter().map(|test| test.component.clone()).collect();
        let (cell, store) = (Box::new(cell.clone()), run.store.root().to_owned());
        Ok(Given { work: Work::Evaluate { cell, store, evaluation: Box::new(evaluation) }, tasks })
    };
    let mut found: Vec<(&Cell, Vec<Evaluated>)> = Vec::new();
    for (cell, event) in cells.iter().zip(workers.each(jobs, &cells, &run.catalogue, &given)?) {
        let Event::Evaluated { rows } = event else {
            return Err(Error::bug("a worker sent something else than an evaluation"));
        };
        found.push((cell, rows));
    }
    if args.on.is_own_test() {
        compare_with_stored(&run, &found)?;
    }
    if args.json {
        return support::print_json(
            &json!({ "folder": args.folder.display().to_string(), "rows": as_json(&found) }),
        );
    }
    if let Some(out) = &args.out {
        output::write(out, &as_csv(&found)?, args.force)?;
        if output::is_stdout(out) {
            return Ok(());
        }
        status!("table in {}", out.display());
    }
    support::print(&format!("{}\n", summary(&found)))
}

/// Warns if an intact network does not have the accuracy that the training recorded.
fn compare_with_stored(run: &FinishedRun, found: &[(&Cell, Vec<Evaluated>)]) -> Result<()> {
    for (cell, rows) in found {
        let Some(Record::Finished(stored)) = run.store.record(cell)? else { continue };
        // Of several tasks, each has values of its own.
        let own = |row: &Evaluated| {
            row.task.strip_prefix(&format!("{}/", cell.spec.task)).unwrap_or_default().to_owned()
        };
        for row in rows.iter().filter(|row| is_intact(row) && row.condition.is_empty()) {
            let stored = stored.values.iter().find(|value| {
                value.split == "test" && value.measure == row.measure && value.task == own(row)
            });
            if let Some(stored) = stored.filter(|stored| stored.value != row.value) {
                tracing::warn!(
                    "{}: the intact network has the {} {} on {}, but {} is recorded; was it trained on another machine?",
                    cell.spec.label(),
                    row.measure,
                    shown(row.value),
                    row.task,
                    shown(stored.value),
                );
            }
        }
    }
    Ok(())
}

fn is_intact(row: &Evaluated) -> bool {
    row.lesion.is_empty() && row.perturbation.is_empty()
}

/// What a row is about: the intact network, a lesion, a matched random one, or a
/// perturbation.
fn kind(row: &Evaluated) -> &'static str {
    match (row.lesion.is_empty(), row.perturbation.is_empty(), row.draw) {
        (true, true, _) => "intact",
        (false, _, None) => "lesion",
        (false, _, Some(_)) => "control",
        (true, false, _) => "perturbation",
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".into(), |value| format!("{value}"))
}

fn as_csv(found: &[(&Cell, Vec<Evaluated>)]) -> Result<Vec<u8>> {
    let mut file = table::with_header(COLUMNS)?;
    for (cell, rows) in found {
        let (spec, number) = (&cell.spec, cell.spec.run.to_string());
        for row in rows {
            let draw = row.draw.map_or_else(String::new, |draw| draw.to_string());
            let value = row.value.map_or_else(String::new, table::number);
            file.write_record([
                &spec.variant,
                &spec.task,
                &number,
                &row.task,
                &row.settings,
                &row.lesion,
                &row.perturbation,
                kind(row),
                &draw,
                &row.removed.to_string(),
                &row.condition,
                &row.trials.to_string(),
                &row.measure,
                &value,
                &cell.folder,
            ])
            .map_err(|e| table::unwritable(&e))?;
        }
    }
    table::finish(file)
}

fn as_json(found: &[(&Cell, Vec<Evaluated>)]) -> Vec<serde_json::Value> {
    let row = |cell: &Cell, row: &Evaluated| {
        json!({
            "variant": cell.spec.variant, "trained_on": cell.spec.task, "run": cell.spec.run, "task": row.task,
            "settings": row.settings, "lesion": row.lesion, "perturbation": row.perturbation, "kind": kind(row),
            "draw": row.draw, "removed": row.removed, "condition": row.condition, "trials": row.trials,
            "measure": row.measure, "value": row.value, "folder": cell.folder,
        })
    };
    found.iter().flat_map(|(cell, rows)| rows.iter().map(move |one| row(cell, one))).collect()
}

/// A table for the terminal: accuracy (or R²) of all trials, as the mean over runs and
/// draws.
fn summary(found: &[(&Cell, Vec<Evaluated>)]) -> String {
    type Group = (String, String, String, String, String, &'static str);
    let mut groups: Vec<(Group, Vec<f64>)> = Vec::new();
    let mut places: BTreeMap<Group, usize> = BTreeMap::new();
    for (cell, rows) in found {
        for row in rows
            .iter()
            .filter(|row| row.condition.is_empty() && matches!(row.measure.as_str(), "accuracy" | "r2"))
        {
            let change = if row.lesion.is_empty() { &row.perturbation } else { &row.lesion };
            let task = match row.settings.as_str() {
                "" => row.task.clone(),
                settings => format!("{} ({settings})", row.task),
            };
            let group = (
                cell.spec.variant.clone(),
                cell.spec.task.clone(),
                task,
                change.clone(),
                row.measure.clone(),
                kind(row),
            );
            let at = *places.entry(group.clone()).or_insert_with(|| {
                groups.push((group, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.extend(row.value);
        }
    }
    let mut table =
        support::table(["variant", "trained on", "task", "change", "", "measure", "mean", "min", "max", "n"]);
    for ((variant, trained, task, change, measure, kind), values) in groups {
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let number = |value: f64| if value.is_finite() { format!("{value:.3}") } else { "–".into() };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        table.add_row([
            variant,
            trained,
            task,
            change,
            kind.to_owned(),
            measure,
            number(mean),
            number(least),
            number(most),
            values.len().to_string(),
        ]);
    }
    table.to_string()
}
