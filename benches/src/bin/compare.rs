//! Pallium against Keras, PyTorch, bctpy, networkx, Elephant and scikit-learn,
//! and against the machine's own peak.
//!
//! ```text
//! cargo run --release -p pallium-benches --bin compare
//! ```
//!
//! builds Pallium and an environment for the peers (`target/peers`), measures
//! every case with the sides taking turns, and writes `target/peers/table.md`.
//! What was measured stays in `target/peers/results`: cases can be measured
//! one at a time (`--only`), and the table is made of all there are.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use ndarray::Array2;
use ndarray_npy::{read_npy, write_npy};
use pallium::cell::Use;
use pallium::plugins::Catalogue;
use pallium::run::machine::Machine;
use pallium::run::train::{Options, train};
use pallium_benches::report::{self, Found, Sample, Timed, digits, seconds, spread};
use pallium_benches::turns::{self, Side};
use pallium_benches::{inputs, peak, scene, watch};
use pallium_core::{Error, Kind, Network, Result, Setting};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Measures Pallium against other implementations, taking turns.
#[derive(Parser, Debug)]
#[command(after_help = "Example:
  cargo run --release -p pallium-benches --bin compare -- --only two/ --turns 5

Cases: step/… (training steps, one core), two/… (training, both cores),
study/… (the tasks and constraints that two/ leaves out), metrics/…, field/…
(matrices from event times), startup, overhead, memory, whole-study. Any other
prefix only writes the table anew.")]
struct Arguments {
    /// Measures the cases whose names begin so; may be given several times.
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Has the peers draw all 1,000 null graphs instead of --graphs of them.
    #[arg(long)]
    full: bool,
    /// Null graphs that the peers draw in a turn.
    #[arg(long, default_value_t = 20)]
    graphs: usize,
    /// Pairs of neurons whose STTC Elephant computes in a turn.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Cells of the study that are run, evenly chosen from variants × tasks.
    #[arg(long, default_value_t = 11)]
    cells: usize,
    /// Waits up to so many seconds for other programs to leave the cores.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    patience: u64,
    /// Measures the plugins and the executable that are there, without
    /// building.
    #[arg(long)]
    as_built: bool,
    /// Uses this Python, with the packages of benches/peers/requirements.txt,
    /// instead of making an environment.
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this executable does as one of the sides.
#[derive(Subcommand, Debug)]
enum Part {
    /// Trains, an epoch and its validation a turn.
    #[command(hide = true)]
    Train(TrainPart),
    /// Measures a matrix.
    #[command(hide = true)]
    Metrics(MetricsPart),
    /// Computes a matrix from event times.
    #[command(hide = true)]
    Derive(DerivePart),
}

#[derive(Args, Debug)]
struct TrainPart {
    #[arg(long)]
    variant: String,
    #[arg(long)]
    task: String,
    #[arg(long)]
    set: Vec<String>,
    plugins: Vec<PathBuf>,
}

#[derive(Args, Debug)]
struct MetricsPart {
    #[arg(long)]
    matrix: PathBuf,
    /// Whether the null ensemble is drawn once and kept.
    #[arg(long)]
    cached: bool,
    plugins: Vec<PathBuf>,
}

#[derive(Args, Debug)]
struct DerivePart {
    /// `sttc` or `precision`.
    #[arg(long)]
    matrix: String,
    /// The field's folder.
    #[arg(long)]
    field: PathBuf,
    /// Where the matrix goes.
    #[arg(long)]
    out: PathBuf,
    plugins: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.part {
        Some(Part::Train(part)) => train_in_turns(part),
        Some(Part::Metrics(part)) => measure_in_turns(part),
        Some(Part::Derive(part)) => derive_in_turns(part),
        None => compare(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.report());
            ExitCode::FAILURE
        }
    }
}

// Pallium's side.

/// Trains a cell of the published study in the host's own loop, stopping after
/// every epoch until the next turn.
fn train_in_turns(part: &TrainPart) -> Result<()> {
    let catalogue = Catalogue::load(&part.plugins)?;
    let mut sets = part.set.clone();
    // More than there will ever be turns.
    sets.push("training.epochs=10000".into());
    let cell = scene::cell(&catalogue, &part.variant, &part.task, &sets)?;
    let (tell, hear) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut clock = Instant::now();
        let outcome = train(&cell, &catalogue, &Options::default(), &mut |epoch| {
            let report = json!({ "seconds": clock.elapsed().as_secs_f64(), "loss": epoch.running_loss });
            // Nobody hears it, or nobody asks for more, once the process ends.
            let _ = tell.send(Ok(report));
            let _ = gone.recv();
            clock = Instant::now();
        });
        let _ = tell.send(match outcome {
            Ok(trained) => Err(Error::input(format!("the cell ended early: {:?}", trained.divergence))),
            Err(error) => Err(error),
        });
    });
    let ended = |_| Error::bug("the training ended");
    turns::ready(&hear.recv().map_err(ended)??)?;
    while turns::wait()? {
        go.send(()).map_err(|_| Error::bug("the training ended"))?;
        turns::done(&hear.recv().map_err(ended)??)?;
    }
    Ok(())
}

/// Ids and parameters of the published metrics.
fn metrics() -> [Use; 6] {
    let id = |name: &str, params| scene::component(&format!("organization.{name}"), params);
    [
        id("entropy", json!({})),
        id("modularity", json!({})),
        id("assortativity", json!({})),
        id("clustering", json!({})),
        id("efficiency", json!({})),
        id("small-worldness", json!({ "null": "published" })),
    ]
}

/// Measures a matrix. The null ensemble is kept in static memory and in a
/// folder; each turn loads a fresh copy of the plugin and, unless it may find
/// the ensemble there, uses a fresh folder.
fn measure_in_turns(part: &MetricsPart) -> Result<()> {
    let matrix: Array2<f32> =
        read_npy(&part.matrix).map_err(|e| Error::input(format!("{}: {e}", part.matrix.display())))?;
    let plugin = part
        .plugins
        .iter()
        .find(|path| path.to_string_lossy().contains("organization"))
        .ok_or_else(|| Error::input("there is no plugin of organization metrics"))?;
    let io = |e: std::io::Error| Error::new(Kind::Io, format!("a temporary folder: {e}"));
    let kept = tempfile::tempdir().map_err(io)?;
    let mut turn = 0;
    let mut work = || -> Result<Value> {
        turn += 1;
        let copy = kept.path().join(format!("libturn_{turn}.{}", std::env::consts::DLL_EXTENSION));
        std::fs::copy(plugin, &copy).map_err(io)?;
        let catalogue = Catalogue::load(&[copy])?;
        let folder = if part.cached { "cache".into() } else { format!("cache-{turn}") };
        let cache = kept.path().join(folder);
        let clock = Instant::now();
        let setting =
            Setting { threads: 1, neurons: Some(matrix.nrows()), cache: Some(&cache), ..Setting::default() };
        let network = Network::new(matrix.view());
        let (mut values, mut times) = (serde_json::Map::new(), serde_json::Map::new());
        for component in metrics() {
            let one = Instant::now();
            for measure in catalogue.metric(&component, &setting)?.measure(&network)? {
                values.insert(measure.name, json!(measure.value));
            }
            times.insert(component.id, json!(one.elapsed().as_secs_f64()));
        }
        Ok(json!({ "seconds": clock.elapsed().as_secs_f64(), "values": values, "times": times }))
    };
    turns::ready(&work()?)?;
    while turns::wait()? {
        turns::done(&work()?)?;
    }
    Ok(())
}

/// Computes a matrix, reading the field anew in each turn.
fn derive_in_turns(part: &DerivePart) -> Result<()> {
    let catalogue = Catalogue::load(&part.plugins)?;
    let derived = scene::component(
        "microns.derived",
        json!({
            "path": part.field,
            "delta_t_ms": WINDOW_S * 1e3,
            "bin_ms": BIN_S * 1e3,
            "correlation": false,
            "sttc": part.matrix == "sttc",
            "precision": if part.matrix == "precision" { "graphical-lasso" } else { "none" },
            "partial_correlation": false,
        }),
    );
    let work = || -> Result<Value> {
        let clock = Instant::now();
        let setting = Setting { threads: 1, ..Setting::default() };
        let field = catalogue.substrate(&derived, &setting)?.substrate(0)?;
        let seconds = clock.elapsed().as_secs_f64();
        let matrix = field.matrix(&part.matrix)?.to_owned();
        write_npy(&part.out, &matrix)
            .map_err(|e| Error::new(Kind::Io, format!("{}: {e}", part.out.display())))?;
        Ok(json!({ "seconds": seconds }))
    };
    turns::ready(&work()?)?;
    while turns::wait()? {
        turns::done(&work()?)?;
    }
    Ok(())
}

// The comparison.

/// Δt of the STTC and width of a bin of counts, in seconds, as released.
const WINDOW_S: f64 = 0.1;
const BIN_S: f64 = 0.2;

/// Where things are.
struct Place {
    plugins: Vec<PathBuf>,
    python: PathBuf,
    scripts: PathBuf,
    inputs: PathBuf,
    results: PathBuf,
    table: PathBuf,
}

/// A comparison of trainings.
struct Trainings {
    name: &'static str,
    what: &'static str,
    variant: &'static str,
    task: &'static str,
    /// Overrides of the published study.
    sets: &'static [&'static str],
    /// Cells of Pallium at once, one thread each.
    own: usize,
    /// Script, cells at once, threads of each.
    peers: &'static [(&'static str, usize, usize)],
    goal: Option<f64>,
}

const TEN_STEPS: [&str; 2] = ["training.trials=1280", "training.validation=1"];
const ONE_CORE: [(&str, usize, usize); 2] = [("torch_rnn.py", 1, 1), ("keras_rnn.py", 1, 1)];
const BOTH_CORES: [(&str, usize, usize); 3] =
    [("keras_rnn.py", 1, 2), ("keras_rnn.py", 2, 1), ("torch_rnn.py", 2, 1)];
const KERAS_ALONE: [(&str, usize, usize); 1] = [("keras_rnn.py", 1, 2)];
const ONE_CHOICE: &str = "one-choice";
const STEPS: &str = "10 training steps of the published size";
const EPOCH: &str = "an epoch of 40 steps and its 20 validation batches";

/// The comparisons of trainings. The variants that differ from one of these in
/// weights or geometry alone cost the same.
fn trainings() -> Vec<Trainings> {
    let step = |name, variant, sets, goal| Trainings {
        name,
        what: STEPS,
        variant,
        task: ONE_CHOICE,
        sets,
        own: 1,
        peers: &ONE_CORE,
        goal,
    };
    let two = |name, variant, sets, goal| Trainings {
        name,
        what: EPOCH,
        variant,
        task: ONE_CHOICE,
        sets,
        own: 2,
        peers: &BOTH_CORES,
        goal,
    };
    let keras = |name, variant, task| Trainings {
        name,
        what: EPOCH,
        variant,
        task,
        sets: &[],
        own: 2,
        peers: &KERAS_ALONE,
        goal: None,
    };
    vec![
        step("step/none", "W", &["variant.W.constraints=[]"], Some(1.3)),
        step("step/distance", "WD*", &[], None),
        step("step/communicability", "W*D*C", &[], Some(2.5)),
        step("step/communicability-emd", "W*D*C*", &[], None),
        two("two/none", "W", &["variant.W.constraints=[]"], None),
        two("two/distance", "WD*", &[], Some(3.0)),
        two("two/communicability", "W*D*C", &[], Some(3.5)),
        two("two/communicability-emd", "W*D*C*", &[], Some(4.0)),
        keras("study/one-choice/l1", "W", "one-choice"),
        keras("study/go-no-go/l1", "W", "go-no-go"),
        keras("study/go-no-go/distance", "WD*", "go-no-go"),
        keras("study/go-no-go/communicability", "W*D*C", "go-no-go"),
        keras("study/go-no-go/communicability-emd", "W*D*C*", "go-no-go"),
        keras("study/perceptual-decision/l1", "W", "perceptual-decision"),
        keras("study/perceptual-decision/distance", "WD*", "perceptual-decision"),
        keras("study/perceptual-decision/communicability", "W*D*C", "perceptual-decision"),
        keras("study/perceptual-decision/communicability-emd", "W*D*C*", "perceptual-decision"),
    ]
}

/// Variants of the published study by constraint.
const SHARES: [(&str, f64); 4] =
    [("l1", 1.0), ("distance", 2.0), ("communicability", 4.0), ("communicability-emd", 4.0)];
const TASKS: [&str; 3] = ["one-choice", "go-no-go", "perceptual-decision"];
/// Cells of the published study.
const STUDY: f64 = 11.0 * 3.0 * 20.0;
/// Epochs of a training.
const EPOCHS: f64 = 10.0;

fn compare(arguments: &Arguments) -> Result<()> {
    let base = scene::target().join("peers");
    let plugins = if arguments.as_built { scene::built()? } else { scene::build()? };
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|p| name.starts_with(p));
    let place = Place {
        plugins,
        python: match &arguments.python {
            Some(python) => python.clone(),
            None => environment(&base)?,
        },
        scripts: scene::root().join("benches/peers"),
        inputs: base.join("inputs"),
        results: base.join("results"),
        table: base.join("table.md"),
    };
    let catalogue = Catalogue::load(&place.plugins)?;
    for case in trainings().iter().filter(|case| wanted(case.name)) {
        quiet(arguments.patience);
        let found = trained(case, arguments.turns, &place, &catalogue)?;
        tell(&found);
        report::save(&place.results, case.name, &found)?;
    }
    for (name, cached) in [("metrics/first", false), ("metrics/cached", true)] {
        if wanted(name) {
            quiet(arguments.patience);
            let found = measured(name, cached, arguments, &place, &catalogue)?;
            tell(&found);
            report::save(&place.results, name, &found)?;
        }
    }
    for matrix in ["sttc", "precision"] {
        let name = format!("field/{matrix}");
        if wanted(&name) {
            quiet(arguments.patience);
            if let Some(found) = derived(&name, matrix, arguments, &place, &catalogue)? {
                tell(&found);
                report::save(&place.results, &name, &found)?;
            }
        }
    }
    if wanted("startup") {
        quiet(arguments.patience);
        report::save(&place.results, "startup", &start_up(arguments.turns)?)?;
    }
    if wanted("overhead") {
        quiet(arguments.patience);
        report::save(&place.results, "overhead", &overhead(arguments.turns)?)?;
    }
    if wanted("memory") {
        report::save(&place.results, "memory", &memory()?)?;
    }
    if wanted("whole-study") {
        quiet(arguments.patience);
        report::save(&place.results, "whole-study", &study(arguments.cells, &catalogue)?)?;
    }
    let text = summary(&place);
    std::fs::write(&place.table, &text).map_err(|e| Error::io(&place.table, &e))?;
    println!("{text}\nwritten to {}", place.table.display());
    Ok(())
}

/// Makes the peers' environment, once.
fn environment(base: &Path) -> Result<PathBuf> {
    let (folder, wanted) = (base.join("venv"), scene::root().join("benches/peers/requirements.txt"));
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let text = std::fs::read_to_string(&wanted).map_err(|e| Error::io(&wanted, &e))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == text) {
        return Ok(python);
    }
    eprintln!("making an environment for the peers in {} (about 7 GB, minutes)", folder.display());
    let run = |command: &mut Command| {
        let status = command
            .status()
            .map_err(|e| Error::new(Kind::Io, format!("{command:?} cannot be started: {e}")))?;
        let hint = "Python 3.11 to 3.13 with the venv module, and a way to PyPI, are needed; --python uses an environment that is there";
        if status.success() { Ok(()) } else { Err(Error::input(format!("{command:?} failed")).help(hint)) }
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&wanted))?;
    std::fs::write(&stamp, text).map_err(|e| Error::io(&stamp, &e))?;
    Ok(python)
}

/// Waits until other programs leave the cores alone, or time is up.
fn quiet(patience: u64) {
    let end = Instant::now() + Duration::from_secs(patience);
    while others() > DISTURBED && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Cores that other programs keep busy, over a second.
fn others() -> f64 {
    let watch = watch::Others::watch(&[]);
    std::thread::sleep(Duration::from_secs(1));
    watch.cores()
}

fn machine() -> String {
    let machine = Machine::this();
    format!("{}, {} cores, {}", machine.cpu.unwrap_or_default(), machine.cores, machine.system)
}

fn tell(found: &Found) {
    eprintln!(
        "{}: Pallium {}, peak {} GFLOP/s",
        found.case,
        spread(&found.own.seconds),
        digits(found.peak.median() / 1e9)
    );
    for peer in &found.peers {
        eprintln!(
            "  {} × {} at once: {}, ratio {}",
            peer.name,
            peer.at_once,
            spread(&peer.seconds),
            digits(found.ratios(peer).median())
        );
    }
}

/// A round: the machine's peak, then a turn of each side.
struct Round {
    peak: f64,
    turns: Vec<turns::Turn>,
    /// Cores that other programs kept busy meanwhile.
    others: f64,
}

/// Cores that other programs may keep busy in a round that counts.
const DISTURBED: f64 = 0.05;

/// Has the sides take turns until there are `rounds` rounds that no other
/// program disturbed, or three times as many have been tried; then the least
/// disturbed ones count.
fn take_turns(sides: &mut [Side], rounds: usize, cores: usize) -> Result<Vec<Round>> {
    let rounds = rounds.max(1);
    let pids: Vec<u32> = sides.iter().flat_map(|side| side.pids().collect::<Vec<_>>()).collect();
    let mut all: Vec<Round> = Vec::new();
    while all.len() < 3 * rounds && all.iter().filter(|r| r.others <= DISTURBED).count() < rounds {
        let others = watch::Others::watch(&pids);
        let peak = if cores == 1 { peak::one_core() } else { peak::cores(cores) };
        let turns = sides.iter_mut().map(Side::turn).collect::<Result<Vec<_>>>()?;
        all.push(Round { peak, turns, others: others.cores() });
    }
    let mut quietest: Vec<f64> = all.iter().map(|round| round.others).collect();
    quietest.sort_by(f64::total_cmp);
    let limit = quietest[rounds.min(quietest.len()) - 1].max(DISTURBED);
    all.retain(|round| round.others <= limit);
    all.truncate(rounds);
    Ok(all)
}

/// A number from each round.
fn each(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Sample {
    Sample(rounds.iter().map(of).collect())
}

fn trained(case: &Trainings, turns: usize, place: &Place, catalogue: &Catalogue) -> Result<Found> {
    let mut sets: Vec<String> = case.sets.iter().map(|&set| set.to_owned()).collect();
    if case.what == STEPS {
        sets.extend(TEN_STEPS.map(str::to_owned));
    }
    let cell = scene::cell(catalogue, case.variant, case.task, &sets)?;
    let folder = place.inputs.join(case.name.replace('/', "-"));
    inputs::write(&cell, catalogue, &folder)?;

    let own = || -> Result<Command> {
        let mut command = itself()?;
        command.args(["train", "--variant", case.variant, "--task", case.task]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        command.args(&place.plugins);
        Ok(command)
    };
    let mut sides = vec![Side::start((0..case.own).map(|_| own()).collect::<Result<_>>()?)?];
    for &(script, processes, threads) in case.peers {
        let peer = |_| {
            let mut command = Command::new(&place.python);
            command.arg(place.scripts.join(script)).arg(&folder).arg(threads.to_string());
            command.stderr(log(&folder, script)?);
            Ok(command)
        };
        sides.push(Side::start((0..processes).map(peer).collect::<Result<_>>()?)?);
    }
    let rounds = take_turns(&mut sides, turns, case.own)?;

    let steps = catalogue.task(&cell.task_component, &Setting::default())?.info().steps;
    let step = scene::step_operations(312, cell.training.batch, steps);
    // Validation runs forward, a third of a step; less than one batch of it
    // counts as nothing.
    let batches = |trials: usize| (trials / cell.training.batch) as f64;
    let operations = step * (batches(cell.training.trials) + batches(cell.training.validation) / 3.0);
    let mut timed = sides.iter().enumerate().map(|(at, side)| {
        let (name, threads) = match at {
            0 => ("Pallium".to_owned(), 1),
            _ => (side.about["peer"].as_str().unwrap_or("?").to_owned(), case.peers[at - 1].2),
        };
        Timed {
            name,
            at_once: side.processes(),
            threads,
            seconds: each(&rounds, |round| round.turns[at].wall / side.processes() as f64),
            // The first epoch, with what is done once in a training.
            note: format!("first {}", seconds(side.about["seconds"].as_f64().unwrap_or(f64::NAN))),
        }
    });
    let own = timed.next().ok_or_else(|| Error::bug("no side"))?;
    let peers: Vec<Timed> = timed.collect();
    agree(case.name, &sides);
    Ok(Found {
        case: case.name.into(),
        what: case.what.into(),
        own,
        peers,
        operations: Some(operations),
        peak: each(&rounds, |round| round.peak),
        goal: case.goal,
        machine: machine(),
        others: each(&rounds, |round| round.others),
    })
}

/// Warns if the sides did not do the same: their running losses in the first
/// epoch differ by the draws of input weights and noise alone.
fn agree(case: &str, sides: &[Side]) {
    let losses: Vec<f64> = sides.iter().map(|s| s.about["loss"].as_f64().unwrap_or(f64::NAN)).collect();
    if losses
        .iter()
        .any(|loss| (loss / losses[0] - 1.0).abs().partial_cmp(&0.1) != Some(std::cmp::Ordering::Less))
    {
        eprintln!("warning: {case}: the sides' losses differ: {losses:?}");
    }
}

/// A file for what a peer says besides.
fn log(folder: &Path, script: &str) -> Result<std::fs::File> {
    let path = folder.join(script).with_extension("log");
    std::fs::File::create(&path).map_err(|e| Error::io(&path, &e))
}

fn itself() -> Result<Command> {
    let path = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))?;
    Ok(Command::new(path))
}

fn measured(
    name: &str,
    cached: bool,
    arguments: &Arguments,
    place: &Place,
    catalogue: &Catalogue,
) -> Result<Found> {
    let matrix = trained_matrix(place, catalogue)?;
    let mut own = itself()?;
    own.arg("metrics").arg("--matrix").arg(&matrix);
    if cached {
        own.arg("--cached");
    }
    own.args(&place.plugins);
    let graphs = if arguments.full { 1000 } else { arguments.graphs };
    let mut sides = vec![Side::start(vec![own])?];
    let kinds = [("integer", "null graphs of integers as published"), ("float", "null graphs of floats")];
    for (kind, _) in kinds {
        let mut peer = Command::new(&place.python);
        peer.arg(place.scripts.join("graph_metrics.py")).arg(&matrix).args(["1", &graphs.to_string(), kind]);
        peer.stderr(log(&place.inputs, &format!("graph_metrics_{kind}.py"))?);
        sides.push(Side::start(vec![peer])?);
    }
    let rounds = take_turns(&mut sides, arguments.turns, 1)?;
    let reported = |side: usize, key: &str| {
        each(&rounds, |round| round.turns[side].report[key].as_f64().unwrap_or(f64::NAN))
    };
    eprintln!("{name}: Pallium {}\n  peer {}", rounds[0].turns[0].report, rounds[0].turns[1].report);
    let extent =
        if arguments.full { String::new() } else { format!(", {graphs} drawn, by proportion 1,000") };
    let one = |name: &str, seconds: Sample, note: String| Timed {
        name: name.into(),
        at_once: 1,
        threads: 1,
        seconds,
        note,
    };
    let peer = sides[1].about["peer"].as_str().unwrap_or("?").to_owned();
    let peers = kinds.iter().enumerate();
    Ok(Found {
        case: name.into(),
        what: "all published metrics of one trained matrix".into(),
        own: one("Pallium", reported(0, "seconds"), String::new()),
        peers: peers
            .map(|(at, (_, note))| one(&peer, reported(at + 1, "whole"), format!("{note}{extent}")))
            .collect(),
        operations: None,
        peak: each(&rounds, |round| round.peak),
        goal: Some(if cached { 5000.0 } else { 1000.0 }),
        machine: machine(),
        others: each(&rounds, |round| round.others),
    })
}

/// A matrix of field 5_6_8 from its event times; nothing if the field is not
/// at hand.
fn derived(
    name: &str,
    matrix: &str,
    arguments: &Arguments,
    place: &Place,
    catalogue: &Catalogue,
) -> Result<Option<Found>> {
    let Some(field) = scene::field("5_6_8") else {
        eprintln!("{name}: skipped, since there is no field 5_6_8; set PALLIUM_DATA to where the fields are");
        return Ok(None);
    };
    let folder = place.inputs.join(name.replace('/', "-"));
    let neurons = inputs::events(&field, &folder, WINDOW_S, BIN_S, catalogue)?;
    let out = folder.join("own.npy");
    let mut own = itself()?;
    own.args(["derive", "--matrix", matrix, "--field"]).arg(&field).arg("--out").arg(&out);
    own.args(&place.plugins);
    let mut peer = Command::new(&place.python);
    let (script, goal) =
        if matrix == "sttc" { ("elephant_sttc.py", 500.0) } else { ("sklearn_lasso.py", 3.0) };
    peer.arg(place.scripts.join(script)).arg(&folder).stderr(log(&folder, script)?);
    if matrix == "sttc" {
        peer.arg(arguments.pairs.to_string());
    }
    let mut sides = vec![Side::start(vec![own])?, Side::start(vec![peer])?];
    let rounds = take_turns(&mut sides, arguments.turns, 1)?;
    let read = |path: PathBuf| -> Result<Array2<f64>> {
        read_npy(&path).map_err(|e| Error::input(format!("{}: {e}", path.display())))
    };
    let found = read(out)?;
    let (key, note) = if matrix == "sttc" {
        let about = &sides[1].about;
        let off = |key: &str| differences(&found, &about["pairs"], &about[key]);
        let (with, without) = (off("values"), off("without_tolerance"));
        let mean = with.iter().sum::<f64>() / with.len() as f64;
        let note = format!(
            "{} pairs, by proportion {}; its values are {mean:.1e} higher on average and {:.1e} off at most, \
             without its relative tolerance {:.1e} off at most",
            arguments.pairs,
            neurons * (neurons - 1) / 2,
            largest(&with),
            largest(&without),
        );
        ("whole", note)
    } else {
        let theirs = read(folder.join("precision_peer.npy"))?;
        let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
        let note =
            format!("its values are {:.1e} of their norm off", norm(&(&found - &theirs)) / norm(&theirs));
        ("seconds", note)
    };
    let reported = |side: usize, key: &str| {
        each(&rounds, |round| round.turns[side].report[key].as_f64().unwrap_or(f64::NAN))
    };
    let one = |name: &str, seconds, note| Timed { name: name.into(), at_once: 1, threads: 1, seconds, note };
    Ok(Some(Found {
        case: name.into(),
        what: format!("the {matrix} of 160 neurons from 255,797 events; Pallium reads the field, too"),
        own: one("Pallium", reported(0, "seconds"), String::new()),
        peers: vec![one(sides[1].about["peer"].as_str().unwrap_or("?"), reported(1, key), note)],
        operations: None,
        peak: each(&rounds, |round| round.peak),
        goal: Some(goal),
        machine: machine(),
        others: each(&rounds, |round| round.others),
    }))
}

/// How much higher a peer's values of some pairs are than those of a matrix.
fn differences(matrix: &Array2<f64>, pairs: &Value, values: &Value) -> Vec<f64> {
    let index = |pair: &Value, at: usize| pair[at].as_u64().unwrap_or(u64::MAX) as usize;
    let all = pairs.as_array().into_iter().flatten().zip(values.as_array().into_iter().flatten());
    all.map(|(pair, value)| {
        let own = matrix.get([index(pair, 0), index(pair, 1)]).copied().unwrap_or(f64::NAN);
        value.as_f64().unwrap_or(f64::NAN) - own
    })
    .collect()
}

fn largest(differences: &[f64]) -> f64 {
    differences.iter().map(|d| d.abs()).fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

/// A recurrent matrix after a whole training under W*D*C, made once.
fn trained_matrix(place: &Place, catalogue: &Catalogue) -> Result<PathBuf> {
    let path = place.inputs.join("trained.npy");
    if path.exists() {
        return Ok(path);
    }
    eprintln!("training a matrix to measure");
    let cell = scene::cell(catalogue, "W*D*C", ONE_CHOICE, &["metrics.use=[]".to_owned()])?;
    let trained = train(&cell, catalogue, &Options::default(), &mut |_| ())?;
    let recurrent = trained
        .parameters
        .iter()
        .find(|tensor| tensor.name == "recurrent")
        .ok_or_else(|| Error::bug("a trained model without recurrent weights"))?;
    let n = trained.initial.nrows();
    let matrix = Array2::from_shape_vec((n, n), recurrent.values.clone())
        .map_err(|e| Error::bug(format!("the trained matrix: {e}")))?;
    std::fs::create_dir_all(&place.inputs).map_err(|e| Error::io(&place.inputs, &e))?;
    write_npy(&path, &matrix).map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))?;
    Ok(path)
}

/// How long `pallium run` takes until the first step, and the memory of its
/// largest process.
#[derive(Serialize, Deserialize)]
struct StartUp {
    /// Seconds from the command to the event `set up` of the run's log, which
    /// the worker writes when all that is left to do is the first step.
    seconds: Sample,
    /// Largest resident memory of a worker, MB.
    worker_mb: Sample,
    /// Largest resident memory of the parent, MB.
    parent_mb: Sample,
}

fn start_up(turns: usize) -> Result<StartUp> {
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

/// When a run's log tells an event for the first time.
fn logged(out: &Path, event: &str) -> Result<DateTime<Utc>> {
    let path = out.join("log.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, &e))?;
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .find(|found| found["message"] == event)
        .and_then(|found| found["timestamp"].as_str()?.parse().ok())
        .ok_or_else(|| Error::input(format!("{}: no event `{event}`", path.display())))
}

/// What a cell costs besides its work: its process, and keeping its results.
#[derive(Serialize, Deserialize)]
struct Overhead {
    /// Cells of a run.
    cells: usize,
    /// Seconds a cell that are none of the cell's own, one cell at a time.
    seconds: Sample,
}

/// Runs many cells that have next to nothing to do.
fn overhead(turns: usize) -> Result<Overhead> {
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
    eprintln!("overhead: {} a cell", spread(&found.seconds));
    Ok(found)
}

/// Memory of a worker by number of neurons, MB.
type Memory = Vec<(usize, f64)>;

/// Trains cells of several sizes on one batch, and looks at the memory.
fn memory() -> Result<Memory> {
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

/// The published study on a field of so many neurons.
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

/// Time of whole cells of the study, as `pallium run` runs them.
#[derive(Serialize, Deserialize)]
struct Study {
    /// Cells that were run.
    cells: usize,
    /// Workers at once.
    jobs: usize,
    /// Seconds by the clock for all of them.
    wall: f64,
    /// Each cell's own seconds.
    each: Sample,
    /// Seconds of each part, summed over the cells.
    parts: Vec<(String, f64)>,
    /// Largest resident memory of a worker, MB.
    worker_mb: f64,
    /// Cores that others kept busy just before.
    others: f64,
}

fn study(cells: usize, catalogue: &Catalogue) -> Result<Study> {
    let jobs = Machine::this().cores;
    let others = others();
    let folder = tempfile::tempdir().map_err(|e| Error::new(Kind::Io, e.to_string()))?;
    let out = folder.path().join("run");
    let mut command = study_command(&out, 312);
    command.args(["--jobs", &jobs.to_string()]);
    let mut sets = scene::substrate_sets(312);
    sets.push("runs=1".into());
    let path = scene::root().join("experiments/cortical-blueprint.toml");
    let all = pallium::experiment::Experiment::load(&path, &sets)?.expand(catalogue)?;
    // Cells come task by task, variant by variant; every variant is visited
    // once, each with the next task, before any is visited again.
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
        return Err(Error::input(format!("{} of {chosen} cells were timed", each.0.len())));
    }
    let found =
        Study { cells: chosen, jobs, wall: taken.wall, each, parts, worker_mb: taken.child_peak_mb, others };
    eprintln!("study: {chosen} cells in {}, each {}", seconds(found.wall), spread(&found.each));
    Ok(found)
}

/// Everything that was measured, as Markdown.
fn summary(place: &Place) -> String {
    let found: Vec<Found> = trainings()
        .iter()
        .map(|case| case.name)
        .chain(["metrics/first", "metrics/cached", "field/sttc", "field/precision"])
        .filter_map(|name| report::load(&place.results, name))
        .collect();
    let mut text = report::table(&found);
    let peak = |cores: usize| {
        let all = found.iter().filter(|f| f.own.at_once == cores).flat_map(|f| f.peak.0.clone()).collect();
        digits(Sample(all).median() / 1e9)
    };
    if let Some(first) = found.first() {
        text += &format!(
            "\n{}: peak {} GFLOP/s on one core, {} on two (f32 FMA).\n",
            first.machine,
            peak(1),
            peak(2)
        );
        let busiest = found.iter().max_by(|a, b| a.others.range().1.total_cmp(&b.others.range().1));
        if let Some(busiest) = busiest {
            let cores = digits(busiest.others.range().1);
            text += &format!(
                "Other programs kept at most {cores} cores busy in a round (in {}).\n",
                busiest.case
            );
        }
    }
    if let Some(start) = report::load::<StartUp>(&place.results, "startup") {
        text += &format!(
            "\nStart-up of `pallium run` to the first training step on 312 neurons: {} (aim: below 0.3 s). Memory of a worker: {} MB (aim: below 150 MB); of the parent: {} MB.\n",
            spread(&start.seconds),
            digits(start.worker_mb.median()),
            digits(start.parent_mb.median())
        );
    }
    if let Some(overhead) = report::load::<Overhead>(&place.results, "overhead") {
        text += &format!(
            "\nProcess and storage, {} cells one at a time: {} a cell (aim: below 50 ms).\n",
            overhead.cells,
            spread(&overhead.seconds)
        );
    }
    if let Some(memory) = report::load::<Memory>(&place.results, "memory") {
        let sizes: Vec<String> = memory.iter().map(|(n, mb)| format!("{n}: {} MB", digits(*mb))).collect();
        text += &format!("\nMemory of a worker by number of neurons, on one batch: {}.\n", sizes.join(", "));
    }
    if let Some(study) = report::load::<Study>(&place.results, "whole-study") {
        let whole = study.wall * STUDY / study.cells as f64;
        text += &format!(
            "\nStudy: {} of its {STUDY} cells in {} by the clock, {} at once, each {}; all {STUDY} in {} by proportion. Memory of a worker at most {} MB.\n",
            study.cells,
            seconds(study.wall),
            study.jobs,
            spread(&study.each),
            seconds(whole),
            digits(study.worker_mb)
        );
        let shares: Vec<String> = study
            .parts
            .iter()
            .map(|(name, sum)| {
                format!("{} {}", name.trim_start_matches("seconds_"), seconds(sum / study.cells as f64))
            })
            .collect();
        text += &format!("Parts of a cell: {}.\n", shares.join(", "));
        text += &published(place, &found, whole);
    }
    text += &report::components(&scene::target().join("criterion"));
    text
}

/// The published pipeline's time for the study, from its parts.
fn published(place: &Place, found: &[Found], own: f64) -> String {
    let Some(metrics) = report::load::<Found>(&place.results, "metrics/first") else { return String::new() };
    let epoch = |task: &str, constraint: &str| {
        let name = if task == ONE_CHOICE && constraint != "l1" {
            format!("two/{constraint}")
        } else {
            format!("study/{task}/{constraint}")
        };
        let case = found.iter().find(|f| f.case == name)?;
        let keras = case.peers.iter().find(|p| p.name.starts_with("Keras") && p.at_once == 1)?;
        Some(keras.seconds.median())
    };
    let mut training = 0.0;
    for task in TASKS {
        for (constraint, variants) in SHARES {
            let Some(seconds) = epoch(task, constraint) else {
                return format!(
                    "The published pipeline's time for the study needs the case of {task} under {constraint}.\n"
                );
            };
            training += 20.0 * variants * EPOCHS * seconds;
        }
    }
    let measuring = STUDY * metrics.peers[0].seconds.median();
    format!(
        "The published pipeline, cell after cell with both cores: trainings {}, metrics {}, together {}: **{}** times as long (aim: ≥ 18).\n",
        seconds(training),
        seconds(measuring),
        seconds(training + measuring),
        digits((training + measuring) / own)
    )
}
