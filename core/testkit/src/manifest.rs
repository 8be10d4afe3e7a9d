//! Checks of a plugin's manifest, and of what a component says of itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::abi::{CAPABILITIES, Manifest, ProfileEntry, lacking};
use pallium_core::{Error, Kind, Result};

/// Whether `id` is `family.name` in lower-case letters, digits and hyphens.
fn is_id(id: &str) -> bool {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_lowercase())
            && !p.ends_with('-')
            && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    matches!(id.split_once('.'), Some((family, name)) if part(family) && part(name))
}

/// Refuses requirements that this version does not meet.
fn required(of: &str, names: &[String]) -> Result<()> {
    let Some(name) = lacking(names) else { return Ok(()) };
    let known = if CAPABILITIES.is_empty() { "none".into() } else { CAPABILITIES.join(", ") };
    Err(Error::plugin(format!("{of} requires `{name}`, which pallium-core {} lacks", pallium_core::VERSION))
        .help(format!("capabilities of this version: {known}")))
}

/// Checks the manifest of a plugin.
pub(crate) fn manifest(manifest: &Manifest) -> Result<Note> {
    if manifest.components.is_empty() {
        return broken("it offers no component: register each with pallium_core::register!(Role, Type)");
    }
    let mut seen = BTreeSet::new();
    for component in &manifest.components {
        if !seen.insert(&component.id) {
            return broken(format!("duplicate component `{}`", component.id));
        }
        if component.role().is_none() {
            return broken(format!(
                "`{}` has the role `{}`, which this version does not know",
                component.id, component.role
            ));
        }
    }
    required("the plugin", &manifest.requires)?;
    passed(format!(
        "{} {}, {} component{}, built against pallium-core {}",
        manifest.name,
        manifest.version,
        manifest.components.len(),
        if manifest.components.len() == 1 { "" } else { "s" },
        manifest.core_version
    ))
}

/// Checks texts and the schema of parameters; returns their number. Further names
/// are allowed to a component that describes itself once its parameters are known.
fn texts(about: &str, cite: &str, schema: &Value, describes: bool) -> Result<usize> {
    if about.trim().is_empty() || about.lines().count() > 1 {
        return broken("ABOUT must be one line that says what it does");
    }
    if cite.trim().is_empty() {
        return broken("CITE is empty: name a paper, or say \"this work\"");
    }
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, property) in properties {
        let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            return Err(Error::plugin(format!("parameter `{name}` has no documentation"))
                .help("write a /// comment above it, with its unit"));
        }
        if property.get("default").is_none() {
            return broken(format!("parameter `{name}` has no default: declare parameters with params!"));
        }
    }
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) && !describes {
        return broken("its parameters allow unknown names: declare them with params!");
    }
    Ok(properties.len())
}

pub(crate) fn description(subject: &Subject<'_>) -> Result<Note> {
    let entry = subject.entry;
    if !is_id(&entry.id) {
        return Err(Error::plugin(format!("`{}` is not a valid id", entry.id))
            .help("an id is family.name in lower-case letters, digits and hyphens"));
    }
    required("it", &entry.requires)?;
    let described = match subject.library.describe(&entry.id, &subject.params()) {
        // A parameter that names a file may have to be given.
        Err(error) if error.kind == Kind::Input && subject.lacking().is_some() => None,
        described => described.map_err(|e| e.context("`describe` fails"))?,
    };
    if let Some(described) = &described {
        let context = |e: Error| e.context("what `describe` returns is malformed");
        texts(&described.about, &described.cite, &described.schema, false).map_err(context)?;
    }
    let describes = described.is_some() || subject.lacking().is_some();
    let count = texts(&entry.about, &entry.cite, &entry.schema, describes)?;
    passed(format!("{count} parameter{}", if count == 1 { "" } else { "s" }))
}

pub(crate) fn profiles(subject: &Subject<'_>) -> Result<Note> {
    let properties: BTreeSet<String> = subject.properties().into_iter().map(|(name, _)| name).collect();
    // A value that holds only with a constraint is tried beside those that hold in
    // all variants.
    let mut profiles: BTreeMap<(&str, Option<&str>), Map<String, Value>> = BTreeMap::new();
    for ProfileEntry { profile, parameter, value, constraint } in &subject.entry.profiles {
        if profile.trim().is_empty() {
            return broken(format!("`{parameter}` has a value under a profile without a name"));
        }
        if !properties.contains(parameter) {
            return broken(format!("the profile `{profile}` sets `{parameter}`, which is not a parameter"));
        }
        if let Some(id) = constraint.as_deref().filter(|id| !is_id(id)) {
            return broken(format!("a value of `{parameter}` depends on `{id}`, which is not an id"));
        }
        let values = profiles.entry((profile, constraint.as_deref())).or_default();
        if values.insert(parameter.clone(), value.clone()).is_some() {
            return broken(format!("the profile `{profile}` sets `{parameter}` twice"));
        }
    }
    if profiles.is_empty() {
        return skipped("it has no values under profiles");
    }
    let world = World::new(world::NEURONS, 1);
    let mut names: Vec<&str> = Vec::new();
    for ((profile, constraint), values) in &profiles {
        if !names.contains(profile) {
            names.push(profile);
        }
        let mut all = subject.given.clone();
        if constraint.is_some() {
            all.extend(profiles.get(&(*profile, None)).cloned().unwrap_or_default());
        }
        all.extend(values.clone());
        let params = Value::Object(all).to_string();
        subject
            .try_build(&params, &world.setting())
            .map_err(|e| e.context(format!("it cannot be built with its values under `{profile}`")))?;
    }
    passed(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_family_and_a_name() {
        assert!(is_id("spatial.communicability-emd") && is_id("a.b2"));
        for wrong in ["spatial", "Spatial.l1", "spatial.", ".l1", "spatial.l_1", "a.b.c", "a.-b"] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
