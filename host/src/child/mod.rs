//! Child processes of this executable. Code of plugins runs only in them.
//!
//! A plugin may crash, hang, print, or end its process wherever its code runs:
//! while its library is loaded, in a constructor, in any method, in `drop`. So
//! the user's process opens no plugin. It starts children: one to describe each
//! unknown plugin file, one for each training, one for each group of conformance
//! checks, and one for a command that computes with components.
//!
//! - [`inside`]: the child's side. Its standard output is private; what a plugin
//!   prints goes to standard error.
//! - [`supervise()`]: the parent's side. Receives the child's events, enforces a
//!   time limit, and describes how the child ended.
//! - [`last_call`]: a page of memory that outlives the child, with the component
//!   and method that it entered last.
//! - [`log`]: the beginning and the end of a child's output.

pub mod inside;
pub mod last_call;
pub mod log;
mod supervise;

pub use inside::is_child;
pub use supervise::{EVENT, End, POLL_INTERVAL, Stop, Terms, supervise};

use std::path::PathBuf;

use pallium_core::{Error, Kind, Result};

/// The path of this executable.
///
/// # Errors
/// If it cannot be found, for example because it was deleted.
pub fn executable() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))
}
