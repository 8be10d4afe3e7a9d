//! Writes the inputs of all sides of a comparison to files.

use std::path::Path;

use ndarray::{Array1, Array3};
use ndarray_npy::write_npy;
use pallium::plugins::Catalogue;
use pallium_core::{Batch, Error, Kind, Result, Setting, Substrate};
use pallium_record::spec::CellSpec;
use serde_json::{Value, json};

use crate::scene::{self, Scene};

/// Δt of the STTC in seconds, as released.
pub const WINDOW_S: f64 = 0.1;

/// Width of the bins of event counts in seconds, as released.
pub const BIN_S: f64 = 0.2;

/// Writes what the peers need to train `cell` into `folder`.
///
/// # Errors
/// If a component fails, a trial is not scored exactly once at its end
/// (the peers support nothing else), or the folder cannot be written.
pub fn write(cell: &CellSpec, catalogue: &Catalogue, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let scene = Scene::new(cell, catalogue)?;
    let save = |name: &str, result: std::result::Result<(), ndarray_npy::WriteNpyError>| {
        result.map_err(|e| Error::new(Kind::Io, format!("{}: {e}", folder.join(name).display())))
    };
    save("recurrent.npy", write_npy(folder.join("recurrent.npy"), &scene.recurrent))?;
    if let Some(distance) = &scene.distance {
        save("distance.npy", write_npy(folder.join("distance.npy"), &distance.values))?;
    }
    if let Some(connectome) = scene.substrate.matrices.get(Substrate::CONNECTOME) {
        save("connectome.npy", write_npy(folder.join("connectome.npy"), &connectome.to_array()))?;
    }
    let mut task = catalogue.task(&cell.task_component, &scene.setting())?;
    for (split, count) in [("train", cell.training.trials), ("validation", cell.training.validation)] {
        let batch = match count {
            0 => Batch::zeros(0, task.info().steps, scene.channels),
            _ => task.trials(count, cell.trial_seed(split))?,
        };
        let inputs: &Array3<f32> = &batch.inputs;
        let name = format!("{split}_inputs.npy");
        save(&name, write_npy(folder.join(&name), inputs))?;
        let name = format!("{split}_labels.npy");
        save(&name, write_npy(folder.join(&name), &labels(&batch)?))?;
    }
    let (constraint, strength, emd_strength) = constraint(cell)?;
    let about = json!({
        "classes": scene.outputs,
        "batch": cell.training.batch,
        "noise": 0.05,
        "constraint": constraint,
        "strength": strength,
        "emd_strength": emd_strength,
    });
    let path = folder.join("about.json");
    std::fs::write(&path, format!("{about:#}\n")).map_err(|e| Error::io(&path, &e))
}

/// The label of each trial, at its last step.
fn labels(batch: &Batch) -> Result<Array1<u32>> {
    let last = batch.inputs.dim().1.saturating_sub(1);
    batch
        .mask
        .outer_iter()
        .zip(batch.targets.view().classes()?.outer_iter())
        .map(|(mask, targets)| match mask.iter().position(|&m| m > 0.0) {
            Some(first) if first == last => Ok(targets[last]),
            _ => Err(Error::unsupported("the peers train on one label at the last step of each trial")),
        })
        .collect()
}

/// The constraint's name and factors, as the published study applies them.
fn constraint(cell: &CellSpec) -> Result<(String, f64, f64)> {
    let factor = |params: &serde_json::Map<String, Value>, name: &str, default: f64| {
        params.get(name).and_then(Value::as_f64).unwrap_or(default)
    };
    match cell.constraints.as_slice() {
        [] => Ok(("none".into(), 0.0, 0.0)),
        [one] => {
            let name = one.id.rsplit('.').next().unwrap_or_default().to_owned();
            let ignored = one.params.get("strength_rule").is_some_and(|rule| rule == "ignored");
            let strength = if ignored { 1.0 } else { factor(&one.params, "strength", 0.3) };
            Ok((name, strength, factor(&one.params, "emd_strength", 0.1)))
        }
        _ => Err(Error::unsupported("the peers have one constraint at most")),
    }
}

/// Writes the event times of the recorded field in `field` to `folder`, for
/// peers that compute matrices from them: all times in one list, the offset of
/// each neuron's first, and, in `about.json`, the window, bin and end of the
/// recording in seconds. Returns the number of neurons.
///
/// # Errors
/// If the field has no event times, or the folder cannot be written.
pub fn events(field: &Path, folder: &Path, catalogue: &Catalogue) -> Result<usize> {
    let source = scene::component("microns.field", json!({ "path": field, "events": true }));
    let substrate = catalogue.substrate(&source, &Setting::default())?.substrate(0)?;
    let events = substrate.events.ok_or_else(|| Error::input("the field has no event times"))?;
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let times: Array1<f64> = events.iter().flatten().copied().collect();
    let ends = events.iter().scan(0, |end, times| {
        *end += times.len() as i64;
        Some(*end)
    });
    let offsets: Array1<i64> = std::iter::once(0).chain(ends).collect();
    for (name, written) in [
        ("event_times.npy", write_npy(folder.join("event_times.npy"), &times)),
        ("event_offsets.npy", write_npy(folder.join("event_offsets.npy"), &offsets)),
    ] {
        written.map_err(|e| Error::new(Kind::Io, format!("{}: {e}", folder.join(name).display())))?;
    }
    // As released: 0.1 s after the field's last event.
    let end = times.iter().copied().fold(0.0, f64::max) + 0.1;
    let path = folder.join("about.json");
    let about = json!({ "end": end, "window": WINDOW_S, "bin": BIN_S });
    std::fs::write(&path, format!("{about:#}\n")).map_err(|e| Error::io(&path, &e))?;
    Ok(events.len())
}
