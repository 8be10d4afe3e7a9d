//! Finding plugins on disk, describing them in child processes, letting them in
//! through the gate, and building their components.

mod catalogue;
pub mod code;
mod describe;
mod discovery;
mod elf;
mod file;
mod gate;
mod manifest;

pub use catalogue::{Catalogue, Entry, Refused, beyond};
pub use describe::describe_for_parent;
pub use file::{KnownFile, PluginFile, Stamp};
pub use gate::{Admitted, admit};
