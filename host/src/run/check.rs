//! Checks an experiment before it runs, by building its components.

use std::collections::{BTreeMap, BTreeSet};

use pallium_core::{Batch, Error, Kind, Matrix, Result, Setting, Split, Substrate, Targets};
use pallium_record::spec::{CellSpec, Training, Use};

use super::components::{
    Grown, Options, begin, build_constraints, build_metric, build_model, build_optimizer, build_task,
    check_model, check_training, describe_model, distances, inherited, places as places_of, read_substrate,
    setting, with_task,
};
use super::early_stopping;
use super::penalties::{Penalties, Wiring};
use super::tasks::Tasks;
use crate::plugins::Catalogue;

/// Builds the components of `specs` without training: each distinct one once,
/// initial weights and distances included. Mistakes in an experiment show here
/// within a moment.
///
/// # Errors
/// The first error, with the training that it would affect first. A component
/// that panics or breaks its contract is not an error here: each training finds
/// that out and records it.
pub fn check(specs: &[CellSpec], catalogue: &Catalogue, options: &Options<'_>) -> Result<()> {
    let mut substrates = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut first = |parts: &[String]| seen.insert(parts.join("\n"));
    for spec in specs {
        let outcome = check_cell(spec, catalogue, options, &mut substrates, &mut first);
        match outcome {
            Err(error) if !matches!(error.kind, Kind::Input | Kind::Unsupported | Kind::Io) => {
                tracing::warn!(cell = spec.label(), "{error}");
            }
            outcome => outcome.map_err(|e| e.context(format!("training {} cannot run", spec.label())))?,
        }
    }
    Ok(())
}

/// Number of trials that are drawn twice to see whether a task repeats them.
const REPEATED: usize = 8;

/// Refuses a task that draws other trials with the same seed: its trainings could
/// not be repeated, and would count as done although they differ.
fn repeats(spec: &CellSpec, component: &Use, catalogue: &Catalogue, base: &Setting<'_>) -> Result<()> {
    let count = REPEATED.min(spec.training.trials.max(1));
    let draw = || -> Result<Batch> {
        let mut task = build_task(spec, component, catalogue, base)?;
        let batch = task.trials_of(Split::Train, count, spec.trial_seed("train"))?;
        batch.check(&task.info()).map_err(|e| e.context(format!("trials of the task `{}`", component.id)))?;
        Ok(batch)
    };
    if drawn_alike(draw()?, draw()?) {
        return Ok(());
    }
    Err(Error::input(format!(
        "the task `{}` draws different trials each time for the same seed",
        component.id
    ))
    .help(
        "draw all random numbers from the given seed: in Python, from `random`, `numpy.random` or a \
         generator that `seed()` or `reset(seed=…)` creates, not from a generator with another seed",
    ))
}

/// Whether two batches are the same. Values that are not a number count as equal:
/// targets of steps without a score may be such.
fn drawn_alike(mut one: Batch, mut two: Batch) -> bool {
    for batch in [&mut one, &mut two] {
        let known = |value: f32| if value.is_nan() { f32::MAX } else { value };
        batch.inputs.mapv_inplace(known);
        if let Targets::Values(values) = &mut batch.targets {
            values.mapv_inplace(known);
        }
    }
    one == two
}

fn at_task(place: &[String], task: String) -> Vec<String> {
    [place, &["task".into(), task]].concat()
}

fn check_cell(
    spec: &CellSpec,
    catalogue: &Catalogue,
    options: &Options<'_>,
    substrates: &mut BTreeMap<String, Substrate>,
    first: &mut dyn FnMut(&[String]) -> bool,
) -> Result<()> {
    let text = |component: &Use| format!("{} {} {:?}", component.id, component.json(), component.on);
    let source = text(&spec.substrate);
    if !substrates.contains_key(&source) {
        substrates.insert(source.clone(), read_substrate(spec, catalogue, options)?);
    }
    let Some(substrate) = substrates.get(&source) else { return Ok(()) };
    check_training(spec)?;
    let space = format!("{:?}", spec.geometry);
    let place = [source.clone(), space];
    // All runs of a variant and task share these parts, so most specifications
    // end here.
    let mut all = place.to_vec();
    all.extend(spec.components().map(text));
    all.push(format!("{:?} {:?}", spec.training.from, spec.training.frozen));
    if spec.members.is_some() || spec.has_curriculum() {
        let Training { epochs, trials, .. } = &spec.training;
        all.push(format!("{:?} {:?} {epochs} {trials}", spec.members, spec.curriculum));
    }
    if !first(&all) {
        return Ok(());
    }
    let on_connections = spec.connections.is_some();
    let distance = if on_connections { None } else { distances(spec, substrate)? };
    let places = if on_connections { places_of(spec, substrate)? } else { None };
    let base = setting(spec, options, substrate, distance.as_ref());
    for component in spec.tasks() {
        if first(&at_task(&place, text(component))) {
            repeats(spec, component, catalogue, &base)?;
        }
    }
    let tasks = Tasks::build(spec, catalogue, &base)?;
    tasks.counts(spec.training.trials)?;
    early_stopping::check(spec, &tasks.info)?;
    let base = with_task(&tasks.info, base);
    let at = |what: &str, of: String| [place.as_slice(), &[what.into(), of]].concat();
    // Models on connections are built for them.
    let mut grown = None;
    let of_pairs: String = spec.connections.iter().chain(&spec.null).map(text).collect();
    if first(&at("weights", text(&spec.weights) + &of_pairs)) || on_connections {
        grown = Some(Grown::new(spec, catalogue, &base, substrate)?);
    }
    let connections = grown.as_ref().and_then(|grown| grown.connections.as_ref());
    let distance_on = places.as_ref().zip(connections).map(|(places, pairs)| places.of(pairs.view()));
    let unit = places.as_ref().and_then(|places| places.unit_um);
    let base = Setting { distance_unit_um: base.distance_unit_um.or(unit), ..base };
    let base = match &grown {
        Some(grown) => grown.setting(base, distance_on.as_ref()),
        None => base,
    };
    let mut model = build_model(spec, catalogue, &base)?;
    let info = describe_model(spec, model.as_ref())?;
    check_model(spec, &info)?;
    inherited(spec, &info, connections)?;
    let mut optimizer = build_optimizer(spec, catalogue, &base)?;
    let of_constraints: String = spec.constraints.iter().map(text).collect();
    let fixed = info.recurrent().any(|(_, block)| !block.trained);
    if first(&at("constraints", text(&spec.model) + &of_constraints)) || fixed {
        let on = build_constraints(spec, catalogue, &base, &info, places.as_ref())?;
        let none = Matrix::zeros((0, 0));
        let initial = grown.as_ref().map_or(&none, |grown| &grown.values);
        let mut penalties = Penalties::new(on, Wiring::new(connections, initial, places.as_ref()), spec);
        if fixed || on_connections {
            let grown = match &grown {
                Some(grown) => grown.clone(),
                None => Grown::new(spec, catalogue, &base, substrate)?,
            };
            begin(spec, model.as_mut(), &info, &grown.values, &mut penalties)?;
            penalties.check_rewiring(model.as_mut(), &info, optimizer.as_mut())?;
        }
    }
    for metric in &spec.metrics {
        if first(&at("metric", text(metric))) {
            build_metric(spec, metric, catalogue, &base)?;
        }
    }
    Ok(())
}
