//! Builds the components of a training, each with its setting and its seed.

use std::path::Path;

use pallium_core::{
    Constraint, Error, Matrix, Metric, Model, Result, Setting, Substrate, Task, TaskInfo, WeightRequest,
};
use pallium_record::checkpoint::CheckpointFile;
use pallium_record::spec::{CellSpec, Use};

use crate::geometry::{self, Distances};
use crate::plugins::Catalogue;

/// Options that must not change the result of a training.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Folder in which components may cache results.
    pub cache: Option<&'a Path>,
    /// Where checkpoints are written, and continued from.
    pub checkpoint: Option<&'a CheckpointFile>,
    /// Whether the state after training is kept with the result.
    pub keep_state: bool,
}

pub(super) fn setting<'a>(
    spec: &CellSpec,
    options: &Options<'a>,
    substrate: &'a Substrate,
    distance: Option<&'a Distances>,
) -> Setting<'a> {
    Setting {
        threads: spec.training.threads,
        cache: options.cache,
        neurons: Some(substrate.neurons),
        substrate: Some(substrate),
        distance: distance.map(|d| d.values.view()),
        distance_unit_um: distance.and_then(|d| d.unit_um),
        ..Setting::default()
    }
}

/// Completes a setting for components that depend on the task.
pub(super) fn with_task<'a>(info: &TaskInfo, base: Setting<'a>) -> Setting<'a> {
    Setting { inputs: Some(info.inputs), classes: Some(info.classes), step_ms: info.step_ms, ..base }
}

pub(super) fn read_substrate(
    spec: &CellSpec,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Substrate> {
    let seed = spec.derived_seed("substrate");
    let setting =
        Setting { seed, threads: spec.training.threads, cache: options.cache, ..Setting::default() };
    let substrate = catalogue
        .substrate(&spec.substrate, &setting)?
        .substrate(seed)
        .map_err(|e| e.context(format!("`{}` gives no substrate", spec.substrate.id)))?;
    substrate.check()?;
    Ok(substrate)
}

pub(super) fn distances(spec: &CellSpec, substrate: &Substrate) -> Result<Option<Distances>> {
    geometry::distances(&spec.geometry, Some(substrate), substrate.neurons, spec.derived_seed("geometry"))
}

pub(super) fn grow_weights(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    substrate: &Substrate,
) -> Result<Matrix> {
    let seed = spec.derived_seed("weights");
    let request = WeightRequest { neurons: substrate.neurons, substrate: Some(substrate), seed, draw: None };
    let weights = catalogue
        .weights(&spec.weights, &Setting { seed, ..*base })?
        .weights(&request)
        .map_err(|e| e.context(format!("`{}` gives no weights", spec.weights.id)))?;
    let n = substrate.neurons;
    if weights.dim() != (n, n) {
        let (rows, columns) = weights.dim();
        return Err(Error::plugin(format!(
            "`{}` gave {rows}×{columns} weights for {n} neurons",
            spec.weights.id
        )));
    }
    if let Some(((i, j), w)) = weights.indexed_iter().find(|(_, w)| !w.is_finite()) {
        return Err(Error::plugin(format!("`{}` gave the weight {w} from {i} to {j}", spec.weights.id)));
    }
    Ok(weights.as_standard_layout().into_owned())
}

pub(super) fn build_constraints(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Vec<Box<dyn Constraint>>> {
    spec.constraints.iter().map(|c| build_constraint(spec, c, catalogue, base)).collect()
}

pub(super) fn build_constraint(
    spec: &CellSpec,
    component: &Use,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Constraint>> {
    let seed = spec.derived_seed(&format!("constraint {}", component.id));
    catalogue.constraint(component, &Setting { seed, ..*base })
}

pub(super) fn build_task(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Task>> {
    catalogue.task(&spec.task_component, &Setting { seed: spec.trial_seed("task"), ..*base })
}

pub(super) fn build_model(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Model>> {
    catalogue.model(&spec.model, &Setting { seed: spec.derived_seed("model"), ..*base })
}

/// Initialises the model. If its recurrent weights never change, hard
/// constraints shape them once, here; a penalty would have no effect on them,
/// so it is refused.
pub(super) fn begin(
    spec: &CellSpec,
    model: &mut dyn Model,
    initial: &Matrix,
    constraints: &mut [Box<dyn Constraint>],
) -> Result<()> {
    model
        .initialise(initial.view(), spec.derived_seed("model"))
        .map_err(|e| e.context(format!("cannot initialise `{}`", spec.model.id)))?;
    if model.plastic() {
        return Ok(());
    }
    let mut gradient = Matrix::zeros(initial.dim());
    for (constraint, component) in constraints.iter_mut().zip(&spec.constraints) {
        for block in 0..model.info().blocks {
            let penalty = constraint.penalty(model.recurrent(block)?, gradient.view_mut())?;
            if penalty != 0.0 || constraint.wants_activity() || gradient.iter().any(|&g| g != 0.0) {
                return Err(Error::unsupported(format!(
                    "`{}` is a penalty, and the recurrent weights of `{}` never change",
                    component.id, spec.model.id
                ))
                .help("leave it out, or train them with another model; hard constraints shape such weights once, before training"));
            }
            constraint.project(model.recurrent_mut(block)?)?;
        }
    }
    Ok(())
}

pub(super) fn build_metrics(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Vec<Box<dyn Metric>>> {
    spec.metrics.iter().map(|m| build_metric(spec, m, catalogue, base)).collect()
}

pub(super) fn build_metric(
    spec: &CellSpec,
    component: &Use,
    catalogue: &Catalogue,
    base: &Setting<'_>,
) -> Result<Box<dyn Metric>> {
    let seed = spec.metric_seed(&component.id);
    catalogue.metric(component, &Setting { seed, ..*base })
}

pub(super) fn check_training(spec: &CellSpec) -> Result<()> {
    let training = &spec.training;
    if training.batch == 0 {
        return Err(Error::input("training.batch is 0").help("set it to 1 or more; 128 is usual"));
    }
    if training.trials == 0 && training.epochs > 0 {
        return Err(Error::input(format!("training.trials is 0, and training.epochs {}", training.epochs))
            .help("set training.epochs to 0 to measure untrained networks"));
    }
    Ok(())
}
