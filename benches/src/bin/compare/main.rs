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

use clap::{Parser, Subcommand};
use pallium::plugins::Catalogue;
use pallium_benches::{report, scene};
use pallium_core::{Error, Kind, Result};

use self::matrices::{derived, measured};
use self::own::{DerivePart, MetricsPart, TrainPart};
use self::rounds::quiet;
use self::runs::{memory, overhead, start_up, study};
use self::summary::{summary, tell};
use self::trainings::{trained, trainings};

mod matrices;
mod own;
mod rounds;
mod runs;
mod summary;
mod trainings;

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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.part {
        Some(Part::Train(part)) => own::train_in_turns(part),
        Some(Part::Metrics(part)) => own::measure_in_turns(part),
        Some(Part::Derive(part)) => own::derive_in_turns(part),
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

/// Where things are.
struct Place {
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) python: PathBuf,
    pub(crate) scripts: PathBuf,
    pub(crate) inputs: PathBuf,
    pub(crate) results: PathBuf,
    pub(crate) table: PathBuf,
}

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
