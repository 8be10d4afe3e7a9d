//! Profiles: named sets of switches, read from `profiles.toml`.
//!
//! Switches, their values and their targets are data; this file knows only the
//! kinds of target.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pallium_core::{Error, Result, nearest};
use pallium_record::spec::{CoordinateLayout, CoordinateScale, DataSeed, DistanceScale, Geometry, Space};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The accuracy and loss in tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accuracy {
    /// Running mean over the last training epoch.
    Running,
    /// Evaluation of the trained network.
    Evaluated,
}

/// The confidence interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interval {
    /// From Student's t distribution.
    T,
    /// From resampling the runs.
    Bootstrap,
}

/// Every switch and profile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// The profiles, in the order of the file.
    #[serde(rename = "profile")]
    pub profiles: Vec<Profile>,
    /// The switches, in the order of the file.
    #[serde(rename = "switch")]
    pub switches: Vec<Switch>,
}

/// A named set of switches.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name, as in `profile = "published"`.
    pub name: String,
    /// Its purpose.
    pub about: String,
}

/// One difference between profiles.
#[derive(Debug, Deserialize, Serialize)]
pub struct Switch {
    /// Name, as under `[switches]`.
    pub name: String,
    /// What it controls.
    pub about: String,
    /// Its possible values with their meanings.
    pub alternatives: BTreeMap<String, String>,
    /// Its targets.
    pub targets: Vec<Target>,
    /// Its value under each profile.
    #[serde(flatten)]
    pub values: BTreeMap<String, String>,
}

/// A target of a switch.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Target {
    /// A setting of the host, by name.
    Host {
        /// The setting.
        host: String,
    },
    /// A parameter of a component.
    Component {
        /// The component's id.
        component: String,
        /// The parameter.
        parameter: String,
        /// If set, only in variants that use this constraint.
        #[serde(default)]
        when_constraint: Option<String>,
    },
}

/// All profiles and switches.
///
/// # Errors
/// Only if the table compiled into the executable is malformed.
pub fn profiles() -> Result<&'static Profiles> {
    static TABLE: OnceLock<Result<Profiles>> = OnceLock::new();
    TABLE
        .get_or_init(|| {
            toml::from_str(include_str!("profiles.toml"))
                .map_err(|e| Error::bug(format!("the table of profiles cannot be read: {e}")))
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// Refuses a profile that does not exist.
/// # Errors
/// If it does not exist; the help lists the profiles.
pub fn check_name(profile: &str) -> Result<()> {
    let names: Vec<_> = profiles()?.profiles.iter().map(|p| p.name.as_str()).collect();
    if names.contains(&profile) {
        return Ok(());
    }
    Err(Error::input(format!("there is no profile `{profile}`"))
        .help(format!("profiles: {}", names.join(", "))))
}

/// Refuses a switch or a value that does not exist.
///
/// # Errors
/// If it does not exist; the help names the nearest switch, or the values.
pub fn check_switch(name: &str, value: &str) -> Result<()> {
    let table = profiles()?;
    let Some(switch) = table.switches.iter().find(|s| s.name == name) else {
        let error = Error::input(format!("there is no switch `{name}`"));
        let names: Vec<_> = table.switches.iter().map(|s| s.name.as_str()).collect();
        return Err(match nearest(name, names.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("switches: {}", names.join(", "))),
        });
    };
    if switch.alternatives.contains_key(value) {
        return Ok(());
    }
    let known: Vec<_> = switch.alternatives.keys().map(String::as_str).collect();
    Err(Error::input(format!("switch `{name}` cannot be `{value}`"))
        .help(format!("values: {}", known.join(", "))))
}

/// The value of every switch under `profile`.
///
/// # Errors
/// If there is no such profile.
pub fn switches(profile: &str) -> Result<BTreeMap<String, String>> {
    check_name(profile)?;
    profiles()?
        .switches
        .iter()
        .map(|switch| match switch.values.get(profile) {
            Some(value) => Ok((switch.name.clone(), value.clone())),
            None => Err(Error::bug(format!("switch `{}` has no value under `{profile}`", switch.name))),
        })
        .collect()
}

/// The value of every switch under `profile`, with `overrides`.
///
/// # Errors
/// If there is no such profile, switch or value.
pub fn resolve(profile: &str, overrides: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let mut values = switches(profile)?;
    for (name, value) in overrides {
        check_switch(name, value)?;
        values.insert(name.clone(), value.clone());
    }
    Ok(values)
}

/// The parameters that resolved `switches` set for `component` in a variant
/// with these `constraints` (ids).
///
/// # Errors
/// Only if the table compiled into the executable is malformed.
pub fn parameters(
    switches: &BTreeMap<String, String>,
    component: &str,
    constraints: &[&str],
) -> Result<Map<String, Value>> {
    let mut parameters = Map::new();
    for switch in &profiles()?.switches {
        let Some(value) = switches.get(&switch.name) else { continue };
        for target in &switch.targets {
            if let Target::Component { component: id, parameter, when_constraint } = target
                && id == component
                && when_constraint.as_deref().is_none_or(|needed| constraints.contains(&needed))
            {
                parameters.insert(parameter.clone(), Value::String(value.clone()));
            }
        }
    }
    Ok(parameters)
}

/// The parameters that a profile sets for a component outside an experiment;
/// targets limited to a constraint do not apply.
///
/// # Errors
/// If there is no such profile, switch or value.
pub fn component_defaults(
    profile: &str,
    overrides: &BTreeMap<String, String>,
    component_id: &str,
) -> Result<Map<String, Value>> {
    parameters(&resolve(profile, overrides)?, component_id, &[])
}

/// The geometry of `space` under a profile.
///
/// # Errors
/// If there is no such profile, switch or value.
pub fn geometry(profile: &str, overrides: &BTreeMap<String, String>, space: Space) -> Result<Geometry> {
    geometry_of(&resolve(profile, overrides)?, space)
}

/// The geometry of `space` under resolved switches.
///
/// # Errors
/// Only if the table compiled into the executable is malformed.
pub fn geometry_of(switches: &BTreeMap<String, String>, space: Space) -> Result<Geometry> {
    Ok(Geometry {
        space,
        coordinate_layout: host::<CoordinateLayout>(switches, "coordinate_layout")?,
        coordinate_scale: host::<CoordinateScale>(switches, "coordinate_scale")?,
        distance_scale: host::<DistanceScale>(switches, "distance_scale")?,
        shuffled: false,
    })
}

/// The host's settings other than geometry, under resolved switches.
///
/// # Errors
/// Only if the table compiled into the executable is malformed.
pub fn settings(switches: &BTreeMap<String, String>) -> Result<(DataSeed, Accuracy, Interval)> {
    Ok((host(switches, "data_seed")?, host(switches, "accuracy")?, host(switches, "interval")?))
}

/// The host setting `name`, from the switch that targets it.
fn host<T: serde::de::DeserializeOwned>(switches: &BTreeMap<String, String>, name: &str) -> Result<T> {
    let switch = profiles()?
        .switches
        .iter()
        .find(|s| s.targets.iter().any(|t| matches!(t, Target::Host { host } if host == name)))
        .ok_or_else(|| Error::bug(format!("no switch sets `{name}`")))?;
    let value = switches
        .get(&switch.name)
        .ok_or_else(|| Error::bug(format!("switch `{}` has no value", switch.name)))?;
    serde_json::from_value(Value::String(value.clone()))
        .map_err(|e| Error::bug(format!("switch `{}` cannot be `{value}`: {e}", switch.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    #[test]
    fn the_table_is_complete_and_consistent() {
        let table = profiles().unwrap();
        assert_eq!(
            table.profiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["published", "corrected"]
        );
        assert_eq!(table.switches.len(), 14);
        for switch in &table.switches {
            let profiles: Vec<_> = switch.values.keys().map(String::as_str).collect();
            assert_eq!(profiles, ["corrected", "published"], "{}", switch.name);
            for value in switch.values.values() {
                assert!(switch.alternatives.contains_key(value), "{}: {value}", switch.name);
            }
            assert_ne!(switch.values["published"], switch.values["corrected"], "{}", switch.name);
            assert!(!switch.targets.is_empty() && !switch.about.is_empty(), "{}", switch.name);
            // The host must accept every alternative of its settings.
            for target in &switch.targets {
                if let Target::Host { .. } = target {
                    for value in switch.alternatives.keys() {
                        let one = BTreeMap::from([(switch.name.clone(), value.clone())]);
                        let all = resolve("published", &one).unwrap();
                        geometry_of(&all, Space::Soma).unwrap();
                        settings(&all).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn profiles_set_the_host() {
        let g = geometry("published", &none(), Space::Grid(None)).unwrap();
        assert_eq!(g.coordinate_layout, CoordinateLayout::Interleaved);
        assert_eq!(g.coordinate_scale, CoordinateScale::Minmax);
        assert_eq!(g.distance_scale, DistanceScale::None);
        let g = geometry("corrected", &none(), Space::Soma).unwrap();
        assert_eq!(g.coordinate_layout, CoordinateLayout::Rows);
        assert_eq!(g.coordinate_scale, CoordinateScale::Micrometre);
        assert_eq!(g.distance_scale, DistanceScale::MeanOne);
        let published = settings(&switches("published").unwrap()).unwrap();
        assert_eq!(published, (DataSeed::Shared, Accuracy::Running, Interval::T));
        let corrected = settings(&switches("corrected").unwrap()).unwrap();
        assert_eq!(corrected, (DataSeed::PerRun, Accuracy::Evaluated, Interval::Bootstrap));
    }

    #[test]
    fn a_switch_alone_overrides_its_profile() {
        let one = BTreeMap::from([("coordinate_layout".to_string(), "rows".to_string())]);
        let g = geometry("published", &one, Space::Soma).unwrap();
        assert_eq!(
            (g.coordinate_layout, g.coordinate_scale),
            (CoordinateLayout::Rows, CoordinateScale::Minmax)
        );
        let one = BTreeMap::from([("l1_strength".to_string(), "applied".to_string())]);
        assert_eq!(
            component_defaults("published", &none(), "spatial.l1").unwrap()["strength_rule"],
            "ignored"
        );
        assert_eq!(component_defaults("published", &one, "spatial.l1").unwrap()["strength_rule"], "applied");
    }

    #[test]
    fn a_switch_may_set_several_components_or_depend_on_a_constraint() {
        for id in ["microns.functional", "microns.relabelled"] {
            assert_eq!(
                component_defaults("corrected", &none(), id).unwrap()["precision"],
                "partial-correlation"
            );
        }
        let field = component_defaults("corrected", &none(), "microns.field").unwrap();
        assert_eq!((&field["connectome_order"], &field["sttc"]), (&"restored".into(), &"half-frame".into()));
        let all = switches("corrected").unwrap();
        assert!(parameters(&all, "init.orthogonal", &["spatial.l1"]).unwrap().is_empty());
        assert_eq!(
            parameters(&all, "init.orthogonal", &["spatial.l1", "spatial.non-negative"]).unwrap()["positive"],
            "rescaled"
        );
        assert!(component_defaults("corrected", &none(), "nobody.knows").unwrap().is_empty());
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            check_name("publsihed").unwrap_err().to_string(),
            "there is no profile `publsihed` (profiles: published, corrected)"
        );
        let e = check_switch("coordinate_layuot", "rows").unwrap_err();
        assert_eq!(
            e.to_string(),
            "there is no switch `coordinate_layuot` (did you mean `coordinate_layout`?)"
        );
        let e = check_switch("coordinate_layout", "columns").unwrap_err();
        assert_eq!(
            e.to_string(),
            "switch `coordinate_layout` cannot be `columns` (values: interleaved, rows)"
        );
    }
}
