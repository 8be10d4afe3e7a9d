//! Profiles: named sets of switches, read from `profiles.toml`.
//!
//! Switches and their values are data. A component declares its values under each
//! profile itself, so neither this file nor the data names one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use pallium_core::abi::ProfileEntry;
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
    /// The setting of the host that it sets, if it sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The parameter of components that it sets, if it sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Its value under each profile.
    #[serde(flatten)]
    pub values: BTreeMap<String, String>,
}

impl Switch {
    /// Whether it sets the parameter of which a component declares `entry`: one
    /// with the name that the switch sets, and with one of the switch's values, since
    /// parameters of one name may mean different things.
    fn reaches(&self, entry: &ProfileEntry) -> bool {
        self.parameter.as_ref() == Some(&entry.parameter)
            && entry.value.as_str().is_some_and(|value| self.alternatives.contains_key(value))
    }
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

/// The parameters of a component, which declares the values `declared`, under
/// `profile` in a variant with these `constraints` (ids). A switch in `overrides`
/// replaces the values that it reaches.
///
/// # Errors
/// If there is no such profile, switch or value.
pub fn parameters(
    profile: &str,
    overrides: &BTreeMap<String, String>,
    declared: &[ProfileEntry],
    constraints: &[&str],
) -> Result<Map<String, Value>> {
    check_name(profile)?;
    for (name, value) in overrides {
        check_switch(name, value)?;
    }
    let table = profiles()?;
    let of_profile = || declared.iter().filter(|entry| entry.profile == profile);
    let in_all = of_profile().filter(|entry| entry.constraint.is_none());
    let in_these =
        of_profile().filter(|e| e.constraint.as_deref().is_some_and(|needed| constraints.contains(&needed)));
    let mut parameters = Map::new();
    // What holds for a constraint takes precedence.
    for entry in in_all.chain(in_these) {
        let switch = table.switches.iter().find(|switch| switch.reaches(entry));
        let set = switch.and_then(|switch| overrides.get(&switch.name));
        let value = set.map_or_else(|| entry.value.clone(), |value| Value::String(value.clone()));
        parameters.insert(entry.parameter.clone(), value);
    }
    Ok(parameters)
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
        .find(|switch| switch.host.as_deref() == Some(name))
        .ok_or_else(|| Error::bug(format!("no switch sets `{name}`")))?;
    let value = switches
        .get(&switch.name)
        .ok_or_else(|| Error::bug(format!("switch `{}` has no value", switch.name)))?;
    serde_json::from_value(Value::String(value.clone()))
        .map_err(|e| Error::bug(format!("switch `{}` cannot be `{value}`: {e}", switch.name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
            assert!(switch.host.is_some() != switch.parameter.is_some(), "{}", switch.name);
            assert!(!switch.about.is_empty(), "{}", switch.name);
            // The host must accept every alternative of its settings.
            for value in switch.alternatives.keys().filter(|_| switch.host.is_some()) {
                let one = BTreeMap::from([(switch.name.clone(), value.clone())]);
                let all = resolve("published", &one).unwrap();
                geometry_of(&all, Space::Soma).unwrap();
                settings(&all).unwrap();
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
    }

    /// A component's value under `published`.
    fn entry(parameter: &str, value: impl Into<Value>, constraint: Option<&str>) -> ProfileEntry {
        ProfileEntry {
            profile: "published".into(),
            parameter: parameter.into(),
            value: value.into(),
            constraint: constraint.map(String::from),
        }
    }

    #[test]
    fn a_component_s_values_are_those_that_it_declares() {
        let corrected = ProfileEntry { profile: "corrected".into(), ..entry("floor", 0, None) };
        let declared = [entry("floor", 1e-10, None), entry("ties", "exclude", None), corrected];
        let under = |profile: &str| Value::Object(parameters(profile, &none(), &declared, &[]).unwrap());
        assert_eq!(under("published"), json!({"floor": 1e-10, "ties": "exclude"}));
        assert_eq!(under("corrected"), json!({"floor": 0}));
        assert!(parameters("nobody's", &none(), &declared, &[]).is_err());
        assert!(parameters("published", &none(), &[], &[]).unwrap().is_empty());
    }

    #[test]
    fn a_switch_reaches_every_component_with_its_parameter_and_values() {
        let with = |switch: &str, value: &str, declared: &ProfileEntry| {
            let set = BTreeMap::from([(switch.to_owned(), value.to_owned())]);
            let found = parameters("published", &set, std::slice::from_ref(declared), &[]);
            found.unwrap()[&declared.parameter].clone()
        };
        assert_eq!(with("ties", "include", &entry("ties", "exclude", None)), "include");
        // The switch and the parameter may have different names.
        let rule = entry("strength_rule", "ignored", None);
        assert_eq!(with("l1_strength", "applied", &rule), "applied");
        assert_eq!(with("ties", "include", &rule), "ignored");
        // A parameter of this name that means something else.
        assert_eq!(with("ties", "include", &entry("ties", 3, None)), 3);
        assert_eq!(with("ties", "include", &entry("ties", "red", None)), "red");
    }

    #[test]
    fn a_value_may_need_a_constraint() {
        let declared = [entry("positive", "rescaled", Some("a.b")), entry("positive", "none", None)];
        let with = |constraints: &[&str]| {
            parameters("published", &none(), &declared, constraints).unwrap()["positive"].clone()
        };
        assert_eq!(with(&["c.d"]), "none");
        assert_eq!(with(&["c.d", "a.b"]), "rescaled");
        assert!(parameters("published", &none(), &declared[..1], &["c.d"]).unwrap().is_empty());
        let set = BTreeMap::from([("positive_start".to_owned(), "none".to_owned())]);
        assert_eq!(parameters("published", &set, &declared, &["a.b"]).unwrap()["positive"], "none");
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
