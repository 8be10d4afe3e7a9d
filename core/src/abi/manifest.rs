//! What a plugin says of itself.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A plugin's manifest, as JSON on the wire. Unknown keys are ignored, so that
/// it can grow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the plugin's crate.
    pub name: String,
    /// Version of the plugin's crate.
    pub version: String,
    /// Version of pallium-core that the plugin was built against.
    pub core_version: String,
    /// Whether panics unwind in the plugin; a plugin that aborts would take
    /// the host with it and is refused.
    pub unwinds: bool,
    /// The components, sorted by id.
    pub components: Vec<ComponentEntry>,
}

/// A component in a [`Manifest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentEntry {
    /// Its role's name; a host skips components of roles that it does not know.
    pub role: String,
    /// Its id.
    pub id: String,
    /// One line on what it does.
    pub about: String,
    /// Where it comes from.
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
