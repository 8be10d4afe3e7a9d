//! Limits of a training: the time and the memory of its process.

use std::time::Duration;

use pallium_core::{Error, Result};

/// A worker needs more than this before it has done anything.
pub const LEAST_MEMORY_MB: u64 = 64;

/// Limits of every training of a run. They are not a part of a training's
/// identity: if it ends within them, its result does not depend on them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Time limit of a training's process.
    pub timeout: Option<Duration>,
    /// Memory limit of a training's process, in MB (10^6 bytes).
    pub memory_mb: Option<u64>,
}

/// Limits the memory of this process, a worker, to `memory_mb`.
///
/// On Linux the limit is on memory that the process can write to (heap and
/// private mappings, without the stack): code of plugins and reserved address
/// space do not count. A request beyond it fails.
///
/// # Errors
/// If the system refuses the limit.
pub fn settle(memory_mb: Option<u64>) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // If memory runs out, the system should kill a worker and not the parent.
        if let Err(e) = std::fs::write("/proc/self/oom_score_adj", "1000") {
            tracing::debug!("cannot mark this process as the first to end when memory runs out: {e}");
        }
    }
    match memory_mb {
        Some(limit) => limit_memory(limit.saturating_mul(1_000_000)),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn limit_memory(bytes: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let resource = Resource::Data;
    // Elsewhere mappings do not count as data.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let resource = Resource::As;
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(resource, limit).map_err(|e| {
        Error::unsupported(format!("the memory of a training cannot be limited to {bytes} bytes: {e}"))
            .help("leave out --cell-memory; a batch system or `ulimit` can limit the memory of the run")
    })
}

#[cfg(not(unix))]
fn limit_memory(_: u64) -> Result<()> {
    Err(Error::unsupported("the memory of a training cannot be limited on this system")
        .help("leave out --cell-memory"))
}
