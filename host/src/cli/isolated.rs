//! Commands that compute with components run in a child process, since a plugin
//! may crash or end the process.

use std::ffi::OsString;
use std::process::Command;

use pallium_core::{Error, Kind, Result};
use pallium_process::{exit_text, is_ended_by_limit, signal};

use crate::child::{self, last_call::Page};

/// The signal of a process that aborts, as Rust's does if memory runs out.
const ABORT: i32 = 6;

/// Runs this process's command, whose words are `arguments`, in a child process
/// with the same input, output and terminal, and returns its exit code.
///
/// # Errors
/// If the child cannot be started, or did not reach its end.
pub fn run(arguments: &[OsString]) -> Result<u8> {
    let failed = |what: &str, e| Error::new(Kind::Io, format!("{what}: {e}"));
    let executable = child::executable()?;
    let page = Page::new().map_err(|e| {
        let folder = std::env::temp_dir();
        failed(&format!("cannot write to {}, the folder for temporary files", folder.display()), e)
            .help("make room there, or set TMPDIR to a folder that you can write to")
    })?;
    let mut command = Command::new(executable);
    command.arg("--child").arg(page.path()).args(arguments.iter().skip(1));
    let status = command.status().map_err(|e| failed("cannot start a process", e))?;
    if let Some(code) = page.exit_code() {
        return Ok(code);
    }
    let error = Error::plugin(format!("the process that computes with plugins {}", exit_text(status)));
    Err(match page.last_call() {
        _ if is_ended_by_limit(status) => {
            error.help("free memory, or raise the limit that the process reached: `ulimit -a` lists them")
        }
        Some(call) if signal(status) == Some(ABORT) => {
            error.because(format!("last plugin code: {call}")).help(
                "if the lines above report a failed memory allocation, free memory or raise `ulimit -v`; otherwise \
                 the fault is most likely in that plugin: `pallium plugins check FILE` finds faults of plugins",
            )
        }
        Some(call) => error.because(format!("last plugin code: {call}")).help(
            "the fault is most likely in that plugin: `pallium plugins check FILE` finds faults of plugins",
        ),
        None => error,
    })
}
