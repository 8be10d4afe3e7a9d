//! `pallium likeness`: how alike the finished networks of a run are.

mod networks;
mod tables;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result, Split, random};
use pallium_likeness::{cka, correlation, cross, dsa, matching, procrustes, rsa};
use pallium_record::identity::Cell;
use serde_json::json;

use self::networks::{Compared, agreement, read};
use super::finished::{FinishedRun, OnTrials};
use super::{output, support};
use crate::dataset::Format;
use crate::run::each::Given;
use crate::run::evaluation::Test;
use crate::run::protocol::Work;
use crate::run::traces::What;

/// Compares all finished networks of a run that were trained on one task: their answers
/// and their activity on the same trials, the dynamics of this activity, and their
/// recurrent weights; with `--measure recorded`, also with the recorded neurons.
///
/// The result is a table with one row for each pair of networks and each measure. The
/// value is 1 for equal networks, and lower for others.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium likeness runs/quickstart --out likeness.csv
  pallium likeness runs/quickstart --measure cka,rsa --only 'W*' --json
  pallium likeness runs/quickstart --measure answers,cka,dsa,weights --degeneracy spread.csv

Measures: answers (share of equal answers), cka (linear centred kernel alignment), procrustes (after the best \
rotation), rsa (Spearman's correlation of the distances between the states of conditions and steps), dsa (dynamical \
similarity: the cosine of the flows after the best rotation), weights (Pearson's correlation of the recurrent \
weights), matched_weights (the same after units were matched by their activity), and recorded (of each network with \
the recording: Spearman's correlation of the correlations between units with those between their neurons; not among \
the default measures).")]
pub struct Likeness {
    /// The run folder.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    #[command(flatten)]
    on: OnTrials,
    /// The measures.
    #[arg(long = "measure", value_enum, value_name = "NAME", value_delimiter = ',', default_values_t = DEFAULT)]
    measures: Vec<LikenessMeasure>,
    /// Number of states, drawn from all steps of the trials, at which activity is
    /// compared.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(3..), allow_negative_numbers = true)]
    points: u32,
    /// For dsa: number of successive steps that are embedded together.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100), allow_negative_numbers = true)]
    delays: u32,
    /// For dsa: number of delay coordinates in which the flow is estimated.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100), allow_negative_numbers = true)]
    rank: u32,
    /// The table to write, as CSV; `-` is standard output.
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Write how much the runs of each variant differ to a CSV file, one row per measure.
    #[arg(long, value_name = "FILE.csv")]
    degeneracy: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// A measure of likeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
enum LikenessMeasure {
    /// Share of equal answers.
    Answers,
    /// Linear centred kernel alignment of activity.
    Cka,
    /// Likeness of activity after the best rotation.
    Procrustes,
    /// Representational similarity: rank correlation of distances between states.
    Rsa,
    /// Dynamical similarity of the flows of activity.
    Dsa,
    /// Correlation of the recurrent weights.
    Weights,
    /// Correlation of the recurrent weights between units with like activity.
    #[value(name = "matched_weights", alias = "matched-weights")]
    MatchedWeights,
    /// Of each network with the recording: rank correlation of correlations.
    Recorded,
}

const DEFAULT: [LikenessMeasure; 7] = [
    LikenessMeasure::Answers,
    LikenessMeasure::Cka,
    LikenessMeasure::Procrustes,
    LikenessMeasure::Rsa,
    LikenessMeasure::Dsa,
    LikenessMeasure::Weights,
    LikenessMeasure::MatchedWeights,
];

impl LikenessMeasure {
    fn name(self) -> &'static str {
        match self {
            LikenessMeasure::Answers => "answers",
            LikenessMeasure::Cka => "cka",
            LikenessMeasure::Procrustes => "procrustes",
            LikenessMeasure::Rsa => "rsa",
            LikenessMeasure::Dsa => "dsa",
            LikenessMeasure::Weights => "weights",
            LikenessMeasure::MatchedWeights => "matched_weights",
            LikenessMeasure::Recorded => "recorded",
        }
    }

    /// What of a network it compares.
    fn level(self) -> &'static str {
        match self {
            LikenessMeasure::Answers => "behaviour",
            LikenessMeasure::Dsa => "dynamics",
            LikenessMeasure::Weights | LikenessMeasure::MatchedWeights => "weights",
            _ => "activity",
        }
    }

    /// What it needs recorded, besides activity.
    fn needs(self) -> &'static [What] {
        match self {
            LikenessMeasure::Answers => &[What::Trials, What::Logits],
            LikenessMeasure::Recorded => &[What::Recorded],
            _ => &[],
        }
    }
}

/// Number of trials without `--trials`.
const TRIALS: usize = 64;

/// The likeness of a network with another one, or with the recording.
pub struct Row<'a> {
    first: &'a Cell,
    /// `None` for the recording.
    second: Option<&'a Cell>,
    measure: LikenessMeasure,
    /// `None` if undefined.
    value: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// If the folder does not hold finished trainings, no two of them were trained on one
/// task, a task does not fit a network, or the table cannot be written.
pub fn likeness(args: &Likeness) -> Result<()> {
    [&args.out, &args.degeneracy].into_iter().flatten().try_for_each(|out| output::check(out, args.force))?;
    let run = FinishedRun::open(&args.folder, &args.on.only)?;
    let mut measures = args.measures.clone();
    measures.sort_unstable();
    measures.dedup();
    if args.degeneracy.is_some() && measures.iter().all(|measure| *measure == LikenessMeasure::Recorded) {
        return Err(Error::input(
            "--degeneracy is the spread over pairs of runs, and `recorded` compares no pairs",
        )
        .help("add another measure, such as --measure recorded,cka"));
    }
    let mut cells: Vec<&Cell> = run.cells.iter().collect();
    let count = |task: &str| run.cells.iter().filter(|cell| cell.spec.task == task).count();
    // A single network has nothing but the recording to be compared with.
    let alone = measures.contains(&LikenessMeasure::Recorded);
    cells.retain(|cell| alone || count(&cell.spec.task) > 1);
    if cells.is_empty() {
        return Err(Error::input("no two of the selected networks were trained on the same task")
            .help("select more networks with --only, or train more runs or variants"));
    }
    let tests: Vec<Test> = cells.iter().map(|cell| test(&run, cell, &args.on)).collect::<Result<_>>()?;
    status!("{} networks to compare, in {}", cells.len(), args.folder.display());
    let networks = record(&run, &cells, &tests, args)?;
    let rows = compare(&cells, &networks, &measures, support::jobs(args.on.jobs, std::iter::empty()));
    if let Some(out) = &args.degeneracy {
        output::write(out, &tables::degeneracy(&rows)?, args.force)?;
        status!("spread over runs in {}", out.display());
    }
    if args.json {
        let rows: Vec<_> = rows.iter().map(tables::as_json).collect();
        return support::print_json(&json!({ "folder": args.folder.display().to_string(), "rows": rows }));
    }
    if let Some(out) = &args.out {
        output::write(out, &tables::as_csv(&rows)?, args.force)?;
        if output::is_stdout(out) {
            return Ok(());
        }
        status!("table in {}", out.display());
    }
    support::print(&format!("{}\n", tables::summary(&rows, &measures)))
}

/// The trials of a network: the same for all networks of its task, whatever their run.
fn test(run: &FinishedRun, cell: &Cell, on: &OnTrials) -> Result<Test> {
    let mut tests = run.tests(cell, on)?;
    let (Some(mut test), true) = (tests.pop(), tests.is_empty()) else {
        return Err(Error::input("networks are compared on the trials of one task")
            .help("name one --task, and one value for each parameter of --set"));
    };
    if on.trials.is_none() {
        test.trials = TRIALS;
    }
    let shared = || random::derive(run.experiment.seed, 0, &format!("likeness {}", Split::Test.name()));
    test.seed = Some(on.trial_seed.unwrap_or_else(shared));
    Ok(test)
}

/// What is compared of each network, recorded in worker processes.
fn record(run: &FinishedRun, cells: &[&Cell], tests: &[Test], args: &Likeness) -> Result<Vec<Compared>> {
    let scratch = tempfile::Builder::new()
        .prefix(".pallium-")
        .tempdir()
        .map_err(|e| Error::io(&std::env::temp_dir(), &e))?;
    let place = |at: usize| scratch.path().join(format!("{at}.safetensors"));
    let (workers, jobs) = run.workers(&args.on)?;
    let needed = args.measures.iter().flat_map(|measure| measure.needs());
    let what: Vec<What> = needed.chain(&[What::Activity]).copied().sorted().dedup().collect();
    workers.each(jobs, cells, &run.catalogue, &|at| {
        let work = Work::Trace {
            cell: Box::new(cells[at].clone()),
            store: run.store.root().to_owned(),
            test: Box::new(tests[at].clone()),
            what: what.clone(),
            file: place(at),
            format: Format::Safetensors,
        };
        Ok(Given { work, tasks: vec![tests[at].component.clone()] })
    })?;
    cells.iter().enumerate().map(|(at, cell)| read(run, cell, &place(at), args)).collect()
}

/// All pairs of networks of one task, compared in `threads` threads, and each network with
/// the recording.
fn compare<'a>(
    cells: &[&'a Cell],
    networks: &[Compared],
    measures: &[LikenessMeasure],
    threads: usize,
) -> Vec<Row<'a>> {
    let between: Vec<LikenessMeasure> =
        measures.iter().copied().filter(|measure| *measure != LikenessMeasure::Recorded).collect();
    let pairs: Vec<(usize, usize)> = (0..cells.len())
        .tuple_combinations()
        .filter(|&(a, b): &(usize, usize)| !between.is_empty() && cells[a].spec.task == cells[b].spec.task)
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(pairs.len()));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, pairs.len().max(1)) {
            scope.spawn(|| {
                while let Some(&(a, b)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let values = values(&networks[a], &networks[b], &between);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((a, b, values));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(a, b, _)| (a, b));
    let row = |first: usize, second: Option<usize>, measure, value: f64| Row {
        first: cells[first],
        second: second.map(|at| cells[at]),
        measure,
        value: value.is_finite().then_some(value),
    };
    let mut rows = Vec::new();
    for (a, b, values) in done {
        rows.extend(between.iter().zip(values).map(|(&measure, value)| row(a, Some(b), measure, value)));
    }
    for (at, network) in networks.iter().enumerate() {
        if let Some([own, recorded]) = &network.recorded {
            rows.push(row(at, None, LikenessMeasure::Recorded, rsa(own, recorded)));
        }
    }
    rows
}

fn values(a: &Compared, b: &Compared, measures: &[LikenessMeasure]) -> Vec<f64> {
    let (x, y) = (&a.activity, &b.activity);
    let both = cross(x, y);
    let weights = |order: Option<&[usize]>| match (&a.weights, &b.weights) {
        (Some(a), Some(b)) => correlation(a.view(), b.view(), order),
        _ => f64::NAN,
    };
    let of = |measure: &LikenessMeasure| match measure {
        LikenessMeasure::Answers => match (&a.answers, &b.answers) {
            (Some(a), Some(b)) => agreement(a, b),
            _ => f64::NAN,
        },
        LikenessMeasure::Cka => cka(x, y, &both),
        LikenessMeasure::Procrustes => procrustes(x, y, &both),
        LikenessMeasure::Rsa if a.distances.len() == b.distances.len() => rsa(&a.distances, &b.distances),
        LikenessMeasure::Dsa => match (&a.flow, &b.flow) {
            (Some(a), Some(b)) => dsa(a, b),
            _ => f64::NAN,
        },
        LikenessMeasure::Weights => weights(None),
        LikenessMeasure::MatchedWeights => {
            matching(x, y, &both).map_or(f64::NAN, |order| weights(Some(&order)))
        }
        LikenessMeasure::Rsa | LikenessMeasure::Recorded => f64::NAN,
    };
    measures.iter().map(of).collect()
}
