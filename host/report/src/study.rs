//! The published study, by content: which of its variants a training is, and
//! where it departs from it.
//!
//! A variant's name says nothing about what was computed. A training is a variant
//! of the study if its weights, geometry and constraints are; it is computed as
//! in the study if nothing else differs either.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pallium_core::{Error, Result};
use pallium_profile as profile;
use pallium_record::spec::{CellSpec, Space, Training, Use};
use pallium_record::training::TrainingFile;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::published::{FIELD, Paper};

/// The profile that repeats the study.
const PROFILE: &str = "published";
/// SHA-256 of the field's released files, as a training records it.
const DATA: &str = "cba45611a33c7ef65c07d9e9fcf0adaece69a94fe92bc20c871892a975ed72f5";
/// Extents of the study's grid.
const GRID: [usize; 3] = [12, 13, 2];

/// The variant of the study that a training is.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterpart {
    /// The table with its values.
    pub paper: Paper,
    /// Its name there.
    pub name: String,
    /// What else differs from the study, such as `epochs = 2`; empty if the same
    /// was computed.
    pub departures: Vec<String>,
}

impl Counterpart {
    /// The variant of the study that `training` is, if it is one.
    ///
    /// # Errors
    /// Only if a table compiled into the executable is malformed.
    pub fn of(training: &TrainingFile) -> Result<Option<Self>> {
        let spec = &training.spec;
        let Some(name) = name_of(spec) else { return Ok(None) };
        let paper = match is_positive(spec) {
            true => Paper::PositiveOnly,
            false => Paper::Unconstrained,
        };
        if paper.value("accuracy", &name, &spec.task_component.id).is_none() {
            return Ok(None);
        }
        Ok(Some(Counterpart { paper, name, departures: departures(training)? }))
    }
}

/// The study's name for a combination of weights, geometry and constraints, such
/// as `W*D*C`, whatever their parameters; also of combinations that it leaves
/// out.
pub fn name_of(spec: &CellSpec) -> Option<String> {
    let study = study().ok()?;
    let weights = study.weights.get(&spec.weights.id)?;
    let mut others = spec.constraints.iter().map(|c| &c.id).filter(|id| **id != study.positive);
    let (Some(constraint), None, false) = (others.next(), others.next(), spec.geometry.shuffled) else {
        return None;
    };
    let distances = match &spec.geometry.space {
        Space::None => return (*constraint == study.without_space).then(|| weights.clone()),
        Space::Grid(_) => "D",
        Space::Soma => "D*",
    };
    let communicability = study.constraints.get(constraint)?;
    Some(format!("{weights}{distances}{communicability}"))
}

/// Whether weights cannot be negative.
pub fn is_positive(spec: &CellSpec) -> bool {
    study().is_ok_and(|study| spec.constraints.iter().any(|c| c.id == study.positive))
}

/// What the study computed.
#[derive(Deserialize)]
pub struct Study {
    training: BTreeMap<String, usize>,
    substrate: String,
    /// Id of its model, a network of rectified units.
    pub model: String,
    optimizer: String,
    /// Ids of its tasks, in the order of their numbers.
    pub tasks: Vec<String>,
    /// Its name for initial weights, by id: `W` at random, `W*` from activity, `W!`
    /// from activity of other neurons.
    pub weights: BTreeMap<String, String>,
    /// Its name for a penalty in space, by id.
    constraints: BTreeMap<String, String>,
    /// Id of the penalty of networks without space.
    without_space: String,
    /// Id of the constraint to positive weights.
    positive: String,
    /// Ids of metrics, by measure.
    pub measures: BTreeMap<String, String>,
    /// Parameters of its components, by id.
    parameters: BTreeMap<String, Map<String, Value>>,
}

/// The study.
///
/// # Errors
/// Only if the table compiled into the executable is malformed.
pub fn study() -> Result<&'static Study> {
    static STUDY: LazyLock<std::result::Result<Study, serde_json::Error>> =
        LazyLock::new(|| serde_json::from_str(include_str!("study.json")));
    STUDY.as_ref().map_err(|e| Error::bug(format!("the study's settings cannot be read: {e}")))
}

/// What differs from the study, apart from seeds, names and the number of runs.
fn departures(training: &TrainingFile) -> Result<Vec<String>> {
    let (spec, study) = (&training.spec, study()?);
    let switches = profile::switches(PROFILE)?;
    let mut found: Vec<String> = neurons(training, &study.substrate).into_iter().collect();
    for (name, own) in [
        ("epochs", spec.training.epochs as usize),
        ("trials", spec.training.trials),
        ("batch", spec.training.batch),
    ] {
        if study.training.get(name) != Some(&own) {
            found.push(format!("{name} = {own}"));
        }
    }
    found.extend(geometry(spec, &switches)?);
    let (data_seed, ..) = profile::settings(&switches)?;
    if spec.data_seed != data_seed {
        found.push("data_seed = per-run".into());
    }
    if spec.model.id != study.model {
        found.push(format!("model = {}", spec.model.id));
    }
    if spec.optimizer.id != study.optimizer {
        found.push(format!("optimizer = {}", spec.optimizer.id));
    }
    found.extend(settings(&spec.training)?);
    if !spec.curriculum.is_empty() {
        found.push(format!("a curriculum of {} stages", spec.curriculum.len() + 1));
    }
    let components: [&Use; 5] =
        [&spec.substrate, &spec.weights, &spec.model, &spec.optimizer, &spec.task_component];
    for component in components.into_iter().chain(&spec.constraints) {
        // Of another substrate or model, the name is enough.
        if let Some(usual) = study.parameters.get(&component.id) {
            found.extend(parameters(component, usual));
        }
    }
    Ok(found)
}

/// Settings of a training beyond its length that are not the defaults, such as a
/// schedule of the learning rate.
fn settings(training: &Training) -> Result<Vec<String>> {
    let Training { epochs, trials, validation, test, batch, .. } = *training;
    let plain =
        Training { threads: training.threads, ..Training::new(epochs, trials, validation, test, batch) };
    let json = |training| serde_json::to_value(training).map_err(|e| Error::bug(e.to_string()));
    let (own, usual) = (json(training)?, json(&plain)?);
    let names = own.as_object().into_iter().flatten();
    let other = names.filter(|(name, value)| usual.get(name.as_str()) != Some(value));
    Ok(other.map(|(name, value)| format!("training.{name} = {value}")).collect())
}

/// Whether other neurons were recorded than the study's.
fn neurons(training: &TrainingFile, usual: &str) -> Option<String> {
    let substrate = &training.spec.substrate;
    let field = super::folder::field_name(substrate);
    let data = training.inputs.get(&format!("data {usual}"));
    // The contents count: a copy of the released files may have any name, and a folder of
    // that name may hold something else.
    match data {
        Some(data) if substrate.id == usual && data == DATA => None,
        Some(_) if substrate.id == usual && field == FIELD => {
            Some(format!("the files of {field} are not the released ones"))
        }
        None if substrate.id == usual && field == FIELD => None,
        _ => Some(format!("other neurons: {field}, published {FIELD}")),
    }
}

fn geometry(spec: &CellSpec, switches: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let usual = profile::geometry_of(switches, spec.geometry.space.clone())?;
    let json = |geometry| serde_json::to_value(geometry).map_err(|e| Error::bug(e.to_string()));
    let (own, usual) = (json(&spec.geometry)?, json(&usual)?);
    // A grid has no coordinates to read, and without space there are no distances.
    let matters: &[&str] = match &spec.geometry.space {
        Space::None => &[],
        Space::Grid(_) => &["distance_scale"],
        Space::Soma => &["coordinate_layout", "coordinate_scale", "distance_scale"],
    };
    let other = matters.iter().filter(|key| own[**key] != usual[**key]);
    let mut found: Vec<String> = other.map(|key| format!("{key} = {}", plain(&own[*key]))).collect();
    if let Space::Grid(Some(extents)) = spec.geometry.space
        && extents != GRID
    {
        let [a, b, c] = extents;
        found.push(format!("grid = {a}x{b}x{c}"));
    }
    Ok(found)
}

/// Parameters of a component that differ from those in the study.
fn parameters(component: &Use, usual: &Map<String, Value>) -> Vec<String> {
    let other = component.params.iter().filter(|(key, value)| match key.as_str() {
        // Other neurons are reported by name.
        "path" => false,
        // How precision is turned into weights matters only if it is.
        "precision" if component.params.get("matrix").is_none_or(|matrix| matrix != "precision") => false,
        _ => !usual.get(*key).is_some_and(|usual| same(usual, value)),
    });
    other.map(|(key, value)| format!("{key} of {} = {}", component.id, plain(value))).collect()
}

/// What differs from the study in how a measure of organization was computed.
///
/// # Errors
/// Only if a table compiled into the executable is malformed.
pub fn measured(metrics: &[Use], null: Option<&str>, measure: &str) -> Result<Vec<String>> {
    let study = study()?;
    let of_measure = || {
        let id = study.measures.get(measure)?;
        Some((id, study.parameters.get(id)?))
    };
    let Some((id, usual)) = of_measure() else { return Ok(Vec::new()) };
    let mut used = metrics.iter().find(|m| m.id == *id).cloned().unwrap_or_else(|| Use::new(id));
    if let (Some(null), true) = (null, usual.contains_key("null")) {
        used.params.entry("null").or_insert_with(|| null.into());
    }
    Ok(parameters(&used, usual))
}

/// Whether values are equal; 10 and 10.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a)),
    }
}

/// A value as an experiment file spells it, without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn training(spec: Value) -> TrainingFile {
        let mut text = json!({
            "format": 2, "cell": "", "variant": "any name", "task": "t", "run": 0, "identity": "", "profile": "any",
            "status": "ok", "divergence": null, "pallium": "", "core": "", "inputs": {}, "notes": [],
            "task_info": {"inputs": 3, "classes": 2, "steps": 4, "step_ms": null, "conditions": [],
                          "levels": {"chance": 0.25, "memoryless": null, "ideal": null}},
            "model_info": {"neurons": 312, "blocks": 1, "block_names": ["recurrent"], "parameters": 9},
            "spec": {
                "variant": "any name", "task": "t", "run": 0, "seed": 1, "data_seed": "shared",
                "substrate": {"use": "microns.field", "params":
                    {"path": "x/6_6_2", "connectome_order": "released", "sttc": "released"}},
                "weights": {"use": "microns.functional", "params": {"precision": "raw"}},
                "geometry": {"space": "soma", "coordinate_layout": "interleaved", "coordinate_scale": "minmax",
                             "distance_scale": "none", "shuffled": false},
                "constraints": [{"use": "spatial.communicability-emd", "params": {"empty_rows": "floor"}}],
                "task_component": {"use": "cognition.go-no-go"}, "model": {"use": "rnn.vanilla"}, "metrics": [],
                "training": {"epochs": 10, "trials": 5120, "validation": 2560, "test": 2560, "batch": 128},
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            text["spec"][key] = value.clone();
        }
        serde_json::from_value(text).unwrap()
    }

    fn of(spec: Value) -> Option<(Paper, String, Vec<String>)> {
        Counterpart::of(&training(spec)).unwrap().map(|c| (c.paper, c.name, c.departures))
    }

    #[test]
    fn variants_are_known_by_what_they_are() {
        let space = |space: &str| {
            json!({"space": if space == "grid" { json!({"grid": null}) } else { json!(space) }, "coordinate_layout": "interleaved",
            "coordinate_scale": "minmax", "distance_scale": "none", "shuffled": false})
        };
        let variant = |weights: &str, of_space: &str, constraints: &[&str]| {
            let constraints: Vec<Value> = constraints.iter().map(|id| json!({ "use": id })).collect();
            of(json!({"weights": {"use": weights}, "geometry": space(of_space), "constraints": constraints}))
                .map(|(paper, name, _)| (paper, name))
        };
        let (c, emd) = ("spatial.communicability", "spatial.communicability-emd");
        for (weights, of_space, constraint, name) in [
            ("microns.functional", "soma", c, "W*D*C"),
            ("init.orthogonal", "soma", c, "WD*C"),
            ("init.orthogonal", "grid", c, "WDC"),
            ("init.orthogonal", "soma", "spatial.distance", "WD*"),
            ("init.orthogonal", "grid", "spatial.distance", "WD"),
            ("init.orthogonal", "none", "spatial.l1", "W"),
            ("microns.functional", "soma", emd, "W*D*C*"),
            ("init.orthogonal", "soma", emd, "WD*C*"),
            ("microns.functional", "grid", emd, "W*DC*"),
            ("microns.relabelled", "soma", c, "W!D*C"),
            ("microns.relabelled", "soma", emd, "W!D*C*"),
        ] {
            let (two, three) = (Paper::Unconstrained, Paper::PositiveOnly);
            assert_eq!(variant(weights, of_space, &[constraint]), Some((two, name.into())));
            let both = [constraint, "spatial.non-negative"];
            assert_eq!(variant(weights, of_space, &both), Some((three, name.into())));
        }
        // Not in the tables, or not of the study at all.
        assert_eq!(variant("microns.functional", "grid", &["spatial.distance"]), None);
        assert_eq!(variant("microns.functional", "none", &[]), None);
        assert_eq!(variant("init.orthogonal", "soma", &[c, "circuit.dale"]), None);
        assert_eq!(variant("init.random", "none", &["spatial.l1"]), None);
        assert_eq!(of(json!({"task_component": {"use": "my.task"}})), None);
    }

    #[test]
    fn the_study_departs_from_nothing() {
        let departures = |spec| of(spec).unwrap().2;
        assert!(departures(json!({})).is_empty(), "{:?}", departures(json!({})));
        // Defaults may be written, and numbers with or without a point.
        let written = json!({
            "task_component": {"use": "cognition.go-no-go", "params": {"delay": 10.0}},
            "optimizer": {"use": "optimizer.adam", "params": {"learning_rate": 0.001}},
        });
        assert!(departures(written).is_empty());
    }

    #[test]
    fn each_departure_is_named() {
        let other = json!({
            "substrate": {"use": "microns.field", "params": {"path": "x/5_3_4", "sttc": "half-frame"}},
            "weights": {"use": "microns.functional", "params": {"matrix": "precision", "precision": "raw"}},
            "geometry": {"space": "soma", "coordinate_layout": "rows", "coordinate_scale": "minmax",
                         "distance_scale": "none", "shuffled": false},
            "constraints": [{"use": "spatial.communicability-emd", "params": {"strength": 0.1}}],
            "task_component": {"use": "cognition.go-no-go", "params": {"delay": 5}},
            "data_seed": "per-run",
            "training": {"epochs": 2, "trials": 5120, "validation": 1, "test": 1, "batch": 128},
        });
        assert_eq!(
            of(other).unwrap().2,
            [
                "other neurons: 5_3_4, published 6_6_2",
                "epochs = 2",
                "coordinate_layout = rows",
                "data_seed = per-run",
                "sttc of microns.field = half-frame",
                "matrix of microns.functional = precision",
                "delay of cognition.go-no-go = 5",
                "strength of spatial.communicability-emd = 0.1",
            ]
        );
        assert_eq!(of(json!({"model": {"use": "rnn.gru"}})).unwrap().2, ["model = rnn.gru"]);
        assert_eq!(of(json!({"substrate": {"use": "synthetic.field"}})).unwrap().2.len(), 1);
    }

    #[test]
    fn a_folder_of_that_name_with_other_files_is_other_data() {
        let mut training = training(json!({}));
        let departures = |t: &TrainingFile| Counterpart::of(t).unwrap().unwrap().departures;
        training.inputs.insert("data microns.field".into(), DATA.into());
        assert!(departures(&training).is_empty());
        training.inputs.insert("data microns.field".into(), "another".into());
        assert_eq!(departures(&training), ["the files of 6_6_2 are not the released ones"]);
        training.spec.substrate.params.insert("path".into(), "x/a copy".into());
        assert_eq!(departures(&training), ["other neurons: a copy, published 6_6_2"]);
        training.inputs.insert("data microns.field".into(), DATA.into());
        assert!(departures(&training).is_empty());
    }

    #[test]
    fn measures_depend_on_their_parameters() {
        assert!(measured(&[], None, "modularity").unwrap().is_empty());
        let found = measured(&[], Some("matched"), "small_worldness").unwrap();
        assert_eq!(found, ["null of organization.small-worldness = matched"]);
        let mut one = Use::new("organization.modularity");
        one.params.insert("quantile".into(), 0.8.into());
        assert_eq!(
            measured(&[one], None, "modularity").unwrap(),
            ["quantile of organization.modularity = 0.8"]
        );
    }
}
