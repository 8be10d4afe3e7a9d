//! `pallium likeness`: how alike the finished networks of a run are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;
use itertools::Itertools;
use ndarray::{Array2, Axis};
use pallium_core::{Error, Matrix, Result, Split, random};
use pallium_likeness::{Activity, cka, correlation, cross, distances, matching, procrustes, rsa};
use pallium_record::identity::Cell;
use pallium_record::safetensors_file::from_bytes;
use pallium_record::table;
use pallium_record::training::TrainingFile;
use rand::seq::index::sample;
use safetensors::SafeTensors;
use serde_json::json;

use super::finished::{FinishedRun, OnTrials};
use super::{output, support};
use crate::dataset::Format;
use crate::run::each::Given;
use crate::run::evaluation::Test;
use crate::run::protocol::Work;
use crate::run::traces::What;

/// Compares all finished networks of a run that were trained on one task: their
/// activity on the same trials, and their recurrent weights.
///
/// The result is a table with one row for each pair of networks and each measure, from
/// 1 for equal networks down.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium likeness runs/quickstart --out likeness.csv
  pallium likeness runs/quickstart --measure cka,rsa --only 'W*' --json

Measures: cka (linear centred kernel alignment), procrustes (after the best rotation), rsa (Spearman's correlation \
of the distances between the states of conditions and steps), weights (Pearson's correlation of the recurrent \
weights), and matched-weights (the same after units were matched by their activity).")]
pub struct Likeness {
    /// The run folder.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    #[command(flatten)]
    on: OnTrials,
    /// The measures.
    #[arg(long = "measure", value_enum, value_name = "NAME", value_delimiter = ',', default_values_t = ALL)]
    measures: Vec<LikenessMeasure>,
    /// Number of states, drawn from all steps of the trials, at which activity is
    /// compared.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(3..), allow_negative_numbers = true)]
    points: u32,
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

/// A measure of likeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum LikenessMeasure {
    /// Linear centred kernel alignment of activity.
    Cka,
    /// Likeness of activity after the best rotation.
    Procrustes,
    /// Representational similarity: rank correlation of distances between states.
    Rsa,
    /// Correlation of the recurrent weights.
    Weights,
    /// Correlation of the recurrent weights between units with like activity.
    MatchedWeights,
}

const ALL: [LikenessMeasure; 5] = [
    LikenessMeasure::Cka,
    LikenessMeasure::Procrustes,
    LikenessMeasure::Rsa,
    LikenessMeasure::Weights,
    LikenessMeasure::MatchedWeights,
];

impl LikenessMeasure {
    fn name(self) -> &'static str {
        match self {
            LikenessMeasure::Cka => "cka",
            LikenessMeasure::Procrustes => "procrustes",
            LikenessMeasure::Rsa => "rsa",
            LikenessMeasure::Weights => "weights",
            LikenessMeasure::MatchedWeights => "matched_weights",
        }
    }
}

/// Number of trials without `--trials`.
const TRIALS: usize = 64;

/// What is compared of a network.
struct Compared {
    activity: Activity,
    distances: Vec<f64>,
    /// Recurrent weights in the order of the units; none on connections.
    weights: Option<Matrix>,
}

/// A pair of networks, and the values of the measures; NaN where undefined.
struct Pair<'a> {
    first: &'a Cell,
    second: &'a Cell,
    values: Vec<f64>,
}

/// Runs the command.
///
/// # Errors
/// If the folder does not hold finished trainings, no two of them were trained on one
/// task, a task does not fit a network, or the table cannot be written.
pub fn likeness(args: &Likeness) -> Result<()> {
    if let Some(out) = &args.out {
        output::check(out, args.force)?;
    }
    let run = FinishedRun::open(&args.folder, &args.on.only)?;
    let mut measures = args.measures.clone();
    measures.sort_unstable();
    measures.dedup();
    let mut cells: Vec<&Cell> = run.cells.iter().collect();
    let count = |task: &str| run.cells.iter().filter(|cell| cell.spec.task == task).count();
    cells.retain(|cell| count(&cell.spec.task) > 1);
    if cells.is_empty() {
        return Err(Error::input("no two of the selected networks were trained on the same task")
            .help("select more networks with --only, or train more runs or variants"));
    }
    let tests: Vec<Test> = cells.iter().map(|cell| test(&run, cell, &args.on)).collect::<Result<_>>()?;
    status!("{} networks to compare, in {}", cells.len(), args.folder.display());
    let networks = record(&run, &cells, &tests, args)?;
    let pairs = compare(&cells, &networks, &measures, support::jobs(args.on.jobs, std::iter::empty()));
    if args.json {
        let rows: Vec<_> = pairs.iter().flat_map(|pair| as_json(pair, &measures)).collect();
        return support::print_json(&json!({ "folder": args.folder.display().to_string(), "rows": rows }));
    }
    if let Some(out) = &args.out {
        output::write(out, &as_csv(&pairs, &measures)?, args.force)?;
        if output::is_stdout(out) {
            return Ok(());
        }
        status!("table in {}", out.display());
    }
    support::print(&format!("{}\n", summary(&pairs, &measures)))
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
    workers.each(jobs, cells, &run.catalogue, &|at| {
        let work = Work::Trace {
            cell: Box::new(cells[at].clone()),
            store: run.store.root().to_owned(),
            test: Box::new(tests[at].clone()),
            what: vec![What::Activity],
            file: place(at),
            format: Format::Safetensors,
        };
        Ok(Given { work, tasks: vec![tests[at].component.clone()] })
    })?;
    cells.iter().enumerate().map(|(at, cell)| read(run, cell, &place(at), args.points as usize)).collect()
}

/// The states of a network at some steps of its trials, and its weights.
fn read(run: &FinishedRun, cell: &Cell, file: &Path, points: usize) -> Result<Compared> {
    let wrong = |what: &str| Error::bug(format!("{}: {what}", file.display()));
    let bytes = fs::read(file).map_err(|e| Error::io(file, &e))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(&e.to_string()))?;
    let tensor = |name: &str| tensors.tensor(name).map_err(|e| wrong(&e.to_string()));
    let activity = tensor("activity")?;
    let &[trials, steps, units] = activity.shape() else { return Err(wrong("activity has no three axes")) };
    let Some(pallium_core::Values::F32(values)) = from_bytes(activity.dtype(), activity.data()) else {
        return Err(wrong("activity is not of single precision"));
    };
    let whole = |name: &str| -> Result<Vec<i64>> {
        let tensor = tensor(name)?;
        match from_bytes(tensor.dtype(), tensor.data()) {
            Some(pallium_core::Values::I64(values)) => Ok(values),
            _ => Err(wrong("a label is not a whole number")),
        }
    };
    let (lengths, conditions, neurons) = (whole("length")?, whole("condition")?, whole("neuron")?);
    let at = |trial: usize, step: usize| &values[(trial * steps + step) * units..][..units];
    // The same states of all networks of a task: their trials are the same.
    let all: Vec<(usize, usize)> =
        (0..trials).flat_map(|trial| (0..lengths[trial] as usize).map(move |step| (trial, step))).collect();
    let mut rng = random::stream(run.experiment.seed, "likeness");
    let mut chosen = sample(&mut rng, all.len(), points.min(all.len())).into_vec();
    chosen.sort_unstable();
    let rows = Array2::from_shape_fn((chosen.len(), units), |(row, unit)| {
        let (trial, step) = all[chosen[row]];
        f64::from(at(trial, step)[unit])
    });
    // The mean state of each condition at each step.
    let mut means: BTreeMap<(i64, usize), (Vec<f64>, f64)> = BTreeMap::new();
    for &(trial, step) in &all {
        let (sum, count) = means.entry((conditions[trial], step)).or_insert_with(|| (vec![0.0; units], 0.0));
        sum.iter_mut().zip(at(trial, step)).for_each(|(sum, value)| *sum += f64::from(*value));
        *count += 1.0;
    }
    let means: Vec<(Vec<f64>, f64)> = means.into_values().collect();
    let mut states = sample(&mut rng, means.len(), STATES.min(means.len())).into_vec();
    states.sort_unstable();
    let states = Array2::from_shape_fn((states.len(), units), |(row, unit)| {
        let (sum, count) = &means[states[row]];
        sum[unit] / count
    });
    Ok(Compared {
        activity: Activity::new(&rows),
        distances: distances(states.view()),
        weights: weights(run, cell, &neurons)?,
    })
}

/// Largest number of mean states whose distances are compared.
const STATES: usize = 200;

/// The recurrent weights in the order of the units.
fn weights(run: &FinishedRun, cell: &Cell, neurons: &[i64]) -> Result<Option<Matrix>> {
    let stored = run.store.weights(cell)?;
    if stored.connections.is_some() {
        return Ok(None);
    }
    let about = TrainingFile::read(&run.store.root().join("cells").join(&cell.folder))?;
    if about.model_info.tensors.is_empty() {
        // An older folder, where unit i is neuron i.
        let block = about.model_info.single_block().and_then(|name| stored.block(name, neurons.len()));
        return Ok(block);
    }
    let matrix = about.model_info.recurrent_matrix(&stored.parameters)?;
    // Its rows are the neurons, then free units.
    let mut order: Vec<usize> = (0..neurons.len()).collect();
    order.sort_by_key(|&unit| if neurons[unit] < 0 { i64::MAX } else { neurons[unit] });
    let mut places = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(place, unit)| places[unit] = place);
    Ok((matrix.nrows() == places.len()).then(|| matrix.select(Axis(0), &places).select(Axis(1), &places)))
}

/// All pairs of networks of one task, compared in `threads` threads.
fn compare<'a>(
    cells: &[&'a Cell],
    networks: &[Compared],
    measures: &[LikenessMeasure],
    threads: usize,
) -> Vec<Pair<'a>> {
    let pairs: Vec<(usize, usize)> = (0..cells.len())
        .tuple_combinations()
        .filter(|&(a, b): &(usize, usize)| cells[a].spec.task == cells[b].spec.task)
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(pairs.len()));
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, pairs.len().max(1)) {
            scope.spawn(|| {
                while let Some(&(a, b)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let values = values(&networks[a], &networks[b], measures);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((a, b, values));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|&(a, b, _)| (a, b));
    done.into_iter().map(|(a, b, values)| Pair { first: cells[a], second: cells[b], values }).collect()
}

fn values(a: &Compared, b: &Compared, measures: &[LikenessMeasure]) -> Vec<f64> {
    let (x, y) = (&a.activity, &b.activity);
    let both = cross(x, y);
    let weights = |order: Option<&[usize]>| match (&a.weights, &b.weights) {
        (Some(a), Some(b)) => correlation(a.view(), b.view(), order),
        _ => f64::NAN,
    };
    let of = |measure: &LikenessMeasure| match measure {
        LikenessMeasure::Cka => cka(x, y, &both),
        LikenessMeasure::Procrustes => procrustes(x, y, &both),
        LikenessMeasure::Rsa if a.distances.len() == b.distances.len() => rsa(&a.distances, &b.distances),
        LikenessMeasure::Rsa => f64::NAN,
        LikenessMeasure::Weights => weights(None),
        LikenessMeasure::MatchedWeights => {
            matching(x, y, &both).map_or(f64::NAN, |order| weights(Some(&order)))
        }
    };
    measures.iter().map(of).collect()
}

const COLUMNS: [&str; 9] =
    ["task", "variant_a", "run_a", "variant_b", "run_b", "measure", "value", "folder_a", "folder_b"];

fn as_csv(pairs: &[Pair<'_>], measures: &[LikenessMeasure]) -> Result<Vec<u8>> {
    let mut file = table::with_header(COLUMNS)?;
    for pair in pairs {
        let (a, b) = (&pair.first.spec, &pair.second.spec);
        for (measure, &value) in measures.iter().zip(&pair.values) {
            let value = if value.is_finite() { table::number(value) } else { String::new() };
            file.write_record([
                &a.task,
                &a.variant,
                &a.run.to_string(),
                &b.variant,
                &b.run.to_string(),
                measure.name(),
                &value,
                &pair.first.folder,
                &pair.second.folder,
            ])
            .map_err(|e| table::unwritable(&e))?;
        }
    }
    table::finish(file)
}

fn as_json(pair: &Pair<'_>, measures: &[LikenessMeasure]) -> Vec<serde_json::Value> {
    let (a, b) = (&pair.first.spec, &pair.second.spec);
    let row = |(measure, &value): (&LikenessMeasure, &f64)| {
        json!({
            "task": a.task, "variant_a": a.variant, "run_a": a.run, "variant_b": b.variant, "run_b": b.run,
            "measure": measure.name(), "value": value.is_finite().then_some(value),
            "folder_a": pair.first.folder, "folder_b": pair.second.folder,
        })
    };
    measures.iter().zip(&pair.values).map(row).collect()
}

/// A table for the terminal: means over the runs of two variants, and within one.
fn summary(pairs: &[Pair<'_>], measures: &[LikenessMeasure]) -> String {
    let mut groups: Vec<([&str; 3], Vec<&Pair<'_>>)> = Vec::new();
    for pair in pairs {
        let (a, b) = (&pair.first.spec, &pair.second.spec);
        let key = [a.task.as_str(), a.variant.as_str(), b.variant.as_str()];
        let same = |known: &[&str; 3]| *known == key || *known == [key[0], key[2], key[1]];
        match groups.iter_mut().find(|(known, _)| same(known)) {
            Some((_, own)) => own.push(pair),
            None => groups.push((key, vec![pair])),
        }
    }
    let head = ["task", "variant", "and"].into_iter().chain(measures.iter().map(|measure| measure.name()));
    let mut table = pallium_report::table::TextTable::new(head.chain(["pairs"]));
    for (key, own) in groups {
        let mean = |at: usize| {
            let known: Vec<f64> = own.iter().map(|pair| pair.values[at]).filter(|v| v.is_finite()).collect();
            match known.len() {
                0 => "–".to_owned(),
                n => format!("{:.3}", known.iter().sum::<f64>() / n as f64),
            }
        };
        let row = key.iter().map(|&name| name.to_owned());
        let row = row.chain((0..measures.len()).map(mean));
        table.add_row(row.chain([own.len().to_string()]));
    }
    table.to_string()
}
