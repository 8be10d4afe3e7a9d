//! The description of a plugin.

use serde::{Deserialize, Serialize};

use crate::{Error, ProfileValue, Registration, Result, Role};

/// A plugin's manifest, as JSON on the wire. Unknown keys are ignored, so that
/// later versions can add some.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the plugin's crate.
    pub name: String,
    /// Version of the plugin's crate.
    pub version: String,
    /// Version of pallium-core that the plugin was built against.
    pub core_version: String,
    /// Whether panics unwind in the plugin. If they abort, they would end the
    /// host, so the host refuses such a plugin.
    pub unwinds: bool,
    /// Capabilities that the host must have for this plugin; see [`CAPABILITIES`].
    #[serde(default)]
    pub requires: Vec<String>,
    /// The components, sorted by id.
    pub components: Vec<ComponentEntry>,
}

/// A component in a [`Manifest`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ComponentEntry {
    /// Name of its role; a host skips components with roles that it does not know.
    pub role: String,
    /// Its id.
    pub id: String,
    /// What it does, in one line.
    pub about: String,
    /// Its source.
    pub cite: String,
    /// JSON schema of its parameters.
    pub schema: serde_json::Value,
    /// Values of its parameters under profiles.
    #[serde(default)]
    pub profiles: Vec<ProfileEntry>,
    /// Capabilities that the host must have for this component.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Whether it takes sets of connections and not only matrices.
    #[serde(default)]
    pub connections: bool,
}

/// The value of a component's parameter under a profile; see [`ProfileValue`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProfileEntry {
    /// Name of the profile.
    pub profile: String,
    /// Name of the parameter.
    pub parameter: String,
    /// Its value.
    pub value: serde_json::Value,
    /// Id of the constraint without which the value does not hold.
    #[serde(default)]
    pub constraint: Option<String>,
}

impl ProfileEntry {
    fn new(value: &ProfileValue) -> Result<Self> {
        let ProfileValue { profile, parameter, json, constraint } = *value;
        let parsed = serde_json::from_str(json).map_err(|e| {
            Error::plugin(format!(
                "the value {json} of `{parameter}` under the profile `{profile}` is not valid JSON: {e}"
            ))
        })?;
        Ok(ProfileEntry {
            profile: profile.into(),
            parameter: parameter.into(),
            value: parsed,
            constraint: constraint.map(String::from),
        })
    }
}

/// What this version of the contract can do beyond its first version. A plugin or
/// component that requires another capability is refused with an error that names it.
pub const CAPABILITIES: &[&str] = &[];

/// The first of `required` that this version does not have.
pub fn lacking(required: &[String]) -> Option<&str> {
    required.iter().map(String::as_str).find(|name| !CAPABILITIES.contains(name))
}

impl ComponentEntry {
    /// The entry of a registered component.
    ///
    /// # Errors
    /// If a value under a profile is not valid JSON.
    pub fn new(registration: &Registration) -> Result<Self> {
        let Registration { role, id, about, cite, schema, profiles, requires, connections, .. } =
            registration;
        Ok(ComponentEntry {
            role: role.name().into(),
            id: (*id).into(),
            about: (*about).into(),
            cite: (*cite).into(),
            schema: schema(),
            profiles: profiles.iter().map(ProfileEntry::new).collect::<Result<_>>()?,
            requires: requires.iter().map(|&name| name.into()).collect(),
            connections: *connections,
        })
    }

    /// The role, if this version of the contract knows it.
    pub fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.name() == self.role)
    }
}
