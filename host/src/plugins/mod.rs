//! Finding plugins on disk, letting them in through the gate, and building
//! their components.

mod catalogue;
mod discovery;
mod elf;
mod gate;

pub use catalogue::{Catalogue, Entry, KnownFile, PluginFile, Refused, Stamp};
pub use gate::{Admitted, admit};
