//! Compares Pallium with Keras, PyTorch, JAX, bctpy, networkx, Elephant and
//! scikit-learn, and with the machine's own peak.
//!
//! ```text
//! cargo run --release -p pallium-benches --bin compare
//! ```
//!
//! builds Pallium and an environment for the peers (`target/peers`), measures
//! every case with the sides taking turns, and writes `target/peers/table.md`.
//! Measurements are kept in `target/peers/results`: cases can be measured one at
//! a time (`--only`), and the table contains all of them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use pallium::plugins::Catalogue;
use pallium_benches::{report, scene};
use pallium_core::{Error, Kind, Result};

use self::arguments::{Arguments, Paths, Side};
use self::connected::connected;
use self::matrices::{derived, measured};
use self::rounds::wait_for_quiet;
use self::runs::{memory, overhead, start_up, study};
use self::summary::{print, summary};
use self::trainings::{trained, trainings};

mod arguments;
mod connected;
mod matrices;
mod own;
mod rounds;
mod runs;
mod summary;
mod trainings;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.side {
        Some(Side::Train(part)) => own::train_in_turns(part),
        Some(Side::Metrics(part)) => own::measure_in_turns(part),
        Some(Side::Derive(part)) => own::derive_in_turns(part),
        Some(Side::Connected(part)) => connected::step_in_turns(part),
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

fn compare(arguments: &Arguments) -> Result<()> {
    let base = scene::target().join("peers");
    let plugins = if arguments.as_built { scene::built()? } else { scene::build()? };
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|p| name.starts_with(p));
    let paths = Paths {
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
    let catalogue = Catalogue::load(&paths.plugins)?;
    for case in trainings().iter().filter(|case| wanted(case.name)) {
        wait_for_quiet(arguments.patience);
        let found = trained(case, arguments.turns, &paths, &catalogue)?;
        print(&found);
        report::save(&paths.results, case.name, &found)?;
    }
    for name in connected::names().filter(|name| wanted(name)) {
        wait_for_quiet(arguments.patience);
        let found = connected(name, arguments.turns, &paths)?;
        print(&found);
        report::save(&paths.results, name, &found)?;
    }
    for (name, cached) in [("metrics/first", false), ("metrics/cached", true)] {
        if wanted(name) {
            wait_for_quiet(arguments.patience);
            let found = measured(name, cached, arguments, &paths, &catalogue)?;
            print(&found);
            report::save(&paths.results, name, &found)?;
        }
    }
    for matrix in ["sttc", "precision"] {
        let name = format!("field/{matrix}");
        if wanted(&name) {
            wait_for_quiet(arguments.patience);
            if let Some(found) = derived(&name, matrix, arguments, &paths, &catalogue)? {
                print(&found);
                report::save(&paths.results, &name, &found)?;
            }
        }
    }
    if wanted("startup") {
        wait_for_quiet(arguments.patience);
        report::save(&paths.results, "startup", &start_up(arguments.turns)?)?;
    }
    if wanted("overhead") {
        wait_for_quiet(arguments.patience);
        report::save(&paths.results, "overhead", &overhead(arguments.turns)?)?;
    }
    if wanted("memory") {
        report::save(&paths.results, "memory", &memory()?)?;
    }
    if wanted("whole-study") {
        wait_for_quiet(arguments.patience);
        report::save(&paths.results, "whole-study", &study(arguments.cells, &catalogue)?)?;
    }
    let text = summary(&paths);
    std::fs::write(&paths.table, &text).map_err(|e| Error::io(&paths.table, &e))?;
    println!("{text}\nwritten to {}", paths.table.display());
    Ok(())
}

/// Creates the peers' Python environment unless it exists.
fn environment(base: &Path) -> Result<PathBuf> {
    let (folder, wanted) = (base.join("venv"), scene::root().join("benches/peers/requirements.txt"));
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let text = std::fs::read_to_string(&wanted).map_err(|e| Error::io(&wanted, &e))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(python);
    }
    eprintln!("creating an environment for the peers in {} (about 7 GB, minutes)", folder.display());
    let run = |command: &mut Command| {
        let status = command
            .status()
            .map_err(|e| Error::new(Kind::Io, format!("{command:?} cannot be started: {e}")))?;
        let hint = "this needs Python 3.11 to 3.13 with the venv module, and access to PyPI; --python uses an existing environment";
        if status.success() { Ok(()) } else { Err(Error::input(format!("{command:?} failed")).help(hint)) }
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&wanted))?;
    std::fs::write(&stamp, text).map_err(|e| Error::io(&stamp, &e))?;
    Ok(python)
}
