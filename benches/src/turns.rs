//! Lets the sides of a comparison take turns. Each side is one or several
//! processes that are set up once and then work on request, so that the sides
//! alternate and slow periods of the machine affect all of them.
//!
//! A process writes a line `ready` with a JSON object when it has warmed up.
//! For each line on its input it works once and writes a JSON object with the
//! `seconds` it took. It ends when its input does.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use pallium_core::{Error, Kind, Result};
use serde_json::Value;

use crate::watch;

/// Reports that this process is ready.
///
/// # Errors
/// If the output is closed.
pub fn ready(about: &Value) -> Result<()> {
    write_line(&format!("ready {about}"))
}

/// Reports a turn.
///
/// # Errors
/// If the output is closed.
pub fn done(report: &Value) -> Result<()> {
    write_line(&report.to_string())
}

fn write_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| broken(&e))
}

/// Waits for the next turn; `false` if there is none.
///
/// # Errors
/// If the input cannot be read.
pub fn wait() -> Result<bool> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map(|read| read > 0).map_err(|e| broken(&e))
}

fn broken(error: &io::Error) -> Error {
    Error::new(Kind::Io, format!("the sides of a comparison cannot communicate: {error}"))
}

/// A turn of a side.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Wall time until all processes were done, in seconds.
    pub wall: f64,
    /// Processor time of all processes, in seconds; 0 without `/proc`.
    pub cpu: f64,
    /// What the first process reported.
    pub report: Value,
}

/// One side of a comparison.
pub struct Side {
    processes: Vec<Process>,
    /// The first process's description of itself, from its line `ready`.
    pub about: Value,
}

struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Side {
    /// Starts one process for each command and waits until all are ready.
    ///
    /// # Errors
    /// If one cannot be started or ends before it is ready.
    pub fn start(commands: Vec<Command>) -> Result<Self> {
        let mut processes = commands.into_iter().map(Process::start).collect::<Result<Vec<_>>>()?;
        let mut about = Value::Null;
        for (at, process) in processes.iter_mut().enumerate() {
            let found = process.ready()?;
            if at == 0 {
                about = found;
            }
        }
        Ok(Side { processes, about })
    }

    /// Number of processes.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Ids of the processes.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(|process| process.child.id())
    }

    /// Resident memory of the largest process at its largest, in MB; 0 without
    /// `/proc`.
    pub fn memory_mb(&self) -> f64 {
        self.pids().map(watch::high_water).fold(0.0, f64::max)
    }

    /// Lets all processes work once, at the same time.
    ///
    /// # Errors
    /// If one ends instead.
    pub fn turn(&mut self) -> Result<Turn> {
        let used = |side: &Self| side.pids().map(watch::process_seconds).sum::<f64>();
        let before = used(self);
        let clock = Instant::now();
        for process in &mut self.processes {
            process.go()?;
        }
        let mut report = Value::Null;
        for (at, process) in self.processes.iter_mut().enumerate() {
            let found = process.line()?;
            if at == 0 {
                report = serde_json::from_str(&found)
                    .map_err(|e| Error::input(format!("a peer wrote `{}`: {e}", found.trim())))?;
            }
        }
        let wall = clock.elapsed().as_secs_f64();
        Ok(Turn { wall, cpu: used(self) - before, report })
    }
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::new(Kind::Io, format!("{command:?} cannot be started: {e}")))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Process { child, input: Some(input), output: BufReader::new(output) })
            }
            _ => Err(Error::bug("a process without pipes")),
        }
    }

    /// Skips output of libraries until the process is ready.
    fn ready(&mut self) -> Result<Value> {
        loop {
            let line = self.line()?;
            if let Some(about) = line.strip_prefix("ready ") {
                return serde_json::from_str(about)
                    .map_err(|e| Error::input(format!("a peer wrote `{}`: {e}", line.trim())));
            }
        }
    }

    fn go(&mut self) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(|| Error::bug("a side was started after it ended"))?;
        input.write_all(b"\n").and_then(|()| input.flush()).map_err(|e| broken(&e))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(Error::input(
                "a side of the comparison ended early; a peer's output is in a .log file beside its inputs",
            )),
            Ok(_) => Ok(line),
            Err(e) => Err(broken(&e)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process ends when its input closes.
        self.input = None;
        if let Err(e) = self.child.wait() {
            eprintln!("a side of the comparison does not end: {e}");
        }
    }
}
