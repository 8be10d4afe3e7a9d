//! The child's side: private output, and the end together with the parent.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::OnceLock;

use pallium_core::{Error, Kind, Result};
use serde::Serialize;

use super::last_call;
use super::supervise::EVENT;

/// This process's original standard output.
static OUTPUT: OnceLock<File> = OnceLock::new();

/// Whether this process is a child, in which code of plugins may run.
pub fn is_child() -> bool {
    OUTPUT.get().is_some()
}

/// Makes this process a child: keeps standard output for itself, so that a plugin
/// that prints writes to standard error, and records calls of components in
/// `page` (none if the path is empty). Called before the first plugin is opened.
///
/// # Errors
/// If the page or standard output cannot be opened.
pub fn enter(page: &Path) -> Result<()> {
    let failed = |what: &str, e: &io::Error| Error::new(Kind::Io, format!("{what}: {e}"));
    if !page.as_os_str().is_empty() {
        last_call::record_in(page).map_err(|e| Error::io(page, &e))?;
    }
    let output = private_output().map_err(|e| failed("standard output cannot be redirected", &e))?;
    // A second call would find the redirected output.
    let _ = OUTPUT.set(output);
    // The end of standard input has the same effect, but only workers read it.
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        tracing::debug!("this process does not end immediately with its parent: {e}");
    }
    Ok(())
}

/// A private handle of standard output, which then leads to standard error.
#[cfg(unix)]
fn private_output() -> io::Result<File> {
    use std::os::fd::AsFd;
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(own.into())
}

#[cfg(windows)]
fn private_output() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// A private handle of standard input, which is empty for plugins.
///
/// # Errors
/// If the system refuses it.
pub fn take_input() -> Result<BufReader<File>> {
    private_input()
        .map(BufReader::new)
        .map_err(|e| Error::new(Kind::Io, format!("standard input cannot be redirected: {e}")))
}

#[cfg(unix)]
fn private_input() -> io::Result<File> {
    use std::os::fd::AsFd;
    let own = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(own.into())
}

#[cfg(windows)]
fn private_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Ends this process when its parent ends, which closes `input`.
pub fn end_with_parent(mut input: impl Read + Send + 'static) {
    std::thread::spawn(move || {
        let mut rest = [0; 64];
        loop {
            match input.read(&mut rest) {
                Ok(n) if n > 0 => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => end(),
            }
        }
    });
}

/// Ends this process at once. `exit` would run code of plugins, and waits for a
/// library that hangs while it is loaded.
fn end() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Sends an event to the parent.
///
/// # Errors
/// If the parent has ended.
pub fn emit(event: &impl Serialize) -> Result<()> {
    let mut line = vec![EVENT];
    serde_json::to_writer(&mut line, event)
        .map_err(|e| Error::bug(format!("an event cannot be written: {e}")))?;
    line.push(b'\n');
    write(&line).map_err(|e| Error::new(Kind::Io, format!("the parent process does not listen: {e}")))
}

/// Writes to this process's standard output, in a child to the original one.
///
/// # Errors
/// If it cannot be written.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    match OUTPUT.get() {
        Some(mut output) => output.write_all(bytes),
        None => {
            let mut output = io::stdout().lock();
            output.write_all(bytes).and_then(|()| output.flush())
        }
    }
}
