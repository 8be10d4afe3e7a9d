//! Pallium as one of the sides: this executable in a separate process that
//! works when it is its turn.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Instant;

use clap::Args;
use ndarray::Array2;
use ndarray_npy::{read_npy, write_npy};
use pallium::plugins::Catalogue;
use pallium::run::components::Options;
use pallium::run::train::train;
use pallium_benches::inputs::{BIN_S, WINDOW_S};
use pallium_benches::{scene, turns};
use pallium_core::{Error, Kind, Network, Result, Setting};
use pallium_record::spec::Use;
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub(crate) struct TrainPart {
    #[arg(long)]
    variant: String,
    #[arg(long)]
    task: String,
    #[arg(long)]
    set: Vec<String>,
    plugins: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct MetricsPart {
    #[arg(long)]
    matrix: PathBuf,
    /// Keeps the null ensemble after the first draw.
    #[arg(long)]
    cached: bool,
    plugins: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DerivePart {
    /// `sttc` or `precision`.
    #[arg(long)]
    matrix: String,
    /// The field's folder.
    #[arg(long)]
    field: PathBuf,
    /// The file for the matrix.
    #[arg(long)]
    out: PathBuf,
    plugins: Vec<PathBuf>,
}

/// Trains a variant of the published study in the host's training loop, which
/// pauses after every epoch until the next turn.
pub(crate) fn train_in_turns(part: &TrainPart) -> Result<()> {
    let catalogue = Catalogue::load(&part.plugins)?;
    let mut sets = part.set.clone();
    // More epochs than turns.
    sets.push("training.epochs=10000".into());
    let cell = scene::cell(&catalogue, &part.variant, &part.task, &sets)?;
    let (results, receive) = mpsc::channel();
    let (start, wait) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut clock = Instant::now();
        let outcome = train(&cell, &catalogue, &Options::default(), &mut |epoch| {
            let report = json!({ "seconds": clock.elapsed().as_secs_f64(), "loss": epoch.running_loss });
            // Both channels are closed when the process ends.
            let _ = results.send(Ok(report));
            let _ = wait.recv();
            clock = Instant::now();
        });
        let _ = results.send(match outcome {
            Ok(trained) => Err(Error::input(format!("the training ended early: {:?}", trained.divergence))),
            Err(error) => Err(error),
        });
    });
    let ended = |_| Error::bug("the training ended");
    turns::ready(&receive.recv().map_err(ended)??)?;
    while turns::wait()? {
        start.send(()).map_err(|_| Error::bug("the training ended"))?;
        turns::done(&receive.recv().map_err(ended)??)?;
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

/// Measures a matrix. The plugin keeps the null ensemble in static memory and
/// in a folder, so each turn loads a new copy of the plugin and, unless
/// `cached`, uses a new folder.
pub(crate) fn measure_in_turns(part: &MetricsPart) -> Result<()> {
    let matrix: Array2<f32> =
        read_npy(&part.matrix).map_err(|e| Error::input(format!("{}: {e}", part.matrix.display())))?;
    let plugin = part
        .plugins
        .iter()
        .find(|path| path.to_string_lossy().contains("organization"))
        .ok_or_else(|| Error::input("no plugin `organization` was given"))?;
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
            for measure in catalogue.metric(&component, &setting)?.measure(&network)?.values {
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

/// Computes a matrix, reading the field in each turn.
pub(crate) fn derive_in_turns(part: &DerivePart) -> Result<()> {
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
