//! The subjects of measurements: built plugins, fields, and trainings of the
//! published study.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pallium::experiment::{Experiment, filter};
use pallium::geometry::{self, Distances};
use pallium::plugins::Catalogue;
use pallium_core::{Error, Kind, Loss, Matrix, Result, Setting, Substrate, WeightRequest};
use pallium_record::spec::{CellSpec, Use};
use serde_json::{Value, json};

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder of this workspace's build products.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The executable that [`build`] builds.
pub fn executable() -> PathBuf {
    target().join("release/pallium")
}

/// Builds the executable and all plugins, and returns the plugins' files.
///
/// # Errors
/// If the build fails.
pub fn build() -> Result<Vec<PathBuf>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root())
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Error::new(Kind::Io, format!("cargo cannot be started: {e}")))?;
    if !output.status.success() {
        return Err(Error::input("cargo build --release failed"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut plugins: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .filter(|path| path.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().contains("pallium_")))
        .collect();
    plugins.sort();
    Ok(plugins)
}

/// The existing files of plugins.
///
/// # Errors
/// If there are none.
pub fn built() -> Result<Vec<PathBuf>> {
    let folder = target().join("release");
    let entries = std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, &e))?;
    let mut plugins: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION))
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().contains("pallium_")))
        .collect();
    plugins.sort();
    match plugins.is_empty() {
        false => Ok(plugins),
        true => Err(Error::input(format!("there are no plugins in {}", folder.display()))
            .help("build them: cargo build --release")),
    }
}

/// The folder of a recorded field, if available: in `$PALLIUM_DATA`, or in
/// `data` or `../shared/data` at the root.
pub fn field(name: &str) -> Option<PathBuf> {
    let folders = match std::env::var_os("PALLIUM_DATA") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => vec![root().join("data"), root().join("../shared/data")],
    };
    folders.into_iter().map(|folder| folder.join(name)).find(|folder| folder.is_dir())
}

/// The recorded field with this number of neurons if available, else a
/// synthetic one.
pub fn substrate_use(neurons: usize) -> Use {
    let recorded = match neurons {
        42 => field("5_3_8"),
        70 => field("5_3_4"),
        88 => field("4_7_2"),
        160 => field("5_6_8"),
        312 => field("6_6_2"),
        632 => field("9_3_2"),
        _ => None,
    };
    match recorded.as_ref().and_then(|path| path.to_str()) {
        Some(path) => component("microns.field", json!({ "path": path })),
        None => component("synthetic.field", json!({ "neurons": neurons })),
    }
}

/// A component with parameters from a JSON object.
pub fn component(id: &str, params: Value) -> Use {
    Use { params: params.as_object().cloned().unwrap_or_default(), ..Use::new(id) }
}

/// The training of the published study with this variant and task, in run 0,
/// with the overrides `sets`.
///
/// # Errors
/// If there is no such training.
pub fn cell(catalogue: &Catalogue, variant: &str, task: &str, sets: &[String]) -> Result<CellSpec> {
    let mut all = vec!["runs=1".to_owned()];
    all.extend(substrate_sets(312));
    all.extend_from_slice(sets);
    let experiment = Experiment::load(&root().join("experiments/cortical-blueprint.toml"), &all)?;
    let only = [format!("variant={variant}")];
    filter(experiment.expand(catalogue)?, &only)?
        .into_iter()
        .find(|cell| cell.task.ends_with(task))
        .ok_or_else(|| Error::input(format!("there is no task `{task}` in the published study")))
}

/// Overrides that make an experiment use [`substrate_use`].
pub fn substrate_sets(neurons: usize) -> Vec<String> {
    let wanted = substrate_use(neurons);
    let mut sets = vec![format!("substrate.use=\"{}\"", wanted.id)];
    sets.extend(wanted.params.iter().map(|(name, value)| format!("substrate.{name}={value}")));
    sets
}

/// The data that the components of a training are built with.
pub struct Scene {
    /// The neurons.
    pub substrate: Substrate,
    /// Distances in the training's geometry.
    pub distance: Option<Distances>,
    /// The initial weights.
    pub recurrent: Matrix,
    /// Input channels of the task.
    pub channels: usize,
    /// Outputs of the task.
    pub outputs: usize,
    /// How they are compared with its targets.
    pub loss: Loss,
}

impl Scene {
    /// The data of `cell`.
    ///
    /// # Errors
    /// If a component cannot be built or fails.
    pub fn new(cell: &CellSpec, catalogue: &Catalogue) -> Result<Self> {
        let bare = Setting { threads: 1, ..Setting::default() };
        let seed = cell.derived_seed("substrate");
        let substrate = catalogue.substrate(&cell.substrate, &Setting { seed, ..bare })?.substrate(seed)?;
        let n = substrate.neurons;
        let distance =
            geometry::distances(&cell.geometry, Some(&substrate), n, cell.derived_seed("geometry"))?;
        let seed = cell.derived_seed("weights");
        let setting = Setting { neurons: Some(n), substrate: Some(&substrate), seed, ..bare };
        let request =
            WeightRequest { neurons: n, substrate: Some(&substrate), seed, draw: None, connections: None };
        let recurrent = catalogue.weights(&cell.weights, &setting)?.weights(&request)?;
        let info = catalogue.task(&cell.task_component, &setting)?.info();
        Ok(Scene {
            substrate,
            distance,
            recurrent,
            channels: info.inputs,
            outputs: info.outputs,
            loss: info.loss,
        })
    }

    /// The setting, with one thread.
    pub fn setting(&self) -> Setting<'_> {
        Setting {
            threads: 1,
            neurons: Some(self.substrate.neurons),
            inputs: Some(self.channels),
            outputs: Some(self.outputs),
            loss: Some(self.loss),
            substrate: Some(&self.substrate),
            distance: self.distance.as_ref().map(|d| d.values.view()),
            distance_unit_um: self.distance.as_ref().and_then(|d| d.unit_um),
            ..Setting::default()
        }
    }
}

/// Nominal floating-point operations of a training step: forward 2·B·N²·T and
/// twice that backward, counting only products with the recurrent weights.
pub fn step_operations(neurons: usize, batch: usize, steps: usize) -> f64 {
    6.0 * batch as f64 * (neurons * neurons) as f64 * steps as f64
}
