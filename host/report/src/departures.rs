//! Settings of a run that differ from the published study.
//!
//! Results can agree although something else was computed. A training's settings
//! are in its `cell.json`; the study's are those of the profile `published`.

use pallium_core::Result;
use serde_json::Value;

use super::folder::RunFolder;
use pallium_profile as profile;
use pallium_record::spec::{CellSpec, Space, Use};

/// The profile that repeats the study.
const PROFILE: &str = "published";
/// The study's model.
const MODEL: &str = "rnn.vanilla";
/// The study's epochs, training trials and batch size.
const TRAINING: (u32, usize, usize) = (10, 5120, 128);

/// The settings of all variants that differ from the study's, each once, such as
/// `coordinate_layout = rows`.
///
/// # Errors
/// Only if the table of profiles compiled into the executable is malformed.
pub fn departures(run: &RunFolder) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for about in (0..run.variants.len()).filter_map(|v| run.example_of(v)) {
        for departure in of_training(&about.spec)? {
            if !found.contains(&departure) {
                found.push(departure);
            }
        }
    }
    Ok(found)
}

/// The settings of a training that differ from the study's.
fn of_training(spec: &CellSpec) -> Result<Vec<String>> {
    let switches = profile::switches(PROFILE)?;
    let mut found = Vec::new();
    let training = &spec.training;
    let (epochs, trials, batch) = TRAINING;
    for (name, own, usual) in [
        ("epochs", training.epochs as usize, epochs as usize),
        ("trials", training.trials, trials),
        ("batch", training.batch, batch),
    ] {
        if own != usual {
            found.push(format!("{name} = {own}"));
        }
    }
    if spec.geometry.space != Space::None {
        let usual = profile::geometry_of(&switches, spec.geometry.space.clone())?;
        let (own, usual) = (serde_json::to_value(&spec.geometry), serde_json::to_value(usual));
        if let (Ok(Value::Object(own)), Ok(Value::Object(usual))) = (own, usual) {
            let other = own.iter().filter(|(key, value)| usual.get(*key) != Some(value));
            found.extend(other.map(|(key, value)| format!("{key} = {}", plain(value))));
        }
    }
    let (data_seed, ..) = profile::settings(&switches)?;
    if spec.data_seed != data_seed {
        found.push("data_seed = per-run".into());
    }
    if spec.model.id != MODEL {
        found.push(format!("model = {}", spec.model.id));
    }
    let constraints: Vec<&str> = spec.constraints.iter().map(|c| c.id.as_str()).collect();
    let components: [&Use; 4] = [&spec.substrate, &spec.weights, &spec.model, &spec.task_component];
    for component in components.into_iter().chain(&spec.constraints) {
        let usual = profile::parameters(&switches, &component.id, &constraints)?;
        let other = component.params.iter().filter(|(key, value)| {
            // Other neurons are reported separately.
            *key != "path" && usual.get(*key) != Some(value)
        });
        found.extend(other.map(|(key, value)| format!("{key} of {} = {}", component.id, plain(value))));
    }
    Ok(found)
}

/// A value as an experiment file spells it, without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> CellSpec {
        serde_json::from_value(json!({
            "variant": "W*D*C*", "task": "t", "run": 0, "seed": 1, "data_seed": "shared",
            "substrate": {"use": "microns.field", "params":
                {"path": "x/6_6_2", "connectome_order": "released", "sttc": "released"}},
            "weights": {"use": "microns.functional", "params": {"precision": "raw"}},
            "geometry": {"space": "soma", "coordinate_layout": "interleaved", "coordinate_scale": "minmax",
                         "distance_scale": "none", "shuffled": false},
            "constraints": [{"use": "spatial.communicability-emd", "params": {"empty_rows": "floor"}}],
            "task_component": {"use": "t"}, "model": {"use": "rnn.vanilla"}, "metrics": [],
            "training": {"epochs": 10, "trials": 5120, "validation": 2560, "test": 2560, "batch": 128},
        }))
        .unwrap()
    }

    #[test]
    fn the_study_departs_from_nothing() {
        assert!(of_training(&spec()).unwrap().is_empty(), "{:?}", of_training(&spec()));
    }

    #[test]
    fn each_departure_is_named() {
        let mut other = spec();
        other.training.epochs = 2;
        other.geometry.coordinate_layout = pallium_record::spec::CoordinateLayout::Rows;
        other.data_seed = pallium_record::spec::DataSeed::PerRun;
        other.substrate.params.insert("sttc".into(), "half-frame".into());
        other.weights.params.insert("matrix".into(), "precision".into());
        other.constraints[0].params.insert("strength".into(), 0.1.into());
        assert_eq!(
            of_training(&other).unwrap(),
            [
                "epochs = 2",
                "coordinate_layout = rows",
                "data_seed = per-run",
                "sttc of microns.field = half-frame",
                "matrix of microns.functional = precision",
                "strength of spatial.communicability-emd = 0.1",
            ]
        );
        // Without distances it does not matter how positions are read.
        other.geometry.space = Space::None;
        assert!(!of_training(&other).unwrap().contains(&"coordinate_layout = rows".to_owned()));
    }
}
