//! The description of a plugin.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A plugin's manifest, as JSON on the wire. Unknown keys are ignored, so that
/// later versions can add some.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The components, sorted by id.
    pub components: Vec<ComponentEntry>,
}

/// A component in a [`Manifest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

impl ComponentEntry {
    /// The role, if this version of the contract knows it.
    pub fn role(&self) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.name() == self.role)
    }
}
