//! What bounds a cell: the time that its process may take and the memory that
//! it may hold.

use std::time::Duration;

use pallium_core::{Error, Result};

/// Less than a worker takes before it has done anything.
pub const LEAST_MEMORY_MB: u64 = 64;

/// Limits of every cell of a run. They are no part of a cell's identity: a
/// cell that ends within them gives the same result under any others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// The longest that a cell's process may run.
    pub timeout: Option<Duration>,
    /// The most memory that a cell's process may hold, in MB (10^6 bytes).
    pub memory_mb: Option<u64>,
}

/// Ties this process, a worker, to its parent's life and to `memory_mb`.
///
/// On Linux the limit is on what a process can write to on its own (heap and
/// private mappings, the stack apart): code of plugins and address space that
/// is merely reserved do not count. A request beyond it fails.
///
/// # Errors
/// If the system does not take the limit.
pub fn settle(memory_mb: Option<u64>) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // The end of standard input says the same, but a thread has to hear it.
        let tied = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        if let Err(e) = tied {
            tracing::debug!("this process does not end with its parent at once: {e}");
        }
        // Where memory runs out, a worker is to go and not the parent.
        if let Err(e) = std::fs::write("/proc/self/oom_score_adj", "1000") {
            tracing::debug!("the order in which processes are killed for memory stays as it is: {e}");
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
        Error::unsupported(format!("a cell's memory cannot be limited to {bytes} bytes: {e}"))
            .help("leave --cell-memory out, or limit the memory of the whole run from outside")
    })
}

#[cfg(not(unix))]
fn limit_memory(_: u64) -> Result<()> {
    Err(Error::unsupported("a cell's memory cannot be limited on this system")
        .help("leave --cell-memory out"))
}
